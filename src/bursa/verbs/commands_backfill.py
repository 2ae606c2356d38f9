"""The verbs that fill what the stores lack: what they take, and which module of verbs/ does it."""

import sys
from typing import Annotated

import typer

from bursa.verbs.options import Data, File, Json, err, load, out

backfill_verbs = typer.Typer(help="Fill what the store lacks.", no_args_is_help=True)


@backfill_verbs.command("metric")
def backfill_metric(  # noqa: PLR0913 -- a command's options
    begin: Annotated[
        str,
        typer.Option("--from", help="First bar: a date, or a time such as 2025-11-21T09:30."),
    ],
    end: Annotated[str, typer.Option("--to", help="The time, or the date, before which.")],
    engine: Annotated[
        str,
        typer.Option("--engine", help="all, a family such as hd, or one metric such as rsi_14."),
    ] = "all",
    ticker: Annotated[
        list[str] | None,
        typer.Option("--ticker", help="Only this ticker, e.g. BBCA; several times."),
    ] = None,
    venue: Annotated[
        str, typer.Option("--venue", help="Whose, e.g. idx.", show_default="the only one")
    ] = "",
    zone: Annotated[
        str,
        typer.Option(
            "--tz",
            help="Zone of times that name none: UTC, venue, or one such as Asia/Jakarta.",
            metavar="ZONE",
        ),
    ] = "UTC",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written; change nothing.")
    ] = False,
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
