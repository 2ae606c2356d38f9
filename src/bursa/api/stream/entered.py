"""Rows of the past for the stream: those of the present day are told, a client loads what is older.

A repair or a backfill of years would be more frames than anybody who listens to one ticker can use,
and a chart that shows today has no place for a bar of last year.
"""

from dataclasses import replace

import numpy as np

from bursa.model.batch import Batch, Words
from bursa.model.venue import Venue


def of_today(rows: Batch, words: Words, venue: Venue, watermark_ns: int) -> Batch:
    """The rows of the venue's day that the watermark is in, of tickers that the line knows, in its
    dictionary."""
    calendar, at = venue.calendar, rows.kind.index["ticker"]
    day_ns = calendar.midnight_ns(calendar.day_of(max(watermark_ns, 0)))
    later = rows.column("ts") >= day_ns
    ids, place = np.unique(rows.block[at, later], return_inverse=True)
    own = [words.find_symbol(rows.words.symbols[one]) for one in ids.tolist()]
    block = np.ascontiguousarray(rows.block[:, later])
    if len(ids):
        block[at] = np.array(own, np.int64)[place]
    return replace(rows, block=np.ascontiguousarray(block[:, block[at] >= 0]), words=words)
