"""Two servers, each with its own copy of the data, share users on PostgreSQL and limits on Redis.

What is done to an account by one of them, or by a verb, holds in both within a second: by whatever
was accepted a moment ago, and for streams that are open. Also after either server was away.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from bursa.accounts.audit import Audit
from bursa.accounts.parts import Acts
from bursa.accounts.who import CLI
from bursa.app import SystemClock
from bursa.cli import app
from bursa.model.errors import Retry
from bursa.ops.telemetry import Telemetry
from bursa.state.database import Database
from tests.prompt import PATIENT_S, prompt
from tests.running import Bursa, token
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

MS = 1_763_692_200_000
TRADES = "".join(
    f'{{"e":"trade","E":{MS + n * 30_000},"s":"BTCUSDT","t":{n},"p":"{60_000 + n}","q":"1",'
    f'"T":{MS + n * 30_000},"m":true}}\n'
    for n in range(1, 9)
)
MINUTES = "/v1/ohlcv/BTCUSDT?tf=1m&limit=2"
PASSWORD = "kopi susu 7 gelas"
# How soon a change must hold everywhere.
LIVE_S = 1.0


Is = Callable[[], bool]


@dataclass
class Someone:
    """A user, his key, and the token that he shows."""

    id: str
    email: str
    key_id: str
    key: str
    token: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class Pair:
    """The two servers, and a third process's hands on the accounts: these."""

    both: tuple[Bursa, Bursa]
    acts: Acts
    url: str
    clients: list[httpx.Client] = field(default_factory=list)
    said: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clients = [httpx.Client(base_url=one.url, timeout=PATIENT_S) for one in self.both]

    def someone(self, tier: str, role: str = "user") -> Someone:
        """A user of a tier; what he asks first he asks with a token of the first server."""
        email = f"{time.monotonic_ns()}@two.example"
        user = self.acts.people.create(email, role, tier, PASSWORD, CLI)
        key, row = self.acts.keys.make(user, "test", None, CLI)
        return Someone(user, email, row.id, key, token(self.both[0].url, key))

    def ask(self, who: Someone, path: str = "/v1/symbols") -> list[tuple[int, str]]:
        """What both say to him: status and code."""
        answers = [client.get(path, headers=who.headers) for client in self.clients]
        return [(one.status_code, one.json().get("code", "")) for one in answers]

    def cookie(self, who: Someone) -> dict[str, str]:
        """A session of his, begun at the first."""
        login, url = {"email": who.email, "password": PASSWORD}, self.both[0].url
        answer = httpx.post(
            f"{url}/auth/login", json=login, headers={"Origin": url}, timeout=PATIENT_S
        )
        assert answer.status_code == 200, answer.text
        return {"Cookie": f"bursa_session={answer.cookies['bursa_session']}"}

    def says(self, who: Someone, status: int, code: str = "", path: str = "/v1/symbols") -> Is:
        """Whether both say that to him, when it is asked."""

        def reached() -> bool:
            self.said = self.ask(who, path)
            return self.said == [(status, code)] * 2

        return reached

    @contextlib.contextmanager
    def streams(self, who: Someone) -> Iterator[list[ClientConnection]]:
        """A stream of his to each, open."""
        with contextlib.ExitStack() as stack:
            places = [f"{one.url.replace('http', 'ws', 1)}/v1/stream" for one in self.both]
            yield [
                stack.enter_context(connect(place, additional_headers=who.headers))
                for place in places
            ]

    def live(self, reached: Is, since: float) -> float:
        """Seconds since then until something is so."""
        while not reached():
            assert time.monotonic() - since < PATIENT_S, f"never: {self.said}"
            time.sleep(0.01)
        return time.monotonic() - since


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, redis: Redis
) -> Iterator[Pair]:
    folder, url = tmp_path_factory.mktemp("two"), postgres.database()
    data = folder / "one"
    trades = folder / "trades"
    trades.write_text(TRADES)
    store = ["replay", str(trades), "--venue", "binance", "--data", str(data)]
    replayed = CliRunner().invoke(app, store)
    assert replayed.exit_code == 0, replayed.output
    shutil.copytree(data, folder / "other")
    settings = {
        "accounts_database": url,
        "accounts_limits": redis.url(),
        "accounts_secrets": str(folder / "secrets"),
    }
    clock = SystemClock()
    with contextlib.ExitStack() as stack:
        one, other = (Bursa(folder / name, **settings) for name in ("one", "other"))
        for each in (one, other):
            stack.push(each.__exit__)
        one.__enter__()
        other.__enter__()
        database = stack.enter_context(contextlib.closing(Database(url)))
        acts = Acts(database, clock, Audit(database, clock, Telemetry(), None))
        acts.standing.refresh()
        made = Pair((one, other), acts, url)
        for client in made.clients:
            stack.enter_context(client)
        yield made


