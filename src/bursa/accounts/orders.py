"""Orders to a running venue, carried out and kept: who turned a switch or set HD's gates, and what
was before.

An order goes into the venue's journal; here it is put into the audit, in the transaction within
which it is carried out. So none is carried out that could not be kept: while the database of
accounts is away there are no orders. Changes of HD's gates are kept in a table of their own too.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import insert, select

from bursa.accounts.change import Changes
from bursa.accounts.who import CLI, Actor
from bursa.model.errors import Refuse
from bursa.state.account_tables import HD_CONFIGS

GATES = "hd.set"
HISTORY_MAX = 200
# What was, and what is since.
Both = tuple[Mapping[str, Any], Mapping[str, Any]]
# Carries out: the act, whose it is, what does it (None: nothing changed). Returns what that did.
Keep = Callable[[str, str, Callable[[], Both | None]], Both | None]


class Orders:
    """Over one database. Blocks; Retry where it is away."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def keeper(self, by: Actor = CLI, reason: str = "") -> Keep:
        """Keeps the orders of somebody. Refuse 403 `not_allowed` to all but a superadmin."""

        def keep(act: str, venue: str, do: Callable[[], Both | None]) -> Both | None:
            if by.role != "superadmin":
                raise Refuse("only a superadmin changes the configuration", "not_allowed", 403)
            with self._changes.begin(by) as change:
                both = do()
                if both is None:
                    change.may_be_nothing()
                    return None
                before, after = both
                if act == GATES:
                    row = {"venue": venue, "at_ns": change.now_ns, "user_id": by.user}
                    texts = {"before": json.dumps(before), "after": json.dumps(after)}
                    change.to.execute(insert(HD_CONFIGS).values(**row, **texts, reason=reason))
                told = {**after, "reason": reason} if reason else after
                change.tell(act, venue, before, told)
                return both

        return keep

    def history(self, venue: str) -> list[dict[str, Any]]:
        """Changes of a venue's gates, newest first: `at_ns`, `user_id`, `before`, `after`,
        `reason`."""
        query = select(HD_CONFIGS).where(HD_CONFIGS.c.venue == venue)
        query = query.order_by(HD_CONFIGS.c.id.desc()).limit(HISTORY_MAX)
        with self._changes.database.snapshot() as to:
            rows = [dict(row) for row in to.execute(query).mappings()]
        for row in rows:
            row["before"], row["after"] = json.loads(row["before"]), json.loads(row["after"])
        return rows
