"""Decoding ITCH 5.0 with its order books, best bid and offer out: ns a message; part of `decode`.

`itch50_book` is the kernel, called from Python for chunks of 65,536 messages of a mix near that of
a real day (itch_stream.py: 8,000 stocks, 300,000 orders in the book to begin with), with a quotes
row out for each change of a best price or volume, and a tick for each trade. `itch50_push` is a
decoder's whole `push`. `itch50_1` is one call for one message. Peers: `itchfeed`, which makes
objects of raw fields and keeps no book; `itchfeed_book`, a plain book in dictionaries over those
objects, with its quotes: the same work; `itchfeed_values`, which has the package turn them into
values (`decode`), without a book; `c`, the same books by the same means in C (c/book_itch.c),
called through ctypes, whose quotes are compared first.
Times are the thread's processor time.
"""

import ctypes
from time import thread_time_ns
from typing import Any

import numpy as np
from itch.parser import MessageParser

from benchmarks import report
from benchmarks.itch_stream import RESTING, laid_and_mixed
from bursa.model.batch import (
    SPAN_COUNT,
    SPAN_END,
    SPAN_FIRST_SEQ,
    SPAN_POSITION,
    SPAN_ROWS,
    SPAN_SESSION,
    SPAN_TS_RECV,
    Block,
    Chunk,
    Span,
)
from bursa.model.venue import XNAS
from bursa.wire.idx import rows
from bursa.wire.itch50 import state as itch50_state
from bursa.wire.itch50.decoder import ItchDecoder
from bursa.wire.itch50.walk import decode

BATCH = 65_536
MESSAGES, MESSAGES_QUICK = 16 * BATCH, 4 * BATCH
FEED_MESSAGES, VALUE_MESSAGES = 40_000, 300
ALONE = 2_000
_RECV = 1_710_520_000 * 1_000_000_000  # in the session's day


def chunk_of(run: list[bytes], first_seq: int) -> Chunk:
    """A chunk of one record of blocks."""
    frames = np.frombuffer(bytearray(b"".join(run)), np.uint8)
    spans = np.zeros((SPAN_ROWS, 1), np.int64)
    spans[SPAN_END], spans[SPAN_POSITION], spans[SPAN_TS_RECV] = len(frames), len(frames), _RECV
    spans[SPAN_FIRST_SEQ], spans[SPAN_COUNT] = first_seq, len(run)
    session = np.frombuffer(b"20240315".ljust(16, b"\0"), "<i8")
    spans[SPAN_SESSION : SPAN_SESSION + 2, 0] = session
    return Chunk(frames, spans, Span("xnas", 1, 0, len(frames)))


class Ours:
    """The decoder, put back to the laid book before every pass."""

    def __init__(self, laid: list[bytes]) -> None:
        self.words = XNAS.words()
        self.decoder = ItchDecoder(XNAS, self.words)
        self.decoder.warm()
        self.decoder.push(chunk_of(laid, 1))
        self._fresh = self.decoder.snapshot()

    def _reset(self) -> None:
        self.decoder.restore(self._fresh)
        self.decoder.push(chunk_of([], 0))  # takes the tickers in again

    def push(self, chunks: list[Chunk], count: int) -> float:
        """ns a message of whole pushes."""
        self._reset()
        start = thread_time_ns()
        for chunk in chunks:
            self.decoder.push(chunk)
        return (thread_time_ns() - start) / count

    def run(self, chunks: list[Chunk], count: int) -> float:
        """ns a message of the kernel alone."""
        self._reset()
        d: Any = self.decoder
        d._state[rows.HERE, rows.SYMBOLS_COUNT] = d._symbols.known
        fixed, calls = self._fixed(), [(chunk.frames, chunk.spans) for chunk in chunks]
        start = thread_time_ns()
        for nth, (frames, spans) in enumerate(calls):
            done = decode(frames, spans, *fixed)
            while done != itch50_state.DONE:
                d._make_what_is_needed(done, chunks[nth])
                fixed = self._fixed()
                done = decode(frames, spans, *fixed)
        return (thread_time_ns() - start) / count

    def _fixed(self) -> tuple[Block, ...]:
        """The kernel's arguments past the chunk's, as they are now."""
        d: Any = self.decoder
        return (
            d._state, d._symbols.slots, d._tape, d._quotes, d._statuses, d._notes,
            d._orders, d._books, d._levels, d._ring,
        )  # fmt: skip

    def quotes(self, chunk: Chunk) -> Block:
        """The quotes of a chunk on the laid book: ticker, number, and the four figures' bits."""
        self._reset()
        block = self.decoder.push(chunk).batches["quotes"].block
        return np.ascontiguousarray(block[[0, 2, 3, 4, 5, 6]])


