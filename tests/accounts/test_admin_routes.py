"""What admins may see and change over HTTP, who of them may what, and that the audit has it. A long
run asks PostgreSQL."""

import base64
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bursa.accounts.who import CLI
from tests.accounts.house import PASSWORD, Site, open_house
from tests.accounts.test_auth_routes import refused
from tests.accounts.test_portal_routes import DAY_NS, data, program

ADMIN = "/admin/api"


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, soak: bool
) -> Iterator[Site]:
    """On SQLite; in a long run on PostgreSQL."""
    url = request.getfixturevalue("postgres").database() if soak else ""
    with open_house(tmp_path_factory.mktemp("house"), database=url) as site:
        site.user("super@contoh.id", role="superadmin")
        site.user("admin@contoh.id", role="admin")
        site.user("second@contoh.id", role="admin")
        yield site


@pytest.fixture
def site(shared: Site) -> Site:
    shared.later()
    return shared


@pytest.fixture
def boss(site: Site) -> Iterator[httpx.Client]:
    with site.session("super@contoh.id") as client:
        yield client


@pytest.fixture
def admin(site: Site) -> Iterator[httpx.Client]:
    with site.session("admin@contoh.id") as client:
        yield client


def records(boss: httpx.Client, query: str) -> list[dict[str, Any]]:
    """Records of the audit, newest first."""
    found: list[dict[str, Any]] = data(boss.get(f"{ADMIN}/audit?{query}"))
    return found


def refusals(boss: httpx.Client, query: str, count: int) -> list[dict[str, Any]]:
    """So many records of what was refused, which the audit has before long."""
    until = time.monotonic() + 90
    while len(found := records(boss, query)) < count and time.monotonic() < until:
        time.sleep(0.02)
    assert len(found) == count
    return found


def rate_of(client: httpx.Client) -> int:
    """How many requests a minute somebody has, as an answer tells him."""
    policy = client.get("/v1/symbols?limit=1").headers["ratelimit-policy"]
    return int(policy.removeprefix('"minute";q=').removesuffix(";w=60"))


def identity(site: Site, email: str) -> str:
    return site.accounts.people.find(email)


def test_people_are_found_filtered_and_paged(site: Site, admin: httpx.Client) -> None:
    ids = [site.user(f"page{at}@cari.id", "pro" if at == 2 else "free") for at in range(3)]
    site.key(ids[0])
    first = admin.get(f"{ADMIN}/users?q=cari.ID&limit=2").json()
    assert first["meta"]["count"] == 3 and first["meta"]["tiers"]["pro"] >= 1
    assert first["meta"]["roles"]["superadmin"] == 1 and first["meta"]["waiting"] == 0
    on = first["meta"]["next_page"]
    second = admin.get(f"{ADMIN}/users?q=cari.ID&limit=2&page={on}").json()
    found = [row["id"] for row in first["data"] + second["data"]]
    assert sorted(found) == sorted(ids) and second["meta"]["next_page"] is None
    assert refused(admin.get(f"{ADMIN}/users?q=other&limit=2&page={on}")) == (400, "bad_page")
    [pro] = data(admin.get(f"{ADMIN}/users?q=cari.id&tier=pro"))
    assert pro["id"] == ids[2] and pro["rights"]["rate"] == 600 and pro["machines_allowed"] == 2
    keyed = data(admin.get(f"{ADMIN}/users/{ids[0]}"))
    assert keyed["keys"] == 1 and keyed["created"].endswith("Z") and keyed["seen"] is None
    assert [one["act"] for one in keyed["recent"]] == ["user.create"]
    # What a pattern means is taken as it is written.
    assert data(admin.get(f"{ADMIN}/users", params={"q": "%"})) == []
    for query, code in (
        ("state=gone", "bad_word"),
        ("role=king", "bad_word"),
        ("limit=0", "bad_number"),
        ("limit=100000", "bad_number"),
        ("q=a%00b", "bad_text"),
        ("nonsense=1", "unknown_parameter"),
        ("page=zzz", "bad_page"),
    ):
        assert refused(admin.get(f"{ADMIN}/users?{query}")) == (400, code), query
    assert refused(admin.get(f"{ADMIN}/users/usr_none")) == (404, "unknown_user")


