"""A repair and a backfill are killed (-9) at and inside every step, and ordered again: what is
stored in the end is what an undisturbed run leaves, each row once, and the journal alone gives it.
"""

import multiprocessing
import shutil
from pathlib import Path
from random import Random

import pytest

from bursa.jobs import backfill_ohlcv
from tests.faults import entry_life
from tests.jobs.test_repair import END, START, Venue, rebuilt_alike, recorded
from tests.pipeline import rows

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.entry_life"])
LIFE_S = 240.0
# Places that are tried where all would take too long.
TRIED = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with late trades."""
    return recorded(tmp_path_factory.mktemp("made") / "data", 0.03)


def lived(data: Path, at: int) -> list[str]:
    """A life that ends at a place, if it comes to it; the places it came to."""
    told = data.parent / f"places of {data.name}"
    process = CONTEXT.Process(target=entry_life.life, args=(str(data), str(told), at))
    process.start()
    process.join(LIFE_S)
    assert process.exitcode in (-9, 0), process.exitcode
    return told.read_text().splitlines()


def settled(data: Path) -> dict[str, str]:
    """Order both again; what is stored then, but for when it was entered."""
    with Venue(data) as venue:
        venue.repair()
        job = backfill_ohlcv.OhlcvJob(venue.runtime, backfill_ohlcv.Order(START, END))
        assert venue.do(job)["written"] == 0
        for kind in ("ohlcv", "metrics"):
            found = venue.all(kind)
            key = (found.column(name).tolist() for name in ("ticker", "ts", "rev"))
            assert len(set(zip(*key, strict=True))) == len(found), f"{kind}: each row once"
        return venue.hashes(rows.ARRIVAL)


def test_killed_anywhere_and_ordered_again_it_ends_alike(
    made: Path, tmp_path: Path, soak: bool
) -> None:
    shutil.copytree(made, tmp_path / "whole")
    places = lived(tmp_path / "whole", 0)
    assert {"before append", "after append", "before sync", "before commit"} <= set(places)
    whole = settled(tmp_path / "whole")
    everywhere = list(range(1, len(places) + 1))
    chosen = everywhere if soak else sorted(Random(4).sample(everywhere, TRIED))
    for at in chosen:
        data = tmp_path / f"killed at {at}"
        shutil.copytree(made, data)
        lived(data, at)
        assert settled(data) == whole, f"{at}: {places[at - 1]}"
        assert rebuilt_alike(data), f"{at}: {places[at - 1]}"
        shutil.rmtree(data)
