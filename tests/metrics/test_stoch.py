"""Slow stochastic against TA-Lib."""

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
    flat,
    ours,
    series,
)


def theirs(bars: Series, length: int, slow: int, average: int) -> tuple[Floats, ...]:
    found: tuple[Floats, ...] = talib.STOCH(
        bars.high, bars.low, bars.close, length, slow, 0, average, 0
    )
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "lengths", [(14, 3, 3), (5, 3, 3), (14, 1, 3), (2, 1, 1), (21, 8, 13), (200, 50, 2)]
)
def test_agrees_with_talib(lengths: tuple[int, int, int], name: str) -> None:
    metric = "stoch_{}_{}_{}".format(*lengths)
    assert_agree(metric, lambda bars: theirs(bars, *lengths), SERIES[name])


@settings(max_examples=60, deadline=None)
@given(drawn())
def test_agrees_with_talib_on_any_prices(bars: Series) -> None:
    assert_agree("stoch_14_3_3", lambda some: theirs(some, 14, 3, 3), bars)
    assert_agree("stoch_5_3_3", lambda some: theirs(some, 5, 3, 3), bars)


def test_a_window_without_reach_is_at_its_bottom() -> None:
    assert ours("stoch_14_3_3", flat(20, 50.0))[0][17:].tolist() == [0.0] * 3


def test_the_bars_own_extremes_count_not_their_closes() -> None:
    bars = series(np.full(6, 5.0))._replace(high=np.full(6, 7.0), low=np.full(6, 4.0))
    np.testing.assert_allclose(ours("stoch_5_1_1", bars)[0][4:], 100.0 / 3.0)


def test_longer_bars() -> None:
    assert_same_on("1d", "stoch_14_3_3")
