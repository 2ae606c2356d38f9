"""ITCH 5.0: every type against `itchfeed`, the books against a slow one, any cut, any restart."""

import math
import random
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from itch.messages import messages as codec

from bursa.model.batch import (
    AGAIN,
    BROKEN,
    CHANNEL_DOWN,
    CLOCK,
    DOWN,
    END_OF_FILE,
    END_OF_SESSION,
    FILE_END,
    LINES,
    MARK,
    SESSION_END,
    SOUPBIN,
    TAPE_ROLE,
    TRADE,
    Batch,
    concat,
)
from bursa.model.errors import Reject
from bursa.model.venue import XNAS
from bursa.wire.decoded import Book, Decoded, Rejected
from bursa.wire.itch50.decoder import ItchDecoder
from bursa.wire.itch50.layout import MESSAGES, fields
from tests.wire.itch50 import encoder as wire
from tests.wire.itch50.encoder import DAY, MIDNIGHT, NS, RECV, SECOND, Flow, Record
from tests.wire.itch50.oracle import SlowBook

ROLES = {TRADE: "trade", MARK: "mark", SESSION_END: "end", BROKEN: "broken", AGAIN: "again"}


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

    def rows(self, name: str) -> list[dict[str, Any]]:
        if name not in self.batches:
            return []
        return list(concat(self.batches[name]).to_arrow().to_pylist())

    def bytes(self) -> dict[str, bytes]:
        found = {"tape": np.concatenate(self.tapes, axis=1).tobytes()}
        for name, batches in self.batches.items():
            found[name] = np.concatenate([batch.block for batch in batches], axis=1).tobytes()
        return found

    def roles(self) -> list[str]:
        return [
            ROLES.get(role, str(role)) for role in np.concatenate(self.tapes, axis=1)[TAPE_ROLE]
        ]

    def reasons(self) -> list[str]:
        return [reject.reason for reject in self.rejects]


def decoder(**options: Any) -> ItchDecoder:
    return ItchDecoder(XNAS, XNAS.words(), **options)


def run(
    records: Sequence[Record], cuts: Sequence[int] = (), made: ItchDecoder | None = None
) -> tuple[Heard, ItchDecoder]:
    """Decode records in chunks cut before the given ones."""
    made = decoder() if made is None else made
    ends, heard = wire.positions(records), Heard()
    edges = sorted({0, *cuts, len(records)})
    for first, last in zip(edges, edges[1:], strict=False):
        heard.add(made.push(wire.chunk(records[first:last], ends[first:last])))
    return heard, made


def one(*messages: bytes, first_seq: int = 1) -> tuple[Heard, ItchDecoder]:
    return run([wire.record(messages, first_seq)])


def levels(book: Book | None, side: str) -> list[tuple[float, int, int]]:
    assert book is not None
    found = book.bids if side == "B" else book.asks
    columns = (found.prices.tolist(), found.volumes.tolist(), found.orders.tolist())
    return list(zip(*columns, strict=True))


# -- the codec ------------------------------------------------------------------------------------

# Names of itchfeed that are not ours.
_THEIRS = {
    "order_reference": "order_reference_number",
    "side": "buy_sell_indicator",
    "event": "event_code",
    "round_lot": "round_lot_size",
    "classification": "issue_classification",
    "subtype": "issue_sub_type",
    "short_sale_threshold": "short_sale_threshold_indicator",
    "financial_status": "financial_status_indicator",
    "new_reference": "new_order_reference_number",
    "interest": "interest_flag",
}


def value(raw: Any, kind: str) -> Any:
    if isinstance(raw, bytes):
        return raw.decode("latin-1").rstrip(" ")
    return raw / 10 ** {"p4": 4, "p8": 8}[kind] if kind in ("p4", "p8") else raw


