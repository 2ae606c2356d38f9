# ruff: noqa: S608 -- names come from the schema, sources from parquet.py
"""How long rows are in text: what a cold file's size is compared with.

The form is that of idx-1's text recordings, whatever the venue: a message's fields in the wire's
order with `|` between, whole numbers without a point, a line feed. Bars, metric rows and quotes are
on no wire: theirs is a line of all their columns likewise. As SQL over a kind's columns.
"""

from typing import Any

from bursa.model.schema import Column, Kind

# What the wire tells of a kind, in its order; `ts_recv` and `position` are ours.
_WIRE = {
    "ticks": ("seq", "ts", "ticker", "board", "trade_no", "price", "volume", "aggressor"),
    "snapshot": (
        *("ts", "ticker", "board", "prev", "open", "high", "low", "last", "volume", "value"),
        *("trades", "bid", "bid_volume", "ask", "ask_volume"),
    ),
    "orderbook": ("seq", "ts", "ticker", "board", "depth"),
    "index": ("ts", "index_code", "value", "prev", "value_traded"),
}
# Rows by which the mean is estimated.
_SAMPLE_ROWS = 50_000
# The message's type, and the line feed.
_FRAME = 2


def text_bytes(kind: Kind) -> str:
    """A row's length in bytes, as an SQL expression over the kind's columns; never null."""
    columns = kind.scalars
    if kind.name in _WIRE:
        columns = tuple(kind.columns[kind.index[name]] for name in _WIRE[kind.name])
    parts = [f"coalesce(strlen({_text(column, _quoted(column))}), 0) + 1" for column in columns]
    # A level is price:volume:orders, and a comma.
    parts += [
        f"coalesce(list_sum(list_transform({_quoted(column)},"
        f" lambda x: strlen({_text(column, 'x')}) + 1)), 0)"
        for column in kind.lists
    ]
    return f"({' + '.join(parts)} + {_FRAME})"


def mean_bytes(cursor: Any, kind: Kind, source: str, rows: int) -> float:
    """Bytes of a row of `source`, which stands behind FROM and has so many rows, by a sample."""
    # Whole stretches here and there: those at the beginning need not be like the others.
    share = max(1, rows // _SAMPLE_ROWS)
    sampled = f"(select * from {source} where position % {share} = 0 limit {_SAMPLE_ROWS})"
    [(mean,)] = cursor.execute(f"select avg({text_bytes(kind)}) from {sampled}").fetchall()
    if mean is None:  # no position of the sample's kind
        text = f"select avg({text_bytes(kind)}) from (select * from {source} limit 1000)"
        [(mean,)] = cursor.execute(text).fetchall()
    return float(mean)


def _quoted(column: Column) -> str:
    return f'"{column.name}"'


def _text(column: Column, value: str) -> str:
    if column.dtype in ("float", "floats"):
        whole = f"{value} = floor({value}) and abs({value}) < 1e15"
        return f"case when {whole} then {value}::bigint::varchar else {value}::varchar end"
    if column.dtype == "flag":
        return f"{value}::int::varchar"
    return f"{value}::varchar"
