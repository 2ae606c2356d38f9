"""Every step forward, on both engines: from nothing, and from each version that was released."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, insert, select

from bursa.accounts.audit_tables import PARENT
from bursa.accounts.tiers import DEFAULT, SEED
from bursa.model.errors import Refuse
from bursa.ports import Report
from bursa.state.account_tables import PLANS, TIERS, USERS, VERSIONS
from bursa.state.database import HEAD, MIGRATIONS, Database
from bursa.state.sqlite import StateDb
from bursa.state.tables import METADATA
from tests.servers.postgres import Postgres
from tests.state.conftest import Opened
from tests.state.contract import letter

RELEASED = Path(__file__).parent / "released"


def steps() -> list[str]:
    """Every version, oldest first."""
    scripts = ScriptDirectory.from_config(config(MIGRATIONS)).walk_revisions()
    return [script.revision for script in scripts][::-1]


def config(migrations: Path) -> Config:
    made = Config()
    made.set_main_option("script_location", str(migrations))
    made.set_main_option("path_separator", "os")
    return made


@contextmanager
def untouched(database: Database) -> Iterator[Connection]:
    """A transaction on the tables as they are, whatever their version."""
    engine = database._on.engine()
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def stop_at(database: Database, version: str) -> None:
    """Make the tables as they were at a version."""
    chain = config(MIGRATIONS)
    with untouched(database) as connection:
        chain.attributes["connection"] = connection
        command.upgrade(chain, version)


def fill(to: Connection, version: str) -> None:
    """What a program of that version may have left."""
    tables = METADATA.tables
    run = {"name": "a", "holder": "h", "began_ns": 1, "outcome": "", "told": "{}"}
    to.execute(insert(tables["runs"]).values(run))
    lease = {"name": "a", "run": 1, "holder": "h", "expires_ns": 2**62}
    to.execute(insert(tables["leases"]).values(lease))
    if version >= "0002":
        report = {"venue": "idx", "span": "day", "at_ns": 5, "told": '{"note": "é"}'}
        to.execute(insert(tables["quality_reports"]).values(report))
    if version >= "0003":
        texts = ("id", "email", "name", "password", "role", "tier", "state", "override")
        user = dict.fromkeys(texts, "é")
        to.execute(insert(USERS).values({**user, "created_ns": 2**62, "changed": 7}))


def counts(database: Database) -> dict[str, int]:
    """Rows of each table that there is."""
    with database.snapshot() as connection:
        kept = {"runs", "leases", "quality_reports", "users"}
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in METADATA.tables.items()
            if name in kept
        }


def described(connection: Connection) -> list[Any]:
    """How the tables differ from what is said of them; the audit's lie outside (v0004)."""

    def ours(_: object, name: str | None, kind: str, __: bool, ___: object) -> bool:
        return not (kind == "table" and name == PARENT)

    opts = {"compare_type": True, "include_object": ours}
    return list(compare_metadata(MigrationContext.configure(connection, opts=opts), METADATA))


@pytest.mark.parametrize("version", ["", *steps()])
def test_every_version_goes_forward_and_keeps_what_it_has(opened: Opened, version: str) -> None:
    before = {"runs": 0, "leases": 0, "quality_reports": 0, "users": 0}
    database = opened()
    if version:
        stop_at(database, version)
        with untouched(database) as to:
            fill(to, version)
        before = {"runs": 1, "leases": 1, "quality_reports": 0, "users": 0}
        before |= {"quality_reports": 1} if version >= "0002" else {}
        before |= {"users": 1} if version >= "0003" else {}
    database.check()
    assert counts(database) == before
    with database.transaction() as connection:
        assert described(connection) == []
        assert database.version() == HEAD == steps()[-1]
        assert connection.execute(select(VERSIONS)).all() == [("accounts", 1)]


def test_the_first_tiers_are_those_of_the_code(opened: Opened) -> None:
    with opened().snapshot() as connection:
        rows = connection.execute(select(TIERS).order_by(TIERS.c.rank)).mappings().all()
        plans = connection.execute(select(PLANS.c.name, PLANS.c.tier, PLANS.c.offered)).all()
    assert [row["name"] for row in rows] == list(SEED) and rows[0]["name"] == DEFAULT
    assert sorted(plans) == sorted((name, name, True) for name in SEED)
    for row, rights in zip(rows, SEED.values(), strict=True):
        named = row["timeframes"]
        assert (None if named is None else frozenset(named.split(","))) == rights.timeframes
        same = ("rate", "history_days", "hd", "stream_symbols", "machines", "rows")
        assert [row[name] for name in same] == [getattr(rights, name) for name in same]
        assert row["changed"] == 1, "whoever knows nothing reads it"


