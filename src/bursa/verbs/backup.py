"""`bursa backup DIR` and `bursa restore-backup DIR`: a data folder copied whole, and brought back.

Where a process holds the folder, its store is asked to stand still (store/standing.py) while this
one copies; where nobody does, this one holds the folder meanwhile. What is copied in which order is
jobs/backup.py, what a backup's folder looks like store/mirror.py.
"""

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from bursa import __version__
from bursa.config import Config
from bursa.jobs.backup import Backup
from bursa.model.errors import BursaError, Refuse
from bursa.model.schema import SCHEMA_VERSION
from bursa.ops import logs
from bursa.store import mirror
from bursa.store.folder import STORE_FILE, UNFINISHED, DataFolder, ask, holder
from bursa.store.mirror import Manifest, Mirror
from bursa.store.standing import BEGIN, END, RENEW, STAND

# The holder waits so long for word of us, and gets it so often.
STANDS_S, WORD_S = 30.0, 5.0
ASK_S = 60.0
_MB = 1 << 20


@dataclass
class Held:
    """The store of the process that holds the folder, which stands still; it is told every few
    seconds that we are still at it."""

    data: Path
    _number: int = 0
    _failure: BursaError | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self) -> dict[str, int]:
        """As backup.Hold."""
        found = ask(self.data, STAND, {"do": BEGIN, "for_s": STANDS_S}, ASK_S)
        self._number = int(found["number"])
        self._thread = threading.Thread(target=self._tell, name="stand", daemon=True)
        self._thread.start()
        positions: dict[str, int] = found["positions"]
        return positions

    def check(self) -> None:
        """As backup.Hold."""
        if self._failure is not None:
            raise self._failure
        self._renew()

    def end(self) -> None:
        """As backup.Hold."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            with suppress(BursaError):
                ask(self.data, STAND, {"do": END, "number": self._number, "for_s": 0}, ASK_S)

    def _renew(self) -> None:
        said = {"do": RENEW, "number": self._number, "for_s": STANDS_S}
        ask(self.data, STAND, said, ASK_S)

    def _tell(self) -> None:
        while not self._ended.wait(WORD_S):
            try:
                self._renew()
            except BursaError as error:
                self._failure = error
                return


class Still:
    """A folder that this process holds: nothing in it changes."""

    def begin(self) -> dict[str, int]:
        """As backup.Hold; what the store holds is for its engine to read."""
        return {}

    def check(self) -> None:
        """As backup.Hold."""

    def end(self) -> None:
        """As backup.Hold."""


def run_backup(config: Config, target: Path, *, as_json: bool, say: Console, warn: Console) -> int:
    """Copy the data folder to `target`, where it is there already only what changed since."""
    logs.setup(config.log.level, config.log.format)
    data, target = Path(config.data).absolute(), target.absolute()
    if not data.is_dir():
        raise Refuse(f"{data}: there is no data folder", "no_data", 404)
    _apart(data, target)
    _check_target(target)
    began = time.monotonic()
    by = holder(data)
    running = by is not None and bool(by.socket)
    try:
        with _still(data, running) as hold, _bar(warn, f"backup of {data.name}") as bar:
            with Mirror(target, bar.told) as copies:
                backup = Backup(data, copies, hold, logs=not running)
                ahead = backup.bytes_ahead()
                _check_room(target, ahead)
                bar.expect(ahead)
                backup.run()
                facts = {
                    "program": __version__,
                    "schema": SCHEMA_VERSION,
                    "running": running,
                    "positions": backup.positions,
                    "journal_ends": backup.journal_ends,
                }
                made = datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 -- told to people
                manifest = copies.commit(made, facts)
    except OSError as error:
        what = f"{error.filename or target}: {error.strerror or error}"
        raise Refuse(
            f"the backup was not finished: {what}; the one before it stands", "disk"
        ) from None
    took = time.monotonic() - began
    told = {
        "folder": str(target),
        "number": manifest.number,
        "made": manifest.made,
        "files": len(manifest.files),
        "bytes": manifest.bytes,
        "copied": copies.copied,
        "seconds": round(took, 2),
        **facts,
    }
    if as_json:
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
        return 0
    say.print(
        f"{target}: backup {manifest.number} of {data}, {len(manifest.files):,} files,"
        f" {_mb(manifest.bytes)}; {_mb(copies.copied)} copied in {took:.1f} s",
        markup=False,
    )
    _tell_of_what_is_elsewhere(config, data, warn)
    return 0


def _tell_of_what_is_elsewhere(config: Config, data: Path, warn: Console) -> None:
    """What belongs to the program and is not in its data folder."""
    if config.accounts.database:
        warn.print("accounts lie on a server, and are not in it: back that up too", markup=False)
    secrets = config.accounts.secrets
    if secrets and not Path(secrets).absolute().is_relative_to(data):
        warn.print(f"secrets lie in {secrets}, and are not in it: keep a copy", markup=False)


def run_restore(
    source: Path, data: Path, *, check: bool, as_json: bool, say: Console, warn: Console
) -> int:
    """Bring a backup back to a folder that is empty or not there, or only `check` it."""
    source, data = source.absolute(), data.absolute()
    if not check:
        _apart(data, source)
        _check_empty(data)
    known = mirror.load(source)
    if known is None:
        raise Refuse(f"{source} has no finished backup", "no_backup", 404)
    with _bar(warn, "check") as bar:
        bar.expect(known.bytes)
        manifest = mirror.verify(source, bar.told)
    if not check:
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            data.chmod(0o700)
            _check_room(data, manifest.bytes)
            with _bar(warn, "copy") as bar:
                bar.expect(manifest.bytes)
                _bring_back(source, manifest, data, bar.told)
        except OSError as error:
            what = f"{error.filename or data}: {error.strerror or error}"
            raise Refuse(f"{source} was not brought back: {what}; empty {data}", "disk") from None
    done = "" if check else str(data)
    told = {"folder": str(source), "number": manifest.number, "made": manifest.made}
    told |= {"files": len(manifest.files), "bytes": manifest.bytes, "data": done}
    if as_json:
        sys.stdout.write(json.dumps({**told, **manifest.facts}, indent=1) + "\n")
        return 0
    what = f"backup {manifest.number} of {manifest.made}, {len(manifest.files):,} files"
    what += f", {_mb(manifest.bytes)}: all are what was copied"
    say.print(f"{source}: {what}", markup=False)
    if not check:
        say.print(
            f"{data}: as it was then; bursa up --data {data} goes on from there", markup=False
        )
    return 0


def _bring_back(source: Path, manifest: Manifest, data: Path, told: Callable[[int], None]) -> None:
    """All files below the folder UNFINISHED first, with which no start begins; then where they
    belong, the store's at last."""
    part = data / UNFINISHED
    part.mkdir(mode=0o700)
    mirror.restore(source, manifest, part, told)
    for path in sorted(part.iterdir(), key=lambda path: path.name.startswith(STORE_FILE)):
        path.rename(data / path.name)
    mirror.sync(data)
    part.rmdir()
    mirror.sync(data)


