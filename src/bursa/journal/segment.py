"""Segments: the files that a journal is cut into, plain or compressed.

A segment is named by the address of its first byte, twenty digits: `.log` while it is written and
until it is compressed to `.log.zst`. Its first HEADER bytes say which journal and epoch it belongs
to and what came before it, so that an opening needs to read no further back than the last segment.
A compressed segment is independent zstd frames of FRAME plain bytes each, then a seek table in the
Zstandard seekable format; `zstd -d` reads it. Does not know what records are (record.py).
"""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import zstandard
from xxhash import xxh3_64_intdigest

from bursa.journal.record import CHANNELS_MAX

PLAIN, PACKED, TEMPORARY = ".log", ".log.zst", ".tmp"
VERSION = 1
_MAGIC = b"bursaJL\0"
_FIELDS = struct.Struct("<Q8sIIqqqq24s")
_CHANNEL = struct.Struct("<q16s")
HEADER = 2048
assert _FIELDS.size + CHANNELS_MAX * _CHANNEL.size <= HEADER
FRAME = 1 << 20
# The newest bytes of a journal that the page cache keeps; who lags behind by more reads from disk.
CACHE_BYTES = 4 << 20
_BULK = 1 << 20
# Bytes of a damaged frame that are unpacked at a time.
_SALVAGE = 512
# Zstandard's own: the magic of a frame, of the skippable frame that holds the seek table, and of
# the table's last four bytes.
_ZSTD, _SKIPPABLE, _SEEKABLE = b"\x28\xb5\x2f\xfd", 0x184D2A5E, 0x8F92EAB1
_ENTRY = struct.Struct("<II")
_FOOTER = struct.Struct("<IBI")


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

    def read(self, offset: int, out: memoryview) -> int:
        """Fill `out` from `offset` on; how much was there. What cannot be read comes as zeros."""

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
        source = _Packed(path.with_name(stem + PACKED))
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


class _Packed:
    """A compressed segment; the frame read last is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.disk_bytes = os.fstat(self._fd).st_size
            self._offsets, self._last = _index(self._fd, self.disk_bytes)
        except BaseException:
            os.close(self._fd)
            raise
        frames = len(self._offsets) - 1
        self.size = max(frames - 1, 0) * FRAME + self._last
        self._reader = zstandard.ZstdDecompressor()
        self._held = -1
        self._plain = b""

    def read(self, offset: int, out: memoryview) -> int:
        done = 0
        want = min(len(out), max(self.size - offset, 0))
        while done < want:
            frame, within = divmod(offset + done, FRAME)
            piece = self._frame(frame)[within : within + want - done]
            out[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def _frame(self, frame: int) -> bytes:
        if frame != self._held:
            start, end = self._offsets[frame], self._offsets[frame + 1]
            size = self._last if frame == len(self._offsets) - 2 else FRAME
            packed = os.pread(self._fd, end - start, start)
            try:
                plain = self._reader.decompress(packed)
            except zstandard.ZstdError:
                plain = _salvaged(packed)
            self._plain = plain.ljust(size, b"\0")[:size]
            self._held = frame
        return self._plain

    def close(self) -> None:
        os.close(self._fd)


def _salvaged(packed: bytes) -> bytes:
    """What a damaged frame still gives: blocks before the one that cannot be unpacked, or, where
    only its checksum does not fit, all of it. Each record's own checksum says what is whole."""
    reader, plain = zstandard.ZstdDecompressor().decompressobj(), bytearray()
    with suppress(zstandard.ZstdError):
        for at in range(0, len(packed), _SALVAGE):
            plain += reader.decompress(packed[at : at + _SALVAGE])
    return bytes(plain)


def seek_table(sizes: Sequence[tuple[int, int]]) -> bytes:
    """The table that ends a compressed segment; (compressed, plain) bytes of each frame."""
    body = b"".join(_ENTRY.pack(*size) for size in sizes)
    body += _FOOTER.pack(len(sizes), 0, _SEEKABLE)
    return struct.pack("<II", _SKIPPABLE, len(body)) + body


def _index(fd: int, size: int) -> tuple[list[int], int]:
    """Where the frames begin, with the end of the last; and the last one's plain size."""
    return _table(fd, size) or _found(fd, size)


def _table(fd: int, size: int) -> tuple[list[int], int] | None:
    """From the seek table; None where its figures do not fit the file."""
    footer = os.pread(fd, _FOOTER.size, max(size - _FOOTER.size, 0))
    if len(footer) < _FOOTER.size:
        return None
    count, flags, magic = _FOOTER.unpack(footer)
    start = size - _FOOTER.size - count * _ENTRY.size - 8
    if magic != _SEEKABLE or flags or not count or start < 0:
        return None
    entries = os.pread(fd, count * _ENTRY.size, start + 8)
    packed, plain = np.frombuffer(entries, "<u4").reshape(-1, 2).T.astype(np.int64)
    offsets = [0, *np.cumsum(packed).tolist()]
    if offsets[-1] != start or (plain[:-1] != FRAME).any():
        return None
    # One of the two is damaged where they differ; the frames themselves say more.
    return (offsets, int(plain[-1])) if _plain_size(fd, offsets[-2]) == plain[-1] else None


def _found(fd: int, size: int) -> tuple[list[int], int]:
    """From the frames themselves, when the table is damaged: every place where one begins."""
    data = os.pread(fd, size, 0)
    end = data.rfind(struct.pack("<I", _SKIPPABLE))
    end = end if end >= 0 else size
    offsets: list[int] = []
    sizes: list[int] = []
    at = data.find(_ZSTD)
    while 0 <= at < end:
        plain = _plain_size(fd, at)
        if 0 < plain <= FRAME:
            offsets.append(at)
            sizes.append(plain)
        at = data.find(_ZSTD, at + 4)
    return ([*offsets, end], sizes[-1]) if offsets else ([0], 0)


def _plain_size(fd: int, at: int) -> int:
    """What the frame at `at` says it holds; -1 where it says nothing."""
    try:
        return int(zstandard.frame_content_size(os.pread(fd, 18, at)))
    except zstandard.ZstdError:
        return -1


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
