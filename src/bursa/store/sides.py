# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are parameters
"""What to select from to find a kind's rows on both sides of its split: the SQL of it.

A range at or past the floor is the hot table, as it stands. One that begins before it is the table
and the files of its days, one behind the other. Where the table has strays of those days, a row
that lies in both counts once, as it is in the table; of a thawed day the file does not count.
Executes nothing (tiered.py, question.py).
"""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Protocol

from bursa.model.schema import Kind, table
from bursa.store import tables
from bursa.store.floors import COLD_KINDS, Floors, Split


class Files(Protocol):
    """Where the files of cold days are known (parquet.py)."""

    def relation(self, venue: str, kind: str, start_ns: int, end_ns: int) -> str | None:
        """What to select from for the files of the days in a range; None where there is none."""


class Sides:
    """Of the kinds of some venues."""

    def __init__(self, kinds: Mapping[str, Kind], floors: Floors, files: Files) -> None:
        self._kinds, self._floors, self._files = kinds, floors, files

    def relation(self, venue: str, kind: str, start_ns: int, end_ns: int, within: str = "") -> str:
        """As reading.py wants it. within: before the table's name, as `database.main.`."""
        what = self._kinds[kind]
        hot, split = within + table(venue, what), self._floors.of(venue, kind)
        if start_ns >= split.from_ns or not split.from_ns:
            return hot
        edge_ns = min(end_ns, split.from_ns)
        cold = self._files.relation(venue, kind, start_ns, edge_ns)
        if cold is None:
            return hot
        days = self._inside(venue, split.strays, start_ns, edge_ns)
        if days:
            return self._with_strays(venue, what, hot, cold, days, split)
        names = tables.columns(what.columns)
        parts = [f"select {names} from {cold}"]
        if end_ns > split.from_ns:
            parts.insert(0, f"select {names} from {hot} where ts >= {split.from_ns}")
        return f"({' union all '.join(parts)})"

    def _with_strays(
        self, venue: str, kind: Kind, hot: str, cold: str, days: list[date], split: Split
    ) -> str:
        bounds = [self._floors.bounds(venue, day) for day in days]
        warm = [self._floors.bounds(venue, day) for day in days if day in split.thawed]
        if warm:
            outside = " and ".join(f"not (ts >= {low} and ts < {high})" for low, high in warm)
            cold = f"(select * from {cold} where {outside})"
        low, high = bounds[0][0], min(bounds[-1][1], split.from_ns)
        return tables.merged(kind, hot, cold, f"h.ts >= {low} and h.ts < {high}")

    def _inside(self, venue: str, days: Collection[date], start_ns: int, end_ns: int) -> list[date]:
        bounds = ((day, *self._floors.bounds(venue, day)) for day in days)
        return sorted(day for day, low, high in bounds if low < end_ns and high > start_ns)

    def views(self, venues: Collection[str], names: Collection[str], within: str) -> dict[str, str]:
        """For people's SQL: those of these tables and views that lie cold in part -> a SELECT that
        stands for them. The tables themselves are found `within` the store's own schema."""
        found: dict[str, str] = {}
        for venue in venues:
            for kind, what in self._kinds.items():
                if kind not in COLD_KINDS:
                    continue
                selects = {table(venue, what): _everything}
                if kind == "metrics":
                    selects |= tables.views(venue, what)
                if not selects.keys() & set(names):
                    continue
                source = self.relation(venue, kind, tables.BEGINNING, tables.END, within)
                if source != within + table(venue, what):
                    found |= {n: made(source) for n, made in selects.items() if n in names}
        return found


def _everything(source: str) -> str:
    return f"select * from {source}"
