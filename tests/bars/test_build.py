"""Bars by watermark: each rule as a short story, then any tape, cut and restart against the
oracle."""

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from bursa.bars import emit, kernel
from bursa.bars.build import BarBuilder, Built
from bursa.model.batch import (
    AGAIN,
    BROKEN,
    CHANNEL_DOWN,
    CHANNEL_UP,
    FILE_END,
    MARK,
    SESSION_END,
    TRADE,
    Span,
    Words,
)
from tests.bars.oracle import MINUTE, SECOND, VENUE, Oracle, Row, rows_of, tape_of

T = 1_775_527_200 * SECOND  # a whole minute
SPAN = Span("test", 1, 0, 1)
BOOKS = ("bid_volume", "ask_volume")


def words(symbols: int = 8) -> Words:
    found = Words(VENUE.boards, [channel.name for channel in VENUE.channels])
    for number in range(symbols):
        found.symbol_id(f"T{number}")
    return found


class Story:
    """Rows in order, each with the next position; what the builder made of them."""

    def __init__(self, builder: BarBuilder | None = None) -> None:
        self.builder = builder or BarBuilder(VENUE, words())
        self.count = 0
        self.late = 0

    def push(self, *rows: Row) -> list[dict[str, Any]]:
        numbered = []
        for row in rows:
            self.count += 1
            numbered.append(
                row._replace(seq=row.seq or self.count, position=self.count, recv=self.count)
            )
        built = self.builder.push(tape_of(numbered), SPAN)
        self.late += built.counts.get("late_ticks", 0)
        self.built = built
        names = [column.name for column in built.closed.kind.columns]
        columns = [built.closed.column(name).tolist() for name in names]
        shown = [
            [None if n in BOOKS and v != v else v for n, v in zip(names, row, strict=True)]
            for row in zip(*columns, strict=True)
        ]
        return [dict(zip(names, row, strict=True)) for row in shown]


def trade(s: float, price: float = 10.0, symbol: int = 0, **more: Any) -> Row:
    more.setdefault("volume", 1.0)
    return Row(TRADE, T + round(s * SECOND), symbol=symbol, price=price, **more)


def mark(s: float, channel: int = 0) -> Row:
    return Row(MARK, T + round(s * SECOND), channel)


