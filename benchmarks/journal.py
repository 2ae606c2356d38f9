"""The journal beside the disk's own figure, what an append costs, and how soon it is on disk.

append_mb_s       64 KiB records, a sync each MiB, against `fdatasync`: write and fdatasync of the
                  same bytes in the same pattern, the page cache given back the same way
group_mb_s        64 KiB records as fast as they go beside the group commit, until all is on disk
append_small_us   a turn of three records of 300 bytes in one write; write_small_us is that write
durable_*_12000   from append to synced, 1,000 turns a second of 12 messages, by the group commit
read_mb_s         all of it again, from disk, checksums verified, against `copy`: the same bytes
                  read in the same pieces
checkpoint_ms     4 MB of state, saved durable
"""

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks import report
from bursa.journal import checkpoint
from bursa.journal.read import BYTES_MAX, JournalReader
from bursa.journal.record import padded
from bursa.journal.segment import CACHE_BYTES, listing
from bursa.journal.sync import GroupSync
from bursa.journal.write import JournalWriter
from bursa.model.batch import SOUPBIN
from bursa.ports import Frames

RECORD_BYTES = 65_536
SYNC_BYTES = 1 << 20
SMALL_BYTES, SMALL_RECORDS = 300, 3
RATE, TURNS_S = 12_000, 1_000


def frames(size: int) -> Frames:
    return Frames(0, SOUPBIN, "S", 1, 1, 0, os.urandom(size))


def opened(folder: Path) -> JournalWriter:
    shutil.rmtree(folder, ignore_errors=True)
    return JournalWriter(folder, "idx", now_ns=time.time_ns)


def append(folder: Path, total: int) -> float:
    """MB/s through the journal."""
    writer = opened(folder)
    items = [frames(RECORD_BYTES)]
    began = time.perf_counter()
    while writer.position < total:
        chunk = writer.append(items)
        if chunk.span.last // SYNC_BYTES != chunk.span.first // SYNC_BYTES:
            writer.sync()
    took = time.perf_counter() - began
    writer.close()
    return total / took / 1e6


def append_group(folder: Path, total: int) -> float:
    """MB/s through the journal, a thread syncing as bursa's does."""
    writer = opened(folder)
    group = GroupSync(writer)
    group.start()
    items = [frames(RECORD_BYTES)]
    began = time.perf_counter()
    while writer.position < total:
        writer.append(items)
    group.wait(writer.position)
    took = time.perf_counter() - began
    group.stop()
    writer.close()
    return total / took / 1e6


def disk(path: Path, total: int) -> float:
    """MB/s of the disk."""
    record = os.urandom(padded(RECORD_BYTES))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    began = time.perf_counter()
    done = dropped = 0
    while done < total:
        os.write(fd, record)
        done += len(record)
        if done // SYNC_BYTES != (done - len(record)) // SYNC_BYTES:
            os.fdatasync(fd)
            if done - CACHE_BYTES > dropped:
                os.posix_fadvise(fd, dropped, done - CACHE_BYTES - dropped, os.POSIX_FADV_DONTNEED)
                dropped = done - CACHE_BYTES
    took = time.perf_counter() - began
    os.close(fd)
    path.unlink()
    return total / took / 1e6


def append_small(folder: Path, turns: int) -> float:
    """Microseconds an append."""
    writer = opened(folder)
    items = [frames(SMALL_BYTES) for _ in range(SMALL_RECORDS)]
    began = time.perf_counter()
    for _ in range(turns):
        writer.append(items)
    took = time.perf_counter() - began
    writer.close()
    return took / turns * 1e6


def write_small(path: Path, turns: int) -> float:
    """Microseconds a write of as many bytes."""
    record = os.urandom(padded(SMALL_BYTES) * SMALL_RECORDS)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    began = time.perf_counter()
    for _ in range(turns):
        os.write(fd, record)
    took = time.perf_counter() - began
    os.close(fd)
    path.unlink()
    return took / turns * 1e6


