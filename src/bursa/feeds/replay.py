"""A recording as a feed: a file's messages, as fast as the journal takes them.

Plain or gzip, blocks or lines, told by their first bytes (cut.py). A source without receive times
delivers with ts_recv = -1: "as the message's own ts". The file is read in pieces, so a recording of
any size takes the same memory.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from bursa.feeds.cut import Cutter, of
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ports import Frames, Intake
from bursa.wire.idx.layout import IDX1, Layout

# Read at once, and delivered before the loop runs again.
READ_BYTES = 256 * 1024

Progress = Callable[[int, int], None]


class ReplayFeed:
    """Implements ports.Feed over one file.

    venue      whose channels are spoken of
    progress   told (bytes of the file read, bytes of the file) after every piece
    layout     of the blocks, where it holds blocks
    cutter     of the file's bytes, where neither its first byte nor its venue says which
    read_bytes   what is read, and delivered, at once; 0: READ_BYTES

    Refuse `no_such_file` at once where there is none. `run` ends with the file; it raises Refuse
    `bad_recording` where the file cannot be read on (torn gzip, framing lost), after everything
    before that point was delivered.
    """

    def __init__(
        self,
        path: Path,
        venue: Venue,
        progress: Progress | None = None,
        layout: Layout = IDX1,
        *,
        cutter: Cutter | None = None,
        read_bytes: int = 0,
    ) -> None:
        if not path.is_file():
            raise Refuse(f"{path}: no such file", "no_such_file", 404, "file")
        self.name = f"replay:{path.name}"
        self._path = path
        self._venue = venue
        self._layout = layout
        self._cutter, self._read_bytes = cutter, read_bytes
        self._progress = progress or (lambda done, total: None)

    async def run(self, intake: Intake) -> None:
        """Deliver the file, then its end (ports.Feed)."""
        total = self._path.stat().st_size
        cutter = self._cutter
        for data, done in _pieces(self._path, self._read_bytes or READ_BYTES):
            cutter = cutter or of(data, self._venue, self._layout, str(self._path))
            self._deliver(intake, cutter.push(data))
            self._progress(done, total)
            await asyncio.sleep(0)
            await intake.room()
        if cutter:
            self._deliver(intake, cutter.rest())
            for channel in sorted(cutter.channels):
                intake.end_of_file(channel)
        self._progress(total, total)

    def _deliver(self, intake: Intake, frames: Iterator[Frames]) -> None:
        for each in frames:
            intake.frames(each)


def _pieces(path: Path, size: int) -> Iterator[tuple[bytes, int]]:
    """The file's content, unpacked where it is gzip, in pieces of `size` bytes at most; with
    each how many bytes of the file were read by then."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        read = _unpacked(raw, size) if packed else iter(lambda: raw.read(size), b"")
        try:
            for data in read:
                yield data, raw.tell()
        except (EOFError, zlib.error) as error:
            what = f"{path}: cannot be unpacked past byte {raw.tell()}: {error}"
            raise Refuse(what, "bad_recording", parameter="file") from None


def _unpacked(raw: IO[bytes], size: int) -> Iterator[bytes]:
    """Gzip's content, every byte of it that can be had before a tear. (gzip.GzipFile keeps for
    itself what it had unpacked when it meets one.)"""
    unpacker = zlib.decompressobj(31)
    begun = at_member_end = False
    packed = b""
    while packed := packed or raw.read(size):
        if at_member_end:  # another member may follow, or padding
            packed = packed.lstrip(b"\0")
            if not packed:
                continue
        at_member_end = False
        begun = True
        before = unpacker.copy()
        try:
            data = unpacker.decompress(packed, size)
        except zlib.error:
            yield from _to_the_tear(before, packed)
            raise
        if data:
            yield data
        packed = unpacker.unconsumed_tail
        if unpacker.eof:
            packed = unpacker.unused_data
            unpacker, begun, at_member_end = zlib.decompressobj(31), False, True
    if begun:
        if data := unpacker.flush():
            yield data
        if not unpacker.eof:
            raise EOFError("it is cut short")


def _to_the_tear(unpacker: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    """What can be unpacked before the error: byte by byte, for one call gives all or nothing."""
    for at in range(len(packed)):
        try:
            data = unpacker.decompress(packed[at : at + 1])
        except zlib.error:
            return
        if data:
            yield data
