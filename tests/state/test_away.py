"""A state database that is away, slow, taken or asked for what cannot be: who must act hears it.

The server is a real one, and the tests leave it running.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import delete, insert, text, update

from bursa.model.errors import Refuse, Retry
from bursa.state import on_postgres
from bursa.state.account_tables import SETTINGS, VERSIONS
from bursa.state.changes import Watch, bump
from bursa.state.database import Database
from bursa.state.engine import Conflict
from bursa.state.upsert import insert_into
from tests.prompt import prompt
from tests.servers.broker import free_port
from tests.servers.postgres import PASSWORD, Postgres
from tests.state.conftest import Opened
from tests.state.test_changes import SOON_S, Reader, change, known_after, until, watching

# A caller hears of an absence within three seconds, and what a busy machine adds.
HEARS_S = 10.0


@pytest.fixture(scope="module")
def url(postgres: Postgres) -> str:
    """A database of this file's tests."""
    return postgres.database()


@pytest.fixture
def shared(url: str) -> Iterator[Database]:
    database = Database(url)
    with database.transaction() as to:
        to.execute(delete(SETTINGS))
    yield database
    database.close()


@contextmanager
def away(match: str = "state database") -> Iterator[None]:
    """What is asked in it raises Retry, soon, and tells no password."""
    began = time.monotonic()
    with pytest.raises(Retry, match=match) as heard:
        yield
    assert PASSWORD not in str(heard.value)
    assert "127.0.0.1" not in heard.value.public, "strangers are not told what is where"
    assert time.monotonic() - began < HEARS_S


def setting(name: str, value: str = "1") -> dict[str, object]:
    return {"name": name, "value": value, "changed": 1}


def test_what_is_there_already_is_a_conflict(opened: Opened) -> None:
    database = opened()
    change(database, "a")
    with pytest.raises(Conflict) as refused:
        change(database, "a")
    assert (refused.value.code, refused.value.status) == ("conflict", 409)
    with database.transaction() as to:
        again = insert_into(to, SETTINGS).values(setting("a", "2"))
        to.execute(again.on_conflict_do_nothing())
        more = again.on_conflict_do_update(index_elements=["name"], set_={"value": "3"})
        to.execute(more)
        assert to.execute(text("select value from settings")).all() == [("3",)]


def test_a_mistake_of_ours_keeps_its_name(opened: Opened) -> None:
    database = opened()
    with pytest.raises(Exception, match="(?i)null") as raised, database.transaction() as to:
        to.execute(insert(SETTINGS).values(setting("a") | {"value": None}))
    assert not isinstance(raised.value, Retry | Refuse)


def test_what_a_server_cannot_keep_is_refused(shared: Database) -> None:
    with pytest.raises(Refuse, match="NUL") as refused, shared.transaction() as to:
        to.execute(insert(SETTINGS).values(setting("a\0b")))
    assert (refused.value.code, refused.value.status) == ("bad_value", 400)


