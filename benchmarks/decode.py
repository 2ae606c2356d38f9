"""Decoding idx-1: ns a message, against a C decoder, memcpy and a `struct` loop.

Messages are four fifths 10-level books, the rest trades with a few snapshots, indices and
heartbeats, of 700 tickers on one channel, as SoupBinTCP packets; a batch is a chunk of one record.
`idx1_N` is one call of the kernel from Python for a batch of N, into its blocks. The C peer is
called the same way through ctypes and does the same work into the same kind of blocks, which are
compared first, as is the `struct` peer: the same work in plain Python, written for speed
(decode_python.py). memcpy copies a batch's bytes. `idx1_stream_10m` is a stream of ten million
messages from a generator (load/recording.py) through `push`; `idx1_stream_growth` is by how much
the process grew after its first million.
`idx1_push_N` is a decoder's whole `push`, from the chunk to batches with arrays of their own.
Times are the thread's processor time: what else runs on the machine is not counted.
"""

import ctypes
import random
import resource
import struct
from time import thread_time_ns
from typing import Any

import numpy as np

from benchmarks import decode_itch, report
from benchmarks.decode_python import Python
from benchmarks.load.recording import Recording
from bursa.model.batch import (
    BLOCKS,
    SOUPBIN,
    SPAN_COUNT,
    SPAN_END,
    SPAN_FIRST_SEQ,
    SPAN_FORM,
    SPAN_POSITION,
    SPAN_ROWS,
    SPAN_TS_RECV,
    TAPE_ROLE,
    TRADE,
    Block,
    Chunk,
    Span,
    Words,
)
from bursa.model.venue import IDX
from bursa.wire.idx import rows as idx_rows
from bursa.wire.idx.decoder import Blocks, IdxDecoder, channel_state
from bursa.wire.idx.layout import IDX1
from bursa.wire.idx.walk import decode
from bursa.wire.symbols import SymbolTable

MESSAGES = 65_536
BATCHES = (1, 16, 64, 256, 1024, 65_536)
TICKERS = [f"{a}{b}{c}{d}" for a in "ABGT" for b in "BLMR" for c in "BCIK" for d in "ABIJKMNRSTU"]
KNOWN = (*TICKERS, "COMPOSITE")
SEQ_OF_FIRST, TS_OF_FIRST = 1, 1_775_527_200_000_000_000
# The struct loop is slow: so many messages tell what one costs.
STRUCT_MESSAGES = 8_192

_HEAD = struct.Struct(">cQQ12s2s")
_TRADE = struct.Struct(">QqQc")
_SNAPSHOT = struct.Struct(">qqqqqQQIqQqQ")
_LEVEL = struct.Struct(">qQI")
_INDEX = struct.Struct(">cQQ12sqqQ")
_STATUS = struct.Struct(">cQQcQ")


def packets(count: int) -> list[bytes]:
    """`count` SoupBinTCP packets, the same every time."""
    dice = random.Random(20261120)
    found = []
    for i in range(count):
        found.append(_packet(dice, SEQ_OF_FIRST + i, TS_OF_FIRST + i * 83_333))
    return found


def _packet(dice: random.Random, seq: int, ts: int) -> bytes:
    ticker = dice.choice(TICKERS[:700]).encode().ljust(12)
    board = b"RG" if dice.random() < 0.97 else b"NG"
    price, kind = dice.randrange(50, 9000) * 10_000, dice.random()
    if kind < 0.8:
        step = -250_000 if kind < 0.4 else 250_000
        levels = b"".join(
            _LEVEL.pack(price + 2_500_000 + step * i, dice.randrange(1, 9_000_000), i + 1)
            for i in range(10)
        )
        side = b"3" if kind < 0.4 else b"4"
        message = _HEAD.pack(side, seq, ts, ticker, board) + b"\x0a" + levels
    elif kind < 0.98:
        body = _TRADE.pack(seq, price, dice.randrange(100, 100_000, 100), b"B")
        message = _HEAD.pack(b"1", seq, ts, ticker, board) + body
    elif kind < 0.998:
        day = (price, price, price + 50_000, price, price, 10**9, 10**12, 5_000)
        quote = (price, 40_000, price + 50_000, 70_000)
        message = _HEAD.pack(b"2", seq, ts, ticker, board) + _SNAPSHOT.pack(*day, *quote)
    elif kind < 0.999:
        code = b"COMPOSITE".ljust(12)
        message = _INDEX.pack(b"5", seq, ts, code, 71_234_500, 71_000_000, 10**13)
    else:
        message = _STATUS.pack(b"9", seq, ts, b"H", seq + 1)
    return struct.pack(">Hc", len(message) + 1, b"S") + message


def chunk_of(run: list[bytes], first_seq: int) -> Chunk:
    """A chunk of one record."""
    frames = np.frombuffer(bytearray(b"".join(run)), np.uint8)
    spans = np.zeros((SPAN_ROWS, 1), np.int64)
    spans[SPAN_FORM], spans[SPAN_END] = SOUPBIN, len(frames)
    spans[SPAN_FIRST_SEQ], spans[SPAN_COUNT] = first_seq, len(run)
    spans[SPAN_POSITION], spans[SPAN_TS_RECV] = len(frames), TS_OF_FIRST
    return Chunk(frames, spans, Span("idx", 1, 0, len(frames)))


