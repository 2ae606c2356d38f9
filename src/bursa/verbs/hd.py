"""`bursa hd`: HD's gates, shown and changed while bursa runs.

The process that holds the folder is asked; where nobody holds it, `show` reads checkpoint and
journal and `set` runs the venue without feeds. What gates do is said at the metric, how a schedule
of them holds in pipeline/gates.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from bursa.app import offline
from bursa.config import Config
from bursa.model.errors import Refuse
from bursa.model.schema import OHLCV, table
from bursa.model.venue import VENUES, Venue
from bursa.ops import logs
from bursa.pipeline import control
from bursa.pipeline.gates import END_NS, seconds_of
from bursa.store import question, sql
from bursa.store.folder import STORE_FILE, DataFolder, ask
from bursa.verbs.acting import acts_of
from bursa.verbs.shown import ANSWER_S, Rows, Told, has_journal, run_shown


@dataclass(frozen=True)
class Wanted:
    """What `set` was told: times of the venue's day, "" for those that stay; from when on."""

    gate_open: str = ""
    gate_close: str = ""
    freeze: str = ""
    effective: str = ""


def run_show(config: Config, venue: str, form: str) -> str:
    """The schedules of gates, as `bursa sql` shows rows."""
    if venue:
        _venue(venue)
    told = Told(control.HD, control.GATE_COLUMNS, _with_gates(), "the venue's own gates hold")
    return run_shown(config, told, venue, form, partial(_offline, Path(config.data)))


def _offline(data: Path, kept: Sequence[Venue]) -> Rows:
    newest, rows = {one.name: _newest_ns(data, one) for one in kept}, Rows()
    with DataFolder(data):
        for one in kept:
            rows += control.gates_told(control.gates_standing(one, data), newest[one.name])
    return rows


def _newest_ns(data: Path, venue: Venue) -> int:
    """Opening of the newest stored bar; 0 before the first."""
    asked = f"select max(ts) from {table(venue.name, OHLCV)}"  # noqa: S608 -- our own table's name
    try:
        [[newest]] = question.query(data, data / STORE_FILE, asked, sql.Limits()).rows
    except Refuse:  # nothing is stored yet
        return 0
    return newest or 0


def run_set(config: Config, venue: str, wanted: Wanted, *, say: Console) -> int:
    """Set gates of a venue from a bar time on. Returns 0; Refuse where that may not be."""
    logs.setup(config.log.level, config.log.format)
    known, data = _venue(venue), Path(config.data)
    gates, effective = _gates(wanted), _effective(known, wanted.effective)
    try:
        payload = {"venue": venue, "set": gates, "effective": effective}
        answer = ask(data, control.HD, payload, ANSWER_S)
        changed, rows = answer["changed"], answer["rows"]
    except Refuse as refused:
        if refused.code != "not_held":
            raise
        if not has_journal(data, venue):
            raise Refuse(f"{data} has no journal of {venue} yet", "no_data", 404) from None
        with offline(config, known) as (runtime, _), acts_of(config) as acts:
            changed = control.set_gates(runtime, gates, effective, acts.orders.keeper())
            rows = control.gates_told(runtime.line.gates, runtime.line.watermark_ns)
    _tell(known, rows, effective, changed=changed, say=say)
    return 0


def _tell(
    venue: Venue, rows: list[list[str]], effective: int, *, changed: bool, say: Console
) -> None:
    """Of the schedule, what holds from that time on, and until when."""
    begins = venue.calendar.text(effective)
    held, after = rows[0], None
    for row in rows[1:]:
        if datetime.fromisoformat(row[1]) <= datetime.fromisoformat(begins):
            held = row
        else:
            after = row[1]
            break
    names = dict(zip(control.GATE_COLUMNS, held, strict=True))
    told = ", ".join(f"{name} {names[name]}" for name in ("gate_open", "gate_close", "freeze"))
    so = "are" if changed else "were and stay"
    until = f" until {after}" if after else ""
    say.print(f"{venue.name}: gates from {begins} on{until} {so} {told}", markup=False)


def _gates(wanted: Wanted) -> Mapping[str, int]:
    """Seconds of the day by the field of Gates."""
    given = {
        "open_s": ("--gate-open", wanted.gate_open),
        "close_s": ("--gate-close", wanted.gate_close),
        "freeze_s": ("--freeze", wanted.freeze),
    }
    found = {field: _seconds(*said) for field, said in given.items() if said[1]}
    if not found:
        what = "nothing to set: --gate-open, --gate-close, --freeze, or several"
        raise Refuse(what, parameter="gate_open")
    return found


def _seconds(option: str, text: str) -> int:
    seconds = seconds_of(text)
    if seconds is None:
        what = f"{option}: {text}; allowed: a time of the venue's day such as 09:05 or 14:50:00"
        raise Refuse(what, parameter=option.strip("-").replace("-", "_"))
    return seconds


def _effective(venue: Venue, text: str) -> int:
    try:
        ts_ns = venue.calendar.instant_ns(datetime.fromisoformat(text))
        if not 0 <= ts_ns < END_NS:
            raise ValueError
    except (ValueError, OverflowError):
        what = (
            f"--effective: {text}; allowed: a time such as 2026-11-23T09:00, by the venue's clock,"
            f" from 1970 to {venue.calendar.text(END_NS)}"
        )
        raise Refuse(what, parameter="effective") from None
    return ts_ns


def _with_gates() -> list[str]:
    return [venue.name for venue in VENUES.values() if venue.gates is not None]


def _venue(name: str) -> Venue:
    allowed = ", ".join(_with_gates())
    if name not in VENUES:
        raise Refuse(f"--venue: {name}: no such venue; allowed: {allowed}", parameter="venue")
    if VENUES[name].gates is None:
        raise Refuse(
            f"--venue: {name} has no gates, HD is null; allowed: {allowed}", parameter="venue"
        )
    return VENUES[name]
