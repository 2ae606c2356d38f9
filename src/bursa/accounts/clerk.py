"""What a person on the machine may order of accounts: the verbs `user`, `key` and `tier`.

Served by the process that holds the data folder, over its control socket; where nobody does, the
verb makes its own. One order is an act and what it is given, JSON both ways; times are ns. Who runs
a verb owns the machine, so he may do all (who.CLI), and the audit says that it was he.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from bursa.accounts import ids
from bursa.accounts.desk import Asked, Listed
from bursa.accounts.event import event
from bursa.accounts.parts import Acts
from bursa.accounts.tokens import Tokens
from bursa.accounts.who import CLI
from bursa.model.errors import Refuse

ACCOUNTS = "accounts"
Given = dict[str, Any]
Answer = dict[str, Any]


class Clerk:
    """Takes orders. Blocks; Retry where the database is away."""

    def __init__(self, acts: Acts, tokens: Callable[[], Tokens]) -> None:
        """`tokens` are asked for when the key that signs them is to change."""
        self._changes, self._people, self._keys = acts.changes, acts.people, acts.keys
        self._matrix, self._desk, self._tokens = acts.matrix, acts.desk, tokens
        self._acts: Mapping[str, Callable[[Given], Answer]] = {
            "user.create": self._user_create,
            "user.ls": lambda given: _listed(self._desk.users(Asked(**given))),
            "user.show": self._user_show,
            "user.role": self._user_role,
            "user.tier": self._user_tier,
            "user.disable": self._user_disable,
            "user.enable": self._user_enable,
            "user.password": self._user_password,
            "user.override": self._user_override,
            "key.make": self._key_make,
            "key.ls": self._key_ls,
            "key.revoke": self._key_revoke,
            "key.override": self._key_override,
            "key.rotate": self._key_rotate,
            "tier.ls": lambda _: {"rows": self._matrix.ls()},
            "tier.set": self._tier_set,
        }

    def answer(self, payload: dict[str, Any]) -> dict[str, Any]:
        """One order: `do` names the act, `given` is what it takes."""
        act = self._acts.get(str(payload["do"]))
        if act is None:
            raise Refuse(f"unknown order {str(payload['do'])[:64]!r}", "unknown_verb", 404)
        self._changes.standing.refresh()
        return act(payload["given"])

    # -- users -------------------------------------------------------------------------------------

    def _user_create(self, given: Given) -> Answer:
        user = self._people.create(
            given["email"], given["role"], given["tier"], given["password"], CLI, given["name"]
        )
        return {"user": self._desk.user(user)}

    def _user_show(self, given: Given) -> Answer:
        user = self._desk.user(given["user"])
        mine = Asked(user=user["id"])
        keys, machines = self._desk.keys(mine), self._desk.machines(mine)
        return {"user": user, "keys": list(keys.rows), "machines": list(machines.rows)}

    def _user_role(self, given: Given) -> Answer:
        user = self._user(given)
        self._people.set_role(user, given["role"], CLI, given["reason"])
        return {"user": self._desk.user(user)}

    def _user_tier(self, given: Given) -> Answer:
        user = self._user(given)
        self._people.set_tier(user, given["tier"], CLI, given["reason"])
        return {"user": self._desk.user(user)}

    def _user_disable(self, given: Given) -> Answer:
        user = self._user(given)
        self._people.disable(user, CLI, given["reason"])
        return {"user": self._desk.user(user)}

    def _user_enable(self, given: Given) -> Answer:
        user = self._user(given)
        self._people.enable(user, CLI, given["reason"])
        return {"user": self._desk.user(user)}

    def _user_password(self, given: Given) -> Answer:
        user = self._user(given)
        self._people.set_password(user, given["password"], CLI)
        return {"user": self._desk.user(user)}

    def _user_override(self, given: Given) -> Answer:
        user = self._desk.user(self._user(given))
        override = _overridden(user["override"], given)
        self._people.set_override(user["id"], override, CLI, given["reason"])
        return {"user": self._desk.user(user["id"])}

    def _user(self, given: Given) -> str:
        """Id of the user that is named by it or by his address."""
        return str(self._desk.user(given["user"])["id"])

    # -- keys --------------------------------------------------------------------------------------

    def _key_make(self, given: Given) -> Answer:
        user = self._user(given)
        key, row = self._keys.make(user, given["name"], given["expires_ns"], CLI)
        return {"key": key, "row": asdict(row)}

    def _key_ls(self, given: Given) -> Answer:
        asked = dict(given)
        if asked["user"]:
            asked["user"] = self._user(given)
        return _listed(self._desk.keys(Asked(**asked)))

    def _key_revoke(self, given: Given) -> Answer:
        key = self._key(given)
        self._keys.revoke(key, CLI, given["reason"])
        return {"row": self._desk.key(key)}

    def _key_override(self, given: Given) -> Answer:
        row = self._desk.key(self._key(given))
        override = _overridden(row["override"], given)
        tier = None if given["clear"] else row["tier"]
        tier = given["tier"] or tier
        self._keys.set_rights(row["id"], CLI, tier=tier, override=override, reason=given["reason"])
        return {"row": self._desk.key(row["id"])}

    def _key(self, given: Given) -> str:
        """Id of the key that is named by it, or given whole."""
        named = str(given["key"])
        if not ids.is_key(named):
            return named
        found = self._changes.standing.key_by_hash(ids.digest(named))
        if found is None:
            raise Refuse("there is no such key", "unknown_key", 404, "key")
        return found

    def _key_rotate(self, given: Given) -> Answer:
        now_ns = self._changes.clock.now_ns()
        kid = self._tokens().rotate(now_ns)
        self._changes.audit.tell(event(CLI, now_ns, "token_key.rotate", kid))
        return {"kid": kid}

    # -- tiers -------------------------------------------------------------------------------------

    def _tier_set(self, given: Given) -> Answer:
        self._matrix.change(given["tier"], given["fields"], CLI, given["reason"])
        return {"rows": self._matrix.ls()}


def _overridden(held: Mapping[str, Any], given: Given) -> dict[str, Any]:
    """An override with what was given put in, over what was there unless that is to be cleared."""
    return {**({} if given["clear"] else held), **given["fields"]}


def _listed(found: Listed) -> Answer:
    return {"rows": list(found.rows), "count": found.count}


def handlers(clerk: Clerk) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    """What the holder of a folder answers."""
    return {ACCOUNTS: clerk.answer}
