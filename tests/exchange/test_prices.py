"""The listing, the price ladder, the bands and the closes of many days."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bursa.exchange import chance, ladder
from bursa.exchange.market import (
    FULL,
    HIGHEST,
    LOWEST,
    MARKET_CHANNEL,
    Day,
    _nature,
    _prices,
    open_day,
)
from bursa.exchange.tickers import NAME_BYTES_MAX, TICKERS_MAX, listing
from bursa.model.venue import IDX

PRICES = (
    *range(50, 200),
    *range(200, 500, 2),
    *range(500, 2_000, 5),
    *range(2_000, 5_000, 10),
    *range(5_000, 300_000, 25),
)


def test_the_listing_is_one_whatever_its_length() -> None:
    whole = listing(TICKERS_MAX)
    codes = [t.code for t in whole]
    assert len(set(codes)) == len(codes) == TICKERS_MAX
    assert all(len(code) == 4 and code.isalpha() and code.isupper() for code in codes)
    assert all(len(t.name.encode()) <= NAME_BYTES_MAX for t in whole)
    assert len({t.isin for t in whole}) == TICKERS_MAX
    for count in (1, 12, 700):
        assert listing(count) == whole[:count]
    first = codes[:10]
    assert {"BBCA", "BBRI", "BMRI", "TLKM", "ASII", "GOTO", "BREN", "AMMN", "ADRO"} <= set(first)
    names = {t.code: t.name for t in whole}
    assert names["BBCA"] == "Bank Central Asia Tbk"


def test_rungs_are_the_allowed_prices() -> None:
    for at, price in enumerate(PRICES):
        assert ladder.price_at(at) == price
        assert ladder.rung(float(price)) == at


@pytest.mark.parametrize(
    ("close", "low", "high"),
    [
        (50, 50, 67),  # 67.5 rounds down, 32.5 is below the floor
        (100, 65, 135),
        (200, 130, 270),
        (202, 152, 252),  # 151.5 rounds up, 252.5 down to a step of 2
        (1_000, 750, 1_250),
        (5_000, 3_750, 6_250),
        (5_025, 4_020, 6_025),  # 6,030 is no step of 25
        (8_400, 6_725, 10_075),
    ],
)
def test_bands(close: int, low: int, high: int) -> None:
    assert tuple(ladder.price_at(at) for at in ladder.band(close)) == (low, high)


def test_closes_of_a_year_stay_inside_the_bands_and_move() -> None:
    day = IDX.calendar.next_day(date(2024, 12, 31))
    nature = _nature(listing(300), 11)
    seen: list[NDArray[np.int64]] = []
    for _ in range(120):
        before, after = _prices(Day(IDX.calendar, day, 11, 300, FULL), nature)
        assert not seen or (seen[-1] == before).all()
        bands = np.array([ladder.band(close) for close in before.tolist()])
        rungs = np.array([ladder.rung(float(close)) for close in after.tolist()])
        assert (rungs == rungs.astype(int)).all()
        assert (bands[:, 0] <= rungs).all() and (rungs <= bands[:, 1]).all()
        seen.append(after)
        day = IDX.calendar.next_day(day)
    closes = np.log(np.array(seen, np.float64))
    returns = np.diff(closes, axis=0)
    deviation = returns.std(axis=0)
    suspended = [t.activity == 0 for t in listing(300)]
    assert (deviation[suspended] == 0).all()
    assert 0.008 < np.median(deviation) < 0.04
    busy = returns[:, ~np.array(suspended)][:, :40]
    together = np.corrcoef(busy.T)[np.triu_indices(busy.shape[1], 1)]
    assert together.mean() > 0.1, "prices share the market's moves"


def test_a_day_begins_inside_its_band() -> None:
    for tickers in (1, 700):
        state = open_day(Day(IDX.calendar, date(2025, 11, 20), 3, tickers, FULL), MARKET_CHANNEL)
        assert (state.shares[:, LOWEST] < state.shares[:, HIGHEST]).all()
        assert (state.shares[:, LOWEST] >= 0).all()


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**40))
def test_seeds_are_mixed(seed: int, other: int) -> None:
    assert chance.seed_of(seed, other) == chance.seed_of(seed, other)
    assert -(2**63) <= chance.seed_of(seed, other) < 2**63


def test_chance_is_splitmix64() -> None:
    streams = np.zeros(1, np.int64)
    drawn = [chance.draw(streams, 0) % 2**64 for _ in range(3)]
    assert drawn == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_chance_is_even() -> None:
    streams = np.array([chance.seed_of(5)])
    bits = [chance.draw(streams, 0) for _ in range(20_000)]
    units = np.array([chance.unit(b) for b in bits])
    normals = np.array([chance.normal(b) for b in bits])
    waits = np.array([chance.waiting(b) for b in bits])
    assert 0 < units.min() and units.max() < 1
    assert np.histogram(units, 10)[0].min() > 1_800
    assert abs(normals.mean()) < 0.03 and abs(normals.std() - 1) < 0.03
    assert abs(waits.mean() - 1) < 0.03
