"""Exponential moving averages against TA-Lib."""

import pytest
import talib
from hypothesis import given, settings

from tests.metrics.talib_cases import NAMES, SERIES, Series, assert_agree, assert_same_on, drawn


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [20, 50, 200, 2, 9])
def test_agrees_with_talib(length: int, name: str) -> None:
    assert_agree(f"ema_{length}", lambda bars: talib.EMA(bars.close, length), SERIES[name])


@settings(max_examples=30, deadline=None)
@given(drawn())
def test_agrees_with_talib_on_any_prices(bars: Series) -> None:
    assert_agree("ema_20", lambda some: talib.EMA(some.close, 20), bars)


def test_longer_bars() -> None:
    assert_same_on("1h", "ema_50")
