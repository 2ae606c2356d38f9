"""Jobs: long work on a venue, ordered by a person or the clock, in pieces that live work precedes.

A job (Job) is driven step by step. Whoever asked drives it: over the control socket each question
has the holder work for a moment on a thread of the socket, and answers how far it is, so nothing
goes on for one who went away; a verb on a folder that nobody holds and the schedule drive it
themselves (`run`). Before each step the venue's writer is waited for while it is behind. Of one
name there is one at a time a venue. Each may be given up between two steps and begun anew later:
what was done stays.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import count
from threading import Lock
from typing import Any, Protocol

from bursa.model.errors import Refuse, Retry
from bursa.ops.logs import logger
from bursa.pipeline.runtime import VenueRuntime
from bursa.store.folder import Handler

JOB = "job"
BEGIN, GO_ON, END = "begin", "go on", "end"
# How long one answer may work, and after how long without a question a job is forgotten.
STEP_S = 0.5
FORGOTTEN_S = 10.0
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
    """A job that was begun; `lock` is held while it works."""

    def __init__(self, number: int, runtime: VenueRuntime, job: Job) -> None:
        self.number, self.runtime, self.job = number, runtime, job
        self.steps = job.run()
        self.lock = Lock()
        self.asked_s = time.monotonic()

    def work(self, for_s: float) -> bool:
        """Go on for a moment; whether it is done."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            if not self.runtime.idle:
                time.sleep(_WAIT_S)
            elif next(self.steps, self) is self:
                return True
        return False


class Jobs:
    """The jobs of one process: of these venues, made by these makers (makers.py)."""

    def __init__(self, runtimes: Mapping[str, VenueRuntime], makers: Mapping[str, Maker]) -> None:
        self._runtimes, self._makers = runtimes, makers
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
            return {"job": self._begin(venue, name, payload["order"]).number}
        at = self._find(venue, name, int(payload["job"]))
        with at.lock:
            done = payload["do"] == END or self._work(venue, at, STEP_S)
            at.asked_s = time.monotonic()
            if done:
                self._end(venue, at)
        done_part, total = at.job.progress
        return {"at": done_part, "total": total, "report": at.job.report() if done else None}

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
            try:
                while not stopped() and not self._work(venue, at, STEP_S):
                    told(*at.job.progress)
            finally:
                self._end(venue, at)
        told(*at.job.progress)
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
            other = self._under_way.get((venue, name))
            if other is not None:
                quiet_s = time.monotonic() - other.asked_s
                if other.lock.locked() or quiet_s < FORGOTTEN_S:
                    what = f"another {name.replace('_', ' ')} of {venue} is under way"
                    raise Refuse(f"{what}; try again when it is done", "job_runs", 409)
                self._end(venue, other)
            begun = _UnderWay(next(self._numbers), runtime, maker(runtime, order))
            self._under_way[venue, name] = begun
        return begun

    def _find(self, venue: str, name: str, number: int) -> _UnderWay:
        found = self._under_way.get((venue, name))
        if found is None or found.number != number:
            what = f"that {name.replace('_', ' ')} of {venue} is not under way any more"
            raise Refuse(what, "no_job", 404)
        return found

    def _work(self, venue: str, at: _UnderWay, for_s: float) -> bool:
        try:
            return at.work(for_s)
        except BaseException:
            self._end(venue, at)
            raise

    def _end(self, venue: str, at: _UnderWay) -> None:
        if self._under_way.get((venue, at.job.name)) is not at:
            return
        del self._under_way[venue, at.job.name]
        if isinstance(at.steps, Generator):
            at.steps.close()
        at.job.close()


def handlers(jobs: Jobs) -> dict[str, Handler]:
    """What the holder of a folder answers (store/folder.py)."""
    return {JOB: jobs.answer}
