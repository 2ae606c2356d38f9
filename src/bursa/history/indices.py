"""The one reader of index rows: stored ones and, behind them, those the store does not have yet.

A row is known by its index and its instant: of several of one instant the last that came counts.
Does not thin them (trail.py) and does not shape answers.
"""

from dataclasses import dataclass, replace

import numpy as np

from bursa.history import rows
from bursa.history.candles import FOREVER_NS, Market
from bursa.history.offload import Offload
from bursa.history.present import Present, Recent
from bursa.model.batch import Batch
from bursa.model.calendar import DAY_NS

# A page that a stretch of rows does not fill is looked for in one so many times as long.
_FARTHER = 8
_ALL = 10**9


@dataclass(frozen=True, slots=True)
class IndexAsk:
    """Which rows. Of those with start <= ts < end the newest `limit`, or else the oldest."""

    code: str
    limit: int
    start_ns: int = 0
    end_ns: int = FOREVER_NS
    newest: bool = True


class Indices:
    """The indices of one venue."""

    def __init__(self, market: Market, present: Present, recent: Recent, offload: Offload) -> None:
        self._market, self._offload = market, offload
        self._present, self._recent = present, recent

    def codes(self) -> list[str]:
        """The codes known so far: the venue's main one first, then by code. From memory."""
        main = self._market.venue.main_index
        found = {code for code in self._present.last("index").text("index_code") if code}
        return sorted(found, key=lambda code: (code != main, code))

    async def rows(self, ask: IndexAsk) -> tuple[Batch, bool]:
        """Rows ascending and unique by ts, and whether the range holds more of them (before these
        where the newest are asked for, else after). A few rows less than `limit` may come although
        there are more. Raises what the store raises."""
        return await self._offload.run(self.read, ask)

    def read(self, ask: IndexAsk) -> tuple[Batch, bool]:
        """As `rows`. Blocks."""
        # What is in memory is copied first: a row that leaves it meanwhile is in the store.
        recent = self._recent.index()
        stored = self._stored(ask)
        found = stored if recent is None else _behind(stored, self._of(ask, recent))
        ts = found.column("ts")
        more = len(found) > ask.limit
        if more and ask.newest:
            found = rows.tail(found, ask.limit)
        elif more:
            # An instant is not cut in two: all of its rows come with the next page.
            whole = int(np.searchsorted(ts, ts[ask.limit]))
            if not whole:
                return self.read(replace(ask, limit=_ALL, end_ns=int(ts[0]) + 1))[0], True
            found = rows.head(found, whole)
        ts = found.column("ts")
        last = np.append(ts[1:] != ts[:-1], True)[: len(ts)]
        return rows.of(found, found.block[:, last]), more

    def _stored(self, ask: IndexAsk) -> Batch:
        """More than `limit` stored rows from the asked-for end, or all that there are. They are
        looked for in stretches from there on: a year of rows is not gone through for a page."""
        market, edge = self._market, "newest" if ask.newest else "oldest"
        newest = self._present.last("index", ask.code).column("ts")
        last_ns = int(newest.max(initial=0))
        near = min(ask.end_ns, last_ns + 1) if ask.newest else ask.start_ns
        length = DAY_NS
        while True:
            start_ns = max(ask.start_ns, near - length) if ask.newest else ask.start_ns
            end_ns = ask.end_ns if ask.newest or near + length > last_ns else near + length
            end_ns = min(end_ns, ask.end_ns)
            found = market.store.index(
                market.venue.name, ask.code, start_ns, end_ns, **{edge: ask.limit + 1}
            )
            whole = start_ns <= ask.start_ns and end_ns >= ask.end_ns
            if whole or len(found) > ask.limit:
                return found
            length *= _FARTHER

    def _of(self, ask: IndexAsk, recent: Batch) -> Batch:
        """The rows that are asked for among those in memory."""
        ts = recent.column("ts")
        mine = recent.column("index_code") == self._market.words.find_symbol(ask.code)
        return rows.of(recent, recent.block[:, mine & (ts >= ask.start_ns) & (ts < ask.end_ns)])


def _behind(stored: Batch, recent: Batch) -> Batch:
    """Stored rows and the recent ones that were not stored yet, ascending by (ts, position)."""
    position = stored.kind.index["position"]
    held = max(stored.span.last, int(stored.block[position].max(initial=0)))
    later = recent.block[:, recent.block[position] > held]
    if not later.shape[1]:
        return stored
    block = np.concatenate([stored.block, later], axis=1)
    block[0] = later[0, 0]  # a store's dictionary is not the line's
    order = np.lexsort((block[position], block[stored.kind.index["ts"]]))
    return rows.of(recent, np.ascontiguousarray(block[:, order]))
