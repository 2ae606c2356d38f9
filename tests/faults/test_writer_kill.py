"""The writer is killed with SIGKILL in an insert, a commit and the keeping of dead letters (P3).

Life after life on the same folder, each killed at another place; the last one comes to the end.
Each row is stored or a dead letter then, once. (test_kill.py kills the whole program.)
"""

import shutil
import subprocess
import sys
from pathlib import Path
from random import Random
from signal import SIGKILL

import pytest

from bursa.model.venue import IDX
from bursa.state.sqlite import STATE_FILE, StateDb
from bursa.store.duckdb import DuckStore
from tests.faults.test_writer_calls import EACH, balanced, entries, picky_file
from tests.pipeline.dead import Doors, live
from tests.store.contract import KINDS

LIFE = Path(__file__).with_name("writer_life.py")
TOP = Path(__file__).parents[2]
KILLS, SOAK_KILLS, PUSHES = 2, 400, 40
# A life that nothing befalls has more statements than this.
PLACES = 60


def life(folder: Path, at: int, how: str) -> str:
    """One life; where it was killed."""
    asked = [sys.executable, str(LIFE), str(folder), str(at), how, str(PUSHES)]
    done = subprocess.run(
        asked, capture_output=True, text=True, timeout=240, check=False, cwd=TOP,
        env={"PYTHONPATH": f"{TOP}:{TOP / 'src'}"},
    )  # fmt: skip
    said = done.stdout.split("\n")[-2] if done.stdout else ""
    assert done.returncode == (0 if said == "end" else -SIGKILL), done.stderr[-2000:]
    return said


@pytest.mark.timeout(7200)
def test_a_killed_writer_loses_and_doubles_nothing(tmp_path: Path, soak: bool) -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    rng, killed = Random(seed), list[str]()
    shutil.copy(picky_file(tmp_path), tmp_path / "hot.duckdb")
    for _ in range(SOAK_KILLS if soak else KILLS):
        said = life(tmp_path, rng.randint(1, PLACES), rng.choice(("before", "after")))
        if said == "end":
            break
        killed.append(said)
    store, state = DuckStore(tmp_path / "hot.duckdb", [IDX], KINDS), StateDb(tmp_path / STATE_FILE)
    of = entries(PUSHES)
    assert live(store, state.letters, Doors(), of, EACH) is None
    print(balanced(store, state.letters, of, f"killed {len(killed)} times: {killed}"))
    store.close()
    state.close()
    assert killed
