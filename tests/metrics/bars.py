"""Bars for the tests of metrics, and the rows that come of them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from bursa.metrics.catalog import STANDARD
from bursa.model.batch import Batch, Span, Words
from bursa.model.schema import FREQS, OHLCV
from bursa.model.venue import IDX

MINUTE = 60 * 10**9
# A Monday's 09:00 on idx.
OPENING = 1_775_440_800 * 10**9
DAY = 86_400 * 10**9
SPAN = Span("idx", 1, 0, 1)


class Bar(NamedTuple):
    """One row of OHLCV, as far as metrics care."""

    ts: int
    close: float
    volume: float = 100.0
    symbol: int = 0
    rev: int = 0
    final: int = 1
    known_at: int = 0
    position: int = 0
    high: float | None = None
    low: float | None = None
    delta: float = np.nan
    ruled: float = np.nan
    bid_volume: float = np.nan
    ask_volume: float = np.nan
    open: float | None = None


def at(clock: str, day: int = 0) -> int:
    """The ts of a time of day, so many days after the first Monday."""
    hour, minute = map(int, clock.split(":"))
    return OPENING + day * DAY + ((hour - 9) * 60 + minute) * MINUTE


def words(symbols: int = 8) -> Words:
    found = Words(IDX.boards, [channel.name for channel in IDX.channels])
    for number in range(symbols):
        found.symbol_id(f"T{number}")
    return found


def batch(bars: Iterable[Bar], vocabulary: Words, freq: str = "1m") -> Batch:
    bars = list(bars)
    block = np.zeros((len(OHLCV.columns), len(bars)), np.int64)
    block[OHLCV.index["source"]] = -1  # they came live
    found = Batch(OHLCV, block, vocabulary, SPAN)
    for n, bar in enumerate(bars):
        found.column("ticker")[n] = bar.symbol
        found.column("freq")[n] = FREQS.index(freq)
        found.column("ts")[n] = bar.ts
        found.column("rev")[n] = bar.rev
        for name in ("open", "high", "low", "close", "vwap"):
            found.column(name)[n] = bar.close
        for name in ("open", "high", "low"):
            if (price := getattr(bar, name)) is not None:
                found.column(name)[n] = price
        for name in ("delta", "ruled", "bid_volume", "ask_volume"):
            if name in OHLCV.index:
                found.column(name)[n] = getattr(bar, name)
        found.column("volume")[n] = bar.volume
        found.column("value")[n] = bar.volume * bar.close
        found.column("trades")[n] = 1
        found.column("final")[n] = bar.final
        found.column("known_at")[n] = bar.known_at
        found.column("ts_recv")[n] = bar.ts + 5
        found.column("position")[n] = bar.position
    return found


def rows(found: Batch) -> list[dict[str, Any]]:
    """Rows of STANDARD.kind; null is None."""
    names = [column.name for column in STANDARD.kind.columns]
    columns = [found.column(name).tolist() for name in names]
    return [
        {k: None if v != v else v for k, v in zip(names, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]
