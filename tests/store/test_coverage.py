"""Which minutes have bars: as the rows say, before and after a day is entered, hot or cold."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bursa.model.batch import Span, Words
from bursa.model.covered import WORDS, Covered, Days, between, count, pack, unpack
from bursa.model.schema import MARKET_KINDS, OHLCV
from bursa.model.venue import BINANCE, IDX, XNAS
from bursa.ports import Committed
from bursa.store import coverage
from bursa.store.duckdb import DuckStore
from bursa.store.sql import Limits
from tests.fakes.store import FakeStore, Row, batch_of
from tests.store import tiers

MONDAY, TUESDAY, WEDNESDAY = date(2025, 11, 17), date(2025, 11, 18), date(2025, 11, 19)
MINUTE_NS = 60 * 10**9


def at(day: date, hour: int, minute: int) -> int:
    return IDX.calendar.midnight_ns(day) + (hour * 60 + minute) * MINUTE_NS


def bar(ticker: str, ts: int, rev: int = 0, source: str | None = None, **columns: Any) -> Row:
    price = {name: 100.0 for name in ("open", "high", "low", "close", "vwap")}
    whole = {"volume": 500.0, "value": 50_000.0, "trades": 3, "final": True, "known_at": ts}
    head = {"ticker": ticker, "freq": "1m", "ts": ts, "rev": rev, "source": source}
    return head | price | whole | {"ts_recv": ts} | columns


class Stock:
    """Writes rows, a position each."""

    def __init__(self, store: Any) -> None:
        self.store, self.position = store, 0

    def write(self, rows: Sequence[Row]) -> None:
        words = Words(IDX.boards, [channel.name for channel in IDX.channels])
        first = self.position
        for row in rows:
            self.position += 1
            row["position"] = self.position
        batch = batch_of(OHLCV, rows, words, Span("idx", 1, first, self.position))
        self.store.write([batch], {"idx.ohlcv": Committed(self.position, 1)})


@pytest.fixture(params=["duckdb", "fake"])
def stock(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stock]:
    if request.param == "fake":
        yield Stock(FakeStore([IDX, BINANCE], MARKET_KINDS))
        return
    store = DuckStore(tmp_path / "hot.duckdb", [IDX, BINANCE], MARKET_KINDS)
    yield Stock(store)
    store.close()


@pytest.fixture
def hot(tmp_path: Path) -> Iterator[Stock]:
    store = DuckStore(tmp_path / "hot.duckdb", [IDX], MARKET_KINDS)
    yield Stock(store)
    store.close()


def clock(bits: Any) -> list[list[str]]:
    """The minutes of each day by the wall clock."""
    found = unpack(bits)
    return [[f"{m // 60:02d}:{m % 60:02d}" for m in np.flatnonzero(day)] for day in found]


def of(store: Any, ticker: str) -> Covered:
    found: Covered = store.covered("idx", ticker, MONDAY, WEDNESDAY)
    return found


def some_days(stock: Stock) -> None:
    stock.write(
        [
            bar("BBCA", at(MONDAY, 9, 0)),
            bar("BBCA", at(MONDAY, 9, 1)),
            bar("BMRI", at(MONDAY, 9, 2)),
            bar("BMRI", at(MONDAY, 9, 3), source="file"),
            bar("BBCA", at(MONDAY, 9, 5), source="ticks"),
            bar("BBCA", at(MONDAY, 9, 1), 1, "repair"),
            bar("BBCA", at(TUESDAY, 15, 59)),
        ]
    )


# -- what counts -----------------------------------------------------------------------------------


def test_received_backfilled_and_heard_minutes(stock: Stock) -> None:
    some_days(stock)
    found = of(stock.store, "BBCA")
    assert clock(found.received) == [["09:00", "09:01", "09:05"], ["15:59"]]
    assert clock(found.backfilled) == [["09:05"], []]  # a repaired bar came live
    assert clock(found.heard) == [["09:00", "09:01", "09:02"], ["15:59"]]


def test_an_unknown_ticker_has_none_and_the_feed_was_heard(stock: Stock) -> None:
    some_days(stock)
    found = of(stock.store, "NIX")
    assert not found.received.any() and count(found.heard).tolist() == [3, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"close": None}, {"open": None}, {"volume": None}, {"high": 99.0}, {"low": 101.0},
        {"close": -1.0}, {"low": 0.0}, {"volume": -1.0},
    ],
)  # fmt: skip
def test_rows_with_nulls_and_impossible_values_are_missing(
    stock: Stock, wrong: dict[str, Any]
) -> None:
    ts = at(MONDAY, 10, 0)
    stock.write([bar("BBCA", ts, **wrong), bar("BBCA", ts + MINUTE_NS)])
    found = of(stock.store, "BBCA")
    assert clock(found.received) == [["10:01"], []] and clock(found.faulty) == [["10:00"], []]
    stock.write([bar("BBCA", ts, 1)])
    found = of(stock.store, "BBCA")
    assert clock(found.received) == [["10:00", "10:01"], []] and not found.faulty.any()
    stock.write([bar("BBCA", ts, 2, **wrong)])
    found = of(stock.store, "BBCA")
    assert clock(found.received) == [["10:01"], []] and clock(found.faulty) == [["10:00"], []]
    every = stock.store.coverage("idx", MONDAY, WEDNESDAY)
    assert count(every.faulty).tolist() == [[1, 0]]


def test_a_bar_whose_trades_were_all_taken_back_is_none(stock: Stock) -> None:
    ts = at(MONDAY, 10, 0)
    stock.write([bar("BBCA", ts), bar("BBCA", ts, 1, trades=0, volume=0.0)])
    found = of(stock.store, "BBCA")
    assert not found.received.any() and not found.faulty.any() and count(found.heard)[0] == 1


def test_all_of_a_venue(stock: Stock) -> None:
    some_days(stock)
    found = stock.store.coverage("idx", MONDAY, WEDNESDAY)
    assert found.tickers == ("BBCA", "BMRI")
    assert count(found.received).tolist() == [[3, 1], [2, 0]]
    assert count(found.backfilled).tolist() == [[1, 0], [1, 0]]
    assert count(found.heard).tolist() == [3, 1]
    empty = stock.store.coverage("idx", WEDNESDAY, date(2025, 11, 21))
    assert empty.tickers == () and empty.received.shape == (0, 2, WORDS)


# -- days that are entered -------------------------------------------------------------------------


def same(one: Covered, other: Covered) -> bool:
    names = ("received", "backfilled", "faulty", "heard")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


def test_an_entered_day_outlives_its_rows(hot: Stock) -> None:
    some_days(hot)
    before, every = of(hot.store, "BBCA"), hot.store.coverage("idx", MONDAY, WEDNESDAY)
    assert coverage.cover(hot.store, IDX, MONDAY) == 2
    assert same(of(hot.store, "BBCA"), before)
    hot.store.drop_before("idx", "ohlcv", at(TUESDAY, 0, 0))
    assert same(of(hot.store, "BBCA"), before)
    after = hot.store.coverage("idx", MONDAY, WEDNESDAY)
    assert after.tickers == every.tickers and np.array_equal(after.received, every.received)
    assert np.array_equal(after.backfilled, every.backfilled)


def test_entering_a_day_twice_changes_nothing(hot: Stock) -> None:
    some_days(hot)
    kept = []
    for _ in range(2):
        coverage.cover(hot.store, IDX, MONDAY)
        kept.append(table(hot.store))
    assert kept[0] == kept[1] and len(kept[0]) == 3


def table(store: DuckStore) -> list[Any]:
    text = f"select * from {coverage.table('idx')} order by all"
    found: list[Any] = store.beside(lambda writer: writer.execute(text).fetchall())
    return found


def test_what_comes_late_for_an_entered_day_is_seen_at_once(hot: Stock) -> None:
    some_days(hot)
    coverage.cover(hot.store, IDX, MONDAY)
    hot.store.drop_before("idx", "ohlcv", at(TUESDAY, 0, 0))
    hot.write([bar("BBCA", at(MONDAY, 9, 4), source="file")])
    hot.write([bar("BBCA", at(MONDAY, 9, 0), 1, "repair")])
    found = of(hot.store, "BBCA")
    assert clock(found.received)[0] == ["09:00", "09:01", "09:04", "09:05"]
    assert clock(found.backfilled)[0] == ["09:04", "09:05"]
    every = hot.store.coverage("idx", MONDAY, WEDNESDAY)
    assert count(every.received).tolist() == [[4, 1], [2, 0]]
    assert count(every.backfilled).tolist() == [[2, 0], [1, 0]]


@pytest.mark.parametrize("drained", [True, False], ids=["cold", "hot"])
def test_a_bar_that_was_entered_and_is_taken_back_or_spoilt_later_is_no_bar(
    tmp_path: Path, drained: bool
) -> None:
    """The newest revision counts, before the day is entered anew as after it."""
    store = tiers.opened(tmp_path)
    stock = Stock(store)
    some_days(stock)
    stock.write([bar("TLKM", at(MONDAY, 9, 0)), bar("BBCA", at(MONDAY, 9, 7), close=-1.0)])
    coverage.cover(store.hot, IDX, MONDAY, store)
    if drained:
        tiers.drain(store, "idx", "ohlcv", [MONDAY])
    stock.write(
        [
            bar("BBCA", at(MONDAY, 9, 0), 1, trades=0, volume=0.0),
            bar("BBCA", at(MONDAY, 9, 5), 1, close=-1.0),
            bar("BBCA", at(MONDAY, 9, 7), 1, "repair"),
            bar("TLKM", at(MONDAY, 9, 0), 1, trades=0, volume=0.0),
        ]
    )
    for _ in ("before", "after"):
        found, every = of(store, "BBCA"), store.coverage("idx", MONDAY, WEDNESDAY)
        assert every.tickers == ("BBCA", "BMRI")
        bbca = Covered(every.received[0], every.backfilled[0], every.faulty[0], every.heard)
        for one in (found, bbca):
            assert clock(one.received)[0] == ["09:01", "09:07"]
            assert clock(one.backfilled)[0] == []
            assert clock(one.faulty)[0] == ["09:05"]
            assert clock(one.heard)[0] == ["09:00", "09:01", "09:02", "09:05", "09:07"]
        assert not of(store, "TLKM").received.any()
        assert coverage.cover(store.hot, IDX, MONDAY, store) == 2
    store.close()


def test_a_day_that_is_forgotten_is_missing_again(hot: Stock) -> None:
    some_days(hot)
    coverage.cover(hot.store, IDX, MONDAY)
    hot.store.drop_before("idx", "ohlcv", at(TUESDAY, 0, 0))
    coverage.forget(hot.store, IDX, MONDAY)
    assert clock(of(hot.store, "BBCA").received) == [[], ["15:59"]]
    assert table(hot.store) == []


class Files:
    """Cold days: the rows of another store."""

    def __init__(self, store: DuckStore, days: Sequence[date]) -> None:
        self._store, self._days = store, days

    def steady(self, *asked: Any) -> Any:
        return self._store.steady(*asked)

    def all(self, venue: str, kind: str) -> list[Any]:
        class Sealed:
            def __init__(self, day: date) -> None:
                self.day = day

        return [Sealed(day) for day in self._days]


def test_cold_days_that_nobody_entered_are_read_and_can_be_entered(
    hot: Stock, tmp_path: Path
) -> None:
    lost = Stock(DuckStore(tmp_path / "cold.duckdb", [IDX], MARKET_KINDS))
    some_days(lost)
    cold = Files(lost.store, [MONDAY])
    hot.write([bar("BBCA", at(TUESDAY, 15, 59))])
    asked = (IDX, "BBCA", MONDAY, WEDNESDAY)
    assert coverage.uncovered(hot.store, cold, IDX) == [MONDAY]
    before = coverage.covered(hot.store, cold, *asked)
    assert same(before, of(lost.store, "BBCA"))
    every = coverage.coverage(hot.store, cold, IDX, MONDAY, WEDNESDAY)
    assert count(every.received).tolist() == [[3, 1], [2, 0]]
    coverage.cover(hot.store, IDX, MONDAY, cold)
    assert coverage.uncovered(hot.store, cold, IDX) == []
    assert same(of(hot.store, "BBCA"), before)
    lost.store.close()


def test_a_cold_day_whose_file_was_damaged_is_missing(tmp_path: Path) -> None:
    store = tiers.opened(tmp_path)
    stock = Stock(store)
    some_days(stock)
    for day in (MONDAY, TUESDAY):
        coverage.cover(store.hot, IDX, day, store.hot)
    tiers.drain(store, "idx", "ohlcv", [MONDAY])
    before = clock(of(store, "BBCA").received)
    assert before[0] and before[1] == ["15:59"]
    store.cold.set_apart(store.cold.sealed("idx", "ohlcv", MONDAY))
    assert coverage.lost(store.hot, store.cold, IDX) == [MONDAY]
    assert clock(of(store, "BBCA").received) == [[], ["15:59"]]
    assert not of(store, "BBCA").heard[0].any()
    assert count(store.coverage("idx", MONDAY, WEDNESDAY).received)[:, 0].sum() == 0
    # What comes again of it counts as it is.
    stock.write([bar("BBCA", at(MONDAY, 9, 0))])
    assert clock(of(store, "BBCA").received) == [["09:00"], ["15:59"]]
    assert count(store.coverage("idx", MONDAY, WEDNESDAY).received)[:, 0].sum() == 1
    store.close()


def test_a_day_without_bars_is_entered_too(hot: Stock) -> None:
    cold = Files(hot.store, [MONDAY])
    assert coverage.cover(hot.store, IDX, MONDAY) == 0
    assert coverage.uncovered(hot.store, cold, IDX) == []


def test_an_older_file_gets_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "hot.duckdb"
    store = DuckStore(path, [IDX], MARKET_KINDS)
    store.beside(lambda writer: writer.execute("drop table idx_coverage; drop table bursa_covered"))
    store.close()
    store = DuckStore(path, [IDX], MARKET_KINDS)
    assert not of(store, "BBCA").received.any()
    store.close()


def test_people_may_count_what_is_there(hot: Stock) -> None:
    some_days(hot)
    coverage.cover(hot.store, IDX, MONDAY)
    text = (
        "select ticker, day, sum(bit_count(received)), sum(bit_count(backfilled))"
        " from idx_coverage where ticker <> '' group by all order by ticker"
    )
    found = hot.store.select(text, Limits(10, 10.0)).rows
    assert [[row[0], *map(int, row[2:])] for row in found] == [["BBCA", 3, 1], ["BMRI", 2, 1]]


@pytest.mark.parametrize("entered", [True, False], ids=["entered", "not entered"])
def test_a_day_that_goes_cold_is_the_same_at_every_step(tmp_path: Path, entered: bool) -> None:
    store = tiers.opened(tmp_path)
    stock = Stock(store)
    some_days(stock)
    before = of(store, "BBCA"), store.coverage("idx", MONDAY, WEDNESDAY)

    def check() -> None:
        assert same(of(store, "BBCA"), before[0])
        every = store.coverage("idx", MONDAY, WEDNESDAY)
        assert every.tickers == before[1].tickers
        assert np.array_equal(every.received, before[1].received)
        assert np.array_equal(every.backfilled, before[1].backfilled)
        assert np.array_equal(every.heard, before[1].heard)

    seal, adopt, let_go = tiers.steps(store, "idx", "ohlcv", MONDAY)
    for step in (seal, adopt):
        step()
        check()
    if entered:
        coverage.cover(store.hot, IDX, MONDAY, store)
        check()
    let_go()
    check()
    assert coverage.uncovered(store.hot, store.cold, IDX) == ([] if entered else [MONDAY])
    # What comes late lies hot before the split, and is seen beside what is cold.
    stock.write([bar("BBCA", at(MONDAY, 9, 4), source="file")])
    assert clock(of(store, "BBCA").received)[0] == ["09:00", "09:01", "09:04", "09:05"]
    tiers.drain(store, "idx", "ohlcv", [MONDAY])
    coverage.cover(store.hot, IDX, MONDAY, store)
    found = of(store, "BBCA")
    assert clock(found.received)[0] == ["09:00", "09:01", "09:04", "09:05"]
    assert clock(found.backfilled)[0] == ["09:04", "09:05"]
    store.close()


# -- bits ------------------------------------------------------------------------------------------


def test_bits_of_days_where_clocks_change() -> None:
    calendar = XNAS.calendar
    days = Days.of(calendar, date(2025, 11, 1), date(2025, 11, 4))  # the second has 25 hours
    minutes = np.arange(days.midnights[0], days.midnights[-1], MINUTE_NS)
    packed = days.pack(minutes)
    assert count(packed).tolist() == [1440, 1500, 1440]
    rows, places = np.nonzero(unpack(packed))
    assert np.array_equal(days.midnights[rows] + places * MINUTE_NS, minutes)
    assert not days.pack(np.array([days.midnights[0] - 1, days.midnights[-1]])).any()


def test_bits_between_two_minutes() -> None:
    start, end = np.array([0, 3, 540, 70, 0]), np.array([64, 5, 1536, 60, 0])
    found = unpack(between(start, end))
    for row, (a, b) in enumerate(zip(start, end, strict=True)):
        assert np.flatnonzero(found[row]).tolist() == list(range(a, b))


def test_expected_bits_are_the_calendars_minutes() -> None:
    for venue in (IDX, BINANCE, XNAS):
        days = Days.of(venue.calendar, date(2025, 10, 20), date(2025, 11, 20))
        every = [venue.calendar.expected_minutes(days.day(row)) for row in range(len(days))]
        assert np.array_equal(days.expected(venue.calendar), days.pack(np.concatenate(every)))


def test_packing_is_the_opposite_of_unpacking() -> None:
    random = np.random.default_rng(1)
    bits = random.integers(0, 2**64, (5, WORDS), np.uint64)
    rows, minutes = np.nonzero(unpack(bits))
    assert np.array_equal(pack(rows, minutes, 5), bits)
