"""Is the audit as it should be? Its tables, its files and what waits for the database.

Looks and changes nothing. A server may be running on the folder meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from bursa.accounts.audit_ahead import FILE, TORN, parsed
from bursa.accounts.audit_months import AHEAD_MONTHS, KEPT_MONTHS, exported, files
from bursa.accounts.audit_tables import OUT, Month, place_of, table_of, tables
from bursa.model.errors import Refuse
from bursa.state.database import Database


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said of one table or file. what: its name; records: in it; said: "" where there
    is nothing more to say; good: False where somebody should look."""

    what: str
    records: int
    said: str = ""
    good: bool = True


def check(database: Database, folder: Path, present: Month) -> list[Finding]:
    """All findings: tables by name, files, the write-ahead file. Raises as Database, OSError where
    the disk fails."""
    with database.snapshot() as connection:
        found = list(_tables(connection, present))
    return [*found, *_files(folder), *_waiting(folder)]


def _tables(connection: Connection, present: Month) -> Iterator[Finding]:
    found = tables(connection)
    for name, month in sorted(found.items()):
        table = table_of(name)
        begins, ends = month.start_ns, month.plus(1).start_ns
        outside = (table.c.at_ns < begins) | (table.c.at_ns >= ends)
        count = connection.execute(select(func.count()).select_from(table)).scalar_one()
        strange = connection.execute(
            select(func.count()).select_from(table).where(outside)
        ).scalar_one()
        if strange:
            yield Finding(name, count, f"{strange:,} records are of other months", good=False)
        elif name.endswith(OUT):
            yield Finding(name, count, "is on its way into a file")
        elif month < present.plus(-KEPT_MONTHS):
            yield Finding(name, count, "goes into a file next")
        else:
            yield Finding(name, count)
    for ahead in range(AHEAD_MONTHS + 1) if found else ():
        name = present.plus(ahead).table
        if name not in found:
            said = "is not there yet: `bursa up` makes it, or the first record of its month"
            yield Finding(name, 0, said, good=ahead > 0)


def _files(folder: Path) -> Iterator[Finding]:
    for path, month in sorted(files(folder).items()):
        count, last, said = 0, (month.start_ns - 1, ""), ""
        try:
            for record in exported(path):
                place = place_of(record)
                if not last < place < (month.plus(1).start_ns, ""):
                    said = said or f"record {count + 1} is of another month, or out of order"
                last, count = place, count + 1
        except Refuse as error:
            said = f"{count:,} records can be read: {error}"
        yield Finding(path.name, count, said, good=not said)


def _waiting(folder: Path) -> Iterator[Finding]:
    path, torn = folder / FILE, folder / TORN
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    good = [line for line in lines[:-1] if _is_record(line)]
    bad = len(lines) - 1 - len(good)
    said = "wait for the database" if good else ""
    if bad:
        said = f"{said}; " * bool(said) + f"{bad:,} torn lines"
    yield Finding(FILE, len(good), said, good=not bad)
    if torn.exists():
        count = torn.read_bytes().count(b"\n")
        said = f"{count:,} torn lines were set aside: delete it when they were looked at"
        yield Finding(TORN, 0, said, good=False)


def _is_record(line: bytes) -> bool:
    try:
        parsed(line)
    except ValueError:
        return False
    return True