def durable(folder: Path, seconds: float) -> tuple[float, float]:
    """p50 and p99 in ms from the append to the sync that covers it."""
    writer = opened(folder)
    waiting: list[tuple[int, float]] = []
    delays: list[float] = []
    lock = threading.Lock()

    def synced(position: int, took_s: float) -> None:
        now = time.perf_counter()
        with lock:
            done = sum(1 for at, _ in waiting if at <= position)
            delays.extend(now - began for _, began in waiting[:done])
            del waiting[:done]

    group = GroupSync(writer, on_synced=synced)
    group.start()
    items = [frames(80 * RATE // TURNS_S)]
    began = time.perf_counter()
    for turn in range(int(seconds * TURNS_S)):
        while (now := time.perf_counter()) < began + turn / TURNS_S:
            time.sleep(max(0.0, began + turn / TURNS_S - now))
        position = writer.append(items).span.last
        with lock:
            waiting.append((position, now))
    group.stop()
    writer.close()
    hundredths = statistics.quantiles(delays, n=100)
    return hundredths[49] * 1e3, hundredths[98] * 1e3


def drop_cache(folder: Path) -> None:
    for segment in listing(folder):
        fd = os.open(segment.path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def read(folder: Path) -> float:
    """MB/s of journal read and verified."""
    drop_cache(folder)
    began = time.perf_counter()
    size = sum(chunk.frames.nbytes for chunk in JournalReader(folder).chunks(0))
    return size / (time.perf_counter() - began) / 1e6


def copy(folder: Path) -> float:
    """MB/s of its files read."""
    drop_cache(folder)
    began, size = time.perf_counter(), 0
    for segment in listing(folder):
        with segment.path.open("rb", buffering=0) as file:
            while got := file.readinto(np.empty(BYTES_MAX, np.uint8).data):
                os.posix_fadvise(file.fileno(), size, got, os.POSIX_FADV_DONTNEED)
                size += got
    return size / (time.perf_counter() - began) / 1e6


def saved(folder: Path) -> float:
    """Milliseconds a checkpoint."""
    rng = np.random.default_rng(1)
    state = {str(n): rng.integers(0, 2**20, 25_000) for n in range(20)}
    began = time.perf_counter()
    checkpoint.save(
        folder, position=1, epoch=1, day=date(2026, 1, 1), signature="s", state={"line": state}
    )
    return (time.perf_counter() - began) * 1e3


def measure(folder: Path, options: argparse.Namespace) -> list[report.Result]:
    total, turns, rounds = (48 << 20, 4_000, 3) if options.quick else (512 << 20, 40_000, 7)
    journal, raw = folder / "journal", folder / "raw"
    big = report.interleave(
        {"ours": lambda: append(journal, total), "fdatasync": lambda: disk(raw, total)}, rounds
    )
    group = report.interleave({"ours": lambda: append_group(journal, total)}, rounds)
    append(journal, total)
    whole = report.interleave(
        {"ours": lambda: read(journal), "copy": lambda: copy(journal)}, rounds
    )
    small = report.interleave(
        {"ours": lambda: append_small(journal, turns), "write": lambda: write_small(raw, turns)},
        rounds,
    )
    p50, p99 = durable(journal, 3 if options.quick else 20)
    save = report.interleave({"ours": lambda: saved(folder / "checkpoints")}, rounds)
    return [
        *report.against("append_mb_s", big, "ours", "MB/s"),
        report.Result("group_mb_s", group["ours"], "MB/s"),
        report.Result("append_small_us", small["ours"], "us"),
        report.Result("write_small_us", small["write"], "us"),
        *report.against("read_mb_s", whole, "ours", "MB/s"),
        report.Result("durable_p50_ms_12000", p50, "ms"),
        report.Result("durable_p99_ms_12000", p99, "ms"),
        *report.against("checkpoint_ms", save, "ours", "ms"),
    ]


def main() -> None:
    options = report.arguments(__doc__)
    # Not under /tmp: that may be memory.
    with tempfile.TemporaryDirectory(prefix=".bench-journal-", dir=Path.cwd()) as folder:
        report.emit("journal", measure(Path(folder), options), options)


if __name__ == "__main__":
    main()
