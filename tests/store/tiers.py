"""Both tiers for tests, and what the drain does with them, step by step."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

from bursa.model.batch import Batch
from bursa.model.schema import Kind
from bursa.model.venue import Venue
from bursa.ports import Committed
from bursa.store.duckdb import DuckStore
from bursa.store.engine import Options
from bursa.store.floors import COLD_KINDS
from bursa.store.parquet import ColdStore
from bursa.store.tiered import Tiered
from tests.store.contract import KINDS, VENUES


def opened(
    data: Path,
    venues: Sequence[Venue] = VENUES,
    kinds: Sequence[Kind] = KINDS,
    options: Options | None = None,
    made: type[Tiered] = Tiered,
) -> Any:
    cold = ColdStore(data / "cold", venues, kinds)
    hot = DuckStore(
        data / "hot.duckdb", venues, kinds, options, cold=data / "cold", colder=cold.end_ns
    )
    return made(hot, cold)


def steps(store: Tiered, venue: str, kind: str, day: date) -> list[Callable[[], Any]]:
    """The drain of a day, to be done one after the other."""
    hot, cold = store.hot, store.cold
    kept: dict[str, Any] = {}

    def seal() -> None:
        old = cold.sealed(venue, kind, day)
        beside = old.path if old is not None else None
        kept["hot"] = hot.digest(venue, kind, day)
        kept["all"] = hot.digest(venue, kind, day, beside)
        kept["file"] = cold.begin(venue, kind, day)
        hot.seal(venue, kind, day, kept["file"], beside)

    return [
        seal,
        lambda: cold.adopt(venue, kind, day, kept["file"], kept["all"]),
        lambda: hot.let_go(venue, kind, day, kept["hot"]),
    ]


def drain(store: Tiered, venue: str, kind: str, days: Sequence[date] | None = None) -> None:
    """Make days cold, all that are hot if none are named."""
    for day in store.hot.days(venue, [kind]) if days is None else days:
        for step in steps(store, venue, kind, day):
            step()


class Colder(Tiered):
    """After each write all days of what was written go cold."""

    def write(self, batches: Sequence[Batch], positions: Mapping[str, Committed]) -> None:
        super().write(batches, positions)
        for venue, kind in {(b.span.source, b.kind.name) for b in batches if len(b)}:
            if kind in COLD_KINDS:
                drain(self, venue, kind, self.gone_cold(self.hot.days(venue, [kind])))

    def gone_cold(self, days: list[date]) -> list[date]:
        return days


class PartlyColder(Colder):
    """As above, some of the days: others stay hot before or past the floor, or have strays."""

    def __init__(self, hot: DuckStore, cold: ColdStore) -> None:
        super().__init__(hot, cold)
        self._dice = Random(4)

    def gone_cold(self, days: list[date]) -> list[date]:
        return [day for day in days if self._dice.random() < 0.5]


class ColdAlone(Colder):
    """What is asked of the kinds that go cold is asked of the cold store alone."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("bars", "metrics", "ticks", "index", "since", "emitted", "revisions"):
            return getattr(self.cold, name)
        return super().__getattribute__(name)
