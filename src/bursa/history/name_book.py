"""The names of a venue's instruments, by where they come from, the strongest first:

    hand      DATA/names/VENUE.hand.csv: corrections, written by people, taken as they are
    list      DATA/names/VENUE.csv: an imported list (`bursa symbols import`)
    feed      what the venue itself calls it
    package   known/VENUE.csv: well-known names that come with the program
    code      none of these has one

A running program looks at the files now and then (`refresh`); lookups read memory. A file that
cannot be read is told once, and what it said before stays. How names are written: names.py.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from bursa.history import names
from bursa.history.names import CHANGED, NEW, Change
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ops.logs import logger

FOLDER = "names"
HAND, LIST, FEED, PACKAGE, CODE = "hand", "list", "feed", "package", "code"
FILE_BYTES_MAX = 16 << 20
_KNOWN = Path(__file__).with_name("known")
_NEVER = (-2, 0, 0)  # how a file looked before anybody looked
_ABSENT = (-1, 0, 0)

_log = logger("names")


class NameBook:
    """One venue's names. `data`: the data folder; None: only what the package knows."""

    def __init__(self, venue: Venue, data: Path | None = None) -> None:
        self._venue, self.data = venue, data
        folder = None if data is None else data / FOLDER
        self._files = {} if folder is None else {
            HAND: _File(venue, folder / f"{venue.name}.hand.csv", as_written=True),
            LIST: _File(venue, folder / f"{venue.name}.csv"),
        }  # fmt: skip
        self._package = _File(venue, _KNOWN / f"{venue.name}.csv")
        self._package.refresh()

    def refresh(self) -> bool:
        """Read the files that changed; did any name? Blocks on the disk."""
        return any([file.refresh() for file in self._files.values()])

    def look(self, ticker: str, said: str = "") -> tuple[str, str]:
        """(name, where it comes from). `said`: what the venue calls it, "" where it does not."""
        for origin, file in self._files.items():
            if ticker in file.names:
                return file.names[ticker], origin
        if said and said != ticker:
            return said, FEED
        known = self._package.names.get(ticker)
        return (known, PACKAGE) if known else (ticker, CODE)

    def name(self, ticker: str, said: str = "") -> str:
        """As `look`, the name alone."""
        return self.look(ticker, said)[0]


def imported(data: Path, venue: Venue) -> dict[str, str]:
    """The names of the imported list; none where there is no list. Refuse where it is bad."""
    return _File(venue, data / FOLDER / f"{venue.name}.csv").read()


def by_hand(data: Path, venue: Venue) -> dict[str, str]:
    """The corrections. Refuse where they cannot be read."""
    return _File(venue, data / FOLDER / f"{venue.name}.hand.csv", as_written=True).read()


@contextlib.contextmanager
def changing(data: Path) -> Iterator[None]:
    """While it lasts nobody else changes an imported list: it is read, and kept anew."""
    try:
        handle = os.open(_folder(data), os.O_RDONLY)
    except OSError as error:
        raise _unkept(data, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def keep(data: Path, venue: Venue, kept: Mapping[str, str]) -> Path:
    """Write the imported list while `changing`: all of it or, whatever happens, the one before.
    Its path."""
    try:
        folder = _folder(data)
        path = folder / f"{venue.name}.csv"
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as new:
            try:
                new.write(names.written(kept).encode())  # whatever the locale says
                new.flush()
                os.fsync(new.fileno())
                os.replace(new.name, path)
            except BaseException:
                os.unlink(new.name)
                raise
        _sync(folder)
    except OSError as error:
        raise _unkept(data, error) from error
    return path


def take(
    data: Path,
    venue: Venue,
    given: Mapping[str, str],
    known: Collection[str] | None,
    *,
    dry_run: bool,
) -> tuple[Sequence[Change], Path | None]:
    """Take a list's names, ticker -> name as the venue's are written, into the imported list.
    Returns what becomes of each, and where they are kept: None where nothing was written. `known`:
    tickers that trade, others are left out; None: nobody knows. Refuse where a list that is kept
    cannot be read, or cannot be written."""
    with contextlib.nullcontext() if dry_run else changing(data):
        by_hand(data, venue)  # refused before anything is written where it is bad
        kept = imported(data, venue)
        changes = names.plan(given, kept, None if known is None else frozenset(known))
        new = {change.ticker: change.name for change in changes if change.what in (NEW, CHANGED)}
        return changes, keep(data, venue, kept | new) if new and not dry_run else None


def _folder(data: Path) -> Path:
    """The folder of the lists; made where it is absent."""
    folder = data / FOLDER
    for each in (data, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _unkept(data: Path, error: OSError) -> Refuse:
    return Refuse(f"{data / FOLDER}: names cannot be kept: {error.strerror}", "data_folder", 503)


def load(path: Path) -> bytes:
    """A list's bytes. Refuse where it cannot be read, or is larger than a list may be."""
    try:
        with open(path, "rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        code = "no_such_file" if isinstance(error, FileNotFoundError) else "bad_names"
        raise Refuse(f"{path}: {error.strerror}", code, 404, "file") from None
    if len(raw) > FILE_BYTES_MAX:
        raise Refuse(f"{path}: allowed: {FILE_BYTES_MAX >> 20} MB at most", "bad_names")
    return raw


class _File:
    """One list, read again when it looks different."""

    def __init__(self, venue: Venue, path: Path, as_written: bool = False) -> None:
        self.names: dict[str, str] = {}
        self._venue, self._path, self._as_written = venue, path, as_written
        self._looked = _NEVER

    def refresh(self) -> bool:
        looks = self._looks()
        if looks == self._looked:
            return False
        self._looked = looks
        try:
            found = self.read()
        except Refuse as refused:
            _log.warning("names not read; those before stay", why=str(refused))
            return False
        changed, self.names = found != self.names, found
        return changed

    def read(self) -> dict[str, str]:
        if self._looks() == _ABSENT:
            return {}
        raw = load(self._path)
        if not raw.strip():
            return {}
        rows = names.parse(raw, self._venue, str(self._path))
        if self._as_written:
            return {row.ticker: names.plain(row.name) for row in rows}
        return names.chosen(rows, self._venue)

    def _looks(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return _ABSENT
        return found.st_mtime_ns, found.st_size, found.st_ino


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