class Ours:
    """The kernel, its state put back before every pass."""

    def __init__(self) -> None:
        words = Words(IDX.boards, [channel.name for channel in IDX.channels])
        for ticker in KNOWN:
            words.symbol_id(ticker)
        symbols = SymbolTable(words, 12)
        symbols.catch_up()
        self.blocks = Blocks.of(MESSAGES + 64, 10)
        self.state = channel_state(IDX)
        self.state[0, idx_rows.SYMBOLS_COUNT] = symbols.known
        self._begin = self.state.copy()
        self.slots, self.known = symbols.slots, symbols.known
        table = IDX1.compiled(IDX.boards)
        self._fixed = (table, self.state, self.slots, *self.blocks.arguments())

    def run(self, chunks: list[Chunk]) -> float:
        """ns a message."""
        self.state[:] = self._begin
        calls, fixed = [(chunk.frames, chunk.spans) for chunk in chunks], self._fixed
        start = thread_time_ns()
        for frames, spans in calls:
            decode(frames, spans, *fixed)
        return (thread_time_ns() - start) / MESSAGES


class _Idx(ctypes.Structure):
    _fields_ = (
        [(name, ctypes.c_void_p) for name in ("tape", "snapshot", "book", "levels", "index")]
        + [("notes", ctypes.c_void_p)]
        + [(f"{name}_cap", ctypes.c_int64) for name in ("tape", "snapshot", "book", "level")]
        + [(f"{name}_cap", ctypes.c_int64) for name in ("index", "note")]
        + [("symbols", ctypes.c_void_p)]
        + [(name, ctypes.c_int64) for name in ("slots", "known")]
        + [(name, ctypes.c_int64) for name in ("next", "watermark", "mark_at", "session")]
        + [(name, ctypes.c_int64) for name in ("tapes", "snapshots", "books", "level_count")]
        + [(name, ctypes.c_int64) for name in ("indexes", "note_count", "messages")]
        + [(name, ctypes.c_int64) for name in ("duplicates", "gaps", "missing", "refused")]
        + [(name, ctypes.c_int64) for name in ("heartbeats", "channel")]
    )


class Native:
    """The C peer: its own blocks, the same capacities."""

    def __init__(self, slots: Block, known: int) -> None:
        self.blocks = Blocks.of(MESSAGES + 64, 10)
        self._slots = slots.copy()
        b = self.blocks
        arrays = (b.tape, b.snapshots, b.books, b.levels, b.indexes, b.notes)
        self.context = _Idx(
            *(array.ctypes.data for array in arrays),
            *(array.shape[1] for array in arrays),
            self._slots.ctypes.data,
            len(self._slots),
            known,
        )
        self._call = report.compile_c("decode_idx").decode_idx
        self._call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        self._call.restype = ctypes.c_int64

    def run(self, chunks: list[Chunk]) -> float:
        """ns a message."""
        context, call = self.context, self._call
        context.next, context.watermark, context.mark_at = SEQ_OF_FIRST, -1, 0
        at = ctypes.addressof(context)
        calls = [(c.frames.ctypes.data, c.spans.ctypes.data) for c in chunks]
        start = thread_time_ns()
        for frames, spans in calls:
            call(at, frames, spans, 1)
        return (thread_time_ns() - start) / MESSAGES


def compare(ours: Ours, native: Native, chunks: list[Chunk]) -> None:
    """The two have the same rows, bit for bit, or nothing is measured."""
    ours.run(chunks)
    native.run(chunks)
    counts = ours.state[idx_rows.HERE, idx_rows.TAPE_COUNT : idx_rows.STATUS_COUNT].tolist()
    context = native.context
    theirs = [context.tapes, context.snapshots, context.books, context.level_count]
    assert counts == [*theirs, context.indexes], "as many rows"
    for name, count in zip(
        ("tape", "snapshots", "books", "levels", "indexes"), counts, strict=True
    ):
        mine, other = getattr(ours.blocks, name), getattr(native.blocks, name)
        if name == "tape":
            trades = np.flatnonzero(mine[TAPE_ROLE, :count] == TRADE)
            mine, other = mine[:, trades], other[:, trades]
            count = len(trades)
        assert (mine[:, :count] == other[:, :count]).all(), f"the same {name}"


class Copy:
    """memcpy: the bytes of a batch to another place."""

    def __init__(self, chunks: list[Chunk]) -> None:
        size = max(len(chunk.frames) for chunk in chunks)
        self._to = np.empty(size, np.uint8)

    def run(self, chunks: list[Chunk]) -> float:
        """ns a message."""
        calls = [(self._to[: len(chunk.frames)], chunk.frames) for chunk in chunks]
        copy = np.copyto
        start = thread_time_ns()
        for to, frames in calls:
            copy(to, frames)
        return (thread_time_ns() - start) / MESSAGES


