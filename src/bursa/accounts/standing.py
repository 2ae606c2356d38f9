"""Who may what, in memory: users, keys, sessions, machines, tiers and settings of the database.

Each request asks here, never the database. A transaction that changes who may what numbers its rows
(state/changes.py); `refresh` reads the rows that are newer than what is known. The process's own
changes refresh at once, those of others are heard of within a quarter of a second. What is not
found here may be newer than what was read: `refresh`, then ask once more.

While the database is away, what was read last holds.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from bursa.accounts.tiers import fields_of, overridden
from bursa.accounts.who import NOTHING, Principal, Rights, Role, Via
from bursa.model.errors import Refuse
from bursa.ops.logs import logger
from bursa.state.account_tables import (
    KEYS,
    MACHINES,
    SESSIONS,
    SETTINGS,
    TIERS,
    USERS,
    VERSIONS,
)
from bursa.state.database import Database

# What a refusal may say where this process has not heard of it yet: refresh, then ask once more.
UNHEARD = frozenset({"unknown_key", "session_ended"})
# Principals that are remembered between two changes.
KEPT_MAX = 65_536
FAR_NS = 1 << 62
# Number of the newest change that deleted users or keys: a setting that nobody sets.
PRUNED = "pruned"
# A principal, and when he ends, ns since 1970.
Held = tuple[Principal, int]


@dataclass(frozen=True, slots=True)
class User:
    """A user as far as requests ask. override: fields of Rights."""

    id: str
    email: str
    name: str
    role: Role
    tier: str
    state: str
    override: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """A key as far as requests ask. tier: its own, None: the user's. Times are ns since 1970."""

    id: str
    user: str
    hash: str
    tier: str | None
    override: Mapping[str, Any]
    expires_ns: int | None
    revoked_ns: int | None


@dataclass(frozen=True, slots=True)
class Session:
    """A session as far as requests ask."""

    id: str
    hash: str
    user: str
    expires_ns: int


