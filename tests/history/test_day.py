"""The venue's day: what was told, traded or only listed becomes one table, and what comes of it."""

import asyncio
import math
from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.history.day import RANKINGS, Breadth, DayTable
from bursa.history.day_bars import READS_MAX as BAR_READS_MAX
from bursa.history.trail import READS_MAX
from bursa.model.calendar import SECOND_NS
from bursa.model.errors import Refuse, Retry
from bursa.model.schema import CONTRACTS, INDEX, OHLCV, QUOTES, SNAPSHOT, TICKS
from bursa.model.venue import BINANCE, IDX
from tests.fakes.store import Row
from tests.history.told import FRI, THU, TUE, Told, at, bar, contract, figures, index, trade

NAN = float("nan")


@pytest.fixture
def told() -> Iterator[Told]:
    found = Told()
    yield found
    found.offload.close()


@pytest.fixture
def coins() -> Iterator[Told]:
    """A venue that sends no day figures and never closes."""
    found = Told(BINANCE)
    yield found
    found.offload.close()


def same(found: dict[str, float], **wanted: float) -> None:
    """The named figures; NaN equals NaN."""
    for name, value in wanted.items():
        assert found[name] == value or (math.isnan(found[name]) and math.isnan(value)), name


# -- the table -------------------------------------------------------------------------------------


def test_a_venue_that_said_nothing_has_an_empty_day(told: Told) -> None:
    table = told.day.table()
    assert len(table) == 0 and table.as_of_ns == 0 and table.day == FRI
    assert told.day.table().breadth() == Breadth(0, 0, 0, 0, 0, 0, 0.0, 0.0, 0)
    assert [told.day.table().ranking(by, 10) for by in RANKINGS] == [[]] * 4
    assert told.day.indices() == [] and told.day.usual() is None
    assert told.day.spark("BBCA", 34) == [None] * 34 and told.day.table().rows.get("BBCA") is None
    assert len(told.day.trail("COMPOSITE").ts) == 0


def test_figures_are_those_the_venue_told_by_ticker(told: Told) -> None:
    told.tell(SNAPSHOT, figures("TLKM", at(FRI, 10, 0), last=99.0))
    told.tell(SNAPSHOT, figures("BBCA", at(FRI, 9, 30), bid=None, open=None))
    told.tell(SNAPSHOT, figures("BBCA", at(FRI, 10, 5), last=1.0, board="NG"))
    table = told.day.table()
    assert table.tickers == ["BBCA", "TLKM"] and table.day == FRI
    assert table.as_of_ns == at(FRI, 10, 0)
    same(
        told.of("BBCA"), last=105.0, prev=100.0, open=NAN, high=110.0, low=95.0, bid=NAN,
        ask=106.0, volume=1_000.0, value=105_000.0, trades=10, ts=at(FRI, 9, 30),
        change=(105 / 100 - 1) * 100,
    )  # fmt: skip
    same(told.of("TLKM"), last=99.0, change=(99 / 100 - 1) * 100)
    assert told.day.table().rows.get("TLKM") == 1 and told.day.table().rows.get("GOTO") is None


def test_a_table_cannot_be_written(told: Told) -> None:
    told.tell(SNAPSHOT, figures("BBCA", at(FRI, 9, 30)))
    with pytest.raises(ValueError, match="read-only"):
        told.day.table().last[0] = 0


def test_a_table_is_remembered_for_a_quarter_of_a_second(told: Told) -> None:
    told.tell(SNAPSHOT, figures("BBCA", at(FRI, 9, 30)))
    before = told.day.table()
    told.tell(SNAPSHOT, figures("BBCA", at(FRI, 9, 31), last=106.0))
    told.clock.ns -= SECOND_NS
    told.clock.ns += 249_000_000
    assert told.day.table() is before
    told.clock.ns += 1_000_000
    assert told.of("BBCA")["last"] == 106.0
    assert before.last[0] == 105.0, "an older table stays what it was"


