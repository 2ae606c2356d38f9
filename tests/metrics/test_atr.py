"""Average true range against TA-Lib."""

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
    series,
)


def theirs(bars: Series, length: int) -> Floats:
    found: Floats = talib.ATR(bars.high, bars.low, bars.close, length)
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [14, 7, 2, 100])
def test_agrees_with_talib(length: int, name: str) -> None:
    assert_agree(f"atr_{length}", lambda bars: theirs(bars, length), SERIES[name])


@settings(max_examples=30, deadline=None)
@given(drawn())
def test_agrees_with_talib_on_any_prices(bars: Series) -> None:
    assert_agree("atr_14", lambda some: theirs(some, 14), bars)


def test_a_gap_between_bars_is_in_the_range() -> None:
    bars = series(np.array([10.0, 20.0, 5.0, 5.0]), tick=0.0)
    assert ours("atr_2", bars)[0].tolist()[2:] == [(10.0 + 15.0) / 2, (10.0 + 15.0) / 4]


def test_longer_bars() -> None:
    assert_same_on("5m", "atr_14")
