"""The distance of the close from vwap, by hand and by its definition."""

import math
import random

import numpy as np
import pytest

from bursa.model.venue import Venue
from tests.metrics.bars import Bar, at
from tests.metrics.days import VENUES, given, stretch


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
def test_percent_of_the_close_over_vwap(venue: Venue) -> None:
    bars = stretch(random.Random(3), venue, days=5, most=50)
    found = given(("vwap", "vwap_distance"), bars, venue)
    expected = [100 * (b.close - v) / v for b, v in zip(bars, found["vwap"], strict=True)]
    np.testing.assert_array_equal(found["vwap_distance"], expected)


def test_by_hand_and_null_where_vwap_is() -> None:
    bars = [
        Bar(at("09:00"), 70, 0), Bar(at("09:01"), 90, 100), Bar(at("09:02"), 110, 100),
        Bar(at("09:03"), 50, 0), Bar(at("09:00", 1), 50, 7),
    ]  # fmt: skip
    found = given("vwap_distance", bars)["vwap_distance"]
    np.testing.assert_array_equal(found, [math.nan, 0, 10, -50, 0])
