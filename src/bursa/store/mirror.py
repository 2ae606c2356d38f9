"""A backup's folder: copies of files, and the manifest that says what they are and whether whole.

    DIR/manifest.json     the newest finished backup: each file's path, size and SHA-256
    DIR/files/...         the copies; of a file that changes under its name, `PATH~N` of backup N

A backup is finished when its manifest takes the former one's place; until then, and after a kill,
the former one is whole, and what was copied for nothing goes with the next. A file that is there
already and did not change since is not copied again. Knows no store and no journal.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bursa.model.errors import Refuse

MANIFEST, FILES, LOCK, TEMPORARY = "manifest.json", "files", "lock", ".tmp"
VERSION = 1
PIECE = 1 << 20
_BAD_SHOWN = 5

Told = Callable[[int], None]


@dataclass(frozen=True)
class Stored:
    """One file. path: below the data folder; stored: below DIR/files; mtime_ns: of the original."""

    path: str
    stored: str
    size: int
    sha256: str
    mtime_ns: int


@dataclass(frozen=True)
class Manifest:
    """One finished backup. number counts those of the folder; made: ISO time; facts: what was
    known of the data then, as JSON."""

    number: int
    made: str
    facts: dict[str, Any]
    files: tuple[Stored, ...]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(one.size for one in self.files)


def load(folder: Path) -> Manifest | None:
    """The newest finished backup of a folder; None where there is none. Refuse `bad_backup` where
    its manifest cannot be read, or a newer program wrote it."""
    path = folder / MANIFEST
    try:
        said = json.loads(path.read_bytes())
        if said["version"] > VERSION:
            what = f"{path} is of version {said['version']}; this program knows up to {VERSION}"
            raise Refuse(f"{what}: use the newer bursa", "bad_backup")
        files = tuple(Stored(**one) for one in said["files"])
        return Manifest(int(said["number"]), str(said["made"]), dict(said["facts"]), files)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refuse(f"{path} cannot be read: {error!r}", "bad_backup") from None


class Mirror:
    """A backup under way. Use as a context: leaving it without `commit` leaves the former one. At
    most one at a time in a folder: Refuse `backup_runs`. OSError where the disk does not take it.

    copied   bytes that were written so far
    """

    def __init__(self, folder: Path, told: Told = lambda size: None) -> None:
        self.folder, self._told = folder, told
        self.copied = 0
        self._files = folder / FILES
        self._lock: BinaryIO | None = None

    def __enter__(self) -> "Mirror":
        self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._lock = open(self.folder / LOCK, "ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise Refuse(f"{self.folder} takes another backup now", "backup_runs", 409) from None
        self.former = load(self.folder)
        self.number = 1 + (self.former.number if self.former else 0)
        self._known = {one.path: one for one in self.former.files} if self.former else {}
        self._held: dict[str, Stored] = {}
        self._lasting: set[str] = set()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._lock is not None, "it was entered"
        self._lock.close()

    def lacks(self, path: str, source: Path) -> bool:
        """Must this file be copied? Not where it was, in this backup or in the former one, and has
        size and time as then. FileNotFoundError where it is gone."""
        found = source.stat()
        held, former = self._held.get(path), self._known.get(path)
        for known, lasting in (
            (held, path in self._lasting),
            (former, former is not None and former.stored == path),
        ):
            if known is not None and (known.size, known.mtime_ns) == (
                found.st_size,
                found.st_mtime_ns,
            ):
                if not lasting or not self._is_there(known):
                    continue
                self._held[path] = known
                return False
        return True

    def _is_there(self, known: Stored) -> bool:
        """Is a copy as long as it was written?"""
        try:
            return (self._files / known.stored).stat().st_size == known.size
        except FileNotFoundError:
            return False

    def copy(self, path: str, source: Path, *, changes: bool = False, most: int = -1) -> None:
        """Take a file, of which `most` bytes where that is given. `changes`: it is another one
        under the same name next time. FileNotFoundError where it is gone."""
        with open(source, "rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            # What changes is in use: its pages stay.
            size = found.st_size if most < 0 else most
            pieces = _pieces(file, size, give_back=not changes)
            self._keep(path, pieces, found.st_mtime_ns, changes)

    def make(self, path: str, write: Callable[[Path], None]) -> None:
        """Take a file that `write` makes: it is given a path that is free."""
        made = self._files / f"made{TEMPORARY}"
        made.unlink(missing_ok=True)
        try:
            write(made)
            self.copy(path, made, changes=True)
        finally:
            made.unlink(missing_ok=True)

    def drop(self, path: str) -> None:
        """Leave out a file that is gone by now."""
        self._held.pop(path, None)

    @property
    def held(self) -> dict[str, Stored]:
        """What the backup has so far, by path."""
        return dict(self._held)

    def commit(self, made: str, facts: dict[str, Any]) -> Manifest:
        """Finish: from now on this is the folder's backup. What only the former one needed goes."""
        files = tuple(self._held[path] for path in sorted(self._held))
        manifest = Manifest(self.number, made, facts, files)
        body = {"version": VERSION, "number": self.number, "made": made, "facts": facts}
        body["files"] = [asdict(one) for one in files]
        temporary = self.folder / (MANIFEST + TEMPORARY)
        for folder in {(self._files / one.stored).parent for one in files}:
            sync(folder)
        with open(temporary, "wb") as file:
            file.write(json.dumps(body, indent=1).encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / MANIFEST)
        sync(self.folder)
        self._sweep({one.stored for one in files})
        return manifest

    def _keep(self, path: str, pieces: Iterator[bytes], mtime_ns: int, changes: bool) -> None:
        # What the former backup has under this name is another file, and stays until this is whole.
        former = self._known.get(path)
        taken = former is not None and former.stored == path
        stored = f"{path}~{self.number}" if changes or taken else path
        (self._lasting.discard if changes else self._lasting.add)(path)
        to = self._files / stored
        to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = to.with_name(to.name + TEMPORARY)
        hashed, size = hashlib.sha256(), 0
        try:
            with open(
                os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
            ) as file:
                for piece in pieces:
                    hashed.update(piece)
                    file.write(piece)
                    size += len(piece)
                    self.copied += len(piece)
                    self._told(len(piece))
                file.flush()
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            temporary.replace(to)
        finally:
            temporary.unlink(missing_ok=True)
        self._held[path] = Stored(path, stored, size, hashed.hexdigest(), mtime_ns)

    def _sweep(self, kept: set[str]) -> None:
        """Delete what no finished backup needs: the former one's, and what a kill left."""
        for path in sorted(self._files.rglob("*"), reverse=True):
            if path.is_dir():
                with suppress(OSError):  # not empty
                    path.rmdir()
            elif path.relative_to(self._files).as_posix() not in kept:
                path.unlink(missing_ok=True)


