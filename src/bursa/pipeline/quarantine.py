"""Refused messages: which are meant, and their whole bytes.

A row of the table `{venue}_quarantine` names a journal record and keeps the first 4,096 bytes; the
journal has all of them, as long as retention leaves it. A message is written POSITION:NTH: its
record's position, and its place among the refused of that record. Journals and changes nothing
(retry.py does).
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bursa.journal.read import JournalReader, Record
from bursa.journal.record import headers, padded
from bursa.journal.segment import bases
from bursa.model.batch import (
    BLOCKS,
    FRAMES,
    LINES,
    SOUPBIN,
    SPAN_END,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_START,
)
from bursa.model.errors import Refuse
from bursa.pipeline.line import TAKEN
from bursa.ports import Frames

_WORD = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_PLACE = re.compile(r"([0-9]{1,18})(?::([0-9]{1,9}))?")
_SEQUENCED, _UNSEQUENCED = b"S", b"U"


@dataclass(frozen=True)
class Chosen:
    """Which refused messages are meant: those to which all that is given applies.

    position, nth   of one record; nth None: all of it
    since_ns        those that came then or later, our clock
    untaken         those only that no retry took yet
    """

    position: int | None = None
    nth: int | None = None
    channel: str = ""
    reason: str = ""
    since_ns: int = 0
    untaken: bool = False


class Row(NamedTuple):
    """One row of the table. payload: hexadecimal, the first 4,096 bytes; taken: a retry took it."""

    position: int
    nth: int
    channel: str
    reason: str
    length: int
    ts_recv: int
    payload: str
    taken: bool

    @property
    def name(self) -> str:
        """How people name it."""
        return f"{self.position}:{self.nth}"


class Message(NamedTuple):
    """A refused message as the journal has it.

    body    its bytes, without the framing around them
    frames  a record of it alone, as the journal may take it again; None where its bytes are no
            whole message (the framing was lost)
    """

    row: Row
    record: Record
    body: bytes
    frames: Frames | None


def place(text: str) -> tuple[int, int | None]:
    """POSITION or POSITION:NTH. Refuses anything else."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise Refuse(f"{text}: not POSITION or POSITION:NTH, as `bursa quarantine ls` shows them")
    return int(found[1]), None if found[2] is None else int(found[2])


def condition(venue: str, chosen: Chosen) -> str:
    """What follows `where` in SQL over the venue's table `q`; Refuse for words that are none."""
    parts = [f"reason <> '{TAKEN}'"]
    if chosen.position is not None:
        parts.append(f"position = {chosen.position:d}")
    if chosen.nth is not None:
        parts.append(f"nth = {chosen.nth:d}")
    for name in ("channel", "reason"):
        word = getattr(chosen, name)
        if word and not _WORD.fullmatch(word):
            raise Refuse(f"--{name}: {word!r} is no {name}", parameter=name)
        if word:
            parts.append(f"{name} = '{word}'")
    if chosen.since_ns:
        parts.append(f"ts_recv >= {chosen.since_ns:d}")
    if chosen.untaken:
        parts.append(f"not {_taken(venue)}")
    return " and ".join(parts)


def _taken(venue: str) -> str:
    own = f"select payload from {venue}_quarantine where reason = '{TAKEN}'"  # noqa: S608 -- a venue's name
    return f"(position || ':' || nth in ({own}))"


def rows_sql(venue: str, chosen: Chosen, limit: int, newest: bool = False) -> str:
    """The query of `Row`s, the oldest first, or the newest of them."""
    order = "desc" if newest else "asc"
    return (
        f"select position, nth, channel, reason, length, ts_recv, payload, {_taken(venue)} as taken"  # noqa: S608 -- checked words
        f" from {venue}_quarantine where {condition(venue, chosen)}"
        f" order by position {order}, nth {order} limit {limit:d}"
    )


def counts_sql(venue: str, chosen: Chosen) -> str:
    """The query of (channel, reason, count, how many a retry took, first, last ts_recv)."""
    return (
        f"select channel, reason, count(*) as count, count(*) filter ({_taken(venue)}) as taken,"  # noqa: S608 -- checked words
        f" min(ts_recv) as first, max(ts_recv) as last from {venue}_quarantine"
        f" where {condition(venue, chosen)} group by channel, reason order by count desc, reason"
    )


# -- the journal's bytes ---------------------------------------------------------------------------


