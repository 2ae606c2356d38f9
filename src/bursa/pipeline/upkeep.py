"""What a data folder gives up by itself, and in which order; said in the log and counted.

By order: a closed day's bars are rewritten sorted by ticker. By time: journal segments, so long
after they were closed. By size: the journal has a limit of its own; where the folder has a cap,
first closed journal segments go, then the oldest cold days, ticks and books before bars, then the
oldest hot ones of ticks and books. Called by the writer between two transactions. Never drops the
newest day, nor what recovery needs. Days that merely go cold: drain.py, retention.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

from bursa.journal import checkpoint, closed
from bursa.model.calendar import DAY_NS
from bursa.model.errors import Refuse
from bursa.model.schema import OHLCV
from bursa.model.venue import Venue
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.tiers import Cold, Hot
from bursa.ports import Clock, Store
from bursa.store import coverage
from bursa.store.floors import COLD_KINDS

EVERY_NS = 20_000_000_000
# Under a cap the journal gets this share; the store's free pages and checkpoints want room too.
JOURNAL_SHARE = 0.5
# Small, and what most questions are about: under a cap they go last.
PRECIOUS = ("index", "ohlcv", "metrics")


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

    @property
    def tiers(self) -> tuple[Hot, Cold] | None:
        """Both sides of its store, where it has two."""


class Upkeep:
    """Looks every 20 s. `kinds`: those whose days a cap may delete while they are hot; `cap_bytes`
    0 is no cap; days before `settled_to` are in order already."""

    def __init__(
        self,
        subject: Subject,
        kinds: Collection[str],
        cap_bytes: int,
        settled_to: date,
        journal: JournalLimits | None = None,
    ) -> None:
        self._subject, self._kinds, self._cap_bytes = subject, tuple(kinds), cap_bytes
        self._journal = journal or JournalLimits()
        self._log = logger("upkeep").bind(venue=subject.venue.name)
        self._last_ns = 0
        self._settled_to = settled_to

    def pump(self) -> None:
        """Look if it is time to."""
        now = self._subject.clock.now_ns()
        if now - self._last_ns < EVERY_NS:
            return
        self._last_ns = now
        self._journal_alone(now)
        if self._subject.idle:
            self._settle()
        size = self._size()
        self._subject.telemetry.disk_bytes.set(size)
        size -= self._subject.hot.bytes().free  # dropped rows leave room, not a smaller file
        if self._cap_bytes and size > self._cap_bytes:
            self._by_size(size)

    def _size(self) -> int:
        """Bytes of the data folder. Of cold files there may be tens of thousands, and all are
        known."""
        tiers, data = self._subject.tiers, self._subject.data
        if tiers is None:
            return folder_bytes(data)
        cold = tiers[1]
        return folder_bytes(data, cold.folder) + cold.bytes()

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
        for day in self._hot_days(("ohlcv",)):
            if self._settled_to <= day < today:
                start = calendar.midnight_ns(day)
                self._subject.hot.settle(name, start, calendar.midnight_ns(day + timedelta(days=1)))
                self._settled_to = day + timedelta(days=1)
                return

    def _hot_days(self, kinds: Sequence[str]) -> Sequence[date]:
        """The days with hot rows of any of these kinds, ascending."""
        tiers = self._subject.tiers
        hot: Hot | Store = self._subject.hot if tiers is None else tiers[0]
        return hot.days(self._subject.venue.name, kinds) if kinds else []

    def _by_size(self, size: int) -> None:
        over = size - self._cap_bytes
        journal = folder_bytes(self._subject.folder)
        room = max(int(self._cap_bytes * JOURNAL_SHARE), journal - over)
        over -= self._retire(room, "the folder is full")
        over -= self._drop_cold(over, [kind for kind in COLD_KINDS if kind not in PRECIOUS])
        days = [day for day in self._hot_days(self._kinds) if self._is_hot(day, self._kinds)]
        if over > 0 and len(days) > 1:
            for kind in self._kinds:
                self._drop_hot(kind, days[0], days[1])
        elif over > 0:
            self._drop_cold(over, PRECIOUS)

    def _drop_cold(self, over: int, kinds: Sequence[str]) -> int:
        """Delete the oldest days that lie cold alone; how many bytes that gave."""
        tiers, venue, gone = self._subject.tiers, self._subject.venue, 0
        if tiers is None or over <= 0:
            return 0
        hot, cold = tiers
        oldest = sorted(
            (sealed.day, kind)
            for kind in kinds
            for sealed in cold.all(venue.name, kind)
            if venue.calendar.midnight_ns(sealed.day) < hot.floor(venue.name, kind)
        )
        for day, kind in oldest:
            if gone >= over:
                break
            size = cold.drop(venue.name, kind, day)
            if kind == OHLCV.name:
                coverage.forget(hot, venue, day)
            gone += size
            self._subject.telemetry.cold_dropped.labels(venue.name, kind).inc(size)
            what = "cold day deleted"
            self._log.warning(what, kind=kind, day=str(day), bytes=size, why="the folder is full")
        return gone

    def _is_hot(self, day: date, kinds: Collection[str]) -> bool:
        """Is a day of any of these kinds hot as a whole? What came late for a cold day is little,
        and the next drain takes it."""
        venue, tiers = self._subject.venue, self._subject.tiers
        start = venue.calendar.midnight_ns(day)
        return tiers is None or any(start >= tiers[0].floor(venue.name, kind) for kind in kinds)

    def _drop_hot(self, kind: str, day: date, following: date) -> None:
        """Delete the hot rows of a kind's oldest day; where it has a cold file, that counts from
        then on. Rows that came since that was made are lost."""
        venue, tiers = self._subject.venue, self._subject.tiers
        sealed = None if tiers is None else tiers[1].sealed(venue.name, kind, day)
        if not self._is_hot(day, (kind,)):
            return
        if tiers is not None and sealed is not None:
            hot, cold = tiers
            try:
                proven, found = cold.digest(sealed), hot.digest(venue.name, kind, day)
                gone = hot.let_go(venue.name, kind, day, found)
                if found != proven:
                    what = "hot rows deleted that came after their day was drained"
                    rows = found.rows - proven.rows
                    self._log.warning(what, kind=kind, rows=rows, day=str(day))
            except (Refuse, OSError, ValueError):
                sealed = None  # it cannot be read, or rows come right now
        if sealed is None:
            floor = venue.calendar.midnight_ns(following)
            gone = self._subject.hot.drop_before(venue.name, kind, floor)
        if gone:
            self._subject.telemetry.store_dropped.labels(venue.name, kind).inc(gone)
            what = "hot rows deleted" if sealed is None else "hot rows deleted: they lie cold"
            self._log.warning(what, kind=kind, rows=gone, day=str(day), why="the folder is full")


def folder_bytes(folder: Path, without: Path | None = None) -> int:
    """Bytes of all files below a folder, but those below `without`; files that vanish meanwhile
    count nothing."""
    total = 0
    try:
        entries = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return 0
    for path in entries:
        try:
            if path.is_dir() and not path.is_symlink():
                total += 0 if path == without else folder_bytes(path, without)
            elif path.is_file():
                total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total
