"""Where the audit lies in the database: a table a month, `audit_2026_11`, by the event's time, UTC.

On PostgreSQL they are partitions of `audit`, on SQLite tables beside each other; they are read one
after the other on both. Rows go into the table of their month, which is made if it is not there:
none is refused because a month began.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    inspect,
    select,
    text,
)

from bursa.state.upsert import insert_into

PARENT = "audit"
# A table on its way out bears this behind its name, and takes no more rows.
OUT = "_out"
_NAME = re.compile(r"^audit_(\d{4})_(\d\d)(_out)?$")
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the calendar, UTC."""

    year: int
    month: int

    @staticmethod
    def of(at_ns: int) -> "Month":
        """The month of an instant, ns since 1970."""
        at = datetime.fromtimestamp(at_ns // _SECOND_NS, UTC)
        return Month(at.year, at.month)

    def plus(self, months: int) -> "Month":
        """So many months later; earlier where that is below 0."""
        years, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return Month(years, month + 1)

    @property
    def start_ns(self) -> int:
        """Its first instant, ns since 1970."""
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * _SECOND_NS

    @property
    def table(self) -> str:
        """The name of its table."""
        return f"{PARENT}_{self.year:04}_{self.month:02}"

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    def __lt__(self, other: "Month") -> bool:
        return (self.year, self.month) < (other.year, other.month)


@dataclass(frozen=True, slots=True)
class Record:
    """An event as it is kept. id: of the event, so that one written twice is one; before, after:
    what was changed, as JSON, null where there is nothing; others as audit.Event."""

    id: str
    at_ns: int
    actor: str
    actor_role: str
    act: str
    target: str
    before: str | None
    after: str | None
    address: str
    request_id: str
    ok: bool

    def values(self) -> dict[str, Any]:
        """By column."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@lru_cache(maxsize=256)
def table_of(name: str) -> Table:
    """One month's table, or the parent; `at_ns` and `id` are its key."""
    return Table(
        name,
        MetaData(),
        Column("at_ns", BigInteger, primary_key=True),
        Column("id", Text, primary_key=True),
        Column("actor", Text, nullable=False),
        Column("actor_role", Text, nullable=False),
        Column("act", Text, nullable=False),
        Column("target", Text, nullable=False),
        Column("before", Text),
        Column("after", Text),
        Column("address", Text, nullable=False),
        Column("request_id", Text, nullable=False),
        Column("ok", Boolean, nullable=False),
        Index(f"{name}_by_target", "target", "at_ns"),
    )


def tables(connection: Connection) -> dict[str, Month]:
    """The tables that there are, newest month first; one on its way out behind its successor."""
    found = {}
    for name in sorted(inspect(connection).get_table_names(), reverse=True):
        if match := _NAME.match(name):
            found[name] = Month(int(match[1]), int(match[2]))
    return dict(sorted(found.items(), key=lambda one: (one[1], one[0]), reverse=True))


def make(connection: Connection, month: Month) -> None:
    """Make a month's table, unless it is there."""
    if connection.dialect.name == "postgresql":
        there = text("select to_regclass(:name)")
        if connection.execute(there, {"name": month.table}).scalar() is not None:
            return
        connection.execute(text("select pg_advisory_xact_lock(hashtext('bursa audit month'))"))
        start, end = month.start_ns, month.plus(1).start_ns
        connection.execute(
            text(
                f"create table if not exists {month.table} partition of {PARENT}"
                f" for values from ({start}) to ({end})"
            )
        )
    else:
        table_of(month.table).create(connection, checkfirst=True)


def put(connection: Connection, records: Sequence[Record]) -> int:
    """Add records whose months' tables are there; those that are kept already add nothing.
    Returns how many were new."""
    by_table: dict[str, list[dict[str, Any]]] = {}
    parent = PARENT if connection.dialect.name == "postgresql" else ""
    for record in records:
        name = parent or Month.of(record.at_ns).table
        by_table.setdefault(name, []).append(record.values())
    added = 0
    for name, values in by_table.items():
        adding = insert_into(connection, table_of(name)).values(values).on_conflict_do_nothing()
        added += connection.execute(adding).rowcount
    return added


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which records are meant: from <= at < until (ns since 1970), and where they are not "" those
    of an actor, of acts that begin so, of a target; ok: only those that were done, or were not."""

    from_ns: int | None = None
    until_ns: int | None = None
    actor: str = ""
    act: str = ""
    target: str = ""
    ok: bool | None = None

    def has(self, record: Record) -> bool:
        """Is it one of them?"""
        return (
            (self.from_ns is None or record.at_ns >= self.from_ns)
            and (self.until_ns is None or record.at_ns < self.until_ns)
            and self.actor in ("", record.actor)
            and record.act.startswith(self.act)
            and self.target in ("", record.target)
            and self.ok in (None, record.ok)
        )

    def months(self, month: Month) -> bool:
        """May a month have any?"""
        return (self.until_ns is None or month.start_ns < self.until_ns) and (
            self.from_ns is None or month.plus(1).start_ns > self.from_ns
        )

    def asked(self, table: Table) -> Select[Any]:
        """Those of one table, in no order."""
        found = select(table)
        if self.from_ns is not None:
            found = found.where(table.c.at_ns >= self.from_ns)
        if self.until_ns is not None:
            found = found.where(table.c.at_ns < self.until_ns)
        if self.actor:
            found = found.where(table.c.actor == self.actor)
        if self.act:
            found = found.where(table.c.act.startswith(self.act, autoescape=True))
        if self.target:
            found = found.where(table.c.target == self.target)
        return found if self.ok is None else found.where(table.c.ok.is_(self.ok))


# Where a page ended: time and id of its last record.
Place = tuple[int, str]


def place_of(record: Record) -> Place:
    """Where it stands in the order of time."""
    return record.at_ns, record.id


def read(
    connection: Connection, chosen: Chosen, after: Place | None = None, limit: int = 100
) -> list[Record]:
    """Records, newest first, those behind a place in that order; at most `limit`."""
    found: list[Record] = []
    for name, month in tables(connection).items():
        if not chosen.months(month) or (after and month.start_ns > after[0]):
            continue
        found += _page(connection, table_of(name), chosen, after, limit)
        # A month and what is on its way out of it may both have some.
        found = sorted(found, key=place_of, reverse=True)[:limit]
        if len(found) >= limit and found[-1].at_ns >= month.start_ns and not name.endswith(OUT):
            break
    return found


def _page(
    connection: Connection, table: Table, chosen: Chosen, after: Place | None, limit: int
) -> Iterator[Record]:
    asked = chosen.asked(table).order_by(table.c.at_ns.desc(), table.c.id.desc()).limit(limit)
    if after is not None:
        at_ns, id_ = after
        behind = (table.c.at_ns == at_ns) & (table.c.id < id_)
        asked = asked.where((table.c.at_ns < at_ns) | behind)
    return map(record_of, connection.execute(asked).all())


def record_of(row: Row[Any]) -> Record:
    """A row as a record."""
    values = row._asdict()
    found = {field.name: values[field.name] for field in fields(Record)}
    return Record(**{**found, "ok": bool(found["ok"])})


def line_of(record: Record) -> bytes:
    """A record as a line of a file: one JSON object, without what is null."""
    kept = {name: value for name, value in record.values().items() if value is not None}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
