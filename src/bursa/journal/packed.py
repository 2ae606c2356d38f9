"""Compressed segments: independent zstd frames, a parity frame behind each group, a seek table.

    zstd frame      FRAME plain bytes (the last one fewer), with their size and a checksum
    ...             GROUP frames in a group, the last group has what is left
    parity frame    skippable; as long as the group's longest frame, and a head
    ...
    seek table      skippable, in the Zstandard seekable format; of a parity frame it says 0 bytes

`zstd -d` reads it, and so does whoever knows the seekable format. A parity frame's payload:

    tag         8
    version     2
    frames      2  in this group
    first       4  number of the first of them in the segment
    plain       4  plain bytes of the last of them
    length      4  of the parity
    parity sum  8  xxh3-64 of the parity
    head sum    8  xxh3-64 of all before it and of the sizes
    sizes       4  compressed bytes, for each frame
    parity         the frames XORed, each filled with zeros to the longest

Little-endian. One damaged frame in a group, however much of it, is rebuilt from the parity and the
others, taken only if its own checksum fits then, and told as `healed`; damage in a parity frame or
the table costs nothing. Two damaged frames of a group give what can still be unpacked of them.
Parity costs a sixteenth of the compressed bytes and a little (6.5 % of 200 frames; a segment of one
frame doubles), and 1 to 2 % of zstd's time: 20 us of 1,400 a frame that packs to a ninth. Segments
without parity are read as well.
"""

import os
import re
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from bursa.journal.record import Healed

FRAME = 1 << 20
GROUP = 16
# Bytes of a damaged frame that are unpacked at a time.
_SALVAGE = 512
# Zstandard's own: the magic of a frame, of the skippable frames that hold the seek table and our
# parity, and of the table's last four bytes; how long a frame's header may be.
_ZSTD, _TABLE, _PARITY, _SEEKABLE = b"\x28\xb5\x2f\xfd", 0x184D2A5E, 0x184D2A5A, 0x8F92EAB1
_HEADER_MAX = 18
# A bit of a frame's header that readers pass over and nobody sets.
_UNUSED_BIT = 16
_SKIP = struct.Struct("<II")
_ENTRY = struct.Struct("<II")
_FOOTER = struct.Struct("<IBI")
_TAG, _VERSION = b"bursaXR\0", 1
_HEAD = struct.Struct("<8sHHIIIQQ")
_BEGINNINGS = re.compile(re.escape(_ZSTD) + rb"|[\x5a\x5e]\x2a\x4d\x18")


class Frame(NamedTuple):
    """Where a zstd frame lies in the file, and how many plain bytes it holds."""

    start: int
    end: int
    plain: int


class Group(NamedTuple):
    """So many frames from number `first` on, and where their parity frame lies."""

    first: int
    frames: int
    start: int
    end: int


class Layout(NamedTuple):
    """What a file consists of; `table` is where its seek table begins. `sound`: that table says
    so, else the frames themselves do."""

    frames: list[Frame]
    groups: list[Group]
    table: int
    sound: bool


# -- written -----------------------------------------------------------------------------------


class Pieces:
    """A compressed segment as it is written: of each frame in turn, then at the end."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int]] = []
        self._group: list[int] = []
        self._frames = self._plain = 0
        self._parity = np.zeros(0, np.uint8)

    def frame(self, packed: bytes, plain: int) -> bytes:
        """What to write of a frame of so many plain bytes: itself, and the parity it completes."""
        self._entries.append((len(packed), plain))
        self._group.append(len(packed))
        self._plain = plain
        self._parity = _mixed(self._parity, packed)
        return packed + self._close() if len(self._group) == GROUP else packed

    def end(self) -> bytes:
        """What to write behind the last frame."""
        parity = self._close() if self._group else b""
        return parity + _seek_table(self._entries)

    def _close(self) -> bytes:
        out = _parity_frame(self._frames, self._group, self._plain, self._parity)
        self._entries.append((len(out), 0))
        self._frames += len(self._group)
        self._group, self._parity = [], np.zeros(0, np.uint8)
        return out


def _mixed(parity: NDArray[np.uint8], data: bytes) -> NDArray[np.uint8]:
    """Parity and one more frame's bytes, in the place of the former where it is long enough."""
    if len(data) > len(parity):
        parity = np.concatenate([parity, np.zeros(len(data) - len(parity), np.uint8)])
    ours = parity[: len(data)]
    np.bitwise_xor(ours, np.frombuffer(data, np.uint8), out=ours)
    return parity


