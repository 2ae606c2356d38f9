"""Both tiers with many days of bars in them: the newest ones hot and settled, the others cold."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from benchmarks.load.rows import Market, write
from bursa.model.venue import IDX
from bursa.pipeline.line import kinds
from bursa.store.duckdb import DuckStore
from bursa.store.parquet import ColdStore
from bursa.store.tiered import Tiered


def opened(folder: Path) -> Tiered:
    """Those of a data folder."""
    cold = ColdStore(folder / "cold", [IDX], kinds())
    hot = DuckStore(folder / "hot.duckdb", [IDX], kinds(), cold=folder / "cold", colder=cold.end_ns)
    return Tiered(hot, cold)


def fill(store: Tiered, market: Market, days: Sequence[date], hot_days: int) -> int:
    """Write days of bars, each goes cold once `hot_days` newer ones are there; returns the rows."""
    rows = 0
    for nth, day in enumerate(days):
        batch = market.bars(day)
        rows += len(batch)
        write(store, batch)
        midnight = IDX.calendar.midnight_ns
        store.settle("idx", midnight(day), midnight(day + timedelta(days=1)))
        if nth >= hot_days:
            go_cold(store, "ohlcv", days[nth - hot_days])
    return rows


def go_cold(store: Tiered, kind: str, day: date) -> None:
    """As the drain does it and retention after it."""
    held = store.hot.digest("idx", kind, day)
    file = store.cold.begin("idx", kind, day)
    store.hot.seal("idx", kind, day, file, None)
    store.cold.adopt("idx", kind, day, file, held)
    store.hot.let_go("idx", kind, day, held)
