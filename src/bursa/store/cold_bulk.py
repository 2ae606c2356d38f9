"""Closed days as whole files, for who takes them as they are: ports.DayFiles over the cold store.

A kind's file of a day is the cold file itself, unless the kind has columns that not everybody may
see: then it is a copy without them, made when it is asked for first. Copies lie in a folder of
their own, a few of the newest; each is named after the file it was made of, so a day that is sealed
anew has another one.
"""

import hashlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from threading import Lock

import pyarrow as pa
import pyarrow.parquet as pq

from bursa.model.errors import Refuse
from bursa.model.schema import Kind
from bursa.ports import DayFile
from bursa.store import cold_days, cold_file
from bursa.store.cold_days import HALF_WRITTEN, SUFFIX, Sealed
from bursa.store.parquet import ColdStore

# Copies that are kept, the newest; each takes as long to make again as its day took to seal.
COPIES_MAX = 16


class Bulk:
    """ports.DayFiles.

    folder   where copies lie; made where it is absent
    hidden   columns that no file given out here has
    """

    def __init__(self, cold: ColdStore, folder: Path, hidden: Collection[str] = ()) -> None:
        self._cold, self._folder, self._hidden = cold, folder.absolute(), frozenset(hidden)
        self._lock = Lock()
        self._sums: dict[Path, str] = {}

    def find(self, venue: str, kind: str, day: date) -> DayFile | None:
        """As ports.DayFiles."""
        sealed = self._cold.sealed(venue, kind, day)
        if sealed is None:
            return None
        hidden = self._hidden & {column.name for column in self._cold.kind(kind).columns}
        if hidden:
            return self._copy(sealed, hidden)
        sha256 = self._cold.sha256(sealed)
        return DayFile(sealed.path, sealed.bytes, sealed.rows, sha256)

    def _copy(self, sealed: Sealed, hidden: Collection[str]) -> DayFile:
        # A file may hold columns that the schema has no more: nobody knows now what they tell.
        shown = [c.name for c in self._cold.kind(sealed.kind).columns if c.name not in hidden]
        what = hashlib.sha256(",".join(shown).encode()).hexdigest()[:12]
        name = f"{sealed.path.name.removesuffix(SUFFIX)}-{what}{SUFFIX}"
        path = self._folder / sealed.path.parent.parent.name / sealed.path.parent.name / name
        with self._lock:
            if not path.exists():
                self._sums[path] = self._make(sealed, shown, path)
                self._thin(path)
            if path not in self._sums:
                self._sums[path] = cold_days.sha256(path)
            return DayFile(path, path.stat().st_size, sealed.rows, self._sums[path])

    def _make(self, sealed: Sealed, shown: Collection[str], path: Path) -> str:
        """Write a copy of some columns; its SHA-256."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        half = path.with_name(path.name + HALF_WRITTEN)
        try:
            form = cold_file.form_of(sealed.path)
            of = form.kind(self._cold.kind(sealed.kind))
            kept = replace(of, columns=tuple(c for c in of.columns if c.name in shown))
            with pq.ParquetFile(sealed.path, page_checksum_verification=True) as opened:
                cold_file.put(_groups(opened, kept), kept, half)
            sha256 = cold_days.sync(half)
        except (ValueError, pa.ArrowException, OSError) as error:
            half.unlink(missing_ok=True)
            if why := self._cold.damage(sealed):
                raise Refuse(why, "cold_damaged", 503) from error
            raise
        except BaseException:
            half.unlink(missing_ok=True)
            raise
        half.rename(path)
        return sha256

    def _thin(self, newest: Path) -> None:
        """Remove all but the newest copies, and what was left half written."""
        every = [path for path in self._folder.rglob("*") if path.is_file()]
        whole = [path for path in every if path.name.endswith(SUFFIX) and path != newest]
        whole.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in {*every} - {newest} - {*whole[: COPIES_MAX - 1]}:
            path.unlink()
            self._sums.pop(path, None)
            with suppress(OSError):  # the day has another one
                path.parent.rmdir()


def _groups(opened: pq.ParquetFile, kind: Kind) -> Iterator[pa.Table]:
    names = [column.name for column in kind.columns]
    for nth in range(opened.num_row_groups):
        yield opened.read_row_group(nth, columns=names)