def test_who_did_not_trade_stands_at_the_previous_close(told: Told) -> None:
    quiet = figures("GOTO", at(FRI, 9, 30), trades=0, last=None, volume=0.0, value=0.0)
    told.tell(SNAPSHOT, figures("BBCA", at(FRI, 9, 30)), quiet)
    told.tell(CONTRACTS, contract("TLKM", 3_000.0), contract("NEWB", None))
    assert told.day.table().tickers == ["BBCA", "GOTO", "NEWB", "TLKM"]
    same(told.of("GOTO"), last=100.0, prev=100.0, trades=0, change=NAN, bid=104.0)
    same(told.of("TLKM"), last=3_000.0, prev=3_000.0, ts=0, trades=0, volume=0.0, change=NAN)
    same(told.of("NEWB"), last=NAN, prev=NAN, change=NAN)
    assert [told.day.table().ranking(by, 10) for by in RANKINGS] == [[0]] * 4
    assert told.day.table().breadth().untraded == 3


def test_figures_of_an_earlier_day_are_its_last_price_alone(told: Told) -> None:
    told.tell(SNAPSHOT, figures("BBCA", at(FRI, 9, 30)), figures("GOTO", at(THU, 15, 0)))
    told.tell(SNAPSHOT, figures("TLKM", at(THU, 15, 0), last=None))
    same(
        told.of("GOTO"), last=105.0, prev=105.0, open=NAN, high=NAN, low=NAN, bid=NAN, ask=NAN,
        volume=0.0, value=0.0, trades=0, ts=at(THU, 15, 0), change=NAN,
    )  # fmt: skip
    same(told.of("TLKM"), last=NAN, prev=NAN)
    assert told.day.table().breadth() == Breadth(1, 0, 0, 2, 0, 0, 1_000.0, 105_000.0, 10)


def test_without_a_previous_close_there_is_no_change(told: Told) -> None:
    told.tell(
        SNAPSHOT,
        figures("BBCA", at(FRI, 9, 30)),
        figures("NEWB", at(FRI, 9, 30), prev=None, volume=5_000.0),
        figures("ZERO", at(FRI, 9, 30), prev=0.0, volume=4_000.0),
    )
    assert math.isnan(told.of("NEWB")["change"]) and math.isnan(told.of("ZERO")["change"])
    assert told.day.table().ranking("change", 10) == [0]
    assert told.day.table().ranking("volume", 10) == [1, 2, 0]
    assert told.day.table().breadth().unchanged == 1, "it traded, and moved against nothing"


def test_the_newest_figure_of_all_says_which_day_is_shown(told: Told) -> None:
    told.tell(SNAPSHOT, figures("BBCA", at(THU, 16, 0)))
    told.clock.ns = at(FRI, 8, 0)
    assert told.day.table().day == THU and told.of("BBCA")["trades"] == 10
    told.tell(INDEX, index(at(FRI, 8, 45), 7_000.0))
    assert told.day.table().day == FRI
    same(told.of("BBCA"), last=105.0, prev=105.0, trades=0)


def test_an_instrument_comes_in_its_place_when_it_is_told(told: Told) -> None:
    told.tell(SNAPSHOT, figures("BBCA", at(FRI, 9, 30)), figures("TLKM", at(FRI, 9, 30)))
    assert told.day.table().rows.get("TLKM") == 1
    told.tell(CONTRACTS, contract("GOTO", 60.0))
    assert (
        told.day.table().tickers == ["BBCA", "GOTO", "TLKM"]
        and told.day.table().rows.get("TLKM") == 2
    )
    told.tell(INDEX, index(at(FRI, 9, 31), 7_000.0))
    told.tell(TICKS, trade("ASII", at(FRI, 9, 32), 5_000.0))
    assert told.day.table().tickers == ["ASII", "BBCA", "GOTO", "TLKM"], "an index is none"


