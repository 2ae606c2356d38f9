"""The job that rebuilds a bad day: `bursa repair DATE`.

From the journal, where it reaches back to that day whole: rows that the store lacks are put back
(put_back.py), and bars that came out otherwise, or that trades came too late for (late.py), get a
revision. Else from the stored trades: a bar that these make otherwise gets one, unless they are
fewer than it was made of. Then the metric rows of those tickers, from their first repaired bar of
the day on and over the days after it, are computed by time, and get revisions where they say
something else (onward.py). All of it enters by the journal with the source `repair`, so hot and
cold store and rings have it together. Where nothing is wrong nothing is written; done again, it
finds nothing to do.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bursa.bars.again import bars_again
from bursa.jobs import backfill_journal, backfill_ohlcv, entry
from bursa.jobs.backfill_journal import Derivation, put_back_of
from bursa.jobs.late import LastBars, Late
from bursa.jobs.onward import ONWARD, Onward, steps
from bursa.jobs.put_back import KINDS, PutBack
from bursa.model.batch import Batch, Block
from bursa.model.errors import Refuse
from bursa.model.schema import SOURCES
from bursa.ops.logs import logger
from bursa.pipeline.runtime import VenueRuntime

NAME = "repair"
JOURNAL, TICKS = "journal", "ticks"
ROWS = 8192
# What is the bar's own to say, besides what follows from its trades.
_BESIDE = ("delta", "ruled", "bid_volume", "ask_volume")
_SOURCE, _FILE = SOURCES.index("repair"), SOURCES.index("file")

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Order:
    """A day of the venue's clock, ISO. onward: days after it whose metric rows follow."""

    day: str
    dry_run: bool = False
    onward: int = ONWARD


@dataclass
class Found:
    """Bars that were looked at again, and what became of them.

    left     stored from a file: these trades are not better
    fewer    stored bars of more trades than are stored
    """

    late: int = 0
    trades: int = 0
    absent: int = 0
    equal: int = 0
    differing: int = 0
    left: int = 0
    fewer: int = 0
    written: int = 0
    examples: list[entry.Mismatch] = field(default_factory=list)


