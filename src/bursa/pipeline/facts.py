"""What is known of a venue right now, kept in memory as batches pass: the last row of each
instrument, names, session state, holes, the day's pulse.

A listener of the ingest thread; pages and API read it from the event loop. It remembers, and
decides nothing: what it holds can be had anew from the store and the stream.
"""

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from bursa.model.batch import Batch, Block, Span, Words
from bursa.model.schema import CONTRACTS, INDEX, INT_NULL, ORDERBOOK, QUOTES, SNAPSHOT, TICKS, Kind
from bursa.model.venue import Venue
from bursa.pipeline.books import Books, Depth
from bursa.pipeline.line import Derived

MINUTE_NS = 60_000_000_000
HOLES_MAX = 1000
# Seconds over which the present message rate is taken.
RATE_S = 5


@dataclass(frozen=True, slots=True)
class Contract:
    """An instrument as its venue describes it."""

    ticker: str
    board: str
    name: str
    lot: int
    currency: str
    prev_close: float
    price_decimals: int
    volume_decimals: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Messages of a channel that never came, in event time [start, end]."""

    channel: str
    start_ns: int
    end_ns: int
    seq_from: int
    seq_to: int


class _Last:
    """The newest row of each symbol of one kind."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._block: Block = np.zeros((len(kind.scalars), 64), np.int64)
        self._known = np.zeros(64, np.bool_)

    def take(self, batch: Batch, rows: np.ndarray | None = None) -> None:
        self.put(batch.block if rows is None else batch.block[:, rows])

    def put(self, block: Block) -> None:
        """Rows in stream order; of one symbol's the last one stays."""
        if not block.shape[1]:
            return
        ids = block[0]
        more = int(ids.max()) + 1 - len(self._known)
        if more > 0:
            more = max(more, len(self._known))
            self._block = np.pad(self._block, ((0, 0), (0, more)))
            self._known = np.pad(self._known, (0, more))
        self._block[:, ids] = block
        self._known[ids] = True

    def take_older(self, batch: Batch) -> None:
        """Rows of symbols that are not known yet."""
        unknown = np.array([i >= len(self._known) or not self._known[i] for i in batch.block[0]])
        if len(batch):
            self.take(batch, unknown)

    def of(self, symbol: int) -> Block | None:
        """A symbol's row, int64 (columns, 1); None where it is not known."""
        known = symbol < len(self._known) and self._known[symbol]
        return self._block[:, symbol : symbol + 1].copy() if known else None

    def forget(self, symbol: int) -> None:
        """Know nothing of a symbol."""
        if symbol < len(self._known):
            self._known[symbol] = False

    def block(self) -> Block:
        """All rows, by symbol."""
        return self._block[:, np.flatnonzero(self._known)].copy()

    def clear(self) -> None:
        """Know nothing."""
        self._known[:] = False

    def rows(self, words: Words, ids: Iterable[int] | None = None) -> Batch:
        known = np.flatnonzero(self._known)
        if ids is not None:
            known = known[np.isin(known, np.fromiter(ids, np.int64))]
        return Batch(self.kind, self._block[:, known].copy(), words, Span("", 0, 0, 0))


class _LastTrades(_Last):
    """The newest trade of each symbol that was not taken back: a break (a row with a negative
    volume) of the newest brings back the one before it."""

    def __init__(self) -> None:
        super().__init__(TICKS)
        self.before = _Last(TICKS)

    def put(self, block: Block) -> None:
        volumes = block[TICKS.index["volume"]].view(np.float64)
        start = 0
        for at in np.flatnonzero(volumes < 0).tolist():
            self._trades(block[:, start:at])
            self._take_back(block[:, at])
            start = at + 1
        self._trades(block[:, start:])

    def _trades(self, block: Block) -> None:
        count = block.shape[1]
        if not count:
            return
        ids = block[0]
        newest = np.zeros(int(ids.max()) + 1, np.int64)
        newest[ids] = np.arange(count)
        earlier = newest[ids] != np.arange(count)
        held = ids[ids < len(self._known)]
        self.before.put(self._block[:, held[self._known[held]]])
        self.before.put(block[:, earlier])
        super().put(block)

    def clear(self) -> None:
        super().clear()
        self.before.clear()

    def _take_back(self, row: Block) -> None:
        symbol, number = int(row[0]), row[TICKS.index["trade_no"]]
        last, before = self.of(symbol), self.before.of(symbol)
        if before is not None and before[TICKS.index["trade_no"], 0] == number:
            self.before.forget(symbol)
        elif last is not None and last[TICKS.index["trade_no"], 0] == number:
            self.before.forget(symbol)
            self.forget(symbol)
            if before is not None:
                super().put(before)


