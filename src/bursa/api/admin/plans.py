"""Admins and what people may have: the tier matrix, settings, subscriptions, requests for a plan.

Matrix and settings are a superadmin's to change; an admin decides about users' requests.
"""

import re
from typing import Any

from litestar import get, patch, post, put
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.accounts import settings, subscriptions
from bursa.accounts.settings import Setting
from bursa.api import bodies, params
from bursa.api.admin import forms, shapes
from bursa.api.admin.office import (
    PAGED,
    USER,
    Office,
    Q,
    about,
    asked,
    listed,
    question_of,
    stretch,
    words,
)
from bursa.api.auth.desk import actor
from bursa.api.auth.times import expiry, instant, maybe
from bursa.api.envelope import told
from bursa.api.errors import AnyRequest
from bursa.model.errors import Refuse

_STATES = (subscriptions.ACTIVE, subscriptions.ENDED)
_SUBSCRIPTIONS = (Q, USER, words("state", _STATES, "of this state only"), *PAGED)
_REQUESTS = (Q, USER, words("state", subscriptions.STATES, "of this state only"), *PAGED)
_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
Row = dict[str, Any]


class Plans:
    """The routes."""

    def __init__(self, office: Office) -> None:
        self._office, self._accounts = office, office.accounts

    def routes(self) -> list[BaseRouteHandler]:
        """What the application serves."""
        plans, tiers = "/admin/api/subscriptions", "/admin/api/tiers"
        kept, requests = "/admin/api/settings", f"{plans}/requests"
        request, tier, name = f"{requests}/{{number:str}}", f"{tiers}/{{tier:str}}", "{name:str}"
        decided = about(shapes.AdminRequestAnswer, (), forms.DecisionForm, 404, 409)
        changed = about(shapes.AdminTierAnswer, (), forms.TierForm, 404)
        set_one = about(shapes.AdminSettingAnswer, (), forms.SettingForm, 404)
        return [
            get(plans, **about(shapes.AdminSubscriptionsAnswer, _SUBSCRIPTIONS))(
                self.subscriptions
            ),
            get(requests, **about(shapes.AdminRequestsAnswer, _REQUESTS))(self.requests),
            get(request, **about(shapes.AdminRequestAnswer, (), None, 404))(self.request),
            post(request, **decided)(self.decide),
            get(tiers, **about(shapes.AdminTiersAnswer))(self.tiers),
            get(tier, **about(shapes.AdminTierAnswer, (), None, 404))(self.tier),
            patch(tier, **changed)(self.change_tier),
            get(kept, **about(shapes.AdminSettingsAnswer))(self.settings),
            get(f"{kept}/{name}", **about(shapes.AdminSettingAnswer, (), None, 404))(self.setting),
            put(f"{kept}/{name}", **set_one)(self.set_setting),
        ]

    # -- subscriptions -----------------------------------------------------------------------------

    async def subscriptions(self, scope: Scope) -> ASGIResponse:
        """Subscriptions, present and past, the newest first."""
        values = params.read_query(scope["query_string"], _SUBSCRIPTIONS)
        question = question_of("subscriptions", values)
        wanted = asked(values, question)
        found = await self._office.run(self._accounts.subscriptions.ls, wanted)
        rows = [_subscription(row) for row in found.rows]
        return stretch(scope, rows, found, wanted, question)

    async def requests(self, scope: Scope) -> ASGIResponse:
        """Requests for a plan: those that wait oldest first, others newest first."""
        values = params.read_query(scope["query_string"], _REQUESTS)
        question = question_of("requests", values)
        wanted = asked(values, question)
        found = await self._office.run(self._accounts.subscriptions.requests, wanted)
        rows = [self._request(row) for row in found.rows]
        return stretch(scope, rows, found, wanted, question)

    async def request(self, scope: Scope, number: FromPath[str]) -> ASGIResponse:
        """One request for a plan, by its number."""
        params.read_query(scope["query_string"], ())
        row = await self._office.run(self._accounts.subscriptions.request, _number(number))
        return told(scope, self._request(row))

    async def decide(self, request: AnyRequest, number: FromPath[str]) -> ASGIResponse:
        """Approve a request, whose user is on the plan's tier within a second, or decline it."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, forms.DecisionForm)
        ends_ns = None if form.ends is None else expiry(form.ends, "ends")
        by, which, plans = actor(scope), _number(number), self._accounts.subscriptions

        def decided() -> None:
            plans.decide(which, form.decision == "approve", form.reason, by, ends_ns)

        await self._office.act(scope, "subscription.decide", number, decided)
        return told(scope, self._request(await self._office.run(plans.request, which)))

    def _request(self, row: Row) -> shapes.RequestTold:
        by = row["decided_by"]
        return shapes.RequestTold(
            row["id"],
            row["user_id"],
            row["email"],
            row["tier"],
            row["plan"],
            row["note"],
            row["state"],
            instant(row["asked_ns"]),
            maybe(row["decided_ns"]),
            None if by is None else self._office.name(by),
            row["reason"] or None,
        )

    # -- the matrix --------------------------------------------------------------------------------

    async def tiers(self, scope: Scope) -> ASGIResponse:
        """The tier matrix, the lowest tier first."""
        params.read_query(scope["query_string"], ())
        rows = [shapes.TierTold(**row) for row in await self._office.run(self._accounts.matrix.ls)]
        return listed(scope, rows, len(rows), None)

    async def tier(self, scope: Scope, tier: FromPath[str]) -> ASGIResponse:
        """One tier."""
        params.read_query(scope["query_string"], ())
        return await self._tier(scope, tier)

    async def change_tier(self, request: AnyRequest, tier: FromPath[str]) -> ASGIResponse:
        """Change what a tier may have; every process goes by it within a second."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, forms.TierForm)
        by, fields, matrix = actor(scope), form.rights.given(), self._accounts.matrix

        def changed() -> None:
            matrix.change(tier, fields, by, form.reason)

        await self._office.act(scope, "tier.change", tier, changed)
        return await self._tier(scope, tier)

    async def _tier(self, scope: Scope, tier: str) -> ASGIResponse:
        rows = {row["name"]: row for row in await self._office.run(self._accounts.matrix.ls)}
        if tier not in rows:
            message = f"{tier[:64]!r} is no tier; there are {', '.join(rows)}"
            raise Refuse(message, "unknown_tier", 404, "tier")
        return told(scope, shapes.TierTold(**rows[tier]))

    # -- settings ----------------------------------------------------------------------------------

    async def settings(self, scope: Scope) -> ASGIResponse:
        """Settings that are changed while it runs."""
        params.read_query(scope["query_string"], ())
        rows = [self._setting(one) for one in settings.EVERY.values()]
        return listed(scope, rows, len(rows), None)

    async def setting(self, scope: Scope, name: FromPath[str]) -> ASGIResponse:
        """One setting."""
        params.read_query(scope["query_string"], ())
        return told(scope, self._setting(settings.known(name)))

    async def set_setting(self, request: AnyRequest, name: FromPath[str]) -> ASGIResponse:
        """Change a setting; every process goes by it within a second."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, forms.SettingForm)
        by, matrix = actor(scope), self._accounts.matrix

        def changed() -> None:
            matrix.set(name, form.value, by, form.reason)

        await self._office.act(scope, "setting.change", name, changed)
        return told(scope, self._setting(settings.known(name)))

    def _setting(self, one: Setting) -> shapes.SettingTold:
        standing = self._accounts.standing
        allowed = list(one.allowed(list(standing.tiers())))
        held = settings.value(standing, one)
        return shapes.SettingTold(one.name, held, one.default, allowed, one.text)


def _subscription(row: Row) -> shapes.SubscriptionTold:
    return shapes.SubscriptionTold(
        row["id"],
        row["user_id"],
        row["email"],
        row["plan"],
        row["tier"],
        subscriptions.ACTIVE if row["closed_ns"] is None else subscriptions.ENDED,
        instant(row["began_ns"]),
        maybe(row["ends_ns"]),
        maybe(row["closed_ns"]),
    )


def _number(given: str) -> int:
    """The number of a request. Refuse 404 `unknown_request`."""
    if not _NUMBER.fullmatch(given):
        raise Refuse(f"there is no request {given[:64]!r}", "unknown_request", 404, "request")
    return int(given)
