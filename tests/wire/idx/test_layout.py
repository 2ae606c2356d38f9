"""The layout is data: a table that contradicts itself is refused, and another vendor's table goes
through the same kernel."""

import struct
from dataclasses import replace
from typing import Any

import pytest

from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from bursa.wire.idx.decoder import IdxDecoder
from bursa.wire.idx.layout import HEADER, IDX1, LEVEL, Field, Layout
from bursa.wire.idx.text_table import text_table
from bursa.wire.idx.walk import decode
from tests.wire.idx import encoder as wire
from tests.wire.idx.encoder import TS, Record


def other(which: str, **changes: Any) -> Layout:
    """IDX1 with one field changed; `which` is message.field."""
    message, field = which.split(".")
    fields = [
        replace(f, **changes) if (f.message, f.name) == (message, field) else f for f in IDX1.fields
    ]
    return replace(IDX1, fields=tuple(fields))


def test_the_table_is_the_profile() -> None:
    """Offsets and widths as the profile's text has them, told in another form."""
    ends = {"trade": 56, "snapshot": 123, "book": 32, "index": 53, "contract": 118, "status": 26}
    for message, end in ends.items():
        taken = [(0, 1)]
        taken += [(f.offset, f.width) for f in IDX1.fields if f.message in (HEADER, message)]
        taken.sort()
        covered = 0
        for offset, width in taken:
            assert offset == covered, f"{message}: nothing between the fields"
            covered += width
        assert covered == end
    assert [(f.offset, f.width) for f in IDX1.fields if f.message == LEVEL] == [
        *((0, 8), (8, 8), (16, 4))
    ]


