# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are parameters
"""The tables of the embedded store as SQL text: made from the schema, not written by hand.

A kind's table is `{venue}_{kind}`; beside those stand `bursa_schema` (one row: the version) and
`bursa_positions` (one row a topic: what is committed). No primary keys and no indexes: order of
arrival and the ts bounds of a query do their work. Executes nothing (duckdb.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from bursa.model.errors import Refuse
from bursa.model.schema import Column, Kind, table
from bursa.ports import Committed

TYPES = {
    "time": "BIGINT",
    "int": "BIGINT",
    "float": "DOUBLE",
    "text": "VARCHAR",
    "flag": "BOOLEAN",
    "floats": "DOUBLE[]",
    "ints": "BIGINT[]",
}

# Before and after all event times there can be.
BEGINNING, END = -(1 << 63) + 1, (1 << 63) - 1

SCHEMA_TABLE = "bursa_schema"
POSITIONS_TABLE = "bursa_positions"
OWN_TABLES = (
    f"create table if not exists {SCHEMA_TABLE} (version BIGINT)",
    f"create table if not exists {POSITIONS_TABLE} (topic VARCHAR, epoch BIGINT, position BIGINT)",
)

# Kinds of which the newest row of each key is kept and older ones are replaced.
KEYED = frozenset({"contracts"})

# Kinds of which the newest row of each key is asked for, however old it is: those that went cold
# are kept in a table of their own.
NEWEST = frozenset({"snapshot", "index"})

# View -> its columns and the metrics they show; a column that a family lacks is null.
VIEWS: dict[str, dict[str, str | None]] = {
    "metrics_hd": {"value": "hd", "mapo": "hd_mapo", "direction": "hd_direction"},
    "metrics_rsi": {"value": "rsi_14", "mapo": None, "direction": None},
}


def columns(of: Iterable[Column], prefix: str = "") -> str:
    """Quoted names, separated by commas."""
    return ", ".join(f'{prefix}"{column.name}"' for column in of)


def create(name: str, kind: Kind) -> str:
    """The statement that makes a table of a kind's rows."""
    body = ", ".join(f'"{column.name}" {TYPES[column.dtype]}' for column in kind.columns)
    return f"create table {name} ({body})"


def of_kind(venue: str, kind: Kind) -> list[str]:
    """The tables that hold rows of a kind."""
    return [table(venue, kind), *([newest(venue, kind)] if kind.name in NEWEST else [])]


def upgrade(name: str, kind: Kind, found: Mapping[str, str]) -> list[str]:
    """The statements that bring a table forward in place; `found` is column -> type as it is.

    Columns that the schema no longer has stay and are null in new rows. A column whose type is
    another one is refused: that takes a migration of its own.
    """
    statements = []
    for column in kind.columns:
        wanted = TYPES[column.dtype]
        has = found.get(column.name)
        if has is None:
            statements.append(f'alter table {name} add column "{column.name}" {wanted}')
        elif has != wanted:
            raise Refuse(
                f"{name}.{column.name} is stored as {has}, not {wanted}",
                "store_schema",
            )
    return statements


def views(venue: str, metrics: Kind) -> dict[str, Callable[[str], str]]:
    """The views for people who query the store: name -> what makes its SELECT, of the relation of
    the metrics. The newest revision of one metric family."""
    made: dict[str, Callable[[str], str]] = {}
    for name, shown in VIEWS.items():
        if any(metric is not None and metric not in metrics.index for metric in shown.values()):
            continue
        body = ", ".join(
            f'"{metric}" as "{column}"' if metric else f'cast(null as double) as "{column}"'
            for column, metric in shown.items()
        )
        made[f"{venue}_{name}"] = partial(_family, body)
    return made


def _family(body: str, source: str) -> str:
    return (
        f"select ts, ticker as symbol, freq, {body} from {source} qualify row_number() over"
        " (partition by ticker, freq, ts order by rev desc) = 1"
    )


def insert(venue: str, kind: Kind, source: str) -> str:
    """The statement that appends the rows of `source`, a registered Arrow table that has the
    kind's columns in their order."""
    return f"insert into {table(venue, kind)} ({columns(kind.columns)}) from {source}"


def delete_keys(venue: str, kind: Kind, source: str) -> str:
    """The statement that removes the rows whose key is in `source`."""
    same = " and ".join(f't."{key}" is not distinct from s."{key}"' for key in kind.key)
    return f"delete from {table(venue, kind)} t using {source} s where {same}"


def delete_within(venue: str, kind: Kind, source: str) -> str:
    """As `delete_keys`, of rows from one ts to another, both included: the parameters."""
    same = " and ".join(f't."{key}" is not distinct from s."{key}"' for key in kind.key)
    name = table(venue, kind)
    return f"delete from {name} t using {source} s where t.ts >= ? and t.ts <= ? and {same}"


def fill(venue: str, kind: Kind, source: str, columns: Iterable[str]) -> str:
    """The statement by which the rows whose key is in `source` take some of its columns. Parameters
    as in `delete_within`."""
    same = " and ".join(f't."{key}" is not distinct from s."{key}"' for key in kind.key)
    taken = ", ".join(f'"{name}" = s."{name}"' for name in columns)
    name = table(venue, kind)
    return f"update {name} t set {taken} from {source} s where t.ts >= ? and t.ts <= ? and {same}"