def test_a_row_that_another_one_holds_is_waited_for_so_long(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursa.state.on_sqlite.BUSY_S", 0.2)
    monkeypatch.setitem(on_postgres._SETTINGS, "lock_timeout", "200ms")
    first, second = opened(), opened()
    second.open()
    with first.transaction() as to:
        bump(to)
        with away("lock"):
            change(second, "b")
    assert change(second, "b") == 3


def test_a_statement_that_takes_too_long_is_ended(shared: Database) -> None:
    with shared.transaction() as to:
        limits = text(
            "select current_setting('statement_timeout'), current_setting('lock_timeout')"
        )
        assert to.execute(limits).one() == ("10s", "5s")
    with away("statement timeout"), shared.transaction() as to:
        to.execute(text("set local statement_timeout = '50ms'"))
        to.execute(text("select pg_sleep(60)"))


def test_more_at_once_than_connections_are_told_so(
    shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_postgres, "POOL", 1)
    monkeypatch.setattr(on_postgres, "POOL_MORE", 0)
    monkeypatch.setattr(on_postgres, "POOL_S", 0.1)
    shared.close()
    with shared.transaction(), away("in use"), shared.transaction():
        pass
    with shared.transaction() as to:
        bump(to)


def test_a_server_that_is_killed_and_comes_back(
    postgres: Postgres, url: str, shared: Database, soak: bool
) -> None:
    """Callers hear it soon; of what was under way nothing stays; back, all is known at once. In a
    long run it is away for a minute."""
    reader = Reader(shared)
    with watching(reader) as watch:
        change(shared, "before")
        until(reader.knows("before"))
        with away(), shared.transaction() as to:
            to.execute(insert(SETTINGS).values(setting("half")))
            postgres.kill()
            to.execute(update(VERSIONS).values(n=VERSIONS.c.n))
        until(lambda: not watch.connected)
        for _ in range(60 if soak else 3):
            time.sleep(1.0 if soak else 0.0)
            with away():
                change(shared, "away")
            with away(), shared.snapshot():
                pass
        with pytest.raises(Retry, match="not seen"):
            watch.check()
        with away():
            Database(url).check()
        postgres.start()
        other = Database(url)
        change(other, "by another")
        until(reader.knows("by another"))
        prompt(lambda nth: known_after(reader, shared, f"by us {nth}"), SOON_S)
        other.close()
    assert "half" not in reader.names and "away" not in reader.names


def test_a_server_that_stands_still(postgres: Postgres, shared: Database) -> None:
    """Connections stay and answers do not come: as good as away."""
    reader = Reader(shared)
    change(shared, "before")
    with watching(reader) as watch:
        postgres.stand_still()
        try:
            heard = [Thread(target=_hears, args=(shared,)) for _ in range(3)]
            for thread in heard:
                thread.start()
            for thread in heard:
                thread.join(HEARS_S + 1)
            assert not any(thread.is_alive() for thread in heard)
            until(lambda: not watch.connected)
        finally:
            postgres.go_on()
        until(lambda: watch.connected)
        prompt(lambda nth: known_after(reader, shared, f"after {nth}"), SOON_S)


def _hears(database: Database) -> None:
    with away():
        change(database, "not")


def test_nobody_listens_there_or_the_password_is_wrong(postgres: Postgres) -> None:
    nobody = Database(f"postgresql://bursa:{PASSWORD}@127.0.0.1:{free_port()}/none")
    with away("refused"):
        nobody.check()
    with away("a moment ago"):
        nobody.check()
    wrong = postgres.url("postgres").replace(PASSWORD, "wrong-secret")
    with pytest.raises(Retry, match="password authentication failed") as heard:
        Database(wrong).check()
    assert "wrong-secret" not in str(heard.value)
    with away("does not exist"):
        Database(postgres.url("nowhere")).check()


@pytest.mark.parametrize("url", ["postgresql://a:b@[::1/x", "postgresql://h/x?nothing=1"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Refuse, match=r"accounts\.database") as refused:
        Database(url)
    assert refused.value.parameter == "accounts.database"
    assert "a:b" not in str(refused.value)


def test_without_the_driver_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bursa.state.on_postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Refuse, match="pip install") as refused:
        Database("postgresql://h/x")
    assert refused.value.code == "no_driver"


def test_what_an_url_says_goes_before_what_we_say(url: str) -> None:
    url += "?application_name=mine&options=-c%20statement_timeout%3D7s"
    database = Database(url)
    with database.transaction() as to:
        names = ("application_name", "statement_timeout", "lock_timeout")
        told = [to.execute(text(f"show {name}")).scalar_one() for name in names]
    assert told == ["mine", "7s", "5s"]
    assert database.place == url.partition("?")[0].replace(f"bursa:{PASSWORD}@", "")
    database.close()


def test_a_file_that_is_not_made_yet_is_watched_all_the_same(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    calls: list[int] = []
    watch = Watch(database, lambda: calls.append(1))
    watch.start()
    until(lambda: watch.connected)
    watch.stop()
    database.close()
    assert calls == [1]