def run_python(peer: Python, batches: list[bytes]) -> float:
    """ns a message of the decoder in plain Python."""
    peer.begin()
    count = 0
    start = thread_time_ns()
    for raw in batches:
        count += peer.decode(raw, TS_OF_FIRST, len(raw))
    return (thread_time_ns() - start) / count


def compare_python(ours: Ours, peer: Python, raw: bytes, chunk: Chunk) -> None:
    """It too has the same rows."""
    ours.run([chunk])
    peer.begin()
    peer.decode(raw, TS_OF_FIRST, len(raw))
    counts = ours.state[idx_rows.HERE, idx_rows.TAPE_COUNT : idx_rows.INDEX_COUNT + 1].tolist()
    tape = ours.blocks.tape[:, : counts[0]]
    tape = tape[:, tape[TAPE_ROLE] == TRADE]
    trades, books = peer.columns["trades"], peer.columns["books"]
    levels = (ours.blocks.levels, peer.levels, counts[3])
    for block, columns, count in (
        (tape, trades, None),
        (ours.blocks.books, books, counts[2]),
        levels,
    ):
        for at, column in enumerate(columns):
            same = np.frombuffer(column, np.int64).tolist() == block[at, :count].tolist()
            assert same, f"the same column {at}"
    assert not peer.refused and not peer.gaps


def run_push(decoder: IdxDecoder, fresh: dict[str, Any], chunks: list[Chunk]) -> float:
    """ns a message of a whole push."""
    decoder.restore(fresh)
    decoder.push(chunk_of([], 0))  # takes the tickers in again
    start = thread_time_ns()
    for chunk in chunks:
        decoder.push(chunk)
    return (thread_time_ns() - start) / MESSAGES


def run_stream(messages: int) -> list[report.Result]:
    """A recording of any length, in bounded memory; what writes it is not timed."""
    words = Words(IDX.boards, [channel.name for channel in IDX.channels])
    decoder = IdxDecoder(IDX, words)
    decoder.warm()
    spent = taken = rows = peak = position = 0
    for blocks in Recording(seed=11).blocks(messages):
        frames = np.frombuffer(blocks, np.uint8)
        spans = np.zeros((SPAN_ROWS, 1), np.int64)
        spans[SPAN_FORM], spans[SPAN_END] = BLOCKS, len(frames)
        position += len(frames)
        spans[SPAN_POSITION], spans[SPAN_TS_RECV] = position, -1
        chunk = Chunk(frames, spans, Span("idx", 1, position - len(frames), position))
        start = thread_time_ns()
        decoded = decoder.push(chunk)
        spent += thread_time_ns() - start
        assert not decoded.rejects and "gaps" not in decoded.counts
        taken += decoded.counts["messages"]
        rows += sum(map(len, decoded.batches.values()))
        if taken <= messages // 10:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert taken == messages and rows >= messages * 0.99, "every message became its row"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    name = f"idx1_stream_{messages // 1_000_000}m"
    return [
        report.Result(name, spent / taken, "ns a message"),
        report.Result("idx1_stream_growth", grown, "MB"),
    ]


class Decoders:
    """All that is measured, over one stream."""

    def __init__(self) -> None:
        self.run = packets(MESSAGES)
        self.ours = Ours()
        self.native = Native(self.ours.slots, self.ours.known)
        words = Words(IDX.boards, [channel.name for channel in IDX.channels])
        self.decoder = IdxDecoder(IDX, words)
        self.decoder.warm()
        self.fresh = self.decoder.snapshot()
        few = self.run[:STRUCT_MESSAGES]
        compare_python(self.ours, Python(KNOWN), b"".join(few), chunk_of(few, SEQ_OF_FIRST))

    def measure(self, size: int, rounds: int) -> list[report.Result]:
        """The results for batches of `size`."""
        starts = range(0, MESSAGES, size)
        chunks = [chunk_of(self.run[at : at + size], SEQ_OF_FIRST + at) for at in starts]
        slow = [b"".join(self.run[at : at + size]) for at in range(0, STRUCT_MESSAGES, size)]
        compare(self.ours, self.native, chunks[:1])
        copy, python = Copy(chunks), Python(KNOWN)
        times = report.interleave(
            {
                "ours": lambda: self.ours.run(chunks),
                "c": lambda: self.native.run(chunks),
                "memcpy": lambda: copy.run(chunks),
                "struct": lambda: run_python(python, slow),
                "push": lambda: run_push(self.decoder, self.fresh, chunks),
            },
            rounds,
        )
        push = times.pop("push")
        return [
            *report.against(f"idx1_{size}", times, "ours", "ns a message"),
            report.Result(f"idx1_push_{size}", push, "ns a message"),
        ]


def main() -> None:
    options = report.arguments(__doc__)
    decoders, rounds = Decoders(), 3 if options.quick else 15
    results = [result for size in BATCHES for result in decoders.measure(size, rounds)]
    results += run_stream(1_000_000 if options.quick else 10_000_000)
    results += decode_itch.measure(options.quick, 3 if options.quick else 9)
    report.emit("decode", results, options)


if __name__ == "__main__":
    main()
