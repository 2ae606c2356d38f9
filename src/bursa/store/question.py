"""A person's SELECT over a data folder, whether or not a bursa runs on it.

The process that holds the folder answers over its control socket; where nobody holds it, the
store's file is read here, and the folder is held meanwhile. What is allowed: sql.py.
"""

from pathlib import Path
from typing import Any, Protocol

from bursa.model.errors import Refuse
from bursa.store import sql
from bursa.store.engine import select_offline
from bursa.store.folder import DataFolder, Handler, ask

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
        return select_offline(file, text, limits)