@pytest.mark.parametrize("version", ["0001", "0002"])
def test_a_file_of_a_released_version_goes_forward(tmp_path: Path, version: str) -> None:
    file = tmp_path / "state.db"
    with closing(sqlite3.connect(file)) as made:
        made.executescript((RELEASED / f"{version}.sql").read_text("utf-8"))
    state = StateDb(file)
    assert state.version() == version
    state.check()
    assert state.version() == HEAD
    assert [run.outcome for run in state.leases.history("idx/drain", 9)] == ["", "done"]
    assert state.leases.holder("idx/drain", 1) == "b"
    assert [(one.key, one.row) for one in state.letters.ls()] == [("key 1", b"\0row")]
    assert state.letters.add([letter(1), letter(2)]) == 1
    report = Report("idx", "day", 5, {"note": "é"})
    assert state.reports.newest("idx", "day") == (report if version == "0002" else None)
    state.close()


def test_of_many_that_start_at_once_one_brings_it_forward(opened: Opened) -> None:
    databases, barrier = [opened() for _ in range(4)], Barrier(4)
    failed: list[BaseException] = []

    def start(database: Database) -> None:
        try:
            barrier.wait()
            database.open()
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [Thread(target=start, args=(one,)) for one in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert {one.version() for one in databases} == {HEAD}


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Path]:
    """The migrations with one more step, which fails at its end."""
    mine = tmp_path / "migrations"
    (mine / "versions").mkdir(parents=True)
    (mine / "env.py").write_text((MIGRATIONS / "env.py").read_text())
    for step in (MIGRATIONS / "versions").glob("v*.py"):
        (mine / "versions" / step.name).write_text(step.read_text())
    (mine / "versions" / "v9000_next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision = '9000', '{HEAD}'\n"
        "def upgrade():\n"
        "    op.add_column('dead_letters', sa.Column('note', sa.Text))\n"
        "    op.execute('insert into nowhere values (1)')\n"
    )
    yield mine


def test_a_migration_that_fails_leaves_the_tables_as_they_were(
    opened: Opened, where: Path | str, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateDb(where)
    state.letters.add([letter(1)])
    state.close()
    monkeypatch.setattr("bursa.state.database.HEAD", "9000")
    monkeypatch.setattr("bursa.state.database.MIGRATIONS", chain)
    with pytest.raises(Refuse):
        opened().check()
    assert opened().version() == HEAD
    with untouched(opened()) as connection:
        assert described(connection) == []
    step = chain / "versions" / "v9000_next.py"
    kept = step.read_text().replace("    op.execute('insert into nowhere values (1)')", "")
    step.write_text(kept)
    database = opened()
    database.check()
    assert database.version() == "9000"
    with database.transaction() as connection:
        found = connection.exec_driver_sql("select note, position from dead_letters").all()
    assert found == [(None, 101)]


@pytest.mark.parametrize("version", ["9999", "abcd"])
def test_newer_tables_are_refused_and_left_alone(opened: Opened, version: str) -> None:
    with opened().transaction() as to:
        to.exec_driver_sql(f"update alembic_version set version_num = '{version}'")
    for ask in (opened().check, opened().open, opened().version):
        with pytest.raises(Refuse, match=f"version {version}") as refused:
            ask()
        assert refused.value.code == "state_newer"


def test_a_database_of_another_program_is_refused(postgres: Postgres) -> None:
    url = postgres.database()
    with psycopg.connect(url, autocommit=True) as theirs:
        theirs.execute("create table users (x int)")
    with pytest.raises(Refuse, match="a database of its own") as refused:
        Database(url).check()
    assert refused.value.code == "state_damaged"
    with psycopg.connect(url) as theirs:
        found = theirs.execute(
            "select table_name from information_schema.tables where table_schema = 'public'"
        ).fetchall()
    assert found == [("users",)]
