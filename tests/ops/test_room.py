"""Tables that lie in memory or in a file hold the same, and leave nothing behind."""

import errno
import gc
import os
from pathlib import Path

import numpy as np
import pytest

from bursa.ops.room import FileRoom, Room, SparseRoom

ROOMS = ("memory", "sparse", "file", "full disk")


@pytest.fixture(params=ROOMS)
def room(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    if request.param == "memory":
        return Room()
    if request.param == "sparse":
        return SparseRoom()
    if request.param == "full disk":
        monkeypatch.setattr(os, "posix_fallocate", _full)
    return FileRoom(tmp_path)


def _full(file: int, offset: int, size: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_table_keeps_what_is_written_to_it(room: Room) -> None:
    assert room.take(0, 9).shape == (0, 9)
    table = room.take(40, 1000)
    assert table.shape == (40, 1000) and table.dtype == np.float64
    assert table.ctypes.data % 64 == 0 and table.flags.c_contiguous
    assert not table.any()
    table[3], table[39, 999] = np.arange(1000), -0.5
    before = table.copy()
    room.spare()
    assert np.array_equal(table, before)
    longer = room.grow(table, 90)
    room.spare()
    assert np.array_equal(longer[:40], before) and not longer[40:].any()
    longer[89] = 7.0
    assert longer[89].sum() == 7000.0
    # One that is taken anew is another one.
    other = room.take(40, 1000)
    assert not other.any() and longer[89].sum() == 7000.0
    # What was taken elsewhere can be grown too.
    foreign = np.ones((2, 1000))
    assert np.array_equal(room.grow(foreign, 3), [*foreign, np.zeros(1000)])


def test_a_disk_that_is_full_by_then_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = FileRoom(tmp_path)
    table = room.take(10, 600)
    table[:] = 2.0
    monkeypatch.setattr(os, "posix_fallocate", _full)
    longer = room.grow(table, 20)
    assert longer.sum() == 12_000.0 and not longer[10:].any()


def test_no_file_and_no_descriptor_stays(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    room = FileRoom(tmp_path)
    for rows in range(1, 9):
        table = room.grow(room.take(rows, 100), rows + 1)
        assert not list(tmp_path.iterdir()), "it has no name"
    del table, room
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def resident_kb() -> int:
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))


def test_what_is_spared_is_in_memory_no_more(tmp_path: Path) -> None:
    room = FileRoom(tmp_path)
    table = room.take(4096, 4096)
    table[:] = 1.0
    full = resident_kb()
    room.spare()
    assert full - resident_kb() > 100_000, "of 128 MB"
    assert table[::512].sum() == 8 * 4096
