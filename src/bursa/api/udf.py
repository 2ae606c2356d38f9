"""TradingView's UDF protocol over the same readers: config, symbols, search, history, time.

The client polls `history` and draws what it gets, so bars are unique and ascending by the time they
are shown at: seconds UTC of the opening; the minutes before a day's first session count in its
first bar; days, weeks and months stand at 00:00 UTC of their first trading day. The open bar is the
last one. Errors have UDF's form whoever raises them (errors.py). Parameters that are not ours are
passed over: charting libraries add their own.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.response.base import ASGIResponse
from litestar.types import Scope
from numpy.typing import NDArray

from bursa.api import params, shapes, text
from bursa.api.envelope import encode
from bursa.api.errors import JSON
from bursa.api.services import SECOND_NS, Services, VenueService
from bursa.history.candles import Ask
from bursa.history.directory import Symbol
from bursa.model.batch import Batch
from bursa.model.calendar import DAY_NS
from bursa.model.errors import Refuse
from bursa.model.timeframe import RESOLUTIONS, TIMEFRAMES

COUNTBACK_MAX = 5_000
SEARCH_DEFAULT, SEARCH_MAX = 30, 200
# Read beyond what is asked for, since some bars become one (an opening auction's) or are shown
# after `to` although they open before: so many, and one more in so many.
SPARE, SPARE_IN = 20, 50

_ALIASES = {"1D": "D", "1W": "W", "1M": "M"}
# Seconds since 1970 of 2200-01-01: what lies beyond is a mistake.
_SECONDS_MAX = 7_258_118_400


def _resolution(given: str) -> str:
    found = RESOLUTIONS.get(_ALIASES.get(given, given))
    if found is None:
        known = ", ".join(RESOLUTIONS)
        message = f"resolution={given[:16]!r} is none of {known}"
        raise Refuse(message, "unknown_resolution", parameter="resolution")
    return found


_SYMBOL = params.Param("symbol", str, "a code, or EXCHANGE:code", required=True)
_SECONDS = Schema(type=OpenAPIType.INTEGER)
SYMBOLS = (params.VENUE, _SYMBOL)
SEARCH = (
    params.VENUE,
    params.Param("query", str, "part of a code or of a name", ""),
    params.Param("limit", params.integer("limit", 1, SEARCH_MAX), "most symbols", SEARCH_DEFAULT),
    params.Param("type", str, "type of instrument, empty: any", ""),
    params.Param("exchange", str, "exchange, empty: any", ""),
)
HISTORY = (
    params.VENUE,
    _SYMBOL,
    params.Param(
        "resolution",
        _resolution,
        "width of a bar",
        required=True,
        schema=Schema(type=OpenAPIType.STRING, enum=list(RESOLUTIONS)),
    ),
    params.Param(
        "from", params.integer("from", -_SECONDS_MAX, _SECONDS_MAX), "seconds, included", 0,
        schema=_SECONDS,
    ),
    params.Param(
        "to", params.integer("to", -_SECONDS_MAX, _SECONDS_MAX), "seconds, excluded",
        required=True, schema=_SECONDS,
    ),
    params.Param(
        "countback",
        params.integer("countback", 0, 10**9),
        f"bars before `to`, whatever `from` says; {COUNTBACK_MAX} at most",
        schema=_SECONDS,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Columns:
    """Bars as UDF shows them, ascending and unique by `t` (seconds)."""

    t: NDArray[np.int64]
    o: NDArray[np.float64]
    h: NDArray[np.float64]
    l: NDArray[np.float64]  # noqa: E741 -- the protocol's name
    c: NDArray[np.float64]
    v: NDArray[np.float64]

    def part(self, rows: slice) -> "Columns":
        """Some rows."""
        return Columns(*(getattr(self, name)[rows] for name in "tohlcv"))

    def body(self) -> dict[str, Any]:
        """The answer's fields."""
        found: dict[str, Any] = {"s": "ok", "t": self.t.tolist()}
        for name in "ohlcv":
            found[name] = [text.json_value(value) for value in getattr(self, name).tolist()]
        return found


