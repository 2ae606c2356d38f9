"""ITCH 5.0 messages written by hand, for tests: one function a type, offsets of Nasdaq's document.

Shares nothing with the decoder. Times are seconds after midnight in New York, prices in dollars.
"""

import struct
from collections.abc import Iterable

HALF_PAST_NINE = 9 * 3600 + 1800


def _head(kind: str, locate: int, s: float) -> bytes:
    return struct.pack(">cHH", kind.encode(), locate, 0) + round(s * 1e9).to_bytes(6, "big")


def _stock(ticker: str) -> bytes:
    return ticker.encode().ljust(8)


def _price(dollars: float) -> bytes:
    return struct.pack(">I", round(dollars * 10_000))


def event(s: float, code: str) -> bytes:
    return _head("S", 0, s) + code.encode()


def stock(s: float, locate: int, ticker: str) -> bytes:
    return _head("R", locate, s) + _stock(ticker) + struct.pack(
        ">ccIcc2sccccc I c".replace(" ", ""),
        b"Q", b"N", 100, b"N", b"C", b"Z ", b"P", b"N", b"N", b"1", b"N", 0, b"N",
    )  # fmt: skip


def add(s: float, locate: int, order: int, side: str, shares: int, ticker: str, at: float) -> bytes:
    body = struct.pack(">QcI", order, side.encode(), shares) + _stock(ticker) + _price(at)
    return _head("A", locate, s) + body


def add_named(
    s: float, locate: int, order: int, side: str, shares: int, ticker: str, at: float
) -> bytes:
    return b"F" + add(s, locate, order, side, shares, ticker, at)[1:] + b"GSCO"


def execute(s: float, locate: int, order: int, shares: int, match: int) -> bytes:
    return _head("E", locate, s) + struct.pack(">QIQ", order, shares, match)


def execute_at(
    s: float, locate: int, order: int, shares: int, match: int, at: float, printable: bool = True
) -> bytes:
    body = struct.pack(">QIQc", order, shares, match, b"Y" if printable else b"N") + _price(at)
    return _head("C", locate, s) + body


def cancel(s: float, locate: int, order: int, shares: int) -> bytes:
    return _head("X", locate, s) + struct.pack(">QI", order, shares)


def delete(s: float, locate: int, order: int) -> bytes:
    return _head("D", locate, s) + struct.pack(">Q", order)


def replace(s: float, locate: int, order: int, new: int, shares: int, at: float) -> bytes:
    return _head("U", locate, s) + struct.pack(">QQI", order, new, shares) + _price(at)


def hidden(s: float, locate: int, shares: int, ticker: str, at: float, match: int) -> bytes:
    body = struct.pack(">QcI", 0, b"B", shares) + _stock(ticker) + _price(at)
    return _head("P", locate, s) + body + struct.pack(">Q", match)


def cross(
    s: float, locate: int, shares: int, ticker: str, at: float, match: int, kind: str = "O"
) -> bytes:
    body = struct.pack(">Q", shares) + _stock(ticker) + _price(at)
    return _head("Q", locate, s) + body + struct.pack(">Qc", match, kind.encode())


def broken(s: float, locate: int, match: int) -> bytes:
    return _head("B", locate, s) + struct.pack(">Q", match)


def others(s: float, locate: int, ticker: str) -> list[bytes]:
    """One of each type that makes no row."""
    name = _stock(ticker)
    return [
        _head("H", locate, s) + name + b"T " + b"    ",
        _head("Y", locate, s) + name + b"0",
        _head("L", locate, s) + b"GSCO" + name + b"YNA",
        _head("V", 0, s) + struct.pack(">QQQ", 3 * 10**11, 2 * 10**11, 10**11),
        _head("W", 0, s) + b"1",
        _head("K", locate, s) + name + struct.pack(">Ic", 34_200, b"A") + _price(20),
        _head("J", locate, s) + name + _price(100) + _price(110) + _price(90) + bytes(4),
        _head("h", locate, s) + name + b"Q" + b"T",
        _head("N", locate, s) + name + b"N",
        _head("O", locate, s) + name + b"Y" + _price(1) * 3 + bytes(8) + _price(1) * 2,
        _head("I", locate, s) + struct.pack(">QQc", 100, 50, b"B") + name + _price(1) * 3 + b"O ",
    ]


def file_of(messages: Iterable[bytes]) -> bytes:
    """The file form: each with its length before it."""
    return b"".join(struct.pack(">H", len(message)) + message for message in messages)


def a_day() -> list[bytes]:
    """A day of two stocks, every type in it. AAPL's bar of 09:30 is closed when one of its trades
    is broken (number 2: 30 shares at 100.50, its highest)."""
    t = HALF_PAST_NINE
    return [
        event(4 * 3600, "O"), event(4 * 3600, "S"),
        stock(4 * 3600, 1, "AAPL"), stock(4 * 3600, 2, "BRK.A"),
        *others(t - 1, 1, "AAPL"),
        event(t, "Q"),
        add(t + 0.1, 1, 11, "B", 100, "AAPL", 100.00),
        add_named(t + 0.2, 1, 12, "S", 200, "AAPL", 100.10),
        execute(t + 1, 1, 12, 50, 1),
        execute_at(t + 2, 1, 12, 30, 2, 100.50),
        execute_at(t + 3, 1, 12, 20, 3, 99.00, printable=False),
        hidden(t + 4, 1, 10, "AAPL", 100.0550, 4),
        cross(t + 5, 1, 1_000, "AAPL", 100.02, 5),
        cancel(t + 6, 1, 11, 40), replace(t + 7, 1, 11, 13, 60, 99.90), delete(t + 8, 1, 13),
        add(t + 60, 2, 21, "S", 5, "BRK.A", 330_000.00), execute(t + 61, 2, 21, 2, 6),
        execute(t + 130, 2, 21, 1, 8),
        broken(t + 180, 1, 2),
        add(t + 200, 1, 14, "B", 70, "AAPL", 99.80), execute(t + 201, 1, 14, 10, 7),
        event(16 * 3600, "M"), event(20 * 3600, "E"), event(20 * 3600 + 300, "C"),
    ]  # fmt: skip
