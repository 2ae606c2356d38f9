"""A copy of a SQLite file as of one moment, whoever writes it meanwhile. Imports no toolkit."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bursa.model.errors import Refuse

# How long the copy waits for a writer.
BUSY_S = 30.0


def copy_database(path: Path, to: Path) -> None:
    """Copy the database at `path` to a new file that holds all of it, its log included. Refuse
    `state_damaged` where it cannot be read."""
    try:
        with (
            closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=BUSY_S)) as source,
            closing(sqlite3.connect(to)) as target,
        ):
            source.backup(target)
            # Else the copy would come with a log of its own.
            target.execute("pragma journal_mode = delete")
    except sqlite3.Error as error:
        raise Refuse(f"{path} cannot be copied: {error}", "state_damaged", 503) from error
