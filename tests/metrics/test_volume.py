"""Volume against its average, held to exact fractions."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest

from bursa.metrics.catalog import catalogue
from bursa.model.errors import Refuse
from bursa.model.venue import BINANCE, Venue
from tests.metrics.bars import MINUTE, OPENING, Bar
from tests.metrics.days import VENUES, given, minutes, stretch

NAMES = ("volume_avg_20", "relative_volume_20")


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
@pytest.mark.parametrize("seed", range(6))
def test_the_mean_of_the_bars_before(seed: int, venue: Venue) -> None:
    bars = stretch(random.Random(seed), venue, days=5, most=40)
    volumes = [bar.volume for bar in minutes(bars, venue)]
    units = 10**venue.volume_decimals
    means = [
        float(Fraction(sum(volumes[n - 20 : n]), 20 * units)) if n >= 20 else math.nan
        for n in range(len(bars))
    ]
    found = given(NAMES, bars, venue)
    np.testing.assert_array_equal(found["volume_avg_20"], means)
    ratios = [
        b.volume / mean if mean > 0 else math.nan for b, mean in zip(bars, means, strict=True)
    ]
    np.testing.assert_array_equal(found["relative_volume_20"], ratios)


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
def test_a_burst_that_left_the_window_leaves_nothing_behind(venue: Venue) -> None:
    least = 10.0**-venue.volume_decimals
    volumes = [least] * 30 + [9e6] + [least] * 21
    bars = [Bar(OPENING + n * MINUTE, 50, volume) for n, volume in enumerate(volumes)]
    found = given("volume_avg_20", bars, venue)["volume_avg_20"]
    assert found[31] == float(Fraction(9_000_000 + 19 * Fraction(least), 20))
    assert found[20] == found[-1] == least


def test_null_until_there_are_so_many_and_where_none_of_them_was_traded() -> None:
    bars = [Bar(OPENING + n * MINUTE, 50, 100.0 * (n == 20)) for n in range(22)]
    found = given(NAMES, bars)
    assert found["volume_avg_20"][20:] == [0, 5]
    assert all(map(math.isnan, found["volume_avg_20"][:20]))
    assert math.isnan(found["relative_volume_20"][20]) and found["relative_volume_20"][21] == 0


def test_relative_volume_of_another_length_brings_its_average() -> None:
    known = catalogue(["relative_volume_2", "volume_avg_2", "relative_volume_3"])
    added = [name for name in known.metrics if name not in catalogue().metrics]
    assert sorted(added) == [
        "relative_volume_2", "relative_volume_3", "volume_avg_2", "volume_avg_3",
    ]  # fmt: skip
    bars = [Bar(OPENING + n * MINUTE, 50, 100.0 + 100 * n) for n in range(4)]
    found = given(("relative_volume_2", "relative_volume_3"), bars, known=known)
    assert found["relative_volume_2"][2:] == [2, 1.6] and found["relative_volume_3"][3] == 2
    with pytest.raises(Refuse, match="close; allowed: "):
        catalogue(["close"])


def test_other_lengths_by_name() -> None:
    known = catalogue(["volume_avg_3"])
    bars = [Bar(OPENING + n * MINUTE, 50, 0.1 * n) for n in range(6)]
    found = given("volume_avg_3", bars, BINANCE, known)["volume_avg_3"]
    assert found[3:] == [0.1, 0.2, 0.3] and all(map(math.isnan, found[:3]))
    with pytest.raises(Refuse, match="length 501; allowed: 1 to 500"):
        catalogue(["volume_avg_501"])