@pytest.mark.parametrize("message", wire.every_type(), ids=lambda m: m[:1].decode())
def test_every_field_of_every_type_is_what_an_independent_codec_reads(message: bytes) -> None:
    for body in (message[1:], bytes(range(200, 201 + len(message) - 2)), b"A" * (len(message) - 1)):
        altered = message[:1] + body
        theirs, ours = codec[altered[:1]](altered), fields(altered)
        code = altered[:1].decode()
        _, length, table = MESSAGES[code]
        assert length == theirs.message_size == len(altered)
        assert (ours["stock_locate"], ours["tracking_number"], ours["timestamp"]) == (
            theirs.stock_locate,
            theirs.tracking_number,
            theirs.timestamp,
        )
        # Theirs in the order of their wire: every attribute of the class that is no header.
        raw = struct.unpack(theirs.message_format, altered[1:])[4:]
        assert len(raw) == len(table)
        for (name, _, _, kind), found in zip(table, raw, strict=True):
            assert ours[name] == value(found, kind), (code, name)
            named = _THEIRS.get(name, name)
            if hasattr(theirs, named) and not named.endswith("price"):
                assert getattr(theirs, named) == found


def test_all_23_types_are_known_and_nothing_else() -> None:
    assert set(MESSAGES) == set("SRHYLVWKJhAFECXDUPQBINO") == {code.decode() for code in codec}
    for code, length in (("Z", 12), ("A", 35)):
        with pytest.raises(Reject):
            fields(code.encode() * length)


# -- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("framed", [wire.record, wire.soup])
def test_every_type_is_taken_and_becomes_its_rows(framed: Any) -> None:
    heard, made = run([framed(wire.every_type(), 1)])
    assert not heard.rejects and heard.counts["messages"] == 23
    assert {name: len(heard.rows(name)) for name in heard.batches} == {
        "ticks": 5,
        "quotes": 7,
        "contracts": 1,
        "status": 2,
    }
    for code in "SRHYLVWKJhPQBINO":
        assert heard.counts[MESSAGES[code][0]] == 1, code
    assert made.trading_state(0) == "T" and made.live_orders() == 1
    assert made.watermarks() == [MIDNIGHT + NS]


def test_trades_have_their_price_side_and_time() -> None:
    heard, _ = one(*wire.every_type())
    at = {"ticker": "AAPL", "board": "XNAS", "ts": MIDNIGHT + NS, "ts_recv": RECV}
    rows = heard.rows("ticks")
    assert [{**row, **at} for row in rows] == rows
    found = [[row[k] for k in ("trade_no", "price", "volume", "aggressor", "seq")] for row in rows]
    assert found == [
        [11, 100.0, 100.0, "S", 16],
        [12, 100.005, 100.0, "B", 17],
        [13, 100.0, 70.0, "B", 21],
        [14, 100.0, float(2**33), None, 22],
        [13, 100.0, -70.0, "B", 23],
    ]


def test_a_hidden_trade_tells_its_side_only_until_july_2014() -> None:
    message = wire.hidden(1, "AAPL", "B", 100, 500, 3)
    for session, side in (("20140711", "S"), ("20140714", None), (DAY, None)):
        old = Record(wire.blocks([message]), 1, session, ts_recv=-1)
        heard, _ = run([old])
        assert [row["aggressor"] for row in heard.rows("ticks")] == [side]


