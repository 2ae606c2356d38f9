"""A store's file stands still for a copy while rows are written, and no longer than it must."""

import shutil
import threading
from pathlib import Path

import pytest

from bursa.model.errors import Refuse
from bursa.model.schema import MARKET_KINDS
from bursa.model.venue import IDX
from bursa.store.duckdb import DuckStore
from bursa.store.engine import Options
from tests.store import writing


def opened(tmp_path: Path) -> DuckStore:
    return DuckStore(tmp_path / "hot.duckdb", [IDX], MARKET_KINDS, Options(checkpoint_mb=1))


def test_a_copy_made_while_rows_are_written_is_the_store_as_it_stood(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for i in range(1, 6):
        writing.write(store, i)
    number = store.standing.begin(60)
    assert store.folded("idx") == 5
    done = threading.Event()

    def write_on() -> None:
        for i in range(6, 26):
            writing.write(store, i)
        done.set()

    def read_on() -> None:
        while not done.is_set():
            store.ticks("idx", "BBCA", 0, 2**62, newest=10)

    threads = [threading.Thread(target=work) for work in (write_on, read_on)]
    for thread in threads:
        thread.start()
    copies: list[Path] = []
    while not done.is_set() or not copies:
        copies.append(tmp_path / f"copy-{len(copies)}.duckdb")
        shutil.copy(tmp_path / "hot.duckdb", copies[-1])
    for thread in threads:
        thread.join()
    copies.append(tmp_path / "last.duckdb")
    shutil.copy(tmp_path / "hot.duckdb", copies[-1])
    store.standing.renew(number, 60)
    assert store.folded("idx") == 5  # nothing was folded meanwhile
    for copy in {copies[0], copies[len(copies) // 2], copies[-1]}:
        assert writing.stored(copy) == (5, 5 * writing.ROWS)
    store.standing.end(number)
    writing.write(store, 26)
    assert store.folded("idx") > 5  # the log was past its size by far
    store.close()
    assert writing.stored(tmp_path / "hot.duckdb") == (26, 26 * writing.ROWS)


def test_one_copy_at_a_time_and_none_without_end(tmp_path: Path) -> None:
    store = opened(tmp_path)
    writing.write(store, 1)
    number = store.standing.begin(60)
    with pytest.raises(Refuse) as refused:
        store.standing.begin(60)
    assert refused.value.code == "backup_runs"
    store.standing.end(number + 1)  # somebody else's
    store.standing.renew(number, 0)
    writing.write(store, 2)
    with pytest.raises(Refuse) as refused:
        store.standing.renew(number, 60)
    assert refused.value.code == "backup_lapsed"
    other = store.standing.begin(60)
    assert other != number
    store.standing.end(number)
    store.standing.renew(other, 60)
    store.standing.end(other)
    store.close()


def test_a_store_that_is_opened_anew_did_not_stand(tmp_path: Path) -> None:
    store = opened(tmp_path)
    number = store.standing.begin(60)
    store._engine._ready = False
    store._engine.revive()
    with pytest.raises(Refuse) as refused:
        store.standing.renew(number, 60)
    assert refused.value.code == "backup_lapsed"
    store.standing.end(number)
    store.standing.end(store.standing.begin(60))
    store.close()
