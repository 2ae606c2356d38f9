"""Somebody who may ask a `bursa up` that is no demo: a user, his key, his session.

Made in the folder's database by the parts that the program has for it, whether it runs or not.
"""

import contextlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from bursa.accounts.audit import Audit
from bursa.accounts.parts import Acts
from bursa.accounts.who import CLI, Actor, Role
from bursa.app import SystemClock
from bursa.ops.telemetry import Telemetry
from bursa.state.database import Database

STATE_FILE = "state.db"


@dataclass(frozen=True)
class Guest:
    """What he shows: an API key, or the cookie of a session."""

    user: str
    email: str
    key: str
    cookie: str

    def cookies(self, url: str) -> list[dict[str, str]]:
        """The session's cookie as a browser is given it."""
        return [{"name": "bursa_session", "value": self.cookie, "url": url}]


def guest(data: Path, tier: str = "enterprise", role: Role = "user") -> Guest:
    """Somebody new in a data folder."""
    email, password = f"{secrets.token_hex(4)}@guest.example", secrets.token_urlsafe(16)
    clock = SystemClock()
    with contextlib.closing(Database(data / STATE_FILE)) as database:
        acts = Acts(database, clock, Audit(database, clock, Telemetry(), None))
        acts.standing.refresh()
        user = acts.people.create(email, role, tier, password, CLI)
        key = acts.keys.make(user, "test", None, CLI)[0]
        cookie, _ = acts.people.login(email, password, Actor("", "user", "127.0.0.1"))
    return Guest(user, email, key, cookie)
