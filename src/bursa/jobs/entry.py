"""How rows of the past enter a venue: journalled first, then the way of all rows.

What a backfill, a restore or a repair adds becomes ROWS records of the venue's journal, of
RECORD_ROWS rows at most, between two pushes of its line; the line emits them (entered.py) to
topics, store, rings and clients, and a rebuild from the journal gives them again. Entering is
idempotent: what the store has in the same or a newer revision is left out, so an order that was
killed and is given again adds nothing twice.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bursa.journal.record import Control, rows
from bursa.model.batch import Batch, Block
from bursa.model.calendar import MINUTE_NS
from bursa.model.errors import Refuse, Retry
from bursa.model.schema import OHLCV, TICKS
from bursa.model.venue import Venue
from bursa.pipeline.runtime import VenueRuntime
from bursa.ports import Frames, Store
from bursa.wire.ipc import pack

RECORD_ROWS = 8192
# How long an entry waits for the disk, and for the writer to commit what was entered before it.
SYNC_S = 30.0
COMMIT_S = 60.0
_LOOK_S = 0.005
EXAMPLES_MAX = 5
# A list of tickers that is longer is not asked for by name.
NAMED_MAX = 1024
# What two bars must have alike to be the same; the rest follows from it, or is no trade's to tell.
COMPARED = ("open", "high", "low", "close", "volume", "value", "trades")


@dataclass(frozen=True)
class Mismatch:
    """One bar that is stored other than it was computed or given."""

    ticker: str
    ts: int
    column: str
    stored: float
    given: float


@dataclass
class Compared:
    """Bars beside the stored ones (newest revisions): `absent` are not stored, `equal` are stored
    so, `differing` are stored otherwise."""

    absent: int = 0
    equal: int = 0
    differing: int = 0
    examples: list[Mismatch] = field(default_factory=list)

    def add(self, other: "Compared") -> None:
        """Count what another one has."""
        self.absent += other.absent
        self.equal += other.equal
        self.differing += other.differing
        self.examples = (self.examples + other.examples)[:EXAMPLES_MAX]


def enter(runtime: VenueRuntime, rows_: Batch, *, checked: bool = False) -> int:
    """Journal rows of ohlcv, metrics or ticks of the past; returns the journal's position when they
    are synced.

    rows_    of a venue that runs, with feeds or without. Bars and metric rows bear `source`, and
             revisions newer than those that are stored: others are left out. known_at, ts_recv,
             position and nth become the record's
    checked  the caller knows that none of them was entered or is stored: nothing is read, and
             what was entered before is not waited for
    Raises Refuse `too_new` where the feed may still make or revise a bar of theirs; Retry where
    nothing can be journalled now, or the store does not take what was entered before. Not while
    another thread enters rows of the venue (one job at a time does).
    """
    kind = rows_.kind
    if kind.name != TICKS.name:
        unsaid = rows_.column("source") < 0
        assert not unsaid.any(), "who enters rows says of what they were made"
        _check(runtime, rows_)
        rows_ = rows_ if checked else _newer(runtime, rows_)
    position = runtime.journal.position
    for first in range(0, len(rows_), RECORD_ROWS):
        part = replace(rows_, block=rows_.block[:, first : first + RECORD_ROWS])
        position = _journal(runtime, part)
    return position


def wait_committed(runtime: VenueRuntime, position: int, for_s: float = COMMIT_S) -> None:
    """Return when the store holds all rows up to a position; raises Retry where it does not within
    so many seconds."""
    until = time.monotonic() + for_s
    while runtime.committed < position:
        if runtime.writer is not None and runtime.writer.failure is not None:
            raise Retry(f"the writer ended: {runtime.writer.failure}")
        if time.monotonic() > until:
            raise Retry(f"the store did not take what was entered within {for_s:g} s")
        time.sleep(_LOOK_S)


def absent(
    store: Store, venue: Venue, bars: Batch, columns: Sequence[str] = COMPARED
) -> tuple[Batch, Compared]:
    """The bars, unique by (ticker, ts), of which the store has no revision at all, and what became
    of the others: equal are those that have these columns alike."""
    stored = newest_stored(store, venue, bars)
    at = match(bars, stored)
    found = Compared(absent=int((at < 0).sum()))
    known = np.flatnonzero(at >= 0)
    differs = np.zeros(len(known), np.bool_)
    for name in columns:
        here, there = bars.column(name)[known], stored.column(name)[at[known]]
        other = here != there
        for row in np.flatnonzero(other & ~differs)[: EXAMPLES_MAX - len(found.examples)].tolist():
            ticker = bars.words.symbols[int(bars.block[OHLCV.index["ticker"], known[row]])]
            ts = int(bars.column("ts")[known[row]])
            values = float(there[row]), float(here[row])
            found.examples.append(Mismatch(ticker, ts, name, *values))
        differs |= other
    found.differing = int(differs.sum())
    found.equal = len(known) - found.differing
    return replace(bars, block=np.ascontiguousarray(bars.block[:, at < 0])), found


def newest_stored(store: Store, venue: Venue, rows_: Batch) -> Batch:
    """The newest stored revision of each row in the time of some rows, of their tickers; in any
    order."""
    if not len(rows_):
        return rows_
    ts = rows_.column("ts")
    ids = np.unique(rows_.block[rows_.kind.index["ticker"]]).tolist()
    named = None if len(ids) > NAMED_MAX else [rows_.words.symbols[one] for one in ids]
    within = int(ts.min()), int(ts.max()) + 1
    return newest(store.revisions(venue.name, rows_.kind.name, *within, tickers=named))


def newest(stored: Batch) -> Batch:
    """The newest revision of each row of a kind with revisions; in any order."""
    symbol, when, rev = (stored.column(name) for name in ("ticker", "ts", "rev"))
    order = np.lexsort((rev, when, symbol))
    symbol, when = symbol[order], when[order]
    last = np.ones(len(order), np.bool_)
    last[:-1] = (symbol[1:] != symbol[:-1]) | (when[1:] != when[:-1])
    return replace(stored, block=np.ascontiguousarray(stored.block[:, order[last]]))


def match(rows_: Batch, stored: Batch) -> Block:
    """Of each row the index of the stored one of the same (ticker, ts), which is there once at
    most; -1 where there is none. Both have words of their own."""
    at = rows_.kind.index["ticker"]
    ids, place = np.unique(stored.block[at], return_inverse=True)
    own = [rows_.words.find_symbol(stored.words.symbols[one]) for one in ids.tolist()]
    symbols = np.array(own, np.int64)[place] if len(ids) else np.empty(0, np.int64)
    when = np.concatenate((rows_.column("ts"), stored.column("ts")))
    minutes, rank = np.unique(when, return_inverse=True)
    key = np.concatenate((rows_.block[at], symbols)) * (len(minutes) + 1) + rank
    wanted, there = key[: len(rows_)], key[len(rows_) :]
    order = np.argsort(there)
    where = np.searchsorted(there[order], wanted)
    found = np.full(len(rows_), -1, np.int64)
    inside = where < len(there)
    hit = order[where[inside]]
    found[inside] = np.where(there[hit] == wanted[inside], hit, -1)
    return found


def settled_ns(runtime: VenueRuntime) -> int:
    """Minutes that open at or before it the feed neither makes nor revises, ns UTC. Where none has
    come yet that is all before today, of which a feed that begins brings what there was."""
    if runtime.line.watermark_ns > 0:
        return runtime.line.forgotten_ns
    calendar = runtime.venue.calendar
    return calendar.midnight_ns(calendar.day_of(runtime.clock.now_ns())) - 1


def reached(runtime: VenueRuntime, end_ns: int) -> int:
    """Up to where a range ends before the minutes that are the feed's still."""
    if runtime.line.watermark_ns <= 0:
        return end_ns
    return min(end_ns, runtime.line.forgotten_ns // MINUTE_NS * MINUTE_NS + MINUTE_NS)


def _check(runtime: VenueRuntime, rows_: Batch) -> None:
    """Refuse rows of minutes that are the feed's still."""
    if not len(rows_):
        return
    newest, reached = int(rows_.column("ts").max()), settled_ns(runtime)
    if newest > reached:
        text = runtime.venue.calendar.text
        what = f"a bar that opens at {text(newest)} is the feed's to make or revise still;"
        raise Refuse(f"{what} allowed: up to {text(reached)}", "too_new", 409)


def _newer(runtime: VenueRuntime, rows_: Batch) -> Batch:
    """Rows of a newer revision than the stored ones; all that was entered before is stored then."""
    wait_committed(runtime, runtime.entered_to)
    stored = newest_stored(runtime.parts.store, runtime.venue, rows_)
    at = match(rows_, stored)
    rev = np.where(at >= 0, stored.column("rev")[at] if len(stored) else -1, -1)
    newer = rows_.column("rev") > rev
    if newer.all():
        return rows_
    return replace(rows_, block=np.ascontiguousarray(rows_.block[:, newer]))


def _journal(runtime: VenueRuntime, part: Batch) -> int:
    ingest = runtime.ingest
    if ingest is None:
        raise Retry(f"{runtime.venue.name} is not ready yet: it recovers")
    items: list[Frames | Control] = [rows(pack(part))]
    position = ingest.between(lambda: ingest.take(items).span.last)
    runtime.entered_to = position
    try:
        if not runtime.sync.wait(position, SYNC_S):
            raise Retry(f"not on disk within {SYNC_S:g} s")
    except OSError as error:
        raise Retry(f"the journal cannot be synced: {error}") from error
    return position