def _parity_frame(first: int, sizes: Sequence[int], plain: int, parity: NDArray[np.uint8]) -> bytes:
    listed = np.array(sizes, "<u4").tobytes()
    checksum = xxh3_64_intdigest(parity.data)
    head = _HEAD.pack(_TAG, _VERSION, len(sizes), first, plain, len(parity), checksum, 0)[:-8]
    head += struct.pack("<Q", xxh3_64_intdigest(head + listed))
    body = head + listed + parity.tobytes()
    return _SKIP.pack(_PARITY, len(body)) + body


def _seek_table(entries: Sequence[tuple[int, int]]) -> bytes:
    """(compressed, plain) bytes of each frame."""
    body = b"".join(_ENTRY.pack(*entry) for entry in entries)
    body += _FOOTER.pack(len(entries), 0, _SEEKABLE)
    return _SKIP.pack(_TABLE, len(body)) + body


def _table_of(layout: Layout) -> bytes:
    """The table that a file of this layout ends with."""
    of = {frame.start: (frame.end - frame.start, frame.plain) for frame in layout.frames}
    of |= {group.start: (group.end - group.start, 0) for group in layout.groups}
    return _seek_table([of[start] for start in sorted(of)])


# -- found again -------------------------------------------------------------------------------


def layout(fd: int, size: int) -> Layout:
    """Of an open file: from its seek table, or where that is damaged from all that it holds."""
    return _from_table(fd, size) or _walked(os.pread(fd, size, 0))


def _from_table(fd: int, size: int) -> Layout | None:
    """None where the table's figures do not fit the file."""
    footer = os.pread(fd, _FOOTER.size, max(size - _FOOTER.size, 0))
    if len(footer) < _FOOTER.size:
        return None
    count, flags, magic = _FOOTER.unpack(footer)
    table = size - _FOOTER.size - count * _ENTRY.size - _SKIP.size
    if magic != _SEEKABLE or flags or not count or table < 0:
        return None
    entries = os.pread(fd, count * _ENTRY.size, table + _SKIP.size)
    frames, groups, at, first = list[Frame](), list[Group](), 0, 0
    for packed, plain in _ENTRY.iter_unpack(entries):
        if plain:
            frames.append(Frame(at, at + packed, plain))
        else:
            groups.append(Group(first, len(frames) - first, at, at + packed))
            first = len(frames)
        at += packed
    fits = at == table and frames and all(frame.plain == FRAME for frame in frames[:-1])
    # A flipped size may make a parity of a frame, or the reverse: their heads say what is one.
    grouped = first == len(frames) and all(_is_parity(fd, group, frames) for group in groups)
    known = fits and (grouped if groups else _ends_so(fd, frames[-1]))
    return Layout(frames, groups, table, True) if known else None


def _is_parity(fd: int, group: Group, frames: Sequence[Frame]) -> bool:
    """Does a parity frame of this very group lie there?"""
    head = os.pread(fd, _SKIP.size + _HEAD.size, group.start)[_SKIP.size :]
    if len(head) < _HEAD.size or not group.frames:
        return False
    tag, _, count, first, plain, *_ = _HEAD.unpack(head)
    last = frames[group.first + group.frames - 1]
    return bool((tag, first, count, plain) == (_TAG, group.first, group.frames, last.plain))


def _ends_so(fd: int, last: Frame) -> bool:
    """Without parity: does the last frame hold what the table says? Where its own header says
    something else one of the two is damaged: the table, if the frame can be unpacked."""
    head = os.pread(fd, _HEADER_MAX, last.start)
    if head[_SKIP.size :].startswith(_TAG):
        return False
    said = _content(head)
    if said == last.plain or last.plain > FRAME:
        return said == last.plain
    return _unpacked(os.pread(fd, last.end - last.start, last.start), said) is None


def _walked(data: bytes) -> Layout:
    """From parity frames' heads, which say where their groups lie, and frame by frame where there
    are none."""
    frames, groups, at = list[Frame](), list[Group](), 0
    for group, sizes, plain in _heads(data):
        begin = group.start - sum(sizes)
        if begin < at:
            continue
        _walk(data, at, begin, frames, groups)
        # Whatever could be told of those before: the numbers from here on are known.
        del frames[group.first :]
        frames += [Frame(begin, begin, FRAME)] * (group.first - len(frames))
        for size in sizes:
            frames.append(Frame(begin, begin + size, FRAME))
            begin += size
        frames[-1] = frames[-1]._replace(plain=plain)
        groups.append(group)
        at = group.end
    table = _walk(data, at, len(data), frames, groups)
    frames[:-1] = [frame._replace(plain=FRAME) for frame in frames[:-1]]
    return Layout(frames, groups, table, False)