def test_a_user_is_made_and_changed_and_the_audit_has_it(site: Site, boss: httpx.Client) -> None:
    made = data(boss.post(f"{ADMIN}/users", json={"email": "Ubah@contoh.id", "name": "U"}), 201)
    assert made["email"] == "ubah@contoh.id" and made["state"] == "active"
    path = f"{ADMIN}/users/{made['id']}"
    key = site.key(made["id"])
    change = {"tier": "pro", "override": {"rate": 1200, "timeframes": None}, "reason": "asked"}
    with program(site, key) as client:
        assert rate_of(client) == 60
        changed = data(boss.patch(path, json=change))
        assert rate_of(client) == 1200  # his token of before bears the new rights at once
    assert changed["tier"] == "pro" and changed["override"] == {"rate": 1200, "timeframes": None}
    assert changed["rights"]["rate"] == 1200 and changed["rights"]["hd"] == "scaled"
    told = records(boss, f"target={made['id']}&act=user.")
    assert [one["act"] for one in told] == ["user.override", "user.tier", "user.create"]
    assert told[1]["before"] == {"tier": "free"}
    assert told[1]["after"] == {"tier": "pro", "reason": "asked"}
    assert told[1]["actor_name"] == "super@contoh.id" and told[1]["ok"] is True
    assert told[1]["address"] == "127.0.0.1" and told[1]["request_id"]
    assert data(boss.patch(path, json={"state": "disabled"}))["state"] == "disabled"
    with site.client() as nobody:
        answer = nobody.post("/v1/auth/token", json={"api_key": key})
        assert refused(answer) == (401, "user_disabled")
    assert data(boss.patch(path, json={"state": "active", "override": {}}))["override"] == {}
    for body, status, code, name in (
        ({"tier": "gold"}, 400, "unknown_tier", "tier"),
        ({"state": "gone"}, 400, "bad_state", "state"),
        ({"role": "king"}, 400, "bad_role", "role"),
        ({"override": {"rate": 0}}, 400, "bad_rights", "rate"),
        ({"override": {"speed": 1}}, 400, "bad_body", "speed"),
        ({"override": {"timeframes": ["2m"]}}, 400, "bad_rights", "timeframes"),
        ({"colour": 1}, 400, "bad_body", "colour"),
    ):
        answer = boss.patch(path, json=body)
        assert refused(answer) == (status, code) and answer.json()["meta"]["parameter"] == name
    before = data(boss.get(path))
    every = {"role": "admin", "state": "disabled", "override": {"rate": 7}}
    assert refused(boss.patch(path, json={**every, "tier": "gold"})) == (400, "unknown_tier")
    assert data(boss.get(path)) == before, "of what was refused in part nothing is changed"
    again = boss.post(f"{ADMIN}/users", json={"email": "ubah@contoh.id"})
    assert refused(again) == (409, "email_taken")
    odd = boss.post(f"{ADMIN}/users", content=b"{}", headers={"content-type": "text/plain"})
    assert refused(odd) == (415, "bad_media_type")
    assert refused(boss.post(f"{ADMIN}/users", json={"email": "a" * 70_000})) == (
        413,
        "body_too_large",
    )


