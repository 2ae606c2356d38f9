"""Which symbols there are, in UDF's words: one, those that match, and a group as a table.

`/udf/symbol_info` is what TradingView's adapter falls back to when it could not read /udf/config.
It then asks for three groups by names of its own (`BUILT_IN`), gives up at an answer without
symbols, and knows no instrument but those it was told of. So those names mean everything.
A symbol has the resolutions that its reader has.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope

from bursa.api import access, params
from bursa.api.envelope import Ready, encode
from bursa.api.services import Services, VenueService
from bursa.api.udf import shapes as udf_shapes
from bursa.api.udf.form import SYMBOL, asked, by_exchange, json, kind_of, read, route
from bursa.history.directory import Symbol
from bursa.model.errors import Refuse

SEARCH_DEFAULT, SEARCH_MAX = 30, 200
BUILT_IN = ("NYSE", "FOREX", "AMEX")
_TABLES_KEPT = 8

SYMBOLS = (params.VENUE, SYMBOL)
SEARCH = (
    params.VENUE,
    params.Param("query", str, "part of a code or of a name", ""),
    params.Param(
        "limit",
        params.integer("limit", 1, SEARCH_MAX),
        "most symbols of one answer",
        SEARCH_DEFAULT,
        schema=params.whole(1, SEARCH_MAX),
    ),
    params.Param("type", str, "type of instrument, empty: any", ""),
    params.Param("exchange", str, "exchange, empty: any", ""),
)
GROUP = (params.Param("group", str, "exchange, empty: all", ""),)

# What one symbol's answer and a group's table call the same thing. Some are documented with an
# underscore and read with a hyphen; both are sent.
_COLUMNS = {
    "symbol": ("symbol",),
    "ticker": ("ticker",),
    "description": ("description",),
    "exchange": ("exchange-traded",),
    "listed_exchange": ("exchange-listed",),
    "type": ("type",),
    "session": ("session-regular",),
    "session_holidays": ("session-holidays",),
    "corrections": ("corrections",),
    "timezone": ("timezone",),
    "minmov": ("minmovement",),
    "minmove2": ("minmovement2",),
    "fractional": ("fractional",),
    "pricescale": ("pricescale",),
    "has_intraday": ("has-intraday",),
    "intraday_multipliers": ("intraday-multipliers",),
    "has_daily": ("has-daily", "has-dwm"),
    "has_weekly_and_monthly": ("has-weekly-and-monthly",),
    "supported_resolutions": ("supported-resolutions",),
    "volume_precision": ("volume-precision", "volume_precision"),
    "visible_plots_set": ("visible-plots-set",),
    "currency_code": ("currency-code",),
}


class UdfSymbols:
    """The routes over some services."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tables: OrderedDict[object, tuple[list[tuple[Any, ...]], bytes]] = OrderedDict()

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        return [
            route("/udf/symbols", SYMBOLS, udf_shapes.UdfSymbol)(self.symbols),
            route("/udf/search", SEARCH, list[udf_shapes.UdfFound])(self.search),
            route("/udf/symbol_info", GROUP, udf_shapes.UdfSymbolInfo)(self.symbol_info),
        ]

    async def symbols(self, scope: Scope) -> Ready:
        """One symbol."""
        found = asked(self._services, read(scope, SYMBOLS))
        return json(described(*found, access.resolutions(access.who(scope))))

    async def search(self, scope: Scope) -> Ready:
        """Symbols by code or name, the best match first."""
        values = read(scope, SEARCH)
        services = list(self._services.venues.values())
        if values["venue"] is not None:
            services = [self._services.venue(values["venue"])]
        exchange, kind = values["exchange"].upper(), values["type"].lower()
        found: list[dict[str, str]] = []
        for service in services:
            if exchange not in ("", service.venue.exchange) or kind not in ("", kind_of(service)):
                continue
            query = _code(values["query"], service.venue.exchange)
            most = values["limit"] - len(found)
            found += [_found(service, symbol) for symbol in service.directory.search(query, most)]
        access.count_rows(scope, len(found))
        return json(found)

    async def symbol_info(self, scope: Scope) -> Ready:
        """All symbols of an exchange as columns; a column that is the same for all is one value."""
        group = read(scope, GROUP)["group"].strip().upper()
        groups = by_exchange(self._services)
        if group not in ("", *groups, *BUILT_IN):
            known = ", ".join(groups)
            message = f"group={group[:32]!r} is none of {known}; an empty one is all of them"
            raise Refuse(message, "unknown_group", 404, "group")
        chosen = [groups[group]] if group in groups else list(groups.values())
        return Ready(self._table(chosen, access.resolutions(access.who(scope))))

    def _table(self, services: list[VenueService], resolutions: Sequence[str]) -> bytes:
        """The table of some venues, made anew when what it shows of a symbol changed."""
        every = [service.directory.listed() for service in services]
        key = tuple(service.venue.name for service in services), tuple(resolutions)
        state = [_state(symbol) for symbols in every for symbol in symbols]
        kept = self._tables.get(key)
        if kept is None or kept[0] != state:
            rows = [
                described(service, symbol, resolutions)
                for service, symbols in zip(services, every, strict=True)
                for symbol in symbols
            ]
            kept = self._tables[key] = (state, encode(table(rows)))
            if len(self._tables) > _TABLES_KEPT:
                self._tables.popitem(last=False)
        return kept[1]