class RepairJob:
    """jobs.Job over one day. Making one raises Refuse for a day that is the feed's still, and where
    neither the journal reaches back to it nor its trades can say what is right."""

    name = NAME

    def __init__(self, runtime: VenueRuntime, order: Order) -> None:
        self._runtime, self._order, self._venue = runtime, order, runtime.venue
        calendar, day = runtime.venue.calendar, date.fromisoformat(order.day)
        self.start_ns = calendar.midnight_ns(day)
        whole_ns = calendar.midnight_ns(day + timedelta(days=1))
        self.end_ns = entry.reached(runtime, whole_ns)
        if self.end_ns <= self.start_ns:
            what = f"DATE: {order.day} is the feed's still, or to come; {runtime.venue.name} can be"
            raise Refuse(f"{what} repaired up to {calendar.text(self.end_ns)}", "too_new", 409)
        self._whole = self.end_ns == whole_ns
        within = self.start_ns, self.end_ns, order.onward if self._whole else 0
        self._onward = Onward(runtime, *within, _SOURCE, all_=True)
        self._found = Found()
        self._damaged = False
        self._put_back: PutBack | None = None
        self._derivation: Derivation | None = None
        self._done = 0.0
        self._apart: list[str] = []
        self._begin()

    def _begin(self) -> None:
        try:
            found = self._derivation = Derivation(self._runtime, self.start_ns)
        except Refuse as retired:
            if retired.code != "journal_retired":
                raise
            self._check_trades(str(retired))
            return
        span = backfill_journal.Order(self.start_ns, self.end_ns, (), self._order.dry_run)
        self._put_back = put_back_of(self._runtime, found, span)

    def _check_trades(self, why: str) -> None:
        """Refuse where stored trades do not say which of them stand."""
        if self._venue.takes_back:
            what = f"{why}; and stored trades of {self._venue.name} do not say which of them"
            raise Refuse(f"{what} were taken back", "journal_retired", 410)

    @property
    def progress(self) -> tuple[int, int]:
        """In thousandths."""
        return int(1000 * self._done), 1000

    def run(self) -> Iterator[None]:
        """Bars, then metrics. Raises Retry where journal or store are away: what was entered
        stays."""
        entry.wait_committed(self._runtime, self._runtime.entered_to)
        if self._derivation is not None:
            yield from self._set_apart(self._derivation)
            yield from self._of_journal(self._derivation)
        if self.of == TICKS:
            yield from self._of_trades()
        if not self._order.dry_run:
            yield from steps(self._onward.run(None, self._repaired), self._told)
        self._done = 1.0

    def _told(self, share: float) -> None:
        self._done = 0.8 + 0.2 * share

    def _repaired(self, source: Block) -> Mask:
        """Bars of a repair that did not come to its end are among them."""
        return source == _SOURCE

    @property
    def of(self) -> str:
        """What the day is made of anew."""
        return JOURNAL if self._derivation is not None and not self._damaged else TICKS

    def _set_apart(self, derivation: Derivation) -> Iterator[None]:
        """Have damaged cold files of the day count no more, where the journal gives what they held:
        it is put back behind that."""
        tiers = self._runtime.tiers
        if tiers is None or self._order.dry_run or derivation.lacking:
            return
        cold, day = tiers[1], date.fromisoformat(self._order.day)
        for kind in KINDS if self._whole else ():
            sealed = cold.sealed(self._venue.name, kind, day)
            if sealed is not None and cold.damage(sealed):
                self._apart.append(cold.set_apart(sealed).name)
            yield

    # -- bars ------------------------------------------------------------------------------------

    def _of_journal(self, derivation: Derivation) -> Iterator[None]:
        assert self._put_back is not None, "a derivation has where its rows go"
        late = Late(derivation.line, self.start_ns, self.end_ns)
        derivation.line.watch = late.watch
        for _ in derivation.run(self._put_back):
            self._done = 0.4 * derivation.done
            yield
        if derivation.reader.damaged:
            self._check_trades("the journal is damaged")
            self._damaged = True
            return
        doubtful = {bar for bar in self._put_back.doubtful if bar[1] < self.end_ns}
        self._found.late, waiting = len(late.bars), sorted(late.bars)
        while doubtful or waiting:
            again = derivation.again(self.start_ns)
            last = LastBars(again.line, doubtful, waiting)
            for chunk in again.reader.chunks(again.start, again.upto):
                last.take(*again.line.build(chunk))
                yield
            yield from self._revise(last.bars())
            doubtful, waiting = set(), last.left

    def _of_trades(self) -> Iterator[None]:
        read = backfill_ohlcv.trades_by_time(self._runtime, None, self.start_ns, self.end_ns)
        for trades, until_ns in read:
            self._found.trades += len(trades)
            yield from self._revise(bars_again(trades, self._venue))
            self._done = 0.8 * (until_ns - self.start_ns) / (self.end_ns - self.start_ns)
            yield

    def _revise(self, bars: Batch) -> Iterator[None]:
        """Enter what the store has not, or has otherwise, of bars unique by (ticker, ts)."""
        found = self._found
        if not len(bars):
            return
        stored = entry.newest_stored(self._runtime.hot, self._venue, bars)
        at = entry.match(bars, stored)
        there = np.flatnonzero(at >= 0)
        differs = np.zeros(len(bars), np.bool_)
        differs[there] = self._differ(bars, stored, there, at[there])
        kept = self._kept(bars, stored, there[differs[there]], at)
        found.equal += len(there) - int(differs.sum())
        differs &= ~kept
        found.absent += int((at < 0).sum())
        found.differing += int(differs.sum())
        rev = np.zeros(len(bars), np.int64)
        rev[there] = stored.column("rev")[at[there]] + 1
        for name in _BESIDE[2:]:
            lacking = differs & np.isnan(bars.column(name))
            bars.column(name)[lacking] = stored.column(name)[at[lacking]]
        rows = np.flatnonzero((at < 0) | differs)
        bars.column("rev")[:], bars.column("source")[:] = rev, _SOURCE
        for first in range(0, 0 if self._order.dry_run else len(rows), ROWS):
            block = np.ascontiguousarray(bars.block[:, rows[first : first + ROWS]])
            entry.enter(self._runtime, replace(bars, block=block))
            found.written += block.shape[1]
            yield

    def _differ(self, bars: Batch, stored: Batch, rows: Any, at: Any) -> Mask:
        """Which stored bars say something else. What trades alone do not tell (books, signs by what
        came before) counts where the journal has it, and was known to the store."""
        differs = np.zeros(len(rows), np.bool_)
        columns = entry.COMPARED if self.of == TICKS else (*entry.COMPARED, "final", *_BESIDE)
        for name in columns:
            here, there = bars.column(name)[rows], stored.column(name)[at]
            other = here != there
            if name in _BESIDE:
                other &= ~np.isnan(there)
            for row in np.flatnonzero(other & ~differs).tolist():
                if len(self._found.examples) == entry.EXAMPLES_MAX:
                    break
                ticker = bars.words.symbols[int(bars.column("ticker")[rows[row]])]
                ts = int(bars.column("ts")[rows[row]])
                values = float(there[row]), float(here[row])
                self._found.examples.append(entry.Mismatch(ticker, ts, name, *values))
            differs |= other
        return differs

    def _kept(self, bars: Batch, stored: Batch, rows: Any, at: Any) -> Mask:
        """Which of these differing rows are better left as they are stored."""
        kept = np.zeros(len(bars), np.bool_)
        of_file = stored.column("source")[at[rows]] == _FILE
        kept[rows[of_file]] = True
        self._found.left += int(of_file.sum())
        if self.of == TICKS:
            fewer = bars.column("trades")[rows] < stored.column("trades")[at[rows]]
            kept[rows[fewer]] = True
            self._found.fewer += int((fewer & ~of_file).sum())
        return kept

    def report(self) -> dict[str, Any]:
        """What was found and done, as JSON."""
        put_back = self._put_back
        counts = {} if put_back is None else put_back.counts
        return {
            **asdict(self._found),
            "of": self.of,
            "damaged": self._damaged,
            "set_apart": self._apart,
            "kinds": {name: asdict(one) for name, one in counts.items()},
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "whole": self._whole,
            **self._onward.report(),
            "dry_run": self._order.dry_run,
        }

    def close(self) -> None:
        """Say what was done."""
        all_ = {**asdict(self._found), **self._onward.report()}
        found = {n: v for n, v in all_.items() if isinstance(v, int)}
        logger("repair").info(
            "a day was repaired", venue=self._venue.name, day=self._order.day, of=self.of, **found
        )


def make(runtime: VenueRuntime, order: dict[str, Any]) -> RepairJob:
    """jobs.Maker; `order` is an Order as JSON."""
    return RepairJob(runtime, Order(**order))
