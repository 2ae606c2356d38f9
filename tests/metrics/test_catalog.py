"""The catalogue's promises, and its metrics against TA-Lib and against plain definitions."""

import numpy as np
import pytest
import talib
from numpy.typing import NDArray

from bursa.metrics.catalog import CATALOGUE, METRICS, find
from bursa.metrics.engine import compute
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from tests.metrics.bars import MINUTE, OPENING, Bar, batch, words
from tests.metrics.plain import OUTPUTS, from_scratch


def walk(count: int, seed: int = 3) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    steps = random.choice([-10.0, -5.0, 0.0, 0.0, 0.0, 5.0, 10.0], count)
    return np.maximum(5000.0 + np.cumsum(steps), 50.0)


def series(name: str, closes: NDArray[np.float64], freq: str = "1m") -> NDArray[np.float64]:
    bars = [Bar(OPENING + n * MINUTE, close) for n, close in enumerate(closes.tolist())]
    found: NDArray[np.float64] = compute(name, batch(bars, words(), freq), IDX).column(name)
    return found


def test_columns_are_those_of_the_catalogue_in_its_order() -> None:
    names = [column.name for column in METRICS.columns]
    assert names == ["ticker", "freq", "ts", "rev", *OUTPUTS, "known_at", "ts_recv", "position"]
    assert all(METRICS.columns[METRICS.index[name]].nullable for name in OUTPUTS)


def test_every_metric_says_what_it_is() -> None:
    for name, metric in CATALOGUE.items():
        assert metric.name == name
        assert metric.description and metric.unit and metric.outputs and metric.inputs
        assert all(output.unit for output in metric.outputs)


@pytest.mark.parametrize("count", [5, 19, 20, 500])
def test_ema_agrees_with_talib(count: int) -> None:
    closes = walk(count)
    np.testing.assert_allclose(series("ema_20", closes), talib.EMA(closes, 20), rtol=1e-9)


@pytest.mark.parametrize("count", [5, 14, 15, 500])
def test_rsi_agrees_with_talib(count: int) -> None:
    closes = walk(count)
    np.testing.assert_allclose(series("rsi_14", closes), talib.RSI(closes, 14), rtol=1e-9)


def test_rsi_at_its_ends() -> None:
    up = np.arange(100.0, 130.0)
    assert set(series("rsi_14", up)[14:]) == {100.0}
    assert set(series("rsi_14", up[::-1])[14:]) == {0.0}
    assert set(series("rsi_14", np.full(30, 7.0))[14:]) == {50.0}
    still = np.concatenate((walk(40), np.full(2000, 4000.0)))
    np.testing.assert_allclose(series("rsi_14", still), talib.RSI(still, 14), rtol=1e-9)


def test_plain_definitions_agree() -> None:
    closes = walk(1500, seed=9)
    bars = [
        Bar(OPENING + n // 400 * 86_400 * 10**9 + n % 400 * MINUTE, close, 100.0 * (n % 7))
        for n, close in enumerate(closes.tolist())
    ]
    plain = from_scratch(bars)
    for name in OUTPUTS:
        theirs = np.array([np.nan if row[name] is None else row[name] for row in plain], float)
        metric = name.split("_")[0] if name.startswith("hd") else name
        ours = compute(metric, batch(bars, words()), IDX).column(name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", ["ema_20", "rsi_14", "hd"])
def test_warm_up_is_as_declared(name: str) -> None:
    closes = walk(60)
    bars = [Bar(OPENING + (5 + n) * MINUTE, close) for n, close in enumerate(closes.tolist())]
    found = compute(name, batch(bars, words()), IDX).column(name)
    assert int(np.isnan(found).sum()) == CATALOGUE[name].warmup
    assert not np.isnan(found[CATALOGUE[name].warmup :]).any()


def test_longer_timeframes_by_the_same_kernel_where_the_metric_allows_it() -> None:
    closes = walk(100)
    np.testing.assert_array_equal(series("rsi_14", closes, "5m"), series("rsi_14", closes))
    with pytest.raises(Refuse) as refused:
        series("hd", closes, "5m")
    assert refused.value.code == "timeframe_not_allowed"
    with pytest.raises(Refuse) as refused:
        find("macd")
    assert refused.value.code == "unknown_metric"


def test_compute_of_no_bars_and_of_several_symbols() -> None:
    vocabulary = words()
    assert len(compute("ema_20", batch([], vocabulary), IDX)) == 0
    one, two = walk(50, 1).tolist(), walk(50, 2).tolist()
    bars = [
        bar
        for n in range(50)
        for bar in (
            Bar(OPENING + n * MINUTE, one[n], symbol=6),
            Bar(OPENING + n * MINUTE, two[n], symbol=1),
        )
    ]
    found = compute("ema_20", batch(bars, vocabulary), IDX)
    assert found.column("ticker").tolist() == [6, 1] * 50
    np.testing.assert_array_equal(found.column("ema_20")[::2], series("ema_20", np.array(one)))
    np.testing.assert_array_equal(found.column("ema_20")[1::2], series("ema_20", np.array(two)))
    assert np.isnan(found.column("rsi_14")).all()
