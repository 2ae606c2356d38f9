"""The verbs that read a journal: what they take, and which module of verbs/ does it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bursa.verbs.options import Data, File, Format, Json, err, load, out

journal_verbs = typer.Typer(
    help="The journal: its segments, its records, whether it is whole.", no_args_is_help=True
)

Whose = Annotated[
    str,
    typer.Option("--venue", help="Whose journal, e.g. idx.", show_default="the folder's only one"),
]
From = Annotated[
    str,
    typer.Option("--from", help="First position or receive time; 2025-11-21T09:30 is the venue's."),
]
To = Annotated[str, typer.Option("--to", help="Last position, or the receive time before which.")]


@journal_verbs.command("ls")
def journal_ls(
    venue: Whose = "", data: Data = None, form: Format = "table", settings: File = None
) -> None:
    """List the segments: addresses, bytes on disk, what they hold and when it was received."""
    loaded = load(settings, data)
    from bursa.verbs.journal import run_ls

    sys.stdout.write(run_ls(loaded.config, venue, form))


@journal_verbs.command("verify")
def journal_verify(
    venue: Whose = "", data: Data = None, as_json: Json = False, settings: File = None
) -> None:
    """Read every checksum and tell where bytes are damaged, or healed; exit code 1 if any are."""
    loaded = load(settings, data)
    from bursa.verbs.journal import run_verify

    sys.exit(run_verify(loaded.config, venue, as_json=as_json, say=out, warn=err))


@journal_verbs.command("cat")
def journal_cat(  # noqa: PLR0913 -- a command's options
    venue: Whose = "",
    begin: From = "",
    end: To = "",
    channel: Annotated[
        str, typer.Option("--channel", help="Of this channel only, e.g. itchdata.")
    ] = "",
    kind: Annotated[
        str, typer.Option("--kind", help="Of this kind only: messages, up, down, setting, ...")
    ] = "",
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many.", min=1)] = None,
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Print records, one a line, with what each begins with."""
    loaded = load(settings, data)
    from bursa.verbs.journal import run_cat

    code = run_cat(
        loaded.config,
        venue,
        (begin, end),
        channel=channel,
        kind=kind,
        limit=limit,
        as_json=as_json,
    )
    sys.exit(code)


@journal_verbs.command("export")
def journal_export(
    file: Annotated[
        Path, typer.Argument(help="The recording to write, plain or .gz.", metavar="FILE")
    ],
    venue: Whose = "",
    begin: From = "",
    end: To = "",
    day: Annotated[
        str, typer.Option("--day", help="What was received on this day of the venue's clock.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False,
    data: Data = None,
    settings: File = None,
) -> None:
    """Write a journal's messages as a recording for `bursa replay`."""
    loaded = load(settings, data)
    from bursa.verbs.journal_export import run_export

    bounds = (begin, end)
    code = run_export(loaded.config, file, venue, bounds, day=day, force=force, say=out, warn=err)
    sys.exit(code)
