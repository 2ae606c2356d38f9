"""`bursa quality`: what it takes, and which module does it."""

import sys
from typing import Annotated

import typer

from bursa.verbs.commands import AnyVenue
from bursa.verbs.options import Data, File, Json, err, load, out

quality_verbs = typer.Typer()


@quality_verbs.command("quality")
def quality(
    week: Annotated[
        bool, typer.Option("--week", help="Of the last seven days, not of the newest one.")
    ] = False,
    venue: AnyVenue = "",
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Report of what is stored: rows, nulls, impossible rows, gaps, mismatches, and what changed
    since the last report; also while bursa runs. Exit code 1 where bars are missing or faulty."""
    loaded = load(settings, data)
    from bursa.verbs.quality import run_quality

    sys.exit(run_quality(loaded.config, venue, week, as_json=as_json, say=out, warn=err))
