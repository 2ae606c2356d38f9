"""What each segment holds, in a small file beside it: a table of contents, never the truth.

`{base}.index` stands beside a closed segment: magic 8, version 8, xxh3-64 of the rest 8, then one
msgpack array. One that is missing, damaged or of another length than its segment is made anew from
the records (closed.py does it in the background; whoever only reads does it for himself). It says
where to look; what is there only the records say (read.py).
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from xxhash import xxh3_64_intdigest

from bursa.journal.read import Found, Walk
from bursa.journal.record import Damage
from bursa.journal.segment import PACKED, PLAIN, Segment, listing, opened, write_whole
from bursa.model.batch import (
    FRAMES,
    SPAN_CHANNEL,
    SPAN_COUNT,
    SPAN_END,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_START,
    SPAN_TS_RECV,
)

SUFFIX = ".index"
_HEAD = struct.Struct("<8sQQ")
_MAGIC, _VERSION = b"bursaIX\0", 1


class Held(msgspec.Struct, frozen=True, array_like=True):
    """What one channel has in a segment: records, messages and bytes of payload."""

    records: int = 0
    messages: int = 0
    bytes: int = 0


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """One segment.

    base, end          addresses of its first byte and after its last
    first, last        positions of the last record before it and of its last; equal: it has none
    epoch, created     of its header: the opening that wrote it, and when (ns UTC); 0: unreadable
    records            of all kinds, those without messages too
    ts_first, ts_last  receive times of its messages, ns UTC; 0 where none has one
    undated            records of messages without a receive time
    channels           channel -> what it has here
    damaged            bytes that hold no valid record
    """

    base: int
    end: int
    first: int
    last: int
    epoch: int
    created: int
    records: int = 0
    ts_first: int = 0
    ts_last: int = 0
    undated: int = 0
    channels: dict[int, Held] = {}
    damaged: tuple[Damage, ...] = ()


def summarize(
    segment: Segment, growing: bool = False, told: Callable[[int], None] = lambda position: None
) -> Summary:
    """Read a whole segment, every checksum. `growing`: what it ends with may be a record that is
    being written, no damage. `told` hears the address that is reached."""
    with opened(segment.path) as source:
        walk = Walk(source, segment.base)
        head, sums = walk.head, _Sums()
        damaged = [] if head else [Damage(segment.base, min(2048, source.size), "segment header")]
        for item in walk.go(segment.base, walk.stop):
            if isinstance(item, Found):
                sums.take(item)
                told(sums.last)
            elif not (growing and item.reason == "cut" and item.position + item.bytes == walk.stop):
                damaged.append(item)
        first = head.previous if head else segment.base
        return Summary(
            segment.base,
            walk.stop,
            first,
            sums.last or first,
            walk.epoch,
            head.created if head else 0,
            sums.records,
            sums.ts_first,
            sums.ts_last,
            sums.undated,
            sums.channels,
            tuple(damaged),
        )


class _Sums:
    """Counts records as they come."""

    def __init__(self) -> None:
        self.last = self.records = self.ts_first = self.ts_last = self.undated = 0
        self.channels: dict[int, Held] = {}

    def take(self, found: Found) -> None:
        """Add these."""
        spans = found.spans
        self.last = int(spans[SPAN_POSITION, -1])
        self.records += spans.shape[1]
        framed = spans[:, spans[SPAN_KIND] == FRAMES]
        dated = framed[SPAN_TS_RECV][framed[SPAN_TS_RECV] > 0]
        self.undated += framed.shape[1] - len(dated)
        if len(dated):
            self.ts_first = self.ts_first or int(dated[0])
            self.ts_last = int(dated[-1])
        for channel in np.unique(framed[SPAN_CHANNEL]).tolist():
            ours = framed[:, framed[SPAN_CHANNEL] == channel]
            before = self.channels.get(channel, Held())
            self.channels[channel] = Held(
                before.records + ours.shape[1],
                before.messages + int(ours[SPAN_COUNT].sum()),
                before.bytes + int((ours[SPAN_END] - ours[SPAN_START]).sum()),
            )


def path_of(segment: Path) -> Path:
    """The index of a segment's file, plain or compressed."""
    name = segment.name.removesuffix(PACKED).removesuffix(PLAIN)
    return segment.with_name(name + SUFFIX)


def save(segment: Segment, summary: Summary) -> None:
    """Write the index of a closed segment: there whole and durable, or not at all."""
    body = msgspec.msgpack.encode(summary)
    write_whole(
        path_of(segment.path), [_HEAD.pack(_MAGIC, _VERSION, xxh3_64_intdigest(body)), body]
    )


def load(segment: Segment) -> Summary | None:
    """The kept summary; None where there is none that can be trusted to be this segment's."""
    try:
        data = path_of(segment.path).read_bytes()
        magic, version, checksum = _HEAD.unpack_from(data)
        body = memoryview(data)[_HEAD.size :]
        if (magic, version, checksum) != (_MAGIC, _VERSION, xxh3_64_intdigest(body)):
            return None
        summary = msgspec.msgpack.decode(body, type=Summary)
    except (OSError, struct.error, msgspec.DecodeError):
        return None
    return summary if (summary.base, summary.end) == (segment.base, segment.end) else None


def summaries(folder: Path) -> Iterator[tuple[Segment, Summary]]:
    """Every segment of a journal with what it holds, ascending; the last one, which may grow, and
    those without an index are read for it. Changes no file."""
    segments = listing(folder)
    for segment in segments:
        growing = segment is segments[-1]
        kept = None if growing else load(segment)
        yield segment, kept or summarize(segment, growing)


def since(folder: Path, ts_ns: int) -> int:
    """A position from which on all messages received at or after a time come, near to the first of
    them; the journal's end where there is none."""
    last = 0
    for _, summary in summaries(folder):
        if summary.ts_last >= ts_ns:
            return summary.first
        last = summary.last
    return last
