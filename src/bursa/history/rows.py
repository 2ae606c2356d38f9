"""Small operations on batches whose rows are keyed by (ts, rev): the ones that readers share.

Works for bars and for metric rows of one ticker and one timeframe. Does not read anything.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bursa.model.batch import Batch

Rows = NDArray[np.int64]


def of(batch: Batch, block: Rows) -> Batch:
    """The same batch with other rows."""
    return replace(batch, block=block)


def between(batch: Batch, start_ns: int, end_ns: int) -> Batch:
    """Rows with start <= ts < end of rows ascending by ts; a view."""
    first, last = np.searchsorted(batch.column("ts"), (start_ns, end_ns))
    return of(batch, batch.block[:, first:last])


def head(batch: Batch, count: int) -> Batch:
    """The first `count` rows."""
    return of(batch, batch.block[:, :count])


def tail(batch: Batch, count: int) -> Batch:
    """The last `count` rows."""
    return of(batch, batch.block[:, max(len(batch) - count, 0) :])


def newest_revisions(batches: Sequence[Batch]) -> Batch:
    """All rows of at least one batch, one a ts: that of the highest rev, of equal ones the later;
    ascending by ts. They are of one ticker; its id is that of the last batch's dictionary, since a
    store's dictionary is not the line's."""
    block = np.concatenate([batch.block for batch in batches], axis=1)
    if len(batches[-1]):
        block[0] = batches[-1].block[0, 0]
    index = batches[0].kind.index
    order = np.lexsort((block[index["rev"]], block[index["ts"]]))
    block = np.ascontiguousarray(block[:, order])
    ts = block[index["ts"]]
    last = np.append(ts[1:] != ts[:-1], True)[: len(ts)]
    return of(batches[-1], block[:, last])


def traded(bars: Batch) -> Batch:
    """Bars that have a trade: without those whose trades were all taken back, which say 0 trades
    and volume 0. Rows whose number of trades is null stay."""
    void = (bars.column("trades") == 0) & (bars.column("volume") == 0)
    return of(bars, bars.block[:, ~void]) if void.any() else bars


def known_by(batch: Batch, as_of_ns: int | None) -> Batch:
    """Rows whose revision was known at an instant; all of them where it is None."""
    if as_of_ns is None:
        return batch
    return of(batch, batch.block[:, batch.column("known_at") <= as_of_ns])


def aligned(ts: Rows, rows: Batch, column: str) -> NDArray[np.float64]:
    """A float column of `rows` at each `ts`; NaN where `rows` has none. Both ascend by ts."""
    out = np.full(len(ts), np.nan)
    if len(rows):
        have = rows.column("ts")
        at = np.minimum(np.searchsorted(have, ts), len(have) - 1)
        hit = have[at] == ts
        out[hit] = rows.column(column)[at[hit]]
    return out


def last_inside(opens: Rows, minutes: Rows, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each bar that opens at `opens` the value of its last minute that has one.

    opens    int64 (n,), ascending
    minutes  int64 (m,), ascending: to which of `opens` each minute belongs
    values   float64 (m,), NaN is none
    """
    out = np.full(len(opens), np.nan)
    some = ~np.isnan(values)
    minutes, values = minutes[some], values[some]
    if len(minutes):
        at = np.searchsorted(minutes, opens, side="right") - 1
        hit = (at >= 0) & (minutes[np.maximum(at, 0)] == opens)
        out[hit] = values[at[hit]]
    return out