def table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Symbols as `described` gives them, as columns. The three that tell symbols apart are always
    lists; no rows give empty ones."""
    out: dict[str, Any] = {"s": "ok"}
    for field, names in _COLUMNS.items():
        values = [row[field] for row in rows]
        if field not in ("symbol", "ticker", "description"):
            same = all(value == values[0] for value in values)
            values = values[0] if rows and same else values
        out.update(dict.fromkeys(names, values))
    return out


def described(service: VenueService, symbol: Symbol, resolutions: Sequence[str]) -> dict[str, Any]:
    """A symbol with some resolutions as the library wants it."""
    intraday = [key for key in resolutions if key.isdigit()]
    venue = service.venue
    full_name = f"{venue.exchange}:{symbol.ticker}"
    return {
        "symbol": symbol.ticker,
        "name": symbol.ticker,
        "ticker": full_name,
        "full_name": full_name,
        "description": symbol.name,
        "type": kind_of(service),
        "exchange": venue.exchange,
        "listed_exchange": venue.exchange,
        "session": venue.calendar.udf_sessions(),
        "session_holidays": ",".join(f"{day:%Y%m%d}" for day in sorted(venue.calendar.holidays)),
        "corrections": venue.calendar.udf_corrections(),
        "timezone": "Etc/UTC" if venue.calendar.timezone == "UTC" else venue.calendar.timezone,
        "format": "price",
        "minmov": 1,
        "minmove2": 0,
        "fractional": False,
        "pricescale": 10**symbol.price_decimals,
        "has_intraday": bool(intraday),
        "intraday_multipliers": intraday,
        "has_daily": "D" in resolutions,
        "has_weekly_and_monthly": {"W", "M"} <= set(resolutions),
        "supported_resolutions": list(resolutions),
        "visible_plots_set": "ohlcv",
        "volume_precision": symbol.volume_decimals,
        "currency_code": symbol.currency,
        "data_status": "streaming",
    }


def _state(symbol: Symbol) -> tuple[Any, ...]:
    """What a table shows of a symbol, less what its venue fixes."""
    decimals = (symbol.price_decimals, symbol.volume_decimals)
    return (symbol.ticker, symbol.name, symbol.currency, *decimals)


def _code(query: str, exchange: str) -> str:
    """What is searched for: `IDX:BB` is BB on IDX."""
    prefix, _, code = query.rpartition(":")
    return code if prefix.strip().upper() == exchange else query


def _found(service: VenueService, symbol: Symbol) -> dict[str, str]:
    full_name = f"{service.venue.exchange}:{symbol.ticker}"
    return {
        "symbol": symbol.ticker,
        "full_name": full_name,
        "description": symbol.name,
        "exchange": service.venue.exchange,
        "ticker": full_name,
        "type": kind_of(service),
    }