def brief(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Ticker, minute, rev, close, final."""
    return [(r["ticker"], (r["ts"] - T) // MINUTE, r["rev"], r["close"], r["final"]) for r in rows]


def test_a_bar_closes_when_the_watermark_is_its_end_and_grace() -> None:
    story = Story()
    assert story.push(trade(1), trade(5, 12), trade(9, 9), trade(59, 11), mark(61.9)) == []
    assert story.push(mark(62)) == [
        {
            "ticker": 0, "freq": 0, "ts": T, "rev": 0, "open": 10.0, "high": 12.0, "low": 9.0,
            "close": 11.0, "volume": 4.0, "value": 42.0, "trades": 4, "vwap": 10.5,
            "delta": 1.0, "ruled": 3.0, "bid_volume": None, "ask_volume": None, "final": 1,
            "known_at": 6, "ts_recv": 4, "position": 6, "nth": (T // SECOND + 62) << 30,
            "source": -1,
        }
    ]  # fmt: skip
    assert story.built.minutes.tolist() == [[T], [1], [6], [6]]
    assert story.builder.watermark == T + 62 * SECOND


def test_open_and_close_go_by_time_and_sequence_not_by_arrival() -> None:
    story = Story()
    story.push(
        trade(5, 1, seq=9), trade(5, 2, seq=4), trade(9, 3, seq=3), trade(9, 4, seq=2), trade(7, 5)
    )
    (bar,) = story.push(mark(62))
    assert (bar["open"], bar["close"], bar["high"], bar["low"]) == (2.0, 3.0, 5.0, 1.0)
    assert bar["ts_recv"] == 3


def test_sums_are_rounded_once_a_trade_and_exact() -> None:
    story = Story()
    rows = [trade(1, 0.1, volume=0.1)] * 30
    (bar,) = story.push(*rows, mark(62))
    assert bar["volume"] == 3.0
    assert bar["value"] == 0.3  # each trade is worth 0.010
    (bar,) = story.push(trade(63, 18.42, volume=0.0), mark(200))
    assert bar["volume"] == 0.0 and bar["vwap"] != bar["vwap"]


def test_other_boards_form_no_bars() -> None:
    story = Story()
    assert story.push(trade(1, board=1), mark(62)) == []
    assert story.built.counts.get("bar_ticks", 0) == 0


def test_bars_leave_by_minute_and_symbol_a_marker_behind_each_minute() -> None:
    story = Story()
    rows = story.push(trade(61, 1, 2), trade(61, 2, 1), trade(5, 3, 5), trade(5, 4, 0), mark(300))
    assert brief(rows) == [
        (0, 0, 0, 4.0, 1),
        (5, 0, 0, 3.0, 1),
        (1, 1, 0, 2.0, 1),
        (2, 1, 0, 1.0, 1),
    ]
    assert story.built.minutes.tolist() == [[T, T + MINUTE], [2, 4], [5, 5], [5, 5]]


def test_late_trades_are_coalesced_into_one_revision_a_second() -> None:
    story = Story()
    story.push(trade(1), mark(62))
    assert story.push(trade(2, 11), trade(3, 12), trade(1, 9), mark(62.9)) == []
    (row,) = story.push(mark(63))
    assert (row["rev"], row["trades"], row["close"], row["final"]) == (1, 4, 12.0, 1)
    assert row["known_at"] == row["position"] == story.count
    assert story.built.minutes.shape == (4, 0)
    assert story.push(mark(64), mark(65)) == []


def test_a_late_trade_of_a_minute_without_a_bar_makes_one() -> None:
    story = Story()
    story.push(mark(200))
    assert story.push(trade(1, 11)) == []
    assert brief(story.push(mark(201))) == [(0, 0, 0, 11.0, 1)]


def test_revisions_leave_before_what_closes() -> None:
    story = Story()
    story.push(trade(1), mark(62), trade(65, 20), mark(121))
    rows = story.push(trade(2, 11), mark(122))
    assert brief(rows) == [(0, 0, 1, 11.0, 1), (0, 1, 0, 20.0, 1)]


def test_after_eight_minutes_of_watermark_a_trade_is_counted_and_makes_no_bar() -> None:
    story = Story()
    story.push(trade(1), mark(62 + 480 - 1))
    assert brief(story.push(trade(2, 11), mark(62 + 480))) == [(0, 0, 1, 11.0, 1)]
    assert story.push(trade(3, 12), trade(3, 13), mark(62 + 490)) == []
    assert story.late == 2


def test_the_end_of_a_session_closes_what_began_by_then() -> None:
    story = Story()
    story.push(trade(1, 10), trade(59, 11, 1), trade(61, 12))
    rows = story.push(Row(SESSION_END, T + 30 * SECOND))
    assert brief(rows) == [(0, 0, 0, 10.0, 1), (1, 0, 0, 11.0, 1)]
    assert brief(story.push(trade(59.5, 13), mark(62))) == [(0, 0, 1, 13.0, 1)]
    assert brief(story.push(mark(122))) == [(0, 1, 0, 12.0, 1)]


def test_all_live_channels_must_have_ended_their_session() -> None:
    story = Story()
    story.push(trade(1), mark(1, 1))
    assert story.push(Row(SESSION_END, T + 2 * SECOND)) == []
    assert brief(story.push(Row(SESSION_END, T + 2 * SECOND, 1))) == [(0, 0, 0, 10.0, 1)]


def test_the_slowest_live_channel_holds_bars_open_until_it_is_down() -> None:
    story = Story()
    story.push(Row(CHANNEL_UP, 0, 1))
    assert story.push(trade(1), mark(200)) == []
    assert story.builder.watermark == 0
    assert story.push(mark(20, 1)) == []
    assert story.builder.watermark == T + 20 * SECOND
    assert brief(story.push(Row(CHANNEL_DOWN, 0, 1))) == [(0, 0, 0, 10.0, 1)]
    assert story.push(Row(CHANNEL_UP, 0, 1), mark(30, 1)) == []
    assert story.builder.watermark == T + 200 * SECOND


def test_a_channel_without_trades_of_its_own_moves_nothing() -> None:
    story = Story()
    assert story.push(trade(1), mark(500, 2)) == []
    assert brief(story.push(mark(62))) == [(0, 0, 0, 10.0, 1)]


def test_at_a_files_end_open_bars_are_not_final_and_are_revised_by_what_follows() -> None:
    story = Story()
    assert brief(story.push(trade(1), trade(61, 12), Row(FILE_END, 0))) == [
        (0, 0, 0, 10.0, 0),
        (0, 1, 0, 12.0, 0),
    ]
    assert story.built.minutes.shape == (4, 0)
    assert brief(story.push(trade(61.5, 13), Row(FILE_END, 0))) == [(0, 1, 1, 13.0, 0)]
    rows = story.push(mark(122))
    assert brief(rows) == [(0, 0, 1, 10.0, 1), (0, 1, 2, 13.0, 1)]
    assert story.built.minutes[:2].tolist() == [[T, T + MINUTE], [1, 2]]


def test_a_files_end_lets_waiting_revisions_go() -> None:
    story = Story()
    story.push(trade(1), mark(62), trade(2, 11))
    assert brief(story.push(Row(FILE_END, 0))) == [(0, 0, 1, 11.0, 1)]


def test_open_bars_and_which_of_them_changed() -> None:
    story = Story()
    story.push(trade(1, 10), trade(2, 11, 3), trade(61, 12))
    assert story.built.touched.tolist() == [0, 3]
    story.push(trade(61.5, 13, 3))
    assert story.built.touched.tolist() == [3]
    rows = rows_of(story.builder.open_bars())
    assert [(r[0], r[1], r[2], r[6], r[13]) for r in rows] == [
        (0, T, 0, 10.0, 0), (3, T, 0, 11.0, 0),
        (0, T + MINUTE, 0, 12.0, 0), (3, T + MINUTE, 0, 13.0, 0),
    ]  # fmt: skip
    assert len(story.builder.open_bars(np.array([3]))) == 2
    story.push(mark(300), trade(63, 1))
    assert story.built.touched.tolist() == []  # a late trade changes no open bar
    assert len(story.builder.open_bars()) == 0


def test_what_cannot_be_summed_is_counted_and_left_out() -> None:
    story = Story()
    rows = story.push(
        trade(1, 10), trade(2, 1e17, volume=100.0), trade(3, 1.0, volume=1e17),
        trade(4, float("nan")), trade(5, 11), mark(62),
    )  # fmt: skip
    assert story.built.counts.get("range_ticks", 0) == 3
    assert rows[0]["trades"] == 2 and rows[0]["close"] == 11.0
    rows = story.push(*[trade(63 + n / 100, 0.1, volume=4e16) for n in range(3)], mark(200))
    assert rows[0]["trades"] == 2  # the sum of two is as far as it goes
    assert rows[0]["volume"] == 8e16


def test_minutes_ahead_of_the_watermark_are_held_up_to_a_limit() -> None:
    builder = BarBuilder(VENUE, words(), pages_max=40)
    story = Story(builder)
    story.push(mark(0, 1))
    minutes = [trade(60 * n, n + 1) for n in range(50)]
    assert story.push(*minutes) == []
    assert story.built.counts.get("ahead_ticks", 0) == 10
    story.push(trade(60 * 45, 7), trade(60 * 39 + 1, 8))
    assert story.built.counts.get("ahead_ticks", 0) == 1
    assert len(story.push(Row(CHANNEL_DOWN, 0, 1))) == 40


def test_more_symbols_and_more_rows_than_there_was_room_for() -> None:
    found = words(1)
    story = Story(BarBuilder(VENUE, found))
    story.push(trade(1, 5))
    for number in range(3000):
        found.symbol_id(f"X{number}")
    rows = story.push(
        *[trade(2, 6, s) for s in range(3001)], *[trade(61, 7, s) for s in range(3001)]
    )
    assert rows == []
    rows = story.push(mark(300))
    assert [r["ticker"] for r in rows] == [*range(3001), *range(3001)]
    assert (rows[0]["open"], rows[0]["close"], rows[0]["trades"]) == (5.0, 6.0, 2)
    assert story.built.minutes[1].tolist() == [3001, 6002]


def broken(s: float, *left: Row, **more: Any) -> list[Row]:
    """A trade at `s` taken back, and those of its bar that are left."""
    taken = trade(s, **more)._replace(role=BROKEN)
    return [taken, *[row._replace(role=AGAIN) for row in left]]


def test_a_broken_trade_of_an_open_bar_leaves_it() -> None:
    story = Story()
    first, last = trade(1, 10, seq=1), trade(9, 12, seq=3)
    story.push(first, trade(5, 50, seq=2), last, *broken(5, first, last, price=50))
    assert story.built.counts == {"bar_ticks": 3, "broken_ticks": 1}
    assert story.built.touched.tolist() == [0]
    (bar,) = story.push(mark(62))
    assert (bar["rev"], bar["trades"], bar["high"], bar["volume"]) == (0, 2, 12.0, 2.0)
    assert (bar["open"], bar["close"], bar["value"]) == (10.0, 12.0, 22.0)


def test_a_broken_trade_of_a_closed_bar_makes_one_revision() -> None:
    story = Story()
    first, last = trade(1, 10, seq=1), trade(9, 12, seq=3)
    story.push(first, trade(5, 50, seq=2), last, mark(62))
    assert story.push(*broken(5, first, last, price=50), mark(62.5)) == []
    assert story.built.touched.tolist() == []
    (bar,) = story.push(mark(63))
    assert (bar["rev"], bar["trades"], bar["high"], bar["final"]) == (1, 2, 12.0, 1)
    assert story.push(mark(64)) == []


def test_breaks_move_no_watermark() -> None:
    story = Story()
    story.push(trade(1))
    assert story.push(*broken(700)) == []
    assert story.builder.watermark == T + SECOND
    assert story.built.counts == {}


def test_a_bar_that_says_the_same_after_a_break_is_not_revised() -> None:
    story = Story()
    first = trade(1, 10, seq=1)
    story.push(first, trade(2, 10, seq=2), mark(62))
    # The broken trade came once more under another number, before the watermark moved.
    assert story.push(*broken(2, first), trade(2, 10, seq=2), mark(63), mark(64)) == []
    assert story.push(*broken(2, first), mark(65))[0]["rev"] == 1


def test_a_bar_without_any_trade_left_keeps_its_prices() -> None:
    story = Story()
    story.push(trade(1, 10), trade(2, 11, 1), mark(62))
    (bar,) = story.push(*broken(1), mark(63))
    assert (bar["rev"], bar["trades"], bar["volume"], bar["value"]) == (1, 0, 0.0, 0.0)
    assert (bar["open"], bar["high"], bar["low"], bar["close"]) == (10.0,) * 4
    assert bar["vwap"] != bar["vwap"]
    assert story.push(mark(64)) == []
    (bar,) = story.push(trade(3, 7), mark(65))
    assert (bar["rev"], bar["trades"], bar["open"], bar["high"]) == (2, 1, 7.0, 7.0)


def test_an_open_bar_without_any_trade_left_is_still_a_bar() -> None:
    story = Story()
    story.push(trade(1, 10), *broken(1))
    assert [row[9] for row in rows_of(story.builder.open_bars())] == [0]
    assert [bar["trades"] for bar in story.push(Row(FILE_END, 0))] == [0]
    assert story.push(Row(FILE_END, 0)) == []
    assert [(bar["trades"], bar["rev"]) for bar in story.push(mark(62))] == [(0, 1)]


def test_past_eight_minutes_a_break_is_counted_and_changes_nothing() -> None:
    story = Story()
    first = trade(1, 10)
    story.push(first, trade(2, 11), mark(62 + 480))
    assert story.push(*broken(2, first), mark(600)) == []
    assert story.built.counts == {"late_breaks": 1}


def test_a_break_of_what_no_bar_holds_changes_nothing() -> None:
    story = Story()
    story.push(trade(1, 1e17, volume=100.0), trade(61, 5, board=1))
    taken = broken(1, price=1e17) + broken(61, board=1) + broken(180)
    assert story.push(*taken, mark(300)) == []
    assert story.built.counts == {}


def test_nothing_is_compiled_after_warming_up() -> None:
    story = Story()
    story.builder.warm()
    story.push(trade(1), trade(61), mark(200), Row(FILE_END, 0))
    story.builder.restore(story.builder.snapshot())
    story.push(trade(201))
    assert len(story.builder.open_bars()) == len(story.builder.open_bars(np.arange(8)[::2])) == 1
    assert len(kernel.build.signatures) == len(emit.peek.signatures) == 1


STEPS = st.sampled_from([0, 1, SECOND // 3, SECOND, 21 * SECOND, 61 * SECOND, 700 * SECOND])
BACK = st.sampled_from([0, 0, 0, 1, SECOND, 70 * SECOND, 300 * SECOND, 541 * SECOND, 900 * SECOND])


class AnyTape(RuleBasedStateMachine):
    """Any rows, cut anywhere, with a restart anywhere: the oracle's rows, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.words = words(4)
        self.builder = BarBuilder(VENUE, self.words)
        self.oracle = Oracle(VENUE)
        self.clock = T
        self.rows: list[Row] = []
        self.standing: list[Row] = []
        self.cut = 0
        self.found: list[Built] = []

    def put(self, role: int, ts: int, **more: Any) -> None:
        number = len(self.rows) + 1
        row = Row(role, ts, recv=1000 + number, position=number, number=number, **more)
        self.rows.append(row)
        if role == TRADE:
            self.standing.append(row)

    @rule(
        step=STEPS, back=BACK, channel=st.sampled_from([0, 0, 0, 1]), symbol=st.integers(0, 3),
        price=st.integers(1, 40), volume=st.integers(0, 500), seq=st.integers(1, 6),
        board=st.sampled_from([0, 0, 0, 0, 1]), aggressor=st.sampled_from([-1, -1, 0, 1]),
    )  # fmt: skip
    def trade(self, step: int, back: int, price: int, volume: int, **more: int) -> None:
        self.clock += step
        self.put(TRADE, self.clock - back, price=price / 10, volume=volume / 100, **more)

    @rule(step=STEPS, back=BACK, channel=st.sampled_from([0, 0, 1, 2]))
    def mark(self, step: int, back: int, channel: int) -> None:
        self.clock += step
        self.put(MARK, self.clock - back, channel=channel)

    @rule(
        role=st.sampled_from([CHANNEL_UP, CHANNEL_DOWN, SESSION_END, FILE_END]),
        back=BACK, channel=st.sampled_from([0, 1, 1]),
    )  # fmt: skip
    def control(self, role: int, back: int, channel: int) -> None:
        self.put(role, self.clock - back, channel=channel)

    @precondition(lambda self: self.standing)
    @rule(back=st.integers(0, 7), cut=st.sampled_from([0, 0, 1, 2]))
    def take_back(self, back: int, cut: int) -> None:
        """Break one of the newest trades; the rows may lie in two tapes."""
        broken = self.standing.pop(max(0, len(self.standing) - 1 - back))
        self.rows.append(broken._replace(role=BROKEN, position=len(self.rows) + 1, recv=0))
        again = [
            row._replace(role=AGAIN, position=len(self.rows) + 1)
            for row in self.standing
            if (row.ts // MINUTE, row.symbol, row.board)
            == (broken.ts // MINUTE, broken.symbol, broken.board)
        ]
        self.rows += again[:cut]
        if cut:
            self.push()
        self.rows += again[cut:]

    @rule()
    def push(self) -> None:
        rows = self.rows[self.cut :]
        self.cut = len(self.rows)
        self.oracle.push(rows)
        self.found.append(self.builder.push(tape_of(rows), SPAN))

    @precondition(lambda self: self.found)
    @rule()
    def restart(self) -> None:
        state = self.builder.snapshot()
        kept = {name: np.array(value) for name, value in state.items()}
        self.builder.push(tape_of([Row(MARK, self.clock + MINUTE)]), SPAN)  # must not reach `state`
        self.builder = BarBuilder(VENUE, self.words)
        self.builder.restore(kept)
        assert all((kept[name] == state[name]).all() for name in kept), "copied, not shared"

    def teardown(self) -> None:
        self.push()
        rows = [row for built in self.found for row in rows_of(built.closed)]
        assert rows == self.oracle.out
        markers, before = [], 0
        for built in self.found:
            for minute, row, known_at, position in built.minutes.T.tolist():
                markers.append((minute, row + before, known_at, position))
            before += len(built.closed)
        assert markers == self.oracle.markers
        found = [sum(b.counts.get(w, 0) for b in self.found) for w in ("late_ticks", "late_breaks")]
        assert found == [self.oracle.late, self.oracle.late_breaks]
        counted = sum(built.counts.get("bar_ticks", 0) for built in self.found)
        assert counted == self.oracle.arrivals, "a trade is counted once, however often it is told"
        whole = BarBuilder(VENUE, self.words).push(tape_of(self.rows), SPAN)
        assert rows_of(whole.closed) == rows


AnyTape.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestAnyTape = AnyTape.TestCase


@pytest.mark.parametrize("size", [1, 7, 64, 5000])
def test_a_long_tape_in_pieces_of_any_size(size: int) -> None:
    random = np.random.default_rng(7)
    clock, rows = T, []
    for number in range(5000):
        clock += int(random.integers(0, 400)) * SECOND // 100
        back = int(random.choice([0, 0, 0, 0, 0, 0, 1, 3, 90, 200, 700])) * SECOND
        rows.append(
            Row(
                TRADE,
                clock - back,
                int(random.integers(0, 2)),
                int(random.integers(0, 8)),
                float(random.integers(1, 50)) / 10,
                float(random.integers(1, 900)) / 100,
                number,
                number,
                number,
            )  # fmt: skip
        )
    oracle = Oracle(VENUE)
    oracle.push(rows)
    builder = BarBuilder(VENUE, words())
    found: list[Any] = []
    for start in range(0, len(rows), size):
        found += rows_of(builder.push(tape_of(rows[start : start + size]), SPAN).closed)
    assert len(oracle.out) > 1000
    assert found == oracle.out
