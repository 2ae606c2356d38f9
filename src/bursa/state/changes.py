"""Who may what changed: counting it where it is written, hearing of it where it is known by heart.

Each transaction that changes it takes the next number (`bump`), which holds the row of the numbers
until it is committed: numbers come in the order of commits. A `Watch` sees the newest number and
calls who reads what is newer. It is woken by this process's own commits and, on PostgreSQL, by the
server's telling of others'; it looks by itself as well, every quarter of a second, which is how it
sees that a connection is lost, and on SQLite what another process did.
"""

import socket
import time
from collections.abc import Callable
from contextlib import closing, suppress
from random import Random
from threading import Event, Thread
from typing import TYPE_CHECKING

from bursa.model.errors import BursaError, Retry
from bursa.ops.back_off import BackOff
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.state.database import BUMPED, Database
from bursa.state.engine import CHANNEL, Look

if TYPE_CHECKING:
    from sqlalchemy import Connection

POLL_S = 0.25
# Waits before a lost connection is tried again.
WAITS_S = (0.1, 0.2, 0.4, 0.8)
STOP_S = 5.0


def bump(connection: "Connection") -> int:
    """The number of a change of who may what, for the rows that a transaction writes; the first
    statement of it, so that it reads what those before it left. Others hear of it at the commit."""
    from sqlalchemy import text, update

    from bursa.state.account_tables import VERSIONS

    n = connection.execute(
        update(VERSIONS)
        .where(VERSIONS.c.name == "accounts")
        .values(n=VERSIONS.c.n + 1)
        .returning(VERSIONS.c.n)
    ).scalar_one()
    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_notify(:channel, '')"), {"channel": CHANNEL})
    connection.info[BUMPED] = True
    return int(n)


class Watch:
    """A thread that calls `woken` when who may what has changed, at its first look, and whenever a
    lost connection is back. `woken` may raise; it is called again then.

    connected   does it see changes now?
    reconnects  how often a lost connection came back
    """

    def __init__(
        self,
        database: Database,
        woken: Callable[[], None],
        *,
        poll_s: float = POLL_S,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._database, self._woken, self._poll_s = database, woken, poll_s
        self._log = logger("state").bind(place=database.place)
        self._stopping = Event()
        self._back_off = BackOff(Random(), WAITS_S)
        # Made at the start: who is never started has nothing to close.
        self._near: socket.socket | None = None
        self._far: socket.socket | None = None
        self._thread = Thread(target=self._run, name="accounts-watch", daemon=True)
        self._seen_s = time.monotonic()
        self.connected, self.reconnects = False, 0
        self._told = False
        self._telemetry = telemetry or Telemetry()
        self._telemetry.accounts_age.set_function(self.age_s)

    def start(self) -> None:
        """Begin to watch."""
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._database.listeners.append(self.wake)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; a call of `woken` that is under way is waited for."""
        self._stopping.set()
        with suppress(ValueError):
            self._database.listeners.remove(self.wake)
        self.wake()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        for end in (self._near, self._far):
            if end is not None and not self._thread.is_alive():
                end.close()

    def wake(self) -> None:
        """Look now. Any thread; returns at once."""
        if self._far is not None:
            with suppress(OSError):  # full: it is awake; closed: it is over
                self._far.send(b"!")

    def age_s(self) -> float:
        """Seconds since all changes were known."""
        return time.monotonic() - self._seen_s

    def check(self) -> None:
        """Raise Retry while changes are not seen (for /ready)."""
        if not self.connected:
            raise Retry(f"changes of accounts are not seen since {self.age_s():.0f} s")

    def _run(self) -> None:
        before = False
        while not self._stopping.is_set():
            try:
                with closing(self._database.look()) as look:
                    self._watch(look, before)
            except BursaError as error:
                self._lost(str(error))
            except Exception as error:  # noqa: BLE001 - who stops watching misses a revocation
                named = self._database.named(error)
                if not isinstance(named, BursaError):
                    self._log.exception("accounts are not watched", error=repr(error))
                self._lost(str(named))
            before = before or self.connected
            self._telemetry.accounts_lost.inc(self.connected and not self._stopping.is_set())
            self._see(False)
            if not self._stopping.is_set():
                self._stopping.wait(self._back_off.next_s())

    def _watch(self, look: Look, again: bool) -> None:
        assert self._near is not None, "made at the start"
        known = look.number()
        self._heard()
        if again:
            self.reconnects += 1
            self._log.info("accounts are watched again")
        self._told = False
        self._see(True)
        self._back_off.reset()
        while not self._stopping.is_set():
            look.wait(self._near.fileno(), self._poll_s)
            with suppress(BlockingIOError):
                while self._near.recv(512):
                    pass
            number = look.number()
            if number != known:
                self._heard()
                known = number
            self._seen_s = time.monotonic()

    def _see(self, connected: bool) -> None:
        self.connected = connected
        self._telemetry.accounts_watched.set(connected)

    def _heard(self) -> None:
        self._woken()
        self._seen_s = time.monotonic()

    def _lost(self, why: str) -> None:
        if not self._told:
            self._told = True
            self._log.warning("accounts are not watched: changes of others come later", why=why)
