# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are parameters
"""Where hot ends and cold begins, of each kind of each venue.

Its *floor*: all rows with ts >= floor are hot, the days before it lie cold. A day before the floor
may have hot rows as well, its *strays*: they came late, and belong to it. One that is *thawed* has
all its rows hot again, so that they can be changed; its file does not count. The floors and what is
thawed stand in the store's own tables, moved in the transaction that moves the rows; which days
have strays is read off the rows at each opening, and kept in memory from then on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from bursa.model.batch import Batch
from bursa.model.schema import Kind, table, topic
from bursa.model.venue import Venue
from bursa.ports import Committed

# The others are small, and stay hot for ever.
COLD_KINDS = ("ticks", "quotes", "snapshot", "orderbook", "index", "ohlcv", "metrics")
FLOORS_TABLE = "bursa_floors"
THAWED_TABLE = "bursa_thawed"
STATEMENTS = (
    f"create table if not exists {FLOORS_TABLE} (venue VARCHAR, kind VARCHAR, from_ns BIGINT)",
    f"create table if not exists {THAWED_TABLE} (venue VARCHAR, kind VARCHAR, day DATE)",
)
_HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True)
class Split:
    """Of one kind. from_ns: its floor, ns UTC, 0: all is hot. strays: days before it with hot rows.
    thawed: days before it of which all rows are hot, among the strays as well."""

    from_ns: int = 0
    strays: frozenset[date] = frozenset()
    thawed: frozenset[date] = frozenset()


class Floors:
    """The splits of one store. Read by any thread, changed by the one that writes.

    colder   (venue, kind) -> where cold storage ends: the floor of a kind of which the store has
             nothing, neither floor nor position, since its file is new or was set aside
    """

    def __init__(
        self,
        venues: Mapping[str, Venue],
        kinds: Mapping[str, Kind],
        colder: Callable[[str, str], int] | None,
    ) -> None:
        self._venues = venues
        self._kinds = {name: kind for name, kind in kinds.items() if name in COLD_KINDS}
        self._colder = colder or (lambda venue, kind: 0)
        self._splits: dict[tuple[str, str], Split] = {}

    def read(self, connection: Any, committed: Mapping[str, Committed]) -> None:
        """At each opening, the tables being there."""
        floors = {
            (venue, kind): int(from_ns)
            for venue, kind, from_ns in connection.execute(
                f"select venue, kind, from_ns from {FLOORS_TABLE}"
            ).fetchall()
        }
        thawed: dict[tuple[str, str], set[date]] = {}
        for venue, kind, day in connection.execute(
            f"select venue, kind, day from {THAWED_TABLE}"
        ).fetchall():
            thawed.setdefault((venue, kind), set()).add(day)
        for venue in self._venues:
            for name, kind in self._kinds.items():
                key = (venue, name)
                if key not in floors and topic(venue, kind) not in committed:
                    floors[key] = self._colder(venue, name)
                    if floors[key]:
                        self.save(connection, venue, name, floors[key])
                from_ns, warm = floors.get(key, 0), frozenset(thawed.get(key, ()))
                strays = self.days_before(connection, venue, name, from_ns) | warm
                self._splits[key] = Split(from_ns, strays, warm)

    def of(self, venue: str, kind: str) -> Split:
        """As it is now; kinds that never go cold have no floor."""
        return self._splits.get((venue, kind), Split())

    def put(self, venue: str, kind: str, split: Split) -> None:
        """As it is from now on."""
        self._splits[venue, kind] = split

    def note(self, batch: Batch) -> None:
        """Rows that are about to be written: readers must look for them from then on."""
        venue, kind = batch.span.source, batch.kind.name
        split = self.of(venue, kind)
        if not split.from_ns or not len(batch):
            return
        ts = batch.column("ts")
        if int(ts.min()) >= split.from_ns:
            return
        days = self._days(venue, set((ts[ts < split.from_ns] // _HOUR_NS).tolist()))
        if not days <= split.strays:
            self.put(venue, kind, replace(split, strays=split.strays | days))

    def days_before(self, connection: Any, venue: str, kind: str, ts_ns: int) -> frozenset[date]:
        """The days that have stored rows with an older ts."""
        if not ts_ns:
            return frozenset()
        source = table(venue, self._kinds[kind])
        found = connection.execute(
            f"select distinct ts // {_HOUR_NS} from {source} where ts < ?", [ts_ns]
        ).fetchall()
        return self._days(venue, {hour for (hour,) in found})

    def _days(self, venue: str, hours: set[int]) -> frozenset[date]:
        calendar = self._venues[venue].calendar
        return frozenset(calendar.day_of(hour * _HOUR_NS) for hour in hours)

    def bounds(self, venue: str, day: date) -> tuple[int, int]:
        """Event times of a day of the venue's clock, ns UTC, half-open."""
        calendar = self._venues[venue].calendar
        return calendar.midnight_ns(day), calendar.midnight_ns(day + timedelta(days=1))

    def save(self, connection: Any, venue: str, kind: str, from_ns: int) -> None:
        """Keep a floor, within the caller's transaction if there is one."""
        connection.execute(
            f"delete from {FLOORS_TABLE} where venue = ? and kind = ?", [venue, kind]
        )
        connection.execute(f"insert into {FLOORS_TABLE} values (?, ?, ?)", [venue, kind, from_ns])

    def save_thawed(self, connection: Any, venue: str, kind: str, days: Sequence[date]) -> None:
        """Keep which days are thawed, likewise."""
        connection.execute(
            f"delete from {THAWED_TABLE} where venue = ? and kind = ?", [venue, kind]
        )
        for day in days:
            connection.execute(f"insert into {THAWED_TABLE} values (?, ?, ?)", [venue, kind, day])
