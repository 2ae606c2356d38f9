"""The file of the state database: made, brought forward, refused, and cheap to begin with."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bursa.model.errors import Refuse, Retry
from bursa.state.database import Database
from bursa.state.sqlite import StateDb
from tests.state.contract import letter


def asked(file: Path, text: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(text).fetchall()


def test_a_start_that_finds_nothing_to_do_imports_no_toolkit(tmp_path: Path) -> None:
    state = StateDb(tmp_path / "state.db")
    state.letters.add([letter(1)])
    state.close()
    code = (
        "import sys; from pathlib import Path; from bursa.state.sqlite import StateDb;"
        f"StateDb(Path({str(tmp_path / 'state.db')!r})).check();"
        f"StateDb(Path({str(tmp_path / 'none.db')!r})).check();"
        "assert not {'sqlalchemy', 'alembic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not (tmp_path / "none.db").exists()


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    for nth in range(3):
        state = StateDb(tmp_path / "state.db")
        state.check()
        state.letters.add([letter(nth)])
        assert len(state.letters.ls()) == nth + 1
        state.close()
    assert os.stat(tmp_path / "state.db").st_mode & 0o777 == 0o600
    assert asked(tmp_path / "state.db", "pragma journal_mode") == [("wal",)]


def test_commits_are_synced(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    with database.transaction() as connection:
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2  # full
    database.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    state = StateDb(tmp_path / "state.db")
    with pytest.raises(Exception, match="NOT NULL"):
        state.letters.add([letter(1), letter(2, why=None)])
    assert not state.letters.ls()
    state.close()


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    state = StateDb(file)
    state.letters.add([letter(1)])
    state.close()
    for version in ("9999", "abcd"):
        asked(file, f"update alembic_version set version_num = '{version}'")
        newer = StateDb(file)
        for ask in (newer.check, newer.letters.ls):
            with pytest.raises(Refuse, match=f"version {version}") as refused:
                ask()
            assert refused.value.code == "state_newer"
        newer.close()
    assert asked(file, "select count(*) from dead_letters") == [(1,)]


@pytest.mark.parametrize("content", [b"no database at all" * 300, b"SQLite format 3\0" + b"x" * 99])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state.db"
    file.write_bytes(content)
    with pytest.raises(Refuse, match="set it aside") as refused:
        StateDb(file).check()
    assert refused.value.code == "state_damaged"
    assert file.read_bytes() == content


def test_another_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    asked(file, "create table something (x)")
    with pytest.raises(Refuse, match="no state database of bursa") as refused:
        StateDb(file).check()
    assert refused.value.code == "state_damaged"


def test_a_file_that_another_process_writes_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursa.state.on_sqlite.BUSY_S", 0.05)
    state = StateDb(tmp_path / "state.db")
    state.letters.add([letter(1)])
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(Retry, match="locked"):
            state.letters.add([letter(2)])
        other.execute("rollback")
    assert state.letters.add([letter(2)]) == 1
    state.close()
