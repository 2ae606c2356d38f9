"""The verbs that copy a data folder and bring it back: what they take."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bursa.verbs.options import Data, File, Json, err, load, out

backup_verbs = typer.Typer()
# Whoever serves comes first.
_NICE = 10


@backup_verbs.command("backup")
def backup(
    folder: Annotated[
        Path, typer.Argument(help="Where to: a new folder, or that of a backup.", metavar="DIR")
    ],
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Copy the whole data folder, also while bursa runs. Done again into the same folder, it copies
    what changed since; ended halfway, it leaves the backup before it."""
    loaded = load(settings, data)
    from bursa.verbs.backup import run_backup

    os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    sys.exit(run_backup(loaded.config, folder, as_json=as_json, say=out, warn=err))


@backup_verbs.command("restore-backup")
def restore_backup(
    folder: Annotated[Path, typer.Argument(help="A backup's folder.", metavar="DIR")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="The data folder to be made: empty, or not there.", metavar="DIR"
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only see whether the backup is whole.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring a backup back: all of it is held to its checksums, then copied to a new data folder."""
    from bursa.model.errors import Refuse
    from bursa.verbs.backup import run_restore

    if data is None and not check:
        raise Refuse("--data: the data folder to be made must be said", parameter="data")
    at = data or folder
    sys.exit(run_restore(folder, at, check=check, as_json=as_json, say=out, warn=err))
