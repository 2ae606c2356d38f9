"""The state database on a PostgreSQL server that several processes share. Alone knows its driver.

A server that is away answers nothing: connecting, waiting for a free connection and asking whether
one still lives have short limits, and after a failure the server is left alone for a moment, so
that whoever asks hears Retry soon. A statement has a limit on the server, and a longer one here for
a server that stands still.
"""

import select
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bursa.model.errors import Refuse, Retry
from bursa.state.engine import CHANNEL, COUNTED, Conflict

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from sqlalchemy import Connection, Engine

RV = TypeVar("RV")
_SETTING = "accounts.database"

# Limits of one statement, and of waiting for a lock, on the server.
STATEMENT_S, LOCK_S = 10, 5
# A transaction that its process forgot gives back what it holds.
IDLE_S = 10
# How long an answer may take until the server counts as away: of a statement, of "are you there".
ANSWER_S, PING_S = 12.0, 0.9
CONNECT_S, POOL_S = 2, 2.0
POOL, POOL_MORE = 5, 10
# How long a server that could not be reached is left alone.
REST_S = 0.25
_SETTINGS = {
    "statement_timeout": f"{STATEMENT_S}s",
    "lock_timeout": f"{LOCK_S}s",
    "idle_in_transaction_session_timeout": f"{IDLE_S}s",
}
# What a connection notices a line by that went dead without a word.
_LINE = {
    "connect_timeout": CONNECT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 4000,
    "application_name": "bursa",
}
# SQLSTATE: the class, or the whole code, of what waiting helps against.
_AWAY_CLASSES = ("08", "53", "57", "40", "58")
_AWAY = ("55P03", "25006")
_UNIQUE = "23505"
_NO_TABLE, _TABLE_THERE = "42P01", "42P07"
# What strangers are told, who are not to know what is where.
AWAY = "the database of accounts is away"
# A connection that was made just now need not be asked whether it lives.
_NEW = "bursa_new"


class _Connection(psycopg.Connection[Any]):
    """A connection that waits for an answer so long and not for ever."""

    answer_s = ANSWER_S

    def wait(self, gen: "PQGen[RV]", interval: float = 0.1, timeout: float | None = None) -> RV:
        """As psycopg; a connection without an answer is closed, for one may come later."""
        limit_s = self.answer_s if timeout is None else timeout
        began = time.monotonic()
        try:
            return super().wait(gen, interval, limit_s)
        except psycopg.OperationalError:
            if time.monotonic() - began >= limit_s:
                self.close()
            raise

    def ping(self) -> None:
        """Is the server there? Raises psycopg.Error where it is not."""
        self.autocommit, self.answer_s = True, PING_S
        try:
            self.execute("")
        finally:
            self.answer_s = ANSWER_S
            if not self.closed:
                self.autocommit = False


class OnPostgres:
    """engine.Adapter. `url` is postgresql://user:password@host:port/database?sslmode=..., as libpq
    reads it; what it leaves out libpq takes from its own variables and files. Raises Refuse
    `bad_database` where it is no such URL."""

    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            what = "this is no postgresql:// URL that can be read"
            raise Refuse(
                f"accounts.database: {what}", "bad_database", 400, "accounts.database"
            ) from error
        self.place = _place(url, given)
        self._conninfo = _conninfo(given)
        self._rests_until = 0.0

    def connect(self) -> _Connection:
        """A new connection. Raises psycopg.OperationalError; at once, shortly after a failure."""
        if time.monotonic() < self._rests_until:
            raise psycopg.OperationalError("the server could not be reached a moment ago")
        try:
            return _Connection.connect(self._conninfo)
        except psycopg.OperationalError:
            self._rests_until = time.monotonic() + REST_S
            raise

    def version(self) -> str | None:
        """As engine.Adapter."""
        try:
            with self.connect() as connection:
                found = connection.execute("select to_regclass('alembic_version')").fetchone()
                if found is None or found[0] is None:
                    return None
                row = connection.execute("select version_num from alembic_version").fetchone()
                return None if row is None else str(row[0])
        except psycopg.Error as error:
            raise self.named(error) from error

    def engine(self) -> "Engine":
        """As engine.Adapter. Connections are kept, and looked at before each transaction."""
        from sqlalchemy import create_engine, event
        from sqlalchemy.exc import InvalidatePoolError

        engine = create_engine(
            "postgresql+psycopg://",
            creator=self.connect,
            pool_size=POOL,
            max_overflow=POOL_MORE,
            pool_timeout=POOL_S,
        )

        @event.listens_for(engine, "connect")
        def made(_: Any, record: Any) -> None:
            record.info[_NEW] = True

        @event.listens_for(engine, "checkout")
        def checkout(connection: Any, record: Any, _: Any) -> None:
            if record.info.pop(_NEW, False):
                return
            try:
                connection.ping()
            except psycopg.Error as error:
                raise InvalidatePoolError() from error

        return engine

    def snapshot_options(self) -> dict[str, Any]:
        """As engine.Adapter."""
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def alone(self, connection: "Connection", name: str) -> None:
        """As engine.Adapter."""
        connection.exec_driver_sql("select pg_advisory_xact_lock(hashtext(%s))", (name,))

    def look(self) -> "Look":
        """As engine.Adapter."""
        return Look(self.connect())

    def named(self, error: BaseException) -> Exception:
        """As engine.Adapter."""
        if not isinstance(error, psycopg.Error):
            return error if isinstance(error, Exception) else Retry(f"state database: {error}")
        said, code = " ".join(str(error).split()), error.sqlstate or ""
        if code == _UNIQUE:
            return Conflict(error.diag.constraint_name or said)
        if code in (_NO_TABLE, _TABLE_THERE):
            what = f"{self.place} holds other tables than bursa's ({said})"
            return Refuse(f"{what}: give bursa a database of its own", "state_damaged", 503)
        if isinstance(error, psycopg.DataError):
            return Refuse(f"the database cannot keep this ({said})", "bad_value")
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not code
        if lost or code in _AWAY or code.startswith(_AWAY_CLASSES):
            return Retry(f"state database {self.place}: {said}", public=AWAY)
        return error


class Look:
    """engine.Look. The server tells of a change when it is committed."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        connection.autocommit, connection.answer_s = True, PING_S
        # A telling is read with the next answer and says no more than that there is something.
        connection.add_notify_handler(lambda _: None)
        connection.execute(f"listen {CHANNEL}")

    def number(self) -> int:
        """As engine.Look."""
        row = self._connection.execute(COUNTED).fetchone()
        assert row is not None, "a migration made it"
        return int(row[0])

    def wait(self, woken: int, for_s: float) -> None:
        """As engine.Look."""
        select.select([self._connection.fileno(), woken], [], [], for_s)

    def close(self) -> None:
        """As engine.Look."""
        self._connection.close()


def _conninfo(given: Mapping[str, Any]) -> str:
    """Ours, unless the URL says otherwise."""
    options = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
    options = f"{options} {given.get('options') or ''}".strip()
    return make_conninfo("", **{**_LINE, **given, "options": options})


def _place(url: str, given: Mapping[str, Any]) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] or str(given.get("host") or "localhost")
    return f"postgresql://{host}/{given.get('dbname') or ''}"
