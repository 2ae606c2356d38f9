"""What the books held when bars closed: any cut and restart against a plain reading of the rule."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.bars import closing
from bursa.bars.build import BarBuilder
from bursa.bars.closing import ClosingBooks
from bursa.model.batch import FILE_END, MARK, SESSION_END, TRADE, Batch, Block
from bursa.model.schema import ORDERBOOK
from tests.bars.oracle import MINUTE, SECOND, VENUE, Row, tape_of
from tests.bars.test_build import SPAN, T, words

NO_SUMS = np.empty((5, 0), np.int64)


class Side(NamedTuple):
    """One book message: 0 the bids, 1 the asks; volumes best first; s: its ts, from T on."""

    symbol: int
    side: int
    volumes: tuple[float, ...]
    board: int = 0
    s: float = 1
    position: int = 0


def books_of(rows: list[Side]) -> Batch | None:
    if not rows:
        return None
    block = np.zeros((len(ORDERBOOK.scalars), len(rows)), np.int64)
    found = Batch(ORDERBOOK, block, words(), SPAN)
    found.column("ticker")[:] = [row.symbol for row in rows]
    found.column("side")[:] = [row.side for row in rows]
    found.column("board")[:] = [row.board for row in rows]
    found.column("ts")[:] = [T + round(row.s * SECOND) for row in rows]
    found.column("position")[:] = [row.position for row in rows]
    found.column("depth")[:] = [len(row.volumes) for row in rows]
    volumes = [volume for row in rows for volume in row.volumes]
    levels = np.zeros((3, len(volumes)), np.int64)
    levels[1] = np.array(volumes, np.float64).view(np.int64)
    return Batch(ORDERBOOK, block, found.words, SPAN, levels)


class Stages:
    """Builder and books behind each other, as in a line. A record is what has one position."""

    def __init__(self) -> None:
        self.words = words(4)
        self.builder, self.books = BarBuilder(VENUE, self.words), ClosingBooks(VENUE, self.words)

    def push(self, records: list[list[Row | Side]]) -> list[tuple[Any, ...]]:
        rows = [row for record in records for row in record]
        tape = tape_of([row for row in rows if isinstance(row, Row)])
        closed = self.builder.push(tape, SPAN).closed
        self.books.push(books_of([r for r in rows if isinstance(r, Side)]), NO_SUMS, closed)
        names = ("ticker", "ts", "rev", "final", "position", "bid_volume", "ask_volume")
        columns = [closed.column(name).tolist() for name in names]
        found = zip(*columns, strict=True)
        return [tuple(None if v != v else v for v in row) for row in found]

    def restart(self) -> None:
        builder, books = self.builder.snapshot(), self.books.snapshot()
        self.books.push(books_of([Side(0, 0, (9e9,))]), NO_SUMS, self.builder.open_bars())
        self.builder, self.books = BarBuilder(VENUE, self.words), ClosingBooks(VENUE, self.words)
        self.builder.restore(builder)
        self.books.restore(books)


def numbered(records: list[list[Row | Side]]) -> list[list[Row | Side]]:
    return [[row._replace(position=n) for row in record] for n, record in enumerate(records, 1)]


def by_the_rule(
    records: list[list[Row | Side]], bars: list[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """The same bars with their books as the rule says it, each searched for from the beginning."""
    first: dict[tuple[int, int], int] = {}
    found = []
    for ticker, ts, rev, final, position, *_ in bars:
        at = first.setdefault((ticker, ts), position) if final else position
        sums, newest = list[float | None]([None, None]), dict[int, int]()
        for record in records[:at]:
            for row in record:
                if not isinstance(row, Side) or (row.symbol, row.board) != (ticker, 0):
                    continue
                minute = int(row.s // 60)
                if T + minute * MINUTE <= ts and minute >= newest.get(row.side, minute):
                    newest[row.side] = minute
                    sums[row.side] = round(sum(row.volumes[:5]), 2)
        found.append((ticker, ts, rev, final, position, *sums))
    return found


def trade(s: float, symbol: int = 0) -> Row:
    return Row(TRADE, T + round(s * SECOND), symbol=symbol, price=1.0, volume=1.0)


def mark(s: float) -> Row:
    return Row(MARK, T + round(s * SECOND))


def shown(bars: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(bar[0], bar[2], *bar[5:]) for bar in bars]


def test_five_levels_of_each_side_count_that_came_by_the_record_that_closes() -> None:
    stages = Stages()
    records = numbered([
        [trade(1), trade(1, 1), trade(1, 2)],
        [Side(0, 0, (1.0,) * 10), Side(0, 1, (0.1, 0.2)), Side(1, 1, ()), Side(1, 0, (7.0,), 1)],
        [mark(62), Side(0, 0, (2.0, 3.0))],
        [Side(0, 0, (99.0,))],
    ])  # fmt: skip
    assert shown(stages.push(records)) == [
        (0, 0, 5.0, 0.3),  # what the closing record brings, counts, and what comes later does not
        (1, 0, None, 0.0),  # an empty side is known; other boards are others
        (2, 0, None, None),
    ]


def test_a_revision_keeps_the_book_of_the_first_close() -> None:
    stages = Stages()
    records = numbered([
        [Side(0, 0, (1.0,)), Side(1, 0, (8.0,)), trade(1)], [mark(62)],
        [Side(0, 0, (2.0,)), trade(2), trade(2, 1)], [mark(63)],
    ])  # fmt: skip
    assert shown(stages.push(records)) == [(0, 0, 1.0, None), (0, 1, 1.0, None), (1, 0, 8.0, None)]


def test_a_files_end_shows_the_book_as_it_is_then_and_the_close_another() -> None:
    stages = Stages()
    records = numbered([
        [Side(0, 0, (1.0,)), trade(1)], [Row(FILE_END, 0)], [Side(0, 0, (2.0,))], [mark(62)],
    ])  # fmt: skip
    assert shown(stages.push(records)) == [(0, 0, 1.0, None), (0, 1, 2.0, None)]


def test_the_book_is_that_of_the_minutes_end_wherever_its_messages_lie() -> None:
    records = numbered([
        [Side(0, 0, (1.0,), s=-30), Side(0, 1, (5.0,), s=59.9)],
        [Side(0, 0, (2.0,), s=60), Side(0, 1, (6.0,), s=130)],  # books are ahead
        [trade(1), trade(61)], [mark(130)], [trade(121)], [mark(190)],
    ])  # fmt: skip
    assert shown(Stages().push(records)) == [(0, 0, 1.0, 5.0), (0, 0, 2.0, 5.0), (0, 0, 2.0, 6.0)]


def test_books_too_far_ahead_are_not_known() -> None:
    ahead = [Side(0, 0, (1.0 + n,), s=60.0 * n) for n in range(16)]
    records = numbered([[*ahead, trade(1)], [mark(62)]])
    assert shown(Stages().push(records)) == [(0, 0, 1.0, None)]
    records = numbered([[*ahead, Side(0, 0, (99.0,), s=990), trade(1)], [mark(62)]])
    assert shown(Stages().push(records)) == [(0, 0, 1.0, None)]
    records = numbered([
        [*ahead, Side(0, 0, (9.0,), s=960), Side(0, 0, (99.0,), s=1020), trade(1)], [mark(62)],
    ])  # fmt: skip
    assert shown(Stages().push(records)) == [(0, 0, None, None)]


def test_sums_that_are_handed_out_count_from_their_position_on() -> None:
    stages = Stages()
    tape = tape_of([trade(1)._replace(position=1), mark(62)._replace(position=5)])
    closed = stages.builder.push(tape, SPAN).closed
    handed = np.zeros((5, 3), np.int64)
    handed[3], handed[4] = T + 59 * SECOND, [4, 5, 6]
    handed[1].view(np.float64)[:] = [1.0, 2.0, 3.0]
    handed[2].view(np.float64)[:] = [4.0, np.nan, 6.0]
    stages.books.push(None, handed, closed)
    assert closed.column("bid_volume").tolist() == [2.0]
    assert np.isnan(closed.column("ask_volume")).all()
    tape = tape_of([trade(63)._replace(position=7), mark(122)._replace(position=8)])
    closed = stages.builder.push(tape, SPAN).closed
    stages.books.push(None, NO_SUMS, closed)
    assert closed.column("bid_volume").tolist() == [3.0]


def test_one_record_may_have_books_and_trades_of_any_number_of_minutes() -> None:
    many = range(40)
    both = [row for n in many for row in (trade(60 * n + 1), Side(0, 0, (1.0 + n,), s=60 * n + 59))]
    found = shown(Stages().push(numbered([[*both, mark(60 * 40 + 2)]])))
    assert found == [(0, 0, 1.0 + n, None) for n in many]


def test_one_record_may_hand_out_sums_of_any_number_of_minutes() -> None:
    stages, count = Stages(), 40
    trades = [trade(60 * n + 1)._replace(position=5) for n in range(count)]
    tape = tape_of([*trades, mark(60 * count + 2)._replace(position=5)])
    closed = stages.builder.push(tape, SPAN).closed
    handed = np.zeros((5, count), np.int64)
    handed[3], handed[4] = T + (60 * np.arange(count) + 59) * SECOND, 5
    handed[1].view(np.float64)[:] = np.arange(count)
    handed[2].view(np.float64)[:] = 100.0 + np.arange(count)
    stages.books.push(None, handed, closed)
    assert closed.column("bid_volume").tolist() == list(range(count))
    assert closed.column("ask_volume").tolist() == list(range(100, 100 + count))


SIDES = st.builds(
    Side, st.integers(0, 3), st.integers(0, 1),
    st.lists(st.integers(0, 900).map(lambda n: n / 100), max_size=7).map(tuple),
    st.sampled_from([0, 0, 0, 1]),
)  # fmt: skip
STEPS = st.sampled_from([0, 1, 20, 61, 300])
# Books and bars are never more than PAGES minutes apart here.
NEAR = st.sampled_from([0, 0, 1, -1, 40, -40, -100, 100])
BACK = st.sampled_from([0, 0, 0, 1, 70, 300])


@st.composite
def streams(draw: st.DrawFn) -> list[list[Row | Side]]:
    clock, marked, records = 0, 0, []
    for _ in range(draw(st.integers(1, 25))):
        record: list[Row | Side] = []
        for _ in range(draw(st.integers(0, 5))):
            clock += draw(STEPS)
            what = draw(st.sampled_from("bbbttme")) if clock - marked < 300 else "m"
            if what == "b":
                record.append(draw(SIDES)._replace(s=float(clock + draw(NEAR))))
            elif what == "t":
                record.append(trade(clock - draw(BACK), draw(st.integers(0, 3))))
            elif what == "m":
                record.append(mark(clock))
                marked = clock
            else:
                record.append(Row(draw(st.sampled_from([SESSION_END, FILE_END])), T + clock))
        records.append(record)
    return numbered(records)


@settings(max_examples=100, deadline=None)
@given(streams(), st.data())
def test_any_cut_and_any_restart_give_what_the_rule_says(
    records: list[list[Row | Side]], data: st.DataObject
) -> None:
    stages, found, at = Stages(), list[tuple[Any, ...]](), 0
    while at < len(records):
        end = at + data.draw(st.integers(1, 9))
        found += stages.push(records[at:end])
        if data.draw(st.booleans()):
            stages.restart()
        at = end
    assert found == by_the_rule(records, found)
    assert found == Stages().push(records)


@pytest.mark.parametrize("limit", ["ROWS_WAITING_MAX", "BATCHES_WAITING_MAX"])
def test_what_waits_too_long_is_put_into_its_place(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, limit, 7)
    stages, found = Stages(), list[tuple[Any, ...]]()
    records: list[list[Row | Side]] = [[Side(n % 3, n % 2, (float(n),))] for n in range(60)]
    records[5:5] = [[trade(1), trade(2, 1)]]
    records = numbered([*records, [mark(62)]])
    for record in records:
        found += stages.push([record])
    assert len(found) == 2 and found == by_the_rule(records, found)


def test_more_symbols_than_there_was_room_for() -> None:
    stages = Stages()
    stages.push(numbered([[Side(0, 0, (5.0,)), trade(1)], [mark(62)]]))
    for number in range(3000):
        stages.words.symbol_id(f"X{number}")
    records: list[list[Row | Side]] = [
        [Side(2999, 1, (6.0,)), trade(2), trade(61, 2999)],
        [mark(130)],
    ]
    found = stages.push([[row._replace(position=n) for row in r] for n, r in enumerate(records, 9)])
    assert shown(found) == [(0, 1, 5.0, None), (2999, 0, None, 6.0)]
    stages.restart()
    assert 6.0 in stages.books.snapshot()["sums"][5999]


def test_nothing_is_compiled_after_warming_up() -> None:
    stages = Stages()
    stages.books.warm()
    before: Block = stages.books.snapshot()["sums"]
    stages.push(numbered([[Side(0, 0, (5.0,)), trade(1)], [mark(62), Side(0, 0, (5.0,))]]))
    assert np.isnan(before).all()
    for kernel in (closing._sum, closing._reach, closing._hear, closing._fill):
        assert len(kernel.signatures) == 1
