"""The disk fills up while a drain writes, on a real small file system, with ever more room left.

Each time it ends and says so, every row is still there, and with room it comes to its end.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursa.model.errors import Retry
from bursa.model.schema import OHLCV, TICKS
from tests.faults.test_full_disk import fill
from tests.pipeline.tiered import DAYS, NEXT, Bench, rows_of_day

ROOMS = (0, 4_096, 16_384, 40_960, 81_920, 163_840, 327_680)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a file system of its own; only root can mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_a_drain_and_costs_no_row(small: Path) -> None:
    bench = Bench(small / "data")
    for kind in (TICKS, OHLCV):
        bench.put(kind, rows_of_day(kind, DAYS[0]) + rows_of_day(kind, DAYS[1]))
    bench.drain(days=[str(DAYS[0])])
    for kind in (TICKS, OHLCV):
        bench.put(kind, rows_of_day(kind, NEXT, 200))
    bench.retention(days=2)
    for kind in (TICKS, OHLCV):
        bench.put_late(kind, rows_of_day(kind, DAYS[0], 200, seed=1))
    rows, ended = bench.held(), 0
    ballast = small / "ballast"
    for room in ROOMS:
        fill(ballast)
        with ballast.open("r+b") as file:
            file.truncate(max(0, ballast.stat().st_size - room))
        try:
            bench.drain()
            bench.retention()
        except Retry as full:
            ended += 1
            assert "space" in str(full).lower(), full
        ballast.unlink()
        assert bench.held() == rows, room
    assert ended >= 2
    assert bench.drain()["failed"] == 0
    bench.retention()
    assert bench.held() == rows
    assert bench.hot.stray_days("idx", "ticks") == [] and bench.hot_days("ticks") == [NEXT]
    bench.close()
    bench.open()
    assert bench.held() == rows
    bench.close()
    left = [path.name for path in (small / "data" / "cold").glob("idx_*/date=*/*.tmp")]
    assert not left