def test_contracts_status_and_quotes() -> None:
    heard, _ = one(
        wire.event("O"),
        wire.directory(7, "BRK.A", lot=1),
        wire.event("S"),
        wire.event("Q", NS + 1),
        wire.add(7, 1, "S", 5, "BRK.A", 6_000_000_000 // 2, NS + 2),
        wire.deleted(7, 1, NS + 3),
        wire.event("M", NS + 4),
        wire.event("E", NS + 5),
        wire.event("C", NS + 6),
    )
    row = heard.rows("contracts")[0]
    known = {"ticker": "BRK.A", "name": None, "lot": 1, "currency": "USD", "prev_close": None}
    assert row | known == row and row["price_decimals"] == 2
    assert [row["state"] for row in heard.rows("status")] == ["up", "P", "1", "X", "E"]
    quotes = [[q["seq"], q["bid"], q["ask"], q["ask_volume"]] for q in heard.rows("quotes")]
    assert quotes == [[5, None, 300_000.0, 5.0], [6, None, None, None]]
    assert heard.roles().count("end") == 1


def test_a_day_without_a_name_is_new_yorks_of_its_first_receive_time() -> None:
    for ts_recv, midnight in (
        (RECV, MIDNIGHT),
        (MIDNIGHT - 1, MIDNIGHT - 86_400 * SECOND),
        # Clocks went forward on 10 March 2024: that day began at five in London, the next at four.
        (1_710_090_000 * SECOND, 1_710_046_800 * SECOND),
        (1_710_133_200 * SECOND, 1_710_129_600 * SECOND),
    ):
        first = Record(wire.blocks([wire.event("O", 1)]), session="", ts_recv=ts_recv)
        _, made = run([first])
        assert made.watermarks() == [midnight + 1]


def test_numbers_begin_again_with_a_session_and_its_books_are_empty() -> None:
    tomorrow = Record(
        wire.blocks([wire.event("O")]), 1, "20240318", ts_recv=RECV + 3 * 86_400 * SECOND
    )
    heard, made = run([wire.record(wire.every_type(), 1), tomorrow])
    assert made.live_orders() == 0 and made.book(0) is None and heard.counts["sessions"] == 2
    unnamed = [Record(wire.blocks([wire.add(1, 5)]), session="", ts_recv=RECV + d * 86_400 * SECOND)
               for d in (0, 0, 1)]  # fmt: skip
    heard, made = run([unnamed[0]])
    assert made.live_orders() == 1
    heard, _ = run(unnamed[1:], made=made)
    assert heard.reasons() == ["bad_order"] and heard.counts["sessions"] == 1
    assert made.live_orders() == 1 and made.watermarks() == [MIDNIGHT + 86_400 * SECOND + NS]


def old_and_live() -> tuple[list[Record], list[Record], list[Record]]:
    """Day 2 up to its middle, the day before it, the rest of day 2."""
    flow, other = Flow(5, stocks=4, depth=8), Flow(6, stocks=4, depth=8)
    messages = [*wire.every_type(30, "ZZZZ", 2**50), *(flow.next() for _ in range(300))]
    live = wire.records(messages, 9)
    messages = [*wire.every_type(31, "YYYY"), *(other.next() for _ in range(60))]
    past = [replace(each, session="20240314") for each in wire.records(messages, 7)]
    past += [
        replace(past[0], payload=wire.packets(wire.every_type()), form=SOUPBIN),
        replace(past[0], session="", ts_recv=RECV - 86_400 * SECOND),
        replace(past[0], payload=past[0].payload[:-1]),
    ]
    return live[:20], past, live[20:]


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 60)), st.integers(1, 40), st.booleans())
def test_a_past_day_read_into_a_live_one_leaves_it_as_it_is(
    cuts: set[int], capacity: int, ended: bool
) -> None:
    first, past, rest = old_and_live()
    count = 23 + 60 + 23 + 7 + 7
    if ended:
        past = [*past, Record(kind=END_OF_SESSION)]
    records = [*first, *past, *rest]
    ends, heard, made = wire.positions(records), Heard(), decoder(capacity=capacity)
    edges = sorted({0, *(cut for cut in cuts if cut < len(records)), len(records)})
    for start, end in zip(edges, edges[1:], strict=False):
        state, words = made.snapshot(), made._words.snapshot()
        made = decoder(capacity=capacity)
        made._words.restore(words)
        made.restore(state)
        heard.add(made.push(wire.chunk(records[start:end], ends[start:end])))
    alone, other = run([*first, *rest])
    assert heard.counts.pop("stale") == count
    heard.counts["messages"] -= count
    assert heard.counts == alone.counts and not heard.rejects
    assert heard.roles() == alone.roles() and heard.counts["gaps"] == 0
    for name in alone.batches:
        rows = [{**row, "position": 0} for row in heard.rows(name)]
        assert rows == [{**row, "position": 0} for row in alone.rows(name)], name
    assert made.watermarks() == other.watermarks() and made.live_orders() == other.live_orders()
    for symbol in range(len(other._words.symbols)):
        for side in "BS":
            assert levels(made.book(symbol), side) == levels(other.book(symbol), side)


