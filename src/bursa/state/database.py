"""The file of the state database: opening it, bringing it forward, and what its errors mean.

The SQL toolkit takes half a second to import, so nothing here imports it before the first use; a
start only looks at the version (`check`). An older file is brought forward by the migrations, a
newer one is refused, a damaged one too: what lies here cannot be derived again. Knows no table.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from bursa.model.errors import Refuse, Retry
from bursa.ops.logs import logger

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

# The newest step of migrations/versions/.
HEAD = "0002"
MIGRATIONS = Path(__file__).parent / "migrations"
# How long one transaction waits for another process that has the file.
BUSY_S = 5.0
# A commit is on disk when it returns; readers and the one writer do not wait for each other.
PRAGMAS = ("journal_mode = wal", "synchronous = full", "foreign_keys = on")
_DAMAGED = ("malformed", "not a database", "corrupt")


class Database:
    """One SQLite file, opened when it is first needed; any thread may use it. What asks it raises
    Retry where the file cannot be written or read now, Refuse `state_newer` or `state_damaged`
    where no waiting helps."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log = logger("state").bind(path=str(path))
        self._lock = Lock()
        self._engine: Engine | None = None

    def check(self) -> None:
        """What a start does: an older file is brought forward now, a newer or a damaged one raises
        Refuse. Takes a few milliseconds where there is nothing to do."""
        if self.version() not in (None, HEAD):
            self.open()

    def version(self) -> str | None:
        """The version of the file as it lies there; None where there is none yet."""
        if not self.path.exists() or not self.path.stat().st_size:
            return None
        try:
            with closing(sqlite3.connect(f"file:{self.path}?mode=rw", uri=True)) as file:
                found = file.execute("select name from sqlite_master").fetchall()
                if not found:
                    return None
                (version,) = file.execute("select version_num from alembic_version").fetchone()
        except (sqlite3.DatabaseError, TypeError) as error:
            raise self.named(error) from error
        if not str(version).isdigit() or int(version) > int(HEAD):
            what = f"{self.path} is of version {version}; this program knows up to {HEAD}"
            raise Refuse(f"{what}: run the newer bursa", "state_newer", 503)
        return str(version)

    def open(self) -> "Engine":
        """The engine, open and at the newest version."""
        with self._lock:
            if self._engine is None:
                before = self.version()
                engine = _engine(self.path)
                try:
                    if before != HEAD:
                        self._bring_forward(engine, before)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    def _bring_forward(self, engine: "Engine", before: str | None) -> None:
        from alembic import command
        from alembic.config import Config
        from sqlalchemy.exc import DBAPIError

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        try:
            with engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, HEAD)
        except DBAPIError as error:
            raise self.named(error.orig or error) from error
        if before is not None:
            self._log.info("state database brought forward", before=before, now=HEAD)

    @contextmanager
    def transaction(self) -> Iterator["Connection"]:
        """One transaction that may write: committed at the end and on disk then, or nothing."""
        from sqlalchemy.exc import DBAPIError

        engine = self.open()
        try:
            with engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise self.named(error.orig or error) from error

    def named(self, error: BaseException) -> Exception:
        """An error of the file by who must act."""
        said = str(error)
        if isinstance(error, sqlite3.OperationalError) and not _is_damage(said):
            if "no such table" in said:
                what = f"{self.path} is no state database of bursa ({said})"
                return Refuse(f"{what}: set it aside", "state_damaged", 503)
            return Retry(f"state database: {said}")
        if isinstance(error, sqlite3.DatabaseError | TypeError) and _is_damage(said):
            what = f"{self.path} is damaged ({said})"
            return Refuse(f"{what}: bring back a backup, or set it aside", "state_damaged", 503)
        return error if isinstance(error, Exception) else Retry(f"state database: {said}")

    def close(self) -> None:
        """Let go of the file; a later call opens it again."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None


def _is_damage(said: str) -> bool:
    return any(word in said for word in _DAMAGED)


def _engine(path: Path) -> "Engine":
    from sqlalchemy import create_engine, event

    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb"):
        pass  # made here, so that only its user may read it
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        # Transactions are begun below: the driver's own would commit before each DDL statement.
        connection.isolation_level = None
        for pragma in PRAGMAS:
            connection.execute(f"pragma {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: "Connection") -> None:
        connection.exec_driver_sql("begin immediate")

    return engine
