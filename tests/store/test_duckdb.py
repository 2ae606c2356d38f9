"""What the embedded store does when its process, its disk or its file fails."""

import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from bursa.metrics.catalog import STANDARD
from bursa.model.errors import Refuse, Retry
from bursa.model.schema import MARKET_KINDS, OHLCV, SCHEMA_VERSION, TICKS
from bursa.model.venue import IDX
from bursa.ports import Committed
from bursa.store.duckdb import DuckStore
from bursa.store.engine import Options
from bursa.store.sql import Limits
from tests.fakes.store import rows_of
from tests.store import contract, writing
from tests.store.contract import ALL, KINDS, OPEN, bar, batch, metric, put, tick

METRICS = STANDARD.kind

ROOT = Path(__file__).parents[2]


def opened(path: Path, options: Options | None = None) -> DuckStore:
    return DuckStore(path, [IDX], KINDS, options)


def child(path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run tests/store/writing.py; it ends by kill -9."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.writing", str(path), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    return done


@pytest.mark.parametrize("stage", ["insert", "commit"])
def test_rows_equal_positions_after_kill_9(tmp_path: Path, stage: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for run, checkpoint_mb in enumerate((64, 64, 1)):
        path = tmp_path / f"{run}.duckdb"
        delay = chance.choice((0.0, chance.uniform(0, 0.004)))
        at = chance.randrange(5, 40)
        child(
            path, "--stage", stage, "--at", str(at), "--delay", f"{delay:.6f}",
            "--checkpoint-mb", str(checkpoint_mb),
        )  # fmt: skip
        position, rows = writing.stored(path)
        print(f"killed {delay * 1e3:.1f} ms into the {stage} of write {at}: {position} committed")
        assert rows == position * writing.ROWS
        assert position >= at - 1


@pytest.mark.parametrize(
    "checkpoint_mb", [pytest.param(64, id="log"), pytest.param(1, id="checkpoint")]
)
def test_a_full_disk_is_waited_out(tmp_path: Path, checkpoint_mb: int) -> None:
    """The log cannot grow, or a checkpoint fails and breaks the engine: Retry, nothing half
    done, and with room again it goes on and loses nothing, not even over a kill."""
    path = tmp_path / "hot.duckdb"
    done = child(path, "--starve", "1200000", "--checkpoint-mb", str(checkpoint_mb))
    retries, wrote = map(int, done.stdout.splitlines()[-1].split())
    assert retries >= 4
    assert writing.stored(path) == (wrote, wrote * writing.ROWS)


@pytest.fixture(scope="module")
def left_by_kill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 8 writes in its file and more in its log, its process killed."""
    path = tmp_path_factory.mktemp("killed") / "hot.duckdb"
    store = DuckStore(path, [IDX], MARKET_KINDS)
    for i in range(1, 9):
        writing.write(store, i)
    store.close()
    child(path, "--stage", "commit", "--at", "20", "--delay", "1")
    assert path.with_name("hot.duckdb.wal").stat().st_size > 100_000
    return path


def copied(source: Path, to: Path) -> Path:
    for file in source.parent.iterdir():
        shutil.copy(file, to)
    return to / source.name


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)


def test_a_flipped_log_is_set_aside(left_by_kill: Path, tmp_path: Path) -> None:
    path = copied(left_by_kill, tmp_path)
    log = path.with_name("hot.duckdb.wal")
    flip(log, log.stat().st_size // 2)
    bad = log.read_bytes()
    store = DuckStore(path, [IDX], MARKET_KINDS)
    assert [file.name for file in store.set_aside] == ["hot.duckdb.aside-1.wal"]
    assert store.set_aside[0].read_bytes() == bad
    assert writing.held(store) == (8, 8 * writing.ROWS)
    for i in range(1, 25):  # the journal brings all of it again
        writing.write(store, i)
    assert writing.held(store) == (24, 24 * writing.ROWS)
    store.close()
    assert writing.stored(path) == (24, 24 * writing.ROWS)


def test_what_is_folded_survives_without_the_log(tmp_path: Path) -> None:
    path = tmp_path / "hot.duckdb"
    store = opened(path, Options(checkpoint_mb=1))
    seen = set()
    for i in range(24):
        put(store, batch(TICKS, [tick("BBCA", 1 + 4000 * i + n) for n in range(4000)]))
        folded = store.folded("idx")
        seen.add(folded)
        assert folded <= store.positions()["idx.ticks"].position
        if i % 4 == 3:
            alone = tmp_path / f"{i}.duckdb"
            shutil.copy(path, alone)
            left = opened(alone)
            held = left.positions().get("idx.ticks", Committed(0, 0)).position
            left.close()
            assert held >= folded
    store.close()
    assert len(seen) > 2, "the log was folded now and then"


def test_a_truncated_log_is_a_prefix(left_by_kill: Path, tmp_path: Path) -> None:
    size = left_by_kill.with_name("hot.duckdb.wal").stat().st_size
    seen = set()
    for run in range(6):
        folder = tmp_path / str(run)
        folder.mkdir()
        path = copied(left_by_kill, folder)
        with path.with_name("hot.duckdb.wal").open("r+b") as log:
            log.truncate(size * run // 6)
        position, rows = writing.stored(path)
        assert rows == position * writing.ROWS
        seen.add(position)
    assert len(seen) > 2


@pytest.mark.parametrize("at", [0, 20, 4096 + 30, 8192 + 30])
def test_a_damaged_head_is_set_aside_or_survived(
    left_by_kill: Path, tmp_path: Path, at: int
) -> None:
    """Of the two newest heads one is in use; without it nothing can be read."""
    path = copied(left_by_kill, tmp_path)
    flip(path, at)
    store = DuckStore(path, [IDX], MARKET_KINDS)
    position, rows = writing.held(store)
    assert rows == position * writing.ROWS
    if store.set_aside:
        names = {file.name for file in store.set_aside}
        assert names == {"hot.duckdb.aside-1.wal", "hot.duckdb.aside-2"}
        assert position == 0
    else:
        assert position >= 19
    for i in range(1, 25):
        writing.write(store, i)
    assert writing.held(store) == (24, 24 * writing.ROWS)
    store.close()


def test_damaged_rows_are_named_and_block_no_writer(left_by_kill: Path, tmp_path: Path) -> None:
    path = copied(left_by_kill, tmp_path)
    flip(path, path.stat().st_size - 5000)
    store = DuckStore(path, [IDX], MARKET_KINDS)
    with pytest.raises(Retry, match="file is damaged"):
        writing.held(store)
    before = store.positions()["idx.ticks"].position
    writing.write(store, before + 1)
    recent = store.ticks("idx", "BBCA", int(writing.ticks(before).column("ts")[0]), 2**62)
    assert len(recent) == 2 * writing.ROWS
    store.close()


def test_a_file_of_something_else_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "hot.duckdb"
    path.write_bytes(b"not a database" * 1000)
    store = opened(path)
    assert [file.name for file in store.set_aside] == ["hot.duckdb.aside-1"]
    assert store.positions() == {}
    store.close()
    again = opened(path)
    assert again.set_aside == ()
    again.close()


def test_a_failed_insert_leaves_nothing(tmp_path: Path) -> None:
    """The second table's insert fails: the first one's rows and all positions stay out, and the
    store goes on."""
    store = opened(tmp_path / "hot.duckdb")
    put(store, batch(OHLCV, [bar("BBCA", 0)]), batch(TICKS, [tick("BBCA", 1)]))
    with store._engine.transaction() as writer:
        writer.execute("alter table idx_ticks rename to idx_elsewhere")
    before = store.positions(), contract.bars(store), store.span("idx")
    with pytest.raises(duckdb.CatalogException):
        put(store, batch(OHLCV, [bar("BBCA", 1)]), batch(TICKS, [tick("BBCA", 2)]))
    assert (store.positions(), contract.bars(store), store.span("idx")) == before
    with store._engine.transaction() as writer:
        writer.execute("alter table idx_elsewhere rename to idx_ticks")
    put(store, batch(OHLCV, [bar("BBCA", 1)]), batch(TICKS, [tick("BBCA", 2)]))
    assert len(contract.bars(store)) == 2
    assert len(store.ticks("idx", "BBCA", *ALL)) == 2
    store.close()


def test_another_process_holds_the_file(tmp_path: Path) -> None:
    path = tmp_path / "hot.duckdb"
    store = opened(path)
    code = (
        "from pathlib import Path\n"
        "from bursa.model.errors import Refuse\n"
        "from tests.store.test_duckdb import opened\n"
        f"try: opened(Path({str(path)!r}))\n"
        "except Refuse as refused: print(refused.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "folder_held\n"
    put(store, batch(TICKS, [tick("BBCA", 1)]))
    store.close()


def test_a_store_that_waits_is_away_while_another_process_has_its_file(tmp_path: Path) -> None:
    path = tmp_path / "hot.duckdb"
    store = opened(path)
    put(store, batch(TICKS, [tick("BBCA", 1)]))
    store.close()
    code = (
        f"import duckdb\nheld = duckdb.connect({str(path)!r})\nprint('held', flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        store = DuckStore(path, [IDX], KINDS, waits=True)
        for _ in range(2):
            with pytest.raises(Retry, match="is held by another process"):
                store.positions()
        holder.communicate("\n")
    assert store.positions() and not store.set_aside
    assert len(store.ticks("idx", "BBCA", *ALL)) == 1
    store.close()


def test_bars_written_before_a_column_was_there_have_null_in_it(tmp_path: Path) -> None:
    path, new = tmp_path / "hot.duckdb", ("delta", "ruled", "bid_volume", "ask_volume", "nth")
    older = replace(OHLCV, columns=tuple(c for c in OHLCV.columns if c.name not in new))
    store = DuckStore(path, [IDX], (*(k for k in MARKET_KINDS if k is not OHLCV), older, METRICS))
    put(store, batch(older, [{k: v for k, v in bar("BBCA", 0).items() if k not in new}]))
    with store._engine.transaction() as writer:
        writer.execute("update bursa_schema set version = 1")
    store.close()
    store = DuckStore(path, [IDX], KINDS)
    put(store, batch(OHLCV, [bar("BBCA", 1)]))
    found = rows_of(store.bars("idx", "BBCA", *ALL))
    assert found == [bar("BBCA", 0) | dict.fromkeys(new), bar("BBCA", 1)]
    pieces = store.emitted("idx", 0, 2**62, start_ns=ALL[0], end_ns=ALL[1])
    emitted = [row for piece in pieces for row in rows_of(piece)]
    assert [row["nth"] for row in emitted] == [None, 2]
    store.close()


def test_new_columns_are_added_in_place(tmp_path: Path) -> None:
    path = tmp_path / "hot.duckdb"
    older = replace(METRICS, columns=tuple(c for c in METRICS.columns if c.name != "rsi_14"))
    store = DuckStore(path, [IDX], (*MARKET_KINDS, older))
    row = {k: v for k, v in metric("BBCA", 0, ema_20=5.0).items() if k != "rsi_14"}
    put(store, batch(OHLCV, [bar("BBCA", 0)]), batch(older, [row]))
    store.close()
    store = opened(path)
    put(store, batch(METRICS, [metric("BBCA", 1, rsi_14=60.0)]))
    found = rows_of(store.metrics("idx", "BBCA", *ALL))
    assert [(r["ema_20"], r["rsi_14"]) for r in found] == [(5.0, None), (None, 60.0)]
    store.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hot.duckdb"
    store = opened(path)
    with store._engine.transaction() as writer:
        writer.execute(f"update bursa_schema set version = {SCHEMA_VERSION + 1}")
    store.close()
    with pytest.raises(Refuse, match="newer bursa") as refused:
        opened(path)
    assert refused.value.code == "store_schema"


def test_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hot.duckdb"
    store = opened(path)
    with store._engine.transaction() as writer:
        writer.execute("alter table idx_ticks alter volume type integer")
    store.close()
    with pytest.raises(Refuse, match="idx_ticks.volume is stored as INTEGER, not DOUBLE"):
        opened(path)


def test_settling_changes_no_row(tmp_path: Path) -> None:
    store = opened(tmp_path / "hot.duckdb")
    rows = [bar(t, m, position=m + 1) for m in range(5) for t in ("TLKM", "BBCA", "ASII")]
    rows.append(bar("BBCA", 3, rev=1, position=50))
    put(store, batch(OHLCV, rows), batch(METRICS, [metric("BBCA", m) for m in range(5)]))
    text = "select * from idx_ohlcv order by all"
    before = store.select(text, Limits()).rows
    store.settle("idx", OPEN, OPEN + 4 * contract.MINUTE)
    assert store.select(text, Limits()).rows == before
    first = store.select("select ticker, ts from idx_ohlcv", Limits()).rows
    tickers = [ticker for ticker, ts in first if ts < OPEN + 4 * contract.MINUTE]
    assert tickers == ["ASII"] * 4 + ["BBCA"] * 5 + ["TLKM"] * 4
    put(store, batch(OHLCV, [bar("BBCA", 9)]))
    assert len(contract.bars(store)) == 6
    store.close()


@pytest.mark.parametrize("name", ["a?b", "a\\b"])
def test_a_folder_that_the_engine_takes_for_another_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").mkdir()
    with pytest.raises(Refuse, match="cannot lie in a folder with") as refused:
        opened(tmp_path / name / "hot.duckdb")
    assert refused.value.code == "bad_folder"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_after_close_it_is_away(tmp_path: Path) -> None:
    store = opened(tmp_path / "hot.duckdb")
    put(store, batch(TICKS, [tick("BBCA", 1)]))
    store.close()
    store.close()
    with pytest.raises(Retry):
        store.ticks("idx", "BBCA", *ALL)
    with pytest.raises(Retry):
        store.write([batch(TICKS, [tick("BBCA", 2)])], {"idx.ticks": Committed(2, 1)})
    assert not (tmp_path / "hot.duckdb.wal").exists()


def test_a_read_has_a_time_limit(tmp_path: Path) -> None:
    store = opened(tmp_path / "hot.duckdb", Options(point_s=0.05))
    with pytest.raises(Retry, match="maximum execution time"), store._engine.reading() as cursor:
        cursor.execute("select count(*) from range(1000000) a, range(1000000) b").fetchall()
    put(store, batch(TICKS, [tick("BBCA", 1)]))
    assert len(store.ticks("idx", "BBCA", *ALL)) == 1
    store.close()


def test_bytes_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "hot.duckdb"
    store = DuckStore(path, [IDX], MARKET_KINDS)
    for i in range(1, 4):
        writing.write(store, i)
    found = store.bytes()
    assert found.log > 100_000
    assert found.file == path.stat().st_size
    store.close()


def test_views_show_the_newest_revision(tmp_path: Path) -> None:
    store = opened(tmp_path / "hot.duckdb")
    put(
        store,
        batch(
            METRICS,
            [metric("BBCA", 0, hd=1.0), metric("BBCA", 0, rev=1, hd=2.0, hd_mapo=3.0, rsi_14=9.0)],
        ),
    )
    answer = store.select("select symbol, freq, value, mapo from idx_metrics_hd", Limits())
    assert answer.rows == [["BBCA", "1m", 2.0, 3.0]]
    answer = store.select("select * exclude (ts) from idx_metrics_rsi", Limits())
    assert answer.columns == ("symbol", "freq", "value", "mapo", "direction")
    assert answer.rows == [["BBCA", "1m", 9.0, None, None]]
    store.close()
