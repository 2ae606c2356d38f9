"""`bursa journal ls|verify|cat`: what a journal holds, whether it is whole, its records one by one.

Reads only, whether or not a bursa writes the journal meanwhile (journal_export.py: its payloads as
a recording).
"""

import json
import struct
import sys
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bursa.config import Config
from bursa.journal import index
from bursa.journal.read import JournalReader, Record
from bursa.journal.record import Damage, Healed
from bursa.journal.segment import Segment, bases, listing
from bursa.model.batch import BLOCKS, CLOCK, FRAMES, LINES, LOST, SOUPBIN
from bursa.model.errors import Refuse
from bursa.store import sql
from bursa.verbs.journal_part import KINDS, Journal, between, find, shown

FORMS = {BLOCKS: "blocks", SOUPBIN: "soupbin", LINES: "lines"}
COLUMNS = (
    *("base", "end", "disk_bytes", "ratio", "epoch", "records", "messages"),
    *("received_first", "received_last", "state"),
)
# Payload bytes of a record that a line shows.
SHOWN_BYTES = 48


def run_ls(config: Config, venue: str, form: str) -> str:
    """The segments of a journal, as `bursa sql` shows rows; as JSON with each one's channels."""
    if form not in sql.FORMATS:
        raise Refuse(f"--format: {form}; allowed: {', '.join(sql.FORMATS)}", parameter="format")
    journal = find(config, venue)
    found = list(index.summaries(journal.folder))
    columns: tuple[str, ...] = COLUMNS
    rows = [_row(segment, held, segment is found[-1][0]) for segment, held in found]
    if form == "json":
        columns = (*COLUMNS, "channels")
        for row, (_, held) in zip(rows, found, strict=True):
            row.append(
                {
                    journal.channel_name(number): {
                        "records": of.records,
                        "messages": of.messages,
                        "bytes": of.bytes,
                    }
                    for number, of in sorted(held.channels.items())
                }
            )
    return sql.render(sql.Answer(columns, rows), form)


def _row(segment: Segment, held: index.Summary, last: bool) -> list[Any]:
    """`state`: open (the last one, which may grow), plain or packed; with what is damaged."""
    state = "open" if last else "packed" if segment.packed else "plain"
    if held.damaged:
        state += f", {sum(damage.bytes for damage in held.damaged):,} bytes damaged"
    return [
        *(segment.base, segment.end, segment.disk_bytes),
        round(segment.size / segment.disk_bytes, 2) if segment.disk_bytes else None,
        *(held.epoch, held.records, sum(of.messages for of in held.channels.values())),
        *(shown(held.ts_first), shown(held.ts_last), state),
    ]


def run_verify(config: Config, venue: str, *, as_json: bool, say: Console, warn: Console) -> int:
    """Read every checksum of a journal, and parity and tables of its compressed segments. Tells
    each damage with its place, and what was damaged and is healed; returns 1 where there is either:
    a disk that flips one bit flips another."""
    journal = find(config, venue)
    reader = JournalReader(journal.folder)
    first = reader.first
    total = max(listing(journal.folder)[-1].end - first, 1)
    records = at = 0
    with Progress(console=warn, transient=True, disable=not warn.is_terminal) as bar:
        task = bar.add_task(f"journal of {journal.venue.name}", total=total)
        for chunk in reader.chunks(first):
            records, at = records + chunk.spans.shape[1], chunk.span.last
            bar.update(task, completed=at - first)
        reader.scrub()
    found = [_place(journal, damage) for damage in reader.damaged]
    healed = [_mended(journal, base, note) for base, note in reader.healed]
    bad = bool(found or healed)
    if as_json:
        body = {"ok": not bad, "venue": journal.venue.name, "first": first, "last": at}
        body |= {"records": records, "damaged": found, "healed": healed}
        sys.stdout.write(json.dumps(body, indent=1) + "\n")
        return int(bad)
    for place in found:
        line = "damaged: {bytes:,} bytes at {position}, {segment} at {offset} ({reason})"
        say.print(line.format(**place), markup=False)
    for place in healed:
        line = "healed: {bytes:,} bytes of {segment} at {offset} ({part}), position {position}"
        say.print(line.format(**place), markup=False)
    what = (
        "no damage" if not found else f"{len(found):,} damaged places; all other records are whole"
    )
    if healed:
        what += f"; {len(healed):,} places are damaged on disk and healed, of them nothing is lost"
    say.print(
        f"{journal.venue.name}: {records:,} records from {first} to {at}: {what}", markup=False
    )
    return int(bad)


