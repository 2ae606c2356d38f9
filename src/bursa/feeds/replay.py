"""A recording as a feed: a file's messages, as fast as the journal takes them.

Two kinds of files, plain or gzip, told by their first byte:

    lines    JSON text, one message a line, before it the receive time in ns and a blank. A line
             without a receive time is taken as well.
    blocks   u16 big-endian length and message, as in idx-1's binary form, of one channel or mixed

A source without receive times delivers with ts_recv = -1: "as the message's own ts". Nothing is
left out: a line that cannot be read, a last block cut short, bytes whose framing is lost are all
delivered, and the decoder refuses them with their bytes. The file is read in pieces, so a recording
of any size takes the same memory. Does not look into messages (wire/), beyond what sorts them to
their channels.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from bursa.model.batch import BLOCKS, LINES
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ports import Frames, Intake
from bursa.wire import route
from bursa.wire.layout import IDX1, Layout

# Read at once, and delivered before the loop runs again.
READ_BYTES = 256 * 1024
# A longer line is delivered in pieces, which are refused.
LINE_BYTES_MAX = 16 * 1024 * 1024

NO_RECEIVE_TIME = -1

Progress = Callable[[int, int], None]


class _Cutter(Protocol):
    """Bytes of a file in, frames out; `rest` ends the file. Channels seen are those that end."""

    channels: set[int]

    def push(self, data: bytes) -> Iterator[Frames]:
        """Frames of all that is complete by now."""

    def rest(self) -> Iterator[Frames]:
        """What is left at the end."""


class ReplayFeed:
    """Implements ports.Feed over one file.

    venue      whose channels are spoken of
    progress   told (bytes of the file read, bytes of the file) after every piece
    layout     of the blocks, where the file holds blocks

    Refuse `no_such_file` at once where there is none. `run` ends with the file; it raises Refuse
    `bad_recording` where the file cannot be read on (torn gzip, framing lost), after everything
    before that point was delivered.
    """

    def __init__(
        self, path: Path, venue: Venue, progress: Progress | None = None, layout: Layout = IDX1
    ) -> None:
        if not path.is_file():
            raise Refuse(f"{path}: no such file", "no_such_file", 404, "file")
        self.name = f"replay:{path.name}"
        self._path = path
        self._venue = venue
        self._layout = layout
        self._progress = progress or (lambda done, total: None)

    async def run(self, intake: Intake) -> None:
        """Deliver the file, then its end (ports.Feed)."""
        total = self._path.stat().st_size
        cutter: _Cutter | None = None
        for data, done in _pieces(self._path):
            cutter = cutter or self._cutter(data)
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

    def _cutter(self, data: bytes) -> _Cutter:
        if data[0] <= self._layout.block_bytes_max >> 8:  # text would be a longer message
            return Blocks(self._venue, self._layout, str(self._path))
        return Lines(next(at for at, c in enumerate(self._venue.channels) if c.ticks))


class Lines:
    """Cuts lines. Neighbours with the same receive time share a frame."""

    def __init__(self, channel: int) -> None:
        self.channels = {channel}
        self._channel = channel
        self._tail = b""
        self._ts_recv = NO_RECEIVE_TIME

    def push(self, data: bytes) -> Iterator[Frames]:
        """Frames of all lines that are complete by now."""
        *lines, self._tail = (self._tail + data).split(b"\n")
        while len(self._tail) > LINE_BYTES_MAX:
            lines.append(self._tail[:LINE_BYTES_MAX])
            self._tail = self._tail[LINE_BYTES_MAX:]
        return self._frames(lines)

    def rest(self) -> Iterator[Frames]:
        """The last line, where no line feed ends it."""
        tail, self._tail = self._tail, b""
        return self._frames([tail])

    def _frames(self, lines: list[bytes]) -> Iterator[Frames]:
        held: list[bytes] = []
        held_ts = NO_RECEIVE_TIME
        for line in lines:
            if not line:
                continue
            ts_recv, message = self._split(line)
            if held and ts_recv != held_ts:
                yield self._frame(held_ts, held)
                held = []
            held.append(message)
            held_ts = ts_recv
        if held:
            yield self._frame(held_ts, held)

    def _frame(self, ts_recv: int, lines: list[bytes]) -> Frames:
        return Frames(self._channel, LINES, "", 0, len(lines), ts_recv, b"\n".join(lines))

    def _split(self, line: bytes) -> tuple[int, bytes]:
        """Receive time and message. What has no time in front of it, though it is no message
        either, keeps all its bytes and comes at the time of the line before."""
        head, _, message = line.partition(b" ")
        if head.isdigit() and len(head) <= 19 and 0 < int(head) < 2**63:
            self._ts_recv = int(head)
            return self._ts_recv, message
        if line[:1] == b"{":
            return NO_RECEIVE_TIME, line
        return self._ts_recv, line


class Blocks:
    """Cuts blocks and sorts them to their channels."""

    def __init__(self, venue: Venue, layout: Layout, path: str) -> None:
        self.channels: set[int] = set()
        self._path = path
        self._width = len(venue.channels)
        self._table = route.table(venue, layout)
        self._state = route.begin(venue)
        self._tail = b""
        self._done = 0

    def push(self, data: bytes) -> Iterator[Frames]:
        """Frames of all blocks that are complete by now, one a channel. Refuse `bad_recording`
        where framing is lost, after what it was lost in."""
        return self._sorted(data, final=False)

    def rest(self) -> Iterator[Frames]:
        """What still waits, then the bytes of a block that the file's end cuts short."""
        yield from self._sorted(b"", final=True)
        yield from self._remains()

    def _sorted(self, data: bytes, final: bool) -> Iterator[Frames]:
        piece = np.frombuffer(bytearray(self._tail + data), np.uint8)
        out = np.empty((self._width, len(piece)), np.uint8)
        counts = np.zeros((3, self._width), np.int64)
        used, end = route.sort(piece, self._table, self._state, out, counts, final)
        self._tail = piece[used:].tobytes()
        self._done += used
        for channel, (size, count, first_seq) in enumerate(counts.T.tolist()):
            if count:
                self.channels.add(channel)
                payload = out[channel, :size].tobytes()
                yield Frames(channel, BLOCKS, "", first_seq, count, NO_RECEIVE_TIME, payload)
        if end == route.LOST:
            yield from self._remains()
            what = f"{self._path}: no block can begin at byte {self._done}"
            raise Refuse(what, "bad_recording", parameter="file")

    def _remains(self) -> Iterator[Frames]:
        tail, self._tail = self._tail, b""
        if tail:
            channel = max(int(self._state[0, route.LAST]), 0)
            self.channels.add(channel)
            yield Frames(channel, BLOCKS, "", 0, 1, NO_RECEIVE_TIME, tail)


