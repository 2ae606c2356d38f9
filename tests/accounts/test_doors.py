"""Who comes in by which door, and what the others are told: in the form of the path, with the code
of what is wrong, the same under --demo."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from bursa.accounts.audit import Audit, Chosen
from bursa.accounts.parts import Acts
from bursa.accounts.usage import Usage
from bursa.accounts.who import CLI, Actor
from bursa.api import admission
from bursa.api.address import Client, client_of
from bursa.api.doors import Door, door_of
from bursa.api.front import Front, front_of
from bursa.ops.telemetry import Telemetry
from tests.accounts.house import PASSWORD, Site, open_house
from tests.accounts.test_auth_routes import refused
from tests.api.clients import until

MINUTE_NS = 60_000_000_000
PAGE = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_house(tmp_path_factory.mktemp("doors")) as found:
        yield found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    front = front_of("127.0.0.1", rate_per_minute=10_000, demo=True)
    with open_house(tmp_path_factory.mktemp("demo"), front=front) as found:
        yield found


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Behind a proxy on this machine; three requests a minute of an address."""
    front = front_of(
        "127.0.0.1", ["data.example.com"], ["127.0.0.0/8"], "https://data.example.com", 3
    )
    with open_house(tmp_path_factory.mktemp("behind"), front=front) as found:
        yield found


def bearer(site: Site, key: str) -> dict[str, str]:
    with site.client() as client:
        answer = client.post("/v1/auth/token", json={"api_key": key})
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['data']['token']}"}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize(
    ("path", "door"),
    [
        ("/health", Door.PUBLIC),
        ("//health/", Door.PUBLIC),
        ("/v1/auth/token", Door.PUBLIC),
        ("/v1//auth/../symbols", Door.PUBLIC),  # the router has no such path either
        ("/auth/login", Door.PUBLIC),
        ("/sign-in", Door.PUBLIC),
        ("/sign-in/more", Door.PAGE),
        ("/v1/plugin/activate", Door.PUBLIC),
        ("/v1/plugin/heartbeat", Door.PLUGIN),
        ("/v1/symbols", Door.DATA),
        ("//v1//symbols/", Door.DATA),
        ("/V1/symbols", Door.PAGE),
        ("/schema/openapi.json", Door.DATA),
        ("/llms.txt", Door.DATA),
        ("/udf", Door.UDF),
        ("/udf/", Door.UDF),
        ("/udfx", Door.PAGE),
        ("/api/v1/candles", Door.VIEWER),
        ("/api/v2/candles", Door.PAGE),
        ("/stats/", Door.STATS),
        ("/portal", Door.SELF),
        ("/portal/api/me", Door.SELF),
        ("/admin/", Door.ADMIN),
        ("/ops/anything", Door.ADMIN),
        ("/metrics", Door.ADMIN),
        ("/", Door.PAGE),
        ("", Door.PAGE),
        ("/web/overview", Door.PAGE),
        ("/tradingview/charting_library.js", Door.PAGE),
        ("/what/nobody/wrote", Door.PAGE),
    ],
)
def test_every_path_has_a_door_in_any_spelling(path: str, door: Door) -> None:
    assert door_of(path) is door


def test_nobody_is_told_so_in_the_form_of_the_path(site: Site) -> None:
    with site.client() as client:
        for path in ("/health", "/ready", "/.well-known/jwks.json", "/healthz", "/stats"):
            assert client.get(path).status_code in (200, 503), path
        for path in ("/v1/symbols", "//v1//symbols/", "/v1/live?tickers=BBCA", "/v1/nothing"):
            answer = client.get(path)
            assert code(answer) == (401, "sign_in_required"), path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["x-frame-options"] == "DENY" and answer.headers["x-request-id"]
        for path in ("/udf/config", "/udf/history?symbol=BBCA", "/udf/nothing", "/udf"):
            answer = client.get(path)
            assert answer.status_code == 401 and answer.json()["s"] == "error", path
            assert "X-Api-Key" in answer.json()["errmsg"]
        for path in ("/schema", "/asyncapi.json", "/portal/api/me", "/admin/api/users", "/ops/x"):
            assert code(client.get(path)) == (401, "sign_in_required"), path
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert client.request(method, "/v1/symbols").status_code == 401
        assert client.head("/v1/symbols").status_code == 401