def verify(folder: Path, told: Told = lambda size: None) -> Manifest:
    """Read all of a folder's finished backup and hold it to its manifest. Refuse `no_backup` where
    there is none, `backup_damaged` where a file is missing or is not what was copied."""
    manifest = load(folder)
    if manifest is None:
        raise Refuse(f"{folder} has no finished backup", "no_backup", 404)
    bad = []
    for one in manifest.files:
        why = _wrong(folder / FILES / one.stored, one, told)
        if why:
            bad.append(f"{one.path} {why}")
    if bad:
        shown = "; ".join(bad[:_BAD_SHOWN]) + ("; ..." if len(bad) > _BAD_SHOWN else "")
        what = f"{len(bad)} of {len(manifest.files)} files of {folder} are not what was copied"
        raise Refuse(f"{what}: {shown}", "backup_damaged")
    return manifest


def restore(folder: Path, manifest: Manifest, to: Path, told: Told = lambda size: None) -> None:
    """Copy a backup's files to where they were, below `to`; each is held to the manifest once more
    as it is written. Refuse `backup_damaged`; OSError where the disk does not take it."""
    for one in manifest.files:
        target = to / one.path
        if not target.resolve().is_relative_to(to.resolve()):
            raise Refuse(f"the manifest names {one.path!r}: no file of a data folder", "bad_backup")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        hashed = hashlib.sha256()
        with (
            open(folder / FILES / one.stored, "rb", buffering=0) as source,
            open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
        ):
            for piece in _pieces(source, one.size):
                hashed.update(piece)
                file.write(piece)
                told(len(piece))
            file.flush()
            os.fsync(file.fileno())
        if hashed.hexdigest() != one.sha256:
            raise Refuse(f"{one.path} is not what was copied", "backup_damaged")
    for path in to.rglob("*"):
        if path.is_dir():
            sync(path)


def _wrong(path: Path, one: Stored, told: Told) -> str:
    """What is wrong with a copy, "" where nothing is."""
    hashed, size = hashlib.sha256(), 0
    try:
        with open(path, "rb", buffering=0) as file:
            for piece in _pieces(file, path.stat().st_size):
                hashed.update(piece)
                size += len(piece)
                told(len(piece))
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if size != one.size:
        return f"has {size:,} bytes, not {one.size:,}"
    return "" if hashed.hexdigest() == one.sha256 else "has another SHA-256"


def _pieces(file: BinaryIO | Any, size: int, *, give_back: bool = True) -> Iterator[bytes]:
    """The first so many bytes, or fewer where the file ends before. Those that are given back leave
    the page cache."""
    at = 0
    while at < size and (piece := file.read(min(PIECE, size - at))):
        yield piece
        at += len(piece)
    if give_back:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
