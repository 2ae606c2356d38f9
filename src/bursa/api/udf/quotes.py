"""Quotes of several symbols at once, as watch lists poll them: the day's figures, from memory.

A symbol that is not known is an entry of its own with its error; the others are answered. What is
not known of a symbol is left out.
"""

import math
from typing import Any

from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope

from bursa.api import access, params, text
from bursa.api.envelope import Ready
from bursa.api.services import Services, VenueService
from bursa.api.udf import shapes as udf_shapes
from bursa.api.udf.form import json, read, route, symbol_of
from bursa.history.directory import Symbol
from bursa.model.errors import Refuse

SYMBOLS_MAX = 200

QUOTES = (
    params.VENUE,
    params.Param(
        "symbols", str, f"codes, or EXCHANGE:codes, {SYMBOLS_MAX} at most, commas between",
        required=True,
    ),
)  # fmt: skip
# UDF's name -> the column of the day's table.
_FIGURES = {
    "lp": "last",
    "open_price": "open",
    "high_price": "high",
    "low_price": "low",
    "prev_close_price": "prev",
    "bid": "bid",
    "ask": "ask",
    "volume": "volume",
}


class UdfQuotes:
    """The route over some services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        return [route("/udf/quotes", QUOTES, udf_shapes.UdfQuotes)(self.quotes)]

    async def quotes(self, scope: Scope) -> Ready:
        """The figures of each symbol, in the order asked for."""
        values = read(scope, QUOTES)
        self._services.venue(values["venue"])  # a wrong venue is no symbol's fault
        names = [name for name in values["symbols"].split(",") if name.strip()]
        if not names:
            raise Refuse("symbols names none", "missing_parameter", parameter="symbols")
        if len(names) > SYMBOLS_MAX:
            message = f"symbols names {len(names)}, {SYMBOLS_MAX} at most"
            raise Refuse(message, "too_many_symbols", parameter="symbols")
        access.count_rows(scope, len(names))
        return json({"s": "ok", "d": [self._quote(name, values["venue"]) for name in names]})

    def _quote(self, name: str, venue: str | None) -> dict[str, Any]:
        try:
            service, symbol = symbol_of(self._services, name, venue)
        except Refuse as refusal:
            return {"s": "error", "n": name, "errmsg": str(refusal), "v": {}}
        return {"s": "ok", "n": name, "v": _values(service, symbol, name)}


def _values(service: VenueService, symbol: Symbol, name: str) -> dict[str, Any]:
    exchange = service.venue.exchange
    out: dict[str, Any] = {
        "short_name": symbol.ticker,
        "exchange": exchange,
        "original_name": f"{exchange}:{symbol.ticker}",
        "description": symbol.name,
    }
    table = service.day.table()
    row = table.rows.get(symbol.ticker)
    if row is None:
        return out
    found = {field: float(getattr(table, column)[row]) for field, column in _FIGURES.items()}
    found["ch"] = found["lp"] - found["prev_close_price"]
    found["chp"] = 100 * found["ch"] / (found["prev_close_price"] or math.nan)
    found["spread"] = found["ask"] - found["bid"]
    decimals = {"ch": symbol.price_decimals, "spread": symbol.price_decimals, "chp": 2}
    for field, value in found.items():
        if math.isfinite(value):
            out[field] = text.json_value(round(value, decimals.get(field, 15)))
    return out
