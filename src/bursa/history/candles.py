"""The one reader of bars and metric rows: every surface asks here.

Memory first: where the rings hold all of a range they answer at once, on the caller's thread. Else
the store is read off the event loop and the rings' rows are laid over it: a bar is in its ring
before the store has committed it. Longer timeframes are rolled up from 1-minute bars, HD is joined
from the metric rows of the same minutes. A bar whose trades were all taken back is no candle: it is
left out, but for who asks for it. Does not shape answers (api/) and does not write.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bursa.bars.rollup import roll_up
from bursa.history import rows
from bursa.history.offload import Offload
from bursa.history.past import was_closed
from bursa.metrics.catalog import Catalogue
from bursa.metrics.engine import compute
from bursa.metrics.metric import Metric
from bursa.model.batch import Batch, Block, Words
from bursa.model.calendar import DAY_NS
from bursa.model.schema import FREQS
from bursa.model.timeframe import TIMEFRAMES, bucket_end, buckets, lookback_ns, minutes_of
from bursa.model.venue import Venue
from bursa.ports import Store

FOREVER_NS = 2**62
# More than any ring holds: "all that is there".
_ALL = 10**9
# A range of long bars is read forward in stretches of this many times its bars' nominal length, so
# that nights and weekends are covered at once as a rule.
_STRETCH = 5
_ATTEMPTS_MAX = 24
# What is read at once where longer bars are computed from the first one on; no bar is as long.
_PIECE_NS = 90 * DAY_NS


class Rings(Protocol):
    """The newest rows of each ticker in memory; its methods never wait."""

    catalogue: Catalogue

    def bars(self, ticker: str, n: int, before_ns: int | None = None) -> Batch | None:
        """The newest n closed 1-minute bars with ts < before_ns, ascending, each its newest
        revision; fewer where the ring holds fewer. None where there is no ring."""

    def metrics(self, ticker: str, n: int, before_ns: int | None = None) -> Batch | None:
        """The newest n metric rows, as `bars`."""

    def covers(self, ticker: str, start_ns: int, kind: str = "ohlcv") -> bool:
        """Does memory hold every row of a ticker with ts >= start_ns?"""

    def version(self, ticker: str, kind: str = "ohlcv") -> int:
        """A number that changes whenever a ring's rows do; 0 where there is no ring."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Which bars. Of those with start <= ts < end the newest `limit`, or else the oldest.

    as_of_ns  only what was known then; None: now
    open      with the bars that are still open (not together with as_of_ns)
    void      with the bars whose trades were all taken back
    hd        with HD at each bar; without it no metric row is read and HD is null
    columns   those of 1m bars that are looked at beside ts and rev, the others may be null; None:
              all. Reading a few from a file that is in no cache takes half the time of all
    """

    ticker: str
    tf: str
    limit: int
    start_ns: int = 0
    end_ns: int = FOREVER_NS
    newest: bool = True
    as_of_ns: int | None = None
    open: bool = False
    void: bool = False
    hd: bool = True
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Candles:
    """Bars ascending by ts, with HD at each (NaN is null); `more`: the range holds further ones,
    before the first (newest) or after the last."""

    bars: Batch
    hd: NDArray[np.float64]
    more: bool


@dataclass(frozen=True)
class Market:
    """What the reader needs of a venue.

    open_bars        open bars of some symbols (ids); safe to call from any thread
    closed_until_ns  event time up to which all minutes are closed; 0 before the first
    first_ns         ts of a ticker's first bar as far as known, else 0
    """

    venue: Venue
    words: Words
    store: Store
    rings: Rings
    open_bars: Callable[[Block], Batch]
    closed_until_ns: Callable[[], int]
    first_ns: Callable[[str], int]


class Reader:
    """Reads one venue."""

    def __init__(self, market: Market, offload: Offload) -> None:
        self._market, self._offload = market, offload
        self._calendar = market.venue.calendar

    async def candles(self, ask: Ask) -> Candles:
        """Bars as asked for; none where there are none. Raises what the store raises."""
        found = self.in_memory(ask)
        return found if found is not None else await self._offload.run(self.read, ask)

    async def changed(self, ticker: str, tf: str, minutes: Block) -> Candles:
        """The bars that some minutes (ascending) belong to, closed ones only, void ones too: what
        changed of them may be just that."""
        opens = np.unique(buckets(minutes, tf, self._calendar))
        start, end = (int(opens[0]), int(opens[-1]) + 1) if len(opens) else (0, 0)
        found = await self.candles(Ask(ticker, tf, _ALL, start, end, newest=False, void=True))
        wanted = np.isin(found.bars.column("ts"), opens)
        return Candles(rows.of(found.bars, found.bars.block[:, wanted]), found.hd[wanted], False)

    async def metrics(self, ask: Ask, metrics: Sequence[Metric]) -> tuple[Batch, bool]:
        """Rows of some metrics and whether there are more: stored ones for 1m. Of longer bars those
        whose kernel takes them are computed from the first stored bar on, by the same kernel (their
        rows bear rev 0); of others a bar has the value of its last minute."""
        return await self._offload.run(self._metrics, ask, metrics)

    # -- from memory -----------------------------------------------------------------------------

    def in_memory(self, ask: Ask) -> Candles | None:
        """The answer where the rings hold all of it; else None. Never waits."""
        if ask.as_of_ns is not None:
            return None
        opened = self._opened(ask)
        start, end = self._minute_range(ask)
        # Coverage is asked first: rows that leave the ring meanwhile make the answer too short,
        # never one with a hole.
        whole = self._market.rings.covers(ask.ticker, start)
        count = ask.limit + 1 if ask.tf == "1m" and ask.newest else _ALL
        ring = self._market.rings.bars(ask.ticker, count, end)
        if ring is None:
            return None
        minutes = rows.between(ring, start, end)
        if ask.tf == "1m":
            if len(_shown(ask, minutes)) != len(minutes):
                ring = self._market.rings.bars(ask.ticker, _ALL)  # for the limit counts shown ones
                if ring is None:
                    return None
                minutes = _shown(ask, rows.between(ring, start, end))
            if not whole and not (ask.newest and len(minutes) > ask.limit):
                return None
            return self._cut(ask, _joined(opened, minutes), self._ring_hd)
        if not whole:
            if not ask.newest or not len(minutes):
                return None
            minutes = self._without_first_bucket(minutes, ask.tf)
        found = self._rolled(ask, _joined(opened, minutes), self._ring_hd)
        return found if whole or found.more else None

    def _ring_hd(self, ask: Ask, ts: Block) -> NDArray[np.float64]:
        none = np.full(len(ts), np.nan)
        if not len(ts) or not self._shows_hd(ask):
            return none
        held = self._market.rings.metrics(ask.ticker, len(ts) + 1, int(ts[-1]) + 1)
        return none if held is None else rows.aligned(ts, held, "hd")

    def _without_first_bucket(self, minutes: Batch, tf: str) -> Batch:
        """Less those of the first bar, which may lack minutes that the ring no longer holds."""
        opens = buckets(minutes.column("ts"), tf, self._calendar)
        return rows.of(minutes, minutes.block[:, opens > opens[0]])

    # -- from the store --------------------------------------------------------------------------

    def read(self, ask: Ask) -> Candles:
        """The answer from the store and the rings. Blocks."""
        opened = self._opened(ask)
        if ask.tf == "1m":
            minutes = self._shown_minutes(ask, ask.limit + 1)
            return self._cut(ask, _joined(opened, minutes), self._stored_hd)
        last = self._last_ns(ask)
        if last is None:
            none = _joined(opened, self._minutes(ask, 0, 0))
            return self._rolled(ask, none, self._stored_hd)
        read = self._newest_long if ask.newest else self._oldest_long
        return read(ask, last, opened)

    def _shown_minutes(self, ask: Ask, count: int) -> Batch:
        """The 1-minute bars that are shown, `count` at least where there are as many."""
        more = 0
        while True:
            found = self._minutes(ask, ask.start_ns, ask.end_ns, count + more)
            kept = _shown(ask, found)
            left_out = len(found) - len(kept)
            if left_out <= more or len(found) < count + more:
                return kept
            more = 2 * left_out

    def _newest_long(self, ask: Ask, last_ns: int, opened: Batch | None) -> Candles:
        lowest, end = self._minute_range(ask)
        lowest = max(lowest, self._market.first_ns(ask.ticker))
        before, count = min(end, last_ns + 1), ask.limit + 1
        found: Candles | None = None
        for _ in range(_ATTEMPTS_MAX):
            start = self._stretch_start(ask.tf, count, before, lowest)
            minutes = self._minutes(ask, max(start, min(lowest, before)), end)
            found = self._rolled(ask, _joined(opened, minutes), self._stored_hd)
            if found.more or start <= lowest:
                break
            count *= 4
        assert found is not None, "at least one attempt is made"
        return found

    def _oldest_long(self, ask: Ask, last_ns: int, opened: Batch | None) -> Candles:
        start, highest = self._minute_range(ask)
        length = (ask.limit + 1) * TIMEFRAMES[ask.tf] * _STRETCH
        reach = max(start, self._market.first_ns(ask.ticker)) + length
        found: Candles | None = None
        for _ in range(_ATTEMPTS_MAX):
            end = highest if reach > last_ns else self._bucket_minutes(reach, ask.tf)[1]
            minutes = _joined(opened if end == highest else None, self._minutes(ask, start, end))
            found = self._rolled(ask, minutes, self._stored_hd)
            if found.more or end >= highest:
                break
            length *= 4
            reach += length
        assert found is not None, "at least one attempt is made"
        return found

    def _stretch_start(self, tf: str, count: int, before_ns: int, lowest_ns: int) -> int:
        if before_ns - lowest_ns <= count * TIMEFRAMES[tf]:
            return lowest_ns  # no venue trades so much of its time: all of it is needed
        start = lookback_ns(tf, count, self._calendar, before_ns)
        return self._bucket_minutes(start, tf)[0]

    def _minutes(self, ask: Ask, start_ns: int, end_ns: int, count: int | None = None) -> Batch:
        """1-minute bars of [start, end); with `count` at least that many from the asked-for end,
        where there are as many."""
        market = self._market
        columns = (*ask.columns, "trades") if ask.columns and ask.tf == "1m" else None
        # Memory first: a row that leaves its ring meanwhile was committed long ago.
        ring = market.rings.bars(ask.ticker, _ALL)
        stored = market.store.bars(
            market.venue.name,
            ask.ticker,
            start_ns,
            end_ns,
            as_of_ns=ask.as_of_ns,
            newest=count if ask.newest else None,
            oldest=None if ask.newest else count,
            columns=columns,
        )
        return self._laid_over(ask, stored, ring, start_ns, end_ns)

    def _metric_minutes(
        self, ask: Ask, start_ns: int, end_ns: int, columns: tuple[str, ...] | None = None
    ) -> Batch:
        market = self._market
        ring = market.rings.metrics(ask.ticker, _ALL)
        stored = market.store.metrics(
            market.venue.name,
            ask.ticker,
            start_ns,
            end_ns,
            as_of_ns=ask.as_of_ns,
            columns=columns,
        )
        return self._laid_over(ask, stored, ring, start_ns, end_ns)

    def _laid_over(
        self, ask: Ask, stored: Batch, ring: Batch | None, start_ns: int, end_ns: int
    ) -> Batch:
        """Stored rows and, over them, what is in memory of the same range."""
        if ring is None or not len(ring):
            return stored
        recent = rows.known_by(rows.between(ring, start_ns, end_ns), ask.as_of_ns)
        if not len(recent):
            return stored
        return rows.newest_revisions([stored, recent]) if len(stored) else recent

    def _stored_hd(self, ask: Ask, ts: Block) -> NDArray[np.float64]:
        if not len(ts) or not self._shows_hd(ask):
            return np.full(len(ts), np.nan)
        held = self._metric_minutes(ask, int(ts[0]), int(ts[-1]) + 1, ("hd",))
        return rows.aligned(ts, held, "hd")

    def _last_ns(self, ask: Ask) -> int | None:
        """ts of the newest 1-minute bar before the end of the range; None where there is none."""
        end = self._minute_range(ask)[1]
        ring = self._market.rings.bars(ask.ticker, _ALL)
        found = None if ring is None else rows.between(ring, 0, end)
        if found is None or not len(found) or ask.as_of_ns is not None:
            found = self._minutes(replace(ask, newest=True), 0, end, 1)
        return int(found.column("ts")[-1]) if len(found) else None

    # -- both ------------------------------------------------------------------------------------

    def _shows_hd(self, ask: Ask) -> bool:
        return ask.hd and self._market.venue.gates is not None

    def _minute_range(self, ask: Ask) -> tuple[int, int]:
        """The minutes that bars with start <= ts < end are made of, and maybe some more."""
        if ask.tf == "1m":
            return ask.start_ns, ask.end_ns
        start = self._bucket_minutes(ask.start_ns, ask.tf)[0] if ask.start_ns > 0 else 0
        end = ask.end_ns
        return start, self._bucket_minutes(end - 1, ask.tf)[1] if 0 < end < FOREVER_NS else end

    def _bucket_minutes(self, ts_ns: int, tf: str) -> tuple[int, int]:
        """The range of minutes of the bar that a minute belongs to."""
        opens = buckets(np.array([ts_ns], np.int64), tf, self._calendar)
        return minutes_of(int(opens[0]), tf, self._calendar)

    def _opened(self, ask: Ask) -> Batch | None:
        """The open minutes where they are asked for. To be read before the closed ones, so that a
        bar which closes meanwhile is in both rather than in none."""
        symbol = self._market.words.find_symbol(ask.ticker) if ask.open else -1
        if symbol < 0:
            return None
        opened = self._market.open_bars(np.array([symbol], np.int64))
        return rows.between(opened, *self._minute_range(ask))

    def _cut(
        self, ask: Ask, found: Batch, hd: Callable[[Ask, Block], NDArray[np.float64]]
    ) -> Candles:
        found = _shown(ask, found)
        more = len(found) > ask.limit
        kept = rows.tail(found, ask.limit) if ask.newest else rows.head(found, ask.limit)
        return Candles(kept, hd(ask, kept.column("ts")), more)

    def _rolled(
        self, ask: Ask, minutes: Batch, hd: Callable[[Ask, Block], NDArray[np.float64]]
    ) -> Candles:
        """Longer bars of minutes; only those with start <= ts < end, closed unless asked for."""
        bars = roll_up(minutes, ask.tf, self._market.venue)
        bars = rows.between(bars, ask.start_ns, ask.end_ns)
        if len(bars) and not ask.open and not self._is_over(ask, bars, minutes):
            bars = rows.head(bars, len(bars) - 1)
        cut = self._cut(ask, bars, lambda _, ts: np.full(len(ts), np.nan))
        opens = cut.bars.column("ts")
        if not len(opens):
            return cut
        ts = minutes.column("ts")
        inside = buckets(ts, ask.tf, self._calendar)
        wanted = (inside >= opens[0]) & (inside <= opens[-1])
        values = rows.last_inside(opens, inside[wanted], hd(ask, ts[wanted]))
        return replace(cut, hd=values)

    def _is_over(self, ask: Ask, bars: Batch, minutes: Batch) -> bool:
        """Is the last bar closed? As of the past: was it, by what was known then? The range may end
        with the bar, so that its own minutes alone do not tell."""
        end = bucket_end(int(bars.column("ts")[-1]), ask.tf, self._calendar)
        if ask.as_of_ns is None:
            return end <= self._market.closed_until_ns()
        if end <= int(minutes.column("ts")[-1]) + TIMEFRAMES["1m"]:
            return True
        return was_closed(self._market.store, self._market.venue, end, ask.as_of_ns)

    # -- metric rows -----------------------------------------------------------------------------

    def _metrics(self, ask: Ask, metrics: Sequence[Metric]) -> tuple[Batch, bool]:
        columns = tuple(column.name for metric in metrics for column in metric.columns)
        own = [metric.name for metric in metrics if ask.tf in metric.timeframes]
        if ask.tf == "1m":
            found = self._stored_metrics(ask, columns)
        elif not own:
            found = self._last_minute_values(ask, columns)
        else:
            market = self._market
            every = compute(own, self._whole(ask), market.venue, market.rings.catalogue)
            found = rows.between(every, ask.start_ns, ask.end_ns)
        more = len(found) > ask.limit
        found = (rows.tail if ask.newest else rows.head)(found, ask.limit)
        if own and len(own) < len(metrics) and len(found):
            ts = found.column("ts")
            asked = replace(ask, start_ns=int(ts[0]), end_ns=int(ts[-1]) + 1)
            last = self._last_minute_values(asked, columns)
            for metric in metrics:
                if ask.tf not in metric.timeframes:
                    for column in metric.columns:
                        found.column(column.name)[:] = rows.aligned(ts, last, column.name)
        return found, more

    def _stored_metrics(self, ask: Ask, columns: tuple[str, ...]) -> Batch:
        """1-minute rows of the range: one more than asked for, where there are as many."""
        market, count = self._market, ask.limit + 1
        ring = market.rings.metrics(ask.ticker, _ALL)
        found = market.store.metrics(
            market.venue.name,
            ask.ticker,
            ask.start_ns,
            ask.end_ns,
            as_of_ns=ask.as_of_ns,
            newest=count if ask.newest else None,
            oldest=None if ask.newest else count,
            columns=columns,
        )
        return self._laid_over(ask, found, ring, ask.start_ns, ask.end_ns)

    def _whole(self, ask: Ask) -> Batch:
        """All closed longer bars from the first one to the end of the range. Their minutes are read
        in pieces, for they would be too many at once."""
        ask = replace(ask, newest=False)
        stop = self._minute_range(ask)[1]
        minutes, last = self._minutes(ask, 0, stop, 1), self._last_ns(ask)
        if last is None or not len(minutes):
            return rows.head(minutes, 0)
        at, found = self._bucket_minutes(int(minutes.column("ts")[0]), ask.tf)[0], []
        while at <= last:
            own = self._bucket_minutes(at, ask.tf)[1]  # a piece that is all night ends before it
            upto = max(self._bucket_minutes(at + _PIECE_NS, ask.tf)[0], own)
            piece = self._minutes(ask, at, min(upto, stop))
            if len(piece):
                minutes = piece
                found.append(roll_up(piece, ask.tf, self._market.venue))
            at = upto
        bars = rows.of(found[-1], np.concatenate([one.block for one in found], axis=1))
        bars.column("ticker")[:] = found[-1].block[0, 0]  # a store's words are not the line's
        bars = rows.between(bars, 0, ask.end_ns)
        if len(bars) and not self._is_over(ask, bars, minutes):
            bars = rows.head(bars, len(bars) - 1)
        return _shown(ask, bars)

    def _last_minute_values(self, ask: Ask, columns: tuple[str, ...]) -> Batch:
        """For each longer bar the metric row of its last minute, put at the bar's opening; one bar
        more than asked for, where there are as many."""
        asked = self.read(replace(ask, limit=ask.limit + 1, hd=False))
        opens = asked.bars.column("ts")
        if not len(opens):
            return self._metric_minutes(ask, 0, 0, columns)
        start = self._bucket_minutes(int(opens[0]), ask.tf)[0]
        end = minutes_of(int(opens[-1]), ask.tf, self._calendar)[1]
        minutes = self._metric_minutes(ask, start, end, columns)
        inside = buckets(minutes.column("ts"), ask.tf, self._calendar)
        last = np.append(inside[1:] != inside[:-1], True)[: len(inside)] & np.isin(inside, opens)
        block = minutes.block[:, last].copy()
        block[minutes.kind.index["ts"]] = inside[last]
        block[minutes.kind.index["freq"]] = FREQS.index(ask.tf)
        return rows.of(minutes, block)


def _shown(ask: Ask, bars: Batch) -> Batch:
    return bars if ask.void else rows.traded(bars)


def _joined(opened: Batch | None, minutes: Batch) -> Batch:
    """Open and closed minutes in one; a minute that is in both is closed."""
    if opened is None or not len(opened):
        return minutes
    return rows.newest_revisions([opened, minutes]) if len(minutes) else opened
