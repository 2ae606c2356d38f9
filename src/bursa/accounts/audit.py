"""The audit: who did what to whom, what was before and after, for six months and a file a month.

A change and its record are one transaction (`within`). What has no transaction, a failed sign-in, a
refusal, is told (`tell`): it goes to a file first (audit_ahead.py), and a thread brings it to the
database, at once or when that is back. The same thread makes the months' tables ahead and puts old
months into files (audit_months.py).
"""

import json
import re
import secrets
import threading
from collections import deque
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from bursa.accounts.audit_ahead import Ahead
from bursa.accounts.audit_months import AHEAD_MONTHS, settle
from bursa.accounts.audit_tables import Chosen, Month, Place, Record, line_of, make, put, read
from bursa.accounts.event import Event
from bursa.model.errors import BursaError, Refuse
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.ports import Clock
from bursa.state.database import Database

__all__ = ["Audit", "Chosen", "Event", "Place", "Record"]

FOLDER = "audit"
# Records that wait in memory where the file does not take them.
HELD_MAX = 10_000
# Letters of one text: what is told may be an address that anybody typed.
TEXT_MAX, CHANGE_MAX = 400, 100_000
RETRY_S, SETTLE_AGAIN_S = 1.0, 60.0
_KEY = re.compile(r"idx_live_[0-9A-Za-z]{8,}")
_SECRET = re.compile(r"password|secret|token|hash|cookie", re.IGNORECASE)
UNTOLD = "(not told)"
# What the database says of a value that it cannot keep (state/engine.py).
UNKEPT = "bad_value"


