"""What those who mind accounts ask: people, keys and machines in lists with filters, and one whole.

Each call is one transaction that reads; rows are plain values with times in ns (None: never). Keys
are told by their prefix and last four signs, passwords and hashes by nothing. Changes nothing.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, false, func, or_, select

from bursa.accounts import tiers
from bursa.accounts.ids import KEY_PREFIX
from bursa.accounts.who import Rights
from bursa.model.errors import Refuse
from bursa.state.account_tables import (
    KEYS,
    MACHINES,
    PLUGIN_REPORTS,
    USAGE,
    USERS,
)
from bursa.state.database import Database

LIMIT_MAX = 1_000
REPORTS_SHOWN = 50
USER_STATES = ("unverified", "active", "disabled")
KEY_STATES = ("active", "expired", "revoked")
MACHINE_STATES = ("active", "released")

Row = dict[str, Any]
_KEY = [KEYS.c[name] for name in ("id", "user_id", "name", "prefix", "last4", "tier", "override")]
_KEY += [KEYS.c[name] for name in ("created_ns", "expires_ns", "revoked_ns", "used_ns")]


class Known(Protocol):
    """What knows the rights of people: the Standing of a process."""

    def tiers(self) -> Mapping[str, Rights]:
        """The matrix, lowest tier first."""


@dataclass(frozen=True)
class Asked:
    """A list's filters, "" is any, and the stretch of it that is wanted.

    text   part of an e-mail address, a name, or the beginning of an id or of a key
    user   id of the user whose they are
    """

    text: str = ""
    tier: str = ""
    state: str = ""
    role: str = ""
    user: str = ""
    first: int = 0
    limit: int = 100


@dataclass(frozen=True)
class Listed:
    """A stretch of a list. count: rows that match in all."""

    rows: Sequence[Row]
    count: int


class Desk:
    """The questions over one database. Blocks; Retry where the database is away."""

    def __init__(self, database: Database, known: Known, now_ns: Callable[[], int]) -> None:
        self._database, self._known, self._now_ns = database, known, now_ns

    def users(self, asked: Asked) -> Listed:
        """People, the newest first."""
        where: list[ColumnElement[bool]] = []
        for column, value in ((USERS.c.tier, asked.tier), (USERS.c.role, asked.role)):
            where += [column == value] if value else []
        where += [USERS.c.state == asked.state] if asked.state else []
        if asked.text:
            where.append(_like(asked.text, [USERS.c.email, USERS.c.name], [USERS.c.id]))
        with self._database.snapshot() as connection:
            query = self._users().where(*where).order_by(USERS.c.created_ns.desc(), USERS.c.id)
            rows = connection.execute(query.offset(asked.first).limit(asked.limit)).mappings()
            found = [self._user_row(row) for row in rows]
            count = connection.execute(select(func.count()).select_from(USERS).where(*where))
            return Listed(found, count.scalar_one())

    def user(self, name: str) -> Row:
        """One user, by id or e-mail address. Refuse `unknown_user`."""
        with self._database.snapshot() as connection:
            wanted = USERS.c.id if name.startswith("usr_") else USERS.c.email
            asked = name if name.startswith("usr_") else name.strip().lower()
            row = connection.execute(self._users().where(wanted == asked)).mappings().one_or_none()
            if row is None:
                raise Refuse(f"there is no user {name[:64]!r}", "unknown_user", 404, "user")
            return self._user_row(row)

    def people(self) -> dict[str, dict[str, int]]:
        """How many people there are by `tier`, `state` and `role`."""
        with self._database.snapshot() as connection:
            return {
                column.name: {
                    value: count
                    for value, count in connection.execute(
                        select(column, func.count()).group_by(column)
                    )
                }
                for column in (USERS.c.tier, USERS.c.state, USERS.c.role)
            }

    def _users(self) -> Select[Any]:
        now_ns = self._now_ns()
        today = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).date()
        keys = select(func.count()).where(KEYS.c.user_id == USERS.c.id, _is_active(now_ns))
        machines = select(func.count()).where(
            MACHINES.c.user_id == USERS.c.id, MACHINES.c.released_ns.is_(None)
        )
        used = USAGE.c.user_id == USERS.c.id, USAGE.c.day == today
        requests = select(func.coalesce(func.sum(USAGE.c.requests), 0)).where(*used)
        limited = select(func.coalesce(func.sum(USAGE.c.limited), 0)).where(*used)
        columns = [column for column in USERS.c if column.name not in ("password", "changed")]
        return select(
            *columns,
            keys.scalar_subquery().label("keys"),
            machines.scalar_subquery().label("machines"),
            requests.scalar_subquery().label("requests"),
            limited.scalar_subquery().label("limited"),
        )

    def _user_row(self, row: RowMapping) -> Row:
        found: Row = dict(row)
        matrix = self._known.tiers()
        rights = tiers.overridden(
            matrix.get(found["tier"], tiers.FREE), tiers.fields_of(found["override"])
        )
        found["override"] = json.loads(found["override"])
        for name in ("requests", "limited"):
            found[name] = int(found[name])  # PostgreSQL's sums are decimals
        return found | {"machines_allowed": rights.machines, "rights": tiers.told(rights)}

    # -- keys --------------------------------------------------------------------------------------

    def keys(self, asked: Asked) -> Listed:
        """Keys, the newest first."""
        now_ns = self._now_ns()
        where: list[ColumnElement[bool]] = [KEYS.c.user_id == asked.user] if asked.user else []
        if asked.text:
            # Of a whole key no more than what is kept of its beginning.
            whole = asked.text.startswith(KEY_PREFIX)
            text = asked.text[: len(KEY_PREFIX) + 4] if whole else asked.text
            begins = [KEYS.c.id, KEYS.c.prefix]
            where.append(_like(text, [USERS.c.email, KEYS.c.name, KEYS.c.last4], begins))
        if asked.state:
            where.append(
                {
                    "active": _is_active(now_ns),
                    "revoked": and_(KEYS.c.revoked_ns.is_not(None), ~_AT_ITS_END),
                    "expired": or_(
                        _AT_ITS_END, and_(KEYS.c.revoked_ns.is_(None), KEYS.c.expires_ns <= now_ns)
                    ),
                }[asked.state]
            )
        with self._database.snapshot() as connection:
            both = select(*_KEY, USERS.c.email).join(USERS, USERS.c.id == KEYS.c.user_id)
            query = both.where(*where).order_by(KEYS.c.created_ns.desc(), KEYS.c.id)
            rows = connection.execute(query.offset(asked.first).limit(asked.limit)).mappings()
            found = [_key_row(row, now_ns) for row in rows]
            counted = select(func.count()).select_from(KEYS).join(USERS).where(*where)
            return Listed(found, connection.execute(counted).scalar_one())

    def key(self, key_id: str) -> Row:
        """One key. Refuse `unknown_key`."""
        with self._database.snapshot() as connection:
            both = select(*_KEY, USERS.c.email).join(USERS, USERS.c.id == KEYS.c.user_id)
            row = connection.execute(both.where(KEYS.c.id == key_id)).mappings().one_or_none()
            if row is None:
                raise Refuse(f"there is no key {key_id[:64]!r}", "unknown_key", 404, "key")
            return _key_row(row, self._now_ns())

    # -- machines ----------------------------------------------------------------------------------

    def machines(self, asked: Asked) -> Listed:
        """Machines, the one last heard of first."""
        where: list[ColumnElement[bool]] = [MACHINES.c.user_id == asked.user] if asked.user else []
        if asked.text:
            like = [USERS.c.email, MACHINES.c.machine, MACHINES.c.plugin_version]
            where.append(_like(asked.text, like, [MACHINES.c.id]))
        if asked.state:
            gone = MACHINES.c.released_ns
            where.append(gone.is_(None) if asked.state == "active" else gone.is_not(None))
        with self._database.snapshot() as connection:
            query = _machines().where(*where)
            query = query.order_by(MACHINES.c.heartbeat_ns.desc(), MACHINES.c.id)
            rows = connection.execute(query.offset(asked.first).limit(asked.limit)).mappings()
            found = [_machine_row(row) for row in rows]
            counted = select(func.count()).select_from(MACHINES)
            counted = counted.join(USERS, USERS.c.id == MACHINES.c.user_id).where(*where)
            return Listed(found, connection.execute(counted).scalar_one())

    def machine(self, machine_id: str) -> Row:
        """One machine, with the newest of its reports in `reports`. Refuse `unknown_machine`."""
        with self._database.snapshot() as connection:
            query = _machines().where(MACHINES.c.id == machine_id)
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                text = f"there is no machine {machine_id[:64]!r}"
                raise Refuse(text, "unknown_machine", 404, "machine")
            return _machine_row(row) | {"reports": _reports(connection, machine_id)}

    # -- overrides ---------------------------------------------------------------------------------

    def overrides(self, asked: Asked) -> Listed:
        """Whoever has other rights than his tier gives: users, then keys with rights or a tier of
        their own. By address, then by id."""
        of_users = select(
            USERS.c.id, USERS.c.email, USERS.c.id.label("user_id"), USERS.c.tier, USERS.c.override
        ).where(USERS.c.override != "{}")
        of_keys = (
            select(KEYS.c.id, USERS.c.email, KEYS.c.user_id, KEYS.c.tier, KEYS.c.override)
            .join(USERS, USERS.c.id == KEYS.c.user_id)
            .where(or_(KEYS.c.override != "{}", KEYS.c.tier.is_not(None)))
        )
        every = of_users.union_all(of_keys).subquery()
        where = [_like(asked.text, [every.c.email], [every.c.id])] if asked.text else []
        with self._database.snapshot() as connection:
            query = select(every).where(*where).order_by(every.c.email, every.c.id.desc())
            rows = connection.execute(query.offset(asked.first).limit(asked.limit)).mappings()
            found = [dict(row) | {"override": json.loads(row["override"])} for row in rows]
            counted = select(func.count()).select_from(every).where(*where)
            return Listed(found, connection.execute(counted).scalar_one())


def _like(
    text: str, within: Sequence[ColumnElement[str]], begins: Sequence[ColumnElement[str]]
) -> ColumnElement[bool]:
    """Is a text part of one of these columns, or the beginning of one of those?"""
    low = text.lower()
    parts = [func.lower(column).contains(low, autoescape=True) for column in within]
    parts += [column.startswith(low, autoescape=True) for column in begins]
    return or_(*parts)


# A job revokes keys that are past their time: that they were revoked says nothing then.
_AT_ITS_END = func.coalesce(KEYS.c.revoked_ns >= KEYS.c.expires_ns, false())


def _is_active(now_ns: int) -> ColumnElement[bool]:
    """Is a key neither revoked nor past its time?"""
    return and_(
        KEYS.c.revoked_ns.is_(None), or_(KEYS.c.expires_ns.is_(None), KEYS.c.expires_ns > now_ns)
    )


def _key_row(row: RowMapping, now_ns: int) -> Row:
    found: Row = dict(row)
    ends, revoked = found["expires_ns"], found["revoked_ns"]
    if revoked is not None and (ends is None or revoked < ends):
        state = "revoked"
    else:
        state = "expired" if ends is not None and ends <= now_ns else "active"
    return found | {"state": state, "override": json.loads(found["override"])}


def _machines() -> Select[Any]:
    columns = [column for column in MACHINES.c if column.name != "changed"]
    return select(*columns, USERS.c.email).join(USERS, USERS.c.id == MACHINES.c.user_id)


def _machine_row(row: RowMapping) -> Row:
    return {**row} | {"state": "active" if row["released_ns"] is None else "released"}


def _reports(connection: Connection, machine_id: str) -> list[Row]:
    columns = [PLUGIN_REPORTS.c[name] for name in ("at_ns", "level", "event", "message")]
    query = select(*columns).where(PLUGIN_REPORTS.c.machine_id == machine_id)
    query = query.order_by(PLUGIN_REPORTS.c.id.desc()).limit(REPORTS_SHOWN)
    return [dict(row) for row in connection.execute(query).mappings()]
