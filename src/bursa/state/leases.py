"""Leases in the state database: of one name one holder at a time, also after a kill.

A lease ends by its release, by its time, or with the process that held it. Each run under a lease
is kept with what came of it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from bursa.ops.logs import logger
from bursa.ports import Run
from bursa.state.database import Database
from bursa.state.holder import gone
from bursa.state.tables import LEASES, RUNS

# Runs of one name that are kept.
RUNS_KEPT = 1000


class SqlLeases:
    """ports.Leases."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = logger("state")

    def take(self, name: str, holder: str, now_ns: int, for_s: float) -> bool:
        """As ports.Leases."""
        with self._database.transaction(alone=f"lease {name}") as to:
            held = to.execute(select(LEASES).where(LEASES.c.name == name)).one_or_none()
            if held is not None and not self._take_over(to, held, now_ns):
                return False
            run = to.execute(
                insert(RUNS).values(
                    name=name, holder=holder, began_ns=now_ns, outcome="", told="{}"
                )
            ).inserted_primary_key
            assert run is not None, "a row has an id"
            to.execute(
                insert(LEASES).values(
                    name=name, run=run[0], holder=holder, expires_ns=_expiry(now_ns, for_s)
                )
            )
            self._forget(to, name)
        return True

    def _take_over(self, to: Connection, held: Row[Any], now_ns: int) -> bool:
        why = "expired" if held.expires_ns <= now_ns else "gone" if gone(held.holder) else ""
        if why:
            to.execute(delete(LEASES).where(LEASES.c.name == held.name))
            _end(to, held.run, now_ns, "lost", {"why": why})
            self._log.warning("lease taken over", lease=held.name, of=held.holder, why=why)
        return bool(why)

    def _forget(self, to: Connection, name: str) -> None:
        kept = select(RUNS.c.id).where(RUNS.c.name == name).order_by(RUNS.c.id.desc())
        oldest = to.execute(kept.limit(1).offset(RUNS_KEPT)).scalar()
        if oldest is not None:
            to.execute(delete(RUNS).where(RUNS.c.name == name, RUNS.c.id <= oldest))

    def renew(self, name: str, holder: str, now_ns: int, for_s: float) -> bool:
        """As ports.Leases."""
        mine = (LEASES.c.name == name) & (LEASES.c.holder == holder)
        with self._database.transaction() as to:
            done = to.execute(update(LEASES).where(mine).values(expires_ns=_expiry(now_ns, for_s)))
        return done.rowcount == 1

    def release(
        self, name: str, holder: str, now_ns: int, outcome: str, told: Mapping[str, Any]
    ) -> bool:
        """As ports.Leases."""
        mine = (LEASES.c.name == name) & (LEASES.c.holder == holder)
        with self._database.transaction(alone=f"lease {name}") as to:
            run = to.execute(select(LEASES.c.run).where(mine)).scalar()
            if run is None:
                return False
            to.execute(delete(LEASES).where(mine))
            _end(to, run, now_ns, outcome, told)
        return True

    def holder(self, name: str, now_ns: int) -> str:
        """As ports.Leases."""
        with self._database.transaction() as to:
            held = to.execute(select(LEASES).where(LEASES.c.name == name)).one_or_none()
        if held is None or held.expires_ns <= now_ns or gone(held.holder):
            return ""
        return str(held.holder)

    def history(self, name: str, limit: int) -> Sequence[Run]:
        """As ports.Leases."""
        newest = select(RUNS).where(RUNS.c.name == name).order_by(RUNS.c.id.desc()).limit(limit)
        with self._database.transaction() as to:
            found = to.execute(newest).all()
        return [
            Run(r.name, r.holder, r.began_ns, r.ended_ns, r.outcome, json.loads(r.told))
            for r in found
        ]


def _expiry(now_ns: int, for_s: float) -> int:
    return now_ns + int(for_s * 1e9)


def _end(to: Connection, run: int, now_ns: int, outcome: str, told: Mapping[str, Any]) -> None:
    text = json.dumps(told, ensure_ascii=False)
    to.execute(
        update(RUNS).where(RUNS.c.id == run).values(ended_ns=now_ns, outcome=outcome, told=text)
    )
