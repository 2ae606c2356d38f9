"""idx-1: every type, every fault, and any stream in any cut against the oracle."""

import math
import struct
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursa.model.batch import (
    CLOCK,
    DOWN,
    END_OF_FILE,
    END_OF_SESSION,
    SETTING,
    TAPE_CHANNEL,
    TAPE_ROLE,
    UP,
    Batch,
    Span,
    Words,
    concat,
)
from bursa.model.schema import TICKS
from bursa.model.venue import IDX
from bursa.wire.decoded import Decoded, Rejected
from bursa.wire.idx.decoder import IdxDecoder
from bursa.wire.idx.walk import decode
from tests.wire.idx import encoder as wire
from tests.wire.idx.encoder import SECOND, TS, Record
from tests.wire.idx.oracle import Oracle

ROLES = ("trade", "mark", "up", "down", "session_end", "file_end")
DEEP = [(90_000_000 - 250_000 * i, 2**40 + i, i + 1) for i in range(10)]
ALL_TYPES = [
    wire.contract(1, TS),
    wire.status(2, TS + 1, "P"),
    wire.trade(3, TS + 2, price=89_001_234, volume=2**40 + 1, aggressor=" "),
    wire.snapshot(4, TS + 3, prices=(89_000_000, 0, 0, 0, 0, 0, 0), counts=(0, 2**50, 1, 2)),
    wire.book(5, TS + 4, "bid", DEEP),
    wire.book(6, TS + 5, "ask", [(0, 500, 3)], ticker="GOTO", board="NG"),
    wire.book(7, TS + 6, "ask"),
    wire.index(8, TS + 7, prev=0),
    wire.status(9, TS + SECOND, "H"),
    wire.trade(10, TS + 2 * SECOND, "A-B.C1234567", "TN", 2**62, aggressor="S"),
]


class Heard:
    """All that a decoder said, chunk after chunk."""

    def __init__(self) -> None:
        self.tapes: list[Any] = []
        self.batches: dict[str, list[Batch]] = {}
        self.rejects: list[Rejected] = []
        self.counts: Counter[str] = Counter()

    def add(self, decoded: Decoded) -> None:
        self.tapes.append(decoded.tape)
        for name, batch in decoded.batches.items():
            assert len(batch) and batch.kind.name == name and batch.span.last == decoded.end
            self.batches.setdefault(name, []).append(batch)
        self.rejects += decoded.rejects
        self.counts.update(decoded.counts)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        return {
            name: concat(batches).to_arrow().to_pylist() for name, batches in self.batches.items()
        }

    def bytes(self) -> dict[str, bytes]:
        found = {"tape": np.concatenate(self.tapes, axis=1).tobytes()}
        for name, batches in self.batches.items():
            found[name] = np.concatenate([batch.block for batch in batches], axis=1).tobytes()
            levels = [batch.levels for batch in batches if batch.levels is not None]
            if levels:
                found["levels"] = np.concatenate(levels, axis=1).tobytes()
        return found

    def tape(self, words: Words) -> list[dict[str, Any]]:
        whole = np.concatenate(self.tapes, axis=1)
        ticks = Batch(TICKS, np.ascontiguousarray(whole[:10]), words, Span("idx", 1, 0, 0))
        found = []
        for at, row in enumerate(ticks.to_arrow().to_pylist()):
            row["role"], row["channel"] = ROLES[whole[TAPE_ROLE, at]], int(whole[TAPE_CHANNEL, at])
            if row["role"] != "trade":
                row = {k: row[k] for k in ("role", "channel", "ts", "seq", "ts_recv", "position")}
            found.append(row)
        return found


def run(
    records: Sequence[Record], cuts: Sequence[int] = (), capacity: int | None = None
) -> tuple[Heard, Words]:
    """Decode records in chunks cut before the given ones."""
    words = wire.words()
    decoder = (
        IdxDecoder(IDX, words) if capacity is None else IdxDecoder(IDX, words, capacity=capacity)
    )
    ends, heard = wire.positions(records), Heard()
    edges = sorted({0, *cuts, len(records)})
    for first, last in zip(edges, edges[1:], strict=False):
        heard.add(decoder.push(wire.chunk(records[first:last], ends[first:last])))
    return heard, words


