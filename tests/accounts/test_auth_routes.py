"""Signing up, in and out, keys and tokens, over HTTP: as a new user and as a stranger would try."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import jwt
import pytest

from bursa.accounts.audit import Chosen
from bursa.accounts.ids import digest
from bursa.accounts.who import CLI
from bursa.api.auth import exchange
from bursa.api.front import Front, front_of
from tests.accounts.house import MINUTE_NS, PASSWORD, Site, open_house, secret

HOUR_NS = 60 * MINUTE_NS


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_house(tmp_path_factory.mktemp("house")) as site:
        yield site


@pytest.fixture
def site(shared: Site) -> Site:
    """What was tried too often in one test may be tried again in the next."""
    shared.later()
    return shared


def refused(answer: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    body = answer.json()
    assert body["ok"] is False and body["error"] and body["meta"]["request_id"]
    return answer.status_code, body["code"]


def test_a_new_user_signs_up_makes_a_key_and_fetches(site: Site) -> None:
    before = len(site.post.received)
    sari = {"email": "Sari@Contoh.id", "password": PASSWORD}
    with site.client() as client:
        answer = client.post("/auth/signup", json={**sari, "name": "Sari"})
        assert answer.status_code == 202 and answer.json()["data"] == {"email": "sari@contoh.id"}
        assert refused(client.post("/auth/login", json=sari)) == (403, "unverified")
        letter = site.letter(before + 1)
        assert letter.to == ["sari@contoh.id"]
        assert f"{site.served.url}/verify?token=" in letter.text
        link = {"token": secret(letter)}
        assert client.post("/auth/verify", json=link).json()["data"]["email"] == "sari@contoh.id"
        assert refused(client.post("/auth/verify", json=link)) == (400, "bad_link")

        answer = client.post("/auth/login", json=sari)
        cookie = answer.headers["set-cookie"]
        assert answer.json()["data"]["role"] == "user"
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="))
        token = answer.json()["data"]["csrf"]
        me = client.get("/portal/api/me").json()["data"]
        assert (me["email"], me["name"], me["tier"], me["csrf"]) == (
            "sari@contoh.id", "Sari", "free", token,
        )  # fmt: skip
        assert me["rights"]["timeframes"] == ["1d"] and me["rights"]["machines"] == 1

        new = {"name": "Backtest box", "expires": "2099-01-31T00:00:00+07:00"}
        assert refused(client.post("/portal/api/keys", json=new)) == (403, "bad_csrf")
        client.headers["X-CSRF-Token"] = token
        answer = client.post("/portal/api/keys", json=new)
        made = answer.json()["data"]
        key = made.pop("key")
        assert answer.status_code == 201 and key.startswith(made["prefix"]) and len(key) == 73
        assert made["expires"] == "2099-01-30T17:00:00Z" and made["state"] == "active"
        # Once: the list tells its ends alone.
        text = client.get("/portal/api/keys").text
        assert made == json.loads(text)["data"][0] and key not in text and key[9:40] not in text

        answer = client.post("/v1/auth/token", json={"api_key": key})
        given = answer.json()["data"]
        assert (given["expires_in"], given["tier"]) == (900, "free")
        with site.client(headers={"Authorization": f"Bearer {given['token']}"}) as program:
            assert program.get("/v1/symbols").status_code == 200
            gone = client.delete(f"/portal/api/keys/{made['id']}").json()["data"]
            assert gone["state"] == "revoked" and gone["revoked"]
            # At once, and for good: neither the token nor a new one.
            assert refused(program.get("/v1/symbols")) == (401, "key_revoked")
            assert refused(program.post("/v1/auth/refresh")) == (401, "key_revoked")
            again = program.post("/v1/auth/token", json={"api_key": key})
            assert refused(again) == (401, "key_revoked")
            assert again.headers["www-authenticate"] == "Bearer"

        client.cookies.clear()
        client.headers["Cookie"] = cookie.partition(";")[0]
        assert client.get("/portal/api/me").status_code == 200
        answer = client.post("/auth/logout", json={})
        assert answer.status_code == 200 and "Max-Age=0" in answer.headers["set-cookie"]
        # The cookie that a thief may have kept opens nothing either.
        assert refused(client.get("/portal/api/me"))[0] == 401


def test_no_answer_tells_who_has_an_account(site: Site) -> None:
    site.user("budi@contoh.id")
    known, unknown = "budi@contoh.id", "nobody@contoh.id"
    before = len(site.post.received)

    def said(answer: Any) -> tuple[int, Any, list[str]]:
        body = answer.json()
        body.pop("meta")
        return answer.status_code, body, sorted(answer.headers)

    with site.client() as client:
        for path, more in (("/auth/login", {"password": "wrong password"}), ("/auth/forgot", {})):
            answers = [said(client.post(path, json={"email": e, **more})) for e in (known, unknown)]
            if path == "/auth/forgot":
                assert [a[1].pop("data")["email"] for a in answers] == [known, unknown]
            assert answers[0] == answers[1]
        site.letter(before + 1)
        answers = [
            said(client.post("/auth/signup", json={"email": e, "password": PASSWORD}))
            for e in (known, unknown)
        ]
        assert [answer[0] for answer in answers] == [202, 202]
        assert [a[1].pop("data")["email"] for a in answers] == [known, unknown]
        assert answers[0] == answers[1]
        site.post.wait(before + 3)
        client.post("/auth/signup", json={"email": unknown, "password": "of a stranger 7"})
    letters = site.post.wait(before + 4)[before:]
    assert [(one.to[0], one.message["subject"]) for one in letters] == [
        (known, "Choose a new password"),
        (known, "You have an account already"),
        (unknown, "Confirm your address"),
        # Who of the two is a stranger cannot be known: who has the mailbox chooses the password.
        (unknown, "Choose a new password"),
    ]
    # And nothing of the account that there is was changed.
    with site.session(known):
        pass


def test_a_forgotten_password_is_chosen_anew_by_the_link_alone(site: Site) -> None:
    site.user("ayu@contoh.id")
    before = len(site.post.received)
    with site.session("ayu@contoh.id") as inside, site.client() as client:
        for _ in range(2):
            client.post("/auth/forgot", json={"email": "ayu@contoh.id"})
        old, new = (secret(letter) for letter in site.post.wait(before + 2)[before:])
        fresh = "teh tawar 9 gelas"
        reset = {"token": new, "password": "short"}
        weak = client.post("/auth/reset", json=reset)
        assert refused(weak) == (400, "weak_password")
        assert weak.json()["meta"]["parameter"] == "password"
        reset["password"] = fresh
        # A newer link puts the older one out of use; one that is used, too.
        assert refused(client.post("/auth/reset", json={**reset, "token": old}))[1] == "bad_link"
        assert client.post("/auth/reset", json=reset).status_code == 200
        assert refused(client.post("/auth/reset", json=reset)) == (400, "bad_link")
        assert refused(inside.get("/portal/api/me")) == (401, "session_ended")
        assert site.letter(before + 3).message["subject"] == "Your password was changed"
        site.later()
        login = {"email": "ayu@contoh.id", "password": PASSWORD}
        assert refused(client.post("/auth/login", json=login)) == (401, "sign_in_failed")
        assert client.post("/auth/login", json={**login, "password": fresh}).status_code == 200
        client.post("/auth/forgot", json={"email": "ayu@contoh.id"})
        late = secret(site.letter(before + 4))
        site.later(HOUR_NS + 1)
        assert refused(client.post("/auth/reset", json={**reset, "token": late}))[1] == "bad_link"


def test_forms_without_script_are_led_on_and_back(site: Site) -> None:
    site.user("dewi@contoh.id")
    login = {"email": "dewi@contoh.id", "password": PASSWORD}
    with site.client() as client:
        for given, led in (
            ("/chart?ticker=BBCA", "/chart?ticker=BBCA"),
            ("", "/portal"),
            ("//evil.example/", "/portal"),
            ("/\\evil.example", "/portal"),
            ("https://evil.example/", "/portal"),
            ("/a\nb", "/portal"),
        ):
            answer = client.post("/auth/login", data={**login, "next": given, "csrf": "whatever"})
            assert (answer.status_code, answer.headers["location"]) == (303, led)
            assert "bursa_session=" in answer.headers["set-cookie"]
        answer = client.post("/auth/login", data={**login, "password": "wrong one", "next": "/x"})
        assert answer.headers["location"] == "/sign-in?error=sign_in_failed&next=%2Fx"
        answer = client.post("/auth/verify", data={"token": "none"})
        assert answer.headers["location"] == "/verify?error=bad_link&token=none"
        answer = client.post("/auth/signup", data={"email": "x", "password": PASSWORD})
        assert answer.headers["location"] == "/sign-up?error=bad_email"
        # With a session a form shows its token; without it nothing happens.
        me = client.get("/portal/api/me").json()["data"]
        assert client.post("/auth/logout", data={}).status_code == 403
        answer = client.post("/auth/logout", data={"csrf": me["csrf"]})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?done=out")
    with site.client(headers={"Origin": "https://evil.example"}) as client:
        assert refused(client.post("/auth/login", data=login)) == (403, "foreign_origin")


def test_tries_are_limited_by_account_and_by_address(site: Site) -> None:
    site.user("eko@contoh.id")
    wrong = {"email": "eko@contoh.id", "password": "wrong password"}
    with site.client() as client:
        codes = [refused(client.post("/auth/login", json=wrong)) for _ in range(11)]
        assert codes == [(401, "sign_in_failed")] * 10 + [(429, "too_many_tries")]
        # The right password does not help: a guess is a guess.
        answer = client.post("/auth/login", json={**wrong, "password": PASSWORD})
        assert answer.status_code == 429 and 0 < int(answer.headers["retry-after"]) <= 61
        for at in range(8):
            client.post("/auth/login", json={**wrong, "email": f"{at}@contoh.id"})
        last = client.post("/auth/login", json={**wrong, "email": "other@contoh.id"})
        assert refused(last) == (429, "too_many_tries")
        site.later()
        answer = client.post("/auth/login", json={**wrong, "password": PASSWORD})
        assert answer.status_code == 200


def test_tokens_are_what_the_keys_of_jwks_verify_and_are_renewed_for_an_hour(site: Site) -> None:
    user = site.user("fitri@contoh.id", "pro")
    key = site.key(user)
    with site.client() as client:
        token = client.post("/v1/auth/token", json={"api_key": key}).json()["data"]["token"]
        (known, *_) = client.get("/.well-known/jwks.json").json()["keys"]
        assert set(known) == {"kty", "use", "alg", "kid", "n", "e"}
        head = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
        assert (head["kid"], head["alg"]) == (known["kid"], "RS256")
        public = jwt.PyJWK(known).key
        options: Any = {"verify_exp": False, "verify_iat": False}
        claims = jwt.decode(token, public, ["RS256"], audience="bursa-api", options=options)
        assert (claims["sub"], claims["iss"], claims["tier"]) == (user, "bursa", "pro")
        assert claims["exp"] - claims["iat"] == 900 and claims["machine_id"] == ""

        bearer = {"Authorization": f"Bearer {token}"}
        site.later(20 * MINUTE_NS)
        assert refused(client.get("/v1/symbols", headers=bearer)) == (401, "token_expired")
        renewed = client.post("/v1/auth/refresh", headers=bearer).json()["data"]
        assert renewed["token"] != token and renewed["expires_in"] == 900
        fresh = {"Authorization": f"Bearer {renewed['token']}"}
        assert client.get("/v1/symbols", headers=fresh).status_code == 200
        # In the body as well.
        assert client.post("/v1/auth/refresh", json={"token": token}).status_code == 200
        site.later(41 * MINUTE_NS)
        late = client.post("/v1/auth/refresh", headers=bearer)
        assert refused(late) == (401, "token_expired")
        assert client.post("/v1/auth/refresh", headers=fresh).status_code == 200
        site.accounts.people.disable(user, CLI)
        assert refused(client.post("/v1/auth/refresh", headers=fresh)) == (401, "user_disabled")
        exchange = client.post("/v1/auth/token", json={"api_key": key})
        assert refused(exchange) == (401, "user_disabled")


@pytest.mark.parametrize(
    ("path", "sent", "status", "code", "parameter"),
    [
        ("/v1/auth/token", b"{}", 400, "bad_body", "api_key"),
        ("/v1/auth/token", b'{"api_key": 7}', 400, "bad_body", "api_key"),
        ("/v1/auth/token", b'{"api_key": "idx_live_00", "more": 1}', 400, "bad_body", "more"),
        ("/v1/auth/token", b'{"api_key": "idx_live_00"}', 401, "unknown_key", None),
        ("/v1/auth/token", b"[]", 400, "bad_body", None),
        ("/v1/auth/token", b"{" + b" " * 9_000, 413, "body_too_large", None),
        ("/v1/auth/token?a=1", b"{}", 400, "unknown_parameter", "a"),
        ("/v1/auth/refresh", b"{}", 400, "bad_body", "token"),
        ("/v1/auth/refresh", b'{"token": "a.b.c"}', 401, "token_invalid", None),
        ("/auth/login", b'{"email": "a@b.id"}', 400, "bad_body", "password"),
        ("/auth/login", b'{"email": "a@b.id", "password": "\\u0000"}', 400, "bad_body", "password"),
        ("/auth/signup", b'{"email": "a", "password": "1234567890ab"}', 400, "bad_email", "email"),
        ("/auth/signup", b'{"email": "a@b.id", "password": "x"}', 400, "weak_password", "password"),
        ("/auth/forgot", b'{"email": "not one"}', 400, "bad_email", "email"),
        ("/v1/plugin/activate", b'{"api_key": "x", "machine_id": ""}', 400, "bad_body", None),
    ],
)
def test_what_is_malformed_is_refused_by_name(
    site: Site, path: str, sent: bytes, status: int, code: str, parameter: str | None
) -> None:
    with site.client() as client:
        answer = client.post(path, content=sent, headers={"Content-Type": "application/json"})
        assert refused(answer) == (status, code)
        if parameter is not None:
            assert answer.json()["meta"]["parameter"] == parameter
        # No other type is taken for it, as a page of elsewhere could send without asking.
        answer = client.post(path.partition("?")[0], content=sent)
        assert refused(answer) == (415, "bad_media_type")
        answer = client.get(path)
        assert refused(answer) == (405, "method_not_allowed")
        assert "POST" in answer.headers["allow"]


def test_who_hangs_up_within_a_body_is_no_fault_of_ours(site: Site) -> None:
    def counted(code: str) -> float:
        said = {"code": code}
        return site.house.telemetry.registry.get_sample_value("bursa_refused_total", said) or 0

    cut, faults = counted("body_cut"), counted("internal")
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        with socket.create_connection(("127.0.0.1", site.served.port), timeout=60) as wire:
            head = f"Host: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n\r\n"
            wire.sendall(f"POST /auth/login HTTP/1.1\r\n{head}".encode() + b"{")
    until = time.monotonic() + 60
    while counted("body_cut") < cut + 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert (counted("body_cut"), counted("internal")) == (cut + 2, faults)


def test_sign_up_can_be_closed(site: Site) -> None:
    site.accounts.matrix.set("sign_up", "closed", CLI)
    try:
        with site.client() as client:
            form = {"email": "new@contoh.id", "password": PASSWORD}
            assert refused(client.post("/auth/signup", json=form)) == (403, "sign_up_closed")
    finally:
        site.accounts.matrix.set("sign_up", "open", CLI)


def test_behind_a_proxy_links_and_cookies_are_those_of_the_public_address(tmp_path: Path) -> None:
    front = Front(public_url="https://data.example")
    with open_house(tmp_path, front=front) as site, site.client() as client:
        hani = {"email": "hani@contoh.id", "password": PASSWORD}
        # The Host that is asked says nothing of where a letter's link leads.
        client.post("/auth/signup", json=hani)
        letter = site.letter(1)
        assert "    https://data.example/verify?token=" in letter.text
        assert site.served.url not in letter.text
        client.post("/auth/verify", json={"token": secret(letter)})
        answer = client.post("/auth/login", json=hani)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-bursa_session=") and "; Secure" in cookie


def test_exchanges_of_a_network_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "EXCHANGES", 2)
    front = front_of("127.0.0.1", proxies=["127.0.0.1"])
    with open_house(tmp_path, front=front) as site, site.client() as client:
        key = {"api_key": site.key(site.user("kiki@contoh.id"))}
        for address, status in (("::1:1", 200), ("::1:2", 200), ("::1:3", 429), (":1::1", 200)):
            shown = {"X-Forwarded-For": f"2001:db8{address}"}
            answer = client.post("/v1/auth/token", json=key, headers=shown)
            assert answer.status_code == status, address


def test_the_audit_hears_of_failed_exchanges_and_once_a_minute_of_tries_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "EXCHANGES", 3)
    with open_house(tmp_path) as site, site.client() as client:
        key = site.key(site.user("lena@contoh.id"))
        of_key = site.accounts.standing.key_by_hash(digest(key))
        site.accounts.keys.revoke(str(of_key), CLI)

        def refusals(act: str, count: int) -> list[tuple[str, dict[str, Any]]]:
            """What the audit has of them before long, and no more."""
            until = time.monotonic() + 90
            while True:
                found = site.accounts.audit.read(Chosen(act=act, ok=False))
                if len(found) >= count or time.monotonic() > until:
                    break
                time.sleep(0.02)
            assert {one.address for one in found} == {"127.0.0.1"}
            told = [(one.target, json.loads(one.after or "{}")) for one in found]
            assert len(told) == count, told
            return sorted(told, key=str)

        for shown in ("idx_live_nobody", key, key, key, key, key):
            client.post("/v1/auth/token", json={"api_key": shown})
        site.later()
        machine = {"api_key": key, "machine_id": "DESK-03", "plugin_version": "1.0"}
        client.post("/v1/plugin/activate", json=machine)
        site.accounts.turned_away.flush()
        many = {"code": "too_many_tries"}
        assert refusals("key.exchange", 6) == [
            ("", many | {"count": 1}),
            ("", many | {"count": 2}),
            ("", {"code": "unknown_key"}),
            *[(of_key, {"code": "key_revoked"})] * 3,
        ]
        wrong = {"email": "Lena@contoh.id", "password": "wrong password"}
        for _ in range(16):
            client.post("/auth/login", json=wrong)
        site.accounts.turned_away.flush()
        site.accounts.turned_away.flush(last=True)
        told = [after for _, after in refusals("sign_in", 12) if "count" in after]
        assert told == [many | {"count": 1}, many | {"count": 5}]
        assert "idx_live_" not in str(site.accounts.audit.read(Chosen(act="key.exchange")))


def test_whoever_has_a_letter_sent_does_not_choose_where_its_link_leads() -> None:
    for front, host, link in (
        (Front(), b"localhost:31337", "http://127.0.0.1:80"),
        (Front("::1"), b"127.0.0.1:1", "http://[::1]:80"),
        (Front("0.0.0.0", frozenset({"b.id", "a.id"})), b"B.id:80", "http://b.id:80"),
        (Front("0.0.0.0", frozenset({"b.id", "a.id"})), b"b.id:31337", "http://b.id"),
        (Front("0.0.0.0", frozenset({"b.id", "a.id"})), b"localhost:31337", "http://a.id:80"),
        (Front(public_url="https://c.id"), b"localhost:31337", "https://c.id"),
    ):
        assert front.link("http", host, 80) == link


def test_a_flood_of_sign_ins_keeps_nobody_from_his_tokens(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = site.key(site.user("joko@contoh.id"))
    login = {"email": "joko@contoh.id", "password": PASSWORD}
    with site.session("joko@contoh.id") as session, site.client() as client:
        taken = BoundedSemaphore()
        taken.acquire()
        monkeypatch.setattr(site.served.services.passwords, "_places", taken)
        for path in ("/auth/login", "/auth/signup"):
            assert refused(client.post(path, json=login)) == (503, "busy")
        token = client.post("/v1/auth/token", json={"api_key": key}).json()["data"]["token"]
        shown = {"Authorization": f"Bearer {token}"}
        assert client.post("/v1/auth/refresh", headers=shown).status_code == 200
        assert client.get("/v1/symbols", headers=shown).status_code == 200
        assert session.get("/portal/api/keys").status_code == 200


def test_nobody_signs_in_or_exchanges_by_guess_while_the_limits_are_away(tmp_path: Path) -> None:
    with open_house(tmp_path, "redis://127.0.0.1:1/0") as site, site.client() as client:
        key = site.key(site.user("gita@contoh.id"))
        login = {"email": "gita@contoh.id", "password": PASSWORD}
        for path, body in (
            ("/auth/login", login),
            ("/auth/signup", {**login, "email": "new@contoh.id"}),
            ("/auth/forgot", {"email": "gita@contoh.id"}),
            ("/v1/auth/token", {"api_key": key}),
            ("/v1/plugin/activate", {"api_key": key, "machine_id": "m", "plugin_version": "1"}),
        ):
            answer = client.post(path, json=body)
            assert refused(answer) == (503, "limits_away"), path
            assert answer.headers["retry-after"]
