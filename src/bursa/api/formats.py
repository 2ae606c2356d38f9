"""The rows of an answer as CSV, Arrow or Parquet: those of its JSON, column by column.

They are made of the JSON itself, so that what a reader may have, and how he sees HD, was decided
before; names, order and types of columns come from the shapes that OpenAPI publishes. Instants in
UTC are timestamps of Arrow, to the nanosecond, and ISO texts in CSV; all other texts stay as they
are. Does not choose rows and knows no route.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bursa.api import ledger_shapes, params, shapes
from bursa.api.packed import weight_of
from bursa.model.errors import Refuse

NAMES = ("json", "csv", "arrow", "parquet")
# What a format is called in headers. Arrow and Parquet: as they are registered at IANA.
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
_ACCEPTED = {
    "application/json": "json",
    "application/*": "json",
    "*/*": "json",
    **{kind.partition(";")[0]: name for name, kind in MEDIA_TYPES.items()},
}
_ACCEPT_PARTS_MAX = 32
# A text that begins so is a formula for a spreadsheet: CSV puts an apostrophe before it.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_QUOTED = frozenset('",\r\n')
_STAMP = pa.timestamp("ns", "UTC")
_PLAIN = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_END = "\r\n"

Line = Mapping[str, Any]


def _named(given: str) -> str:
    if given not in NAMES:
        message = f"format={given[:64]!r} is none of {', '.join(NAMES)}"
        raise Refuse(message, "unknown_format", parameter="format")
    return given


FORMAT = params.Param(
    "format",
    _named,
    "form of the rows: json, csv, arrow (an IPC stream) or parquet. Without it `Accept` says; "
    "json by default",
    schema=params.one_of(NAMES),
)


def asked(scope: Any, given: str | None) -> str:
    """The format of an answer, one of NAMES: `given` by the query, else by `Accept`."""
    if given is not None:
        return given
    accept = scope["state"].get("given", {}).get(b"accept")
    return "json" if accept is None else _accepted(accept)


@lru_cache(256)
def _accepted(accept: bytes) -> str:
    """The format that is liked best, the first of those liked equally; what is none of ours does
    not count, and where nothing is left it is json."""
    best, most = "json", 0.0
    for part in accept.decode("latin-1").split(",", _ACCEPT_PARTS_MAX)[:_ACCEPT_PARTS_MAX]:
        kind, *more = (word.strip().lower() for word in part.split(";"))
        name = _ACCEPTED.get(kind)
        liked = weight_of(next((word for word in more if word.startswith("q=")), ""))
        if name is not None and liked > most:
            best, most = name, liked
    return best


@dataclass(frozen=True)
class Column:
    """One column. nullable: it may be without a value."""

    name: str
    kind: pa.DataType
    nullable: bool


def _all(data: Any) -> Sequence[Line]:
    found: Sequence[Line] = data
    return found


@dataclass(frozen=True)
class Rows:
    """What the rows of a route are. lines: its `data`, decoded -> rows, field by field."""

    columns: tuple[Column, ...]
    lines: Callable[[Any], Sequence[Line]] = _all

    def written(self, data: bytes, name: str) -> bytes:
        """`data`, JSON, in a format of NAMES other than json. Takes a few milliseconds a thousand
        rows."""
        lines = self.lines(msgspec.json.decode(data))
        if name == "csv":
            return self._csv(lines).encode()
        table, sink = self.table(lines), BytesIO()
        if name == "parquet":
            pq.write_table(table, sink, compression="zstd")
        else:
            with pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
        return sink.getvalue()

    def table(self, lines: Sequence[Line]) -> pa.Table:
        """The rows as a table of Arrow."""
        fields = [pa.field(c.name, c.kind, c.nullable) for c in self.columns]
        made = [_array(c.kind, [line[c.name] for line in lines]) for c in self.columns]
        return pa.Table.from_arrays(made, schema=pa.schema(fields))

    def _csv(self, lines: Sequence[Line]) -> str:
        """RFC 4180: a head, CRLF, a text in quotes where it has to be. A null is empty, an empty
        text is two quotes."""
        names = [column.name for column in self.columns]
        rows = (",".join(_cell(line[name]) for name in names) for line in lines)
        return _END.join((",".join(names), *rows, ""))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    word = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if word.startswith(_FORMULAS):
        word = f"'{word}"
    if word and _QUOTED.isdisjoint(word):
        return word
    return '"' + word.replace('"', '""') + '"'


def _array(kind: pa.DataType, values: list[Any]) -> pa.Array:
    if kind == _STAMP:
        texts = ["NaT" if value is None else value.removesuffix("Z") for value in values]
        return pa.array(np.array(texts, "datetime64[ns]"), pa.timestamp("ns")).cast(_STAMP)
    if pa.types.is_map(kind):
        values = [list(value.items()) for value in values]
    return pa.array(values, kind)


# -- columns from shapes ---------------------------------------------------------------------------


def columns(shape: type[msgspec.Struct], only: Sequence[str] = ()) -> tuple[Column, ...]:
    """The fields of a shape as columns, in their order; `only`: those, by their names in JSON."""
    hints = get_type_hints(shape, include_extras=True)
    found = []
    for field in msgspec.structs.fields(shape):
        kind, nullable = _kind(hints[field.name])
        if not only or field.encode_name in only:
            found.append(Column(field.encode_name, kind, nullable))
    return tuple(found)


def _kind(hint: Any) -> tuple[pa.DataType, bool]:
    """The type of a field's values, and whether it may be null."""
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        kind, nullable = _kind(inner)
        told = any(getattr(note, "extra", None) == shapes.UTC for note in notes)
        return _STAMP if told else kind, nullable
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = (one for one in get_args(hint) if one is not type(None))
        return _kind(inner)[0], True
    if get_origin(hint) is list:
        return pa.list_(_kind(get_args(hint)[0])[0]), False
    if get_origin(hint) is dict:
        return pa.map_(pa.string(), _kind(get_args(hint)[1])[0]), False
    if hint in _PLAIN:
        return _PLAIN[hint], False
    inside = [pa.field(c.name, c.kind, c.nullable) for c in columns(hint)]
    return pa.struct(inside), False


