"""A reader of its own: idx-1 in SoupBinTCP packets, by struct, from the wire's description."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from bursa.exchange import stream

DAY = date(2025, 11, 20)  # a Thursday
FRIDAY = date(2025, 11, 21)

_HEAD = struct.Struct(">cQQ")
_BODIES = {
    b"1": ("trade", struct.Struct(">12s2sQqQc"), "ticker board trade_no price volume aggressor"),
    b"2": (
        "snapshot",
        struct.Struct(">12s2s5qQQIqQqQ"),
        "ticker board prev open high low last volume value trades bid bid_volume ask ask_volume",
    ),
    b"5": ("index", struct.Struct(">12sqqQ"), "code value prev value_traded"),
    b"6": (
        "contract",
        struct.Struct(">12s2s60s12sI3sq"),
        "ticker board name isin lot currency prev_close",
    ),
    b"9": ("status", struct.Struct(">cQ"), "state next_seq"),
}
_LENGTHS = {b"1": 56, b"2": 123, b"5": 53, b"6": 118, b"9": 26}
_LEVEL = struct.Struct(">qQI")
PRICES = ("price", "prev", "open", "high", "low", "last", "bid", "ask", "prev_close")


@dataclass(frozen=True)
class Message:
    """One message; prices in rupiah."""

    kind: str
    seq: int
    ts: int
    fields: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None


def packets(data: bytes) -> Iterator[bytes]:
    """The messages of sequenced packets; nothing may be left over."""
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from(">H", data, at)
        assert data[at + 2 : at + 3] == b"S"
        assert at + 2 + size <= len(data), "an unfinished packet"
        yield data[at + 3 : at + 2 + size]
        at += 2 + size


def _text(raw: bytes) -> str:
    return raw.decode("utf-8").rstrip(" ")


def _rupiah(units: int) -> int:
    assert units % 10_000 == 0
    return units // 10_000


def read(message: bytes) -> Message:
    """One message, its length checked against its type."""
    kind, seq, ts = _HEAD.unpack_from(message)
    if kind in b"34":
        ticker, board, depth = struct.unpack_from(">12s2sB", message, 17)
        assert len(message) == 32 + 20 * depth and depth <= 10
        levels = [_LEVEL.unpack_from(message, 32 + 20 * k) for k in range(depth)]
        levels = [(_rupiah(price), volume, orders) for price, volume, orders in levels]
        sides: dict[str, Any] = {"ticker": _text(ticker), "board": _text(board), "levels": levels}
        return Message("bid" if kind == b"3" else "ask", seq, ts, sides)
    name, body, columns = _BODIES[kind]
    assert len(message) == 17 + body.size == _LENGTHS[kind]
    values = body.unpack_from(message, 17)
    fields: dict[str, Any] = dict(zip(columns.split(), values, strict=True))
    for column, value in fields.items():
        if isinstance(value, bytes):
            fields[column] = _text(value)
        elif column in PRICES and name != "index":
            fields[column] = _rupiah(value)
    return Message(name, seq, ts, fields)


@dataclass(frozen=True)
class Told:
    """A day of both channels, read."""

    trades: list[Message]
    market: list[Message]
    raw: tuple[bytes, bytes]


@pytest.fixture(scope="session")
def reader() -> Callable[[bytes], list[Message]]:
    """Packets -> messages."""
    return lambda data: [read(message) for message in packets(data)]


@pytest.fixture(scope="session")
def day(reader: Callable[[bytes], list[Message]]) -> Told:
    """A whole live day of twelve busy tickers, books included."""
    raw = stream.generate(DAY, 7, tickers=12)
    return Told(reader(raw[0]), reader(raw[1]), raw)


@pytest.fixture(scope="session")
def wide(reader: Callable[[bytes], list[Message]]) -> Told:
    """A Friday of 220 tickers as history tells it, thin ones among them."""
    raw = stream.generate(FRIDAY, 7, tickers=220, books=False)
    return Told(reader(raw[0]), reader(raw[1]), raw)
