"""Segments: the files that a journal is cut into, plain or compressed.

A segment is named by the address of its first byte, twenty digits: `.log` while it is written and
until it is compressed to `.log.zst`. Its first HEADER bytes say which journal and epoch it belongs
to and what came before it, so that an opening needs to read no further back than the last segment.
What a compressed segment consists of: packed.py. Does not know what records are (record.py).
"""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from xxhash import xxh3_64_intdigest

from bursa.journal.packed import PackedSource
from bursa.journal.record import CHANNELS_MAX, Healed

PLAIN, PACKED, TEMPORARY = ".log", ".log.zst", ".tmp"
VERSION = 1
_MAGIC = b"bursaJL\0"
_FIELDS = struct.Struct("<Q8sIIqqqq24s")
_CHANNEL = struct.Struct("<q16s")
HEADER = 2048
assert _FIELDS.size + CHANNELS_MAX * _CHANNEL.size <= HEADER
# The newest bytes of a journal that the page cache keeps; who lags behind by more reads from disk.
CACHE_BYTES = 4 << 20
_BULK = 1 << 20


class Head(NamedTuple):
    """What a segment's header says.

    epoch     the journal's opening that wrote it; 0 where the header is unreadable
    base      address of its first byte
    previous  position of the last record before it
    created   ns UTC
    ts_recv   newest receive time before it
    totals    payload bytes of each channel before it
    sessions  each channel's session then
    """

    venue: str
    epoch: int
    base: int
    previous: int
    created: int
    ts_recv: int
    totals: tuple[int, ...]
    sessions: tuple[bytes, ...]


def pack_head(head: Head) -> bytes:
    """The HEADER bytes that a segment begins with."""
    out = bytearray(HEADER)
    _FIELDS.pack_into(
        out,
        0,
        0,
        _MAGIC,
        VERSION,
        head.epoch,
        head.base,
        head.previous,
        head.created,
        head.ts_recv,
        head.venue.encode("ascii"),
    )
    for at, channel in enumerate(zip(head.totals, head.sessions, strict=True)):
        _CHANNEL.pack_into(out, _FIELDS.size + at * _CHANNEL.size, *channel)
    struct.pack_into("<Q", out, 0, xxh3_64_intdigest(memoryview(out)[8:], head.base))
    return bytes(out)


def unpack_head(data: bytes, base: int) -> Head | None:
    """The header of the segment at `base`; None where it is damaged or no segment's."""
    if len(data) < HEADER:
        return None
    checksum, magic, version, epoch, at, previous, created, ts_recv, venue = _FIELDS.unpack_from(
        data
    )
    whole = xxh3_64_intdigest(memoryview(data)[8:HEADER], base) == checksum
    if not whole or magic != _MAGIC or version != VERSION or at != base:
        return None
    channels = [
        _CHANNEL.unpack_from(data, _FIELDS.size + n * _CHANNEL.size) for n in range(CHANNELS_MAX)
    ]
    totals, sessions = zip(*channels, strict=True)
    sessions = tuple(session.rstrip(b"\0") for session in sessions)
    name = venue.rstrip(b"\0").decode("ascii")
    return Head(name, epoch, base, previous, created, ts_recv, totals, sessions)


@dataclass(frozen=True, slots=True)
class Segment:
    """One file: `size` plain bytes from address `base` on; `disk_bytes` is what it takes."""

    path: Path
    base: int
    size: int
    disk_bytes: int

    @property
    def end(self) -> int:
        """Address after its last byte."""
        return self.base + self.size

    @property
    def packed(self) -> bool:
        """Is it compressed?"""
        return self.path.name.endswith(PACKED)


def name_of(base: int) -> str:
    """File name of a plain segment."""
    return f"{base:020d}{PLAIN}"


def bases(folder: Path) -> dict[int, Path]:
    """Address -> file, ascending. Where a segment is there both ways (its plain file was about to
    be removed), the plain one."""
    found: dict[int, Path] = {}
    if not folder.is_dir():
        return found
    for path in sorted(folder.iterdir(), reverse=True):
        stem, _, suffix = path.name.partition(".")
        if stem.isdigit() and f".{suffix}" in (PLAIN, PACKED):
            found[int(stem)] = path
    return dict(sorted(found.items()))


def listing(folder: Path) -> list[Segment]:
    """The segments of a journal, ascending; none where the folder is not there."""
    found = []
    for base, path in bases(folder).items():
        with suppress(FileNotFoundError), opened(path) as source:
            found.append(Segment(source.path, base, source.size, source.disk_bytes))
    return found


class Source(Protocol):
    """A segment's plain bytes, wherever they come from. Used by one thread at a time."""

    path: Path
    size: int
    disk_bytes: int

    @property
    def healed(self) -> Sequence[Healed]:
        """What was found damaged on disk so far, of which nothing is lost."""

    def read(self, offset: int, out: memoryview) -> int:
        """Fill `out` from `offset` on; how much was there. What cannot be read comes as zeros."""

    def scrub(self) -> None:
        """Look at all that `read` may pass over, for `healed`."""

    def close(self) -> None:
        """Give the file back."""


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The segment, under whichever of its two names it has by now. Raises FileNotFoundError."""
    stem = path.name.partition(".")[0]
    source: Source
    try:
        source = _Plain(path.with_name(stem + PLAIN))
    except FileNotFoundError:
        source = PackedSource(path.with_name(stem + PACKED))
    try:
        yield source
    finally:
        source.close()


class _Plain:
    """A segment as it was written. Its size is that at opening, in whole words."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.disk_bytes = os.fstat(self._fd).st_size
        self.size = self.disk_bytes & ~7
        self.healed: Sequence[Healed] = ()

    def scrub(self) -> None:
        """It has nothing but what is read."""

    def read(self, offset: int, out: memoryview) -> int:
        done = 0
        while done < len(out):
            got = os.preadv(self._fd, [out[done:]], offset + done)
            if not got:
                break
            done += got
        self._give_back(offset, offset + done)
        return done

    def _give_back(self, start: int, end: int) -> None:
        """What was read in bulk leaves the page cache, so that the next read uses the same memory:
        3,500 instead of 900 MB/s where the pages come from a virtual machine's host. The newest
        bytes stay: whoever lags a little reads them."""
        until = min(end, self.size - CACHE_BYTES)
        if until - start >= _BULK:
            os.posix_fadvise(self._fd, start, until - start, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        os.close(self._fd)


def sync_folder(folder: Path) -> None:
    """Make names that were created, renamed or removed in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_whole(path: Path, pieces: Sequence[bytes | memoryview]) -> None:
    """A file that is there whole and durable, or not at all: temporary, fsync, rename, fsync."""
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with temporary.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
