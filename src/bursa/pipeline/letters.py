"""Rows that a healthy store refuses: found among those it takes, kept as letters, and read back.

A letter has its row as an Arrow stream, texts as texts, and a key made of the venue, the kind and
all that the row says, its journal position included: derived anew after a kill it is the same
letter. Pure but for the question that `sift` asks.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bursa.model.batch import Batch, Span, keep_levels
from bursa.model.errors import Refuse, Reject
from bursa.model.schema import Kind
from bursa.ports import DeadLetter
from bursa.store.rows import Dictionary, to_batch

# More refused rows of one write are no matter of the rows: the writer stops and says so.
REFUSED_MAX = 1000
# Columns by which people tell a row of a kind that has no ticker.
_NAMES = ("ticker", "index_code", "channel")
_WHY_MAX = 500


def rows_at(batch: Batch, chosen: NDArray[Any]) -> Batch:
    """Some rows of a batch, chosen by a mask."""
    block = np.ascontiguousarray(batch.block[:, chosen])
    return Batch(batch.kind, block, batch.words, batch.span, keep_levels(batch, chosen))


def without(batch: Batch, gone: Mapping[int, str]) -> Batch:
    """A batch without some of its rows, by number."""
    stays = np.ones(len(batch), np.bool_)
    stays[list(gone)] = False
    return rows_at(batch, stays)


def sift(batch: Batch, refuses: Callable[[Batch], str]) -> dict[int, str]:
    """Which rows of a batch are refused, and why: by halves, each asked of by itself. `refuses`
    says "" for rows that are taken. Raises Reject where there are more than REFUSED_MAX."""
    found: dict[int, str] = {}
    parts = [(0, len(batch))]
    while parts:
        low, high = parts.pop()
        chosen = np.zeros(len(batch), np.bool_)
        chosen[low:high] = True
        why = refuses(rows_at(batch, chosen)) if high > low else ""
        if why and high - low == 1:
            found[low] = why
            if len(found) > REFUSED_MAX:
                raise Reject("too_many", f"{batch.kind.name}: the store refuses row after row")
        elif why:
            middle = (low + high) // 2
            parts += [(middle, high), (low, middle)]
    return found


def letters(batch: Batch, refused: Mapping[int, str], now_ns: int) -> list[DeadLetter]:
    """A letter for each of these rows of a batch. Rows alike in all are told apart by a number."""
    made, alike = [], Counter[str]()
    for at, why in refused.items():
        chosen = np.zeros(len(batch), np.bool_)
        chosen[at] = True
        row = rows_at(batch, chosen)
        table = _plain(row)
        values = table.to_pylist()[0]
        said = {name: value for name, value in values.items() if value is not None}
        venue, kind = batch.span.source, batch.kind.name
        text = json.dumps([venue, kind, said], sort_keys=True, ensure_ascii=True)
        alike[text] += 1
        key = hashlib.sha256(f"{text} {alike[text]}".encode()).hexdigest()[:32]
        symbol = next((str(values[name]) for name in _NAMES if values.get(name)), "")
        ts = int(values.get("ts", values["ts_recv"]))
        position = int(values["position"])
        stream = _stream(table)
        made.append(
            DeadLetter(key, venue, kind, position, ts, symbol, why[:_WHY_MAX], now_ns, stream)
        )
    return made


def values(letter: DeadLetter) -> dict[str, Any]:
    """Column -> value of a letter's row."""
    row: dict[str, Any] = _table(letter).to_pylist()[0]
    return row


def rows(several: Sequence[DeadLetter], kind: Kind, dictionary: Dictionary) -> Batch:
    """The rows of letters of one venue and kind, at least one. Columns that a letter of an older
    schema lacks are null; Refuse `letter_schema` where they may not be."""
    tables = [_completed(_table(letter), letter, kind) for letter in several]
    positions = [letter.position for letter in several]
    span = Span(several[0].venue, 0, min(positions) - 1, max(positions))
    return to_batch(pa.concat_tables(tables), kind, dictionary, span)


def _plain(row: Batch) -> pa.Table:
    """Texts as texts: a dictionary would hold those of all other rows too."""
    table = pa.Table.from_batches([row.to_arrow()])
    fields = [
        pa.field(f.name, pa.string()) if pa.types.is_dictionary(f.type) else f for f in table.schema
    ]
    return table.cast(pa.schema(fields))


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _table(letter: DeadLetter) -> pa.Table:
    with pa.ipc.open_stream(letter.row) as reader:
        return reader.read_all()


def _completed(table: pa.Table, letter: DeadLetter, kind: Kind) -> pa.Table:
    types = {"float": pa.float64(), "text": pa.string(), "flag": pa.bool_()}
    for column in kind.columns:
        if column.name not in table.column_names:
            if not column.nullable:
                what = f"letter {letter.number} is of an older schema: it has no {column.name}"
                raise Refuse(what, "letter_schema", 409)
            empty = pa.nulls(table.num_rows, types.get(column.dtype, pa.int64()))
            table = table.append_column(column.name, empty)
    return table.select([column.name for column in kind.columns])
