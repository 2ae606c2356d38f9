"""The files of cold days as they lie below one folder: their names, and how they come and go.

`{venue}_{kind}/date=YYYY-MM-DD/{generation:06d}-{rows}-{hash}.parquet`. A file comes by a rename
behind a sync, and that is its commit; there is no other list of what is there. Of a day the highest
generation counts. Older ones, and files left half written, are left-overs. Knows names and folders,
not what files hold (cold_file.py, parquet.py).
"""

import hashlib
import itertools
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from threading import Lock

from bursa.store.compare import Digest

SUFFIX = ".parquet"
HALF_WRITTEN = ".tmp"
ASIDE = ".aside"
# A replaced file goes when no read can want it any more: the longest takes 60 s, and is repeated.
UNREAD_S = 150.0

_NAME = re.compile(r"(\d{6})-(\d+)-([0-9a-f]{32})\.parquet")
_USED = re.compile(r"(\d{6})-\d+-[0-9a-f]{32}\.parquet")
_DAY = re.compile(r"date=(\d{4}-\d\d-\d\d)")
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Sealed:
    """One day of a kind as it lies cold. `hash` is that of its rows (compare.py), by the columns
    that the schema had when it was written."""

    venue: str
    kind: str
    day: date
    generation: int
    rows: int
    hash: str
    bytes: int
    path: Path


class Files:
    """The names below one cold folder. `of(venue, kind)` names a kind's folder in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = Lock()
        self._counter = itertools.count()
        self._begun: set[Path] = set()
        # Left-overs -> when they became that, by this process's own clock.
        self._left: dict[Path, float] = {}

    def found(self, venue: str, kind: str) -> dict[date, list[Sealed]]:
        """The files of a kind by day, those of a day by generation, the one that counts last. All
        but that one are left-overs, which nobody reads."""
        days: dict[date, list[Sealed]] = {}
        for folder, day in _days(self.folder / f"{venue}_{kind}"):
            named = ((path, _NAME.fullmatch(path.name)) for path in folder.iterdir())
            every = [
                Sealed(
                    *(venue, kind, day, int(name[1]), int(name[2]), name[3]),
                    *(path.stat().st_size, path),
                )
                for path, name in named
                if name is not None
            ]
            if every:
                days[day] = sorted(every, key=lambda sealed: sealed.generation)
                self._left |= {sealed.path: -UNREAD_S for sealed in days[day][:-1]}
        return dict(sorted(days.items()))

    def begin(self, venue: str, kind: str, day: date) -> Path:
        """A new file's temporary path, its folder there; a name that nobody else has."""
        folder = self.folder / f"{venue}_{kind}" / f"date={day.isoformat()}"
        with self._lock:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            while True:
                nth = next(self._counter)
                file = folder / f"{os.getpid()}-{nth}{SUFFIX}{HALF_WRITTEN}"
                if not file.exists():
                    self._begun.add(file)
                    return file

    def abandon(self, file: Path) -> None:
        """Throw away what `begin` gave; no error where nothing was written."""
        with self._lock:
            file.unlink(missing_ok=True)
            with suppress(OSError):  # the day has other files
                file.parent.rmdir()
            self._begun.discard(file)

    def name(self, venue: str, kind: str, day: date, file: Path, found: Digest) -> Sealed:
        """Rename a file, which is synced, to the next generation of its day, for good. The one that
        counted before stays, as a left-over of this moment."""
        folder = file.parent
        with self._lock:
            older = [path for path in folder.iterdir() if _USED.match(path.name)]
            generation = 1 + max((int(path.name[:6]) for path in older), default=0)
            path = folder / f"{generation:06d}-{found.rows}-{found.hash}{SUFFIX}"
            file.rename(path)
            for above in (folder, folder.parent, self.folder):
                sync_folder(above)
            self._begun.discard(file)
            now = time.monotonic()
            self._left |= {p: self._left.get(p, now) for p in older if _NAME.fullmatch(p.name)}
        size = path.stat().st_size
        return Sealed(venue, kind, day, generation, found.rows, found.hash, size, path)

    def counts(self, path: Path) -> None:
        """This is the file of its day, though there was a newer one that cannot be read."""
        with self._lock:
            self._left.pop(path, None)

    def put_aside(self, path: Path) -> Path:
        """Rename a file that cannot be read, so that it does not count; its new name."""
        new = aside(path)
        with self._lock:
            path.rename(new)
            self._left.pop(path, None)
            sync_folder(path.parent)
        return new

    def remove(self, venue: str, kind: str, day: date) -> int:
        """Remove every file of a day; returns bytes given back."""
        folder = self.folder / f"{venue}_{kind}" / f"date={day.isoformat()}"
        gone = 0
        with self._lock:
            for path in folder.iterdir():
                if path in self._begun:
                    continue
                gone += path.stat().st_size
                path.unlink()
                self._left.pop(path, None)
            with suppress(OSError):
                folder.rmdir()
            sync_folder(folder.parent)
        return gone

    def sweep(self) -> int:
        """Remove the left-overs that nobody reads any more; returns bytes given back."""
        gone, now = 0, time.monotonic()
        with self._lock:
            for table in self.folder.iterdir() if self.folder.is_dir() else ():
                for folder, _ in _days(table):
                    for path in folder.iterdir():
                        half = path.name.endswith(HALF_WRITTEN) and path not in self._begun
                        since = self._left.get(path)
                        if half or (since is not None and now - since >= UNREAD_S):
                            gone += path.stat().st_size
                            path.unlink()
                            self._left.pop(path, None)
                    with suppress(OSError):
                        folder.rmdir()
        return gone


def aside(path: Path) -> Path:
    """The name of a file that cannot be read, and does not count."""
    return path.with_name(path.name + ASIDE)


def _days(folder: Path) -> Iterator[tuple[Path, date]]:
    """The folders of a kind's days."""
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        if name := _DAY.fullmatch(path.name):
            with suppress(ValueError):  # no day of any calendar: not ours
                yield path, date.fromisoformat(name[1])


def sync(file: Path) -> str:
    """Put a file on disk for good; returns the SHA-256 of its bytes, 64 hexadecimal digits."""
    hashed = hashlib.sha256()
    with open(file, "r+b") as opened:
        while block := opened.read(_BLOCK_BYTES):
            hashed.update(block)
        os.fsync(opened.fileno())
    return hashed.hexdigest()


def sha256(file: Path) -> str:
    """Of a file's bytes, 64 hexadecimal digits."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk for good."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
