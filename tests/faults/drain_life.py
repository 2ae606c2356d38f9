"""One life of a drain and of a retention behind it, for test_drain_kill.py to end at any place.

A *place* is before or after something that a kill may come between: a write of a group of rows, a
sync, a rename, a removal, a statement of the store that changes rows, a commit. `life(data, places,
at)` writes the name of each place it comes to into the file `places`, and kills its own process,
truly, at number `at`; 0: never.
"""

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tests.pipeline.tiered import Bench

CHANGES = ("commit", "delete", "insert", "checkpoint")


class Places:
    """Counts places, and ends the process at one of them."""

    def __init__(self, told: Path, at: int) -> None:
        self._told, self._at, self._count = open(told, "w"), at, 0

    def __call__(self, name: str) -> None:
        self._count += 1
        self._told.write(f"{name}\n")
        if self._count == self._at:
            self._told.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, which: Callable[..., bool] = lambda *_: True) -> None:
        """Two places at each call of a function of some module or class, of those `which` says."""
        real: Callable[..., Any] = getattr(owner, name)

        def call(*given: Any, **named: Any) -> Any:
            if not which(*given):
                return real(*given, **named)
            self(f"before {name}")
            result = real(*given, **named)
            self(f"after {name}")
            return result

        setattr(owner, name, call)

    def close(self) -> None:
        self._told.close()


class OnDisk:
    """Which Parquet writers write files: others try encodings in memory."""

    def __init__(self) -> None:
        self._writers = set[int]()
        real = pq.ParquetWriter.__init__

        def init(writer: Any, where: Any, *given: Any, **named: Any) -> None:
            real(writer, where, *given, **named)
            if hasattr(where, "fileno") and not isinstance(where, io.BytesIO | pa.NativeFile):
                self._writers.add(id(writer))
            else:
                self._writers.discard(id(writer))

        pq.ParquetWriter.__init__ = init

    def __call__(self, writer: Any, *_: Any) -> bool:
        return id(writer) in self._writers


class Connection:
    """A connection of the engine, whose changes are places."""

    def __init__(self, real: Any, at: Places) -> None:
        self._real, self._at = real, at

    def execute(self, text: str, *given: Any) -> Any:
        word = text.lstrip().partition(" ")[0]
        if word not in CHANGES:
            return self._real.execute(text, *given)
        self._at(f"before {word}")
        result = self._real.execute(text, *given)
        self._at(f"after {word}")
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def life(data: str, told: str, at: int) -> None:
    """Open the store, drain, let go, close."""
    places = Places(Path(told), at)
    connect = duckdb.connect
    vars(duckdb)["connect"] = lambda *a, **k: Connection(connect(*a, **k), places)
    for owner, name in ((os, "fsync"), (os, "rename"), (os, "unlink"), (os, "rmdir")):
        places.around(owner, name)
    on_disk = OnDisk()
    for name in ("write_table", "close"):
        places.around(pq.ParquetWriter, name, on_disk)
    bench = Bench(Path(data))
    bench.drain()
    bench.retention()
    bench.close()
    places.close()
