"""What waits for the store: bounded in rows and bytes, in stream order."""

from collections import deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bursa.bus.memory import Entry
from bursa.model.batch import Batch, Span
from bursa.model.schema import OHLCV, TICKS
from bursa.pipeline.buffer import PAUSE, RESUME, Bounds, Buffer
from tests.pipeline import running

WORDS = running.words()


def entry(at: int, ticks: int = 0, bars: int = 0) -> Entry:
    span = Span("idx", 1, at, at + 1)
    made = []
    for kind, rows in ((TICKS, ticks), (OHLCV, bars)):
        made.append(Batch(kind, np.zeros((len(kind.columns), rows), np.int64), WORDS, span))
    return Entry(span, tuple(made))


def test_it_pauses_at_four_fifths_of_a_table_and_goes_on_at_two_fifths() -> None:
    buffer = Buffer(Bounds(100, 1 << 30))
    for at in range(7):
        buffer.put(entry(at, ticks=11, bars=10), at)
    assert not buffer.paused and buffer.rows == 147, "the bound is a table's"
    buffer.put(entry(7, ticks=3), 7)
    assert buffer.paused and buffer.rows_of_a_kind == 80
    buffer.drop(3)
    assert buffer.paused and buffer.rows_of_a_kind == 47
    buffer.drop(1)
    assert not buffer.paused and buffer.rows_of_a_kind == 36 and buffer.since_ns == 4


def test_bytes_are_a_bound_of_their_own() -> None:
    one = entry(0, bars=1)
    buffer = Buffer(Bounds(1 << 30, 10 * one.nbytes))
    for at in range(8):
        assert not buffer.paused
        buffer.put(entry(at, bars=1), at)
    assert buffer.paused and buffer.bytes == 8 * one.nbytes
    buffer.drop(4)
    assert not buffer.paused


def test_an_entry_larger_than_the_bound_is_taken_alone() -> None:
    buffer = Buffer(Bounds(10, 1 << 30))
    buffer.put(entry(0, ticks=1000), 0)
    assert buffer.paused and len(buffer.head(1)) == 1
    buffer.drop(1)
    assert not buffer.paused and not buffer and buffer.since_ns == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.booleans()), max_size=60))
def test_whatever_comes_and_goes_it_is_in_order_and_bounded(
    steps: list[tuple[int, int, bool]],
) -> None:
    buffer, kept = Buffer(Bounds(100, 1 << 30)), deque[Entry]()
    for at, (ticks, bars, writes) in enumerate(steps):
        before = buffer.paused
        if not buffer.paused:
            one = entry(at, ticks, bars)
            buffer.put(one, at + 1)
            kept.append(one)
        if writes and kept:
            head = buffer.head(ticks)
            assert list(head) == list(kept)[: len(head)] and head
            rows = sum(one.rows for one in head)
            assert rows >= ticks or len(head) == len(kept)
            assert len(head) == 1 or rows - head[-1].rows < ticks
            buffer.drop(len(head))
            for _ in head:
                kept.popleft()
        assert len(buffer) == len(kept) and buffer.rows == sum(one.rows for one in kept)
        assert buffer.bytes == sum(one.nbytes for one in kept)
        assert buffer.rows_of_a_kind < 100 * PAUSE + 30
        assert buffer.paused or buffer.fullness < PAUSE
        if before and not buffer.paused:
            assert buffer.fullness <= RESUME
