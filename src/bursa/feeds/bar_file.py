"""A file of bars, CSV or Parquet, read piece by piece in bounded memory.

A piece has the columns that were asked for as they are in the file (text of a CSV file is not
interpreted), and for each row its line there (Parquet: its row, from 1). CSV: separated by comma,
semicolon, tab or bar, with a line of headers, plain or packed (.gz, .bz2, .zst). What the values
mean is wire/bar_file/values.py, which column is which wire/bar_file/headers.py.
"""

import codecs
import csv
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from bursa.model.errors import Refuse

# Bytes of a piece of CSV, rows of one of Parquet: about the same. Some 30 pieces are read ahead.
PIECE_BYTES = 1 << 20
PIECE_ROWS = 1 << 14
HEADER_BYTES_MAX = 64 << 10
# More lines with another number of fields than this, and it is no table.
RAGGED_MAX = 10_000
_SEPARATORS = ",;\t|"
# What the reader says of a file that has headers alone.
_NO_ROWS = ("Empty CSV", "Could not skip initial 1 rows")
# What it says of a line that is longer than a piece.
_STRADDLES = "straddling object"
_PARQUET = b"PAR1"
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True)
class Piece:
    """Rows of a file: `lines` int64 (n,), ascending; their columns by header, each (n,)."""

    lines: NDArray[np.int64]
    columns: Mapping[str, pa.Array]


@dataclass(frozen=True)
class Ragged:
    """A line whose number of fields is not that of the headers."""

    line: int
    text: str
    fields: int


class BarFile(Protocol):
    """One file. Used by one thread at a time."""

    path: Path
    headers: Sequence[str]
    # What `lines` counts.
    counts: str
    # Bytes, or rows, of the whole and of what was read.
    total: int
    done: int

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """All rows, in their order, from the beginning whenever it is called. Raises Refuse
        `bad_file` where it cannot be read on."""

    def ragged(self) -> list[Ragged]:
        """Lines found meanwhile that are no rows; each is told once."""

    def close(self) -> None:
        """Give the file back. May be called again."""


def opened(path: Path) -> BarFile:
    """Open a file, whatever it is called. Refuse `bad_file` where it cannot be read, or is neither
    Parquet nor CSV with headers."""
    try:
        if not path.is_file():
            raise _refused(path, "there is no such file" if not path.exists() else "it is no file")
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from None
    if head == _PARQUET:
        return _Parquet(path)
    packed = next((kind for magic, kind in _PACKED.items() if head.startswith(magic)), None)
    return _Csv(path, packed)


class _Csv:
    counts = "line"

    def __init__(self, path: Path, packed: str | None) -> None:
        self.path, self._packed = path, packed
        self.total, self.done = max(1, path.stat().st_size), 0
        self._raw: Any = None
        self._ragged: list[Ragged] = []
        self._open_quote: int | None = None
        self._told = 0
        self._breaks = _Breaks()
        self._seen: int | None = 0  # rows before it were read; None: all
        try:
            header = self._header()
        except (OSError, pa.ArrowException) as error:
            raise _refused(path, str(error)) from None
        self._separator = max(_SEPARATORS, key=header.count)
        rows = list(csv.reader([header], delimiter=self._separator))
        self.headers: Sequence[str] = [name.strip().strip("<>") for name in rows[0]] if rows else []
        if len(self.headers) < 2:
            what = f"its first line is {header[:60]!r}: headers are needed there, separated by"
            raise _refused(path, f"{what} comma, semicolon, tab or |")

    def _open(self) -> Any:
        self._raw = pa.OSFile(str(self.path), "rb")
        return pa.CompressedInputStream(self._raw, self._packed) if self._packed else self._raw

    def _header(self) -> str:
        with self._open() as stream:
            data = bytes(stream.read(HEADER_BYTES_MAX))
        line = data.removeprefix(codecs.BOM_UTF8).replace(b"\r", b"\n").partition(b"\n")[0]
        if b"\0" in data or len(line) == HEADER_BYTES_MAX:
            raise _refused(self.path, "it is neither Parquet nor text in UTF-8")
        return line.decode(errors="replace")

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """As BarFile."""
        # Two headers may be alike once stripped; columns are named by their places.
        places = {header: str(at) for at, header in enumerate(self.headers)}
        read = pa.csv.ReadOptions(
            use_threads=False,  # else lines are not numbered
            block_size=PIECE_BYTES,
            skip_rows=1,
            column_names=[str(at) for at in range(len(self.headers))],
        )
        parse = pa.csv.ParseOptions(
            delimiter=self._separator,
            ignore_empty_lines=False,  # else lines are not numbered
            invalid_row_handler=self._note,
        )
        convert = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(places.values(), pa.binary()),
            strings_can_be_null=False,
        )
        rows, self._ragged, self._told = _Lines(first=2), [], 0
        self._breaks, self._seen = _Breaks(), rows.first
        try:
            with self._open() as stream:
                with pa.csv.open_csv(stream, read, parse, convert) as reader:
                    for batch in reader:
                        self.done = min(self._raw.tell(), self.total)
                        self._check_ragged()
                        lines = rows.next(batch.num_rows, [one.line for one in self._ragged])
                        found = {name: batch.column(places[name]) for name in columns}
                        told = self._breaks.shifted(lines, batch)
                        self._seen = rows.first
                        yield _without_empty(Piece(told, found))
                self._check_ragged()
                self._seen = None
        except (OSError, pa.ArrowException) as error:
            if _STRADDLES in str(error):
                what = f"a line, or what a quote opens, is longer than {PIECE_BYTES:,} bytes"
                raise _refused(self.path, what) from None
            if not any(said in str(error) for said in _NO_ROWS):
                raise _refused(self.path, str(error)) from None
        self.done = self.total

    def _check_ragged(self) -> None:
        if self._open_quote is not None:
            what = f"line {self._open_quote}: a quote that opens there is not closed on that line"
            raise _refused(self.path, what)
        if len(self._ragged) > RAGGED_MAX:
            one, many = self._ragged[0], len(self._ragged)
            what = f"{many:,} lines have another number of fields than its headers"
            what += f" ({len(self.headers)}); line {one.line} has {one.fields}"
            raise _refused(self.path, what)

    def _note(self, row: Any) -> str:
        if "\n" in row.text.strip() and self._open_quote is None:
            self._open_quote = row.number  # it took lines along that are rows
        self._ragged.append(Ragged(row.number, row.text[:200], row.actual_columns))
        return "skip"

    def ragged(self) -> list[Ragged]:
        """As BarFile."""
        fresh = self._ragged[self._told :]
        if self._seen is not None:  # whether a value before the others goes on is not known yet
            fresh = [one for one in fresh if one.line < (self._seen or 0)]
        self._told += len(fresh)
        return [replace(one, line=one.line + self._breaks.before(one.line)) for one in fresh]

    def close(self) -> None:
        """As BarFile."""
        if self._raw is not None:
            self._raw.close()


