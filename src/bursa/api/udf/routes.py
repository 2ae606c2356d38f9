"""TradingView's UDF protocol over the same readers: what it can do, bars, time.

The client polls `history` and draws what it gets. The other routes are beside: symbols
(symbols.py), quotes (quotes.py), marks (marks.py).
"""

from dataclasses import replace
from typing import Any

from litestar import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.api import access, params
from bursa.api.access import Access
from bursa.api.envelope import Ready
from bursa.api.services import SECOND_NS, Services
from bursa.api.udf import bars as udf_bars
from bursa.api.udf import shapes as udf_shapes
from bursa.api.udf.form import RESOLUTION, SYMBOL, asked, json, kind_of, read, route, seconds
from bursa.api.udf.marks import UdfMarks
from bursa.api.udf.quotes import UdfQuotes
from bursa.api.udf.symbols import UdfSymbols
from bursa.history.candles import Ask
from bursa.model.errors import Refuse

COUNTBACK_MAX = 5_000

HISTORY = (
    params.VENUE,
    SYMBOL,
    RESOLUTION,
    seconds("from", "seconds, included"),
    seconds("to", "seconds, excluded", required=True),
    params.Param(
        "countback",
        params.integer("countback", 0, 10**9),
        f"bars before `to`, whatever `from` says; {COUNTBACK_MAX} at most",
        schema=params.whole(0, 10**9),
    ),
)
TIME = (params.VENUE,)


class Udf:
    """The routes over some services."""

    def __init__(self, services: Services) -> None:
        self._services, self._access = services, Access(services)
        self._beside = (UdfSymbols(services), UdfQuotes(services), UdfMarks(services))

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        return [
            route("/udf/config", (), udf_shapes.UdfConfig)(self.config),
            route("/udf/history", HISTORY, udf_shapes.UdfHistory | udf_shapes.UdfNoData)(
                self.history
            ),
            route("/udf/time", TIME, str, MediaType.TEXT)(self.time),
            *(each for surface in self._beside for each in surface.routes()),
        ]

    async def config(self, scope: Scope) -> Ready:
        """What this data feed can do."""
        venues = [service.venue for service in self._services.venues.values()]
        exchanges = [
            {"value": venue.exchange, "name": venue.exchange, "desc": venue.title}
            for venue in venues
        ]
        types = sorted({kind_of(service) for service in self._services.venues.values()})
        return json(
            {
                "supported_resolutions": access.resolutions(access.who(scope)),
                # The adapter wants exactly one of the two.
                "supports_search": True,
                "supports_group_request": False,
                "supports_marks": True,
                "supports_timescale_marks": True,
                "supports_time": True,
                "exchanges": [{"value": "", "name": "All exchanges", "desc": ""}, *exchanges],
                "symbols_types": [
                    {"name": "All types", "value": ""},
                    *({"name": kind.capitalize(), "value": kind} for kind in types),
                ],
            }
        )

    async def history(self, scope: Scope) -> Ready:
        """Bars with from <= t < to, or the last `countback` before `to`. Before a reader's history
        there are none."""
        values = read(scope, HISTORY)
        service, symbol = asked(self._services, values)
        asks = access.who(scope)
        self._access.timeframe(asks, values["resolution"], "resolution")
        floor_ns = access.floor_ns(asks, service)
        tf, start_s, end_s = values["resolution"], max(values["from"], 0), max(values["to"], 0)
        if values["countback"]:
            start_s = 0
        elif values["from"] > values["to"]:
            raise Refuse("from lies after to", "bad_range", parameter="from")
        count = min(values["countback"] or COUNTBACK_MAX, COUNTBACK_MAX, asks.rights.rows)
        ask = Ask(symbol.ticker, tf, count, floor_ns)
        found = await udf_bars.between(service, ask, start_s, end_s)
        if len(found.t):
            access.count_rows(scope, len(found.t))
            return Ready(found.body())
        older = await udf_bars.between(service, replace(ask, limit=1), 0, end_s)
        answer: dict[str, Any] = {"s": "no_data"}
        if len(older.t):
            answer["nextTime"] = int(older.t[-1])
        return json(answer)

    async def time(self, scope: Scope) -> ASGIResponse:
        """The venue's clock, whole seconds."""
        service = self._services.venue(read(scope, TIME)["venue"])
        body = str(service.now_ns() // SECOND_NS).encode()
        headers = [("cache-control", "no-store")]
        return ASGIResponse(body=body, media_type="text/plain", headers=headers)