def _pieces(path: Path) -> Iterator[tuple[bytes, int]]:
    """The file's content, unpacked where it is gzip, in pieces of READ_BYTES at most; with each
    how many bytes of the file were read by then."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        read = _unpacked(raw) if packed else iter(lambda: raw.read(READ_BYTES), b"")
        try:
            for data in read:
                yield data, raw.tell()
        except (EOFError, zlib.error) as error:
            what = f"{path}: cannot be unpacked past byte {raw.tell()}: {error}"
            raise Refuse(what, "bad_recording", parameter="file") from None


def _unpacked(raw: IO[bytes]) -> Iterator[bytes]:
    """Gzip's content, every byte of it that can be had before a tear. (gzip.GzipFile keeps for
    itself what it had unpacked when it meets one.)"""
    unpacker = zlib.decompressobj(31)
    begun = False
    packed = b""
    while packed := packed or raw.read(READ_BYTES):
        begun = True
        before = unpacker.copy()
        try:
            data = unpacker.decompress(packed, READ_BYTES)
        except zlib.error:
            yield from _to_the_tear(before, packed)
            raise
        if data:
            yield data
        packed = unpacker.unconsumed_tail
        if unpacker.eof:  # another member may follow, or padding
            packed = unpacker.unused_data.lstrip(b"\0")
            unpacker, begun = zlib.decompressobj(31), False
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
