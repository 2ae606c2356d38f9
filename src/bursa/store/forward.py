"""Bring the tables of a store's file forward to this program's schema, in place, at each opening.

Absent tables are created, absent columns added, views made anew; no row is changed. What stands in
the file beside that stays: columns that no kind has any more, tables of venues that are not run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bursa.model.errors import Refuse
from bursa.model.schema import SCHEMA_VERSION, Kind, table
from bursa.store import coverage, floors, tables

Columns = Mapping[str, Mapping[str, str]]


def bring(connection: Any, venues: Sequence[str], kinds: Sequence[Kind]) -> frozenset[str]:
    """Create what is missing, add new columns; Refuse `store_schema` for a file of a newer program.
    `venues` by name. Answers with the tables whose columns are now those of the schema in its
    order, as rows are inserted into them; one that was brought forward has new ones at its end."""
    for statement in (*tables.OWN_TABLES, *floors.STATEMENTS, *coverage.statements(venues)):
        connection.execute(statement)
    (version,) = connection.execute(f"select max(version) from {tables.SCHEMA_TABLE}").fetchone()  # noqa: S608 -- our own table's name
    if version is not None and version > SCHEMA_VERSION:
        raise Refuse(
            f"the store's schema is version {version}, this program knows"
            f" {SCHEMA_VERSION}: it was written by a newer bursa",
            "store_schema",
        )
    found = _found(connection)
    statements = _missing(found, venues, kinds)
    if version != SCHEMA_VERSION:
        statements.append(f"delete from {tables.SCHEMA_TABLE}")  # noqa: S608 -- likewise
        statements.append(f"insert into {tables.SCHEMA_TABLE} values ({SCHEMA_VERSION})")  # noqa: S608 -- likewise
    if statements:
        connection.execute("begin; " + "; ".join(statements) + "; commit")
    return _in_order(found, venues, kinds)


def _in_order(found: Columns, venues: Sequence[str], kinds: Sequence[Kind]) -> frozenset[str]:
    """By what was there before: what lacked came behind it, in the schema's order."""
    names = set()
    for venue in venues:
        for kind in kinds:
            wanted = [column.name for column in kind.columns]
            stored = found.get(table(venue, kind), {})
            if [*stored, *(name for name in wanted if name not in stored)] == wanted:
                names.add(table(venue, kind))
    return frozenset(names)


def _found(connection: Any) -> dict[str, dict[str, str]]:
    """Table -> column -> type, as it is stored, in its order."""
    found: dict[str, dict[str, str]] = {}
    for name, column, stored_as in connection.execute(
        "select table_name, column_name, data_type from duckdb_columns() where not internal"
        " order by table_name, column_index"
    ).fetchall():
        found.setdefault(name, {})[column] = stored_as
    return found


def _missing(found: Columns, venues: Sequence[str], kinds: Sequence[Kind]) -> list[str]:
    """The statements that create absent tables, add absent columns and then the views."""
    statements = []
    for venue in venues:
        for kind in kinds:
            for name in tables.of_kind(venue, kind):
                stored = found.get(name)
                if stored is None:
                    statements.append(tables.create(name, kind))
                else:
                    statements += tables.upgrade(name, kind, stored)
    metrics = [kind for kind in kinds if kind.name == "metrics"]
    if statements and metrics:
        for venue in venues:
            source = table(venue, metrics[0])
            statements += [
                f"create or replace view {name} as {select(source)}"
                for name, select in tables.views(venue, metrics[0]).items()
            ]
    return statements