@dataclass
class _Lines:
    """Numbers the rows of a CSV file, past the lines that are none."""

    first: int
    _skipped: int = field(default=0)

    def next(self, rows: int, ragged: Sequence[int]) -> NDArray[np.int64]:
        """The lines of the next rows. `ragged`: lines that are no rows, ascending, all so far, or
        some more."""
        skipped = ragged[self._skipped :]
        span = np.arange(self.first, self.first + rows + len(skipped), dtype=np.int64)
        lines = span[~np.isin(span, np.array(skipped, np.int64))][:rows]
        if rows:
            self.first = int(lines[-1]) + 1
            self._skipped += sum(line < self.first for line in skipped)
        return lines


class _Breaks:
    """Line breaks within values: a row behind them lies so many lines further down than it is rows
    away from the beginning."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._sums: list[int] = []

    def before(self, row: int) -> int:
        """How many there are in the rows before one; rows are counted as if each were a line."""
        at = bisect_left(self._rows, row)
        return self._sums[at - 1] if at else 0

    def shifted(self, rows: NDArray[np.int64], batch: pa.RecordBatch) -> NDArray[np.int64]:
        """The lines of the next rows, all columns of which are in `batch`."""
        counts = np.zeros(len(rows), np.int64)
        for column in batch.columns:
            found = pa.compute.count_substring(column, "\n")
            counts += found.to_numpy(zero_copy_only=False)
        if not self._rows and not counts.any():
            return rows
        earlier = self._sums[-1] if self._sums else 0
        sums = earlier + np.cumsum(counts)
        at = np.flatnonzero(counts)
        self._rows += rows[at].tolist()
        self._sums += sums[at].tolist()
        return rows + sums - counts


def _without_empty(piece: Piece) -> Piece:
    """Without rows of which no column has anything: empty lines."""
    empty = np.ones(len(piece.lines), bool)
    for array in piece.columns.values():
        empty &= pa.compute.equal(pa.compute.binary_length(array), 0).to_numpy(zero_copy_only=False)
    if not empty.any():
        return piece
    kept = pa.array(~empty)
    columns = {name: array.filter(kept) for name, array in piece.columns.items()}
    return Piece(piece.lines[~empty], columns)


class _Parquet:
    counts = "row"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pa.parquet.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise _refused(path, str(error)) from None
        self.headers: Sequence[str] = list(self._file.schema_arrow.names)
        self.total, self.done = max(1, self._file.metadata.num_rows), 0

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """As BarFile."""
        at = 1
        try:
            batches = self._file.iter_batches(PIECE_ROWS, columns=list(columns), use_threads=False)
            for batch in batches:
                lines = np.arange(at, at + batch.num_rows, dtype=np.int64)
                at += batch.num_rows
                self.done = at - 1
                yield Piece(lines, {name: batch.column(name) for name in columns})
        except (OSError, pa.ArrowException) as error:
            raise _refused(self.path, str(error)) from None

    def ragged(self) -> list[Ragged]:
        """As BarFile: there are none."""
        return []

    def close(self) -> None:
        """As BarFile."""
        self._file.close()


def _refused(path: Path, why: str) -> Refuse:
    return Refuse(f"{path} cannot be read: {why}", "bad_file", parameter="file")