def test_an_admin_raises_neither_himself_nor_admins_nor_any_role(
    site: Site, admin: httpx.Client, boss: httpx.Client
) -> None:
    me, second = identity(site, "admin@contoh.id"), identity(site, "second@contoh.id")
    top = identity(site, "super@contoh.id")
    user = site.user("biasa@contoh.id")
    mine = site.accounts.keys.make(me, "mine", None, CLI)[1].id
    theirs = site.accounts.keys.make(second, "theirs", None, CLI)[1].id
    more: dict[str, Any] = {"override": {"rate": None}}
    changes: tuple[tuple[str, dict[str, Any], str], ...] = (
        (f"users/{me}", {"tier": "enterprise"}, "own_rights"),
        (f"users/{me}", {"override": {"hd": "raw"}}, "own_rights"),
        (f"users/{me}", {"role": "superadmin"}, "not_allowed"),
        (f"users/{user}", {"role": "admin"}, "not_allowed"),
        (f"users/{second}", {"tier": "enterprise"}, "not_allowed"),
        (f"users/{second}", {"state": "disabled"}, "not_allowed"),
        (f"users/{top}", {"state": "disabled"}, "not_allowed"),
        ("tiers/free", {"rights": {"rate": 6000}}, "not_allowed"),
    )
    for path, body, code in changes:
        assert refused(admin.patch(f"{ADMIN}/{path}", json=body)) == (403, code), (path, body)
    puts: tuple[tuple[str, dict[str, Any], str], ...] = (
        (f"overrides/{mine}", more, "own_rights"),
        (f"overrides/{mine}", {"override": {}, "tier": "enterprise"}, "own_rights"),
        (f"overrides/{me}", more, "own_rights"),
        (f"overrides/{theirs}", more, "not_allowed"),
        ("settings/sign_up_tier", {"value": "enterprise"}, "not_allowed"),
    )
    for path, body, code in puts:
        assert refused(admin.put(f"{ADMIN}/{path}", json=body)) == (403, code), (path, body)
    for role in ("admin", "superadmin"):
        made = admin.post(f"{ADMIN}/users", json={"email": "new@contoh.id", "role": role})
        assert refused(made) == (403, "not_allowed")
    assert refused(admin.delete(f"{ADMIN}/keys/{theirs}")) == (403, "not_allowed")
    # By a list or by his own request he is not raised either; the list as a whole is bad.
    text = "email,tier\nadmin@contoh.id,enterprise\nsecond@contoh.id,pro\n"
    for dry in (True, False):
        took = admin.post(f"{ADMIN}/imports", json={"kind": "users", "text": text, "dry_run": dry})
        if dry:
            assert data(took)["counts"] == {"refused": 2}
        else:
            assert refused(took) == (400, "bad_list")
    [by_list] = refusals(boss, f"actor={me}&ok=0&act=import.users", 1)
    assert by_list["target"] == "admin@contoh.id" and by_list["after"] == {"code": "own_rights"}
    assert admin.post("/portal/api/subscription", json={"plan": "enterprise"}).status_code == 201
    [waiting] = data(admin.get(f"{ADMIN}/subscriptions/requests?state=waiting&user={me}"))
    path = f"{ADMIN}/subscriptions/requests/{waiting['id']}"
    assert refused(admin.post(path, json={"decision": "approve"})) == (403, "own_rights")
    # What he may not is in the audit; a superadmin may, but nobody his own role.
    told = refusals(boss, f"actor={me}&ok=0", 18)
    assert {one["after"]["code"] for one in told} == {"own_rights", "not_allowed"}
    assert refused(boss.patch(f"{ADMIN}/users/{top}", json={"role": "user"})) == (403, "own_role")
    assert refused(boss.patch(f"{ADMIN}/users/{top}", json={"state": "disabled"})) == (
        403,
        "own_account",
    )
    assert data(boss.post(path, json={"decision": "decline", "reason": "no"}))["state"] == (
        "declined"
    )
    assert data(admin.get(f"{ADMIN}/users/{me}"))["tier"] == "free"


def test_admins_alone_come_in_and_changes_want_their_token(site: Site) -> None:
    user = site.user("luar@contoh.id", "enterprise")
    with site.client() as nobody, site.session("luar@contoh.id") as plain:
        assert refused(nobody.get(f"{ADMIN}/users")) == (401, "sign_in_required")
        for path in ("users", "keys", "audit", "tiers", "settings", "hd-config", "imports"):
            answer = plain.get(f"{ADMIN}/{path}")
            assert answer.status_code == 403, path
    with program(site, site.key(user)) as client:
        assert client.get(f"{ADMIN}/users").status_code in (401, 403)
    with site.session("super@contoh.id") as boss:
        del boss.headers["X-CSRF-Token"]
        answer = boss.patch(f"{ADMIN}/users/{user}", json={"tier": "free"})
        assert answer.status_code == 403
        assert data(boss.get(f"{ADMIN}/users/{user}"))["tier"] == "enterprise"


