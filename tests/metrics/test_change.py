"""Changes of the close, against looking through all bars before."""

import math
import random

import numpy as np
import pytest

from bursa.model.errors import Refuse
from bursa.model.venue import BINANCE, Venue
from tests.metrics.bars import MINUTE, Bar, at
from tests.metrics.days import VENUES, Minute, given, minutes, stretch

SPANS = {"change_1m": 1, "change_5m": 5, "change_15m": 15}
NAMES = (*SPANS, "change_day")


def percent(now: Minute, before: list[Minute]) -> float:
    if not before:
        return math.nan
    return 100 * (now.bar.close - before[-1].bar.close) / before[-1].bar.close


def plain(bars: list[Minute]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for now in bars:
        for name, length in SPANS.items():
            old = [b for b in bars if b.number <= now.number - length and b.day == now.day]
            found[name].append(percent(now, old))
        found["change_day"].append(percent(now, [b for b in bars if b.day < now.day]))
    return found


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
@pytest.mark.parametrize("seed", range(12))
def test_changes_by_the_clock_and_by_the_day(seed: int, venue: Venue) -> None:
    bars = stretch(random.Random(seed), venue, days=4, most=60)
    found = given(NAMES, bars, venue)
    for name, expected in plain(minutes(bars, venue)).items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


def test_the_last_close_at_or_before_that_minute() -> None:
    bars = [
        Bar(at("09:00"), 100), Bar(at("09:03"), 110), Bar(at("09:05"), 120), Bar(at("09:07"), 132),
        Bar(at("09:08"), 99),
    ]  # fmt: skip
    found = given(NAMES, bars)
    np.testing.assert_array_equal(found["change_1m"][1:], [10, 1000 / 110, 10, -25])
    np.testing.assert_array_equal(found["change_5m"], [math.nan, math.nan, 20, 32, -10])
    assert all(map(math.isnan, found["change_15m"] + found["change_day"]))


def test_minutes_of_another_day_do_not_count_days_that_were_skipped_do() -> None:
    bars = [
        Bar(at("15:59"), 100), Bar(at("09:00", 4), 110), Bar(at("09:01", 4), 99),
        Bar(at("09:00", 7), 108.9),
    ]  # fmt: skip
    found = given(NAMES, bars)
    np.testing.assert_array_equal(found["change_1m"], [math.nan, math.nan, -10, math.nan])
    np.testing.assert_allclose(found["change_day"], [math.nan, 10, -1, 10], rtol=1e-12)


def test_midnight_parts_days_where_the_venue_never_closes() -> None:
    midnight = at("00:00", 1) + 7 * 60 * MINUTE  # UTC
    bars = [Bar(midnight - MINUTE, 100), Bar(midnight, 50), Bar(midnight + MINUTE, 75)]
    found = given(NAMES, bars, BINANCE)
    np.testing.assert_array_equal(found["change_1m"], [math.nan, math.nan, 50])
    np.testing.assert_array_equal(found["change_day"], [math.nan, -50, -25])


def test_minutes_are_computed_on_minutes_alone() -> None:
    bars = [Bar(at("09:00"), 10), Bar(at("09:00", 1), 12), Bar(at("09:00", 2), 9)]
    found = given("change_day", bars, freq="1d")["change_day"]
    np.testing.assert_array_equal(found, [math.nan, 20, -25])
    with pytest.raises(Refuse, match="change_5m is computed on 1m"):
        given("change_5m", bars, freq="5m")
