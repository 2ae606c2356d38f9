"""The audit as one: what is in the database, and the months that lie in files of this folder.

A record may for a moment be in both; it is found once. Changes nothing.
"""

import heapq
from collections.abc import Collection, Iterator
from itertools import chain, groupby
from pathlib import Path

from sqlalchemy import select

from bursa.accounts.audit_months import exported, files, stored
from bursa.accounts.audit_tables import Chosen, Record, place_of, read, tables
from bursa.state.account_tables import USERS
from bursa.state.database import Database


class Found:
    """One audit. Blocks; raises as Database, Refuse `audit_damaged` where a file cannot be read."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder

    def newest(self, chosen: Chosen, limit: int) -> list[Record]:
        """Records, newest first, at most `limit`."""
        with self._database.snapshot() as connection:
            found = read(connection, chosen, limit=limit)
        filed: list[Record] = []
        for path, month in files(self._folder).items():
            if len(filed) < limit and chosen.months(month):
                some = filter(chosen.has, exported(path))
                filed += heapq.nlargest(limit, some, key=place_of)
        unique = {place_of(record): record for record in (*filed, *found)}
        return heapq.nlargest(limit, unique.values(), key=place_of)

    def by_time(self, chosen: Chosen) -> Iterator[Record]:
        """All records, oldest first; in pieces, however many there are."""
        with self._database.snapshot() as connection:
            there = [name for name, month in tables(connection).items() if chosen.months(month)]
        old = [path for path, month in files(self._folder).items() if chosen.months(month)]
        sources = [
            chain.from_iterable(map(exported, reversed(old))),
            *(stored(self._database, name) for name in there),
        ]
        for _, same in groupby(heapq.merge(*sources, key=place_of), place_of):
            record = next(same)
            if chosen.has(record):
                yield record

    def emails(self, users: Collection[str]) -> dict[str, str]:
        """Id -> address, of those of some ids that are users."""
        asked = select(USERS.c.id, USERS.c.email).where(USERS.c.id.in_(sorted(users)))
        with self._database.snapshot() as connection:
            return {row.id: row.email for row in connection.execute(asked)}

    def user(self, email: str) -> str | None:
        """Id of the user with an address; None where there is none."""
        asked = select(USERS.c.id).where(USERS.c.email == email.lower())
        with self._database.snapshot() as connection:
            return connection.execute(asked).scalar_one_or_none()
