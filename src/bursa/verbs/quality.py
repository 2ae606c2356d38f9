"""`bursa quality`: how good what is stored is, told as a table or as JSON.

The report is a job (history/quality.py): the process that holds the folder makes and keeps it, or
this one where nobody does.
"""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bursa.config import Config
from bursa.history.quality import NAME
from bursa.journal.segment import bases
from bursa.model.errors import Refuse
from bursa.model.validate import REASONS
from bursa.model.venue import VENUES, Venue
from bursa.ops import logs
from bursa.verbs.driving import drive
from bursa.verbs.journal_part import find
from bursa.verbs.options import several

_FIGURES = ("rows", "nulls", "impossible", "gaps", "mismatches")
_COLUMNS = ("table", "bars", *_FIGURES, "complete")
_ALL = 10_000


def run_quality(
    config: Config, venue: str, week: bool, *, as_json: bool, say: Console, warn: Console
) -> int:
    """Report of every venue that has bars, or of one. Returns 1 where a bar is missing, or a row
    has a null or cannot be."""
    logs.setup(config.log.level, config.log.format)
    span = "week" if week else "day"
    found, refused = [], list[Refuse]()
    for one in _chosen(config, venue):
        try:
            title = f"{one.name}: looking at the {span}"
            found.append(drive(config, one, NAME, {"span": span}, warn=warn, title=title))
        except Refuse as refusal:
            if refusal.code != "no_data" or venue:
                raise
            refused.append(refusal)
    if not found:
        raise refused[0]
    if as_json:
        told = {"venues": {report["venue"]: report for report in found}}
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
    else:
        for report in found:
            _tell(report, say)
    return 0 if all(report["complete"] for report in found) else 1


def _chosen(config: Config, venue: str) -> list[Venue]:
    """The venue that is named, or all that the folder has a journal of: asking makes none."""
    if venue:
        return [find(config, venue).venue]
    above = Path(config.data) / "journal"
    found = [one for name, one in VENUES.items() if bases(above / name)]
    if not found:
        raise Refuse(f"{above} has no journal: nothing was stored yet", "no_data", 404)
    return found


def _tell(report: dict[str, Any], say: Console) -> None:
    days = report["days"]
    over = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}, {len(days)} trading days"
    say.print(f"{report['venue']}: {over}; {several(report['tickers'], 'instrument')}")
    say.print(f"minutes that were closed at {report['until']}", markup=False)
    if not report["holidays_known"]:
        what = "its holidays are not known of these days: a holiday would be told as missing"
        say.print(what, markup=False)
    table = Table(*_COLUMNS, box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for line in report["tables"]:
        table.add_row(*_cells(line))
    say.print(table)
    for line in report["tables"]:
        for reason, rows in line["reasons"].items():
            say.print(f"{_name(line)}: {rows:,} rows: {REASONS[reason]}", markup=False)
    _tell_changes(report, say)


def _cells(line: dict[str, Any]) -> list[str]:
    figures = ["" if line[name] is None else f"{line[name]:,}" for name in _FIGURES]
    gaps = line["gaps"]
    whole = "" if gaps is None else share(line["expected"], gaps)
    return [line["table"], line["timeframe"], *figures, whole]


def _tell_changes(report: dict[str, Any], say: Console) -> None:
    before = report["before"]
    if before is None:
        say.print("there is no earlier report to compare with")
        return
    days = before["days"]
    of = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    changed = [
        (line, {name: n for name, n in (line["change"] or {}).items() if n})
        for line in report["tables"]
    ]
    some = [f"  {_name(line)}: {_signed(change)}" for line, change in changed if change]
    what = "what changed" if some else "nothing changed"
    say.print(f"{what} since the report of {before['made']} (of {of})", markup=False)
    for text in some:
        say.print(text, markup=False)


def _name(line: dict[str, Any]) -> str:
    return f"{line['table']} {line['timeframe']}".rstrip()


def _signed(change: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:+,}" for name, number in change.items())


def share(expected: int, gaps: int) -> str:
    """How much of what is expected is there, never rounded up: with a gap it is not 100 %.

    >>> share(100_000, 1), share(4, 0)
    ('99.99 %', '100 %')
    """
    if not gaps:
        return "100 %"
    whole = (expected - gaps) * _ALL // expected
    return f"{whole / 100:.2f} %"
