"""Both tiers with many days of bars in them: the newest ones hot and settled, the others cold."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.load.rows import Market, write
from bursa.model.batch import Batch
from bursa.model.venue import IDX
from bursa.pipeline.line import kinds
from bursa.store import cold_file
from bursa.store.duckdb import DuckStore
from bursa.store.parquet import ColdStore
from bursa.store.tiered import Tiered

# So many days leave the hot store as the drain does it, so that its file has had rows come and go;
# those before are put into cold files at once.
DRAINED_DAYS = 10
THREADS = 2
TOLD_DAYS = 25


def filled(
    folder: Path,
    market: Market,
    days: Sequence[date],
    hot_days: int,
    told: Callable[[str], None] = lambda text: None,
) -> tuple[Tiered, int]:
    """Stores of a data folder with a day of bars on each of some days, the newest `hot_days` of
    them hot; and how many rows that is."""
    cold = ColdStore(folder / "cold", [IDX], kinds())
    at_once = max(0, len(days) - hot_days - DRAINED_DAYS)
    rows = _put_cold(cold, market, days[:at_once], told)
    hot = DuckStore(folder / "hot.duckdb", [IDX], kinds(), cold=folder / "cold", colder=cold.end_ns)
    store = Tiered(hot, cold)
    told(f"the newest {len(days) - at_once} days go in hot")
    midnight = IDX.calendar.midnight_ns
    for nth, day in enumerate(days[at_once:]):
        batch = market.bars(day)
        rows += len(batch)
        write(store, batch)
        store.settle("idx", midnight(day), midnight(day + timedelta(days=1)))
        if nth >= hot_days:
            go_cold(store, "ohlcv", days[at_once + nth - hot_days])
    return store, rows


def _put_cold(
    cold: ColdStore, market: Market, days: Sequence[date], told: Callable[[str], None]
) -> int:
    """Each day's file as the drain writes it, some at a time; the rows."""
    rows = 0
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[Future[int]] = deque()
        for nth, day in enumerate(days):
            if nth % TOLD_DAYS == 0:
                told(f"day {nth + 1} of {len(days)} goes in cold")
            if len(waiting) > THREADS:
                rows += waiting.popleft().result()
            waiting.append(pool.submit(_put_day, cold, day, market.bars(day)))
        return rows + sum(one.result() for one in waiting)


def _put_day(cold: ColdStore, day: date, batch: Batch) -> int:
    # Tickers are numbered in the order of their names.
    order = np.lexsort((batch.column("ts"), batch.column("ticker")))
    block = np.ascontiguousarray(batch.block[:, order])
    whole = Batch(batch.kind, block, batch.words, batch.span).to_arrow()
    file = cold.begin("idx", batch.kind.name, day)
    cold_file.put(_groups(whole, cold_file.GROUP_ROWS[batch.kind.name]), batch.kind, file)
    return cold.adopt("idx", batch.kind.name, day, file).rows


def _groups(whole: pa.RecordBatch, rows: int) -> Iterator[pa.Table]:
    for start in range(0, len(whole), rows):
        yield pa.Table.from_batches([whole.slice(start, rows)])


def go_cold(store: Tiered, kind: str, day: date) -> None:
    """As the drain does it and retention after it."""
    held = store.hot.digest("idx", kind, day)
    file = store.cold.begin("idx", kind, day)
    store.hot.seal("idx", kind, day, file, None)
    store.cold.adopt("idx", kind, day, file, held)
    store.hot.let_go("idx", kind, day, held)
