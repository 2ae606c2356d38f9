"""Keys are shown once and open nothing once revoked; machines take slots; on both engines."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import select

from bursa.accounts import keys, machines
from bursa.accounts.ids import digest, is_key
from bursa.accounts.who import CLI, Actor
from bursa.model.errors import Refuse
from bursa.state.account_tables import KEYS, PLUGIN_REPORTS
from tests.accounts.office import DAY_NS, ENGINES, Office, S, office, refused


@pytest.fixture(scope="module", params=ENGINES)
def here(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    made = office(request.param, tmp_path_factory.mktemp("office"), request)
    yield made
    made.database.close()


def test_a_key_is_shown_once_and_kept_as_its_hash(here: Office) -> None:
    me = here.person()
    full, shown = here.keys.make(me.user, " bot ", None, me)
    assert is_key(full)
    assert len(full) == len("idx_live_") + 64
    assert (shown.name, shown.prefix, shown.last4) == ("bot", full[:13], full[-4:])
    with here.database.snapshot() as to:
        row = to.execute(select(KEYS).where(KEYS.c.id == shown.id)).one()
    assert row.hash == hashlib.sha256(full.encode()).hexdigest()
    assert full not in str(tuple(row))
    assert full[13:] not in str(here.told(shown.id))
    assert here.standing.key_by_hash(digest(full)) == shown.id
    other, _ = here.keys.make(me.user, "bot", None, me)
    assert other != full
    for text in ("", full[:-1], full + "0", full.upper(), full.replace("idx", "xdi")):
        assert not is_key(text)


def test_a_revoked_key_opens_nothing_and_frees_its_machines(here: Office) -> None:
    me, other = here.person(), here.person()
    full, key = here.keys.make(me.user, "bot", None, me)
    machine, slots = here.machines.activate(key.id, "laptop", "1.0", me)
    assert (slots.used, slots.allowed) == (1, 1)
    now_ns = here.clock.now_ns()
    who = here.standing.principal_of_key(key.id, now_ns, "token", machine)
    assert (who.user, who.key, who.machine, who.via) == (me.user, key.id, machine, "token")
    assert here.standing.principal_of_key(key.id, now_ns, "token", machine) is who, "remembered"
    with refused("not_allowed", 403):
        here.keys.revoke(key.id, other)
    here.keys.revoke(key.id, me, "leaked")
    for at in (machine, ""):
        with refused("key_revoked", 401):
            here.standing.principal_of_key(key.id, now_ns, "token", at)
    assert here.machines.slots(me.user).used == 0
    assert here.standing.key_by_hash(digest(full)) == key.id, "known, and revoked"
    here.keys.revoke(key.id, me)
    (again, first, *_) = here.told(key.id)
    assert again[2] == {}
    assert first[2] == {"reason": "leaked", "revoked": True}
    with refused("key_revoked"):
        here.machines.activate(key.id, "laptop", "1.0", me)
    with refused("unknown_key", 404):
        here.keys.revoke("key_none", me)
    with refused("unknown_key", 401):
        here.standing.principal_of_key("key_none", now_ns)


def test_a_key_expires_at_its_time_and_is_closed_by_the_job(here: Office) -> None:
    me = here.person()
    now_ns = here.clock.now_ns()
    with refused("bad_expiry", 400):
        here.keys.make(me.user, "past", now_ns, me)
    _, key = here.keys.make(me.user, "a day", now_ns + DAY_NS, me)
    here.standing.principal_of_key(key.id, now_ns + DAY_NS - 1)
    with refused("key_expired", 401):
        here.standing.principal_of_key(key.id, now_ns + DAY_NS)
    here.keys.expire(now_ns)
    assert here.keys.show(key.id).revoked_ns is None
    here.hand.ns += DAY_NS
    told = here.standing.n
    assert here.keys.expire(here.hand.ns) == 1
    assert here.keys.expire(here.hand.ns) == 0
    assert here.standing.n == told + 1, "heard of, so that open streams end"
    with refused("key_expired", 401):
        here.standing.principal_of_key(key.id, here.hand.ns)
    assert here.told(key.id)[0][0] == "key.expire"


def test_what_a_key_has_of_its_own_beats_what_its_user_has(here: Office) -> None:
    me, boss = here.person(tier="free"), here.person("admin")
    _, plain = here.keys.make(me.user, "plain", None, me)
    _, own = here.keys.make(me.user, "own", None, me)
    here.people.set_override(me.user, {"rate": 90, "timeframes": ["1d", "1m"]}, boss)
    here.keys.set_rights(own.id, boss, tier="pro", override={"rate": 7, "timeframes": ["1d"]})

    def of(key: str = "") -> tuple[str, int | None, object, str]:
        rights = here.standing.rights(me.user, key)
        return rights.tier, rights.rate, rights.timeframes, rights.hd

    assert of() == of(plain.id) == ("free", 90, frozenset({"1m", "1d"}), "none")
    assert of(own.id) == ("pro", 7, frozenset({"1d"}), "scaled")
    here.keys.set_rights(own.id, boss, tier="pro", override={})
    assert of(own.id) == ("pro", 600, None, "scaled"), "the user's override is of his tier"
    here.keys.set_rights(own.id, boss, tier=None, override={"hd": "raw"})
    assert of(own.id) == ("free", 90, frozenset({"1m", "1d"}), "raw")
    now_ns = here.clock.now_ns()
    assert here.standing.principal_of_key(own.id, now_ns).rights == here.standing.rights(
        me.user, own.id
    )
    here.people.set_override(me.user, {}, boss)
    assert of() == ("free", 60, frozenset({"1d"}), "none")
    with refused("bad_rights", 400):
        here.people.set_override(me.user, {"rate": 0}, boss)
    with refused("bad_rights", 400):
        here.keys.set_rights(own.id, boss, tier=None, override={"tier": "pro"})
    with refused("unknown_tier", 400):
        here.keys.set_rights(own.id, boss, tier="gold", override={})
    with refused("not_allowed", 403):
        here.keys.set_rights(own.id, me, tier="pro", override={})
    assert here.standing.rights("usr_none").rate == 0
    assert list(here.standing.tiers()) == ["free", "pro", "enterprise"]


def test_a_user_makes_no_keys_without_end(here: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MADE_MAX", 3)
    me, other = here.person(), here.person()
    for _ in range(3):
        here.hand.ns += S
        here.keys.revoke(here.keys.make(me.user, "a", None, me)[1].id, me)
    with refused("too_many_keys", 409):
        here.keys.make(me.user, "b", None, me)
    here.keys.make(other.user, "another's", None, other)
    here.hand.ns += keys.DAY_NS - 2 * S
    here.keys.make(me.user, "b", None, me)
    with refused("too_many_keys", 409):
        here.keys.make(me.user, "c", None, me)


def test_keys_are_listed_named_and_few(here: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LIVE_MAX", 3)
    me = here.person()
    made = []
    for name in ("a", "b", "c"):
        here.hand.ns += S
        made.append(here.keys.make(me.user, name, None, me)[1])
    with refused("too_many_keys", 409):
        here.keys.make(me.user, "d", None, me)
    here.keys.revoke(made[0].id, me)
    here.hand.ns += S
    here.keys.make(me.user, "d", None, me)
    here.keys.rename(made[1].id, "b again", me)
    with refused("bad_name", 400):
        here.keys.rename(made[1].id, "x" * 101, me)
    assert [row.name for row in here.keys.list(me.user)] == ["d", "c", "b again", "a"]
    here.keys.used(made[1].id, here.hand.ns + 5)
    here.keys.used(made[1].id, here.hand.ns + 9)
    assert here.keys.show(made[1].id).used_ns is None
    assert here.keys.flush() == 1
    here.keys.used(made[1].id, here.hand.ns)  # of a process whose clock is behind
    here.keys.flush()
    assert here.keys.show(made[1].id).used_ns == here.hand.ns + 9
    with here.keys._flushing:  # a job's is under way
        waiting = threading.Thread(target=here.keys.flush)
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
    waiting.join(60)
    assert not waiting.is_alive()
    with refused("unknown_key", 404):
        here.keys.show("key_none")


def test_machines_take_slots_and_give_them_back(here: Office) -> None:
    me = here.person(tier="pro")
    _, key = here.keys.make(me.user, "bot", None, me)
    one, first = here.machines.activate(key.id, "desk", "1.0\x1b[31m", me)
    same, again = here.machines.activate(key.id, "desk", "1.1", me)
    assert one == same
    assert (first, again) == (machines.Slots(1, 2), machines.Slots(1, 2))
    here.machines.activate(key.id, "laptop", "1.0", me)
    with refused("machines_full", 409):
        here.machines.activate(key.id, "phone", "1.0", me)
    here.hand.ns += S
    here.machines.heartbeat(one, here.hand.ns)
    listed = here.machines.list(me.user)
    assert [(m.machine, m.plugin_version, m.key_name) for m in listed] == [
        ("desk", "1.1", "bot"),
        ("laptop", "1.0", "bot"),
    ]
    with refused("not_allowed", 403):
        here.machines.release(one, here.person())
    here.machines.release(one, me)
    here.machines.release(one, me)
    with refused("machine_released", 401):
        here.machines.heartbeat(one, here.hand.ns)
    with refused("machine_released", 401):
        here.standing.principal_of_key(key.id, here.hand.ns, "token", one)
    other = here.person()
    _, theirs = here.keys.make(other.user, "bot", None, other)
    with refused("machine_released", 401):
        here.standing.principal_of_key(theirs.id, here.hand.ns, "token", listed[1].id)
    here.machines.activate(key.id, "phone", "1.0", me)
    with refused("unknown_machine", 404):
        here.machines.release("mch_none", me)
    here.hand.ns += 29 * 60 * S
    here.machines.heartbeat(listed[1].id, here.hand.ns)
    here.hand.ns += 2 * 60 * S
    assert here.machines.release_silent(here.hand.ns) >= 1
    assert here.machines.release_silent(here.hand.ns) == 0
    assert [m.machine for m in here.machines.list(me.user)] == ["laptop"]


def test_slots_hold_whoever_activates_at_once(here: Office) -> None:
    me = here.person(tier="pro")
    _, key = here.keys.make(me.user, "bot", None, me)
    gate = Barrier(4)

    def activate(name: str) -> str:
        gate.wait(60)
        try:
            return here.machines.activate(key.id, name, "1", me)[0]
        except Refuse as why:
            return why.code

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(activate, ["a", "b", "c", "d"]))
    assert said.count("machines_full") == 2
    assert here.machines.slots(me.user) == machines.Slots(2, 2)


def test_what_a_plugin_reports_is_cut_to_its_bounds(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "REPORTS_KEPT", 3)
    me = here.person()
    _, key = here.keys.make(me.user, "bot", None, me)
    machine, _ = here.machines.activate(key.id, "desk", "1.0", me)
    with refused("bad_level", 400):
        here.machines.report(machine, "loud", "x", "y", 1)
    for nth in range(5):
        text = f"{nth}\x00\x1b[31m\n" + "x" * 5000
        here.machines.report(machine, "error", "crash\r\n" + "e" * 100, text, nth)
    wanted = select(PLUGIN_REPORTS).where(PLUGIN_REPORTS.c.machine_id == machine)
    with here.database.snapshot() as to:
        rows = to.execute(wanted.order_by(PLUGIN_REPORTS.c.id)).all()
    assert [row.at_ns for row in rows] == [2, 3, 4]
    assert all(row.message.isprintable() and len(row.message) <= 2000 for row in rows)
    assert all(row.event.isprintable() and len(row.event) <= 64 for row in rows)


def test_the_cli_may_do_all_and_nobody_nothing(here: Office) -> None:
    me = here.person("admin")
    _, key = here.keys.make(me.user, "bot", None, CLI)
    with refused("not_allowed", 403):
        here.keys.make(here.person().user, "with his rights", None, me)
    with refused("not_allowed", 403):
        here.keys.revoke(key.id, Actor("", "user"))
    with refused("unknown_user", 404):
        here.keys.make("usr_none", "bot", None, CLI)
    here.people.disable(me.user, CLI)
    with refused("user_disabled", 409):
        here.keys.make(me.user, "bot", None, CLI)
    here.keys.revoke(key.id, CLI)
