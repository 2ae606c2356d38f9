"""Windows, totals and extremes under revisions: a long stream with late and revised bars, cut and
restarted anywhere, ends with the bits of its final bars computed in one go."""

import numpy as np
import pytest

from bursa.metrics.catalog import Catalogue, catalogue
from bursa.metrics.engine import MetricEngine, compute
from bursa.model.venue import IDX
from tests.metrics.bars import MINUTE, OPENING, Bar, batch, words

NAMES = (
    "sma_20", "sma_200", "ema_50", "macd_12_26_9", "rsi_14", "obv", "bbands_20_2", "stoch_14_3_3",
    "atr_14", "ema_9", "rsi_7", "sma_500", "macd_5_13_4", "bbands_10_3", "stoch_5_3_3", "atr_7",
)  # fmt: skip


def stream(seed: int, count: int, symbols: int) -> list[Bar]:
    """Bars in order of emission: most are new, some of the last eight minutes are revised or come
    late. Prices move, stand still for long, or leap."""
    random = np.random.default_rng(seed)
    revs: dict[tuple[int, int], int] = {}
    price = np.full(symbols, 5000.0)
    found = []
    for step in range(count):
        now = OPENING + step * MINUTE
        for symbol in range(symbols):
            for back in (0, *(random.integers(1, 8, 1) if random.random() < 0.25 else ())):
                ts = now - int(back) * MINUTE
                if random.random() < 0.1 or ts < OPENING:
                    continue
                if step // 60 % 3 and random.random() < 0.9:
                    price[symbol] = max(50.0, price[symbol] + 5.0 * random.integers(-2, 3))
                leap = 1e9 if random.random() < 0.003 else 0.0
                close = float(price[symbol]) + leap
                high, low = close + 5.0 * random.integers(0, 3), close - 5.0 * random.integers(0, 3)
                rev = revs[symbol, ts] = revs.get((symbol, ts), -1) + 1
                volume = 100.0 * random.integers(0, 9)
                found.append(Bar(ts, close, volume, symbol, rev, high=high, low=low))
    return found


def pushed(bars: list[Bar], known: Catalogue, seed: int) -> dict[tuple[int, int], list[float]]:
    """Each bar's newest row, from batches of any size and an engine that is restored now and
    then."""
    random = np.random.default_rng(seed)
    vocabulary = words(3)
    engine = MetricEngine(IDX, vocabulary, known, NAMES)
    newest: dict[tuple[int, int], list[float]] = {}
    start = 0
    while start < len(bars):
        size = int(random.choice([1, 2, 7, 40, 300]))
        rows = engine.push(batch(bars[start : start + size], vocabulary))
        columns = [rows.column(c.name) for n in NAMES for c in known.find(n).columns]
        for at, key in enumerate(zip(rows.column("ticker"), rows.column("ts"), strict=True)):
            newest[key] = [column[at] for column in columns]
        start += size
        if random.random() < 0.2:
            state = engine.snapshot()
            engine = MetricEngine(IDX, vocabulary, known, NAMES)
            engine.restore(state)
    return newest


@pytest.mark.parametrize("seed", [1, 2])
def test_a_long_stream_with_revisions_ends_as_its_final_bars_do(seed: int) -> None:
    known = catalogue([name for name in NAMES if name not in catalogue().metrics])
    bars = stream(seed, 900, 3)
    found = pushed(bars, known, seed)
    final = {(bar.symbol, bar.ts): bar for bar in bars}
    ordered = [final[key] for key in sorted(final)]
    rows = compute(NAMES, batch(ordered, words(3)), IDX, known)
    columns = [rows.column(c.name) for n in NAMES for c in known.find(n).columns]
    for at, bar in enumerate(ordered):
        expected = [column[at] for column in columns]
        np.testing.assert_array_equal(found[bar.symbol, bar.ts], expected)
    assert all(np.isfinite(column).any() for column in columns)
