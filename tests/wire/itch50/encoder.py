"""Writes ITCH 5.0 messages by hand, field after field; no table of the decoder's is asked.

Also a market that makes random order flow (`Flow`), and records as the journal has them.
"""

import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bursa.model.batch import (
    BLOCKS,
    FRAMES,
    SOUPBIN,
    SPAN_COUNT,
    SPAN_FIRST_SEQ,
    SPAN_ROWS,
    SPAN_SESSION,
    Chunk,
    Span,
)

DAY = "20240315"
MIDNIGHT = 1_710_475_200 * 1_000_000_000  # of that day in New York, four hours behind UTC
SECOND = 1_000_000_000
NS = 34_200 * SECOND  # 9:30
RECV = MIDNIGHT + 36_000 * SECOND


def _head(code: bytes, locate: int, ns: int) -> bytes:
    return code + struct.pack(">HHHI", locate, 9, ns >> 32, ns & 0xFFFFFFFF)


def _stock(stock: str) -> bytes:
    return stock.encode("latin-1").ljust(8)


def event(code: str, ns: int = NS) -> bytes:
    return _head(b"S", 0, ns) + code.encode()


def directory(locate: int, stock: str, ns: int = NS, lot: int = 100) -> bytes:
    tail = struct.pack(">8sccIcc2scccccIc", _stock(stock), b"Q", b"N", lot, b"N", b"C", b"Z ",
                       b"P", b"N", b"N", b"1", b"N", 0, b"N")  # fmt: skip
    return _head(b"R", locate, ns) + tail


def trading(locate: int, stock: str, state: str, ns: int = NS) -> bytes:
    return _head(b"H", locate, ns) + struct.pack(
        ">8scc4s", _stock(stock), state.encode(), b" ", b"T1"
    )


def add(
    locate: int,
    ref: int,
    side: str = "B",
    shares: int = 100,
    stock: str = "AAPL",
    price: int = 1_000_000,
    ns: int = NS,
    mpid: str = "",
) -> bytes:
    body = struct.pack(">QcI8sI", ref, side.encode(), shares, _stock(stock), price)
    if mpid:
        return _head(b"F", locate, ns) + body + mpid.encode().ljust(4)
    return _head(b"A", locate, ns) + body


def executed(locate: int, ref: int, shares: int, match: int, ns: int = NS) -> bytes:
    return _head(b"E", locate, ns) + struct.pack(">QIQ", ref, shares, match)


def priced(
    locate: int, ref: int, shares: int, match: int, price: int, printable: str = "Y", ns: int = NS
) -> bytes:
    tail = struct.pack(">QIQcI", ref, shares, match, printable.encode(), price)
    return _head(b"C", locate, ns) + tail


def cancelled(locate: int, ref: int, shares: int, ns: int = NS) -> bytes:
    return _head(b"X", locate, ns) + struct.pack(">QI", ref, shares)


def deleted(locate: int, ref: int, ns: int = NS) -> bytes:
    return _head(b"D", locate, ns) + struct.pack(">Q", ref)


def replaced(locate: int, ref: int, new: int, shares: int, price: int, ns: int = NS) -> bytes:
    return _head(b"U", locate, ns) + struct.pack(">QQII", ref, new, shares, price)


def hidden(
    locate: int, stock: str, side: str, shares: int, price: int, match: int, ns: int = NS
) -> bytes:
    tail = struct.pack(">QcI8sIQ", 0, side.encode(), shares, _stock(stock), price, match)
    return _head(b"P", locate, ns) + tail


def cross(
    locate: int, stock: str, shares: int, price: int, match: int, kind: str = "O", ns: int = NS
) -> bytes:
    tail = struct.pack(">Q8sIQc", shares, _stock(stock), price, match, kind.encode())
    return _head(b"Q", locate, ns) + tail


def broken(match: int, locate: int = 1, ns: int = NS) -> bytes:
    return _head(b"B", locate, ns) + struct.pack(">Q", match)


