"""One's own account: who one is, keys, machines, usage, plan. Behind the door `self`: a session.

What is somebody else's is not there: its id is answered 404, whatever his role. Lists are paged as
everywhere. Changes nothing itself (accounts/).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import delete, get, patch, post
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Scope
from msgspec import UNSET

from bursa.accounts import csrf, messages
from bursa.accounts.keys import KeyRow
from bursa.accounts.usage import Hour
from bursa.accounts.who import Principal, Rights
from bursa.api import access, bodies, params
from bursa.api.auth import shapes
from bursa.api.auth.desk import Desk, actor
from bursa.api.auth.times import expiry, instant, maybe
from bursa.api.envelope import responses, told
from bursa.api.errors import AnyRequest
from bursa.api.paging import paged
from bursa.model.errors import Refuse

DAYS_MAX = 400
_HOURS_SHOWN = 24
LIST = (params.LIMIT, params.PAGE)
_DAYS = params.Param(
    "days",
    params.integer("days", 1, DAYS_MAX),
    "days (UTC) over which keys are added up, the present one included",
    1,
    schema=params.whole(1, DAYS_MAX),
)
# As in accounts/usage.py.
_SUMS = ("requests", "rows", "limited", "refused")


class Portal:
    """The routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._accounts = desk, desk.accounts

    def routes(self) -> list[BaseRouteHandler]:
        """What the application serves."""
        me, keys = "/portal/api/me", "/portal/api/keys"
        machines, plan = "/portal/api/machines", "/portal/api/subscription"
        return [
            get(me, **_about(shapes.MeAnswer))(self.me),
            patch(me, **_about(shapes.MeAnswer, form=shapes.MeForm))(self.change_me),
            get(keys, **_about(shapes.KeysAnswer, LIST))(self.keys),
            post(keys, **_about(shapes.NewKeyAnswer, (), shapes.NewKeyForm, 404, 409))(self.make),
            delete(f"{keys}/{{key:str}}", **_about(shapes.KeyAnswer, (), None, 404))(self.revoke),
            get(machines, **_about(shapes.MachinesAnswer))(self.machines),
            delete(f"{machines}/{{machine:str}}", **_about(shapes.MachinesAnswer, (), None, 404))(
                self.release
            ),
            get("/portal/api/usage", **_about(shapes.UsageAnswer, (_DAYS,)))(self.usage),
            get(plan, **_about(shapes.SubscriptionAnswer))(self.subscription),
            post(plan, **_about(shapes.SubscriptionAnswer, (), shapes.UpgradeForm, 404, 409))(
                self.ask
            ),
        ]

    # -- who one is --------------------------------------------------------------------------------

    async def me(self, scope: Scope) -> ASGIResponse:
        """Who is signed in, and what he may have."""
        params.read_query(scope["query_string"], ())
        return told(scope, self._me(access.who(scope)))

    async def change_me(self, request: AnyRequest) -> ASGIResponse:
        """Change one's name, or one's password, which ends all other sessions."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, shapes.MeForm)
        by = access.who(scope)
        name = None if form.name is UNSET else form.name
        new = None if form.new is UNSET else form.new
        old = "" if form.old is UNSET else form.old
        if new is not None:
            await self._desk.tries("sign_in", scope, by.email)
        run = self._desk.run if new is None else self._desk.computed
        await run(
            lambda: self._accounts.people.change_me(
                actor(scope), name=name, old=old, new=new, session=by.session
            )
        )
        if new is not None:
            self._desk.write(by.email, messages.changed(self._desk.url(scope)))
        return told(scope, self._me(by))

    def _me(self, by: Principal) -> shapes.MeRow:
        user = self._accounts.standing.user(by.user)
        token = csrf.token(self._accounts.secrets.pages, by.session)
        name = "" if user is None else user.name
        tier = by.rights.tier
        return shapes.MeRow(by.user, by.email, name, by.role, tier, rights_of(by.rights), token)

    # -- keys --------------------------------------------------------------------------------------

    async def keys(self, scope: Scope) -> ASGIResponse:
        """One's keys, newest first, the revoked ones too. None is told whole."""
        values = params.read_query(scope["query_string"], LIST)
        by, now_ns = access.who(scope), self._desk.now_ns()
        every = await self._desk.run(self._accounts.keys.list, by.user)
        rows, on = paged(every, values, ("keys", by.user))
        return told(scope, [shapes.KeyRow(**_key(row, now_ns)) for row in rows], next_page=on)

    async def make(self, request: AnyRequest) -> ASGIResponse:
        """Make a key. This answer is the only one that tells it whole."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, shapes.NewKeyForm)
        ends_ns = None if form.expires is None else expiry(form.expires)
        by, now_ns = actor(scope), self._desk.now_ns()
        key, row = await self._desk.run(self._accounts.keys.make, by.user, form.name, ends_ns, by)
        return told(scope, shapes.NewKeyRow(**_key(row, now_ns), key=key), 201)

    async def revoke(self, scope: Scope, key: FromPath[str]) -> ASGIResponse:
        """Revoke a key, for good. Tokens made of it, and streams opened with them, end at once."""
        params.read_query(scope["query_string"], ())
        by = actor(scope)

        def revoked() -> KeyRow:
            row = self._accounts.keys.show(key)
            if row.user != by.user:
                raise Refuse(f"there is no key {key[:64]!r}", "unknown_key", 404, "key")
            self._accounts.keys.revoke(key, by)
            return self._accounts.keys.show(key)

        row = await self._desk.run(revoked)
        return told(scope, shapes.KeyRow(**_key(row, self._desk.now_ns())))

    # -- machines ----------------------------------------------------------------------------------

    async def machines(self, scope: Scope) -> ASGIResponse:
        """One's machines that have a place, and how many places there are."""
        params.read_query(scope["query_string"], ())
        return await self._machines(scope)

    async def release(self, scope: Scope, machine: FromPath[str]) -> ASGIResponse:
        """Take a machine's place from it. Its token ends at once; it may be activated again."""
        params.read_query(scope["query_string"], ())
        by = actor(scope)

        def released() -> None:
            mine = {row.id for row in self._accounts.machines.list(by.user)}
            if machine not in mine:
                text = f"there is no machine {machine[:64]!r}"
                raise Refuse(text, "unknown_machine", 404, "machine")
            self._accounts.machines.release(machine, by)

        await self._desk.run(released)
        return await self._machines(scope)

    async def _machines(self, scope: Scope) -> ASGIResponse:
        by = access.who(scope)
        rows = await self._desk.run(self._accounts.machines.list, by.user)
        found = [
            shapes.MachineRow(
                row.id,
                row.machine,
                row.plugin_version,
                row.key_name,
                instant(row.activated_ns),
                instant(row.heartbeat_ns),
            )
            for row in rows
        ]
        return told(scope, shapes.MachinesRow(len(found), by.rights.machines, found))

    # -- usage -------------------------------------------------------------------------------------

    async def usage(self, scope: Scope) -> ASGIResponse:
        """What one asked: what is left of this minute, by hour, by key. The newest seconds may not
        be in it yet."""
        values = params.read_query(scope["query_string"], (_DAYS,))
        by, days = access.who(scope), values["days"]
        hours = await self._desk.run(self._accounts.usage.of, by.user, max(days, 2))
        names = {row.id: row for row in await self._desk.run(self._accounts.keys.list, by.user)}
        today = datetime.fromtimestamp(self._desk.now_ns() / 1e9, UTC)
        since = today.date() - timedelta(days=days - 1)
        sums: dict[str, list[int]] = {}
        for one in hours:
            if one.day >= since:
                _add(sums.setdefault(one.key, [0] * len(_SUMS)), one)
        keys = [
            shapes.KeyUsageRow(
                **dict(zip(_SUMS, counted, strict=True)),
                id=key,
                name=names[key].name if key in names else "",
                prefix=names[key].prefix if key in names else "",
            )
            for key, counted in sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))
        ]
        minute = await self._minute(by)
        return told(scope, shapes.UsageRow(minute, _last_hours(hours, today), keys))

    async def _minute(self, by: Principal) -> shapes.Minute:
        rate = by.rights.rate
        if rate is None:
            return shapes.Minute(None, None, None)
        found = await self._accounts.limiter.left(by.user, rate)
        left, resets_s = (None, None) if found is None else found
        return shapes.Minute(rate, left, resets_s)

    # -- the plan ----------------------------------------------------------------------------------

    async def subscription(self, scope: Scope) -> ASGIResponse:
        """One's tier and subscription, the plans there are, and what became of requests."""
        params.read_query(scope["query_string"], ())
        return await self._subscription(scope)

    async def ask(self, request: AnyRequest) -> ASGIResponse:
        """Ask for another plan. Somebody decides; a request waits until then."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, shapes.UpgradeForm)
        await self._desk.run(self._accounts.subscriptions.ask, form.plan, form.note, actor(scope))
        return await self._subscription(scope, 201)

    async def _subscription(self, scope: Scope, status: int = 200) -> ASGIResponse:
        by, plans = access.who(scope), self._accounts.subscriptions
        held = await self._desk.run(plans.of, by.user)
        offered = await self._desk.run(plans.plans)
        now, request = held["subscription"], held["request"]
        matrix = self._accounts.standing.tiers()
        rows = [
            shapes.PlanRow(one["name"], one["tier"], one["text"], rights_of(matrix[one["tier"]]))
            for one in offered
            if one["tier"] in matrix
        ]
        row = shapes.SubscriptionRow(
            by.rights.tier,
            None if now is None else _subscription(now),
            rows,
            None if request is None else _request(request),
        )
        return told(scope, row, status)


def _about(
    good: type[Any],
    table: tuple[params.Param, ...] = (),
    form: type[Any] | None = None,
    *statuses: int,
) -> dict[str, Any]:
    """How a route is documented: what it answers, what it reads."""
    read = (413, 415) if form is not None else ()
    made = 201 if 409 in statuses else 200
    found = responses(good, 400, 401, 403, *read, *statuses, 429, 503)
    answers = {made if status == 200 else status: text for status, text in found.items()}
    operation = bodies.documented(table, form)
    return {
        "operation_class": operation,
        "responses": answers,
        "status_code": made,
        "tags": ["portal"],
    }


def rights_of(rights: Rights) -> shapes.RightsRow:
    """Rights as they are told."""
    frames = rights.timeframes
    return shapes.RightsRow(
        rights.rate,
        None if frames is None else sorted(frames),
        rights.history_days,
        rights.hd,
        rights.stream_symbols,
        rights.machines,
        rights.rows,
    )


def _key(row: KeyRow, now_ns: int) -> dict[str, Any]:
    expired = row.expires_ns is not None and now_ns >= row.expires_ns
    revoked = row.revoked_ns is not None and not (
        row.expires_ns is not None and row.revoked_ns >= row.expires_ns
    )
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "last4": row.last4,
        "state": "revoked" if revoked else "expired" if expired else "active",
        "tier": row.tier,
        "created": instant(row.created_ns),
        "expires": maybe(row.expires_ns),
        "revoked": maybe(row.revoked_ns) if revoked else None,
        "used": maybe(row.used_ns),
    }


def _add(sums: list[int], one: Hour) -> None:
    for at, name in enumerate(_SUMS):
        sums[at] += getattr(one, name)


def _last_hours(hours: Any, now: datetime) -> list[shapes.HourRow]:
    """The hours of the last day that have anything, keys together, oldest first."""
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=_HOURS_SHOWN - 1)
    sums: dict[datetime, list[int]] = {}
    for one in hours:
        began = datetime.combine(one.day, datetime.min.time(), UTC) + timedelta(hours=one.hour)
        if began >= first:
            _add(sums.setdefault(began, [0] * len(_SUMS)), one)
    return [
        shapes.HourRow(**dict(zip(_SUMS, counted, strict=True)), hour=f"{began:%Y-%m-%dT%H:%M:%SZ}")
        for began, counted in sorted(sums.items())
    ]


def _subscription(held: Mapping[str, Any]) -> shapes.SubscriptionNow:
    return shapes.SubscriptionNow(held["plan"], instant(held["began_ns"]), maybe(held["ends_ns"]))


def _request(asked: Mapping[str, Any]) -> shapes.RequestRow:
    return shapes.RequestRow(
        asked["id"],
        asked["plan"],
        asked["note"],
        asked["state"],
        instant(asked["asked_ns"]),
        maybe(asked["decided_ns"]),
        asked["reason"],
    )
