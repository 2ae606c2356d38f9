"""The clock's jobs: once a day of a venue is over it is drained, and retention runs behind it.

A thread of `bursa up` that looks every second. Days that were missed, because bursa did not run or
the writer was behind, go in one run. A run that begins later than it should, or takes long, is said
and counted; one that fails is begun again later, after ever longer waits. Live rows go first: it
begins once the writer has caught up, and waits for it between its steps (jobs.py).
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from time import monotonic
from typing import Any

from bursa.jobs.drain import gauges
from bursa.jobs.job import Jobs
from bursa.jobs.over import is_over, last_over, over_ns, venue_now_ns
from bursa.model.calendar import SECOND_NS
from bursa.model.errors import BursaError, Refuse, Retry
from bursa.ops.back_off import BackOff
from bursa.ops.logs import logger
from bursa.pipeline.runtime import VenueRuntime
from bursa.store.floors import COLD_KINDS

LOOK_S = 1.0
# Waits between attempts of a run that failed, seconds.
AGAIN_S = (60.0, 300.0, 900.0, 1800.0)
# What a run waits where an operator's own job goes first, seconds.
BUSY_S = 30.0
DRAIN, RETENTION = "drain", "retention"


@dataclass(frozen=True)
class Limits:
    """From which seconds on a scheduled job is called late, or long."""

    late_s: float
    long_s: float


@dataclass
class _Turn:
    """Where one venue is. day: the newest that is done, None before the first look; due: what waits
    to be drained up to which day, since when (time.monotonic), and the journal's position then.
    late_for: the `due` that was called late; stood: the day of the newest event at the start;
    new_ns: our clock at the start where the folder was new then, else 0."""

    runtime: VenueRuntime
    day: date | None = None
    due: date | None = None
    late_for: date | None = None
    since_s: float = 0.0
    upto: int = 0
    stood: date = date.min
    new_ns: int = 0
    days: int = 0
    not_before_s: float = 0.0
    waits: BackOff = field(default_factory=lambda: BackOff(Random(), AGAIN_S))


class Schedule:
    """The schedule of one process."""

    def __init__(self, runtimes: Mapping[str, VenueRuntime], jobs: Jobs, limits: Limits) -> None:
        self._turns = {name: _Turn(runtime) for name, runtime in runtimes.items()}
        self._jobs, self._limits = jobs, limits
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedule", daemon=True)
        self._log = logger("schedule")

    def start(self) -> None:
        """Look from now on; the venues have recovered."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """End between two steps of what is under way; False where a step takes longer."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """One look at each venue, and what is due of it."""
        for name, turn in self._turns.items():
            try:
                if not self._stop.is_set() and self._is_due(turn):
                    self._drain(name, turn)
            except Exception as error:  # noqa: BLE001 -- the next look is another attempt
                self._again(name, turn, error)

    def _is_due(self, turn: _Turn) -> bool:
        """Is there something to do, and may it begin?"""
        runtime, now_s = turn.runtime, monotonic()
        if runtime.ingest is None or runtime.tiers is None or now_s < turn.not_before_s:
            return False
        over = last_over(runtime)
        if over is None:
            return False
        if turn.day is None:
            self._first_look(turn, over)
        elif over > turn.day and over != turn.due:
            self._became_due(turn, turn.day, over)
        return turn.due is not None and runtime.idle and runtime.committed >= turn.upto

    def _became_due(self, turn: _Turn, done: date, over: date) -> None:
        """More days are over. One that had begun before the start was over at its time, not now."""
        runtime, calendar = turn.runtime, turn.runtime.venue.calendar
        if turn.due is None:
            turn.since_s = monotonic()
            if (first := calendar.next_day(done)) <= turn.stood:
                turn.since_s -= _late_s(runtime, first)
        turn.due, turn.upto = over, runtime.journal.position
        turn.days = len(calendar.days(done + timedelta(days=1), over + timedelta(days=1)))

    def _first_look(self, turn: _Turn, over: date) -> None:
        """At the start: days that were missed while bursa did not run, and rows that came late for
        cold ones. Where there are none nothing is due."""
        runtime = turn.runtime
        assert runtime.tiers is not None, "looked at before"
        hot, cold = runtime.tiers
        name, missed, late = runtime.venue.name, set[date](), False
        for kind in COLD_KINDS:
            late = late or bool(hot.stray_days(name, kind))
            for day in hot.days(name, (kind,)):
                if is_over(runtime, day) and cold.sealed(name, kind, day) is None:
                    missed.add(day)
        gauges(runtime, cold)
        turn.day, turn.since_s = over, monotonic()
        turn.stood = runtime.venue.calendar.day_of(runtime.newest_ns)
        turn.new_ns = runtime.clock.now_ns() if runtime.journal.epoch == 1 else 0
        if missed or late:
            turn.due, turn.days = over, len(missed)
        if missed:
            turn.since_s -= _late_s(runtime, min(missed))

    def _drain(self, name: str, turn: _Turn) -> None:
        late_s = monotonic() - turn.since_s
        # What a new folder is given of the past could not go earlier.
        past = turn.due is not None and over_ns(turn.runtime, turn.due) <= turn.new_ns
        late = late_s > self._limits.late_s and turn.late_for != turn.due and not past
        if turn.days and late:
            turn.late_for = turn.due
            turn.runtime.telemetry.job_late.labels(name, DRAIN).inc()
            self._log.warning(
                "a scheduled job runs late", venue=name, job=DRAIN, late_s=round(late_s),
                days=turn.days,
            )  # fmt: skip
        due = turn.due
        report = self._job(name, turn, DRAIN)
        self._job(name, turn, RETENTION)
        if self._stop.is_set():
            return
        turn.day, turn.due, turn.days = due, None, 0
        if report["failed"]:
            turn.due = due
            raise Retry(f"{report['failed']} days of a kind were not drained")
        turn.waits.reset()

    def _job(self, name: str, turn: _Turn, job: str) -> dict[str, Any]:
        began = monotonic()
        report = self._jobs.run(name, job, {}, stopped=self._stop.is_set)
        took_s = monotonic() - began
        if took_s > self._limits.long_s:
            turn.runtime.telemetry.job_long.labels(name, job).inc()
            what = "a scheduled job ran long"
            self._log.warning(what, venue=name, job=job, took_s=round(took_s), days=turn.days)
        return report

    def _again(self, name: str, turn: _Turn, error: Exception) -> None:
        if (
            isinstance(error, Refuse) and error.code == "job_runs"
        ):  # somebody's own job goes first; nothing failed
            turn.not_before_s = monotonic() + BUSY_S
            self._log.info("a scheduled job waits for another", venue=name, why=str(error))
            return
        wait_s = turn.waits.next_s()
        turn.not_before_s = monotonic() + wait_s
        told = {"why": str(error)} if isinstance(error, BursaError) else {"exc_info": error}
        what = "a scheduled job failed; it is tried again"
        self._log.error(what, venue=name, wait_s=round(wait_s), **told)


def _late_s(runtime: VenueRuntime, day: date) -> float:
    """Seconds since a day was over, by the venue's time."""
    return max(0.0, (venue_now_ns(runtime) - over_ns(runtime, day)) / SECOND_NS)
