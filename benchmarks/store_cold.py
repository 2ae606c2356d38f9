"""What it takes to write days to files: part of the benchmark `store`, on its two tiers.

seal_rows_s        a day's bars from the hot tables to a cold file, proven equal
export_30d_s       the newest 30 days of bars of 700 tickers, 6.9 million rows, half of them hot, to
                   a Parquet file (--quick: the days there are). The peer `duckdb` writes the same
                   rows in the same order by its own COPY
export_csv_30d_s   the same to CSV
"""

import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from benchmarks import report
from bursa.jobs import export
from bursa.model.venue import IDX
from bursa.store.engine import WHOLE
from bursa.store.tiered import Tiered

DAYS = 30
COPY_S = 600.0


def results(store: Tiered, folder: Path, days: Sequence[date]) -> list[report.Result]:
    """Of a store that has bars on these days, ascending, the newest of them hot."""
    start_ns = IDX.calendar.midnight_ns(days[-min(DAYS, len(days))])
    end_ns = IDX.calendar.day_end_ns(days[-1]) + 1
    sealed = _sealed(store, days[-1])
    report.step(f"{min(DAYS, len(days))} days to Parquet, by the engine's own way, and to CSV")
    took = _exported(store, folder / "out.parquet", (start_ns, end_ns))
    own = _copied(store, folder, (start_ns, end_ns))
    csv = _exported(store, folder / "out.csv", (start_ns, end_ns))
    return [
        report.Result("seal_rows_s", sealed, "rows/s"),
        report.Result("export_30d_s", took, "s", "duckdb", own),
        report.Result("export_csv_30d_s", csv, "s"),
    ]


def _sealed(store: Tiered, day: date) -> float:
    """Rows/s. The day stays hot, and its file is thrown away again."""
    began = time.perf_counter()
    want = store.hot.digest("idx", "ohlcv", day)
    file = store.cold.begin("idx", "ohlcv", day)
    store.hot.seal("idx", "ohlcv", day, file, None)
    store.cold.adopt("idx", "ohlcv", day, file, want)
    took = time.perf_counter() - began
    store.cold.drop("idx", "ohlcv", day)
    return want.rows / took


def _exported(store: Tiered, file: Path, within: tuple[int, int]) -> float:
    """Seconds."""
    order = export.Order("ohlcv", *within, str(file), file.suffix.lstrip("."))
    job = export.of(store, IDX, order)
    began = time.perf_counter()
    for _ in job.run():
        pass
    took = time.perf_counter() - began
    job.close()
    file.unlink()
    return took


def _copied(store: Tiered, folder: Path, within: tuple[int, int]) -> float:
    """Seconds of the engine's own way."""
    file = folder / "cold" / "own.parquet"
    inside = f"ts >= {within[0]} and ts < {within[1]}"
    source = store._relation("idx", "ohlcv", *within)
    text = f"select * from {source} where {inside} order by ts // 86400000000000, ticker, ts"
    began = time.perf_counter()
    # One statement over all of it, which on a busy machine takes longer than a read may.
    with store.hot._engine.reading(WHOLE, "the engine's own copy", COPY_S) as cursor:
        cursor.execute(f"copy ({text}) to '{file}' (format parquet, compression zstd)")
    took = time.perf_counter() - began
    file.unlink()
    return took
