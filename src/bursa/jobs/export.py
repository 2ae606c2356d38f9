"""The job that writes stored rows to a file: Parquet, CSV or an Arrow stream.

Rows come in pieces of bounded size (store/whole.py), each written before the next is read, so a
step is short whatever the range is. While it grows the file is called FILE.part; it gets its name
when all of it is on disk. Nothing is left of one that was given up. Reads both tiers; changes no
row.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from bursa.jobs.other_clock import by_venues_clock
from bursa.model.errors import Refuse
from bursa.model.schema import Kind
from bursa.model.venue import Venue
from bursa.pipeline.runtime import VenueRuntime
from bursa.store.cold_file import schema
from bursa.store.floors import COLD_KINDS
from bursa.store.reading import Reading
from bursa.store.whole import Wanted, pieces

KINDS = (*COLD_KINDS, "status")
FORMATS = ("parquet", "csv", "arrow")
PART = ".part"


@dataclass(frozen=True)
class Order:
    """What is to be written, as JSON holds it. file: absolute; tickers: () is all of them."""

    kind: str
    start_ns: int
    end_ns: int
    file: str
    form: str
    tickers: Sequence[str] = ()
    as_of_ns: int | None = None


class _Sink(Protocol):
    def write_table(self, rows: pa.Table) -> None:
        """Append rows."""

    def close(self) -> None:
        """Write what ends the file."""


class Export:
    """jobs.Job over one order."""

    name = "export"

    def __init__(self, store: Reading, venue: Venue, kind: Kind, order: Order) -> None:
        if order.form not in FORMATS:
            raise Refuse(f"format: {order.form}; allowed: {', '.join(FORMATS)}", parameter="format")
        self._store, self._order = store, order
        self._wanted = Wanted(
            venue, kind, order.start_ns, order.end_ns, tuple(order.tickers), order.as_of_ns
        )
        self._file = Path(order.file)
        self._part = self._file.with_name(self._file.name + PART)
        self._at = (0, 1)
        self._rows = 0
        self._without = dict.fromkeys(order.tickers)
        self._bytes = 0
        self._venue_clock = False

    @property
    def progress(self) -> tuple[int, int]:
        """In thousandths of a day."""
        return self._at

    def report(self) -> dict[str, Any]:
        """Rows written; bytes of the file, 0 while it is not done or where there are none; whether
        the range is empty, and would not be by the venue's clock; the tickers that were asked for
        and have no row so far."""
        return {
            "rows": self._rows,
            "bytes": self._bytes,
            "venue_clock": self._venue_clock,
            "without": list(self._without),
        }

    def run(self) -> Iterator[None]:
        """Piece by piece. Without a row there is no file. OSError becomes Refuse `not_written`."""
        try:
            yield from self._run()
        except OSError as error:
            raise Refuse(f"{self._file}: {error}", "not_written", 503) from error

    def _run(self) -> Iterator[None]:
        with open(self._part, "wb") as out:
            sink = _sink(out, self._wanted.kind, self._order.form)
            for piece in pieces(self._store, self._wanted):
                if len(piece.rows):
                    sink.write_table(piece.rows)
                if self._without:
                    for ticker in pc.unique(piece.rows[self._wanted.by]).to_pylist():
                        self._without.pop(ticker, None)
                self._rows += len(piece.rows)
                self._at = (piece.done, piece.total)
                yield
            sink.close()
            out.flush()
            os.fsync(out.fileno())
        if self._rows:
            self._bytes = self._part.stat().st_size
            self._part.rename(self._file)
        else:
            of = self._wanted
            self._venue_clock = by_venues_clock(
                self._store, of.venue, of.start_ns, of.end_ns, of.tickers or None
            )
        self._at = (1, 1)

    def close(self) -> None:
        """Leave no part behind."""
        with suppress(OSError):
            self._part.unlink(missing_ok=True)


def make(runtime: VenueRuntime, order: dict[str, Any]) -> Export:
    """jobs.Maker; `order` is an Order as JSON."""
    store = runtime.parts.store
    assert isinstance(store, Reading), "the program's stores are read by one class"
    return of(store, runtime.venue, Order(**order))


def of(store: Reading, venue: Venue, order: Order) -> Export:
    """An export from a store. Refuse for a kind that it cannot write."""
    if order.kind not in KINDS:
        raise Refuse(f"KIND: {order.kind}; allowed: {', '.join(KINDS)}", parameter="kind")
    kinds = {kind.name: kind for kind in store.kinds}
    return Export(store, venue, kinds[order.kind], order)


# -- the forms -----------------------------------------------------------------------------------


def _sink(out: Any, kind: Kind, form: str) -> _Sink:
    makers: Mapping[str, Any] = {"parquet": _Parquet, "csv": _Csv, "arrow": _Arrow}
    made: _Sink = makers[form](out, kind)
    return made


class _Parquet:
    """A row group for each piece; columns and types as in a cold file."""

    def __init__(self, out: Any, kind: Kind) -> None:
        self._schema = schema(kind)
        texts = [column.name for column in kind.columns if column.dtype == "text"]
        self._writer = pq.ParquetWriter(
            out, self._schema, compression="zstd", use_dictionary=texts, write_page_checksum=True
        )

    def write_table(self, rows: pa.Table) -> None:
        self._writer.write_table(rows.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


class _Arrow:
    """An IPC stream."""

    def __init__(self, out: Any, kind: Kind) -> None:
        self._schema = schema(kind)
        self._writer = pa.ipc.new_stream(out, self._schema)

    def write_table(self, rows: pa.Table) -> None:
        self._writer.write_table(rows.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


class _Csv:
    """A head line, then a line a row. A null is an empty field, a list is JSON, a flag true or
    false; floats are written in the shortest form that reads back the same."""

    def __init__(self, out: Any, kind: Kind) -> None:
        self._lists = [column.name for column in kind.lists]
        fields = [
            pa.field(field.name, pa.string()) if field.name in self._lists else field
            for field in schema(kind)
        ]
        self._schema = pa.schema(fields)
        options = pcsv.WriteOptions(quoting_style="needed")
        self._writer = pcsv.CSVWriter(out, self._schema, write_options=options)

    def write_table(self, rows: pa.Table) -> None:
        for name in self._lists:
            at = rows.schema.get_field_index(name)
            rows = rows.set_column(at, name, _json(rows.column(at)))
        self._writer.write_table(rows.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


def _json(lists: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if row is None else json.dumps(row) for row in lists.to_pylist()])