def test_a_browser_is_led_to_sign_in_and_back(site: Site) -> None:
    with site.client(headers=PAGE) as client:
        for path, meant in (
            ("/", "/"),
            ("/chart?symbol=BBCA&interval=1", "/chart%3Fsymbol%3DBBCA%26interval%3D1"),
            ("/portal", "/portal"),
            ("/admin", "/admin"),
            ("//evil.example/x", "//evil.example/x"),
        ):
            answer = client.get(path if path[:2] != "//" else f"{site.served.url}{path}")
            assert answer.status_code == 303, path
            assert answer.headers["location"] == f"/sign-in?next={meant}"
            assert answer.headers["cache-control"] == "no-store"
        # What a page fetches is told in JSON, whatever a browser says it takes.
        assert code(client.get("/v1/symbols")) == (401, "sign_in_required")
        assert code(client.get("/portal/api/me")) == (401, "sign_in_required")


def test_bad_credentials_are_refused_each_by_its_name(site: Site, demo: Site) -> None:
    """Under --demo too, where none at all would do."""
    for house in (site, demo):
        user = house.user("bad@contoh.id", "pro")
        key, row = house.accounts.keys.make(user, "k", None, CLI)
        good = bearer(house, key)
        token = good["Authorization"]
        head, body, sign = token.split(".")
        with house.client() as client:
            assert client.get("/v1/symbols", headers=good).status_code == 200
            for shown in (
                "Bearer x",
                "Bearer",
                "Basic YTpi",
                f"Bearer {key}",
                f"{head}.{body}.{sign[:-6]}AAAAAA",
                f"{token}, {token}",
                "Bearer " + "x" * 9000,
            ):
                answer = client.get("/v1/symbols", headers={"Authorization": shown})
                assert code(answer) == (401, "token_invalid"), shown[:40]
            for unknown in (b"idx_live_" + b"0" * 64, "idx_live_\u00e9".encode()):
                for name, value in (
                    ("X-Api-Key", unknown),
                    ("Authorization", b"Bearer " + unknown),
                ):
                    answer = client.get("/udf/config", headers={name.encode(): value})
                    assert answer.status_code == 401 and answer.json()["code"] == "unknown_key"
            for headers in ({"X-Api-Key": key}, {"Authorization": f"Bearer {key}"}, good):
                assert client.get("/udf/config", headers=headers).json()["supports_time"] is True
            house.accounts.keys.revoke(row.id, CLI)
            assert code(client.get("/v1/symbols", headers=good)) == (401, "key_revoked")
            assert code(client.get("/udf/time", headers=good)) == (401, "key_revoked")
            other = bearer(house, house.key(user))
            house.later(16 * MINUTE_NS)
            assert code(client.get("/v1/symbols", headers=other)) == (401, "token_expired")
            fresh = bearer(house, house.key(user))
            house.accounts.people.disable(user, CLI)
            assert code(client.get("/v1/symbols", headers=fresh)) == (401, "user_disabled")


def test_the_demo_lets_anybody_on_this_machine_read_and_nobody_change(demo: Site) -> None:
    with demo.client() as client:
        for path in ("/v1/symbols", "/udf/config", "/schema"):
            assert client.get(path).status_code == 200
        for path in ("/portal/api/me", "/admin/api/users", "/v1/plugin/heartbeat"):
            assert client.get(path).status_code == 401
        # Browsers send the cookies of whatever else listened on this machine.
        stale = {"Cookie": "bursa_session=of-another-port"}
        assert client.get("/v1/symbols", headers=stale).status_code == 200
        # Whoever comes through somebody is not on this machine.
        forwarded = {"X-Forwarded-For": "203.0.113.7"}
        assert code(client.get("/v1/symbols", headers=forwarded)) == (401, "sign_in_required")


