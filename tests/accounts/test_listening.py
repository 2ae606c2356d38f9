"""Who may listen to the streams: shown by the handshake or by the first message; and for how long:
what is revoked closes what is open within a second."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bursa.accounts.who import CLI, DEMO, NOBODY, Principal
from bursa.api.stream import admitted
from tests.accounts.house import Site, open_house
from tests.api.clients import Socket
from tests.api.floor import DAYS
from tests.prompt import prompt
from tests.running import wait_for

SECOND_S = 1.0
ORDER = {"action": "subscribe", "tickers": ["BBCA"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_house(tmp_path_factory.mktemp("listening")) as found:
        found.house.day(DAYS[1], minutes=3, auction=False)
        yield found


def token(site: Site, key: str) -> str:
    with site.client() as client:
        answer = client.post("/v1/auth/token", json={"api_key": key})
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["data"]["token"]
        return found


def opened(site: Site, url: str = "", **headers: str) -> Socket:
    return Socket(site.served.hub, url or site.served.ws, additional_headers=headers)


def refused(site: Site, url: str = "", **headers: str) -> tuple[int, str]:
    """Status and code of a handshake that fails."""
    with pytest.raises(InvalidStatus) as failure, opened(site, url, **headers):
        pass
    response = failure.value.response
    return response.status_code, json.loads(response.body)["code"]


def end(client: Socket) -> tuple[str, int, str]:
    """The code of the last error frame, close code and reason."""
    code = ""
    while True:
        try:
            frame = client.next()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return code, closed.rcvd.code, closed.rcvd.reason
        code = frame["code"] if frame["type"] == "error" else code


def test_a_handshake_shows_a_token_or_a_session(site: Site) -> None:
    key = site.key(site.user("ws@contoh.id", "pro"))
    good = token(site, key)
    with opened(site, Authorization=f"Bearer {good}") as client:
        client.say(**ORDER)
        assert client.next()["type"] == "subscribed"
    with site.session("ws@contoh.id") as session:
        cookie = f"bursa_session={session.cookies['bursa_session']}"
        with opened(site, Cookie=cookie, Origin=site.served.url) as client:
            client.say(**ORDER)
            assert client.next()["type"] == "subscribed"
        # Another site's page has the browser send the cookie too.
        foreign = {"Cookie": cookie, "Origin": "https://evil.example"}
        assert refused(site, **foreign) == (403, "foreign_origin")
    assert refused(site, Authorization="Bearer x") == (401, "token_invalid")
    assert refused(site, Authorization=f"Bearer {key}") == (401, "token_invalid")
    assert refused(site, Cookie=f"bursa_session={'x' * 43}") == (401, "session_ended")
    # The router takes other spellings of the path for the same; so does who judges.
    for spelled in (site.served.ws + "/", site.served.ws.replace("/v1/", "//v1//")):
        assert refused(site, spelled, Authorization="Bearer x") == (401, "token_invalid")
        with opened(site, spelled, Authorization=f"Bearer {good}") as client:
            client.say(**ORDER)
            assert client.next()["type"] == "subscribed"


def test_a_first_message_shows_a_token(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    good = token(site, site.key(site.user("first@contoh.id", "pro")))
    with opened(site) as client:
        for said in ("x", '{"action":"ping"}', json.dumps(ORDER), '{"action":"auth"}', b"\0"):
            client.wire.send(said)
            frame = client.next()
            assert (frame["type"], frame["code"]) == ("error", "auth_required")
        client.say(action="auth", token=good)
        assert client.next() == {"type": "authenticated", "tier": "pro", "stream_symbols": 50}
        client.say(**ORDER)
        assert client.next()["type"] == "subscribed"
    with opened(site) as client:
        client.say(action="auth", token=good[:-4])
        assert end(client) == ("token_invalid", 4401, "token_invalid")
    # One address does not take all places of those who have not said who they are.
    monkeypatch.setattr(admitted, "WAITING_OF_ONE_MAX", 1)
    with opened(site) as first:
        first.wire.send("x")
        assert first.next()["code"] == "auth_required"
        with opened(site) as client:
            assert end(client) == ("too_many_clients", 1013, "too_many_clients")
        first.say(action="auth", token=good)
        assert first.next()["type"] == "authenticated"
        with opened(site) as client:
            client.say(action="auth", token=good)
            assert client.next()["type"] == "authenticated"
    monkeypatch.setattr(admitted, "AUTH_S", 0.2)
    with opened(site) as client:
        assert end(client) == ("auth_timeout", 4401, "auth_timeout")
    monkeypatch.setattr(admitted, "WAITING_MAX", 0)
    with opened(site) as client:
        assert end(client) == ("too_many_clients", 1013, "too_many_clients")
    with site.client() as client:
        answer = client.get("/v1/live?tickers=BBCA")
        assert (answer.status_code, answer.json()["code"]) == (401, "sign_in_required")


def test_nobody_takes_all_places_of_the_stream(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = (site.key(site.user(f"{name}@contoh.id", "pro")) for name in ("greedy", "meek"))
    shown = {"Authorization": f"Bearer {token(site, key)}"}
    post = site.served.hub.post
    wait_for(lambda: not post.clients)  # those of other tests are gone
    monkeypatch.setattr(post, "_clients_max", 20)
    with opened(site, **shown), opened(site, **shown), site.client(headers=shown) as client:
        with opened(site, **shown) as third:
            assert end(third) == ("too_many_clients", 1013, "too_many_clients")
        answer = client.get("/v1/live?tickers=BBCA")
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_clients")
        with opened(site, Authorization=f"Bearer {token(site, other)}") as client_of_other:
            client_of_other.say(**ORDER)
            assert client_of_other.next()["type"] == "subscribed"
    wait_for(lambda: not post.clients)
    with opened(site, **shown) as again:
        again.say(**ORDER)
        assert again.next()["type"] == "subscribed"


@pytest.mark.parametrize(
    ("who", "address", "whose"),
    [
        (DEMO, "127.0.0.1", ""),
        (NOBODY, "127.0.0.1", ""),
        (NOBODY, "203.0.113.9", "203.0.113.9"),
        (NOBODY, "2001:db8::7", "2001:db8::/64"),
        (replace(DEMO, user="usr_1", via="token"), "203.0.113.9", "usr_1"),
    ],
)
def test_places_are_counted_by_user_else_by_address(
    who: Principal, address: str, whose: str
) -> None:
    assert admitted.holder(who, address) == whose


Revoke = Callable[[Site, dict[str, str]], object]
REVOKED: dict[str, tuple[str, Revoke]] = {
    "its key": ("key_revoked", lambda s, ids: s.accounts.keys.revoke(ids["key"], CLI)),
    "its user": ("user_disabled", lambda s, ids: s.accounts.people.disable(ids["user"], CLI)),
}


@pytest.mark.parametrize("what", REVOKED)
def test_what_is_revoked_closes_its_streams_within_a_second(site: Site, what: str) -> None:
    """The token was accepted just before; another user's stream stays."""
    prompt(lambda nth: revoked(site, what, nth), SECOND_S)


