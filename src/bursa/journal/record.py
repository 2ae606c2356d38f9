"""A journal record: its header, its checksum, and how records are found again in bytes.

    checksum  8  xxh3-64 of everything after it, padding included, seeded with the record's address
    magic     4
    kind      1  what it is (model/batch.py: FRAMES .. ROWS)
    form      1  how the payload is framed
    channel   2
    length    4  bytes of payload; zeros fill the record up to a multiple of 8
    epoch     4  the opening of the journal that wrote it
    ts_recv   8  ns UTC, never decreasing over the journal; -1: the source knows no receive time
    first_seq 8
    base      8  payload bytes of this channel's FRAMES records before this one
    count     4  messages
    reserved  4
    session  16  ASCII, zero-filled

Little-endian, 72 bytes. The *address* of a byte counts from the journal's first byte, over all
segments, their headers included; a record's *position* is the address of its end. Because the seed
of the checksum is the address, a whole record that lies anywhere else (a journal inside a payload,
old blocks of the disk) does not pass for one. Reads and writes no files (read.py, write.py do).
"""

import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from bursa.model.batch import (
    CLOCK,
    DOWN,
    LOST,
    ROWS,
    SETTING,
    SPAN_CHANNEL,
    SPAN_COUNT,
    SPAN_END,
    SPAN_FIRST_SEQ,
    SPAN_FORM,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_ROWS,
    SPAN_SESSION,
    SPAN_SESSION_REST,
    SPAN_START,
    SPAN_TS_RECV,
    Block,
)

assert sys.byteorder == "little", "records are read as little-endian words, without a copy"

MAGIC = 0x52534A42
RECORD = np.dtype(
    [
        ("checksum", "<u8"),
        ("magic", "<u4"),
        ("kind", "u1"),
        ("form", "u1"),
        ("channel", "<u2"),
        ("length", "<u4"),
        ("epoch", "<u4"),
        ("ts_recv", "<i8"),
        ("first_seq", "<i8"),
        ("base", "<i8"),
        ("count", "<u4"),
        ("reserved", "<u4"),
        ("session", "S16"),
    ]
)
HEADER = RECORD.itemsize
PACK = struct.Struct("<QIBBHIIqqqII16s")
CHECKSUM = struct.Struct("<Q")
# Limits: a header that says more than these is not a header.
PAYLOAD_MAX = 64 << 20
CHANNELS_MAX = 64
KINDS_MAX = 64
SESSION_MAX = 16


class Damage(NamedTuple):
    """Bytes of the journal that hold no valid record.

    position  address of the first of them
    bytes     how many
    reason    `header` (no record begins there), `checksum`, `cut` (the record is longer than what
              is there), `segment header`, `missing` (a segment's file, or its end)
    """

    position: int
    bytes: int
    reason: str


class Healed(NamedTuple):
    """Bytes on disk that are not as they were written, and of which nothing is lost.

    position  address of the first byte that depends on them
    offset    of the first of them in the segment's file; within a group's first frame where only
              the group is known
    bytes     how many
    part      of a compressed segment: `frame` (rebuilt by parity), `parity`, `table`
    """

    position: int
    offset: int
    bytes: int
    part: str


@dataclass(frozen=True, slots=True)
class Control:
    """A record that no feed delivered: what the shell says about a channel or about itself.

    kind     CLOCK, UP, DOWN, END_OF_FILE, END_OF_SESSION, SETTING, LOST or ROWS
    channel  index into the venue's channels; 0 for a setting and for rows
    payload  see `clock`, `down`, `setting`, `lost` and `rows`; else empty
    ts_recv  ns UTC; 0: the writer stamps it
    """

    kind: int
    channel: int = 0
    payload: bytes = b""
    ts_recv: int = 0


def clock(channel: int, watermark_ns: int) -> Control:
    """A watermark from our own clock, for a channel without heartbeats: int64 ns UTC."""
    return Control(CLOCK, channel, struct.pack("<q", watermark_ns))


def down(channel: int, why: str) -> Control:
    """The channel is away; the payload is the reason in UTF-8."""
    return Control(DOWN, channel, why.encode())


def setting(values: Mapping[str, Any]) -> Control:
    """A setting that alters derived data has changed; the payload is JSON, keys sorted."""
    return Control(SETTING, 0, msgspec.json.encode(values, order="sorted"))


def lost(channel: int, first: int, last: int, asked: bool) -> Control:
    """The numbers first to last of the channel's session are waited for no longer; asked: for
    them, again. Three big-endian int64 (wire/transport/sequence.py reads them)."""
    return Control(LOST, channel, struct.pack(">qqq", first, last, asked))