def test_a_session_reads_and_changes_only_from_its_own_pages(site: Site) -> None:
    user = site.user("sesi@contoh.id", "pro")
    with site.session("sesi@contoh.id") as client:
        word = client.headers.pop("X-CSRF-Token")
        assert client.get("/v1/symbols").status_code == 200
        assert client.get("/udf/config").status_code == 200
        assert client.get("/portal/api/me").json()["data"]["csrf"] == word
        assert code(client.get("/admin/api/users")) == (403, "admin_only")
        assert code(client.put("/admin/api/settings/sign_up")) == (403, "admin_only")
        mine = Chosen(act="admin.enter", actor=user)
        until(lambda: site.accounts.audit.read(mine))
        told = site.accounts.audit.read(mine)
        assert [(row.target, row.actor, row.ok) for row in told] == [
            ("PUT /admin/api/settings/sign_up", user, False)
        ]
        body = {"name": "Sesi"}
        for said in (b"", b"0" * 64, "\u00e9".encode()):
            shown = {b"X-CSRF-Token": said}
            answer = client.patch("/portal/api/me", json=body, headers=shown)
            assert code(answer) == (403, "bad_csrf")
        good = client.patch("/portal/api/me", json=body, headers={"X-CSRF-Token": word})
        assert good.status_code == 200
        # A form says it in a field.
        assert code(client.post("/auth/logout", data={"csrf": "x"})) == (403, "bad_csrf")
        big = client.post("/auth/logout", data={"csrf": "x" * 70_000})
        assert code(big) == (413, "body_too_large")
        # Who signs in anew does so with the cookie of before; another site may not have him do it.
        login = {"email": "sesi@contoh.id", "password": PASSWORD}
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            answer = client.post("/auth/login", json=login, headers=headers)
            assert code(answer) == (403, "foreign_origin")
        own = {"Origin": site.served.url, "Sec-Fetch-Site": "same-origin"}
        assert client.post("/auth/login", json=login, headers=own).status_code == 200
        site.accounts.people.set_role(user, "admin", CLI)  # his sessions end
        assert code(client.get("/v1/symbols")) == (401, "session_ended")
        led = client.get("/portal", headers=PAGE)
        assert led.headers["location"] == "/sign-in?next=/portal"
        # At a public door a dead cookie is none.
        assert client.get("/health").status_code == 200
        assert client.post("/auth/login", json=login).status_code == 200
        with site.client(headers={"Cookie": f"a=b; bursa_session={'x' * 43}"}) as other:
            assert code(other.get("/v1/symbols")) == (401, "session_ended")


def test_a_user_changes_things_so_often_in_all_his_sessions(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "CHANGES", 3)
    for email in ("busy@contoh.id", "calm@contoh.id"):
        site.user(email)
    site.user("minding@contoh.id", role="admin")
    site.later()

    def named(session: httpx.Client, **more: str) -> httpx.Response:
        return session.patch("/portal/api/me", json={"name": "n"}, headers=more)

    def entries() -> int:
        return len(site.accounts.audit.read(Chosen(act="admin.enter")))

    with site.session("busy@contoh.id") as one, site.session("busy@contoh.id") as two:
        # What was no page of ours is no change of his.
        for _ in range(5):
            assert refused(named(one, **{"X-CSRF-Token": "x"})) == (403, "bad_csrf")
        assert [named(one).status_code, named(two).status_code] == [200, 200]
        before = entries()
        assert refused(one.post("/admin/api/users", json={})) == (403, "admin_only")
        site.accounts.audit.bring()
        assert entries() == before + 1
        for session in (one, two):
            answer = named(session)
            assert refused(answer) == (429, "too_many_requests")
            assert answer.headers["ratelimit-policy"] == '"minute";q=3;w=60'
            assert int(answer.headers["retry-after"]) > 0
        assert refused(two.post("/admin/api/users", json={})) == (429, "too_many_requests")
        site.accounts.audit.bring()
        assert entries() == before + 1, "and it is not audited either"
        assert one.get("/portal/api/me").status_code == 200
    with site.session("calm@contoh.id") as calm:
        assert named(calm).status_code == 200
    with site.session("minding@contoh.id") as minding:
        for nth in range(5):
            form = {"email": f"made{nth}@contoh.id"}
            assert minding.post("/admin/api/users", json=form).status_code == 201


def test_the_minute_is_one_users_over_all_his_keys(site: Site) -> None:
    user = site.user("laju@contoh.id", "pro")
    site.accounts.people.set_override(user, {"rate": 5}, CLI)
    shown = [bearer(site, site.key(user, f"k{n}")) for n in range(2)]
    with site.client() as client, site.session("laju@contoh.id") as page:
        for n in range(5):
            answer = client.get("/v1/symbols?limit=2", headers=shown[n % 2])
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"minute";q=5;w=60'
            assert answer.headers["ratelimit"].startswith(f'"minute";r={4 - n};t=')
        for path in ("/v1/symbols", "/v1/ohlcv/NIX", "/v1/nothing"):
            answer = client.get(path, headers=shown[0])
            assert code(answer) == (429, "too_many_requests")
            assert 0 < int(answer.headers["retry-after"]) <= 61
            assert len(answer.headers.get_list("retry-after")) == 1
            assert answer.headers["ratelimit"].startswith('"minute";r=0;t=')
        limited = client.get("/udf/config", headers=shown[1])
        assert limited.status_code == 429 and limited.json()["s"] == "error"
        assert page.get("/v1/symbols").status_code == 429
        assert page.get("/portal/api/me").status_code == 200  # pages are counted apart
        site.later()
        assert client.get("/v1/symbols", headers=shown[0]).status_code == 200
    usage: Usage = site.accounts.usage
    usage.flush()
    rows = usage.of(user, 1)
    assert sum(row.limited for row in rows) == 5
    assert sum(row.requests for row in rows) == 11
    assert {row.key == "" for row in rows} == {True, False}


