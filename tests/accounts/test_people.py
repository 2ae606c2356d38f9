"""Signing up and in, links that work once, roles, and who may do what to whom; on both engines."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from bursa.accounts import keys, people, sessions
from bursa.accounts.audit import Chosen
from bursa.accounts.ids import digest
from bursa.accounts.links import LINK_NS
from bursa.accounts.standing import Standing
from bursa.accounts.who import CLI, Actor
from bursa.model.errors import Refuse
from bursa.state.account_tables import EMAIL_TOKENS, SESSIONS, USERS
from tests.accounts.office import DAY_NS, ENGINES, PASSWORD, WEB, Office, office, refused

NEW = "teh tarik 8 gelas"
THIRD = "neither of the two 3"


@pytest.fixture(scope="module", params=ENGINES)
def here(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    made = office(request.param, tmp_path_factory.mktemp("office"), request)
    yield made
    made.database.close()


def test_who_signs_up_verifies_and_signs_in(here: Office) -> None:
    new = here.people.signup(" Ann@Example.com ", PASSWORD, "Ann", WEB)
    assert new.email == "ann@example.com"
    assert new.token
    with refused("unverified", 403):
        here.people.login("ann@example.com", PASSWORD, WEB)
    assert here.people.verify(new.token, WEB).id == new.user
    with refused("bad_link", 400):
        here.people.verify(new.token, WEB)
    cookie, who = here.people.login("ANN@example.com", PASSWORD, WEB, "Firefox\n1")
    assert (who.user, who.email, who.role, who.via) == (
        new.user,
        "ann@example.com",
        "user",
        "session",
    )
    assert who.rights.tier == "free"
    now_ns = here.clock.now_ns()
    assert here.standing.principal_of_session(digest(cookie), now_ns) == who
    (row,) = here.sessions.list(new.user, now_ns)
    assert (row.id, row.address, row.agent) == (who.session, WEB.address, "Firefox 1")
    with here.database.snapshot() as to:
        kept = to.execute(select(SESSIONS.c.hash).where(SESSIONS.c.id == who.session)).scalar_one()
        hashed = to.execute(select(USERS.c.password).where(USERS.c.id == new.user)).scalar_one()
    assert kept == digest(cookie) != cookie
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    here.sessions.logout(who.session, Actor(new.user, "user"))
    with refused("session_ended", 401):
        here.standing.principal_of_session(digest(cookie), now_ns)
    acts = [act for act, _, _ in here.told(new.user)]
    assert acts == ["sign_out", "sign_in", "user.verify", "user.sign_up"]


def test_an_address_that_has_an_account_is_told_by_the_letter_alone(here: Office) -> None:
    somebody = here.person(password=PASSWORD)
    known = here.people.signup(here.email(somebody), NEW, "", WEB)
    assert (known.user, known.token) == ("", "")
    here.people.login(here.email(somebody), PASSWORD, WEB)
    first = here.people.signup("twice@x.test", PASSWORD, "", WEB)
    again = here.people.signup("twice@x.test", NEW, "", WEB)
    assert again.user == first.user
    assert (first.purpose, again.purpose) == ("verify", "reset")
    # One of the two may have been a stranger: who has the mailbox chooses, nobody else.
    with refused("bad_link"):
        here.people.verify(first.token, WEB)
    with refused("bad_link"):
        here.people.verify(again.token, WEB)
    here.people.reset(again.token, THIRD, WEB)
    for password in (PASSWORD, NEW):
        with refused("sign_in_failed"):
            here.people.login("twice@x.test", password, WEB)
    assert here.people.login("twice@x.test", THIRD, WEB)[1].user == first.user
    assert here.people.forgot("nobody@x.test", WEB) == ""


def test_unknown_and_wrong_are_the_same_words_and_audited(here: Office) -> None:
    somebody, bare = here.person(password=PASSWORD), here.person()
    said = set()
    for address in (here.email(somebody), here.email(bare), "nobody@x.test", "no address\0"):
        with pytest.raises(Refuse) as why:
            here.people.login(address, "wrong password", WEB)
        said.add((str(why.value), why.value.code, why.value.status))
    assert said == {("the e-mail address or the password is wrong", "sign_in_failed", 401)}
    with refused("sign_in_failed"):
        here.people.login(here.email(somebody), "x" * 100_000, WEB)
    (odd,) = here.audit.read(Chosen(target="(no address)", act="sign_in"))
    assert not odd.ok, "what is no address may be a password in the wrong field"
    (failed, *_) = here.audit.read(Chosen(target="nobody@x.test", act="sign_in"))
    assert (failed.ok, failed.address, failed.request_id, failed.actor) == (
        False,
        WEB.address,
        "req-1",
        "",
    )


def test_a_forgotten_password_is_set_anew_once_within_the_hour(here: Office) -> None:
    somebody = here.person(password=PASSWORD)
    cookie, _ = here.people.login(here.email(somebody), PASSWORD, WEB)
    older = here.people.forgot(here.email(somebody), WEB)
    token = here.people.forgot(here.email(somebody).upper(), WEB)
    with here.database.snapshot() as to:
        assert to.execute(select(EMAIL_TOKENS).where(EMAIL_TOKENS.c.hash == token)).all() == []
    with refused("weak_password"):
        here.people.reset(token, "short", WEB)
    with refused("bad_link"):
        here.people.reset(older, NEW, WEB)
    with refused("bad_link"):
        here.people.verify(token, WEB)
    with refused("weak_password"):
        here.people.reset(token, here.email(somebody).upper() + " ", WEB)
    assert here.people.reset(token, NEW, WEB).email == here.email(somebody)
    with refused("bad_link"):
        here.people.reset(token, PASSWORD, WEB)
    with refused("session_ended"):
        here.standing.principal_of_session(digest(cookie), here.clock.now_ns())
    with refused("sign_in_failed"):
        here.people.login(here.email(somebody), PASSWORD, WEB)
    here.people.login(here.email(somebody), NEW, WEB)
    late = here.people.forgot(here.email(somebody), WEB)
    here.hand.ns += LINK_NS["reset"]
    with refused("bad_link"):
        here.people.reset(late, PASSWORD, WEB)


def test_one_changes_himself_by_the_old_password_alone(here: Office) -> None:
    me = here.person(password=PASSWORD)
    this, who = here.people.login(here.email(me), PASSWORD, WEB)
    other, _ = here.people.login(here.email(me), PASSWORD, WEB)
    here.people.change_me(me, name="Ann B")
    with refused("wrong_password", 403):
        here.people.change_me(me, old=NEW, new=NEW)
    sent = here.people.forgot(here.email(me), WEB)
    here.people.change_me(me, old=PASSWORD, new=NEW, session=who.session)
    with refused("bad_link"):  # whoever has an older letter has nothing
        here.people.reset(sent, PASSWORD, WEB)
    now_ns = here.clock.now_ns()
    assert here.standing.principal_of_session(digest(this), now_ns).user == me.user
    with refused("session_ended"):
        here.standing.principal_of_session(digest(other), now_ns)
    acts = [(act, after) for act, _, after in here.told(me.user)]
    assert ("user.name", {"name": "Ann B"}) in acts
    assert ("password.change", {"sessions_ended": 1}) in acts
    assert PASSWORD not in str(here.audit.read(Chosen(), limit=1000))


def test_a_disabled_user_is_out_at_once(here: Office) -> None:
    somebody, boss = here.person(password=PASSWORD), here.person("superadmin")
    cookie, _ = here.people.login(here.email(somebody), PASSWORD, WEB)
    key, row = here.keys.make(somebody.user, "bot", None, somebody)
    token = here.people.forgot(here.email(somebody), WEB)
    here.people.disable(somebody.user, boss, "has not paid")
    now_ns = here.clock.now_ns()
    with refused("session_ended", 401):
        here.standing.principal_of_session(digest(cookie), now_ns)
    with refused("user_disabled", 401):
        here.standing.principal_of_key(row.id, now_ns)
    with refused("user_disabled", 403):
        here.people.login(here.email(somebody), PASSWORD, WEB)
    with refused("sign_in_failed", 401):
        here.people.login(here.email(somebody), NEW, WEB)
    with refused("bad_link"):
        here.people.reset(token, NEW, WEB)
    assert here.people.forgot(here.email(somebody), WEB) == ""
    assert here.told(somebody.user)[0] == (
        "user.disable",
        {"state": "active"},
        {"state": "disabled", "reason": "has not paid"},
    )
    here.people.enable(somebody.user, boss)
    assert here.standing.principal_of_key(row.id, now_ns).user == somebody.user
    assert here.standing.key_by_hash(digest(key)) == row.id


def test_roles_are_changed_by_superadmins_and_never_ones_own(here: Office) -> None:
    user, other = here.person(), here.person()
    admin, fellow = here.person("admin"), here.person("admin")
    boss = here.person("superadmin")
    for by in (user, admin):
        with refused("not_allowed", 403):
            here.people.set_role(other.user, "admin", by)
    with refused("own_role", 403):
        here.people.set_role(boss.user, "user", boss)
    _, mine = here.keys.make(admin.user, "mine", None, admin)
    own: list[Callable[[], object]] = [
        lambda: here.people.set_tier(admin.user, "enterprise", admin),
        lambda: here.people.set_override(admin.user, {"rate": None}, admin),
        lambda: here.keys.set_rights(mine.id, admin, tier="enterprise", override={}),
    ]
    for act in own:
        with refused("own_rights", 403):
            act()
    for target in (fellow, boss):
        with refused("not_allowed", 403):
            here.people.set_tier(target.user, "pro", admin)
        with refused("not_allowed", 403):
            here.people.disable(target.user, admin)
        with refused("not_allowed", 403):
            here.keys.make(target.user, "theirs", None, admin)
    with refused("own_account", 403):
        here.people.disable(admin.user, admin)
    others: list[Callable[[], object]] = [
        lambda: here.people.set_tier(other.user, "pro", user),
        lambda: here.people.set_tier(user.user, "pro", user),
        lambda: here.people.disable(other.user, user),
        lambda: here.people.create("new@x.test", "user", "free", None, user),
        lambda: here.people.create("new@x.test", "admin", "free", None, admin),
        lambda: here.people.set_password(other.user, NEW, admin),
    ]
    for act in others:
        with refused("not_allowed", 403):
            act()
    here.people.set_tier(other.user, "pro", admin, "paid")
    assert here.standing.rights(other.user).tier == "pro"
    assert here.told(other.user)[0] == (
        "user.tier",
        {"tier": "free"},
        {"tier": "pro", "reason": "paid"},
    )
    here.people.set_role(other.user, "admin", boss)
    found = here.standing.user(other.user)
    assert found is not None
    assert found.role == "admin"
    with refused("bad_role", 400):
        here.people.set_role(other.user, "root", boss)
    with refused("unknown_tier", 400):
        here.people.set_tier(other.user, "gold", boss)
    with refused("unknown_user", 404):
        here.people.set_tier("usr_none", "pro", boss)
    with refused("email_taken", 409):
        here.people.create(here.email(other), "user", "free", None, CLI)


def test_what_changes_together_is_one_change_and_one_refusal_leaves_nothing(here: Office) -> None:
    boss, admin = here.person("superadmin"), here.person("admin")
    other = here.person("user", password=PASSWORD)
    here.people.login(here.email(other), PASSWORD, WEB)

    def stands() -> tuple[object, ...]:
        with here.database.snapshot() as to:
            row = to.execute(select(USERS).where(USERS.c.id == other.user)).one()
        open_ = here.sessions.list(other.user, here.clock.now_ns())
        return tuple(row), len(open_), here.told(other.user)

    before = stands()
    every: dict[str, Any] = {"role": "admin", "state": "disabled", "tier": "pro"}
    for by, wrong, code in (
        (boss, {"tier": "gold"}, "unknown_tier"),
        (boss, {"override": {"rate": 0}}, "bad_rights"),
        (boss, {"state": "gone"}, "bad_state"),
        (boss, {"role": "king"}, "bad_role"),
        (admin, {}, "not_allowed"),
    ):
        with refused(code):
            here.people.change(other.user, by, "why", **{**every, **wrong})
        assert stands() == before, (code, "what stood before it is not there either")
    here.people.change(other.user, boss, "why")
    assert stands() == before, "nothing was asked for"
    here.people.change(other.user, boss, "why", **every, override={"rate": 5})
    row, open_, told = stands()
    acts = ["user.override", "user.tier", "user.disable", "user.role"]
    assert [act for act, _, _ in told[:4]] == acts and told[4:] == before[2]  # type: ignore[index]
    assert all(after["reason"] == "why" for _, _, after in told[:4])  # type: ignore[index]
    assert open_ == 0
    found = here.standing.user(other.user)
    assert found is not None and (found.role, found.state) == ("admin", "disabled")
    assert here.standing.rights(other.user).rate == 5


def test_the_last_superadmin_stays(here: Office) -> None:
    with here.changes.begin(CLI) as change:
        change.set(USERS, USERS.c.role == "superadmin", role="user")
        change.may_be_nothing()
    one, two = here.person("superadmin"), here.person("superadmin")
    with ThreadPoolExecutor(2) as pool:  # each the other one, at once
        both = [
            pool.submit(here.people.set_role, two.user, "user", one),
            pool.submit(here.people.disable, one.user, two),
        ]
    codes = [why.code for done in both if isinstance(why := done.exception(), Refuse)]
    assert codes == ["last_superadmin"]
    left = one if here.standing.user(two.user).role == "user" else two  # type: ignore[union-attr]
    with refused("last_superadmin", 409):
        here.people.disable(left.user, CLI)
    assert not here.people.first("root@x.test", PASSWORD)


def test_the_first_superadmin_is_made_once(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    new = office("sqlite", tmp_path, request)
    with refused("weak_password"):
        new.people.first("root@x.test", "short")
    assert new.people.first("Root@x.test", PASSWORD)
    assert not new.people.first("other@x.test", PASSWORD)
    assert new.people.login("root@x.test", PASSWORD, WEB)[1].role == "superadmin"
    new.database.close()


def test_sessions_end_by_themselves_and_are_few(here: Office) -> None:
    somebody, boss = here.person(password=PASSWORD), here.person("superadmin")
    here.people.set_role(somebody.user, "admin", boss)
    cookie, _ = here.people.login(here.email(somebody), PASSWORD, WEB)
    now_ns = here.clock.now_ns()
    here.standing.principal_of_session(digest(cookie), now_ns + 12 * 3600 * 10**9 - 1)
    with refused("session_ended"):
        here.standing.principal_of_session(digest(cookie), now_ns + 12 * 3600 * 10**9)
    with here.changes.begin(replace(somebody, role="admin")) as change:
        for nth in range(sessions.LIVE_MAX + 4):
            change.now_ns = now_ns + nth
            sessions.begin(change, somebody.user, "admin", "many")
        change.may_be_nothing()
    assert len(here.sessions.list(somebody.user, now_ns)) == sessions.LIVE_MAX
    later_ns = now_ns + 31 * DAY_NS
    assert here.sessions.list(somebody.user, later_ns) == []
    assert here.sessions.prune(later_ns) > sessions.LIVE_MAX
    assert here.people.prune(later_ns) >= 0


def test_accounts_that_nobody_confirmed_and_old_keys_are_forgotten_everywhere(here: Office) -> None:
    boss, now_ns = here.person("superadmin", "enterprise"), here.clock.now_ns()
    never, again, late = (
        here.people.signup(f"{name}@prune.test", PASSWORD, "", WEB).user
        for name in ("never", "again", "late")
    )
    held = here.person().user
    here.keys.make(held, "his", None, boss)
    with here.database.transaction() as to:
        to.execute(update(USERS).where(USERS.c.id == held).values(state="unverified"))
    old, kept, taken = (here.keys.make(boss.user, name, None, boss) for name in "abc")
    for key in (old, taken):
        machine, _ = here.machines.activate(key[1].id, f"desk-{key[1].name}", "1.0", boss)
        here.machines.report(machine, "info", "start", "", now_ns)
    here.keys.revoke(old[1].id, boss)
    here.keys.revoke(taken[1].id, boss)
    here.machines.activate(kept[1].id, "desk-c", "1.0", boss)  # goes on with another key
    there, met = Standing(here.database, lambda user: 1.0), boss.user
    there.refresh()
    here.hand.ns = now_ns + keys.CLOSED_KEPT_NS + 1
    here.keys.revoke(here.keys.make(boss.user, "d", None, boss)[1].id, boss)
    assert (here.keys.prune(here.hand.ns), here.keys.prune(here.hand.ns)) == (2, 0)
    here.people.signup("again@prune.test", PASSWORD, "", WEB)  # its letter is on the way
    with here.database.transaction() as to:
        soon = here.hand.ns - people.UNVERIFIED_KEPT_NS
        to.execute(update(USERS).where(USERS.c.id == late).values(created_ns=soon))
    assert here.people.prune_unverified(here.hand.ns) >= 1
    assert here.people.prune_unverified(here.hand.ns) == 0
    there.refresh()
    fresh = Standing(here.database, lambda user: 1.0)
    fresh.refresh()
    for standing in (here.standing, there, fresh):
        found = [standing.user(user) is not None for user in (never, held, again, late, met)]
        assert found == [False, True, True, True, True]
        assert [standing.key(key[1].id) is not None for key in (old, kept, taken)] == [0, 1, 0]
        assert standing.key_by_hash(digest(old[0])) is None
        assert standing.principal_of_key(kept[1].id, here.hand.ns).user == met
    assert here.told(never)[0][:2] == (
        "user.prune",
        {"email": "never@prune.test", "state": "unverified"},
    )
    assert here.told(old[1].id)[0][0] == "key.prune"
    signed = here.people.signup("never@prune.test", PASSWORD, "", WEB)
    assert signed.user not in ("", never) and signed.purpose == "verify", "its address is free"
    here.hand.ns = now_ns


def test_a_password_of_old_parameters_is_computed_anew(here: Office) -> None:
    somebody = here.person(password=PASSWORD)
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    with here.database.transaction() as to:
        to.execute(update(USERS).where(USERS.c.id == somebody.user).values(password=weak))
    here.people.login(here.email(somebody), PASSWORD, WEB)
    with here.database.snapshot() as to:
        kept = to.execute(select(USERS.c.password).where(USERS.c.id == somebody.user)).scalar_one()
    assert "m=19456,t=2,p=1" in kept


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("not an address", "bad_email"),
        ("a@b\r\nBcc: x@y.test", "bad_email"),
        ("a" * 250 + "@x.test", "bad_email"),
        ("ann@", "bad_email"),
        ("ann@x.test", "weak_password"),
    ],
)
def test_what_cannot_be_is_refused(here: Office, given: str, code: str) -> None:
    weak = {"weak_password": "ANN@x.test"}.get(code, PASSWORD)
    with refused(code, 400):
        here.people.signup(given, weak, "", WEB)
    with refused("bad_name", 400):
        here.people.signup("ann@x.test", PASSWORD, "two\nlines", WEB)
