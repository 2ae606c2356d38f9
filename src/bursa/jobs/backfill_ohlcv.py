"""The job that makes bars of stored trades where the store lacks them.

Trades of a range are read in pieces of whole minutes and made into bars (bars/again.py); those that
are not stored enter by the journal (entry.py) with the source `ticks`, and behind them their metric
rows, those of later bars among them (onward.py). A stored bar that differs stays and is told.
Minutes that the feed may still revise are left to it.
"""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bursa.bars.again import bars_again
from bursa.jobs import entry
from bursa.jobs.onward import Onward, steps
from bursa.jobs.other_clock import by_venues_clock
from bursa.jobs.stretches import stretches
from bursa.model.batch import Batch
from bursa.model.calendar import MINUTE_NS
from bursa.model.errors import Refuse
from bursa.model.schema import SOURCES, TICKS
from bursa.ops.logs import logger
from bursa.pipeline.runtime import VenueRuntime

NAME = "backfill_ohlcv"
# Rows that are entered in one step.
ROWS = 8192
# Trades that are read at once.
TRADES = 1 << 15
# The metrics' part of the progress.
_METRICS = 0.5


@dataclass(frozen=True)
class Order:
    """Bars with start <= ts < end, ns UTC; of all tickers where none is named. onward: days after
    these whose metric rows follow (onward.py)."""

    start_ns: int
    end_ns: int
    tickers: tuple[str, ...] = ()
    dry_run: bool = False
    onward: int = 0


@dataclass
class Found:
    """What became of the bars."""

    compared: entry.Compared = field(default_factory=entry.Compared)
    trades: int = 0
    bars: int = 0
    written: int = 0


class OhlcvJob:
    """jobs.Job over one order. Making one raises Refuse for a range that is the feed's still, and
    for tickers that nothing is known of."""

    name = NAME

    def __init__(self, runtime: VenueRuntime, order: Order) -> None:
        self._runtime, self._order = runtime, order
        self._venue, self._store = runtime.venue, runtime.hot
        self.end_ns = entry.reached(runtime, order.end_ns)
        if self.end_ns <= order.start_ns:
            text = self._venue.calendar.text
            what = f"--from: {text(order.start_ns)}; these minutes are the feed's still, they end"
            raise Refuse(f"{what} at {text(self.end_ns)}", "too_new", 409, "from")
        self._found, self._venue_clock = Found(), False
        within = order.start_ns, self.end_ns
        self._onward = Onward(runtime, *within, order.onward, SOURCES.index("ticks"))
        self._at_ns = order.start_ns
        self._done = 0.0

    @property
    def progress(self) -> tuple[int, int]:
        """In thousandths."""
        whole = max(1, self.end_ns - self._order.start_ns)
        bars = (self._at_ns - self._order.start_ns) / whole
        return int(1000 * (bars * (1 - _METRICS) + self._done * _METRICS)), 1000

    def run(self) -> Iterator[None]:
        """Bars, then metrics. Raises Retry where journal or store are away: what was entered
        stays."""
        order, runtime = self._order, self._runtime
        entry.wait_committed(runtime, runtime.entered_to)
        tickers = order.tickers or None
        for trades, until_ns in trades_by_time(runtime, tickers, order.start_ns, self.end_ns):
            yield from self._take(trades)
            self._at_ns = until_ns
            yield
        if not self._found.trades:
            self._venue_clock = by_venues_clock(
                self._store, self._venue, order.start_ns, order.end_ns, tickers
            )
        if not order.dry_run:
            yield from steps(self._onward.run(tickers), self._told)
        self._done = 1.0

    def _told(self, share: float) -> None:
        self._done = share

    def _take(self, trades: Batch) -> Iterator[None]:
        found, bars = self._found, bars_again(trades, self._venue)
        found.trades += len(trades)
        found.bars += len(bars)
        if not len(bars):
            return
        fresh, compared = entry.absent(self._store, self._venue, bars)
        found.compared.add(compared)
        fresh.column("source")[:] = SOURCES.index("ticks")
        for first in range(0, 0 if self._order.dry_run else len(fresh), ROWS):
            part = replace(fresh, block=fresh.block[:, first : first + ROWS])
            entry.enter(self._runtime, part, checked=True)
            found.written += len(part)
            yield

    def report(self) -> dict[str, Any]:
        """What was found and done, as JSON."""
        found = self._found
        return {
            **asdict(found.compared),
            "trades": found.trades,
            "bars": found.bars,
            "written": found.written,
            **self._onward.report(),
            "start_ns": self._order.start_ns,
            "end_ns": self.end_ns,
            "left": self.end_ns < self._order.end_ns,
            "takes_back": self._venue.takes_back,
            "venue_clock": self._venue_clock,
            "dry_run": self._order.dry_run,
        }

    def close(self) -> None:
        """Say what was done."""
        report = self.report()
        counts = {name: count for name, count in report.items() if isinstance(count, int)}
        logger("backfill").info("bars were made of trades", venue=self._venue.name, **counts)


def make(runtime: VenueRuntime, order: dict[str, Any]) -> OhlcvJob:
    """jobs.Maker; `order` is an Order as JSON."""
    return OhlcvJob(runtime, Order(**{**order, "tickers": tuple(order["tickers"])}))


def trades_by_time(
    runtime: VenueRuntime, tickers: Collection[str] | None, start_ns: int, end_ns: int
) -> Iterator[tuple[Batch, int]]:
    """The stored trades of the bars with start <= ts < end, in pieces of whole minutes, and where
    each piece ends."""
    at_ns = -(-start_ns // MINUTE_NS) * MINUTE_NS
    within = at_ns, -(-end_ns // MINUTE_NS) * MINUTE_NS
    store, name = runtime.hot, runtime.venue.name
    for low, until_ns in stretches(store, name, TICKS.name, within, TRADES, tickers):
        yield store.rows(name, TICKS.name, low, until_ns, tickers=tickers), until_ns
