"""Bring metrics up from stored bars: those that a checkpoint lacks, or all where there is none.

Stored bars, all revisions in order of emission, are what the engine took when they were emitted; so
an engine of its own that takes them anew stands where the line's would, had it always had these
metrics, and they are put into the line's beside those that were there. Memory is bounded by the
pieces that the store gives. Asks no store itself (recover.py is given the bars).
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np

from bursa.metrics.engine import MetricEngine
from bursa.model.batch import Batch, Words
from bursa.ops.logs import logger
from bursa.pipeline.line import Line

# Bars that the engine takes at once: what it gives for them is not needed.
ROWS = 1 << 13
Bars = Callable[[int], Iterator[Batch]]
"""Stored bars up to a position, in order of emission."""

_log = logger("warmup")


def bring_up(line: Line, lacking: Collection[str], bars: Bars, upto: int) -> None:
    """The metrics that a line's restored state lacks, as they are at `upto`, where it stands."""
    _log.info("metrics are computed over the stored bars", metrics=sorted(lacking), upto=upto)
    beside = line.engine.beside(lacking)
    count, _ = take(beside, line.words, bars(upto))
    if line.engine.join(beside, lacking):
        _log.info("metrics are there", metrics=sorted(lacking), bars=count)
        return
    _log.error(
        "the stored bars are not those that the checkpoint had seen: all metrics begin anew at the"
        " first stored bar",
        upto=upto,
        bars=count,
    )
    whole = line.engine.beside(None)
    take(whole, line.words, bars(upto))
    line.engine.restore(whole.snapshot())


def begin(line: Line, bars: Bars, upto: int) -> int:
    """A new line whose metrics are as the stored bars up to a position leave them: its own bars
    count for them from there on, and minutes that are stored are not made anew. How many bars."""
    count, newest_ns = take(line.engine, line.words, bars(upto))
    line.stored(upto, newest_ns)
    return count


def take(engine: MetricEngine, words: Words, batches: Iterable[Batch]) -> tuple[int, int]:
    """Have an engine take stored bars, whose dictionary is another; how many, and the opening of
    the newest one. Bars that were entered afterwards are passed over, as the line's engine does."""
    count = newest_ns = 0
    for found in batches:
        batch = lived(found)
        block, at = batch.block.copy(), batch.kind.index["ticker"]
        ids, place = np.unique(block[at], return_inverse=True)
        own = [words.symbol_id(batch.words.symbols[one]) for one in ids.tolist()]
        block[at] = np.array(own, np.int64)[place]
        for first in range(0, len(batch), ROWS):
            rows = np.ascontiguousarray(block[:, first : first + ROWS])
            engine.push(Batch(batch.kind, rows, words, batch.span))
        count += len(batch)
        newest_ns = max(newest_ns, int(batch.column("ts").max(initial=0)))
    return count, newest_ns


def lived(rows: Batch) -> Batch:
    """The rows that the feed brought: all but those that were entered afterwards."""
    entered = rows.column("source") >= 0
    if not entered.any():
        return rows
    return replace(rows, block=np.ascontiguousarray(rows.block[:, ~entered]))
