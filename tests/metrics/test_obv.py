"""On balance volume against TA-Lib."""

import numpy as np
import pytest
import talib
from hypothesis import given, settings

from tests.metrics.talib_cases import (
    NAMES,
    SERIES,
    Series,
    assert_agree,
    assert_same_on,
    drawn,
    ours,
    series,
)


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_talib(name: str) -> None:
    assert_agree("obv", lambda bars: talib.OBV(bars.close, bars.volume), SERIES[name])


@settings(max_examples=30, deadline=None)
@given(drawn())
def test_agrees_with_talib_on_any_prices(bars: Series) -> None:
    assert_agree("obv", lambda some: talib.OBV(some.close, some.volume), bars)


def test_it_begins_with_the_first_bars_volume() -> None:
    bars = series(np.array([5.0, 5.0, 6.0, 4.0]))._replace(volume=np.array([100.0, 7.0, 10.0, 1.0]))
    assert ours("obv", bars)[0].tolist() == [100.0, 100.0, 110.0, 109.0]


def test_longer_bars() -> None:
    assert_same_on("5m", "obv")
