"""`bursa audit`: what its verbs take; verbs/audit.py does it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bursa.verbs.options import Data, File, Format, Json, load, out

audit_verbs = typer.Typer(help="Who changed what, and who was refused.", no_args_is_help=True)

Begin = Annotated[
    str,
    typer.Option("--from", help="Since a date or a time, UTC unless it says else.", metavar="T"),
]
End = Annotated[str, typer.Option("--to", help="Before a date or a time.", metavar="T")]
Actor = Annotated[
    str, typer.Option("--actor", help="By this user only: e-mail address or id; cli; job.")
]
Act = Annotated[str, typer.Option("--act", help="Acts that begin so only, e.g. user. or sign_in.")]
Target = Annotated[
    str, typer.Option("--target", help="Done to this only: an id, or an address that was tried.")
]
Failed = Annotated[bool, typer.Option("--failed", help="Only what was refused.")]


@audit_verbs.command("ls")
def audit_ls(  # noqa: PLR0913 -- a command's options
    begin: Begin = "",
    end: End = "",
    actor: Actor = "",
    act: Act = "",
    target: Target = "",
    failed: Failed = False,
    limit: Annotated[
        int, typer.Option("--limit", help="Records that are listed, newest first.")
    ] = 50,
    data: Data = None,
    form: Format = "table",
    settings: File = None,
) -> None:
    """List who did what to whom, with what was before and after, also while bursa runs, and of
    months that lie in files."""
    loaded = load(settings, data)
    from bursa.verbs.audit import Asked, run_list

    asked = Asked(begin, end, actor, act, target, failed)
    sys.stdout.write(run_list(loaded.config, asked, limit, form))


@audit_verbs.command("export")
def audit_export(  # noqa: PLR0913 -- a command's options
    file: Annotated[
        Path,
        typer.Argument(
            help="The file to write; its name ends with .jsonl, .jsonl.zst or .csv.", metavar="FILE"
        ),
    ],
    begin: Begin = "",
    end: End = "",
    actor: Actor = "",
    act: Act = "",
    target: Target = "",
    failed: Failed = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    data: Data = None,
    settings: File = None,
) -> None:
    """Write the audit to a file, oldest records first: database and files of past months as one."""
    loaded = load(settings, data)
    from bursa.verbs.audit import Asked, run_export

    asked = Asked(begin, end, actor, act, target, failed)
    sys.exit(run_export(loaded.config, asked, file, force=force, say=out))


@audit_verbs.command("verify")
def audit_verify(data: Data = None, as_json: Json = False, settings: File = None) -> None:
    """See whether months are ready ahead, records lie in their months, files of past months can be
    read whole, and nothing waits or is torn. Exit code 1 where somebody should look."""
    loaded = load(settings, data)
    from bursa.verbs.audit import run_verify

    sys.exit(run_verify(loaded.config, as_json=as_json, say=out))
