"""The newest bars and metric rows of each ticker, in memory: what most readers ask for.

A ring holds the newest rows of one ticker, ascending by ts, each its newest revision, and knows
from which ts on it is complete. One block a kind (slots x depth x columns: a row is one place in
memory), one kernel call a batch. The ingest thread feeds, any thread reads; a lock covers both, and
readers get copies. Rings are bounded in rows (`depth`) and in bytes: who was read least recently
gives way to a ticker that is put; a feed alone never drives one out. Reads no store by itself but
at a start (`rehydrate`). Measured for 700 tickers: a minute's bars are fed in 45 us, 600 bars of
one ticker are copied out in 10 us.
"""

import mmap
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.metrics.catalog import STANDARD, Catalogue
from bursa.model.batch import Batch, Block, Span, Words
from bursa.model.schema import INT_NULL, OHLCV, Kind
from bursa.model.venue import Venue

ALWAYS_NS = INT_NULL
FOREVER_NS = 2**62
# Minutes read from the store at a start: two full days of idx. Longer asks go to the store.
REHYDRATE_MINUTES = 660

# Both kinds begin with ticker, freq, ts, rev.
_TICKER, _TS, _REV = 0, 2, 3
# Rows of a ring's state: place of its oldest row, rows, complete from this ts on, changes so far.
_HEAD, _COUNT, _FLOOR, _VERSION = 0, 1, 2, 3
_STATE = 4


class Stock(Protocol):
    """What `rehydrate` reads of a store."""

    def minute_back(self, venue: str, count: int) -> int:
        """Opening of the count-th newest minute; INT_NULL where there are fewer."""

    def since(self, venue: str, kind: str, start_ns: int) -> Batch:
        """All rows with ts >= start, ascending by (ticker, ts), newest revisions."""

    def span(self, venue: str) -> dict[str, tuple[int, int]]:
        """Ticker -> ts of its first and of its last bar."""


