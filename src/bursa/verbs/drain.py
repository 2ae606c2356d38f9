"""`bursa drain` and `bursa retention`: days to cold files, and out of the hot store.

Of one venue or of all that the folder has; done by the process that holds the folder, or here
(driving.py). How: jobs/drain.py, jobs/retention.py.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from bursa.app import venues_of
from bursa.config import Config
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ops import logs
from bursa.verbs.driving import drive
from bursa.verbs.journal_part import a_day, find

Told = Mapping[str, Any]
Reports = Mapping[str, Told]


def run_drain(
    config: Config,
    venue: str,
    days: Sequence[str],
    *,
    dry_run: bool,
    as_json: bool,
    say: Console,
    warn: Console,
) -> int:
    """Drain days that are over, all of them or these. Returns 1 where one was not drained, or an
    older cold file was found damaged."""
    order = {"days": [str(a_day(text, "DATE")) for text in days], "dry_run": dry_run}
    reports = _each(config, venue, "drain", order, warn)
    if as_json:
        _tell_json(reports)
    else:
        for name, report in reports.items():
            _tell_drain(name, report, say, warn)
    return 1 if any(one["failed"] or one["damaged"] for one in reports.values()) else 0


def run_retention(
    config: Config,
    venue: str,
    days: int | None,
    *,
    dry_run: bool,
    as_json: bool,
    say: Console,
    warn: Console,
) -> int:
    """Let days past their time leave the hot store. Returns 1 where some stay, because no cold file
    is proven to have them."""
    if days is not None and days < 1:
        raise Refuse(f"--days: {days}; allowed: 1 or more", parameter="days")
    reports = _each(config, venue, "retention", {"days": days, "dry_run": dry_run}, warn)
    if as_json:
        _tell_json(reports)
    else:
        for name, report in reports.items():
            _tell_retention(name, report, say)
    return 1 if any(report["kept"] for report in reports.values()) else 0


def _each(config: Config, venue: str, job: str, order: dict[str, Any], warn: Console) -> Reports:
    logs.setup(config.log.level, config.log.format)
    venues: Sequence[Venue] = [find(config, venue).venue] if venue else _kept(config)
    return {
        one.name: drive(config, one, job, order, warn=warn, title=f"{one.name} {job}")
        for one in venues
    }


def _kept(config: Config) -> Sequence[Venue]:
    """The venues of the folder. Refuse `no_data` where there is none."""
    data = Path(config.data)
    found = [one for one in venues_of(config, data, demo=False) if _has_journal(data, one)]
    if not found:
        raise Refuse(f"{data / 'journal'} has no journal", "no_data", 404)
    return found


def _has_journal(data: Path, venue: Venue) -> bool:
    folder = data / "journal" / venue.name
    return folder.is_dir() and any(folder.iterdir())


# -- what is told --------------------------------------------------------------------------------

COLUMNS: Mapping[str, Callable[[Told], str]] = {
    "written": lambda told: f"{told['sealed'] + told['merged']:,}",
    "merged": lambda told: f"{told['merged']:,}",
    "unchanged": lambda told: f"{told['unchanged']:,}",
    "failed": lambda told: f"{told['failed']:,}",
    "rows": lambda told: f"{told['rows']:,}",
    "bytes": lambda told: f"{told['bytes']:,}",
    "bytes a row": lambda told: f"{told['bytes_a_row']:.1f}" if told["rows"] else "",
    "text : file": lambda told: f"{told['ratio']:.1f} : 1" if told["ratio"] else "",
}
# Shown where there is something to show.
RARE: Mapping[str, Callable[[Told], Any]] = {
    "merged": lambda told: told["merged"],
    "unchanged": lambda told: told["unchanged"],
    "failed": lambda told: told["failed"],
    "bytes": lambda told: told["bytes"],
    "bytes a row": lambda told: told["bytes"],
    "text : file": lambda told: told["ratio"],
}


def _tell_json(reports: Reports) -> None:
    sys.stdout.write(json.dumps({"venues": reports}, indent=1) + "\n")


def _tell_drain(name: str, report: Told, say: Console, warn: Console) -> None:
    for why in report["damaged"]:
        warn.print(f"{name}: a cold file is damaged: {why}", markup=False)
    kinds = {kind: told for kind, told in report["kinds"].items() if _looked_at(told)}
    if not kinds:
        say.print(f"{name}: no day is over and hot", markup=False)
        return
    columns = [
        title for title in COLUMNS if title not in RARE or any(map(RARE[title], kinds.values()))
    ]
    table = Table("table", *map(_right, columns), box=None, pad_edge=False)
    for kind, told in kinds.items():
        table.add_row(f"{name}_{kind}", *(COLUMNS[title](told) for title in columns))
    say.print(table)
    days = sum(told["sealed"] + told["merged"] for told in kinds.values())
    if report["dry_run"]:
        say.print(f"dry run: {days:,} files would be written, nothing was", markup=False)
    for failure in report["failures"]:
        told = f"{name}_{failure['kind']} of {failure['day']} was not drained: {failure['why']}"
        warn.print(told, markup=False)


def _looked_at(told: Told) -> bool:
    return any(told[name] for name in ("sealed", "merged", "unchanged", "failed"))


def _tell_retention(name: str, report: Told, say: Console) -> None:
    went = "would leave" if report["dry_run"] else "left"
    titles = ("keeps", f"days that {went}", "rows", "days not proven")
    table = Table("table", *map(_right, titles), box=None, pad_edge=False)
    for kind, told in report["kinds"].items():
        keeps = f"{told['keeps']:,} days" if told["keeps"] else "for ever"
        counts = (f"{told[key]:,}" for key in ("days", "rows", "kept"))
        table.add_row(f"{name}_{kind}", keeps, *counts)
    say.print(table)
    for kind, told in report["kinds"].items():
        if told["why"]:
            say.print(f"{name}_{kind} stays from {told['why']}", markup=False)
    if report["dry_run"]:
        say.print("dry run: nothing left the hot store", markup=False)
    if report["kept"]:
        what = "days that are not proven to lie in cold files stay hot: see `bursa drain`"
        say.print(what, markup=False)


def _right(title: str) -> Column:
    return Column(title, justify="right")
