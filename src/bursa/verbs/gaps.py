"""`bursa gaps ls|fill|verify`: what is missing, filled from trades, journal or a file, and proved.

Listing and reading back is a job (history/gaps.py), filling is the jobs of the backfills in their
order (gap_filling.py); all are done by the process that holds the folder, or by this one where
nobody does.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bursa.app import JOBS, offline
from bursa.config import Config
from bursa.history.gaps import NAME
from bursa.jobs.job import Jobs
from bursa.jobs.makers import LANES
from bursa.jobs.restore import Order as Restore
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ops import logs
from bursa.store.folder import STORE_FILE, holder
from bursa.verbs.driving import progress, running
from bursa.verbs.gap_filling import Ask, Filled, Filling, Wanted
from bursa.verbs.journal_part import find
from bursa.verbs.options import several
from bursa.verbs.times import instant, zone_of

_COLUMNS = ("from", "to", "missing", "instruments", "put down to")
_CAUSES = {
    "jump": "its numbers went on without it",
    "down": "the line was away",
    "refused": "it could not be used",
    "unanswered": "nobody sent it again",
}
_NOTHING = "neither stored trades nor the journal have more of it"


@dataclass(frozen=True)
class Asked:
    """The options as they were given."""

    begin: str
    end: str
    days: int
    tickers: Sequence[str]
    tf: str
    venue: str
    zone: str


def run_ls(config: Config, asked: Asked, *, as_json: bool, say: Console, warn: Console) -> int:
    """List what is missing. Returns 1 where anything is."""
    with _asking(config, asked.venue, warn) as (venue, ask):
        report = ask(NAME, _order(asked, venue))
    if as_json:
        say.print(json.dumps(report), markup=False, highlight=False, soft_wrap=True)
    else:
        _tell(venue, report, say)
    return 1 if report["totals"]["missing"] else 0


def run_fill(
    config: Config,
    asked: Asked,
    file: Path | None,
    dry_run: bool,
    *,
    as_json: bool,
    say: Console,
    warn: Console,
) -> int:
    """Fill what is missing, and prove it. Returns 1 where something is missing still."""
    with _asking(config, asked.venue, warn) as (venue, ask):
        wanted = Wanted(tuple(asked.tickers), _restore(file, asked, venue), dry_run)
        order = _order(asked, venue)
        before = ask(NAME, order)
        # The same range, though time goes on.
        order |= {"start_ns": before["start_ns"], "end_ns": before["end_ns"]}
        filling = Filling(ask, wanted, time.sleep, lambda text: warn.print(text, markup=False))
        stretches = [(int(start), int(end)) for start, end in before["days"]]
        done = [filling.fill(*one) for one in (stretches[:1] if file else stretches)]
        after = ask(NAME, {**order, "fills": stretches}) if done else before
        kept = {"fills": _entered(after), "open": _left_open(after, done)}
        if done and not dry_run:
            ask(NAME, {**order, "keep": kept})
    report = {"before": before["totals"], "after": after["totals"], **kept, "dry_run": dry_run}
    report |= {"venue": venue.name, "written": sum(one.written for one in done)}
    report |= {"differing": sum(one.differing for one in done)}
    if as_json:
        say.print(json.dumps(report), markup=False, highlight=False, soft_wrap=True)
    else:
        _tell_filled(venue, report, say)
    return 1 if after["totals"]["missing"] else 0


def run_verify(config: Config, asked: Asked, *, as_json: bool, say: Console, warn: Console) -> int:
    """Read back what was filled. Returns 1 where it is not as it was."""
    with _asking(config, asked.venue, warn) as (venue, ask):
        order = _order(asked, venue)
        now = ask(NAME, order)
        found = [_looked_at_again(ask, fill) for fill in now["kept"]["fills"]]
    changed = [one for one in found if not one["same"]]
    report = {"venue": venue.name, "fills": found, "open": now["kept"]["open"]}
    report |= {"missing": now["totals"]["missing"]}
    if as_json:
        say.print(json.dumps(report), markup=False, highlight=False, soft_wrap=True)
    else:
        for one in found:
            state = "as it was filled" if one["same"] else f"other than filled: {one['why']}"
            say.print(f"{_range(venue, one)}: {one['rows']:,} bars, {state}", markup=False)
        tale = "nothing was filled yet"
        if found:
            tale = f"{several(len(found), 'fill')} looked at again"
        say.print(f"{venue.name}: {tale}; {_of_totals(now)}", markup=False)
        _tell_open(venue, report["open"], say)
    return 1 if changed else 0


def _looked_at_again(ask: Ask, fill: Mapping[str, Any]) -> dict[str, Any]:
    bounds = {"start_ns": fill["start_ns"], "end_ns": fill["end_ns"]}
    try:
        order = {**bounds, "tickers": fill["tickers"], "fills": [list(bounds.values())]}
        [now] = ask(NAME, order)["read_back"]
    except Refuse as refused:
        return {**fill, "same": False, "why": str(refused)}
    same = (now["rows"], now["hash"]) == (fill["rows"], fill["hash"])
    why = "" if same else f"{now['rows']:,} bars now, hash {now['hash']}"
    return {**fill, "same": same, "why": why}


@contextlib.contextmanager
def _asking(config: Config, name: str, warn: Console) -> Iterator[tuple[Venue, Ask]]:
    """The venue, and how its jobs are done: by the holder of the folder, or here, where it is
    recovered once for all of them."""
    logs.setup(config.log.level, config.log.format)
    venue, data = find(config, name).venue, Path(config.data)
    if not (data / STORE_FILE).exists():
        raise Refuse(f"{data} has no store yet: there are no bars", "no_data", 404)

    def of_holder(job: str, order: dict[str, Any]) -> dict[str, Any]:
        with progress(warn, f"{venue.name} {job.replace('_', ' ')}") as told:
            return running(data, venue, job, order, told)

    if holder(data) is not None:
        yield venue, of_holder
        return
    with offline(config, venue, frugal=True) as (runtime, _):
        jobs = Jobs({venue.name: runtime}, JOBS, LANES)

        def of_ours(job: str, order: dict[str, Any]) -> dict[str, Any]:
            with progress(warn, f"{venue.name} {job.replace('_', ' ')}") as told:
                return jobs.run(venue.name, job, order, told)

        yield venue, of_ours


def _order(asked: Asked, venue: Venue) -> dict[str, Any]:
    zone = zone_of(asked.zone, venue)
    bounds: dict[str, Any] = {"start_ns": None, "end_ns": None}
    if asked.begin:
        bounds["start_ns"] = instant(asked.begin, "--from", zone)
    if asked.end:
        bounds["end_ns"] = instant(asked.end, "--to", zone)
    if asked.begin and asked.days:
        raise Refuse("--from and --days exclude each other", parameter="days")
    tickers = list(dict.fromkeys(asked.tickers))
    return {**bounds, "days": asked.days or None, "tickers": tickers, "tf": asked.tf}


def _restore(file: Path | None, asked: Asked, venue: Venue) -> dict[str, Any] | None:
    """The order of a file's bars."""
    if file is None:
        return None
    zone = str(zone_of(asked.zone, venue))
    return asdict(Restore(file=str(file.absolute()), columns={}, zone=zone))


