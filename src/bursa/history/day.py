"""The venue's day as it stands: figures of every instrument, rankings, breadth, indices, sparks.

All of it answers from memory and never waits. A venue that sends day figures (snapshots) is shown
as it tells them; instruments without any are shown by their minutes (day_bars.py). Does not know
names (directory.py), does not read stored days (trail.py does) and does not shape answers.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from bursa.history.candles import Market
from bursa.history.day_bars import DayBars
from bursa.history.day_table import RANKINGS, Breadth, DayTable, Ints
from bursa.history.figures import Figures, Listed, listed, listed_state
from bursa.history.offload import Offload
from bursa.history.present import Present
from bursa.history.rows import traded
from bursa.history.trail import Trail, Trails
from bursa.model.errors import BursaError
from bursa.ops.logs import logger
from bursa.ports import Clock

RENEW_EVERY_S = 2.0
# For so long all who ask get the same table.
REMEMBER_NS = 250_000_000
_SPARKS_MAX = 4_096
_DAY_MINUTES = 24 * 60

__all__ = ["RANKINGS", "Breadth", "DayTable", "IndexFigure", "MarketDay", "Parts", "Trail"]

_log = logger("day")


@dataclass(frozen=True, slots=True)
class IndexFigure:
    """An index as it was heard last. prev is NaN where there is none."""

    code: str
    ts_ns: int
    value: float
    prev: float
    value_traded: float


@dataclass(frozen=True)
class Parts:
    """What a day needs of its venue. `now_ns` is the venue's clock."""

    market: Market
    present: Present
    now_ns: Callable[[], int]


class MarketDay:
    """The day of one venue. Its methods run on the event loop, all but `run` at once."""

    def __init__(self, parts: Parts, clock: Clock, offload: Offload) -> None:
        market = parts.market
        self._venue, self._words, self._rings = market.venue, market.words, market.rings
        self._calendar = market.venue.calendar
        self._present, self._now_ns = parts.present, parts.now_ns
        self._clock, self._offload = clock, offload
        self._trails = Trails(market.venue, market.store, parts.present)
        self._bars = DayBars(market)
        self._listed = Listed()
        self._table: DayTable | None = None
        self._made_ns = 0
        self._sparks: dict[tuple[str, int], tuple[object, list[float | None]]] = {}

    # -- instruments -----------------------------------------------------------------------------

    def table(self) -> DayTable:
        """The figures of all instruments, at most a quarter of a second old. A later table may have
        other places: who ranks and reads rows takes both from one."""
        now_ns = self._clock.now_ns()
        if self._table is None or not 0 <= now_ns - self._made_ns < REMEMBER_NS:
            self._table, self._made_ns = self._make(), now_ns
        return self._table

    def spark(self, ticker: str, points: int) -> list[float | None]:
        """Closes over `points` equal parts of the day's trading minutes so far (fewer parts where
        there are fewer minutes), oldest first; None for a part without a bar. Minutes before the
        first part, as an opening auction's, count in it, later ones in the last."""
        day, now_ns = self.table().day, self._now_ns()
        minutes = self._calendar.expected_minutes(day)
        minutes = minutes[: int(np.searchsorted(minutes, now_ns))]
        parts = min(points, len(minutes))
        if parts <= 0:
            return []
        state = (day, len(minutes), self._rings.version(ticker))
        kept = self._sparks.get((ticker, points))
        if kept is not None and kept[0] == state:
            return list(kept[1])
        values = self._spark(ticker, day, minutes[np.arange(parts) * len(minutes) // parts])
        if len(self._sparks) >= _SPARKS_MAX:
            self._sparks.clear()
        self._sparks[ticker, points] = state, values
        return list(values)

    def _spark(self, ticker: str, day: date, starts: Ints) -> list[float | None]:
        midnight = self._calendar.midnight_ns(day)
        after = self._calendar.midnight_ns(day + timedelta(days=1))
        bars = self._rings.bars(ticker, _DAY_MINUTES, after)
        closes = np.full(len(starts), np.nan)
        if bars is not None:
            bars = traded(bars)
            today = bars.column("ts") >= midnight
            ts, close = bars.column("ts")[today], bars.column("close")[today]
            at = np.maximum(np.searchsorted(starts, ts, side="right") - 1, 0)
            closes[at] = close  # of one part's minutes the last one stays
        return [None if close != close else close for close in closes.tolist()]

    # -- indices ---------------------------------------------------------------------------------

    def indices(self) -> list[IndexFigure]:
        """All indices, the venue's main one first, then by code."""
        rows = self._present.last("index")
        figures = [
            IndexFigure(code or "", ts, value, prev, traded)
            for code, ts, value, prev, traded in zip(
                rows.text("index_code"),
                *(rows.column(n).tolist() for n in ("ts", "value", "prev", "value_traded")),
                strict=True,
            )
        ]
        main = self._venue.main_index
        return sorted(figures, key=lambda figure: (figure.code != main, figure.code))

    def trail(self, code: str) -> Trail:
        """The way of an index through the day that is shown, a value a minute; empty where there
        is none. As of the last renewal, with the newest value over it."""
        return self._trails.trail(code, self.table().day)

    def usual(self) -> float | None:
        """The value traded so far, over what it was on average at this time of day on the last
        trading days that are stored, by the main index; None where that is not known."""
        return self._trails.usual(self.table().day)

    # -- renewal ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Renew for ever; a store that is away is tried again at the next turn."""
        while True:
            try:
                await self.renew()
            except BursaError as away:
                _log.warning("day not renewed", venue=self._venue.name, why=str(away))
            await asyncio.sleep(RENEW_EVERY_S)

    async def renew(self) -> None:
        """Read what lies in the store and in the rings once, off the event loop."""
        day = self.table().day
        await self._offload.run(self._renew, day)
        self._table = None

    def _renew(self, day: date) -> None:
        self._listed = listed(self._present, self._words)
        self._bars.renew(day, self._without_figures(day))
        self._trails.renew(day)

    def _without_figures(self, day: date) -> list[str]:
        """Tickers that traded on the day and of which the venue sends no day figures."""
        midnight = self._calendar.midnight_ns(day)
        ticks, told = self._present.last("ticks"), self._present.last("snapshot")
        known = told.column("ticker")[told.column("ts") >= midnight]
        mine = (ticks.column("ts") >= midnight) & ~np.isin(ticks.column("ticker"), known)
        names = ticks.text("ticker")
        return [names[at] or "" for at in np.flatnonzero(mine).tolist()]

    # -- the table -------------------------------------------------------------------------------

    def _make(self) -> DayTable:
        told = self._present.last("snapshot")
        ticks = self._present.last("ticks")
        index = self._present.last("index")
        present, words = self._present, self._words
        if self._listed.state != listed_state(present, words, len(told), len(ticks)):
            self._listed = listed(present, words)
        newest = [int(rows.column("ts").max()) for rows in (told, ticks, index) if len(rows)]
        day = self._calendar.day_of(max(newest, default=self._now_ns()))
        instruments = self._listed  # replaced as a whole, by `renew`
        figures = Figures(instruments, self._calendar.midnight_ns(day))
        figures.take_told(told)
        figures.take_bars(self._bars.figures(day))
        figures.take_trades(ticks)
        figures.take_quotes(self._present.last("quotes"))
        return figures.table(day)