def test_a_new_previous_close_is_taken_by_the_next_renewal(told: Told) -> None:
    told.tell(CONTRACTS, contract("GOTO", 60.0))
    assert told.of("GOTO")["prev"] == 60.0
    told.tell(CONTRACTS, contract("GOTO", 61.0))
    told.renew()
    same(told.of("GOTO"), prev=61.0, last=61.0)


def test_what_a_renewal_found_is_shown_at_once(coins: Told) -> None:
    coins.tell(OHLCV, bar("BTCUSDT", utc(FRI, 0, 0), 10.0))
    coins.tell(TICKS, coin_trade(utc(FRI, 0, 0, 30), 10.0))
    assert coins.of("BTCUSDT")["trades"] == 1
    asyncio.run(coins.day.renew())
    assert coins.of("BTCUSDT")["trades"] == 2, "no clock went on meanwhile"


def test_the_first_trade_counts_before_figures_are_told(told: Told) -> None:
    told.tell(CONTRACTS, contract("GOTO", 60.0))
    told.tell(SNAPSHOT, figures("TLKM", at(THU, 16, 0)))
    told.tell(TICKS, trade("GOTO", at(FRI, 9, 0), 63.0, 200.0))
    told.tell(TICKS, trade("TLKM", at(FRI, 9, 1), 103.0), trade("BBCA", at(THU, 9, 1), 9_000.0))
    same(
        told.of("GOTO"), last=63.0, prev=60.0, open=63.0, high=63.0, low=63.0, volume=200.0,
        value=12_600.0, trades=1, ts=at(FRI, 9, 0), change=(63 / 60 - 1) * 100,
    )  # fmt: skip
    same(told.of("TLKM"), last=103.0, prev=105.0, trades=1)
    same(told.of("BBCA"), last=9_000.0, prev=9_000.0, trades=0, ts=at(THU, 9, 1))
    told.tell(SNAPSHOT, figures("GOTO", at(FRI, 9, 0, 1)))
    assert told.of("GOTO")["trades"] == 10, "what the venue says counts"


def test_a_trade_newer_than_the_figures_moves_the_price(told: Told) -> None:
    ts = at(FRI, 9, 30)
    told.tell(SNAPSHOT, figures("BBCA", ts, last=105.0, high=106.0, low=99.0, trades=10))
    told.tell(TICKS, trade("BBCA", ts + 1, 107.0, 300.0))
    before = told.of("BBCA")
    same(before, last=107.0, high=107.0, low=99.0, trades=10, ts=ts + 1)
    assert before["change"] == (107.0 / before["prev"] - 1) * 100
    told.tell(SNAPSHOT, figures("BBCA", ts + 1, last=107.0, high=107.0, low=99.0, trades=11))
    same(told.of("BBCA"), last=107.0, trades=11)
    told.tell(TICKS, trade("BBCA", ts, 1.0))
    same(told.of("BBCA"), last=107.0, low=99.0)


# -- rankings and breadth --------------------------------------------------------------------------


def ranked(told: Told) -> None:
    ts = at(FRI, 10, 0)
    told.tell(
        SNAPSHOT,
        figures("AAAA", ts, last=110.0, volume=10.0, value=7.0, trades=3),
        figures("BBBB", ts, last=95.0, volume=30.0, value=7.0, trades=3),
        figures("CCCC", ts, last=110.0, volume=20.0, value=9.0, trades=5),
        figures("DDDD", ts, last=100.0, volume=20.0, value=1.0, trades=1),
        figures("EEEE", ts, trades=0, volume=0.0, value=0.0),
    )


