"""Relative strength index against TA-Lib, which says 0 where nothing ever changed: 50 here."""

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


def theirs(bars: Series, length: int) -> Floats:
    found: Floats = talib.RSI(bars.close, length)
    unmoved = np.isfinite(found) & (
        np.cumsum(np.abs(np.diff(bars.close, prepend=bars.close[:1]))) == 0
    )
    assert set(found[unmoved]) <= {0.0}
    return np.where(unmoved, 50.0, found)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [14, 7, 2, 100])
def test_agrees_with_talib(length: int, name: str) -> None:
    assert_agree(f"rsi_{length}", lambda bars: theirs(bars, length), SERIES[name])


@settings(max_examples=30, deadline=None)
@given(drawn())
def test_agrees_with_talib_on_any_prices(bars: Series) -> None:
    assert_agree("rsi_14", lambda some: theirs(some, 14), bars)


def test_its_ends() -> None:
    up = np.arange(100.0, 130.0)
    assert set(ours("rsi_14", series(up))[0][14:]) == {100.0}
    assert set(ours("rsi_14", series(up[::-1]))[0][14:]) == {0.0}
    assert set(ours("rsi_14", flat(30, 7.0))[0][14:]) == {50.0}


def test_long_after_the_last_change_it_is_what_it_was_left_at() -> None:
    """Means that have all but decayed are not means of 0."""
    close = np.concatenate((SERIES["rupiah"].close[:40], np.full(2000, 5050.0)))
    found = ours("rsi_14", series(close))[0]
    np.testing.assert_allclose(found[41:], found[40], rtol=1e-9)
    np.testing.assert_allclose(found, talib.RSI(close, 14), rtol=1e-9)


def test_longer_bars() -> None:
    assert_same_on("5m", "rsi_14")
