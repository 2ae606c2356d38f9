"""How a verb has a job done (jobs/job.py): by the process that holds the folder, or here.

The holder is asked over and over, and works while it is asked; where nobody holds the folder, this
process recovers the venue without its feeds and does it. With progress on a terminal; Ctrl-C ends
the job, and what was done stays.
"""

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bursa.app import JOBS, offline
from bursa.config import Config
from bursa.jobs.job import BEGIN, END, GO_ON, JOB, Jobs
from bursa.jobs.makers import ENTRY, LANES
from bursa.model.errors import BursaError, Refuse
from bursa.model.venue import Venue
from bursa.store.folder import ask

# One answer of the holder: half a second of work, and a piece that was begun: at the most a day of
# books that is written.
ANSWER_S = 600.0
# Where there is no terminal it is said how far a job is: from when on, and how often.
FIRST_S = 10.0
AGAIN_S = 30.0

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

Told = Callable[[int, int], None]


def drive(
    config: Config, venue: Venue, name: str, order: dict[str, Any], *, warn: Console, title: str
) -> dict[str, Any]:
    """Have a job done; its report. `order` and the report are JSON. Raises what the job's maker and
    its steps raise (Refuse, Retry), and Refuse `job_runs` where one of its name is under way."""
    with progress(warn, title) as told:
        try:
            return running(Path(config.data), venue, name, order, told)
        except Refuse as refused:
            if refused.code != "not_held":
                raise
        with sparing(), offline(config, venue, frugal=LANES.get(name) == ENTRY) as (runtime, _):
            return Jobs({venue.name: runtime}, JOBS, LANES).run(venue.name, name, order, told)


@contextmanager
def sparing() -> Iterator[None]:
    """Have Arrow and the C library give memory back when they are done with it: both keep some 20
    MB, else. Where the C library is another one it does as it does."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for parameter in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            libc.mallopt(parameter, 1 << 20)
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def running(
    data: Path, venue: Venue, name: str, order: dict[str, Any], told: Told
) -> dict[str, Any]:
    """Have the process that holds the folder do a job; its report. Refuse `not_held` where nobody
    holds it."""
    said: dict[str, Any] = {"venue": venue.name, "name": name}
    said["job"] = ask(data, JOB, {**said, "do": BEGIN, "order": order}, ANSWER_S)["job"]
    try:
        while True:
            answer = ask(data, JOB, {**said, "do": GO_ON}, ANSWER_S)
            told(answer["at"], answer["total"])
            if answer["report"] is not None:
                report: dict[str, Any] = answer["report"]
                return report
    except KeyboardInterrupt:
        with suppress(BursaError):
            ask(data, JOB, {**said, "do": END}, ANSWER_S)
        raise


@contextmanager
def progress(console: Console, title: str) -> Iterator[Told]:
    """A bar on a terminal, elsewhere a line now and then; yields what is told how far it is."""
    if not console.is_terminal:
        yield _lines(console, title)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda at, total: bar.update(task, completed=at, total=total)


def _lines(console: Console, title: str) -> Told:
    """How far it is after FIRST_S and each AGAIN_S: what waits for live rows is seen to wait."""
    began_s, before = time.monotonic(), 0
    due_s = FIRST_S

    def told(at: int, total: int) -> None:
        nonlocal due_s, before
        took_s = time.monotonic() - began_s
        if took_s < due_s:
            return
        due_s = took_s + AGAIN_S
        why = "" if at > before else "; live rows that come go first"
        before = at
        share = 100 * at // max(1, total)
        console.print(f"{title}: {share} % after {took_s:,.0f} s{why}", markup=False)

    return told