class _Book(ctypes.Structure):
    _fields_ = (
        [(name, ctypes.c_void_p) for name in ("orders", "books", "levels", "quotes")]
        + [(name, ctypes.c_int64) for name in ("shift", "slots", "pool", "pool_size")]
        + [(name, ctypes.c_int64) for name in ("quote_count", "capacity", "trades", "unknown")]
    )


class Native:
    """The C peer: arrays of the same sizes."""

    SLOTS = 1 << 20

    def __init__(self, laid: list[bytes]) -> None:
        self._arrays = [
            itch50_state.aligned(self.SLOTS, 4),
            itch50_state.aligned(65_536, 16),
            itch50_state.aligned(1 << 20, 2),
        ]
        self.quotes_out = np.empty((9, BATCH + 64), np.int64)
        self._context = _Book(
            *(array.ctypes.data for array in self._arrays),
            self.quotes_out.ctypes.data,
            65 - self.SLOTS.bit_length(),
            self.SLOTS,
            0,
            1 << 20,
            0,
            BATCH + 64,
        )
        self._call = report.compile_c("book_itch").book_itch
        self._call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
        starts = range(0, len(laid), BATCH)
        for at in starts:
            self._one(chunk_of(laid[at : at + BATCH], 1 + at))
        self._fresh = [array.copy() for array in self._arrays], self._context.pool

    def _one(self, chunk: Chunk) -> None:
        frames, first = chunk.frames, int(chunk.spans[SPAN_FIRST_SEQ, 0])
        at = ctypes.addressof(self._context)
        self._call(at, frames.ctypes.data, len(frames), first)

    def _reset(self) -> None:
        self._arrays = []  # made anew, as the decoder's are when it is restored
        for fresh in self._fresh[0]:
            self._arrays.append(itch50_state.aligned(*fresh.shape))
            self._arrays[-1][:] = fresh
        self._context.orders, self._context.books, self._context.levels = (
            array.ctypes.data for array in self._arrays
        )
        self._context.pool = self._fresh[1]

    def run(self, chunks: list[Chunk], count: int) -> float:
        """ns a message."""
        self._reset()
        calls = [
            (c.frames.ctypes.data, len(c.frames), int(c.spans[SPAN_FIRST_SEQ, 0])) for c in chunks
        ]
        at, call = ctypes.addressof(self._context), self._call
        start = thread_time_ns()
        for data, size, first in calls:
            call(at, data, size, first)
        return (thread_time_ns() - start) / count

    def quotes(self, chunk: Chunk) -> Block:
        """As `Ours.quotes`, with the stock's locate for its ticker."""
        self._reset()
        self._one(chunk)
        found = self.quotes_out[:, : self._context.quote_count]
        return np.ascontiguousarray(found[[0, 2, 3, 4, 5, 6]])


def run_feed(raw: bytes) -> float:
    """ns a message of itchfeed: objects, no book."""
    parser, count = MessageParser(), 0
    start = thread_time_ns()
    for _ in parser.parse_stream(raw):
        count += 1
    return (thread_time_ns() - start) / count


