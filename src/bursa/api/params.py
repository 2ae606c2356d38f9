"""Query parameters, each described once: how it is read, what it defaults to, what the docs say.

A malformed value, an unknown parameter and one given twice are refused with the parameter's name;
nothing is guessed and no bad input becomes an empty answer. Does not know what routes do with them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_plus

from litestar.openapi.spec import Operation, Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType

from bursa.model.calendar import Calendar
from bursa.model.errors import Refuse
from bursa.model.timeframe import TIMEFRAMES, parse

QUERY_FIELDS_MAX, QUERY_BYTES_MAX = 32, 4_096
LIMIT_DEFAULT, LIMIT_MAX = 1_000, 10_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = range(1970, 2200)
_DAY = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
# An offset's plus sign that was sent unescaped arrives as a space.
_LOST_PLUS = re.compile(r"^(\S+T\S+) ([0-9]{2}:?[0-9]{2})$")


_STRING = Schema(type=OpenAPIType.STRING)


@dataclass(frozen=True)
class Param:
    """One query parameter.

    read      its text -> its value; raises Refuse with the parameter's name
    required  without it the request is refused; else a missing one is `default`
    """

    name: str
    read: Callable[[str], Any]
    text: str
    default: Any = None
    required: bool = False
    schema: Schema = _STRING

    def documented(self) -> Parameter:
        """As OpenAPI tells it."""
        schema = self.schema
        if self.default not in (None, "") and schema.default is None:
            schema = replace(schema, default=self.default)
        return Parameter(
            name=self.name,
            param_in="query",
            description=self.text,
            required=self.required,
            schema=schema,
        )


def read_query(query: bytes, params: Sequence[Param], *, foreign: bool = False) -> dict[str, Any]:
    """The values of a query string by name, defaults filled in. `foreign`: parameters that are not
    ours are passed over (a charting library adds its own) rather than refused."""
    pairs = _pairs(query)
    given: dict[str, str] = {}
    known = {param.name: param for param in params}
    for name, text in pairs:
        if name in given:
            raise Refuse(f"{name} is given twice", "repeated_parameter", parameter=name)
        if name not in known and not foreign:
            names = ", ".join(known) or "none"
            text = f"there is no parameter {name[:64]!r} here; known: {names}"
            raise Refuse(text, "unknown_parameter", parameter=name[:64])
        given[name] = text
    return {param.name: _value(param, given.get(param.name)) for param in params}


def _pairs(query: bytes) -> list[tuple[str, str]]:
    """Names and texts as they were sent. Refuse `bad_query`, by the name where one is at fault."""
    if len(query) > QUERY_BYTES_MAX:
        message = f"the query string is longer than {QUERY_BYTES_MAX:,} bytes"
        raise Refuse(message, "bad_query")
    parts = [part for part in query.split(b"&") if part]
    if len(parts) > QUERY_FIELDS_MAX:
        raise Refuse(f"more than {QUERY_FIELDS_MAX} parameters", "bad_query")
    return [_pair(part) for part in parts]


def _pair(part: bytes) -> tuple[str, str]:
    name, _, text = part.partition(b"=")
    try:
        given = [unquote_plus(raw.decode("ascii"), errors="strict") for raw in (name, text)]
    except ValueError:
        named = unquote_plus(name.decode("ascii", "replace"))[:64]
        message = f"{named}: what is sent of it cannot be decoded; it must be UTF-8, %-encoded"
        raise Refuse(message, "bad_query", parameter=named) from None
    return given[0], given[1]


class Table:
    """`read_query` of one route, which remembers the query strings it met last: clients that poll
    ask the same again and again."""

    def __init__(self, params: Sequence[Param]) -> None:
        @lru_cache(1024)
        def read(query: bytes) -> Mapping[str, Any]:
            return MappingProxyType(read_query(query, params))

        self._read = read

    def read(self, query: bytes) -> Mapping[str, Any]:
        """The values of a query string by name."""
        return self._read(query)


def _value(param: Param, text: str | None) -> Any:
    if text is not None:
        return param.read(text)
    if param.required:
        raise Refuse(f"{param.name} is required", "missing_parameter", parameter=param.name)
    return param.default


# What a parameter in the path is, by its name.
IN_PATH = {
    "ticker": "the instrument's code on its venue",
    "code": "code of the index",
    "symbol": "a code, or EXCHANGE:code",
    "kind": "kind of rows: ticks, quotes, snapshot, orderbook, index, ohlcv or metrics",
    "key": "id of an API key, `key_` and hex digits",
    "machine": "id of a machine's place, `mch_` and hex digits",
    "user": "id of a user, `usr_` and hex digits",
    "whose": "id of a user or of an API key",
    "number": "number of a request for a plan",
    "tier": "name of the tier",
    "name": "name of the setting",
    "venue": "name of the venue",
    "file": "a day of the venue and .parquet, or that and .sha256",
}


def documented(
    params: Sequence[Param], *amendments: Callable[[Operation], None]
) -> type[Operation]:
    """The OpenAPI operation of a route that reads `params`, and `IN_PATH` of those in its path.
    `amendments` put into it, in their order, what a route's handler cannot say."""

    @dataclass
    class Documented(Operation):
        def __post_init__(self) -> None:
            for one in self.parameters or ():
                if isinstance(one, Parameter) and not one.description:
                    one.description = IN_PATH.get(one.name)
            self.parameters = [*(self.parameters or []), *(p.documented() for p in params)]
            for amend in amendments:
                amend(self)

    return Documented


