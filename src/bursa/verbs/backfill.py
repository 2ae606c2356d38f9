"""`bursa backfill metric`: rows of metrics that are not stored, filled from the stored bars.

How: jobs/backfill.py, driven by driving.py. A range is half-open, in UTC unless a zone is
named.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bursa.config import Config
from bursa.jobs.backfill import Order
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ops import logs
from bursa.store.folder import STORE_FILE
from bursa.verbs.driving import drive
from bursa.verbs.journal_part import find
from bursa.verbs.times import half_open, tell_other_clock

_COUNTS = {
    "equal": "are stored as they are computed",
    "absent": "were not stored",
    "filled": "lacked a value",
    "differing": "have other values",
    "surplus": "are of no bar, or there twice",
}


@dataclass(frozen=True)
class Asked:
    """The options as they were given."""

    engine: str
    begin: str
    end: str
    tickers: Sequence[str]
    venue: str
    zone: str
    dry_run: bool
    replace: bool


def run_metric(config: Config, asked: Asked, *, as_json: bool, say: Console, warn: Console) -> int:
    """Fill metrics of a range. Returns 1 where stored rows differ from computed ones and were
    left."""
    logs.setup(config.log.level, config.log.format)
    venue, data = find(config, asked.venue).venue, Path(config.data)
    if not (data / STORE_FILE).exists():
        raise Refuse(f"{data} has no store yet: there are no bars", "no_data", 404)
    order = _order(asked, venue)
    title = f"{venue.name} {asked.engine}"
    report = drive(config, venue, "backfill_metric", asdict(order), warn=warn, title=title)
    if as_json:
        sys.stdout.write(json.dumps({"venue": venue.name, **report}, indent=1) + "\n")
    else:
        _tell(venue, order, report, say)
        tell_other_clock(venue, asked.zone, report["venue_clock"], warn)
    return 1 if not order.replace and (report["differing"] or report["surplus"]) else 0


# -- what was asked ------------------------------------------------------------------------------


def _order(asked: Asked, venue: Venue) -> Order:
    start, end = half_open(asked.begin, asked.end, asked.zone, venue)
    tickers = tuple(dict.fromkeys(asked.tickers))
    return Order(start, end, asked.engine, tickers, asked.dry_run, asked.replace)


# -- what is told --------------------------------------------------------------------------------


def _tell(venue: Venue, order: Order, report: dict[str, Any], say: Console) -> None:
    text = venue.calendar.text
    begin = f"the checkpoint at {report['from']}" if report["from"] else "the first stored bar"
    say.print(
        f"{venue.name} {order.engine} from {text(order.start_ns)} to {text(order.end_ns)}:"
        f" {report['computed']:,} rows of {report['bars']:,} bars, computed from {begin}",
        markup=False,
    )
    for name, meaning in _COUNTS.items():
        if report[name]:
            say.print(f"  {report[name]:>12,} {meaning}", markup=False)
    for one in report["examples"]:
        say.print(f"  {_example(venue, one)}", markup=False)
    rows = f"{report['written']:,} rows"
    left = report["differing"] + report["surplus"]
    if report["dry_run"]:
        tale = f"dry run: {rows} would be written, nothing was"
    elif report["written"]:
        tale = f"{rows} written"
    else:
        tale = "nothing was written"
    if left and not order.replace:
        tale += f"; {left:,} rows that differ were left (--replace puts them right)"
    say.print(tale, markup=False)


def _example(venue: Venue, one: dict[str, Any]) -> str:
    row = f"{one['ticker']} {venue.calendar.text(one['ts'])} rev {one['rev']}"
    if not one["column"]:
        return f"{row}: no bar gives this row"
    return f"{row}: {one['column']} {one['stored']} is stored, {one['computed']} computed"
