"""Jobs: long work on a venue, ordered by a person or the clock, in pieces that live work precedes.

A job (Job) is driven step by step. Whoever asked drives it: over the control socket each question
has the holder work for a moment on a thread of the socket, and answers how far it is, so nothing
goes on for one who went away, and what he had begun is ended a minute later; a verb on a folder
that nobody holds and the schedule drive it themselves (`run`). Before each step the venue's writer
is waited for while it is behind. Of one lane there is one at a time a venue, by a lease in the
state database: a process that was killed holds none, and what came of each run is kept there. A
lane is a job's own name, or one that it shares with those that must not run beside it (makers.py).
A job may be given up between two steps and begun anew later: what was done stays.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import count
from threading import Event, Lock, Thread
from typing import Any, Protocol

from bursa.model.errors import BursaError, Refuse, Retry
from bursa.ops.logs import logger
from bursa.pipeline.runtime import VenueRuntime
from bursa.ports import Leases
from bursa.state.holder import me
from bursa.store.folder import Handler

JOB = "job"
BEGIN, GO_ON, END = "begin", "go on", "end"
# How long one answer may work; after how long without a question a job makes room for another, and
# after how long it is ended for itself: a client may be suspended for a while.
STEP_S = 0.5
FORGOTTEN_S = 10.0
ABANDONED_S = 60.0
# How long a lease holds without being renewed, more than any step may take.
LEASE_S = 600.0
# What becomes of a run.
DONE, GIVEN_UP, FAILED, REFUSED = "done", "given up", "failed", "refused"
_WAIT_S = 0.02


class Job(Protocol):
    """One order on one venue. Making one raises Refuse where the order makes no sense; a step that
    raises ends it."""

    name: str

    def run(self) -> Iterator[None]:
        """Do it, one piece a step: half a second of work at most, 8,192 rows written at most. Given
        up between two steps and begun anew, it goes on: nothing is done twice."""

    @property
    def progress(self) -> tuple[int, int]:
        """Done, of how much; in any unit."""

    def report(self) -> dict[str, Any]:
        """What was found and done so far, as JSON."""

    def close(self) -> None:
        """Called once at the end, also where it was given up."""


# A venue that runs, with feeds or without, and an order as JSON -> a job. Raises Refuse.
Maker = Callable[[VenueRuntime, dict[str, Any]], Job]


class _UnderWay:
    """A job that was begun and its lease; `lock` is held while it works."""

    def __init__(
        self, number: int, venue: str, name: str, lane: str, runtime: VenueRuntime
    ) -> None:
        self.number, self.venue, self.name, self.runtime = number, venue, name, runtime
        self.lane, self._lease = lane, lease_of(venue, lane)
        self.lock, self.over = Lock(), Event()
        self.asked_s = self.renewed_s = time.monotonic()
        self.holder = f"{me()}#{number}"
        self.job: Job
        self.steps: Iterator[None]

    def make(self, maker: Maker, order: dict[str, Any]) -> None:
        """Begin it; raises Refuse where it is held elsewhere, or the order makes no sense."""
        if self.leases is not None and not self.leases.take(
            self._lease, self.holder, self._now_ns(), LEASE_S
        ):
            raise _held(self.venue, f"{self.lane}, of another process")
        try:
            self.job = maker(self.runtime, order)
            self.steps = self.job.run()
        except BaseException:
            self._release(REFUSED, {})
            raise
        self.runtime.telemetry.job_running.labels(self.venue, self.name).inc()

    def work(self, for_s: float) -> bool:
        """Go on for a moment; whether it is done."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            self._renew()
            if not self.runtime.idle:
                time.sleep(_WAIT_S)
            elif next(self.steps, self) is self:
                return True
        return False

    def end(self, outcome: str) -> None:
        """Close it and give the lease back."""
        telemetry, labels = self.runtime.telemetry, (self.venue, self.name)
        self.over.set()
        try:
            if isinstance(self.steps, Generator):
                self.steps.close()
            self.job.close()
        finally:
            telemetry.job_running.labels(*labels).dec()
            telemetry.job_runs.labels(*labels, outcome).inc()
            self._release(outcome, {"job": self.name, "report": self.job.report()})

    def _renew(self) -> None:
        now_s = time.monotonic()
        if self.leases is None or now_s - self.renewed_s < LEASE_S / 4:
            return
        if not self.leases.renew(self._lease, self.holder, self._now_ns(), LEASE_S):
            raise Refuse(f"{self._lease}: its lease was taken over", "lease_lost", 409)
        self.renewed_s = now_s

    def _release(self, outcome: str, told: dict[str, Any]) -> None:
        if self.leases is None:
            return
        try:
            self.leases.release(self._lease, self.holder, self._now_ns(), outcome, told)
        except BursaError as away:  # it goes with this process, at the latest
            what = "a lease could not be given back"
            logger("jobs").warning(what, lease=self._lease, why=str(away))

    @property
    def leases(self) -> Leases | None:
        """Where leases are kept; None in a program without a state database."""
        state = self.runtime.parts.state
        return None if state is None else state.leases

    def _now_ns(self) -> int:
        return self.runtime.clock.now_ns()


