"""The job that fills metrics of a venue (backfill.py), and has readers see them at its end.

Bars and rows are read as every reader reads; what is written waits for the writer's transaction
that is under way and holds up the next for one piece. At the end the rings have the rows as they
are stored now, ticker by ticker: each is one question to the store.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from bursa.jobs.backfill import Backfill, Ground, Order
from bursa.model.batch import Batch
from bursa.ops.logs import logger
from bursa.ops.room import FileRoom, Room, SparseRoom
from bursa.pipeline.line import Line
from bursa.pipeline.runtime import VenueRuntime
from bursa.store.rings import FOREVER_NS

# Few at once: nobody waits long for the interpreter, nor the writer for its turn.
ROWS = 1 << 13


class MetricJob:
    """jobs.Job over one Backfill."""

    name = "backfill_metric"

    def __init__(self, runtime: VenueRuntime, order: Order) -> None:
        self._runtime = runtime
        self._backfill = Backfill(ground_of(runtime), order, ROWS)
        self._renewed: set[str] = set()

    @property
    def progress(self) -> tuple[int, int]:
        """In positions of the journal."""
        return self._backfill.progress

    def report(self) -> dict[str, Any]:
        """As Backfill."""
        return self._backfill.report()

    def run(self) -> Iterator[None]:
        """The rows, then what readers see."""
        yield from self._backfill.run()
        yield from self._show()

    def _show(self) -> Iterator[None]:
        """Have readers see what was written, a ticker at each step. Of a range that a ring does not
        reach back to it has nothing to learn."""
        runtime, end_ns = self._runtime, self._backfill.order.end_ns
        rings = runtime.parts.rings
        for ticker in sorted(self._backfill.tickers - self._renewed):
            if not rings.covers(ticker, end_ns, "metrics"):
                continue
            rings.renew_metrics(ticker, partial(self._newest, ticker))
            self._renewed.add(ticker)
            yield

    def _newest(self, ticker: str, rows: int) -> Batch:
        """The newest stored rows of a ticker, so many."""
        name = self._runtime.venue.name
        return self._runtime.hot.metrics(name, ticker, 0, FOREVER_NS, newest=rows)

    def close(self) -> None:
        """Say what was done, and show readers the rest of it."""
        report = self._backfill.report()
        counts = {name: count for name, count in report.items() if isinstance(count, int)}
        at, total = self._backfill.progress
        logger("backfill").info(
            "metrics of the past were filled",
            venue=self._runtime.venue.name,
            done=at == total,
            engine=self._backfill.order.engine,
            **counts,
        )
        for _ in self._show():
            pass


def make(runtime: VenueRuntime, order: dict[str, Any]) -> MetricJob:
    """jobs.Maker; `order` is an Order as JSON."""
    return MetricJob(runtime, Order(**{**order, "tickers": tuple(order["tickers"])}))


def ground_of(runtime: VenueRuntime) -> Ground:
    """What a backfill of a venue that runs stands on."""
    line = runtime.line
    return Ground(
        runtime.venue,
        runtime.hot,
        line.catalogue,
        line.gates.schedule,
        runtime.checkpoints_folder,
        Line.signature,
        lambda: runtime.journal.position,
        partial(room_of, runtime),
    )


def room_of(runtime: VenueRuntime) -> Room:
    """Where what metrics of all tickers remember lies while a job computes them: in a file, where
    the process is the job's own. One that serves is not to fail with a disk that fails to read."""
    return SparseRoom() if runtime.parts.rings.serves else FileRoom(runtime.checkpoints_folder)