@pytest.fixture
def empty(redis: Redis) -> None:
    """Nobody was counted."""
    with redis.client() as client:
        client.flushall()


def closing_code(stream: ClientConnection) -> int | None:
    try:
        while True:
            stream.recv(timeout=PATIENT_S)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


@pytest.mark.parametrize("code", ["key_revoked", "user_disabled"])
def test_what_is_revoked_is_refused_within_a_second_by_both(pair: Pair, code: str) -> None:
    def once(_: int) -> float:
        who = pair.someone("pro")
        assert pair.ask(who, MINUTES) == [(200, "")] * 2
        with pair.streams(who) as streams:
            if code == "key_revoked":
                pair.acts.keys.revoke(who.key_id, CLI)
            else:
                pair.acts.people.disable(who.id, CLI)
            since = time.monotonic()
            pair.live(pair.says(who, 401, code), since)
            assert [closing_code(stream) for stream in streams] == [4401] * 2
            took_s = time.monotonic() - since
        for bursa in pair.both:
            url, key = f"{bursa.url}/v1/auth", {"api_key": who.key}
            refused = httpx.post(f"{url}/refresh", headers=who.headers, timeout=PATIENT_S)
            assert refused.status_code == 401, "nor is his token renewed"
            assert httpx.post(f"{url}/token", json=key, timeout=PATIENT_S).status_code == 401
        return took_s

    prompt(once, LIVE_S)


def test_what_one_server_ends_the_other_refuses(pair: Pair) -> None:
    """By a page's request to the first: a session there, a key of its own."""
    first, second = pair.clients

    def once(_: int) -> float:
        who = pair.someone("pro")
        cookie = pair.cookie(who)
        csrf = cookie | {
            "X-CSRF-Token": first.get("/portal/api/me", headers=cookie).json()["data"]["csrf"]
        }
        over_there = second.get("/portal/api/me", headers=cookie)
        assert over_there.status_code == 200, "a session is everywhere at once"
        assert pair.ask(who) == [(200, "")] * 2
        gone = first.delete(f"/portal/api/keys/{who.key_id}", headers=csrf)
        since = time.monotonic()
        assert gone.status_code == 200, gone.text
        assert first.get("/v1/symbols", headers=who.headers).status_code == 401, "here at once"
        took_s = pair.live(pair.says(who, 401, "key_revoked"), since)
        assert first.post("/auth/logout", json={}, headers=csrf).status_code == 200
        out = time.monotonic()

        def out_there() -> bool:
            return second.get("/portal/api/me", headers=cookie).status_code == 401

        return max(took_s, pair.live(out_there, out))

    prompt(once, LIVE_S)


def test_a_change_of_tier_and_of_the_matrix_is_live_in_both(pair: Pair) -> None:
    acts = pair.acts

    def once(_: int) -> float:
        who = pair.someone("free")
        has = pair.says(who, 200, "", MINUTES)
        lacks = pair.says(who, 403, "tier_timeframe", MINUTES)
        assert lacks()
        acts.people.set_tier(who.id, "pro", CLI)
        took_s = [pair.live(has, time.monotonic())]
        acts.people.set_tier(who.id, "free", CLI)
        took_s.append(pair.live(lacks, time.monotonic()))
        acts.matrix.change("free", {"timeframes": None}, CLI)
        took_s.append(pair.live(has, time.monotonic()))
        acts.matrix.change("free", {"timeframes": ["1d"]}, CLI)
        took_s.append(pair.live(lacks, time.monotonic()))
        return max(took_s)

    prompt(once, LIVE_S)


def test_a_limit_holds_across_both(pair: Pair, empty: None) -> None:
    who = pair.someone("free")
    second_key, _ = pair.acts.keys.make(who.id, "second", None, CLI)
    other = Someone(who.id, who.email, "", second_key, token(pair.both[1].url, second_key))
    statuses = [status for _ in range(31) for status, _ in pair.ask(who) for _ in "1"]
    assert statuses == [200] * 60 + [429] * 2
    refused = pair.clients[1].get("/v1/symbols", headers=other.headers)
    assert refused.status_code == 429, "with another key of his neither"
    assert refused.headers["RateLimit-Policy"] == '"minute";q=60;w=60'
    assert 0 < int(refused.headers["Retry-After"]) <= 61