def move(
    committed: Mapping[str, Committed], marks: Mapping[str, Committed]
) -> Iterator[tuple[str, list[Any]]]:
    """The statements, with their parameters, that bring the topics of `marks` there; `committed`
    is what all topics have now. Those of a venue that all go to one place, as live rows have them,
    are moved by a third of what it takes to move each to its own."""
    fresh = [name for name in marks if name not in committed]
    apart = {name: at for name, at in marks.items() if name in committed}
    for venue in {name.partition(".")[0] for name in apart}:
        names = [name for name in committed if name.startswith(f"{venue}.")]
        places = {apart.get(name) for name in names}
        if len(places) == 1 and (at := places.pop()) is not None:
            yield advance_venue(), [at.epoch, at.position, f"{venue}."]
            apart = {name: at for name, at in apart.items() if name not in names}
    for text, names in ((advance, list(apart)), (enter, fresh)):
        if names:
            values = [x for name in names for x in (name, marks[name].epoch, marks[name].position)]
            yield text(len(names)), values


def advance_venue() -> str:
    """The statement that moves all topics whose names begin alike to one place. Parameters: epoch,
    position, how they begin."""
    return f"update {POSITIONS_TABLE} set epoch = ?, position = ? where starts_with(topic, ?)"


def advance(topics: int) -> str:
    """The statement that moves the positions of that many topics, which have their rows already.
    Parameters: topic, epoch, position of each."""
    return (
        f"update {POSITIONS_TABLE} set epoch = v.epoch, position = v.position"
        f" from {_values(topics)} v(topic, epoch, position)"
        f" where {POSITIONS_TABLE}.topic = v.topic"
    )


def enter(topics: int) -> str:
    """The statement that gives that many topics their first row. Parameters as in `advance`."""
    return f"insert into {POSITIONS_TABLE} select * from {_values(topics)} v(t, e, p)"


def _values(rows: int) -> str:
    one = "(?::varchar, ?::bigint, ?::bigint)"
    return f"(values {', '.join([one] * rows)})"


def select(source: str, of: Sequence[Column], where: str, order: str = "") -> str:
    """Rows of a relation; `where` and `order` are SQL with parameters."""
    return f"select {columns(of)} from {source} where {where} {order}"


def latest(kind: Kind, source: str) -> str:
    """The newest row of each key less ts, ascending by it."""
    keys = ", ".join(f'"{name}"' for name in kind.key if name != "ts")
    if "ts" not in kind.key:
        return select(source, kind.columns, "true", f"order by {keys}")
    return (
        f"select {columns(kind.columns, 't.')} from {source} t"
        f" join (select {keys}, max(ts) as ts from {source} group by all) m using ({keys}, ts)"
        f" qualify row_number() over (partition by {keys} order by t.position desc) = 1"
        f" order by {keys}"
    )


def newest(venue: str, kind: Kind) -> str:
    """The table of what `latest` gives of the rows that went cold; of kinds in NEWEST."""
    return f"bursa_newest_{table(venue, kind)}"


def keep_newest(venue: str, kind: Kind, start_ns: int, end_ns: int) -> list[str]:
    """The statements that add to `newest` what rows of a range have, before they are deleted."""
    names, kept = columns(kind.columns), newest(venue, kind)
    leaving = f"select {names} from {table(venue, kind)} where ts >= {start_ns} and ts < {end_ns}"
    return [
        f"create or replace temp table leaving as {leaving}",
        f"insert into leaving select {names} from {kept}",
        f"delete from {kept}",
        f"insert into {kept} ({names}) {latest(kind, 'leaving')}",
        "drop table leaving",
    ]


def identity(kind: Kind) -> tuple[str, ...]:
    """The columns by which a row that lies in two places is known to be the same. Several rows of
    one instant may share a key, where no revisions tell them apart; not those of two records."""
    return kind.key if "rev" in kind.index else (*kind.key, "position")


def merged(kind: Kind, hot: str, cold: str, where: str) -> str:
    """A relation: all rows of `hot`, and those of `cold` that none of the `hot` ones with `where`
    (over h) replaces."""
    same = " and ".join(f'h."{name}" is not distinct from c."{name}"' for name in identity(kind))
    names = columns(kind.columns)
    return (
        f"(select {names} from {hot} union all select {columns(kind.columns, 'c.')} from {cold} c"
        f" where not exists (select 1 from {hot} h where {where} and {same}))"
    )


def sorted_by(kind: Kind) -> str:
    """The columns by which the rows of a closed day are sorted: whose, when, and as they came."""
    return ", ".join(f'"{name}"' for name in _order(kind, ()))


def packed_by(kind: Kind) -> Sequence[str]:
    """The columns by which the rows of a cold file are sorted: as `sorted_by`, but the two sides of
    books lie apart, as a book is much like the one before it of its own side."""
    return _order(kind, ("board", "side") if "side" in kind.index else ())


def _order(kind: Kind, apart: Sequence[str]) -> Sequence[str]:
    """Names; `apart` stand before the time."""
    first = [kind.columns[0].name, *apart, "ts"]
    rest = [name for name in ("rev", "seq", "position") if name in kind.index]
    return [*first, *rest, *(name for name in kind.key if name not in (*first, *rest))]


def nothing(kind: Kind) -> str:
    """A relation without rows."""
    body = ", ".join(f'null::{TYPES[column.dtype]} as "{column.name}"' for column in kind.columns)
    return f"(select {body} where false)"
