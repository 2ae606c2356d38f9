"""Rows that a journal gives and the store lacks, put back as they were: in all columns, at their
own positions.

What is derived anew (recompute.py) is compared, piece by piece of positions, with the stored rows
of the same positions and the same stretch of event time. Such rows are in the journal already, so
they are not journalled again (entry.py does that for rows that no journal has): a rebuild gives
them, too. Rows that are stored otherwise stay, and are told.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bursa.jobs.recompute import inside
from bursa.model.batch import Batch, Block, concat, keep_levels
from bursa.model.schema import (
    INDEX,
    OHLCV,
    ORDERBOOK,
    QUOTES,
    SNAPSHOT,
    STATUS,
    TICKS,
    Kind,
)
from bursa.pipeline.line import Derived
from bursa.pipeline.runtime import VenueRuntime

# Of contracts only the newest of a key is kept, and refused bytes have no time.
KINDS = tuple(kind.name for kind in (TICKS, QUOTES, OHLCV, SNAPSHOT, ORDERBOOK, INDEX, STATUS)) + (
    "metrics",
)
# What is compared at once, of all kinds together; about three times as much is held meanwhile.
BYTES = 8 << 20
WRITTEN = 8192

Hashes = NDArray[np.uint64]
_NAN = np.array([np.nan]).view(np.int64)[0]


@dataclass
class Counts:
    """Rows of one kind: derived ones, those that the store lacked, those that it has otherwise, and
    those that it has and the journal does not give."""

    derived: int = 0
    absent: int = 0
    differing: int = 0
    surplus: int = 0
    written: int = 0


@dataclass
class PutBack:
    """Rows with start <= ts < end of one venue, from position `after` on."""

    runtime: VenueRuntime
    start_ns: int
    end_ns: int
    after: int
    kinds: Mapping[str, Kind]
    dry_run: bool = False
    counts: dict[str, Counts] = field(default_factory=dict)
    # (ticker, minute) of bars that are stored otherwise, or that the journal does not give.
    doubtful: set[tuple[str, int]] = field(default_factory=set)
    _waiting: list[Batch] = field(default_factory=list)
    _bytes: int = 0

    def take(self, derived: Derived) -> Iterator[None]:
        """What a chunk gave; a step for each piece that is written."""
        for batch in derived.batches:
            if batch.kind.name in self.kinds:
                part = inside(batch, self.start_ns, self.end_ns)
                if len(part):
                    self._waiting.append(part)
                    self._bytes += part.block.nbytes + getattr(part.levels, "nbytes", 0)
        if self._bytes >= BYTES:
            yield from self.flush(derived.span.last)

    def flush(self, upto: int) -> Iterator[None]:
        """Compare what waits, derived up to a position, and write what is absent."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        of_kind = {name: [b for b in waiting if b.kind.name == name] for name in self.kinds}
        del waiting  # what is joined is held once
        for name, kind in self.kinds.items():
            yield from self._compare(kind, _joined(of_kind.pop(name)), upto)
        self.after = upto

    def _compare(self, kind: Kind, made: Batch | None, upto: int) -> Iterator[None]:
        runtime = self.runtime
        stored = runtime.hot.rows(
            runtime.venue.name, kind.name, self.start_ns, self.end_ns, after=self.after, upto=upto
        )
        counts = self.counts.setdefault(kind.name, Counts())
        if made is None:
            counts.surplus += len(stored)
            self._doubt(stored, np.ones(len(stored), np.bool_))
            return
        tickers = stored.column("ticker").copy() if kind.name == OHLCV.name else None
        block = _in_words_of(stored, made)
        columns = _unique_columns(kind)
        key_made, key_stored = _hashes(made.block, columns), _hashes(block, columns)
        order = np.argsort(key_stored)
        place = np.searchsorted(key_stored[order], key_made)
        there = np.zeros(len(made), np.bool_)
        near = place < len(order)
        at = order[place[near]]
        there[near] = key_stored[at] == key_made[near]
        which = np.full(len(made), -1, np.int64)
        which[near] = at
        whole = list(range(len(kind.scalars)))
        differs = np.zeros(len(made), np.bool_)
        both = np.flatnonzero(there)
        differs[both] = _hashes(made.block, whole)[both] != _hashes(block, whole)[which[both]]
        surplus = ~np.isin(key_stored, key_made)
        taken = self._taken(made, ~there)
        differs |= taken
        counts.derived += len(made)
        counts.absent += int((~there & ~taken).sum())
        counts.differing += int(differs.sum())
        counts.surplus += int(surplus.sum())
        self._doubt(made, differs)
        self._doubt(stored, surplus, tickers)
        if not self.dry_run:
            yield from self._write(made, np.flatnonzero(~there & ~taken), counts)

    def _taken(self, made: Batch, absent: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which absent rows have a revision that another row has by now: one that was entered."""
        taken = np.zeros(len(made), np.bool_)
        at = np.flatnonzero(absent)
        if "rev" not in made.kind.index or not len(at):
            return taken
        ts = made.column("ts")[at]
        name, within = self.runtime.venue.name, (int(ts.min()), int(ts.max()) + 1)
        stored = self.runtime.hot.revisions(name, made.kind.name, *within)
        key = [made.kind.index[column] for column in ("ticker", "ts", "rev")]
        theirs = _hashes(_in_words_of(stored, made), key)
        taken[at] = np.isin(_hashes(made.block[:, at], key), theirs)
        return taken

    def _doubt(self, rows: Batch, which: NDArray[np.bool_], tickers: Block | None = None) -> None:
        """Note bars, whose `tickers` are the rows' own where no others are given."""
        if rows.kind.name != OHLCV.name:
            return
        at = np.flatnonzero(which)
        symbols, of = rows.words.symbols, rows.column("ticker") if tickers is None else tickers
        ids, ts = of[at].tolist(), rows.column("ts")[at].tolist()
        self.doubtful |= {(symbols[one], when) for one, when in zip(ids, ts, strict=True)}

    def _write(self, made: Batch, absent: Block, counts: Counts) -> Iterator[None]:
        for first in range(0, len(absent), WRITTEN):
            rows = np.zeros(len(made), np.bool_)
            rows[absent[first : first + WRITTEN]] = True
            levels = keep_levels(made, rows)
            block = np.ascontiguousarray(made.block[:, rows])
            part = Batch(made.kind, block, made.words, made.span, levels)
            counts.written += self.runtime.hot.readmit(part)
            self.runtime.parts.rings.enter(part)
            yield


def _unique_columns(kind: Kind) -> list[int]:
    """What tells the rows of a kind apart: the key, and where a row comes from."""
    names = {*kind.key, "position", "seq", "nth", "trade_no"}
    return [at for at, column in enumerate(kind.scalars) if column.name in names]


def _hashes(block: Block, columns: Sequence[int]) -> Hashes:
    """64 bits of each row's values in some columns; all nulls of a float are alike."""
    mixed = np.full(block.shape[1], 0x9E3779B97F4A7C15, np.uint64)
    for at in columns:
        mixed ^= block[at].view(np.uint64)
        mixed *= np.uint64(0xD6E8FEB86659FD93)
        mixed ^= mixed >> np.uint64(32)
    return mixed


def _joined(batches: Sequence[Batch]) -> Batch | None:
    return concat(batches) if batches else None


def _in_words_of(stored: Batch, made: Batch) -> Block:
    """The block of stored rows, which from then on has the other's dictionary; texts that it lacks
    become -2. Nulls of floats are made alike in both."""
    for rows in (stored, made):
        for at, column in enumerate(rows.kind.scalars):
            if column.dtype == "float":
                values = rows.block[at].view(np.float64)
                rows.block[at][np.isnan(values)] = _NAN
    block = stored.block
    for at, column in enumerate(stored.kind.scalars):
        if column.dtype != "text" or isinstance(column.words, tuple):
            continue
        known = {text: place for place, text in enumerate(made.words.of(column))}
        texts = stored.words.of(column)
        ids, place = np.unique(block[at], return_inverse=True)
        own = [-1 if one < 0 else known.get(texts[one], -2) for one in ids.tolist()]
        block[at] = np.array(own, np.int64)[place] if len(ids) else block[at]
    return block
