"""Layouts as files: shipped, written by a vendor, drawn at run time; one kernel for all of them."""

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursa.feeds import layouts as files
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from bursa.wire.idx import layout_table
from bursa.wire.idx.decoder import IdxDecoder
from bursa.wire.idx.layout import IDX1, Layout
from bursa.wire.idx.lines import LineWriter
from bursa.wire.idx.walk import decode
from tests.wire.idx import drawn_layout as drawn
from tests.wire.idx import encoder as wire
from tests.wire.idx.drawn_layout import Drawn
from tests.wire.idx.encoder import TS, Record
from tests.wire.idx.oracle import Oracle
from tests.wire.idx.test_decoder import Heard, none_for_nan
from tests.wire.idx.to_text import lines_of, text_record

IDX2 = files.load("idx-2")


def decoded(layout: Layout, record: Record, position: int) -> tuple[Heard, Any]:
    words, heard = wire.words(), Heard()
    decoder = IdxDecoder(IDX, words, layout)
    heard.add(decoder.push(wire.chunk([record], [position])))
    return heard, words


def check_against_oracle(layout: Layout, theirs: list[bytes], ours: list[bytes]) -> None:
    """`theirs`, in the layout, give what the oracle reads in `ours`, in idx-1."""
    oracle = Oracle()
    oracle.push([wire.blocks_of(ours)], [1_000])
    for record in (wire.blocks_of(theirs), wire.frames(theirs)):
        heard, words = decoded(layout, record, 1_000)
        found = {
            name: [{key: none_for_nan(value) for key, value in row.items()} for row in rows]
            for name, rows in heard.rows().items()
        }
        assert found == oracle.rows and heard.tape(words) == oracle.tape
        assert heard.counts == oracle.counts
        assert [r.reason for r in heard.rejects] == [r.reason for r in oracle.rejects]


# -- the second layout -----------------------------------------------------------------------------


def head2(kind: bytes, seq: int, ts: int) -> bytes:
    return kind + struct.pack(">QI", ts, seq)


def n(value: int, width: int) -> bytes:
    return value.to_bytes(width, "big")


def test_idx_2_has_the_same_rows_as_idx_1() -> None:
    """Both written by hand: prices are 8,900.25 and the like, which both can say."""
    theirs = [
        head2(b"T", 1, TS) + n(58211, 6) + n(2**39, 5) + n(890_025, 4) + b"1R" + b"BBCA    ",
        head2(b"D", 2, TS + 1)
        + n(500, 3)
        + n(2**50, 7)
        + b"".join(n(v, 5) for v in (100, 300, 200, 890_050, 890_025, 0, 1, 3, 2, 890_000))
        + b"?N"
        + b"GOTO    ",
        head2(b"b", 3, TS + 2) + b"\x02?CA-B.C123" + n(7, 3) + n(2**33, 5) + n(5, 4)
        + (n(0, 3) + n(1, 5) + n(0, 4)),
        head2(b"a", 4, TS + 3) + b"\x00?RBBCA    ",
        head2(b"X", 5, TS + 4) + n(10**13, 7) + n(7_123_450, 6) + n(0, 6) + b"LQ45    ",
        head2(b"C", 6, TS + 5) + n(890_000, 5) + n(100, 2) + b"IDR" + b"ID1".ljust(14)
        + b"PT BCA".ljust(40) + b"RBBCA    ",
        head2(b"S", 7, TS + 6) + n(8, 4) + b"Z",
        head2(b"T", 8, TS + 7) + n(1, 6) + n(1, 5) + n(1, 4) + b"1Q" + b"BBCA    ",
        head2(b"T", 9, TS + 8) + n(1, 6) + n(1, 5) + n(1, 4) + b"0R" + b"bbca    ",
    ]  # fmt: skip
    ours = [
        wire.trade(1, TS, trade_no=58211, price=89_002_500, volume=2**39),
        wire.snapshot(
            *(2, TS + 1, "GOTO", "NG"),
            prices=(89_000_000, 200, 300, 100, 0, 89_002_500, 89_005_000),
            counts=(100, 2**50, 200, 300),
            trades=500,
        ),
        wire.book(3, TS + 2, "bid", [(500, 2**33, 7), (0, 1, 0)], "A-B.C123", "TN"),
        wire.book(4, TS + 3, "ask"),
        wire.index(5, TS + 4, "LQ45", 71_234_500, 0, 10**13),
        wire.contract(6, TS + 5, name="PT BCA", isin="ID1", close=89_000_000),
        wire.status(7, TS + 6, "X"),
        wire.trade(8, TS + 7, board="XX", price=100),
        wire.trade(9, TS + 8, "bbca", price=100),
    ]
    check_against_oracle(IDX2, theirs, ours)


