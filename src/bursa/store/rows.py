"""Rows as a store gives them back, made into batches; which revision of a row counts.

Pure functions over Arrow tables and blocks. Knows no engine and no SQL.
"""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bursa.model.batch import Batch, Block, Span, Words
from bursa.model.schema import INT_NULL, Column, Kind


class Dictionary:
    """The words of what one store gives out, of one venue. Any thread may read rows, so new words
    are entered under a lock; it is not the dictionary of the venue's line, whose ids are part of
    its state."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self._lock = Lock()

    def ids(self, column: Column, texts: list[str | None]) -> Block:
        """Ids of texts, -1 for None; unseen symbols and free texts are entered."""
        enter: Callable[[str], int]
        if column.words == "symbols":
            enter = self.words.symbol_id
        elif column.words == "texts":
            enter = self.words.text_id
        else:
            enter = list(self.words.of(column)).index
        with self._lock:
            found = [-1 if text is None else enter(text) for text in texts]
        return np.array(found, np.int64)


def to_batch(
    table: pa.Table,
    kind: Kind,
    dictionary: Dictionary,
    span: Span,
    fixed: Mapping[str, int] | None = None,
) -> Batch:
    """A batch of an Arrow table's rows, in its order.

    fixed   columns that the table lacks, and the one value (as in a block) they all have
    """
    fixed = fixed or {}
    block = np.empty((len(kind.scalars), table.num_rows), np.int64)
    for at, column in enumerate(kind.scalars):
        if column.name in fixed:
            block[at] = fixed[column.name]
        else:
            block[at] = _column(table.column(column.name), column, dictionary)
    levels = _levels(table, kind) if kind.lists else None
    return Batch(kind, block, dictionary.words, span, levels)


def _column(values: pa.ChunkedArray, column: Column, dictionary: Dictionary) -> Block:
    if column.dtype == "text":
        coded = pc.dictionary_encode(values).unify_dictionaries().combine_chunks()
        if isinstance(coded, pa.ChunkedArray):  # no rows: no chunk to combine
            return np.empty(0, np.int64)
        ids = dictionary.ids(column, [*coded.dictionary.to_pylist(), None])
        picked: Block = ids[pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)]
        return picked
    if column.dtype == "float":
        floats = pc.fill_null(values, np.nan) if values.null_count else values
        return _numbers(floats, np.float64).view(np.int64)
    if column.dtype == "flag":
        return _numbers(pc.cast(values, pa.int64()), np.int64)
    return _numbers(pc.fill_null(values, INT_NULL) if values.null_count else values, np.int64)


def _numbers(values: pa.ChunkedArray, dtype: Any) -> Any:
    return np.ascontiguousarray(values.to_numpy(), dtype=dtype)


def _levels(table: pa.Table, kind: Kind) -> Block:
    rows = []
    for column in kind.lists:
        dtype: Any = np.float64 if column.dtype == "floats" else np.int64
        flat = [chunk.flatten().to_numpy() for chunk in table.column(column.name).chunks]
        rows.append(np.concatenate([np.empty(0, dtype), *flat]).astype(dtype).view(np.int64))
    return np.stack(rows)


def newest(block: Block, kind: Kind) -> Block:
    """The newest revision of each row of a kind with `rev`, ascending by (ticker, ts).

    block   int64 (columns, n), rows in any order
    """
    symbol, ts, rev = (block[kind.index[name]] for name in ("ticker", "ts", "rev"))
    order = np.lexsort((rev, ts, symbol))
    last = np.ones(len(order), np.bool_)
    same = (np.diff(symbol[order]) == 0) & (np.diff(ts[order]) == 0)
    last[:-1] = ~same
    return np.ascontiguousarray(block[:, order[last]])


def last_of_key(batch: Batch) -> Batch:
    """The last row of each key, in stream order; for kinds without lists."""
    assert batch.levels is None, "keyed kinds have no lists"
    keys = batch.block[[batch.kind.index[name] for name in batch.kind.key]]
    _, first = np.unique(keys[:, ::-1], axis=1, return_index=True)
    keep = np.sort(len(batch) - 1 - first)
    return Batch(batch.kind, batch.block[:, keep], batch.words, batch.span)
