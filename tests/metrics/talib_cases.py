"""Series on which metrics are held to TA-Lib, and the comparison: null where it is, and within 1e-9
of it, relative, from its first value on."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from bursa.metrics.catalog import STANDARD, catalogue
from tests.metrics.harness import computed

Floats = NDArray[np.float64]


class Series(NamedTuple):
    """Bars of one symbol; `minutes` are their openings."""

    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    minutes: Floats

    def first(self, count: int) -> "Series":
        """So many bars, in arrays of their own."""
        return Series(*(column[:count].copy() for column in self))


def series(
    close: Floats, seed: int = 1, tick: float = 1.0, minutes: Floats | None = None
) -> Series:
    """Bars around such closes, reaching up to three ticks beyond them."""
    random = np.random.default_rng(seed)
    above, below = random.integers(0, 4, (2, len(close))) * tick
    volume = np.array(random.integers(0, 50, len(close)) * 100, np.float64)
    opens = np.arange(float(len(close))) if minutes is None else minutes
    return Series(close + above, close - below, close, volume, opens)


def flat(count: int, price: float) -> Series:
    """Bars that all stand at one price."""
    return series(np.full(count, price), tick=0.0)


def _rupiah(count: int, seed: int = 2) -> Floats:
    """Closes in thousands, on ticks of 25."""
    steps = np.random.default_rng(seed).choice([-25.0, 0.0, 0.0, 25.0], count)
    return np.maximum(5000.0 + np.cumsum(steps), 50.0)


def _crypto(count: int, seed: int = 3) -> Floats:
    steps = np.random.default_rng(seed).normal(0.0, 1e-3, count)
    return np.round(63_000.0 * np.exp(np.cumsum(steps)), 2)


def _gappy() -> Series:
    random = np.random.default_rng(4)
    minutes = np.cumsum(random.choice([1.0, 1.0, 2.0, 7.0, 300.0, 4000.0], 900))
    return series(_rupiah(900, seed=5), seed=6, tick=25.0, minutes=minutes)


def _far_off() -> Floats:
    """A level of a billion that moves in thousandths."""
    return 1e9 + np.random.default_rng(7).integers(-9, 10, 900) / 1000.0


def _spikes() -> Floats:
    close = np.round(100.0 + np.random.default_rng(8).normal(0.0, 1e-3, 900), 5)
    close[::97] += 1e6
    return close


def _halted() -> Floats:
    return np.concatenate((_crypto(300, seed=9), np.full(700, 61_234.57), _crypto(300, seed=10)))


def _hair() -> Floats:
    """Prices that differ in their last bit."""
    ups = np.random.default_rng(12).integers(0, 2, 300)
    return np.where(ups == 1, np.nextafter(4000.1, 5000.0), 4000.1)


def _dust() -> Floats:
    """Prices of a token in another that is worth very much more."""
    steps = np.random.default_rng(11).normal(0.0, 0.01, 700)
    return np.round(2.4e-7 * np.exp(np.cumsum(steps)), 10)


SERIES: dict[str, Series] = {
    "rupiah": series(_rupiah(3000), tick=25.0),
    "crypto": series(_crypto(3000), tick=0.01),
    "constant": flat(700, 4000.1),
    "rising": series(1000.0 + 0.1 * np.arange(700.0), tick=0.1),
    "falling": series(1000.0 - 0.1 * np.arange(700.0), tick=0.1),
    "gappy": _gappy(),
    "level": series(_far_off(), tick=0.001),
    "spikes": series(_spikes(), tick=0.001),
    "halted": series(_halted(), tick=0.0),
    "hair": series(_hair(), tick=0.0),
    "dust": series(_dust(), tick=1e-9),
}
NAMES = list(SERIES)


@st.composite
def drawn(draw: st.DrawFn) -> Series:
    """A few bars of any prices that may be, on ticks of any size."""
    tick = draw(st.sampled_from([1e-8, 0.01, 0.1, 1.0, 25.0]))
    price = st.integers(1, draw(st.sampled_from([3, 100, 10**6, 10**9])))
    price |= st.just(draw(price))
    bars = draw(st.lists(st.tuples(price, price, price, st.integers(0, 1000)), max_size=90))
    prices = np.array([bar[:3] for bar in bars], np.float64).reshape(-1, 3) * tick
    volume = np.array([bar[3] for bar in bars], np.float64)
    high, low, close = prices.max(axis=1), prices.min(axis=1), prices[:, 0]
    return Series(high, low, close, volume, np.arange(float(len(bars))))


Theirs = Callable[[Series], Floats | tuple[Floats, ...]]


def ours(name: str, bars: Series, freq: str = "1m") -> list[Floats]:
    """The outputs of a metric, in order."""
    found = computed(
        name,
        bars.close,
        freq=freq,
        catalogue=STANDARD if name in STANDARD.metrics else catalogue([name]),
        high=bars.high,
        low=bars.low,
        volume=bars.volume,
        minutes=bars.minutes,
    )
    return list(found.values())


def assert_agree(name: str, theirs: Theirs, bars: Series) -> None:
    """A metric against TA-Lib on one series, and on its beginnings around the warm-up's end."""
    metric = catalogue([name]).find(name)
    for count in {len(bars.close), metric.warmup, metric.warmup + 1, 1}:
        if not 0 < count <= len(bars.close):
            continue
        some = bars.first(count)
        expected = theirs(some)
        outputs = (expected,) if isinstance(expected, np.ndarray) else expected
        found = ours(name, some)
        assert len(found) == len(outputs)
        for mine, its in zip(found, outputs, strict=True):
            assert int(np.isnan(mine).sum()) == min(metric.warmup, count)
            np.testing.assert_allclose(mine, its, rtol=1e-9, atol=0.0)


def assert_same_on(freq: str, name: str) -> None:
    """Bars of another timeframe give what as many minutes do."""
    some = SERIES["rupiah"].first(300)
    by_minutes = ours(name, some)
    apart = some._replace(minutes=some.minutes * {"5m": 5, "1h": 60, "1d": 1440}[freq])
    for mine, its in zip(ours(name, apart, freq), by_minutes, strict=True):
        np.testing.assert_array_equal(mine, its)
