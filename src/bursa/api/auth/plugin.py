"""The charting plugin's machines: `/v1/plugin/activate`, `deactivate`, `heartbeat`, `report`.

A machine is activated by an API key, takes one of its user's places, and gets a token of its own;
with that it says every ten minutes that it is there, and gets the next one. One that is silent
three times loses its place (accounts/machines.py).
"""

from typing import Any

from litestar import post
from litestar.handlers import BaseRouteHandler
from litestar.response.base import ASGIResponse

from bursa.accounts.limits import network
from bursa.accounts.tokens import LIFE_S
from bursa.accounts.who import Actor, Principal
from bursa.api import access, bodies, params
from bursa.api.auth import shapes
from bursa.api.auth.desk import EXCHANGE, Desk, actor
from bursa.api.auth.exchange import EXCHANGES, RENEWALS
from bursa.api.envelope import responses, told
from bursa.api.errors import JSON, AnyRequest
from bursa.model.errors import Refuse

_BYTES_MAX = 8 << 10
# Reports of one machine in a minute.
REPORTS = 60


class Plugin:
    """The four routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._accounts = desk, desk.accounts

    def routes(self) -> list[BaseRouteHandler]:
        """What the application serves."""
        token, done, nothing = shapes.ActivationAnswer, shapes.DoneAnswer, shapes.NothingForm
        start = "/v1/plugin"
        return [
            post(f"{start}/activate", **_about(token, shapes.ActivateForm, 409))(self.activate),
            post(f"{start}/deactivate", **_about(done, nothing))(self.deactivate),
            post(f"{start}/heartbeat", **_about(token, nothing))(self.heartbeat),
            post(f"{start}/report", **_about(done, shapes.ReportForm))(self.report),
        ]

    async def activate(self, request: AnyRequest) -> ASGIResponse:
        """Give a machine a place, and a token. One that has a place keeps it."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, shapes.ActivateForm, _BYTES_MAX)
        await self._desk.exchange(scope, EXCHANGE, network(access.address(scope)), EXCHANGES)
        asks = await self._desk.by_key(form.api_key, actor(scope, "plugin"))
        request_id = str(scope["state"]["request_id"])
        by = Actor(asks.user, asks.role, access.address(scope), "plugin", request_id)
        activate = self._accounts.machines.activate
        machine, slots = await self._desk.run(
            activate, asks.key, form.machine_id, form.plugin_version, by
        )
        principal = self._accounts.standing.principal_of_key(
            asks.key, self._desk.now_ns(), "token", machine
        )
        return told(scope, await self._issued(principal, slots))

    async def heartbeat(self, request: AnyRequest) -> ASGIResponse:
        """Say that a machine is there, every ten minutes; its next token."""
        scope, asks = request.scope, await self._machine(request)
        await self._desk.exchange(scope, "renew", asks.user, RENEWALS)
        now_ns = self._desk.now_ns()
        await self._desk.run(self._accounts.machines.heartbeat, asks.machine, now_ns)
        slots = await self._desk.run(self._accounts.machines.slots, asks.user, asks.key)
        return told(scope, await self._issued(asks, slots))

    async def deactivate(self, request: AnyRequest) -> ASGIResponse:
        """Give the machine's place back. Its token ends at once."""
        asks = await self._machine(request)
        by = actor(request.scope, "plugin")
        await self._desk.run(self._accounts.machines.release, asks.machine, by)
        return told(request.scope, shapes.NothingRow())

    async def report(self, request: AnyRequest) -> ASGIResponse:
        """Tell what happened on a machine, for those who mind plugins. The newest of each machine
        are kept."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        asks = _of_machine(access.who(scope))
        form = await bodies.read_body(request, shapes.ReportForm, _BYTES_MAX)
        await self._desk.exchange(scope, "report", asks.machine, REPORTS)
        report, now_ns = self._accounts.machines.report, self._desk.now_ns()
        await self._desk.run(report, asks.machine, form.level, form.event, form.message, now_ns)
        return told(scope, shapes.NothingRow())

    async def _machine(self, request: AnyRequest) -> Principal:
        """Whose machine asks; the body says nothing, if there is one."""
        params.read_query(request.scope["query_string"], ())
        body = await bodies.read_bytes(request, _BYTES_MAX)
        if body:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != JSON:
                text = f"Content-Type {kind[:64]!r}; allowed: {JSON}"
                raise Refuse(text, "bad_media_type", 415)
            bodies.read_json(body, shapes.NothingForm)
        return _of_machine(access.who(request.scope))

    async def _issued(self, principal: Principal, slots: Any) -> shapes.ActivationRow:
        now_ns = self._desk.now_ns()
        token = await self._desk.run(self._accounts.tokens.issue, principal, now_ns)
        places = shapes.Slots(slots.used, slots.allowed)
        tier = principal.rights.tier
        return shapes.ActivationRow(token, LIFE_S, tier, principal.machine, places)


def _of_machine(asks: Principal) -> Principal:
    """Refuse 403 `no_machine` where it is nobody's machine that asks."""
    if not asks.machine:
        text = "this wants the token of a machine: /v1/plugin/activate gives one"
        raise Refuse(text, "no_machine", 403)
    return asks


def _about(good: type[Any], form: type[Any], *statuses: int) -> dict[str, Any]:
    """How a route is documented."""
    return {
        "operation_class": bodies.documented((), form),
        "responses": responses(good, 400, 401, 403, *statuses, 413, 415, 429, 503),
        "status_code": 200,
        "tags": ["plugin"],
    }
