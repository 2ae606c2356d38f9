"""Moving average convergence/divergence against TA-Lib."""

import pytest
import talib
from hypothesis import given, settings

from bursa.metrics.catalog import catalogue
from bursa.model.errors import Refuse
from tests.metrics.talib_cases import NAMES, SERIES, Series, assert_agree, assert_same_on, drawn


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lengths", [(12, 26, 9), (5, 13, 4), (2, 3, 2), (19, 39, 9)])
def test_agrees_with_talib(lengths: tuple[int, int, int], name: str) -> None:
    metric = "macd_{}_{}_{}".format(*lengths)
    assert_agree(metric, lambda bars: talib.MACD(bars.close, *lengths), SERIES[name])


@settings(max_examples=30, deadline=None)
@given(drawn())
def test_agrees_with_talib_on_any_prices(bars: Series) -> None:
    assert_agree("macd_12_26_9", lambda some: talib.MACD(some.close, 12, 26, 9), bars)


def test_longer_bars() -> None:
    assert_same_on("1d", "macd_12_26_9")


@pytest.mark.parametrize("name", ["macd_26_12_9", "macd_12_12_9"])
def test_a_fast_average_that_is_not_is_refused(name: str) -> None:
    with pytest.raises(Refuse, match=f"{name}: fast 26|{name}: fast 12") as refused:
        catalogue([name])
    assert "allowed: less than slow, 12" in str(refused.value)
