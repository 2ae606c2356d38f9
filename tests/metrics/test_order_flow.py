"""Order flow: the day's sum of signed volume, exact, over bars of which some are not known."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest

from bursa.model.venue import BINANCE, Venue
from tests.metrics.bars import MINUTE, Bar, at
from tests.metrics.days import VENUES, given, minutes, stretch

NAMES = ["order_flow_delta", "order_flow_cumulative", "order_flow_ruled"]


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
@pytest.mark.parametrize("seed", range(4))
def test_sums_of_a_day_are_exact(seed: int, venue: Venue) -> None:
    chance = random.Random(seed)
    units = 10**venue.volume_decimals
    bars = []
    for bar in stretch(chance, venue, days=4, most=40):
        signed = round(bar.volume * units) * chance.choice([-1, 1]) // chance.choice([1, 3])
        known = chance.random() < 0.8
        ruled = bar.volume * chance.choice([0.0, 0.5])
        bars.append(bar._replace(delta=signed / units if known else math.nan, ruled=ruled))
    plain = minutes(bars, venue)
    found = given("order_flow", bars, venue)
    for n, now in enumerate(plain):
        today = [b.bar.delta for b in plain[: n + 1] if b.day == now.day]
        total = sum(round(Fraction(delta) * units) for delta in today if delta == delta)
        bar = now.bar
        expected = (
            [bar.delta, total / units, bar.ruled] if bar.delta == bar.delta else [math.nan] * 3
        )
        np.testing.assert_array_equal([found[name][n] for name in NAMES], expected)


def test_a_bar_that_is_not_known_is_null_and_adds_nothing() -> None:
    bars = [
        Bar(at("09:00"), 10, 500, delta=300, ruled=0), Bar(at("09:01"), 10, 70),
        Bar(at("09:02"), 10, 100, delta=-100, ruled=100), Bar(at("09:00", 1), 10, 40),
        Bar(at("09:01", 1), 10, 30, delta=10, ruled=20),
    ]  # fmt: skip
    found = given("order_flow", bars)
    np.testing.assert_array_equal(found[NAMES[0]], [300, math.nan, -100, math.nan, 10])
    np.testing.assert_array_equal(found[NAMES[1]], [300, math.nan, 200, math.nan, 10])
    np.testing.assert_array_equal(found[NAMES[2]], [0, math.nan, 100, math.nan, 20])


def test_tenths_do_not_pile_up() -> None:
    bars = [Bar(at("08:00") + n * MINUTE, 10, 0.1, delta=0.1, ruled=0) for n in range(400)]
    found = given("order_flow", bars, BINANCE)["order_flow_cumulative"]
    assert found == [(n + 1) / 10 for n in range(400)]
