"""The drain: days that are over go to cold files, as a job.

Of each day and kind the rows are written sorted to a temporary file; the file, read back, must have
the digest of the rows, then a rename makes it count. Hot rows stay: to delete them is retention's
(retention.py), which asks the file again. Rows that come later for a day change its digest, and the
next drain writes it anew; those of a day that is hot no more (its *strays*) are merged into its
file and only then deleted. So an end anywhere leaves a temporary file at most, which the next drain
removes, and a drain without anything new changes nothing.
"""

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from bursa.jobs.over import is_over
from bursa.model.errors import BursaError, Refuse, Retry
from bursa.model.schema import OHLCV
from bursa.ops.logs import logger
from bursa.pipeline.runtime import VenueRuntime
from bursa.pipeline.tiers import Cold, Hot, Sealed
from bursa.store import coverage
from bursa.store.compare import Digest
from bursa.store.floors import COLD_KINDS

# How often a day is begun again because rows came meanwhile; then it waits for the next drain.
TRIES = 3
FAILURES_SHOWN = 20
SEALED, MERGED, UNCHANGED, FAILED = "sealed", "merged", "unchanged", "failed"
Steps = Generator[None, None, str]
Wrote = Generator[None, None, bool]


@dataclass
class Tally:
    """What was done of one kind: days by outcome; rows and bytes of the files that were written,
    and bytes of their rows as the wire's text (those of which it is known: text_of)."""

    sealed: int = 0
    merged: int = 0
    unchanged: int = 0
    failed: int = 0
    rows: int = 0
    bytes: int = 0
    text: float = 0.0
    text_of: int = 0

    def told(self) -> dict[str, Any]:
        """As JSON, with bytes a row and the ratio to the text form, where they are known."""
        told = asdict(self)
        text, of = told.pop("text"), told.pop("text_of")
        told["bytes_a_row"] = round(self.bytes / self.rows, 2) if self.rows else None
        told["ratio"] = round(text / of, 2) if of else None
        return told


@dataclass(frozen=True)
class Order:
    """What is to be drained. days: (), all that are over; dry_run: say only what would be."""

    days: tuple[date, ...] = ()
    dry_run: bool = False


@dataclass
class _Found:
    kinds: dict[str, Tally] = field(default_factory=lambda: {k: Tally() for k in COLD_KINDS})
    failures: list[dict[str, str]] = field(default_factory=list)


