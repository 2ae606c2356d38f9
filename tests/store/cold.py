"""Cold days made of batches, for tests: sealed by the hot store, as the drain does it."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from bursa.model.batch import Batch
from bursa.store.compare import Digest
from bursa.store.duckdb import DuckStore
from bursa.store.parquet import ColdStore
from tests.store.contract import KINDS, VENUES, put


def hot_store(folder: Path) -> DuckStore:
    """A hot store that may write below folder/cold."""
    (folder / "cold").mkdir(exist_ok=True)
    return DuckStore(folder / "hot.duckdb", VENUES, KINDS, cold=folder / "cold")


def cold_store(folder: Path) -> ColdStore:
    """The cold store beside it."""
    return ColdStore(folder / "cold", VENUES, KINDS)


def seal(hot: DuckStore, cold: ColdStore, venue: str, kind: str, day: date) -> Any:
    """One day of a kind, proven equal."""
    want: Digest = hot.digest(venue, kind, day)
    file = cold.begin(venue, kind, day)
    hot.seal(venue, kind, day, file, None)
    return cold.adopt(venue, kind, day, file, want)


def freeze(folder: Path, batches: Sequence[Batch], cold: ColdStore | None = None) -> ColdStore:
    """All days of some batches, sealed; the hot store is closed again."""
    hot = hot_store(folder)
    cold = cold or cold_store(folder)
    put(hot, *batches)
    for one in batches:
        venue, kind = one.span.source, one.kind.name
        for day in hot.days(venue, [kind]):
            seal(hot, cold, venue, kind, day)
    hot.close()
    return cold
