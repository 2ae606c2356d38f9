"""The stream's memory: the newest closed bars, metric rows, minute ends and gaps, in one order.

Each entry has an offset; a cursor names the stream's epoch and the offset of the next entry, so a
client that lost its connection takes up exactly there as long as the entry is retained. Rows are
kept as batches and become frames when somebody wants them, once. Does not know clients (hub.py).
"""

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bursa.model.errors import Refuse

_CURSOR = re.compile(r"([0-9a-f]{8,32})-([0-9]{1,18})")

# Entries that are no rows of a batch; the others bear the name of their channel.
SAID = "said"


@dataclass(slots=True)
class Segment:
    """Consecutive entries of one venue and type.

    kind     the channel of its rows, or SAID
    first    offset of its first entry
    symbols  int64 (n,), the symbol of each entry, -1: none; `ts` likewise
    keys     SAID: what each entry belongs to (see hub.py); else empty
    make     (place in the segment, cursor) -> its frame; called once an entry
    """

    venue: str
    kind: str
    first: int
    symbols: NDArray[np.int64]
    ts: NDArray[np.int64]
    make: Callable[[int, str], bytes]
    keys: tuple[Hashable, ...] = ()
    frames: dict[int, bytes] = field(default_factory=dict)

    @property
    def after(self) -> int:
        """The offset behind its last entry."""
        return self.first + len(self.symbols)


class Retained:
    """The log of one process's life; `rows_max` entries are kept, whole segments at a time."""

    def __init__(self, epoch: str, rows_max: int) -> None:
        self._rows_max = rows_max
        self.begin(epoch)

    def begin(self, epoch: str) -> None:
        """Forget all; cursors given before are foreign from now on."""
        self.epoch = epoch
        self._segments: deque[Segment] = deque()
        self.head = 0

    @property
    def tail(self) -> int:
        """Offset of the oldest entry retained."""
        return self._segments[0].first if self._segments else self.head

    def cursor(self, offset: int) -> str:
        """The cursor of a client that has every entry before `offset`."""
        return f"{self.epoch}-{offset}"

    def append(
        self,
        venue: str,
        kind: str,
        rows: tuple[NDArray[np.int64], NDArray[np.int64]],
        make: Callable[[int, str], bytes],
        keys: tuple[Hashable, ...] = (),
    ) -> Segment:
        """Enter rows (symbols, ts); the oldest segments past the limit go."""
        segment = Segment(venue, kind, self.head, *rows, make, keys)
        self._segments.append(segment)
        self.head = segment.after
        while len(self._segments) > 1 and self.head - self._segments[0].after >= self._rows_max:
            self._segments.popleft()
        return segment

    def frame(self, segment: Segment, place: int) -> bytes:
        """The frame of an entry, made at its first use."""
        found = segment.frames.get(place)
        if found is None:
            cursor = self.cursor(segment.first + place + 1)
            found = segment.frames[place] = segment.make(place, cursor)
        return found

    def offset_of(self, cursor: str) -> int | None:
        """Where a cursor's next entry lies; None where it is not retained (any more), or of
        another epoch. Refuse `bad_cursor` where it is none."""
        match = _CURSOR.fullmatch(cursor)
        if match is None:
            raise Refuse("that is no cursor of a stream", "bad_cursor", parameter="resume")
        offset = int(match[2])
        held = match[1] == self.epoch and self.tail <= offset <= self.head
        return offset if held else None

    def since(self, offset: int) -> Iterator[tuple[Segment, int]]:
        """Segments that hold entries from `offset` on, and the place in each to begin at."""
        at = bisect_right(self._segments, offset, key=lambda segment: segment.after)
        for number in range(at, len(self._segments)):
            segment = self._segments[number]
            yield segment, max(offset - segment.first, 0)
