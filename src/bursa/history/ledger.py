"""Reads what continuity.py judges: status rows, one ticker's bars, how far the channels are.

The ledger of a venue is its status rows in the store and, over them, the latest in memory: a gap
counts from the moment it is seen.
"""

from dataclasses import dataclass

import numpy as np

from bursa.history import rows
from bursa.history.candles import Ask, Market, Reader
from bursa.history.continuity import Continuity, Evidence, classify
from bursa.history.offload import Offload
from bursa.history.present import Recent
from bursa.model.batch import Batch
from bursa.model.calendar import DAY_NS, MINUTE_NS

_ALL = 10**9


@dataclass(frozen=True, slots=True)
class Range:
    """[start, end) of event time, and the newest event time of each channel, 0 where unknown."""

    start_ns: int
    end_ns: int
    live_ns: tuple[int, ...]


class Ledger:
    """Continuity of one venue."""

    def __init__(self, market: Market, reader: Reader, recent: Recent, offload: Offload) -> None:
        self._market, self._reader = market, reader
        self._recent, self._offload = recent, offload

    async def continuity(self, ticker: str, asked: Range) -> Continuity:
        """The state of a ticker's expected minutes that open in the range and are closed."""
        return await self._offload.run(self._read, ticker, asked)

    async def status(self, start_ns: int, end_ns: int) -> Batch:
        """The venue's status rows of [start, end), ascending by ts: sessions, gaps, links."""
        return await self._offload.run(self._status, start_ns, end_ns)

    def _read(self, ticker: str, asked: Range) -> Continuity:
        venue, calendar = self._market.venue, self._market.venue.calendar
        closed_ns = self._market.closed_until_ns() // MINUTE_NS * MINUTE_NS
        end_ns = max(asked.start_ns, min(asked.end_ns, closed_ns))
        # A minute is proved by signs of life on both sides, within its day.
        first = calendar.midnight_ns(calendar.day_of(asked.start_ns))
        until = calendar.midnight_ns(calendar.day_of(end_ns)) + 2 * DAY_NS
        bars = self._reader.read(
            Ask(ticker, "1m", _ALL, first, min(until, max(asked.end_ns, end_ns)), newest=False)
        ).bars
        channels = [at for at, channel in enumerate(venue.channels) if channel.ticks]
        evidence = Evidence(
            self._status(first, until),
            channels,
            bars.column("ts"),
            [asked.live_ns[at] for at in channels],
        )
        return classify(asked.start_ns, end_ns, evidence, calendar)

    def _status(self, start_ns: int, end_ns: int) -> Batch:
        # What is in memory is copied first: a row that leaves it meanwhile is in the store.
        recent = self._recent.status()
        stored = self._market.store.status(self._market.venue.name, start_ns, end_ns)
        if recent is None:
            return stored
        ts = recent.column("ts")
        block = recent.block[:, (ts >= start_ns) & (ts < end_ns)]
        block = np.concatenate([stored.block, block], axis=1)
        index = stored.kind.index
        key = block[[index[name] for name in ("ts", "channel", "state", "seq_from")]]
        _, first = np.unique(key, axis=1, return_index=True)
        return rows.of(stored if len(stored) else recent, np.ascontiguousarray(block[:, first]))
