"""`bursa audit`: who did what to whom, listed, written to a file, and looked at for what is amiss.

The database is read as it is, also while bursa runs; months that are no longer in it are read from
their files in the data folder.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import IO

import zstandard
from rich.console import Console

from bursa.accounts.audit_check import Finding, check
from bursa.accounts.audit_find import Found
from bursa.accounts.audit_tables import Chosen, Month, Record, line_of
from bursa.app import SystemClock, audit_of
from bursa.config import Config
from bursa.model.errors import Refuse
from bursa.ops import logs
from bursa.pipeline.control import instant
from bursa.store import sql
from bursa.verbs import times
from bursa.verbs.options import several

COLUMNS = ("time", "actor", "role", "act", "target", "ok", "before", "after", "address", "request")
FINDINGS = ("what", "records", "finding", "good")
LIMIT_MAX = 100_000
NONE = "nothing was audited yet\n"
# What a file may be called, and so what is written.
PACKED, LINES, TABLE = ".jsonl.zst", ".jsonl", ".csv"


@dataclass(frozen=True)
class Asked:
    """What the command line says of the records meant. begin, end: a date or a time, UTC where it
    names no zone; actor: id or address."""

    begin: str = ""
    end: str = ""
    actor: str = ""
    act: str = ""
    target: str = ""
    failed: bool = False


def run_list(config: Config, asked: Asked, limit: int, form: str) -> str:
    """The newest records, newest first."""
    if form not in sql.FORMATS:
        raise Refuse(f"--format: {form}; allowed: {', '.join(sql.FORMATS)}", parameter="format")
    if not 1 <= limit <= LIMIT_MAX:
        raise Refuse(f"--limit: {limit}; allowed: 1 to {LIMIT_MAX:,}", parameter="limit")
    logs.setup(config.log.level, config.log.format)
    with audit_of(config) as opened:
        if opened is None:
            return NONE if form == "table" else sql.render(sql.Answer(COLUMNS, []), form)
        found = Found(*opened)
        records = found.newest(_chosen(asked, found), limit)
        named = found.emails({record.actor for record in records})
    return sql.render(sql.Answer(COLUMNS, [_row(record, named) for record in records]), form)


def _row(record: Record, named: dict[str, str]) -> list[object]:
    return [
        instant(record.at_ns),
        named.get(record.actor, record.actor) or "nobody",
        record.actor_role,
        record.act,
        record.target,
        record.ok,
        record.before or "",
        record.after or "",
        record.address,
        record.request_id,
    ]


def _chosen(asked: Asked, found: Found) -> Chosen:
    begin = times.instant(asked.begin, "--from", UTC) if asked.begin else None
    end = times.instant(asked.end, "--to", UTC) if asked.end else None
    if begin is not None and end is not None and begin >= end:
        what = f"--from {asked.begin} is not before --to {asked.end}: --to itself is left out"
        raise Refuse(what, parameter="from")
    actor = asked.actor
    if "@" in actor:
        actor = found.user(actor) or ""
        if not actor:
            raise Refuse(f"--actor: {asked.actor}: no user has that address", parameter="actor")
    ok = False if asked.failed else None
    return Chosen(begin, end, actor, asked.act, asked.target, ok)


def run_export(config: Config, asked: Asked, file: Path, *, force: bool, say: Console) -> int:
    """Records, oldest first, to a file, which is there whole or not at all."""
    name = file.name.lower()
    if not name.endswith((PACKED, LINES, TABLE)):
        what = f"{file}: allowed are names that end with {LINES}, {PACKED} or {TABLE}"
        raise Refuse(what, parameter="output")
    if file.exists() and not force:
        raise Refuse(f"{file} is there already; --force replaces it", parameter="output")
    logs.setup(config.log.level, config.log.format)
    temporary = file.with_name(file.name + ".part")
    with audit_of(config) as opened:
        if opened is None:
            say.print(NONE.strip())
            return 1
        found = Found(*opened)
        records = found.by_time(_chosen(asked, found))
        try:
            with temporary.open("wb") as raw:
                count = _write(raw, name, records)
            temporary.replace(file)
        except OSError as error:
            what = f"{file} cannot be written: {error.strerror or error}"
            raise Refuse(what, parameter="output") from error
        finally:
            temporary.unlink(missing_ok=True)
    say.print(f"{several(count, 'record')} -> {file}", markup=False)
    return 0


def _write(raw: IO[bytes], name: str, records: Iterator[Record]) -> int:
    if name.endswith(PACKED):
        with zstandard.ZstdCompressor(write_checksum=True).stream_writer(raw, closefd=False) as to:
            return _put(to, map(line_of, records))
    if name.endswith(LINES):
        return _put(raw, map(line_of, records))
    return _put(raw, _as_csv(records)) - 1


def _put(to: IO[bytes] | zstandard.ZstdCompressionWriter, lines: Iterable[bytes]) -> int:
    count = 0
    for line in lines:
        to.write(line)
        count += 1
    return count


def _as_csv(records: Iterator[Record]) -> Iterator[bytes]:
    """A line of names, then one a record. Texts that a spreadsheet would take for a formula get an
    apostrophe before them: anybody may try to sign in as `=cmd()`."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(("id", *COLUMNS))
    yield line.getvalue().encode()
    for record in records:
        line.seek(0)
        line.truncate()
        row = _row(record, {})
        cells = [str(cell).lower() if isinstance(cell, bool) else str(cell) for cell in row]
        writer.writerow([record.id, *("'" + c if c[:1] in "=+-@\t\r" and c else c for c in cells)])
        yield line.getvalue().encode()


def run_verify(config: Config, *, as_json: bool, say: Console) -> int:
    """Tables, files and what waits; 1 where somebody should look."""
    logs.setup(config.log.level, config.log.format)
    with audit_of(config) as opened:
        if opened is None:
            findings: list[Finding] = []
        else:
            database, folder = opened
            findings = check(database, folder, Month.of(SystemClock().now_ns()))
    rows = [[one.what, one.records, one.said, one.good] for one in findings]
    if as_json:
        told = [dict(zip(FINDINGS, row, strict=True)) for row in rows]
        say.print(json.dumps(told, ensure_ascii=False, indent=1), markup=False)
    elif not findings:
        say.print(NONE.strip())
    else:
        for what, records, said, good in rows:
            word = "ok " if good else "bad"
            text = f"{word}  {what:24}  {several(int(str(records)), 'record')}  {said}"
            say.print(text.rstrip(), markup=False)
    return 0 if all(one.good for one in findings) else 1
