"""The write-ahead file of the audit: what is told is a line here before it is a row anywhere.

One JSON object a line. A line is with the system when `put` returns, and on disk after the next
`sync`. Where a kill or a power loss tore a line, that one is set aside and the others stand. The
file is emptied when all of it is in the database; what is replayed twice is one row there.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import msgspec

from bursa.accounts.audit_tables import Record, line_of
from bursa.ops.logs import logger

FILE, TORN = "ahead.jsonl", "torn.jsonl"
# Past it the file takes nothing more: a database that is away for weeks must not fill the disk.
BYTES_MAX = 256 << 20
# Read and written to the database at once.
LINES_AT_ONCE, BYTES_AT_ONCE = 500, 1 << 20


# What a database's integers end before, and years of four digits.
FOREVER_NS = 1 << 63


class Full(OSError):
    """The file takes nothing more."""


@dataclass(frozen=True)
class Part:
    """Some lines: records in order, the position behind them, and lines that are none."""

    records: list[Record]
    upto: int
    torn: int


class Ahead:
    """One folder's file. Any thread may put; one thread reads, syncs and empties. Raises OSError
    where the disk does not take or give."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock = Lock()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(folder / FILE, flags, 0o600)
        self._size = os.fstat(self._file).st_size
        # What a kill cut off gets a line of its own.
        self._whole = not self._size or os.pread(self._file, 1, self._size - 1) == b"\n"

    @property
    def size(self) -> int:
        """Bytes in it."""
        return self._size

    def put(self, record: Record) -> None:
        """Add a line. Raises OSError; then it may be there in part, which costs no other line."""
        line = line_of(record)
        with self._lock:
            if self._size + len(line) > BYTES_MAX:
                raise Full(f"{self._folder / FILE} holds {self._size:,} bytes: it takes no more")
            if not self._whole:
                line = b"\n" + line
            self._whole = False
            written = os.write(self._file, line)
            self._size += written
            if written < len(line):
                raise Full(f"{self._folder / FILE} took {written} of {len(line)} bytes")
            self._whole = True

    def sync(self) -> None:
        """Bring all that was put to disk."""
        os.fdatasync(self._file)

    def read(self, start: int) -> Part:
        """Lines from a position on, some of them; none where there are no more. What no line says
        is set aside (TORN)."""
        with self._lock:  # while a line is being written it looks torn
            found = os.pread(self._file, BYTES_AT_ONCE, start)
            whole, size = self._whole, self._size
        end = found.rfind(b"\n") + 1
        records: list[Record] = []
        upto, torn = start, 0
        for line in found[:end].splitlines(keepends=True):
            if len(records) == LINES_AT_ONCE:
                break
            upto += len(line)
            try:
                records.append(parsed(line))
            except ValueError:
                torn += self.set_aside(line)
        if not end and len(found) == BYTES_AT_ONCE:
            # No line of ours is so long: what lies here is none, up to the next one.
            torn += self.set_aside(found)
            upto += len(found)
        elif not whole and upto + len(found) - end == size and not records:
            if self._close_torn(size):
                torn += self.set_aside(found[end:])
                upto = size + 1
        return Part(records, upto, torn)

    def _close_torn(self, size: int) -> bool:
        """End the line that a kill or a full disk cut off where the file ended. False where another
        line came meanwhile, which ended it: it is read with the next ones."""
        with self._lock:
            if self._size != size:
                return False
            os.write(self._file, b"\n")
            self._size += 1
            self._whole = True
        return True

    def set_aside(self, line: bytes) -> int:
        """Keep what is no record, for people; 1 where there was anything."""
        if not line.strip(b"\0\r\n "):
            return 0
        with open(os.open(self._folder / TORN, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                  "ab") as file:  # fmt: skip
            file.write(line.rstrip(b"\n") + b"\n")
        logger("audit").warning(
            "a torn line of the write-ahead file was set aside", bytes=len(line)
        )
        return 1

    def empty(self, upto: int) -> bool:
        """All up to there is in the database. Empties the file if that is all of it."""
        with self._lock:
            if upto < self._size:
                return False
            os.ftruncate(self._file, 0)
            self._size, self._whole = 0, True
        return True

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def parsed(line: bytes) -> Record:
    """A line as a record; ValueError where it is none."""
    try:
        values = json.loads(line)
        record = msgspec.convert({"before": None, "after": None, **values}, Record)
    except (TypeError, RecursionError, msgspec.ValidationError) as error:
        raise ValueError(f"not a record: {error}") from error
    if not 0 <= record.at_ns < FOREVER_NS:
        raise ValueError(f"not a record: at_ns is {record.at_ns}")
    return record
