"""One's own account, and the plugin's machines, over HTTP."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bursa.accounts.who import CLI
from tests.accounts.house import MINUTE_NS, PASSWORD, Site, open_house
from tests.accounts.test_auth_routes import refused

DAY_NS = 24 * 60 * MINUTE_NS


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_house(tmp_path_factory.mktemp("house")) as site:
        yield site


@pytest.fixture
def site(shared: Site) -> Site:
    shared.later()
    return shared


def program(site: Site, key: str) -> httpx.Client:
    """A client with the token of a key."""
    with site.client() as client:
        token = client.post("/v1/auth/token", json={"api_key": key}).json()["data"]["token"]
    return site.client(headers={"Authorization": f"Bearer {token}"})


def data(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


def test_keys_are_listed_by_pages_and_are_their_owners_alone(site: Site) -> None:
    site.user("ani@contoh.id")
    other = site.user("boss@contoh.id", role="superadmin")
    with site.session("ani@contoh.id") as ani, site.session("boss@contoh.id") as boss:
        ids = [
            data(ani.post("/portal/api/keys", json={"name": f"k{at}"}), 201)["id"]
            for at in range(3)
        ]
        first = ani.get("/portal/api/keys?limit=2").json()
        on = first["meta"]["next_page"]
        second = ani.get(f"/portal/api/keys?limit=2&page={on}").json()
        found = [row["id"] for row in first["data"] + second["data"]]
        assert sorted(found) == sorted(ids) and second["meta"]["next_page"] is None
        assert all(row["expires"] is None and row["used"] is None for row in first["data"])
        # Another's pages, keys and machines are not there, whoever asks.
        assert refused(boss.get(f"/portal/api/keys?page={on}")) == (400, "bad_page")
        assert refused(boss.delete(f"/portal/api/keys/{ids[0]}")) == (404, "unknown_key")
        assert data(boss.get("/portal/api/keys")) == []
        theirs = site.accounts.keys.make(other, "boss", None, CLI)[1].id
        assert refused(ani.delete(f"/portal/api/keys/{theirs}")) == (404, "unknown_key")
        for name, expires, code in (
            ("", None, "bad_body"),
            ("two\nlines", None, "bad_name"),
            ("k", "2020-01-01T00:00:00Z", "bad_expiry"),
            ("k", "2027-01-01", "bad_expiry"),
            ("k", "9999-12-31T23:59:59-23:59", "bad_expiry"),
        ):
            answer = ani.post("/portal/api/keys", json={"name": name, "expires": expires})
            assert refused(answer) == (400, code), (name, expires)
        soon = data(
            ani.post("/portal/api/keys", json={"name": "s", "expires": "2199-01-01T00:00:00Z"}), 201
        )
        assert soon["state"] == "active"
    # A token leads to nothing of the portal: who has a key is not its owner yet.
    with program(site, soon["key"]) as client:
        assert refused(client.get("/portal/api/keys")) == (401, "sign_in_required")
        assert data(client.get("/v1/symbols?limit=1")) is not None


def test_one_changes_ones_name_and_password(site: Site) -> None:
    site.user("cici@contoh.id")
    before = len(site.post.received)
    fresh = "teh manis 8 gelas"
    with site.session("cici@contoh.id") as here, site.session("cici@contoh.id") as there:
        assert data(here.patch("/portal/api/me", json={"name": "Cici"}))["name"] == "Cici"
        wrong = here.patch("/portal/api/me", json={"new": fresh, "old": "not this one"})
        assert refused(wrong) == (403, "wrong_password")
        assert wrong.json()["meta"]["parameter"] == "old"
        weak = here.patch("/portal/api/me", json={"new": "aaaaaaaaaaaa", "old": PASSWORD})
        assert refused(weak) == (400, "weak_password")
        assert data(there.get("/portal/api/me"))["name"] == "Cici"
        data(here.patch("/portal/api/me", json={"new": fresh, "old": PASSWORD}))
        # Who changed it stays; whoever else had a session is out.
        assert data(here.get("/portal/api/me"))["email"] == "cici@contoh.id"
        assert refused(there.get("/portal/api/me")) == (401, "session_ended")
        assert site.letter(before + 1).message["subject"] == "Your password was changed"
        for body in ({"role": "admin"}, {"tier": "pro"}, {"email": "x@y.id"}):
            assert refused(here.patch("/portal/api/me", json=body)) == (400, "bad_body")
        del here.headers["X-CSRF-Token"]
        assert refused(here.patch("/portal/api/me", json={"name": "x"})) == (403, "bad_csrf")


def test_a_machine_takes_a_place_keeps_it_and_gives_it_back(site: Site) -> None:
    user = site.user("dodi@contoh.id", "pro")
    key = site.key(user, "AmiBroker desk")

    def activate(client: httpx.Client, machine: str) -> httpx.Response:
        body = {"api_key": key, "machine_id": machine, "plugin_version": "1.4.2"}
        return client.post("/v1/plugin/activate", json=body)

    with site.client() as client, site.session("dodi@contoh.id") as portal:
        first = data(activate(client, "DESK-03"))
        assert first["slots"] == {"used": 1, "allowed": 2} and first["tier"] == "pro"
        again = data(activate(client, "DESK-03"))
        assert again["machine"] == first["machine"] and again["slots"]["used"] == 1
        assert data(activate(client, "LAPTOP"))["slots"]["used"] == 2
        full = activate(client, "THIRD")
        assert refused(full) == (409, "machines_full") and "2 of 2" in full.json()["error"]

        bearer = {"Authorization": f"Bearer {first['token']}"}
        assert data(client.get("/v1/symbols?limit=1", headers=bearer)) is not None
        site.later(10 * MINUTE_NS)
        beat = data(client.post("/v1/plugin/heartbeat", headers=bearer))
        assert beat["machine"] == first["machine"] and beat["token"] != first["token"]
        bearer = {"Authorization": f"Bearer {beat['token']}"}
        listed = data(portal.get("/portal/api/machines"))
        assert (listed["used"], listed["allowed"]) == (2, 2)
        desk = next(row for row in listed["machines"] if row["machine"] == "DESK-03")
        assert (desk["key_name"], desk["plugin_version"]) == ("AmiBroker desk", "1.4.2")
        assert desk["heartbeat"] > desk["activated"]

        report = {"level": "error", "event": "sync.failed", "message": "a\x1b[31mb\r\nc"}
        data(client.post("/v1/plugin/report", json=report, headers=bearer))
        kept = site.accounts.desk.machine(first["machine"])["reports"][0]
        assert kept["message"] == "a [31mb  c" and kept["level"] == "error"
        for worse in ({"level": "fatal"}, {"event": "two words"}, {"message": "x" * 2_001}):
            answer = client.post("/v1/plugin/report", json={**report, **worse}, headers=bearer)
            assert answer.status_code == 400, worse

        # A token without a machine says nothing here; nobody says nothing at all.
        with program(site, key) as plain:
            answer = plain.post("/v1/plugin/heartbeat")
            assert answer.status_code == 403
        assert refused(client.post("/v1/plugin/heartbeat"))[0] == 401

        data(client.post("/v1/plugin/deactivate", headers=bearer))
        assert refused(client.get("/v1/symbols", headers=bearer)) == (401, "machine_released")
        assert refused(client.post("/v1/auth/refresh", headers=bearer))[1] == "machine_released"
        third = data(activate(client, "THIRD"))
        assert third["slots"]["used"] == 2
        # Its owner takes a place back in the portal: the machine is told so at its next word.
        bearer = {"Authorization": f"Bearer {third['token']}"}
        left = data(portal.delete(f"/portal/api/machines/{third['machine']}"))
        assert [row["machine"] for row in left["machines"]] == ["LAPTOP"]
        answer = client.post("/v1/plugin/heartbeat", headers=bearer)
        assert refused(answer) == (401, "machine_released")
        gone = portal.delete(f"/portal/api/machines/{third['machine']}")
        assert refused(gone) == (404, "unknown_machine")
        site.later(31 * MINUTE_NS)
        assert site.accounts.machines.release_silent(site.house.clock.now_ns()) == 1
        assert data(portal.get("/portal/api/machines"))["used"] == 0


def test_usage_is_told_by_hour_and_key_and_what_is_left(site: Site) -> None:
    user = site.user("eni@contoh.id")
    key = site.key(user, "bot")
    with site.session("eni@contoh.id") as portal, program(site, key) as bot:
        assert data(portal.get("/portal/api/usage"))["minute"]["left"] == 60
        # To be exchanged is to be used.
        site.accounts.keys.flush()
        assert data(portal.get("/portal/api/keys"))[0]["used"] is not None
        for _ in range(5):
            assert bot.get("/v1/symbols?limit=1").status_code == 200
        assert bot.get("/v1/nothing").status_code == 404
        site.accounts.usage.flush()
        found = data(portal.get("/portal/api/usage?days=7"))
        minute = found["minute"]
        assert (minute["limit"], minute["left"]) == (60, 54) and 0 < minute["resets_s"] <= 60
        (hour,) = found["hours"]
        (row,) = found["keys"]
        assert (row["name"], row["requests"], row["refused"]) == ("bot", 6, 1)
        assert key.startswith(row["prefix"])
        assert hour["requests"] == 6 and hour["hour"].endswith(":00:00Z")
        site.later(2 * DAY_NS)
        quiet = data(portal.get("/portal/api/usage"))
        assert quiet["hours"] == quiet["keys"] == [] and quiet["minute"]["left"] == 60
        assert len(data(portal.get("/portal/api/usage?days=7"))["keys"]) == 1
        assert refused(portal.get("/portal/api/usage?days=0")) == (400, "bad_number")
    rich = site.user("rich@contoh.id", "enterprise")
    assert rich
    with site.session("rich@contoh.id") as portal:
        unlimited = data(portal.get("/portal/api/usage"))["minute"]
        assert unlimited == {"limit": None, "left": None, "resets_s": None}


def test_a_plan_is_asked_for_and_the_answer_is_seen(site: Site) -> None:
    user = site.user("feri@contoh.id")
    boss = site.user("chief@contoh.id", role="superadmin")
    assert user and boss
    with site.session("feri@contoh.id") as portal:
        plan = data(portal.get("/portal/api/subscription"))
        assert (plan["tier"], plan["subscription"], plan["request"]) == ("free", None, None)
        tiers = [one["tier"] for one in plan["plans"]]
        assert tiers == ["free", "pro", "enterprise"]
        assert plan["plans"][1]["rights"]["rate"] == 600
        body = {"plan": "pro", "note": "for the desk"}
        asked = data(portal.post("/portal/api/subscription", json=body), 201)
        assert asked["request"]["state"] == "waiting" and asked["tier"] == "free"
        answer = portal.post("/portal/api/subscription", json=body)
        assert refused(answer) == (409, "request_waits")
        number = asked["request"]["id"]
        site.accounts.subscriptions.decide(number, True, "welcome", CLI)
        after = data(portal.get("/portal/api/subscription"))
        assert (after["tier"], after["request"]["state"]) == ("pro", "approved")
        assert after["subscription"]["plan"] == "pro" and after["request"]["reason"] == "welcome"
        unknown = portal.post("/portal/api/subscription", json={"plan": "gold"})
        assert refused(unknown) == (404, "unknown_plan")
