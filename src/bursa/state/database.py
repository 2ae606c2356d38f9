"""The state database: opening it, bringing it forward, its transactions, and what its errors mean.

It is a file of the data folder (on_sqlite.py) or lies on a server (on_postgres.py); one chain of
migrations makes the same tables on both.
The SQL toolkit takes half a second to import, so nothing here imports it before the first use; a
start only looks at the version (`check`). Older tables are brought forward by the migrations, newer
ones are refused, damaged ones too: what lies here cannot be derived again. Knows no table.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from bursa.model.errors import Refuse, Retry
from bursa.ops.logs import logger
from bursa.state.engine import Adapter, Look
from bursa.state.on_sqlite import OnSqlite

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

# The newest step of migrations/versions/.
HEAD = "0004"
MIGRATIONS = Path(__file__).parent / "migrations"
# What a transaction leaves in its connection that changed who may what (changes.py).
BUMPED = "bursa_bumped"
_MIGRATING = "bursa migrations"
# What strangers are told, who are not to know what is where.
BUSY = "the database of accounts is busy"


class Database:
    """One database, opened when it is first needed; any thread may use it. What asks it raises
    Retry where it cannot be written or read now, Conflict where what may be there once is there
    already, Refuse `state_newer` or `state_damaged` where no waiting helps.

    where      path of a SQLite file, or a postgresql:// URL
    dialect    sqlite or postgresql
    place      where it lies, as people are told; bears no password
    listeners  called, in the thread that committed, after a commit that changed who may what
    """

    def __init__(self, where: Path | str) -> None:
        self._on = _adapter(where)
        self.dialect, self.place = self._on.dialect, self._on.place
        self.listeners: list[Callable[[], None]] = []
        self._log = logger("state").bind(place=self.place)
        self._lock = Lock()
        self._engine: Engine | None = None

    def check(self) -> None:
        """What a start does: older tables are brought forward now, newer or damaged ones raise
        Refuse. Takes a few milliseconds where there is nothing to do. A file that is not there is
        made when it is first needed, tables on a server now."""
        if self.dialect != "sqlite" or self.version() not in (None, HEAD):
            self.open()

    def version(self) -> str | None:
        """The version of the tables as they lie there; None where there are none yet."""
        return self._judged(self._on.version())

    def _judged(self, version: str | None) -> str | None:
        if version is not None and (not version.isdigit() or int(version) > int(HEAD)):
            what = f"{self.place} is of version {version}; this program knows up to {HEAD}"
            raise Refuse(f"{what}: run the newer bursa", "state_newer", 503)
        return version

    def open(self) -> "Engine":
        """The engine, open and at the newest version."""
        with self._lock:
            if self._engine is None:
                before = self.version()
                engine = self._on.engine()
                try:
                    if before != HEAD:
                        self._bring_forward(engine)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    def _bring_forward(self, engine: "Engine") -> None:
        """All steps in one transaction, and of several processes one does them."""
        from alembic import command
        from alembic.config import Config
        from alembic.migration import MigrationContext

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        with self._errors(), engine.begin() as connection:
            self._on.alone(connection, _MIGRATING)
            before = MigrationContext.configure(connection).get_current_revision()
            if self._judged(before) == HEAD:
                return
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)
        if before is not None:
            self._log.info("state database brought forward", before=before, now=HEAD)

    @contextmanager
    def transaction(self, alone: str = "") -> Iterator["Connection"]:
        """One transaction that may write: committed at the end and on disk then, or nothing. One
        that is `alone` under a name waits for others of that name; those of a file all do."""
        engine, bumped = self.open(), False
        with self._errors(), engine.begin() as connection:
            connection.info.pop(BUMPED, None)
            if alone:
                self._on.alone(connection, alone)
            yield connection
            bumped = bool(connection.info.pop(BUMPED, False))
        if bumped:
            for listener in self.listeners:
                listener()

    @contextmanager
    def snapshot(self) -> Iterator["Connection"]:
        """All as of one moment, to read; waits for nobody who writes."""
        engine = self.open()
        with self._errors(), engine.connect() as connection:
            connection = connection.execution_options(**self._on.snapshot_options())
            with connection.begin():
                yield connection

    def look(self) -> Look:
        """A connection that sees changes of others (changes.py), of a database that is open."""
        self.open()
        return self._on.look()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.exc import TimeoutError as NoConnection

        try:
            yield
        except DBAPIError as error:
            raise self.named(error.orig or error) from error
        except NoConnection as error:
            what = "all connections are in use"
            raise Retry(f"state database {self.place}: {what}", public=BUSY) from error

    def named(self, error: BaseException) -> Exception:
        """An error of the driver by who must act."""
        return self._on.named(error)

    def close(self) -> None:
        """Let go of it; a later call opens it again."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None


def _adapter(where: Path | str) -> Adapter:
    if isinstance(where, Path):
        return OnSqlite(where)
    try:
        from bursa.state.on_postgres import OnPostgres
    except ModuleNotFoundError as error:
        what = f"accounts.database: {error.name} is not installed: pip install 'bursa[postgres]'"
        raise Refuse(what, "no_driver", parameter="accounts.database") from None
    return OnPostgres(where)
