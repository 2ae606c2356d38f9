"""Writes idx-1 messages, by hand and with no table of the decoder's.

Each function gives the bytes of one message; `blocks` and `soup` frame them, `chunk` makes journal
records of payloads as the journal would.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bursa.model.batch import BLOCKS, FRAMES, SOUPBIN, SPAN_ROWS, Chunk, Span, Words
from bursa.model.venue import IDX

TS = 1_775_527_200_000_000_000
# Received later than any message of a test: none of them is from the future.
RECV = TS + 400 * 86_400 * 1_000_000_000
SECOND = 1_000_000_000

Level = tuple[int, int, int]


def words() -> Words:
    """Fresh dictionaries of the venue."""
    return Words(IDX.boards, [channel.name for channel in IDX.channels])


def text(value: str | bytes, width: int) -> bytes:
    """Left-justified, padded with blanks."""
    raw = value.encode() if isinstance(value, str) else value
    return raw.ljust(width)[:width]


def head(kind: str, seq: int, ts: int) -> bytes:
    return kind.encode() + struct.pack(">QQ", seq, ts)


def trade(
    seq: int,
    ts: int,
    ticker: str | bytes = "BBCA",
    board: str = "RG",
    trade_no: int = 1,
    price: int = 89_000_000,
    volume: int = 100,
    aggressor: str = "B",
) -> bytes:
    body = text(ticker, 12) + text(board, 2) + struct.pack(">QqQ", trade_no, price, volume)
    return head("1", seq, ts) + body + aggressor.encode()


def snapshot(
    seq: int,
    ts: int,
    ticker: str = "BBCA",
    board: str = "RG",
    prices: Sequence[int] = (1, 2, 3, 4, 5, 6, 7),
    counts: Sequence[int] = (8, 9, 10, 11),
    trades: int = 12,
) -> bytes:
    """`prices`: prev open high low last bid ask; `counts`: volume value bid_volume ask_volume."""
    day = struct.pack(">5q2QI", *prices[:5], *counts[:2], trades)
    quote = struct.pack(">qQqQ", prices[5], counts[2], prices[6], counts[3])
    return head("2", seq, ts) + text(ticker, 12) + text(board, 2) + day + quote


def book(
    seq: int,
    ts: int,
    side: str = "bid",
    levels: Sequence[Level] = (),
    ticker: str = "BBCA",
    board: str = "RG",
    n: int | None = None,
) -> bytes:
    kind = {"bid": "3", "ask": "4"}[side]
    count = bytes([len(levels) if n is None else n])
    rows = b"".join(struct.pack(">qQI", *level) for level in levels)
    return head(kind, seq, ts) + text(ticker, 12) + text(board, 2) + count + rows


def index(
    seq: int,
    ts: int,
    code: str = "COMPOSITE",
    value: int = 71_234_500,
    prev: int = 71_000_000,
    traded: int = 10**13,
) -> bytes:
    return head("5", seq, ts) + text(code, 12) + struct.pack(">qqQ", value, prev, traded)


def contract(
    seq: int,
    ts: int,
    ticker: str = "BBCA",
    board: str = "RG",
    name: str | bytes = "PT Bank Central Asia Tbk",
    isin: str = "ID1000109507",
    lot: int = 100,
    currency: str = "IDR",
    close: int = 89_000_000,
) -> bytes:
    texts = text(name, 60) + text(isin, 12) + struct.pack(">I", lot) + text(currency, 3)
    return head("6", seq, ts) + text(ticker, 12) + text(board, 2) + texts + struct.pack(">q", close)


def status(seq: int, ts: int, state: str = "H", next_seq: int | None = None) -> bytes:
    following = seq + 1 if next_seq is None else next_seq
    return head("9", seq, ts) + state.encode() + struct.pack(">Q", following)


def blocks(messages: Iterable[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(message)) + message for message in messages)


def soup(messages: Iterable[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(message) + 1) + b"S" + message for message in messages)


@dataclass(frozen=True)
class Record:
    """One record of the journal, before it has its position."""

    payload: bytes = b""
    channel: int = 0
    form: int = SOUPBIN
    kind: int = FRAMES
    ts_recv: int = RECV


def frames(messages: Iterable[bytes], channel: int = 0, ts_recv: int = RECV) -> Record:
    """A record of sequenced packets."""
    return Record(soup(messages), channel, SOUPBIN, FRAMES, ts_recv)


def blocks_of(messages: Iterable[bytes], channel: int = 0, ts_recv: int = RECV) -> Record:
    """A record of blocks, as a file has them."""
    return Record(blocks(messages), channel, BLOCKS, FRAMES, ts_recv)


def positions(records: Sequence[Record], start: int = 0) -> list[int]:
    """Where each record ends: 64 bytes of header and its payload."""
    found = []
    for record in records:
        start += 64 + len(record.payload)
        found.append(start)
    return found


def chunk(records: Sequence[Record], ends: Sequence[int], first: int = 0) -> Chunk:
    """Records with their positions in one buffer, their headers between them."""
    spans = np.zeros((SPAN_ROWS, len(records)), np.int64)
    buffer = bytearray()
    for at, (record, end) in enumerate(zip(records, ends, strict=True)):
        buffer += b"\xee" * 64
        start = len(buffer)
        buffer += record.payload
        row = (record.kind, record.form, record.channel, start, len(buffer), record.ts_recv, end)
        spans[: len(row), at] = row
    last = ends[-1] if ends else first
    return Chunk(np.frombuffer(buffer, np.uint8), spans, Span("idx", 1, first, last))


def one_chunk(*records: Record) -> Chunk:
    return chunk(records, positions(records))