def test_a_past_day_is_stale_behind_a_session_that_is_over_too() -> None:
    first, past, _ = old_and_live()
    heard, made = run([*first, Record(kind=END_OF_SESSION), *past])
    alone, other = run([*first, Record(kind=END_OF_SESSION)])
    assert heard.counts["stale"] == 23 + 60 + 23 + 7 + 7 and not heard.rejects
    assert heard.roles() == alone.roles() and made.live_orders() == other.live_orders()
    tomorrow = wire.record([wire.add(1, 1)], 1, "20240316")
    heard, made = run([replace(tomorrow, ts_recv=RECV + 86_400 * SECOND)], made=made)
    assert heard.counts["sessions"] == 1 and made.live_orders() == 1


@pytest.mark.parametrize("name", ["99991231", "22620412", "00010101", "16770101", "20240230"])
def test_eight_digits_that_are_no_day_of_ours_are_a_name(name: str) -> None:
    """A day past the reach of int64 ended the decoder, and again at each start."""
    heard, made = run([wire.record(wire.every_type(), 1, session=name)])
    assert not heard.rejects and made.watermarks() == [MIDNIGHT + NS]


def test_a_source_that_says_no_day_at_all_is_refused() -> None:
    nameless = Record(wire.blocks(wire.every_type()), session="", ts_recv=-1)
    heard, _ = run([nameless, wire.record(wire.every_type(), 1)])
    assert heard.reasons() == ["no_date"] and heard.counts["messages"] == 23


# -- sequence -------------------------------------------------------------------------------------


def test_gaps_duplicates_and_late_messages() -> None:
    adds = [wire.add(1, ref, ns=NS + ref) for ref in range(1, 7)]
    heard, made = run(
        [
            wire.record(adds[:2], 1),
            wire.record(adds[3:4], 4),
            wire.record(adds[:2], 1),
            wire.record([wire.hidden(1, "AAPL", "S", 9, 50, 1, NS + 9)], 3),
            wire.record(adds[4:], 5),
        ]
    )
    assert heard.counts["duplicates"] == 2 and heard.counts["late"] == 1
    gap = [row for row in heard.rows("status") if row["state"] == "gap"]
    assert [(row["seq_from"], row["seq_to"], row["cause"]) for row in gap] == [(3, 3, "jump")]
    assert len(heard.rows("ticks")) == 1 and made.live_orders() == 5
    book = made.book(0)
    assert book is not None and not book.whole


def test_late_orders_leave_the_book_but_do_not_enter_it() -> None:
    _, made = run(
        [
            wire.record([wire.add(1, 1), wire.add(1, 2)], 1),
            wire.record([wire.add(1, 9)], 6),
            wire.record([wire.deleted(1, 1), wire.add(1, 3), wire.replaced(1, 2, 4, 5, 6)], 3),
        ]
    )
    assert made.live_orders() == 1 and levels(made.book(0), "B") == [(100.0, 100, 1)]


def test_a_raw_stream_numbers_what_it_takes() -> None:
    bad = b"Z" * 12
    heard, _ = run([wire.record([wire.add(1, 1), bad]), wire.record([wire.add(1, 2)])])
    assert [row["seq"] for row in heard.rows("quotes")] == [1, 2] and not heard.counts["gaps"]


def test_records_without_messages() -> None:
    frames = wire.record([wire.hidden(1, "AAPL", "S", 9, 50, 1)], 1)
    clock = Record((MIDNIGHT + NS + 5 * SECOND).to_bytes(8, "little"), kind=CLOCK)
    heard, made = run(
        [frames, clock, Record(kind=DOWN), Record(kind=END_OF_FILE), Record(kind=END_OF_SESSION)]
    )
    assert heard.roles() == ["trade", "mark", str(CHANNEL_DOWN), str(FILE_END), "end"]
    assert [row["state"] for row in heard.rows("status")] == ["up", "down", "end_of_file"]
    assert made.watermarks() == [MIDNIGHT + NS + 5 * SECOND]
    again, _ = run([frames], made=made)
    assert again.counts["stale"] == 1, "the session that is over is not taken twice"


# -- faults ---------------------------------------------------------------------------------------

