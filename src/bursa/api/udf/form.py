"""What the routes under /udf share: parameters, the symbol that is meant, the form of an answer.

TradingView's client ignores the status and reads the body. Errors have UDF's form whoever raises
them (errors.py). Parameters that are not ours are passed over: charting libraries add their own.
Does not read bars.
"""

from collections.abc import Mapping
from typing import Any

from litestar import MediaType, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.types import Scope

from bursa.api import params, shapes
from bursa.api.envelope import LIMITED, Ready, encode
from bursa.api.services import Services, VenueService
from bursa.api.short import SHORT
from bursa.history.directory import Symbol
from bursa.model.errors import Refuse
from bursa.model.timeframe import RESOLUTIONS

_ALIASES = {"1D": "D", "1W": "W", "1M": "M"}
# Seconds since 1970 of 2200-01-01: what lies beyond is a mistake.
_SECONDS_MAX = 7_258_118_400
_NAMED_CHARS = 64


def _resolution(given: str) -> str:
    found = RESOLUTIONS.get(_ALIASES.get(given, given))
    if found is None:
        known = ", ".join(RESOLUTIONS)
        message = f"resolution={given[:16]!r} is none of {known}"
        raise Refuse(message, "unknown_resolution", parameter="resolution")
    return found


def seconds(name: str, text: str, *, required: bool = False) -> params.Param:
    """A parameter in whole seconds since 1970 UTC; 0 where it is not given."""
    read = params.integer(name, -_SECONDS_MAX, _SECONDS_MAX)
    schema = Schema(type=OpenAPIType.INTEGER)
    return params.Param(name, read, text, 0, required=required, schema=schema)


SYMBOL = params.Param("symbol", str, "a code, or EXCHANGE:code", required=True)
RESOLUTION = params.Param(
    "resolution",
    _resolution,
    "width of a bar",
    required=True,
    schema=params.one_of(RESOLUTIONS),
)


def read(scope: Scope, table: tuple[params.Param, ...]) -> dict[str, Any]:
    """The values of a request's query by name."""
    return params.read_query(scope["query_string"], table, foreign=True)


def json(body: Any) -> Ready:
    """A good answer."""
    return Ready(encode(body))


def route(
    path: str, table: tuple[params.Param, ...], good: Any, media_type: MediaType = MediaType.JSON
) -> get:
    """GET of a path under /udf that answers in the shape `good`."""
    fine = ResponseSpec(
        good, generate_examples=False, description="UDF's answer", media_type=media_type
    )
    wrong = ResponseSpec(shapes.UdfError, generate_examples=False, description="UDF's error")
    return get(
        path,
        operation_class=params.documented(table),
        responses={200: fine, **dict.fromkeys((400, 404, *LIMITED), wrong)},
        tags=["udf"],
        opt=SHORT,
    )


def symbol_of(services: Services, given: str, venue: str | None) -> tuple[VenueService, Symbol]:
    """The instrument that `BBCA` or `IDX:BBCA` names, in any case of letters; a code alone is of
    `venue`. Refuse `unknown_symbol`."""
    prefix, _, code = given.strip().upper().rpartition(":")
    service = services.venue(venue)
    if prefix:
        found = by_exchange(services).get(prefix)
        if found is None:
            message = f"there is no exchange {prefix[:_NAMED_CHARS]!r}"
            raise Refuse(message, "unknown_symbol", 404, "symbol")
        service = found
    symbol = service.directory.find(code)
    if symbol is None:
        message = f"there is no symbol {given[:_NAMED_CHARS]!r}"
        raise Refuse(message, "unknown_symbol", 404, "symbol")
    return service, symbol


def asked(services: Services, values: Mapping[str, Any]) -> tuple[VenueService, Symbol]:
    """`symbol_of` of a request's `symbol` and `venue`."""
    return symbol_of(services, values["symbol"], values["venue"])


def by_exchange(services: Services) -> dict[str, VenueService]:
    """The venues by the name of their exchange."""
    return {service.venue.exchange: service for service in services.venues.values()}


def kind_of(service: VenueService) -> str:
    """TradingView's word for what the venue trades."""
    return "stock" if service.venue.currency else "crypto"
