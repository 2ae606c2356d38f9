"""Metric rows of the past by time: over the newest revision of every bar, entered ones too.

Live rows follow the order in which bars came, and pass over what was entered afterwards; for bars
that were entered there is no such order. So an engine takes the stored bars by their opening: from
the newest checkpoint that had seen nothing of the range (what was entered before that is not in its
state), else from the first stored bar. Memory is bounded: by the pieces that are read, and by the
tickers that are gone through at once.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from bursa.jobs.backfill import Ground, standing
from bursa.jobs.entry import newest
from bursa.jobs.stretches import stretches
from bursa.metrics.engine import REVISABLE_S
from bursa.model.batch import Batch, Span, Words
from bursa.model.calendar import SECOND_NS
from bursa.model.schema import OHLCV
from bursa.ops.room import SparseRoom

# Bars that are read at once, or the metric rows of so many.
ROWS = 1 << 12
# Tickers whose state is held at once: 140 kB each on idx (metrics/families/tod.py). Each turn reads
# its checkpoint anew, so a venue of many tickers is done in so many turns at most.
GROUP, TURNS = 96, 16


def metrics_by_time(
    ground: Ground,
    tickers: Collection[str] | None,
    start_ns: int,
    end_ns: int,
    since_ns: int | None = None,
) -> Iterator[tuple[Batch, float]]:
    """The metric rows of all stored bars with start <= ts < end, of some tickers, or (None) of all:
    a group of tickers after another (`groups`), each ascending by (ts, ticker); and with each batch
    which share of all is done with it, 0 to 1, never less than before.

    The batches of a group share words of their own; rev is 0, and `source`, position and times are
    those of the bar. An empty batch tells that there was work. Bars that were entered count from
    `since_ns` on, by default from `start_ns`. Raises Retry where the store is away.
    """
    since_ns = start_ns if since_ns is None else min(since_ns, start_ns)
    turns, whole_ns, done = groups(ground, tickers), max(1, end_ns - start_ns), 0.0
    for nth, group in enumerate(turns):
        for rows in _of_group(ground, group, since_ns, (start_ns, end_ns)):
            if len(rows):
                of_group = (int(rows.column("ts")[-1]) - start_ns) / whole_ns
                done = (nth + of_group) / len(turns)
            yield rows, done


def groups(ground: Ground, tickers: Collection[str] | None) -> list[list[str]]:
    """Those of some tickers, or (None) of all, that have bars: side by side in the alphabet, as
    closed days lie, so many at once."""
    spans = ground.store.span(ground.venue.name)
    names = sorted(spans if tickers is None else spans.keys() & set(tickers))
    size = max(GROUP, -(-len(names) // TURNS))
    return [names[at : at + size] for at in range(0, len(names), size)]


def _of_group(
    ground: Ground, tickers: Sequence[str], since_ns: int, within: tuple[int, int]
) -> Iterator[Batch]:
    start_ns, end_ns = within
    stand = standing(ground, since_ns, (1 << 63) - 1, tickers, SparseRoom())
    reach_ns = (60 + ground.venue.grace_s + REVISABLE_S) * SECOND_NS
    first_ns = stand.newest_ns - reach_ns if stand.newest_ns else _first(ground, tickers, end_ns)
    for low, high, inside in ((first_ns, start_ns, False), (start_ns, end_ns, True)):
        for bars in bars_by_time(ground, tickers, max(low, first_ns), high):
            own = _with_words(bars, stand.words)
            for at in range(0, len(own), ROWS):
                part = replace(own, block=np.ascontiguousarray(own.block[:, at : at + ROWS]))
                rows = stand.engine.push(part)
                if inside:
                    assert len(rows) == len(part), "bars by time make one row each"
                    rows.column("source")[:] = part.column("source")
                    yield rows
                else:
                    yield replace(rows, block=rows.block[:, :0])


def bars_by_time(
    ground: Ground, tickers: Collection[str] | None, start_ns: int, end_ns: int
) -> Iterator[Batch]:
    """The newest revisions of the stored bars with start <= ts < end, ascending by (ts, ticker), in
    pieces of whole minutes; each with the store's words."""
    store, name = ground.store, ground.venue.name
    for low, high in stretches(store, name, OHLCV.name, (start_ns, end_ns), ROWS, tickers):
        kept = newest(store.revisions(name, OHLCV.name, low, high, tickers=tickers))
        order = np.lexsort((kept.column("ticker"), kept.column("ts")))
        if len(kept):
            yield replace(kept, block=np.ascontiguousarray(kept.block[:, order]))


def _first(ground: Ground, tickers: Collection[str], end_ns: int) -> int:
    """Opening of the first stored bar of these tickers."""
    spans = ground.store.span(ground.venue.name)
    return min((spans[name][0] for name in tickers if name in spans), default=end_ns)


def _with_words(rows: Batch, words: Words) -> Batch:
    """The same rows with another dictionary, which learns the tickers it lacks."""
    block, at = rows.block.copy(), rows.kind.index["ticker"]
    ids, place = np.unique(block[at], return_inverse=True)
    own = [words.symbol_id(rows.words.symbols[one]) for one in ids.tolist()]
    block[at] = np.array(own, np.int64)[place]
    span = Span(rows.span.source, rows.span.epoch, 0, rows.span.last)
    return Batch(rows.kind, block, words, span)
