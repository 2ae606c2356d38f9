"""Derive a stretch of event time anew, as the journal says it: for comparing with what is stored.

A line of its own begins at a checkpoint that had seen nothing of that stretch yet, or at the
journal's beginning, and reads on to a position; late rows may lie anywhere up to there. Stores
nothing (verbs/verify.py does).
"""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from bursa.journal import checkpoint, parts
from bursa.journal.read import JournalReader
from bursa.model.batch import Batch, keep_levels
from bursa.model.errors import Refuse
from bursa.ops.room import Room
from bursa.pipeline.line import Derived, Line

# Journal that is derived at once: its rows take some ten times as much.
BYTES = 1 << 20


def line_before(
    make_line: Callable[[Collection[str]], Line],
    reader: JournalReader,
    checkpoints: Path,
    start_ns: int,
    room: Room | None = None,
) -> tuple[Line, int]:
    """A line, and the position it stands at, that has seen no event time from `start_ns` on: of the
    newest such checkpoint, or a new one at the journal's beginning. Metrics that the checkpoint
    lacks, since they were added later, the line has not. Refuse `journal_retired` where what came
    before is gone.

    make_line  makes a new line without some metrics, whose engine has this `room`, or one
               of its own
    """
    first = reader.first
    upto = max((found.position for found in checkpoint.listing(checkpoints)), default=0)
    while upto >= first:
        found = checkpoint.load_newest(checkpoints, upto, Line.signature, gathers=False)
        if found is None or found[0] < first:
            break
        upto, state = found[0] - 1, found[1]["line"]
        if int(state["engine"]["newest_bar"]) >= start_ns:
            continue
        line = make_line(())
        memory = state["engine"]["memory"]
        if isinstance(memory, parts.Laid):
            state["engine"]["memory"] = parts.gather(checkpoints, memory, room=room)
        lacking = line.restore(state)
        if max(line.watermarks()) < start_ns:
            if lacking:
                line = make_line(lacking)
                line.restore(state)
            return line, found[0]
    if first > 0:
        raise Refuse(
            f"the journal begins at {first}, and no checkpoint is left from before this day: it"
            " cannot be recomputed",
            "journal_retired",
            410,
        )
    return make_line(()), 0


def derive(line: Line, reader: JournalReader, start: int, upto: int) -> Iterator[Derived]:
    """What the records with start < position <= upto give."""
    for chunk in reader.chunks(start, upto, BYTES):
        yield line.push(chunk)


def inside(batch: Batch, start_ns: int, end_ns: int) -> Batch:
    """The rows of a batch with start <= ts < end."""
    ts = batch.column("ts")
    rows = (ts >= start_ns) & (ts < end_ns)
    if rows.all():
        return batch
    return Batch(
        batch.kind, batch.block[:, rows], batch.words, batch.span, keep_levels(batch, rows)
    )
