"""Numbers of changes come in the order of commits, and whoever watches misses none."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Lock, Thread

import pytest
from sqlalchemy import insert, select

from bursa.model.errors import Retry
from bursa.ops.telemetry import Telemetry
from bursa.state.account_tables import SETTINGS, VERSIONS
from bursa.state.changes import POLL_S, Watch, bump
from bursa.state.database import Database
from tests.prompt import prompt
from tests.servers.postgres import Postgres
from tests.state.conftest import Opened

# Within this every process knows.
SOON_S = 1.0
PATIENT_S = 60.0


def until(reached: Callable[[], object], within_s: float = PATIENT_S) -> None:
    end = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.005)


def change(database: Database, name: str) -> int:
    with database.transaction() as to:
        n = bump(to)
        to.execute(insert(SETTINGS).values(name=name, value="1", changed=n))
    return n


class Reader:
    """What knows by heart: reads whatever is newer than what it knows."""

    def __init__(self, database: Database) -> None:
        self.database, self.known, self.names = database, 0, list[str]()
        self.calls, self.failures = 0, 0
        self._lock = Lock()

    def refresh(self) -> None:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise Retry("not now")
        with self._lock, self.database.snapshot() as connection:
            known = connection.execute(select(VERSIONS.c.n)).scalar_one()
            newer = select(SETTINGS.c.name).where(SETTINGS.c.changed > self.known)
            self.names += connection.execute(newer.order_by(SETTINGS.c.changed)).scalars()
            self.known = known

    def knows(self, name: str) -> Callable[[], bool]:
        return lambda: name in self.names


def known_after(reader: Reader, database: Database, name: str) -> float:
    """Seconds until a reader knows of a change that is made."""
    began = time.monotonic()
    change(database, name)
    until(reader.knows(name))
    return time.monotonic() - began


@contextmanager
def watching(reader: Reader, poll_s: float = POLL_S) -> Iterator[Watch]:
    watch = Watch(reader.database, reader.refresh, poll_s=poll_s)
    watch.start()
    try:
        until(lambda: watch.connected)
        yield watch
    finally:
        watch.stop()


def test_numbers_are_of_the_order_of_commits_and_nothing_is_missed(opened: Opened) -> None:
    """Many write at once; a reader that only ever reads what is newer has all of it at the end,
    in that order."""
    numbers: list[int] = []
    reader = Reader(opened())

    def write(nth: int) -> None:
        database = opened()
        numbers.extend(change(database, f"{nth}/{one}") for one in range(8))

    with watching(reader):
        threads = [Thread(target=write, args=(nth,)) for nth in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: len(reader.names) >= 32)
    assert sorted(numbers) == list(range(2, 34)), "1 is of the first tiers"
    assert len(reader.names) == len(set(reader.names)) == 32
    with reader.database.snapshot() as connection:
        order = connection.execute(select(SETTINGS.c.name).order_by(SETTINGS.c.changed)).scalars()
        assert list(order) == reader.names


def test_a_change_is_known_within_a_second_wherever_it_was_made(opened: Opened) -> None:
    here, there = opened(), opened()
    reader = Reader(here)
    with watching(reader):
        for by, name in ((here, "own"), (there, "other"), (here, "own, again"), (there, "again")):

            def once(nth: int, by: Database = by, name: str = name) -> float:
                return known_after(reader, by, f"{name} {nth}")

            prompt(once, SOON_S)


def test_an_own_commit_and_the_servers_word_wake_at_once(opened: Opened) -> None:
    """By the telling, not by looking now and then: that comes once in five minutes here."""
    here, there = opened(), opened()
    reader = Reader(here)
    with watching(reader, poll_s=300.0):
        change(here, "own")
        until(reader.knows("own"))
        if here.dialect == "postgresql":
            change(there, "other")
            until(reader.knows("other"))


def test_what_is_undone_is_told_to_nobody(opened: Opened) -> None:
    database = opened()
    reader = Reader(database)
    with watching(reader):
        until(lambda: reader.known == 1)
        calls, told = reader.calls, list[int]()
        database.listeners.append(lambda: told.append(1))
        with pytest.raises(ZeroDivisionError), database.transaction() as to:
            assert bump(to) == 2
            raise ZeroDivisionError
        with database.transaction() as to:
            to.execute(select(VERSIONS)).all()
        assert not told
        assert change(database, "next") == 2
        assert told == [1]
        until(reader.knows("next"))
        assert reader.calls == calls + 1


def test_what_could_not_be_read_is_read_again(opened: Opened) -> None:
    reader = Reader(opened())
    telemetry = Telemetry()
    watch = Watch(reader.database, reader.refresh, telemetry=telemetry)
    with pytest.raises(Retry, match="not seen"):
        watch.check()
    reader.failures = 2
    watch.start()
    until(lambda: watch.connected)
    assert (reader.calls, watch.reconnects) == (3, 0)
    watch.check()
    reader.failures = 1
    change(reader.database, "late")
    until(reader.knows("late"))
    until(lambda: watch.connected)
    assert telemetry.registry.get_sample_value("bursa_accounts_lost_total") == 1
    assert telemetry.registry.get_sample_value("bursa_accounts_watched") == 1
    age_s = telemetry.registry.get_sample_value("bursa_accounts_age_seconds")
    assert age_s is not None and 0 <= age_s < PATIENT_S
    watch.stop()
    watch.stop()
    assert not watch.connected
    watch.wake()


def test_a_mistake_of_the_reader_does_not_end_the_watch(opened: Opened) -> None:
    seen, failed = Event(), Event()

    def woken() -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        seen.set()

    watch = Watch(opened(), woken)
    watch.start()
    until(seen.is_set)
    watch.stop()


def test_a_snapshot_sees_one_moment_and_holds_up_nobody(opened: Opened) -> None:
    database, other = opened(), opened()
    change(database, "before")
    names = select(SETTINGS.c.name)
    with database.snapshot() as connection:
        assert connection.execute(names).scalars().all() == ["before"]
        change(other, "meanwhile")
        change(database, "meanwhile too")
        assert connection.execute(names).scalars().all() == ["before"]
    with database.snapshot() as connection:
        assert len(connection.execute(names).scalars().all()) == 3


@pytest.mark.parametrize("listening", [True, False], ids=["listener", "all"])
def test_a_cut_connection_is_made_again_and_all_since_is_known(
    postgres: Postgres, listening: bool
) -> None:
    url = postgres.database()
    with ExitStack() as stack:
        here, there = Database(url), Database(url)
        stack.callback(here.close)
        stack.callback(there.close)
        reader = Reader(here)
        watch = stack.enter_context(watching(reader))
        change(there, "before")
        until(reader.knows("before"))

        def cut(nth: int) -> float:
            assert postgres.cut(url, listening=listening) >= 1
            took_s = known_after(reader, there, f"cut {nth}")
            until(lambda: watch.reconnects == nth + 1)
            return took_s

        prompt(cut, SOON_S)
        prompt(lambda nth: known_after(reader, there, f"after {nth}"), SOON_S)
