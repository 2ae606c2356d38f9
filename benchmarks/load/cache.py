"""The machine's file cache: put a file out of it, and see how much of one is in it.

Evicting drops the clean pages of this machine's (or virtual machine's) own cache. What a host below
it, a disk's controller or a network volume keeps is out of reach: "cold" is cold as far as this
system can see.
"""

import ctypes
import mmap
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)


def evict(path: Path) -> None:
    """Write a file's changes out and drop its pages, those of its log likewise."""
    for file in (path, path.with_name(path.name + ".wal")):
        if file.exists():
            descriptor = os.open(file, os.O_RDWR)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def held(path: Path) -> float:
    """The share of a file's pages that are in the cache."""
    size = path.stat().st_size
    pages = -(-size // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * pages)()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        try:
            if _LIBC.mincore(
                ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(size), found
            ):
                raise OSError(ctypes.get_errno(), "mincore")
        finally:
            del first
    return sum(byte & 1 for byte in found) / pages
