"""One life of a venue that repairs a day and makes bars of trades, for test_entry_kill.py to end at
any place: as drain_life.py's, before and after each append to the journal, each sync of it, and
each change and commit of the store.
"""

import os
from pathlib import Path

import duckdb

from bursa.jobs import backfill_ohlcv
from bursa.journal.write import JournalWriter
from tests.faults.drain_life import Connection, Places
from tests.jobs.test_repair import END, START, Venue


def life(data: str, told: str, at: int) -> None:
    """Open the folder, then the places begin: repair the day, fill its bars, close."""
    places = Places(Path(told), at)
    begun = False

    def of_work(*_: object) -> bool:
        return begun

    for owner, name in ((JournalWriter, "append"), (JournalWriter, "sync"), (os, "fsync")):
        places.around(owner, name, of_work)
    connect = duckdb.connect

    class Counted(Connection):
        """Places count from when the work begins."""

        def execute(self, text: str, *given: object) -> object:
            return super().execute(text, *given) if begun else self._real.execute(text, *given)

    vars(duckdb)["connect"] = lambda *a, **k: Counted(connect(*a, **k), places)
    with Venue(Path(data)) as venue:
        begun = True
        venue.repair()
        venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, backfill_ohlcv.Order(START, END)))
    places.close()