def test_keys_are_told_by_their_ends_revoked_and_given_rights(
    site: Site, admin: httpx.Client
) -> None:
    user = site.user("kunci@contoh.id")
    whole = site.key(user, "desk 7")
    [row] = data(admin.get(f"{ADMIN}/keys", params={"q": whole}))
    assert data(admin.get(f"{ADMIN}/keys", params={"q": "kunci@contoh.id.example.com"})) == []
    assert row["email"] == "kunci@contoh.id" and row["last4"] == whole[-4:]
    assert whole not in admin.get(f"{ADMIN}/keys?user={user}").text
    path = f"{ADMIN}/overrides/{row['id']}"
    given = {"override": {"stream_symbols": 5}, "tier": "pro", "reason": "trial"}
    with program(site, whole) as client:
        assert data(admin.put(path, json=given))["tier"] == "pro"
        assert rate_of(client) == 600
        assert refused(admin.put(path, json={"override": {}, "tier": "gold"})) == (
            400,
            "unknown_tier",
        )
        [listed] = data(admin.get(f"{ADMIN}/overrides?q=kunci@"))
        assert listed["override"] == {"stream_symbols": 5} and listed["user"] == user
        assert data(admin.get(f"{ADMIN}/keys/{row['id']}"))["override"] == {"stream_symbols": 5}
        gone = data(admin.delete(f"{ADMIN}/keys/{row['id']}?reason=leaked"))
        assert gone["state"] == "revoked" and gone["revoked"]
        assert refused(client.get("/v1/symbols?limit=1")) == (401, "key_revoked")
    assert data(admin.get(f"{ADMIN}/keys?user={user}&state=active")) == []
    told = records(admin, f"target={row['id']}&act=key.revoke")
    assert told[0]["after"]["reason"] == "leaked" and told[0]["actor_name"] == "admin@contoh.id"
    assert refused(admin.delete(f"{ADMIN}/keys/key_none")) == (404, "unknown_key")
    assert refused(admin.put(f"{ADMIN}/overrides/key_none", json={"override": {}})) == (
        404,
        "unknown_key",
    )
    # One that a job has closed at its end has expired, and was not revoked.
    soon = site.house.clock.ns + 1_000_000_000
    late = site.accounts.keys.make(user, "late", soon, CLI)[1].id
    site.later()
    assert site.accounts.keys.expire(site.house.clock.ns) == 1
    [row] = data(admin.get(f"{ADMIN}/keys?user={user}&state=expired"))
    assert row["id"] == late and row["revoked"] is None


