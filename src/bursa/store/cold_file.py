"""The form of a cold file: how the rows of a day are written, and how they are read.

Parquet, zstd, the schema's columns in its order, rows as they are given (sorted: tables.packed_by).
Each column gets the encoding in which a sample of its rows is smallest: that differs from kind to
kind and from venue to venue, and is a fifth smaller than the engine's own writer. The footer tells
the schema's version, the table and the day. A column that the schema got later is absent, and read
as null. Knows files one by one (parquet.py knows the folder).
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bursa.model.errors import Refuse
from bursa.model.schema import SCHEMA_VERSION, Column, Kind
from bursa.store import tables

VERSION_KEY, TABLE_KEY, DAY_KEY = "bursa.schema", "bursa.table", "bursa.day"
# Rows of a group. One ticker's rows are read by the groups that hold them: smaller ones are read
# sooner and pack worse (bars in groups of 8,192 take 7 % more than in groups of 16,384). Snapshots
# of one ticker are hardly asked for, and take a third less in long ones.
GROUP_ROWS = {"ohlcv": 16_384, "metrics": 16_384, "index": 16_384, "snapshot": 131_072}
_GROUP_ROWS = 32_768
# Bars are few and kept longest: three times the time to pack them saves 5 %. For ticks and books it
# would save 2 % in eight times the time.
_LEVELS = {"ohlcv": 15, "index": 15}
_LEVEL = 9
_SAMPLE_ROWS = 16_384

_TYPES: Mapping[str, pa.DataType] = {
    "time": pa.int64(),
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "flag": pa.bool_(),
    "floats": pa.list_(pa.field("element", pa.float64())),
    "ints": pa.list_(pa.field("element", pa.int64())),
}
_DICTIONARY, _PLAIN = "DICTIONARY", "PLAIN"
_FLOATS = (_DICTIONARY, _PLAIN, "BYTE_STREAM_SPLIT")
_INTS = (*_FLOATS, "DELTA_BINARY_PACKED")
_ENCODINGS: Mapping[str, Sequence[str]] = {
    "time": _INTS,
    "int": _INTS,
    "float": _FLOATS,
    "text": (_DICTIONARY,),
    "flag": (_PLAIN,),
    "floats": _FLOATS,
    "ints": _INTS,
}


@dataclass(frozen=True)
class Form:
    """What a file's footer tells. version: of the schema it was written by; columns: name and
    Parquet type, in the file's order."""

    version: int
    columns: tuple[tuple[str, str], ...]

    def lacks(self, kind: Kind) -> list[Column]:
        """The columns of a kind that are not in the file."""
        has = {name for name, _ in self.columns}
        return [column for column in kind.columns if column.name not in has]

    def kind(self, present: Kind) -> Kind:
        """The kind as it was when the file was written; a column it has no more is an int."""
        known = {column.name: column for column in present.columns}
        columns = (known.get(name) or Column(name, "int", "") for name, _ in self.columns)
        return replace(present, columns=tuple(columns))


def schema(kind: Kind) -> pa.Schema:
    """The Arrow schema of a kind's rows in a file."""
    return pa.schema([(column.name, _TYPES[column.dtype]) for column in kind.columns])


def form_of(file: Path) -> Form:
    """Read a file's footer. Raises OSError where it cannot be read, ValueError where it is none of
    ours or damaged."""
    with _reading(file), pq.ParquetFile(file) as opened:
        told, arrow = opened.metadata.metadata or {}, opened.schema_arrow
    version = told.get(VERSION_KEY.encode(), b"")
    if not version.isdigit():
        raise ValueError(f"{file}: its footer does not tell the schema's version")
    columns = tuple((field.name, _type_name(field.type)) for field in arrow)
    return Form(int(version), columns)


def _type_name(of: pa.DataType) -> str:
    return f"list<{of.value_type}>" if pa.types.is_list(of) else str(of)


def check(form: Form, kind: Kind, file: Path) -> None:
    """Refuse `store_schema`: a file of a newer program, or with a column of another type."""
    if form.version > SCHEMA_VERSION:
        raise Refuse(
            f"{file}: its schema is version {form.version}, this program knows"
            f" {SCHEMA_VERSION}: it was written by a newer bursa",
            "store_schema",
        )
    has = dict(form.columns)
    for column in kind.columns:
        wanted = _type_name(_TYPES[column.dtype])
        if has.get(column.name, wanted) != wanted:
            raise Refuse(
                f"{file}: {column.name} is stored as {has[column.name]}, not {wanted}",
                "store_schema",
            )


def relation(files: Sequence[Path], kind: Kind, forms: Sequence[Form] | None = None) -> str:
    """What stands behind FROM to read files of a kind: all its columns, in the schema's order;
    those that a file lacks are null. `forms` of the files, where they are known; else each footer
    is read, which raises as `form_of`."""
    forms = [form_of(file) for file in files] if forms is None else forms
    alike: dict[tuple[str, ...], list[Path]] = {}
    for file, form in zip(files, forms, strict=True):
        alike.setdefault(tuple(c.name for c in form.lacks(kind)), []).append(file)
    parts = [_select(of, kind, lacked) for lacked, of in alike.items()] or [none(kind)]
    return f"({' union all '.join(parts)})"


