"""An insert that knows what to do with a row that is there: of the engine that it is run on."""

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Insert = sqlite.Insert | postgresql.Insert


def insert_into(connection: Connection, table: Table) -> Insert:
    """`insert into table`, with `on_conflict_do_nothing` and `on_conflict_do_update`, which both
    engines take alike."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
