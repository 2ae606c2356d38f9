"""A writer killed with SIGKILL again and again: nothing that it said was synced is lost."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from bursa.journal.closed import compress
from bursa.journal.read import JournalReader
from bursa.journal.segment import listing
from bursa.journal.write import JournalWriter

ROUNDS = 6

# Appends numbered records of odd sizes, as an exchange would that is asked to go on after the last;
# says a number once it is synced.
WRITER = """
import random, sys, time
from pathlib import Path
from bursa.journal.sync import GroupSync
from bursa.journal.write import JournalWriter
from bursa.journal.read import JournalReader
from bursa.model.batch import SOUPBIN
from bursa.ports import Frames

folder, floor, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
writer = JournalWriter(folder, "idx", now_ns=time.time_ns, floor=floor, segment_bytes=3_000_000)
seq = max((r.first_seq for r in JournalReader(folder).records()), default=0)
numbers = {writer.position: seq}

def synced(position, took_s):
    if position in numbers:
        print(position, numbers[position], flush=True)

print(0 if writer.truncated is None else writer.truncated.bytes, flush=True)
group = GroupSync(writer, gap_s=0.001, on_synced=synced)
group.start()
rng = random.Random(seed)
payload = rng.randbytes(300_000)
while True:
    items = []
    for _ in range(rng.choice([1, 2, 4])):
        seq += 1
        size = rng.choice([0, 30, 700, 40_000, 250_000])
        items.append(Frames(0, SOUPBIN, "S", seq, 1, 0, payload[:size]))
    numbers[writer.append(items).span.last] = seq
"""


def killed(folder: Path, floor: int, seed: int, after_s: float) -> tuple[int, list[list[int]]]:
    """Run the writer, kill it; what it had cut off at its start, and what it said was synced."""
    command = [sys.executable, "-c", WRITER, str(folder), str(floor), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        cut = int(process.stdout.readline())
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().split("\n")[:-1]
    return cut, [[int(word) for word in line.split()] for line in lines]


def test_a_killed_writer_loses_nothing_that_was_synced(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    floor = number = 0
    for _ in range(ROUNDS):
        cut, synced = killed(tmp_path, floor, seed, rng.uniform(0.0, 0.15))
        if synced:
            floor, number = synced[-1]
        print(f"cut {cut} bytes, then synced up to {floor}, record {number}")
        for segment in listing(tmp_path)[:-1]:
            if not segment.packed:
                compress(segment.path, level=1)
        reader = JournalReader(tmp_path)
        seqs = [r.first_seq for r in reader.records()]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) >= number
        assert not reader.damaged
    writer = JournalWriter(tmp_path, "idx", now_ns=lambda: 1, floor=floor)
    assert writer.epoch == ROUNDS + 1
    assert writer.position >= floor
    writer.close()
    assert not JournalReader(tmp_path).damaged
