"""Topics in memory: what one process uses, and the simplest implementation of the bus's contract.

Each source (a venue's journal) has ONE log, and a topic `{venue}.{kind}` is a column of it: one
push of the stages puts all its batches there at once, so that a reader of several topics can commit
them in one transaction. The log is bounded in rows and bytes. A durable reader that lags past its
oldest entry goes on from the `backlog`, which derives the same batches anew from the journal; so a
slow reader never stalls the feed, and nothing is dropped.

Several consumers of one group share its entries; what a consumer took and did not commit when it is
closed is delivered again, to any other of its group. Entries of one consumer are in stream order.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bursa.model.batch import Batch, Span, after

# Derives (span, batches) anew for positions past the given one, up to the newest.
Backlog = Callable[[int], Iterator["Entry"]]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one push derived: batches of several kinds and the positions they cover."""

    span: Span
    batches: tuple[Batch, ...]

    @property
    def rows(self) -> int:
        """Rows of all batches."""
        return sum(len(batch) for batch in self.batches)

    @property
    def nbytes(self) -> int:
        """Bytes of all batches."""
        return sum(
            b.block.nbytes + (0 if b.levels is None else b.levels.nbytes) for b in self.batches
        )


@dataclass(frozen=True)
class Limits:
    """What a log may hold in memory."""

    rows_max: int
    bytes_max: int


@dataclass
class _Group:
    """One group's place: entries past `taken` were not handed out; `open` ones not committed.
    `index` counts the entries of the log up to there; `deriving`: a consumer is in the backlog."""

    committed: int
    taken: int
    index: int = 0
    lagging: Iterator[Entry] | None = None
    deriving: bool = False
    evicted_rows: int = 0
    redelivered: int = 0
    open: dict[int, list[Entry]] = field(default_factory=dict)
    again: deque[Entry] = field(default_factory=deque)