def revoked(site: Site, what: str, nth: int) -> float:
    """Seconds until both streams of his are closed."""
    code, revoke = REVOKED[what]
    user = site.user(f"{what.replace(' ', '.')}.{nth}@contoh.id", "pro")
    full, row = site.accounts.keys.make(user, "k", None, CLI)
    shown = {"Authorization": f"Bearer {token(site, full)}"}
    other = {"Authorization": f"Bearer {token(site, site.key(site.user(f'{user}@b.id', 'pro')))}"}
    with (
        opened(site, **shown) as client,
        opened(site, **other) as bystander,
        site.client(headers=shown) as http,
    ):
        client.say(**ORDER)
        assert client.next()["type"] == "subscribed"
        bystander.say(**ORDER)
        assert bystander.next()["type"] == "subscribed"
        with http.stream("GET", "/v1/live?tickers=BBCA") as events:
            lines = events.iter_lines()
            while '"subscribed"' not in next(lines):
                pass
            assert http.get("/v1/symbols").status_code == 200
            began = time.monotonic()
            revoke(site, {"user": user, "key": row.id})
            assert end(client) == (code, 4401, code)
            told = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
            took_s = time.monotonic() - began
            assert told[-1] == {"type": "closed", "code": 4401, "reason": code}
        answer = http.get("/v1/symbols")
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert refused(site, **shown) == (401, code)
        bystander.say(action="ping")
        assert bystander.until("pong")[-1]["type"] == "pong"
    return took_s


def test_who_signs_out_listens_no_more(site: Site) -> None:
    user = site.user("keluar@contoh.id", "pro")
    with site.session("keluar@contoh.id") as session:
        cookie = f"bursa_session={session.cookies['bursa_session']}"
        with opened(site, Cookie=cookie) as client:
            client.say(**ORDER)
            assert client.next()["type"] == "subscribed"
            assert session.post("/auth/logout").status_code in (200, 303)
            assert end(client)[1:] == (4401, "session_ended")
    assert site.accounts.sessions.list(user, site.house.clock.ns) == []


def test_a_stream_outlives_its_token_and_goes_on_by_another(site: Site) -> None:
    user = site.user("lama@contoh.id", "pro")
    full, row = site.accounts.keys.make(user, "old", None, CLI)
    newer = site.key(user, "new")
    stranger = token(site, site.key(site.user("asing@contoh.id", "pro")))
    with opened(site, Authorization=f"Bearer {token(site, full)}") as client:
        client.say(**ORDER)
        assert client.next()["type"] == "subscribed"
        site.later(16 * 60 * 10**9)
        site.accounts.people.set_tier(user, "enterprise", CLI)  # so that it is asked again
        client.say(action="auth", token=token(site, newer))
        while (frame := client.next())["type"] != "authenticated":
            assert frame["type"] == "bar"
        assert frame == {"type": "authenticated", "tier": "enterprise", "stream_symbols": None}
        client.say(action="auth", token=stranger)
        assert client.until("error")[-1]["code"] in ("other_user", "token_expired")
        client.say(action="auth")
        assert client.until("error")[-1]["code"] == "missing_parameter"
        site.accounts.keys.revoke(row.id, CLI)  # it goes on by the newer one
        client.say(action="ping")
        assert client.until("pong")[-1]["type"] == "pong"


def test_a_session_that_is_over_ends_its_stream_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has changed in the database then: it is looked at now and then."""
    monkeypatch.setattr(admitted, "LOOK_S", 0.05)
    with open_house(tmp_path) as site:
        site.house.day(DAYS[1], minutes=3, auction=False)
        site.user("tidur@contoh.id", "pro")
        with site.session("tidur@contoh.id") as session:
            cookie = f"bursa_session={session.cookies['bursa_session']}"
            with opened(site, Cookie=cookie) as client:
                client.say(**ORDER)
                assert client.next()["type"] == "subscribed"
                site.later(8 * 24 * 3600 * 10**9)
                assert end(client)[1:] == (4401, "session_ended")