def _heads(data: bytes) -> Iterator[tuple[Group, tuple[int, ...], int]]:
    """Parity frames whose head is whole, with the sizes of their frames and the last one's plain
    size."""
    at = data.find(_TAG)
    while at >= _SKIP.size:
        head = data[at : at + _HEAD.size]
        if len(head) == _HEAD.size:
            _, version, count, first, plain, length, _, checksum = _HEAD.unpack(head)
            listed = data[at + _HEAD.size : at + _HEAD.size + 4 * count]
            if version == _VERSION and xxh3_64_intdigest(head[:-8] + listed) == checksum:
                end = at + _HEAD.size + len(listed) + length
                sizes = tuple(np.frombuffer(listed, "<u4").tolist())
                yield Group(first, count, at - _SKIP.size, end), sizes, plain
        at = data.find(_TAG, at + 8)


def _walk(data: bytes, at: int, end: int, frames: list[Frame], groups: list[Group]) -> int:
    """Add what lies between two places, frame by frame; a stretch that is none counts as a damaged
    one. Returns where the seek table begins, or `end`."""
    first = groups[-1].first + groups[-1].frames if groups else 0
    while at < end:
        if _is_table(data, at):
            return at
        following = _end_of(data, at)
        if not at < following <= end or not (following == end or _begins(data, following)):
            following = _next(data, at + 4, end)
        if data[at : at + 4] == _SKIP.pack(_PARITY, 0)[:4]:
            groups.append(Group(first, len(frames) - first, at, following))
            first = len(frames)
        else:
            said = _content(data[at : at + _HEADER_MAX])
            frames.append(Frame(at, following, said if 0 < said <= FRAME else FRAME))
        at = following
    return end


def _end_of(data: bytes, at: int) -> int:
    """Where the frame ends that begins here, by the headers of its blocks; -1 where they are
    damaged."""
    if data[at : at + 4] != _ZSTD:
        size = _SKIP.unpack_from(data, at)[1] if at + _SKIP.size <= len(data) else 0
        return at + _SKIP.size + size if data[at : at + 4] == _SKIP.pack(_PARITY, 0)[:4] else -1
    head = data[at : at + _HEADER_MAX]
    try:
        trailer = 4 if zstandard.get_frame_parameters(head).has_checksum else 0
        at += zstandard.frame_header_size(head)
    except zstandard.ZstdError:
        return -1
    last = 0
    while not last and at + 3 <= len(data):
        block = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        at += 3 + (1 if kind == 1 else size)
    return at + trailer if last else -1


def _begins(data: bytes, at: int) -> bool:
    """Does something begin here that a segment consists of?"""
    if data[at : at + 4] == _ZSTD:
        return 0 < _content(data[at : at + _HEADER_MAX]) <= FRAME
    tagged = data[at + _SKIP.size : at + _SKIP.size + len(_TAG)] == _TAG
    return tagged or _end_of(data, at) > at or _is_table(data, at)


def _next(data: bytes, at: int, end: int) -> int:
    """The next place where something begins; `end` where nothing does."""
    for match in _BEGINNINGS.finditer(data, at, end):
        if _begins(data, match.start()):
            return match.start()
    return end


def _is_table(data: bytes, at: int) -> bool:
    """Does the seek table begin here: by its magic, or by its length and its count of entries?"""
    rest = len(data) - at
    if rest < _SKIP.size + _FOOTER.size:
        return False
    magic, size = _SKIP.unpack_from(data, at)
    count, _, _ = _FOOTER.unpack_from(data, len(data) - _FOOTER.size)
    counted = _SKIP.size + count * _ENTRY.size + _FOOTER.size
    return bool(magic == _TABLE or rest == _SKIP.size + size == counted)


# -- read --------------------------------------------------------------------------------------


def _content(packed: bytes) -> int:
    """What a frame says it holds; -1 where it says nothing."""
    try:
        return int(zstandard.frame_content_size(packed[:_HEADER_MAX]))
    except zstandard.ZstdError:
        return -1


def _unpacked(packed: bytes, size: int) -> bytes | None:
    """A frame of so many plain bytes; None where anything of it is not as it was written."""
    if _content(packed) != size or packed[4] & _UNUSED_BIT:
        return None
    try:
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError:
        return None


def _salvaged(packed: bytes) -> bytes:
    """What a damaged frame still gives: blocks before the one that cannot be unpacked, or, where
    only its checksum does not fit, all of it. Each record's own checksum says what is whole."""
    reader, plain = zstandard.ZstdDecompressor().decompressobj(), bytearray()
    with suppress(zstandard.ZstdError):
        for at in range(0, len(packed), _SALVAGE):
            plain += reader.decompress(packed[at : at + _SALVAGE])
    return bytes(plain)


