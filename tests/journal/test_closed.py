"""Closed segments: compressed behind the writer's back, given up half done, retired in order."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from bursa.journal.closed import Compressor, compress, retire
from bursa.journal.packed import FRAME
from bursa.journal.read import JournalReader
from bursa.journal.segment import listing
from bursa.journal.write import JournalWriter
from bursa.model.batch import BLOCKS
from bursa.ports import Frames


def fill(folder: Path, count: int, size: int = 3000, segment_bytes: int = 6000) -> JournalWriter:
    writer = JournalWriter(folder, "idx", now_ns=lambda: 1, segment_bytes=segment_bytes)
    for seq in range(1, count + 1):
        writer.append([Frames(0, BLOCKS, "", seq, 1, 0, b"%5d" % seq * (size // 5))])
    return writer


def seqs(folder: Path) -> list[int]:
    return [r.first_seq for r in JournalReader(folder).records()]


def test_all_but_the_newest_closed_are_compressed_oldest_first(tmp_path: Path) -> None:
    writer = fill(tmp_path, 5)
    compressor = Compressor(tmp_path, lambda: writer.base)
    bases = [s.base for s in listing(tmp_path)]
    assert [compressor.pump() for _ in range(4)] == [*bases[:3], None]
    assert [s.packed for s in listing(tmp_path)] == [True, True, True, False, False]
    assert [s.base for s in listing(tmp_path)] == bases
    assert seqs(tmp_path) == [1, 2, 3, 4, 5]
    everything = Compressor(tmp_path, lambda: writer.base, keep=0)
    assert [everything.pump(), everything.pump()] == [bases[3], None]
    writer.append([Frames(0, BLOCKS, "", 6, 1, 0, b"")])
    writer.close()
    assert seqs(tmp_path) == [1, 2, 3, 4, 5, 6]
    again = JournalWriter(tmp_path, "idx", now_ns=lambda: 1, floor=writer.position)
    assert again.position == writer.position
    again.close()


def test_the_thread_keeps_up_with_a_writer_and_stops(tmp_path: Path) -> None:
    writer = fill(tmp_path, 1)
    compressor = Compressor(tmp_path, lambda: writer.base)
    compressor.start(pause_s=0.01)
    for seq in range(2, 40):
        writer.append([Frames(0, BLOCKS, "", seq, 1, 0, bytes(3000))])
    until = time.monotonic() + 90
    while sum(s.packed for s in listing(tmp_path)) < 37 and time.monotonic() < until:
        time.sleep(0.01)
    compressor.stop()
    writer.close()
    assert sum(not s.packed for s in listing(tmp_path)) == 2
    assert seqs(tmp_path) == list(range(1, 40))
    assert compressor.errors == 0
    assert "compress" not in [thread.name for thread in threading.enumerate()]


def test_a_cancelled_compression_leaves_the_segment(tmp_path: Path) -> None:
    fill(tmp_path, 4, size=FRAME, segment_bytes=FRAME * 8).close()
    [segment] = listing(tmp_path)
    asked = []

    def after_two() -> bool:
        asked.append(1)
        return len(asked) > 2

    assert not compress(segment.path, cancelled=after_two)
    assert listing(tmp_path) == [segment]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_segment_there_both_ways_is_read_once_and_settled(tmp_path: Path) -> None:
    """A kill between the new file's rename and the old one's removal."""
    writer = fill(tmp_path, 3)
    path = listing(tmp_path)[0].path
    data = path.read_bytes()
    compress(path)
    path.write_bytes(data)
    assert seqs(tmp_path) == [1, 2, 3]
    assert [s.packed for s in listing(tmp_path)] == [False, False, False]
    Compressor(tmp_path, lambda: writer.base).pump()
    assert not path.exists()
    assert seqs(tmp_path) == [1, 2, 3]
    writer.close()


def test_a_compressed_last_segment_is_gone_on_from(tmp_path: Path) -> None:
    writer = fill(tmp_path, 2)
    writer.close()
    for segment in listing(tmp_path):
        compress(segment.path)
    again = JournalWriter(tmp_path, "idx", now_ns=lambda: 1, floor=writer.position)
    assert (again.epoch, again.position) == (2, writer.position)
    again.append([Frames(0, BLOCKS, "", 3, 1, 0, b"")])
    again.close()
    assert seqs(tmp_path) == [1, 2, 3]


def test_zstd_itself_reads_a_segment(tmp_path: Path) -> None:
    fill(tmp_path, 4, size=FRAME, segment_bytes=FRAME * 8).close()
    [segment] = listing(tmp_path)
    data = segment.path.read_bytes()
    compress(segment.path)
    try:
        done = subprocess.run(
            ["zstd", "-dc", str(listing(tmp_path)[0].path)], capture_output=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("no zstd program here")
    assert done.stdout == data


def test_retention_takes_the_oldest_and_never_what_is_needed(tmp_path: Path) -> None:
    writer = fill(tmp_path, 6)
    segments = listing(tmp_path)
    size = segments[0].disk_bytes
    ends = [s.end for s in segments]
    assert retire(tmp_path, 6 * size, ends[-1]) == []
    assert retire(tmp_path, 0, 0) == []
    assert retire(tmp_path, 0, ends[0] - 1) == []
    assert retire(tmp_path, 5 * size, ends[-1]) == segments[:1]
    assert retire(tmp_path, 0, ends[2]) == segments[1:3]
    compress(segments[3].path)
    [gone] = retire(tmp_path, 2 * size, ends[-1])
    assert gone.packed and gone.base == segments[3].base
    assert [s.base for s in retire(tmp_path, 0, ends[-1])] == [segments[4].base]
    assert listing(tmp_path) == segments[5:]
    assert seqs(tmp_path) == [6]
    writer.close()


def test_what_is_retired_while_it_is_compressed_stays_gone(tmp_path: Path) -> None:
    writer = fill(tmp_path, 3)
    segments = listing(tmp_path)

    def retire_meanwhile() -> bool:
        retire(tmp_path, 0, segments[0].end)
        return False

    assert not compress(segments[0].path, cancelled=retire_meanwhile)
    assert [s.base for s in listing(tmp_path)] == [s.base for s in segments[1:]]
    assert not list(tmp_path.glob("*.tmp"))
    writer.close()


def test_a_full_disk_leaves_segments_plain(full_disk: Path) -> None:
    folder = full_disk / "j"
    writer = JournalWriter(folder, "idx", now_ns=lambda: 1, segment_bytes=100_000)
    for _ in range(14):
        writer.append([Frames(0, BLOCKS, "", 1, 1, 0, os.urandom(30_000))])
    compressor = Compressor(folder, lambda: writer.base)
    with pytest.raises(OSError):
        for _ in range(9):
            compressor.pump()
    assert not list(folder.glob("*.tmp"))
    assert len(seqs(folder)) == 14
    writer.close()
