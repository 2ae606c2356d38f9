"""Metric rows of the past by time: over the newest revision of every bar, entered ones too.

Live rows follow the order in which bars came, and pass over what was entered afterwards; for bars
that were entered there is no such order. So an engine takes the stored bars by their opening: from
the newest checkpoint that had seen nothing of the range (what was entered before that is not in its
state), else from the first stored bar. Memory is bounded by the pieces that are read.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from bursa.jobs.backfill import Ground, standing
from bursa.jobs.entry import NAMED_MAX, newest
from bursa.metrics.engine import REVISABLE_S
from bursa.model.batch import Batch, Span, Words
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.schema import OHLCV
from bursa.pipeline.warmup import ROWS

HOUR_NS = 60 * MINUTE_NS
# Stretches of time that are read at once: they grow and shrink, so that about so many rows come.
ROWS_FEW, ROWS_MANY = 1 << 13, 1 << 15
STRETCH_MAX_NS = 256 * 24 * HOUR_NS


def metrics_by_time(
    ground: Ground, tickers: Collection[str] | None, start_ns: int, end_ns: int
) -> Iterator[Batch]:
    """The metric rows of all stored bars with start <= ts < end, ascending by (ts, ticker); of some
    tickers, or (None) of all.

    All batches share words of their own; rev is 0, and `source`, position and times are those of
    the bar. An empty batch tells that there was work. Raises Retry where the store is away.
    """
    if not len(ground.store.span(ground.venue.name)):
        return
    upto = (1 << 63) - 1
    stand = standing(ground, start_ns, upto)
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
    named = None if tickers is None or len(tickers) > NAMED_MAX else sorted(tickers)
    stretch = HOUR_NS
    while start_ns < end_ns:
        until = min(start_ns + stretch, end_ns)
        found = ground.store.revisions(
            ground.venue.name, OHLCV.name, start_ns, until, tickers=named
        )
        if len(found) > ROWS_MANY:
            stretch = max(stretch // 2, MINUTE_NS)
        elif len(found) < ROWS_FEW:
            stretch = min(stretch * 2, STRETCH_MAX_NS)
        if tickers is not None and named is None:
            found = _of(found, tickers)
        kept = newest(found)
        order = np.lexsort((kept.column("ticker"), kept.column("ts")))
        if len(kept):
            yield replace(kept, block=np.ascontiguousarray(kept.block[:, order]))
        start_ns = until


def _first(ground: Ground, tickers: Collection[str] | None, end_ns: int) -> int:
    """Opening of the first stored bar of these tickers."""
    spans = ground.store.span(ground.venue.name)
    names = spans if tickers is None else [name for name in tickers if name in spans]
    return min((spans[name][0] for name in names), default=end_ns)


def _of(rows: Batch, tickers: Collection[str]) -> Batch:
    ids = [rows.words.find_symbol(ticker) for ticker in tickers]
    kept = np.isin(rows.column("ticker"), ids)
    return replace(rows, block=np.ascontiguousarray(rows.block[:, kept]))


def _with_words(rows: Batch, words: Words) -> Batch:
    """The same rows with another dictionary, which learns the tickers it lacks."""
    block, at = rows.block.copy(), rows.kind.index["ticker"]
    ids, place = np.unique(block[at], return_inverse=True)
    own = [words.symbol_id(rows.words.symbols[one]) for one in ids.tolist()]
    block[at] = np.array(own, np.int64)[place]
    span = Span(rows.span.source, rows.span.epoch, 0, rows.span.last)
    return Batch(rows.kind, block, words, span)
