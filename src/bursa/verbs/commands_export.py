"""The verb that writes stored rows to a file: what it takes, and which module does it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bursa.verbs.options import Before, Data, File, TheOnlyVenue, Tickers, Zone, err, load, out

export_verbs = typer.Typer()


@export_verbs.command("export")
def export(  # noqa: PLR0913 -- a command's options
    kind: Annotated[
        str,
        typer.Argument(
            help="ticks, quotes, snapshot, orderbook, index, ohlcv, metrics or status.",
            metavar="KIND",
        ),
    ],
    begin: Annotated[
        str,
        typer.Option("--from", help="First instant: a date, or a time such as 2025-11-21T09:30."),
    ],
    end: Before,
    file: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The file to write; it must not be there yet.", metavar="FILE"
        ),
    ],
    ticker: Tickers = None,
    venue: TheOnlyVenue = "",
    as_of: Annotated[
        str,
        typer.Option("--as-of", help="Only what was known at that time, by our clock."),
    ] = "",
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="parquet, csv or arrow (an IPC stream).",
            metavar="FORMAT",
            show_default="by the file's name",
        ),
    ] = "",
    zone: Zone = "UTC",
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    data: Data = None,
    settings: File = None,
) -> None:
    """Write stored rows of a range to a file, hot and cold, also while bursa runs: by day, then by
    ticker and time; of bars and metrics the newest revisions. Exit code 1 where there are none, or
    none of a ticker that is named."""
    loaded = load(settings, data)
    from bursa.verbs.export import Asked, run_export

    asked = Asked(kind, begin, end, file, form, ticker or (), venue, zone, as_of, force)
    sys.exit(run_export(loaded.config, asked, say=out, warn=err))
