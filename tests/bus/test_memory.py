"""The bus's contract, on memory: order, groups, commit, redelivery, and readers that lag."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bursa.bus.memory import Consumer, Entry, Limits, MemoryBus
from bursa.model.batch import Batch, Span, Words
from bursa.model.schema import TICKS

WORDS = Words(("RG",), ("a",))
ROOMY = Limits(1_000_000, 1 << 30)


def entry(first: int, last: int) -> Entry:
    """One row for each position in (first, last]."""
    block = np.zeros((len(TICKS.columns), last - first), np.int64)
    block[TICKS.index["position"]] = np.arange(first + 1, last + 1)
    span = Span("idx", 1, first, last)
    return Entry(span, (Batch(TICKS, block, WORDS, span),) if last > first else ())


def positions(entries: list[Entry]) -> list[int]:
    return [int(p) for e in entries for b in e.batches for p in b.column("position")]


def drain(consumer: Consumer) -> list[Entry]:
    out: list[Entry] = []
    while (found := consumer.poll(0)) is not None:
        out.append(found)
    return out


def no_backlog(position: int) -> Iterator[Entry]:
    raise AssertionError(f"memory holds everything, yet the backlog is asked from {position}")


def test_each_group_gets_every_entry_in_order() -> None:
    log = MemoryBus().open("idx", ROOMY, no_backlog)
    one, two = log.join("store", 0), log.join("rings", 0)
    for at in range(0, 50, 5):
        log.publish(entry(at, at + 5))
    assert positions(drain(one)) == list(range(1, 51))
    assert positions(drain(two)) == list(range(1, 51))


def test_an_empty_entry_moves_the_position() -> None:
    log = MemoryBus().open("idx", ROOMY, no_backlog)
    reader = log.join("store", 0)
    log.publish(entry(0, 0))
    log.publish(Entry(Span("idx", 1, 0, 9), ()))
    found = drain(reader)
    assert found[-1].span.last == 9
    reader.commit(9)
    assert log.lag("store") == 0


def test_consumers_of_a_group_share_the_entries() -> None:
    log = MemoryBus().open("idx", ROOMY, no_backlog)
    one, two = log.join("store", 0), log.join("store", 0)
    for at in range(6):
        log.publish(entry(at, at + 1))
    found = [one.poll(0), two.poll(0), one.poll(0), two.poll(0), one.poll(0), two.poll(0)]
    assert positions([e for e in found if e is not None]) == [1, 2, 3, 4, 5, 6]


def test_what_a_dead_consumer_did_not_commit_is_delivered_again() -> None:
    log = MemoryBus().open("idx", ROOMY, no_backlog)
    one, two = log.join("store", 0), log.join("store", 0)
    for at in range(4):
        log.publish(entry(at, at + 1))
    assert positions(drain(one)) == [1, 2, 3, 4]
    one.commit(2)
    one.close()
    assert positions(drain(two)) == [3, 4]
    assert log.redelivered("store") == 2
    two.commit(4)
    assert log.lag("store") == 0


def test_commit_waits_for_the_oldest_open_entry_of_the_group() -> None:
    log = MemoryBus().open("idx", ROOMY, no_backlog)
    one, two = log.join("store", 0), log.join("store", 0)
    log.publish(entry(0, 1))
    log.publish(entry(1, 2))
    one.poll(0), two.poll(0)
    two.commit(2)
    assert log.lag("store") == 2  # the first entry is still open at `one`
    one.commit(1)
    assert log.lag("store") == 0


def test_a_reader_that_lags_past_memory_goes_on_from_the_backlog() -> None:
    asked: list[int] = []

    def backlog(position: int) -> Iterator[Entry]:
        asked.append(position)
        for at in range(position - position % 7, 100, 7):  # other cuts than the live ones
            yield entry(at, at + 7)

    log = MemoryBus().open("idx", Limits(rows_max=10, bytes_max=1 << 30), backlog)
    reader = log.join("store", 0)
    for at in range(0, 100, 4):
        log.publish(entry(at, at + 4))
    assert log.rows <= 10
    assert log.evicted("store") > 0
    assert positions(drain(reader)) == list(range(1, 101))
    assert asked == [0]


@settings(max_examples=200, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    rows_max=st.integers(1, 60),
    polls=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    back=st.integers(1, 11),
)
@example(cuts=[4, 3], rows_max=1, polls=[2], back=3)
def test_every_row_once_and_in_order_however_memory_runs_out(
    cuts: list[int], rows_max: int, polls: list[int], back: int
) -> None:
    newest = 0

    def backlog(position: int) -> Iterator[Entry]:
        at = position - position % back
        while at < newest:
            end = min(at + back, newest)
            yield entry(at, end)
            at = end  # what was published since joins what was given, as a journal's chunks do

    log = MemoryBus().open("idx", Limits(rows_max, 1 << 30), backlog)
    reader = log.join("store", 0)
    found: list[Entry] = []
    for step, size in enumerate(cuts):
        log.publish(entry(newest, newest + size))
        newest += size
        for _ in range(polls[step % len(polls)]):
            got = reader.poll(0)
            if got is not None:
                found.append(got)
                if step % 3 == 0:
                    reader.commit(got.span.last)
    found += drain(reader)
    assert positions(found) == list(range(1, newest + 1))


def test_a_waiting_reader_is_woken_by_a_publish_and_by_the_close() -> None:
    log = MemoryBus().open("idx", ROOMY, no_backlog)
    reader = log.join("store", 0)
    found: list[Entry | None] = []
    thread = threading.Thread(target=lambda: found.extend([reader.poll(60), reader.poll(60)]))
    thread.start()
    log.publish(entry(0, 1))
    log.close()
    thread.join(120)
    assert not thread.is_alive()
    assert [e is not None for e in found] == [True, False]


def test_a_source_is_opened_once() -> None:
    bus = MemoryBus()
    bus.open("idx", ROOMY, no_backlog)
    with pytest.raises(AssertionError, match="open already"):
        bus.open("idx", ROOMY, no_backlog)