def test_text_is_the_same_whatever_the_layout() -> None:
    ours = [wire.trade(1, TS, price=89_002_500), wire.status(2, TS + 1, "P")]
    oracle = Oracle()
    oracle.push([wire.blocks_of(ours)], [1_000])
    heard, _ = decoded(IDX2, lines_of(ours), 1_000)
    assert heard.rows() == oracle.rows
    fine = b"1|1|%d|BBCA|RG|1|8900.2525|100|B" % TS
    long = b"1|1|%d|ABCDEFGHI|RG|1|8900|100|B" % TS
    heard, _ = decoded(IDX2, text_record(fine + b"\n" + long), 1_000)
    assert [r.reason for r in heard.rejects] == ["bad_field", "bad_ticker"]


# -- a layout of nobody ----------------------------------------------------------------------------

TICKERS = ("BBCA", "GOTO", "A", "X-W.1", "LQ45")


def message(draw: Any, layout: Drawn, seq: int, ts: int) -> tuple[bytes, bytes]:
    """The same message in the layout and in idx-1."""
    kind = draw(st.sampled_from(drawn.KINDS))
    base = "book" if kind.startswith("book") else kind
    ticker, board = draw(st.sampled_from(TICKERS)), draw(st.sampled_from(["RG", "NG", "TN"]))

    def some(what: str, message: str = base) -> int:
        price = layout.prices(message) if what == "p" else layout.amounts(message, what)
        return draw(price)

    values: dict[str, Any] = {"ticker": ticker, "board": board}
    if kind == "status":
        values |= {"state": draw(st.sampled_from("P1B2CXEH")), "next_seq": seq + 1}
        ours = wire.status(seq, ts, values["state"], seq + 1)
    elif base == "book":
        count = draw(st.integers(0, min(layout.depth_max, 10)))
        levels: list[wire.Level] = [
            (some("p", "level"), some("v", "level"), some("n", "level")) for _ in range(count)
        ]
        values["levels"] = levels
        side = "bid" if kind == "book_bid" else "ask"
        ours = wire.book(seq, ts, side, levels, ticker, board)
    else:
        values |= {k: some(v) for k, v in drawn.HOLDS[kind].items() if v in "pvn"}
        ours = _other(draw, kind, seq, ts, values)
    return layout.pack(kind, seq, ts, values), ours


def _other(draw: Any, kind: str, seq: int, ts: int, v: dict[str, Any]) -> bytes:
    if kind == "trade":
        side = draw(st.sampled_from(["B", "S", ""]))
        v["aggressor"] = side
        what = (v["trade_no"], v["price"], v["volume"], side or " ")
        return wire.trade(seq, ts, v["ticker"], v["board"], *what)
    if kind == "snapshot":
        prices = [v[name] for name in "prev open high low last bid ask".split()]
        counts = [v[name] for name in "volume value bid_volume ask_volume".split()]
        return wire.snapshot(seq, ts, v["ticker"], v["board"], prices, counts, v["trades"])
    if kind == "index":
        return wire.index(seq, ts, v["ticker"], v["value"], v["prev"], v["value_traded"])
    v |= {"name": draw(st.text("abc d", max_size=4)), "isin": "ID1", "currency": "IDR"}
    return wire.contract(
        *(seq, ts, v["ticker"], v["board"], v["name"], "ID1", v["lot"], "IDR", v["prev_close"])
    )


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(drawn.layouts(), st.data())
def test_a_layout_that_nobody_wrote_is_decoded_by_the_same_kernel(layout: Drawn, data: Any) -> None:
    read = layout_table.parse(layout.toml(), "drawn.toml")
    count = data.draw(st.integers(1, 12))
    both = [message(data.draw, layout, seq, TS + seq) for seq in range(1, count + 1)]
    theirs, ours = [pair[0] for pair in both], [pair[1] for pair in both]
    check_against_oracle(read, theirs, ours)
    assert len(decode.signatures) == 1, "no kernel was compiled for it"
    writer = LineWriter(read, IDX.boards)
    lines = [writer.line(each) for each in theirs]
    text = text_record(b"\n".join(line or b"none" for line in lines))
    assert decoded(read, text, 7)[0].bytes() == decoded(read, wire.blocks_of(theirs), 7)[0].bytes()