class DictionaryBook:
    """Orders and levels in dictionaries, over itchfeed's objects."""

    def __init__(self) -> None:
        self.orders: dict[int, list[Any]] = {}
        self.levels: dict[tuple[int, bytes], dict[int, int]] = {}
        self.told: dict[tuple[int, bytes], tuple[int, int]] = {}
        self.quotes: list[tuple[int, ...]] = []

    def push(self, m: Any) -> None:
        """Take one message."""
        kind = m.message_type
        if kind in b"AF":
            self._put(m.order_reference_number, m.stock_locate, m.buy_sell_indicator, m)
        elif kind in b"ECXDU":
            order = self.orders.get(m.order_reference_number)
            if order is None:
                return
            locate, side, price, shares = order
            if kind in b"EC":
                shares = m.executed_shares
            elif kind == b"X":
                shares = m.cancelled_shares
            order[3] -= shares
            if order[3] == 0:
                del self.orders[m.order_reference_number]
            level = self.levels[locate, side]
            level[price] -= shares
            if level[price] == 0:
                del level[price]
            if kind == b"U":
                self._put(m.new_order_reference_number, locate, side, m)
            self._tell(locate, side, m.timestamp)

    def _put(self, ref: int, locate: int, side: bytes, m: Any) -> None:
        self.orders[ref] = [locate, side, m.price, m.shares]
        level = self.levels.setdefault((locate, side), {})
        level[m.price] = level.get(m.price, 0) + m.shares
        self._tell(locate, side, m.timestamp)

    def _tell(self, locate: int, side: bytes, ns: int) -> None:
        level = self.levels[locate, side]
        best = (max if side == b"B" else min)(level, default=0)
        now = (best, level.get(best, 0))
        if self.told.get((locate, side)) != now:
            self.told[locate, side] = now
            self.quotes.append((locate, ns, *now))


def run_feed_book(laid: bytes, raw: bytes) -> float:
    """ns a message of itchfeed with a book in dictionaries; laying it first is not counted."""
    parser, book, count = MessageParser(), DictionaryBook(), 0
    for message in parser.parse_stream(laid):
        book.push(message)
    start = thread_time_ns()
    for message in parser.parse_stream(raw):
        book.push(message)
        count += 1
    return (thread_time_ns() - start) / count


def run_feed_values(raw: bytes) -> float:
    """ns a message of itchfeed's `decode`: a dataclass of values."""
    parser, count = MessageParser(), 0
    start = thread_time_ns()
    for message in parser.parse_stream(raw):
        message.decode()
        count += 1
    return (thread_time_ns() - start) / count


def compare(ours: Ours, native: Native, chunk: Chunk, laid: list[bytes]) -> None:
    """The two tell the same quotes, bit for bit, or nothing is measured."""
    mine, theirs = ours.quotes(chunk), native.quotes(chunk)
    assert mine.shape == theirs.shape, "as many quotes"
    assert (mine[1:] == theirs[1:]).all(), "the same quotes"
    locates = {}
    for message in laid:
        ticker = ours.words.find_symbol(message[26:34].decode().rstrip())
        locates[ticker] = int.from_bytes(message[3:5], "big")
    assert [locates[ticker] for ticker in mine[0].tolist()] == theirs[0].tolist()


def measure(quick: bool, rounds: int) -> list[report.Result]:
    """The results."""
    count = MESSAGES_QUICK if quick else MESSAGES
    laid, mixed = laid_and_mixed(count, RESTING)
    starts = range(0, count, BATCH)
    chunks = [chunk_of(mixed[at : at + BATCH], 1 + RESTING + at) for at in starts]
    alone = [chunk_of(mixed[at : at + 1], 1 + RESTING + at) for at in range(ALONE)]
    ours, native = Ours(laid), Native(laid)
    compare(ours, native, chunks[0], laid)
    raw, first = b"".join(mixed[:FEED_MESSAGES]), b"".join(laid)
    few = b"".join(mixed[:VALUE_MESSAGES])
    times = report.interleave(
        {
            "ours": lambda: ours.run(chunks, count),
            "c": lambda: native.run(chunks, count),
            "itchfeed": lambda: run_feed(raw),
            "itchfeed_book": lambda: run_feed_book(first, raw),
            "itchfeed_values": lambda: run_feed_values(few),
            "push": lambda: ours.push(chunks, count),
            "alone": lambda: ours.run(alone, ALONE),
        },
        rounds,
    )
    push, one = times.pop("push"), times.pop("alone")
    return [
        *report.against("itch50_book", times, "ours", "ns a message"),
        report.Result("itch50_push", push, "ns a message"),
        report.Result("itch50_1", one, "ns a message"),
    ]
