"""What is given to a user and taken from him: role, state, tier, rights of his own.

Each is a step of a change (change.py), so that several are done together or not at all. Values are
judged when a step is made; who may, when it is taken, by the user as the steps before it left him.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Row, func, select

from bursa.accounts import sessions, tiers
from bursa.accounts.change import Change, may_raise
from bursa.accounts.keys import known_tier
from bursa.accounts.links import void
from bursa.accounts.who import ROLES, Actor, Role
from bursa.model.errors import Refuse
from bursa.state.account_tables import USERS

STATES = ("active", "disabled")
Step = Callable[[Change], None]


def judged_state(given: str) -> str:
    """A state that a user is put into. Refuse 400 `bad_state`."""
    if given not in STATES:
        message = f"state={given[:64]!r} is none of {', '.join(STATES)}"
        raise Refuse(message, "bad_state", 400, "state")
    return given


def judged_role(given: str) -> Role:
    """A role. Refuse 400 `bad_role`."""
    for role in ROLES:
        if role == given:
            return role
    raise Refuse(f"role={given[:64]!r} is none of {', '.join(ROLES)}", "bad_role", 400, "role")


def to_role(user: str, role: str, by: Actor, reason: str) -> Step:
    """Give a role; his sessions end. Refuse `bad_role`, 403 `not_allowed`, `own_role`; when it is
    taken 404 `unknown_user`, 409 `last_superadmin`."""
    role = judged_role(role)
    if by.role != "superadmin":
        raise Refuse("only a superadmin changes roles", "not_allowed", 403)
    if by.user == user:
        raise Refuse("nobody changes his own role", "own_role", 403)

    def step(change: Change) -> None:
        row = change.user(user)
        if role != "superadmin":
            _leaves_one(change, row)
        change.set(USERS, USERS.c.id == user, role=role)
        sessions.end(change, sessions.of(user))
        change.tell("user.role", user, {"role": row.role}, because({"role": role}, reason))

    return step


def to_state(user: str, state: str, by: Actor, reason: str) -> Step:
    """Disable him, or undo that. Refuse `bad_state`, 403 `own_account`; when it is taken 403
    `not_allowed`, `own_rights`, 404 `unknown_user`, 409 `last_superadmin`."""
    if judged_state(state) == "active":
        return lambda change: _enable(change, user, by, reason)
    if by.user == user:
        raise Refuse("nobody disables himself", "own_account", 403)
    return lambda change: _disable(change, user, by, reason)


def to_tier(user: str, tier: str, by: Actor, reason: str) -> Step:
    """Give a tier. When it is taken, refuse 400 `unknown_tier`, 403 `not_allowed`, `own_rights`,
    404 `unknown_user`."""

    def step(change: Change) -> None:
        row = change.user(user)
        may_raise(by, user, row.role)
        known_tier(change, tier)
        change.set(USERS, USERS.c.id == user, tier=tier)
        change.tell("user.tier", user, {"tier": row.tier}, because({"tier": tier}, reason))

    return step


def to_override(user: str, override: Mapping[str, Any], by: Actor, reason: str) -> Step:
    """Give rights that beat the tier's, in place of those he had. Refuse 400 `bad_rights`; when it
    is taken 403 `not_allowed`, `own_rights`, 404 `unknown_user`."""
    kept = tiers.kept(tiers.judged(override))

    def step(change: Change) -> None:
        row = change.user(user)
        may_raise(by, user, row.role)
        change.set(USERS, USERS.c.id == user, override=kept)
        after = because({"override": kept}, reason)
        change.tell("user.override", user, {"override": row.override}, after)

    return step


def _disable(change: Change, user: str, by: Actor, reason: str) -> None:
    row = change.user(user)
    may_raise(by, user, row.role)
    _leaves_one(change, row)
    change.set(USERS, USERS.c.id == user, state="disabled")
    sessions.end(change, sessions.of(user))
    void(change, user)
    after = because({"state": "disabled"}, reason)
    change.tell("user.disable", user, {"state": row.state}, after)


def _enable(change: Change, user: str, by: Actor, reason: str) -> None:
    row = change.user(user)
    may_raise(by, user, row.role)
    state = row.state
    if state == "disabled":
        state = "unverified" if row.verified_ns is None else "active"
        change.set(USERS, USERS.c.id == user, state=state)
    after = because({"state": state}, reason)
    change.tell("user.enable", user, {"state": row.state}, after)


def because(after: dict[str, Any], reason: str) -> dict[str, Any]:
    """What the audit says of what came of an act, with the reason that was given for it."""
    return {**after, "reason": reason} if reason else after


def _leaves_one(change: Change, row: Row[Any]) -> None:
    """Refuse 409 `last_superadmin` where without him nobody could do all."""
    if row.role != "superadmin" or row.state != "active":
        return
    active = (USERS.c.role == "superadmin") & (USERS.c.state == "active")
    many = change.to.execute(select(func.count()).select_from(USERS).where(active)).scalar_one()
    if many < 2:
        text = f"{row.email} is the last superadmin: make another one first"
        raise Refuse(text, "last_superadmin", 409)
