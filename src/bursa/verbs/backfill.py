"""`bursa backfill metric`: rows of metrics that are not stored, filled from the stored bars.

How: pipeline/backfill.py, driven by driving.py. A range is half-open, in UTC unless a zone is
named.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console

from bursa.config import Config
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ops import logs
from bursa.pipeline.backfill import Order
from bursa.store.folder import STORE_FILE
from bursa.store.rings import FOREVER_NS
from bursa.verbs.driving import drive
from bursa.verbs.journal_part import find

UTC_ZONE, VENUE_ZONE = "UTC", "venue"
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
    return 1 if not order.replace and (report["differing"] or report["surplus"]) else 0


# -- what was asked ------------------------------------------------------------------------------


def _order(asked: Asked, venue: Venue) -> Order:
    zone = _zone(asked.zone, venue)
    start, end = _bound(asked.begin, "--from", zone), _bound(asked.end, "--to", zone)
    if start >= end:
        what = f"--from {asked.begin} is not before --to {asked.end}: --to itself is left out"
        raise Refuse(what, parameter="from")
    tickers = tuple(dict.fromkeys(asked.tickers))
    return Order(start, end, asked.engine, tickers, asked.dry_run, asked.replace)


def _zone(text: str, venue: Venue) -> tzinfo:
    if text == UTC_ZONE:
        return UTC
    try:
        return ZoneInfo(venue.calendar.timezone if text == VENUE_ZONE else text)
    except (ValueError, OSError, KeyError):
        what = f"--tz: {text}; allowed: {UTC_ZONE}, {VENUE_ZONE}, or a zone such as Asia/Jakarta"
        raise Refuse(what, parameter="tz") from None


def _bound(text: str, parameter: str, zone: tzinfo) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
            if moment.utcoffset() != moment.replace(fold=1).utcoffset():
                what = f"{parameter}: {text}: clocks change then, it comes twice or not at all;"
                what += " allowed: a time with its offset, such as 2025-11-02T01:30-04:00"
                raise Refuse(what, parameter=parameter.strip("-"))
        elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
        ts_ns = elapsed // timedelta(microseconds=1) * 1000
        if not 0 <= ts_ns < FOREVER_NS:
            raise ValueError
    except (ValueError, OverflowError):
        what = f"{parameter}: {text}; allowed: a date or a time such as 2025-11-21T09:30, from 1970"
        what += f" to {datetime.fromtimestamp(FOREVER_NS // 10**9, UTC).year}"
        raise Refuse(what, parameter=parameter.strip("-")) from None
    return ts_ns


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
