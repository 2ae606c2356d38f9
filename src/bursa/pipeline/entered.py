"""Rows that were entered: what a backfill, a restore or a repair had journalled (entry.py).

A ROWS record holds rows of one kind (wire/ipc.py). Each becomes a row that bears the record's
receive time as known_at and ts_recv, its position, and its place in the record as nth. They make no
bars and no metrics, and their texts are in a dictionary of their own: history leaves the state of
the line as it was. Pure.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

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
# A list of tickers that is longer is not asked for by name.
_NAMED_MAX = 1024
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


def placed(rows: Batch, revisions: Callable[..., Batch]) -> Batch:
    """Without the entered rows whose ticker, minute and revision a row has that lies before them in
    the journal: of one revision there is one row. They entered when the store had lost that row;
    where the journal gives both, the first one counts, as it does in rings. `revisions`: as
    ports.Store, of the rows that are stored."""
    if "source" not in rows.kind.index or not (rows.column("source") >= 0).any():
        return rows
    names, when, entered = rows.text("ticker"), rows.column("ts"), rows.column("source") >= 0
    tickers = sorted({name for name in set(names) if name is not None})
    ts = when[entered]
    stored = revisions(
        rows.span.source,
        rows.kind.name,
        int(ts.min()),
        int(ts.max()) + 1,
        tickers=None if len(tickers) > _NAMED_MAX else tickers,
    )
    near = np.flatnonzero(np.isin(stored.column("ts"), ts))
    part = replace(stored, block=np.ascontiguousarray(stored.block[:, near]))
    first = dict(zip(_keys(part), part.column("position").tolist(), strict=True))
    stays = np.ones(len(rows), np.bool_)
    for at, (key, position) in enumerate(
        zip(_keys(rows), rows.column("position").tolist(), strict=True)
    ):
        before = first.setdefault(key, position)
        stays[at] = not entered[at] or before >= position
    return replace(rows, block=np.ascontiguousarray(rows.block[:, stays]))


def _keys(rows: Batch) -> list[tuple[str | None, int, int]]:
    when, rev = rows.column("ts").tolist(), rows.column("rev").tolist()
    return list(zip(rows.text("ticker"), when, rev, strict=True))


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
