"""`bursa export`: stored rows of a kind, hot and cold, to a file.

Written by the process that holds the folder, which reads what is newest; where nobody holds the
folder, this one reads it. How: jobs/export.py.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bursa.app import shop
from bursa.config import Config
from bursa.feeds.capture import replaceable
from bursa.jobs import export
from bursa.jobs.export import FORMATS, KINDS, Order
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ops import logs
from bursa.store.folder import STORE_FILE, DataFolder
from bursa.verbs.driving import Told, progress, running
from bursa.verbs.journal_part import find
from bursa.verbs.times import half_open, instant, tell_other_clock, zone_of


@dataclass(frozen=True)
class Asked:
    """The options as they were given."""

    kind: str
    begin: str
    end: str
    file: Path
    form: str
    tickers: Sequence[str]
    venue: str
    zone: str
    as_of: str
    force: bool


def run_export(config: Config, asked: Asked, *, say: Console, warn: Console) -> int:
    """Write rows to a file. Returns 1 where there are none, and no file is made then; also where a
    ticker that was named has none."""
    logs.setup(config.log.level, config.log.format)
    form = _form(asked)
    if asked.kind not in KINDS:
        raise Refuse(f"KIND: {asked.kind}; allowed: {', '.join(KINDS)}", parameter="kind")
    replaceable(asked.file, asked.force)
    if not asked.file.absolute().parent.is_dir():
        raise Refuse(f"--output: {asked.file.parent} is no folder", "not_a_file", 409, "output")
    venue, data = find(config, asked.venue).venue, Path(config.data)
    if data.resolve() in asked.file.resolve().parents:
        what = f"--output: {asked.file} lies in the data folder, among the store's own files"
        raise Refuse(what, "not_a_file", 409, "output")
    if not (data / STORE_FILE).exists():
        raise Refuse(f"{data} has no store yet: there are no rows", "no_data", 404)
    order = _order(asked, venue, form)
    with progress(warn, f"{venue.name} {asked.kind}") as told:
        try:
            report = running(data, venue, export.Export.name, asdict(order), told)
        except Refuse as refused:
            if refused.code != "not_held":
                raise
            report = _offline(config, venue, order, told)
    text = venue.calendar.text
    between = f"from {text(order.start_ns)} to {text(order.end_ns)}"
    if not report["rows"]:
        of = f" of {', '.join(asked.tickers)}" if asked.tickers else ""
        what = f"{venue.name} has no {asked.kind}{of} {between}: no file was made"
        warn.print(what, markup=False)
        tell_other_clock(venue, asked.zone, report["venue_clock"], warn)
        return 1
    told_of = f"{report['rows']:,} rows, {report['bytes'] / 1e6:,.1f} MB"
    say.print(f"{asked.file}: {told_of} of {venue.name} {asked.kind} {between}", markup=False)
    if without := report["without"]:
        none = f"{venue.name} has no {asked.kind} of {', '.join(without)} {between}"
        warn.print(f"{none}: not in the file", markup=False)
    return 1 if without else 0


def _offline(config: Config, venue: Venue, order: Order, told: Told) -> dict[str, Any]:
    """Read the folder as it is: what its journal has and the store lacks is not there."""
    with DataFolder(Path(config.data)) as folder, shop(config, folder, [venue]) as shared:
        job = export.of(shared.store, venue, order)
        try:
            for _ in job.run():
                told(*job.progress)
        finally:
            job.close()
    return job.report()


def _form(asked: Asked) -> str:
    """As it was named, else by the file's name."""
    form = asked.form or asked.file.suffix.lstrip(".")
    if form not in FORMATS:
        allowed = ", ".join(FORMATS)
        if asked.form:
            raise Refuse(f"--format: {form}; allowed: {allowed}", parameter="format")
        what = f"{asked.file}: its name does not say which form; --format: {allowed}"
        raise Refuse(what, parameter="format")
    return form


def _order(asked: Asked, venue: Venue, form: str) -> Order:
    start, end = half_open(asked.begin, asked.end, asked.zone, venue)
    as_of = instant(asked.as_of, "--as-of", zone_of(asked.zone, venue)) if asked.as_of else None
    tickers = tuple(dict.fromkeys(asked.tickers))
    return Order(asked.kind, start, end, str(asked.file.absolute()), form, tickers, as_of)
