"""Accounts on a database of their own with a clock that is set, as who changes them has them."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bursa.accounts.audit import Audit, Chosen
from bursa.accounts.parts import Acts
from bursa.accounts.who import CLI, Actor
from bursa.model.errors import Refuse
from bursa.ops.telemetry import Telemetry
from bursa.state.database import Database
from tests.api.floor import HandClock

ENGINES = ("sqlite", "postgresql")
WEB = Actor("", "user", "192.0.2.7", "web", "req-1")
PASSWORD = "kopi susu 7 gelas"
S = 1_000_000_000
NOW_NS = 1_795_132_800 * S  # 2026-11-20
DAY_NS = 86_400 * S


class Office(Acts):
    """All acts, and short words for tests."""

    def __init__(self, database: Database, clock: HandClock) -> None:
        super().__init__(database, clock, Audit(database, clock, Telemetry(), None))
        self.hand, self._numbers = clock, itertools.count(1)
        self.standing.refresh()

    def person(self, role: str = "user", tier: str = "free", password: str | None = None) -> Actor:
        """A new user, as one who acts."""
        user = self.people.create(f"person.{next(self._numbers)}@x.test", role, tier, password, CLI)
        found = self.standing.user(user)
        assert found is not None
        return Actor(user, found.role, "192.0.2.7")

    def email(self, by: Actor) -> str:
        """Somebody's address."""
        found = self.standing.user(by.user)
        assert found is not None
        return found.email

    def told(self, target: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """What the audit has of a target, newest first: act, before, after."""
        found = self.audit.read(Chosen(target=target))
        return [(r.act, json.loads(r.before or "{}"), json.loads(r.after or "{}")) for r in found]


def office(engine: str, folder: Path, request: pytest.FixtureRequest) -> Office:
    """An office on an engine; the database is new."""
    where = request.getfixturevalue("postgres").database() if engine != "sqlite" else None
    return Office(Database(where or folder / "state.db"), HandClock(NOW_NS))


@contextmanager
def refused(code: str, status: int | None = None) -> Iterator[None]:
    """The block is refused with this code."""
    with pytest.raises(Refuse) as why:
        yield
    assert why.value.code == code, str(why.value)
    assert status is None or why.value.status == status