class Standing:
    """All of it. Any thread may ask and refresh; asking takes no lock and never waits.

    listeners  called without arguments after something changed, on the thread that read it; quick
    """

    def __init__(self, database: Database, factor: Callable[[str], float]) -> None:
        """`factor` of a user's id: what HD is multiplied by where he sees it scaled."""
        self.listeners: list[Callable[[], None]] = []
        self._database, self._factor = database, factor
        self._lock = Lock()
        self._begun = self._done = 0
        self._forget()

    def _forget(self) -> None:
        self._n = -1
        self._users: dict[str, User] = {}
        self._keys: dict[str, Key] = {}
        self._hashes: dict[str, str] = {}
        self._sessions: dict[str, Session] = {}
        # Machines that are not released -> whose each is.
        self._machines: dict[str, str] = {}
        self._tiers: dict[str, Rights] = {}
        self._settings: dict[str, Any] = {}
        # (id of a key, machine, via) or the hash of a session -> principal, when he ends.
        self._principals: dict[object, Held] = {}

    # -- reading the database ----------------------------------------------------------------------

    def refresh(self) -> None:
        """Read what changed. Blocks; who asks while another reads waits for one reading that began
        after he asked, not for one of his own. Raises Retry while the database is away."""
        asked = self._begun
        with self._lock:
            if self._done > asked:
                return
            self._begun += 1
            mine = self._begun
            changed = self._read()
            self._done = mine
        if changed:
            for listener in list(self.listeners):
                listener()

    @property
    def n(self) -> int:
        """Number of the newest change that is known; -1 before the first reading."""
        return self._n

    def _read(self) -> bool:
        with self._database.snapshot() as to:
            # First: whatever is numbered up to it is committed, for numbers come in commit order.
            n = to.execute(select(VERSIONS.c.n).where(VERSIONS.c.name == "accounts")).scalar_one()
            if n == self._n:
                return False
            since = self._n if n > self._n else -1
            rows = {table.name: _newer(to, table, since) for table in (USERS, KEYS, MACHINES)}
            rows[SESSIONS.name] = _newer(to, SESSIONS, since)
            # Few, and not all of those that are gone were numbered.
            tiers = to.execute(select(TIERS).order_by(TIERS.c.rank)).all()
            settings = to.execute(select(SETTINGS)).all()
            found = {row.name: json.loads(row.value) for row in settings}
            # What was deleted has no row that could tell; whoever deletes says when.
            pruned = since >= 0 and found.get(PRUNED) != self._settings.get(PRUNED)
            left = _ids(to) if pruned else None
        if n < self._n:
            logger("accounts").warning("the accounts are older than before; all are read again")
            self._forget()
        self._tiers = {row.name: _tier(row) for row in tiers}
        self._settings = found
        self._take(rows)
        if left is not None:
            self._drop(*left)
        self._n = n
        # Last, and a new one: who still reads what was before keeps what he makes of it in the old.
        self._principals = {}
        return True

    def _take(self, rows: Mapping[str, Sequence[Row[Any]]]) -> None:
        for row in rows[USERS.name]:
            self._users[row.id] = _user(row)
        for row in rows[KEYS.name]:
            self._keys[row.id] = _key(row)
            self._hashes[row.hash] = row.id
        for row in rows[SESSIONS.name]:
            if row.ended_ns is None:
                self._sessions[row.hash] = Session(row.id, row.hash, row.user_id, row.expires_ns)
            else:
                self._sessions.pop(row.hash, None)
        for row in rows[MACHINES.name]:
            if row.released_ns is None:
                self._machines[row.id] = row.user_id
            else:
                self._machines.pop(row.id, None)

    def _drop(self, users: Collection[str], keys: Collection[str]) -> None:
        """Forget whom and what the database has no more."""
        for user in [user for user in self._users if user not in users]:
            self._users.pop(user)
        for key in [key for name, key in self._keys.items() if name not in keys]:
            self._keys.pop(key.id)
            self._hashes.pop(key.hash)

    def prune(self, now_ns: int) -> None:
        """Forget sessions that are over."""
        with self._lock:
            for one in [one for one in self._sessions.values() if one.expires_ns <= now_ns]:
                self._sessions.pop(one.hash, None)

    # -- asking ------------------------------------------------------------------------------------

    def key_by_hash(self, digest: str) -> str | None:
        """Id of the key with this SHA-256, revoked ones too; None where none is known."""
        return self._hashes.get(digest)

    def principal_of_key(
        self, key: str, now_ns: int, via: Via = "token", machine: str = ""
    ) -> Principal:
        """Who has this key (its id), perhaps on a machine (its id). Refuse 401 `unknown_key`,
        `key_revoked`, `key_expired`, `user_disabled`, `machine_released`."""
        kept, slot = self._principals, (key, machine, via)
        found = kept.get(slot)
        if found is None:
            found = self._of_key(key, machine, via)
            _keep(kept, slot, found)
        if now_ns >= found[1]:
            raise Refuse("the API key has expired", "key_expired", 401)
        return found[0]

    def principal_of_session(self, digest: str, now_ns: int) -> Principal:
        """Who has the session whose cookie has this SHA-256. Refuse 401 `session_ended`."""
        kept = self._principals
        found = kept.get(digest)
        if found is None:
            found = self._of_session(digest)
            _keep(kept, digest, found)
        if now_ns >= found[1]:
            raise _ended()
        return found[0]

    def rights(self, user: str, key: str = "") -> Rights:
        """What a user may have, by a key of his or by himself: a key's override beats its tier,
        that his own override, that his tier. NOTHING for an unknown one."""
        who, by = self._users.get(user), self._keys.get(key)
        if who is None:
            return NOTHING
        if by is not None and by.tier is not None:
            rights = self._tiers.get(by.tier, NOTHING)
        else:
            rights = overridden(self._tiers.get(who.tier, NOTHING), who.override)
        return rights if by is None else overridden(rights, by.override)

    def user(self, user: str) -> User | None:
        """A user by his id."""
        return self._users.get(user)

    def key(self, key: str) -> Key | None:
        """A key by its id, revoked ones too."""
        return self._keys.get(key)

    def tiers(self) -> Mapping[str, Rights]:
        """The matrix by name, lowest tier first."""
        return self._tiers

    def setting(self, name: str, default: Any = None) -> Any:
        """The value of a setting that was changed, else `default`."""
        return self._settings.get(name, default)

    @property
    def has_users(self) -> bool:
        """Is there any user?"""
        return bool(self._users)

    @property
    def has_superadmin(self) -> bool:
        """Is there somebody who may make admins?"""
        return any(user.role == "superadmin" for user in list(self._users.values()))

    def _of_key(self, name: str, machine: str, via: Via) -> Held:
        key = self._keys.get(name)
        if key is None:
            raise Refuse("the API key is unknown", "unknown_key", 401)
        # Before its revocation: the job that closes expired keys revokes them.
        if key.revoked_ns is not None:
            if key.expires_ns is not None and key.revoked_ns >= key.expires_ns:
                raise Refuse("the API key has expired", "key_expired", 401)
            raise Refuse("the API key was revoked", "key_revoked", 401)
        user = self._active(key.user)
        if machine and self._machines.get(machine) != user.id:
            text = "the machine was released: activate it again"
            raise Refuse(text, "machine_released", 401)
        principal = self._principal(user, via, key.id, machine)
        return principal, FAR_NS if key.expires_ns is None else key.expires_ns

    def _of_session(self, digest: str) -> Held:
        session = self._sessions.get(digest)
        if session is None:
            raise _ended()
        user = self._active(session.user)
        principal = self._principal(user, "session")
        return replace(principal, session=session.id), session.expires_ns

    def _active(self, name: str) -> User:
        user = self._users.get(name)
        if user is None or user.state != "active":
            raise Refuse("the account is disabled", "user_disabled", 401)
        return user

    def _principal(self, user: User, via: Via, key: str = "", machine: str = "") -> Principal:
        rights = self.rights(user.id, key)
        factor = self._factor(user.id) if rights.hd == "scaled" else 1.0
        return Principal(user.id, user.email, user.role, via, rights, factor, key, machine)


def _keep(kept: dict[object, Held], slot: object, found: Held) -> None:
    if len(kept) >= KEPT_MAX:
        kept.clear()
    kept[slot] = found


def _ended() -> Refuse:
    return Refuse("the session has ended: sign in again", "session_ended", 401)


def _newer(to: Connection, table: Table, since: int) -> Sequence[Row[Any]]:
    return to.execute(select(table).where(table.c.changed > since)).all()


def _ids(to: Connection) -> tuple[Collection[str], Collection[str]]:
    """All users and all keys that there are."""
    users, keys = (set(to.execute(select(one.c.id)).scalars()) for one in (USERS, KEYS))
    return users, keys


def _user(row: Row[Any]) -> User:
    override = fields_of(row.override)
    return User(row.id, row.email, row.name, row.role, row.tier, row.state, override)


def _key(row: Row[Any]) -> Key:
    override = fields_of(row.override)
    return Key(row.id, row.user_id, row.hash, row.tier, override, row.expires_ns, row.revoked_ns)


def _tier(row: Row[Any]) -> Rights:
    timeframes = None if row.timeframes is None else frozenset(row.timeframes.split(","))
    return Rights(
        row.name,
        row.rate,
        timeframes,
        row.history_days,
        row.hd,
        row.stream_symbols,
        row.machines,
        row.rows,
    )
