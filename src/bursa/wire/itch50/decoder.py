"""The decoder of Nasdaq TotalView-ITCH 5.0: chunks of the journal in; tape, batches, refusals out.

    R                contracts row            E C P Q   trade: tape and ticks
    S                status row               B         trade taken back: tape and ticks
    A F E C X D U    the book; a quotes row wherever best bid or offer changes
    H                kept (`trading_state`)   Y L V W K J h I N O   checked and counted

The work is one call of a kernel a chunk (walk.py), over arrays told in state.py; here they are
made, grown, saved and restored, and the kernel's blocks become batches. `book` answers for the
levels at any moment between two pushes.

**Numbers.** Message i of a record bears the number first_seq + i of the record's session; without
first_seq (a raw stream) the next one due. Gaps, late messages and duplicates:
wire/transport/sequence.py.
**Sessions.** Another session's name begins a session: the books are emptied. Its day, to which the
messages' ns since midnight are added, is its name where that is YYYYMMDD, else the venue's day on
which its first record came. A session whose day was over before the newest message came (an old day
read again into a live one) begins nothing: its messages are dropped and counted as `stale`.

**Memory.** An order takes a slot of 32 bytes in a table that is at most half full and doubles: 2
million live orders, about a full day's peak, 128 MB, and `orders_max` (4,194,304) 268 MB; what a
message leaves behind is nothing but its order, so a day's 300 million take no more. Past
`orders_max` new orders are counted (`orders_over_cap`) and their book is marked as not whole. Books
take 8 MB, levels 16 bytes each (a few MB), the ring of printed trades 25 MB, 48 bytes each, and
from the first break on 17 MB, 32 bytes each, of the indexes that find them. A checkpoint has
24 bytes a live order and 48 a held trade.

What bad input gets, by reason: `unknown_type`, `bad_length`, `bad_stock` (no code of Nasdaq's
form), `bad_locate` (a locate that stands for another stock, or is not its order's), `bad_side`,
`bad_shares` (none, or more than the order has), `bad_price` (none), `bad_order` (a reference that
lives), `bad_number` (a match or volume past 2^63), `bad_printable`, `bad_event`, `bad_seq`,
`bad_ts`, `stale_session`: the message is refused and the next one goes on. `framing_lost`,
`truncated`, `bad_form` and `no_date` (neither the session nor a receive time says which day): the
rest of the record is. Orders that nobody knows are no fault of a message: `unknown_orders`.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np

from bursa.model.batch import (
    BLOCKS,
    FRAMES,
    SPAN_CHANNEL,
    SPAN_END,
    SPAN_FORM,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_ROWS,
    SPAN_SESSION,
    SPAN_SESSION_REST,
    SPAN_TS_RECV,
    TAPE_ROLE,
    TAPE_ROWS,
    TRADE,
    Batch,
    Block,
    Chunk,
    Span,
    Words,
)
from bursa.model.calendar import DAY_NS, MINUTE_NS
from bursa.model.schema import CONTRACTS, QUOTES, STATUS, TICKS
from bursa.model.venue import Venue
from bursa.wire.decoded import PAYLOAD_BYTES_MAX, Book, BookSide, Decoded, Rejected
from bursa.wire.idx import rows
from bursa.wire.itch50 import state as s
from bursa.wire.itch50.book import levels_held, move_levels, move_orders, pack, unpack
from bursa.wire.itch50.layout import fields
from bursa.wire.itch50.sums import hand_out
from bursa.wire.itch50.trades import forget_trades
from bursa.wire.itch50.walk import decode
from bursa.wire.symbols import SymbolTable
from bursa.wire.transport import sequence

ORDERS_MAX = 4_194_304
# Rows that the blocks of one call hold; a little past a power of two (wire/idx/decoder.py).
_CAPACITY = 65_536 + 64
_TICK_ROWS = len(TICKS.scalars)
# Until then P told the side of the resting order; since then it always says B, whatever it was.
P_SIDELESS_SINCE = date(2014, 7, 14)
_YEARS = range(1990, 2100)
# Of row HERE of the state, what a checkpoint keeps.
_KEPT = [s.PRINTED, s.EVICTED_TS, s.P_SIDELESS, s.HANDED, s.HANDED_BEFORE, s.LOCATE_TOP]


class ItchDecoder:
    """The stage between the journal and the bars: `push(chunk) -> Decoded`. Any cut of the same
    records gives the same rows. For a venue with one channel.

    words       the venue's dictionaries; restore them before the next `push` when this is restored
    capacity    rows that the blocks of a kernel call hold; a larger chunk takes more calls
    orders_max  live orders at most, a power of two
    ring        printed trades that a break can still find, a power of two
    """

    def __init__(
        self,
        venue: Venue,
        words: Words,
        capacity: int = _CAPACITY,
        orders_max: int = ORDERS_MAX,
        ring: int = s.RING,
    ) -> None:
        self._venue = venue
        self._words = words
        self._orders_max = orders_max
        self._symbols = SymbolTable(words, 8)
        few = min(capacity, 4_160)
        self._tape: Block = np.empty((TAPE_ROWS, 2 * capacity), np.int64)
        self._quotes: Block = np.empty((len(QUOTES.scalars), capacity), np.int64)
        self._statuses: Block = np.empty((len(STATUS.scalars), 4 * few), np.int64)
        self._notes: Block = np.empty((rows.NOTE_ROWS, 4 * few), np.int64)
        self._ring: Block = np.zeros((s.RING_ROWS, ring), np.int64)
        self._state = s.new_state(venue)
        self._handed: list[Block] = []
        self._begin()

    def _begin(self) -> None:
        """Empty books and a small table of orders."""
        self._books = s.new_books()
        self._levels: Block = s.aligned(s.LEVELS_FIRST, 2)
        self._state[rows.HERE, s.LIVE] = self._state[rows.HERE, s.POOL_NEXT] = 0
        self._set_orders(min(s.ORDERS_FIRST, 2 * self._orders_max))

    def _set_orders(self, slots: int) -> None:
        here = self._state[rows.HERE]
        self._orders: Block = s.aligned(slots, s.ORDER_COLUMNS)
        here[s.SHIFT] = 65 - slots.bit_length()
        here[s.LIVE_MAX] = slots // 2
        here[s.CAPPED] = slots // 2 >= self._orders_max

    def push(self, chunk: Chunk) -> Decoded:
        """Decode the records of a chunk. What is returned is never written again."""
        assert chunk.frames.flags.writeable and chunk.spans.flags.writeable, "one signature"
        assert max(chunk.spans[SPAN_CHANNEL].tolist(), default=0) < len(self._state) - 1
        parts: dict[str, list[Block]] = {TICKS.name: [], QUOTES.name: [], STATUS.name: []}
        rejects, contracts = list[Rejected](), list[tuple[int, ...]]()
        done = s.FULL
        while done != s.DONE:
            self._symbols.catch_up()
            self._state[rows.HERE, rows.SYMBOLS_COUNT] = self._symbols.known
            done = decode(
                chunk.frames, chunk.spans, self._state, self._symbols.slots, self._tape,
                self._quotes, self._statuses, self._notes, self._orders, self._books,
                self._levels, self._ring,
            )  # fmt: skip
            self._collect(parts)
            self._hear(chunk, rejects, contracts)
            self._make_what_is_needed(done, chunk)
        return self._decoded(chunk, parts, rejects, contracts)

    def _make_what_is_needed(self, need: int, chunk: Chunk) -> None:
        if need == s.NEED_SUMS:
            self._hand_out()
        elif need == s.NEED_SESSION:
            self._session(chunk, int(self._state[rows.HERE, rows.RECORD]))
        elif need == s.NEED_ORDERS:
            old = self._orders
            self._set_orders(2 * len(old))
            move_orders(old, self._orders, int(self._state[rows.HERE, s.SHIFT]))
        elif need == s.NEED_LEVELS:
            self._more_levels()
        elif need == s.NEED_TAPE:
            needed = int(self._state[rows.HERE, s.TAPE_NEEDED])
            if needed > self._tape.shape[1]:
                self._tape = np.empty((TAPE_ROWS, needed), np.int64)

    def _hand_out(self) -> None:
        """The sums of the books where the kernel stopped, and when they are due again: at the end
        of the minute that it is in."""
        here = self._state[rows.HERE]
        sums = np.empty((5, int(here[s.LOCATE_TOP]) + 1), np.int64)
        found = hand_out(self._state, self._books, self._levels, sums)
        channel = self._state[int(here[rows.ROW])]
        channel[s.HAND_AT] = (channel[s.HAND_TO] // MINUTE_NS + 1) * MINUTE_NS
        self._handed.append(sums[:, :found].copy())

    def _more_levels(self) -> None:
        """A pool twice as large as what its levels take, and at least as large as it was."""
        old = self._levels
        size = max(len(old), 2 * levels_held(self._books) + s.ROOM_FIRST)
        while size < 4 * levels_held(self._books):
            size *= 2
        self._levels = s.aligned(size, 2)
        move_levels(self._books, old, self._levels, self._state)

    def _session(self, chunk: Chunk, record: int) -> None:
        """Begin the session of a record: its name and its day. One whose day was over before the
        newest message that counts begins nothing: its record is passed by."""
        row = int(chunk.spans[SPAN_CHANNEL, record]) + 1
        channel, calendar = self._state[row], self._venue.calendar
        words = chunk.spans[[SPAN_SESSION, SPAN_SESSION_REST], record]
        named = _date_of(words.astype("<i8").tobytes())
        day, recv = named, int(chunk.spans[SPAN_TS_RECV, record])
        if day is None and recv > 0:
            day = calendar.day_of(recv)
        midnight, day_end = s.NO_DATE, 0
        if day is not None:
            midnight = calendar.midnight_ns(day)
            noon_after = midnight + DAY_NS + DAY_NS // 2  # on the next day, whatever the clock does
            day_end = calendar.midnight_ns(calendar.day_of(noon_after))
            # The same times that wire/transport/sequence.py calls stale.
            ended = channel[sequence.NEXT] == 0
            if day_end <= channel[sequence.FLOOR if ended else sequence.WATERMARK]:
                self._state[rows.HERE, s.PAST] = 1
                if named is not None:
                    channel[s.PAST_WORD], channel[s.PAST_REST] = words
                return
            self._state[rows.HERE, s.P_SIDELESS] = day >= P_SIDELESS_SINCE
        if channel[sequence.NEXT] != 0:
            sequence.end_session(self._state, row)
        channel[s.WORD], channel[s.WORD_REST] = words
        channel[s.NAMED] = named is not None
        channel[s.DAY], channel[s.DAY_END] = midnight, day_end

    def _collect(self, parts: dict[str, list[Block]]) -> None:
        here = self._state[rows.HERE]
        for name, block, count in (
            (TICKS.name, self._tape, int(here[rows.TAPE_COUNT])),
            (QUOTES.name, self._quotes, int(here[s.QUOTE_COUNT])),
            (STATUS.name, self._statuses, int(here[rows.STATUS_COUNT])),
        ):
            if count:
                parts[name].append(block[:, :count].copy())

    def _hear(
        self, chunk: Chunk, rejects: list[Rejected], contracts: list[tuple[int, ...]]
    ) -> None:
        """The kernel's notes, in stream order."""
        count = int(self._state[rows.HERE, rows.NOTE_COUNT])
        for what, record, at, size, symbol, _, ts, _ in self._notes[:, :count].T.tolist():
            if what == rows.NEW_SYMBOL:
                self._symbols.learn(chunk.frames[at : at + size].tobytes(), symbol)
            elif what == rows.NEW_CONTRACT:
                contracts.append(self._contract(chunk, record, at, symbol, ts))
            else:
                payload = chunk.frames[at : at + min(size, PAYLOAD_BYTES_MAX)].tobytes()
                position = int(chunk.spans[SPAN_POSITION, record])
                channel = int(chunk.spans[SPAN_CHANNEL, record])
                rejects.append(Rejected(s.REASONS[what], position, channel, payload))

    def _contract(
        self, chunk: Chunk, record: int, at: int, symbol: int, ts: int
    ) -> tuple[int, ...]:
        """One row of the contracts kind."""
        recv = int(chunk.spans[SPAN_TS_RECV, record])
        found = fields(chunk.frames[at : at + 39].tobytes())
        row = {
            "ticker": symbol,
            "board": 0,
            "ts": ts,
            "name": -1,
            "isin": -1,
            "lot": int(found["round_lot"]),
            "currency": self._words.text_id(self._venue.currency),
            "prev_close": int(np.float64(np.nan).view(np.int64)),
            "price_decimals": self._venue.price_decimals,
            "volume_decimals": self._venue.volume_decimals,
            "ts_recv": ts if recv < 0 else recv,
            "position": int(chunk.spans[SPAN_POSITION, record]),
        }
        return tuple(row[column.name] for column in CONTRACTS.scalars)

    def _decoded(
        self,
        chunk: Chunk,
        parts: dict[str, list[Block]],
        rejects: list[Rejected],
        contracts: list[tuple[int, ...]],
    ) -> Decoded:
        tape = _join(parts[TICKS.name], TAPE_ROWS)
        counts = self._counts(rejects)
        others, breaks = counts.pop("roles", 0), counts.pop("break_ticks", 0)
        ticks = tape[:_TICK_ROWS]
        if others:
            role = tape[TAPE_ROLE]
            ticks = np.compress((role == TRADE) | (role == s.BREAK_TICK), ticks, axis=1)
        if breaks:
            tape = np.compress(tape[TAPE_ROLE] != s.BREAK_TICK, tape, axis=1)
        blocks = {
            TICKS: ticks,
            QUOTES: _join(parts[QUOTES.name], len(QUOTES.scalars)),
            CONTRACTS: np.array(contracts, np.int64).reshape(-1, len(CONTRACTS.scalars)).T.copy(),
            STATUS: _join(parts[STATUS.name], len(STATUS.scalars)),
        }
        batches = {
            kind.name: Batch(kind, block, self._words, chunk.span)
            for kind, block in blocks.items()
            if block.shape[1]
        }
        sums, self._handed = _join(self._handed, 5), []
        return Decoded(tape, batches, rejects, counts, chunk.span.last, sums)

    def _counts(self, rejects: list[Rejected]) -> dict[str, int]:
        """What was counted since the last time, by word, only what is above zero."""
        here = self._state[rows.HERE]
        common = here[rows.MESSAGES : rows.MESSAGES + len(rows.HERE_COUNTED)]
        own = here[s.UNKNOWN_ORDERS : s.COUNTS_END]
        counts = dict(zip(rows.HERE_COUNTED, common.tolist(), strict=True))
        counts |= dict(zip(s.COUNTED, own.tolist(), strict=True))
        common[:] = own[:] = 0
        counted = self._state[1:, sequence.DUPLICATES : sequence.FORGOTTEN + 1]
        counts |= dict(zip(sequence.COUNTED, counted.sum(axis=0).tolist(), strict=True))
        counted[:] = 0
        for reject in rejects:
            word = f"rejected_{reject.reason}"
            counts[word] = counts.get(word, 0) + 1
        return {word: count for word, count in counts.items() if count}

    def book(self, symbol: int, depth: int = 10) -> Book | None:
        """The best `depth` levels of both sides of a symbol's book; None where it has none. Not
        while `push` runs."""
        locate = self._locate(symbol)
        if locate < 0:
            return None
        flags = int(self._books[locate, s.FLAGS])
        whole = flags & s.SHORTENED == 0 and not self._state[1:, s.UNSURE].any()
        return Book(self._side(locate, 0, depth), self._side(locate, 1, depth), whole)

    def _side(self, locate: int, side: int, depth: int) -> BookSide:
        offset, count, _ = self._books[locate, s.BIDS + s.SIDE_COLUMNS * side :][:3].tolist()
        best_first = self._levels[offset + max(count - depth, 0) : offset + count][::-1]
        keys = best_first[:, s.L_KEY] >> 32
        prices = keys + 2**31 if side == 0 else 2**31 - 1 - keys
        orders = best_first[:, s.L_KEY] & 0xFFFFFFFF
        return BookSide(prices / 10_000.0, best_first[:, s.L_SHARES].copy(), orders)

    def stands(self) -> tuple[int, int]:
        """Newest event time, ns UTC (-1: none), and number of the newest message. Not while `push`
        runs."""
        channel = self._state[1]
        return int(channel[sequence.WATERMARK]), max(int(channel[sequence.NEXT]) - 1, 0)

    def trading_state(self, symbol: int) -> str:
        """What message H said last of a symbol: H halted, P paused, Q quotation only, T trading;
        empty where it said nothing. Not while `push` runs."""
        locate = self._locate(symbol)
        code = int(self._books[locate, s.TRADING]) if locate >= 0 else 0
        return chr(code) if code else ""

    def _locate(self, symbol: int) -> int:
        found = np.flatnonzero(self._books[:, s.SYMBOL] == symbol + 1)
        return int(found[-1]) if len(found) else -1

    def live_orders(self) -> int:
        """Orders that rest in any book."""
        return int(self._state[rows.HERE, s.LIVE])

    def watermarks(self) -> list[int]:
        """Newest event time of each channel, ns UTC; -1 where nothing came yet."""
        marks: list[int] = self._state[1:, sequence.WATERMARK].tolist()
        return marks

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint: channels, books without levels, live orders, held trades."""
        here = self._state[rows.HERE]
        orders = np.empty((int(here[s.LIVE]), 3), np.int64)
        pack(self._orders, orders)
        bound = np.flatnonzero(self._books[:, s.SYMBOL])
        held = min(int(here[s.PRINTED]), self._ring.shape[1])
        newest = np.arange(int(here[s.PRINTED]) - held, int(here[s.PRINTED]))
        return {
            "channels": self._state[1:].copy(),
            "here": here[_KEPT].copy(),
            "orders": orders,
            "locates": bound,
            "books": self._books[bound],
            "trades": self._ring[: s.TRADE_ROWS, newest % self._ring.shape[1]],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state; `Words` must have been restored to the same checkpoint."""
        channels, orders = state["channels"], state["orders"]
        assert channels.shape == self._state[1:].shape, "a checkpoint of the same venue"
        self._state[1:] = channels
        here = self._state[rows.HERE]
        forget_trades(self._state, self._ring)
        here[_KEPT] = state["here"]
        self._symbols.forget()
        self._begin()
        self._books[state["locates"]] = state["books"]
        self._books[:, s.BIDS : s.TOLD] = 0
        slots = len(self._orders)
        while slots // 2 < len(orders):
            slots *= 2
        self._set_orders(slots)
        done = 0
        while done < len(orders):
            done = unpack(orders, done, self._orders, self._books, self._levels, self._state)
            if done < len(orders):
                self._more_levels()
        trades, printed = state["trades"], int(here[s.PRINTED])
        newest = np.arange(printed - trades.shape[1], printed)
        self._ring[: s.TRADE_ROWS, newest % self._ring.shape[1]] = trades

    def warm(self) -> None:
        """Compile what `push` calls, without touching this decoder's state."""
        spans = np.zeros((SPAN_ROWS, 1), np.int64)
        spans[SPAN_KIND], spans[SPAN_FORM], spans[SPAN_END] = FRAMES, BLOCKS, 3
        spans[SPAN_TS_RECV] = 1
        chunk = Chunk(np.zeros(3, np.uint8), spans, Span(self._venue.name, 0, 0, 3))
        other = ItchDecoder(self._venue, self._venue.words(), capacity=8, ring=8)
        other.push(chunk)
        move_orders(other._orders, s.aligned(len(other._orders), s.ORDER_COLUMNS), 48)
        other._more_levels()
        other.restore(other.snapshot())


def _join(parts: list[Block], height: int) -> Block:
    if not parts:
        return np.empty((height, 0), np.int64)
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _date_of(name: bytes) -> date | None:
    """The day that a session's name is: YYYYMMDD, in the years whose ns fit int64 by far. Another
    name of eight digits is a name."""
    text = name.rstrip(b"\0 ").lstrip(b" ")
    if len(text) != 8 or not text.isdigit():
        return None
    try:
        day = date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None
    return day if day.year in _YEARS else None
