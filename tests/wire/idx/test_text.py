"""The text form of idx-1: the same rows as the binary form, faults with their lines, and back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursa.model.batch import END_OF_FILE, UP, Words
from bursa.model.venue import IDX
from bursa.wire.idx.decoder import IdxDecoder
from bursa.wire.idx.layout import IDX1
from bursa.wire.idx.lines import LineWriter
from tests.wire.idx import encoder as wire
from tests.wire.idx.encoder import SECOND, TS, Record
from tests.wire.idx.test_decoder import ALL_TYPES, DEEP, Heard, check, message, reasons, run
from tests.wire.idx.to_text import line, lines_of, text_record

WRITER = LineWriter(IDX1, IDX.boards)


def hear(
    records: Sequence[Record], ends: Sequence[int], cuts: Sequence[int] = (), **how: Any
) -> tuple[Heard, Words]:
    """Decode records at given positions."""
    words, heard = wire.words(), Heard()
    decoder = IdxDecoder(IDX, words, **how)
    edges = sorted({0, *cuts, len(records)})
    for first, last in zip(edges, edges[1:], strict=False):
        heard.add(decoder.push(wire.chunk(records[first:last], ends[first:last])))
    return heard, words


def same_as_binary(
    messages: Sequence[bytes], text: Sequence[bytes] | None = None, channel: int = 0
) -> Heard:
    """Both forms give the same; returns what the text gave."""
    binary = [wire.blocks_of(messages, channel)]
    lines = [text_record(b"\n".join(text or map(line, messages)), channel)]
    ends = wire.positions(binary)
    one, words = hear(binary, ends)
    two, words_of_text = hear(lines, ends)
    assert two.rows() == one.rows() or two.bytes() == one.bytes()
    assert two.bytes() == one.bytes() and two.counts == one.counts
    assert (words_of_text.symbols, words_of_text.texts) == (words.symbols, words.texts)
    assert reasons(two) == reasons(one)
    return two


# -- lines become rows -----------------------------------------------------------------------------


def test_the_profiles_own_line() -> None:
    text = b"1|1042|1775527200000000000|BBCA|RG|58211|8900|100|B"
    tick = same_as_binary(
        [wire.trade(1042, 1_775_527_200_000_000_000, trade_no=58211)], [text]
    ).rows()["ticks"][0]
    assert (tick["ticker"], tick["price"], tick["volume"], tick["seq"]) == ("BBCA", 8900, 100, 1042)


@pytest.mark.parametrize("channel", [0, 1])
def test_every_type_becomes_its_row(channel: int) -> None:
    heard = same_as_binary(ALL_TYPES, channel=channel)
    assert not heard.rejects and set(heard.rows()) == {
        *("ticks", "snapshot", "orderbook", "index", "contracts", "status")
    }


HEAD = b"1|1|%d|" % TS
BOOK = b"3|1|%d|BBCA|RG|" % TS
TRADE = wire.trade(1, TS)
SAME = [
    (HEAD + b"BBCA|RG|1|8900.0000|100|B", TRADE),
    (HEAD + b"BBCA|RG|1|08900|100|B", TRADE),
    (HEAD + b"BBCA|RG|1|0.0001|100|B", wire.trade(1, TS, price=1)),
    (HEAD + b"BBCA|RG|1|922337203685477.5807|100|B", wire.trade(1, TS, price=2**63 - 1)),
    (HEAD + b"BBCA|RG|1|8900|100|", wire.trade(1, TS, aggressor=" ")),
    (HEAD + b"BBCA|RG|1|8900|100| ", wire.trade(1, TS, aggressor=" ")),
    (HEAD + b"BBCA  |RG|1|8900|100|B", TRADE),
    (BOOK + b"8900:100:7", wire.book(1, TS, "bid", [(89_000_000, 100, 7)])),
    (BOOK + b"1|8900:100:7", wire.book(1, TS, "bid", [(89_000_000, 100, 7)])),
    (BOOK + b":100:7", wire.book(1, TS, "bid", [(0, 100, 7)])),
    (BOOK, wire.book(1, TS)),
    (BOOK + b"0|", wire.book(1, TS)),
    (b"5|1|%d|LQ45|950.5||0" % TS, wire.index(1, TS, "LQ45", 9_505_000, 0, 0)),
    (
        b"6|1|%d|BBCA|RG|PT \\p\\\\\\n X||100|IDR|" % TS,
        wire.contract(1, TS, name="PT |\\\n X", isin="", close=0),
    ),
    (
        b"6|1|%d|BBCA|RG|PT \xff|ID1|100|IDR|8900" % TS,
        wire.contract(1, TS, name=b"PT \xff", isin="ID1"),
    ),
]


@pytest.mark.parametrize(("text", "binary"), SAME)
def test_ways_to_write_a_message(text: bytes, binary: bytes) -> None:
    heard = same_as_binary([binary], [text])
    assert not heard.rejects and len(heard.rows()) == 2


def test_empty_lines_are_passed_over() -> None:
    good = line(TRADE)
    heard, _ = run([text_record(b"\n\n" + good + b"\n\n"), text_record(b"")])
    assert heard.counts == {"messages": 1, "sessions": 1}


# -- what bad lines get ----------------------------------------------------------------------------

BAD = [
    (b"x", "bad_line"),
    (b"1", "bad_line"),
    (b"1|", "bad_field"),
    (b"1042|1|2", "bad_line"),
    (b"|1|2", "bad_line"),
    (b"7|1|2|3", "unknown_type"),
    (b"0|", "unknown_type"),
    (b'{"e":"trade"}', "bad_line"),
    (HEAD + b"BBCA|RG|1|8900|100", "bad_line"),
    (HEAD + b"BBCA|RG|1|8900|100|B|", "bad_line"),
    (HEAD + b"BBCA|RG|1|8900|100|B\r", "bad_aggressor"),
    (HEAD + b"BBCA|RG|1|8900.00000|100|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|8900.|100|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|.5|100|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|8900.1.2|100|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|+8900|100|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|-|100|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|8e3|100|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|922337203685477.5808|100|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|1844674407370955161600000|100|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|-8900|100|B", "bad_price"),
    (HEAD + b"BBCA|RG|1|-922337203685477.5808|100|B", "bad_price"),
    (HEAD + b"BBCA|RG|1|0|100|B", "bad_price"),
    (HEAD + b"BBCA|RG|1||100|B", "bad_price"),
    (HEAD + b"BBCA|RG|1|8900||B", "bad_field"),
    (HEAD + b"BBCA|RG|1|8900|-1|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|8900|1.5|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|8900|18446744073709551616|B", "bad_field"),
    (HEAD + b"BBCA|RG|1|8900|18446744073709551615|B", "bad_volume"),
    (HEAD + b"BBCA|RG|1|8900|9223372036854775808|B", "bad_volume"),
    (HEAD + b"BBCA|RG|9223372036854775808|8900|1|B", "bad_number"),
    (HEAD + b"BBCA|RG|1|8900|100|X", "bad_aggressor"),
    (HEAD + b"BBCA|RG|1|8900|100|BS", "bad_aggressor"),
    (HEAD + b"BBCA|XX|1|8900|100|B", "bad_board"),
    (HEAD + b"BBCA||1|8900|100|B", "bad_board"),
    (HEAD + b"BBCA|REGULARBOARD|1|8900|100|B", "bad_board"),
    (HEAD + b"bbca|RG|1|8900|100|B", "bad_ticker"),
    (HEAD + b"|RG|1|8900|100|B", "bad_ticker"),
    (HEAD + b"ABCDEFGHIJKLM|RG|1|8900|100|B", "bad_ticker"),
    (HEAD + b"BB\\p|RG|1|8900|100|B", "bad_ticker"),
    (HEAD + b"BB\\x|RG|1|8900|100|B", "bad_field"),
    (HEAD + b"BB\\|RG|1|8900|100|B", "bad_field"),
    (b"1|0|%d|BBCA|RG|1|8900|100|B" % TS, "bad_seq"),
    (b"1|one|%d|BBCA|RG|1|8900|100|B" % TS, "bad_field"),
    (b"1|1|9223372036854775807|BBCA|RG|1|8900|100|B", "bad_ts"),
    (BOOK + b"8900:100", "bad_field"),
    (BOOK + b"8900:100:7:1", "bad_field"),
    (BOOK + b"8900:100:7,", "bad_field"),
    (BOOK + b"8900:100:4294967296", "bad_field"),
    (BOOK + b"2|8900:100:7", "bad_length"),
    (BOOK + b"x|8900:100:7", "bad_field"),
    (BOOK + b"1|8900:100:7|", "bad_line"),
    (BOOK + b"-1:100:7", "bad_price"),
    (BOOK + b",".join([b"1:1:1"] * 11), "too_deep"),
    (b"9|1|%d|Q|2" % TS, "bad_state"),
    (b"9|1|%d|up|2" % TS, "bad_state"),
    (b"6|1|%d|BBCA|RG|%s||100|IDR|" % (TS, b"x" * 61), "bad_field"),
    (b"6|1|%d|BBCA|RG|||100|IDRX|" % TS, "bad_field"),
    (b"6|1|%d|BBCA|RG|||4294967296|IDR|" % TS, "bad_field"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_a_bad_line_is_refused_with_its_bytes_and_the_next_one_goes_on(
    bad: bytes, reason: str
) -> None:
    good = line(wire.trade(5, TS + 1))
    heard, _ = run([Record(kind=UP), text_record(b"\n".join([bad, good, bad]), 1)])
    (position,) = wire.positions([text_record(b"\n".join([bad, good, bad]), 1)])
    assert [(r.reason, r.channel, r.payload) for r in heard.rejects] == [(reason, 1, bad)] * 2
    assert {r.position for r in heard.rejects} == {position + 64}
    assert heard.counts[f"rejected_{reason}"] == 2 and heard.counts["messages"] == 3
    assert [row["seq"] for row in heard.rows()["ticks"]] == [5]


def test_refused_lines_are_the_cause_of_the_gap_they_leave() -> None:
    text = [line(wire.trade(seq, TS + seq)) for seq in (1, 2, 3, 4, 5)]
    text[1], text[2] = b"1|2|garbage", HEAD + b"BBCA|XX|1|8900|100|B"
    binary = [wire.trade(seq, TS + seq) for seq in (1, 2, 3, 4, 5)]
    binary[1], binary[2] = b"7", wire.trade(1, TS, board="XX")
    one, _ = run([wire.blocks_of(binary)])
    two, _ = run([text_record(b"\n".join(text))])
    gaps = [[r for r in heard.rows()["status"] if r["state"] == "gap"] for heard in (one, two)]
    assert [(r["seq_from"], r["seq_to"], r["cause"]) for r in gaps[1]] == [(2, 3, "refused")]
    assert gaps[0][0]["cause"] == "refused" and len(gaps[0]) == 1


def test_lines_and_packets_in_one_chunk_keep_their_own_bytes() -> None:
    records = [
        wire.frames([wire.trade(1, TS), b"7binary"]),
        text_record(line(wire.trade(2, TS + 1)) + b"\n7|text"),
        wire.blocks_of([b"8binary", wire.trade(3, TS + 2)]),
        Record(kind=END_OF_FILE),
    ]
    heard, _ = run(records)
    assert [r.payload for r in heard.rejects] == [b"7binary", b"7|text", b"8binary"]
    ends = wire.positions(records)
    assert [r.position for r in heard.rejects] == ends[:3]
    assert [row["seq"] for row in heard.rows()["ticks"]] == [1, 2, 3]


def test_more_lines_than_were_made_room_for() -> None:
    """Short lines become longer blocks, and refused ones are many."""
    contracts = [b"6|%d|%d|A|RG|||1||" % (i + 1, TS + i) for i in range(3_000)]
    heard, _ = run([text_record(b"\n".join(contracts + [b"x"] * 5_000))])
    assert len(heard.rows()["contracts"]) == 3_000
    assert heard.counts["rejected_bad_line"] == 5_000


# -- any messages, any cut -------------------------------------------------------------------------


@st.composite
def runs(draw: Any) -> list[list[bytes]]:
    """Messages by record: in order, with jumps and repeats, a few of them of unknown words."""
    seq, ts = 0, TS
    found: list[list[bytes]] = []
    for _ in range(draw(st.integers(1, 6))):
        found.append([])
        for _ in range(draw(st.integers(0, 6))):
            seq = max(1, seq + draw(st.sampled_from([1, 1, 1, 1, 1, 3, 0, -2])))
            ts += draw(st.sampled_from([0, 1, SECOND, 70 * SECOND]))
            sound = message(draw, seq, ts)
            if draw(st.integers(0, 7)) == 0 and sound[:1] in b"12346":
                sound = sound[:29] + b"XX" + sound[31:]
            elif draw(st.integers(0, 7)) == 0 and sound[:1] != b"9":
                sound = sound[:17] + b"low" + sound[20:]
            found[-1].append(sound)
    return found


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(runs(), st.data())
def test_text_and_binary_give_the_same_in_any_cut(parts: list[list[bytes]], data: Any) -> None:
    binary = [wire.blocks_of(part) for part in parts]
    ends = wire.positions(binary)
    one, words = hear(binary, ends)
    check(binary, one, words)
    mixed = [data.draw(st.sampled_from([wire.blocks_of, lines_of]))(part) for part in parts]
    for records in ([lines_of(part) for part in parts], mixed):
        cuts = data.draw(st.lists(st.integers(0, len(parts)), max_size=4))
        capacity = data.draw(st.sampled_from([1, 3, 64]))
        two, words_of_text = hear(records, ends, cuts, capacity=capacity)
        assert two.bytes() == one.bytes() and two.counts == one.counts
        assert (words_of_text.symbols, words_of_text.texts) == (words.symbols, words.texts)
        assert [replace(r, payload=b"") for r in two.rejects] == [
            replace(r, payload=b"") for r in one.rejects
        ]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text("0123456789|.,:-\\pnBRGA \n", max_size=200))
def test_any_text_is_decoded_or_refused_line_by_line(text: bytes | str) -> None:
    raw = text.encode() if isinstance(text, str) else text
    heard, _ = run([text_record(raw)])
    lines = [each for each in raw.split(b"\n") if each]
    assert heard.counts["messages"] == len(lines)
    kept = [r.payload for r in heard.rejects]
    assert kept == [each for each in lines if each in kept]


# -- messages become lines -------------------------------------------------------------------------


def test_every_type_is_written_as_the_profile_says() -> None:
    assert [WRITER.line(sound) for sound in ALL_TYPES] == [line(sound) for sound in ALL_TYPES]
    assert WRITER.line(wire.trade(1, TS, price=-1)) == HEAD + b"BBCA|RG|1|-0.0001|100|B"


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b"7", wire.trade(1, TS)[:-1], wire.trade(1, TS) + b"x"),
        *(wire.trade(1, TS, board="XX"), wire.trade(1, TS, aggressor="?"), wire.status(1, TS, "Q")),
        *(wire.book(1, TS, levels=DEEP)[:-1], wire.book(1, TS, levels=DEEP, n=9)),
    ],
)
def test_what_text_has_no_words_for_has_no_line(message: bytes) -> None:
    assert WRITER.line(message) is None


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_was_written_is_the_message_again(data: Any) -> None:
    sound = message(data.draw, data.draw(st.integers(1, 2**63)), data.draw(st.integers(0, 2**62)))
    written = WRITER.line(sound)
    assert written == line(sound)
    binary = [wire.blocks_of([sound])]
    one, _ = hear(binary, [100])
    two, _ = hear([text_record(written)], [100])
    assert two.bytes() == one.bytes() and two.counts == one.counts