LIVE = [wire.add(1, 1), wire.add(1, 2, "S", 50, price=1_000_100), wire.add(2, 3, stock="B")]
FAULTS = {
    "unknown_type": b"Z" * 12,
    "bad_length": wire.add(1, 9)[:-1],
    "bad_stock": wire.add(3, 9, stock="aapl"),
    "bad_locate": wire.add(1, 9, stock="MSFT"),
    "bad_side": wire.add(1, 9, "X"),
    "bad_shares": wire.add(1, 9, shares=0),
    "bad_price": wire.add(1, 9, price=0),
    "bad_order": wire.add(1, 1),
    "bad_number": wire.executed(1, 1, 1, 2**63),
    "bad_printable": wire.priced(1, 1, 1, 1, 1, "?"),
    "bad_event": wire.event("?"),
    "bad_ts": wire.add(1, 9, ns=86_400 * SECOND),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_a_message_that_is_wrong_is_refused_with_its_bytes_and_the_next_goes_on(
    reason: str,
) -> None:
    heard, made = one(*LIVE, FAULTS[reason], wire.deleted(1, 1))
    assert heard.reasons() == [reason] and heard.rejects[0].payload == FAULTS[reason]
    assert made.live_orders() == 2 and heard.counts[f"rejected_{reason}"] == 1
    gap = [row for row in heard.rows("status") if row["state"] == "gap"]
    assert [(row["seq_from"], row["seq_to"], row["cause"]) for row in gap] == [(4, 4, "refused")]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (wire.executed(1, 1, 101, 5), "bad_shares"),
        (wire.executed(1, 1, 0, 5), "bad_shares"),
        (wire.priced(1, 1, 101, 5, 9), "bad_shares"),
        (wire.priced(1, 1, 1, 5, 0), "bad_price"),
        (wire.cancelled(1, 1, 101), "bad_shares"),
        (wire.replaced(1, 1, 2, 5, 5), "bad_order"),
        (wire.replaced(1, 1, 7, 0, 5), "bad_shares"),
        (wire.replaced(1, 1, 7, 5, 0), "bad_price"),
        (wire.deleted(2, 1), "bad_locate"),
        (wire.hidden(1, "AAPL", "B", 0, 5, 5), "bad_shares"),
        (wire.cross(1, "AAPL", 2**63, 5, 5), "bad_number"),
        (wire.cross(1, "AAPL", 1, 0, 5), "bad_price"),
        (wire.directory(1, "MSFT"), "bad_locate"),
        (wire.broken(2**63), "bad_number"),
    ],
)
def test_what_contradicts_the_book_is_refused_and_changes_nothing(
    message: bytes, reason: str
) -> None:
    heard, made = one(*LIVE, message)
    before, _ = one(*LIVE)
    assert heard.reasons() == [reason] and made.live_orders() == 3
    assert quotes_of(heard) == quotes_of(before) and not heard.rows("ticks")
    assert levels(made.book(0), "B") == [(100.0, 100, 1)]


def test_orders_that_nobody_knows_are_counted_and_a_c_of_them_still_trades() -> None:
    heard, _ = one(
        *LIVE,
        wire.executed(1, 99, 5, 5),
        wire.priced(1, 99, 5, 6, 70_000),
        wire.priced(1, 99, 5, 7, 70_000, "N"),
        wire.cancelled(1, 99, 5),
        wire.deleted(1, 99),
        wire.replaced(1, 99, 100, 5, 5),
    )
    assert heard.counts["unknown_orders"] == 6 and not heard.rejects
    rows = [(row["trade_no"], row["price"], row["aggressor"]) for row in heard.rows("ticks")]
    assert rows == [(6, 7.0, None)]


def test_an_order_may_be_replaced_under_its_own_reference() -> None:
    _, made = one(*LIVE, wire.replaced(1, 1, 1, 7, 999_900), wire.executed(1, 1, 7, 8))
    assert made.live_orders() == 2 and levels(made.book(0), "B") == []


def test_a_framing_that_is_lost_costs_the_record_and_no_more() -> None:
    good = wire.blocks([wire.add(1, 1)])
    for tail, reason in (
        (b"\0\0rest", "framing_lost"),
        (b"\xff\xff", "framing_lost"),
        (b"\0", "truncated"),
        (good[:-1], "truncated"),
    ):
        heard, made = run([Record(good + tail), wire.record([wire.add(1, 2)])])
        assert heard.reasons() == [reason] and heard.rejects[0].payload == tail
        assert made.live_orders() == 2
    heard, _ = run([Record(good, form=LINES)])
    assert heard.reasons() == ["bad_form"]


