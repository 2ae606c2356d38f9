# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are parameters
"""The tables of the embedded store as SQL text: made from the schema, not written by hand.

A kind's table is `{venue}_{kind}`; beside those stand `bursa_schema` (one row: the version) and
`bursa_positions` (one row a topic: what is committed). No primary keys and no indexes: order of
arrival and the ts bounds of a query do their work. Executes nothing (duckdb.py).
"""

from collections.abc import Iterable, Mapping, Sequence

from bursa.model.errors import Refuse
from bursa.model.schema import Column, Kind, table

TYPES = {
    "time": "BIGINT",
    "int": "BIGINT",
    "float": "DOUBLE",
    "text": "VARCHAR",
    "flag": "BOOLEAN",
    "floats": "DOUBLE[]",
    "ints": "BIGINT[]",
}

SCHEMA_TABLE = "bursa_schema"
POSITIONS_TABLE = "bursa_positions"
OWN_TABLES = (
    f"create table if not exists {SCHEMA_TABLE} (version BIGINT)",
    f"create table if not exists {POSITIONS_TABLE} (topic VARCHAR, epoch BIGINT, position BIGINT)",
)

# Kinds of which the newest row of each key is kept and older ones are replaced.
KEYED = frozenset({"contracts"})

# View -> its columns and the metrics they show; a column that a family lacks is null.
VIEWS: dict[str, dict[str, str | None]] = {
    "metrics_hd": {"value": "hd", "mapo": "hd_mapo", "direction": "hd_direction"},
    "metrics_rsi": {"value": "rsi_14", "mapo": None, "direction": None},
}


def columns(of: Iterable[Column], prefix: str = "") -> str:
    """Quoted names, separated by commas."""
    return ", ".join(f'{prefix}"{column.name}"' for column in of)


def create(venue: str, kind: Kind) -> str:
    """The statement that makes a kind's table."""
    body = ", ".join(f'"{column.name}" {TYPES[column.dtype]}' for column in kind.columns)
    return f"create table {table(venue, kind)} ({body})"


def upgrade(venue: str, kind: Kind, found: Mapping[str, str]) -> list[str]:
    """The statements that bring a table forward in place; `found` is column -> type as it is.

    Columns that the schema no longer has stay and are null in new rows. A column whose type is
    another one is refused: that takes a migration of its own.
    """
    statements = []
    for column in kind.columns:
        wanted = TYPES[column.dtype]
        has = found.get(column.name)
        if has is None:
            statements.append(
                f'alter table {table(venue, kind)} add column "{column.name}" {wanted}'
            )
        elif has != wanted:
            raise Refuse(
                f"{table(venue, kind)}.{column.name} is stored as {has}, not {wanted}",
                "store_schema",
            )
    return statements


def views(venue: str, metrics: Kind) -> list[str]:
    """The views for people who query the store: the newest revision of one metric family."""
    made = []
    for name, shown in VIEWS.items():
        if any(metric is not None and metric not in metrics.index for metric in shown.values()):
            continue
        body = ", ".join(
            f'"{metric}" as "{column}"' if metric else f'cast(null as double) as "{column}"'
            for column, metric in shown.items()
        )
        made.append(
            f"create or replace view {venue}_{name} as select ts, ticker as symbol, freq, {body}"
            f" from {table(venue, metrics)} qualify row_number() over"
            " (partition by ticker, freq, ts order by rev desc) = 1"
        )
    return made


def insert(venue: str, kind: Kind, source: str) -> str:
    """The statement that appends the rows of `source`, a registered Arrow table."""
    names = columns(kind.columns)
    return f"insert into {table(venue, kind)} ({names}) select {names} from {source}"


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
    whose = kind.columns[0].name
    rest = [name for name in ("rev", "seq", "position") if name in kind.index]
    named = [whose, "ts", *rest, *(name for name in kind.key if name not in (whose, "ts", *rest))]
    return ", ".join(f'"{name}"' for name in named)


def nothing(kind: Kind) -> str:
    """A relation without rows."""
    body = ", ".join(f'null::{TYPES[column.dtype]} as "{column.name}"' for column in kind.columns)
    return f"(select {body} where false)"