class Drain:
    """jobs.Job over one order."""

    name = "drain"

    def __init__(self, runtime: VenueRuntime, order: Order) -> None:
        self._runtime, self._order = runtime, order
        self._hot, self._cold = both_of(runtime)
        self._venue = runtime.venue.name
        self._found = _Found()
        self._damaged: list[str] = []
        self._done, self._total = 0, 1
        self._refusal = ""
        self._log = logger("drain").bind(venue=self._venue)
        not_over = [day for day in order.days if not is_over(runtime, day)]
        if not_over:
            raise Refuse(f"{not_over[0]} is not over yet on {self._venue}", "day_not_over", 409)

    @property
    def progress(self) -> tuple[int, int]:
        """Days of a kind."""
        return self._done, self._total

    def report(self) -> dict[str, Any]:
        """By kind, what failed, and which older files were found damaged, as JSON."""
        kinds = {kind: tally.told() for kind, tally in self._found.kinds.items()}
        failures = self._found.failures
        return {
            "dry_run": self._order.dry_run,
            "kinds": kinds,
            "failed": sum(tally.failed for tally in self._found.kinds.values()),
            "failures": failures[:FAILURES_SHOWN],
            "damaged": self._damaged,
        }

    def run(self) -> Iterator[None]:
        """Day by day, the oldest first."""
        if not self._order.dry_run:
            self._cold.sweep()
        yield
        work = self._work()
        self._total = max(1, len(work))
        for day, kind in work:
            yield from self._day(kind, day)
            self._done += 1
        if not self._order.dry_run:
            yield from self._scrub()
            yield from self._cover()
        self._done = self._total
        gauges(self._runtime, self._cold)

    def close(self) -> None:
        """Say what was done."""
        report = self.report()
        done = {k: t for k, t in report["kinds"].items() if t["sealed"] or t["merged"]}
        if done or report["failed"]:
            self._log.info(
                "days would be drained" if self._order.dry_run else "days were drained",
                failed=report["failed"],
                kinds={k: {n: t[n] for n in ("sealed", "merged", "rows")} for k, t in done.items()},
            )

    def _work(self) -> list[tuple[date, str]]:
        """The days that are over and have hot rows, with their kind, the oldest first."""
        wanted = set(self._order.days)
        found = [
            (day, kind)
            for kind in COLD_KINDS
            for day in self._hot.days(self._venue, (kind,))
            if (not wanted or day in wanted) and is_over(self._runtime, day)
        ]
        return sorted(found)

    # -- one day of one kind -----------------------------------------------------------------------

    def _day(self, kind: str, day: date) -> Iterator[None]:
        """One day of one kind, and what is told of it."""
        outcome, why = "", ""
        try:
            for _ in range(TRIES):
                outcome = yield from self._try(kind, day)
                if outcome:
                    break
            else:
                outcome, why = FAILED, f"{TRIES} times: {self._refusal}; the next drain tries again"
        except _Damaged as damaged:
            outcome, why = FAILED, str(damaged)
        tally = self._found.kinds[kind]
        setattr(tally, outcome, getattr(tally, outcome) + 1)
        if not self._order.dry_run:
            counter = self._runtime.telemetry.drain_days
            counter.labels(self._venue, kind, outcome).inc()
        if outcome == FAILED:
            self._found.failures.append({"kind": kind, "day": str(day), "why": why})
            self._log.error("a day was not drained", kind=kind, day=str(day), why=why)

    def _try(self, kind: str, day: date) -> Steps:
        """One attempt; what came of it, "" where rows came meanwhile."""
        hot, venue = self._hot, self._venue
        late = self._runtime.venue.calendar.midnight_ns(day) < hot.floor(venue, kind)
        before = self._cold.sealed(venue, kind, day)
        # Taken before all else: what is deleted in the end is what this has seen, or nothing.
        here = hot.digest(venue, kind, day)
        yield
        beside, want = None, here
        if late and before is not None:
            if why := self._cold.damage(before):
                raise _Damaged(f"{why}; its late rows stay hot")
            beside = before.path
            want = hot.digest(venue, kind, day, beside)
            yield
        held = before is not None and self._holds(before, want)
        outcome = UNCHANGED if held else MERGED if late else SEALED
        if self._order.dry_run:
            self._found.kinds[kind].rows += 0 if held else want.rows
            return outcome
        if not held and not (yield from self._write(kind, day, beside, want)):
            return ""
        yield
        return outcome if not late or self._strays_go(kind, day, here) else ""

    def _write(self, kind: str, day: date, beside: Path | None, want: Digest) -> Wrote:
        """Write the file and make it count; whether it was what is wanted."""
        venue, cold = self._venue, self._cold
        file = cold.begin(venue, kind, day)
        try:
            self._hot.seal(venue, kind, day, file, beside)
            yield
            if kind == OHLCV.name:
                source: Any = self._hot if beside is None else self._runtime.parts.store
                coverage.cover(self._hot, self._runtime.venue, day, source)
                yield
            self._count(kind, cold.adopt(venue, kind, day, file, want))
            return True
        except Refuse as refused:
            if refused.code != "cold_differs":
                raise
            self._refusal = str(refused)
            return False
        except OSError as error:
            raise Retry(f"{file.parent.name} of {venue}_{kind}: {error.strerror}") from error
        finally:
            cold.abandon(file)  # where it was adopted there is nothing any more

    def _strays_go(self, kind: str, day: date, seen: Digest) -> bool:
        """Delete the late rows of a day whose file has them now, unless more came."""
        try:
            self._hot.let_go(self._venue, kind, day, seen)
        except Refuse as refused:
            if refused.code != "day_changed":
                raise
            self._refusal = str(refused)
            return False
        return True

    def _holds(self, sealed: Sealed, want: Digest) -> bool:
        """Does a file, read as it is now, have these rows?"""
        if sealed.rows != want.rows:
            return False
        try:
            return self._cold.digest(sealed) == want
        except (BursaError, OSError) as error:
            self._log.error("a cold file cannot be read", file=str(sealed.path), why=str(error))
            return False

    def _count(self, kind: str, sealed: Sealed) -> None:
        tally = self._found.kinds[kind]
        tally.rows += sealed.rows
        tally.bytes += sealed.bytes
        self._runtime.telemetry.drain_rows.labels(self._venue, kind).inc(sealed.rows)
        ratio = self._cold.text_ratio(sealed)
        if ratio is not None:
            tally.text += ratio * sealed.bytes
            tally.text_of += sealed.bytes

    # -- behind it ---------------------------------------------------------------------------------

    def _cover(self) -> Iterator[None]:
        """Enter the cold days whose coverage is not known: the hot store was lost once. Take out
        those whose file is gone: it was damaged."""
        for day in coverage.lost(self._hot, self._cold, self._runtime.venue):
            coverage.forget(self._hot, self._runtime.venue, day)
            yield
        for day in coverage.uncovered(self._hot, self._cold, self._runtime.venue):
            coverage.cover(self._hot, self._runtime.venue, day, self._cold)
            yield

    def _scrub(self) -> Iterator[None]:
        """Look at a part of the cold files, another one each day: rot is told before it spreads
        into backups."""
        clock, calendar = self._runtime.clock, self._runtime.venue.calendar
        turn = calendar.day_of(clock.now_ns()).toordinal()
        for why in self._cold.scrub(self._venue, turn):
            if why:
                self._damaged.append(why)
            yield


class _Damaged(Exception):
    """A file that late rows belong into cannot be read."""


def both_of(runtime: VenueRuntime) -> tuple[Hot, Cold]:
    """The hot and the cold side of a venue's store. Raises Refuse `no_cold` where it has but
    one."""
    if runtime.tiers is None:
        raise Refuse("this store has no cold side", "no_cold", 409)
    return runtime.tiers


def gauges(runtime: VenueRuntime, cold: Cold) -> None:
    """What lies cold now."""
    telemetry, venue = runtime.telemetry, runtime.venue.name
    for kind in COLD_KINDS:
        files = cold.all(venue, kind)
        telemetry.cold_days.labels(venue, kind).set(len(files))
        telemetry.cold_bytes.labels(venue, kind).set(sum(file.bytes for file in files))


def make(runtime: VenueRuntime, order: dict[str, Any]) -> Drain:
    """jobs.Maker; `order`: days (ISO dates), dry_run."""
    days = tuple(date.fromisoformat(text) for text in order.get("days", ()))
    return Drain(runtime, Order(days, bool(order.get("dry_run"))))
