"""The store: how fast rows go in, how soon the newest come out, also while it writes.

append_rows_s         ticks in transactions of 10,000 rows, positions of all topics in each; the
                      peer `duckdb` inserts the same rows, Arrow tables already, by itself
append_200000_rows_s  in transactions of 200,000
book_rows_s           books of 10 levels, 10,000 a transaction; book_200000_rows_s likewise
latest_600_*          600 newest bars of one ticker among 50 million of 700 in both tiers
                      (--quick: 1 million), of closed days, which are hot and sorted; `writing`:
                      while a thread commits 6,000 ticks every half second. The peer `duckdb` asks
                      the engine for the same rows of the same tables, to an Arrow table, in turn
split_600_*           600 over the split, half of them cold; cold_600_*: all of them cold
history_ms            all bars of one ticker: 219 days, 205 of them cold
rehydrate_ms          rings of 700 tickers filled; ring_feed_us: a minute's 700 bars; ring_600_*:
                      the newest 600 of one copied out

What it takes to write days to files is in store_cold.py, to find gaps of ten years in
store_gaps.py.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import report, store_cold, store_gaps
from benchmarks.load import tiers
from benchmarks.load.rows import Market, days_after, name, trading_days, write
from bursa.model.batch import Batch
from bursa.model.schema import Kind
from bursa.model.venue import IDX
from bursa.pipeline.line import kinds
from bursa.store import tables
from bursa.store.duckdb import DuckStore
from bursa.store.engine import Options
from bursa.store.rings import Rings
from bursa.store.tiered import Tiered

# 219 days of 700 tickers are 50 million rows.
DAYS, DAYS_QUICK, HOT_DAYS, HOT_QUICK = 219, 5, 14, 3
ROUNDS, READS, WRITING_S, WRITING_QUICK_S = 5, 300, 20.0, 3.0
WRITTEN_ROWS, WRITTEN_EVERY_S = 6_000, 0.5

Read = Callable[[str], Any]


def append(folder: Path, make: Callable[[int], Batch], rows: int, total: int) -> float:
    """Rows/s, checkpoints included."""
    file = folder / f"append-{time.monotonic_ns()}.duckdb"
    store = DuckStore(file, [IDX], kinds())
    batches = [make(rows) for _ in range(max(2, total // rows))]
    began = time.perf_counter()
    for batch in batches:
        write(store, batch)
    took = time.perf_counter() - began
    store.close()
    file.unlink()
    return sum(map(len, batches)) / took


def append_bare(folder: Path, make: Callable[[int], Batch], rows: int, total: int) -> float:
    """The same by the engine alone, with its settings: Arrow tables into one table."""
    file = folder / f"bare-{time.monotonic_ns()}.duckdb"
    options = Options()
    config = {
        "threads": options.threads,
        "memory_limit": f"{options.memory_mb}MB",
        "checkpoint_threshold": f"{options.checkpoint_mb}MB",
    }
    connection = duckdb.connect(str(file), config=config)
    made = [make(rows) for _ in range(max(2, total // rows))]
    kind: Kind = made[0].kind
    connection.execute(tables.create("rows", kind))
    found = [batch.to_arrow() for batch in made]
    began = time.perf_counter()
    for incoming in found:
        connection.register("incoming", incoming)
        connection.execute(f"insert into rows select {tables.columns(kind.columns)} from incoming")
        connection.unregister("incoming")
    took = time.perf_counter() - began
    connection.close()
    file.unlink()
    return sum(map(len, made)) / took


def appends(folder: Path, options: argparse.Namespace) -> list[report.Result]:
    market, total = Market(), 200_000 if options.quick else 2_000_000
    runs: dict[str, Callable[[], float]] = {}
    for title, make, rows, count in (
        ("append_rows_s", market.ticks, 10_000, total),
        ("append_200000_rows_s", market.ticks, 200_000, total),
        ("book_rows_s", market.books, 10_000, total // 4),
        ("book_200000_rows_s", market.books, 200_000, total // 4),
    ):
        runs[title] = partial(append, folder, make, rows, count)
        runs[f"{title} bare"] = partial(append_bare, folder, make, rows, count)
    report.step("rows go in, beside the engine's own way")
    found = report.interleave(runs, rounds=1 if options.quick else ROUNDS)
    return [
        report.Result(title, rate, "rows/s", "duckdb", found[f"{title} bare"])
        for title, rate in found.items()
        if not title.endswith("bare")
    ]


def read(asks: Sequence[Read], until: Callable[[int], bool]) -> list[list[float]]:
    """Milliseconds of each of some reads in turn, of one ticker after another."""
    took: list[list[float]] = [[] for _ in asks]
    nth = 0
    while not until(nth):
        for ask, times in zip(asks, took, strict=True):
            began = time.perf_counter()
            ask(name(nth * 37))
            times.append((time.perf_counter() - began) * 1e3)
        nth += 1
    return took


def so_many(count: int) -> Callable[[int], bool]:
    return lambda nth: nth >= count


def spread(title: str, took: Sequence[list[float]], unit: str = "ms") -> list[report.Result]:
    """p50, p95 and p99 of a read, beside its peer's where there is one."""
    found = []
    for word, at in (("p50", 49), ("p95", 94), ("p99", 98)):
        values = [statistics.quantiles(times, n=100)[at] for times in took]
        peer = ("duckdb", values[1]) if len(values) > 1 else (None, None)
        found.append(report.Result(f"{title}_{word}_{unit}", values[0], unit, *peer))
    return found


