"""The rebuilt book: when changes join a snapshot, and when the book waits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.wire.binance import depth
from bursa.wire.binance.depth import Book, Change, Levels, Taken


def change(first: int, last: int, bids: Levels | None = None, asks: Levels | None = None) -> Change:
    return Change(first, last, last * 1_000, bids or [], asks or [])


def best(book: Book) -> tuple[Levels, Levels]:
    return book.bids.levels(), book.asks.levels()


def test_levels_are_absolute_and_best_first() -> None:
    book = Book()
    book.take_snapshot(10, [(9.0, 1.0), (9.5, 2.0)], [(11.0, 1.0), (10.5, 2.0)])
    assert best(book) == ([(9.5, 2.0), (9.0, 1.0)], [(10.5, 2.0), (11.0, 1.0)])
    assert book.take(change(11, 12, [(9.7, 3.0), (9.5, 0.0), (1.0, 0.0)], [(10.5, 4.0)])) is (
        Taken.APPLIED
    )
    assert best(book) == ([(9.7, 3.0), (9.0, 1.0)], [(10.5, 4.0), (11.0, 1.0)])
    assert book.bids.top(1) == ([9.7], [3.0])
    assert book.at == 12


@pytest.mark.parametrize(
    ("changes", "last", "taken", "at"),
    [
        ([(1, 5), (6, 9)], 7, Taken.APPLIED, 9),  # the second straddles it
        ([(1, 5), (6, 9)], 5, Taken.APPLIED, 9),  # the second follows it
        ([(1, 5), (6, 9)], 9, Taken.APPLIED, 9),  # all are within it
        ([(1, 5), (6, 9)], 20, Taken.APPLIED, 20),  # it is ahead of the stream
        ([(5, 6)], 3, Taken.STALE, -1),  # 4 is missing between
        ([(1, 5), (9, 9)], 5, Taken.STALE, -1),  # the stream broke after it
        ([], 7, Taken.APPLIED, 7),
    ],
)
def test_where_a_snapshot_joins(
    changes: list[tuple[int, int]], last: int, taken: Taken, at: int
) -> None:
    book = Book()
    for ids in changes:
        assert book.take(change(*ids)) is Taken.HELD
    assert book.take_snapshot(last, [(1.0, 1.0)], []) is taken
    assert book.at == at


def test_the_stream_after_a_snapshot() -> None:
    book = Book()
    book.take_snapshot(10, [], [])
    assert book.take(change(5, 8)) is Taken.SUPERSEDED
    assert book.take(change(9, 12)) is Taken.APPLIED
    assert book.take(change(9, 12)) is Taken.DUPLICATE
    assert book.take(change(12, 15)) is Taken.APPLIED  # overlaps: volumes are absolute
    assert book.take_snapshot(15, [], []) is Taken.DUPLICATE
    assert book.take_snapshot(14, [], []) is Taken.DUPLICATE


def test_a_break_waits_for_a_snapshot() -> None:
    book = Book()
    book.take_snapshot(10, [(9.0, 1.0)], [])
    late = change(15, 16, [(8.0, 1.0)])
    assert book.missing(late) == (11, 14)
    assert book.take(late) is Taken.HELD
    assert book.at == -1
    assert book.missing(change(17, 18)) is None
    assert book.take(change(17, 18, [(7.0, 1.0)])) is Taken.HELD
    assert book.take_snapshot(12, [(9.0, 2.0)], []) is Taken.STALE
    assert book.take_snapshot(14, [(9.0, 2.0)], []) is Taken.APPLIED
    assert best(book)[0] == [(9.0, 2.0), (8.0, 1.0), (7.0, 1.0)]


def test_a_stream_that_begins_past_the_snapshot_is_a_break() -> None:
    book = Book()
    book.take_snapshot(10, [], [])
    assert book.missing(change(13, 14)) == (11, 12)
    assert book.take(change(13, 14)) is Taken.HELD


def test_room_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "LEVELS_MAX", 2)
    monkeypatch.setattr(depth, "PENDING_MAX", 2)
    book = Book()
    for number in (1, 2, 3):
        book.take(change(number, number))
    assert book.dropped == 1
    assert book.take_snapshot(0, [], []) is Taken.STALE
    book.take_snapshot(1, [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)], [])
    assert (best(book)[0], book.dropped) == ([(3.0, 1.0), (2.0, 1.0)], 2)
    book.take(change(4, 4, [(4.0, 1.0)]))
    assert (best(book)[0], book.dropped) == ([(4.0, 1.0), (3.0, 1.0)], 3)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["change", "snapshot"]),
        st.integers(1, 4),
        st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), max_size=4),
    ),
    max_size=30,
)


@given(STEPS, st.integers(0, 30))
def test_a_restored_book_goes_on_as_the_first(
    steps: list[tuple[str, int, list[tuple[int, int]]]], cut: int
) -> None:
    def play(book: Book, part: list[Any], at: int) -> int:
        for what, ids, pairs in part:
            levels = [(float(price), float(volume)) for price, volume in pairs]
            if what == "change":
                book.take(change(at + 1 + (ids == 4), at + ids + 1, levels, levels))
                at += ids + 1
            else:
                book.take_snapshot(at - ids % 3, levels, levels)
        return at

    whole, first, second = Book(), Book(), Book()
    play(whole, steps, 0)
    at = play(first, steps[:cut], 0)
    second.restore(first.snapshot())
    play(second, steps[cut:], at)
    assert best(second) == best(whole)
    assert (second.at, second.seen, second.ts, second.dropped) == (
        whole.at,
        whole.seen,
        whole.ts,
        whole.dropped,
    )
    assert best(whole)[0] == sorted(best(whole)[0], reverse=True)