class Facts:
    """The present state of one venue."""

    def __init__(self, venue: Venue, words: Words) -> None:
        self.venue, self._words = venue, words
        self._board = venue.boards.index(venue.bar_board)
        self._trades = _LastTrades()
        self._last = {kind.name: _Last(kind) for kind in (QUOTES, SNAPSHOT, INDEX)}
        self._last["ticks"] = self._trades
        self._books = Books()
        self.contracts: dict[str, Contract] = {}
        self.holes: deque[Hole] = deque(maxlen=HOLES_MAX)
        self.state: dict[str, str] = {}
        self.ended: set[str] = set()  # channels whose recording is over; how its day stood stays
        self._lock = threading.Lock()
        self._pulse: Block = np.zeros(24 * 60, np.int64)
        self._pulse_start_ns = self._pulse_end_ns = 0
        self.watermarks: Sequence[int] = [0] * len(venue.channels)
        self.newest_ns = 0
        self.messages = 0
        self._rates: deque[tuple[int, int]] = deque(maxlen=64)

    def take(self, derived: Derived, watermarks: Sequence[int], now_ns: int) -> None:
        """Remember what one push derived. `watermarks`: newest event time of each channel after it;
        `now_ns` is our clock."""
        with self._lock:
            for batch in derived.live:
                self._batch(batch)
            for kind in derived.hidden:
                self._forget(kind)
            self.watermarks = watermarks
            self.newest_ns = max(self.newest_ns, *watermarks)
            self._beat(derived.counts.get("messages", 0), now_ns)

    def restore(self, batches: Iterable[Batch]) -> None:
        """Rows that a store kept, at a start, once the line's dictionary is restored. What came
        since is newer and stays."""
        with self._lock:
            for batch in batches:
                if batch.kind.name in self._last:
                    self._last[batch.kind.name].take_older(self._translated(batch))
                elif batch.kind is CONTRACTS:
                    newer, self.contracts = self.contracts, {}
                    self._contracts(batch)
                    self.contracts |= newer
                elif not self.state and not self.ended:
                    self._status(batch)

    def _translated(self, batch: Batch) -> Batch:
        """A store has a dictionary of its own: the same rows with the line's symbol ids."""
        tickers = batch.text(batch.kind.columns[0].name)
        block = batch.block.copy()
        block[0] = [self._words.find_symbol(ticker or "") for ticker in tickers]
        block = np.ascontiguousarray(block[:, block[0] >= 0])
        return Batch(batch.kind, block, self._words, batch.span)

    def snapshot(self) -> dict[str, Any]:
        """The day's pulse and the newest rows, for a checkpoint; names are had from the store."""
        with self._lock:
            return {
                "pulse": self._pulse.copy(),
                "start": self._pulse_start_ns,
                "end": self._pulse_end_ns,
                "last": {kind: last.block() for kind, last in self._last.items()},
                "before": self._trades.before.block(),
                "books": self._books.snapshot(),
            }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's, whose dictionary the line has; it is replayed from there."""
        with self._lock:
            for kind, block in state["last"].items():
                self._last[kind].put(block)
            self._trades.before.put(state["before"])
            self._books.restore(state["books"])
            self._pulse = state["pulse"]
            self._pulse_start_ns, self._pulse_end_ns = state["start"], state["end"]

    def stand(self, watermarks: Sequence[int]) -> None:
        """Where the channels stand after a recovery; no clock runs on from there yet."""
        self.watermarks = watermarks
        self.newest_ns = max(self.newest_ns, *watermarks)

    def _batch(self, batch: Batch) -> None:
        name = batch.kind.name
        if name in ("ticks", "snapshot"):
            main = batch.block[batch.kind.index["board"]] == self._board
            self._last[name].take(batch, main)
        elif name in ("quotes", "index"):
            self._last[name].take(batch)
        elif name == "orderbook":
            self._books.take(batch, self._board)
        elif name == "contracts":
            self._contracts(batch)
        elif name == "status":
            self._status(batch)

    def _forget(self, kind: str) -> None:
        """A kind that is not published: what was known of it would pass for the present."""
        if kind in self._last:
            self._last[kind].clear()
        elif kind == CONTRACTS.name:
            self.contracts.clear()
        elif kind == ORDERBOOK.name:
            self._books.forget()

    def _contracts(self, batch: Batch) -> None:
        columns = {c.name: batch.text(c.name) for c in CONTRACTS.scalars if c.dtype == "text"}
        for at in range(len(batch)):
            ticker, board = columns["ticker"][at] or "", columns["board"][at] or ""
            if board != self.venue.bar_board and ticker in self.contracts:
                continue
            self.contracts[ticker] = Contract(
                ticker,
                board,
                columns["name"][at] or "",
                int(batch.column("lot")[at]),
                columns["currency"][at] or self.venue.currency,
                float(batch.column("prev_close")[at]),
                int(batch.column("price_decimals")[at]),
                int(batch.column("volume_decimals")[at]),
            )

    def _status(self, batch: Batch) -> None:
        states, channels = batch.text("state"), batch.text("channel")
        for at, (state, channel) in enumerate(zip(states, channels, strict=True)):
            if state == "gap":
                start = int(batch.column("ts_from")[at])
                end = int(batch.column("ts")[at])
                first, last = int(batch.column("seq_from")[at]), int(batch.column("seq_to")[at])
                self.holes.append(
                    Hole(channel or "", end if start == INT_NULL else start, end, first, last)
                )
            elif state is None or channel is None or state in ("up", "down"):
                continue
            elif state == "end_of_file":
                self.ended.add(channel)
            else:
                self.state[channel] = state
                self.ended.discard(channel)

    def _beat(self, count: int, now_ns: int) -> None:
        self.messages += count
        if not self._rates or now_ns - self._rates[-1][0] > 200_000_000:
            self._rates.append((now_ns, self.messages))
        if self.newest_ns >= self._pulse_end_ns:
            day = self.venue.calendar.day_of(self.newest_ns)
            self._pulse_start_ns = self.venue.calendar.midnight_ns(day)
            self._pulse_end_ns = self.venue.calendar.midnight_ns(day + timedelta(days=1))
            self._pulse = np.zeros(24 * 60, np.int64)
        minute = (self.newest_ns - self._pulse_start_ns) // MINUTE_NS
        if 0 <= minute < len(self._pulse):
            self._pulse[minute] += count

    def rate(self, now_ns: int) -> float:
        """Messages a second, lately."""
        # The ingest thread adds to them: a copy is taken in one step.
        recent = [r for r in list(self._rates) if now_ns - r[0] <= RATE_S * 1_000_000_000]
        if len(recent) < 2:
            return 0.0
        return (self.messages - recent[0][1]) / max(1e-9, (now_ns - recent[0][0]) / 1e9)

    def pulse(self) -> tuple[int, list[int]]:
        """(first minute's opening in event time, messages of each minute of the venue's day)."""
        return self._pulse_start_ns, self._pulse.tolist() if self._pulse_end_ns else []

    def book(self, symbol: int, depth: int) -> Depth:
        """A symbol's order book, `depth` levels of a side at most."""
        with self._lock:
            return self._books.of(symbol, depth)

    def last(self, kind: str, ticker: str | None = None) -> Batch:
        """The newest row of each symbol, or of one: `ticks`, `quotes`, `snapshot`, `index`."""
        ids = None if ticker is None else [self._words.find_symbol(ticker)]
        with self._lock:
            return self._last[kind].rows(self._words, ids)
