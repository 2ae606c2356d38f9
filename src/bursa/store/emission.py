# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are parameters
"""Stored bars in the order in which the line emitted them, read in pieces of bounded size.

A bar row bears the position of the record that caused it, and `nth`, which tells the order of those
that one record caused: (position, nth) is the exact order of emission; rows that are older than
`nth` have none, and go by ts and rev. Tables lie by time, closed days by ticker, so none is in that
order as a whole: the range of positions is cut where about PIECE_ROWS rows lie between two cuts
(counted by the engine: 6 million rows take 30 ms), and each piece is read, by the zone maps of its
positions, and sorted by itself. Measured on 2 cores with 5.8 million rows of 700 symbols: 6 to 9
million rows a second, settled days included. Asks an engine by SQL; has none (duckdb.py).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bursa.model.batch import Batch, Block, Span
from bursa.model.schema import Kind
from bursa.store import tables

PIECE_ROWS = 1 << 18
# Counts that one question of the engine gives back.
_BUCKETS_MAX = 1 << 14
_ORDER = ("position", "nth", "ts", "rev")

Text = Callable[[str], str]
"""A relation -> a SELECT over it."""
Count = Callable[[int, int, int], Sequence[tuple[int, int]]]
"""(after, upto, width) -> (number of a bucket, its rows), ascending: bucket k holds the rows of
after + k * width < position <= after + (k + 1) * width."""


@dataclass(frozen=True)
class Part:
    """Rows of a kind's 1m timeframe with start <= ts < end; of some tickers, or (None) of all."""

    kind: Kind
    start_ns: int
    end_ns: int
    tickers: Collection[str] | None

    @property
    def where(self) -> str:
        """The condition, `parameters` are its values."""
        text = "freq = '1m' and ts >= ? and ts < ?"
        return text if self.tickers is None else f"{text} and {one_of('ticker')}"

    @property
    def parameters(self) -> list[Any]:
        """The values that the condition is given."""
        times: list[Any] = [self.start_ns, self.end_ns]
        return times if self.tickers is None else [*times, *these(self.tickers)]


def one_of(column: str) -> str:
    """The condition that a text is one of some; `these` are its values. By their bounds the engine
    passes over what lies elsewhere: closed days lie by ticker."""
    return f"{column} between ? and ? and list_contains(?, {column})"


def these(texts: Collection[str]) -> list[Any]:
    """The values that `one_of` is given."""
    return [min(texts, default=""), max(texts, default=""), list(texts)]


def pieces(
    of: Part,
    after: int,
    upto: int,
    ask: Callable[[Text, list[Any]], list[tuple[Any, ...]]],
    read: Callable[[Text, list[Any]], Batch],
) -> Iterator[Batch]:
    """The rows of (after, upto] in order of emission, as ports.Store.emitted gives them. `ask` and
    `read` put a SELECT over the relation of the bars, with parameters, to the engine."""

    where = f"{of.where} and position > ? and position <= ?"

    def count(low: int, high: int, width: int) -> list[tuple[int, int]]:
        def text(source: str) -> str:
            bucket = "(position - ? - 1) // ? as k"
            return f"select {bucket}, count(*) from {source} where {where} group by k order by k"

        found = ask(text, [low, width, *of.parameters, low, high])
        return [(int(bucket), int(rows)) for bucket, rows in found]

    def rows(source: str) -> str:
        return tables.select(source, of.kind.columns, where)

    for low, high in cuts(count, after, upto, PIECE_ROWS):
        found = read(rows, [*of.parameters, low, high])
        if len(found):
            span = Span(found.span.source, found.span.epoch, low, high)
            yield replace(found, block=in_order(found.block, found.kind), span=span)


def cuts(count: Count, after: int, upto: int, rows: int) -> Iterator[tuple[int, int]]:
    """(low, high], one behind the other, that hold all rows of (after, upto]: about `rows` each,
    more only where one position alone has more."""
    width = max(1, -(-(upto - after) // _BUCKETS_MAX))
    low, high, waiting = after, after, 0
    for bucket, held in count(after, upto, width):
        begin = after + bucket * width
        end = min(begin + width, upto)
        if waiting and waiting + held > rows:
            yield low, high
            low, waiting = high, 0
        if held > rows and width > 1:
            yield from cuts(count, begin, end, rows)
            low = high = end
            continue
        high, waiting = end, waiting + held
    if waiting:
        yield low, high


def in_order(block: Block, kind: Kind) -> Block:
    """Rows by order of emission. A null of a block is the smallest number, so it comes first."""
    keys = [block[kind.index[name]] for name in _ORDER if name in kind.index]
    position = keys[0]
    if (position[1:] > position[:-1]).all():
        return block
    order = np.lexsort(keys[::-1])
    if (order[1:] > order[:-1]).all():
        return block
    sorted_ = np.empty_like(block)
    for row, out in zip(block, sorted_, strict=True):  # row by row: the interpreter is let go often
        np.take(row, order, out=out)
    return sorted_
