"""Tables as rows of numbers that can be compared and hashed, whatever dictionaries they were made
with: texts become hashes of themselves, floats their bits, lists one hash a row.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from bursa.model.batch import Batch
from bursa.model.schema import Kind

# What differs between two arrivals of the same messages: when they came, and in which records; and
# what the book held when a bar closed, where channels are apart by more than the grace.
ARRIVAL = frozenset(
    {"ts_recv", "known_at", "position", "nth"}
    | {"ohlcv.bid_volume", "ohlcv.ask_volume", "metrics.book_imbalance"}
)

Rows = NDArray[np.int64]


def of_batch(batch: Batch, without: Collection[str] = ()) -> Rows:
    """int64 (rows, columns), in the batch's order."""
    columns: list[Any] = []
    for at, column in enumerate(batch.kind.scalars):
        if left_out(batch.kind, column.name, without):
            continue
        row = batch.block[at]
        if column.dtype == "text":
            words = [text_number(word) for word in batch.words.of(column)]
            row = np.array([*words, 0], np.int64)[row]
        elif column.dtype == "float":
            values = row.view(np.float64)
            row = np.where(np.isnan(values), np.nan, values).view(np.int64)
        columns.append(row)
    if batch.levels is not None:
        ends = np.cumsum(batch.column("depth")).tolist()
        lists = np.ascontiguousarray(batch.levels.T)
        starts = [0, *ends][:-1]
        columns.append([signed(lists[a:b].tobytes()) for a, b in zip(starts, ends, strict=True)])
    return np.stack([np.asarray(c, np.int64) for c in columns], axis=1)


def left_out(kind: Kind, column: str, without: Collection[str]) -> bool:
    """Whether a column is, by its name or as `kind.name`."""
    return column in without or f"{kind.name}.{column}" in without


def signed(data: bytes) -> int:
    return xxh3_64_intdigest(data) - 2**63


def text_number(text: str) -> int:
    return signed(text.encode())


def tables(batches: Iterable[Batch], without: Collection[str] = ()) -> dict[str, Rows]:
    """Kind -> all its rows, in order."""
    found: dict[str, list[Rows]] = {}
    for batch in batches:
        found.setdefault(batch.kind.name, []).append(of_batch(batch, without))
    return {kind: np.concatenate(parts) for kind, parts in sorted(found.items())}


def in_any_order(rows: Rows) -> Rows:
    """The rows sorted."""
    return rows[np.lexsort(rows.T[::-1])]


def newest_of_key(kind: Kind, rows: Rows) -> Rows:
    """Of each key the last row: what a keyed table keeps of a stream. All columns are there."""
    at = [kind.index[name] for name in kind.key]
    _, last = np.unique(rows[::-1, at], axis=0, return_index=True)
    return rows[len(rows) - 1 - np.sort(last)[::-1]]


def hashes(of: Mapping[str, Rows], ordered: bool = True) -> dict[str, str]:
    """Kind -> rows and hash: `12 rows 9af3...`."""
    out = {}
    for kind, rows in of.items():
        rows = rows if ordered else in_any_order(rows)
        out[kind] = f"{len(rows)} rows {xxh3_64_hexdigest(np.ascontiguousarray(rows).tobytes())}"
    return out


def none(kind: Kind) -> Rows:
    """No rows of a kind."""
    return np.empty((0, len(kind.scalars) + bool(kind.lists)), np.int64)