def test_rankings_by_hand(told: Told) -> None:
    ranked(told)
    day = told.day
    assert day.table().ranking("change", 10) == [0, 2, 3, 1]
    assert day.table().ranking("change", 10, ascending=True) == [1, 3, 0, 2]
    assert day.table().ranking("volume", 10) == [1, 2, 3, 0]
    assert day.table().ranking("volume", 10, ascending=True) == [0, 2, 3, 1]
    assert day.table().ranking("value", 3) == [2, 0, 1]
    assert day.table().ranking("frequency", 2) == [2, 0]
    assert day.table().ranking("frequency", 3, ascending=True) == [3, 0, 1]
    for by in ("price", "", "trades"):
        with pytest.raises(Refuse) as refused:
            day.table().ranking(by, 10)
        assert (refused.value.code, refused.value.parameter) == ("unknown_ranking", "by")


def test_breadth_by_hand(told: Told) -> None:
    ranked(told)
    ts = at(FRI, 10, 0)
    told.tell(SNAPSHOT, figures("STIL", ts, last=99.0, high=99.0, low=99.0))
    assert told.day.table().breadth() == Breadth(
        up=2, down=2, unchanged=1, untraded=1, at_high=2, at_low=1,
        volume=1_080.0, value=105_024.0, trades=22,
    )  # fmt: skip


PRICES = st.sampled_from([None, 0.0, 95.0, 99.5, 100.0, 100.5, 110.0])
INSTRUMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "day": st.sampled_from([THU, FRI, FRI, FRI]),
            "prev": PRICES,
            "last": PRICES,
            "high": st.sampled_from([None, 100.0, 110.0]),
            "low": st.sampled_from([None, 95.0, 100.0]),
            "volume": st.integers(0, 3).map(float),
            "value": st.integers(0, 3).map(float),
            "trades": st.integers(0, 3),
        }
    ),
    max_size=12,
)  # fmt: skip


def plain(rows: list[Row]) -> tuple[dict[tuple[str, bool], list[int]], Breadth]:
    """Rankings and breadth, instrument by instrument."""
    seen = []
    for place, row in enumerate(rows):
        if row["day"] != FRI or not row["trades"]:
            continue
        prev = row["prev"]
        last = prev if row["last"] is None else row["last"]
        change = None if last is None or not prev else (last / prev - 1) * 100
        seen.append((place, row, last, prev, change))
    keys: dict[str, Any] = {
        "change": lambda one: one[4], "volume": lambda one: one[1]["volume"],
        "value": lambda one: one[1]["value"], "frequency": lambda one: one[1]["trades"],
    }  # fmt: skip
    found = {}
    for by, key in keys.items():
        some = [one for one in seen if key(one) is not None]
        for ascending in (False, True):
            order = sorted(some, key=key, reverse=not ascending)  # stable in either direction
            found[by, ascending] = [one[0] for one in order]
    pairs = [(last, prev) for _, _, last, prev, _ in seen if last is not None and prev is not None]
    up, down = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    high = low = 0
    for _, row, last, _, _ in seen:
        if last is not None and row["high"] is not None and row["low"] is not None:
            moved = row["high"] > row["low"]
            high, low = high + (moved and last >= row["high"]), low + (moved and last <= row["low"])
    sums = [sum(row[n] for row in rows if row["day"] == FRI) for n in ("volume", "value", "trades")]
    untraded = len(rows) - len(seen)
    return found, Breadth(up, down, len(seen) - up - down, untraded, high, low, *sums)


@settings(deadline=None)
@given(INSTRUMENTS, st.integers(1, 12))
def test_ranking_and_breadth_are_those_of_plain_python(rows: list[Row], limit: int) -> None:
    told = Told()
    told.tell(INDEX, index(at(FRI, 12, 0), 7_000.0))
    for place, row in enumerate(rows):
        told.tell(SNAPSHOT, figures(f"T{place:02d}", at(row["day"], 11, 0), **row))
    rankings, breadth = plain(rows)
    table = told.day.table()
    for (by, ascending), places in rankings.items():
        assert table.ranking(by, limit, ascending) == places[:limit]
    assert table.breadth() == breadth
    assert breadth.up + breadth.down + breadth.unchanged + breadth.untraded == len(rows)
    told.offload.close()


