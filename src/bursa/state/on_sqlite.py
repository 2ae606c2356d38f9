"""The state database as one SQLite file. Imports no toolkit: a start that only looks pays nothing.

A commit is on disk when it returns; who writes waits for others that write, readers do not.
"""

import os
import select
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bursa.model.errors import Refuse, Retry
from bursa.state.engine import COUNTED, SNAPSHOT, Conflict

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

# How long one transaction waits for another process that has the file.
BUSY_S = 5.0
_AGAIN_S = 0.01
PRAGMAS = ("journal_mode = wal", "synchronous = full", "foreign_keys = on")
_DAMAGED = ("malformed", "not a database", "corrupt")
_TAKEN = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


class OnSqlite:
    """engine.Adapter."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path, self.place = path, str(path)

    def version(self) -> str | None:
        """As engine.Adapter."""
        if not self._path.exists() or not self._path.stat().st_size:
            return None
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=rw", uri=True)) as file:
                if not file.execute("select name from sqlite_master").fetchall():
                    return None
                (version,) = file.execute("select version_num from alembic_version").fetchone()
        except (sqlite3.DatabaseError, TypeError) as error:
            raise self.named(error) from error
        return str(version)

    def engine(self) -> "Engine":
        """As engine.Adapter. Makes the file, which its user alone may read."""
        from sqlalchemy import create_engine, event

        with open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "rb"):
            pass
        engine = create_engine(f"sqlite:///{self._path}", connect_args={"timeout": BUSY_S})

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            # Transactions are begun below: the driver's own would commit before each DDL statement.
            connection.isolation_level = None
            for pragma in PRAGMAS:
                _patiently(connection, f"pragma {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: "Connection") -> None:
            reads = SNAPSHOT in connection.get_execution_options()
            connection.exec_driver_sql("begin" if reads else "begin immediate")

        return engine

    def snapshot_options(self) -> dict[str, Any]:
        """As engine.Adapter."""
        return {SNAPSHOT: True}

    def alone(self, connection: "Connection", name: str) -> None:
        """As engine.Adapter. Who may write is alone as it is."""

    def look(self) -> "Look":
        """As engine.Adapter."""
        return Look(self._path)

    def named(self, error: BaseException) -> Exception:
        """As engine.Adapter."""
        said = str(error)
        if isinstance(error, sqlite3.OperationalError) and not _is_damage(said):
            if "no such table" in said:
                what = f"{self.place} is no state database of bursa ({said})"
                return Refuse(f"{what}: set it aside", "state_damaged", 503)
            return Retry(f"state database: {said}")
        if isinstance(error, sqlite3.DatabaseError | TypeError) and _is_damage(said):
            what = f"{self.place} is damaged ({said})"
            return Refuse(f"{what}: bring back a backup, or set it aside", "state_damaged", 503)
        if getattr(error, "sqlite_errorcode", 0) in _TAKEN:
            return Conflict(said)
        return error if isinstance(error, Exception) else Retry(f"state database: {said}")


class Look:
    """engine.Look. Nobody tells of a change to the file: it is looked at every so often."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(
            f"file:{path}?mode=rw", uri=True, timeout=BUSY_S, isolation_level=None
        )

    def number(self) -> int:
        """As engine.Look."""
        return int(self._file.execute(COUNTED).fetchone()[0])

    def wait(self, woken: int, for_s: float) -> None:
        """As engine.Look."""
        select.select([woken], [], [], for_s)

    def close(self) -> None:
        """As engine.Look."""
        self._file.close()


def _patiently(connection: Any, text: str) -> None:
    """The engine does not wait where the file gets its log: two that make it at once."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute(text)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(_AGAIN_S)
        else:
            return


def _is_damage(said: str) -> bool:
    return any(word in said for word in _DAMAGED)
