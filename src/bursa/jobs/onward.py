"""Metric rows that follow from bars that were entered: how a backfill, a restore and a repair end.

What was entered changes what is said of all bars behind it, of the same ticker. So rows are
computed by time (by_time.py) from the first of these bars on, to the end of the range and some days
further (some metrics never forget), and entered where none is stored, or as revisions where they
say something else. Done again it finds nothing, done for more days it goes on.
"""

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from bursa.jobs import entry
from bursa.jobs.backfill_metric import ground_of
from bursa.jobs.by_time import bars_by_time, metrics_by_time
from bursa.model.batch import Batch, Block
from bursa.model.calendar import DAY_NS
from bursa.model.schema import OHLCV
from bursa.pipeline.runtime import VenueRuntime

# Days after a range whose metric rows are computed anew. All that was entered so many days before
# counts for them too, so that ranges near each other give the same in any order.
ONWARD = 31
ONWARD_MAX = 3650

Whose = Callable[[Block], NDArray[np.bool_]]
"""Which bars are meant, by their `source`."""


def entered_bars(source: Block) -> NDArray[np.bool_]:
    """Whose: those that were entered by any job."""
    return source >= 0


@dataclass
class Onward:
    """Of the bars of one venue with start <= ts < end, which must not be the feed's any more.

    days      after that whose rows follow, of the venue's clock; 0: none
    source    index of what revised rows of live bars were made of; those of bars that were entered
              bear their bar's, unless `all_`
    metrics   rows written; `later`: of them, those of `end_ns` and later
    until_ns  up to where rows follow
    cut       there are bars of these tickers past that, which were not looked at
    """

    runtime: VenueRuntime
    start_ns: int
    end_ns: int
    days: int
    source: int
    all_: bool = False
    metrics: int = 0
    later: int = 0
    cut: bool = False

    def __post_init__(self) -> None:
        calendar, self.until_ns = self.runtime.venue.calendar, self.end_ns
        if self.days:
            day = calendar.day_of(self.end_ns - 1) + timedelta(days=1 + self.days)
            self.until_ns = max(self.end_ns, entry.reached(self.runtime, calendar.midnight_ns(day)))

    def run(
        self, tickers: Collection[str] | None, whose: Whose = entered_bars
    ) -> Generator[float, None, None]:
        """Do it for those of some tickers, or (None) of all, of which bars of the range are stored
        that are meant; yields which share is done. Raises Retry where journal or store are away:
        what was entered stays."""
        runtime = self.runtime
        entry.wait_committed(runtime, runtime.entered_to)
        first = yield from self._first(tickers, whose)
        if not first:
            return
        spans = runtime.hot.span(runtime.venue.name)
        newest_ns = max(spans[ticker][1] for ticker in first)
        self.cut = self.until_ns < entry.reached(runtime, newest_ns + 1)
        since_ns, within = self._since_ns(first), (self.start_ns, self.until_ns)
        for rows, done in metrics_by_time(ground_of(runtime), first, *within, since_ns):
            if len(rows):
                self._take(rows, first)
            yield done

    def _first(
        self, tickers: Collection[str] | None, whose: Whose
    ) -> Generator[float, None, dict[str, int]]:
        """Ticker -> its first bar that is meant."""
        first: dict[str, int] = {}
        ground = ground_of(self.runtime)
        for bars in bars_by_time(ground, tickers, self.start_ns, self.end_ns):
            of = np.flatnonzero(whose(bars.column("source")))
            ids, at = np.unique(bars.column("ticker")[of], return_index=True)
            opened = bars.column("ts")[of[at]].tolist()
            for one, ts in zip(ids.tolist(), opened, strict=True):
                first.setdefault(bars.words.symbols[one], ts)
            yield 0.0
        return first

    def _since_ns(self, tickers: Collection[str]) -> int:
        """From where bars that were entered count: the first ones of these tickers that are not
        too long ago."""
        runtime, begin_ns = self.runtime, self.start_ns - ONWARD * DAY_NS
        found = runtime.hot.minutes(
            runtime.venue.name, OHLCV.name, begin_ns, self.start_ns, tickers=tickers, entered=True
        )
        return found[0][0] if found else self.start_ns

    def _take(self, rows: Batch, first: Mapping[str, int]) -> None:
        """Rows of metrics as they should be, of tickers by their first bar that is meant."""
        ids, place = np.unique(rows.column("ticker"), return_inverse=True)
        since = np.array([first[rows.words.symbols[one]] for one in ids.tolist()], np.int64)
        ts = rows.column("ts")
        due, later = ts >= since[place], ts >= self.end_ns
        for which, is_later in ((due & ~later, False), (due & later, True)):
            if which.any():
                part = replace(rows, block=np.ascontiguousarray(rows.block[:, which]))
                source = part.column("source")
                source[:] = np.where((source < 0) | self.all_, self.source, source)
                written = revise_metrics(self.runtime, part)
                self.metrics += written
                self.later += written * is_later

    def report(self) -> dict[str, int | bool]:
        """What was done, as JSON."""
        return {
            "metrics": self.metrics,
            "later": self.later,
            "onward_ns": self.until_ns,
            "cut": self.cut,
        }


def revise_metrics(runtime: VenueRuntime, rows: Batch) -> int:
    """Enter metric rows, unique by (ticker, ts), that say something else than the stored ones, or
    that are not stored; how many. Their `source` says of what they were made; `rev` is set. What
    was entered of the same bars must be committed (entry.wait_committed)."""
    stored = entry.newest_stored(runtime.hot, runtime.venue, rows)
    at = entry.match(rows, stored)
    there = np.flatnonzero(at >= 0)
    fresh = at < 0
    for column in rows.kind.columns:
        if column.dtype == "float":
            here, old = rows.column(column.name)[there], stored.column(column.name)[at[there]]
            fresh[there] |= (here != old) & ~(np.isnan(here) & np.isnan(old))
    rev = np.zeros(len(rows), np.int64)
    rev[there] = stored.column("rev")[at[there]] + 1
    rows.column("rev")[:] = rev
    if fresh.any():
        made = replace(rows, block=np.ascontiguousarray(rows.block[:, fresh]))
        entry.enter(runtime, made, checked=True)
    return int(fresh.sum())


def steps(done: Iterator[float], told: Callable[[float], None]) -> Iterator[None]:
    """The same as a job's steps: how far it is, is told."""
    for share in done:
        told(share)
        yield
