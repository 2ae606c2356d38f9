"""Machines on which a plugin runs: each takes one of its user's slots until it is released.

A machine says every ten minutes that it is there. One that was silent three times is released by a
job, so that a lost one does not keep its slot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from bursa.accounts.change import Change, Changes, may_touch
from bursa.accounts.ids import new_id
from bursa.accounts.texts import label, plain
from bursa.accounts.who import JOB, Actor
from bursa.model.errors import Refuse
from bursa.state.account_tables import KEYS, MACHINES, PLUGIN_REPORTS, USERS

HEARTBEAT_S = 600
SILENT_NS = 3 * HEARTBEAT_S * 10**9
LEVELS = ("debug", "info", "warning", "error")
EVENT_MAX, MESSAGE_MAX = 64, 2000
# Reports of one machine that are kept, the newest.
REPORTS_KEPT = 200


@dataclass(frozen=True, slots=True)
class MachineRow:
    """A machine. machine: what it calls itself; key_name: of the key that it was activated with.
    Times are ns since 1970 UTC, None: it is not released."""

    id: str
    user: str
    key: str
    key_name: str
    machine: str
    plugin_version: str
    activated_ns: int
    heartbeat_ns: int
    released_ns: int | None


@dataclass(frozen=True, slots=True)
class Slots:
    """A user's slots: how many are taken of how many there are."""

    used: int
    allowed: int