class Jobs:
    """The jobs of one process: of these venues, made by these makers; `lanes`: job -> lane, where
    that is not its own (makers.py)."""

    def __init__(
        self,
        runtimes: Mapping[str, VenueRuntime],
        makers: Mapping[str, Maker],
        lanes: Mapping[str, str],
    ) -> None:
        self._runtimes, self._makers, self._lanes = runtimes, makers, lanes
        self._under_way: dict[tuple[str, str], _UnderWay] = {}
        self._numbers = count(1)
        self._lock = Lock()
        self._log = logger("jobs")

    def answer(self, payload: dict[str, Any]) -> dict[str, Any]:
        """One question of the control socket: `do`, `venue`, `name`, and what `do` needs: BEGIN
        `order`, GO_ON and END `job`, the number that BEGIN answered. GO_ON and END answer `at`,
        `total`, and `report` once it is over, else null."""
        venue, name = str(payload["venue"]), str(payload["name"])
        if payload["do"] == BEGIN:
            begun = self._begin(venue, name, payload["order"])
            Thread(target=self._mind, args=(begun,), name="job", daemon=True).start()
            return {"job": begun.number}
        at = self._find(venue, name, int(payload["job"]))
        with at.lock:
            self._find(venue, name, at.number)  # it may have been given up meanwhile
            over = payload["do"] == END
            done = not over and self._work(at, STEP_S)
            at.asked_s = time.monotonic()
            if done or over:
                self._end(at, DONE if done else GIVEN_UP)
        part, total = at.job.progress
        return {"at": part, "total": total, "report": at.job.report() if done or over else None}

    def run(
        self,
        venue: str,
        name: str,
        order: dict[str, Any],
        told: Callable[[int, int], object] = lambda done, total: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """Do all of one here; its report, of a part where it was `stopped`. Raises Refuse
        `job_runs` where one is under way, and what its steps raise."""
        at = self._begin(venue, name, order)
        with at.lock:
            done = False
            try:
                while not done and not stopped():
                    done = self._work(at, STEP_S)
                    told(*at.job.progress)
            finally:
                self._end(at, DONE if done else GIVEN_UP)
        return at.job.report()

    def _begin(self, venue: str, name: str, order: dict[str, Any]) -> _UnderWay:
        runtime, maker = self._runtimes.get(venue), self._makers.get(name)
        if runtime is None:
            known = ", ".join(self._runtimes)
            raise Refuse(f"{venue} does not run here; there is {known}", "unknown_venue", 404)
        if maker is None:
            what = f"there is no job {name}; there is {', '.join(self._makers)}"
            raise Refuse(what, "unknown_job", 404)
        if runtime.ingest is None:
            raise Retry(f"{venue} is not ready yet: it recovers")
        with self._lock:
            lane = self._lanes.get(name, name)
            other = self._under_way.get((venue, lane))
            if other is not None:
                quiet_s = time.monotonic() - other.asked_s
                if quiet_s < FORGOTTEN_S or not other.lock.acquire(blocking=False):
                    raise _held(venue, other.name)
                try:
                    self._end(other, GIVEN_UP)
                finally:
                    other.lock.release()
            begun = _UnderWay(next(self._numbers), venue, name, lane, runtime)
            begun.make(maker, order)
            begun.asked_s = time.monotonic()  # making one may take longer than patience lasts
            self._under_way[venue, lane] = begun
        return begun

    def _mind(self, at: _UnderWay) -> None:
        """End a job whose client went away without a word."""
        wait_s = ABANDONED_S
        while not at.over.wait(wait_s):
            with at.lock:
                wait_s = at.asked_s + ABANDONED_S - time.monotonic()
                if wait_s <= 0:
                    self._log.warning("nobody asks for a job any more", venue=at.venue, job=at.name)
                    self._end(at, GIVEN_UP)
                    return

    def _find(self, venue: str, name: str, number: int) -> _UnderWay:
        found = self._under_way.get((venue, self._lanes.get(name, name)))
        if found is None or found.number != number:
            what = f"that {name.replace('_', ' ')} of {venue} is not under way any more"
            raise Refuse(what, "no_job", 404)
        return found

    def _work(self, at: _UnderWay, for_s: float) -> bool:
        try:
            return at.work(for_s)
        except BaseException as error:
            self._end(at, GIVEN_UP if isinstance(error, KeyboardInterrupt) else FAILED)
            raise

    def _end(self, at: _UnderWay, outcome: str) -> None:
        """Once; later calls do nothing."""
        if self._under_way.get((at.venue, at.lane)) is at:
            del self._under_way[at.venue, at.lane]
            at.end(outcome)


def lease_of(venue: str, lane: str) -> str:
    """The name of a lane's lease, under which its runs are kept (ports.Leases), each with `job` and
    `report`."""
    return f"{venue}.{lane}"


def _held(venue: str, what: str) -> Refuse:
    told = f"{venue}: a job is under way ({what.replace('_', ' ')}); try again when it is done"
    return Refuse(told, "job_runs", 409)


def handlers(jobs: Jobs) -> dict[str, Handler]:
    """What the holder of a folder answers (store/folder.py)."""
    return {JOB: jobs.answer}
