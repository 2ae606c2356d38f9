"""What the store's reader took and the store has not committed: bounded in rows and bytes. Pure.

Past four fifths of a bound nothing more is taken, until what lies here is down to two fifths; what
comes meanwhile stays in the topics, and past their bound in the journal. An entry is taken whole or
not at all, so there is never more than four fifths of the bounds and one entry. Knows no store and
no clock.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from bursa.bus.memory import Entry

PAUSE, RESUME = 0.8, 0.4


@dataclass(frozen=True)
class Bounds:
    """How much may wait for the store: rows of any one table, and bytes of all."""

    rows: int = 50_000
    bytes: int = 64 << 20


class Buffer:
    """Entries in stream order, the oldest first."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._entries: deque[tuple[int, Entry]] = deque()
        self._by_kind: Counter[str] = Counter()
        self.rows = self.bytes = 0
        self.paused = False

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry, now_ns: int) -> None:
        """Take an entry that came now. Only while it is not paused."""
        assert not self.paused, "a paused buffer takes nothing"
        self._entries.append((now_ns, entry))
        self._count(entry, 1)
        self.paused = self.fullness >= PAUSE

    @property
    def fullness(self) -> float:
        """How much of the nearer bound is in use; 1 is the bound."""
        most = max(self._by_kind.values(), default=0)
        return max(most / self._bounds.rows, self.bytes / self._bounds.bytes)

    @property
    def rows_of_a_kind(self) -> int:
        """Rows of the table that has most of them here."""
        return max(self._by_kind.values(), default=0)

    @property
    def since_ns(self) -> int:
        """When the oldest entry came; 0 where there is none."""
        return self._entries[0][0] if self._entries else 0

    def head(self, rows: int) -> Sequence[Entry]:
        """The oldest entries that make up so many rows, or all; they stay."""
        found: list[Entry] = []
        for _, entry in self._entries:
            found.append(entry)
            rows -= entry.rows
            if rows <= 0:
                break
        return found

    def drop(self, entries: int) -> None:
        """The oldest so many are done."""
        for _ in range(entries):
            self._count(self._entries.popleft()[1], -1)
        self.paused = self.paused and self.fullness > RESUME

    def _count(self, entry: Entry, sign: int) -> None:
        for batch in entry.batches:
            self._by_kind[batch.kind.name] += sign * len(batch)
        self.rows += sign * entry.rows
        self.bytes += sign * entry.nbytes
