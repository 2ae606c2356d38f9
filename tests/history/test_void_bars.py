"""Bars whose trades were all taken back: rows of the store and the rings, but no candles."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.bars.rollup import roll_up
from bursa.history.candles import Ask, Market, Reader
from bursa.history.offload import Offload
from bursa.model.batch import Span, empty
from bursa.model.schema import OHLCV
from bursa.model.venue import BINANCE
from bursa.store.rings import Rings
from tests.fakes.store import FakeStore, Row
from tests.store.contract import KINDS, MINUTE, OPEN, bar, batch, put

COUNT = 40
T = (OPEN // (60 * MINUTE) + 1) * 60 * MINUTE
FIRST = (T - OPEN) // MINUTE


def minute_bar(minute: int, void: bool) -> Row:
    if not void:
        return bar("BTCUSDT", FIRST + minute, high=200.0 + minute)
    nothing = {"volume": 0.0, "value": 0.0, "trades": 0, "vwap": None}
    return bar("BTCUSDT", FIRST + minute, 1, high=9_999.0, low=1.0, close=7_777.0, **nothing)


def reader_of(voids: set[int], in_memory: int) -> Reader:
    """Forty minutes, the last ones in a ring; those in both alike."""
    words = BINANCE.words()
    rings = Rings(BINANCE, words, 64, 1 << 20)
    rows = [minute_bar(minute, minute in voids) for minute in range(COUNT)]
    store = FakeStore((BINANCE,), KINDS)
    put(store, batch(OHLCV, rows, venue="binance"))
    if in_memory:
        rings.feed_bars(batch(OHLCV, rows[-in_memory:], words, venue="binance"))
    none = empty(OHLCV, words, Span("binance", 1, 0, 0))
    after = T + COUNT * MINUTE
    market = Market(BINANCE, words, store, rings, lambda ids: none, lambda: after, lambda t: T)
    return Reader(market, Offload(threads=1))


@settings(max_examples=60, deadline=None)
@given(
    voids=st.sets(st.integers(0, COUNT - 1)), in_memory=st.sampled_from([0, 5, COUNT]),
    limit=st.integers(1, COUNT + 2), newest=st.booleans(),
)  # fmt: skip
def test_minutes_without_a_trade_left_are_no_candles(
    voids: set[int], in_memory: int, limit: int, newest: bool
) -> None:
    reader = reader_of(voids, in_memory)
    left = [minute for minute in range(COUNT) if minute not in voids]
    wanted = left[-limit:] if newest else left[:limit]
    ask = Ask("BTCUSDT", "1m", limit, newest=newest, columns=("close", "volume"), hd=False)
    # A ring that was never filled from the store believes to hold all that there is.
    for read in (reader.read, reader.in_memory) if in_memory == COUNT else (reader.read,):
        found = read(ask)
        assert found is not None
        assert ((found.bars.column("ts") - T) // MINUTE).tolist() == wanted
        assert found.more == (limit < len(left))


@settings(max_examples=60, deadline=None)
@given(voids=st.sets(st.integers(0, 9)), whole=st.booleans())
def test_longer_bars_take_no_price_of_them(voids: set[int], whole: bool) -> None:
    voids |= set(range(5, 10)) if whole else set()
    found = reader_of(voids, 0).read(Ask("BTCUSDT", "5m", 2, T, T + 10 * MINUTE)).bars
    parts = [[m for m in part if m not in voids] for part in (range(5), range(5, 10))]
    left = [part for part in parts if part]
    assert found.column("high").tolist() == [200.0 + part[-1] for part in left]
    assert found.column("close").tolist() == [100.0 + FIRST + part[-1] for part in left]
    assert found.column("low").tolist() == [95.0] * len(left)
    assert found.column("trades").tolist() == [3 * len(part) for part in left]


def test_a_longer_bar_of_nothing_else_is_still_a_row() -> None:
    rows = [minute_bar(minute, True) for minute in range(5)]
    (row,) = roll_up(batch(OHLCV, rows, venue="binance"), "5m", BINANCE).block.T
    found = dict(zip(OHLCV.index, row.tolist(), strict=True))
    assert (found["trades"], found["rev"]) == (0, 9)
    assert np.int64(found["close"]).view(np.float64) == 7_777.0


@pytest.mark.parametrize("tf", ["1m", "5m"])
def test_who_asks_what_changed_is_told_of_them(tf: str) -> None:
    reader = reader_of(set(range(5)), 0)
    found = asyncio.run(reader.changed("BTCUSDT", tf, np.array([T, T + MINUTE])))
    assert found.bars.column("trades").tolist() == [0] * (2 if tf == "1m" else 1)