# -- sparks ----------------------------------------------------------------------------------------


def test_a_spark_has_a_close_a_part_and_none_for_a_hole(told: Told) -> None:
    told.tell(SNAPSHOT, figures("BBCA", at(FRI, 9, 0)))
    told.now_ns = at(FRI, 9, 12)
    minutes = (0, 1, 2, 3, 8, 9, 11)
    told.tell(OHLCV, *(bar("BBCA", at(FRI, 9, m), 10.0 + m) for m in minutes))
    told.tell(OHLCV, bar("BBCA", at(THU, 15, 0), 1.0))
    assert told.day.spark("BBCA", 4) == [12.0, 13.0, 18.0, 21.0]
    assert told.day.spark("BBCA", 6) == [11.0, 13.0, None, None, 19.0, 21.0]
    assert told.day.spark("BBCA", 12)[4:8] == [None] * 4
    assert told.day.spark("BBCA", 34) == told.day.spark("BBCA", 12), "a part has a minute at least"
    assert told.day.spark("TLKM", 3) == [None] * 3
    assert told.day.spark("BBCA", 0) == []


def test_a_spark_goes_on_with_its_ring_and_with_the_clock(told: Told) -> None:
    told.tell(SNAPSHOT, figures("BBCA", at(FRI, 9, 0)))
    told.now_ns = at(FRI, 9, 2)
    told.tell(OHLCV, bar("BBCA", at(FRI, 9, 0), 10.0))
    assert told.day.spark("BBCA", 2) == [10.0, None]
    told.tell(OHLCV, bar("BBCA", at(FRI, 9, 1), 11.0))
    assert told.day.spark("BBCA", 2) == [10.0, 11.0]
    told.tell(OHLCV, bar("BBCA", at(FRI, 9, 0), 12.0, rev=1))
    assert told.day.spark("BBCA", 2) == [12.0, 11.0]
    told.now_ns = at(FRI, 9, 4)
    assert told.day.spark("BBCA", 2) == [11.0, None]


def test_a_spark_leaves_out_lunch_and_takes_the_auctions_in(told: Told) -> None:
    told.tell(SNAPSHOT, figures("BBCA", at(THU, 9, 0)))
    told.now_ns = at(THU, 13, 40)
    times = ((8, 58, 1.0), (11, 59, 2.0), (13, 30, 3.0), (13, 39, 4.0))
    told.tell(OHLCV, *(bar("BBCA", at(THU, h, m), close) for h, m, close in times))
    # 180 minutes before lunch and 10 after it: parts of ten.
    assert told.day.spark("BBCA", 19) == [1.0, *[None] * 16, 2.0, 4.0]
    told.now_ns = at(FRI, 7, 0)
    told.tell(OHLCV, bar("BBCA", at(THU, 16, 0), 5.0))
    assert told.day.spark("BBCA", 2) == [1.0, 5.0], "the whole of the day that is shown"
    told.now_ns = at(THU, 8, 59)
    assert told.day.spark("BBCA", 2) == [], "nothing could be traded yet"


# -- indices ---------------------------------------------------------------------------------------


def test_the_main_index_comes_first(told: Told) -> None:
    told.tell(INDEX, index(at(FRI, 9, 0), 900.0, "AAA"), index(at(FRI, 9, 0), 950.0, "LQ45"))
    told.tell(INDEX, index(at(FRI, 9, 0, 1), 7_010.0, traded=5e12) | {"prev": None})
    main, *others = told.day.indices()
    assert (main.code, main.value, main.value_traded) == ("COMPOSITE", 7_010.0, 5e12)
    assert main.ts_ns == at(FRI, 9, 0, 1) and math.isnan(main.prev)
    assert [(one.code, one.prev) for one in others] == [("AAA", 7_000.0), ("LQ45", 7_000.0)]


