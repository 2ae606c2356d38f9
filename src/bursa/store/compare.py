"""Are the rows of two stores the same? Asked by digests, so that few rows leave either of them.

A digest is the number of rows and 128 bits: two sums, over all rows, of 64-bit hashes of all
columns with different salts; the order of rows does not matter, a row that is there twice counts
twice. Both sides compute it by the same SQL (sql.py's rules). Where two differ, the digests of each
ticker are compared, then those of its minutes, and only then rows.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import Kind, table, topic
from bursa.store.sql import Answer

Ask = Callable[[str], Answer]
ANY_POSITION = (1 << 63) - 1
_BITS = 1 << 64


@dataclass(frozen=True)
class Digest:
    """`rows` rows; `hash` is 32 hexadecimal digits, the same for the same rows in any order."""

    rows: int
    hash: str


NONE = Digest(0, "0" * 32)


@dataclass(frozen=True)
class Slice:
    """Rows of a kind with start <= ts < end and position <= upto; of one ticker (the kind's first
    text column: an index code, a channel), where one is named. They lie in the kind's table, or in
    the relation `source`."""

    venue: str
    kind: Kind
    start_ns: int
    end_ns: int
    upto: int
    ticker: str | None = None
    source: str = ""

    @property
    def by(self) -> str:
        """The column that names whose row it is."""
        return self.kind.columns[0].name

    @property
    def clause(self) -> str:
        """`from ... where ...`."""
        text = (
            f"from {self.source or table(self.venue, self.kind)} where ts >= {self.start_ns}"
            f" and ts < {self.end_ns} and position <= {self.upto}"
        )
        if self.ticker is None:
            return text
        quoted = self.ticker.replace("'", "''")
        return f"{text} and \"{self.by}\" = '{quoted}'"


@dataclass(frozen=True)
class Difference:
    """One row that is not the same on both sides; None where a side lacks it."""

    stored: Mapping[str, Any] | None
    recomputed: Mapping[str, Any] | None


def digest(ask: Ask, of: Slice) -> Digest:
    """Of all rows of a slice."""
    [[rows, low, high]] = ask(f"select {_sums(of.kind)} {of.clause}").rows
    return Digest(int(rows), _hash(low, high))


def uncommitted(ask: Ask, of: Slice) -> int:
    """How many rows of a slice's time a store has past what it says is committed of the kind, by
    one look at both. No commit leaves one: somebody else put it there."""
    name = topic(of.venue, of.kind)
    at = f"(select max(position) from bursa_positions where topic = '{name}')"  # noqa: S608 -- our own names
    past = replace(of, upto=ANY_POSITION).clause
    [[rows]] = ask(f"select count(*) {past} and position > coalesce({at}, 0)").rows
    return int(rows)


def differing_tickers(one: Ask, other: Ask, of: Slice) -> list[str]:
    """Whose rows are not the same, ascending."""
    return [str(key) for key in _differing(one, other, of, f'"{of.by}"')]


def differences(stored: Ask, recomputed: Ask, of: Slice, at_most: int) -> list[Difference]:
    """The first rows of a ticker that differ, by time; rows of one key are told together."""
    found: list[Difference] = []
    for minute in _differing(stored, recomputed, of, f"ts // {MINUTE_NS}"):
        start = int(minute) * MINUTE_NS
        low, high = max(start, of.start_ns), min(start + MINUTE_NS, of.end_ns)
        here = replace(of, start_ns=low, end_ns=high)
        found += _rows(stored, recomputed, here)
        if len(found) >= at_most:
            break
    return found[:at_most]


def _differing(one: Ask, other: Ask, of: Slice, key: str) -> list[Any]:
    text = f"select {key} as k, {_sums(of.kind)} {of.clause} group by k"
    here, there = ({row[0]: row[1:] for row in ask(text).rows} for ask in (one, other))
    return sorted(k for k in here.keys() | there.keys() if here.get(k) != there.get(k))


def _sums(kind: Kind) -> str:
    # The engine mixes a list's values in one by one: without its length, what moves from the end of
    # one list to the beginning of the next would change nothing, nor would null for an empty one.
    lists = {column.name for column in kind.lists}
    names = ", ".join(
        f'len("{column.name}"), "{column.name}"' if column.name in lists else f'"{column.name}"'
        for column in kind.columns
    )
    sums = [f"(coalesce(sum(hash({salt}, {names})), 0) % {_BITS})::varchar" for salt in (1, 2)]
    return ", ".join(["count(*) as n", *(f"{text} as h{at}" for at, text in enumerate(sums))])


def _hash(low: str, high: str) -> str:
    return f"{int(low):016x}{int(high):016x}"


def _rows(stored: Ask, recomputed: Ask, of: Slice) -> list[Difference]:
    names = [column.name for column in of.kind.columns]
    listed = ", ".join(f'"{name}"' for name in names)
    text = f"select {listed} {of.clause} order by position, ts"
    here, there = (Counter(map(json.dumps, ask(text).rows)) for ask in (stored, recomputed))
    only = [
        [dict(zip(names, json.loads(row), strict=True)) for row in side.elements()]
        for side in (here - there, there - here)
    ]
    return _paired(of.kind.key, *only)


def _paired(
    key: Sequence[str], stored: list[dict[str, Any]], recomputed: list[dict[str, Any]]
) -> list[Difference]:
    """Rows that one side has alone, those of the same key side by side."""
    waiting: dict[str, list[dict[str, Any]]] = {}
    for row in recomputed:
        waiting.setdefault(json.dumps([row[name] for name in key]), []).append(row)
    found = []
    for row in stored:
        same = waiting.get(json.dumps([row[name] for name in key]))
        found.append(Difference(row, same.pop(0) if same else None))
    found += [Difference(None, row) for rows in waiting.values() for row in rows]
    return sorted(found, key=lambda d: (d.stored or d.recomputed or {}).get("ts", 0))