class Rings:
    """The rings of one venue. Batches given out bear ids of `words`, the line's dictionary."""

    def __init__(
        self,
        venue: Venue,
        words: Words,
        depth: int = 1500,
        bytes_max: int = 384 << 20,
        catalogue: Catalogue = STANDARD,
        serves: bool = True,
    ) -> None:
        self.serves = serves
        self.catalogue = catalogue
        kinds = (OHLCV, catalogue.kind)
        columns = sum(len(kind.scalars) for kind in kinds)
        slots = max(1, bytes_max // (columns * depth * 8))
        self.evicted = 0
        self._venue, self._words, self._depth = venue.name, words, depth
        self._lock = Lock()
        self._stores = {kind.name: _Store(kind, slots, depth) for kind in kinds}
        self._slot: dict[str, int] = {}
        self._ticker: list[str | None] = [None] * slots
        self._used = np.zeros(slots, np.int64)
        self._reads = 0
        self._free = list(range(slots - 1, -1, -1))
        # Where a ticker's rows that are not in memory begin and end, for tickers to come: complete
        # from `_floor` on, or from always where the ticker's first stored bar is not before that.
        self._floor = ALWAYS_NS
        self._first: Mapping[str, int] = {}
        # Line's symbol id -> slot, -1 none; grows with the dictionary.
        self._slots = np.empty(0, np.int64)
        self._names: list[str] = []

    def warm(self) -> None:
        """Compile the kernels for exactly the arrays used later."""
        for store in self._stores.values():
            scratch = _Store(store.kind, 1, 2)
            rows = np.zeros((len(store.kind.scalars), 1), np.int64)
            _feed(scratch.block, scratch.state, rows, np.zeros(1, np.int64))
            _newest(scratch.block, scratch.state, 0, 1, FOREVER_NS)

    # Feeding

    def feed_bars(self, batch: Batch) -> None:
        """Take closed bars and revisions of the line, in emission order."""
        self._feed(batch)

    def feed_metrics(self, batch: Batch) -> None:
        """Take metric rows of the line, in emission order."""
        self._feed(batch)

    def enter(self, batch: Batch) -> None:
        """Take rows of the past, bars or metric rows, in a dictionary of their own: where a ring
        reaches back to them they are put in their place, or in that of an older revision. Opens no
        ring."""
        store = self._stores.get(batch.kind.name)
        if store is None or not len(batch):
            return
        rows = np.require(batch.block, np.int64, ["C", "W"])
        ids, place = np.unique(rows[_TICKER], return_inverse=True)
        names = [batch.words.symbols[symbol] for symbol in ids.tolist()]
        position = int(rows[batch.kind.index["position"]].max())
        with self._lock:
            first = dict(self._first)
            for at, name in enumerate(names):
                store.entered[name] = position
                opened = rows[_TS, place == at]
                oldest, newest = int(opened.min()), int(opened.max())
                store.past[name] = max(store.past.get(name, newest), newest)
                first[name] = min(first.get(name, oldest), oldest)
            self._first = first
            slots = np.array([self._slot.get(name, -1) for name in names], np.int64)
            _feed(store.block, store.state, rows, slots[place])

    def _feed(self, batch: Batch) -> None:
        assert batch.words is self._words, "a line's rings are fed by that line"
        if not len(batch):
            return
        rows = np.require(batch.block, np.int64, ["C", "W"])
        store = self._stores[batch.kind.name]
        with self._lock:
            self._learn()
            ids = rows[_TICKER]
            store.fed(ids, rows[store.kind.index["position"]], len(self._names))
            if self._free:
                for symbol in np.unique(ids[self._slots[ids] < 0]).tolist():
                    self._open(self._names[symbol])
            _feed(store.block, store.state, rows, self._slots[ids])

    def _learn(self) -> None:
        """Follow the dictionary: it grows, or was replaced as a whole by a restored one."""
        symbols, known = self._words.symbols, len(self._names)
        if known and (len(symbols) < known or symbols[known - 1] != self._names[-1]):
            self._names, self._slots, known = [], np.empty(0, np.int64), 0
        if known < len(symbols):
            new = symbols[known:]
            slots = np.array([self._slot.get(name, -1) for name in new], np.int64)
            self._names += new
            self._slots = np.concatenate((self._slots, slots))

    def _open(self, ticker: str) -> int:
        """A slot for a ticker if one is free, else -1."""
        if not self._free:
            return -1
        slot = self._free.pop()
        before = self._first.get(ticker, FOREVER_NS) < self._floor
        for store in self._stores.values():
            floor_ns = self._floor if before else ALWAYS_NS
            if (past_ns := store.past.get(ticker)) is not None:
                floor_ns = max(floor_ns, past_ns + 1)  # the store has it, no ring took it
            store.open(slot, floor_ns)
        self._bind(ticker, slot)
        return slot

    def _bind(self, ticker: str, slot: int) -> None:
        self._slot[ticker], self._ticker[slot] = slot, ticker
        symbol = self._words.find_symbol(ticker)
        if 0 <= symbol < len(self._slots):
            self._slots[symbol] = slot

    def _evict(self) -> int:
        """Free the ring that was read least recently."""
        slot = int(np.argmin(self._used))
        ticker = self._ticker[slot]
        assert ticker is not None, "no slot is free, so all are taken"
        del self._slot[ticker]
        symbol = self._words.find_symbol(ticker)
        if 0 <= symbol < len(self._slots):
            self._slots[symbol] = -1
        self.evicted += 1
        return slot

    def put_bars(self, ticker: str, batch: Batch, start_ns: int) -> bool:
        """Take from the store all bars of one ticker with ts >= start_ns (ALWAYS_NS: all there
        are). False, and nothing taken, where the store lags behind what was fed meanwhile.

        batch   ascending by ts, newest revisions; its span ends at what was committed before it
                was read
        """
        return self._put(ticker, batch, start_ns)

    def put_metrics(self, ticker: str, batch: Batch, start_ns: int) -> bool:
        """Take from the store all metric rows of one ticker with ts >= start_ns, as `put_bars`."""
        return self._put(ticker, batch, start_ns)

    def renew_metrics(self, ticker: str, read: Callable[[int], Batch]) -> None:
        """Have a ticker's ring hold what the store has now, where rows were changed in place, and
        over it what was fed and is not committed yet. `read(n)` is asked for the newest n stored
        rows, as `put_metrics` takes them; not at all where there is no ring."""
        store = self._stores["metrics"]
        if ticker not in self._slot:
            return
        batch = read(self._depth)
        rows = np.require(batch.block, np.int64, ["C", "W"])
        with self._lock:
            slot = self._slot.get(ticker)
            if slot is None:
                return
            held = _newest(store.block, store.state, slot, self._depth, FOREVER_NS)
            late = held[:, held[batch.kind.index["position"]] > batch.span.last]
            whole = rows.shape[1] < self._depth
            store.open(slot, ALWAYS_NS if whole else int(rows[_TS, 0]))
            for part in (rows, np.ascontiguousarray(late)):
                _feed(store.block, store.state, part, np.full(part.shape[1], slot))

    def _put(self, ticker: str, batch: Batch, start_ns: int) -> bool:
        rows = np.require(batch.block, np.int64, ["C", "W"])
        store = self._stores[batch.kind.name]
        with self._lock:
            self._learn()
            fed = store.last_fed(self._words.find_symbol(ticker))
            if max(fed, store.entered.get(ticker, 0)) > batch.span.last:
                return False
            slot = self._slot.get(ticker, -1)
            if slot < 0:
                slot = self._free.pop() if self._free else self._evict()
                for each in self._stores.values():
                    each.open(slot, FOREVER_NS)
                self._bind(ticker, slot)
                self._touch(slot)
            held = _newest(store.block, store.state, slot, self._depth, FOREVER_NS)
            floor_ns = min(int(store.state[slot, _FLOOR]), start_ns)
            store.open(slot, floor_ns)
            for part in (rows, held):
                _feed(store.block, store.state, part, np.full(part.shape[1], slot))
        return True

    def rehydrate(self, store: Stock) -> None:
        """Fill the rings at a start, one query a kind; to be called before anything is fed. Not
        where they serve nobody."""
        if not self.serves:
            return
        start_ns = store.minute_back(self._venue, REHYDRATE_MINUTES)
        self._first = {ticker: first for ticker, (first, _) in store.span(self._venue).items()}
        self._floor = start_ns
        for kind in self._stores:
            batch = store.since(self._venue, kind, start_ns)
            rows = np.require(batch.block, np.int64, ["C", "W"])
            ids, place = np.unique(rows[_TICKER], return_inverse=True)
            with self._lock:
                names = [batch.words.symbols[symbol] for symbol in ids.tolist()]
                slots = np.array([self._slot.get(n, -1) for n in names], np.int64)
                for i, name in enumerate(names):
                    slots[i] = slots[i] if slots[i] >= 0 else self._open(name)
                _feed(self._stores[kind].block, self._stores[kind].state, rows, slots[place])

    # Reading

    def bars(self, ticker: str, n: int, before_ns: int | None = None) -> Batch | None:
        """The newest n closed 1-minute bars with ts < before_ns (None: all), ascending, each its
        newest revision; fewer where the ring holds fewer. None where there is no ring. A ring
        is complete from its first row on; `covers` tells whether it is from earlier on."""
        return self._read("ohlcv", ticker, n, before_ns)

    def metrics(self, ticker: str, n: int, before_ns: int | None = None) -> Batch | None:
        """The newest n metric rows, as `bars`."""
        return self._read("metrics", ticker, n, before_ns)

    def names(self) -> list[str]:
        """Tickers that have a ring."""
        with self._lock:
            return list(self._slot)

    def sample(self, kind: str, ticker: str, n: int) -> Batch | None:
        """As `bars` or `metrics` of the newest rows; nobody is said to have read them."""
        return self._read(kind, ticker, n, None, touch=False)

    def _read(
        self, kind: str, ticker: str, n: int, before_ns: int | None, touch: bool = True
    ) -> Batch | None:
        store = self._stores[kind]
        with self._lock:
            slot = self._slot.get(ticker)
            if slot is None or store.state[slot, _FLOOR] == FOREVER_NS:
                return None
            if touch:
                self._touch(slot)
            before = FOREVER_NS if before_ns is None else before_ns
            rows = _newest(store.block, store.state, slot, n, before)
        rows[_TICKER] = self._words.find_symbol(ticker)
        return Batch(store.kind, rows, self._words, Span(self._venue, 0, 0, 0))

    def _touch(self, slot: int) -> None:
        self._reads += 1
        self._used[slot] = self._reads

    def covers(self, ticker: str, start_ns: int, kind: str = "ohlcv") -> bool:
        """Does memory hold every row of a ticker with ts >= start_ns?"""
        with self._lock:
            slot = self._slot.get(ticker)
            return slot is not None and bool(self._stores[kind].state[slot, _FLOOR] <= start_ns)

    def version(self, ticker: str, kind: str = "ohlcv") -> int:
        """A number that changes whenever a ring's rows do, also over its leaving and coming back;
        0 where there is no ring. Read it before the rows that a cache keeps under it."""
        with self._lock:
            slot = self._slot.get(ticker)
            return 0 if slot is None else int(self._stores[kind].state[slot, _VERSION])

    @property
    def tickers(self) -> int:
        """Rings in memory."""
        return len(self._slot)

    @property
    def bytes(self) -> int:
        """Memory that the rings in use may fill."""
        with self._lock:
            row = sum(len(store.kind.scalars) for store in self._stores.values()) * 8
            return len(self._slot) * self._depth * row


class _Store:
    """The rings of one kind: rows, state, and up to which position each symbol was fed."""

    def __init__(self, kind: Kind, slots: int, depth: int) -> None:
        self.kind = kind
        self.block = _lazy((slots, depth, len(kind.scalars)))
        self.state = np.zeros((slots, _STATE), np.int64)
        self._versions = 0
        # Up to which position rows of the past were entered of a ticker.
        self.entered: dict[str, int] = {}
        # And the newest ts among them.
        self.past: dict[str, int] = {}
        self._fed = np.zeros(0, np.int64)

    def open(self, slot: int, floor_ns: int) -> None:
        self._versions = max(self._versions, int(self.state[slot, _VERSION])) + 1
        self.state[slot] = (0, 0, floor_ns, self._versions)

    def fed(self, ids: Block, positions: Block, symbols: int) -> None:
        if len(self._fed) < symbols:
            more = np.zeros(2 * symbols - len(self._fed), np.int64)
            self._fed = np.concatenate((self._fed, more))
        np.maximum.at(self._fed, ids, positions)

    def last_fed(self, symbol: int) -> int:
        return int(self._fed[symbol]) if 0 <= symbol < len(self._fed) else 0


def _lazy(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Zeros whose memory is taken page by page as rings fill. Small pages: with huge ones the first
    minute of all tickers would take, and clear, nearly all of it at once (270 ms for 700)."""
    pages = mmap.mmap(-1, int(np.prod(shape)) * 8)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages does not know the word
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, np.int64).reshape(shape)


@njit(nogil=True, cache=True)
def _feed(
    block: NDArray[np.int64], state: NDArray[np.int64], rows: Block, slots: NDArray[np.int64]
) -> None:
    """Put each row in its ring. block (slots, depth, columns), state (slots, _STATE), rows
    (columns, n), slots (n,): -1 leaves a row out."""
    depth = block.shape[1]
    for i in range(rows.shape[1]):
        s = slots[i]
        if s < 0:
            continue
        ts, head, count = rows[_TS, i], state[s, _HEAD], state[s, _COUNT]
        at = count  # its place among the stored rows, oldest first; most rows are the newest
        while at > 0 and block[s, (head + at - 1) % depth, _TS] >= ts:
            at -= 1
        place = (head + at) % depth
        if at < count and block[s, place, _TS] == ts:
            if rows[_REV, i] > block[s, place, _REV]:
                block[s, place] = rows[:, i]
                state[s, _VERSION] += 1
        elif ts >= state[s, _FLOOR]:  # what lies before, the ring does not vouch for
            _insert(block, state, s, at, rows[:, i])


@njit(nogil=True, cache=True)
def _insert(
    block: NDArray[np.int64], state: NDArray[np.int64], s: int, at: int, row: NDArray[np.int64]
) -> None:
    """Put a row before the at-th stored one of ring s; a full ring gives up its oldest."""
    depth = block.shape[1]
    head, count = state[s, _HEAD], state[s, _COUNT]
    if count == depth:
        if at == 0:
            state[s, _FLOOR] = row[_TS] + 1
            state[s, _VERSION] += 1  # the rows are as they were, but no longer all there are
            return
        state[s, _FLOOR] = block[s, head, _TS] + 1
        head = (head + 1) % depth
        count -= 1
        at -= 1
    for k in range(count, at, -1):
        block[s, (head + k) % depth] = block[s, (head + k - 1) % depth]
    block[s, (head + at) % depth] = row
    state[s, _HEAD], state[s, _COUNT] = head, count + 1
    state[s, _VERSION] += 1


@njit(nogil=True, cache=True)
def _newest(
    block: NDArray[np.int64], state: NDArray[np.int64], s: int, n: int, before_ns: int
) -> Block:
    """A copy of the newest n rows of ring s with ts < before_ns, ascending: (columns, <= n)."""
    depth = block.shape[1]
    head, low, high = state[s, _HEAD], 0, state[s, _COUNT]
    while low < high:
        middle = (low + high) // 2
        if block[s, (head + middle) % depth, _TS] < before_ns:
            low = middle + 1
        else:
            high = middle
    size = min(max(n, 0), low)
    first = (head + low - size) % depth
    part = min(size, depth - first)
    out = np.empty((block.shape[2], size), np.int64)
    for c in range(block.shape[2]):
        for k in range(part):
            out[c, k] = block[s, first + k, c]
        for k in range(size - part):
            out[c, part + k] = block[s, k, c]
    return out
