"""Dead letters in the state database: rows that a healthy store refused, until somebody decides.

A letter's key says which row it is: the same row refused again adds none, whatever was killed in
between.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, func, select, update

from bursa.ports import DeadLetter
from bursa.state.database import Database
from bursa.state.tables import DEAD_LETTERS as LETTERS
from bursa.state.upsert import insert_into

# Values of one statement are limited: so many letters are dropped by one.
DROPPED_AT_ONCE = 500


class SqlDeadLetters:
    """ports.DeadLetters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, letters: Sequence[DeadLetter]) -> int:
        """As ports.DeadLetters."""
        added = 0
        with self._database.transaction() as to:
            for one in letters:
                values = {
                    "key": one.key,
                    "venue": one.venue,
                    "kind": one.kind,
                    "position": one.position,
                    "ts": one.ts,
                    "symbol": one.symbol,
                    "why": one.why,
                    "at_ns": one.at_ns,
                    "tries": one.tries,
                    "row": one.row,
                }
                new = insert_into(to, LETTERS).values(values).on_conflict_do_nothing()
                added += len(to.execute(new.returning(LETTERS.c.id)).all())
        return added

    def ls(
        self, venue: str = "", kind: str = "", after: int = 0, limit: int = 1000
    ) -> Sequence[DeadLetter]:
        """As ports.DeadLetters."""
        chosen = select(LETTERS).where(LETTERS.c.id > after)
        if venue:
            chosen = chosen.where(LETTERS.c.venue == venue)
        if kind:
            chosen = chosen.where(LETTERS.c.kind == kind)
        with self._database.transaction() as to:
            found = to.execute(chosen.order_by(LETTERS.c.id).limit(limit)).all()
        return [_letter(row) for row in found]

    def counts(self) -> dict[tuple[str, str], int]:
        """As ports.DeadLetters."""
        by = LETTERS.c.venue, LETTERS.c.kind
        with self._database.transaction() as to:
            found = to.execute(select(*by, func.count()).group_by(*by).order_by(*by)).all()
        return {(venue, kind): count for venue, kind, count in found}

    def show(self, number: int) -> DeadLetter | None:
        """As ports.DeadLetters."""
        with self._database.transaction() as to:
            found = to.execute(select(LETTERS).where(LETTERS.c.id == number)).one_or_none()
        return None if found is None else _letter(found)

    def refused_again(self, number: int, why: str) -> None:
        """As ports.DeadLetters."""
        with self._database.transaction() as to:
            to.execute(
                update(LETTERS)
                .where(LETTERS.c.id == number)
                .values(why=why, tries=LETTERS.c.tries + 1)
            )

    def drop(self, numbers: Sequence[int]) -> int:
        """As ports.DeadLetters."""
        gone = 0
        with self._database.transaction() as to:
            for at in range(0, len(numbers), DROPPED_AT_ONCE):
                some = list(numbers[at : at + DROPPED_AT_ONCE])
                gone += to.execute(delete(LETTERS).where(LETTERS.c.id.in_(some))).rowcount
        return gone


def _letter(row: Row[Any]) -> DeadLetter:
    return DeadLetter(
        row.key,
        row.venue,
        row.kind,
        row.position,
        row.ts,
        row.symbol,
        row.why,
        row.at_ns,
        row.row,
        tries=row.tries,
        number=row.id,
    )
