"""The unit that flows from the decoder to the client: a columnar micro-batch.

A `Batch` is a block (see schema.py) of one kind, the dictionaries its text columns index, and the
`Span` of journal positions it was derived from. A stage always returns batches that carry their
input's end position, empty ones included. Batches are never changed after they were made.

A `Chunk` is what goes into a decoder: journal records lying in one buffer. Live frames and replayed
ones have this same form, so that recovery, replay and live are one code path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bursa.model.schema import INT_NULL, Column, Kind

Block = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Span:
    """Where a batch comes from: (first, last] are byte addresses of record ends in the journal
    of `source` (a venue's name); `epoch` counts the openings of that journal."""

    source: str
    epoch: int
    first: int
    last: int


class Words:
    """The dictionaries of one venue: text <-> small integer, append-only.

    symbols   tickers and index codes, ids by first appearance
    texts     free text (names, ISINs, currencies)
    boards, channels   fixed by the venue
    """

    def __init__(self, boards: Sequence[str], channels: Sequence[str]) -> None:
        self.symbols: list[str] = []
        self.texts: list[str] = []
        self.boards = tuple(boards)
        self.channels = tuple(channels)
        self._symbol_ids: dict[str, int] = {}
        self._text_ids: dict[str, int] = {}

    def symbol_id(self, symbol: str) -> int:
        """The id of a ticker, a new one where it is unseen."""
        at = self._symbol_ids.get(symbol)
        if at is None:
            at = self._symbol_ids[symbol] = len(self.symbols)
            self.symbols.append(symbol)
        return at

    def find_symbol(self, symbol: str) -> int:
        """The id of a ticker, -1 where it is unseen."""
        return self._symbol_ids.get(symbol, -1)

    def text_id(self, text: str) -> int:
        """The id of a free text, a new one where it is unseen."""
        at = self._text_ids.get(text)
        if at is None:
            at = self._text_ids[text] = len(self.texts)
            self.texts.append(text)
        return at

    def of(self, column: Column) -> Sequence[str]:
        """The dictionary that a text column indexes."""
        if isinstance(column.words, tuple):
            return column.words
        words: Sequence[str] = getattr(self, column.words)
        return words

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"symbols": list(self.symbols), "texts": list(self.texts)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state; whatever was there is forgotten."""
        self.symbols[:] = state["symbols"]
        self.texts[:] = state["texts"]
        self._symbol_ids = {s: i for i, s in enumerate(self.symbols)}
        self._text_ids = {s: i for i, s in enumerate(self.texts)}


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one kind.

    block   int64 (len(kind.scalars), n)
    levels  orderbook only: int64 (3, m), rows price bits, volume bits, orders; m = sum of `depth`,
            the rows' lists one after another
    """

    kind: Kind
    block: Block
    words: Words
    span: Span
    levels: Block | None = None

    def __len__(self) -> int:
        return int(self.block.shape[1])

    def column(self, name: str) -> NDArray[Any]:
        """One column as a view: float64 for float columns, else int64."""
        at = self.kind.index[name]
        row = self.block[at]
        return row.view(np.float64) if self.kind.columns[at].dtype == "float" else row

    def text(self, name: str) -> list[str | None]:
        """A text column as strings; None is null."""
        at = self.kind.index[name]
        words = self.words.of(self.kind.columns[at])
        return [words[i] if i >= 0 else None for i in self.block[at].tolist()]

    def to_arrow(self) -> pa.RecordBatch:
        """The rows as an Arrow record batch: texts are dictionaries, NaN and INT_NULL are null."""
        arrays = [self._arrow(at, column) for at, column in enumerate(self.kind.scalars)]
        if self.kind.lists:
            arrays += self._arrow_lists()
        return pa.RecordBatch.from_arrays(arrays, names=[c.name for c in self.kind.columns])

    def _arrow(self, at: int, column: Column) -> pa.Array:
        row = self.block[at]
        if column.dtype == "float":
            values = row.view(np.float64)
            return pa.array(values, mask=np.isnan(values)) if column.nullable else pa.array(values)
        if column.dtype == "flag":
            return pa.array(row != 0)
        if column.dtype == "text":
            ids = pa.array(row.astype(np.int32), mask=row < 0)
            return pa.DictionaryArray.from_arrays(
                ids, pa.array(list(self.words.of(column)), pa.string())
            )
        return pa.array(row, mask=row == INT_NULL) if column.nullable else pa.array(row)

    def _arrow_lists(self) -> list[pa.Array]:
        assert self.levels is not None, "a kind with list columns travels with its levels"
        depth = self.block[self.kind.index["depth"]]
        offsets = pa.array(np.concatenate(([0], np.cumsum(depth))).astype(np.int32))
        return [
            pa.ListArray.from_arrays(
                offsets, pa.array(row.view(np.float64) if column.dtype == "floats" else row)
            )
            for column, row in zip(self.kind.lists, self.levels, strict=True)
        ]


def empty(kind: Kind, words: Words, span: Span) -> Batch:
    """No rows, but an end position."""
    levels = np.empty((3, 0), np.int64) if kind.lists else None
    return Batch(kind, np.empty((len(kind.scalars), 0), np.int64), words, span, levels)


def concat(batches: Sequence[Batch]) -> Batch:
    """One batch of several of the same kind and source, in order; at least one."""
    head, tail = batches[0], batches[-1]
    if len(batches) == 1:
        return head
    span = Span(head.span.source, tail.span.epoch, head.span.first, tail.span.last)
    levels = None
    if head.levels is not None:
        levels = np.concatenate([b.levels for b in batches if b.levels is not None], axis=1)
    block = np.concatenate([b.block for b in batches], axis=1)
    words = tail.words
    if any(b.words is not words for b in batches):
        words = _own_words(batches, block)
    return Batch(head.kind, block, words, span, levels)


def _own_words(batches: Sequence[Batch], block: Block) -> Words:
    """A dictionary for batches that have one each; the texts of `block` are re-indexed in place."""
    words = Words(batches[-1].words.boards, batches[-1].words.channels)
    for column in batches[0].kind.scalars:
        if column.words in ("symbols", "texts"):
            find = words.symbol_id if column.words == "symbols" else words.text_id
            row, start = block[batches[0].kind.index[column.name]], 0
            for batch in batches:
                part = row[start : start + len(batch)]
                start += len(batch)
                ids, place = np.unique(part, return_inverse=True)
                texts = batch.words.of(column)
                known = [-1 if one < 0 else find(texts[one]) for one in ids.tolist()]
                part[:] = np.array(known, np.int64)[place]
    return words


def after(batch: Batch, position: int) -> Batch:
    """The rows that were caused after `position`; the batch itself where that is all of them."""
    if batch.span.first >= position:
        return batch
    rows = batch.block[batch.kind.index["position"]] > position
    span = Span(batch.span.source, batch.span.epoch, position, max(position, batch.span.last))
    return Batch(batch.kind, batch.block[:, rows], batch.words, span, keep_levels(batch, rows))


def keep_levels(batch: Batch, rows: NDArray[np.bool_]) -> Block | None:
    """The levels of the rows that stay."""
    if batch.levels is None:
        return None
    return batch.levels[:, np.repeat(rows, batch.block[batch.kind.index["depth"]])]


# Rows of Chunk.spans.
SPAN_KIND, SPAN_FORM, SPAN_CHANNEL, SPAN_START, SPAN_END = 0, 1, 2, 3, 4
SPAN_TS_RECV, SPAN_POSITION, SPAN_FIRST_SEQ, SPAN_COUNT = 5, 6, 7, 8
# The session: 16 ASCII bytes, zero-filled, as two little-endian words; both 0: there is none.
SPAN_SESSION, SPAN_SESSION_REST = 9, 10
SPAN_ROWS = 11

# What a journal record is (SPAN_KIND).
FRAMES, CLOCK, UP, DOWN, END_OF_FILE, END_OF_SESSION, SETTING = 0, 1, 2, 3, 4, 5, 6
# Numbers of the transport that the receiving edge waits for no longer.
LOST = 7
# Rows that a backfill, a restore or a repair entered (wire/ipc.py); they are in no frame.
ROWS = 8
# How the bytes of a FRAMES record are framed (SPAN_FORM).
BLOCKS, SOUPBIN, LINES = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """Journal records in one buffer, in stream order.

    frames  uint8 (n,), C contiguous and writeable (a kernel has one signature)
    spans   int64 (SPAN_ROWS, records): what each record is, where its payload lies
            [start, end) in `frames`, when it came, and its position (the address of its end)
    span    the positions covered
    """

    frames: NDArray[np.uint8]
    spans: Block
    span: Span


# A tape is what bars are built from: the rows of TICKS, then these two. Rows that move a watermark
# travel inline with the trades, in stream order.
TAPE_ROLE, TAPE_CHANNEL = 10, 11
TAPE_ROWS = 12
# TAPE_ROLE
TRADE, MARK, CHANNEL_UP, CHANNEL_DOWN, SESSION_END, FILE_END = 0, 1, 2, 3, 4, 5
# A trade taken back (its ticker, ts, trade_no, price and volume as they were): that minute's bar is
# emptied. Behind it each trade of that bar that stands, once more: it counts for the bar as TRADE
# does, but is no tick. Neither moves a watermark.
BROKEN, AGAIN = 6, 7