@contextmanager
def _still(data: Path, running: bool) -> Iterator[Held | Still]:
    if running:
        yield Held(data)
        return
    with DataFolder(data):
        yield Still()


def _apart(data: Path, other: Path) -> None:
    one, two = data.resolve(), other.resolve()
    if one == two or one in two.parents or two in one.parents:
        raise Refuse(f"{other} and the data folder {data} must lie apart", parameter="dir")


def _check_target(target: Path) -> None:
    """Refuse a folder that is something else: its files would be taken for ours and deleted."""
    try:
        there = {path.name for path in target.iterdir()} if target.exists() else set()
    except OSError as error:
        raise Refuse(f"{target} cannot be used: {error.strerror}", parameter="dir") from None
    ours = {mirror.MANIFEST, mirror.MANIFEST + mirror.TEMPORARY, mirror.FILES, mirror.LOCK}
    if there - ours:
        what = f"{target} is no folder of backups: there is {sorted(there - ours)[0]} in it"
        raise Refuse(
            f"{what}; allowed: a new or empty folder, or that of a backup", parameter="dir"
        )


def _check_empty(data: Path) -> None:
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        what = f"--data: {data} is not empty; a backup is brought back to a new folder"
        if (data / UNFINISHED).is_dir():
            what += " (a restore that was not finished lies there: remove it)"
        raise Refuse(what, "folder_not_empty", 409, "data")


def _check_room(target: Path, ahead: int) -> None:
    at = target
    while not at.exists():
        at = at.parent
    free = shutil.disk_usage(at).free
    if ahead > free:
        what = f"{target}: {_mb(ahead)} are to be copied, {_mb(free)} are free"
        raise Refuse(what, "no_space", 507)


def _mb(size: int) -> str:
    return f"{size / _MB:,.1f} MB"


class _Bar:
    """Progress on a terminal."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None)

    def expect(self, size: int) -> None:
        """So many bytes are ahead."""
        self._progress.update(self._task, total=size)

    def told(self, size: int) -> None:
        """So many more are done."""
        self._progress.advance(self._task, size)


@contextmanager
def _bar(console: Console, title: str) -> Iterator[_Bar]:
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    silent = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=silent) as progress:
        yield _Bar(progress, title)
