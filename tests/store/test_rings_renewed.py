"""Rows that were changed in the store come into a ring that is there, and nothing fed is lost."""

from typing import Any

import pytest

from bursa.metrics.catalog import STANDARD
from bursa.model.batch import Batch, Span
from bursa.model.venue import IDX
from bursa.store.rings import ALWAYS_NS, Rings
from tests.fakes.store import Row, batch_of, rows_of
from tests.store.contract import MINUTE, OPEN, metric

DEPTH = 4
WORDS = IDX.words()


@pytest.fixture
def rings() -> Rings:
    made = Rings(IDX, WORDS, DEPTH)
    made.feed_metrics(fed(metric("BBCA", 0), metric("BBCA", 1), metric("BBCA", 1, 1)))
    return made


def fed(*rows: Row) -> Batch:
    return batch_of(STANDARD.kind, rows, WORDS, Span("idx", 1, 0, max(r["position"] for r in rows)))


def stored(*rows: Row, committed: int) -> Batch:
    words = IDX.words()
    words.symbol_id("another")
    return batch_of(STANDARD.kind, rows, words, Span("idx", 1, 0, committed))


def renew(rings: Rings, *rows: Row, committed: int) -> None:
    def read(count: int) -> Batch:
        assert count == DEPTH
        return stored(*rows[-count:], committed=committed)

    rings.renew_metrics("BBCA", read)


def held(rings: Rings) -> list[tuple[int, int, Any]]:
    found = rings.metrics("BBCA", 9)
    assert found is not None
    return [((r["ts"] - OPEN) // MINUTE, r["rev"], r["rsi_14"]) for r in rows_of(found)]


def test_a_ring_has_what_the_store_has(rings: Rings) -> None:
    before = rings.version("BBCA", "metrics")
    renew(rings, metric("BBCA", 0, rsi_14=5.0), metric("BBCA", 1, rsi_14=6.0), committed=500)
    assert held(rings) == [(0, 0, 5.0), (1, 0, 6.0)]  # a revision was taken away
    assert rings.version("BBCA", "metrics") > before
    assert rings.covers("BBCA", ALWAYS_NS, "metrics")


def test_what_is_not_committed_yet_stays(rings: Rings) -> None:
    rings.feed_metrics(fed(metric("BBCA", 2), metric("BBCA", 0, 1)))
    renew(rings, metric("BBCA", 0, rsi_14=5.0), metric("BBCA", 1, 1), committed=199)
    assert held(rings) == [(0, 0, 5.0), (1, 1, None), (2, 0, None)]


def test_a_full_ring_says_from_when_on_it_is_whole(rings: Rings) -> None:
    renew(rings, *(metric("BBCA", minute) for minute in range(-3, 3)), committed=500)
    assert [minute for minute, _, _ in held(rings)] == [-1, 0, 1, 2]
    assert rings.covers("BBCA", OPEN - MINUTE, "metrics")
    assert not rings.covers("BBCA", OPEN - MINUTE - 1, "metrics")


def test_where_there_is_no_ring_nothing_is_read(rings: Rings) -> None:
    rings.renew_metrics("TLKM", lambda count: pytest.fail("it was read"))