class PackedSource:
    """A compressed segment's plain bytes; the frame unpacked last is kept. A segment.Source."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._base = int(path.name.partition(".")[0])
        self._healed: dict[int, Healed] = {}
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.disk_bytes = os.fstat(self._fd).st_size
            self._layout = layout(self._fd, self.disk_bytes)
        except BaseException:
            os.close(self._fd)
            raise
        frames = self._layout.frames
        self.size = (len(frames) - 1) * FRAME + frames[-1].plain if frames else 0
        self._firsts = [group.first for group in self._layout.groups]
        self._held = -1
        self._plain = b""
        if not self._layout.sound and frames:
            self._check_table()

    @property
    def healed(self) -> list[Healed]:
        """By where it lies in the file."""
        return [self._healed[offset] for offset in sorted(self._healed)]

    def read(self, offset: int, out: memoryview) -> int:
        """Fill `out` with plain bytes; how many were there. What is lost comes as zeros."""
        done = 0
        want = min(len(out), max(self.size - offset, 0))
        while done < want:
            frame, within = divmod(offset + done, FRAME)
            piece = self._frame(frame)[within : within + want - done]
            out[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def scrub(self) -> None:
        """Look at what no read needs: the table, and each parity against its frames."""
        self._check_table()
        for group in self._layout.groups:
            numbers = range(group.first, group.first + group.frames)
            parity, frames = np.zeros(0, np.uint8), [self._layout.frames[n] for n in numbers]
            for number in numbers:
                parity = _mixed(parity, self._packed(number))
            sizes = [frame.end - frame.start for frame in frames]
            expected = _parity_frame(group.first, sizes, frames[-1].plain, parity)
            stored = os.pread(self._fd, group.end - group.start, group.start)
            if expected == stored:
                continue
            bad = [n for n in numbers if self._whole(n) is None]
            for number in bad:
                self._rebuilt(number)
            if not bad:
                self._judge(group, stored, expected)

    def _judge(self, group: Group, stored: bytes, expected: bytes) -> None:
        """Frames that can all be unpacked give another parity: a frame has changed where no reader
        looks (its window's size, say) if the stored one is as it was written, else the parity."""
        *_, checksum, _ = _HEAD.unpack_from(stored.ljust(_SKIP.size + _HEAD.size), _SKIP.size)
        body = _SKIP.size + _HEAD.size + 4 * group.frames
        if xxh3_64_intdigest(stored[body:]) != checksum or stored[body:] == expected[body:]:
            self._note("parity", group.first, group.start, stored, expected)
        else:
            start = self._layout.frames[group.first].start
            self._note("frame", group.first, start, stored[body:], expected[body:])

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)

    def _frame(self, number: int) -> bytes:
        if number != self._held:
            size = self._layout.frames[number].plain
            plain = self._whole(number)
            if plain is None:
                plain = self._rebuilt(number)
            if plain is None:
                plain = _salvaged(self._packed(number))
            self._plain = plain.ljust(size, b"\0")[:size]
            self._held = number
        return self._plain

    def _packed(self, number: int) -> bytes:
        frame = self._layout.frames[number]
        return os.pread(self._fd, frame.end - frame.start, frame.start)

    def _whole(self, number: int) -> bytes | None:
        return _unpacked(self._packed(number), self._layout.frames[number].plain)

    def _rebuilt(self, number: int) -> bytes | None:
        """A damaged frame's plain bytes by its group's parity; None where there is none, or
        another of the group is damaged too."""
        at = bisect_right(self._firsts, number) - 1
        group = self._layout.groups[at] if at >= 0 else None
        if group is None or number >= group.first + group.frames:
            return None
        start = group.start + _SKIP.size + _HEAD.size + 4 * group.frames
        parity = _mixed(np.zeros(0, np.uint8), os.pread(self._fd, group.end - start, start))
        for other in range(group.first, group.first + group.frames):
            if other != number:
                parity = _mixed(parity, self._packed(other))
        frame = self._layout.frames[number]
        packed = parity[: frame.end - frame.start].tobytes()
        plain = _unpacked(packed, frame.plain)
        if plain is not None:
            self._note("frame", number, frame.start, self._packed(number), packed)
        return plain

    def _check_table(self) -> None:
        table = self._layout.table
        stored = os.pread(self._fd, self.disk_bytes - table, table)
        expected = _table_of(self._layout)
        if stored != expected:
            self._note("table", len(self._layout.frames), table, stored, expected)

    def _note(self, part: str, number: int, start: int, stored: bytes, expected: bytes) -> None:
        """`stored` lies where `expected` should."""
        length = max(len(stored), len(expected))
        both = [np.frombuffer(one.ljust(length, b"\0"), np.uint8) for one in (stored, expected)]
        wrong = np.flatnonzero(both[0] != both[1])
        if not len(wrong):
            return
        position = self._base + min(number * FRAME, self.size)
        offset = start + int(wrong[0])
        self._healed[offset] = Healed(position, offset, len(wrong), part)
