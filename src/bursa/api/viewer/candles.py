"""The candles viewer API: a small public face that any page or program can read.

`/healthz` and `/version` tell of the process; `/api/v1/symbols`, `/api/v1/intervals` and
`/api/v1/candles` serve public venues (public.py) and no HD. Good answers are bare JSON, refusals
have the data API's envelope. Who may ask, and how often: cors.py, rates.py; the stream of it is
ws.py, the process's figures are stats.py.
"""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Scope
from numpy.typing import NDArray

from bursa.api import packed, params, shapes, text
from bursa.api.envelope import Ready, coding, encode
from bursa.api.newest import BRIEF_NS, Answer, Kept
from bursa.api.services import Services, VenueService
from bursa.api.short import data_route
from bursa.api.viewer.public import Public, pair
from bursa.history.candles import FOREVER_NS, Ask
from bursa.model.batch import Batch
from bursa.model.errors import Refuse
from bursa.model.timeframe import TIMEFRAMES

LIMIT_DEFAULT, LIMIT_MAX = 600, 5_000
# Newest candles of many symbols, as whole answers.
_ANSWERS_BYTES_MAX = 16 << 20
_MS_NS = 1_000_000
_MS_MAX = 7_258_118_400_000  # 2200-01-01
_DIGITS = re.compile(r"-?[0-9]{1,18}")
_EXACT = 2.0**53
_COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Face:
    """The knobs of the viewer API.

    origins          of other sites whose pages may read it, with blanks between; `*`: any
    rate_per_minute  requests from one address; 0: no limit
    """

    origins: str = ""
    rate_per_minute: int = 0


def interval(given: str) -> str:
    """An interval's name. Refuse `unknown_interval`."""
    if given not in TIMEFRAMES:
        message = f"interval={given[:16]!r} is none of {', '.join(TIMEFRAMES)}"
        raise Refuse(message, "unknown_interval", parameter="interval")
    return given


_SYMBOL = params.Param("symbol", str, "a code, or EXCHANGE:code", required=True)
INTERVAL = params.Param(
    "interval",
    interval,
    "width of a candle",
    "1m",
    schema=params.one_of(TIMEFRAMES),
)
_TIME = "milliseconds since 1970, ISO with an offset, or a day of the venue"
INTERVALS = (params.Param("symbol", str, "a code, or EXCHANGE:code; without it those of all"),)
CANDLES = (
    _SYMBOL,
    INTERVAL,
    params.Param("from", str, f"first instant, included: {_TIME}. Without it the newest candles"),
    params.Param("to", str, f"last instant, excluded: {_TIME}"),
    params.Param(
        "limit",
        params.integer("limit", 1, LIMIT_MAX),
        "most candles: the first ones after `from`, without it the last ones",
        LIMIT_DEFAULT,
        schema=params.whole(1, LIMIT_MAX),
    ),
    params.Param(
        "partials",
        params.flag("partials"),
        "1: with the candle under way",
        False,
        schema=params.FLAG,
    ),
)
_CANDLES = params.Table(CANDLES)


