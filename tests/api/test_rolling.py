"""Longer bars kept up minute by minute are those that are rolled up from the same minutes."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.api.stream.frames import BarRow, bar_rows
from bursa.api.stream.rolling import Grid, Rolling
from bursa.bars.rollup import roll_up
from bursa.model.batch import Batch, Span, Words
from bursa.model.schema import OHLCV
from bursa.model.timeframe import bucket_end, buckets
from bursa.model.venue import BINANCE, IDX, Venue

DAY = date(2026, 11, 19)


def grid(venue: Venue, tf: str) -> Grid:
    def bar_of(ts: int) -> tuple[int, int]:
        opens = int(buckets(np.array([ts], np.int64), tf, venue.calendar)[0])
        return opens, bucket_end(opens, tf, venue.calendar)

    return Grid(tf, 10**venue.volume_decimals, bar_of)


def minutes(venue: Venue, count: int, seed: int, days: int = 1) -> Batch:
    """Some minutes of some days, ascending, with volumes that decimals make awkward."""
    dice = np.random.default_rng(seed)
    every = np.concatenate(
        [venue.calendar.expected_minutes(DAY + timedelta(days=n)) for n in range(days)]
    )
    ts = np.sort(dice.choice(every, min(count, len(every)), replace=False))
    block = np.zeros((len(OHLCV.columns), len(ts)), np.int64)
    floats, index = block.view(np.float64), OHLCV.index
    prices = np.round(dice.uniform(10, 99, (4, len(ts))), 2)
    block[index["ts"]] = ts
    block[index["rev"]] = dice.integers(0, 3, len(ts))
    floats[index["open"]], floats[index["close"]] = prices[0], prices[1]
    floats[index["high"]], floats[index["low"]] = prices.max(axis=0), prices.min(axis=0)
    units = 10**venue.volume_decimals
    floats[index["volume"]] = dice.integers(1, 10**9, len(ts)) / units
    # Some minutes' trades were all taken back, in one day of three half of them.
    void = dice.random(len(ts)) < dice.choice([0, 0.05, 0.5])
    floats[index["volume"], void] = 0.0
    block[index["final"]] = 1
    words = Words(venue.boards, [c.name for c in venue.channels])
    return Batch(OHLCV, block, words, Span(venue.name, 1, 0, 0))


def rows_of(bars: Batch, hd: np.ndarray | None = None) -> list[BarRow]:
    hd = np.full(len(bars), np.nan) if hd is None else hd
    return bar_rows(bars, np.arange(len(bars)), hd)


def expected(bars: Batch, tf: str, venue: Venue) -> list[BarRow]:
    return rows_of(roll_up(bars, tf, venue))


def shown(rows: list[BarRow]) -> list[tuple[object, ...]]:
    """Without HD (NaN is not equal to itself) and finality."""
    return [row[:8] for row in rows]


@pytest.mark.parametrize("venue", [IDX, BINANCE], ids=lambda v: v.name)
@pytest.mark.parametrize("tf", ["5m", "15m", "1h", "4h", "1d"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), split=st.floats(0, 1), data=st.data())
def test_kept_up_equals_rolled_up(
    venue: Venue, tf: str, seed: int, split: float, data: st.DataObject
) -> None:
    bars = minutes(venue, 300, seed)
    rows = rows_of(bars)
    rolling = Rolling(0, grid(venue, tf), 0)
    closed = int(len(rows) * split)
    for at in range(closed):
        rolling.take(rows[at])
        if data.draw(st.integers(0, 19)) == 0:
            assert rolling.take(rows[at]) is None, "the same minute again changes nothing"
    wanted = expected(bars, tf, venue)
    under_way = rolling.under_way(rows[closed : closed + 2])
    seen = Batch(OHLCV, bars.block[:, : closed + 2], bars.words, bars.span)
    now = expected(seen, tf, venue)
    assert shown(under_way) == shown(now)[-len(under_way) :] if under_way else not now
    for row in rows[closed:]:
        rolling.take(row)
    held = [rolling.closed(bar) for bar in rolling.bars()]
    assert shown(held) == shown(wanted)[-len(held) :]


def test_a_revised_minute_replaces_the_one_before() -> None:
    bars = minutes(IDX, 40, 1)
    rows = rows_of(bars)
    rolling = Rolling(0, grid(IDX, "1h"), 0)
    for row in rows:
        rolling.take(row)
    revised = rows[-3]._replace(rev=9, high=500.0, volume=7.0)
    assert rolling.take(revised) is not None
    at = OHLCV.index
    block = bars.block.copy()
    block[at["rev"], -3] = 9
    block.view(np.float64)[at["high"], -3] = 500.0
    block.view(np.float64)[at["volume"], -3] = 7.0
    wanted = expected(Batch(OHLCV, block, bars.words, bars.span), "1h", IDX)
    held = [rolling.closed(bar) for bar in rolling.bars()]
    assert shown(held) == shown(wanted)[-len(held) :]
    assert rolling.take(revised._replace(rev=8)) is None, "an older revision is no news"


def test_a_revision_of_what_was_folded_calls_for_a_reload() -> None:
    rows = rows_of(minutes(IDX, 300, 2))
    rolling = Rolling(0, grid(IDX, "1d"), 0)
    for row in rows:
        rolling.take(row)
    assert rolling.take(rows[0]._replace(rev=99)) is None
    assert rolling.needs_reload(rows[0]._replace(rev=99))
    assert not rolling.needs_reload(rows[-1]._replace(rev=99))


def test_live_minutes_may_overtake_those_that_are_loaded() -> None:
    bars = minutes(IDX, 120, 3)
    rows = rows_of(bars)
    rolling = Rolling(0, grid(IDX, "1d"), 0)
    for row in rows[-5:]:
        rolling.take(row)
    for row in rows:
        rolling.take(row)
    (held,) = [rolling.closed(bar) for bar in rolling.bars()]
    assert shown([held]) == shown(expected(bars, "1d", IDX))


@pytest.mark.parametrize("venue", [IDX, BINANCE], ids=lambda v: v.name)
@pytest.mark.parametrize("tf", ["1h", "1d", "1M"])
@pytest.mark.parametrize("live", [0, 5, 40])
def test_many_minutes_taken_at_once_are_what_they_are_one_by_one(
    venue: Venue, tf: str, live: int
) -> None:
    """Whether or not newer ones, or revisions of older ones, came live before."""
    for seed in range(5):
        bars = minutes(venue, 900, seed, days=4)
        hd = np.random.default_rng(seed).choice([np.nan, 1.5, 2.5], len(bars))
        rows = rows_of(bars, hd)
        begun, plain = Rolling(0, grid(venue, tf), 0), Rolling(0, grid(venue, tf), 0)
        early = rows[len(rows) - live :]
        if seed % 2 and live:
            early = [rows[3]._replace(rev=9, high=500.0), *early]
        for rolling in (begun, plain):
            for row in early:
                rolling.take(row)
        at_once = begun.begin(bars, hd)
        assert at_once or tf == "1h" or (seed % 2 and live) or live == 40
        for row in rows[at_once:]:
            begun.take(row)
        for row in rows:
            plain.take(row)
        of_each = [[r.closed(bar) for bar in r.bars()] for r in (begun, plain)]
        assert str(of_each[0]) == str(of_each[1])  # NaN is not equal to itself
        for row in (rows[-1], rows[-15]):
            assert begun.take(row._replace(rev=50)) is not None
        assert begun.needs_reload(rows[0]._replace(rev=99)) == plain.needs_reload(
            rows[0]._replace(rev=99)
        )


def test_hd_is_that_of_the_last_minute_that_has_one() -> None:
    bars = minutes(IDX, 10, 4)
    hd = np.array([np.nan, 1, 2, 3, 4, 5, 6, 7, 8, np.nan])
    rolling = Rolling(0, grid(IDX, "1d"), 0)
    for row in rows_of(bars, hd):
        rolling.take(row)
    assert rolling.closed(rolling.bars()[0]).hd == 8
