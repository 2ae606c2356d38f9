"""Volume-weighted average prices, against sums over all bars of the day or the window."""

import math
import random

import numpy as np
import pytest

from bursa.bars.rollup import roll_up
from bursa.metrics.engine import compute
from bursa.model.errors import Refuse
from bursa.model.venue import BINANCE, IDX, Venue
from tests.metrics.bars import MINUTE, Bar, at, batch, words
from tests.metrics.days import VENUES, Minute, given, minutes, stretch

WINDOWS = {"vwap_5m": 5, "vwap_15m": 15, "vwap_1h": 60}


def average(bars: list[Minute], venue: Venue) -> float:
    volume = sum(bar.volume for bar in bars) / 10**venue.volume_decimals
    value = sum(bar.value for bar in bars) / 10**venue.value_decimals
    return value / volume if volume else math.nan


def plain(bars: list[Minute], venue: Venue) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ("vwap", *WINDOWS)}
    for n, now in enumerate(bars):
        until = bars[: n + 1]
        found["vwap"].append(average([b for b in until if b.day == now.day], venue))
        for name, length in WINDOWS.items():
            inside = [b for b in until if b.number > now.number - length]
            found[name].append(average(inside, venue))
    return found


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
@pytest.mark.parametrize("seed", range(12))
def test_sums_over_the_day_and_over_the_clock(seed: int, venue: Venue) -> None:
    bars = stretch(random.Random(seed), venue, days=4, most=90)
    found = given(("vwap", *WINDOWS), bars, venue)
    for name, expected in plain(minutes(bars, venue), venue).items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


def test_a_window_holds_minutes_not_bars() -> None:
    bars = [
        Bar(at("09:00"), 10, 100), Bar(at("09:01"), 20, 100), Bar(at("09:05"), 30, 200),
        Bar(at("09:06"), 60, 200), Bar(at("10:05"), 1, 1),
    ]  # fmt: skip
    found = given(("vwap", *WINDOWS), bars)
    assert found["vwap"] == [10, 15, 22.5, 35, 21_001 / 601]
    assert found["vwap_5m"] == [10, 15, 8000 / 300, 45, 1]
    assert found["vwap_1h"] == [10, 15, 22.5, 35, 12_001 / 201]


def test_a_window_reaches_over_midnight_where_the_venue_never_closes() -> None:
    midnight = at("00:00", 1) + 7 * 60 * MINUTE  # UTC
    bars = [Bar(midnight + n * MINUTE, 100 + n, 2) for n in (-61, -60, -59, -2, -1, 0, 1, 30)]
    found = given(("vwap", *WINDOWS), bars, BINANCE)
    assert found["vwap"][4:] == [(39 + 40 + 41 + 98 + 99) / 5, 100, 100.5, 331 / 3]
    assert found["vwap_5m"][5:] == [99, 99.5, 130]
    assert found["vwap_1h"][5:] == [84.5, 99.5, (98 + 99 + 100 + 101 + 130) / 5]


def test_what_left_the_window_leaves_nothing_behind() -> None:
    bars = [Bar(at("09:00"), 3.37, 1e9), *(Bar(at("09:05") + n * MINUTE, 50, 1) for n in range(70))]
    found = given(tuple(WINDOWS), bars)
    assert set(found["vwap_5m"][1:]) == set(found["vwap_15m"][11:]) == {50.0}
    assert found["vwap_1h"][-15:] == [50.0] * 15


def test_null_where_nothing_was_traded() -> None:
    found = given(("vwap", "vwap_5m"), [Bar(at("09:00"), 10, 0), Bar(at("09:01"), 11, 5)])
    assert math.isnan(found["vwap"][0]) and math.isnan(found["vwap_5m"][0])
    assert found["vwap"][1] == found["vwap_5m"][1] == 11


@pytest.mark.parametrize("venue", [IDX, BINANCE], ids=lambda venue: venue.name)
def test_a_days_last_value_is_that_of_its_long_bar(venue: Venue) -> None:
    bars = batch(stretch(random.Random(5), venue, days=6, most=60), words())
    ones = compute("vwap", bars, venue)
    long = roll_up(bars, "1d", venue)
    last = np.flatnonzero(np.diff(ones.column("vwap"), append=0) != 0)
    days = compute("vwap", long, venue).column("vwap")
    np.testing.assert_array_equal(days, long.column("vwap"))
    assert set(days[~np.isnan(days)]) <= set(ones.column("vwap")[last])


def test_rolling_ones_are_computed_on_minutes_alone() -> None:
    bars = [Bar(at("09:00"), 10), Bar(at("09:05"), 12)]
    assert given("vwap", bars, freq="5m")["vwap"] == [10, 11]
    with pytest.raises(Refuse, match="vwap_5m is computed on 1m"):
        given("vwap_5m", bars, freq="5m")
