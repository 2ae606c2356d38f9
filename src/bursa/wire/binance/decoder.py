"""Binance spot: JSON lines -> ticks, quotes, rebuilt books, and the tape that bars are made of.

    ticks       ts is the trade's own time T, trade_no and seq the trade id. The aggressor is the
                seller where the buyer was the maker.
    quotes      the venue stamps none, so ts = ts_recv; seq is the update id
    orderbook   best BOOK_DEPTH levels of both sides after every depth message that moved the book
                and after a snapshot; ts is the message's event time, seq the update id that the
                book stands at
    contracts   one row a symbol, with the decimals that are seen to be used: prices and volumes
                always come with eight, so the truth is in the digits. A snapshot with its hundreds
                of levels shows them; without one the first DIGITS_TRADES trades do.
    status      a `gap` where trade ids or update ids jump, and what the feed said of the channel

The watermark of a channel is the newest T of its trades and E of its depth messages. A receive
clock may run behind the venue's: nothing here compares the two.

Duplicates are dropped by trade id, by a bookTicker's update id, by a depth message's last update
id, whichever connection or file they come from, so that what was read once changes nothing when it
is read again: neither does the end of such a file. Refused: `bad_json`, `bad_type`, `bad_number`,
`bad_symbol`, `no_symbol` (a snapshot that names none while several books, or no book, could be
meant), `unknown_event`, `wrong_form`. Does not read sockets (feeds/) nor check a signature.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from bursa.model.batch import (
    CHANNEL_DOWN,
    CHANNEL_UP,
    CLOCK,
    DOWN,
    END_OF_FILE,
    END_OF_SESSION,
    FILE_END,
    FRAMES,
    LINES,
    MARK,
    SESSION_END,
    TRADE,
    UP,
    Chunk,
    Words,
)
from bursa.model.calendar import SECOND_NS
from bursa.model.errors import Reject
from bursa.model.venue import Venue
from bursa.wire.binance import messages
from bursa.wire.binance.depth import Book, Change, Taken
from bursa.wire.binance.ids import IdSet
from bursa.wire.binance.messages import BookTicker, DepthUpdate, Service, Snapshot, Trade
from bursa.wire.binance.rows import Rows
from bursa.wire.decoded import Decoded

BOOK_DEPTH = 10
DIGITS_TRADES = 256

_BOARD = 0  # the venue has one
# An end is told once, until something new was taken.
_FILE, _SESSION = 1, 2
_ENDS = {
    END_OF_FILE: (_FILE, FILE_END, "end_of_file"),
    END_OF_SESSION: (_SESSION, SESSION_END, "E"),
}


class _Symbol:
    """What is remembered of one symbol.

    quoted      newest update id of a bookTicker
    trades_at, book_at   the channel's troubles when the last trade and depth message came
    contracted  its contracts row is out
    digits      while it is not: trades seen, decimals of their prices and of their volumes
    """

    __slots__ = (
        "book",
        "book_at",
        "contracted",
        "digits",
        "id",
        "quoted",
        "trades",
        "trades_at",
    )

    def __init__(self, number: int) -> None:
        self.id = number
        self.trades = IdSet()
        self.quoted = -1
        self.book = Book()
        self.trades_at = self.book_at = (0, 0)
        self.contracted = False
        self.digits = (0, 0, 0)


class BinanceDecoder:
    """The stage between the journal and the bars: push(chunk) -> Decoded. Any cut of the same
    records gives the same rows."""

    def __init__(self, venue: Venue, words: Words) -> None:
        self._words = words
        self._channels = len(venue.channels)
        self._is_ticker = re.compile(venue.ticker_pattern).fullmatch
        self._symbols: dict[str, _Symbol] = {}
        self._watermark = [0] * self._channels
        self._live = [-1] * self._channels  # 1 up, 0 down, -1 unknown
        self._news = [0] * self._channels  # ends that would be news (_ENDS)
        self._troubles = [(0, 0)] * self._channels  # times down, messages refused

    def warm(self) -> None:
        """Nothing here is compiled."""

    def push(self, chunk: Chunk) -> Decoded:
        """Decode the records of a chunk."""
        rows = Rows(chunk, self._words)
        raw = chunk.frames.tobytes()
        for kind, form, channel, start, end, ts_recv, position, *_ in chunk.spans.T.tolist():
            rows.record(channel, ts_recv, position)
            if kind != FRAMES:
                self._control(rows, kind, raw[start:end])
            elif form != LINES:
                rows.reject("wrong_form", raw[start:end])
            else:
                self._lines(rows, raw[start:end])
        return rows.decoded()

    def _lines(self, rows: Rows, payload: bytes) -> None:
        for line in payload.split(b"\n"):
            if not line or line == b"\r":
                continue
            rows.counts["messages"] += 1
            try:
                self._take(rows, messages.parse(line))
            except Reject as reject:
                rows.reject(reject.reason, line)
                downs, refused = self._troubles[rows.channel]
                self._troubles[rows.channel] = (downs, refused + 1)

    def _take(self, rows: Rows, message: messages.Message) -> None:
        match message:
            case BookTicker():
                self._quote(rows, message)
            case Trade():
                self._trade(rows, message)
            case DepthUpdate():
                self._depth(rows, message)
            case Snapshot():
                self._snapshot(rows, message)
            case Service():
                rows.counts[message.word] += 1

    def _symbol(self, text: str) -> _Symbol:
        found = self._symbols.get(text)
        if found is None:
            if not self._is_ticker(text):
                raise Reject("bad_symbol", text)
            found = self._symbols[text] = _Symbol(self._words.symbol_id(text))
        return found

    # Messages. Whatever can be refused is looked at before any state changes.

    def _trade(self, rows: Rows, message: Trade) -> None:
        ts = rows.believed(messages.time_ns(message.T))
        price, volume = messages.numbers((message.p, message.q))
        if not (price and volume):
            raise Reject("bad_number", "a trade of nothing")
        symbol = self._symbol(message.s)
        new, jumped = symbol.trades.take(message.t)
        if not new:
            rows.counts["duplicates"] += 1
            return
        before = self._advance(rows, ts)
        if jumped:
            self._gap(rows, (message.t - jumped, message.t - 1), before, symbol.trades_at)
        symbol.trades_at = self._troubles[rows.channel]
        head = (symbol.id, ts, message.t, _BOARD, price, volume, int(message.m), message.t)
        rows.tape.append((*head, rows.recv(ts), rows.position, TRADE, rows.channel))
        if not symbol.contracted:
            self._digits(rows, symbol, message)

    def _quote(self, rows: Rows, message: BookTicker) -> None:
        bid, bid_volume, ask, ask_volume = messages.numbers(
            (message.b, message.B, message.a, message.A)
        )
        symbol = self._symbol(message.s)
        if message.u <= symbol.quoted:
            rows.counts["duplicates"] += 1
            return
        symbol.quoted = message.u
        self._news[rows.channel] = _FILE | _SESSION
        ts = rows.recv(self._watermark[rows.channel])
        if not ts:  # a source without receive times, and nothing told the time yet
            rows.counts["undated"] += 1
            return
        # A side without orders comes as zeros.
        best = (bid or np.nan, bid_volume if bid else np.nan)
        worst = (ask or np.nan, ask_volume if ask else np.nan)
        rows.quotes.append((symbol.id, ts, message.u, *best, *worst, ts, rows.position))

    def _depth(self, rows: Rows, message: DepthUpdate) -> None:
        if message.U > message.u:
            raise Reject("bad_number", "update ids run backwards")
        ts = rows.believed(messages.time_ns(message.E))
        bids, asks = messages.levels(message.b), messages.levels(message.a)
        symbol = self._symbol(message.s)
        book = symbol.book
        change = Change(message.U, message.u, ts, bids, asks)
        missing, dropped = book.missing(change), book.dropped
        taken = book.take(change)
        if taken is Taken.DUPLICATE:
            rows.counts["duplicates"] += 1
            return
        before = self._advance(rows, ts, mark=True)
        if missing:
            self._gap(rows, missing, before, symbol.book_at)
        symbol.book_at = self._troubles[rows.channel]
        rows.counts["book_dropped"] += book.dropped - dropped
        if taken is Taken.APPLIED:
            self._book(rows, symbol, ts)
        else:
            rows.counts[f"depth_{taken.value}"] += 1

    def _snapshot(self, rows: Rows, message: Snapshot) -> None:
        bids, asks = messages.levels(message.bids), messages.levels(message.asks)
        symbol = self._symbol(message.symbol) if message.symbol else self._only_book()
        dropped = symbol.book.dropped
        taken = symbol.book.take_snapshot(message.lastUpdateId, bids, asks)
        rows.counts["book_dropped"] += symbol.book.dropped - dropped
        if taken is Taken.APPLIED:
            self._news[rows.channel] = _FILE | _SESSION
            self._book(rows, symbol, symbol.book.ts or rows.recv(self._watermark[rows.channel]))
            if not symbol.contracted and (bids or asks):
                every = [*message.bids, *message.asks]
                prices, volumes = ([level[at] for level in every] for at in (0, 1))
                self._contract(rows, symbol, messages.decimals(prices), messages.decimals(volumes))
        else:
            rows.counts["duplicates" if taken is Taken.DUPLICATE else "snapshots_stale"] += 1

    def _only_book(self) -> _Symbol:
        """Whose snapshot it must be when it names no symbol."""
        found = [symbol for symbol in self._symbols.values() if symbol.book.seen]
        if len(found) != 1:
            raise Reject("no_symbol")
        return found[0]

    # What follows from them

    def _advance(self, rows: Rows, ts: int, mark: bool = False) -> int:
        """Move the channel's watermark; what it was before. A message that is no trade puts a row
        on the tape when it enters a new second."""
        self._news[rows.channel] = _FILE | _SESSION
        before = self._watermark[rows.channel]
        if ts > before:
            self._watermark[rows.channel] = ts
            if mark and ts // SECOND_NS > before // SECOND_NS:
                rows.mark(ts, MARK)
        return before

    def _gap(
        self, rows: Rows, ids: tuple[int, int], before: int, troubles: tuple[int, int]
    ) -> None:
        """A gap of ids. It is put down to what befell the channel since its last message."""
        first, last = ids
        rows.counts["gaps"] += 1
        rows.counts["missing"] += last - first + 1
        ts = self._watermark[rows.channel]
        downs, refused = self._troubles[rows.channel]
        cause = "refused" if refused > troubles[1] else "jump"
        cause = "down" if downs > troubles[0] else cause
        rows.status(ts, "gap", (first, last, before or ts, cause), last + 1)

    def _book(self, rows: Rows, symbol: _Symbol, ts: int) -> None:
        for number, side in enumerate((symbol.book.bids, symbol.book.asks)):
            prices, volumes = side.top(BOOK_DEPTH)
            head = (symbol.id, _BOARD, ts, number, len(prices), symbol.book.at)
            rows.book((*head, rows.recv(ts), rows.position), prices, volumes)

    def _digits(self, rows: Rows, symbol: _Symbol, message: Trade) -> None:
        count, price, volume = symbol.digits
        price = max(price, messages.decimals((message.p,)))
        volume = max(volume, messages.decimals((message.q,)))
        symbol.digits = (count + 1, price, volume)
        if count + 1 == DIGITS_TRADES:
            self._contract(rows, symbol, price, volume)

    def _contract(self, rows: Rows, symbol: _Symbol, price: int, volume: int) -> None:
        symbol.contracted = True
        count, more_price, more_volume = symbol.digits
        ts = self._watermark[rows.channel]
        ts = ts or rows.recv(ts)
        named = (symbol.id, _BOARD, ts, -1, -1, 1, -1, np.nan)
        known = (max(price, more_price), max(volume, more_volume))
        rows.contracts.append((*named, *known, rows.recv(ts), rows.position))

    # What the feed says of a channel

    def _control(self, rows: Rows, kind: int, payload: bytes) -> None:
        at = rows.channel
        ts = self._watermark[at]
        if kind == CLOCK:
            now = int.from_bytes(payload[:8], "little", signed=True)
            if now > ts:
                self._watermark[at] = now
                rows.mark(now, MARK)
        elif kind in (UP, DOWN):
            if kind == UP and self._live[at] == 1:
                # A process that was killed did not say that its line went down with it.
                self._link(rows, 0)
            self._link(rows, int(kind == UP))
        elif kind in _ENDS:
            bit, role, state = _ENDS[kind]
            if self._news[at] & bit:
                self._news[at] ^= bit
                rows.mark(ts, role)
                rows.status(ts or rows.recv(ts), state)

    def _link(self, rows: Rows, live: int) -> None:
        """The channel came or went. Told once a change."""
        at, ts = rows.channel, self._watermark[rows.channel]
        if live == self._live[at]:
            return
        self._live[at] = live
        downs, refused = self._troubles[at]
        self._troubles[at] = (downs + 1 - live, refused)
        rows.mark(ts, CHANNEL_UP if live else CHANNEL_DOWN)
        if ts:  # before the first message there is no time to tell it at
            rows.status(ts, "up" if live else "down")

    # Checkpoints

    def watermarks(self) -> list[int]:
        """Newest event time of each channel, ns UTC; 0 where nothing came yet."""
        return list(self._watermark)

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint: channels, then the symbols in order of appearance."""
        state: dict[str, Any] = {
            "names": list(self._symbols),
            "channels": np.array([self._watermark, self._live, self._news], np.int64),
            "troubles": np.array(self._troubles, np.int64),
            "symbols": np.array(
                [
                    (s.id, s.quoted, s.contracted, *s.digits, *s.trades_at, *s.book_at)
                    for s in self._symbols.values()
                ],
                np.int64,
            ).reshape(-1, 10),
        }
        for at, symbol in enumerate(self._symbols.values()):
            state[f"trades{at}"] = symbol.trades.snapshot()
            for key, value in symbol.book.snapshot().items():
                state[f"book{at}_{key}"] = value
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state; whatever was there is forgotten."""
        self._watermark, self._live, self._news = state["channels"].tolist()
        self._troubles = [(downs, refused) for downs, refused in state["troubles"].tolist()]
        self._symbols = {}
        rows = state["symbols"].tolist()
        for at, (name, row) in enumerate(zip(state["names"], rows, strict=True)):
            symbol = self._symbols[name] = _Symbol(row[0])
            symbol.quoted, symbol.contracted = row[1], bool(row[2])
            symbol.digits = (row[3], row[4], row[5])
            symbol.trades_at, symbol.book_at = (row[6], row[7]), (row[8], row[9])
            symbol.trades.restore(state[f"trades{at}"])
            prefix = f"book{at}_"
            book = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
            symbol.book.restore(book)
