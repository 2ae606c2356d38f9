"""Backfills of a venue that runs: begun, gone on with and ended over the control socket.

The one who asked drives it: each question has the holder work for a moment, on a thread of the
socket, and answers how far it is; so nothing goes on for one who went away. One at a time a venue.
Bars and rows are read as every reader reads; what is written waits for the writer's transaction
that is under way and holds up the next for one piece. While the writer is behind it waits. At the
end the rings have the rows as they are stored now, ticker by ticker: each is one question to the
store, and that many take longer than an answer may.
"""

import time
from collections.abc import Iterator, Mapping
from itertools import count
from threading import Lock
from typing import Any

from bursa.model.errors import Refuse, Retry
from bursa.ops.logs import logger
from bursa.pipeline.backfill import Backfill, Ground, Order
from bursa.pipeline.line import Line
from bursa.pipeline.runtime import VenueRuntime
from bursa.store.folder import Handler
from bursa.store.rings import FOREVER_NS

BACKFILL = "backfill_metric"
BEGIN, GO_ON, END = "begin", "go on", "end"
# How long one answer may work, and after how long without a question it is forgotten.
STEP_S = 0.5
FORGOTTEN_S = 10.0
# Few at once: nobody waits long for the interpreter, nor the writer for its turn.
ROWS = 1 << 13
_WAIT_S = 0.02


class _Job:
    """A backfill under way; `lock` is held while it works."""

    def __init__(self, number: int, runtime: VenueRuntime, order: Order) -> None:
        self.number, self.runtime = number, runtime
        self.backfill = Backfill(ground_of(runtime), order, ROWS)
        self.steps = self._run()
        self._renewed: set[str] = set()
        self.lock = Lock()
        self.asked_s = time.monotonic()

    def work(self) -> bool:
        """Go on for a moment; whether it is done."""
        until = time.monotonic() + STEP_S
        while time.monotonic() < until:
            if not self.runtime.idle:
                time.sleep(_WAIT_S)
            elif next(self.steps, self) is self:
                return True
        return False

    def _run(self) -> Iterator[None]:
        yield from self.backfill.run()
        yield from self._show()

    def _show(self) -> Iterator[None]:
        """Have readers see what was written, a ticker at each step. Of a range that a ring does not
        reach back to it has nothing to learn."""
        runtime, end_ns = self.runtime, self.backfill.order.end_ns
        rings, name = runtime.parts.rings, runtime.venue.name
        for ticker in sorted(self.backfill.tickers - self._renewed):
            if not rings.covers(ticker, end_ns, "metrics"):
                continue
            rings.renew_metrics(
                ticker,
                lambda rows, ticker=ticker: runtime.hot.metrics(  # type: ignore[misc]
                    name, ticker, 0, FOREVER_NS, newest=rows
                ),
            )
            self._renewed.add(ticker)
            yield

    def close(self) -> None:
        """Say what was done, and show readers the rest of it."""
        runtime, report = self.runtime, self.backfill.report()
        counts = {name: count for name, count in report.items() if isinstance(count, int)}
        at, total = self.backfill.progress
        logger("backfill").info(
            "metrics of the past were filled",
            venue=runtime.venue.name,
            done=at == total,
            engine=self.backfill.order.engine,
            **counts,
        )
        for _ in self._show():
            pass


class Orders:
    """The backfills of one process."""

    def __init__(self, runtimes: Mapping[str, VenueRuntime]) -> None:
        self._runtimes = runtimes
        self._jobs: dict[str, _Job] = {}
        self._numbers = count(1)
        self._lock = Lock()

    def answer(self, payload: dict[str, Any]) -> dict[str, Any]:
        """One question: `do`, the venue, and what `do` needs."""
        name = str(payload["venue"])
        if name not in self._runtimes:
            known = ", ".join(self._runtimes)
            raise Refuse(f"{name} does not run here; there is {known}", "unknown_venue", 404)
        if payload["do"] == BEGIN:
            said = payload["order"]
            order = Order(**{**said, "tickers": tuple(said["tickers"])})
            return self._begin(name, order)
        job = self._find(name, int(payload["job"]))
        with job.lock:
            try:
                done = payload["do"] == END or job.work()
            except BaseException:
                self._end(name, job)
                raise
            job.asked_s = time.monotonic()
            if done:
                self._end(name, job)
        at, total = job.backfill.progress
        return {"at": at, "total": total, "report": job.backfill.report() if done else None}

    def _begin(self, name: str, order: Order) -> dict[str, Any]:
        runtime = self._runtimes[name]
        if runtime.ingest is None:
            raise Retry(f"{name} is not ready yet: it recovers")
        with self._lock:
            other = self._jobs.get(name)
            if other is not None:
                quiet_s = time.monotonic() - other.asked_s
                if other.lock.locked() or quiet_s < FORGOTTEN_S:
                    what = f"another backfill of {name} is under way; try again when it is done"
                    raise Refuse(what, "backfill_runs", 409)
                self._end(name, other)
            job = self._jobs[name] = _Job(next(self._numbers), runtime, order)
        return {"job": job.number}

    def _find(self, name: str, number: int) -> _Job:
        job = self._jobs.get(name)
        if job is None or job.number != number:
            raise Refuse(f"that backfill of {name} is not under way any more", "no_job", 404)
        return job

    def _end(self, name: str, job: _Job) -> None:
        self._jobs.pop(name, None)
        job.close()


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
    )


def handlers(runtimes: Mapping[str, VenueRuntime]) -> dict[str, Handler]:
    """What the holder of a folder answers (store/folder.py)."""
    return {BACKFILL: Orders(runtimes).answer}