class Viewer:
    """The routes over some services."""

    def __init__(self, services: Services) -> None:
        self._services, self._public = services, Public(services)
        self._answers = Kept[Answer](_ANSWERS_BYTES_MAX)

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        return [
            _route("/healthz", (), shapes.Status)(self.healthz),
            _route("/version", (), shapes.Version)(self.version),
            _route("/api/v1/symbols", (), shapes.ViewerSymbols, 404)(self.symbols),
            _route("/api/v1/symbols/{symbol:str}/intervals", (), shapes.Intervals, 404)(
                self.intervals_of
            ),
            _route("/api/v1/intervals", INTERVALS, shapes.Intervals, 404)(self.intervals),
            _route("/api/v1/candles", CANDLES, shapes.ViewerCandles, 404, 503)(self.candles),
        ]

    async def healthz(self, scope: Scope) -> ASGIResponse:
        """The process is alive."""
        params.read_query(scope["query_string"], ())
        return Ready(b'{"status":"ok"}')

    async def version(self, scope: Scope) -> ASGIResponse:
        """What runs here."""
        params.read_query(scope["query_string"], ())
        return _json(shapes.Version(self._services.version, "v1", platform.python_version()))

    async def symbols(self, scope: Scope) -> ASGIResponse:
        """The instruments of all public venues, by venue and code."""
        params.read_query(scope["query_string"], ())
        rows = []
        for service in self._public.venues():
            lately_ns = service.lately_ns()
            for symbol in service.directory.all():
                name = self._public.name(service, symbol.ticker)
                status = symbol.status(lately_ns)
                rows.append(shapes.ViewerSymbol(name, *pair(symbol), status))
        return _json(shapes.ViewerSymbols(rows))

    async def intervals_of(self, scope: Scope, symbol: FromPath[str]) -> ASGIResponse:
        """The widths of candle that a symbol has."""
        params.read_query(scope["query_string"], ())
        return _json(shapes.Intervals(list(TIMEFRAMES), self._public.name(*self._find(symbol))))

    async def intervals(self, scope: Scope) -> ASGIResponse:
        """The widths of candle that a symbol has, or any."""
        symbol = params.read_query(scope["query_string"], INTERVALS)["symbol"]
        if symbol is not None:
            return _json(shapes.Intervals(list(TIMEFRAMES), self._public.name(*self._find(symbol))))
        self._public.venues()
        return _json(shapes.Intervals(list(TIMEFRAMES)))

    async def candles(self, scope: Scope) -> ASGIResponse:
        """Candles of one symbol and width, ascending by opening."""
        self._public.venues()
        values = _CANDLES.read(scope["query_string"])
        service, code = self._find(values["symbol"])
        if not _plain(values):
            body, _ = await self._body(service, code, values)
            return Ready(body)
        question = (service.venue.name, code, values["limit"])
        version, now_ns = service.rings.version(code), self._services.clock.now_ns()
        wanted = coding(scope)
        kept = self._answers.get((question, wanted), version, now_ns)
        if kept is None:
            kept = self._answers.get((question, None), version, now_ns)
            if kept is None:
                body, in_memory = await self._body(service, code, values)
                kept = Answer(body, b"", 0, 0 if in_memory else now_ns + BRIEF_NS)
                self._answers.put((question, None), version, kept)
            if wanted is not None and len(kept.data) >= packed.LEAST_BYTES:
                begun = await packed.begun(kept.data, wanted)
                kept = replace(kept, data=b"", begun=begun)
                self._answers.put((question, wanted), version, kept)
        return Ready(kept.data) if kept.begun is None else Ready.begun(kept.begun, b"")

    async def _body(
        self, service: VenueService, code: str, values: Mapping[str, Any]
    ) -> tuple[bytes, bool]:
        """The answer, and did the rings hold all of it?"""
        ask = _ask(service, code, values)
        found = service.reader.in_memory(ask)
        in_memory = found is not None
        if found is None:
            found = await service.reader.candles(ask)
        name = self._public.name(service, code).encode()
        body = b'{"symbol":"%s","interval":"%s","data":%s}' % (
            name, values["interval"].encode(), encode(rows(found.bars)),
        )  # fmt: skip
        return body, in_memory

    def _find(self, symbol: str) -> tuple[VenueService, str]:
        return self._public.find(symbol)


def rows(bars: Batch) -> list[tuple[int | float | None, ...]]:
    """Bars as (ms, open, high, low, close, volume), ascending; ready to be encoded."""
    ms = (bars.column("ts") // _MS_NS).tolist()
    return list(zip(ms, *(_plain_numbers(bars.column(name)) for name in _COLUMNS), strict=True))


def _plain_numbers(values: NDArray[np.float64]) -> list[int] | list[float | int | None]:
    """Each as `text.json_value`; whole columns of integers, the common case, at once."""
    if (np.rint(values) == values).all() and (np.abs(values) <= _EXACT).all():
        whole: list[int] = values.astype(np.int64).tolist()
        return whole
    return [text.json_value(value) for value in values.tolist()]


def _plain(values: Mapping[str, Any]) -> bool:
    """The newest closed minutes, nothing else asked for?"""
    asked = (values["from"], values["to"], values["partials"])
    return values["interval"] == "1m" and asked == (None, None, False)


def _ask(service: VenueService, code: str, values: Mapping[str, Any]) -> Ask:
    start, end = (_instant(service, name, values[name]) for name in ("from", "to"))
    if start is not None and end is not None and start > end:
        raise Refuse("from lies after to", "bad_range", parameter="from")
    return Ask(
        code,
        values["interval"],
        values["limit"],
        start or 0,
        FOREVER_NS if end is None else end,
        newest=start is None,
        open=values["partials"],
        hd=False,
        columns=_COLUMNS,
    )


def _instant(service: VenueService, name: str, given: str | None) -> int | None:
    """ns UTC of `from` or `to`."""
    if given is None:
        return None
    if _DIGITS.fullmatch(given):
        if 0 <= int(given) <= _MS_MAX:
            return int(given) * _MS_NS
    else:
        try:
            return params.instant(name, given, service.venue.calendar)
        except Refuse:
            pass
    message = (
        f"{name}={given[:64]!r} is neither milliseconds since 1970 nor a time with an offset"
        " (2026-11-20T09:00:00+07:00) nor a day (2026-11-20)"
    )
    raise Refuse(message, "bad_time", parameter=name)


def _json(row: Any) -> ASGIResponse:
    return Ready(encode(row))


def _route(path: str, table: tuple[params.Param, ...], good: type[Any], *statuses: int) -> get:
    return data_route(path, table, good, *statuses, 429, tag="viewer")