@pytest.mark.parametrize(
    ("peer", "forwarded", "proto", "found"),
    [
        ("127.0.0.1", b"", b"", Client("127.0.0.1", True)),
        ("::1", b"", b"", Client("::1", True)),
        ("::ffff:127.0.0.1", b"", b"", Client("::ffff:127.0.0.1", True)),
        ("192.0.2.1", b"", b"", Client("192.0.2.1", False)),
        # Not trusted: what it says of others is its own.
        ("192.0.2.1", b"203.0.113.7", b"https", Client("192.0.2.1", False)),
        ("127.0.0.1", b"203.0.113.7", b"", Client("127.0.0.1", False)),
        # Trusted: the last that is not trusted, whatever was made up before it.
        ("10.0.0.1", b"203.0.113.7", b"https", Client("203.0.113.7", False, True)),
        ("10.0.0.1", b"127.0.0.1, 203.0.113.7", b"http", Client("203.0.113.7", False)),
        ("10.0.0.1", b"1.2.3.4, 203.0.113.7,10.9.9.9 ", b"", Client("203.0.113.7", False)),
        ("10.0.0.1", b"203.0.113.7:4711", b"", Client("203.0.113.7", False)),
        ("10.0.0.1", b"[2001:db8::1]:80", b"", Client("2001:db8::1", False)),
        ("10.0.0.1", b"2001:db8::1", b"http, https", Client("2001:db8::1", False, True)),
        ("10.0.0.1", b"unknown, 10.0.0.2", b"", Client("10.0.0.2", False)),
        ("10.0.0.1", b"10.0.0.3", b"", Client("10.0.0.3", False)),
        ("10.0.0.1", b"", b"https", Client("10.0.0.1", False, True)),
        ("", b"", b"", Client("", False)),
    ],
)
def test_addresses_are_read_from_the_end(
    peer: str, forwarded: bytes, proto: bytes, found: Client
) -> None:
    assert (
        client_of(peer, forwarded, proto, front_of("::1", proxies=["10.0.0.0/8"]).proxies) == found
    )