class Log:
    """The bounded memory of one source."""

    def __init__(self, source: str, limits: Limits, backlog: Backlog) -> None:
        self.source = source
        self._limits = limits
        self._backlog = backlog
        self._entries: deque[Entry] = deque()
        self._groups: dict[str, _Group] = {}
        self._consumers = 0
        self._gone = 0
        self._ready = threading.Condition()
        self.rows = 0
        self.bytes = 0
        self.end = 0
        self.closed = False

    def publish(self, entry: Entry) -> None:
        """Append; never blocks. Past the limits the oldest entries leave memory: a group that has
        not taken them yet re-derives them from the backlog (counted in `evicted`)."""
        with self._ready:
            self._entries.append(entry)
            self.end = entry.span.last
            self.rows += entry.rows
            self.bytes += entry.nbytes
            self._forget()
            self._ready.notify_all()

    def _forget(self) -> None:
        floor = min((g.taken for g in self._groups.values()), default=self.end)
        while self._entries:
            oldest = self._entries[0]
            over = self.rows > self._limits.rows_max or self.bytes > self._limits.bytes_max
            if oldest.span.last > floor and not over:
                return
            self._entries.popleft()
            self._gone += 1
            self.rows -= oldest.rows
            self.bytes -= oldest.nbytes
            for group in self._groups.values():
                if oldest.span.last > group.taken and group.lagging is None:
                    group.evicted_rows += oldest.rows

    def start(self, position: int) -> None:
        """Say where the log begins, before anything is published."""
        self.end = position

    def join(self, group: str, committed: int) -> "Consumer":
        """A new consumer of a group. `committed` is where the group stands if it is new here."""
        with self._ready:
            self._groups.setdefault(group, _Group(committed, committed))
            self._consumers += 1
            return Consumer(self, group, self._consumers)

    def close(self) -> None:
        """No more will be published: readers drain what is there, then get None at once."""
        with self._ready:
            self.closed = True
            self._ready.notify_all()

    def lag(self, group: str) -> int:
        """Journal bytes between the newest entry and the group's commit."""
        with self._ready:
            return max(0, self.end - self._groups[group].committed)

    def evicted(self, group: str) -> int:
        """Rows that left memory before the group took them."""
        return self._groups[group].evicted_rows

    def redelivered(self, group: str) -> int:
        """Entries handed out again after a consumer closed without a commit."""
        return self._groups[group].redelivered

    def _next(self, group: _Group) -> Entry | None:
        """The next entry for a group, from the backlog or from memory. Holds the lock."""
        oldest = self._entries[0].span.first if self._entries else self.end
        if group.taken < oldest:
            return None if group.deriving else self._from_backlog(group)
        if group.lagging is not None:
            group.lagging = None
        at = max(group.index, self._gone)
        while at - self._gone < len(self._entries):
            entry = self._entries[at - self._gone]
            at += 1
            if entry.span.last > group.taken:
                group.index = at
                return entry
        group.index = at
        return None

    def _from_backlog(self, group: _Group) -> Entry | None:
        group.deriving = True
        if group.lagging is None:
            group.lagging = self._backlog(group.taken)
        stream = group.lagging
        self._ready.release()  # deriving is long: the feed goes on publishing meanwhile
        try:
            entry = next(stream, None)
        finally:
            self._ready.acquire()
            group.deriving = False
        if entry is None:
            group.lagging = None
        return entry

    def _take(self, name: str, consumer: int, timeout_s: float) -> Entry | None:
        with self._ready:
            group = self._groups[name]
            if group.again:
                group.redelivered += 1
                entry: Entry | None = group.again.popleft()
            else:
                entry = self._fresh(group, timeout_s)
            if entry is not None:
                group.open.setdefault(consumer, []).append(entry)
            return entry

    def _fresh(self, group: _Group, timeout_s: float) -> Entry | None:
        entry = self._next(group)
        if entry is None and not self.closed and timeout_s > 0:
            self._ready.wait(timeout_s)
            entry = self._next(group)
        if entry is None:
            return None
        entry = _past(entry, group.taken)
        group.taken = max(group.taken, entry.span.last)
        return entry

    def _commit(self, name: str, consumer: int, position: int) -> None:
        with self._ready:
            group = self._groups[name]
            kept = [e for e in group.open.get(consumer, []) if e.span.last > position]
            group.open[consumer] = kept
            waiting = [e.span.first for es in group.open.values() for e in es]
            waiting += [e.span.first for e in group.again]
            group.committed = max(group.committed, min(waiting, default=group.taken))
            self._forget()

    def _leave(self, name: str, consumer: int) -> None:
        with self._ready:
            group = self._groups[name]
            group.again.extend(group.open.pop(consumer, []))
            self._ready.notify_all()


class Consumer:
    """One reader of a group. `poll` may be called from any one thread at a time."""

    def __init__(self, log: Log, group: str, number: int) -> None:
        self._log, self._group, self._number = log, group, number

    def poll(self, timeout_s: float) -> Entry | None:
        """The next entry, in stream order; None after `timeout_s` without one. Rows that the group
        took already are never in it."""
        return self._log._take(self._group, self._number, timeout_s)

    def commit(self, position: int) -> None:
        """All entries up to `position` are done for good."""
        self._log._commit(self._group, self._number, position)

    def close(self) -> None:
        """Leave; what was taken and not committed goes to the others of the group."""
        self._log._leave(self._group, self._number)


class MemoryBus:
    """The logs of one process, by source."""

    def __init__(self) -> None:
        self._logs: dict[str, Log] = {}

    def open(self, source: str, limits: Limits, backlog: Backlog) -> Log:
        """Make the log of a source."""
        assert source not in self._logs, f"{source} is open already"
        self._logs[source] = Log(source, limits, backlog)
        return self._logs[source]

    def logs(self) -> Mapping[str, Log]:
        """The logs by source."""
        return self._logs


def _past(entry: Entry, position: int) -> Entry:
    """The part of an entry after `position`."""
    if entry.span.first >= position:
        return entry
    span = Span(entry.span.source, entry.span.epoch, position, max(position, entry.span.last))
    return Entry(span, tuple(b for b in (after(b, position) for b in entry.batches) if len(b)))


def merge(entries: Sequence[Entry]) -> dict[str, list[Batch]]:
    """Kind -> its batches of several entries, in stream order."""
    out: dict[str, list[Batch]] = {}
    for entry in entries:
        for batch in entry.batches:
            out.setdefault(batch.kind.name, []).append(batch)
    return out