class Udf:
    """The routes over some services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        return [
            _route("/udf/config", ())(self.config),
            _route("/udf/symbols", SYMBOLS)(self.symbols),
            _route("/udf/search", SEARCH)(self.search),
            _route("/udf/history", HISTORY)(self.history),
            _route("/udf/time", (params.VENUE,))(self.time),
        ]

    async def config(self, scope: Scope) -> ASGIResponse:
        """What this data feed can do."""
        venues = [service.venue for service in self._services.venues.values()]
        exchanges = [
            {"value": venue.exchange, "name": venue.exchange, "desc": venue.title}
            for venue in venues
        ]
        types = sorted({_type(service) for service in self._services.venues.values()})
        return _json(
            {
                "supported_resolutions": list(RESOLUTIONS),
                "supports_search": True,
                "supports_group_request": False,
                "supports_marks": False,
                "supports_timescale_marks": False,
                "supports_time": True,
                "exchanges": [{"value": "", "name": "All exchanges", "desc": ""}, *exchanges],
                "symbols_types": [
                    {"name": "All types", "value": ""},
                    *({"name": kind.capitalize(), "value": kind} for kind in types),
                ],
            }
        )

    async def symbols(self, scope: Scope) -> ASGIResponse:
        """One symbol."""
        values = params.read_query(scope["query_string"], SYMBOLS, foreign=True)
        service, symbol = self._symbol(values)
        return _json(_symbol_info(service, symbol))

    async def search(self, scope: Scope) -> ASGIResponse:
        """Symbols by code or name, the best match first."""
        values = params.read_query(scope["query_string"], SEARCH, foreign=True)
        services = list(self._services.venues.values())
        if values["venue"] is not None:
            services = [self._services.venue(values["venue"])]
        found: list[dict[str, str]] = []
        for service in services:
            exchange = service.venue.exchange
            other = values["exchange"] not in ("", exchange)
            if other or values["type"] not in ("", _type(service)):
                continue
            for symbol in service.directory.search(values["query"], values["limit"] - len(found)):
                found.append(
                    {
                        "symbol": symbol.ticker,
                        "full_name": f"{exchange}:{symbol.ticker}",
                        "description": symbol.name,
                        "exchange": exchange,
                        "ticker": f"{exchange}:{symbol.ticker}",
                        "type": _type(service),
                    }
                )
        return _json(found)

    async def history(self, scope: Scope) -> ASGIResponse:
        """Bars with from <= t < to, or the last `countback` before `to`."""
        values = params.read_query(scope["query_string"], HISTORY, foreign=True)
        service, symbol = self._symbol(values)
        tf, start_s, end_s = values["resolution"], max(values["from"], 0), max(values["to"], 0)
        if values["countback"] is None and values["from"] > values["to"]:
            raise Refuse("from lies after to", "bad_range", parameter="from")
        if values["countback"]:
            start_s = 0
        count = min(values["countback"] or COUNTBACK_MAX, COUNTBACK_MAX)
        found = await self._between(service, Ask(symbol.ticker, tf, count), start_s, end_s)
        if len(found.t):
            return _json(found.body())
        older = await self._between(service, Ask(symbol.ticker, tf, 1), 0, end_s)
        answer: dict[str, Any] = {"s": "no_data"}
        if len(older.t):
            answer["nextTime"] = int(older.t[-1])
        return _json(answer)

    async def _between(self, service: VenueService, ask: Ask, start_s: int, end_s: int) -> Columns:
        """The newest bars shown in [start, end), the open one included."""
        # A bar is shown within a day of its opening: at its session's, or at 00:00 UTC of its day.
        start_ns = max(start_s * SECOND_NS - DAY_NS, 0)
        end_ns = end_s * SECOND_NS + (DAY_NS if TIMEFRAMES[ask.tf] >= DAY_NS else 0)
        limit = ask.limit + SPARE + ask.limit // SPARE_IN
        wider = replace(ask, limit=limit, start_ns=start_ns, end_ns=end_ns, open=True)
        candles = await service.reader.candles(wider)
        columns = shown(service, ask.tf, candles.bars)
        first, last = np.searchsorted(columns.t, (start_s, end_s))
        return columns.part(slice(max(int(first), int(last) - ask.limit), int(last)))

    async def time(self, scope: Scope) -> ASGIResponse:
        """The venue's clock, whole seconds."""
        values = params.read_query(scope["query_string"], (params.VENUE,), foreign=True)
        service = self._services.venue(values["venue"])
        body = str(service.now_ns() // SECOND_NS).encode()
        return ASGIResponse(body=body, media_type="text/plain", headers=_NO_STORE)

    def _symbol(self, values: dict[str, Any]) -> tuple[VenueService, Symbol]:
        prefix, _, code = values["symbol"].strip().upper().rpartition(":")
        service = self._services.venue(values["venue"])
        if prefix:
            by_exchange = {s.venue.exchange: s for s in self._services.venues.values()}
            found = by_exchange.get(prefix)
            if found is None:
                message = f"there is no exchange {prefix[:32]!r}"
                raise Refuse(message, "unknown_symbol", 404, "symbol")
            service = found
        symbol = service.directory.find(code)
        if symbol is None:
            message = f"there is no symbol {values['symbol'][:64]!r}"
            raise Refuse(message, "unknown_symbol", 404, "symbol")
        return service, symbol


_NO_STORE = [("cache-control", "no-store")]


def _json(body: Any) -> ASGIResponse:
    return ASGIResponse(body=encode(body), media_type=JSON, headers=_NO_STORE)


def _route(path: str, table: tuple[params.Param, ...]) -> get:
    fine = ResponseSpec(dict[str, Any], generate_examples=False, description="UDF's answer")
    wrong = ResponseSpec(shapes.UdfError, generate_examples=False, description="UDF's error")
    return get(
        path,
        operation_class=params.documented(table),
        responses={200: fine, 400: wrong, 404: wrong},
        tags=["udf"],
    )


def _type(service: VenueService) -> str:
    return "stock" if service.venue.currency else "crypto"


def _symbol_info(service: VenueService, symbol: Symbol) -> dict[str, Any]:
    venue = service.venue
    return {
        "symbol": symbol.ticker,
        "name": symbol.ticker,
        "ticker": f"{venue.exchange}:{symbol.ticker}",
        "full_name": f"{venue.exchange}:{symbol.ticker}",
        "description": symbol.name,
        "type": _type(service),
        "exchange": venue.exchange,
        "listed_exchange": venue.exchange,
        "session": venue.calendar.udf_sessions(),
        "session_holidays": ",".join(f"{day:%Y%m%d}" for day in sorted(venue.calendar.holidays)),
        "timezone": "Etc/UTC" if venue.calendar.timezone == "UTC" else venue.calendar.timezone,
        "format": "price",
        "minmov": 1,
        "pricescale": 10**symbol.price_decimals,
        "has_intraday": True,
        "intraday_multipliers": [key for key in RESOLUTIONS if key.isdigit()],
        "has_daily": True,
        "has_weekly_and_monthly": True,
        "supported_resolutions": list(RESOLUTIONS),
        "volume_precision": symbol.volume_decimals,
        "currency_code": symbol.currency,
        "data_status": "streaming",
    }


def shown(service: VenueService, tf: str, bars: Batch) -> Columns:
    """Bars at the times UDF shows them; those that share one become one bar."""
    calendar = service.venue.calendar
    ts = bars.column("ts")
    if TIMEFRAMES[tf] >= DAY_NS:
        t = (ts + calendar.offsets_ns(ts)) // DAY_NS * (DAY_NS // SECOND_NS)
    else:
        t = (_in_session(service, ts) if tf == "1m" else ts) // SECOND_NS
    first = np.flatnonzero(np.append(True, t[1:] != t[:-1])[: len(t)])
    last = np.append(first[1:], len(t)) - 1
    volume = bars.column("volume")
    units = 10**service.venue.volume_decimals
    sums = volume
    if len(first) < len(t):
        whole = np.rint(volume * units).astype(np.int64)
        sums = np.add.reduceat(whole, first) / units
    if not len(t):
        none = np.empty(0)
        return Columns(t, none, none, none, none, none)
    return Columns(
        t[first],
        bars.column("open")[first],
        np.maximum.reduceat(bars.column("high"), first),
        np.minimum.reduceat(bars.column("low"), first),
        bars.column("close")[last],
        sums,
    )


def _in_session(service: VenueService, ts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Minutes of an opening auction put at their day's opening."""
    calendar = service.venue.calendar
    out = ts.copy()
    local_day = (ts + calendar.offsets_ns(ts)) // DAY_NS
    for day in np.unique(local_day).tolist():
        rows = np.flatnonzero(local_day == day)
        opens = calendar.grid_opens(calendar.day_of(int(ts[rows[0]])))
        if opens:
            out[rows] = np.maximum(ts[rows], opens[0])
    return out