def way(told: Told, code: str = "COMPOSITE") -> list[tuple[str, float]]:
    trail = told.day.trail(code)
    assert trail.ts.dtype == np.int64 and trail.values.dtype == np.float64
    clock = [told.venue.calendar.local_s(ts) for ts in trail.ts.tolist()]
    assert all(second % 60 == 0 for second in clock)
    times = [f"{second // 3600:02d}:{second // 60 % 60:02d}" for second in clock]
    return list(zip(times, trail.values.tolist(), strict=True))


def test_a_trail_has_the_last_value_of_each_minute_and_nothing_at_lunch(told: Told) -> None:
    times = ((9, 0, 1), (9, 0, 59), (9, 1, 0), (11, 59, 58), (13, 30, 3), (13, 31, 0))
    rows = [index(at(THU, h, m, s), 7_000.0 + n) for n, (h, m, s) in enumerate(times)]
    told.tell(INDEX, *rows, index(at(THU, 9, 5), 900.0, "LQ45"), store=True)
    assert way(told) == [("13:31", 7_005.0)], "the newest is known at once"
    told.renew()
    whole = [("09:00", 7_001.0), ("09:01", 7_002.0), ("11:59", 7_003.0), ("13:30", 7_004.0)]
    assert way(told) == [*whole, ("13:31", 7_005.0)]
    assert way(told, "LQ45") == [("09:05", 900.0)] and way(told, "NIX") == []


def test_a_trail_is_read_on_from_where_it_ended(told: Told) -> None:
    told.tell(INDEX, index(at(FRI, 9, 0), 1.0), index(at(FRI, 9, 1, 30), 2.0), store=True)
    told.renew()
    told.tell(INDEX, index(at(FRI, 9, 1, 40), 3.0), store=True)
    told.tell(INDEX, index(at(FRI, 9, 2), 4.0), index(at(FRI, 9, 2, 30), 5.0))
    assert way(told) == [("09:00", 1.0), ("09:01", 2.0), ("09:02", 5.0)]
    told.store.index_asks.clear()
    told.renew()
    assert told.store.index_asks[0] == ("COMPOSITE", at(FRI, 9, 1))
    assert way(told) == [("09:00", 1.0), ("09:01", 3.0), ("09:02", 5.0)]


def test_of_many_indices_some_are_read_at_a_time_the_main_one_always(told: Told) -> None:
    codes = [f"IDX{n}" for n in range(7)]
    for code in ("COMPOSITE", *codes):
        rows = [index(at(FRI, 9, m), float(m), code) for m in (0, 1)]
        told.tell(INDEX, *rows, store=True)
    for _ in range(3):
        told.renew()
    asked = [code for code, _ in told.store.index_asks if code != "COMPOSITE"]
    assert [code for code, _ in told.store.index_asks].count("COMPOSITE") >= 3
    assert asked[:7] == codes and len(asked) == 3 * (READS_MAX - 1)
    assert all(way(told, code) == [("09:00", 0.0), ("09:01", 1.0)] for code in codes)


def test_a_trail_goes_on_while_the_store_is_away(told: Told) -> None:
    told.tell(INDEX, index(at(FRI, 9, 0), 1.0), store=True)
    told.renew()
    told.store.away = True
    for minute in (1, 2):
        told.tell(INDEX, index(at(FRI, 9, minute), float(minute)))
        with pytest.raises(Retry):
            told.renew()
    told.tell(INDEX, index(at(FRI, 9, 3), 3.0))
    assert way(told) == [("09:00", 1.0), ("09:01", 1.0), ("09:02", 2.0), ("09:03", 3.0)]


def test_a_new_day_begins_a_new_trail(told: Told) -> None:
    told.tell(INDEX, index(at(THU, 9, 0), 1.0), store=True)
    told.renew()
    told.tell(INDEX, index(at(FRI, 9, 0), 2.0), store=True)
    assert way(told) == [("09:00", 2.0)]
    told.renew()
    assert way(told) == [("09:00", 2.0)]
    told.tell(INDEX, index(at(THU, 10, 0), 9.0), store=True)
    told.renew()
    assert told.day.table().day == THU and way(told) == [("09:00", 1.0), ("10:00", 9.0)]


