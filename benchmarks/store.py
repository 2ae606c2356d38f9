"""The embedded store: how fast rows go in, how soon the newest come out, also while it writes.

append_rows_s         ticks in transactions of 10,000 rows, positions of all topics in each
append_200000_rows_s  in transactions of 200,000
book_rows_s           books of 10 levels, 10,000 a transaction; book_200000_rows_s likewise
latest_600_*          600 newest bars of one ticker among 10 million of 700 (--quick: 1 million), in
                      order of arrival; `settled`: sorted day by day; `writing`: while a thread
                      commits 10,000 ticks ten times a second
history_ms            all bars of one ticker (43 days), `history_settled_ms` likewise
rehydrate_ms          rings of 700 tickers filled; ring_feed_us: a minute's 700 bars; ring_600_us:
                      the newest 600 of one copied out
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import report
from bursa.model.batch import Batch, Span, Words
from bursa.model.schema import OHLCV, ORDERBOOK, TICKS, Kind, topic
from bursa.model.venue import IDX
from bursa.pipeline.line import kinds
from bursa.ports import Committed
from bursa.store.duckdb import DuckStore
from bursa.store.rings import Rings

TICKERS, MINUTES_A_DAY, DAYS, DAYS_QUICK = 700, 330, 43, 5
DAY_NS, MINUTE_NS = 86_400_000_000_000, 60_000_000_000
FIRST_NS = 1_760_000_000_000_000_000 // DAY_NS * DAY_NS + 2 * 3_600_000_000_000
READS = 200


class Market:
    """Makes up rows; positions rise through all of them."""

    def __init__(self) -> None:
        self.words = Words(IDX.boards, [channel.name for channel in IDX.channels])
        for nth in range(TICKERS):
            self.words.symbol_id(f"T{nth:03d}")
        self._random = np.random.default_rng(1)
        self._position = 0

    def _batch(self, kind: Kind, block: np.ndarray, levels: np.ndarray | None = None) -> Batch:
        rows = block.shape[1]
        block[kind.index["position"]] = self._position + 1 + np.arange(rows)
        span = Span("idx", 1, self._position, self._position + rows)
        self._position = span.last
        return Batch(kind, block, self.words, span, levels)

    def _prices(self, rows: int) -> np.ndarray:
        return (self._random.integers(10, 2000, rows) * 5.0).view(np.int64)

    def ticks(self, rows: int) -> Batch:
        block = np.zeros((len(TICKS.columns), rows), np.int64)
        block[0] = self._random.integers(0, TICKERS, rows)
        block[1] = FIRST_NS + (self._position + np.arange(rows)) * 400_000
        block[2] = block[7] = self._position + np.arange(rows)
        block[4] = self._prices(rows)
        block[5] = (self._random.integers(1, 500, rows) * 100.0).view(np.int64)
        block[6] = self._random.integers(0, 2, rows)
        block[8] = block[1] + self._random.integers(50_000, 900_000, rows)
        return self._batch(TICKS, block)

    def books(self, rows: int) -> Batch:
        block = np.zeros((len(ORDERBOOK.scalars), rows), np.int64)
        block[0] = self._random.integers(0, TICKERS, rows)
        block[2] = FIRST_NS + (self._position + np.arange(rows)) * 100_000
        block[3] = np.arange(rows) % 2
        block[4] = 10
        block[5] = self._position + np.arange(rows)
        block[6] = block[2] + 70_000
        volumes = (self._random.integers(1, 900, rows * 10) * 100.0).view(np.int64)
        orders = self._random.integers(1, 60, rows * 10)
        levels = np.stack((self._prices(rows * 10), volumes, orders))
        return self._batch(ORDERBOOK, block, levels)

    def bars(self, day: int, minutes: int = MINUTES_A_DAY) -> Batch:
        """A day's bars, each minute's tickers in an order of their own."""
        rows = TICKERS * minutes
        block = np.zeros((len(OHLCV.columns), rows), np.int64)
        block[0] = np.argsort(self._random.random((minutes, TICKERS)), axis=1).ravel()
        block[2] = FIRST_NS + day * DAY_NS + np.repeat(np.arange(minutes), TICKERS) * MINUTE_NS
        for column in range(4, 8):
            block[column] = self._prices(rows)
        block[8] = (self._random.integers(1, 9000, rows) * 100.0).view(np.int64)
        block[9] = (self._random.integers(1, 9000, rows) * 250_000.0).view(np.int64)
        block[10] = self._random.integers(1, 90, rows)
        block[11] = self._prices(rows)
        block[12] = 1
        block[13] = block[2] + 62_000_000_000 + self._random.integers(0, 1_000_000, rows)
        block[14] = block[2] + 59_000_000_000
        return self._batch(OHLCV, block)


def opened(folder: Path, name: str) -> DuckStore:
    return DuckStore(folder / f"{name}.duckdb", [IDX], kinds())


def write(store: DuckStore, batch: Batch) -> None:
    at = Committed(batch.span.last, 1)
    store.write([batch], {topic("idx", kind): at for kind in kinds()})


def append(folder: Path, make: Callable[[int], Batch], rows: int, total: int) -> float:
    """Rows/s, checkpoints included."""
    store = opened(folder, f"append-{rows}-{time.monotonic_ns()}")
    batches = [make(rows) for _ in range(max(2, total // rows))]
    began = time.perf_counter()
    for batch in batches:
        write(store, batch)
    took = time.perf_counter() - began
    store.close()
    return sum(map(len, batches)) / took


def read(ask: Callable[[str], object], reads: int = READS) -> list[float]:
    """Milliseconds of reads of one ticker after another."""
    took = []
    for nth in range(reads):
        began = time.perf_counter()
        ask(f"T{nth * 37 % TICKERS:03d}")
        took.append((time.perf_counter() - began) * 1e3)
    return took


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def while_writing(store: DuckStore, market: Market, ask: Callable[[str], object]) -> list[float]:
    done = threading.Event()

    def commit() -> None:
        while not done.wait(0.1):
            write(store, market.ticks(10_000))

    writer = threading.Thread(target=commit)
    writer.start()
    try:
        return read(ask, 4 * READS)
    finally:
        done.set()
        writer.join()


def reads(folder: Path, options: argparse.Namespace) -> list[report.Result]:
    market, store = Market(), opened(folder, "bars")
    days = DAYS_QUICK if options.quick else DAYS
    for day in range(days):
        write(store, market.bars(day))

    def latest(ticker: str) -> None:
        found = store.bars("idx", ticker, 0, 2**62, newest=600)
        assert len(found) == 600

    def history(ticker: str) -> None:
        assert len(store.bars("idx", ticker, 0, 2**62)) == days * MINUTES_A_DAY

    read(latest, 10)
    took, all_days, writing = read(latest), read(history, 20), while_writing(store, market, latest)
    results = [
        report.Result("latest_600_p50_ms", statistics.median(took), "ms"),
        report.Result("latest_600_p95_ms", p95(took), "ms"),
        report.Result("latest_600_writing_p95_ms", p95(writing), "ms"),
        report.Result("history_ms", statistics.median(all_days), "ms"),
        *rings(store, market, days),
    ]
    for day in range(days):
        store.settle("idx", FIRST_NS + day * DAY_NS, FIRST_NS + (day + 1) * DAY_NS)
    settled, all_days = read(latest), read(history, 20)
    store.close()
    return [
        *results,
        report.Result("latest_600_settled_p95_ms", p95(settled), "ms"),
        report.Result("history_settled_ms", statistics.median(all_days), "ms"),
    ]


def rings(store: DuckStore, market: Market, days: int) -> list[report.Result]:
    made = Rings(IDX, market.words)
    made.warm()
    began = time.perf_counter()
    made.rehydrate(store)
    filled = (time.perf_counter() - began) * 1e3
    fed = []
    for minute in range(50):
        batch = market.bars(days + minute, 1)
        began = time.perf_counter()
        made.feed_bars(batch)
        fed.append((time.perf_counter() - began) * 1e6)
    copied = [ms * 1e3 for ms in read(lambda ticker: made.bars(ticker, 600))]
    return [
        report.Result("rehydrate_ms", filled, "ms"),
        report.Result("ring_feed_us", statistics.median(fed), "us"),
        report.Result("ring_600_us", statistics.median(copied), "us"),
    ]


def main() -> None:
    options = report.arguments(__doc__)
    total = 200_000 if options.quick else 2_000_000
    market = Market()
    with tempfile.TemporaryDirectory(prefix="bursa-bench-") as name:
        folder = Path(name)
        rates = {
            "append_rows_s": lambda: append(folder, market.ticks, 10_000, total),
            "append_200000_rows_s": lambda: append(folder, market.ticks, 200_000, total),
            "book_rows_s": lambda: append(folder, market.books, 10_000, total // 4),
            "book_200000_rows_s": lambda: append(folder, market.books, 200_000, total // 4),
        }
        found = report.interleave(rates, rounds=1 if options.quick else 3)
        results = [report.Result(key, rate, "rows/s") for key, rate in found.items()]
        report.emit("store", results + reads(folder, options), options)


if __name__ == "__main__":
    main()