def none_for_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [none_for_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def check(records: Sequence[Record], heard: Heard, words: Words) -> Oracle:
    """Everything the decoder said is what the oracle says."""
    oracle = Oracle()
    oracle.push(records, wire.positions(records))
    found = {
        name: [{key: none_for_nan(value) for key, value in row.items()} for row in rows]
        for name, rows in heard.rows().items()
    }
    assert found == oracle.rows
    assert heard.tape(words) == oracle.tape
    assert heard.rejects == oracle.rejects
    assert heard.counts == oracle.counts
    return oracle


def check_one(*records: Record) -> Heard:
    heard, words = run(records)
    check(records, heard, words)
    return heard


def reasons(heard: Heard) -> list[str]:
    return [reject.reason for reject in heard.rejects]


# -- the seven types ------------------------------------------------------------------------------


@pytest.mark.parametrize("framed", [wire.frames, wire.blocks_of])
@pytest.mark.parametrize("channel", [0, 1])
def test_every_type_becomes_its_row(framed: Any, channel: int) -> None:
    heard = check_one(framed(ALL_TYPES, channel))
    assert {name: len(rows) for name, rows in heard.rows().items()} == {
        "ticks": 2,
        "snapshot": 1,
        "orderbook": 3,
        "index": 1,
        "contracts": 1,
        "status": 2,
    }
    assert not heard.rejects


def test_prices_are_divided_and_volumes_keep_all_their_bits() -> None:
    rows = check_one(wire.frames(ALL_TYPES)).rows()
    assert rows["ticks"][0]["price"] == 8900.1234
    assert rows["ticks"][0]["volume"] == 2**40 + 1
    assert rows["orderbook"][0]["volumes"] == [float(2**40 + i) for i in range(10)]
    assert rows["orderbook"][0]["prices"][0] == 9000.0


def test_a_price_of_zero_is_null() -> None:
    rows = check_one(wire.frames(ALL_TYPES)).rows()
    assert rows["snapshot"][0]["open"] is None and rows["snapshot"][0]["bid"] is None
    assert rows["index"][0]["prev"] is None
    assert math.isnan(rows["orderbook"][1]["prices"][0])


def test_a_name_that_is_no_utf_8_is_mended_and_an_empty_one_is_null() -> None:
    broken = wire.contract(1, TS, name=b"PT \xff Tbk", isin="")
    row = check_one(wire.frames([broken])).rows()["contracts"][0]
    assert row["name"] == "PT \N{REPLACEMENT CHARACTER} Tbk" and row["isin"] is None


def test_a_source_without_receive_times_has_those_of_its_messages() -> None:
    heard = check_one(wire.frames(ALL_TYPES, ts_recv=-1), Record(kind=DOWN, ts_recv=-1))
    for rows in heard.rows().values():
        assert all(row["ts_recv"] == row["ts"] for row in rows)


def test_tickers_are_numbered_by_first_appearance_whatever_the_type() -> None:
    messages = [
        wire.contract(1, TS, "TLKM"),
        wire.book(2, TS, "bid", ticker="BBRI"),
        wire.index(3, TS, "LQ45"),
        wire.trade(4, TS, "ASII"),
    ]
    for cuts in ([], [1, 2, 3]):
        _, words = run([wire.frames([message]) for message in messages], cuts)
        assert words.symbols == ["TLKM", "BBRI", "LQ45", "ASII"]


def test_more_tickers_than_the_table_holds() -> None:
    messages = [wire.trade(i + 1, TS + i, f"T{i:05}") for i in range(20_000)]
    heard, words = run([wire.frames(messages)])
    assert heard.rows()["ticks"][12_345]["ticker"] == "T12345"
    assert words.symbols == [f"T{i:05}" for i in range(20_000)]


# -- what bad input gets --------------------------------------------------------------------------

GOOD = wire.trade(1, TS)
BAD = [
    (b"7" + GOOD[1:], "unknown_type"),
    (b"\x00" + GOOD[1:], "unknown_type"),
    (GOOD[:-1], "bad_length"),
    (GOOD + b"\x00", "bad_length"),
    (GOOD[:1], "bad_length"),
    (b"", "bad_length"),
    (wire.book(1, TS, levels=DEEP)[:-1], "bad_length"),
    (wire.book(1, TS, levels=DEEP, n=9), "bad_length"),
    (wire.book(1, TS, levels=DEEP)[:20], "bad_length"),
    (wire.book(1, TS, levels=[*DEEP, DEEP[0]]), "too_deep"),
    (wire.book(1, TS, levels=DEEP, n=255), "too_deep"),
    (wire.trade(1, TS, "BÉCA".encode("latin-1")), "bad_ticker"),
    (wire.trade(1, TS, "bbca"), "bad_ticker"),
    (wire.trade(1, TS, "-BCA"), "bad_ticker"),
    (wire.trade(1, TS, "BB CA"), "bad_ticker"),
    (wire.trade(1, TS, ""), "bad_ticker"),
    (wire.trade(1, TS, b"BBCA\x00"), "bad_ticker"),
    (wire.index(1, TS, "lq45"), "bad_ticker"),
    (wire.trade(1, TS, board="XX"), "bad_board"),
    (wire.trade(1, TS, board="rg"), "bad_board"),
    (wire.book(1, TS, board=""), "bad_board"),
    (wire.contract(1, TS, board="R"), "bad_board"),
    (wire.trade(1, TS, price=-1), "bad_price"),
    (wire.trade(1, TS, price=0), "bad_price"),
    (wire.book(1, TS, levels=[(1, 1, 1), (-1, 1, 1)]), "bad_price"),
    (wire.snapshot(1, TS, prices=(1, 2, 3, 4, 5, 6, -7)), "bad_price"),
    (wire.index(1, TS, value=-1), "bad_price"),
    (wire.contract(1, TS, close=-1), "bad_price"),
    (wire.trade(1, TS, volume=2**63), "bad_volume"),
    (wire.book(1, TS, levels=[(1, 2**64 - 1, 1)]), "bad_volume"),
    (wire.snapshot(1, TS, counts=(1, 2**63, 1, 1)), "bad_volume"),
    (wire.index(1, TS, traded=2**63), "bad_volume"),
    (wire.trade(1, TS, trade_no=2**63), "bad_number"),
    (wire.status(1, TS, next_seq=2**63), "bad_number"),
    (wire.trade(1, TS, aggressor="X"), "bad_aggressor"),
    (wire.status(1, TS, "Q"), "bad_state"),
    (wire.trade(0, TS), "bad_seq"),
    (wire.trade(2**64 - 1, TS), "bad_seq"),
    (wire.trade(1, 2**63), "bad_ts"),
    (wire.trade(1, 4_102_444_801 * SECOND), "bad_ts"),
]


def test_a_message_from_the_future_is_refused() -> None:
    """Taken, it would make all that follows it stale."""
    day = 86_400 * SECOND
    soon = wire.frames([wire.trade(1, TS + day)], ts_recv=TS)
    far = wire.frames([wire.trade(2, TS + day + 1)], ts_recv=TS)
    after = wire.frames([wire.trade(2, TS + day)], ts_recv=TS)
    heard = check_one(soon, far, after)
    assert seqs(heard) == [1, 2]
    assert [reject.reason for reject in heard.rejects] == ["bad_ts"]


@pytest.mark.parametrize(
    ("message", "reason"), BAD, ids=[f"{i}-{r}" for i, (_, r) in enumerate(BAD)]
)
def test_a_bad_message_is_quarantined_and_the_stream_goes_on(message: bytes, reason: str) -> None:
    if message:
        heard = check_one(wire.blocks_of([wire.status(1, TS - 1), message, wire.trade(2, TS + 9)]))
    else:
        heard = check_one(wire.frames([wire.status(1, TS - 1), message, wire.trade(2, TS + 9)]))
    assert reasons(heard) == [reason]
    assert heard.rejects[0].payload == message
    assert heard.counts[f"rejected_{reason}"] == 1
    assert len(heard.rows()["ticks"]) == 1


def test_a_refused_message_leaves_a_gap_whose_cause_is_the_refusal() -> None:
    bad = wire.trade(2, TS + 1, board="XX")
    heard = check_one(wire.frames([GOOD, bad, wire.trade(3, TS + 2)]))
    gap = heard.rows()["status"][-1]
    assert (gap["state"], gap["seq_from"], gap["seq_to"], gap["cause"]) == ("gap", 2, 2, "refused")
    late = check_one(wire.frames([GOOD, bad, wire.trade(3, TS + 2), wire.trade(2, TS + 1)]))
    assert late.counts["late"] == 1 and len(late.rows()["ticks"]) == 3


@pytest.mark.parametrize("length", [0, 1025, 65535])
def test_a_length_that_cannot_be_loses_the_record_and_not_the_next(length: int) -> None:
    broken = wire.blocks([GOOD]) + struct.pack(">H", length) + b"?" * 70_000
    records = [Record(broken, form=0), wire.blocks_of([wire.trade(2, TS + 1)])]
    heard = check_one(*records)
    assert reasons(heard) == ["framing_lost"] and len(heard.rows()["ticks"]) == 2
    assert len(heard.rejects[0].payload) == 65_536


def test_a_truncated_frame_is_refused_and_the_next_record_decoded() -> None:
    payload = wire.soup([GOOD])[:-1]
    heard = check_one(Record(payload), wire.frames([wire.trade(1, TS)]))
    assert reasons(heard) == ["truncated"] and len(heard.rows()["ticks"]) == 1


def test_every_prefix_of_a_stream_gives_the_rows_of_its_whole_messages() -> None:
    payload = wire.blocks(ALL_TYPES)
    edges = {0}
    for message in ALL_TYPES:
        edges.add(max(edges) + 2 + len(message))
    decoder = IdxDecoder(IDX, wire.words())
    fresh = decoder.snapshot()
    for size in range(len(payload) + 1):
        record = Record(payload[:size], form=0)
        oracle = Oracle()
        oracle.push([record], wire.positions([record]))
        decoder.restore(fresh)
        found = decoder.push(wire.one_chunk(record))
        assert found.counts == oracle.counts
        assert list(found.rejects) == oracle.rejects
        assert bool(found.rejects) == (size not in edges)
        assert {k: len(b) for k, b in found.batches.items()} == {
            k: len(rows) for k, rows in oracle.rows.items()
        }


def test_packets_that_are_not_sequenced_are_passed_over() -> None:
    heartbeat, debug = b"\x00\x01H", b"\x00\x04+hey"
    payload = heartbeat + wire.soup([GOOD]) + debug + wire.soup([wire.trade(2, TS + 1)])
    heard = check_one(Record(payload))
    assert heard.counts["packets_skipped"] == 2 and len(heard.rows()["ticks"]) == 2


def test_text_lines_are_not_this_decoders() -> None:
    assert reasons(check_one(Record(b"1|1|2", form=9))) == ["bad_form"]


# -- sequence -------------------------------------------------------------------------------------


def trades(*numbers: int, ts: int = TS) -> Record:
    return wire.frames([wire.trade(number, ts + number) for number in numbers])


def gaps(heard: Heard) -> list[tuple[Any, ...]]:
    rows = heard.rows().get("status", [])
    return [(r["seq_from"], r["seq_to"], r["cause"]) for r in rows if r["state"] == "gap"]


def seqs(heard: Heard) -> list[int]:
    return [row["seq"] for row in heard.rows().get("ticks", [])]


def test_a_jump_is_a_gap_with_its_range() -> None:
    heard = check_one(trades(1, 2, 6))
    assert gaps(heard) == [(3, 5, "jump")] and heard.counts["missing"] == 3
    assert heard.rows()["status"][-1]["ts_from"] == TS + 2


def test_a_stream_joined_late_misses_what_came_before() -> None:
    heard = check_one(trades(100))
    assert gaps(heard) == [(1, 99, "jump")] and heard.rows()["status"][-1]["ts_from"] is None


def test_a_gap_after_the_channel_was_away_says_so() -> None:
    heard = check_one(trades(1), Record(kind=DOWN), Record(kind=UP), trades(5), trades(9))
    assert gaps(heard) == [(2, 4, "down"), (6, 8, "jump")]


def test_a_duplicate_is_dropped_and_counted() -> None:
    heard = check_one(trades(1, 2, 3), trades(2, 3, 4))
    assert seqs(heard) == [1, 2, 3, 4] and heard.counts["duplicates"] == 2


def test_late_messages_fill_their_gap_once() -> None:
    heard = check_one(trades(1, 10), trades(5, 2, 9, 5, 3), trades(4, 6, 7, 8, 8, 11))
    assert seqs(heard) == [1, 10, 5, 2, 9, 3, 4, 6, 7, 8, 11]
    assert heard.counts["duplicates"] == 2 and heard.counts["late"] == 8


def test_a_quiet_channel_shows_its_gap_by_the_heartbeat() -> None:
    heard = check_one(trades(1), wire.frames([wire.status(2, TS + 5, "H", next_seq=7)]), trades(7))
    assert gaps(heard) == [(3, 6, "jump")]


def test_one_again_with_a_later_ts_is_a_new_session() -> None:
    day = 86_400 * SECOND
    heard = check_one(trades(1, 2, 3), trades(1, 2, ts=TS + day), trades(2, 3, ts=TS))
    assert seqs(heard) == [1, 2, 3, 1, 2]
    assert heard.counts["sessions"] == 2 and heard.counts["stale"] == 2
    assert [r["state"] for r in heard.rows()["status"]] == ["up", "up"]


def test_one_again_without_a_later_ts_is_refused() -> None:
    heard = check_one(trades(1, 2, 3), wire.frames([wire.trade(1, TS + 3)]), trades(4))
    assert reasons(heard) == ["stale_session"] and seqs(heard) == [1, 2, 3, 4]


def test_a_source_read_twice_changes_nothing() -> None:
    day = 86_400 * SECOND
    once = [
        Record(kind=UP),
        wire.blocks_of([wire.status(1, TS, "1"), *[wire.trade(i, TS + i) for i in range(2, 30)]]),
        wire.blocks_of([wire.trade(i, TS + day + i) for i in range(1, 9)]),
        Record(kind=END_OF_FILE),
    ]
    heard, words = run(once * 2)
    check(once * 2, heard, words)
    first, _ = run(once)
    assert heard.rows() == first.rows() and not heard.rejects


def test_an_ended_session_begins_again_at_one() -> None:
    day = 86_400 * SECOND
    records = [trades(1, 2, 3), Record(kind=END_OF_SESSION), trades(3, 4, ts=TS + day)]
    heard = check_one(*records, trades(5, ts=TS + day))
    assert seqs(heard) == [1, 2, 3, 3, 4, 5] and gaps(heard) == [(1, 2, "jump")]


def test_holes_are_bounded_and_the_oldest_is_forgotten() -> None:
    heard, _ = run([trades(*range(1, 201, 2)), trades(2, 200, 198)])
    assert heard.counts["holes_forgotten"] == 99 - 64
    assert heard.counts["duplicates"] == 1 and heard.counts["late"] == 1
    assert seqs(heard)[-2:] == [200, 198]


def test_splitting_a_hole_when_all_places_are_taken() -> None:
    numbers = [1, *range(6, 6 + 3 * 64, 3)]
    heard, _ = run([trades(*numbers), trades(3, 2, 4, 5)])
    assert heard.counts["holes_forgotten"] == 1
    assert seqs(heard)[-3:] == [3, 4, 5]


# -- tape, sessions, links ------------------------------------------------------------------------


def roles(heard: Heard, words: Words) -> list[tuple[str, int]]:
    return [(row["role"], row["ts"] - TS) for row in heard.tape(words)]


def test_marks_tell_of_whole_seconds_that_no_trade_told_of() -> None:
    beats = [wire.status(i + 1, TS + i * SECOND // 4, "H") for i in range(9)]
    heard, words = run([wire.frames(beats)])
    assert roles(heard, words) == [("mark", 0), ("mark", SECOND), ("mark", 2 * SECOND)]
    heard, words = run([wire.frames(beats, channel=1)])
    assert roles(heard, words) == []


@pytest.mark.parametrize("state", ["B", "X", "E"])
def test_the_end_of_a_session_is_told_once(state: str) -> None:
    messages = [
        wire.status(1, TS, "1"),
        wire.status(2, TS + 1, state),
        wire.status(3, TS + 2, state),
    ]
    records = [wire.frames(messages)]
    heard, words = run(records)
    check(records, heard, words)
    assert roles(heard, words) == [("mark", 0), ("session_end", 1)]
    assert [r["state"] for r in heard.rows()["status"]] == ["up", "1", state]


def test_records_without_messages_put_their_roles_on_the_tape() -> None:
    clock = (TS + 5 * SECOND).to_bytes(8, "little")
    kinds = [UP, DOWN, UP, END_OF_SESSION, END_OF_FILE, SETTING]
    records = [trades(1), *[Record(kind=kind) for kind in kinds], Record(clock, kind=CLOCK)]
    records += [Record(b"short", kind=CLOCK), Record(kind=DOWN, channel=1)]
    heard, words = run(records)
    check(records, heard, words)
    assert [role for role, _ in roles(heard, words)] == [
        *("trade", "up", "down", "up", "session_end", "file_end", "mark")
    ]
    assert [r["state"] for r in heard.rows()["status"]] == ["up", "down", "up", "end_of_file"]


def test_links_are_told_only_when_they_change() -> None:
    records = [Record(kind=UP), trades(1), Record(kind=UP), Record(kind=DOWN), Record(kind=DOWN)]
    heard, words = run(records)
    check(records, heard, words)
    assert [r["state"] for r in heard.rows()["status"]] == ["up", "down"]


# -- state ----------------------------------------------------------------------------------------


def test_what_was_returned_is_never_written_again() -> None:
    words = wire.words()
    decoder = IdxDecoder(IDX, words)
    first = decoder.push(wire.one_chunk(wire.frames(ALL_TYPES)))
    before = {name: batch.block.copy() for name, batch in first.batches.items()}
    tape = first.tape.copy()
    decoder.push(wire.one_chunk(trades(*range(11, 400), ts=TS + 3 * SECOND)))
    assert all((before[name] == batch.block).all() for name, batch in first.batches.items())
    assert (tape == first.tape).all()


def test_a_chunk_without_rows_bears_its_end() -> None:
    decoder = IdxDecoder(IDX, wire.words())
    found = decoder.push(wire.chunk([Record(b"", form=0)], [4711]))
    assert found.end == 4711 and not found.batches and found.tape.shape == (12, 0)


def test_warm_compiles_all_that_push_calls() -> None:
    decoder = IdxDecoder(IDX, wire.words())
    decoder.warm()
    assert not decoder.snapshot()["channels"][0, 0]
    signatures = len(decode.signatures)
    decoder.push(wire.one_chunk(wire.frames(ALL_TYPES), wire.blocks_of(ALL_TYPES, 1)))
    assert len(decode.signatures) == signatures == 1


# -- any stream, any cut, any restart -------------------------------------------------------------

TICKERS = ("BBCA", "GOTO", "A", "X-W.1", "COMPOSITE123")
numbers = st.one_of(st.integers(0, 10**9), st.integers(0, 2**63 - 1))
boards = st.sampled_from(["RG", "NG", "TN"])
levels = st.lists(st.tuples(numbers, numbers, st.integers(0, 2**32 - 1)), max_size=10)


def message(draw: Any, seq: int, ts: int) -> bytes:
    """A sound message of any type."""
    ticker, board = draw(st.sampled_from(TICKERS)), draw(boards)
    kind = draw(st.sampled_from("1112334569999"))
    if kind == "1":
        price, volume = draw(numbers) + 1, draw(numbers)
        side = draw(st.sampled_from("BS "))
        return wire.trade(seq, ts, ticker, board, seq, min(price, 2**63 - 1), volume, side)
    if kind == "2":
        prices = draw(st.lists(numbers, min_size=7, max_size=7))
        counts = draw(st.lists(numbers, min_size=4, max_size=4))
        return wire.snapshot(
            seq, ts, ticker, board, prices, counts, draw(st.integers(0, 2**32 - 1))
        )
    if kind in "34":
        return wire.book(seq, ts, "bid" if kind == "3" else "ask", draw(levels), ticker, board)
    if kind == "5":
        return wire.index(seq, ts, ticker, draw(numbers), draw(numbers), draw(numbers))
    if kind == "6":
        name = draw(st.one_of(st.text(max_size=20), st.binary(max_size=60)))
        return wire.contract(seq, ts, ticker, board, name, lot=draw(st.integers(0, 2**32 - 1)))
    jump = draw(st.sampled_from([0, 0, 0, 0, 3, -1]))
    return wire.status(seq, ts, draw(st.sampled_from("P1B2CXEHHH")), seq + 1 + jump)


def spoiled(draw: Any, sound: bytes) -> bytes:
    """The message with one byte changed, cut off, or put on."""
    at = draw(st.integers(0, len(sound) - 1))
    how = draw(st.sampled_from(["byte", "cut", "more"]))
    if how == "byte":
        return sound[:at] + bytes([draw(st.integers(0, 255))]) + sound[at + 1 :]
    return sound[:at] if how == "cut" else sound + b"x"


@st.composite
def streams(draw: Any) -> list[Record]:
    """Records of both channels: sound messages, faults, jumps, repeats, sessions, controls."""
    records, at = [], [[0, TS], [0, TS]]
    for _ in range(draw(st.integers(1, 12))):
        channel = draw(st.integers(0, 1))
        recv = draw(st.sampled_from([-1, TS]))
        if draw(st.integers(0, 4)) == 0:
            kind = draw(st.sampled_from([UP, DOWN, END_OF_FILE, END_OF_SESSION, CLOCK]))
            clock = at[channel][1] + draw(st.integers(0, 2 * SECOND))
            payload = clock.to_bytes(8, "little") if kind == CLOCK else b""
            records.append(Record(payload, channel, kind=kind, ts_recv=recv))
            if kind == END_OF_SESSION:
                at[channel] = [0, at[channel][1] + SECOND]
            continue
        messages = [_next(draw, at[channel]) for _ in range(draw(st.integers(0, 8)))]
        framed = draw(st.sampled_from([wire.frames, wire.blocks_of]))
        if framed is wire.blocks_of:
            messages = [message for message in messages if message]
        record = framed(messages, channel, recv)
        if draw(st.integers(0, 9)) == 0:
            cut = draw(st.integers(0, len(record.payload)))
            record = Record(record.payload[:cut], channel, record.form, ts_recv=recv)
        records.append(record)
    return records


def _next(draw: Any, at: list[int]) -> bytes:
    """The next message of a channel, or a fault; `at` is its last number and ts."""
    what = draw(st.sampled_from(["next"] * 8 + ["jump", "again", "bad", "day", "one", "late"]))
    step = draw(st.sampled_from([0, 1, SECOND // 3, SECOND, 70 * SECOND]))
    if what == "again":
        return message(draw, max(1, at[0] - draw(st.integers(0, 3))), at[1])
    if what == "late":
        return message(draw, max(1, at[0] - draw(st.integers(0, 9))), at[1] - step)
    if what == "one":
        return message(draw, 1, at[1] - step)
    if what == "day":
        at[0], at[1] = 0, at[1] + 86_400 * SECOND
    if what == "jump":
        at[0] += draw(st.integers(1, 5))
    at[0], at[1] = at[0] + 1, at[1] + step
    sound = message(draw, at[0], at[1])
    return spoiled(draw, sound) if what == "bad" else sound


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(streams(), st.data())
def test_any_stream_in_any_cut_is_what_the_oracle_says(records: list[Record], data: Any) -> None:
    whole, words = run(records)
    check(records, whole, words)
    cuts = data.draw(st.lists(st.integers(0, len(records)), max_size=5))
    cut, words_cut = run(records, cuts, capacity=data.draw(st.sampled_from([1, 3, 64])))
    assert cut.bytes() == whole.bytes()
    assert cut.rejects == whole.rejects and cut.counts == whole.counts
    assert (words_cut.symbols, words_cut.texts) == (words.symbols, words.texts)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(streams(), st.data())
def test_a_restart_anywhere_changes_nothing(records: list[Record], data: Any) -> None:
    whole, _ = run(records)
    at = data.draw(st.integers(0, len(records)))
    ends, heard, words = wire.positions(records), Heard(), wire.words()
    decoder = IdxDecoder(IDX, words)
    if at:
        heard.add(decoder.push(wire.chunk(records[:at], ends[:at])))
    kept, kept_words = decoder.snapshot(), words.snapshot()
    if at < len(records):
        decoder.push(wire.chunk(records[at:], ends[at:]))  # what the restart forgets
        again = Words(IDX.boards, words.channels)
        again.restore(kept_words)
        restarted = IdxDecoder(IDX, again)
        restarted.restore(kept)
        heard.add(restarted.push(wire.chunk(records[at:], ends[at:])))
    assert heard.bytes() == whole.bytes() and heard.rejects == whole.rejects
    assert heard.counts == whole.counts


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600), st.sampled_from([0, 1]))
def test_any_bytes_are_decoded_or_refused_and_never_more_than_they_are(
    payload: bytes, form: int
) -> None:
    record = Record(payload, form=form)
    heard, words = run([record])
    check([record], heard, words)
