"""How long rows are in text: what a cold file's size is compared with.

The form is that of idx-1's text recordings, whatever the venue: a message's fields in the wire's
order with `|` between, whole numbers without a point, a line feed. Bars, metric rows and quotes are
on no wire: theirs is a line of all their columns likewise. As SQL over a kind's columns; asks
nothing (parquet.py).
"""

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


def _quoted(column: Column) -> str:
    return f'"{column.name}"'


def _text(column: Column, value: str) -> str:
    if column.dtype in ("float", "floats"):
        whole = f"{value} = floor({value}) and abs({value}) < 1e15"
        return f"case when {whole} then {value}::bigint::varchar else {value}::varchar end"
    if column.dtype == "flag":
        return f"{value}::int::varchar"
    return f"{value}::varchar"
