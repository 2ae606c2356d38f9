"""Messages of profile idx-1 as SoupBinTCP packets, written in place.

A packet is u16 length, `S`, then one message; all integers are big-endian, prices are in 1/10,000
rupiah. Each instrument has one *image*: the packets it can send, side by side in one buffer, with
what never changes filled in. To send is to set what did change, copy the packet out, and stamp
sequence number and time on the copy. The books live in their images and nowhere else.

Offsets below count from the first byte of the packet (message offset + 3).
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # ships no types
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from bursa.exchange.tickers import NAME_BYTES_MAX, Ticker

Block = NDArray[np.int64]
Bytes = NDArray[np.uint8]

# Fields of a market's clock that sending moves: bytes written, next sequence number.
USED, SEQ = 0, 1

HEAD = 3
SEQ_FIELD, TS_FIELD = HEAD + 1, HEAD + 9
TRADE_BYTES, SNAPSHOT_BYTES, INDEX_BYTES = HEAD + 56, HEAD + 123, HEAD + 53
CONTRACT_BYTES, STATUS_BYTES, BOOK_BYTES = HEAD + 118, HEAD + 26, HEAD + 32
LEVEL_BYTES, LEVELS_MAX = 20, 10
PACKET_BYTES_MAX = BOOK_BYTES + LEVELS_MAX * LEVEL_BYTES

BOARD = HEAD + 29
TRADE_NO, TRADE_PRICE, TRADE_VOLUME, TRADE_SIDE = HEAD + 31, HEAD + 39, HEAD + 47, HEAD + 55
PREV, OPEN, HIGH, LOW, LAST = HEAD + 31, HEAD + 39, HEAD + 47, HEAD + 55, HEAD + 63
VOLUME, VALUE, TRADES = HEAD + 71, HEAD + 79, HEAD + 87
BID, BID_VOLUME, ASK, ASK_VOLUME = HEAD + 91, HEAD + 99, HEAD + 107, HEAD + 115
LEVELS_COUNT, LEVELS = HEAD + 31, HEAD + 32
INDEX_VALUE, INDEX_PREV, INDEX_TRADED = HEAD + 29, HEAD + 37, HEAD + 45
PREV_CLOSE = HEAD + 110
STATE, NEXT_SEQ = HEAD + 17, HEAD + 18

# Where each packet begins in an instrument's image. An index's image holds its one packet, the
# image after the last index the status packet.
AT_TRADE, AT_SNAPSHOT, AT_BID, AT_ASK, AT_CONTRACT = 0, 64, 192, 432, 672
IMAGE_BYTES = 800
AT_INDEX = AT_STATUS = 0

# Options of njit for the kernels that write packets. They make no arrays, so numba need not count
# references to those they are given: the counting took two thirds of the time.
KERNEL = {"nogil": True, "cache": True, "_nrt": False}

INDICES = ("COMPOSITE", "LQ45")
PRICE_UNITS = 10_000
LOT = 100


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """The address of byte `at` of a one-dimensional byte array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(builder.bitcast(data, ir.IntType(8).as_pointer()), [at])


def _store(width: int) -> Any:
    word = ir.IntType(width)

    def typed(_: Any, array: Any, at: Any, value: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = _place(context, builder, signature.args[0], args[0], args[1])
            number = args[2] if width == 64 else builder.trunc(args[2], word)
            to = builder.bitcast(place, word.as_pointer())
            builder.store(builder.bswap(number), to, align=1)
            return context.get_dummy_value()

        return types.void(array, types.intp, types.int64), build

    return typed


@intrinsic
def put64(typing: Any, array: Any, at: Any, value: Any) -> Any:
    """Write an int64 at byte `at`, big-endian; bounds are the caller's."""
    return _store(64)(typing, array, at, value)


@intrinsic
def put32(typing: Any, array: Any, at: Any, value: Any) -> Any:
    """Write the low 32 bits at byte `at`, big-endian; bounds are the caller's."""
    return _store(32)(typing, array, at, value)


@intrinsic
def get64(_: Any, array: Any, at: Any) -> Any:
    """Read an int64 at byte `at`, big-endian; bounds are the caller's."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _place(context, builder, signature.args[0], args[0], args[1])
        word = ir.IntType(64)
        return builder.bswap(builder.load(builder.bitcast(place, word.as_pointer()), align=1))

    return types.int64(array, types.intp), build


@intrinsic
def copy(_: Any, to: Any, to_at: Any, source: Any, source_at: Any, size: Any) -> Any:
    """Copy `size` bytes between byte arrays, or within one (ranges may overlap)."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        into = _place(context, builder, signature.args[0], args[0], args[1])
        out_of = _place(context, builder, signature.args[2], args[2], args[3])
        pointer = ir.IntType(8).as_pointer()
        move = builder.module.declare_intrinsic("llvm.memmove", [pointer, pointer, ir.IntType(64)])
        builder.call(move, [into, out_of, args[4], ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()

    signature = types.void(to, types.intp, source, types.intp, types.intp)
    return signature, build


@njit(**KERNEL)
def send(images: Bytes, at: int, clock: Block, ts: int, out: Bytes) -> None:
    """Copy the packet at `at` of the images to the end of what is written in `out`, stamped with
    the channel's next sequence number and a time. Counts both on in `clock`."""
    used, seq = clock[USED], clock[SEQ]
    size = 2 + ((np.int64(images[at]) << 8) | np.int64(images[at + 1]))
    copy(out, used, images, at, size)
    put64(out, used + SEQ_FIELD, seq)
    put64(out, used + TS_FIELD, ts)
    clock[USED], clock[SEQ] = used + size, seq + 1


def _packet(kind: bytes, body: bytes) -> bytes:
    message = kind + bytes(16) + body
    return (len(message) + 1).to_bytes(2, "big") + b"S" + message


def _padded(text: str, width: int) -> bytes:
    raw = text.encode("utf-8")
    assert len(raw) <= width, f"{text!r} is longer than {width} bytes"
    return raw.ljust(width)


def images(tickers: tuple[Ticker, ...]) -> Bytes:
    """A fresh image of every instrument, then of the indices, then the status packet; uint8,
    IMAGE_BYTES each, one after another. Numbers are 0, sides of books empty."""
    rows = np.zeros((len(tickers) + len(INDICES) + 1, IMAGE_BYTES), np.uint8)

    def put(row: int, at: int, raw: bytes) -> None:
        rows[row, at : at + len(raw)] = np.frombuffer(raw, np.uint8)

    for i, ticker in enumerate(tickers):
        head = _padded(ticker.code, 12) + b"RG"
        put(i, AT_TRADE, _packet(b"1", head + bytes(24) + b" "))
        put(i, AT_SNAPSHOT, _packet(b"2", head + bytes(92)))
        put(i, AT_BID, _packet(b"3", head + bytes(1 + LEVELS_MAX * LEVEL_BYTES)))
        put(i, AT_ASK, _packet(b"4", head + bytes(1 + LEVELS_MAX * LEVEL_BYTES)))
        name, isin = _padded(ticker.name, NAME_BYTES_MAX), _padded(ticker.isin, 12)
        contract = head + name + isin + LOT.to_bytes(4, "big") + b"IDR" + bytes(8)
        put(i, AT_CONTRACT, _packet(b"6", contract))
    for at, code in enumerate(INDICES):
        put(len(tickers) + at, AT_INDEX, _packet(b"5", _padded(code, 12) + bytes(24)))
    put(len(rows) - 1, AT_STATUS, _packet(b"9", bytes(9)))
    return rows.reshape(-1)
