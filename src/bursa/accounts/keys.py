"""API keys: made and shown once, listed by prefix and last four, revoked, expired.

The key itself is never kept, only its SHA-256: who loses it makes a new one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, exists, func, or_, select, update

from bursa.accounts import tiers
from bursa.accounts.change import Change, Changes, may_raise, may_touch
from bursa.accounts.ids import KEY_PREFIX, digest, new_id, new_key
from bursa.accounts.texts import label
from bursa.accounts.who import Actor
from bursa.model.errors import Refuse
from bursa.state.account_tables import KEYS, MACHINES, PLUGIN_REPORTS, TIERS

# Keys of one user that are neither revoked nor expired.
LIVE_MAX = 50
# Keys that one user makes in a day, revoked ones too: each is kept for half a year, and known by
# heart in every process.
MADE_MAX, DAY_NS = 200, 24 * 3600 * 10**9
# Last uses that are kept in memory before they are written.
USED_MAX = 100_000
# Keys that are revoked or have expired are shown for half a year; so long the audit tells of them.
CLOSED_KEPT_NS = 184 * 24 * 3600 * 10**9
PRUNED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it is shown. prefix and last4: the ends of it; tier and override: its own, beating
    its user's. Times are ns since 1970 UTC, None: never."""

    id: str
    user: str
    name: str
    prefix: str
    last4: str
    tier: str | None
    override: Mapping[str, Any]
    created_ns: int
    expires_ns: int | None
    revoked_ns: int | None
    used_ns: int | None