@pytest.mark.parametrize("form", [wire.record, wire.soup])
def test_every_truncation_of_every_type_is_refused_or_whole(form: Any) -> None:
    message = wire.every_type()
    for whole in message:
        framed = form([whole], 1).payload
        for size in range(len(framed)):
            heard, _ = run([Record(framed[:size], 1, form=form([whole]).form)])
            assert heard.reasons() == (["truncated"] if size else [])
        for size in range(1, len(whole)):
            heard, _ = run([form([whole[:size]], 1)])
            assert heard.reasons() == ["bad_length"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(sorted(MESSAGES)), st.binary(min_size=50, max_size=50))))
def test_no_bytes_break_the_book(bodies: list[tuple[str, bytes]]) -> None:
    messages = [(code.encode() + body)[: MESSAGES[code][1]] for code, body in bodies]
    heard, made = one(*LIVE, *messages)
    assert heard.counts["messages"] == len(messages) + 3
    for symbol in range(len(made._words.symbols)):
        for side in "BS":
            for price, volume, orders in levels(made.book(symbol), side):
                assert price > 0 and volume > 0 and orders > 0


# -- breaks ---------------------------------------------------------------------------------------


def test_a_break_takes_its_trade_back_and_tells_the_rest_of_that_minute_again() -> None:
    minute = 60 * SECOND
    trades = [
        wire.hidden(1, "AAPL", "S", 1, 10, 1, NS - 1),
        wire.hidden(1, "AAPL", "S", 2, 20, 2, NS),
        wire.hidden(1, "AAPL", "S", 3, 30, 3, NS + 1),
        wire.hidden(2, "MSFT", "S", 4, 40, 4, NS + 2),
        wire.hidden(1, "AAPL", "S", 5, 50, 5, NS + 3),
        wire.hidden(1, "AAPL", "S", 6, 60, 6, NS + minute),
    ]
    heard, _ = one(*trades, wire.broken(3, ns=NS + minute), wire.broken(2, ns=NS + 2 * minute))
    assert heard.roles() == ["trade"] * 6 + [
        "broken", "again", "again", "broken", "again", "mark",
    ]  # fmt: skip
    tape = np.concatenate(heard.tapes, axis=1)
    assert tape[2, 6:11].tolist() == [3, 2, 5, 2, 5]
    assert tape[1, 6:9].tolist() == [MIDNIGHT + NS + at for at in (1, 0, 3)]
    assert tape[7, 6:9].tolist() == [3, 2, 5], "their own numbers: open and close go by them"
    back = heard.rows("ticks")[6:]
    assert [(row["trade_no"], row["ts"], row["volume"], row["seq"]) for row in back] == [
        (3, MIDNIGHT + NS + minute, -3.0, 7),
        (2, MIDNIGHT + NS + 2 * minute, -2.0, 8),
    ]


def test_a_trade_is_broken_once_and_what_the_ring_lost_is_counted() -> None:
    trades = [wire.hidden(1, "AAPL", "S", n, 10, n, NS + n) for n in range(1, 7)]
    breaks = [wire.broken(n, ns=NS + 10) for n in (6, 6, 1, 77)]
    records = [wire.record([*trades, *breaks], 1)]
    heard, _ = run(records, made=decoder(ring=4))
    assert heard.counts["breaks"] == 1 and heard.counts["breaks_unknown"] == 3
    assert heard.counts["breaks_unheld"] == 1, "that minute's first trades are gone: no bar is made"
    assert heard.roles() == ["trade"] * 6
    assert [row["volume"] for row in heard.rows("ticks")][6:] == [-6.0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([4, 16, 256]))
