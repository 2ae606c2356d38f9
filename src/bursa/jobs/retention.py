"""Retention: days past their time leave the hot store, as a job; they stay in cold files.

A day goes only where its cold file, read anew from the disk, has the digest of the hot rows; that
is looked at once more in the transaction that deletes them. Days go in their order, and the first
that is not proven keeps all later ones of its kind: to drain it anew is the drain's. Nothing is
lost here: what a capped folder deletes for good is upkeep.py's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from bursa.jobs.drain import both_of
from bursa.jobs.over import is_over
from bursa.model.errors import Refuse
from bursa.ops.logs import logger
from bursa.pipeline.runtime import VenueRuntime
from bursa.store.compare import Digest
from bursa.store.floors import COLD_KINDS

NOT_DRAINED = "it was not drained yet"


@dataclass
class Tally:
    """Of one kind. days and rows: those that went (dry run: would go); kept: days past their time
    that stay, why: for what the first of them does."""

    days: int = 0
    rows: int = 0
    kept: int = 0
    why: str = ""


class Retention:
    """jobs.Job. days: how many trading days stay of every kind; None: as configured."""

    name = "retention"

    def __init__(self, runtime: VenueRuntime, days: int | None, dry_run: bool) -> None:
        if days is not None and days < 1:
            raise Refuse(f"--days: {days}; allowed: 1 or more", parameter="days")
        self._runtime, self._dry_run = runtime, dry_run
        self._hot, self._cold = both_of(runtime)
        self._venue = runtime.venue.name
        self._days = {
            kind: runtime.knobs.retain_days.get(kind, 0) if days is None else days
            for kind in COLD_KINDS
        }
        self._tally = {kind: Tally() for kind in COLD_KINDS}
        self._done, self._total = 0, 1
        self._log = logger("retention").bind(venue=self._venue)

    @property
    def progress(self) -> tuple[int, int]:
        """Days of a kind."""
        return self._done, self._total

    def report(self) -> dict[str, Any]:
        """By kind, as JSON: `keeps` days (0: for ever), what went, what stays and why."""
        kinds = {
            kind: {"keeps": self._days[kind], **vars(tally)} for kind, tally in self._tally.items()
        }
        return {
            "dry_run": self._dry_run,
            "kinds": kinds,
            "kept": sum(tally.kept for tally in self._tally.values()),
        }

    def run(self) -> Iterator[None]:
        """Kind by kind, the oldest day first."""
        work = {kind: self._past(kind) for kind in COLD_KINDS}
        self._total = max(1, sum(len(days) for days in work.values()))
        yield
        for kind, days in work.items():
            for at, day in enumerate(days):
                why = self._let_go(kind, day)
                yield
                if why:
                    self._keep(kind, days[at:], why)
                    break
                self._done += 1
            self._runtime.telemetry.retention_held.labels(self._venue, kind).set(
                self._tally[kind].kept
            )
        self._done = self._total

    def close(self) -> None:
        """Nothing is open."""

    def _past(self, kind: str) -> list[date]:
        """The days of a kind that are past their time and over, whole in the hot store, ascending.
        (Late rows of a day that is hot no more go with the next drain.)"""
        count, calendar = self._days[kind], self._runtime.venue.calendar
        newest = self._runtime.newest_ns
        if not count or not newest:
            return []
        days, first = self._hot.days(self._venue, (kind,)), calendar.day_of(newest)
        for _ in range(count - 1):
            if not days or first <= days[0]:  # all are of these days; the calendar may begin there
                return []
            first = calendar.previous_day(first)
        floor = self._hot.floor(self._venue, kind)
        return [
            day
            for day in days
            if day < first and calendar.midnight_ns(day) >= floor and is_over(self._runtime, day)
        ]

    def _let_go(self, kind: str, day: date) -> str:
        """Have one day leave; why not, "" where it did."""
        sealed = self._cold.sealed(self._venue, kind, day)
        if sealed is None:
            return NOT_DRAINED
        try:
            proven = self._cold.digest(sealed)
            rows = self._go(kind, day, proven)
        except Refuse as refused:
            return str(refused)
        except (OSError, ValueError) as error:
            return f"its cold file cannot be read: {error}"
        tally = self._tally[kind]
        tally.days += 1
        tally.rows += rows
        if not self._dry_run:
            self._runtime.telemetry.store_dropped.labels(self._venue, kind).inc(rows)
            self._log.info("a day lies cold alone from now on", kind=kind, day=str(day), rows=rows)
        return ""

    def _go(self, kind: str, day: date, proven: Digest) -> int:
        if not self._dry_run:
            return self._hot.let_go(self._venue, kind, day, proven)
        found = self._hot.digest(self._venue, kind, day)
        if found != proven:
            raise Refuse(f"{found.rows:,} rows are hot, {proven.rows:,} others are proven cold")
        return found.rows

    def _keep(self, kind: str, days: list[date], why: str) -> None:
        tally = self._tally[kind]
        tally.kept, tally.why = len(days), f"{days[0]}: {why}"
        if not self._dry_run:
            self._log.warning("days past their time stay hot", kind=kind, days=len(days), why=why)


def make(runtime: VenueRuntime, order: dict[str, Any]) -> Retention:
    """jobs.Maker; `order`: days (null: as configured), dry_run."""
    days = order.get("days")
    return Retention(runtime, None if days is None else int(days), bool(order.get("dry_run")))