def others(locate: int, stock: str, ns: int = NS) -> list[bytes]:
    """One each of Y L V W K J h I N O."""
    name = _stock(stock)
    return [
        _head(b"Y", locate, ns) + name + b"1",
        _head(b"L", locate, ns) + b"NSDQ" + name + b"YNA",
        _head(b"V", 0, ns) + struct.pack(">QQQ", 10**11, 2 * 10**11, 3 * 10**11),
        _head(b"W", 0, ns) + b"2",
        _head(b"K", locate, ns) + name + struct.pack(">IcI", 36_000, b"A", 170_000),
        _head(b"J", locate, ns) + name + struct.pack(">IIII", 5, 6, 4, 1),
        _head(b"h", locate, ns) + name + b"QH",
        _head(b"I", locate, ns)
        + struct.pack(">QQc8sIII", 2**40, 2**41, b"B", name, 10, 11, 12)
        + b"O1",
        _head(b"N", locate, ns) + name + b"A",
        _head(b"O", locate, ns) + name + b"Y" + struct.pack(">IIIQII", 1, 2, 3, 2**45, 5, 6),
    ]


def every_type(locate: int = 1, stock: str = "AAPL", ref: int = 1, ns: int = NS) -> list[bytes]:
    """All 23 types, each sound where it stands."""
    return [
        event("O", ns),
        directory(locate, stock, ns),
        trading(locate, stock, "T", ns),
        *others(locate, stock, ns),
        add(locate, ref, "B", 500, stock, ns=ns),
        add(locate, ref + 1, "S", 300, stock, 1_000_100, ns, "NSDQ"),
        executed(locate, ref, 100, 11, ns),
        priced(locate, ref + 1, 100, 12, 1_000_050, ns=ns),
        cancelled(locate, ref, 50, ns),
        replaced(locate, ref + 1, ref + 2, 400, 1_000_200, ns),
        deleted(locate, ref, ns),
        hidden(locate, stock, "S", 70, 1_000_000, 13, ns),
        cross(locate, stock, 2**33, 1_000_000, 14, ns=ns),
        broken(13, locate, ns),
    ]


def blocks(messages: Iterable[bytes]) -> bytes:
    """Each behind its u16 length."""
    return b"".join(struct.pack(">H", len(message)) + message for message in messages)


def packets(messages: Iterable[bytes]) -> bytes:
    """As sequenced packets of SoupBinTCP."""
    return b"".join(struct.pack(">Hc", len(message) + 1, b"S") + message for message in messages)


@dataclass(frozen=True)
class Record:
    """One record of the journal, before it has its position."""

    payload: bytes = b""
    first_seq: int = 0
    session: str = DAY
    form: int = BLOCKS
    kind: int = FRAMES
    ts_recv: int = RECV
    count: int = 0


def record(messages: Sequence[bytes], first_seq: int = 0, session: str = DAY) -> Record:
    return Record(blocks(messages), first_seq, session, count=len(messages))


def soup(messages: Sequence[bytes], first_seq: int = 0, session: str = DAY) -> Record:
    return replace(record(messages, first_seq, session), payload=packets(messages), form=SOUPBIN)


def records(messages: Sequence[bytes], size: int, first_seq: int = 1) -> list[Record]:
    """A record each for `size` messages, numbered."""
    starts = range(0, len(messages), size)
    return [record(messages[at : at + size], first_seq + at) for at in starts]


def positions(found: Sequence[Record], start: int = 0) -> list[int]:
    """Where each record ends: 64 bytes of header and its payload."""
    ends = []
    for each in found:
        start += 64 + len(each.payload)
        ends.append(start)
    return ends


