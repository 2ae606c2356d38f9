# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are parameters
"""ports.Store over both tiers: what is new in the hot store, closed days in cold files.

A read takes the split of its kind once (floors.py), reads both sides in one statement (sides.py),
and does so again where the split or a file was another one by the time it was done (reading.py).
Writing is the hot store's. To change or delete rows of a cold day, all of it is taken back to the
hot store first.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from bursa.model.batch import Batch, Span
from bursa.model.covered import Coverage, Covered
from bursa.model.errors import Refuse, Retry
from bursa.model.schema import INT_NULL, Kind, table
from bursa.ops.logs import logger
from bursa.ports import Committed
from bursa.store import coverage, sql, tables
from bursa.store.cold_days import Sealed
from bursa.store.duckdb import DuckStore
from bursa.store.engine import WHOLE, Bytes
from bursa.store.parquet import ColdStore
from bursa.store.reading import HOT, TRIES, Reading, T
from bursa.store.sides import Sides
from bursa.store.tables import BEGINNING, END

# Cold days that are looked through for the newest rows where the hot store has lost what it knew.
NEWEST_DAYS = 10


class Tiered(Reading):
    """The store of the program. `cold` lies where the hot store's engine may read (its `cold`)."""

    def __init__(self, hot: DuckStore, cold: ColdStore) -> None:
        super().__init__(hot.venues, hot.kinds)
        self.hot, self.cold = hot, cold
        self._log = logger("store").bind(path=str(cold.folder))
        self._sides = Sides(self._kinds, hot.floors, cold)
        hot.newest_cold = self._newest_cold

    # Reading

    def _relation(self, venue: str, kind: str, start_ns: int, end_ns: int) -> str:
        return self._sides.relation(venue, kind, start_ns, end_ns)

    def steady(
        self,
        venue: str,
        kind: str,
        within: tuple[int, int],
        limit: str,
        read: Callable[[Any, str], T],
    ) -> T:
        """As in reading.py. Where it fails by a cold file that is damaged, Refuse `cold_damaged`
        names its day."""
        try:
            return super().steady(venue, kind, within, limit, read)
        except Exception as error:
            ours = isinstance(error, Refuse | Retry) and "damaged" not in str(error)
            if ours or (found := self._damaged(venue, kind, within)) is None:
                raise
            told = f"stored rows cannot be read: the file of {venue}_{kind} of {found.day}"
            raise Refuse(f"{told} is damaged", "cold_damaged", 503) from error

    def _damaged(self, venue: str, kind: str, within: tuple[int, int]) -> Sealed | None:
        for sealed in self.cold.all(venue, kind):
            low, high = self.hot.floors.bounds(venue, sealed.day)
            if low < within[1] and high > within[0] and (why := self.cold.damage(sealed)):
                self._log.error("cold file is damaged", file=str(sealed.path), why=why)
                return sealed
        return None

    def _cursor(self, limit: str, what: str) -> AbstractContextManager[Any]:
        return self.hot._cursor(limit, what)

    def _span(self, venue: str, kind: Kind) -> Span:
        return self.hot._span(venue, kind)

    def _known(self, venue: str, ticker: str) -> tuple[int, int] | None:
        return _wider(self.hot._known(venue, ticker), self.cold._known(venue, ticker))

    def span(self, venue: str) -> dict[str, tuple[int, int]]:
        """As ports.Store."""
        found = self.cold.span(venue)
        for ticker, here in self.hot.span(venue).items():
            found[ticker] = _wider(here, found.get(ticker)) or here
        return found

    def minute_back(self, venue: str, count: int) -> int:
        """As ports.Store. Looked for in the hot days first, then in ever more of the cold ones."""
        floor_ns = self.hot.floor(venue, "ohlcv")
        days = [sealed.day for sealed in self.cold.all(venue, "ohlcv")] if floor_ns else []
        starts = [self.hot.floors.bounds(venue, days[-back])[0] for back in _doubling(len(days))]
        for start_ns in (floor_ns, *starts, BEGINNING):
            text = partial(_minute_back, start_ns)
            found = self._ask(venue, "ohlcv", (start_ns, END), text, [count - 1])
            if found:
                return int(found[0][0])
        return INT_NULL

    def latest(self, venue: str, kind: str) -> Batch:
        """As ports.Store. What went cold is remembered by the hot store; where that is lost, the
        newest cold days are looked through."""
        what, within = self._kinds[kind], (self.hot.floor(venue, kind), END)
        if kind not in tables.NEWEST:
            return super().latest(venue, kind)
        kept = tables.newest(venue, what)
        lost = within[0] and not self._ask(venue, kind, within, lambda _: _any_row(kept))
        if lost and (days := self.cold.all(venue, kind)[-NEWEST_DAYS:]):
            within = (self.hot.floors.bounds(venue, days[0].day)[0], END)
            return self._rows(venue, what, within, partial(tables.latest, what), limit=WHOLE)
        names = tables.columns(what.columns)
        # One look at both: they change in one transaction.
        both = f"(select {names} from {table(venue, what)} union all select {names} from {kept})"
        return self._rows(venue, what, within, lambda _: tables.latest(what, both), limit=WHOLE)

    def _newest_cold(self, venue: str, kind: str) -> str | None:
        """What to select the rows of the newest cold days from."""
        days = self.cold.all(venue, kind)[-NEWEST_DAYS:]
        start_ns = self.hot.floors.bounds(venue, days[0].day)[0] if days else END
        return self.cold.relation(venue, kind, start_ns, END)

    def days(self, venue: str, kinds: Sequence[str] = HOT) -> list[date]:
        """As ports.Store."""
        found = set(self.hot.days(venue, kinds))
        for kind in kinds:
            found.update(sealed.day for sealed in self.cold.all(venue, kind))
        return sorted(found)

    def covered(self, venue: str, ticker: str, first: date, until: date) -> Covered:
        """As ports.Store."""
        return coverage.covered(self.hot, self.cold, self._venues[venue], ticker, first, until)

    def coverage(self, venue: str, first: date, until: date) -> Coverage:
        """As ports.Store."""
        return coverage.coverage(self.hot, self.cold, self._venues[venue], first, until)

    # Writing

    def positions(self) -> dict[str, Committed]:
        """As ports.Store."""
        return self.hot.positions()

    def write(self, batches: Sequence[Batch], positions: Mapping[str, Committed]) -> None:
        """As ports.Store."""
        self.hot.write(batches, positions)

    def amend(self, gone: Batch, filled: Batch, fresh: Batch, columns: Collection[str]) -> None:
        """As ports.Store. Cold days that have rows to be deleted or filled are hot afterwards."""
        batches = (gone, filled)
        for _ in range(TRIES):
            for batch in batches:
                for day in self._cold_days(batch):
                    venue, kind = batch.span.source, batch.kind.name
                    self.hot.thaw(venue, kind, day, partial(self._file, venue, kind, day))
            try:
                self.hot.amend(gone, filled, fresh, columns, partial(self._all_here, batches))
                return
            except Refuse as refused:  # drained between the two
                if refused.code != "day_changed":
                    raise
        raise Retry("store: rows move too fast to be amended")

    def _all_here(self, batches: Sequence[Batch]) -> bool:
        return not any(
            self._file(batch.span.source, batch.kind.name, day)
            for batch in batches
            for day in self._cold_days(batch)
        )

    def _cold_days(self, batch: Batch) -> list[date]:
        """The days of a batch that lie before the floor and are not thawed."""
        venue = batch.span.source
        split = self.hot.split(venue, batch.kind.name)
        ts = batch.column("ts")
        before, days = ts[ts < split.from_ns], []
        # Event times of a batch come in few days: each day's first tells the day.
        while len(before):
            day = self._venues[venue].calendar.day_of(int(before.min()))
            days.append(day)
            before = before[before >= self.hot.floors.bounds(venue, day)[1]]
        return [day for day in days if day not in split.thawed]

    def _file(self, venue: str, kind: str, day: date) -> Path | None:
        sealed = self.cold.sealed(venue, kind, day)
        return None if sealed is None else sealed.path

    def folded(self, venue: str) -> int:
        """As ports.Store."""
        return self.hot.folded(venue)

    def bytes(self) -> Bytes:
        """Disk in use by the hot store's file."""
        return self.hot.bytes()

    def refuses(self, batch: Batch) -> str:
        """As ports.Store."""
        return self.hot.refuses(batch)

    def readmit(self, batch: Batch) -> int:
        """As ports.Store."""
        return self.hot.readmit(batch)

    def settle(self, venue: str, start_ns: int, end_ns: int) -> None:
        """As ports.Store, of the hot rows; files are sorted."""
        self.hot.settle(venue, start_ns, end_ns)

    def drop_before(self, venue: str, kind: str, ts_ns: int) -> int:
        """As ports.Store, of the hot rows: what lies cold stays."""
        return self.hot.drop_before(venue, kind, ts_ns)

    def select(self, text: str, limits: sql.Limits) -> sql.Answer:
        """One read-only SELECT of a person over both tiers, as sql.py allows it."""
        for _ in range(TRIES):
            seen = _Seen(partial(self._sides.views, self._venues))
            failed: Exception | None = None
            try:
                answer = self.hot.select(text, limits, seen)
            except (Retry, Refuse) as error:
                failed = error
            if not seen.hold():
                continue
            if failed is not None:
                raise failed
            return answer
        raise Retry("store: rows move too fast to be read")

    def close(self) -> None:
        """Close both."""
        self.hot.close()
        self.cold.close()


class _Seen:
    """What stood for the tables of one question, and whether it does so still."""

    def __init__(self, views: sql.Views) -> None:
        self._views = views
        self._asked: list[tuple[Collection[str], str, Mapping[str, str]]] = []

    def __call__(self, names: Collection[str], within: str) -> Mapping[str, str]:
        found = self._views(names, within)
        self._asked.append((names, within, found))
        return found

    def hold(self) -> bool:
        return all(self._views(n, within) == found for n, within, found in self._asked)


def _wider(one: tuple[int, int] | None, other: tuple[int, int] | None) -> tuple[int, int] | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def _doubling(count: int) -> list[int]:
    """1, 4, 16, ... up to a count."""
    found, step = [], 1
    while step < count:
        found.append(step)
        step *= 4
    return found


def _minute_back(start_ns: int, source: str) -> str:
    inside = f"where ts >= {start_ns}"
    return f"select distinct ts from {source} {inside} order by ts desc limit 1 offset ?"


def _any_row(name: str) -> str:
    return f"select 1 from {name} limit 1"
