"""`bursa backfill ohlcv`, `bursa backfill journal` and `bursa repair`: what is asked and told.

How: the jobs of the same names in pipeline/, driven by driving.py.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console

from bursa.config import Config
from bursa.jobs import backfill_journal, backfill_ohlcv, repair
from bursa.jobs.onward import ONWARD, ONWARD_MAX
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ops import logs
from bursa.store.folder import STORE_FILE
from bursa.verbs.driving import drive
from bursa.verbs.journal_part import a_day, find
from bursa.verbs.options import several
from bursa.verbs.times import half_open, tell_other_clock

_PUT_BACK = {
    "written": "were put back",
    "differing": "are stored with other values, and were left",
    "surplus": "are stored, and the journal does not give them",
}


@dataclass(frozen=True)
class Asked:
    """The options of a range as they were given; `only`: tickers, or kinds. onward: days after it
    whose metrics follow."""

    begin: str
    end: str
    only: Sequence[str]
    venue: str
    zone: str
    dry_run: bool
    onward: int = ONWARD


def run_ohlcv(config: Config, asked: Asked, *, as_json: bool, say: Console, warn: Console) -> int:
    """Make absent bars of stored trades. Returns 1 where stored bars differ."""
    venue = _begun(config, asked.venue)
    start, end = half_open(asked.begin, asked.end, asked.zone, venue)
    only = tuple(dict.fromkeys(asked.only))
    order = backfill_ohlcv.Order(start, end, only, asked.dry_run, asked.onward)
    title = f"{venue.name} bars"
    report = drive(config, venue, backfill_ohlcv.NAME, asdict(order), warn=warn, title=title)
    if as_json:
        _json(venue, report)
        return 1 if report["differing"] else 0
    made = f"{several(report['bars'], 'bar')} of {several(report['trades'], 'trade')}"
    _told_range(venue, report, say, made)
    if asked.only and not report["trades"]:
        warn.print(f"no trade of {', '.join(order.tickers)} is stored there", markup=False)
    for name, meaning in (("equal", "are stored so"), ("differing", "are stored otherwise")):
        if report[name]:
            say.print(f"  {report[name]:>12,} {meaning}", markup=False)
    _examples(venue, report, say)
    if report["takes_back"] and report["bars"]:
        what = f"trades of {venue.name} may have been taken back, stored ones do not say which:"
        warn.print(f"{what} bursa backfill journal knows", markup=False)
    _told_end(report, say, "absent")
    again = ["backfill", "ohlcv", "--from", asked.begin, "--to", asked.end, "--tz", asked.zone]
    again += [word for ticker in only for word in ("--ticker", ticker)]
    tell_onward(venue, again, asked.venue, asked.onward, report, say)
    if report["differing"]:
        say.print("bars that differ were left (bursa repair DATE puts days right)", markup=False)
    tell_other_clock(venue, asked.zone, report["venue_clock"], warn)
    return 1 if report["differing"] else 0


def run_journal(config: Config, asked: Asked, *, as_json: bool, say: Console, warn: Console) -> int:
    """Put back what the journal gives and the store lacks. Returns 1 where stored rows differ."""
    venue = _begun(config, asked.venue)
    start, end = half_open(asked.begin, asked.end, asked.zone, venue)
    order = backfill_journal.Order(start, end, tuple(dict.fromkeys(asked.only)), asked.dry_run)
    title = f"{venue.name} journal"
    report = drive(config, venue, backfill_journal.NAME, asdict(order), warn=warn, title=title)
    differ = any(one["differing"] or one["surplus"] for one in report["kinds"].values())
    if as_json:
        _json(venue, report)
    else:
        rows = sum(one["derived"] for one in report["kinds"].values())
        _told_range(venue, report, say, f"{rows:,} rows of the journal")
        _tell_kinds(report, say)
        if not any(one["written"] or one["absent"] for one in report["kinds"].values()):
            say.print("nothing is absent, nothing was written", markup=False)
        tell_other_clock(venue, asked.zone, report["venue_clock"], warn)
    return 1 if differ else 0


def run_repair(
    config: Config,
    text: str,
    name: str,
    *,
    dry_run: bool,
    as_json: bool,
    say: Console,
    warn: Console,
    onward: int = ONWARD,
) -> int:
    """Rebuild a day. Returns 0. Refuse `no_data` where there is nothing of it."""
    venue = _begun(config, name)
    order = repair.Order(a_day(text, "DATE").isoformat(), dry_run, onward)
    title = f"{venue.name} {order.day}"
    report = drive(config, venue, repair.NAME, asdict(order), warn=warn, title=title)
    found = [report[word] for word in ("trades", "absent", "equal", "differing", "left", "fewer")]
    found += [count for kind in report["kinds"].values() for count in kind.values()]
    if not any(found):
        what = f"neither journal nor store has anything of {venue.name} on {order.day}"
        raise Refuse(what, "no_data", 404)
    if as_json:
        _json(venue, report)
        return 0
    of = "the journal" if report["of"] == repair.JOURNAL else "the stored trades"
    _told_range(venue, report, say, f"rebuilt from {of}")
    if report["damaged"]:
        warn.print("the journal is damaged there: bursa journal check", markup=False)
    for name in report["set_apart"]:
        warn.print(f"{name}: was damaged, and counts no more", markup=False)
    _tell_kinds(report, say)
    for word, meaning in (
        ("late", "bars had trades that came too late for them"),
        ("fewer", "bars were made of more trades than are stored, and were left"),
        ("left", "bars of a file are other than their trades, and were left"),
    ):
        if report[word]:
            say.print(f"  {report[word]:>12,} {meaning}", markup=False)
    _examples(venue, report, say)
    report["absent"] += report["differing"]
    _told_end(report, say, "absent")
    tell_onward(venue, ["repair", order.day], name, onward, report, say)
    return 0


def tell_onward(
    venue: Venue,
    verb: Sequence[str],
    name: str,
    days: int,
    report: Mapping[str, Any],
    say: Console,
) -> None:
    """What became of the metrics of later bars, and the command that goes on: a verb with what it
    was given, of the venue of this name, or of the only one."""
    if report["later"]:
        until = venue.calendar.text(report["onward_ns"])
        say.print(f"  {report['later']:>12,} of these are of later days, to {until}", markup=False)
    if report["cut"]:
        until = venue.calendar.text(report["onward_ns"])
        further = min(max(ONWARD, 2 * days), ONWARD_MAX)
        words = [*verb, *(("--venue", name) if name else ()), "--onward", str(further)]
        said = " ".join(map(quote, words))
        what = f"metrics from {until} on were not looked at:"
        say.print(f"{what} bursa {said} goes on", markup=False, soft_wrap=True)


def _begun(config: Config, name: str) -> Venue:
    logs.setup(config.log.level, config.log.format)
    data = Path(config.data)
    venue = find(config, name).venue
    if not (data / STORE_FILE).exists():
        raise Refuse(f"{data} has no store yet: there is nothing to fill", "no_data", 404)
    return venue


def _json(venue: Venue, report: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps({"venue": venue.name, **report}, indent=1) + "\n")


def _told_range(venue: Venue, report: Mapping[str, Any], say: Console, what: str) -> None:
    text = venue.calendar.text
    span_ = f"from {text(report['start_ns'])} to {text(report['end_ns'])}"
    say.print(f"{venue.name} {span_}: {what}", markup=False)
    if report.get("left") is True or report.get("whole") is False:
        say.print("  what follows is the feed's still, and was left", markup=False)


def _tell_kinds(report: Mapping[str, Any], say: Console) -> None:
    for kind, counts in report["kinds"].items():
        words = dict(_PUT_BACK)
        if report["dry_run"]:
            words = {"absent": "would be put back", **words}
        for word, meaning in words.items():
            if counts[word]:
                say.print(f"  {counts[word]:>12,} rows of {kind} {meaning}", markup=False)
    for name in report.get("lacking", ()):
        say.print(f"  metrics are left out: {name} was added later", markup=False)


def _examples(venue: Venue, report: Mapping[str, Any], say: Console) -> None:
    for one in report["examples"]:
        where = f"{one['ticker']} {venue.calendar.text(one['ts'])}: {one['column']}"
        say.print(f"  {where} {one['stored']} is stored, {one['given']} found", markup=False)


def _told_end(report: Mapping[str, Any], say: Console, due: str) -> None:
    if report["dry_run"]:
        say.print(f"dry run: {report[due]:,} bars would be written, nothing was", markup=False)
    elif report["written"] or report["metrics"]:
        tale = f"{report['written']:,} bars and {report['metrics']:,} rows of metrics written"
        say.print(tale, markup=False)
    else:
        say.print("nothing was written", markup=False)