def none(kind: Kind) -> str:
    """A SELECT of no rows."""
    return _select_of(kind, [column.name for column in kind.columns]) + " where false"


def _select(files: Sequence[Path], kind: Kind, lacked: Sequence[str]) -> str:
    named = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    source = f"read_parquet([{named}], hive_partitioning = false)"
    return f"{_select_of(kind, lacked)} from {source}"


def _select_of(kind: Kind, lacked: Sequence[str]) -> str:
    shown = (
        f'cast(null as {tables.TYPES[column.dtype]}) as "{column.name}"'
        if column.name in lacked
        else f'"{column.name}"'
        for column in kind.columns
    )
    return f"select {', '.join(shown)}"


def write(cursor: Any, text: str, kind: Kind, file: Path) -> int:
    """Write the rows of a SELECT of all columns of a kind, in its order, to a new file; returns how
    many. The file lies in the folder of its day. Memory: a group of rows, and the engine's own.
    Neither synced nor renamed; OSError leaves what was written."""
    rows = GROUP_ROWS.get(kind.name, _GROUP_ROWS)
    with cursor.sql(text).to_arrow_reader(rows) as reader:
        return put(_groups(reader, rows), kind, file)


def put(groups: Iterator[pa.Table], kind: Kind, file: Path) -> int:
    """Write tables of rows, a group each; the rest as `write`."""
    wanted, count = schema(kind), 0
    first = next(groups, None)
    head = (wanted.empty_table() if first is None else first).select(wanted.names).cast(wanted)
    with open(file, "wb") as out, _writer(out, head, kind, file) as writer:
        if first is not None:
            writer.write_table(head)
            count += len(head)
        for group in groups:
            writer.write_table(group.select(wanted.names).cast(wanted))
            count += len(group)
    return count


def _writer(out: Any, head: pa.Table, kind: Kind, file: Path) -> pq.ParquetWriter:
    wanted = schema(kind)
    level = _LEVELS.get(kind.name, _LEVEL)
    found = {_path(c): _smallest(head, c, level) for c in kind.columns}
    dictionary = [path for path, encoding in found.items() if encoding == _DICTIONARY]
    others = {path: encoding for path, encoding in found.items() if encoding != _DICTIONARY}
    by = tables.packed_by(kind)
    ordering = [(name, "ascending") for name in by[: by.index("ts") + 1]]
    writer = pq.ParquetWriter(
        out,
        wanted,
        compression="zstd",
        compression_level=level,
        use_dictionary=dictionary or False,
        column_encoding=others or None,
        store_schema=False,
        write_page_checksum=True,
        sorting_columns=pq.SortingColumn.from_ordering(wanted, ordering),
    )
    told = {
        VERSION_KEY: str(SCHEMA_VERSION),
        TABLE_KEY: file.parent.parent.name,
        DAY_KEY: file.parent.name.partition("=")[2],
    }
    writer.add_key_value_metadata(told)
    return writer


def _path(column: Column) -> str:
    """How the writer names a column's values."""
    return f"{column.name}.list.element" if column.dtype in ("floats", "ints") else column.name


def _smallest(head: pa.Table, column: Column, level: int) -> str:
    """The encoding in which a sample of a column is smallest, packed as the file will be: at
    another level another one may be (long matches of volumes are found from level 9 on)."""
    of = _ENCODINGS[column.dtype]
    if len(of) == 1 or not len(head):
        return of[-1]
    # From the middle: the first tickers of a day need not be like the others.
    start = max(0, (len(head) - _SAMPLE_ROWS) // 2)
    sample = head.select([column.name]).slice(start, _SAMPLE_ROWS)
    return min(of, key=lambda encoding: _size(sample, column, encoding, level))


def _size(sample: pa.Table, column: Column, encoding: str, level: int) -> int:
    out = io.BytesIO()
    dictionary = encoding == _DICTIONARY
    pq.write_table(
        sample,
        out,
        compression="zstd",
        compression_level=level,
        use_dictionary=dictionary,
        column_encoding=None if dictionary else {_path(column): encoding},
        store_schema=False,
    )
    return out.tell()


def _groups(reader: pa.RecordBatchReader, rows: int) -> Iterator[pa.Table]:
    """What a reader brings, as tables of `rows` rows; the last has the rest."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in reader:
        while held + len(batch) >= rows:
            cut = rows - held
            yield pa.Table.from_batches([*waiting, batch.slice(0, cut)])
            batch, waiting, held = batch.slice(cut), [], 0
        if len(batch):
            waiting.append(batch)
            held += len(batch)
    if waiting:
        yield pa.Table.from_batches(waiting)


def read_through(file: Path) -> None:
    """Read all of a file, its pages' checksums with it, keeping nothing. Raises as `form_of`."""
    with _reading(file), pq.ParquetFile(file, page_checksum_verification=True) as opened:
        for _ in opened.iter_batches():
            pass


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """What is wrong with a file's bytes leaves as ValueError; what the system says, as it is."""
    try:
        yield
    except pa.ArrowException as error:
        raise ValueError(f"{file}: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{file}: {error}") from error
