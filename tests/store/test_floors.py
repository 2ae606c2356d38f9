"""Days that go cold: sealed, let go, thawed; what is hot before the floor is known."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from bursa.model.errors import Refuse
from bursa.model.schema import OHLCV, TICKS
from bursa.model.venue import IDX
from bursa.store import compare
from bursa.store.duckdb import DuckStore
from bursa.store.floors import Split
from tests.fakes.store import rows_of
from tests.store.contract import ALL, KINDS, MINUTE, OPEN, VENUES, bar, batch, put, tick

DAY = IDX.calendar.day_of(OPEN)
NEXT_NS = IDX.calendar.midnight_ns(DAY + timedelta(days=1))


def opened(tmp_path: Path, **more: Any) -> DuckStore:
    (tmp_path / "cold").mkdir(exist_ok=True)
    return DuckStore(tmp_path / "hot.duckdb", VENUES, KINDS, cold=tmp_path / "cold", **more)


@pytest.fixture
def hot(tmp_path: Path) -> Iterator[DuckStore]:
    store = opened(tmp_path)
    yield store
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cold" / "day.parquet"


def ticks(store: DuckStore) -> list[int]:
    return [row["trade_no"] for row in rows_of(store.ticks("idx", "BBCA", *ALL))]


def let_go(store: DuckStore, kind: str = "ticks", day: date = DAY) -> int:
    return store.let_go("idx", kind, day, store.digest("idx", kind, day))


def test_a_day_that_is_let_go_is_gone_and_the_floor_is_past_it(hot: DuckStore) -> None:
    rows = [tick("BBCA", n) for n in (1, 2)] + [tick("BBCA", 3, ts=NEXT_NS)]
    put(hot, batch(TICKS, rows))
    assert (hot.floor("idx", "ticks"), hot.stray_days("idx", "ticks")) == (0, [])
    assert let_go(hot) == 2
    assert ticks(hot) == [3]
    assert (hot.floor("idx", "ticks"), hot.stray_days("idx", "ticks")) == (NEXT_NS, [])
    assert hot.floor("idx", "ohlcv") == hot.floor("binance", "ticks") == 0


def test_a_day_that_changed_is_not_let_go(hot: DuckStore) -> None:
    put(hot, batch(TICKS, [tick("BBCA", 1)]))
    proven = hot.digest("idx", "ticks", DAY)
    put(hot, batch(TICKS, [tick("BBCA", 2)]))
    with pytest.raises(Refuse, match="2 rows") as refused:
        hot.let_go("idx", "ticks", DAY, proven)
    assert (refused.value.code, refused.value.status) == ("day_changed", 409)
    assert ticks(hot) == [1, 2] and hot.split("idx", "ticks") == Split()


def test_floors_and_strays_are_known_again_after_a_start(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, batch(TICKS, [tick("BBCA", 1)]))
    let_go(store)
    put(store, batch(TICKS, [tick("BBCA", 2)]))
    before = store.split("idx", "ticks")
    assert before == Split(NEXT_NS, frozenset({DAY}))
    store.close()
    store = opened(tmp_path)
    assert store.split("idx", "ticks") == before
    store.close()


def test_a_write_and_an_amendment_note_what_is_before_the_floor(hot: DuckStore) -> None:
    put(hot, batch(OHLCV, [bar("BBCA", 0), bar("BBCA", 5000)]))
    let_go(hot, "ohlcv")
    assert hot.stray_days("idx", "ohlcv") == []
    put(hot, batch(OHLCV, [bar("BBCA", 5001, position=600_000)]))
    assert hot.stray_days("idx", "ohlcv") == []
    put(hot, batch(OHLCV, [bar("BBCA", 1, position=600_001), bar("TLKM", -9000, position=600_001)]))
    long_ago = IDX.calendar.day_of(OPEN - 9000 * MINUTE)
    assert hot.stray_days("idx", "ohlcv") == [long_ago, DAY]
    none = batch(OHLCV, [bar("BBCA", 0)])
    none = type(none)(OHLCV, none.block[:, :0], none.words, none.span)
    hot.amend(none, none, batch(OHLCV, [bar("TLKM", -18000, position=7)]), ())
    assert hot.stray_days("idx", "ohlcv")[0] < long_ago
    assert hot.span("idx")["TLKM"][0] == OPEN - 18000 * MINUTE


def test_strays_that_are_dropped_are_none_any_more(hot: DuckStore) -> None:
    put(hot, batch(TICKS, [tick("BBCA", 1)]))
    let_go(hot)
    put(hot, batch(TICKS, [tick("BBCA", 2), tick("BBCA", 3, ts=NEXT_NS)]))
    assert hot.drop_before("idx", "ticks", NEXT_NS) == 1
    assert hot.split("idx", "ticks") == Split(NEXT_NS)
    assert ticks(hot) == [3]


def test_a_day_before_one_that_is_let_go_turns_into_strays(hot: DuckStore) -> None:
    put(hot, batch(TICKS, [tick("BBCA", 1, ts=OPEN - 3 * 86_400_000_000_000), tick("BBCA", 2)]))
    let_go(hot)
    assert hot.stray_days("idx", "ticks") == [DAY - timedelta(days=3)]
    assert let_go(hot, day=DAY - timedelta(days=3)) == 1
    assert hot.split("idx", "ticks") == Split(NEXT_NS)


def test_a_sealed_day_has_the_rows_that_are_hot_and_those_of_its_file(
    hot: DuckStore, file: Path
) -> None:
    put(hot, batch(TICKS, [tick("BBCA", n) for n in (3, 1, 2)]))
    hot.seal("idx", "ticks", DAY, file, None)
    first = hot.digest("idx", "ticks", DAY)
    let_go(hot)
    put(hot, batch(TICKS, [tick("AALI", 4), tick("BBCA", 5)]))
    second = file.with_name("second.parquet")
    hot.seal("idx", "ticks", DAY, second, file)
    want = hot.digest("idx", "ticks", DAY, file)
    assert (first.rows, want.rows) == (3, 5)
    let_go(hot)
    assert hot.digest("idx", "ticks", DAY, second) == want
    assert hot.digest("idx", "ticks", DAY) == compare.NONE


def test_rows_that_lie_in_both_places_are_there_once(hot: DuckStore, file: Path) -> None:
    """As after a store was rebuilt from the journal: the same rows come again."""
    put(hot, batch(OHLCV, [bar("BBCA", m) for m in range(4)]))
    hot.seal("idx", "ohlcv", DAY, file, None)
    want = hot.digest("idx", "ohlcv", DAY)
    assert hot.digest("idx", "ohlcv", DAY, file) == want


def test_a_thawed_day_is_hot_again_as_a_whole(hot: DuckStore, file: Path) -> None:
    put(hot, batch(OHLCV, [bar("BBCA", m) for m in range(4)]))
    hot.seal("idx", "ohlcv", DAY, file, None)
    want = hot.digest("idx", "ohlcv", DAY)
    let_go(hot, "ohlcv")
    put(hot, batch(OHLCV, [bar("BBCA", 1, position=900)]))
    hot.thaw("idx", "ohlcv", DAY, lambda: file)
    hot.thaw("idx", "ohlcv", DAY, lambda: file)
    assert hot.digest("idx", "ohlcv", DAY).rows == 4
    assert hot.span("idx") == {"BBCA": (OPEN, OPEN + 3 * MINUTE)}
    assert hot.split("idx", "ohlcv") == Split(NEXT_NS, frozenset({DAY}), frozenset({DAY}))
    # Its file does not count any more.
    assert hot.digest("idx", "ohlcv", DAY, file) == hot.digest("idx", "ohlcv", DAY)
    assert let_go(hot, "ohlcv") == 4
    assert hot.split("idx", "ohlcv") == Split(NEXT_NS)
    assert want.rows == 4


def test_where_the_store_is_new_its_floor_is_where_cold_ends(tmp_path: Path) -> None:
    def colder(venue: str, kind: str) -> int:
        return NEXT_NS if (venue, kind) == ("idx", "ticks") else 0

    store = opened(tmp_path, colder=colder)
    assert store.split("idx", "ticks") == Split(NEXT_NS)
    assert store.split("idx", "ohlcv") == Split()
    put(store, batch(TICKS, [tick("BBCA", 1)]))
    store.close()
    store = opened(tmp_path, colder=lambda venue, kind: 99)
    assert store.split("idx", "ticks") == Split(NEXT_NS, frozenset({DAY}))
    store.close()
