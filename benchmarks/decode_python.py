"""The peer of decode.py in plain Python: idx-1 by `struct`, as well as it can be written.

It does the decoder's work and not more: each message's length is checked against its type, its
number against the one that is due, its time against the receive time, whole seconds are marked,
tickers and boards become ids by dictionaries, prices and volumes floats, faults are counted; rows
become columns of eight bytes a value once a batch, as a store takes them. What is fast in Python is
used: one compiled Struct a depth, slices for columns of levels, lists, then `array`.
"""

import re
import struct
from array import array
from collections.abc import Callable, Iterable
from typing import Any

_HEADER = struct.Struct(">HccQQ")
_TRADE = struct.Struct(">12s2sQqQc")
_SNAPSHOT = struct.Struct(">12s2sqqqqqQQIqQqQ")
_INDEX = struct.Struct(">12sqqQ")
_STATUS = struct.Struct(">cQ")
_BOOKS = [struct.Struct(">12s2sB" + "qQI" * depth) for depth in range(11)]
_TICKER = re.compile(rb"[A-Z0-9][A-Z0-9.\-]*")
_SIDES = {b"B": 0, b"S": 1, b" ": -1}
_LONG = 1 << 63
_SECOND = 1_000_000_000
_AHEAD = 86_400 * _SECOND
_NAN = float("nan")
# Of each kind's columns those that are floats.
_FLOATS = {
    "trades": {4, 5},
    "snapshots": {3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14},
    "books": set[int](),
    "indexes": {2, 3, 4},
}

Rows = list[tuple[Any, ...]]


class Python:
    """Decodes batches of one channel. trades, snapshots, books, levels, indexes: columns of the
    last batch; a book's row says how many of the levels are its own."""

    def __init__(self, tickers: Iterable[str]) -> None:
        self.symbols: dict[bytes, int] = {}
        for ticker in tickers:
            self.symbols.setdefault(ticker.encode().ljust(12), len(self.symbols))
        self.boards = {b"RG": 0, b"NG": 1, b"TN": 2}
        self.columns: dict[str, list[array[Any]]] = {}
        self.levels: tuple[array[float], array[float], array[int]]
        self.marks: list[int] = []
        self.begin()

    def begin(self) -> None:
        """Forget what was decoded; tickers stay known."""
        self.next, self.newest, self.refused, self.gaps, self.mark_at = 1, -1, 0, 0, 0

    def ticker(self, raw: bytes) -> int:
        """The id of a ticker that was not seen before; -1 if it is none."""
        text = raw.rstrip(b" ")
        if not _TICKER.fullmatch(text):
            return -1
        return self.symbols.setdefault(raw, len(self.symbols))

    def decode(self, raw: bytes, ts_recv: int, position: int) -> int:  # noqa: C901 - calls cost
        """Sequenced packets; returns how many."""
        trades: Rows = []
        snapshots: Rows = []
        books: Rows = []
        indexes: Rows = []
        prices: list[float] = []
        volumes: list[float] = []
        orders: list[int] = []
        boards, refused = self.boards, 0
        symbol_of: Callable[[bytes], int | None] = self.symbols.get
        header, due, newest = _HEADER.unpack_from, self.next, self.newest
        marks, mark_at, latest = list[int](), self.mark_at, ts_recv + _AHEAD
        at, count, end = 0, 0, len(raw)
        while at < end:
            size, _, kind, seq, ts = header(raw, at)
            body = at + 20
            at += 2 + size
            count += 1
            if seq != due:
                if seq < due:
                    continue
                self.gaps += 1
            if ts > latest:
                refused += 1
                continue
            due = seq + 1
            if ts > newest:
                newest = ts
            if ts >= mark_at:
                mark_at = (ts // _SECOND + 1) * _SECOND
                marks.append(ts)
            if kind == b"3" or kind == b"4":
                depth = raw[body + 14]
                if depth > 10 or size != 33 + 20 * depth:
                    refused += 1
                    continue
                fields = _BOOKS[depth].unpack_from(raw, body)
                symbol, board = symbol_of(fields[0]), boards.get(fields[1], -1)
                paid, amounts = fields[3::3], fields[4::3]
                if symbol is None:
                    symbol = self.ticker(fields[0])
                if depth and (min(paid) < 0 or max(amounts) >= _LONG) or symbol < 0 or board < 0:
                    refused += 1
                    continue
                prices += [price / 10_000 if price else _NAN for price in paid]
                volumes += map(float, amounts)
                orders += fields[5::3]
                side = 0 if kind == b"3" else 1
                books.append((symbol, board, ts, side, depth, seq, ts_recv, position))
            elif kind == b"1" and size == 57:
                raw_ticker, raw_board, trade_no, price, volume, side_of = _TRADE.unpack_from(
                    raw, body
                )
                symbol, board = symbol_of(raw_ticker), boards.get(raw_board, -1)
                if symbol is None:
                    symbol = self.ticker(raw_ticker)
                aggressor = _SIDES.get(side_of, -2)
                if symbol < 0 or board < 0 or price < 1 or volume >= _LONG or aggressor < -1:
                    refused += 1
                    continue
                row = (symbol, ts, trade_no, board, price / 10_000, float(volume), aggressor)
                trades.append((*row, seq, ts_recv, position))
            else:
                refused += self._rarer(raw, body, size, kind, ts, (snapshots, indexes))
        self.next, self.newest, self.mark_at, self.marks = due, newest, mark_at, marks
        self.refused += refused
        self.levels = (array("d", prices), array("d", volumes), array("q", orders))
        found = {"trades": trades, "snapshots": snapshots, "books": books, "indexes": indexes}
        self.columns = {name: _columns(rows, _FLOATS[name]) for name, rows in found.items()}
        return count

    def _rarer(
        self, raw: bytes, body: int, size: int, kind: bytes, ts: int, into: tuple[Rows, Rows]
    ) -> int:
        """One message in fifty; 1 if it is refused."""
        if kind == b"2" and size == 124:
            raw_ticker, raw_board, *values = _SNAPSHOT.unpack_from(raw, body)
            symbol = self.symbols.get(raw_ticker)
            symbol = self.ticker(raw_ticker) if symbol is None else symbol
            board = self.boards.get(raw_board, -1)
            if symbol < 0 or board < 0 or min(values) < 0 or max(values) >= _LONG:
                return 1
            priced = {0, 1, 2, 3, 4, 8, 10}
            row = [(v / 10_000 if v else _NAN) if i in priced else v for i, v in enumerate(values)]
            into[0].append((symbol, board, ts, *row))
            return 0
        if kind == b"5" and size == 54:
            code, value, prev, traded = _INDEX.unpack_from(raw, body)
            symbol = self.symbols.get(code)
            symbol = self.ticker(code) if symbol is None else symbol
            if symbol < 0 or value < 0 or prev < 0 or traded >= _LONG:
                return 1
            into[1].append((symbol, ts, value / 10_000, prev / 10_000 or _NAN, float(traded)))
            return 0
        if kind == b"9" and size == 27:
            state, following = _STATUS.unpack_from(raw, body)
            return int(state not in b"P1B2CXEH" or following >= _LONG)
        return 1


def _columns(rows: Rows, floats: set[int]) -> "list[array[Any]]":
    """Rows turned on their side."""
    columns = enumerate(zip(*rows, strict=True))
    return [array("d" if at in floats else "q", column) for at, column in columns]
