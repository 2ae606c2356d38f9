"""What the routes of admins share: who acts, lists in pages, refusals that the audit hears of.

Who may do what to whom is decided where it is done (accounts/change.py), on every call; the door
lets nobody in who is no admin (doors.py). Knows no route.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.accounts import texts
from bursa.accounts.desk import LIMIT_MAX, Asked, Listed
from bursa.accounts.parts import Accounts
from bursa.api import access, bodies, params
from bursa.api.auth.desk import Desk, actor
from bursa.api.envelope import encode, responses
from bursa.api.errors import JSON
from bursa.api.paging import PLACE, Page, page_of, token
from bursa.api.services import Services
from bursa.model.errors import Refuse

LIMIT_DEFAULT = 100
TEXT_MAX = 100
T = TypeVar("T")


def text(name: str) -> Callable[[str], str]:
    """Reads a text of one line."""

    def read(given: str) -> str:
        if len(given) > TEXT_MAX or texts.plain(given, TEXT_MAX) != given.strip():
            message = f"{name}={given[:64]!r}: {TEXT_MAX} characters of one line at most"
            raise Refuse(message, "bad_text", parameter=name)
        return given.strip()

    return read


def words(name: str, allowed: Sequence[str], meaning: str) -> params.Param:
    """A parameter that is one of some words, or left out."""

    def read(given: str) -> str:
        if given not in allowed:
            message = f"{name}={given[:64]!r} is none of {', '.join(allowed)}"
            raise Refuse(message, "bad_word", parameter=name)
        return given

    return params.Param(name, read, meaning, "", schema=params.one_of(allowed))


LIMIT = params.Param(
    "limit",
    params.integer("limit", 1, LIMIT_MAX),
    "most rows of one answer",
    LIMIT_DEFAULT,
    schema=params.whole(1, LIMIT_MAX),
)
PAGED = (LIMIT, params.PAGE)
Q = params.Param("q", text("q"), "part of an address or a name, or the beginning of an id", "")
USER = params.Param("user", text("user"), "id of the user whose they are", "")
WHY = params.Param("reason", text("reason"), "why; kept in the audit", "")


class Office:
    """The accounts of some services, for those who mind them."""

    def __init__(self, services: Services, accounts: Accounts) -> None:
        self.services, self.accounts = services, accounts
        self._desk = Desk(services, accounts)

    async def run(self, call: Callable[..., T], *args: Any) -> T:
        """What a call that blocks returns or raises."""
        return await self._desk.run(call, *args)

    async def act(self, scope: Scope, act: str, target: str, call: Callable[[], T]) -> T:
        """What an act that blocks returns or raises. One that he may not do is audited."""

        def acted() -> T:
            try:
                return call()
            except Refuse as why:
                if why.status == 403:
                    self.accounts.changes.refused(actor(scope), act, target[:TEXT_MAX], why)
                raise

        return await self._desk.run(acted)

    def now_ns(self) -> int:
        """Our clock, ns since 1970 UTC."""
        return self._desk.now_ns()

    def name(self, user: str) -> str:
        """The address of a user by his id; what is no user's id as it is."""
        found = self.accounts.standing.user(user)
        return user if found is None else found.email


def asked(values: dict[str, Any], question: tuple[object, ...]) -> Asked:
    """A list's filters and the stretch of it that its page token names."""
    page = values["page"]
    first = 0 if page is None else max(page_of(page, question).at, 0)
    filters = {name: values[name] for name in ("tier", "state", "role", "user") if name in values}
    return Asked(values.get("q", ""), first=first, limit=values["limit"], **filters)


def question_of(name: str, values: dict[str, Any]) -> tuple[object, ...]:
    """What page tokens of a list are sealed with."""
    return (name, *(values[key] for key in sorted(values) if key not in ("page", "limit")))


def listed(
    scope: Scope,
    rows: Sequence[Any],
    count: int,
    next_page: str | None,
    **facts: Any,
) -> ASGIResponse:
    """Rows as an answer that says how many there are in all, and `facts` besides."""
    access.count_rows(scope, len(rows))
    latency_us = (time.perf_counter_ns() - scope["state"]["began_ns"]) // 1_000
    meta = {"latency_us": latency_us, "next_page": next_page, "count": count, **facts}
    body = encode({"ok": True, "data": rows, "meta": meta})
    return ASGIResponse(body=body, media_type=JSON, headers=[("cache-control", "no-store")])


def stretch(
    scope: Scope,
    rows: Sequence[Any],
    found: Listed,
    wanted: Asked,
    question: tuple[object, ...],
    **facts: Any,
) -> ASGIResponse:
    """A stretch of a list as an answer, with the token of the next one."""
    last = wanted.first + wanted.limit
    more = token(Page(PLACE, last), question) if last < found.count else None
    return listed(scope, rows, found.count, more, **facts)


def about(
    good: type[Any],
    table: Sequence[params.Param] = (),
    form: type[Any] | None = None,
    *statuses: int,
    status: int = 200,
) -> dict[str, Any]:
    """How a route is documented: what it answers, what it reads."""
    read = (413, 415) if form is not None else ()
    found = responses(good, 400, 401, 403, *read, *statuses, 429, 503)
    answers = {status if one == 200 else one: what for one, what in found.items()}
    return {
        "operation_class": bodies.documented(table, form),
        "responses": answers,
        "status_code": status,
        "tags": ["admin"],
    }
