"""Is what live readers are shown what is stored? Some bars and metric rows, looked at all the time.

Rings and store are fed apart: by the line, and by the writer from the topics. Of a ticker drawn at
random the newest rows in memory are compared with the stored ones, column by column; what was
compared and what differed is counted, and told in the log. Changes nothing.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from time import monotonic
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bursa.model.batch import Batch
from bursa.model.errors import BursaError
from bursa.model.schema import Kind
from bursa.model.venue import Venue
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.ports import Committed, Store

EVERY_S = 5.0
# Rows of each kind that are looked at in one go.
ROWS = 120
# A mismatch is told so often at most; all of them are counted.
TOLD_EVERY_S = 60.0
# What names a row, and what another dictionary of texts numbers.
_NOT_COMPARED = ("ticker", "freq", "ts")

Bools = NDArray[np.bool_]


class Memory(Protocol):
    """The rings of a venue."""

    def names(self) -> Sequence[str]:
        """Tickers that have a ring."""

    def sample(self, kind: str, ticker: str, n: int) -> Batch | None:
        """The newest n rows of a kind; its ticker does not count as read."""


@dataclass(frozen=True)
class Sampled:
    """One venue: what is in memory, and what is stored. topics: kind -> its topic's name."""

    venue: Venue
    memory: Memory
    store: Store
    topics: Mapping[str, str]


@dataclass(frozen=True)
class Compared:
    """rows: how many could be compared; differing: those that are not stored as they are shown, by
    what differs (`absent`, else a column)."""

    rows: int
    differing: dict[int, str]


class Sampler:
    """A thread that looks at one ticker of each venue every so often."""

    def __init__(
        self, venues: Sequence[Sampled], telemetry: Telemetry, every_s: float = EVERY_S
    ) -> None:
        self._venues, self._telemetry, self._every_s = venues, telemetry, every_s
        self._dice, self._stop = Random(), threading.Event()
        self._log, self._told_s = logger("sampler"), float("-inf")
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End after the look that is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            for sampled in self._venues:
                try:
                    self.look(sampled)
                except BursaError:
                    continue  # the store is away, and others say so
                except Exception:  # noqa: BLE001 -- told; the next look is another attempt
                    self._log.exception("looking at a sample failed", venue=sampled.venue.name)

    def look(self, sampled: Sampled) -> None:
        """One ticker of a venue."""
        tickers = sampled.memory.names()
        if not tickers:
            return
        ticker = self._dice.choice(tickers)
        for kind in sampled.topics:
            found = compare(sampled, kind, ticker, ROWS)
            labels = sampled.venue.name, kind
            self._telemetry.live_compared.labels(*labels).inc(found.rows)
            self._telemetry.live_mismatched.labels(*labels).inc(len(found.differing))
            if found.differing and monotonic() - self._told_s >= TOLD_EVERY_S:
                self._told_s = monotonic()
                ts, what = next(iter(found.differing.items()))
                self._log.warning(
                    "what is shown is not what is stored",
                    venue=sampled.venue.name,
                    kind=kind,
                    ticker=ticker,
                    rows=len(found.differing),
                    first=sampled.venue.calendar.text(ts),
                    what=what,
                )


def compare(sampled: Sampled, kind: str, ticker: str, rows: int) -> Compared:
    """The newest rows of a ticker in memory with the stored ones. Those that are not committed yet
    cannot be compared, nor those that memory had before a newer revision was stored."""
    shown = sampled.memory.sample(kind, ticker, rows)
    if shown is None or not len(shown):
        return Compared(0, {})
    # Asked for after memory: what is committed by now was committed before the rows are read.
    committed = sampled.store.positions().get(sampled.topics[kind], Committed(0, 0)).position
    shown = _of(shown, shown.column("position") <= committed)
    if not len(shown):
        return Compared(0, {})
    ts = shown.column("ts")
    read = sampled.store.bars if kind == "ohlcv" else sampled.store.metrics
    stored = read(sampled.venue.name, ticker, int(ts[0]), int(ts[-1]) + 1)
    return differences(shown, stored)


def differences(shown: Batch, stored: Batch) -> Compared:
    """Rows of one ticker with the stored ones of the same times; both ascend by ts. What lies
    before the first stored row is kept no more."""
    kept = stored.column("ts")
    if not len(kept):
        return Compared(0, {})
    shown = _of(shown, shown.column("ts") >= kept[0])
    ts, place = shown.column("ts"), np.searchsorted(kept, shown.column("ts"))
    place = np.minimum(place, len(kept) - 1)
    there = kept[place] == ts
    beside = _of(stored, place)
    known = ~there | (beside.column("rev") <= shown.column("rev"))
    differing = {at: "absent" for at in ts[~there].tolist()}
    for name in _columns(shown.kind):
        unlike = there & known & ~_alike(shown.column(name), beside.column(name))
        for at in ts[unlike].tolist():
            differing.setdefault(at, name)
    return Compared(int(known.sum()), dict(sorted(differing.items())))


def _columns(kind: Kind) -> list[str]:
    return [column.name for column in kind.scalars if column.name not in _NOT_COMPARED]


def _alike(ours: NDArray[np.generic], theirs: NDArray[np.generic]) -> Bools:
    same = np.asarray(ours == theirs)
    if ours.dtype.kind == "f":
        same = same | (np.isnan(ours) & np.isnan(theirs))
    return same


def _of(batch: Batch, chosen: NDArray[np.generic]) -> Batch:
    block = np.ascontiguousarray(batch.block[:, chosen])
    return Batch(batch.kind, block, batch.words, batch.span)
