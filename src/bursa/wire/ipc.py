"""Rows of a kind as bytes and back: what a ROWS record of the journal holds. Pure, no I/O.

The form is an Arrow IPC stream of one record batch; its schema's metadata name the kind. Columns
that the record itself tells are not in it (LEFT). Bytes that were written by another version of the
schema are read by column names: what they lack is null, what is not known here is left out.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bursa.model.batch import Batch, Block, Span, Words
from bursa.model.errors import Reject
from bursa.model.schema import INT_NULL, Column, Kind

LEFT = frozenset({"known_at", "ts_recv", "position", "nth"})
"""Columns that are the record's: when it was written, where it lies, the row's place in it."""

_KIND = b"bursa.kind"


def pack(rows: Batch) -> bytes:
    """The bytes of some rows of a kind without lists."""
    assert not rows.kind.lists, "kinds with lists are not entered"
    whole = rows.to_arrow()
    names = [name for name in whole.schema.names if name not in LEFT]
    arrays = [_compact(whole.column(name)) for name in names]
    said = {_KIND: rows.kind.name.encode()}
    schema = pa.schema([pa.field(n, a.type) for n, a in zip(names, arrays, strict=True)], said)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return bytes(sink.getvalue())


def _compact(values: pa.Array) -> pa.Array:
    """Texts with no more of the venue's dictionary than they use."""
    if not pa.types.is_dictionary(values.type):
        return values
    return values.dictionary_decode().dictionary_encode()


def unpack(payload: bytes, kinds: Mapping[str, Kind], words: Words, span: Span) -> Batch:
    """The rows, their texts entered in `words`; columns of LEFT are 0. Raises Reject `bad_rows` for
    what is no such stream, of a kind that `kinds` has not, or with words that the schema lacks."""
    try:
        with pa.ipc.open_stream(payload) as reader:
            table = reader.read_all()
    except (pa.ArrowException, ValueError, OSError) as error:
        raise Reject("bad_rows", str(error)) from error
    name = ((table.schema.metadata or {}).get(_KIND) or b"").decode("utf-8", "replace")
    kind = kinds.get(name)
    if kind is None:
        raise Reject("bad_rows", f"rows of {name or 'no kind'}")
    block = np.empty((len(kind.scalars), table.num_rows), np.int64)
    names = frozenset(table.schema.names)
    for at, column in enumerate(kind.scalars):
        if column.name in LEFT:
            block[at] = 0
        elif column.name not in names:
            _absent(block[at], column)
        else:
            _fill(block[at], table.column(column.name), column, words)
    return Batch(kind, block, words, span)


def _absent(out: Block, column: Column) -> None:
    if column.dtype == "float":
        out.view(np.float64)[:] = np.nan
    else:
        out[:] = {"text": -1, "flag": 0}.get(column.dtype, INT_NULL)


def _fill(out: Block, values: pa.ChunkedArray, column: Column, words: Words) -> None:
    """Write a column's values into a block's row."""
    try:
        if column.dtype == "text":
            _fill_text(out, values, column, words)
        elif column.dtype == "float":
            given = pc.fill_null(values.cast(pa.float64()), float("nan"))
            out.view(np.float64)[:] = given.to_numpy()
        else:
            null = 0 if column.dtype == "flag" else INT_NULL
            out[:] = pc.fill_null(values.cast(pa.int64()), null).to_numpy()
    except (pa.ArrowException, ValueError) as error:
        raise Reject("bad_rows", f"{column.name}: {error}") from error


def _fill_text(out: Block, values: pa.ChunkedArray, column: Column, words: Words) -> None:
    start = 0
    for chunk in values.chunks:
        coded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        texts = coded.dictionary.to_pylist()
        if column.words == "symbols":
            ids = [words.symbol_id(text) for text in texts]
        elif column.words == "texts":
            ids = [words.text_id(text) for text in texts]
        else:
            ids = [list(words.of(column)).index(text) for text in texts]
        places = pc.fill_null(coded.indices, len(ids)).to_numpy()
        out[start : start + len(chunk)] = np.array([*ids, -1], np.int64)[places]
        start += len(chunk)
