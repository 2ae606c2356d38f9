"""Lives of processes that do one job of one name on a state database, for test_job_kill.py.

The job takes a place in a folder while it is under way: where two are, the second finds it taken.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from bursa.jobs.job import Jobs
from bursa.model.errors import Refuse
from bursa.ops.telemetry import Telemetry
from bursa.state.sqlite import STATE_FILE, StateDb


class Clock:
    def now_ns(self) -> int:
        return time.time_ns()


class Placed:
    """A job of three steps that nobody else may do meanwhile; dies in the second where `dies`."""

    name = "placed"

    def __init__(self, folder: Path, dies: bool) -> None:
        self._folder, self._dies, self.at = folder, dies, 0

    def run(self) -> Iterator[None]:
        place = os.open(self._folder / "place", os.O_CREAT | os.O_EXCL)
        for self.at in (1, 2, 3):
            if self._dies and self.at == 2:
                os.unlink(self._folder / "place")
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.005)
            yield
        os.close(place)
        os.unlink(self._folder / "place")
        with open(self._folder / "done", "a") as done:
            done.write(".")

    @property
    def progress(self) -> tuple[int, int]:
        return self.at, 3

    def report(self) -> dict[str, Any]:
        return {"at": self.at}

    def close(self) -> None:
        pass


def jobs_of(folder: Path, state: StateDb) -> Jobs:
    """The jobs of a process whose one venue is idle."""
    runtime = SimpleNamespace(
        ingest=object(),
        idle=True,
        clock=Clock(),
        telemetry=Telemetry(),
        parts=SimpleNamespace(state=state),
    )
    makers: Any = {"placed": lambda runtime, order: Placed(folder, order["dies"])}
    return Jobs(cast(Any, {"idx": runtime}), makers, {})


def life(folder: str, times: int, dies: bool) -> None:
    """Do it so often, each time as soon as nobody else does; or die in it."""
    state = StateDb(Path(folder) / STATE_FILE)
    jobs = jobs_of(Path(folder), state)
    while times:
        try:
            jobs.run("idx", "placed", {"dies": dies})
            times -= 1
        except Refuse as refused:
            if refused.code != "job_runs":
                sys.exit(3)
            time.sleep(0.002)
    state.close()