def test_behind_a_proxy_each_client_is_told_apart(behind: Site) -> None:
    def headers(address: str) -> dict[str, str]:
        told = {"X-Forwarded-For": f"127.0.0.1, {address}", "X-Forwarded-Proto": "https"}
        return told | {"Host": "data.example.com"}

    with behind.client() as client:
        for n in range(3):
            answer = client.get("/v1/symbols", headers=headers("203.0.113.7"))
            assert code(answer) == (401, "sign_in_required")
            assert answer.headers["ratelimit"].startswith(f'"minute";r={2 - n};')
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert client.get("/v1/symbols", headers=headers("203.0.113.7")).status_code == 429
        assert client.get("/health", headers=headers("203.0.113.7")).status_code == 429
        assert client.get("/health", headers=headers("203.0.113.8")).status_code == 200
        assert code(client.get("/stats", headers=headers("203.0.113.9"))) == (
            401,
            "sign_in_required",
        )
        assert client.get("/stats").status_code == 200
        for nobody in ("", "127.0.0.1"):  # a proxy's, whomever it names
            shown = headers("") | {"X-Forwarded-For": nobody}
            assert code(client.get("/stats", headers=shown)) == (401, "sign_in_required"), nobody
        for silent in (
            {"Host": "data.example.com"},
            {"Host": "data.example.com", "X-Forwarded-Proto": "https"},
            {"X-Real-IP": "203.0.113.9"},
            {"Via": "1.1 proxy"},
            {"Forwarded": "for=203.0.113.9"},
        ):  # one that does not say for whom it asks
            behind.later(MINUTE_NS * 2)
            assert code(client.get("/stats", headers=silent)) == (401, "sign_in_required"), silent
        assert client.get("/stats").status_code == 200
        assert client.get("/health", headers={"Host": "other.example.com"}).status_code == 421
    with behind.client(headers=headers("198.51.100.1")) as client:
        behind.user("tls@contoh.id")
        answer = client.post("/auth/login", json={"email": "tls@contoh.id", "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert re.match(r"__Host-bursa_session=[^;]{20,}; Max-Age=\d+; Path=/; HttpOnly", cookie)
        assert cookie.endswith("; SameSite=Lax; Secure")


def test_the_admins_door_closes_where_the_counters_are_away(tmp_path: Path) -> None:
    """Data goes on by half the rate, pages of one's own too."""
    with open_house(tmp_path, limits="redis://127.0.0.1:1/0", front=Front()) as site:
        user = site.user("kepala@contoh.id", "pro", "admin")
        nobody = Actor("", "user", "127.0.0.1")
        cookie, _ = site.accounts.people.login("kepala@contoh.id", PASSWORD, nobody)
        key = site.key(user)
        with site.client(cookies={"bursa_session": cookie}) as client:
            answer = client.get("/admin/api/users")
            assert code(answer) == (503, "limits_away") and answer.headers["retry-after"] == "1"
            assert client.get("/portal/api/me").status_code == 200
        with site.client(headers={"X-Api-Key": key}) as client:
            answer = client.get("/udf/config")
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"minute";q=300;w=60'


def test_a_key_made_elsewhere_a_moment_ago_is_known(tmp_path: Path) -> None:
    """Before this process has heard of it the database is asked."""
    with open_house(tmp_path) as site, site.client() as client:
        database, clock = site.accounts.database, site.house.clock
        there = Acts(database, clock, Audit(database, clock, Telemetry(), None))
        there.standing.refresh()
        site.accounts.watch.stop()
        user = there.people.create("jauh@contoh.id", "user", "pro", None, CLI)
        key = there.keys.make(user, "k", None, CLI)[0]
        assert client.get("/udf/config", headers={"X-Api-Key": key}).status_code == 200


def test_every_answer_says_what_is_left_and_every_refusal_counts(tmp_path: Path) -> None:
    """Those too that are given before, behind or beside a door."""
    with open_house(tmp_path, front=Front(rate_per_minute=1_000)) as site:
        machine = bearer(site, site.key(site.user("sisa@contoh.id", "pro")))
        with site.session("sisa@contoh.id") as mine, site.client() as client:
            asks: list[tuple[httpx.Client, str, str, dict[str, str], str]] = [
                (client, "GET", "/health", {"Host": "evil.example"}, "bad_host"),
                (client, "GET", "/v1/symbols", {"Authorization": "Basic eDp4"}, "token_invalid"),
                (client, "POST", "/v1/plugin/heartbeat", machine, "machine_needed"),
                (mine, "POST", "/v1/symbols", {"X-CSRF-Token": "x"}, "bad_csrf"),
                (mine, "PATCH", "/portal/api/me", {"X-CSRF-Token": "x"}, "bad_csrf"),
            ]
            for by, method, path, headers, why in asks:
                left = []
                for _ in range(2):
                    answer = by.request(method, path, headers=headers)
                    assert code(answer)[1] == why
                    found = re.search(r'"minute";r=(\d+);t=\d+', answer.headers["ratelimit"])
                    assert found is not None and "ratelimit-policy" in answer.headers
                    left.append(int(found[1]))
                assert left[1] == left[0] - 1, path
            # A sign-in is limited by its own count, which is nearer.
            login = {"email": "sisa@contoh.id", "password": "not this one"}
            for _ in range(12):
                answer = client.post("/auth/login", json=login)
                assert re.match(r'"minute";q=[12]0;w=60', answer.headers["ratelimit-policy"])
            assert code(answer) == (429, "too_many_tries")
            assert answer.headers["ratelimit"].startswith('"minute";r=0;t=')
        where = site.served.url.replace("http", "ws") + "/v1/stream"
        with connect(where, additional_headers=machine) as socket:
            assert socket.response is not None
            assert socket.response.headers["ratelimit-policy"] == '"minute";q=600;w=60'
            assert socket.response.headers["x-request-id"]
        for path, headers in (
            ("", {"Origin": "https://evil.example"}),
            ("", {"Authorization": "Bearer x"}),
            ("s", machine),
        ):
            with pytest.raises(InvalidStatus) as refused:
                connect(where + path, additional_headers=headers)
            assert "ratelimit" in refused.value.response.headers