class Audit:
    """One process's way to the audit. `within` and `tell` are for any thread.

    folder  where the files lie; None: none is written, `tell` goes to the database at once and
            raises as that does (a verb beside a running server)
    """

    def __init__(
        self, database: Database, clock: Clock, telemetry: Telemetry, folder: Path | None
    ) -> None:
        self._database, self._clock, self._telemetry = database, clock, telemetry
        self.folder = folder
        self._ahead: Ahead | None = None
        self._read = 0
        self._held: deque[Record] = deque()
        self._ready: frozenset[Month] = frozenset()
        self._settled: Month | None = None
        self._settle_from_ns = 0
        self._names, self._boot = count(), secrets.token_hex(6)
        self._woken, self._ended = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._log = logger("audit")

    # -- keeping -----------------------------------------------------------------------------------

    def within(self, connection: Connection, event: Event) -> None:
        """Keep an event in the transaction that does what it tells of: both are there, or none."""
        self._put(connection, [self._record(event)])

    def tell(self, event: Event) -> None:
        """Keep an event that has no transaction. It outlives a kill of the process when this
        returns, and a loss of power some milliseconds later; it is in the database soon, or when
        that is back. Does not wait for the database."""
        record = self._record(event)
        if self.folder is None:
            with self._database.transaction() as connection:
                self._put(connection, [record])
            return
        try:
            self._file().put(record)
        except OSError as error:
            self._hold(record, error)
        self._woken.set()

    def _hold(self, record: Record, error: OSError) -> None:
        if len(self._held) >= HELD_MAX:
            self._telemetry.audit_lost.inc()
            self._log.error("an audit record is lost", error=str(error), act=record.act)
            return
        self._held.append(record)
        self._log.error("the audit's file takes nothing: records wait in memory", error=str(error))

    def _file(self) -> Ahead:
        if self._ahead is None:
            assert self.folder is not None
            self._ahead = Ahead(self.folder)
        return self._ahead

    def _record(self, event: Event) -> Record:
        return Record(
            f"{self._boot}{next(self._names):08x}",
            event.at_ns,
            _text(event.actor),
            event.actor_role,
            _text(event.act),
            _text(event.target),
            _json(event.before),
            _json(event.after),
            _text(event.address),
            _text(event.request_id),
            event.ok,
        )

    def _put(self, connection: Connection, records: list[Record]) -> None:
        for month in sorted({Month.of(record.at_ns) for record in records}):
            if month not in self._ready:
                make(connection, month)
        put(connection, records)

    # -- reading -----------------------------------------------------------------------------------

    def read(self, chosen: Chosen, after: Place | None = None, limit: int = 100) -> list[Record]:
        """Records of the database, newest first, those behind a place; at most `limit`. Older
        months lie in files (audit_months.py). Raises as Database."""
        with self._database.snapshot() as connection:
            return read(connection, chosen, after, limit)

    # -- the thread --------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring what was told to the database, from now on and what an earlier run left too."""
        assert self.folder is not None, "without files there is nothing to bring"
        self._file()
        self._woken.set()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Bring the rest to the database, if it takes it now, and end. What it does not take is in
        the file for the next start."""
        self._ended.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._held:
            self._telemetry.audit_lost.inc(len(self._held))
            self._log.error("audit records are lost: neither disk nor database took them",
                            records=len(self._held))  # fmt: skip
            self._held.clear()
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _run(self) -> None:
        away = False
        while True:
            self._woken.wait(RETRY_S)  # a month may begin while nothing happens
            self._woken.clear()
            ended = self._ended.is_set()
            try:
                self.turn()
                away = False
            except (BursaError, OSError) as error:
                if not away:
                    self._log.warning("the audit waits in its file", error=str(error))
                away = True
            if ended:
                return
            if away:
                self._ended.wait(RETRY_S)

    def bring(self) -> None:
        """Bring what waits to the database. Raises as Database, OSError where the disk fails; what
        was not brought goes on waiting."""
        file = self._file()
        if file.size:
            file.sync()
        self._held_to(file)
        self._telemetry.audit_waiting.set(file.size - self._read)
        while True:
            part = file.read(self._read)
            if part.upto == self._read:
                break
            self._store(file, part.records)
            self._telemetry.audit_torn.inc(part.torn)
            self._read = part.upto
            self._telemetry.audit_waiting.set(file.size - self._read)
        if file.empty(self._read):
            self._read = 0
            self._telemetry.audit_waiting.set(0)

    def _held_to(self, file: Ahead) -> None:
        """What memory holds goes to the file, or, where that takes nothing yet, to the database."""
        while self._held:
            try:
                file.put(self._held[0])
            except OSError:
                self._store(file, [self._held[0]])
            self._held.popleft()

    def _store(self, file: Ahead, records: list[Record]) -> None:
        """Bring records to the database. One that it will never take holds up no others: it is set
        aside, and counted as a torn one."""
        try:
            with self._database.transaction() as connection:
                self._put(connection, records)
        except Refuse as refused:
            if refused.code != UNKEPT:
                raise
            if len(records) > 1:
                for record in records:
                    self._store(file, [record])
                return
            self._log.error("the database cannot keep an audit record", error=str(refused))
            self._telemetry.audit_torn.inc(file.set_aside(line_of(records[0])))

    def turn(self) -> None:
        """What the thread does each time: `bring`, and `settle` where a month has begun."""
        self.bring()
        now_ns = self._clock.now_ns()
        if Month.of(now_ns) != self._settled and now_ns >= self._settle_from_ns:
            self._settle_from_ns = now_ns + int(SETTLE_AGAIN_S * 1e9)
            self.settle()

    def settle(self) -> None:
        """Make the tables of the months ahead, and put those of old ones into files. Raises as
        Database, OSError where the disk fails."""
        assert self.folder is not None
        now_ns = self._clock.now_ns()
        month = Month.of(now_ns)
        self._ready = frozenset()
        done = settle(self._database, self.folder, month, now_ns)
        self._ready = frozenset(month.plus(ahead) for ahead in range(AHEAD_MONTHS + 1))
        if done:
            self._settled = month


def _text(given: str) -> str:
    """Text as it is kept: not endless, and nothing that a database refuses or a terminal obeys."""
    cleaned = given.encode("utf-8", "replace").decode()
    if not cleaned.isprintable():
        odd = "\N{REPLACEMENT CHARACTER}"
        cleaned = "".join(one if one.isprintable() else odd for one in cleaned[:TEXT_MAX])
    return cleaned if len(cleaned) <= TEXT_MAX else cleaned[: TEXT_MAX - 1] + "…"


def _json(change: Mapping[str, Any] | None) -> str | None:
    """What changed as JSON; null where nothing is said. Secrets never come so far; if one did, it
    would not be written."""
    if not change:
        return None
    text = json.dumps(_told(change), ensure_ascii=False, default=str, separators=(",", ":"))
    if len(text) > CHANGE_MAX:
        text = json.dumps({"cut": text[:CHANGE_MAX]}, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def _told(value: Any) -> Any:
    if isinstance(value, Mapping):
        hidden = {key for key in value if _SECRET.search(str(key))}
        return {str(k): UNTOLD if k in hidden else _told(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_told(one) for one in value]
    if isinstance(value, str):
        return _KEY.sub(UNTOLD, value.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    return value
