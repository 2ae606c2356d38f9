"""The figures of all instruments of a venue on one day, and what is counted and ranked over them.

A table is one moment: its ranking and its breadth agree with its rows. Made by figures.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from bursa.model.errors import Refuse

RANKINGS = ("change", "volume", "value", "frequency")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Breadth:
    """How many instruments did what on the day; up, down, unchanged and untraded are all of them.

    unchanged        traded, and at the previous close or without one
    at_high, at_low  traded, moved, and now at the day's high or low
    volume, value, trades   of all instruments
    """

    up: int
    down: int
    unchanged: int
    untraded: int
    at_high: int
    at_low: int
    volume: float
    value: float
    trades: int


@dataclass(frozen=True, slots=True)
class DayTable:
    """Day figures of a venue's instruments, by ticker ascending; arrays of shape (n,), read-only.

    day       the venue's day that is shown: that of the newest figure
    as_of_ns  newest ts of all rows, 0 where there is none
    last, prev, open, high, low, bid, ask   float64, quote currency, NaN is null
    volume    float64, shares or base units; 0 where none
    value     float64, quote currency; 0 where none
    trades    int64
    ts        int64, ns UTC of the figures; 0 where there are none
    change    float64, percent (last / prev - 1) * 100; NaN without prev or without a trade today

    rows      ticker -> its place

    A row whose figures are of an earlier day has no trades, no change, and as last and prev its
    last price.
    """

    day: date
    as_of_ns: int
    tickers: list[str]
    last: Floats
    prev: Floats
    open: Floats
    high: Floats
    low: Floats
    bid: Floats
    ask: Floats
    volume: Floats
    value: Floats
    trades: Ints
    ts: Ints
    change: Floats
    rows: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.tickers)

    def ranking(self, by: str, limit: int, ascending: bool = False) -> list[int]:
        """Places of the first `limit` instruments traded on the day, the highest first unless
        `ascending`; equal ones by ticker. `change` ranks by percent and leaves out who has none.
        Refuse `unknown_ranking` for any other word than RANKINGS."""
        if by not in RANKINGS:
            known = ", ".join(RANKINGS)
            raise Refuse(f"by={by!r} is none of {known}", "unknown_ranking", parameter="by")
        values: Floats | Ints = self.trades if by == "frequency" else getattr(self, by)
        ranked = self.trades > 0
        if by == "change":
            ranked &= ~np.isnan(self.change)
        places = np.flatnonzero(ranked)
        keys = values[places]
        order = np.argsort(keys if ascending else -keys, kind="stable")
        found: list[int] = places[order[:limit]].tolist()
        return found

    def breadth(self) -> Breadth:
        """Counts over all instruments."""
        traded = self.trades > 0
        up = traded & (self.last > self.prev)
        down = traded & (self.last < self.prev)
        moved = traded & (self.high > self.low)
        return Breadth(
            up=int(up.sum()),
            down=int(down.sum()),
            unchanged=int((traded & ~up & ~down).sum()),
            untraded=int((~traded).sum()),
            at_high=int((moved & (self.last >= self.high)).sum()),
            at_low=int((moved & (self.last <= self.low)).sum()),
            volume=float(self.volume.sum()),
            value=float(self.value.sum()),
            trades=int(self.trades.sum()),
        )
