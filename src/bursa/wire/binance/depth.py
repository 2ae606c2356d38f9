"""An order book that is rebuilt from one snapshot and the changes after it.

Changes bear a range of update ids [first, last] and absolute volumes (0: the level is gone). The
book holds changes back until a snapshot reaches them, and waits for a new one after a break. What
a level's number was on the wire, and what a break is called, is the codec's to know.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

Levels = list[tuple[float, float]]

# A side keeps its best levels only; what is dropped lies far from any trade, and is counted.
LEVELS_MAX = 20_000
# Changes held back for a snapshot (100 s at ten a second); the oldest go first, and are counted.
PENDING_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a book: update ids, event time (ns UTC), levels as (price, volume)."""

    first: int
    last: int
    ts: int
    bids: Levels
    asks: Levels


class Taken(Enum):
    """What became of a change or a snapshot."""

    APPLIED = "applied"  # the levels moved
    HELD = "held"  # kept until a snapshot reaches it
    DUPLICATE = "duplicate"  # it was here before
    SUPERSEDED = "superseded"  # the snapshot held it already
    STALE = "stale"  # a snapshot too old to go on from


class Side:
    """The levels of one side. `sign` is -1 for bids, whose best price is the highest."""

    __slots__ = ("_keys", "_sign", "_volumes")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._keys: list[float] = []  # sign * price, ascending: best first
        self._volumes: dict[float, float] = {}

    def replace(self, levels: Iterable[tuple[float, float]]) -> int:
        """These levels and no others; volumes of 0 are left out. How many of the worst were
        dropped for want of room."""
        self._volumes = {self._sign * price: volume for price, volume in levels if volume}
        self._keys = sorted(self._volumes)
        return self._trim()

    def change(self, levels: Levels) -> int:
        """Set the volume of each level. How many of the worst were dropped for want of room."""
        keys, volumes = self._keys, self._volumes
        for price, volume in levels:
            key = self._sign * price
            if volume:
                if key not in volumes:
                    keys.insert(bisect_left(keys, key), key)
                volumes[key] = volume
            elif volumes.pop(key, None) is not None:
                del keys[bisect_left(keys, key)]
        return self._trim()

    def _trim(self) -> int:
        over = len(self._keys) - LEVELS_MAX
        if over <= 0:
            return 0
        for key in self._keys[LEVELS_MAX:]:
            del self._volumes[key]
        del self._keys[LEVELS_MAX:]
        return over

    def top(self, depth: int) -> tuple[list[float], list[float]]:
        """Prices and volumes of the best levels, best first."""
        keys = self._keys[:depth]
        return [self._sign * key for key in keys], [self._volumes[key] for key in keys]

    def levels(self) -> Levels:
        """All levels, best first."""
        return [(self._sign * key, self._volumes[key]) for key in self._keys]


class Book:
    """One instrument's book.

    seen      newest update id of the stream; 0 before the first
    at        update id the levels stand at; -1 while the book waits for a snapshot
    ts        event time of the newest change seen, ns UTC; 0 before the first
    dropped   levels and held changes that were dropped for want of room
    """

    __slots__ = ("_pending", "asks", "at", "bids", "dropped", "seen", "ts")

    def __init__(self) -> None:
        self.seen = 0
        self.at = -1
        self.ts = 0
        self.dropped = 0
        self.bids = Side(-1)
        self.asks = Side(1)
        self._pending: list[Change] = []

    def missing(self, change: Change) -> tuple[int, int] | None:
        """The update ids between what was seen and this change: first, last; None where it joins.
        A change that begins before the book's id joins too, since volumes are absolute."""
        reached = max(self.seen, self.at)
        if reached > 0 and change.first > reached + 1:
            return reached + 1, change.first - 1
        return None

    def take(self, change: Change) -> Taken:
        """The next change of the stream. One that does not join makes the book wait."""
        if change.last <= self.seen:
            return Taken.DUPLICATE
        if self.missing(change):
            self.at = -1
            self._pending.clear()
        self.seen = change.last
        self.ts = max(self.ts, change.ts)
        if self.at < 0:
            self._hold(change)
            return Taken.HELD
        if change.last <= self.at:
            return Taken.SUPERSEDED
        self._apply(change)
        return Taken.APPLIED

    def take_snapshot(self, last: int, bids: Levels, asks: Levels) -> Taken:
        """The whole book at update id `last`. It is STALE where the changes held do not join it."""
        if self.at >= last:
            return Taken.DUPLICATE
        rest = [change for change in self._pending if change.last > last]
        joins = rest[0].first <= last + 1 if rest else last >= self.seen
        if not joins:
            return Taken.STALE
        self.dropped += self.bids.replace(bids) + self.asks.replace(asks)
        self.at = last
        self._pending.clear()
        for change in rest:
            self._apply(change)
        return Taken.APPLIED

    def _hold(self, change: Change) -> None:
        self._pending.append(change)
        if len(self._pending) > PENDING_MAX:
            del self._pending[0]
            self.dropped += 1

    def _apply(self, change: Change) -> None:
        self.dropped += self.bids.change(change.bids) + self.asks.change(change.asks)
        self.at = change.last

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint."""
        held = [(c.first, c.last, c.ts, len(c.bids), len(c.asks)) for c in self._pending]
        sides = [self.bids.levels(), self.asks.levels()]
        return {
            "ids": np.array([self.seen, self.at, self.ts, self.dropped], np.int64),
            "sizes": np.array([len(side) for side in sides], np.int64),
            "levels": _floats(sides),
            "held": np.array(held, np.int64).reshape(-1, 5),
            "held_levels": _floats([side for c in self._pending for side in (c.bids, c.asks)]),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take a checkpoint's state; whatever was there is forgotten."""
        self.seen, self.at, self.ts, self.dropped = state["ids"].tolist()
        levels = _pairs(state["levels"])
        size = int(state["sizes"][0])
        self.bids.replace(levels[:size])
        self.asks.replace(levels[size:])
        self._pending = []
        rest = _pairs(state["held_levels"])
        for first, last, ts, n_bids, n_asks in state["held"].tolist():
            asks_at = n_bids + n_asks
            change = Change(first, last, ts, rest[:n_bids], rest[n_bids:asks_at])
            self._pending.append(change)
            rest = rest[asks_at:]


def _floats(parts: list[Levels]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([pair for part in parts for pair in part], np.float64).reshape(-1, 2)


def _pairs(block: np.ndarray[Any, np.dtype[np.float64]]) -> Levels:
    return [(price, volume) for price, volume in block.tolist()]
