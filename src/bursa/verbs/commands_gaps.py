"""`bursa gaps`: what its verbs take, and which module does it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bursa.verbs.options import Data, DryRun, File, Json, Tickers, err, load, out

gaps_verbs = typer.Typer(help="What is missing, and how it is filled.", no_args_is_help=True)

Begin = Annotated[
    str,
    typer.Option(
        "--from",
        help="First bar: a date, or a time such as 2025-11-21T09:30.",
        show_default="the last 7 trading days",
    ),
]
End = Annotated[
    str, typer.Option("--to", help="The time, or the date, before which.", show_default="now")
]
Days = Annotated[
    int | None,
    typer.Option(
        "--days", min=1, help="Look so many trading days back.", show_default="7, or what is kept"
    ),
]
Of = Annotated[str, typer.Option("--venue", help="Whose, e.g. idx.", show_default="the only one")]
Zone = Annotated[
    str,
    typer.Option(
        "--tz",
        help="Zone of times that name none: UTC, venue, or one such as Asia/Jakarta.",
        metavar="ZONE",
    ),
]


@gaps_verbs.command("ls")
def gaps_ls(  # noqa: PLR0913 -- a command's options
    begin: Begin = "",
    end: End = "",
    days: Days = None,
    ticker: Tickers = None,
    timeframe: Annotated[str, typer.Option("--tf", help="Timeframe of the bars, 1m to 1M.")] = "1m",
    venue: Of = "",
    zone: Zone = "venue",
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """List the bars that are missing, of whom and why, also while bursa runs. Refused for days of
    which nothing is kept. Exit code 1 where anything is missing."""
    loaded = load(settings, data)
    from bursa.verbs.gaps import Asked, run_ls

    asked = Asked(begin, end, days or 0, ticker or (), timeframe, venue, zone)
    sys.exit(run_ls(loaded.config, asked, as_json=as_json, say=out, warn=err))


@gaps_verbs.command("fill")
def gaps_fill(  # noqa: PLR0913 -- a command's options
    begin: Begin = "",
    end: End = "",
    days: Days = None,
    ticker: Tickers = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Bars of a minute, CSV or Parquet, instead.", metavar="FILE"),
    ] = None,
    dry_run: DryRun = False,
    venue: Of = "",
    zone: Zone = "venue",
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Fill what is missing from the journal and the stored trades, or from a file, and read it
    back; tried again after 30, 60 and 120 s, then left open with the reason. Only absent bars are
    written. Exit code 1 where something is missing still."""
    loaded = load(settings, data)
    from bursa.verbs.gaps import Asked, run_fill

    asked = Asked(begin, end, days or 0, ticker or (), "1m", venue, zone)
    sys.exit(run_fill(loaded.config, asked, file, dry_run, as_json=as_json, say=out, warn=err))


@gaps_verbs.command("verify")
def gaps_verify(
    venue: Of = "", data: Data = None, as_json: Json = False, settings: File = None
) -> None:
    """Read back what was filled, by number and hash of its bars, and tell what was left open. Exit
    code 1 where a fill is not as it was."""
    loaded = load(settings, data)
    from bursa.verbs.gaps import Asked, run_verify

    asked = Asked("", "", 0, (), "1m", venue, "venue")
    sys.exit(run_verify(loaded.config, asked, as_json=as_json, say=out, warn=err))