@pytest.mark.parametrize(
    ("layout", "why"),
    [
        (lambda: other("trade.price", offset=40), "trade.price runs past volume"),
        (lambda: other("trade.aggressor", offset=56), "runs past the end"),
        (lambda: other("level.orders", width=8), "runs past the end"),
        (lambda: other("header.ts", offset=5), "runs past"),
        (lambda: other("header.seq", offset=0), "type runs past seq"),
        (lambda: other("trade.ticker", width=4), "alpha of 8 to 16"),
        (lambda: other("trade.volume", width=0), "1 to 8 bytes"),
        (lambda: other("status.next_seq", name="following"), "status.next_seq is missing"),
        (lambda: other("contract.isin", name="code"), "contract.isin is missing"),
        (lambda: replace(IDX1, types={"1": "trade"}), "types must name each"),
        (lambda: replace(IDX1, types={**IDX1.types, "7": "trade"}), "types must name each"),
        (lambda: replace(IDX1, lengths={}), "every message needs its length"),
        (lambda: replace(IDX1, states={"Q": "quiet"}), "states are of"),
        (lambda: replace(IDX1, states={"Q": "gap"}), "states are of P, 1, B, 2, C, X, E, H"),
        (lambda: replace(IDX1, boards={"A": "RG", "B": "RG"}), "each board has one code"),
        (lambda: other("trade.volume", kind="i"), "trade.volume has no sign"),
        (lambda: other("header.seq", scale=1), "header.seq is counted, it has no scale"),
        (lambda: other("level.orders", scale=2), "level.orders is counted, it has no scale"),
        (lambda: replace(IDX1, states={"QQ": "P"}), "one ASCII character"),
        (lambda: replace(IDX1, aggressors={"B": "buyer"}), "aggressors are of"),
        (lambda: replace(IDX1, block_bytes_max=200), "past the limit of a block"),
        (lambda: replace(IDX1, block_bytes_max=20_000), "block_bytes_max is 12,287 at most"),
        (lambda: replace(IDX1, depth_max=-1), "depth_max 0 or more"),
        (lambda: replace(IDX1, depth_max=256, block_bytes_max=9_000), "does not fit book.depth"),
        (lambda: replace(IDX1, states={"\xe9": "P"}), "one ASCII character"),
        (lambda: other("snapshot.ticker", width=11), "the width of ticker is the same"),
        (lambda: other("contract.board", width=1), "the width of board is the same"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(layout: object, why: str) -> None:
    assert callable(layout)
    with pytest.raises(Refuse, match=why) as refused:
        layout()
    assert refused.value.code == "bad_layout" and refused.value.parameter == "idx-1"


def test_boards_that_do_not_fit_are_refused() -> None:
    with pytest.raises(Refuse, match="longer than 2 bytes"):
        IDX1.compiled(("MAIN",))
    with pytest.raises(Refuse, match="boards: RGX is none of RG, NG, TN"):
        replace(IDX1, boards={"R": "RGX"}).compiled(IDX.boards)
    with pytest.raises(Refuse, match="16 boards"):
        IDX1.compiled(tuple(f"{i:02}" for i in range(17)))
    with pytest.raises(Refuse, match="two of the boards RG, NG have one code"):
        replace(IDX1, boards={"RG": "NG"}).compiled(("RG", "NG"))
    with pytest.raises(Refuse, match="boards of 8 letters at most"):
        text_table(replace(IDX1, boards={"RG": "REGULARBOARD"}), ("REGULARBOARD",))


# Another vendor's packing of a trade, a book and a status: ts before seq, tickers of eight bytes,
# prices as u32 and i40 in 1/100, volumes as u32 in tenths, levels with the orders first.
VENDOR = Layout(
    name="vendor",
    types={
        "T": "trade",
        "Q": "snapshot",
        "b": "book_bid",
        "a": "book_ask",
        "I": "index",
        "C": "contract",
        "Z": "status",
    },
    lengths={"trade": 41, "snapshot": 123, "book": 27, "index": 53, "contract": 118, "status": 21},
    level_bytes=11,
    depth_max=5,
    block_bytes_max=512,
    states={"o": "1", "c": "X", ".": "H"},
    aggressors={"1": "B", "2": "S", "0": ""},
    boards={"M": "RG", "N": "NG", "C": "TN"},
    fields=(
        Field(HEADER, "ts", 1, 8, "u"),
        Field(HEADER, "seq", 9, 4, "u"),
        Field("trade", "volume", 13, 4, "u", 1),
        Field("trade", "price", 17, 5, "i", 2),
        Field("trade", "trade_no", 22, 6, "u"),
        Field("trade", "board", 28, 1, "alpha"),
        Field("trade", "ticker", 29, 8, "alpha"),
        Field("trade", "aggressor", 37, 1, "alpha"),
        Field("book", "depth", 13, 2, "u"),
        Field("book", "ticker", 15, 8, "alpha"),
        Field("book", "board", 23, 1, "alpha"),
        Field(LEVEL, "orders", 0, 2, "u"),
        Field(LEVEL, "price", 2, 5, "i", 2),
        Field(LEVEL, "volume", 7, 4, "u", 1),
        Field("status", "state", 13, 1, "alpha"),
        Field("status", "next_seq", 14, 7, "u"),
        *[
            replace(f, width={"ticker": 8, "board": 1}.get(f.name, f.width))
            for f in IDX1.fields
            if f.message in ("snapshot", "index", "contract")
        ],
    ),
)


def vendor_head(kind: str, seq: int, ts: int) -> bytes:
    return kind.encode() + struct.pack(">QI", ts, seq)


def test_another_vendors_layout_goes_through_the_same_kernel() -> None:
    price = (-7 % 2**40).to_bytes(5, "big")
    trade = (
        vendor_head("T", 1, TS)
        + struct.pack(">I", 4_000_000_001)
        + (890_025).to_bytes(5, "big")
        + (2**47).to_bytes(6, "big")
        + b"MBBCA    2???"
    )
    levels = b"".join(
        struct.pack(">H", orders) + (cents).to_bytes(5, "big") + struct.pack(">I", tenths)
        for orders, cents, tenths in ((65_535, 2**39 - 1, 15), (1, 0, 2**32 - 1))
    )
    book = vendor_head("b", 2, TS + 1) + b"\x00\x02GOTO    C???" + levels
    bad = vendor_head("a", 3, TS + 2) + b"\x00\x01GOTO    M???" + b"\x00\x01" + price + b"\x00" * 4
    deep = vendor_head("a", 3, TS + 2) + b"\x01\x00GOTO    M???"
    closing = vendor_head("Z", 3, TS + 3) + b"c" + (4).to_bytes(7, "big")
    IdxDecoder(IDX, wire.words()).warm()
    compiled = len(decode.signatures)
    decoder = IdxDecoder(IDX, wire.words(), VENDOR)
    record = Record(wire.blocks([trade, book, bad, deep, closing]), form=0)
    found = decoder.push(wire.one_chunk(record))
    assert [reject.reason for reject in found.rejects] == ["bad_price", "too_deep"]
    tick = found.batches["ticks"].to_arrow().to_pylist()[0]
    assert (tick["ticker"], tick["board"], tick["aggressor"]) == ("BBCA", "RG", "S")
    assert (tick["price"], tick["volume"], tick["trade_no"]) == (8900.25, 400_000_000.1, 2**47)
    row = found.batches["orderbook"].to_arrow().to_pylist()[0]
    assert (row["ticker"], row["board"], row["side"], row["depth"]) == ("GOTO", "TN", "bid", 2)
    assert row["prices"][0] == (2**39 - 1) / 100 and row["orders"] == [65_535, 1]
    assert row["volumes"] == [1.5, (2**32 - 1) / 10]
    status = found.batches["status"].to_arrow().to_pylist()
    assert [r["state"] for r in status] == ["up", "X"] and status[-1]["next_seq"] == 4
    assert len(decode.signatures) == compiled, "no kernel was compiled for it"