# -- files -----------------------------------------------------------------------------------------


def test_layouts_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    assert files.names() == ["idx-1", "idx-2"] and files.load("idx-1") is IDX1
    own = tmp_path / "vendor.toml"
    own.write_text((files.FOLDER / "idx-2.toml").read_text().replace('"idx-2"', '"own"'))
    assert files.load(str(own)).name == "own"


SHIPPED = (files.FOLDER / "idx-2.toml").read_text()
WRONG = [
    ("", "", "x = ", "no TOML"),
    ('name = "idx-2"\n', "", "", "name is missing"),
    ("depth_max = 20", "depth_max = -1", "", "depth_max is -1: an integer from 0"),
    ("depth_max = 20", "depth_max = true", "", "depth_max is True"),
    ("depth_max = 20", "depth = 20", "", "depth is no key; allowed: name"),
    ("[states]", "[stages]", "", "stages is no key"),
    ("length = 38", "", "", "trade.length is missing"),
    ("length = 38", "length = 37", "", "trade.ticker runs past the end"),
    ("trade_no = {", "number = {", "", "trade.number is no key; allowed: length, ticker, board"),
    ('aggressor = { offset = 28, width = 1 }', "", "", "trade.aggressor is missing"),
    ("offset = 28, width = 1", "offset = 28", "", "trade.aggressor.width is missing"),
    ("offset = 28, width = 1", 'offset = "28", width = 1', "", "trade.aggressor.offset is '28'"),
    ("offset = 28, width = 1", "at = 28", "", "trade.aggressor.at is no key; allowed: offset"),
    ("width = 4, scale = 2 }\naggr", 'width = 4, kind = "f" }\naggr', "", "kind is 'f'; allowed"),
    ("width = 4, scale = 2 }\naggr", 'width = 4, kind = "text" }\naggr', "", "field is of 'i'"),
    ("width = 4, scale = 2 }\naggr", "width = 4, scale = 40 }\naggr", "", "scale is 40"),
    ("offset = 28, width = 1", "offset = 28, width = 1, scale = 1", "", "scale is for numbers"),
    ('T = "trade"', 'T = "trades"', "", "types must name each"),
    ('T = "trade"', "T = 1", "", "types.T is 1: a text"),
    ('T = "trade"', '"é" = "trade"', "", "is no ASCII"),
    ("[boards]", "[[boards]]", "", "boards is"),
    ("[header]", "[[header]]", "", "header is missing: a table"),
    ("offset = 9, width = 4", "offset = 3, width = 4", "", "header.seq is a number of 1 to"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "more", "why"), WRONG)
def test_a_file_that_is_wrong_is_refused_with_its_key(
    old: str, new: str, more: str, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "vendor.toml"
    assert old in SHIPPED
    path.write_text(SHIPPED.replace(old, new, 1) + more)
    with pytest.raises(Refuse) as refused:
        files.load(str(path))
    assert why in str(refused.value) and str(path) in str(refused.value)
    assert refused.value.code == "bad_layout"


def test_a_layout_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name, why in (
        ("idx-3", "allowed: idx-1, idx-2 or a path that ends in .toml"),
        ("../idx-2", "allowed: idx-1, idx-2"),
        (str(tmp_path / "none.toml"), "No such file"),
    ):
        with pytest.raises(Refuse, match=why):
            files.load(name)
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(Refuse, match="no UTF-8"):
        files.load(str(tmp_path / "bytes.toml"))
