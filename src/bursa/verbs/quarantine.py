"""`bursa quarantine`: refused messages listed, shown with their bytes, and tried again.

The table is asked as `bursa sql` asks it, running or not; whole bytes come from the journal. A
retry is done by the process that holds the folder; where nobody holds it, the venue is run here
without feeds. What a retry is: pipeline/retry.py.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console

from bursa.app import offline
from bursa.config import Config
from bursa.feeds import layouts
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES
from bursa.ops import logs
from bursa.pipeline.control import instant
from bursa.pipeline.quarantine import Chosen, Row, counts_sql, messages, place, rows_sql
from bursa.pipeline.retry import AGAIN, RETRY, TOOK, retry
from bursa.store import question, sql
from bursa.store.folder import STORE_FILE, ask
from bursa.wire.explain import dump, fields

COLUMNS = ("venue", "message", "time", "channel", "reason", "length", "retried", "begins")
COUNTS = ("venue", "channel", "reason", "count", "retried", "first", "last")
# Bytes of a message that a listing shows.
BEGIN_BYTES = 24
LIMIT_MAX = 1_000_000
ROWS_OF_RECORD_MAX = 100_000
# A retry of many messages reads much of the journal.
ANSWER_S = 600.0


@dataclass(frozen=True)
class Asked:
    """What the command line says of the messages meant. since: a day or an instant, ISO."""

    venue: str = ""
    channel: str = ""
    reason: str = ""
    since: str = ""


def run_list(config: Config, asked: Asked, limit: int, form: str) -> str:
    """How many of each reason, and the newest rows. As JSON one object of both; as CSV the rows."""
    if form not in sql.FORMATS:
        raise Refuse(f"--format: {form}; allowed: {', '.join(sql.FORMATS)}", parameter="format")
    if not 1 <= limit <= LIMIT_MAX:
        raise Refuse(f"--limit: {limit}; allowed: 1 to {LIMIT_MAX:,}", parameter="limit")
    logs.setup(config.log.level, config.log.format)
    counts: list[list[Any]] = []
    rows: list[list[Any]] = []
    for venue in _venues(config, asked.venue):
        chosen = _chosen(asked, venue)
        for channel, reason, count, taken, first, last in _ask(config, counts_sql(venue, chosen)):
            times = _received(first), _received(last)
            counts.append([venue, channel, reason, count, taken, *times])
        for row in _ask(config, rows_sql(venue, chosen, limit, newest=True)):
            rows.append(_listed(venue, Row(*row)))
    if form == "csv":
        return sql.render(sql.Answer(COLUMNS, rows), form)
    if form == "json":
        told = {"reasons": _objects(COUNTS, counts), "rows": _objects(COLUMNS, rows)}
        return json.dumps(told, indent=1) + "\n"
    shown = sql.render(sql.Answer(COUNTS, counts), form)
    return shown + "\n" + sql.render(sql.Answer(COLUMNS, rows), form)


def _objects(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _listed(venue: str, row: Row) -> list[Any]:
    begins = bytes.fromhex(row.payload)[:BEGIN_BYTES]
    text = begins.decode("ascii", "replace")
    shown = text if text.isprintable() and text.isascii() else begins.hex()
    retried = "taken" if row.taken else ""
    at = _received(row.ts_recv)
    return [venue, row.name, at, row.channel, row.reason, row.length, retried, shown]


def _received(ts_recv: int) -> str:
    """When a message came; nothing where its recording does not say."""
    return instant(ts_recv) if ts_recv >= 0 else ""


def run_show(config: Config, message: str, venue: str, *, say: Console) -> int:
    """A message, or all that were refused of one record: reason, time, bytes, and its fields."""
    logs.setup(config.log.level, config.log.format)
    position, nth = place(message)
    data = Path(config.data)
    found = {
        name: [
            Row(*row) for row in _ask(config, rows_sql(name, Chosen(position), ROWS_OF_RECORD_MAX))
        ]
        for name in _venues(config, venue)
    }
    name, rows = _one_venue(found, message)
    if nth is not None and all(row.nth != nth for row in rows):
        what = f"{message}: of that record {len(rows)} were refused, numbered from 0"
        raise Refuse(what, "unknown_position", 404, "position")
    for told in messages(data / "journal" / name, rows):
        if nth not in (None, told.row.nth):
            continue
        row, at = told.row, _received(told.row.ts_recv) or "of a recording"
        say.print(f"{row.name}  {name} {row.channel}  {at}  {row.reason}", markup=False)
        whole = "" if told.frames is not None else "; no whole message: the framing was lost"
        retried = "; a retry took it" if row.taken else ""
        say.print(f"{len(told.body):,} bytes{whole}{retried}", markup=False)
        for line in dump(told.body):
            say.print(f"  {line}", markup=False)
        layout = layouts.load(config.idx.layout)
        for field, value in fields(name, told.record.form, told.body, layout):
            say.print(f"  {field:<12} {value}", markup=False)
    return 0


def _one_venue(found: dict[str, list[Row]], message: str) -> tuple[str, list[Row]]:
    """The one venue whose journal has refused messages there."""
    having = [name for name, rows in found.items() if rows]
    if not having:
        what = f"{message}: nothing was refused there; `bursa quarantine ls` lists what was"
        raise Refuse(what, "unknown_position", 404, "position")
    if len(having) > 1:
        raise Refuse(f"--venue: which one? allowed: {', '.join(having)}", parameter="venue")
    return having[0], found[having[0]]


def run_retry(
    config: Config, message: str, asked: Asked, *, every: bool, dry_run: bool, say: Console
) -> int:
    """Try again what is meant: one message, one record's, those of a reason, or all. Returns 1
    where something was refused again."""
    logs.setup(config.log.level, config.log.format)
    if bool(message) + bool(asked.reason) + every != 1:
        raise Refuse("which? POSITION[:NTH], --reason or --all, one of them", parameter="message")
    position, nth = place(message) if message else (None, None)
    venues = _venues(config, asked.venue)
    refused = done = 0
    for venue in venues:
        chosen = replace(_chosen(asked, venue), position=position, nth=nth, untaken=not message)
        if not _ask(config, rows_sql(venue, chosen, 1)):
            continue
        rows, left = _retried(config, venue, chosen, dry_run)
        done += len(rows)
        refused += _tell(venue, rows, left, dry_run, say)
    if not done and message:
        what = f"{message}: nothing was refused there; `bursa quarantine ls` lists what was"
        raise Refuse(what, "unknown_position", 404, "position")
    if not done:
        say.print("nothing to retry")
    return 1 if refused else 0


def _retried(
    config: Config, venue: str, chosen: Chosen, dry_run: bool
) -> tuple[list[list[str]], bool]:
    payload = {"venue": venue, "chosen": asdict(chosen), "dry_run": dry_run}
    try:
        answer = ask(Path(config.data), RETRY, payload, ANSWER_S)
        return answer["rows"], answer["left"]
    except Refuse as refused:
        if refused.code != "not_held":
            raise
    with offline(config, VENUES[venue]) as (runtime, store):
        done, left = retry(runtime, store, chosen, dry_run=dry_run)
    return [list(outcome) for outcome in done], left


def _tell(venue: str, rows: list[list[str]], left: bool, dry_run: bool, say: Console) -> int:
    """What became of the rows; returns how many were refused again."""
    for name, was, outcome, why in rows:
        what = f"{venue} {name}  {was} -> {outcome}{f': {why}' if why else ''}"
        if outcome == TOOK and dry_run:
            what = f"{venue} {name}  {was} -> would be taken"
        say.print(what, markup=False)
    count = Counter(outcome for _, _, outcome, _ in rows)
    counts = ", ".join(f"{number:,} {outcome}" for outcome, number in count.items())
    say.print(f"{venue}: {counts}{'; dry run, nothing was changed' if dry_run else ''}")
    if left:
        say.print(f"{venue}: there are more; run it again")
    return count[AGAIN]


def _chosen(asked: Asked, venue: str) -> Chosen:
    names = [channel.name for channel in VENUES[venue].channels]
    if asked.venue and asked.channel and asked.channel not in names:
        raise Refuse(
            f"--channel: {asked.channel}; allowed: {', '.join(names)}", parameter="channel"
        )
    return Chosen(None, None, asked.channel, asked.reason, _since_ns(asked.since, venue))


def _since_ns(text: str, venue: str) -> int:
    """A day begins at the venue's midnight; an instant without an offset is the venue's."""
    if not text:
        return 0
    calendar = VENUES[venue].calendar
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(calendar.timezone))
        return int(moment.timestamp() * 1_000_000) * 1_000
    except (ValueError, OverflowError):
        what = f"--since: {text}; a day or an instant such as 2026-03-02 or 2026-03-02T09:00:00Z"
        raise Refuse(what, parameter="since") from None


def _venues(config: Config, venue: str) -> list[str]:
    """The venues that the folder has a journal of, or the one asked for."""
    if venue and venue not in VENUES:
        raise Refuse(f"--venue: {venue}; allowed: {', '.join(VENUES)}", parameter="venue")
    kept = Path(config.data) / "journal"
    found = [name for name in VENUES if (kept / name).is_dir() and venue in ("", name)]
    if not found:
        what = f"{config.data} has no journal{f' of {venue}' if venue else ''} yet"
        raise Refuse(what, "no_data", 404)
    return found


def _ask(config: Config, text: str) -> list[list[Any]]:
    data = Path(config.data)
    limits = sql.Limits(LIMIT_MAX, config.sql.time_s)
    return question.query(data, data / STORE_FILE, text, limits).rows
