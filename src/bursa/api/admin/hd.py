"""Admins and HD: the gates of a venue that runs, and who changed them when.

A change becomes a record of the venue's journal, as by `bursa hd`, and concerns bars to come alone;
it is kept with who ordered it (accounts/orders.py). Changing is a superadmin's.
"""

from litestar import get, post
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.api import bodies, params
from bursa.api.admin import forms, shapes
from bursa.api.admin.office import Office, about, listed
from bursa.api.auth.desk import actor
from bursa.api.auth.times import instant
from bursa.api.envelope import told
from bursa.api.errors import AnyRequest
from bursa.api.services import GateDesk
from bursa.model.errors import Refuse
from bursa.pipeline.gates import seconds_of

_FIELDS = {"gate_open": "open_s", "gate_close": "close_s", "freeze": "freeze_s"}


class HdGates:
    """The routes."""

    def __init__(self, office: Office) -> None:
        self._office, self._gates = office, office.services.gates

    def routes(self) -> list[BaseRouteHandler]:
        """What the application serves."""
        every, one = "/admin/api/hd-config", "/admin/api/hd-config/{venue:str}"
        ordered = about(shapes.AdminHdConfigAnswer, (), forms.GatesForm, 404)
        return [
            get(every, **about(shapes.AdminHdConfigsAnswer))(self.ls),
            get(one, **about(shapes.AdminHdConfigAnswer, (), None, 404))(self.show),
            post(one, **ordered)(self.order),
        ]

    async def ls(self, scope: Scope) -> ASGIResponse:
        """HD's gates of every venue that has some."""
        params.read_query(scope["query_string"], ())
        rows = [await self._told(desk) for desk in self._gates.values()]
        return listed(scope, rows, len(rows), None)

    async def show(self, scope: Scope, venue: FromPath[str]) -> ASGIResponse:
        """HD's gates of a venue: the schedule, and the changes that were ordered."""
        params.read_query(scope["query_string"], ())
        return told(scope, await self._told(self._desk(venue)))

    async def order(self, request: AnyRequest, venue: FromPath[str]) -> ASGIResponse:
        """Set HD's gates from a bar on that is yet to come; what was computed stays as it is."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, forms.GatesForm)
        desk, wanted = self._desk(venue), _wanted(form)
        effective = params.instant("effective", form.effective, desk.venue.calendar)
        keep = self._office.accounts.orders.keeper(actor(scope), form.reason)

        def ordered() -> None:
            desk.order(wanted, effective, keep)

        await self._office.act(scope, "hd.set", venue, ordered)
        return told(scope, await self._told(desk))

    def _desk(self, venue: str) -> GateDesk:
        found = self._gates.get(venue)
        if found is None:
            known = ", ".join(self._gates) or "none here"
            message = f"venue={venue[:64]!r} has no HD here; with HD: {known}"
            raise Refuse(message, "unknown_venue", 404, "venue")
        return found

    async def _told(self, desk: GateDesk) -> shapes.HdConfig:
        rows = await self._office.run(desk.rows)
        gates = [shapes.GatesTold(*row[1:]) for row in rows]
        kept = await self._office.run(self._office.accounts.orders.history, desk.venue.name)
        history = [
            shapes.GateChange(
                instant(one["at_ns"]),
                one["user_id"],
                self._office.name(one["user_id"]),
                one["before"],
                one["after"],
                one["reason"],
            )
            for one in kept
        ]
        return shapes.HdConfig(desk.venue.name, gates, history)


def _wanted(form: forms.GatesForm) -> dict[str, int]:
    found = {}
    for name, field in _FIELDS.items():
        given = getattr(form, name)
        if given is None:
            continue
        seconds = seconds_of(given)
        if seconds is None:
            message = f"{name}={given[:64]!r} is no time of the venue's day such as 09:05"
            raise Refuse(message, "bad_clock", 400, name)
        found[field] = seconds
    if not found:
        message = f"nothing to set: {', '.join(_FIELDS)}, or several"
        raise Refuse(message, "bad_body", 400, "gate_open")
    return found
