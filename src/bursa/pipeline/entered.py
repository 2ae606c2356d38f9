"""Rows that were entered: what a backfill, a restore or a repair had journalled (entry.py).

A ROWS record holds rows of one kind (wire/ipc.py). Each becomes a row that bears the record's
receive time as known_at and ts_recv, its position, and its place in the record as nth. They make no
bars and no metrics, and their texts are in a dictionary of their own: history leaves the state of
the line as it was. Pure.
"""

from collections.abc import Collection, Mapping

import numpy as np

from bursa.model.batch import (
    ROWS,
    SPAN_END,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_START,
    SPAN_TS_RECV,
    Batch,
    Chunk,
    Words,
    concat,
)
from bursa.model.errors import Reject
from bursa.model.schema import OHLCV, TICKS, Kind
from bursa.wire import ipc

ENTERED = (OHLCV.name, "metrics", TICKS.name)
"""Kinds of which rows may be entered."""
UNREAD = "unread_rows"
"""What counts records that could not be read: another program's."""


def entered_of(
    chunk: Chunk, kinds: Mapping[str, Kind], words: Words
) -> tuple[tuple[Batch, ...], dict[str, int]]:
    """The rows of the ROWS records of a chunk, each kind once, in stream order; and what is to be
    counted: `entered_KIND` rows, UNREAD records. `words`: the venue's, whose boards are taken."""
    of_kind = chunk.spans[SPAN_KIND]
    counts: dict[str, int] = {}
    if not (of_kind == ROWS).any():
        return (), counts
    own = Words(words.boards, words.channels)
    found: dict[str, list[Batch]] = {}
    for at in np.flatnonzero(of_kind == ROWS).tolist():
        try:
            rows = _read(chunk, at, kinds, own)
        except Reject:
            counts[UNREAD] = counts.get(UNREAD, 0) + 1
            continue
        if len(rows):
            found.setdefault(rows.kind.name, []).append(rows)
            word = f"entered_{rows.kind.name}"
            counts[word] = counts.get(word, 0) + len(rows)
    return tuple(concat(several) for several in found.values()), counts


def _read(chunk: Chunk, at: int, kinds: Mapping[str, Kind], words: Words) -> Batch:
    start, end = int(chunk.spans[SPAN_START, at]), int(chunk.spans[SPAN_END, at])
    rows = ipc.unpack(chunk.frames[start:end].tobytes(), kinds, words, chunk.span)
    told = {
        "known_at": chunk.spans[SPAN_TS_RECV, at],
        "ts_recv": chunk.spans[SPAN_TS_RECV, at],
        "position": chunk.spans[SPAN_POSITION, at],
        "nth": np.arange(len(rows)),
    }
    for name, value in told.items():
        if name in rows.kind.index:
            rows.block[rows.kind.index[name]] = value
    return rows


def joined(batches: Collection[Batch], entered: Collection[Batch]) -> tuple[Batch, ...]:
    """Both, each kind once, in stream order."""
    out = list(batches)
    for rows in entered:
        at = next((i for i, b in enumerate(out) if b.kind.name == rows.kind.name), None)
        if at is None:
            out.append(rows)
            continue
        both = concat([out[at], rows])
        order = np.argsort(both.block[both.kind.index["position"]], kind="stable")
        block = np.ascontiguousarray(both.block[:, order])
        out[at] = Batch(both.kind, block, both.words, both.span)
    return tuple(out)