def rows(packed: bytes) -> Control:
    """Rows of the past that were entered, as wire/ipc.py packs them."""
    return Control(ROWS, 0, packed)


def padded(length: int) -> int:
    """Bytes that a record with this much payload takes."""
    return (HEADER + length + 7) & ~7


@njit(nogil=True, cache=True)
def _plausible(tag: int, shape: int, epoch: int) -> bool:
    """Could these two words be a header's second and third? epoch 0: any."""
    if (tag & 0xFFFFFFFF) != MAGIC or (shape & 0xFFFFFFFF) > PAYLOAD_MAX:
        return False
    if ((tag >> 32) & 0xFF) >= KINDS_MAX or ((tag >> 48) & 0xFFFF) >= CHANNELS_MAX:
        return False
    found = (shape >> 32) & 0xFFFFFFFF
    return found == epoch if epoch else found > 0


@njit(nogil=True, cache=True)
def scan(words: Block, address: int, epoch: int, spans: Block) -> tuple[int, int, int]:
    """Hop over the records that lie one after another from the first word on.

    words    int64 (n,): the bytes, a record beginning at word 0
    address  of word 0
    epoch    that all records must bear; 0: any
    spans    int64 (SPAN_ROWS, capacity): filled, a column a record; checksums are not looked at
    returns  records found; bytes they take; then 0 where the bytes or the capacity ended on a
             boundary, -1 where no header is, else how many bytes the next record takes
    """
    size, at, n = words.shape[0] * 8, 0, 0
    while at < size and n < spans.shape[1]:
        if at + HEADER > size:
            return n, at, HEADER
        w = at >> 3
        tag, shape = words[w + 1], words[w + 2]
        if not _plausible(tag, shape, epoch):
            return n, at, -1
        length = shape & 0xFFFFFFFF
        total = (HEADER + length + 7) & ~7
        if at + total > size:
            return n, at, total
        spans[SPAN_KIND, n] = (tag >> 32) & 0xFF
        spans[SPAN_FORM, n] = (tag >> 40) & 0xFF
        spans[SPAN_CHANNEL, n] = (tag >> 48) & 0xFFFF
        spans[SPAN_START, n] = at + HEADER
        spans[SPAN_END, n] = at + HEADER + length
        spans[SPAN_TS_RECV, n] = words[w + 3]
        spans[SPAN_POSITION, n] = address + at + total
        spans[SPAN_FIRST_SEQ, n] = words[w + 4]
        spans[SPAN_COUNT, n] = words[w + 6] & 0xFFFFFFFF
        spans[SPAN_SESSION, n] = words[w + 7]
        spans[SPAN_SESSION_REST, n] = words[w + 8]
        at += total
        n += 1
    return n, at, 0


@njit(nogil=True, cache=True)
def find(words: Block, start: int, epoch: int) -> int:
    """The first word from `start` on at which a header could begin, whole in `words`; else -1."""
    for w in range(start, words.shape[0] - HEADER // 8 + 1):
        if (words[w + 1] & 0xFFFFFFFF) == MAGIC and _plausible(words[w + 1], words[w + 2], epoch):
            return w
    return -1


def verified(frames: NDArray[np.uint8], address: int, spans: Block) -> int:
    """How many of the records, from the first on, have the checksum that their bytes give.

    frames  the bytes, the first of them at `address`
    spans   as `scan` filled them
    """
    starts = spans[SPAN_START] - HEADER
    expected = frames.view(np.uint64)[starts >> 3].tolist()
    ends = (spans[SPAN_POSITION] - address).tolist()
    view = frames.data
    for n, (at, end, checksum) in enumerate(zip(starts.tolist(), ends, expected, strict=True)):
        if xxh3_64_intdigest(view[at + 8 : end], address + at) != checksum:
            return n
    return len(ends)


def headers(frames: NDArray[np.uint8], spans: Block) -> NDArray[np.void]:
    """The headers of the records, dtype RECORD, (records,); a copy."""
    starts = spans[SPAN_START] - HEADER
    at = starts[:, None] + np.arange(HEADER)
    return frames[at].reshape(-1).view(RECORD)


def warm() -> None:
    """Compile or load the kernels for the arrays that the reader and the writer use."""
    words = np.zeros(HEADER // 8, np.int64)
    scan(words, 0, 1, np.empty((SPAN_ROWS, 1), np.int64))
    find(words, 0, 1)
