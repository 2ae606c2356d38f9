"""`bursa journal export`: a journal's messages as a recording that `bursa replay` takes.

Blocks (u16 big-endian length and message) for venues of binary messages, lines with their receive
time for venues of text; plain, or gzip where the name ends in .gz. What only the line brought
(sessions, cuts, settings) is not in a recording. While it grows it is called FILE.part.
"""

import contextlib
import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from rich.console import Console
from rich.progress import Progress

from bursa.config import Config
from bursa.feeds.capture import replaceable
from bursa.journal import index
from bursa.journal.read import JournalReader, Record
from bursa.model.batch import BLOCKS, FRAMES, LINES, SOUPBIN
from bursa.model.errors import Refuse
from bursa.verbs.journal_part import Journal, a_day, between, find, of_day

_PACKED_LEVEL = 6
_SEQUENCED = ord("S")


def run_export(
    config: Config,
    file: Path,
    venue: str,
    bounds: tuple[str, str],
    *,
    day: str,
    force: bool,
    say: Console,
    warn: Console,
) -> int:
    """Write a part of a journal. Returns 0 when the file is whole and on disk, 1 where the part
    holds no message (no file is left then), and where records of it are damaged: the file lacks
    them."""
    if day and any(bounds):
        raise Refuse("--day stands for --from and --to: give one or the other", parameter="day")
    replaceable(file, force)
    journal = find(config, venue)
    part = of_day(journal, a_day(day, "--day")) if day else between(journal, *bounds)
    if part.by_time:
        _dated(journal)
    out, reader = _Recording(file), JournalReader(journal.folder)
    try:
        with out, Progress(console=warn, transient=True, disable=not warn.is_terminal) as bar:
            task = bar.add_task(file.name, total=None)
            for record in journal.records(part, reader):
                if record.kind == FRAMES:
                    out.take(record)
                    bar.update(task, description=f"{file.name}: {out.messages:,} messages")
            if out.messages:
                out.keep()
    except OSError as error:
        what = f"{file}.part cannot be written: {error.strerror}"
        raise Refuse(what, "disk", 503, "file") from None
    if not out.messages:
        warn.print(f"there is no message of {journal.venue.name} in this part", markup=False)
        return 1
    tale = f"{file}: {out.messages:,} messages of {journal.venue.name}"
    tale += f", {out.left_out:,} bytes that are no whole message left out" if out.left_out else ""
    say.print(tale, markup=False)
    damaged = [damage for damage in reader.damaged if damage.position < part.last]
    for damage in damaged:
        what = f"not whole: {damage.bytes:,} bytes at {damage.position} are damaged in the journal"
        warn.print(what, markup=False)
    return 1 if damaged else 0


def _dated(journal: Journal) -> None:
    """Refuse a range of times where messages have no receive times: none can be told in it."""
    undated = [held for _, held in index.summaries(journal.folder) if held.undated]
    if undated:
        first, last = undated[0], undated[-1]
        raise Refuse(
            f"messages between {first.first} and {last.last} were journalled from a recording"
            " without receive times: name positions by --from and --to (`bursa journal ls`)",
            "no_receive_times",
        )


class _Recording:
    """FILE.part while it grows; `keep` gives it its name. Left without, nothing stays."""

    def __init__(self, file: Path) -> None:
        self._file, self._part = file, file.with_name(file.name + ".part")
        self.messages = self.left_out = 0
        self._text: bool | None = None

    def __enter__(self) -> "_Recording":
        try:
            self._raw = self._part.open("wb")
        except OSError as error:
            raise Refuse(f"{self._part}: {error.strerror}", "no_such_file", 404, "file") from None
        # No name and no time in its head: the same messages are the same bytes.
        self._out: IO[bytes] = (
            cast(IO[bytes], gzip.GzipFile("", "wb", _PACKED_LEVEL, self._raw, mtime=0))
            if self._file.suffix == ".gz"
            else self._raw
        )
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._out.close()
            self._raw.close()
        self._part.unlink(missing_ok=True)

    def take(self, record: Record) -> None:
        """Add the messages of one record. Refuse where text follows bytes, or the reverse."""
        text = record.form == LINES
        if self._text is None:
            self._text = text
        if self._text != text:
            raise Refuse(
                f"text and binary messages meet at position {record.position}: a recording holds"
                " one of both, name a part by --from and --to",
                "mixed_forms",
            )
        if text:
            self._lines(record)
        else:
            self._blocks(record)

    def _lines(self, record: Record) -> None:
        head = b"%d " % record.ts_recv if record.ts_recv > 0 else b""
        lines = [line for line in record.payload.split(b"\n") if line]
        self._out.write(b"".join(head + line + b"\n" for line in lines))
        self.messages += len(lines)

    def _blocks(self, record: Record) -> None:
        out = bytearray()
        taken = 0
        for message in _messages(record):
            out += len(message).to_bytes(2, "big") + message
            taken += 2 + len(message) + (record.form == SOUPBIN)
            self.messages += 1
        self.left_out += len(record.payload) - taken
        self._out.write(out)

    def keep(self) -> None:
        """Whole, on disk, and called what it is called. Raises OSError where the disk is full."""
        if self._out is not self._raw:
            self._out.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        os.replace(self._part, self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _messages(record: Record) -> Iterator[bytes]:
    """The whole messages of a record of blocks or packets. Where framing is lost (`count` 0, or a
    length that does not fit) the rest is none."""
    payload, at = record.payload, 0
    while record.count and at + 2 <= len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        end = at + 2 + size
        if not size or end > len(payload):
            return
        if record.form == BLOCKS:
            yield payload[at + 2 : end]
        elif payload[at + 2] == _SEQUENCED and size > 1:
            yield payload[at + 3 : end]
        at = end
