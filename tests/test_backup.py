"""`bursa backup` and `bursa restore-backup`: what comes back is what was there, taken under load,
in the middle of a drain, and after a kill in the middle of a backup."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from rich.console import Console

from bursa import config
from bursa.jobs import drain
from bursa.journal.read import JournalReader
from bursa.model.errors import Refuse
from bursa.state.copy import copy_database
from bursa.store import mirror, standing
from bursa.store.folder import UNFINISHED, DataFolder
from bursa.verbs import backup
from bursa.verbs.backup import run_backup, run_restore
from tests.pipeline import market, rows, running
from tests.pipeline.tiered import COLD, DAYS, NEXT, Bench, rows_of_day
from tests.running import environment

SILENT = Console(quiet=True)
KILLS, SOAK_KILLS = 1, 20


def back_up(data: Path, target: Path) -> None:
    loaded = config.load({"data": str(data)})
    assert run_backup(loaded.config, target, as_json=False, say=SILENT, warn=SILENT) == 0


def bring_back(target: Path, data: Path) -> Path:
    assert run_restore(target, data, check=False, as_json=False, say=SILENT, warn=SILENT) == 0
    return data


@contextmanager
def held(data: Path, store: Any) -> Iterator[None]:
    """The folder is held by this process, which answers for its store."""
    with DataFolder(data) as folder:
        folder.serve(standing.handlers(store))
        yield


def start_anew(data: Path) -> dict[str, Any]:
    """What the folder's store holds after a start and a stop, held to a rebuild from its journal;
    and that the store was not ahead of the journal."""
    with duckdb.connect(str(data / "hot.duckdb"), read_only=True) as connection:
        [committed] = connection.execute("select max(position) from bursa_positions").fetchall()
    assert (committed[0] or 0) <= JournalReader(data / "journal" / "idx").end
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs())
    venue.start([])
    assert venue.stop(running.RUN_S)
    store.close()
    found = running.stored(data / "hot.duckdb")
    expected = running.rebuilt(data / "journal" / "idx", running.KEEP)
    assert rows.hashes(found) == rows.hashes(expected)
    return found


def trades(data: Path) -> list[Any]:
    """All that the venue told of each stored trade."""
    with duckdb.connect(str(data / "hot.duckdb"), read_only=True) as connection:
        columns = "ticker, ts, trade_no, board, price, volume, aggressor, seq"
        return connection.execute(f"select {columns} from idx_ticks order by all").fetchall()


def test_backups_under_load_come_back_as_a_rebuild_from_their_journals(tmp_path: Path) -> None:
    data, target = tmp_path / "data", tmp_path / "backup"
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs(checkpoint_s=0.2))
    feed = running.Script(market.channels(minutes=8), Random(1), 25)
    taken: list[Path] = []
    with held(data, store):
        venue.start([feed])
        while not feed.told.is_set() or not taken:
            back_up(data, target)
            taken.append(shutil.copytree(target, tmp_path / f"backup-{len(taken)}"))
        running.until(lambda: venue.committed == venue.journal.position, "all is committed")
        back_up(data, target)
        assert venue.stop(running.RUN_S)
    store.close()
    positions = []
    for at, folder in enumerate([taken[0], taken[len(taken) // 2], target]):
        manifest = mirror.load(folder)
        assert manifest is not None
        positions.append(max(manifest.facts["positions"].values(), default=0))
        start_anew(bring_back(folder, tmp_path / f"new-{at}"))
    assert positions == sorted(positions)
    found, whole = (
        rows.hashes(running.stored(folder / "hot.duckdb")) for folder in (tmp_path / "new-2", data)
    )
    # The stop told of its channels once more.
    assert {**found, "status": ""} == {**whole, "status": ""}
    # One from the middle goes on with the feed: nothing is missing, nothing is there twice.
    data = bring_back(taken[len(taken) // 2], tmp_path / "on")
    store, feed = (
        running.open_store(data),
        running.Script(market.channels(minutes=8), Random(2), 25),
    )
    venue = running.runtime(data, store, running.knobs())
    venue.start([feed])
    running.until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    store.close()
    assert trades(data) == trades(tmp_path / "data")


def test_a_backup_at_any_moment_of_a_drain_has_every_row_once(tmp_path: Path, soak: bool) -> None:
    bench = Bench(tmp_path / "data")
    bench.fill(minutes=2)
    bench.drain()
    bench.put_late(COLD[0], rows_of_day(COLD[0], DAYS[0], 2, seed=1))  # lies hot, before the split
    bench.put_late(COLD[5], rows_of_day(COLD[5], DAYS[1], 2, seed=1))
    whole, job = bench.held(), drain.make(bench.runtime, {})
    new = tmp_path / "new"
    with held(bench.data, bench.hot):
        for at, _ in enumerate(job.run()):
            if at % (1 if soak else 8) == 0:
                back_up(bench.data, tmp_path / "backup")
                bring_back(tmp_path / "backup", new)
                brought = Bench(new)
                assert brought.held() == whole
                brought.drain()
                assert brought.held() == whole
                brought.close()
                shutil.rmtree(new)
        job.close()
        back_up(bench.data, tmp_path / "backup")
    brought = Bench(bring_back(tmp_path / "backup", new))
    assert (brought.held(), brought.hashes()) == (whole, bench.hashes())
    brought.put(COLD[0], rows_of_day(COLD[0], NEXT, 1, seed=2))
    bench.close()
    brought.close()


def folder_of(tmp_path: Path, bytes_: int = 1_000) -> Path:
    """A folder that nobody holds, with something of all that a data folder has."""
    bench = Bench(tmp_path / "data")
    bench.fill(days=DAYS, minutes=1)
    bench.close()
    data = bench.data
    journal = data / "journal" / "idx"
    journal.mkdir(parents=True)
    for name in ("00000000000000000000.log.zst", "00000000000000001000.log", "synced", "lock"):
        (journal / name).write_bytes(name.encode() * bytes_)
    (data / "names").mkdir()
    (data / "names" / "idx.csv").write_text("BBCA,Bank Central Asia\n")
    with sqlite3.connect(data / "state.db") as state:
        state.execute("create table letters (what text)")
        state.execute("insert into letters values ('kept')")
    state.close()
    return data


def test_folders_that_are_links_to_other_disks_come_along(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "data" / "cold").symlink_to(tmp_path / "disk")
    bench = Bench(tmp_path / "data")
    bench.fill(minutes=1)
    bench.drain()
    bench.retention()
    whole = bench.held()
    bench.close()
    (tmp_path / "disk" / "round").symlink_to(tmp_path / "data")
    target = tmp_path / "disk" / "backup"
    for _ in range(2):
        back_up(tmp_path / "data", target)
    brought = Bench(bring_back(target, tmp_path / "new"))
    assert brought.held() == whole and not (tmp_path / "new" / "cold" / "backup").exists()
    brought.close()


def listed(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_nobody_holds(tmp_path: Path) -> None:
    data, target = folder_of(tmp_path), tmp_path / "deep" / "backup"
    back_up(data, target)
    written = (target / "files" / "journal" / "idx" / "00000000000000000000.log.zst").stat()
    back_up(data, target)
    again = (target / "files" / "journal" / "idx" / "00000000000000000000.log.zst").stat()
    assert again.st_ino == written.st_ino  # what never changes is copied once
    new = bring_back(target, tmp_path / "new")
    assert listed(new) == listed(data) - {"lock", "journal/idx/lock"}
    for name in listed(new) - {"state.db"}:
        assert (new / name).read_bytes() == (data / name).read_bytes(), name
    with sqlite3.connect(new / "state.db") as state:
        assert state.execute("select what from letters").fetchall() == [("kept",)]
    state.close()
    assert run_restore(target, new, check=True, as_json=False, say=SILENT, warn=SILENT) == 0


def test_the_state_is_copied_with_what_lies_in_its_log(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "state.db", isolation_level=None) as state:
        state.execute("pragma journal_mode = wal")
        state.execute("create table letters (what text)")
        state.execute("insert into letters values ('kept')")
        copy_database(tmp_path / "state.db", tmp_path / "copy.db")
        assert {path.name for path in tmp_path.glob("copy.db*")} == {"copy.db"}
    state.close()
    with sqlite3.connect(tmp_path / "copy.db") as copied:
        assert copied.execute("select what from letters").fetchall() == [("kept",)]
    copied.close()
    (tmp_path / "bad.db").write_bytes(b"no database " * 1000)
    with pytest.raises(Refuse) as refused:
        copy_database(tmp_path / "bad.db", tmp_path / "other.db")
    assert refused.value.code == "state_damaged"


def test_a_kill_in_the_middle_leaves_the_backup_before(tmp_path: Path, soak: bool) -> None:
    data, target = folder_of(tmp_path, bytes_=1_000_000), tmp_path / "backup"
    back_up(data, target)
    first = mirror.verify(target)
    verb = [sys.executable, "-m", "bursa", "backup", str(target), "--data", str(data)]
    rng, segment = Random(5), data / "journal" / "idx" / "00000000000000001000.log"
    for at in range(SOAK_KILLS if soak else KILLS):
        segment.write_bytes(b"%d" % at * 30_000_000)
        process = subprocess.Popen(verb, env=environment())
        moment = rng.uniform(0, 0.15)
        # Bytes of its own appear: it is in the middle of it.
        before = listed(target)
        running.until(
            lambda: listed(target) > before or process.poll() is not None,  # noqa: B023 -- called here
            "it copies",
        )
        time.sleep(moment)
        process.kill()
        process.wait()
        assert mirror.verify(target).number >= first.number
    stands = mirror.verify(target)
    new = bring_back(target, tmp_path / "new")
    assert len(listed(new)) == len(stands.files)
    back_up(data, target)
    assert mirror.verify(target).number == stands.number + 1
    newest = bring_back(target, tmp_path / "newest")
    assert (newest / segment.relative_to(data)).read_bytes() == segment.read_bytes()


def test_a_store_that_did_not_wait_is_no_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "data")
    bench.fill(days=DAYS, minutes=1)
    target = tmp_path / "backup"
    with held(bench.data, bench.hot):
        back_up(bench.data, target)
        monkeypatch.setattr(backup, "STANDS_S", 0.0)
        with pytest.raises(Refuse) as refused:
            back_up(bench.data, target)
        assert refused.value.code == "backup_lapsed"
        bench.put_late(COLD[0], rows_of_day(COLD[0], NEXT, 1))
        monkeypatch.undo()
        assert mirror.verify(target).number == 1
        back_up(bench.data, target)
    assert mirror.verify(target).number == 2
    bench.close()


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, target = folder_of(tmp_path), tmp_path / "backup"

    def code(call: Any, *given: Any) -> str:
        with pytest.raises(Refuse) as refused:
            call(*given)
        return refused.value.code

    assert code(back_up, tmp_path / "nothing", target) == "no_data"
    assert code(back_up, data, data / "backup") == "bad_request"
    assert code(back_up, data, tmp_path) == "bad_request"
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    assert code(back_up, data, other) == "bad_request"
    assert (other / "thesis.tex").exists()
    assert code(bring_back, target, tmp_path / "new") == "no_backup"
    back_up(data, target)
    assert code(bring_back, target, other) == "folder_not_empty"
    assert code(bring_back, target, target / "files" / "new") == "bad_request"
    with DataFolder(data):
        assert code(back_up, data, target) == "folder_held"
    with monkeypatch.context() as patched:
        usage = shutil.disk_usage(tmp_path)._replace(free=10)
        patched.setattr(shutil, "disk_usage", lambda path: usage)
        assert code(back_up, data, target) == "no_space"
        assert code(bring_back, target, tmp_path / "new") == "no_space"
    (target / "files" / "names" / "idx.csv~1").write_text("BBCA,Bank Central Asio\n")
    assert code(bring_back, target, tmp_path / "newer") == "backup_damaged"
    assert not (tmp_path / "newer").exists()


def test_no_start_on_half_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, target = folder_of(tmp_path), tmp_path / "backup"
    back_up(data, target)
    new = tmp_path / "new"

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(mirror, "sync", fail)
        with pytest.raises(Refuse, match="No space left"):
            bring_back(target, new)
    assert (new / UNFINISHED).is_dir()
    with pytest.raises(Refuse, match="not brought back to its end") as refused:
        DataFolder(new).__enter__()
    assert refused.value.code == "restore_unfinished"
    with pytest.raises(Refuse, match="a restore that was not finished"):
        bring_back(target, new)


def test_it_is_told_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, target = folder_of(tmp_path), tmp_path / "backup"
    loaded = config.load({"data": str(data)})
    assert run_backup(loaded.config, target, as_json=True, say=SILENT, warn=SILENT) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["number"], told["running"], told["files"]) == (1, False, len(listed(data)) - 2)
    assert told["bytes"] == told["copied"] > 0
    assert run_restore(target, target, check=True, as_json=True, say=SILENT, warn=SILENT) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == told["bytes"]
