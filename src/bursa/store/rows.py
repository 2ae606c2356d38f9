"""Rows as a store gives them back, made into batches; which revision of a row counts.

Pure functions over Arrow tables and blocks. Knows no engine and no SQL.
"""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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
            _fill(block[at], table.column(column.name), column, dictionary)
    levels = _levels(table, kind) if kind.lists else None
    return Batch(kind, block, dictionary.words, span, levels)


def to_block(columns: Mapping[str, NDArray[Any]], kind: Kind, fixed: Mapping[str, int]) -> Block:
    """A block of a kind without lists, of NumPy columns in their order (masked where they hold
    nulls): text only of words that are in the schema, and no copy by way of Arrow. Those in `fixed`
    have one value."""
    count = len(next(iter(columns.values())))
    block = np.empty((len(kind.scalars), count), np.int64)
    for at, column in enumerate(kind.scalars):
        out = block[at]
        if column.name in fixed:
            out[:] = fixed[column.name]
        elif column.dtype == "float":
            out.view(np.float64)[:] = np.ma.filled(columns[column.name], np.nan)
        elif column.dtype == "text":
            out[:] = _coded(columns[column.name], column)
        else:
            out[:] = np.ma.filled(columns[column.name], INT_NULL)
    return block


def _coded(texts: NDArray[Any], column: Column) -> Block:
    """Texts as places among the words of their column, -1 for null; most columns of a read hold
    nothing else."""
    out = np.full(len(texts), -1, np.int64)
    there = np.flatnonzero(~np.ma.getmaskarray(texts))
    if len(there):
        place = {word: at for at, word in enumerate(column.words)}
        out[there] = [place[text] for text in np.ma.getdata(texts)[there].tolist()]
    return out


def _fill(out: Block, values: pa.ChunkedArray, column: Column, dictionary: Dictionary) -> None:
    """Write a column's values into a block's row, chunk by chunk."""
    start = 0
    for chunk in values.chunks:
        part = out[start : start + len(chunk)]
        start += len(chunk)
        if column.dtype == "text":
            coded = chunk.dictionary_encode()
            ids = dictionary.ids(column, [*coded.dictionary.to_pylist(), None])
            part[:] = ids[pc.fill_null(coded.indices, -1).to_numpy()]
        elif column.dtype == "float":
            part.view(np.float64)[:] = _present(chunk, np.nan).to_numpy()
        elif column.dtype == "flag":
            part[:] = pc.cast(chunk, pa.int64()).to_numpy()
        else:
            part[:] = _present(chunk, INT_NULL).to_numpy()


def _present(values: pa.Array, null: float) -> pa.Array:
    return pc.fill_null(values, null) if values.null_count else values


def _levels(table: pa.Table, kind: Kind) -> Block:
    rows = []
    for column in kind.lists:
        dtype: Any = np.float64 if column.dtype == "floats" else np.int64
        flat = [chunk.flatten().to_numpy() for chunk in table.column(column.name).chunks]
        rows.append(np.concatenate([np.empty(0, dtype), *flat]).astype(dtype).view(np.int64))
    return np.stack(rows)


def newest(block: Block, kind: Kind, ordered: bool = False) -> Block:
    """The newest revision of each row of a kind with `rev`, ascending by (ticker, ts).

    block    int64 (columns, n), rows in any order
    ordered  they lie by ticker and ascending (ts, rev) already: an engine sorts faster
    """
    symbol, ts, rev = (block[kind.index[name]] for name in ("ticker", "ts", "rev"))
    if not ordered:
        order = np.lexsort((rev, ts, symbol))
        symbol, ts = symbol[order], ts[order]
    last = np.ones(len(ts), np.bool_)
    last[:-1] = (symbol[1:] != symbol[:-1]) | (ts[1:] != ts[:-1])
    if not ordered:
        return np.ascontiguousarray(block[:, order[last]])
    return block if last.all() else np.ascontiguousarray(block[:, last])


def last_of_key(batch: Batch) -> Batch:
    """The last row of each key, in stream order; for kinds without lists."""
    assert batch.levels is None, "keyed kinds have no lists"
    keys = batch.block[[batch.kind.index[name] for name in batch.kind.key]]
    _, first = np.unique(keys[:, ::-1], axis=1, return_index=True)
    keep = np.sort(len(batch) - 1 - first)
    return Batch(batch.kind, batch.block[:, keep], batch.words, batch.span)