class Machines:
    """The machines of one database. Blocks; Retry while it is away."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def activate(self, key: str, machine: str, version: str, by: Actor) -> tuple[str, Slots]:
        """Let a machine run on a key (its id); one that does already keeps its slot. Returns the
        machine's id. Refuse `bad_name`, 404 `unknown_key`, 409 `machines_full`."""
        machine, version = label(machine, "machine_id"), plain(version, EVENT_MAX)
        with self._changes.begin(by) as change:
            row = change.key(key)
            user = row.user_id
            may_touch(by, user, change.user(user).role)
            if row.revoked_ns is not None:
                raise Refuse("the API key was revoked", "key_revoked", 401)
            mine = (MACHINES.c.user_id == user) & (MACHINES.c.machine == machine)
            before = change.to.execute(select(MACHINES).where(mine)).one_or_none()
            new = before is None or before.released_ns is not None
            allowed = self._changes.standing.rights(user, key).machines
            used = _used(change, user) + new
            if new and used > allowed:
                text = f"{used - 1} of {allowed} machines are active: release one first"
                raise Refuse(text, "machines_full", 409)
            name = before.id if before is not None else new_id("mch")
            values: dict[str, Any] = {
                "key_id": key,
                "plugin_version": version,
                "heartbeat_ns": change.now_ns,
                "released_ns": None,
            }
            if before is None:
                now = {"id": name, "user_id": user, "machine": machine}
                change.add(MACHINES, **now, **values, activated_ns=change.now_ns)
            else:
                since = change.now_ns if new else before.activated_ns
                change.set(MACHINES, MACHINES.c.id == name, **values, activated_ns=since)
            change.tell("machine.activate", name, after={"user": user, "machine": machine})
            return name, Slots(used, allowed)

    def slots(self, user: str, key: str = "") -> Slots:
        """How many slots a user has taken, of those that he has, by a key or by himself."""
        mine = (MACHINES.c.user_id == user) & MACHINES.c.released_ns.is_(None)
        with self._changes.database.snapshot() as to:
            used = to.execute(select(func.count()).select_from(MACHINES).where(mine)).scalar_one()
        return Slots(used, self._changes.standing.rights(user, key).machines)

    def heartbeat(self, machine: str, now_ns: int) -> None:
        """A machine is there. Refuse 401 `machine_released`."""
        mine = (MACHINES.c.id == machine) & MACHINES.c.released_ns.is_(None)
        with self._changes.database.transaction() as to:
            found = to.execute(update(MACHINES).where(mine).values(heartbeat_ns=now_ns)).rowcount
        if not found:
            text = "the machine was released: activate it again"
            raise Refuse(text, "machine_released", 401)

    def release(self, machine: str, by: Actor, reason: str = "") -> None:
        """Free a machine's slot; its tokens open nothing from now on. One that is released stays
        so. Refuse 404 `unknown_machine`, 403 `not_allowed`."""
        with self._changes.begin(by) as change:
            row = change.to.execute(
                select(MACHINES, USERS.c.role)
                .join(USERS, USERS.c.id == MACHINES.c.user_id)
                .where(MACHINES.c.id == machine)
            ).one_or_none()
            if row is None:
                text = f"there is no machine {machine[:64]!r}"
                raise Refuse(text, "unknown_machine", 404, "machine")
            may_touch(by, row.user_id, row.role)
            if row.released_ns is None:
                change.set(MACHINES, MACHINES.c.id == machine, released_ns=change.now_ns)
            after = {"reason": reason} if reason else {}
            before = {"user": row.user_id, "machine": row.machine}
            change.tell("machine.release", machine, before, after)

    def release_silent(self, now_ns: int) -> int:
        """Release machines that said nothing for three heartbeats; returns how many."""
        quiet = MACHINES.c.released_ns.is_(None) & (MACHINES.c.heartbeat_ns < now_ns - SILENT_NS)
        wanted = select(MACHINES.c.id, MACHINES.c.user_id, MACHINES.c.machine).where(quiet)
        with self._changes.database.snapshot() as to:
            if not to.execute(wanted.limit(1)).all():
                return 0
        with self._changes.begin(JOB) as change:
            rows = change.to.execute(wanted).all()
            which = MACHINES.c.id.in_([row.id for row in rows])
            change.set(MACHINES, which, released_ns=change.now_ns)
            for row in rows:
                before = {"user": row.user_id, "machine": row.machine}
                change.tell("machine.silent", row.id, before)
            change.may_be_nothing()  # another process was first
        return len(rows)

    def report(self, machine: str, level: str, event: str, message: str, now_ns: int) -> None:
        """Keep what a plugin says of itself, cut to its bounds; the newest of a machine. Refuse
        `bad_level`."""
        if level not in LEVELS:
            text = f"level={level[:64]!r} is none of {', '.join(LEVELS)}"
            raise Refuse(text, "bad_level", 400, "level")
        of = PLUGIN_REPORTS.c.machine_id == machine
        with self._changes.database.transaction() as to:
            to.execute(
                insert(PLUGIN_REPORTS).values(
                    machine_id=machine,
                    at_ns=now_ns,
                    level=level,
                    event=plain(event, EVENT_MAX),
                    message=plain(message, MESSAGE_MAX),
                )
            )
            newest = select(PLUGIN_REPORTS.c.id).where(of).order_by(PLUGIN_REPORTS.c.id.desc())
            oldest = to.execute(newest.limit(1).offset(REPORTS_KEPT)).scalar()
            if oldest is not None:
                to.execute(PLUGIN_REPORTS.delete().where(of, PLUGIN_REPORTS.c.id <= oldest))

    def list(self, user: str) -> Sequence[MachineRow]:
        """The machines of a user that are not released, the last heard first."""
        wanted = (
            select(MACHINES, KEYS.c.name.label("key_name"))
            .join(KEYS, KEYS.c.id == MACHINES.c.key_id)
            .where(MACHINES.c.user_id == user, MACHINES.c.released_ns.is_(None))
        )
        with self._changes.database.snapshot() as to:
            rows = to.execute(wanted.order_by(MACHINES.c.heartbeat_ns.desc(), MACHINES.c.id)).all()
        return [_shown(row) for row in rows]


def _used(change: Change, user: str) -> int:
    mine = (MACHINES.c.user_id == user) & MACHINES.c.released_ns.is_(None)
    many = change.to.execute(select(func.count()).select_from(MACHINES).where(mine))
    return int(many.scalar_one())


def _shown(row: Row[Any]) -> MachineRow:
    return MachineRow(
        row.id,
        row.user_id,
        row.key_id,
        row.key_name,
        row.machine,
        row.plugin_version,
        row.activated_ns,
        row.heartbeat_ns,
        row.released_ns,
    )
