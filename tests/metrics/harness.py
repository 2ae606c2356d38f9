"""Series of bars through the real engine, for the tests of one metric."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bursa.metrics.catalog import STANDARD, Catalogue
from bursa.metrics.engine import compute
from bursa.model.batch import Batch
from bursa.model.schema import FREQS, OHLCV
from bursa.model.venue import IDX, Venue
from tests.metrics.bars import MINUTE, OPENING, SPAN, words

Floats = NDArray[np.float64]


def walk(count: int, seed: int = 3, start: float = 5000.0, tick: float = 5.0) -> Floats:
    """Closes of a random walk in ticks."""
    random = np.random.default_rng(seed)
    steps = random.choice([-2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0], count)
    return np.maximum(start + tick * np.cumsum(steps), 10 * tick)


def bars_of(close: ArrayLike, *, freq: str = "1m", **columns: ArrayLike) -> Batch:
    """Bars of one symbol, a minute apart from a Monday's 09:00 on idx unless `ts` says otherwise.
    Columns that are not given: prices as the close, volume 100, value as of these; the flow and the
    book unknown. `minutes` gives openings as minutes after that."""
    closes = np.asarray(close, np.float64)
    count = len(closes)
    given = {name: np.asarray(column) for name, column in columns.items()}
    minutes = given.pop("minutes", np.arange(count))
    volume = np.asarray(given.get("volume", np.full(count, 100.0)), np.float64)
    defaults: dict[str, NDArray[np.generic]] = {
        "ts": OPENING + minutes.astype(np.int64) * MINUTE,
        "open": closes,
        "high": closes,
        "low": closes,
        "close": closes,
        "volume": volume,
        "value": volume * closes,
        "trades": np.ones(count, np.int64),
        "vwap": closes,
        "final": np.ones(count, np.int64),
        "delta": np.full(count, np.nan),
        "ruled": np.full(count, np.nan),
        "bid_volume": np.full(count, np.nan),
        "ask_volume": np.full(count, np.nan),
    }
    found = Batch(OHLCV, np.zeros((len(OHLCV.columns), count), np.int64), words(), SPAN)
    for name, column in (defaults | given).items():
        if name in OHLCV.index or name in given:
            found.column(name)[:] = column
    found.column("freq")[:] = FREQS.index(freq)
    found.column("ts_recv")[:] = found.column("ts") + 5
    return found


def computed(
    names: str | Sequence[str],
    close: ArrayLike,
    *,
    freq: str = "1m",
    venue: Venue = IDX,
    catalogue: Catalogue = STANDARD,
    **columns: ArrayLike,
) -> dict[str, Floats]:
    """Column -> values of some metrics over such bars; NaN is null."""
    bars = bars_of(close, freq=freq, **columns)
    rows = compute(names, bars, venue, catalogue)
    wanted = [names] if isinstance(names, str) else names
    shown = [c.name for name in wanted for c in catalogue.find(name).columns]
    return {name: rows.column(name) for name in shown}