@lru_cache(256)
def metric_rows(names: tuple[str, ...]) -> Rows:
    """Rows of metrics: what each has, and the columns of those asked for."""
    values = tuple(Column(name, pa.float64(), True) for name in dict.fromkeys(names))
    return Rows(columns(shapes.MetricHead) + values)


def _levels(book: Line) -> list[Line]:
    head = {name: book[name] for name in _BOOK}
    return [
        {**head, "side": side, **level} for side in ("bid", "ask") for level in book[f"{side}s"]
    ]


def _ranges(ledger: Line) -> list[Line]:
    return [{"ticker": ledger["ticker"], "tf": ledger["tf"], **one} for one in ledger["ranges"]]


def _days(ledger: Line) -> list[Line]:
    """One row a ticker and day."""
    days = [day["date"] for day in ledger["days"]]
    return [
        {"ticker": row["ticker"], "date": day, **{word: row[word][at] for word in _STATES}}
        for row in ledger["tickers"]
        for at, day in enumerate(days)
    ]


_BOOK = ("ticker", "date", "seq", "whole")
_STATES = ("received", "backfilled", "confirmed_empty", "missing")
_TEXT = pa.string()

SYMBOLS = Rows(columns(shapes.Symbol))
BARS = Rows(columns(shapes.Bar))
CATALOGUE = Rows(columns(shapes.MetricRow))
RANKING = Rows(columns(shapes.RankedRow))
INDEX = Rows(columns(shapes.IndexRow))
BOOK = Rows(
    (*columns(shapes.BookRow, _BOOK), Column("side", _TEXT, False), *columns(shapes.Level)),
    _levels,
)
RANGES = Rows(
    (*columns(ledger_shapes.ContinuityRow, ("ticker", "tf")), *columns(ledger_shapes.Range)),
    _ranges,
)
DAYS = Rows(
    (
        *columns(ledger_shapes.MapRow, ("ticker",)),
        *columns(ledger_shapes.MapDay, ("date",)),
        *columns(ledger_shapes.Totals, _STATES),
    ),
    _days,
)