def test_breaks_are_those_of_a_search_through_all_trades_held(seed: int, ring: int) -> None:
    """Match numbers that come again, stocks that take turns, a ring that turns over, a restart."""
    chance, ns, held, told = random.Random(seed), NS, list[list[int]](), list[list[int]]()
    evicted, messages, after = -1, list[bytes](), 2
    for _ in range(150):
        ns += chance.randrange(5 * SECOND)
        match, locate = chance.randrange(60) << 32, chance.randrange(3)
        if chance.random() < 0.7:
            messages.append(wire.hidden(locate, "ABC"[locate], "S", 1, 10, match, ns))
            held.append([match, locate, (MIDNIGHT + ns) // (60 * SECOND), len(messages), 0])
            if len(held) > ring:
                evicted = max(evicted, held.pop(0)[2])
            continue
        messages.append(wire.broken(match, ns=ns))
        found = [trade for trade in held if trade[0] == match and not trade[4]][-1:]
        for trade in found:
            trade[4] = 1
            if trade[2] > evicted:
                stand = [each[3] for each in held if each[1:3] == trade[1:3] and not each[4]]
                told.append([trade[3], *stand])
    records, heard, made = wire.records(messages, 7), Heard(), decoder(ring=ring)
    ends = wire.positions(records)
    for start in range(0, len(records), after):
        state, words = made.snapshot(), made._words.snapshot()
        made = decoder(ring=ring)
        made._words.restore(words)
        made.restore(state)
        part = slice(start, start + after)
        heard.add(made.push(wire.chunk(records[part], ends[part])))
    tape = np.concatenate(heard.tapes, axis=1)
    again = tape[7, np.isin(tape[TAPE_ROLE], (BROKEN, AGAIN))].tolist()
    assert again == [seq for each in told for seq in each]


def test_a_break_in_a_new_session_finds_none_of_the_one_before() -> None:
    trades = [wire.hidden(1, "AAPL", "S", n, 10, n, NS + n) for n in range(1, 7)]
    later = replace(
        wire.record([wire.hidden(1, "AAPL", "S", 9, 10, 9), wire.broken(3), wire.broken(9)], 1,
                    "20240318"), ts_recv=RECV + 3 * 86_400 * SECOND,
    )  # fmt: skip
    heard, _ = run([wire.record(trades, 1), later])
    assert (heard.counts["breaks"], heard.counts["breaks_unknown"]) == (1, 1)


def test_a_break_with_more_trades_than_a_block_holds() -> None:
    trades = [wire.hidden(1, "AAPL", "S", 1, 10, n, NS + n) for n in range(3000)]
    heard, _ = run([wire.record([*trades, wire.broken(7)], 1)], made=decoder(capacity=64))
    assert heard.roles().count("again") == 2999 and len(heard.rows("ticks")) == 3001


# -- the book -------------------------------------------------------------------------------------


def ticks_of(heard: Heard) -> list[dict[str, Any]]:
    names = ("ticker", "trade_no", "price", "volume", "aggressor", "seq")
    rows = heard.rows("ticks")
    return [{k: row[k] for k in names} | {"ns": row["ts"] - MIDNIGHT} for row in rows]


def quotes_of(heard: Heard) -> list[tuple[Any, ...]]:
    names = ("seq", "bid", "bid_volume", "ask", "ask_volume")
    rows = heard.rows("quotes")
    return [(row["ticker"], row["ts"] - MIDNIGHT, *(row[k] for k in names)) for row in rows]


def test_the_book_is_that_of_a_slow_one_level_by_level(soak: bool) -> None:
    events, every = (1_000_000, 20_000) if soak else (100_000, 4_000)
    flow, slow, made = Flow(11), SlowBook(), decoder(capacity=1_000)
    for start in range(0, events, every):
        messages = [flow.next() for _ in range(every)]
        heard, _ = run(wire.records(messages, 700, start + 1), (2, 3), made)
        slow.trades.clear() if soak else None
        before = len(slow.trades), len(slow.quotes)
        for message in messages:
            slow.push(message)
        assert not heard.rejects
        assert quotes_of(heard) == slow.quotes[before[1] :]
        if not soak:
            assert ticks_of(heard) == slow.trades[before[0] :]
        assert made.live_orders() == len(slow.orders)
        for at, name in enumerate(made._words.symbols):
            for side in "BS":
                found = slow.levels(name, side)
                assert levels(made.book(at, 1000), side) == found
                assert levels(made.book(at), side) == found[:10]
    assert len(slow.orders) > 500


def test_deep_books_are_searched_from_their_middle_too() -> None:
    flow, slow, made = Flow(3, stocks=2, depth=4000, orders_max=3000), SlowBook(), decoder()
    messages = [flow.next() for _ in range(8_000)]
    run(wire.records(messages, 5_000), made=made)
    for message in messages:
        slow.push(message)
    for at, name in enumerate(made._words.symbols):
        for side in "BS":
            assert levels(made.book(at, 9999), side) == slow.levels(name, side)
            assert len(slow.levels(name, side)) > 200


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 60)), st.integers(1, 40))
def test_any_cut_and_any_restart_give_the_same_rows(
    seed: int, cuts: list[int], capacity: int
) -> None:
    flow = Flow(seed, stocks=4, depth=8)
    messages = [*wire.every_type(30, "ZZZZ", 2**50), *(flow.next() for _ in range(700))]
    records = wire.records(messages, 12)
    records.insert(20, Record(kind=DOWN))
    whole, _ = run(records)
    parts, _ = run(records, cuts, decoder(capacity=capacity))
    assert parts.bytes() == whole.bytes() and parts.counts == whole.counts
    ends, heard = wire.positions(records), Heard()
    edges = sorted({0, *(cut for cut in cuts if cut < len(records)), len(records)})
    made = decoder()
    for first, last in zip(edges, edges[1:], strict=False):
        state, words = made.snapshot(), made._words.snapshot()
        made = decoder()
        made._words.restore(words)
        made.restore(state)
        heard.add(made.push(wire.chunk(records[first:last], ends[first:last])))
    assert heard.bytes() == whole.bytes() and heard.counts == whole.counts


