"""Index rows: stored ones and those only in memory are one sequence, whichever way it is read."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.history.indices import IndexAsk
from bursa.history.present import INDEX_ROWS_MAX, Recent
from bursa.model.batch import Span
from bursa.model.calendar import DAY_NS
from bursa.model.errors import Retry
from bursa.model.schema import INDEX
from bursa.model.venue import IDX
from tests.fakes.store import batch_of
from tests.history.told import FRI, Told, at, index

CODE = "COMPOSITE"
START = at(FRI, 9, 0)


@pytest.fixture
def told() -> Iterator[Told]:
    found = Told()
    yield found
    found.offload.close()


def read(told: Told, ask: IndexAsk) -> tuple[list[tuple[int, float]], bool]:
    batch, more = told.indices.read(ask)
    assert set(batch.text("index_code")) <= {CODE}
    values = batch.column("value").tolist()
    return list(zip((batch.column("ts") - START).tolist(), values, strict=True)), more


def test_the_newest_rows_are_there_before_they_are_stored(told: Told) -> None:
    told.tell(INDEX, *(index(START + n, float(n)) for n in range(5)), store=True)
    told.tell(INDEX, *(index(START + n, float(n)) for n in range(5, 9)))
    told.tell(INDEX, index(START + 9, 9.0, "LQ45"))
    whole = [(n, float(n)) for n in range(9)]
    assert read(told, IndexAsk(CODE, 100)) == (whole, False)
    assert read(told, IndexAsk(CODE, 9)) == (whole, False)
    assert read(told, IndexAsk(CODE, 3)) == (whole[6:], True)
    assert read(told, IndexAsk(CODE, 6)) == (whole[3:], True)
    assert read(told, IndexAsk(CODE, 3, START + 3, newest=False)) == (whole[3:6], True)
    assert read(told, IndexAsk(CODE, 9, START + 3, START + 8, newest=False)) == (whole[3:8], False)
    assert read(told, IndexAsk("NIX", 9)) == ([], False)


def test_a_row_that_is_stored_and_in_memory_comes_once(told: Told) -> None:
    told.tell(INDEX, *(index(START + n, float(n)) for n in range(4)), store=True)
    told.tell(INDEX, index(START + 1, 1.5), index(START + 4, 4.0), store=True)
    told.tell(INDEX, index(START + 2, 2.5), index(START + 4, 4.5))
    wanted = [(0, 0.0), (1, 1.5), (2, 2.5), (3, 3.0), (4, 4.5)]
    assert read(told, IndexAsk(CODE, 100)) == (wanted, False)


def test_a_page_far_back_is_found_over_days_without_rows(told: Told) -> None:
    for days in (900, 40, 39, 1, 0):
        told.tell(INDEX, index(START - days * DAY_NS, float(days)), store=True, memory=not days)
    offsets = [(-days * DAY_NS, float(days)) for days in (900, 40, 39, 1, 0)]
    assert read(told, IndexAsk(CODE, 4)) == (offsets[1:], True)
    assert read(told, IndexAsk(CODE, 5)) == (offsets, False)
    far = START - 3_000 * DAY_NS
    assert read(told, IndexAsk(CODE, 2, far, newest=False)) == (offsets[:2], True)
    assert read(told, IndexAsk(CODE, 9, far, newest=False)) == (offsets, False)


def test_what_the_store_raises_comes_through(told: Told) -> None:
    told.tell(INDEX, index(START, 1.0))
    told.store.away = True
    with pytest.raises(Retry):
        told.indices.read(IndexAsk(CODE, 1))


def test_codes_are_those_heard_of_the_main_one_first(told: Told) -> None:
    assert told.indices.codes() == []
    told.tell(INDEX, index(START, 1.0, "LQ45"), index(START, 1.0, "AAA"), index(START, 1.0))
    assert told.indices.codes() == [CODE, "AAA", "LQ45"]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=30),
    st.integers(0, 3),
    st.integers(1, 5),
    st.booleans(),
)
def test_pages_give_every_instant_once(
    rows: list[tuple[int, bool]], stored: int, limit: int, newest: bool
) -> None:
    """Rows of some instants, told one by one; the last few are not stored yet."""
    told = Told()
    wanted: dict[int, float] = {}
    for nth, (offset, other) in enumerate(rows):
        code = "LQ45" if other else CODE
        row = index(START + offset, float(nth), code)
        told.tell(INDEX, row, store=nth < len(rows) - stored)
        if not other:
            wanted[offset] = float(nth)
    found: list[tuple[int, float]] = []
    ask = IndexAsk(CODE, limit, newest=newest)
    for _ in range(40):
        page, more = read(told, ask)
        found = page + found if newest else found + page
        if not more:
            break
        at_ns = START + page[0 if newest else -1][0]
        ask = (
            IndexAsk(CODE, limit, 0, at_ns)
            if newest
            else IndexAsk(CODE, limit, at_ns + 1, newest=False)
        )
    assert found == sorted(wanted.items())
    told.offload.close()


def test_rows_of_late_are_bounded() -> None:
    recent, words = Recent(), IDX.words()
    for nth in range(300):
        rows = [index(START + nth * 100 + k, float(nth)) for k in range(100)]
        made = [row | {"position": nth + 1, "ts_recv": START} for row in rows]
        recent.feed([batch_of(INDEX, made, words, Span("idx", 1, nth, nth + 1))])
        kept = recent.index()
        assert kept is not None and kept.column("ts")[-1] == START + nth * 100 + 99
        assert len(kept) == min((nth + 1) * 100, INDEX_ROWS_MAX)
    assert recent.status() is None
