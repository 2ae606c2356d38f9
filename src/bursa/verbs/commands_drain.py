"""The verbs that move days between the tiers: what they take, and which module does it."""

import sys
from typing import Annotated

import typer

from bursa.verbs.commands import AnyVenue
from bursa.verbs.options import Data, DryRun, File, Json, err, load, out

drain_verbs = typer.Typer()


@drain_verbs.command("drain")
def drain(
    days: Annotated[
        list[str] | None,
        typer.Argument(
            help="Only these days, e.g. 2025-11-21.", metavar="DATE", show_default="all"
        ),
    ] = None,
    venue: AnyVenue = "",
    dry_run: DryRun = False,
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Write days that are over to cold files, each proven equal, also while bursa runs. Rows stay
    hot until `retention`. Exit code 1 where a day was not drained."""
    loaded = load(settings, data)
    from bursa.verbs.drain import run_drain

    code = run_drain(
        loaded.config, venue, days or (), dry_run=dry_run, as_json=as_json, say=out, warn=err
    )
    sys.exit(code)


@drain_verbs.command("retention")
def retention(
    days: Annotated[
        int | None,
        typer.Option(
            "--days", help="Days that stay hot, of every kind.", show_default="as configured"
        ),
    ] = None,
    venue: AnyVenue = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would leave; change nothing.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Let days past their time leave the hot store, where a cold file is proven to have them. Exit
    code 1 where some are not proven and stay."""
    loaded = load(settings, data)
    from bursa.verbs.drain import run_retention

    code = run_retention(
        loaded.config, venue, days, dry_run=dry_run, as_json=as_json, say=out, warn=err
    )
    sys.exit(code)
