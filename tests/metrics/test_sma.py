"""Simple moving averages against TA-Lib."""

import pytest
import talib
from hypothesis import given, settings

from tests.metrics.talib_cases import NAMES, SERIES, Series, assert_agree, assert_same_on, drawn


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [20, 50, 200, 2, 500])
def test_agrees_with_talib(length: int, name: str) -> None:
    assert_agree(f"sma_{length}", lambda bars: talib.SMA(bars.close, length), SERIES[name])


@settings(max_examples=30, deadline=None)
@given(drawn())
def test_agrees_with_talib_on_any_prices(bars: Series) -> None:
    assert_agree("sma_20", lambda some: talib.SMA(some.close, 20), bars)


def test_longer_bars() -> None:
    assert_same_on("5m", "sma_50")
