"""What was asked: requests and rows of each user and key by the hour, added up in memory.

The guard adds on the server's loop; a thread writes the sums every 10 s, in one transaction that
adds them to what other processes wrote. What a killed process had not written is lost, at most
those 10 s; what a database that is away does not take waits, within a bound, and is counted past
it.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection, delete, func, select, update

from bursa.model.errors import BursaError
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.ports import Clock
from bursa.state.account_tables import KEYS, USAGE
from bursa.state.database import Database
from bursa.state.upsert import insert_into

FLUSH_S = 10.0
# Sums of an hour that may wait for the database.
WAITING_MAX = 200_000
KEEP_DAYS = 400
TOO_MANY = 429
_HOUR_NS = 3600 * 1_000_000_000
_SUMS = ("requests", "rows", "limited", "refused")


@dataclass(frozen=True, slots=True)
class Hour:
    """What one key ("" is the pages') asked within one hour.

    day, hour  UTC
    requests   answers given, good or not
    rows       rows in them
    limited    answered 429
    refused    answered with another 4xx
    """

    key: str
    day: date
    hour: int
    requests: int
    rows: int
    limited: int
    refused: int


class Usage:
    """The sums of one process. `add` is for one thread, all others for any."""

    def __init__(self, database: Database, clock: Clock, telemetry: Telemetry) -> None:
        self._database, self._clock, self._telemetry = database, clock, telemetry
        self._lock, self._flushing = threading.Lock(), threading.Lock()
        # (user, key, hour since 1970) -> the sums, and when the newest was asked.
        self._waiting: dict[tuple[str, str, int], list[int]] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = logger("usage")

    def add(self, user: str, key: str, rows: int, status: int, now_ns: int) -> None:
        """Count an answer. Takes about a microsecond, and never waits for the database."""
        of = user, key, now_ns // _HOUR_NS
        with self._lock:
            sums = self._waiting.get(of)
            if sums is None:
                sums = self._begin(of)
            sums[0] += 1
            sums[1] += rows
            if status == TOO_MANY:
                sums[2] += 1
            elif 400 <= status < 500:
                sums[3] += 1
            sums[4] = now_ns

    def _begin(self, of: tuple[str, str, int], answers: int = 1) -> list[int]:
        sums = [0, 0, 0, 0, 0]
        if len(self._waiting) >= WAITING_MAX:
            self._telemetry.usage_lost.inc(answers)
        else:
            self._waiting[of] = sums
        return sums

    def start(self) -> None:
        """Write every FLUSH_S from now on."""
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is there, once, and end."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        pruned, away = date.min, False
        while True:
            ended = self._ended.wait(FLUSH_S)
            try:
                self.flush()
                today = _day(self._clock.now_ns() // _HOUR_NS)
                if pruned != today and not ended:
                    self.prune()
                    pruned = today
                away = False
            except BursaError as error:
                if not away or ended:
                    self._log.warning("usage waits for the database", error=str(error))
                away = True
            if ended:
                return

    def flush(self) -> None:
        """Add what was counted since the last time to the database. What another call is about to
        add is there when it returns. Raises as Database; then it waits for the next time."""
        with self._flushing:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            taken, self._waiting = self._waiting, {}
        if not taken:
            return
        try:
            with self._database.transaction() as connection:
                self._write(connection, taken)
        except BaseException:
            self._put_back(taken)
            raise

    def _write(self, connection: Connection, taken: dict[tuple[str, str, int], list[int]]) -> None:
        # In one order in every process, so that two of them never wait for each other.
        rows = [
            {
                "user_id": user,
                "key_id": key,
                "day": _day(hour),
                "hour": hour % 24,
                **dict(zip(_SUMS, sums, strict=False)),
            }
            for (user, key, hour), sums in sorted(taken.items())
        ]
        added = insert_into(connection, USAGE)
        connection.execute(
            added.on_conflict_do_update(
                index_elements=[USAGE.c.user_id, USAGE.c.key_id, USAGE.c.day, USAGE.c.hour],
                set_={name: USAGE.c[name] + added.excluded[name] for name in _SUMS},
            ),
            rows,
        )
        used: dict[str, int] = {}
        for (_, key, _), sums in taken.items():
            if key:
                used[key] = max(used.get(key, 0), sums[4])
        for key, at_ns in sorted(used.items()):
            older = func.coalesce(KEYS.c.used_ns, 0) < at_ns
            connection.execute(update(KEYS).where(KEYS.c.id == key, older).values(used_ns=at_ns))

    def _put_back(self, taken: dict[tuple[str, str, int], list[int]]) -> None:
        with self._lock:
            for of, sums in taken.items():
                now = self._waiting.get(of)
                if now is None:
                    now = self._begin(of, sums[0])
                for at, sum_ in enumerate(sums[:4]):
                    now[at] += sum_
                now[4] = max(now[4], sums[4])

    def of(self, user: str, days: int) -> Sequence[Hour]:
        """What a user asked, today and on the days before it (UTC), `days` in all: oldest first, by
        key within an hour. Without what is not written yet. Raises as Database."""
        first = _day(self._clock.now_ns() // _HOUR_NS) - timedelta(days=days - 1)
        asked = (
            select(USAGE)
            .where(USAGE.c.user_id == user, USAGE.c.day >= first)
            .order_by(USAGE.c.day, USAGE.c.hour, USAGE.c.key_id)
        )
        with self._database.transaction() as connection:
            found = connection.execute(asked).all()
        return [
            Hour(r.key_id, r.day, r.hour, r.requests, r.rows, r.limited, r.refused) for r in found
        ]

    def prune(self) -> int:
        """Drop what is older than KEEP_DAYS; returns how many sums there were."""
        first = _day(self._clock.now_ns() // _HOUR_NS) - timedelta(days=KEEP_DAYS)
        with self._database.transaction() as connection:
            return connection.execute(delete(USAGE).where(USAGE.c.day < first)).rowcount


def _day(hour: int) -> date:
    """The day of an hour since 1970, UTC."""
    return datetime.fromtimestamp(hour * 3600, UTC).date()