def test_the_table_grows_and_a_cap_leaves_orders_out() -> None:
    adds = [wire.add(1, ref * 64, price=100 * (ref % 499 + 1)) for ref in range(1, 70_001)]
    deletes = [wire.deleted(1, ref * 64) for ref in range(1, 69_991)]
    heard, made = run(wire.records([*adds, *deletes], 9_999))
    assert not heard.rejects and made.live_orders() == 10
    assert levels(made.book(0), "B")[0] == (1.41, 100, 1)
    heard, made = run(wire.records(adds[:100], 10), made=decoder(orders_max=64))
    assert heard.counts["orders_over_cap"] == 36 and made.live_orders() == 64
    book = made.book(0)
    assert book is not None and not book.whole and levels(book, "B")[0][0] == 0.65
    more, _ = run([wire.record([wire.deleted(1, 64), *adds[98:100]], 101)], made=made)
    assert more.counts["orders_over_cap"] == 1 and made.live_orders() == 64


def test_a_late_joiner_learns_stocks_from_their_orders() -> None:
    heard, made = one(wire.add(9, 1, stock="TSLA"), first_seq=500)
    book = made.book(0)
    assert heard.rows("quotes")[0]["ticker"] == "TSLA"
    assert book is not None and not book.whole, "what came before is missing"


def test_every_mark_that_nasdaq_writes_behind_a_stock() -> None:
    names = ["BRK.A", "PSA-B", "ABC^", "ABC+", "ABC=", "ABC#", "A*$!@%~", "ZVZZT", "12345678"]
    heard, made = one(*(wire.directory(at, name) for at, name in enumerate(names)))
    assert made._words.symbols == names and not heard.rejects
    wrong = ["", " A", "A B", "-A", "Aa", "A\xff", "A,"]
    heard, _ = one(*(wire.directory(at, name) for at, name in enumerate(wrong)))
    assert heard.reasons() == ["bad_stock"] * len(wrong)


def test_prices_are_exact_and_never_nan_where_there_is_a_price() -> None:
    prices = [1, 9_999, 10_000, 2_000_000_000, 2**31, 2**32 - 1]
    heard, made = one(*(wire.add(1, n, price=price) for n, price in enumerate(prices, 1)))
    assert [row["bid"] for row in heard.rows("quotes")] == [price / 10_000 for price in prices]
    assert all(not math.isnan(price) for price, _, _ in levels(made.book(0), "B"))


def test_warming_touches_nothing() -> None:
    _, made = one(*LIVE)
    before = made.snapshot()
    made.warm()
    after = made.snapshot()
    assert all(np.array_equal(before[key], after[key]) for key in before)