def chunk(found: Sequence[Record], ends: Sequence[int], first: int = 0) -> Chunk:
    """Records with their positions in one buffer, their headers between them."""
    spans = np.zeros((SPAN_ROWS, len(found)), np.int64)
    buffer = bytearray()
    for at, (each, end) in enumerate(zip(found, ends, strict=True)):
        buffer += b"\xee" * 64
        start = len(buffer)
        buffer += each.payload
        row = (each.kind, each.form, 0, start, len(buffer), each.ts_recv, end)
        spans[: len(row), at] = row
        spans[SPAN_FIRST_SEQ, at], spans[SPAN_COUNT, at] = each.first_seq, each.count
        name = each.session.encode().ljust(16, b"\0")
        spans[SPAN_SESSION : SPAN_SESSION + 2, at] = np.frombuffer(name, "<i8")
    last = ends[-1] if ends else first
    return Chunk(np.frombuffer(buffer, np.uint8), spans, Span("xnas", 1, first, last))


class Flow:
    """Random order flow on a few stocks, nearly always sound: what an exchange would send.

    Some messages name orders that nobody knows; prices cluster so that levels are shared.
    """

    def __init__(
        self, seed: int, stocks: int = 12, depth: int = 60, orders_max: int = 1000
    ) -> None:
        self.orders_max = orders_max
        self.chance = random.Random(seed)
        self.names = [f"S{chr(65 + at)}{'.A' if at % 3 == 0 else ''}" for at in range(stocks)]
        self.live: dict[int, list[int]] = {}  # reference -> locate, shares
        self.order: list[int] = []
        self.ref, self.match, self.ns, self.depth = 1, 1, NS, depth

    def next(self) -> bytes:
        chance = self.chance
        self.ns += chance.randrange(400_000)
        kind = chance.random()
        if (kind < 0.45 and len(self.order) < self.orders_max) or not self.order:
            return self._add()
        if kind < 0.47:
            return deleted(1, 2**60 + chance.randrange(1000), self.ns)
        if kind < 0.50:
            return self._trade(kind)
        at = chance.randrange(len(self.order))
        ref = self.order[at]
        locate, shares = self.live[ref]
        if kind < 0.72:
            self._gone(at)
            return deleted(locate, ref, self.ns)
        if kind < 0.82:
            return self._replace(at, ref, locate)
        part = shares if chance.random() < 0.4 else chance.randrange(1, shares + 1)
        if part == shares:
            self._gone(at)
        else:
            self.live[ref][1] -= part
        if kind < 0.88:
            return cancelled(locate, ref, part, self.ns)
        self.match += 1
        if kind < 0.96:
            return executed(locate, ref, part, self.match, self.ns)
        printable, price = chance.choice("YN"), chance.randrange(1, 10**7)
        return priced(locate, ref, part, self.match, price, printable, self.ns)

    def _gone(self, at: int) -> None:
        del self.live[self.order[at]]
        self.order[at] = self.order[-1]
        self.order.pop()

    def _price(self) -> int:
        return 1_000_000 + 100 * self.chance.randrange(-self.depth, self.depth)

    def _fresh(self, locate: int, shares: int) -> int:
        self.ref += self.chance.randrange(1, 50)
        self.live[self.ref] = [locate, shares]
        self.order.append(self.ref)
        return self.ref

    def _add(self) -> bytes:
        at = self.chance.randrange(len(self.names))
        shares = self.chance.randrange(1, 1000)
        ref, side = self._fresh(at, shares), self.chance.choice("BS")
        mpid = "ABCD" if self.chance.random() < 0.2 else ""
        return add(at, ref, side, shares, self.names[at], self._price(), self.ns, mpid)

    def _replace(self, at: int, ref: int, locate: int) -> bytes:
        self._gone(at)
        shares = self.chance.randrange(1, 1000)
        return replaced(locate, ref, self._fresh(locate, shares), shares, self._price(), self.ns)

    def _trade(self, kind: float) -> bytes:
        at = self.chance.randrange(len(self.names))
        self.match += 1
        if kind < 0.48 and self.match > 3:
            return broken(self.chance.randrange(2, self.match), at, self.ns)
        if kind < 0.49:
            return cross(
                at, self.names[at], self.chance.choice((0, 10**6)), 77, self.match, ns=self.ns
            )
        side = self.chance.choice("BS")
        return hidden(at, self.names[at], side, 10, self._price(), self.match, self.ns)
