"""Writes idx-1 messages as lines, with struct and decimals and no table of the program's."""

import struct
from collections.abc import Iterable
from decimal import Decimal

from bursa.model.batch import LINES
from tests.wire.idx.encoder import RECV, Record


def price(value: int) -> str:
    """In 1/10,000, written with as few decimals as it takes."""
    text = f"{Decimal(value) / 10_000:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def words(raw: bytes) -> bytes:
    """A padded text, escaped."""
    found = raw.rstrip(b" ")
    return found.replace(b"\\", b"\\\\").replace(b"|", b"\\p").replace(b"\n", b"\\n")


def line(message: bytes) -> bytes:
    """The line of a sound message."""
    kind = message[:1]
    seq, ts = struct.unpack(">QQ", message[1:17])
    parts: list[object] = [kind.decode(), seq, ts]
    if kind != b"9":
        parts.append(words(message[17:29]))
    if kind in b"12346":
        parts.append(words(message[29:31]))
    if kind == b"1":
        trade_no, paid, volume, side = struct.unpack(">QqQc", message[31:])
        parts += [trade_no, price(paid), volume, side]
    elif kind == b"2":
        values = struct.unpack(">5q2QIqQqQ", message[31:])
        priced = (0, 1, 2, 3, 4, 8, 10)
        parts += [price(v) if at in priced else v for at, v in enumerate(values)]
    elif kind in b"34":
        levels = struct.iter_unpack(">qQI", message[32:])
        parts += [message[31], ",".join(f"{price(p)}:{v}:{o}" for p, v, o in levels)]
    elif kind == b"5":
        value, prev, traded = struct.unpack(">qqQ", message[29:])
        parts += [price(value), price(prev), traded]
    elif kind == b"6":
        lot, currency, close = struct.unpack(">I3sq", message[103:])
        parts += [words(message[31:91]), words(message[91:103]), lot, words(currency), price(close)]
    else:
        parts += [message[17:18], struct.unpack(">Q", message[18:])[0]]
    return b"|".join(p if isinstance(p, bytes) else str(p).encode() for p in parts)


def lines_of(messages: Iterable[bytes], channel: int = 0, ts_recv: int = RECV) -> Record:
    """A record of lines."""
    return Record(b"\n".join(map(line, messages)), channel, LINES, ts_recv=ts_recv)


def text_record(text: bytes, channel: int = 0, ts_recv: int = RECV) -> Record:
    """A record of the text as it is."""
    return Record(text, channel, LINES, ts_recv=ts_recv)