def messages(journal: Path, rows: Iterable[Row]) -> Iterator[Message]:
    """The rows' messages, ascending by position. All rows of a record are needed to tell equal ones
    apart, those before them at least. Raises Refuse `journal_retired` where the journal has the
    record no more, `unknown_position` where it never had it."""
    by_position: dict[int, list[Row]] = {}
    for row in rows:
        by_position.setdefault(row.position, []).append(row)
    for position, record in records_at(journal, sorted(by_position)):
        seen: dict[tuple[str, int], int] = {}
        for row in sorted(by_position[position], key=lambda row: row.nth):
            alike = (row.payload, row.length)
            yield _message(row, record, seen.get(alike, 0))
            seen[alike] = seen.get(alike, 0) + 1


def records_at(journal: Path, positions: Iterable[int]) -> Iterator[tuple[int, Record]]:
    """The records that end at these positions, ascending."""
    reader, starts = JournalReader(journal), list(bases(journal))
    wanted = list(positions)
    while wanted:
        first, at = reader.first, bisect_left(starts, wanted[0]) - 1
        if at < 0 or wanted[0] <= first:
            what = f"the journal begins at {first}: retention dropped {wanted[0]}"
            raise Refuse(what, "journal_retired", 410, "position")
        end = starts[at + 1] if at + 1 < len(starts) else None
        here = [position for position in wanted if end is None or position <= end]
        found = dict(_in_segment(reader, starts[at], here))
        for position in here:
            if position not in found:
                what = f"no record of the journal ends at {position}"
                raise Refuse(what, "unknown_position", 404, "position")
            yield position, found[position]
        wanted = wanted[len(here) :]


def _in_segment(
    reader: JournalReader, base: int, positions: list[int]
) -> Iterator[tuple[int, Record]]:
    for chunk in reader.chunks(base, positions[-1]):
        hit = np.flatnonzero(np.isin(chunk.spans[SPAN_POSITION], positions))
        for at in hit.tolist():
            spans = chunk.spans[:, at : at + 1]
            head = headers(chunk.frames, spans)[0]
            start, end = int(spans[SPAN_START, 0]), int(spans[SPAN_END, 0])
            position = int(spans[SPAN_POSITION, 0])
            yield (
                position,
                Record(
                    start=position - padded(end - start),
                    position=position,
                    epoch=int(head["epoch"]),
                    kind=int(spans[SPAN_KIND, 0]),
                    form=int(head["form"]),
                    channel=int(head["channel"]),
                    session=bytes(head["session"]).decode("ascii"),
                    base=int(head["base"]),
                    first_seq=int(head["first_seq"]),
                    count=int(head["count"]),
                    ts_recv=int(head["ts_recv"]),
                    payload=chunk.frames[start:end].tobytes(),
                ),
            )


def _message(row: Row, record: Record, alike: int) -> Message:
    """The message of a row; `alike`: so many equal ones of the record stand before it."""
    prefix = bytes.fromhex(row.payload)
    for number, start, end in units(record):
        body = record.payload[start:end]
        if len(body) == row.length and body.startswith(prefix):
            if not alike:
                return Message(row, record, body, _frames(record, number, body))
            alike -= 1
    at = record.payload.find(prefix)  # the rest of a record whose framing was lost
    return Message(row, record, record.payload[at:] if at >= 0 else prefix, None)


def units(record: Record) -> Iterator[tuple[int, int, int]]:
    """The messages of a record by its framing: (how many numbered ones stand before it, start, end)
    in its payload, without their framing."""
    data, at, number = record.payload, 0, 0
    if record.kind != FRAMES:
        return
    if record.form == LINES:
        for line in data.split(b"\n"):
            if line:
                yield number, at, at + len(line)
                number += 1
            at += len(line) + 1
        return
    head = 3 if record.form == SOUPBIN else 2
    while at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or end < at + head:
            return
        kind = data[at + 2 : at + 3] if record.form == SOUPBIN else _SEQUENCED
        if kind in (_SEQUENCED, _UNSEQUENCED):
            yield number, at + head, end
        number += kind == _SEQUENCED
        at = end


def _frames(record: Record, number: int, body: bytes) -> Frames:
    """The message alone in its record's form, under its own number."""
    if record.form == LINES:
        payload = body + b"\n"
    elif record.form == SOUPBIN:
        payload = (len(body) + 1).to_bytes(2, "big") + _SEQUENCED + body
    else:
        assert record.form == BLOCKS, "there are three forms"
        payload = len(body).to_bytes(2, "big") + body
    seq = record.first_seq + number if record.first_seq else 0
    return Frames(record.channel, record.form, record.session, seq, 1, 0, payload)
