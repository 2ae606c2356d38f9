"""Bytes of a recording or of a stream in, frames out: whole lines, whole blocks, each its channel.

    lines    JSON text, one message a line, before it the receive time in ns and a blank. A line
             without a receive time is taken as well.
    text     idx-1's text form, one message a line; lines of several channels may be mixed
    blocks   u16 big-endian length and message, as in idx-1's binary form, of one channel or mixed

Of a few minutes of mixed channels those without trades come first: a bar takes from the books of
its minute's end only what is there when trades close it (bars/closing.py).

`of` tells them by the first byte. Nothing is left out: a line that cannot be read, a last block cut
short, bytes whose framing is lost are all delivered, and the decoder refuses them with their bytes.
Does not look into messages (wire/), beyond what sorts them to their channels.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from bursa.model.batch import BLOCKS, LINES
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ports import Frames
from bursa.wire.idx import route
from bursa.wire.idx.layout import IDX1, Layout

# A longer line is delivered in pieces, which are refused.
LINE_BYTES_MAX = 16 * 1024 * 1024
TEXT_BYTES_MAX = 64 * 1024

NO_RECEIVE_TIME = -1

# What packs a file, by its first bytes -> what unpacks it. None of them begins a message.
_PACKERS = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
}


def unpack_first(head: bytes, what: str, taken: str = "") -> None:
    """Refuse `bad_recording` where `head` begins a packed file: its bytes are nobody's messages.

    what    names it in the error
    taken   the packer whose files are unpacked on the way; empty: none
    """
    packer = next((name for magic, name in _PACKERS.items() if head.startswith(magic)), taken)
    if packer != taken:
        how = f"`{packer} -dc FILE | bursa ...`"
        text = f"{what} is {packer}: unpack it first, as in {how}"
        raise Refuse(text, "bad_recording", parameter="file")


class Cutter(Protocol):
    """Bytes in, frames out; `rest` ends them. Channels seen are those that end."""

    channels: set[int]

    def push(self, data: bytes) -> Iterator[Frames]:
        """Frames of all that is complete by now."""

    def rest(self) -> Iterator[Frames]:
        """What is left at the end."""


def of(
    data: bytes, venue: Venue, layout: Layout, where: str, ts_recv: int = NO_RECEIVE_TIME
) -> Cutter:
    """The cutter for what begins with `data`; `where` names it in errors. A block's length begins
    below `0`, the first byte that a line may have."""
    if data[0] <= layout.block_bytes_max >> 8:
        if len(venue.channels) == 1:
            return OneChannel(0, layout.block_bytes_max, where, ts_recv)
        return Blocks(venue, layout, where, ts_recv)
    if venue.name == "idx":
        return TextLines(venue, ts_recv)
    return Lines(next(at for at, c in enumerate(venue.channels) if c.ticks))


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


class TextLines:
    """Cuts idx-1's lines of text and sorts them to their channels."""

    def __init__(self, venue: Venue, ts_recv: int = NO_RECEIVE_TIME) -> None:
        self.channels: set[int] = set()
        self._width, self._order = len(venue.channels), _books_first(venue)
        self._table = route.table(venue, IDX1)
        self._state = route.begin(venue)
        self._tail = b""
        self._ts_recv = ts_recv

    def push(self, data: bytes) -> Iterator[Frames]:
        """Frames of all lines that are complete by now, one a channel and few minutes."""
        whole, feed, tail = (self._tail + data).rpartition(b"\n")
        whole += feed
        while len(tail) > TEXT_BYTES_MAX:
            whole += tail[:TEXT_BYTES_MAX] + b"\n"
            tail = tail[TEXT_BYTES_MAX:]
        return self._sorted(whole, tail, final=False)

    def rest(self) -> Iterator[Frames]:
        """What still waits, and the last line, where no line feed ends it."""
        return self._sorted(self._tail + b"\n", b"", final=True)

    def _sorted(self, whole: bytes, tail: bytes, final: bool) -> Iterator[Frames]:
        text, used = np.frombuffer(bytearray(whole), np.uint8), -1
        heads = np.empty(route.HEAD_BYTES * whole.count(b"\n"), np.uint8)
        while used:
            out = np.empty((self._width, len(text)), np.uint8)
            counts = np.zeros((3, self._width), np.int64)
            used = route.sort_lines(text, heads, self._table, self._state, out, counts, final)
            text = text[used:]
            for channel in self._order:
                size, count, first_seq = counts[:, channel].tolist()
                if count:
                    self.channels.add(channel)
                    payload = out[channel, : size - 1].tobytes()
                    yield Frames(channel, LINES, "", first_seq, count, self._ts_recv, payload)
        self._tail = text.tobytes() + tail


