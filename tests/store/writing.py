"""A process that writes ticks to a store, to be killed or starved.

`python -m tests.store.writing PATH`.
Write number i brings ROWS ticks that all bear position i, so that what is stored is whole exactly
if there are ROWS times as many rows as the committed position says.
"""

import argparse
import contextlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bursa.model.batch import Batch, Span, Words
from bursa.model.errors import Retry
from bursa.model.schema import MARKET_KINDS, TICKS
from bursa.model.venue import IDX
from bursa.ports import Committed
from bursa.store.duckdb import DuckStore
from bursa.store.engine import Options

ROWS = 2000


def ticks(i: int, rows: int = ROWS) -> Batch:
    """The i-th write's rows."""
    words = Words(IDX.boards, [channel.name for channel in IDX.channels])
    words.symbol_id("BBCA")
    block = np.zeros((len(TICKS.columns), rows), np.int64)
    block[1] = 1_700_000_000_000_000_000 + i * rows + np.arange(rows)
    block[2] = block[7] = i * rows + np.arange(rows)
    block[4] = np.random.default_rng(i).random(rows).view(np.int64)
    block[9] = i
    return Batch(TICKS, block, words, Span("idx", 1, i - 1, i))


def write(store: DuckStore, i: int) -> None:
    store.write([ticks(i)], {"idx.ticks": Committed(i, 1)})


def stored(path: Path) -> tuple[int, int]:
    """(committed position, rows) after opening the store anew."""
    store = DuckStore(path, [IDX], MARKET_KINDS)
    try:
        return held(store)
    finally:
        store.close()


def held(store: DuckStore) -> tuple[int, int]:
    at = store.positions().get("idx.ticks", Committed(0, 0)).position
    return at, len(store.ticks("idx", "BBCA", 0, 2**62))


class Doomed(DuckStore):
    """Kills its own process `delay_s` after the given stage of the given write began."""

    stage, at, delay_s = "", 0, 0.0

    def _insert(self, writer: Any, batch: Batch) -> None:
        self._doom("insert", batch.span.last)
        super()._insert(writer, batch)

    def _advance(self, writer: Any, marks: Mapping[str, Committed]) -> None:
        super()._advance(writer, marks)
        self._doom("commit", next(iter(marks.values())).position)

    def _doom(self, stage: str, position: int) -> None:
        if stage == self.stage and position == self.at:
            kill = threading.Timer(self.delay_s, os.kill, (os.getpid(), signal.SIGKILL))
            kill.start()


def starve(store: DuckStore, bytes_max: int) -> None:
    """Write while files may not grow past `bytes_max`, then with room again."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, resource.RLIM_INFINITY))
    i, retries = 1, 0
    while i <= 60:
        try:
            write(store, i)
            i += 1
        except Retry:
            retries += 1
            before = i - 1
            with contextlib.suppress(Retry):
                at, rows = held(store)
                assert rows == ROWS * at and at in (before, i), (at, rows, before)
            if retries == 4:
                room = resource.RLIM_INFINITY
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    sys.stdout.write(f"{retries} {i - 1}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("--stage", default="")
    parser.add_argument("--at", type=int, default=10)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--starve", type=int, default=0)
    parser.add_argument("--checkpoint-mb", type=int, default=64)
    options = parser.parse_args()
    Doomed.stage, Doomed.at, Doomed.delay_s = options.stage, options.at, options.delay
    store = Doomed(options.path, [IDX], MARKET_KINDS, Options(checkpoint_mb=options.checkpoint_mb))
    if options.starve:
        starve(store, options.starve)
    else:
        for i in range(1, options.at + 50):
            write(store, i)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
