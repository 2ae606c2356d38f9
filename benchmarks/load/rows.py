"""Made-up rows of 700 tickers of idx: ticks, books, and whole trading days of 1-minute bars."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np

from bursa.model.batch import Batch, Span, Words
from bursa.model.schema import OHLCV, ORDERBOOK, TICKS, Kind, topic
from bursa.model.venue import IDX
from bursa.pipeline.line import kinds
from bursa.ports import Committed, Store

TICKERS = 700
_LAST = date(2025, 11, 28)


def trading_days(count: int) -> Sequence[date]:
    """So many, the newest last; the same ones each time."""
    days = IDX.calendar.days(_LAST - timedelta(days=2 * count + 30), _LAST)
    return days[-count:]


def days_after(count: int) -> Sequence[date]:
    """The trading days that follow on those."""
    return IDX.calendar.days(_LAST, _LAST + timedelta(days=2 * count + 30))[:count]


def name(nth: int) -> str:
    """A ticker."""
    return f"T{nth % TICKERS:03d}"


class Market:
    """Makes up rows; positions rise through all of them."""

    def __init__(self) -> None:
        self.words = Words(IDX.boards, [channel.name for channel in IDX.channels])
        for nth in range(TICKERS):
            self.words.symbol_id(name(nth))
        self._random = np.random.default_rng(1)
        self._price = self._random.integers(10, 2000, TICKERS)
        self._position = 0
        self._tick_ns = IDX.calendar.day_open_ns(_LAST)

    def _batch(self, kind: Kind, rows: int, columns: dict[str, np.ndarray]) -> Batch:
        """Columns that are not named are 0, or null where they may be."""
        block = np.zeros((len(kind.scalars), rows), np.int64)
        for at, column in enumerate(kind.scalars):
            if column.name in columns:
                block[at] = columns[column.name].view(np.int64)
            elif column.nullable and column.dtype == "text":
                block[at] = -1
            elif column.nullable:
                block[at] = np.full(rows, np.nan).view(np.int64)
        block[kind.index["position"]] = self._position + 1 + np.arange(rows)
        span = Span("idx", 1, self._position, self._position + rows)
        self._position = span.last
        return Batch(kind, block, self.words, span)

    def _prices(self, rows: int) -> np.ndarray:
        return self._random.integers(10, 2000, rows) * 5.0

    def ticks(self, rows: int) -> Batch:
        """Trades, 2,500 a second by their own times."""
        ts = self._tick_ns + np.arange(rows) * 400_000
        self._tick_ns = int(ts[-1]) + 400_000
        seq = self._position + np.arange(rows)
        columns = {
            "ticker": self._random.integers(0, TICKERS, rows), "ts": ts, "trade_no": seq,
            "price": self._prices(rows), "volume": self._random.integers(1, 500, rows) * 100.0,
            "aggressor": self._random.integers(0, 2, rows), "seq": seq,
            "ts_recv": ts + self._random.integers(50_000, 900_000, rows),
        }  # fmt: skip
        return self._batch(TICKS, rows, columns)

    def books(self, rows: int) -> Batch:
        """Sides of 10 levels."""
        ts = self._tick_ns + np.arange(rows) * 100_000
        self._tick_ns = int(ts[-1]) + 100_000
        columns = {
            "ticker": self._random.integers(0, TICKERS, rows), "ts": ts,
            "side": np.arange(rows) % 2, "depth": np.full(rows, 10),
            "seq": self._position + np.arange(rows), "ts_recv": ts + 70_000,
        }  # fmt: skip
        batch = self._batch(ORDERBOOK, rows, columns)
        volumes = (self._random.integers(1, 900, rows * 10) * 100.0).view(np.int64)
        orders = self._random.integers(1, 60, rows * 10)
        levels = np.stack((self._prices(rows * 10).view(np.int64), volumes, orders))
        return Batch(ORDERBOOK, batch.block, batch.words, batch.span, levels)

    def bars(self, day: date, minutes: int | None = None) -> Batch:
        """A day's bars (its first minutes), prices walking, each minute's tickers in an order of
        their own."""
        every = IDX.calendar.expected_minutes(day)[:minutes]
        count = len(every)
        rows = count * TICKERS
        ticker = np.argsort(self._random.random((count, TICKERS)), axis=1).ravel()
        walk = self._price + np.cumsum(self._random.integers(-1, 2, (count, TICKERS)), axis=0)
        walk = np.maximum(walk, 10)
        self._price = walk[-1]
        close = walk.ravel()[np.repeat(np.arange(count), TICKERS) * TICKERS + ticker] * 5.0
        volume = self._random.integers(1, 9000, rows) * 100.0
        ts = np.repeat(every, TICKERS)
        columns = {
            "ticker": ticker, "ts": ts, "open": close - 5, "high": close + 5, "low": close - 10,
            "close": close, "volume": volume, "value": volume * close, "vwap": close,
            "trades": self._random.integers(1, 90, rows), "delta": volume / 2, "ruled": volume / 2,
            "final": np.ones(rows, np.int64), "ts_recv": ts + 59_000_000_000,
            "known_at": ts + 62_000_000_000 + self._random.integers(0, 1_000_000, rows),
            "nth": np.arange(rows),
        }  # fmt: skip
        return self._batch(OHLCV, rows, columns)


def write(store: Store, batch: Batch) -> None:
    """Commit rows as the writer does: all topics' positions with them."""
    at = Committed(batch.span.last, 1)
    store.write([batch], {topic("idx", kind): at for kind in kinds()})
