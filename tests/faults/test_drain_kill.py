"""A drain and the retention behind it are killed (-9) at and inside every step, and begun again.

After each kill readers see every row once, before anything was done about it; the next run brings
everything to where an undisturbed one does: the same files by hash, nothing left over.
"""

import multiprocessing
import shutil
from datetime import date
from pathlib import Path
from random import Random

import pytest

from bursa.model.schema import OHLCV, TICKS
from bursa.store.compare import Digest
from tests.faults import drain_life
from tests.pipeline.tiered import DAYS, NEXT, Bench, rows_of_day

KINDS = (TICKS, OHLCV)
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.drain_life"])
LIFE_S = 180.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One day cold alone with late rows, one drained and hot, one that is over, and the next."""
    bench = Bench(tmp_path_factory.mktemp("made") / "data")
    for kind in KINDS:
        bench.put(kind, rows_of_day(kind, DAYS[0]) + rows_of_day(kind, DAYS[1]))
    bench.drain(days=[str(day) for day in DAYS[:2]])
    bench.retain |= {"ticks": 3, "ohlcv": 3}
    bench.retention()
    for kind in KINDS:
        bench.put(kind, rows_of_day(kind, DAYS[2]) + rows_of_day(kind, NEXT))
        bench.put_late(kind, rows_of_day(kind, DAYS[0], seed=1))
    bench.retention(days=3)
    for kind in KINDS:
        bench.put_late(kind, rows_of_day(kind, DAYS[0], seed=2))
    assert bench.hot.stray_days("idx", "ticks") == [DAYS[0]]
    assert bench.hot_days("ohlcv") == [*DAYS, NEXT]
    bench.close()
    return bench.data


def lived(data: Path, at: int) -> list[str]:
    """A life that ends at a place; the places it came to."""
    told = data.parent / f"places of {data.name}"
    process = CONTEXT.Process(target=drain_life.life, args=(str(data), str(told), at))
    process.start()
    process.join(LIFE_S)
    assert process.exitcode == (-9 if at else 0), process.exitcode
    return told.read_text().splitlines()


def seen(data: Path) -> dict[str, Digest]:
    bench = Bench(data)
    try:
        return bench.held()
    finally:
        bench.close()


def in_order(data: Path, rows: dict[str, Digest], hashes: dict[tuple[str, date], str]) -> None:
    """As after an undisturbed run."""
    bench = Bench(data)
    try:
        assert bench.held() == rows
        assert bench.hashes() == hashes
        assert bench.hot.stray_days("idx", "ticks") == bench.hot.stray_days("idx", "ohlcv") == []
        assert bench.hot_days("ticks") == [NEXT]
        assert bench.hot_days("ohlcv") == [DAYS[2], NEXT]
        bench.drain()
        assert len(list((data / "cold").glob("idx_*/date=*/*"))) == 6
    finally:
        bench.close()


def test_a_drain_is_killed_at_every_step_and_inside(made: Path, tmp_path: Path, soak: bool) -> None:
    rows, whole = seen(made), shutil.copytree(made, tmp_path / "whole")
    places = lived(whole, 0)
    bench = Bench(whole)
    hashes = bench.hashes()
    bench.close()
    assert seen(whole) == rows
    in_order(whole, rows, hashes)
    kinds = {name.partition(" ")[2] for name in places}
    wanted = {"fsync", "rename", "write_table", "close", "commit", "delete", "insert", "unlink"}
    assert kinds >= wanted, kinds
    every = range(1, len(places) + 1)
    for at in every if soak else sorted(Random(6).sample(every, 3)):
        data = shutil.copytree(made, tmp_path / f"at {at}")
        killed = lived(data, at)
        assert killed == places[:at]
        assert seen(data) == rows, places[at - 1]
        again = lived(data, 0)
        assert again
        in_order(data, rows, hashes)
        shutil.rmtree(data)
    print(f"killed at {len(every) if soak else 3} of {len(places)} places")


def test_killed_again_and_again_it_comes_to_its_end(made: Path, tmp_path: Path, soak: bool) -> None:
    rows, rng = seen(made), Random(7)
    whole = shutil.copytree(made, tmp_path / "whole")
    places = len(lived(whole, 0))
    bench = Bench(whole)
    hashes = bench.hashes()
    bench.close()
    data, killed = shutil.copytree(made, tmp_path / "data"), 0
    for _ in range(60 if soak else 2):
        at = rng.randrange(1, places // 2)
        told = data.parent / "places"
        process = CONTEXT.Process(target=drain_life.life, args=(str(data), str(told), at))
        process.start()
        process.join(LIFE_S)
        assert process.exitcode in (0, -9)
        killed += process.exitcode == -9
        if process.exitcode == 0:
            break
    assert killed
    assert lived(data, 0)
    in_order(data, rows, hashes)