def integer(name: str, least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number between two bounds, both included."""

    def read(text: str) -> int:
        value = int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
        if value is None or not least <= value <= most:
            message = f"{name}={text[:64]!r} must be a whole number from {least} to {most}"
            raise Refuse(message, "bad_number", parameter=name)
        return value

    return read


def whole(least: int, most: int) -> Schema:
    """What OpenAPI says of a whole number between two bounds."""
    return Schema(type=OpenAPIType.INTEGER, minimum=least, maximum=most)


def one_of(words: Iterable[str]) -> Schema:
    """What OpenAPI says of a text that is one of some words."""
    return Schema(type=OpenAPIType.STRING, enum=list(words))


FLAG = Schema(type=OpenAPIType.STRING, enum=["0", "1", "false", "true"], default="0")


def flag(name: str) -> Callable[[str], bool]:
    """Reads 1, 0, true or false."""

    def read(text: str) -> bool:
        if text not in ("0", "1", "true", "false"):
            raise Refuse(f"{name}={text[:64]!r} must be 1 or 0", "bad_flag", parameter=name)
        return text in ("1", "true")

    return read


def word(name: str, pattern: str, code: str) -> Callable[[str], str]:
    """Reads a text that fits a pattern."""
    fits = re.compile(pattern)

    def read(text: str) -> str:
        if not fits.fullmatch(text):
            raise Refuse(f"{name}={text[:64]!r} is malformed", code, parameter=name)
        return text

    return read


def instant(name: str, text: str, calendar: Calendar) -> int:
    """ns UTC of an ISO time with an offset, or of the beginning of a day of the venue."""
    try:
        if _DAY.match(text):
            day = date.fromisoformat(text)
            if day.year in _YEARS:
                return calendar.midnight_ns(day)
        elif "T" in text:
            moment = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", text))
            if moment.tzinfo is not None and moment.year in _YEARS:
                return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
    except ValueError:
        pass
    message = (
        f"{name}={text[:64]!r} is neither a day (2026-11-20) nor a time with an offset "
        f"(2026-11-20T09:00:00+07:00) between {_YEARS[0]} and {_YEARS[-1]}"
    )
    raise Refuse(message, "bad_time", parameter=name)


VENUE = Param(
    "venue",
    word("venue", r"[a-z0-9_]{1,32}", "bad_venue"),
    "venue; the first configured by default",
)
TF = Param(
    "tf",
    parse,
    "timeframe of the bars",
    "1m",
    schema=one_of(TIMEFRAMES),
)
FROM = Param(
    "from",
    str,
    "first instant, included: ISO with an offset, or a day of the venue. Without it the newest "
    "rows are given",
)
TO = Param("to", str, "last instant, excluded: ISO with an offset, or a day of the venue")
AS_OF = Param("as_of", str, "only what was known at that instant, our clock: ISO with an offset")
LIMIT = Param(
    "limit",
    integer("limit", 1, LIMIT_MAX),
    "most rows of one answer",
    LIMIT_DEFAULT,
    schema=whole(1, LIMIT_MAX),
)
PAGE = Param(
    "page", str, "the next page: `meta.next_page` of the answer before, all else unchanged"
)


def ranged(values: Mapping[str, Any], calendar: Calendar) -> tuple[int | None, int | None]:
    """`from` and `to` as ns UTC, None where not given. Refuse where from > to."""
    start, end = values["from"], values["to"]
    start_ns = None if start is None else instant("from", start, calendar)
    end_ns = None if end is None else instant("to", end, calendar)
    if start_ns is not None and end_ns is not None and start_ns > end_ns:
        raise Refuse("from lies after to", "bad_range", parameter="from")
    return start_ns, end_ns
