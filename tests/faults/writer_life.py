"""One life of a writer as a process of its own, for test_writer_kill.py: it kills itself.

    python writer_life.py FOLDER AT HOW PUSHES

The store FOLDER/hot.duckdb refuses some trades; letters go to FOLDER/state.db. At the AT-th of the
statements of the engine's transactions and of the letters' additions, `before` or `after` its
effect (HOW), comes SIGKILL. It says which it is on standard output.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import duckdb

from bursa.model.venue import IDX
from bursa.state.sqlite import STATE_FILE, StateDb
from bursa.store.duckdb import DuckStore
from tests.faults.test_writer_calls import EACH, Statements, entries
from tests.pipeline.dead import Doors, live
from tests.store.contract import KINDS

CONNECT = duckdb.connect


class Killing(Doors):
    """What fails here ends the process."""

    def _raise(self, how: str) -> None:
        print(self.hit[-1], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, at: int, how: str, pushes: int) -> None:
    doors, opened = Killing([(at, f"dead {how}")]), False

    def connect(*given: Any, **named: Any) -> Any:
        return Statements(CONNECT(*given, **named), lambda: doors if opened else Doors())

    vars(duckdb)["connect"] = connect
    store, state = DuckStore(folder / "hot.duckdb", [IDX], KINDS), StateDb(folder / STATE_FILE)
    opened = True
    failure = live(store, doors.around(state.letters, "add"), Doors(), entries(pushes), EACH)
    assert failure is None, failure
    opened = False
    store.close()
    print("end")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
