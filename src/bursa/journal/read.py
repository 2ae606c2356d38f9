"""Read a journal from any record's end, over plain and compressed segments.

Every checksum is verified. Damage is confined to the bytes between two valid records, listed in
`damaged`, and the rest goes on; what parity made good is listed in `healed`. A journal may be read
while it is written: what is not whole yet at its end is not there yet. Never changes a file
(recover.py truncates, write.py appends).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from bursa.journal.record import (
    CHECKSUM,
    HEADER,
    Damage,
    Healed,
    find,
    headers,
    padded,
    scan,
    verified,
)
from bursa.journal.segment import HEADER as SEGMENT_HEADER
from bursa.journal.segment import Head, Source, bases, opened, unpack_head
from bursa.model.batch import (
    SPAN_COUNT,
    SPAN_END,
    SPAN_FIRST_SEQ,
    SPAN_POSITION,
    SPAN_ROWS,
    SPAN_START,
    SPAN_TS_RECV,
    Block,
    Chunk,
    Span,
)
from bursa.model.errors import Refuse

BYTES_MAX = 4 << 20
# Records in one chunk, at most.
RECORDS_MAX = 16384


@dataclass(frozen=True, slots=True)
class Record:
    """One record as its header says, for people and tests; `start` is the address of the header."""

    start: int
    position: int
    epoch: int
    kind: int
    form: int
    channel: int
    session: str
    base: int
    first_seq: int
    count: int
    ts_recv: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """Valid records that lie one after another: their bytes, and `spans` as in a Chunk."""

    frames: NDArray[np.uint8]
    spans: Block
    epoch: int


class Walk:
    """The valid records of one segment, and the damage between them, in order.

    `trusted` is an address up to which checksums are not verified, because somebody did.
    """

    def __init__(self, source: Source, base: int, trusted: int = 0) -> None:
        self.base = base
        self.stop = base + source.size
        data = bytearray(SEGMENT_HEADER)
        got = source.read(0, memoryview(data))
        self.head: Head | None = unpack_head(bytes(data[:got]), base)
        self.epoch = self.head.epoch if self.head else 0
        self._source = source
        self._trusted = trusted
        self._spans = np.empty((SPAN_ROWS, RECORDS_MAX), np.int64)

    def go(self, at: int, end: int, bytes_max: int = BYTES_MAX) -> Iterator[Found | Damage]:
        """From the record at address `at`: those whose positions are at most `end`. Damage that
        reaches `stop` is the last that comes."""
        at = max(at, min(self.base + SEGMENT_HEADER, self.stop))
        end = min(end, self.stop)
        want, limit = bytes_max, end
        while at < end:
            frames = self._take(at, want, limit)
            n, _, need = scan(frames.view(np.int64), at, self.epoch, self._spans)
            spans = self._spans[:, :n]
            good = n if at + len(frames) <= self._trusted else verified(frames, at, spans)
            if good:
                wanted = int(np.searchsorted(spans[SPAN_POSITION, :good], end, side="right"))
                if not wanted:
                    return
                spans = spans[:, :wanted].copy()
                last = int(spans[SPAN_POSITION, -1])
                yield Found(frames[: last - at], spans, self.epoch)
                at, want, limit = last, bytes_max, end
            elif not n and need > len(frames) and at + need <= self.stop:
                want, limit = need, self.stop
            else:
                reason = "checksum" if n else "cut" if need > 0 else "header"
                following = self._resync(at + 8)
                yield Damage(at, following - at, reason)
                at, want, limit = following, bytes_max, end

    def _take(self, at: int, want: int, stop: int) -> NDArray[np.uint8]:
        """The bytes from `at` on, whole words, a new array."""
        frames = np.empty(max(min(want, stop - at), 0) & ~7, np.uint8)
        got = self._source.read(at - self.base, frames.data)
        return frames[: got & ~7]

    def _resync(self, at: int) -> int:
        """Address of the first valid record from `at` on; `stop` where there is none."""
        while at + HEADER <= self.stop:
            frames = self._take(at, BYTES_MAX, self.stop)
            words = frames.view(np.int64)
            w = find(words, 0, self.epoch)
            while w >= 0:
                if self._valid(frames, at, w * 8):
                    return at + w * 8
                w = find(words, w + 1, self.epoch)
            if len(frames) < HEADER:
                break
            at += len(frames) - HEADER + 8
        return self.stop

    def _valid(self, frames: NDArray[np.uint8], address: int, offset: int) -> bool:
        """Is there a whole record with its checksum at this offset of the bytes from `address`?"""
        length = int(frames[offset + 16 : offset + 20].view(np.uint32)[0])
        total = padded(length)
        start = address + offset
        if start + total > self.stop:
            return False
        if offset + total > len(frames):
            frames, offset = self._take(start, total, self.stop), 0
        view = frames.data[offset : offset + total]
        return bool(
            len(view) == total
            and xxh3_64_intdigest(view[8:], start) == CHECKSUM.unpack_from(view)[0]
        )


class JournalReader:
    """A venue's journal, read. Used by one thread at a time.

    folder   its own, as given
    told     hears of what is damaged or was healed when it is met, once each
    damaged  what was found so far, once each, by position
    """

    def __init__(
        self, folder: Path, told: Callable[[Damage | Healed], None] = lambda note: None
    ) -> None:
        self.folder = folder
        self._told = told
        self._damaged: dict[int, Damage] = {}
        self._healed: dict[tuple[int, int], Healed] = {}

    @property
    def damaged(self) -> list[Damage]:
        """Bytes that hold no valid record, met so far, in the order of their addresses."""
        return [self._damaged[at] for at in sorted(self._damaged)]

    @property
    def healed(self) -> list[tuple[int, Healed]]:
        """What was damaged on disk so far and cost nothing, by the bases of its segments."""
        return [(base, self._healed[base, offset]) for base, offset in sorted(self._healed)]

    def scrub(self) -> None:
        """Look also at what no record needs (parity, tables of compressed segments), for
        `healed`."""
        for base, path in bases(self.folder).items():
            with suppress(FileNotFoundError), opened(path) as source:
                source.scrub()
                self._take_healed(base, source)

    @property
    def first(self) -> int:
        """The lowest position from which records can be read; 0 for an empty journal."""
        for base, path in bases(self.folder).items():
            return _previous(base, path)
        return 0

    def before(self, address: int) -> int:
        """A position at or before an address from which reading can begin, near to it; the first
        where the address lies before that."""
        before = [at for at in bases(self.folder).items() if at[0] <= address]
        return _previous(*before[-1]) if before else self.first

    @property
    def end(self) -> int:
        """Position of the last whole record; reads the last segment for it."""
        for base, path in reversed(bases(self.folder).items()):
            last = -1
            with opened(path) as source:
                walk = Walk(source, base)
                for found in walk.go(base, walk.stop):
                    if isinstance(found, Found):
                        last = int(found.spans[SPAN_POSITION, -1])
            if last >= 0:
                return last
            if walk.head is not None:
                return walk.head.previous
        return 0

    def chunks(
        self, start: int, end: int | None = None, bytes_max: int = BYTES_MAX
    ) -> Iterator[Chunk]:
        """The records with start < position <= end, in order.

        start      a record's position, or 0: the beginning
        end        None: all that is whole when this is called
        bytes_max  of one chunk, headers included; a record that is larger comes alone
        returns    chunks of consecutive records of one epoch; `span.first` is the position before
                   a chunk, so that spans join. Refuses a `start` before `first` (journal_retired).
        """
        last = start
        for found, source in self._found(start, end, max(bytes_max, HEADER + 8)):
            position = int(found.spans[SPAN_POSITION, -1])
            yield Chunk(found.frames, found.spans, Span(source, found.epoch, last, position))
            last = position

    def records(self, start: int | None = None, end: int | None = None) -> Iterator[Record]:
        """The same one by one, headers decoded; from the first there is by default."""
        for found, _ in self._found(self.first if start is None else start, end, BYTES_MAX):
            spans = found.spans
            view = found.frames.data
            for n, head in enumerate(headers(found.frames, spans)):
                position = int(spans[SPAN_POSITION, n])
                yield Record(
                    start=position - padded(int(head["length"])),
                    position=position,
                    epoch=int(head["epoch"]),
                    kind=int(head["kind"]),
                    form=int(head["form"]),
                    channel=int(head["channel"]),
                    session=bytes(head["session"]).decode("ascii"),
                    base=int(head["base"]),
                    first_seq=int(spans[SPAN_FIRST_SEQ, n]),
                    count=int(spans[SPAN_COUNT, n]),
                    ts_recv=int(spans[SPAN_TS_RECV, n]),
                    payload=bytes(view[spans[SPAN_START, n] : spans[SPAN_END, n]]),
                )

    def _found(self, start: int, end: int | None, bytes_max: int) -> Iterator[tuple[Found, str]]:
        segments = self._from(start)
        venue = self.folder.name
        expected = -1
        for nth, (base, path) in enumerate(segments):
            if end is not None and base >= end:
                break
            if 0 <= expected < base:
                self._note(Damage(expected, base - expected, "missing"))
            with opened(path) as source:
                walk = Walk(source, base)
                expected = walk.stop
                venue = walk.head.venue if walk.head else venue
                found = walk.go(start, walk.stop if end is None else end, bytes_max)
                try:
                    for item in self._valid(walk, found, nth == len(segments) - 1):
                        yield item, venue
                finally:
                    self._take_healed(base, source)

    def _from(self, start: int) -> list[tuple[int, Path]]:
        """The segments that hold what comes after `start`."""
        segments = list(bases(self.folder).items())
        if segments and start < segments[0][0] and start < _previous(*segments[0]):
            raise Refuse(
                f"{self.folder}: the journal begins at {segments[0][0]}, {start} is gone",
                code="journal_retired",
                status=410,
            )
        after = bisect_right([base for base, _ in segments], start)
        return segments[max(after - 1, 0) :]

    def _valid(self, walk: Walk, found: Iterator[Found | Damage], last: bool) -> Iterator[Found]:
        """The records of one segment; notes its damage. What the last segment ends with may be a
        record that is being written."""
        if walk.head is None and walk.stop > walk.base:
            size = min(SEGMENT_HEADER, walk.stop - walk.base)
            self._note(Damage(walk.base, size, "segment header"))
        for item in found:
            if isinstance(item, Found):
                yield item
            elif not (last and item.reason == "cut" and item.position + item.bytes == walk.stop):
                self._note(item)

    def _note(self, damage: Damage) -> None:
        if self._damaged.get(damage.position) != damage:
            self._damaged[damage.position] = damage
            self._told(damage)

    def _take_healed(self, base: int, source: Source) -> None:
        for healed in source.healed:
            if (base, healed.offset) not in self._healed:
                self._healed[base, healed.offset] = healed
                self._told(healed)


def _previous(base: int, path: Path) -> int:
    """Position of the last record before a segment."""
    with opened(path) as source:
        head = Walk(source, base).head
    return base if head is None else head.previous
