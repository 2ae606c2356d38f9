"""What a backup of a data folder consists of, and in which order it is copied, also while it runs.

The hot store's file comes first, as it stands still (store/standing.py): it holds all rows up to
the positions P. Everything else is copied after it, so that it reaches as far or further:

    audit         what was told of acts and is in no table yet: before the state, to which it goes
    state.db      letters of rows that the store refused up to P, or later: known by their keys; and
                  accounts, whose secrets come after it, for they are made before it knows them
    cold          each day that was taken off hot before P; a day drained since is there twice, and
                  what lies hot counts
    checkpoints   one at or before P at least: none of those goes while the store does not fold
    journal       at last, from what the oldest of those needs up to its end then: past P, since no
                  store commits what is not synced. Its torn end is what a start cuts off anyway

So a start on the copy goes on as one after a kill does. Files that never change under their name
are copied before the store is asked to stand still, and only once for all backups.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from bursa.journal.recover import MARK
from bursa.journal.segment import PACKED, PLAIN, bases
from bursa.model.errors import Retry
from bursa.state.copy import copy_database
from bursa.store.folder import STORE_FILE
from bursa.store.mirror import Mirror

JOURNAL, STATE, AHEAD = "journal", "state.db", "audit/ahead.jsonl"
# Whose bytes are the same as long as size and time are: made whole, or never changed once closed.
LASTING = (".parquet", PACKED, PLAIN, ".index", ".checkpoint", ".part")
# Of a process, not of the data; what is being made; what only the engine knows how to read.
_OWN = ("lock", "control.sock", "exchange.json", "exchange.log")
_TEMPORARY = ".tmp"
_ROUNDS_MAX = 50

Found = dict[str, Path]


class Hold(Protocol):
    """The hot store's file, which stands still from `begin` to `end`. `check` raises Refuse where
    it did not all the time."""

    def begin(self) -> dict[str, int]:
        """Have it stand still: topic -> position that it holds."""

    def check(self) -> None:
        """Raise Refuse where it did not stand still since `begin`."""

    def end(self) -> None:
        """Let go; may be called again."""


class Backup:
    """One backup of a data folder into a mirror that was entered. `logs`: the store's log is copied
    too (nobody has the folder open, so it is still). `run` once, then commit the mirror."""

    def __init__(self, data: Path, mirror: Mirror, hold: Hold, *, logs: bool) -> None:
        self.positions: dict[str, int] = {}
        self.journal_ends: dict[str, int] = {}
        self._data, self._mirror, self._hold, self._logs = data, mirror, hold, logs

    def bytes_ahead(self) -> int:
        """How many bytes are to be copied, about."""
        found = self._found()
        lasting = [
            path for name, path in found.items() if not _lasting(name) or self._lacks(name, path)
        ]
        sizes = 0
        for path in [*lasting, *self._hot(), self._data / STATE]:
            with suppress(OSError):
                sizes += path.stat().st_size
        return sizes

    def run(self) -> None:
        """Copy everything. Raises Refuse where the store did not stand still, OSError where a disk
        fails, Retry where the folder changes faster than it can be copied."""
        self._copy_lasting()
        self.positions = self._hold.begin()
        try:
            for path in self._hot():
                self._mirror.copy(path.name, path, changes=True)
            self._hold.check()
            with suppress(FileNotFoundError):
                self._mirror.copy(AHEAD, self._data / AHEAD, changes=True)
            if (self._data / STATE).exists():
                self._mirror.make(STATE, self._copy_state)
            for _ in range(_ROUNDS_MAX):
                if not self._copy_lasting():
                    break
            else:
                raise Retry("files come faster than they are copied; try again later")
            self._copy_changing()
            for venue in sorted(self._journals()):
                self._copy_journal(venue)
            self._hold.check()
        finally:
            self._hold.end()

    def _hot(self) -> list[Path]:
        names = [STORE_FILE, *([f"{STORE_FILE}.wal"] if self._logs else [])]
        return [path for name in names if (path := self._data / name).exists()]

    def _found(self) -> Found:
        """The folder's files by their names below it, without those that are copied otherwise."""
        return {
            name: path
            for name, path in _walk(self._data, self._mirror.folder)
            if not _special(name)
        }

    def _lacks(self, name: str, path: Path) -> bool:
        try:
            return self._mirror.lacks(name, path)
        except FileNotFoundError:
            return False

    def _copy_lasting(self) -> bool:
        """Copy files that are not there yet and never change, but for the segments that are being
        written; leave out those that are gone by now. Whether there was one to be copied."""
        found = {name: path for name, path in self._found().items() if _lasting(name)}
        for venue in self._journals():
            last = max(bases(self._data / JOURNAL / venue).values(), default=None, key=_base)
            if last is not None:
                found.pop(f"{JOURNAL}/{venue}/{last.name}", None)
        copied = False
        for name, path in found.items():
            with suppress(FileNotFoundError):
                if self._mirror.lacks(name, path):
                    self._mirror.copy(name, path)
                    copied = True
        for name in self._mirror.held:
            if _lasting(name) and not (self._data / name).exists():
                self._mirror.drop(name)
        return copied

    def _copy_changing(self) -> None:
        for name, path in self._found().items():
            mark = name.startswith(f"{JOURNAL}/") and path.name == MARK
            if not mark and not _lasting(name):
                with suppress(FileNotFoundError):
                    self._mirror.copy(name, path, changes=True)

    def _journals(self) -> list[str]:
        folder = self._data / JOURNAL
        return [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []

    def _copy_journal(self, venue: str) -> None:
        """All segments up to the end of the last one now. The mark of what is synced goes first: it
        never tells of more than there is."""
        folder = self._data / JOURNAL / venue
        for _ in range(_ROUNDS_MAX):
            names: list[str] = []
            try:
                if (folder / MARK).exists():
                    self._mirror.copy(f"{JOURNAL}/{venue}/{MARK}", folder / MARK, changes=True)
                found = sorted(bases(folder).items())
                for base, path in found:
                    name = f"{JOURNAL}/{venue}/{path.name}"
                    names.append(name)
                    if base == found[-1][0] and path.name.endswith(PLAIN):
                        size = path.stat().st_size
                        self._mirror.copy(name, path, changes=True, most=size)
                        self.journal_ends[venue] = base + size
                    elif self._mirror.lacks(name, path):
                        self._mirror.copy(name, path)
            except FileNotFoundError:  # compressed or retired meanwhile
                continue
            prefix = f"{JOURNAL}/{venue}/"
            for name in self._mirror.held:
                segment = name.endswith((PLAIN, PACKED)) and name.startswith(prefix)
                if segment and name not in names:
                    self._mirror.drop(name)
            return
        raise Retry(f"the journal of {venue} changes faster than it is copied; try again later")

    def _copy_state(self, to: Path) -> None:
        copy_database(self._data / STATE, to)


def _walk(data: Path, backup: Path) -> Iterator[tuple[str, Path]]:
    """Files below a folder by their names; also of folders that are links to other disks, once, and
    not of the backup itself there."""
    seen = {os.path.realpath(data), os.path.realpath(backup)}
    for folder, inner, files in os.walk(data, followlinks=True):
        at = Path(folder)
        real = {name: os.path.realpath(at / name) for name in inner}
        inner[:] = sorted(name for name in inner if real[name] not in seen)
        seen.update(real[name] for name in inner)
        for name in sorted(files):
            path = at / name
            with suppress(OSError):
                if path.is_file():
                    yield path.relative_to(data).as_posix(), path


def _special(name: str) -> bool:
    file = name.rpartition("/")[2]
    own = file in _OWN or file.endswith(_TEMPORARY) or f"{_TEMPORARY}/" in name
    return own or name == AHEAD or name.startswith((STORE_FILE, STATE))


def _lasting(name: str) -> bool:
    return name.endswith(LASTING)


def _base(path: Path) -> int:
    return int(path.name.partition(".")[0])