def _mended(journal: Journal, base: int, healed: Healed) -> dict[str, Any]:
    """Where it lies: its segment's file, and how far into that file."""
    path = bases(journal.folder).get(base, journal.folder)
    return {"segment": path.name} | healed._asdict()


def _place(journal: Journal, damage: Damage) -> dict[str, Any]:
    """Where damage lies: its address, its segment's file, and how far into its plain bytes."""
    before = [
        (base, path) for base, path in bases(journal.folder).items() if base <= damage.position
    ]
    base, path = before[-1] if before else (damage.position, journal.folder)
    return {
        "position": damage.position,
        "bytes": damage.bytes,
        "reason": damage.reason,
        "segment": path.name,
        "offset": damage.position - base,
    }


def run_cat(
    config: Config,
    venue: str,
    bounds: tuple[str, str],
    *,
    channel: str = "",
    kind: str = "",
    limit: int | None = None,
    as_json: bool = False,
) -> int:
    """Write the records of a part, one line each."""
    journal = find(config, venue)
    part = between(journal, *bounds)
    number = journal.channel(channel) if channel else None
    if kind and kind not in KINDS.values():
        what = f"--kind: {kind}; allowed: {', '.join(KINDS.values())}"
        raise Refuse(what, parameter="kind")
    told = 0
    for record in journal.records(part):
        if number is not None and record.channel != number:
            continue
        name = KINDS.get(record.kind, str(record.kind))
        if kind and name != kind:
            continue
        if limit is not None and told >= limit:
            break
        told += 1
        line = _json(journal, record, name) if as_json else _line(journal, record, name)
        sys.stdout.write(line)
    return 0


def _line(journal: Journal, record: Record, name: str) -> str:
    when = shown(record.ts_recv) or "no receive time"
    head = f"{record.position:>14}  {when:27}  {journal.channel_name(record.channel):10} {name:14}"
    if record.kind != FRAMES:
        return f"{head}  {_said(record)}".rstrip() + "\n"
    seq = f"{record.session}#{record.first_seq}" if record.first_seq else ""
    size = f"{record.count:,} in {len(record.payload):,} bytes"
    return f"{head}  {seq:16} {size:22} {_said(record)}".rstrip() + "\n"


def _json(journal: Journal, record: Record, name: str) -> str:
    body: dict[str, Any] = {
        "position": record.position,
        "epoch": record.epoch,
        "ts_recv": record.ts_recv if record.ts_recv > 0 else None,
        "channel": journal.channel_name(record.channel),
        "kind": name,
    }
    if record.kind == FRAMES:
        body |= {
            "form": FORMS.get(record.form, str(record.form)),
            "session": record.session,
            "first_seq": record.first_seq,
            "count": record.count,
            "base": record.base,
        }
    body |= {"length": len(record.payload), "begins": _said(record)}
    return json.dumps(body, ensure_ascii=False) + "\n"


def _said(record: Record) -> str:
    """What a record begins with, for people: text as it is; of a message of bytes its first letter
    and the bytes after it."""
    payload = record.payload
    if record.kind == CLOCK and len(payload) == 8:
        return shown(struct.unpack("<q", payload)[0])
    if record.kind == LOST and len(payload) == 24:
        first, last, asked = struct.unpack(">qqq", payload)
        return f"{first} to {last}, {'asked for' if asked else 'not asked for'}"
    if record.kind != FRAMES or record.form == LINES:
        text = payload[: 4 * SHOWN_BYTES].decode("utf-8", "backslashreplace")
        return text.partition("\n")[0][: 2 * SHOWN_BYTES]
    at = 3 if record.form == SOUPBIN else 2
    letter = payload[at : at + 1].decode("latin-1")
    rest = payload[at + 1 : at + 1 + SHOWN_BYTES // 2].hex(" ")
    return f"{letter if letter.isprintable() else '?'} {rest}".strip()
