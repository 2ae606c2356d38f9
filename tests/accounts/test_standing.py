"""What is known by heart is what the database holds, after any acts, in every process."""

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, update

from bursa.accounts import sessions
from bursa.accounts.ids import digest
from bursa.accounts.standing import Standing
from bursa.accounts.who import CLI, Actor
from bursa.model.errors import Refuse, Retry
from bursa.state.account_tables import KEYS, MACHINES, SESSIONS, USERS, VERSIONS
from bursa.state.changes import bump
from bursa.state.database import Database
from tests.accounts.office import NOW_NS, PASSWORD, WEB, Office, S, refused
from tests.api.floor import HandClock


def half(user: str) -> float:
    return 0.5


def new_office(folder: Path) -> Office:
    return Office(Database(folder / "state.db"), HandClock(NOW_NS))


def known(standing: Standing) -> dict[str, Any]:
    """All that it knows; sessions that are over may be forgotten or not."""
    names = ("_users", "_keys", "_hashes", "_sessions", "_machines", "_tiers", "_settings")
    return {name: dict(getattr(standing, name)) for name in names}


class Acts(RuleBasedStateMachine):
    """Two processes on one database: the one that acts, and one that hears of it now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = FOLDERS.pop()
        self.here = new_office(self._folder)
        self.away = Standing(self.here.database, half)
        self.people: list[Actor] = []
        self.keys: list[str] = []
        self.machines: list[str] = []
        self.cookies: list[str] = []

    def teardown(self) -> None:
        self.here.database.close()

    def _a(self, few: list[Any], data: st.DataObject) -> Any:
        return data.draw(st.sampled_from(few))

    @rule(tier=st.sampled_from(["free", "pro", "enterprise"]))
    def join(self, tier: str) -> None:
        self.people.append(self.here.person(tier=tier))

    @precondition(lambda self: self.people)
    @rule(data=st.data(), days=st.sampled_from([None, 1, 30]))
    def make_key(self, data: st.DataObject, days: int | None) -> None:
        of = self._a(self.people, data)
        until = None if days is None else self.here.hand.ns + days * 86_400 * S
        try:
            self.keys.append(self.here.keys.make(of.user, "k", until, CLI)[1].id)
        except Refuse as why:
            assert why.code in ("user_disabled", "too_many_keys")

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), what=st.sampled_from(["revoke", "rename", "tier", "override"]))
    def change_key(self, data: st.DataObject, what: str) -> None:
        key = self._a(self.keys, data)
        if what == "revoke":
            self.here.keys.revoke(key, CLI)
        elif what == "rename":
            self.here.keys.rename(key, "other", CLI)
        else:
            tier, override = ("pro", {}) if what == "tier" else (None, {"timeframes": ["1d"]})
            self.here.keys.set_rights(key, CLI, tier=tier, override=override)

    @precondition(lambda self: self.people)
    @rule(data=st.data(), what=st.sampled_from(["disable", "enable", "tier", "override", "role"]))
    def change_user(self, data: st.DataObject, what: str) -> None:
        user, people = self._a(self.people, data).user, self.here.people
        if what == "tier":
            people.set_tier(user, "pro", CLI)
        elif what == "override":
            people.set_override(user, {"rate": 5, "hd": "scaled"}, CLI)
        elif what == "role":
            people.set_role(user, "admin", CLI)
        else:
            getattr(people, what)(user, CLI)

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), name=st.sampled_from(["a", "b", "c"]))
    def activate(self, data: st.DataObject, name: str) -> None:
        try:
            found, _ = self.here.machines.activate(self._a(self.keys, data), name, "1", CLI)
        except Refuse as why:
            assert why.code in ("key_revoked", "machines_full")
        else:
            self.machines.append(found)

    @precondition(lambda self: self.machines)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.here.machines.release(self._a(self.machines, data), CLI)

    @precondition(lambda self: self.people)
    @rule(data=st.data())
    def sign_in(self, data: st.DataObject) -> None:
        with self.here.changes.begin(WEB) as change:
            user = self._a(self.people, data).user
            self.cookies.append(sessions.begin(change, user, "user", "test"))
            change.may_be_nothing()

    @precondition(lambda self: self.cookies)
    @rule(data=st.data())
    def sign_out(self, data: st.DataObject) -> None:
        with self.here.changes.begin(WEB) as change:
            sessions.end(change, SESSIONS.c.hash == digest(self._a(self.cookies, data)))
            change.may_be_nothing()

    @rule(hours=st.sampled_from([1, 24 * 8]))
    def later(self, hours: int) -> None:
        self.here.hand.ns += hours * 3600 * S
        self.here.keys.expire(self.here.hand.ns)
        self.here.machines.release_silent(self.here.hand.ns)

    @rule(rate=st.sampled_from([10, None]))
    def change_matrix(self, rate: int | None) -> None:
        self.here.matrix.change("free", {"rate": rate}, CLI)

    @rule()
    def hear(self) -> None:
        self.away.refresh()
        fresh = Standing(self.here.database, half)
        fresh.refresh()
        assert known(self.away) == known(fresh)

    @invariant()
    def one_knows_ones_own_acts(self) -> None:
        fresh = Standing(self.here.database, half)
        fresh.refresh()
        assert known(self.here.standing) == known(fresh)
        now_ns = self.here.hand.ns
        for key in self.keys:
            assert self._said(self.here.standing, key, now_ns) == self._expected(key, now_ns)

    def _said(self, standing: Standing, key: str, now_ns: int) -> object:
        try:
            return standing.principal_of_key(key, now_ns).rights
        except Refuse as why:
            return why.code

    def _expected(self, key: str, now_ns: int) -> object:
        """By the rows themselves."""
        with self.here.database.snapshot() as to:
            row = to.execute(KEYS.select().where(KEYS.c.id == key)).one()
            user = to.execute(USERS.select().where(USERS.c.id == row.user_id)).one()
        over = row.expires_ns is not None and now_ns >= row.expires_ns
        if row.revoked_ns is not None:
            by_time = row.expires_ns is not None and row.revoked_ns >= row.expires_ns
            return "key_expired" if by_time else "key_revoked"
        if user.state != "active":
            return "user_disabled"
        return "key_expired" if over else self.here.standing.rights(user.id, key)


FOLDERS: list[Path] = []


def test_what_is_known_is_what_is_kept(
    tmp_path_factory: pytest.TempPathFactory, soak: bool
) -> None:
    folder, numbers = tmp_path_factory.mktemp("acts"), iter(range(10_000))

    class Fresh(Acts):
        def __init__(self) -> None:
            FOLDERS.append(folder / str(next(numbers)))
            FOLDERS[-1].mkdir()
            super().__init__()

    few = settings(
        max_examples=100 if soak else 8, stateful_step_count=40 if soak else 20, deadline=None
    )
    run_state_machine_as_test(Fresh, settings=few)


def test_a_change_elsewhere_holds_after_the_next_reading(tmp_path: Path) -> None:
    here = new_office(tmp_path)
    me = here.person(tier="pro")
    full, key = here.keys.make(me.user, "bot", None, me)
    there = Standing(here.database, half)
    heard: list[int] = []
    there.listeners.append(lambda: heard.append(there.n))
    there.refresh()
    who = there.principal_of_key(key.id, NOW_NS)
    assert (who.rights.hd, who.factor, who.view) == ("scaled", 0.5, ("scaled", 0.5))
    assert there.key_by_hash(digest(full)) == key.id
    there.refresh()
    assert len(heard) == 1, "nothing changed"
    here.keys.revoke(key.id, me)
    assert there.principal_of_key(key.id, NOW_NS) is who
    there.refresh()
    with refused("key_revoked"):
        there.principal_of_key(key.id, NOW_NS)
    assert heard == [here.standing.n - 1, here.standing.n]
    here.people.set_password(me.user, PASSWORD, CLI)
    cookie, _ = here.people.login(here.email(me), PASSWORD, WEB)
    there.refresh()
    session = there.principal_of_session(digest(cookie), NOW_NS).session
    here.sessions.logout(session, me)
    there.refresh()
    with refused("session_ended"):
        there.principal_of_session(digest(cookie), NOW_NS)


def test_who_waits_while_another_reads_is_served_by_a_reading_begun_after_he_asked(
    tmp_path: Path,
) -> None:
    here = new_office(tmp_path)
    begun, go_on = threading.Event(), threading.Event()
    count = 0

    class Slow(Standing):
        def _read(self) -> bool:
            nonlocal count
            count += 1
            changed = super()._read()
            begun.set()
            assert go_on.wait(60)
            return changed

    slow = Slow(here.database, half)
    first = threading.Thread(target=slow.refresh)
    first.start()
    assert begun.wait(60)
    me = here.person()  # after the reading under way
    others = [threading.Thread(target=slow.refresh) for _ in range(8)]
    for one in others:
        one.start()
    go_on.set()
    for one in [first, *others]:
        one.join(60)
    assert slow.user(me.user) is not None
    assert count <= 3, "eight that asked at once are served by one reading"


def test_while_the_database_is_away_what_was_read_holds(tmp_path: Path) -> None:
    here = new_office(tmp_path)
    me = here.person()
    _, key = here.keys.make(me.user, "bot", None, me)

    class Away:
        def snapshot(self) -> Any:
            raise Retry("the database is away")

    here.standing._database = Away()  # type: ignore[assignment]
    with pytest.raises(Retry):
        here.standing.refresh()
    assert here.standing.principal_of_key(key.id, NOW_NS).user == me.user
    here.keys.revoke(key.id, me)  # is done, though nobody here could read it back
    here.standing._database = here.database
    here.standing.refresh()
    with refused("key_revoked"):
        here.standing.principal_of_key(key.id, NOW_NS)


def test_accounts_of_an_older_backup_are_read_all_again(tmp_path: Path) -> None:
    here = new_office(tmp_path)
    me = here.person()
    here.keys.make(me.user, "bot", None, me)
    with here.database.transaction() as to:
        for table in (MACHINES, SESSIONS, KEYS, USERS):
            to.execute(delete(table))
        to.execute(update(VERSIONS).values(n=1))
    assert here.standing.user(me.user) is not None
    here.standing.refresh()
    assert here.standing.user(me.user) is None
    assert here.standing.n == 1
    assert not here.standing.has_users


def test_who_signs_up_is_no_superadmin_for_whom_a_start_asks(tmp_path: Path) -> None:
    here = new_office(tmp_path)
    here.person()
    here.standing.refresh()
    assert here.standing.has_users and not here.standing.has_superadmin
    here.person("superadmin")
    here.standing.refresh()
    assert here.standing.has_superadmin


def test_principals_that_are_remembered_have_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursa.accounts.standing.KEPT_MAX", 4)
    here = new_office(tmp_path)
    me = here.person()
    made = [here.keys.make(me.user, "k", None, me)[1].id for _ in range(9)]
    assert {here.standing.principal_of_key(key, NOW_NS).user for key in made} == {me.user}
    assert len(here.standing._principals) <= 4


def test_numbers_are_taken_by_whoever_changes_rows(tmp_path: Path) -> None:
    """A change that was not numbered would never be heard of: changes number each row."""
    here = new_office(tmp_path)
    me = here.person()
    with here.database.snapshot() as to:
        (row,) = to.execute(USERS.select().where(USERS.c.id == me.user)).all()
        (now,) = to.execute(VERSIONS.select()).all()
    assert row.changed == now.n == here.standing.n
    with here.database.transaction() as to:
        assert bump(to) == now.n + 1
    with pytest.raises(AssertionError, match="audit"), here.changes.begin(CLI) as change:
        change.set(USERS, USERS.c.id == me.user, name="unseen")
    with here.database.snapshot() as to:
        assert to.execute(USERS.select().where(USERS.c.id == me.user)).one().name == ""
