"""The verbs that fill what the stores lack: what they take, and which module of verbs/ does it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bursa.verbs.options import (
    Before,
    Data,
    DryRun,
    File,
    FirstBar,
    Json,
    TheOnlyVenue,
    Tickers,
    Zone,
    err,
    load,
    out,
)

Onward = Annotated[
    int,
    typer.Option(
        "--onward",
        help="Days after it whose metrics follow from what was entered.",
        min=0,
        max=3650,
    ),
]
# As jobs/onward.py has it, which is not imported before a verb does its work.
ONWARD_DAYS = 31

backfill_verbs = typer.Typer(help="Fill what the store lacks.", no_args_is_help=True)


@backfill_verbs.command("metric")
def backfill_metric(  # noqa: PLR0913 -- a command's options
    begin: FirstBar,
    end: Before,
    engine: Annotated[
        str,
        typer.Option("--engine", help="all, a family such as hd, or one metric such as rsi_14."),
    ] = "all",
    ticker: Tickers = None,
    venue: TheOnlyVenue = "",
    zone: Zone = "UTC",
    dry_run: DryRun = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put right, too, stored rows that differ.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Compute metrics of a range anew from the stored bars, and store the rows and values that are
    not there, also while bursa runs. Exit code 1 where stored rows differ and were left."""
    loaded = load(settings, data)
    from bursa.verbs.backfill import Asked, run_metric

    asked = Asked(engine, begin, end, ticker or (), venue, zone, dry_run, replace)
    sys.exit(run_metric(loaded.config, asked, as_json=as_json, say=out, warn=err))


@backfill_verbs.command("ohlcv")
def backfill_ohlcv(  # noqa: PLR0913 -- a command's options
    begin: FirstBar,
    end: Before,
    ticker: Tickers = None,
    venue: TheOnlyVenue = "",
    zone: Zone = "UTC",
    onward: Onward = ONWARD_DAYS,
    dry_run: DryRun = False,
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Make bars of a range of the stored trades, and enter those that are not stored, with their
    metrics and those that follow from them, also while bursa runs. Exit code 1 where stored bars
    differ; they are left."""
    loaded = load(settings, data)
    from bursa.verbs.backfill_bars import Asked, run_ohlcv

    asked = Asked(begin, end, ticker or (), venue, zone, dry_run, onward)
    sys.exit(run_ohlcv(loaded.config, asked, as_json=as_json, say=out, warn=err))


@backfill_verbs.command("journal")
def backfill_journal(  # noqa: PLR0913 -- a command's options
    begin: Annotated[
        str,
        typer.Option("--from", help="First row: a date, or a time such as 2025-11-21T09:30."),
    ],
    end: Before,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only this kind of rows, e.g. ticks; several times."),
    ] = None,
    venue: TheOnlyVenue = "",
    zone: Zone = "UTC",
    dry_run: DryRun = False,
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Derive a range anew from the journal, and put back the rows that the store lacks, also while
    bursa runs. Exit code 1 where stored rows differ; they are left."""
    loaded = load(settings, data)
    from bursa.verbs.backfill_bars import Asked, run_journal

    asked = Asked(begin, end, kind or (), venue, zone, dry_run)
    sys.exit(run_journal(loaded.config, asked, as_json=as_json, say=out, warn=err))


@backfill_verbs.command("restore")
def backfill_restore(  # noqa: PLR0913 -- a command's options
    file: Annotated[
        Path,
        typer.Argument(help="Bars of a minute: CSV, plain or packed, or Parquet.", metavar="FILE"),
    ],
    venue: TheOnlyVenue = "",
    ticker: Annotated[
        str, typer.Option("--ticker", help="Whose bars they are, where the file does not say.")
    ] = "",
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="Which column a header is, e.g. Last=close; THEIRS= for none; several times.",
            metavar="THEIRS=OURS",
        ),
    ] = None,
    zone: Annotated[
        str,
        typer.Option(
            "--tz",
            help="Zone of times that name none: UTC, venue, or one such as Asia/Jakarta.",
            metavar="ZONE",
            show_default="UTC, where that makes sense",
        ),
    ] = "",
    form: Annotated[
        str,
        typer.Option(
            "--time-format",
            help="How times are written, e.g. '%d/%m/%Y %H:%M'.",
            metavar="FORM",
            show_default="found out",
        ),
    ] = "",
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", help="Write rows that are kept out to this CSV.", metavar="FILE"),
    ] = None,
    onward: Onward = ONWARD_DAYS,
    dry_run: DryRun = False,
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Take from a file the bars that are not stored, also while bursa runs. Rows that cannot be are
    kept out and told by line. Exit code 1 where there were some, or stored bars differ."""
    loaded = load(settings, data)
    from bursa.verbs.restore import Asked, run_restore

    asked = Asked(file, columns or (), ticker, zone, form, venue, rejects, dry_run, onward)
    sys.exit(run_restore(loaded.config, asked, as_json=as_json, say=out, warn=err))


repair_verbs = typer.Typer()


@repair_verbs.command("repair")
def repair(
    day: Annotated[str, typer.Argument(help="The day, e.g. 2025-11-21.", metavar="DATE")],
    venue: TheOnlyVenue = "",
    onward: Onward = ONWARD_DAYS,
    dry_run: DryRun = False,
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Rebuild a bad day, also while bursa runs: from the journal, else from the stored trades. What
    is put right are revisions; where nothing is wrong nothing is written."""
    loaded = load(settings, data)
    from bursa.verbs.backfill_bars import run_repair

    told = {"say": out, "warn": err}
    sys.exit(
        run_repair(
            loaded.config, day, venue, dry_run=dry_run, as_json=as_json, onward=onward, **told
        )
    )