class Keys:
    """The keys of one database. Blocks; Retry while it is away."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._lock, self._flushing = Lock(), Lock()
        self._used: dict[str, int] = {}

    def make(self, user: str, name: str, expires_ns: int | None, by: Actor) -> tuple[str, KeyRow]:
        """A new key: the whole of it, which nobody is told again, and how it is shown. Refuse
        `bad_name`, `bad_expiry`, 404 `unknown_user`, 403 `not_allowed`, 409 `too_many_keys`."""
        name, key = label(name), new_key()
        with self._changes.begin(by) as change:
            owner = change.user(user)
            if by.user != user and by.role != "superadmin":
                text = "keys are made by their user, or by a superadmin"
                raise Refuse(text, "not_allowed", 403, "user")
            if owner.state != "active":
                text = f"{owner.email} is {owner.state}: no keys are made for him"
                raise Refuse(text, "user_disabled", 409, "user")
            if expires_ns is not None and expires_ns <= change.now_ns:
                raise Refuse("expires: that is in the past", "bad_expiry", 400, "expires")
            mine = (KEYS.c.user_id == user) & alive(change.now_ns)
            many = change.to.execute(select(func.count()).select_from(KEYS).where(mine))
            if many.scalar_one() >= LIVE_MAX:
                text = f"a user has {LIVE_MAX} keys at most: revoke one first"
                raise Refuse(text, "too_many_keys", 409)
            young = (KEYS.c.user_id == user) & (KEYS.c.created_ns > change.now_ns - DAY_NS)
            many = change.to.execute(select(func.count()).select_from(KEYS).where(young))
            if many.scalar_one() >= MADE_MAX:
                text = f"a user makes {MADE_MAX} keys a day at most: use one that there is"
                raise Refuse(text, "too_many_keys", 409)
            made = {
                "id": new_id("key"),
                "user_id": user,
                "name": name,
                "hash": digest(key),
                "prefix": key[: len(KEY_PREFIX) + 4],
                "last4": key[-4:],
                "tier": None,
                "override": "{}",
                "created_ns": change.now_ns,
                "expires_ns": expires_ns,
            }
            change.add(KEYS, **made)
            shown = {field: made[field] for field in ("name", "prefix", "last4", "expires_ns")}
            change.tell("key.make", str(made["id"]), after={"user": user, **shown})
            return key, _shown(change.key(str(made["id"])))

    def revoke(self, key: str, by: Actor, reason: str = "") -> None:
        """Have a key open nothing from now on; its machines are released. One that was revoked
        stays so. Refuse 404 `unknown_key`, 403 `not_allowed`."""
        with self._changes.begin(by) as change:
            row = self._touched(change, key)
            after: dict[str, Any] = {"reason": reason} if reason else {}
            if row.revoked_ns is None:
                self._close(change, [key])
                after["revoked"] = True
            shown = {"name": row.name, "prefix": row.prefix, "last4": row.last4}
            change.tell("key.revoke", key, {"user": row.user_id, **shown}, after)

    def rename(self, key: str, name: str, by: Actor) -> None:
        """Call a key something else. Refuse as `revoke`, `bad_name`."""
        name = label(name)
        with self._changes.begin(by) as change:
            row = self._touched(change, key)
            change.set(KEYS, KEYS.c.id == key, name=name)
            change.tell("key.rename", key, {"name": row.name}, {"name": name})

    def set_rights(
        self,
        key: str,
        by: Actor,
        *,
        tier: str | None,
        override: Mapping[str, Any],
        reason: str = "",
    ) -> None:
        """What a key may have that differs from its user: a tier of its own (None: the user's) and
        fields of Rights that beat it ({}: none). Refuse 403 `not_allowed`, `own_rights`, 404
        `unknown_key`, 400 `unknown_tier`, `bad_rights`."""
        kept = tiers.kept(tiers.judged(override))
        with self._changes.begin(by) as change:
            row = change.key(key)
            may_raise(by, row.user_id, change.user(row.user_id).role)
            if tier is not None:
                known_tier(change, tier)
            change.set(KEYS, KEYS.c.id == key, tier=tier, override=kept)
            before = {"tier": row.tier, "override": row.override}
            after = {"tier": tier, "override": kept, **({"reason": reason} if reason else {})}
            change.tell("key.rights", key, before, after)

    def list(self, user: str) -> Sequence[KeyRow]:
        """All keys of a user, revoked ones too, newest first."""
        wanted = select(KEYS).where(KEYS.c.user_id == user)
        with self._changes.database.snapshot() as to:
            rows = to.execute(wanted.order_by(KEYS.c.created_ns.desc(), KEYS.c.id)).all()
        return [_shown(row) for row in rows]

    def show(self, key: str) -> KeyRow:
        """One key. Refuse 404 `unknown_key`."""
        with self._changes.database.snapshot() as to:
            row = to.execute(select(KEYS).where(KEYS.c.id == key)).one_or_none()
        if row is None:
            raise Refuse(f"there is no key {key[:64]!r}", "unknown_key", 404, "key")
        return _shown(row)

    # -- what is done by the way -------------------------------------------------------------------

    def used(self, key: str, now_ns: int) -> None:
        """A key was used now. Returns at once: it is written some seconds later (`flush`)."""
        with self._lock:
            if len(self._used) < USED_MAX or key in self._used:
                self._used[key] = now_ns

    def flush(self) -> int:
        """Write last uses; returns of how many keys. What another call is about to write is written
        when it returns. Where the database is away they wait."""
        with self._flushing:
            return self._flush()

    def _flush(self) -> int:
        with self._lock:
            used, self._used = self._used, {}
        if not used:
            return 0
        try:
            with self._changes.database.transaction() as to:
                for key in sorted(used):  # in one order, so that two processes wait in turn
                    newer = or_(KEYS.c.used_ns.is_(None), KEYS.c.used_ns < used[key])
                    to.execute(
                        update(KEYS).where(KEYS.c.id == key, newer).values(used_ns=used[key])
                    )
        except BaseException:
            with self._lock:
                self._used = {**used, **self._used}
            raise
        return len(used)

    def expire(self, now_ns: int) -> int:
        """Close keys that have expired, so that what they hold open ends; returns how many."""
        over = KEYS.c.revoked_ns.is_(None) & (KEYS.c.expires_ns <= now_ns)
        wanted = select(KEYS.c.id, KEYS.c.user_id, KEYS.c.name).where(over)

        def close(change: Change, rows: Sequence[Row[Any]]) -> None:
            self._close(change, [row.id for row in rows])
            for row in rows:
                change.tell("key.expire", row.id, {"user": row.user_id, "name": row.name})

        return self._changes.sweep(wanted, close)

    def prune(self, now_ns: int) -> int:
        """Delete keys that were closed longer ago than the audit tells, and the machines that had
        them last; returns how many, PRUNED_AT_ONCE at most. Keys that expired are closed first, by
        `expire`."""
        # None of its machines is in its place: closing released them.
        placed = (MACHINES.c.key_id == KEYS.c.id) & MACHINES.c.released_ns.is_(None)
        old = (KEYS.c.revoked_ns < now_ns - CLOSED_KEPT_NS) & ~exists().where(placed)
        wanted = select(KEYS.c.id, KEYS.c.user_id, KEYS.c.name).where(old).limit(PRUNED_AT_ONCE)

        def forget(change: Change, rows: Sequence[Row[Any]]) -> None:
            ids = [row.id for row in rows]
            machines = select(MACHINES.c.id).where(MACHINES.c.key_id.in_(ids))
            reports = PLUGIN_REPORTS.c.machine_id.in_(machines)
            change.to.execute(delete(PLUGIN_REPORTS).where(reports))
            change.to.execute(delete(MACHINES).where(MACHINES.c.key_id.in_(ids)))
            change.to.execute(delete(KEYS).where(KEYS.c.id.in_(ids)))
            for row in rows:
                change.tell("key.prune", row.id, {"user": row.user_id, "name": row.name})
            change.pruned()

        return self._changes.sweep(wanted, forget)

    def _touched(self, change: Change, key: str) -> Row[Any]:
        row = change.key(key)
        may_touch(change.by, row.user_id, change.user(row.user_id).role)
        return row

    def _close(self, change: Change, keys: Sequence[str]) -> None:
        change.set(KEYS, KEYS.c.id.in_(keys), revoked_ns=change.now_ns)
        held = MACHINES.c.key_id.in_(keys) & MACHINES.c.released_ns.is_(None)
        change.set(MACHINES, held, released_ns=change.now_ns)


def alive(now_ns: int) -> ColumnElement[bool]:
    """Keys that are neither revoked nor expired."""
    return KEYS.c.revoked_ns.is_(None) & or_(
        KEYS.c.expires_ns.is_(None), KEYS.c.expires_ns > now_ns
    )


def known_tier(change: Change, tier: str) -> None:
    """Refuse 400 `unknown_tier`."""
    names = change.to.execute(select(TIERS.c.name).order_by(TIERS.c.rank)).scalars().all()
    if tier not in names:
        text = f"tier={tier[:64]!r} is none of {', '.join(names)}"
        raise Refuse(text, "unknown_tier", 400, "tier")


def _shown(row: Row[Any]) -> KeyRow:
    return KeyRow(
        row.id,
        row.user_id,
        row.name,
        row.prefix,
        row.last4,
        row.tier,
        json.loads(row.override),
        row.created_ns,
        row.expires_ns,
        row.revoked_ns,
        row.used_ns,
    )
