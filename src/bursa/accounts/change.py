"""One change of who may what: its number, its rows and its audit are one transaction.

    with changes.begin(by) as change:      # numbered first: this waits for changes before it
        change.set(USERS, USERS.c.id == user, tier="pro")
        change.tell("user.tier", user, {"tier": "free"}, {"tier": "pro"})

Who makes it knows of it when it returns; other processes within a second. A change that tells
nothing is a fault of ours and is not kept.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, insert, select, update

from bursa.accounts.event import Recorder, event
from bursa.accounts.standing import PRUNED, Standing
from bursa.accounts.who import JOB, Actor
from bursa.model.errors import Refuse, Retry
from bursa.ports import Clock
from bursa.state.account_tables import KEYS, SETTINGS, USERS
from bursa.state.changes import bump
from bursa.state.database import Database


@dataclass
class Change:
    """A change under way.

    to      the transaction
    n       its number, for the column `changed` of the rows that it writes
    now_ns  when it is done
    by      who does it
    told    how often it told the audit
    """

    to: Connection
    n: int
    now_ns: int
    by: Actor
    audit: Recorder
    told: int = 0

    def add(self, table: Table, **values: Any) -> None:
        """Add a row of a numbered table."""
        self.to.execute(insert(table).values(**values, changed=self.n))

    def set(self, table: Table, which: Any, **values: Any) -> int:
        """Change the rows for which `which` holds; returns how many."""
        to = update(table).where(which).values(**values, changed=self.n)
        return self.to.execute(to).rowcount

    def user(self, user: str) -> Row[Any]:
        """A user as he is now. Refuse 404 `unknown_user`."""
        found = self.to.execute(select(USERS).where(USERS.c.id == user)).one_or_none()
        if found is None:
            raise Refuse(f"there is no user {user[:64]!r}", "unknown_user", 404, "user")
        return found

    def key(self, key: str) -> Row[Any]:
        """A key as it is now. Refuse 404 `unknown_key`."""
        found = self.to.execute(select(KEYS).where(KEYS.c.id == key)).one_or_none()
        if found is None:
            raise Refuse(f"there is no key {key[:64]!r}", "unknown_key", 404, "key")
        return found

    def tell(
        self,
        act: str,
        target: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """What was done to what: `target` is an id or a name; `before` and `after` have what
        changed of it, and nothing that is secret."""
        self.told += 1
        self.audit.within(self.to, event(self.by, self.now_ns, act, target, before, after))

    def pruned(self) -> None:
        """Users or keys were deleted: have every process forget them."""
        values = {"value": json.dumps(self.n)}
        if not self.set(SETTINGS, SETTINGS.c.name == PRUNED, **values):
            self.add(SETTINGS, name=PRUNED, **values)

    def may_be_nothing(self) -> None:
        """Nothing was left to be done, which the audit need not hear of."""
        self.told += 1


class Changes:
    """Begins changes. Blocks: call it off the event loop."""

    def __init__(
        self, database: Database, standing: Standing, audit: Recorder, clock: Clock
    ) -> None:
        self.database, self.standing, self.audit, self.clock = database, standing, audit, clock

    @contextmanager
    def begin(self, by: Actor) -> Iterator[Change]:
        """A change: committed at the end, and known here then, or nothing of it. Others wait for it
        meanwhile, so compute no password within. Raises Retry while the database is away."""
        with self.database.transaction() as to:
            change = Change(to, bump(to), self.clock.now_ns(), by, self.audit)
            yield change
            assert change.told, "a change that the audit does not hear of"
        with suppress(Retry):  # it is done; who watches hears of it when the database is back
            self.standing.refresh()

    def sweep(self, wanted: Select[Any], do: Callable[[Change, Sequence[Row[Any]]], None]) -> int:
        """What a job does to all rows that are `wanted`, as one change; returns to how many. Looked
        for without one first, for mostly there are none. Raises Retry as `begin`."""
        with self.database.snapshot() as to:
            if not to.execute(wanted.limit(1)).all():
                return 0
        with self.begin(JOB) as change:
            rows = change.to.execute(wanted).all()
            change.may_be_nothing()  # another process was first
            do(change, rows)
        return len(rows)

    def refused(self, by: Actor, act: str, target: str, why: Refuse) -> None:
        """Have an act audited that was refused."""
        now_ns = self.clock.now_ns()
        self.audit.tell(event(by, now_ns, act, target, after={"code": why.code}, ok=False))


def may_touch(by: Actor, user: str, role: str) -> None:
    """Refuse 403 `not_allowed` where somebody may not act on a user with this role: on himself he
    may, an admin on users, a superadmin on anybody."""
    if by.role == "superadmin" or by.user == user or (by.role == "admin" and role == "user"):
        return
    if by.role == "admin":
        raise Refuse("only a superadmin changes accounts of admins", "not_allowed", 403)
    raise Refuse("this is somebody else's", "not_allowed", 403)


def may_raise(by: Actor, user: str, role: str) -> None:
    """Refuse 403 where somebody may not change what a user may have: a user nobody's, an admin
    neither his own nor another admin's (`own_rights`, `not_allowed`)."""
    if by.role == "user":
        raise Refuse("only admins change what somebody may have", "not_allowed", 403)
    if by.role == "admin" and by.user == user:
        raise Refuse("an admin does not change his own tier or limits", "own_rights", 403)
    may_touch(by, user, role)
