"""Admins and the audit: who did what to whom, read newest first. Nobody changes it.

What is older than six months lies in files (accounts/audit_months.py), which `bursa audit` reads.
"""

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from litestar import get
from litestar.handlers import BaseRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.accounts.audit import Chosen, Place, Record
from bursa.accounts.audit_tables import place_of
from bursa.api import params
from bursa.api.admin import shapes
from bursa.api.admin.office import LIMIT, Office, about, listed, question_of, text
from bursa.api.auth.times import instant
from bursa.model.calendar import SECOND_NS
from bursa.model.errors import Refuse

NOT_COUNTED = -1
_YEARS = range(1971, 2200)
_RECORD = re.compile(r"[0-9A-Za-z_-]{1,64}")
_TIME = "ISO with an offset, or a day (UTC)"
_OK = params.Param(
    "ok",
    params.flag("ok"),
    "1: what was done; 0: what was refused; left out: both",
    schema=params.one_of(("0", "1", "false", "true")),
)
_AUDIT = (
    params.Param("actor", text("actor"), "id or e-mail address of who did it", ""),
    params.Param("act", text("act"), "what was done, or how that begins: user.tier, key.", ""),
    params.Param("target", text("target"), "id or e-mail address of what it was done to", ""),
    params.Param("from", str, f"first instant, included: {_TIME}"),
    params.Param("to", str, f"last instant, excluded: {_TIME}"),
    _OK,
    LIMIT,
    params.PAGE,
)


class Audited:
    """The route."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> list[BaseRouteHandler]:
        """What the application serves."""
        answers = about(shapes.AdminRecordsAnswer, _AUDIT)
        return [get("/admin/api/audit", **answers)(self.audit)]

    async def audit(self, scope: Scope) -> ASGIResponse:
        """Records of the audit, the newest first."""
        values = params.read_query(scope["query_string"], _AUDIT)
        question = question_of("audit", values)
        chosen = await self._chosen(values)
        rows, more = await page_of_records(self._office, chosen, values, question)
        return listed(scope, rows, NOT_COUNTED, more)

    async def _chosen(self, values: dict[str, Any]) -> Chosen:
        start, end = (
            None if values[name] is None else instant_of(name, values[name])
            for name in ("from", "to")
        )
        if start is not None and end is not None and start > end:
            raise Refuse("from lies after to", "bad_range", parameter="from")
        actor, target = [await self._id(values[name]) for name in ("actor", "target")]
        return Chosen(start, end, actor, values["act"], target, values["ok"])

    async def _id(self, named: str) -> str:
        """The id of the user with an address; what is none's as it is: failed sign-ins have the
        address that was tried."""
        if "@" not in named:
            return named
        try:
            user = await self._office.run(self._office.accounts.desk.user, named)
        except Refuse:
            return named
        return str(user["id"])


async def page_of_records(
    office: Office, chosen: Chosen, values: Mapping[str, Any], question: tuple[object, ...]
) -> tuple[list[shapes.RecordTold], str | None]:
    """Records by `limit` and `page`, and the token of the next ones."""
    after = None if values["page"] is None else _place_of(values["page"], question)
    limit = values["limit"]
    found = await office.run(office.accounts.audit.read, chosen, after, limit + 1)
    rows = [record_of(record, office.name) for record in found[:limit]]
    return rows, _token(place_of(found[limit - 1]), question) if len(found) > limit else None


def record_of(record: Record, name: Callable[[str], str]) -> shapes.RecordTold:
    """A record as it is told. `name` of a user's id is his address."""
    return shapes.RecordTold(
        instant(record.at_ns),
        record.actor,
        name(record.actor),
        record.actor_role,
        record.act,
        record.target,
        name(record.target),
        None if record.before is None else json.loads(record.before),
        None if record.after is None else json.loads(record.after),
        record.address,
        record.request_id,
        record.ok,
    )


def instant_of(name: str, given: str) -> int:
    """ns since 1970 of a day (UTC) or a time with an offset. Refuse `bad_time`."""
    try:
        found = datetime.fromisoformat(given)
        if len(given) == len("2026-11-20"):
            found = found.replace(tzinfo=UTC)
        if found.tzinfo is not None and found.year in _YEARS:
            return int(found.timestamp()) * SECOND_NS
    except (ValueError, OverflowError):
        pass
    message = f"{name}={given[:64]!r} is neither a day (2026-11-20) nor a time with an offset"
    raise Refuse(message, "bad_time", parameter=name)


def _token(place: Place, question: tuple[object, ...]) -> str:
    """A place in the audit as an opaque text, sealed against use with another question."""
    raw = json.dumps([*place, zlib.crc32(repr(question).encode())]).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _place_of(given: str, question: tuple[object, ...]) -> Place:
    try:
        place = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
        at_ns, record, seal = place
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise Refuse("page is not a token of ours", "bad_page", parameter="page") from None
    well = type(at_ns) is int and 0 <= at_ns < 1 << 63 and isinstance(record, str)
    if not well or not _RECORD.fullmatch(record) or seal != zlib.crc32(repr(question).encode()):
        message = "page belongs to another question; keep every other parameter as it was"
        raise Refuse(message, "bad_page", parameter="page")
    return at_ns, record
