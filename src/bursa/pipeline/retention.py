"""What leaves a data folder, when, and in which order; said in the log and counted.

By order: a closed day's bars are rewritten sorted by ticker. By time: hot kinds are kept for so
many days of the venue's calendar, journal segments so long after they were closed. By size: the
journal has a limit of its own; where the folder has a cap, first closed journal segments go, then
the oldest stored days. Called by the writer between two transactions, so that nobody else writes
the store meanwhile. Never drops the newest day, nor what recovery needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

from bursa.journal import checkpoint, closed
from bursa.model.calendar import DAY_NS
from bursa.model.venue import Venue
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.ports import Clock, Store

EVERY_NS = 20_000_000_000
# Under a cap the journal gets this share; the store's free pages and checkpoints want room too.
JOURNAL_SHARE = 0.5


@dataclass(frozen=True)
class JournalLimits:
    """How long closed segments are kept after they were closed, and how many bytes on disk the
    journal may take; 0: no limit."""

    days: int = 0
    bytes: int = 0


class Subject(Protocol):
    """The running venue that retention looks after."""

    venue: Venue
    data: Path
    folder: Path
    checkpoints_folder: Path

    @property
    def hot(self) -> Store:
        """Its store."""

    @property
    def clock(self) -> Clock:
        """Our clock."""

    @property
    def telemetry(self) -> Telemetry:
        """Its counters."""

    @property
    def committed(self) -> int:
        """Journal position that the store holds all rows up to."""

    @property
    def newest_ns(self) -> int:
        """Its newest event time."""

    @property
    def idle(self) -> bool:
        """The writer is not behind."""

    def oldest_kept(self, kind: str) -> int | None:
        """Event time before which nothing of a kind is kept."""


class Retention:
    """Looks every 20 s. `days` maps a kind to how many days stay; `cap_bytes` 0 is no cap; days
    before `settled_to` are in order already."""

    def __init__(
        self,
        subject: Subject,
        days: Mapping[str, int],
        cap_bytes: int,
        settled_to: date,
        journal: JournalLimits | None = None,
    ) -> None:
        self._subject, self._days, self._cap_bytes = subject, days, cap_bytes
        self._journal = journal or JournalLimits()
        self._log = logger("retention").bind(venue=subject.venue.name)
        self._last_ns = 0
        self._floors: dict[str, int] = {}
        self._settled_to = settled_to

    def pump(self) -> None:
        """Look if it is time to."""
        now = self._subject.clock.now_ns()
        if now - self._last_ns < EVERY_NS:
            return
        self._last_ns = now
        self._by_time()
        self._journal_alone(now)
        if self._subject.idle:
            self._settle()
        size = folder_bytes(self._subject.data)
        self._subject.telemetry.disk_bytes.set(size)
        size -= self._subject.hot.bytes().free  # dropped rows leave room, not a smaller file
        if self._cap_bytes and size > self._cap_bytes:
            self._by_size(size)

    def _by_time(self) -> None:
        for kind in self._days:
            floor = self._subject.oldest_kept(kind)
            if floor is not None and floor > self._floors.get(kind, 0):
                self._floors[kind] = floor
                self._drop(kind, floor, "past its days")

    def _journal_alone(self, now: int) -> None:
        """Keep the journal's own limits."""
        limits, name = self._journal, self._subject.venue.name
        if limits.days:
            self._retire(closed.FOR_EVER, "past its days", now - limits.days * DAY_NS)
        if limits.bytes:
            self._retire(limits.bytes, "the journal is full")
        size = folder_bytes(self._subject.folder)
        self._subject.telemetry.journal_disk.labels(name).set(size)

    def _retire(self, bytes_max: int, why: str, closed_before: int = 0) -> int:
        """Drop segments that no recovery needs; how many bytes that gave."""
        # A store whose log is ruined falls back to its last fold: it must be rebuilt from there.
        folded = self._subject.hot.folded(self._subject.venue.name)
        keep_from = checkpoint.needed_from(
            self._subject.checkpoints_folder, min(self._subject.committed, folded)
        )
        over = 0
        for segment in closed.retire(self._subject.folder, bytes_max, keep_from, closed_before):
            gone = segment.disk_bytes
            over += gone
            self._subject.telemetry.journal_retired.labels(self._subject.venue.name).inc(gone)
            self._log.warning("journal segment dropped", base=segment.base, bytes=gone, why=why)
        return over

    def _settle(self) -> None:
        """Have one more day that closed in this run rewritten in the order that long histories are
        read in."""
        calendar, newest = self._subject.venue.calendar, self._subject.newest_ns
        if not newest:
            return
        today, name = calendar.day_of(newest), self._subject.venue.name
        for day in self._subject.hot.days(name, ("ohlcv",)):
            if self._settled_to <= day < today:
                start = calendar.midnight_ns(day)
                self._subject.hot.settle(name, start, calendar.midnight_ns(day + timedelta(days=1)))
                self._settled_to = day + timedelta(days=1)
                return

    def _by_size(self, size: int) -> None:
        over = size - self._cap_bytes
        journal = folder_bytes(self._subject.folder)
        room = max(int(self._cap_bytes * JOURNAL_SHARE), journal - over)
        over -= self._retire(room, "the folder is full")
        days = self._subject.hot.days(self._subject.venue.name)
        if over > 0 and len(days) > 1:
            floor = self._subject.venue.calendar.midnight_ns(days[1])
            for kind in self._days:
                self._drop(kind, floor, "the folder is full")

    def _drop(self, kind: str, floor: int, why: str) -> None:
        name = self._subject.venue.name
        gone = self._subject.hot.drop_before(name, kind, floor)
        if gone:
            self._subject.telemetry.store_dropped.labels(name, kind).inc(gone)
            self._log.info("rows dropped", kind=kind, rows=gone, before_ns=floor, why=why)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total
