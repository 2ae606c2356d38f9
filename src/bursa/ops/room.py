"""Room for a large table of which little is used at a time: in memory, or in a file.

A file that nobody else sees (it has no name, and goes with its last user) takes the table of a job
that has a process to itself: of it as much is in memory as was touched since `spare`, and the
system keeps the rest, or writes it back, as it likes. It is reserved in whole, so that a disk which
fills up later fails no write; where it cannot be had the table lies in memory.
"""

import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]
# Eight-byte values on a line of the cache.
LINE = 8


def aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> Any:
    """Zeros of eight bytes each that begin on a line of the cache."""
    count = math.prod(shape)
    raw = np.zeros(count + LINE, dtype)
    skip = -raw.ctypes.data % (8 * LINE) // 8
    return raw[skip : skip + count].reshape(shape)


class Room:
    """In memory. Tables are float64 (rows, width), zeros at first, on lines of the cache."""

    def take(self, rows: int, width: int) -> Table:
        """A new table; the one before is no longer this room's to spare."""
        table: Table = aligned((rows, width), np.float64)
        return table

    def grow(self, table: Table, rows: int) -> Table:
        """What was taken last, with more rows; the shorter one is not to be used any more."""
        longer = self.take(rows, table.shape[1])
        used = np.flatnonzero(table.any(axis=1))  # what was never written takes no memory
        longer[used] = table[used]
        return longer

    def spare(self) -> None:
        """Have as little of the table in memory as may be, until it is touched."""


class SparseRoom(Room):
    """In memory, page by page: a row that is never written takes none, where the system would hand
    out some megabytes at once."""

    def take(self, rows: int, width: int) -> Table:
        """As Room."""
        size = rows * width * 8
        if not size:
            return super().take(rows, width)
        pages = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel that has no large ones
            pages.madvise(mmap.MADV_NOHUGEPAGE)
        return np.frombuffer(pages, np.float64).reshape(rows, width)


class FileRoom(SparseRoom):
    """In a file of a folder, which must be there."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, -1
        self._close: Callable[[], object] = lambda: None
        self._pages: mmap.mmap | None = None

    def take(self, rows: int, width: int) -> Table:
        """As Room."""
        self._pages = None
        self._close()
        if rows * width:
            try:
                with tempfile.TemporaryFile(dir=self._folder) as file:
                    self._file = os.dup(file.fileno())
                self._close = weakref.finalize(self, os.close, self._file)
                return self._reserved(rows, width)
            except OSError:
                self._close()
        return super().take(rows, width)

    def grow(self, table: Table, rows: int) -> Table:
        """As Room; nothing is copied."""
        if self._pages is not None and np.may_share_memory(table, np.frombuffer(self._pages)):
            try:
                return self._reserved(rows, table.shape[1])
            except OSError:
                pass
        return super().grow(table, rows)

    def _reserved(self, rows: int, width: int) -> Table:
        """Raises OSError where the disk has not so much."""
        size = rows * width * 8
        os.posix_fallocate(self._file, 0, size)
        self._pages = mmap.mmap(self._file, size)
        return np.frombuffer(self._pages, np.float64).reshape(rows, width)

    def spare(self) -> None:
        """As Room."""
        if self._pages is not None:
            self._pages.madvise(mmap.MADV_DONTNEED)
