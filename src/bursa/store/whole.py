# ruff: noqa: S608 -- names come from the schema, values are parameters
"""Rows of many tickers and days, handed out in pieces of bounded size: what an export is made of.

Day by day and, within one, ticker by ticker: a day is cut between tickers where a piece has rows
enough. Each piece is one read, so it is whole whatever moves between the tiers meanwhile. Of bars
and metric rows the newest revision counts. Knows no file (jobs/export.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa

from bursa.model.schema import Kind
from bursa.model.venue import Venue
from bursa.store import tables
from bursa.store.cold_file import schema
from bursa.store.engine import WHOLE
from bursa.store.reading import Reading

# Rows of a piece: some 100 MB at most, and a fraction of a second.
PIECE_ROWS = 250_000
_LEVELS_ROWS = 50_000


@dataclass(frozen=True)
class Wanted:
    """Rows with start <= ts < end, known by `as_of_ns` where that is given; of these tickers (the
    kind's first column: an index code, a channel), or (none) of all."""

    venue: Venue
    kind: Kind
    start_ns: int
    end_ns: int
    tickers: Sequence[str] = ()
    as_of_ns: int | None = None

    @property
    def by(self) -> str:
        """The column that names whose row it is."""
        return self.kind.columns[0].name

    @property
    def order(self) -> str:
        """How the rows of a day lie."""
        return tables.sorted_by(self.kind)


@dataclass(frozen=True)
class Piece:
    """Part of a day, and how far it brings the whole: `done` of `total`, in any unit."""

    rows: pa.Table
    done: int
    total: int


def pieces(store: Reading, wanted: Wanted) -> Iterator[Piece]:
    """All rows, by day, then as `Wanted.order`; columns as in the schema. Days without any give a
    piece without rows, so that one who waits between two pieces never waits long."""
    days = [
        within
        for day in store.days(wanted.venue.name, [wanted.kind.name])
        if (within := _within(wanted, day))
    ]
    for nth, within in enumerate(days):
        cuts, revised = _cuts(store, wanted, within)
        for at, (first, last) in enumerate(cuts):
            rows = _read(store, wanted, within, (first, last) if len(cuts) > 1 else None, revised)
            done = nth * 1000 + 1000 * (at + 1) // len(cuts)
            yield Piece(rows, done, len(days) * 1000)
        if not cuts:
            yield Piece(schema(wanted.kind).empty_table(), (nth + 1) * 1000, len(days) * 1000)


def _within(wanted: Wanted, day: Any) -> tuple[int, int] | None:
    calendar = wanted.venue.calendar
    start = max(wanted.start_ns, calendar.midnight_ns(day))
    end = min(wanted.end_ns, calendar.midnight_ns(day + timedelta(days=1)))
    return (start, end) if start < end else None


def _where(wanted: Wanted, within: tuple[int, int]) -> tuple[str, list[Any]]:
    text, values = "ts >= ? and ts < ?", list[Any](within)
    if wanted.as_of_ns is not None:
        known = "known_at" if "known_at" in wanted.kind.index else "ts_recv"
        text += f" and {known} <= ?"
        values.append(wanted.as_of_ns)
    if wanted.tickers:
        text += f" and list_contains(?, {wanted.by})"
        values.append(list(wanted.tickers))
    return text, values


def _cuts(
    store: Reading, wanted: Wanted, within: tuple[int, int]
) -> tuple[list[tuple[str, str]], bool]:
    """First and last ticker of each piece of a day, and whether any row of it was revised."""
    where, values = _where(wanted, within)
    revised = "max(rev)" if "rev" in wanted.kind.index else "0"

    def read(cursor: Any, source: str) -> list[tuple[Any, ...]]:
        text = (
            f"select {wanted.by}, count(*), {revised} from {source} where {where}"
            f" group by {wanted.by} order by {wanted.by}"
        )
        found: list[tuple[Any, ...]] = cursor.execute(text, values).fetchall()
        return found

    found = store.steady(wanted.venue.name, wanted.kind.name, within, WHOLE, read)
    most = _LEVELS_ROWS if wanted.kind.lists else PIECE_ROWS
    cuts: list[tuple[str, str]] = []
    held = most
    for ticker, rows, _ in found:
        if held + rows > most:
            cuts.append((ticker, ticker))
            held = 0
        cuts[-1] = (cuts[-1][0], ticker)
        held += rows
    return cuts, any(rev for _, _, rev in found)


def _read(
    store: Reading,
    wanted: Wanted,
    within: tuple[int, int],
    between: tuple[str, str] | None,
    revised: bool,
) -> pa.Table:
    kind = wanted.kind
    where, values = _where(wanted, within)
    if between is not None:
        where += f" and {wanted.by} >= ? and {wanted.by} <= ?"
        values += between
    newest = ""
    if "rev" in kind.index:
        # Nothing is sorted out where nothing was revised; what is from now on was rev 0 then.
        where += "" if revised else " and rev = 0"
        whose = f"partition by {wanted.by}, freq, ts order by rev desc"
        newest = f"qualify row_number() over ({whose}) = 1" if revised else ""

    def read(cursor: Any, source: str) -> pa.Table:
        text = tables.select(source, kind.columns, where, f"{newest} order by {wanted.order}")
        return cursor.sql(text, params=values).to_arrow_table()

    return store.steady(wanted.venue.name, kind.name, within, WHOLE, read)