def test_what_is_usual_is_the_mean_of_earlier_days_by_this_time(told: Told) -> None:
    for day, first, second in ((TUE, 100.0, 300.0), (THU, 200.0, 200.0)):
        told.tell(INDEX, index(at(day, 9, 0), 1.0, traded=0.0), store=True, memory=False)
        told.tell(INDEX, index(at(day, 10, 0), 1.0, traded=first), store=True, memory=False)
        told.tell(INDEX, index(at(day, 11, 0), 1.0, traded=first + second), store=True)
    assert told.day.usual() is None
    told.tell(INDEX, index(at(FRI, 10, 0), 1.0, traded=300.0), store=True)
    assert told.day.usual() is None, "not read yet"
    told.renew()
    assert told.day.usual() == 300 / 150
    told.tell(INDEX, index(at(FRI, 10, 30), 1.0, traded=550.0))
    assert told.day.usual() == 550 / 275, "half of what each day's hour brought"
    told.tell(INDEX, index(at(FRI, 15, 0), 1.0, traded=800.0))
    assert told.day.usual() == 800 / 400
    told.tell(INDEX, index(at(FRI, 8, 50), 1.0, traded=1.0))
    assert told.day.usual() is None, "earlier days had nothing by then"


def test_what_is_usual_is_known_from_five_days_at_most_each_read_once(told: Told) -> None:
    days = IDX.calendar.days(date(2026, 11, 2), FRI)
    for nth, day in enumerate(days):
        told.tell(INDEX, index(at(day, 9, 30), 1.0, traded=2.0**nth), store=True)
    told.tell(INDEX, index(at(FRI, 10, 0), 1.0, traded=1_000.0), store=True)
    told.renew()
    mean = sum(2.0**nth for nth in range(len(days) - 5, len(days))) / 5
    assert told.day.usual() == pytest.approx(1_000 / mean)
    told.store.index_asks.clear()
    told.renew()
    assert len(told.store.index_asks) == 1


# -- a venue without day figures -------------------------------------------------------------------


def utc(day: date, hour: int, minute: int, second: float = 0) -> int:
    return at(day, hour, minute, second, BINANCE)


def coin_trade(ts: int, price: float, volume: float = 0.5, ticker: str = "BTCUSDT") -> Row:
    return trade(ticker, ts, price, volume, board="SPOT")


def test_figures_are_made_of_the_days_minutes(coins: Told) -> None:
    coins.tell(
        OHLCV,
        bar("BTCUSDT", utc(THU, 23, 59), 9.0),
        bar("BTCUSDT", utc(FRI, 0, 0), 10.0),
        bar("BTCUSDT", utc(FRI, 0, 1), 20.0),
        bar("BTCUSDT", utc(FRI, 0, 2), 5.0),
    )
    coins.opened = [bar("BTCUSDT", utc(FRI, 0, 2), 77.0), bar("BTCUSDT", utc(FRI, 0, 3), 12.0)]
    coins.tell(TICKS, coin_trade(utc(FRI, 0, 3, 10), 12.5))
    coins.tell(QUOTES, {"ticker": "BTCUSDT", "ts": utc(FRI, 0, 3), "seq": 1, "bid": 12.0,
                        "bid_volume": 1.0, "ask": 13.0, "ask_volume": 1.0})  # fmt: skip
    same(coins.of("BTCUSDT"), last=12.5, prev=NAN, trades=1, volume=0.5, bid=12.0, ask=13.0)
    coins.renew()
    same(
        coins.of("BTCUSDT"), last=12.5, prev=9.0, open=10.0, high=21.0, low=4.0, bid=12.0,
        ask=13.0, volume=0.4, value=4.04, trades=8, ts=utc(FRI, 0, 3, 10),
        change=(12.5 / 9.0 - 1) * 100,
    )  # fmt: skip
    coins.tell(TICKS, coin_trade(utc(FRI, 0, 3, 20), 30.0))
    same(coins.of("BTCUSDT"), last=30.0, high=30.0, low=4.0, trades=8)


