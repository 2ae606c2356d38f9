"""The DuckDB engine over one file or none: opening it, shutting it in, and what its errors mean.

Readers take a cursor each; one writer at a time works in transactions. A file that refuses to open
is set aside, never deleted. After a fatal error nobody begins with the engine any more, and the
next writer opens it anew. The only file that imports the driver. Knows no venue and no kind
(duckdb.py).
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import Any

import duckdb

from bursa.model.errors import Refuse, Reject, Retry
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.store import sql

# Classes of reads, by how much they may look at: the rows of one ticker; many tickers or days; all
# there is (exports, digests, people's SQL).
POINT, RANGE, WHOLE = "point", "range", "whole"
# A read that takes longer is told of and counted.
SLOW_S = 5.0
# How long a reopening or a close waits for readers to leave.
READERS_WAIT_S = 10.0

# A log that nothing fills.
_NEVER = "1TB"
_LOGS = (".wal", ".wal.checkpoint", ".wal.recovery")
_DAMAGED = ("corrupt", "replaying wal", "wal does not match", "not a valid duckdb", "enough bytes")
_NOT_DAMAGED = (
    "no space left",
    "too large",
    "permission denied",
    "too many open",
    "cannot allocate",
)
_BROKEN = (duckdb.FatalException, duckdb.InternalException)
# What a healthy engine says of rows that it does not take.
_REFUSED = (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException)
_AWAY = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.InterruptException,
    duckdb.ConnectionException,
)


@dataclass(frozen=True)
class Options:
    """How the engine runs.

    threads         worker threads of the engine
    memory_mb       its buffers; past that it spills into FILE.tmp
    checkpoint_mb   log size at which it is folded into the file. Measured under load on 2 cores: a
                    fold stalls the writer 80-400 ms at 16 MB and 200-600 ms at 64, readers never;
                    a start after a kill takes 50 ms at 16 MB of log, 130 at 64, 470 at 256
    point_s         a read of one ticker's rows that takes longer is ended;
    range_s         one of many tickers or days;
    whole_s         one of everything
    telemetry       counts slow reads and those that were ended
    """

    threads: int = 2
    memory_mb: int = 2048
    checkpoint_mb: int = 64
    point_s: float = 10.0
    range_s: float = 30.0
    whole_s: float = 60.0
    telemetry: Telemetry | None = None

    def seconds(self, limit: str) -> float:
        """How long a read of a class may take."""
        return {POINT: self.point_s, RANGE: self.range_s, WHOLE: self.whole_s}[limit]


@dataclass(frozen=True)
class Bytes:
    """Disk in use. free: bytes inside `file` that later rows will fill before it grows."""

    file: int
    log: int
    free: int


class Engine:
    """One open file, or (path None) an engine in memory alone. `prepare(connection)` is called at
    each opening, before anybody else. Where it cannot be opened now, or another process has it
    open, and `waits`, the next `revive` tries again. Statements may read and write files below
    `folder` and nowhere else; those of people may name none (sql.py)."""

    def __init__(
        self,
        path: Path | None,
        options: Options,
        prepare: Callable[[Any], None],
        waits: bool = False,
        folder: Path | None = None,
    ) -> None:
        for sign in "?\\":  # the engine would open another file
            if path is not None and sign in str(path):
                told = f"{path}: the store cannot lie in a folder with {sign} in its name"
                raise Refuse(told, "bad_folder", parameter="data")
        self.set_aside: list[Path] = []
        self._path, self._options, self._prepare = path, options, prepare
        self._logs = [f"{path}{suffix}" for suffix in _LOGS]
        self._folder = folder
        self._log = logger("store").bind(path=str(path or "memory"))
        self._gate = Condition()
        self._readers = 0
        self._ready = False
        self.stands = False
        self._connection: Any = None
        self._waits = self._unopened = waits
        try:
            self._open_or_set_aside()
        except Retry as away:
            if not waits:
                raise
            self._log.warning("store cannot be opened yet", why=str(away))

    @property
    def opened(self) -> bool:
        """It was open once."""
        return not self._unopened

    def _open_or_set_aside(self) -> None:
        """Open the file. Where it refuses, first its log goes aside, so that it opens as of its
        last checkpoint; where that does not help, the file goes too, and an empty one begins."""
        for suffixes in (_LOGS, ("", *_LOGS), ()):
            try:
                self._open()
                return
            except duckdb.Error as error:
                if not (suffixes and _is_damage(error)):
                    raise self._named(error) from error
                self._put_aside(suffixes, str(error))

    def _open(self) -> None:
        connection = _connect(self._path, self._options, self._folder)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        with self._gate:
            self._connection, self._ready, self._unopened = connection, True, False
            self.stands = False

    def _put_aside(self, suffixes: Sequence[str], why: str) -> None:
        if self._path is None:
            return
        name = self._path.name
        nth = 1 + len(list(self._path.parent.glob(f"{name}.aside-*")))
        for suffix in suffixes:
            old = self._path.with_name(name + suffix)
            if old.exists():
                new = self._path.with_name(f"{name}.aside-{nth}{suffix}")
                old.rename(new)
                self.set_aside.append(new)
                self._log.error("store refuses to open: set aside", file=str(new), why=why)

    @contextmanager
    def reading(
        self,
        limit: str = POINT,
        what: str = "",
        seconds: float | None = None,
        slow_s: float | None = None,
    ) -> Iterator[Any]:
        """A cursor of one's own for reading, each of whose queries ends after the time of its
        class; or after `seconds`, where it takes long by its nature: it is slow then past half of
        them, or past `slow_s`. `what` is read: told where it is slow. Engine errors leave as Retry
        where the engine is away, as themselves where they are bugs."""
        with self._gate:
            if not self._ready:
                raise Retry("store: not open")
            cursor = self._connection.cursor()
            self._readers += 1
        began = time.monotonic()
        try:
            limit_ms = int((seconds or self._options.seconds(limit)) * 1000)
            cursor.execute(f"set max_execution_time = {limit_ms}")
            yield cursor
        except duckdb.Error as error:
            if isinstance(error, duckdb.InterruptException):
                self._ended(limit, what)
            raise self._named(error) from error
        finally:
            cursor.close()
            with self._gate:
                self._readers -= 1
                self._gate.notify_all()
            took = time.monotonic() - began
            patience = SLOW_S if seconds is None else seconds / 2
            if took >= (patience if slow_s is None else slow_s):
                self._slow(took, limit, what)

    def _slow(self, seconds: float, limit: str, what: str) -> None:
        self._log.warning("slow read", what=what, limit=limit, seconds=round(seconds, 1))
        if self._options.telemetry is not None:
            self._options.telemetry.store_slow.labels(limit).inc()

    def _ended(self, limit: str, what: str) -> None:
        self._log.warning("read took too long: ended", what=what, limit=limit)
        if self._options.telemetry is not None:
            self._options.telemetry.store_timeout.labels(limit).inc()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """The writer's connection in a transaction that commits at the end, or leaves nothing. One
        at a time: the caller holds a lock. Errors as in `reading`; where it is Retry, whether the
        commit happened is known after the next `revive`. Reject where the engine is there and does
        not take the rows."""
        connection = self._connection
        try:
            connection.execute("begin")
            yield connection
            connection.execute("commit")
        except BaseException as error:
            with suppress(duckdb.Error):
                connection.execute("rollback")
            if isinstance(error, _REFUSED):
                raise Reject("refused", str(error)) from error
            if isinstance(error, duckdb.Error):
                raise self._named(error) from error
            raise

    def revive(self) -> None:
        """Before a write: after a fatal error open anew, which calls `prepare` again. Retry while
        readers still hold the broken engine, or once closed."""
        with self._gate:
            if self._ready:
                return
            if self._connection is None and not self._unopened:
                raise Retry("store: not open")
            if not self._gate.wait_for(lambda: self._readers == 0, READERS_WAIT_S):
                raise Retry("store: readers hold the broken engine")
        self._log.warning("store: opening anew")
        if self._connection is not None:
            with suppress(duckdb.Error):
                self._connection.close()
        self._open_or_set_aside()

    def stand(self) -> None:
        """Fold the log into the file, and then no more until `leave`, a close or a new opening:
        `stands` says whether that is so. Nobody writes meanwhile; readers do not matter."""
        try:
            self._connection.execute(f"set global checkpoint_threshold = '{_NEVER}'")
            self._connection.execute("checkpoint")
        except duckdb.Error as error:
            self.leave()
            raise self._named(error) from error
        self.stands = True

    def leave(self) -> None:
        """Fold as the options say from now on."""
        self.stands = False
        with suppress(duckdb.Error):
            mb = self._options.checkpoint_mb
            self._connection.execute(f"set global checkpoint_threshold = '{mb}MB'")

    def close(self) -> None:
        """Fold the log into the file and close; waits for readers. The writer must be done."""
        self.stands = False
        with self._gate:
            was_ready, self._ready, self._unopened = self._ready, False, False
            connection, self._connection = self._connection, None
            self._gate.wait_for(lambda: self._readers == 0, READERS_WAIT_S)
        if connection is None:
            return
        try:
            if was_ready:
                connection.execute("checkpoint")
        except duckdb.Error as error:
            self._log.error("store: no checkpoint at close", why=str(error))
        finally:
            with suppress(duckdb.Error):
                connection.close()

    def bytes(self) -> Bytes:
        """Disk in use now."""
        with self.reading() as cursor:
            block, free = cursor.execute(
                "select block_size, free_blocks from pragma_database_size()"
            ).fetchone()
        size = self._path.stat().st_size if self._path else 0
        return Bytes(size, self.log_bytes(), int(block) * int(free))

    def log_bytes(self) -> int:
        """What is committed and not folded into the file yet; it shrinks when it is folded."""
        if self._path is None:
            return 0
        held = 0
        for log in self._logs:
            with suppress(FileNotFoundError):
                held += os.stat(log).st_size
        return held

    def select(self, text: str, limits: sql.Limits, views: sql.Views | None = None) -> sql.Answer:
        """One read-only SELECT of a person."""
        with self.reading(WHOLE, "sql", limits.time_s + 1, SLOW_S) as cursor:
            try:
                return _select(cursor, text, limits, views)
            except Refuse as refused:
                if refused.code == "too_slow":
                    self._ended(WHOLE, "sql")
                raise

    def _named(self, error: duckdb.Error) -> Exception:
        """The error by who must act: Retry where the engine is away, itself where it is a bug."""
        said = str(error)
        if isinstance(error, _BROKEN):
            self._log.error("store: engine broke", why=said)
            with self._gate:
                self._ready = False
            return Retry(f"store: engine broke: {said}")
        if "could not set lock" in said.lower():
            held = f"{self._path} is held by another process: {said}"
            return Retry(held) if self._waits else Refuse(held, "folder_held", 503)
        if _is_damage(error) and ".parquet" in said:
            return Retry(f"store: a cold file is damaged: {said}")
        if _is_damage(error):
            self._log.error("store: file is damaged", why=said)
            return Retry(f"store: file is damaged: {said}")
        away = isinstance(error, _AWAY) or "failed to commit" in said.lower()
        return Retry(f"store: {said}") if away else error


def select_offline(
    path: Path,
    text: str,
    limits: sql.Limits,
    folder: Path | None = None,
    views: Callable[[Any], sql.Views] | None = None,
) -> sql.Answer:
    """`Engine.select` on a file that no process holds; its rows and its log stay as they are.
    `views` makes of a connection what `Engine.select` is given."""
    try:
        connection = _connect(path, Options(), folder, read_only=True)
    except duckdb.Error as error:
        raise Refuse(f"{path} cannot be read: {error}", "store_damaged", 503) from error
    try:
        return _select(connection, text, limits, views and views(connection))
    except _BROKEN as error:
        raise Refuse(f"{path} cannot be read: {error}", "store_damaged", 503) from error
    finally:
        connection.close()


def _select(
    cursor: Any, text: str, limits: sql.Limits, views: sql.Views | None = None
) -> sql.Answer:
    try:
        return sql.select(cursor, text, limits, views)
    except duckdb.InterruptException as error:
        raise Refuse(
            f"the query took longer than {limits.time_s:g} s: ask for less", "too_slow"
        ) from error
    except duckdb.OutOfMemoryException as error:
        raise Refuse(f"the query needs too much memory: {error}", "too_large") from error
    except _BROKEN:
        raise
    except duckdb.Error as error:
        raise Refuse(str(error), "bad_query") from error


def _is_damage(error: duckdb.Error) -> bool:
    said = str(error).lower()
    return any(word in said for word in _DAMAGED) and not any(word in said for word in _NOT_DAMAGED)


def _connect(
    path: Path | None, options: Options, folder: Path | None, read_only: bool = False
) -> Any:
    """An engine that opens no file but its own and those below `folder`, no extension, no Python
    object; and no way to change that."""
    config = {
        "threads": options.threads,
        "memory_limit": f"{options.memory_mb}MB",
        "checkpoint_threshold": f"{options.checkpoint_mb}MB",
        "python_enable_replacements": "false",
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_persistent_secrets": "false",
        "allowed_configs": ["max_execution_time", "checkpoint_threshold"],
    }
    connection = duckdb.connect(str(path or ":memory:"), read_only=read_only, config=config)
    # A file never changes under its name.
    connection.execute("set global parquet_metadata_cache = true")
    # Shut in that order: a folder cannot be named afterwards, nor anything once it is locked.
    if folder is not None:
        named = str(folder.resolve()).replace("'", "''")
        connection.execute(f"set allowed_directories = ['{named}']")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection
