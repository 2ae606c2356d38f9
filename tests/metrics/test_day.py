"""The day's high, low and gap, against looking through all its bars."""

import math
import random

import numpy as np
import pytest

from bursa.model.venue import Venue
from tests.metrics.bars import Bar, at
from tests.metrics.days import VENUES, given, minutes, stretch

NAMES = ("high_day", "low_day", "gap_day")


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
@pytest.mark.parametrize("seed", range(8))
def test_the_day_so_far(seed: int, venue: Venue) -> None:
    bars = stretch(random.Random(seed), venue, days=6, most=30)
    plain = minutes(bars, venue)
    found = given(NAMES, bars, venue)
    for n, now in enumerate(plain):
        today = [b.bar for b in plain[: n + 1] if b.day == now.day]
        before = [b.bar.close for b in plain if b.day < now.day]
        assert found["high_day"][n] == max(bar.high or 0 for bar in today)
        assert found["low_day"][n] == min(bar.low or 0 for bar in today)
        opened = today[0].open or 0
        gap = 100 * (opened - before[-1]) / before[-1] if before else math.nan
        np.testing.assert_array_equal(found["gap_day"][n], gap)


def test_a_day_by_hand() -> None:
    bars = [
        Bar(at("09:00"), 100, high=105, low=99, open=101),
        Bar(at("15:00"), 80, high=90, low=80, open=90),
        Bar(at("09:30", 3), 85, high=86, low=84, open=84),
        Bar(at("09:31", 3), 85, high=85.5, low=70, open=85),
    ]
    found = given(NAMES, bars)
    assert found["high_day"] == [105, 105, 86, 86]
    assert found["low_day"] == [99, 80, 84, 70]
    np.testing.assert_array_equal(found["gap_day"], [math.nan, math.nan, 5, 5])


def test_long_bars_by_the_same_kernels() -> None:
    bars = [
        Bar(at("09:00"), 100, high=105, low=99, open=101),
        Bar(at("09:00", 1), 120, high=125, low=110, open=110),
    ]
    found = given(NAMES, bars, freq="1d")
    assert found["high_day"] == [105, 125] and found["low_day"] == [99, 110]
    assert found["gap_day"][1] == 10