def test_machines_are_seen_with_their_reports_and_released(site: Site, admin: httpx.Client) -> None:
    user = site.user("mesin@contoh.id")
    key = site.key(user)
    with site.client() as client:
        form = {"api_key": key, "machine_id": "PC-1", "plugin_version": "1.0"}
        token = data(client.post("/v1/plugin/activate", json=form))["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        report = {"level": "error", "event": "crash", "message": "boo"}
        assert client.post("/v1/plugin/report", json=report).status_code == 200
        [row] = data(admin.get(f"{ADMIN}/machines?user={user}&state=active"))
        whole = data(admin.get(f"{ADMIN}/machines/{row['id']}"))
        assert whole["reports"][0]["event"] == "crash" and whole["machine"] == "PC-1"
        assert data(admin.delete(f"{ADMIN}/machines/{row['id']}"))["state"] == "released"
        again = client.post("/v1/plugin/heartbeat", json={})
        assert refused(again) == (401, "machine_released")
    assert refused(admin.get(f"{ADMIN}/machines/mch_none")) == (404, "unknown_machine")


def test_the_matrix_and_settings_change_while_it_runs(site: Site, boss: httpx.Client) -> None:
    user = site.user("matrix@contoh.id", "pro")
    with program(site, site.key(user)) as client:
        rows = {row["name"]: row for row in data(boss.get(f"{ADMIN}/tiers"))}
        assert list(rows) == ["free", "pro", "enterprise"] and rows["pro"]["users"] >= 1
        wanted = {"rights": {"rate": 700, "timeframes": ["1d", "1m"]}, "reason": "spring"}
        changed = data(boss.patch(f"{ADMIN}/tiers/pro", json=wanted))
        assert changed["rate"] == 700 and changed["timeframes"] == ["1m", "1d"]
        assert rate_of(client) == 700
        assert site.accounts.standing.rights(user).timeframes == frozenset({"1m", "1d"})
        back = {"rights": {"rate": 600, "timeframes": None}}
        assert data(boss.patch(f"{ADMIN}/tiers/pro", json=back))["timeframes"] is None
    [latest, before] = records(boss, "target=pro&act=tier.")
    assert before["before"] == {"rate": 600, "timeframes": None}
    assert before["after"] == {"rate": 700, "timeframes": ["1m", "1d"], "reason": "spring"}
    assert latest["before"]["rate"] == 700
    assert refused(boss.get(f"{ADMIN}/tiers/gold")) == (404, "unknown_tier")
    assert refused(boss.patch(f"{ADMIN}/tiers/gold", json=back)) == (404, "unknown_tier")
    assert refused(boss.patch(f"{ADMIN}/tiers/pro", json={"rights": {}})) == (400, "bad_rights")
    # Settings.
    names = [row["name"] for row in data(boss.get(f"{ADMIN}/settings"))]
    assert names == ["sign_up", "sign_up_tier"]
    path = f"{ADMIN}/settings/sign_up_tier"
    assert data(boss.put(path, json={"value": "pro"}))["value"] == "pro"
    assert data(boss.get(path))["default"] == "free"
    assert data(boss.put(path, json={"value": "free"}))["value"] == "free"
    answer = boss.put(path, json={"value": "gold"})
    assert refused(answer) == (400, "bad_setting")
    hidden = boss.get(f"{ADMIN}/settings/secrets_fingerprint")
    assert refused(hidden) == (404, "unknown_setting")
    assert records(boss, "target=sign_up_tier")[0]["before"] == {"value": "pro"}


def test_requests_are_decided_and_subscriptions_end(site: Site, admin: httpx.Client) -> None:
    user = site.user("langganan@contoh.id")
    with site.session("langganan@contoh.id") as me:
        for plan, decision in (("pro", "decline"), ("enterprise", "approve")):
            asked = me.post("/portal/api/subscription", json={"plan": plan, "note": "please"})
            assert asked.status_code == 201
            again = me.post("/portal/api/subscription", json={"plan": plan})
            assert refused(again) == (409, "request_waits")
            [row] = data(admin.get(f"{ADMIN}/subscriptions/requests?state=waiting&user={user}"))
            assert row["plan"] == plan and row["note"] == "please" and row["tier"] == "free"
            path = f"{ADMIN}/subscriptions/requests/{row['id']}"
            bare = admin.post(path, json={"decision": "decline"})
            assert refused(bare) == (400, "reason_missing")
            ends = "2199-01-01T00:00:00Z" if decision == "approve" else None
            form = {"decision": decision, "reason": "so", "ends": ends}
            decided = data(admin.post(path, json=form))
            assert decided["decided_by"] == "admin@contoh.id" and decided["reason"] == "so"
            assert refused(admin.post(path, json=form)) == (409, "request_decided")
            assert data(admin.get(path))["state"] == f"{decision.removesuffix('e')}ed"
        assert data(me.get("/portal/api/me"))["tier"] == "enterprise"
    [held] = data(admin.get(f"{ADMIN}/subscriptions?user={user}"))
    assert held["plan"] == "enterprise" and held["state"] == "active" and held["ends"]
    for path, code in (
        ("0", "unknown_request"),
        ("99999", "unknown_request"),
        ("x", "unknown_request"),
    ):
        assert refused(admin.get(f"{ADMIN}/subscriptions/requests/{path}")) == (404, code)
    # At its end the tier falls to the default one, once, and only if it is still the plan's.
    now = site.house.clock.ns
    site.house.clock.ns = now + 180 * 365 * DAY_NS
    try:
        assert site.accounts.subscriptions.lapse() == 1
        assert site.accounts.subscriptions.lapse() == 0
    finally:
        site.house.clock.ns = now
    assert data(admin.get(f"{ADMIN}/users/{user}"))["tier"] == "free"
    [held] = data(admin.get(f"{ADMIN}/subscriptions?user={user}"))
    assert held["state"] == "ended" and held["closed"]


def test_a_list_of_users_is_taken_whole_or_not_at_all(site: Site, admin: httpx.Client) -> None:
    known = site.user("lama@contoh.id")
    rows = [
        "email;name;tier",
        "Baru@contoh.id;Baru;pro",
        "lama@contoh.id;Lama;",
        "not an address;X;free",
        "emas@contoh.id;Y;gold",
        "baru@contoh.id;Again;free",
        "super@contoh.id;Z;enterprise",
        "too;many;columns;here",
        "",
        "admin@contoh.id;;",
    ]
    form: dict[str, Any] = {"kind": "users", "text": "\n".join(rows)}
    tried = data(admin.post(f"{ADMIN}/imports", json=form))
    assert tried["dry_run"] is True
    assert tried["counts"] == {"new": 1, "changed": 1, "refused": 5, "same": 1}
    bad = {line["line"]: line["why"] for line in tried["lines"] if line["what"] == "refused"}
    assert sorted(bad) == [4, 5, 6, 7, 8]
    assert "gold" in bad[5] and "line 2" in bad[6] and "superadmin" in bad[7]
    took = admin.post(f"{ADMIN}/imports", json={**form, "dry_run": False})
    assert refused(took) == (400, "bad_list") and "line 4" in took.json()["error"]
    assert data(admin.get(f"{ADMIN}/users?q=baru@")) == []
    form = {"kind": "users", "text": "\n".join(rows[:3]), "dry_run": False, "reason": "moved"}
    assert data(admin.post(f"{ADMIN}/imports", json=form))["counts"] == {"new": 1, "changed": 1}
    [new] = data(admin.get(f"{ADMIN}/users?q=baru@"))
    assert new["tier"] == "pro" and new["name"] == "Baru" and new["state"] == "active"
    assert data(admin.get(f"{ADMIN}/users/{known}"))["name"] == "Lama"
    [latest] = data(admin.get(f"{ADMIN}/imports?limit=1"))
    assert latest["act"] == "import.users" and latest["after"]["new"] == 1
    assert records(admin, f"target={known}&act=user.import")[0]["before"] == {"name": ""}
    role = {"kind": "users", "text": "email,role\nlama@contoh.id,admin\n"}
    with site.session("super@contoh.id") as boss:
        assert data(boss.post(f"{ADMIN}/imports", json=role))["counts"] == {"refused": 1}
    for text in ("", "email\n", "name,tier\nA,free\n", 'email\n"x', "email,email\na@b.id,a@b.id"):
        answer = admin.post(f"{ADMIN}/imports", json={"kind": "users", "text": text})
        assert refused(answer) == (400, "bad_list"), text


def test_the_audit_is_read_by_filters_and_pages(site: Site, boss: httpx.Client) -> None:
    user = site.user("jejak@contoh.id")
    for tier in ("pro", "free", "pro"):
        boss.patch(f"{ADMIN}/users/{user}", json={"tier": tier})
    query = f"{ADMIN}/audit?target=jejak@contoh.id&act=user.tier&limit=2"
    first = boss.get(query).json()
    on = first["meta"]["next_page"]
    second = boss.get(f"{query}&page={on}").json()
    assert len(first["data"]) == 2 and len(second["data"]) == 1
    assert second["meta"]["next_page"] is None
    assert refused(boss.get(f"{ADMIN}/audit?limit=2&page={on}")) == (400, "bad_page")
    odd = b"[1e30,1,2]", b'[9223372036854775808,"a",0]', b"[" * 2000
    tokens = [base64.urlsafe_b64encode(raw).decode() for raw in odd]
    for page in ("x", "MQ", "W10", "bnVsbA", "WzEsMiwzXQ", *tokens):
        assert refused(boss.get(f"{query}&page={page}")) == (400, "bad_page"), page
    with site.client() as nobody:
        body = {"email": "jejak@contoh.id", "password": "not the one he has"}
        assert refused(nobody.post("/auth/login", json=body)) == (401, "sign_in_failed")
    [failed] = refusals(boss, "act=sign_in&ok=0", 1)
    assert failed["target"] == "jejak@contoh.id" and PASSWORD not in str(failed)
    day = "2026-01-01"
    assert records(boss, f"from={day}&to={day}") == []
    assert refused(boss.get(f"{ADMIN}/audit?from=2026-02-01&to={day}")) == (400, "bad_range")
    for given in ("yesterday", "2026-01-01T00:00:00", "9999-12-31", "0001-01-01"):
        assert refused(boss.get(f"{ADMIN}/audit?from={given}")) == (400, "bad_time"), given
    # Nobody changes what is kept.
    assert boss.delete(f"{ADMIN}/audit").status_code == 405
