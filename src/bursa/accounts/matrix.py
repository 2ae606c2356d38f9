"""The tier matrix and the settings in the database, changed while bursa runs.

Both are a superadmin's. Each change is one audited transaction (change.py) and holds everywhere
within a second. What a field may be is said in tiers.py and settings.py.
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from bursa.accounts import settings, tiers
from bursa.accounts.change import Changes
from bursa.accounts.who import Actor
from bursa.model.errors import Refuse
from bursa.state.account_tables import SETTINGS, TIERS, USERS


class Matrix:
    """The changes over one database. Blocks; Retry where it is away."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    # -- tiers -------------------------------------------------------------------------------------

    def ls(self) -> list[dict[str, Any]]:
        """The tiers, the lowest first: `name`, the fields of Rights, and how many `users` have
        it."""
        count = select(USERS.c.tier, func.count()).group_by(USERS.c.tier)
        with self._changes.database.snapshot() as to:
            people = {tier: many for tier, many in to.execute(count)}
            rows = to.execute(select(TIERS).order_by(TIERS.c.rank)).all()
        return [{"name": r.name, **_fields(r), "users": people.get(r.name, 0)} for r in rows]

    def change(self, name: str, given: Mapping[str, Any], by: Actor, reason: str = "") -> None:
        """Change fields of a tier. Refuse `unknown_tier`, `bad_rights`, `not_allowed`."""
        _only_superadmin(by, "the tier matrix")
        fields = tiers.judged(given)
        if not fields:
            raise Refuse(f"nothing to change; there are {', '.join(tiers.FIELDS)}", "bad_rights")
        kept = dict(fields)
        if kept.get("timeframes") is not None:
            kept["timeframes"] = ",".join(kept["timeframes"])
        with self._changes.begin(by) as change:
            held = _fields(known_tier(change.to, name))
            change.set(TIERS, TIERS.c.name == name, **kept)
            before = {field: held[field] for field in fields}
            change.tell("tier.change", name, before, _with(fields, reason))

    # -- settings ----------------------------------------------------------------------------------

    def set(self, name: str, value: str, by: Actor, reason: str = "") -> None:
        """Change a setting. Refuse `unknown_setting`, `bad_setting`, `not_allowed`."""
        _only_superadmin(by, "settings")
        setting = settings.known(name)
        with self._changes.begin(by) as change:
            known = change.to.execute(select(TIERS.c.name).order_by(TIERS.c.rank)).scalars().all()
            kept = settings.judged(setting, value, known)
            mine = SETTINGS.c.name == name
            held = change.to.execute(select(SETTINGS.c.value).where(mine)).scalar_one_or_none()
            before = setting.default if held is None else json.loads(held)
            change.to.execute(delete(SETTINGS).where(mine))
            change.to.execute(insert(SETTINGS).values(name=name, value=kept, changed=change.n))
            change.tell("setting.change", name, {"value": before}, _with({"value": value}, reason))


def known_tier(to: Connection, name: str) -> Row[Any]:
    """The tier of that name. Refuse 404 `unknown_tier`."""
    rows = {row.name: row for row in to.execute(select(TIERS).order_by(TIERS.c.rank)).all()}
    if name not in rows:
        text = f"{name[:64]!r} is no tier; there are {', '.join(rows)}"
        raise Refuse(text, "unknown_tier", 404, "tier")
    return rows[name]


def _fields(row: Row[Any]) -> dict[str, Any]:
    """A tier's fields as they are judged."""
    found = {name: getattr(row, name) for name in tiers.FIELDS}
    if row.timeframes is not None:
        found["timeframes"] = row.timeframes.split(",")
    return found


def _with(after: Mapping[str, Any], reason: str) -> dict[str, Any]:
    return {**after, "reason": reason} if reason else dict(after)


def _only_superadmin(by: Actor, what: str) -> None:
    if by.role != "superadmin":
        raise Refuse(f"only a superadmin changes {what}", "not_allowed", 403)
