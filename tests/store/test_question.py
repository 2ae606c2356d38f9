"""`bursa sql` finds who answers: the running process, or the file itself."""

from pathlib import Path

import pytest

from bursa.model.errors import Refuse
from bursa.model.schema import TICKS
from bursa.store import question
from bursa.store.duckdb import DuckStore
from bursa.store.folder import DataFolder
from bursa.store.sql import Limits
from tests.store import writing
from tests.store.contract import KINDS, VENUES, batch, put, tick

LIMITS = Limits(100, 10.0)
COUNT = "select count(*) from idx_ticks"


def test_the_holder_answers(tmp_path: Path) -> None:
    file = tmp_path / "hot.duckdb"
    with DataFolder(tmp_path) as folder:
        store = DuckStore(file, VENUES, KINDS)
        folder.serve(question.handlers(store))
        put(store, batch(TICKS, [tick("BBCA", 1, price=0.1), tick("TLKM", 2)]))
        answer = question.query(tmp_path, file, "select ticker, price from idx_ticks", LIMITS)
        assert answer.columns == ("ticker", "price")
        assert answer.rows == [["BBCA", 0.1], ["TLKM", 50.0]]
        with pytest.raises(Refuse) as refused:
            question.query(tmp_path, file, "drop table idx_ticks", LIMITS)
        assert refused.value.code == "not_select"
        with pytest.raises(Refuse) as refused:
            question.query(tmp_path, file, "from range(101)", LIMITS)
        assert refused.value.code == "too_many_rows"
        store.close()
    # Nobody holds the folder now: the file answers.
    assert question.query(tmp_path, file, COUNT, LIMITS).rows == [[2]]


def test_the_file_answers_after_a_kill(tmp_path: Path) -> None:
    """What was committed last may lie in the log only; asking leaves the log as it is."""
    from tests.store.test_duckdb import child

    file = tmp_path / "hot.duckdb"
    child(file, "--stage", "commit", "--at", "5", "--delay", "0.5")
    log = file.with_name("hot.duckdb.wal")
    before = log.read_bytes(), file.read_bytes()
    (row,) = question.query(
        tmp_path, file, f"select max(position), count(*) / {writing.ROWS} from idx_ticks", LIMITS
    ).rows
    assert row[0] == row[1] >= 5
    assert (log.read_bytes(), file.read_bytes()) == before
    with pytest.raises(Refuse) as refused:
        question.query(tmp_path, file, "delete from idx_ticks", LIMITS)
    assert refused.value.code == "not_select"


def test_nothing_stored_yet(tmp_path: Path) -> None:
    data = tmp_path / "none"
    with pytest.raises(Refuse) as refused:
        question.query(data, data / "hot.duckdb", COUNT, LIMITS)
    assert refused.value.code == "no_data"
    assert not data.exists()


def test_a_holder_that_does_not_answer_is_named(tmp_path: Path) -> None:
    (tmp_path / "hot.duckdb").touch()
    with DataFolder(tmp_path), pytest.raises(Refuse, match="held by process") as refused:
        question.query(tmp_path, tmp_path / "hot.duckdb", COUNT, LIMITS)
    assert refused.value.code == "folder_held"