def while_writing(
    store: Tiered, market: Market, asks: Sequence[Read], seconds: float
) -> list[list[float]]:
    done = threading.Event()
    batches = [market.ticks(WRITTEN_ROWS) for _ in range(int(seconds / WRITTEN_EVERY_S) + 4)]
    written = 0

    def commit() -> None:
        nonlocal written
        began = time.monotonic()
        while not done.wait(max(0.0, began + written * WRITTEN_EVERY_S - time.monotonic())):
            write(store, batches[written % len(batches)])
            written += 1

    writer = threading.Thread(target=commit)
    writer.start()
    end = time.monotonic() + seconds
    try:
        return read(asks, lambda nth: nth >= 20 and time.monotonic() >= end)
    finally:
        done.set()
        writer.join()
        assert written >= seconds / WRITTEN_EVERY_S * 0.8, "the writer did not keep its pace"


def bare(store: Tiered, start_ns: int, end_ns: int) -> Read:
    """The rows of `latest` by a statement of the engine alone, to an Arrow table."""
    kind = store._kinds["ohlcv"]
    source = store._relation("idx", "ohlcv", start_ns, end_ns)
    where = "ticker = ? and freq = '1m' and ts >= ? and ts < ?"
    text = tables.select(source, kind.columns, where, "order by ts desc limit 600")

    def ask(ticker: str) -> None:
        with store._cursor("point", "bare") as cursor:
            found = cursor.sql(text, params=[ticker, start_ns, end_ns]).to_arrow_table()
        assert len(found) == 600

    return ask


def latest(store: Tiered, end_ns: int = 2**62) -> Read:
    def ask(ticker: str) -> None:
        assert len(store.bars("idx", ticker, 0, end_ns, newest=600)) == 600

    return ask


def reads(folder: Path, options: argparse.Namespace) -> list[report.Result]:
    market, days = Market(), trading_days(DAYS_QUICK if options.quick else DAYS)
    hot_days = HOT_QUICK if options.quick else HOT_DAYS
    report.step(f"bars of {len(days)} days are made")
    store, rows = tiers.filled(folder / "both", market, days, hot_days, report.step)
    report.step(f"the newest 600 of {rows:,} rows, idle and while rows go in")
    floor_ns, count = store.hot.floor("idx", "ohlcv"), 40 if options.quick else READS
    first_hot = IDX.calendar.expected_minutes(days[-hot_days])
    end_ns = int(first_hot[260])  # 260 of that day, the others cold
    # The days in which the reads look: two, or one and what is left.
    since_ns = IDX.calendar.midnight_ns(days[-2])
    asks = [latest(store), bare(store, since_ns, 2**62)]
    read(asks, so_many(10))
    idle = read(asks, so_many(count))
    writing = while_writing(store, market, asks, WRITING_QUICK_S if options.quick else WRITING_S)
    report.step("600 over the split, of cold days, and all bars of a ticker")
    # A Friday is short: two days before, so that there are 600.
    over_ns = IDX.calendar.midnight_ns(days[-hot_days - 2])
    over = [latest(store, end_ns), bare(store, over_ns, end_ns)]
    read(over, so_many(5))
    split = read(over, so_many(count))
    cold = read([latest(store, floor_ns)], so_many(count))

    def history(ticker: str) -> None:
        assert len(store.bars("idx", ticker, 0, 2**62)) * 700 == rows

    history(name(1))
    [whole] = read([history], so_many(10))
    report.step("a day to a cold file")
    files = store_cold.results(store, folder / "both", days)
    report.step("rings")
    results = [
        *spread("latest_600", idle),
        *spread("latest_600_writing", writing),
        *spread("split_600", split),
        *spread("cold_600", cold),
        report.Result("history_ms", statistics.median(whole), "ms"),
        *files,
        *rings(store, market),
    ]
    store.close()
    return results


def rings(store: Tiered, market: Market) -> list[report.Result]:
    made = Rings(IDX, market.words)
    made.warm()
    began = time.perf_counter()
    made.rehydrate(store)
    filled = (time.perf_counter() - began) * 1e3
    fed = []
    for day in days_after(50):
        batch = market.bars(day, 1)
        began = time.perf_counter()
        made.feed_bars(batch)
        fed.append((time.perf_counter() - began) * 1e6)
    [copied] = read([lambda ticker: made.bars(ticker, 600)], so_many(READS))
    p95 = statistics.quantiles(copied, n=20)[-1]
    return [
        report.Result("rehydrate_ms", filled, "ms"),
        report.Result("ring_feed_us", statistics.median(fed), "us"),
        report.Result("ring_600_us", statistics.median(copied) * 1e3, "us"),
        report.Result("ring_600_p95_us", p95 * 1e3, "us"),
    ]


def main() -> None:
    options = report.arguments(__doc__)
    with tempfile.TemporaryDirectory(prefix="bursa-bench-") as place:
        folder = Path(place)
        found = appends(folder, options) + reads(folder, options)
        report.step("gaps of ten years")
        found += store_gaps.results(folder, options.quick)
        report.emit("store", found, options)


if __name__ == "__main__":
    main()
