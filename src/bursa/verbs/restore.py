"""`bursa backfill restore FILE`: bars of a file that the store lacks, entered. How:
jobs/restore.py.

The file is read by the process that does the job: the one that holds the folder, else this one.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bursa.config import Config
from bursa.feeds import bar_file
from bursa.jobs.onward import ONWARD
from bursa.jobs.restore import NAME, Order
from bursa.jobs.restore_rows import REASONS
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES, Venue
from bursa.ops import logs
from bursa.verbs.backfill_bars import tell_onward
from bursa.verbs.driving import drive
from bursa.verbs.journal_part import find
from bursa.verbs.options import several
from bursa.verbs.times import zone_of
from bursa.wire.bar_file import headers as bar_headers


@dataclass(frozen=True)
class Asked:
    """The options as they were given."""

    file: Path
    columns: Sequence[str]
    ticker: str
    zone: str
    form: str
    venue: str
    rejects: Path | None
    dry_run: bool
    onward: int = ONWARD


def run_restore(config: Config, asked: Asked, *, as_json: bool, say: Console, warn: Console) -> int:
    """Restore a file. Returns 1 where rows were kept out, or bars differ from stored ones."""
    logs.setup(config.log.level, config.log.format)
    # A folder may begin with what a file has.
    venue = VENUES.get(asked.venue) or find(config, asked.venue).venue
    order = Order(
        file=str(asked.file.absolute()),
        columns=_columns(asked.columns),
        ticker=asked.ticker,
        zone=str(zone_of(asked.zone, venue)) if asked.zone else "",
        form=asked.form,
        rejects="" if asked.rejects is None else str(asked.rejects.absolute()),
        dry_run=asked.dry_run,
        onward=asked.onward,
    )
    _glance(order)
    title = f"{venue.name} {asked.file.name}"
    report = drive(config, venue, NAME, asdict(order), warn=warn, title=title)
    if as_json:
        sys.stdout.write(json.dumps({"venue": venue.name, **report}, indent=1) + "\n")
    else:
        _tell(venue, report, say)
        tell_onward(venue, _words(asked), asked.venue, asked.onward, report, say)
    return 1 if report["bad"] or report["differing"] else 0


def _words(asked: Asked) -> list[str]:
    """The verb and its options as they were given, but for the file of what was kept out, which is
    there by now."""
    said = {"--ticker": asked.ticker, "--tz": asked.zone, "--time-format": asked.form}
    words = ["backfill", "restore", str(asked.file)]
    words += [word for option, value in said.items() if value for word in (option, value)]
    return words + [word for one in asked.columns for word in ("--map", one)]


def _glance(order: Order) -> None:
    """Refuse at once, not after a venue was brought up, a file that cannot be read."""
    file = bar_file.opened(Path(order.file))
    try:
        bar_headers.match(file.headers, order.columns, has_ticker=bool(order.ticker))
    finally:
        file.close()


def _columns(said: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in said:
        theirs, mark, ours = one.rpartition("=")
        if not mark or not theirs:
            what = f"--map {one}: allowed: THEIRS=OURS, such as Last=close, or THEIRS= for none"
            raise Refuse(what, parameter="map")
        found[theirs] = ours
    return found


_COUNTS = {
    "absent": "bars were not stored",
    "equal": "are stored as the file has them",
    "differing": "are stored otherwise: they stay as they are",
    "again": "rows say what a row before them says",
    "older": "rows are older revisions of another one",
    "bad": "rows were kept out",
}


def _tell(venue: Venue, report: dict[str, Any], say: Console) -> None:
    lines = [*_of_the_file(venue, report), *_of_the_rows(venue, report)]
    if report["value_estimated"] and report["absent"]:
        lines.append("  the file has no value: it was made of volume and price")
    if report["dry_run"]:
        lines.append(f"dry run: {several(report['absent'], 'bar')} would be written, nothing was")
    elif report["written"] or report["metric_rows"]:
        rows = f"{several(report['metric_rows'], 'row')} of metrics"
        lines.append(f"{several(report['written'], 'bar')} written, {rows}")
    else:
        lines.append("nothing was written")
    if report["rejects"]:
        lines.append(f"{report['rejects']:,} rows that were kept out are in the file of --rejects")
    for line in lines:
        say.print(line, markup=False)


def _of_the_file(venue: Venue, report: dict[str, Any]) -> Iterator[str]:
    read = ", ".join(
        ours if ours == theirs else f"{ours} from {theirs!r}"
        for ours, theirs in report["columns"].items()
    )
    yield f"{report['file']}: {several(report['rows'], report['counts'])}; {read}"
    if report["not_read"]:
        yield f"  not read: {', '.join(report['not_read'])}"
    if report["first"] is not None:
        first, last = (venue.calendar.text(report[end]) for end in ("first", "last"))
        yield f"  {several(report['tickers'], 'ticker')}, from {first} to {last}"
    if report["new_tickers_count"]:
        names = ", ".join(report["new_tickers"])
        more = ", ..." if report["new_tickers_count"] > len(report["new_tickers"]) else ""
        yield f"  {several(report['new_tickers_count'], 'ticker')} had no bars: {names}{more}"


def _of_the_rows(venue: Venue, report: dict[str, Any]) -> Iterator[str]:
    for what, meaning in _COUNTS.items():
        if report[what]:
            yield f"  {report[what]:>12,} {meaning}"
    for word, count in report["reasons"].items():
        yield f"  {count:>16,} {word}: {REASONS[word]}"
    for one in report["examples"]:
        said = one["values"].items()
        values = " ".join(f"{name}={value}" if name else value for name, value in said)
        yield f"  {report['counts']} {one['line']:,}: {one['reason']}: {values}"
    for one in report["mismatches"]:
        at = f"{one['ticker']} {venue.calendar.text(one['ts'])}: {one['column']}"
        yield f"  {at} {one['stored']:g} is stored, the file has {one['given']:g}"