def test_minutes_that_memory_lacks_are_read_from_the_store_once(coins: Told) -> None:
    coins.tell(OHLCV, bar("BTCUSDT", utc(THU, 12, 0), 8.0), store=True, memory=False)
    early = [bar("BTCUSDT", utc(FRI, 1, m), 10.0 + m) for m in range(3)]
    late = [bar("BTCUSDT", utc(FRI, 5, m), 20.0 + m) for m in range(2)]
    coins.tell(OHLCV, *early, *late, store=True, memory=False)
    held = coins.store.bars("binance", "BTCUSDT", utc(FRI, 5, 0), utc(FRI, 6, 0))
    assert coins.rings.put_bars("BTCUSDT", held, utc(FRI, 5, 0))
    coins.tell(TICKS, coin_trade(utc(FRI, 5, 1, 30), 21.0))
    coins.store.bar_asks = 0
    coins.renew()
    same(coins.of("BTCUSDT"), prev=8.0, open=10.0, high=22.0, low=9.0, trades=10, volume=0.5)
    assert coins.store.bar_asks == 2, "the day, and the close before it"
    coins.tell(OHLCV, bar("BTCUSDT", utc(FRI, 5, 2), 40.0))
    coins.renew()
    same(coins.of("BTCUSDT"), high=41.0, trades=12, volume=0.6)
    assert coins.store.bar_asks == 2


def test_a_start_reads_the_store_for_some_at_a_time(coins: Told) -> None:
    names = [f"C{n:03d}USDT" for n in range(BAR_READS_MAX)]
    for name in names:
        coins.tell(OHLCV, bar(name, utc(FRI, 1, 0), 10.0), store=True, memory=False)
        coins.tell(TICKS, coin_trade(utc(FRI, 1, 0, 30), 11.0, ticker=name))
    coins.renew()
    assert coins.store.bar_asks == BAR_READS_MAX
    assert int((coins.day.table().trades == 2).sum()) == BAR_READS_MAX // 2
    coins.renew()
    assert (coins.day.table().trades == 2).all()


def test_a_coins_day_ends_at_midnight(coins: Told) -> None:
    coins.tell(OHLCV, bar("BTCUSDT", utc(THU, 23, 59), 9.0))
    coins.tell(TICKS, coin_trade(utc(THU, 23, 59, 30), 9.0))
    coins.renew()
    assert coins.day.table().day == THU and coins.of("BTCUSDT")["trades"] == 2
    coins.tell(TICKS, coin_trade(utc(FRI, 0, 0), 9.9))
    same(coins.of("BTCUSDT"), last=9.9, prev=NAN, trades=1)
    coins.opened = [bar("BTCUSDT", utc(FRI, 0, 0), 9.9, trades=1)]
    coins.renew()
    same(coins.of("BTCUSDT"), last=9.9, prev=9.0, trades=1, open=9.9, volume=0.1)


def test_figures_of_a_venue_that_tells_them_read_no_bars(told: Told) -> None:
    told.tell(SNAPSHOT, figures("BBCA", at(FRI, 9, 30)))
    told.tell(TICKS, trade("BBCA", at(FRI, 9, 30), 999.0))
    told.renew()
    same(told.of("BBCA"), last=105.0, trades=10)
    assert told.store.bar_asks == 0


# -- run -------------------------------------------------------------------------------------------


def test_rows_and_arrays_of_a_table_agree(told: Told) -> None:
    ranked(told)
    table: DayTable = told.day.table()
    assert [table.rows[ticker] for ticker in table.tickers] == list(range(len(table)))
