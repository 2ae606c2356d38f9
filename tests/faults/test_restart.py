"""Metrics after a kill -9: a new process with an empty compile cache goes on from the checkpoint's
file to the bit, with a metric that its checkpoint had not got; so does the whole program (--soak).
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random
from time import sleep

import numpy as np
import pytest

from bursa.journal import checkpoint
from bursa.metrics.catalog import catalogue
from bursa.metrics.engine import MetricEngine
from bursa.model.batch import Block
from bursa.model.schema import OHLCV
from bursa.model.venue import IDX
from tests.faults import engine_life, test_kill
from tests.faults.process import Bursa, configure
from tests.metrics.bars import DAY, MINUTE, OPENING
from tests.pipeline import rows, running

LIFE = Path(engine_life.__file__)
COLD_S = 600.0


def some_bars() -> Block:
    """Three days of bars of 20 symbols, some revised within eight minutes, some late."""
    random = np.random.default_rng(3)
    columns: list[list[int]] = []
    revs: dict[tuple[int, int], int] = {}
    price = np.full(engine_life.SYMBOLS, 500.0)

    def put(symbol: int, ts: int) -> None:
        rev = revs[symbol, ts] = revs.get((symbol, ts), -1) + 1
        price[symbol] = max(50.0, price[symbol] + float(random.integers(-3, 4)) * 5)
        bits = np.array([price[symbol], 100.0 * int(random.integers(1, 90))]).view(np.int64)
        said = {"ticker": symbol, "ts": ts, "rev": rev, "volume": bits[1], "trades": 2, "final": 1}
        said |= dict.fromkeys(("open", "high", "low", "close", "vwap"), bits[0])
        said |= {
            "source": -1,
            "value": bits[1],
            "known_at": ts,
            "ts_recv": ts,
            "position": len(columns) + 1,
        }
        columns.append([int(said.get(column.name, 0)) for column in OHLCV.columns])

    for n in range(3 * 25):
        now = OPENING + n // 25 * DAY + n % 25 * MINUTE
        for symbol in range(engine_life.SYMBOLS):
            if random.random() < 0.6:
                put(symbol, now)
            if random.random() < 0.1 and n % 25 > 5:
                put(symbol, now - int(random.integers(1, 5)) * MINUTE)
    return np.array(columns, np.int64).T.copy()


def lived(folder: Path, extra: list[str], rng: Random | None, cache: Path | None) -> int:
    """One life; with `rng` it is killed at a random place. Where it began."""
    life = subprocess.Popen(
        [sys.executable, str(LIFE), str(folder), *extra],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | ({} if cache is None else {"NUMBA_CACHE_DIR": str(cache)}),
    )
    assert life.stdin is not None and life.stdout is not None
    try:
        begun = int(life.stdout.readline().split()[1])
        if rng is None:
            life.communicate(timeout=COLD_S)
            assert life.returncode == 0
        else:
            pushes = rng.randrange(12, 25)
            life.stdin.write("\n" * pushes)
            life.stdin.flush()
            for _ in range(rng.randrange(10, pushes)):
                life.stdout.readline()
            sleep(rng.random() * 0.02)
    finally:
        life.kill()
        life.wait(COLD_S)
        life.stdin.close()
        life.stdout.close()
    return begun


def check(folder: Path, extra: list[str], bars: Block, begun: int) -> int:
    """The rows of a life are those of an engine that was never killed and always had its metrics;
    how many."""
    all_bars = engine_life.batch_of(bars)
    engine = MetricEngine(IDX, all_bars.words, catalogue(extra))
    engine.push(engine_life.batch_of(bars[:, :begun]))
    expected = engine.push(engine_life.batch_of(bars[:, begun:])).block.T
    found = np.fromfile(folder / "rows", np.int64)
    found = found[: len(found) // expected.shape[1] * expected.shape[1]]
    found = found.reshape(-1, expected.shape[1])
    np.testing.assert_array_equal(found, expected[: len(found)])
    return len(found)


def test_killed_metrics_go_on_to_the_bit_in_a_process_that_compiles_anew(tmp_path: Path) -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    rng, bars = Random(seed), some_bars()
    np.save(tmp_path / "bars.npy", bars)
    begun = []
    for extra in ([], [], ["ema_9"]):
        begun.append(lived(tmp_path, extra, rng, None))
        check(tmp_path, extra, bars, begun[-1])
    extra = ["rsi_3", "ema_9"]
    begun.append(lived(tmp_path, extra, None, tmp_path / "empty"))
    assert check(tmp_path, extra, bars, begun[-1]) > 100
    assert list((tmp_path / "empty").rglob("*.nbc")), "it compiled"
    assert 0 == begun[0] < begun[-1] and begun == sorted(begun)
    assert checkpoint.listing(tmp_path)[-1].position == bars.shape[1]


@pytest.mark.timeout(3600)
def test_the_program_goes_on_after_a_kill_with_an_empty_compile_cache(
    tmp_path: Path, soak: bool
) -> None:
    if not soak:
        pytest.skip("it compiles everything: --soak")
    with test_kill.market(tmp_path / "exchange") as (_, relay):
        data = tmp_path / "data"
        verb = ["up", "--config", str(configure(tmp_path / "c.toml", relay.ports))]
        life = Bursa(data, verb)
        try:
            life.until(lambda: checkpoint.listing(data / "checkpoints" / "idx"), "a checkpoint")
            sleep(2.0)
            life.kill()
            life = Bursa(data, verb, environment={"NUMBA_CACHE_DIR": str(tmp_path / "empty")})
            life.until(lambda: re.search("listening", life.out()), "listening", COLD_S)
            assert life.recovered()["checkpoint"] > 0
            sleep(5.0)
            assert life.terminate() == 0, life.log()[-2000:]
        finally:
            life.end()
        found = rows.hashes(running.stored(data / "hot.duckdb"))
        assert found == test_kill.rebuilt(data, tmp_path / "rebuilt")
