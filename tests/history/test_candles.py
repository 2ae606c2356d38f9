"""The reader: memory and store give the same bars, and what is not committed yet is there too."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bursa.bars.rollup import roll_up
from bursa.history.candles import Ask, Candles, Reader
from bursa.model.timeframe import TIMEFRAMES
from bursa.model.venue import IDX
from tests.api.floor import DAYS, Floor, at

WED, THU, FRI = DAYS


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    """Two days committed, ten minutes of the third only in memory."""
    found = Floor(tmp_path_factory.mktemp("floor"), depth=500)
    found.day(WED)
    found.day(THU)
    found.commit()
    found.day(FRI, minutes=10)
    yield found
    found.close()


@pytest.fixture(scope="module")
def reader(floor: Floor) -> Reader:
    return floor.services().venues["idx"].reader


def same(a: Candles, b: Candles) -> None:
    """Equal in every column that does not name a dictionary."""
    np.testing.assert_array_equal(a.bars.block[1:], b.bars.block[1:])
    np.testing.assert_array_equal(a.hd, b.hd)
    assert a.more == b.more


ASKS = [
    Ask("BBCA", "1m", 20),
    Ask("BBCA", "1m", 20, open=True),
    Ask("GOTO", "1m", 100),
    Ask("BBCA", "1m", 40, start_ns=at(THU, 9, 0), newest=False),
    Ask("BBCA", "1m", 40, start_ns=at(THU, 15, 50), end_ns=at(FRI, 9, 5)),
    Ask("BBCA", "5m", 10),
    Ask("BBCA", "5m", 10, open=True),
    Ask("BBCA", "15m", 10, start_ns=at(THU, 10, 7), newest=False),
    Ask("BBCA", "1h", 5, start_ns=at(THU, 9, 0), end_ns=at(THU, 16, 30), newest=False),
    Ask("BBCA", "1d", 5, start_ns=at(THU, 9, 0), newest=False, open=True),
]


@pytest.mark.parametrize("ask", ASKS, ids=str)
def test_memory_says_what_the_store_says(reader: Reader, ask: Ask) -> None:
    found = reader.in_memory(ask)
    assert found is not None, "the rings hold it"
    same(found, reader.read(ask))
    ts = found.bars.column("ts")
    assert (np.diff(ts) > 0).all() and (ts >= ask.start_ns).all() and (ts < ask.end_ns).all()
    assert len(ts) <= ask.limit


@pytest.mark.parametrize("ask", ASKS, ids=str)
def test_bars_without_hd_are_the_same_bars(reader: Reader, ask: Ask) -> None:
    whole, plain = reader.read(ask), replace(ask, hd=False)
    for found in (reader.in_memory(plain), reader.read(plain)):
        assert found is not None and found.more == whole.more
        np.testing.assert_array_equal(found.bars.block[1:], whole.bars.block[1:])
        assert np.isnan(found.hd).all() and found.hd.shape == whole.hd.shape
    assert np.isfinite(whole.hd).any()


@pytest.mark.parametrize("ask", ASKS, ids=str)
def test_the_columns_asked_for_are_there(reader: Reader, ask: Ask) -> None:
    whole, few = reader.read(ask), replace(ask, columns=("close", "volume"), hd=False)
    for found in (reader.in_memory(few), reader.read(few)):
        assert found is not None
        for name in ("ts", "rev", "close", "volume"):
            np.testing.assert_array_equal(found.bars.column(name), whole.bars.column(name))


@pytest.mark.parametrize("tf", [tf for tf in TIMEFRAMES if tf != "1m"])
def test_any_cut_of_a_range_is_a_part_of_the_whole(reader: Reader, tf: str) -> None:
    """Newest N and oldest N of any range are the ends of all bars rolled from all minutes."""
    minutes = reader.read(Ask("BBCA", "1m", 10_000, open=True)).bars
    whole = roll_up(minutes, tf, IDX)
    every = whole.column("ts")
    for limit in (1, 2, 7, len(every), 1000):
        newest = reader.read(Ask("BBCA", tf, limit, open=True))
        np.testing.assert_array_equal(newest.bars.block[1:], whole.block[1:, -limit:])
        assert newest.more == (limit < len(every))
        oldest = reader.read(Ask("BBCA", tf, limit, start_ns=1, newest=False, open=True))
        np.testing.assert_array_equal(oldest.bars.block[1:], whole.block[1:, :limit])
        assert oldest.more == (limit < len(every))
    for start in (every[0] + 1, every[-1], every[len(every) // 2]):
        found = reader.read(Ask("BBCA", tf, 1000, start_ns=int(start), newest=False, open=True))
        np.testing.assert_array_equal(found.bars.column("ts"), every[every >= start])
        found = reader.read(Ask("BBCA", tf, 1000, end_ns=int(start), open=True))
        np.testing.assert_array_equal(found.bars.column("ts"), every[every < start])


def test_what_is_not_committed_yet_is_read_from_memory(reader: Reader, floor: Floor) -> None:
    found = reader.read(Ask("BBCA", "1m", 1000, start_ns=at(THU, 15, 58), newest=False))
    clock = [IDX.calendar.local_s(ts) // 60 for ts in found.bars.column("ts").tolist()]
    opening = [8 * 60 + 55, *range(9 * 60, 9 * 60 + 9)]
    assert clock == [15 * 60 + 58, 15 * 60 + 59, *opening]
    assert len(floor.store.bars("idx", "BBCA", at(FRI, 0, 0), at(FRI, 23, 0))) == 0


def test_a_ticker_nobody_knows_has_no_bars(reader: Reader) -> None:
    for tf in TIMEFRAMES:
        for newest in (True, False):
            found = reader.read(Ask("NIX", tf, 10, newest=newest, open=True))
            assert len(found.bars) == 0 and not found.more


def test_the_past_is_what_was_known_then(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    floor.day(THU, minutes=5, auction=False)
    floor.commit()
    known = floor.clock.ns
    floor.trade(at(THU, 9, 1, 20), 9_999, 700)  # late
    floor.heartbeat(at(THU, 9, 5, 30))
    reader = floor.services().venues["idx"].reader
    for committed in (False, True):
        if committed:
            floor.commit()
        now = reader.read(Ask("BBCA", "1m", 10))
        then = reader.read(Ask("BBCA", "1m", 10, as_of_ns=known))
        assert now.bars.column("rev").tolist() == [0, 1, 0, 0, 0]
        assert now.bars.column("high")[1] == 9_999
        if committed:
            assert then.bars.column("rev").tolist() == [0, 0, 0, 0]
            assert then.bars.column("high")[1] == 9_030
    floor.close()
