"""Bring a line to the journal's end: the newest usable checkpoint, then the records after it.

Up to what the store committed the replay is silent; past it what it derives is handed on, each part
exactly once. The same two functions serve a start and a reader that lagged past the topics' memory.
spec: the order of steps is in docs/life-of-a-tick.md, under "After a kill".
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bursa.bus.memory import Entry
from bursa.journal import checkpoint
from bursa.journal.read import BYTES_MAX, JournalReader
from bursa.ops.logs import logger
from bursa.pipeline import gates_file, warmup
from bursa.pipeline.line import Derived, Line
from bursa.pipeline.resume import Resume

_log = logger("recover")

# A lagging reader is given what so much journal holds at once: its buffer is small (buffer.py).
LAGGING_BYTES = 512 << 10


@dataclass(frozen=True)
class Recovered:
    """Where a recovery began and how much it derived."""

    checkpoint: int
    end: int
    silent_bytes: int
    loud_bytes: int


@dataclass(frozen=True)
class Sources:
    """What a recovery reads: the journal, the folder of its checkpoints, and stored bars.

    bars         stored bars up to a position, in order of emission (warmup.py)
    passed_over  told of each checkpoint that is unusable: its file, and why
    restored     told the whole state of the checkpoint that was taken
    silent       told what was derived anew up to what was committed
    """

    reader: JournalReader
    checkpoints: Path
    bars: warmup.Bars
    passed_over: Callable[[Path, str], Any] = lambda path, why: None
    restored: Callable[[Mapping[str, Any]], Any] = lambda state: None
    silent: Callable[[Derived], Any] = lambda derived: None


def restore_before(line: Line, resume: Resume, sources: Sources, position: int) -> int:
    """Restore the newest usable checkpoint at or before `position`; returns where the line stands.

    Metrics that it lacks are brought up from stored bars. Without a checkpoint the line begins at
    the journal's beginning; where what came before that is gone, all metrics are brought up from
    the bars that are stored up to `position`.
    """
    first = sources.reader.first
    found = checkpoint.load_newest(
        sources.checkpoints, position, line.signature, sources.passed_over
    )
    if found is not None and found[0] >= first:
        lacking = line.restore(found[1]["line"])
        resume.restore(found[1]["resume"])
        sources.restored(found[1])
        if lacking:
            warmup.bring_up(line, lacking, sources.bars, found[0])
        return found[0]
    if first > 0:
        _log.error(
            "no usable checkpoint, and the journal's beginning is gone: metrics begin at the first"
            " stored bar",
            at=first,
        )
        gates_file.take(sources.reader.folder, line.gates)
        line.engine.set_gates(line.gates.schedule)
        count = warmup.begin(line, sources.bars, position)
        _log.info("metrics are there", bars=count, upto=position)
    return first


def replay(
    line: Line,
    resume: Resume,
    reader: JournalReader,
    start: int,
    committed: int,
    bytes_max: int = BYTES_MAX,
) -> Iterator[tuple[Derived, bool]]:
    """Push the journal from `start` to its end. Yields what each chunk (of so many bytes at most)
    gave and whether it is loud (past `committed`); chunks are cut at `committed`."""
    for low, high in ((start, committed), (max(start, committed), None)):
        if high is not None and low >= high:
            continue
        for chunk in reader.chunks(low, high, bytes_max):
            resume.see(chunk)
            yield line.push(chunk), high is None


def recover(
    line: Line,
    resume: Resume,
    sources: Sources,
    committed: int,
    loud: Callable[[Derived], Any],
    progress: Callable[[int, int], Any] = lambda done, total: None,
) -> Recovered:
    """The whole of a start's replay. `loud` takes what was derived past `committed`;
    `progress(done, total)` is told in bytes of journal."""
    reader = sources.reader
    start = restore_before(line, resume, sources, committed)
    if start > committed > 0:
        _log.warning(
            "the journal between these is gone, its rows cannot be had",
            committed=committed,
            start=start,
        )
    total = max(0, reader.end - start)
    silent = noisy = 0
    for derived, is_loud in replay(line, resume, reader, start, committed):
        size = derived.span.last - derived.span.first
        if is_loud:
            loud(derived)
            noisy += size
        else:
            sources.silent(derived)
            silent += size
        progress(silent + noisy, total)
    return Recovered(start, reader.end, silent, noisy)


def backlog(
    make_line: Callable[[], Line], sources: Callable[[], Sources]
) -> Callable[[int], Iterator[Entry]]:
    """What a lagging reader goes on from: a line of its own over the journal's segments."""

    def derive(position: int) -> Iterator[Entry]:
        line, own = make_line(), sources()
        resume = Resume(len(line.venue.channels))
        start = restore_before(line, resume, own, position)
        for derived, is_loud in replay(line, resume, own.reader, start, position, LAGGING_BYTES):
            if is_loud:
                yield Entry(derived.span, derived.batches)

    return derive