def test_while_the_limits_are_away_half_the_rate_is_given(
    pair: Pair, redis: Redis, empty: None
) -> None:
    who, admin = pair.someone("free"), pair.someone("pro", "admin")
    assert pair.ask(who) == [(200, "")] * 2
    cookie = pair.cookie(admin)
    minded = [client.get("/admin/api/users", headers=cookie) for client in pair.clients]
    assert [one.status_code for one in minded] == [200] * 2
    redis.kill()
    try:
        asked = [pair.ask(who) for _ in range(31)]
        assert asked == [[(200, "")] * 2] * 30 + [[(429, "too_many_requests")] * 2]
        for bursa, client in zip(pair.both, pair.clients, strict=True):
            login = {"email": who.email, "password": PASSWORD}
            origin = {"Origin": bursa.url}
            for refused in (
                client.post("/auth/login", json=login, headers=origin),
                client.post("/v1/auth/refresh", headers=who.headers),
                client.get("/admin/api/users", headers=cookie),
            ):
                assert (refused.status_code, refused.json()["code"]) == (503, "limits_away")
            assert "limits" in client.get("/ready").json()["degraded"]
    finally:
        redis.start()
    since = time.monotonic()

    def normal() -> bool:
        policies = [
            client.get("/v1/symbols", headers=who.headers).headers["RateLimit-Policy"]
            for client in pair.clients
        ]
        return policies == ['"minute";q=60;w=60'] * 2

    pair.live(normal, since)
    assert pair.cookie(who), "and he may sign in"


def test_when_the_listening_connections_alone_are_cut(pair: Pair, postgres: Postgres) -> None:
    def once(_: int) -> float:
        who = pair.someone("pro")
        assert pair.ask(who) == [(200, "")] * 2
        assert postgres.cut(pair.url, listening=True) >= 2
        pair.acts.keys.revoke(who.key_id, CLI)
        return pair.live(pair.says(who, 401, "key_revoked"), time.monotonic())

    prompt(once, LIVE_S)


def test_after_the_database_was_away(
    pair: Pair, postgres: Postgres, soak: bool, empty: None
) -> None:
    """For a minute where there is time. What was revoked before anybody heard of its return is
    refused as soon as they do: they try again after a second at most, and then read what changed
    meanwhile."""
    prompt(lambda _: _back_again(pair, postgres, 60.0 if soak else 2.0), 2 * LIVE_S)


def _back_again(pair: Pair, postgres: Postgres, away_s: float) -> float:
    """Seconds from the database's return to what was revoked then being refused."""
    whos = [pair.someone("pro") for _ in range(3)]
    assert all(pair.ask(who) == [(200, "")] * 2 for who in whos)
    with pair.streams(whos[0]) as streams:
        postgres.kill()
        try:  # not the second: what he asks now would count when he is free
            _while_away(pair, [whos[0], whos[2]], away_s)
        finally:
            postgres.start()
        _until_taken(lambda: pair.acts.keys.revoke(whos[0].key_id, CLI))
        since = time.monotonic()
        took_s = pair.live(pair.says(whos[0], 401, "key_revoked"), since)
        assert [closing_code(stream) for stream in streams] == [4401] * 2
    pair.acts.people.set_tier(whos[1].id, "free", CLI)
    pair.live(pair.says(whos[1], 403, "tier_timeframe", MINUTES), time.monotonic())
    pair.acts.keys.revoke(whos[2].key_id, CLI)
    pair.live(pair.says(whos[2], 401, "key_revoked"), time.monotonic())
    for client in pair.clients:
        assert "accounts" not in client.get("/ready").json().get("degraded", [])
    return took_s


def _while_away(pair: Pair, whos: list[Someone], away_s: float) -> None:
    def noticed() -> bool:
        told = [client.get("/ready").json() for client in pair.clients]
        return all("accounts" in one.get("degraded", []) for one in told)

    began, took_s = time.monotonic(), list[float]()
    pair.live(noticed, began)
    while time.monotonic() - began < away_s:
        asked = time.monotonic()
        assert all(pair.ask(who) == [(200, "")] * 2 for who in whos), "known by heart"
        took_s.append(time.monotonic() - asked)
        for bursa, client in zip(pair.both, pair.clients, strict=True):
            wrong = {"email": whos[0].email, "password": "wrong"}
            refused = client.post("/auth/login", json=wrong, headers={"Origin": bursa.url})
            assert refused.status_code in (429, 503), refused.text
            degraded = client.get("/ready").json()
            assert degraded["ok"] and "accounts" in degraded["degraded"]
        with pytest.raises(Retry):
            pair.acts.keys.revoke(whos[0].key_id, CLI)
        time.sleep(0.2)
    assert min(took_s) < 3, f"nobody waits for what is away: {took_s}"


def _until_taken(act: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENT_S
    while True:
        try:
            act()
            return
        except Retry:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_usage_of_both_is_one_sum(pair: Pair, empty: None) -> None:
    """Last: the servers end, and write what they counted."""
    who = pair.someone("pro")
    for _ in range(5):
        assert pair.ask(who, MINUTES) == [(200, "")] * 2
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(Bursa.stop, pair.both)) == [0, 0]
    with pair.acts.database.snapshot() as connection:
        asked = text("select sum(requests), sum(rows) from usage where user_id = :id")
        assert tuple(connection.execute(asked, {"id": who.id}).one()) == (10, 20)
    logs = [one for bursa in pair.both for one in bursa.events()]
    assert not [one for one in logs if one.get("level") == "error"]
