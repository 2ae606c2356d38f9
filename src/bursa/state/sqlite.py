"""The state database: its parts behind one object, each made when first asked for.

What the program does not use yet is not imported: a start pays nothing for it (database.py).
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bursa.state.database import Database

if TYPE_CHECKING:
    from bursa.ports import DeadLetters, Leases, Reports

STATE_FILE = "state.db"


class StateDb:
    """DATA/state.db, or what a postgresql:// URL names. Any thread may use it and its parts."""

    def __init__(self, where: Path | str) -> None:
        self._database = Database(where)

    @property
    def database(self) -> Database:
        """What all parts are in."""
        return self._database

    def check(self) -> None:
        """What a start does: an older file is brought forward now, a newer or a damaged one raises
        Refuse. Takes a few milliseconds where there is nothing to do."""
        self._database.check()

    def version(self) -> str | None:
        """The version of the file, None where there is none; Refuse as `check`. Changes nothing."""
        return self._database.version()

    @cached_property
    def leases(self) -> "Leases":
        """Who is at what."""
        from bursa.state.leases import SqlLeases

        return SqlLeases(self._database)

    @cached_property
    def letters(self) -> "DeadLetters":
        """Rows that a healthy store refused."""
        from bursa.state.letters import SqlDeadLetters

        return SqlDeadLetters(self._database)

    @cached_property
    def reports(self) -> "Reports":
        """What `bursa quality` found."""
        from bursa.state.reports import SqlReports

        return SqlReports(self._database)

    def close(self) -> None:
        """Let go of the file; a later call opens it again."""
        self._database.close()
