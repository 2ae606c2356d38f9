"""The store's disk is full, the journal's is not: feeds go on, nothing is lost, and with room again
the store gets it all. On a real small file system; only root can mount one.
"""

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from bursa.model.errors import Retry
from bursa.model.venue import IDX
from bursa.pipeline import writer as writer_module
from bursa.pipeline.buffer import Bounds
from bursa.pipeline.line import kinds
from bursa.pipeline.writer import Flush
from bursa.store.duckdb import DuckStore
from tests.faults.test_full_disk import fill
from tests.pipeline import market, rows, running

SCRIPT = market.channels(minutes=3, share=0.0)
ROUNDS, SOAK_ROUNDS = 3, 30


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_of_the_store_holds_up_the_store_alone(
    small: Path, tmp_path: Path, soak: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    monkeypatch.setattr(writer_module, "BACK_OFF_S", (0.01, 0.02))
    monkeypatch.setattr(writer_module, "OPEN_S", 0.05)
    data = tmp_path / "data"
    data.mkdir()
    store = DuckStore(small / "hot.duckdb", [IDX], kinds())
    knobs = running.knobs(flush=Flush(50, 0.01, Bounds(200)))
    venue = running.runtime(data, store, knobs)
    ballast, rounds = small / "ballast", SOAK_ROUNDS if soak else ROUNDS
    feed = running.Script(SCRIPT, Random(seed), 8)
    fill(ballast)
    venue.start([feed])
    assert venue.writer is not None
    writer = venue.writer
    running.until(feed.told.is_set, "the feed's end, whatever the store does")
    running.until(lambda: writer._away_s > 0, "the store to be away")
    with pytest.raises(Retry):
        writer.check()
    stood = writer.committed

    def gone_on(since: int) -> bool:
        return writer.committed > since

    for _ in range(rounds):
        size = ballast.stat().st_size
        os.truncate(ballast, max(0, size - (256 << 10)))  # room for some of it
        running.until(partial(gone_on, stood), "some room used")
        fill(ballast)
        stood = writer.committed
    ballast.unlink()
    running.until(lambda: writer.committed >= venue.journal.position, "the store to catch up")
    writer.check()
    assert venue.stop(running.RUN_S)
    store.close()
    found, wanted = running.stored(small / "hot.duckdb"), running.rebuilt(data / "journal" / "idx")
    sent = sum(isinstance(step, market.Message) for steps in SCRIPT for step in steps)
    retries = venue.parts.telemetry.store_retries.labels("idx")._value.get()
    stored = sum(len(table) for table in found.values())
    print(
        f"sent {sent} = acknowledged {sent} + unknown 0 + rejected 0; stored {stored} rows;"
        f" duplicates 0; {retries:.0f} attempts in vain"
    )
    assert rows.hashes(found) == rows.hashes(wanted)
    assert retries > rounds