def _entered(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for one in report["read_back"] if one["rows"]]


def _left_open(report: Mapping[str, Any], done: Sequence[Filled]) -> list[dict[str, Any]]:
    """The gaps that are left, each with why."""
    out = []
    for gap in report["gaps"]:
        tried = [
            one for one in done if one.start_ns < gap["end_ns"] and one.end_ns > gap["start_ns"]
        ]
        why = "; ".join(dict.fromkeys(reason for one in tried for reason in one.why))
        named = {name: gap[name] for name in ("start_ns", "end_ns", "count", "tickers", "minutes")}
        out.append({**named, "why": why or _NOTHING})
    return out


# -- what is told --------------------------------------------------------------------------------


def _tell(venue: Venue, report: Mapping[str, Any], say: Console) -> None:
    bounds = " to ".join(venue.calendar.text(report[end]) for end in ("start_ns", "known_to_ns"))
    say.print(f"{venue.name}: {bounds}, {several(report['tickers'], 'instrument')}, {report['tf']}")
    if report["gaps"]:
        table = Table(box=None, pad_edge=False)
        for column in _COLUMNS:  # a time that is cut short says nothing
            table.add_column(column, no_wrap=column in ("from", "to", "missing"))
        for gap in report["gaps"]:
            table.add_row(*_cells(venue, gap, report["tf"]))
        say.print(table)
    if report["more"]:
        say.print(f"and {report['more']:,} gaps before those")
    say.print(_of_totals(report), markup=False)
    _tell_open(venue, report["kept"]["open"] if report["gaps"] else (), say)


def _cells(venue: Venue, gap: Mapping[str, Any], tf: str) -> list[str]:
    begin, end = (_minute(venue, gap[one]) for one in ("start_ns", "end_ns"))
    names = ", ".join(gap["tickers"]) + (", ..." if gap["count"] > len(gap["tickers"]) else "")
    why = "nothing proves that the feed was heard"
    if gap["channel"]:
        first, last = gap["seq"]
        cause = f": {_CAUSES[gap['cause']]}" if gap["cause"] else ""
        why = f"{gap['channel']} {first:,} to {last:,}{cause}"
    count = f"{gap['minutes']:,} min" if tf == "1m" else f"{gap['bars']:,} bars"
    return [begin, end, count, f"{gap['count']:,}: {names}", why]


def _minute(venue: Venue, ns: int) -> str:
    """A whole minute by the venue's clock, whose offset the line above the table has."""
    return venue.calendar.text(ns)[:16].replace("T", " ")


def _of_totals(report: Mapping[str, Any]) -> str:
    totals = report["totals"]
    words = ("received", "backfilled", "confirmed_empty", "missing")
    what = ", ".join(f"{totals.get(word, 0):,} {word.replace('_', ' ')}" for word in words)
    return f"{totals.get('expected', 0):,} bars expected: {what}"


def _tell_filled(venue: Venue, report: Mapping[str, Any], say: Console) -> None:
    before, after = report["before"]["missing"], report["after"]["missing"]
    for one in report["fills"]:
        say.print(f"{_range(venue, one)}: {one['rows']:,} bars read back, hash {one['hash']}")
    tale = "dry run: nothing was written; " if report["dry_run"] else ""
    tale += f"{before:,} bars were missing, {after:,} are; {report['written']:,} bars written"
    say.print(f"{venue.name}: {tale}", markup=False)
    if report["differing"]:
        say.print(f"{report['differing']:,} stored rows differ, and were left", markup=False)
    _tell_open(venue, report["open"], say)


def _tell_open(venue: Venue, left: Sequence[Mapping[str, Any]], say: Console) -> None:
    for one in left:
        names = ", ".join(one["tickers"]) + (", ..." if one["count"] > len(one["tickers"]) else "")
        say.print(f"  open: {_range(venue, one)}, {names}: {one['why']}", markup=False)


def _range(venue: Venue, one: Mapping[str, Any]) -> str:
    return " to ".join(venue.calendar.text(one[end]) for end in ("start_ns", "end_ns"))
