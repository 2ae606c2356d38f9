"""Bollinger bands against TA-Lib, and against the deviation in whole fractions."""

from fractions import Fraction
from math import sqrt

import numpy as np
import pytest
import talib
from hypothesis import given, settings

from tests.metrics.talib_cases import (
    NAMES,
    SERIES,
    Floats,
    Series,
    assert_agree,
    assert_same_on,
    drawn,
    ours,
)


def theirs(bars: Series, length: int, deviations: int) -> tuple[Floats, ...]:
    found: tuple[Floats, ...] = talib.BBANDS(
        bars.close, length, float(deviations), float(deviations)
    )
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("length", "deviations"), [(20, 2), (10, 3), (2, 1), (49, 2), (200, 2)])
def test_agrees_with_talib(length: int, deviations: int, name: str) -> None:
    assert_agree(
        f"bbands_{length}_{deviations}",
        lambda bars: theirs(bars, length, deviations),
        SERIES[name],
    )


@settings(max_examples=30, deadline=None)
@given(drawn())
def test_agrees_with_talib_on_any_prices(bars: Series) -> None:
    assert_agree("bbands_20_2", lambda some: theirs(some, 20, 2), bars)


@pytest.mark.parametrize("name", ["crypto", "level", "spikes", "halted"])
def test_the_deviation_is_not_lost_in_the_level(name: str) -> None:
    bars = SERIES[name].first(400)
    upper, middle, lower = ours("bbands_20_2", bars)
    for bar in range(19, 400):
        window = [Fraction(close) for close in bars.close[bar - 19 : bar + 1].tolist()]
        mean = sum(window, Fraction(0)) / 20
        sigma = sqrt(sum((close - mean) ** 2 for close in window) / 20)
        # What the bands can hold of it, being as large as the prices.
        least = 4.0 * float(np.spacing(middle[bar]))
        assert abs((upper[bar] - lower[bar]) / 4.0 - sigma) <= 1e-7 * sigma + least


def test_longer_bars() -> None:
    assert_same_on("1h", "bbands_20_2")
