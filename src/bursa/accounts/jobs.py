"""What is to be done to accounts every so often, whoever else does it too: each process does all of
it, and what another was first with is nothing to do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread

from bursa.model.errors import BursaError
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry

TICK_S = 10.0
STOP_S = 10.0


@dataclass(frozen=True)
class Job:
    """One of them. ticks: how many TICK_S from one time to the next; do: returns how many things it
    did, raises where it must be tried again."""

    name: str
    ticks: int
    do: Callable[[], int]


class Jobs:
    """A thread that does them, at its start too."""

    def __init__(self, jobs: Sequence[Job], telemetry: Telemetry) -> None:
        self._jobs, self._telemetry = jobs, telemetry
        self._log = logger("accounts")
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="accounts-jobs", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is done every time is done once more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        self.tick(1, last=True)

    def tick(self, number: int, last: bool = False) -> None:
        """Do what is due at a tick."""
        for job in self._jobs:
            if job.ticks == 1 or (number % job.ticks == 0 and not last):
                self._do(job)

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            self.tick(number)
            number += 1
            self._stopping.wait(TICK_S)

    def _do(self, job: Job) -> None:
        try:
            done = job.do()
        except (BursaError, OSError) as error:
            self._telemetry.account_jobs_failed.labels(job.name).inc()
            self._log.warning("a job of accounts waits", job=job.name, why=str(error))
            return
        if done and job.ticks > 1:
            self._log.info("a job of accounts is done", job=job.name, things=int(done))
