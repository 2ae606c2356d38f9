"""What is asked is added up once, by several processes too; while the database is away it waits."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from bursa.accounts import usage
from bursa.accounts.usage import Hour, Usage
from bursa.model.errors import Retry
from bursa.ops.telemetry import Telemetry
from bursa.state.account_tables import KEYS, USERS
from bursa.state.database import Database
from tests.servers.postgres import Postgres

S = 1_000_000_000
NOON_NS = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * S
HOUR_NS = 3600 * S
TODAY = date(2026, 11, 20)


class HandClock:
    def __init__(self) -> None:
        self.ns = NOON_NS

    def now_ns(self) -> int:
        return self.ns


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        made = Database(tmp_path / "state.db")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = Database(server.database())
    with made.transaction() as to:
        user = {"id": "usr_1", "email": "a@b.id", "name": "", "password": "", "role": "user"}
        user |= {"tier": "free", "state": "active", "override": "{}"}
        to.execute(insert(USERS).values(**user, created_ns=0, changed=1))
        key: dict[str, Any] = {
            "id": "key_1",
            "user_id": "usr_1",
            "name": "",
            "hash": "h",
            "prefix": "p",
        }
        key |= {"last4": "4444", "override": "{}", "created_ns": 0, "changed": 1}
        to.execute(insert(KEYS).values(**key))
    yield made
    made.close()


def test_what_another_flush_is_writing_is_there_when_one_returns(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usage is flushed by a thread every few seconds, and by whoever is about to read it."""
    one = Usage(database, HandClock(), Telemetry())
    writing, go, write = threading.Event(), threading.Event(), one._write

    def held(*args: Any) -> None:
        writing.set()
        assert go.wait(60)
        write(*args)

    monkeypatch.setattr(one, "_write", held)
    one.add("usr_1", "key_1", 600, 200, NOON_NS)
    threads = [threading.Thread(target=one.flush) for _ in "12"]
    threads[0].start()
    assert writing.wait(60)
    threads[1].start()
    threads[1].join(0.1)
    assert threads[1].is_alive()
    go.set()
    threads[1].join(60)
    assert [hour.requests for hour in one.of("usr_1", 1)] == [1]
    threads[0].join(60)


def test_hours_of_each_key_are_added_up_over_processes(database: Database) -> None:
    clock = HandClock()
    one, other = (Usage(database, clock, Telemetry()) for _ in "12")
    for status, rows in ((200, 600), (304, 0), (429, 0), (403, 0), (404, 0), (500, 0)):
        one.add("usr_1", "key_1", rows, status, NOON_NS + 5)
    one.add("usr_1", "", 1, 200, NOON_NS - 1)
    one.add("usr_2", "key_2", 9, 200, NOON_NS)
    other.add("usr_1", "key_1", 1, 200, NOON_NS + 3)
    assert one.of("usr_1", 1) == [], "nothing is written yet"
    threads = [threading.Thread(target=each.flush) for each in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hours = [
        Hour("", TODAY, 11, 1, 1, 0, 0),
        Hour("key_1", TODAY, 12, 7, 601, 1, 2),
    ]
    assert one.of("usr_1", 1) == hours
    one.flush()
    assert one.of("usr_1", 1) == hours, "what was written is not written again"
    with database.snapshot() as connection:
        used = connection.execute(select(KEYS.c.used_ns, KEYS.c.changed)).one()
    assert tuple(used) == (NOON_NS + 5, 1), "the newest use, which changes nobody's rights"
    clock.ns += 24 * HOUR_NS
    assert one.of("usr_1", 1) == [] and one.of("usr_1", 2) == hours
    assert one.of("nobody", 5) == []
    clock.ns += usage.KEEP_DAYS * 24 * HOUR_NS
    assert one.prune() == 3 and one.of("usr_1", 500) == []


def test_while_the_database_is_away_sums_wait_and_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursa.accounts.usage.WAITING_MAX", 3)
    database, telemetry = Database(tmp_path / "state.db"), Telemetry()
    counted = Usage(database, HandClock(), telemetry)

    def away() -> None:
        raise Retry("away")

    counted.add("usr_1", "", 2, 200, NOON_NS)
    with monkeypatch.context() as patched:
        patched.setattr(database, "transaction", away)
        with pytest.raises(Retry):
            counted.flush()
        for number in range(5):
            counted.add(f"usr_{number}", "", 1, 200, NOON_NS)
        with pytest.raises(Retry):
            counted.flush()
    lost = telemetry.registry.get_sample_value("bursa_usage_lost_total")
    counted.flush()
    assert counted.of("usr_1", 1) == [Hour("", TODAY, 12, 2, 3, 0, 0)]
    kept = [number for number in range(5) if counted.of(f"usr_{number}", 1)]
    assert kept == [0, 1, 2] and lost == 2
    database.close()


def test_it_is_written_every_few_seconds_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursa.accounts.usage.FLUSH_S", 0.01)
    database = Database(tmp_path / "state.db")
    counted = Usage(database, HandClock(), Telemetry())
    counted.start()
    counted.add("usr_1", "", 0, 200, NOON_NS)
    wanted = threading.Event()
    for _ in range(1_000):
        if counted.of("usr_1", 1):
            wanted.set()
            break
        wanted.wait(0.01)
    assert wanted.is_set()
    counted.add("usr_1", "", 0, 200, NOON_NS)
    counted.stop()
    assert counted.of("usr_1", 1)[0].requests == 2
    database.close()
