"""What becomes of the audit's months: tables made ahead, old ones put into files.

The present month and the six before it are in the database, three are ready ahead. An older one is
detached, written to `audit-2026-04.jsonl.zst` (a record a line, as in the write-ahead file; by
time), read back, and only then dropped. Whatever is killed in between, the next time begins with
what is left; a record that came late joins the file. Several processes take turns.
"""

import heapq
import io
import os
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import zstandard
from sqlalchemy import Connection, or_, select, text

from bursa.accounts.audit_ahead import parsed
from bursa.accounts.audit_tables import (
    OUT,
    Month,
    Record,
    line_of,
    make,
    place_of,
    record_of,
    table_of,
    tables,
)
from bursa.model.errors import Refuse
from bursa.ops.logs import logger
from bursa.state.database import Database
from bursa.state.holder import me
from bursa.state.leases import SqlLeases

AHEAD_MONTHS, KEPT_MONTHS = 3, 6
ROWS_AT_ONCE = 2_000
_ALONE = "bursa audit"
# Who writes files; a process that ended without a word holds it up no longer.
LEASE, LEASED_S = "audit/files", 900.0
_FILE = re.compile(r"^audit-(\d{4})-(\d\d)\.jsonl\.zst$")


def settle(database: Database, folder: Path, present: Month, now_ns: int) -> bool:
    """Make the months ahead, and put into files what is older than is kept. False: another process
    is at the files; see later whether all are done. Raises as Database, OSError where the disk
    fails, Refuse `audit_damaged` where a file cannot be added to."""
    with database.transaction(_ALONE) as connection:
        for ahead in range(AHEAD_MONTHS + 1):
            make(connection, present.plus(ahead))
        found = tables(connection)
        for name, month in found.items():
            old = month < present.plus(-KEPT_MONTHS) and not name.endswith(OUT)
            if old and name + OUT not in found:
                _detach(connection, month)
        out = [name for name in tables(connection) if name.endswith(OUT)]
    if not out:
        return True
    leases = SqlLeases(database)
    if not leases.take(LEASE, me(), now_ns, LEASED_S):
        return False
    try:
        for name, month in _out(database).items():
            _export(database, folder, name, month)
    finally:
        leases.release(LEASE, me(), now_ns, "done", {})
    # What came late while a table was on its way out goes next.
    return not any(month < present.plus(-KEPT_MONTHS) for month in _all(database).values())


def _all(database: Database) -> dict[str, Month]:
    with database.snapshot() as connection:
        return tables(connection)


def _out(database: Database) -> dict[str, Month]:
    return {name: month for name, month in _all(database).items() if name.endswith(OUT)}


def _detach(connection: Connection, month: Month) -> None:
    """From here on the table takes no more rows: later ones go into a new one of its name."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"alter table audit detach partition {month.table}"))
    else:
        # Its successor's would bear the same name.
        connection.execute(text(f"drop index if exists {month.table}_by_target"))
    connection.execute(text(f"alter table {month.table} rename to {month.table}{OUT}"))


def _export(database: Database, folder: Path, name: str, month: Month) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = file_of(folder, month)
    records = heapq.merge(exported(path), stored(database, name), key=place_of)
    lines = (next(same) for _, same in groupby(records, place_of))
    temporary = path.with_name(path.name + ".part")
    count = _write(temporary, lines)
    if sum(1 for _ in exported(temporary)) != count:
        raise OSError(f"{temporary} does not read back as it was written")
    temporary.replace(path)
    _sync_folder(folder)
    _drop(database, name)
    logger("audit").info("a month of the audit went into a file", file=str(path), records=count)


def _drop(database: Database, name: str) -> None:
    with database.transaction(_ALONE) as connection:
        connection.execute(text(f"drop table if exists {name}"))


def _write(path: Path, records: Iterator[Record]) -> int:
    count = 0
    packer = zstandard.ZstdCompressor(level=10, write_checksum=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        with packer.stream_writer(file, closefd=False) as packed:
            for record in records:
                packed.write(line_of(record))
                count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def stored(database: Database, name: str) -> Iterator[Record]:
    """A table's records by time, in pieces that each are one short transaction."""
    table = table_of(name)
    at_ns, id_ = table.c.at_ns, table.c.id
    asked = select(table).order_by(at_ns, id_).limit(ROWS_AT_ONCE)
    last: Record | None = None
    while True:
        behind = asked
        if last is not None:
            same = (at_ns == last.at_ns) & (id_ > last.id)
            behind = asked.where(or_(at_ns > last.at_ns, same))
        with database.snapshot() as connection:
            found = [record_of(row) for row in connection.execute(behind).all()]
        if not found:
            return
        yield from found
        last = found[-1]


def file_of(folder: Path, month: Month) -> Path:
    """Where a month's file lies, or will."""
    return folder / f"audit-{month}.jsonl.zst"


def files(folder: Path) -> dict[Path, Month]:
    """The files that there are, newest month first."""
    found = {}
    for path in sorted(folder.glob("audit-*.jsonl.zst"), reverse=True):
        if match := _FILE.match(path.name):
            found[path] = Month(int(match[1]), int(match[2]))
    return found


def exported(path: Path) -> Iterator[Record]:
    """A file's records by time; none where there is no file. Refuse `audit_damaged` where it cannot
    be read, OSError where the disk fails."""
    if not path.exists():
        return
    try:
        with (
            path.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as unpacked,
        ):
            for line in io.BufferedReader(unpacked):
                yield parsed(line)
    except (zstandard.ZstdError, ValueError) as error:
        raise Refuse(f"{path} is damaged: {error}", "audit_damaged", 503) from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
