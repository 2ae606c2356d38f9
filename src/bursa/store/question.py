"""A person's SELECT over a data folder, whether or not a bursa runs on it.

The process that holds the folder answers over its control socket; where nobody holds it, the
store's file and the cold files are read here, and the folder is held meanwhile. What is allowed:
sql.py.
"""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bursa.model.errors import Refuse
from bursa.model.schema import MARKET_KINDS, Column, Kind, metrics_kind, table
from bursa.model.venue import VENUES
from bursa.store import sql, tables
from bursa.store.engine import select_offline
from bursa.store.floors import COLD_KINDS, FLOORS_TABLE, Floors
from bursa.store.folder import COLD_FOLDER, DataFolder, Handler, ask
from bursa.store.parquet import ColdStore
from bursa.store.sides import Sides

VERB = "sql"
# What the answering process may take beyond the query itself.
SPARE_S = 5.0


class Answering(Protocol):
    """A store that answers people."""

    def select(self, text: str, limits: sql.Limits) -> sql.Answer:
        """One read-only SELECT."""


def handlers(store: Answering) -> dict[str, Handler]:
    """What the holder of a folder serves (folder.py)."""

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        limits = sql.Limits(int(payload["rows_max"]), float(payload["time_s"]))
        return store.select(str(payload["query"]), limits).to_json()

    return {VERB: answer}


def query(data: Path, file: Path, text: str, limits: sql.Limits) -> sql.Answer:
    """Ask the holder of `data`, or else the store's `file` in it. Raises Refuse with the reason
    where the query is not allowed, too long or too wide, or nothing was stored yet; Retry where the
    holder does not answer."""
    payload = {"query": text, "rows_max": limits.rows_max, "time_s": limits.time_s}
    try:
        return sql.from_json(ask(data, VERB, payload, limits.time_s + SPARE_S))
    except Refuse as refused:
        if refused.code != "not_held":
            raise
    if not file.exists():
        raise Refuse(f"{file} does not exist: nothing was stored here yet", "no_data", 404)
    with DataFolder(data):
        folder = data / COLD_FOLDER
        if not folder.is_dir():
            return select_offline(file, text, limits)
        return select_offline(file, text, limits, folder, partial(_views, folder))


def _views(folder: Path, connection: Any) -> sql.Views:
    """What stands for the tables that lie cold in part, of a store's file that is open for
    reading."""
    found: dict[str, dict[str, str]] = {}
    for name, column, stored_as in connection.execute(
        "select table_name, column_name, data_type from duckdb_columns() where not internal"
    ).fetchall():
        found.setdefault(name, {})[column] = stored_as

    def views(names: Collection[str], within: str) -> dict[str, str]:
        made: dict[str, str] = {}
        for venue in VENUES.values():
            kinds = {
                kind: _stored(kind, found[f"{venue.name}_{kind}"])
                for kind in COLD_KINDS
                if f"{venue.name}_{kind}" in found
            }
            ours = {table(venue.name, kind) for kind in kinds.values()}
            ours |= {f"{venue.name}_{view}" for view in tables.VIEWS}
            if FLOORS_TABLE not in found or not ours & set(names):
                continue
            floors = Floors({venue.name: venue}, kinds, None)
            floors.read(connection, {})
            cold = ColdStore(folder, [venue], list(kinds.values()))
            try:
                made |= Sides(kinds, floors, cold).views([venue.name], names, within)
            finally:
                cold.close()
        return made

    return views


def _stored(name: str, has: dict[str, str]) -> Kind:
    """A kind with the columns that its table has in a file."""
    of = {kind.name: kind for kind in MARKET_KINDS}.get(name) or metrics_kind(())
    known = {stored_as: dtype for dtype, stored_as in tables.TYPES.items()}
    columns = tuple(Column(column, known[stored_as], "") for column, stored_as in has.items())
    return Kind(name, columns, of.key)
