"""Reads what continuity.py judges: which minutes have bars, status rows, how far the channels are.

The ledger of a venue is its status rows in the store and, over them, the latest in memory: a gap
counts from the moment it is seen. Minutes are bits (store/coverage.py), so that ten years of a
ticker are one question; over them lie the bars of its ring, which the store may not have yet. Where
the store is so far behind that a ring does not reach back to it, nothing is judged from there on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from bursa.history import rows
from bursa.history.candles import Market
from bursa.history.continuity import (
    Asked,
    Continuity,
    Evidence,
    classify,
    heat,
    minutes_asked,
)
from bursa.history.offload import Offload
from bursa.history.present import Recent
from bursa.model.batch import Batch
from bursa.model.calendar import DAY_NS, MINUTE_NS
from bursa.model.covered import Bits, Coverage, Covered, Days, Ints, unpack
from bursa.model.schema import INT_NULL

_ALL = 10**9


@dataclass(frozen=True, slots=True)
class Range:
    """Bars of a timeframe that open at start <= ts < end of event time, and the newest event time
    of each channel, 0 where unknown."""

    start_ns: int
    end_ns: int
    live_ns: tuple[int, ...]
    tf: str = "1m"


@dataclass(frozen=True, slots=True)
class Heat:
    """How whole a venue's days are, up to `known_to_ns`.

    days      the trading days, ascending
    expected  minutes of each, int64 (days,)
    tickers   those that have a bar in one of them, or next to them, ascending
    counts    state -> minutes of each ticker and day, int64 (tickers, days)
    nobody    state -> minutes of each day for a ticker that has no bar at all, int64 (days,)
    """

    known_to_ns: int
    days: tuple[date, ...]
    expected: Ints
    tickers: tuple[str, ...]
    counts: dict[str, Ints]
    nobody: dict[str, Ints]


class Ledger:
    """Continuity of one venue."""

    def __init__(self, market: Market, recent: Recent, offload: Offload) -> None:
        self._market, self._recent, self._offload = market, recent, offload
        # The newest minute that the store is known to have had a bar of.
        self._stored_ns = INT_NULL

    async def continuity(self, ticker: str, asked: Range) -> Continuity:
        """The state of a ticker's expected bars that open in the range and are closed."""
        return await self._offload.run(self.read, ticker, asked)

    async def heat(self, asked: Range) -> Heat:
        """How whole the days are that begin in the range, of every ticker."""
        return await self._offload.run(self.read_heat, asked)

    async def status(self, start_ns: int, end_ns: int) -> Batch:
        """The venue's status rows of [start, end), ascending by ts: sessions, gaps, links."""
        return await self._offload.run(self._status, start_ns, end_ns)

    def read(self, ticker: str, asked: Range) -> Continuity:
        """As `continuity`. Blocks."""
        venue, what = self._market.venue, self._asked(asked)
        # A minute is proved by signs of life on both sides, within its day.
        days = self._days(*minutes_asked(what, venue.calendar))
        # Memory first: a row that leaves its ring meanwhile is judged by whether the store had it.
        ring = self._market.rings.bars(ticker, _ALL)
        stored_ns = self._stored([ticker])
        if self._lacks([ticker], stored_ns):
            what = replace(what, closed_ns=min(what.closed_ns, stored_ns))
        stored = self._market.store.covered(venue.name, ticker, days.first, days.day(len(days)))
        covered = stored if ring is None else _laid_over(stored, ring, days)
        return classify(what, self._evidence(days, covered.heard, asked), covered, venue)

    def read_heat(self, asked: Range) -> Heat:
        """As `heat`. Blocks."""
        venue, what = self._market.venue, self._asked(asked)
        days = self._days(what.start_ns, min(what.end_ns, what.closed_ns))
        until = min(what.end_ns, what.closed_ns)
        tickers = list(self._market.words.symbols)
        stored_ns = self._stored(tickers)
        stored = self._market.store.coverage(venue.name, days.first, days.day(len(days)))
        stored = self._with_newest(stored, days, until)
        if self._lacks(tickers, stored_ns):
            until = max(min(until, stored_ns), what.start_ns)
        evidence = self._evidence(days, stored.heard, asked)
        expected, counts = heat(what.start_ns, until, evidence, stored, venue)
        blank = np.zeros((1, *stored.heard.shape), np.uint64)
        nothing = Coverage(("",), blank, blank, blank, stored.heard)
        _, nobody = heat(what.start_ns, until, evidence, nothing, venue)
        shown = np.flatnonzero(np.bitwise_count(evidence.expected).any(axis=1))
        opens, ends = days.midnights[shown], days.midnights[shown + 1]
        shown = shown[(opens < what.end_ns) & (ends > what.start_ns)]
        return Heat(
            until,
            tuple(days.day(row) for row in shown.tolist()),
            expected[shown],
            stored.tickers,
            {word: found[:, shown] for word, found in counts.items()},
            {word: found[0, shown] for word, found in nobody.items()},
        )

    def _with_newest(self, stored: Coverage, days: Days, until_ns: int) -> Coverage:
        """What is stored, and bars that the store has not committed yet: without them a minute that
        just closed would seem to be without trades."""
        since = _newest(days, stored.heard)
        if since + MINUTE_NS > until_ns:
            return stored
        held: dict[str, tuple[Bits, Bits]] = {}
        heard = np.zeros(stored.heard.shape, np.uint64)
        for ticker in list(self._market.words.symbols):
            ring = self._market.rings.bars(ticker, min((until_ns - since) // MINUTE_NS + 1, _ALL))
            if ring is None:
                continue
            bars = rows.traded(rows.between(ring, since, until_ns))
            if len(bars):
                live = bars.column("source") < 0
                held[ticker] = days.pack(bars.column("ts")), days.pack(bars.column("ts")[live])
                heard |= held[ticker][1]
        if not held:
            return stored
        tickers = sorted({*stored.tickers, *held})
        place = {ticker: at for at, ticker in enumerate(tickers)}
        at = [place[ticker] for ticker in stored.tickers]
        received, alive, faulty = (
            np.zeros((len(tickers), *heard.shape), np.uint64) for _ in range(3)
        )
        received[at], alive[at] = stored.received, stored.received & ~stored.backfilled
        faulty[at] = stored.faulty
        for ticker, (every, came_live) in held.items():
            received[place[ticker]] |= every
            alive[place[ticker]] |= came_live
        heard |= stored.heard
        return Coverage(tuple(tickers), received, received & ~alive, faulty, heard)

    def _stored(self, tickers: Sequence[str]) -> int:
        """The newest minute of which the store is known to have a bar; looked up anew where a ring
        does not reach back to the one known before, which is seldom."""
        if self._lacks(tickers, self._stored_ns):
            found = self._market.store.minute_back(self._market.venue.name, 1)
            self._stored_ns = max(self._stored_ns, found)
        return self._stored_ns

    def _lacks(self, tickers: Sequence[str], stored_ns: int) -> bool:
        """Has the ring of one of them let go what is newer than that? Bars come in the order of
        their minutes: what is older is stored."""
        rings = self._market.rings
        return any(rings.version(t) and not rings.covers(t, stored_ns) for t in tickers)

    def _asked(self, asked: Range) -> Asked:
        closed_ns = self._market.closed_until_ns() // MINUTE_NS * MINUTE_NS
        return Asked(asked.start_ns, asked.end_ns, closed_ns, asked.tf)

    def _days(self, start_ns: int, end_ns: int) -> Days:
        """The days of some minutes, one at least; and what proves their first and last ones."""
        calendar = self._market.venue.calendar
        first = calendar.day_of(start_ns)
        until = calendar.day_of(max(end_ns - 1, start_ns)) + timedelta(days=1)
        return Days.around(calendar, first, until)

    def _evidence(self, days: Days, heard: Bits, asked: Range) -> Evidence:
        venue = self._market.venue
        channels = [at for at, channel in enumerate(venue.channels) if channel.ticks]
        # Past midnight a sign proves the day before where trading goes on.
        status = self._status(int(days.midnights[0]), int(days.midnights[-1]) + DAY_NS)
        live_ns = [asked.live_ns[at] for at in channels]
        return Evidence(days, days.expected(venue.calendar), status, channels, heard, live_ns)

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


def _laid_over(stored: Covered, ring: Batch, days: Days) -> Covered:
    """What is stored, and the bars of a ring; there, one with a fault is a bar like any other."""
    bars = rows.traded(ring)
    live = bars.column("source") < 0
    heard = days.pack(bars.column("ts")[live])
    received = stored.received | days.pack(bars.column("ts")) & ~stored.faulty
    alive = (stored.received & ~stored.backfilled) | heard
    return Covered(received, received & ~alive, stored.faulty, stored.heard | heard)


def _newest(days: Days, heard: Bits) -> int:
    """The newest minute in which anybody's bar came live; 0 where there is none."""
    found = np.flatnonzero(heard.any(axis=1))
    if not len(found):
        return 0
    row = int(found[-1])
    minute = int(np.flatnonzero(unpack(heard[row : row + 1])[0])[-1])
    return int(days.midnights[row]) + minute * MINUTE_NS