class Blocks:
    """Cuts blocks and sorts them to their channels."""

    def __init__(
        self, venue: Venue, layout: Layout, where: str, ts_recv: int = NO_RECEIVE_TIME
    ) -> None:
        self.channels: set[int] = set()
        self._where, self._ts_recv = where, ts_recv
        self._width, self._order = len(venue.channels), _books_first(venue)
        self._table = route.table(venue, layout)
        self._state = route.begin(venue)
        self._tail = b""
        self._done = 0

    def push(self, data: bytes) -> Iterator[Frames]:
        """Frames of all blocks that are complete by now, one a channel and few minutes. Refuse
        `bad_recording` where framing is lost, after what it was lost in."""
        return self._sorted(data, final=False)

    def rest(self) -> Iterator[Frames]:
        """What still waits, then the bytes of a block that the file's end cuts short."""
        yield from self._sorted(b"", final=True)
        yield from self._remains()

    def _sorted(self, data: bytes, final: bool) -> Iterator[Frames]:
        piece, used = np.frombuffer(bytearray(self._tail + data), np.uint8), -1
        while used:
            out = np.empty((self._width, len(piece)), np.uint8)
            counts = np.zeros((3, self._width), np.int64)
            used, end = route.sort(piece, self._table, self._state, out, counts, final)
            self._done += used
            piece = piece[used:]
            for channel in self._order:
                size, count, first_seq = counts[:, channel].tolist()
                if count:
                    self.channels.add(channel)
                    payload = out[channel, :size].tobytes()
                    yield Frames(channel, BLOCKS, "", first_seq, count, self._ts_recv, payload)
        self._tail = piece.tobytes()
        if end == route.LOST:
            yield from self._remains()
            what = f"{self._where}: no block can begin at byte {self._done}"
            raise Refuse(what, "bad_recording", parameter="file")

    def _remains(self) -> Iterator[Frames]:
        tail, self._tail = self._tail, b""
        if tail:
            channel = max(int(self._state[0, route.LAST]), 0)
            self.channels.add(channel)
            yield Frames(channel, BLOCKS, "", 0, 1, self._ts_recv, tail)


def _books_first(venue: Venue) -> list[int]:
    return sorted(range(len(venue.channels)), key=lambda at: venue.channels[at].ticks)


class OneChannel:
    """Cuts blocks that are all of one channel. Their messages need bear no number."""

    def __init__(
        self, channel: int, bytes_max: int, where: str, ts_recv: int = NO_RECEIVE_TIME
    ) -> None:
        self.channels = {channel}
        self._channel, self._bytes_max = channel, bytes_max
        self._where, self._ts_recv = where, ts_recv
        self._tail = b""
        self._done = 0

    def push(self, data: bytes) -> Iterator[Frames]:
        """Frames of all blocks that are complete by now. Refuse `bad_recording` where framing is
        lost, after what it was lost in."""
        piece = self._tail + data
        used, count, end = route.whole(np.frombuffer(bytearray(piece), np.uint8), self._bytes_max)
        self._tail = piece[used:]
        self._done += used
        if count:
            yield self._frames(count, piece[:used])
        if end == route.LOST:
            yield from self.rest()
            what = f"{self._where}: no block can begin at byte {self._done}"
            raise Refuse(what, "bad_recording", parameter="file")

    def rest(self) -> Iterator[Frames]:
        """The bytes of a block that the end cuts short."""
        tail, self._tail = self._tail, b""
        if tail:
            yield self._frames(1, tail)

    def _frames(self, count: int, payload: bytes) -> Frames:
        return Frames(self._channel, BLOCKS, "", 0, count, self._ts_recv, payload)
