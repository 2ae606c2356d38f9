"""Requests are counted in memory or on a server; one that is away lets nobody through by guess."""

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from bursa.accounts.counters import Counters
from bursa.accounts.limits import DAY_S, HOUR_S, Limiter, Taken
from bursa.accounts.limits_server import TIMEOUT_S
from bursa.accounts.throttle import LETTERS_SENT, TRIES, Act, Throttle
from bursa.app import SystemClock
from bursa.model.errors import Refuse, Retry
from bursa.ops.telemetry import Telemetry
from tests.prompt import PATIENT_S
from tests.servers.certificates import Certificates
from tests.servers.redis import EVERY, Redis

S = 1_000_000_000
NOON_NS = 1_795_176_000 * S


class HandClock:
    """A clock that goes when it is told to."""

    def __init__(self, ns: int = NOON_NS) -> None:
        self.ns = ns

    def now_ns(self) -> int:
        return self.ns


def in_memory(clock: HandClock) -> Limiter:
    return Limiter(clock, Telemetry())


def headers(taken: Taken) -> dict[bytes, bytes]:
    return dict(taken.headers)


def now(limiter: Limiter, bucket: str, per_minute: int) -> Taken:
    taken = limiter.take_now(bucket, per_minute)
    assert taken is not None
    return taken


# -- memory ----------------------------------------------------------------------------------------


def test_a_user_has_one_minute_whatever_rate_his_keys_have() -> None:
    clock = HandClock()
    limiter = in_memory(clock)
    first = now(limiter, "usr_1", 10)
    assert headers(first) == {
        b"ratelimit-policy": b'"minute";q=10;w=60',
        b"ratelimit": b'"minute";r=9;t=60',
    }
    assert all(now(limiter, "usr_1", 10).allowed for _ in range(5))
    assert not now(limiter, "usr_1", 5).allowed, "another key's lower rate finds them counted"
    assert [now(limiter, "usr_1", 10).allowed for _ in range(5)] == [True] * 4 + [False]
    refused = now(limiter, "usr_1", 10)
    assert headers(refused)[b"retry-after"] == b"%d" % refused.wait_s == b"61"
    assert now(limiter, "usr_2", 10).allowed
    assert now(limiter, "usr_1", 0) == Taken(True, ()), "no limit, nothing to say"
    assert limiter.healthy
    limiter.check()


def test_a_clock_that_is_set_back_gives_nobody_another_minute() -> None:
    clock = HandClock()
    limiter = in_memory(clock)
    allowed = 0
    for _ in range(30):
        allowed += sum(now(limiter, "usr_1", 10).allowed for _ in range(20))
        clock.ns -= 61 * S
    assert allowed == 10
    clock.ns -= 365 * 24 * 3600 * S
    assert not now(limiter, "usr_1", 10).allowed
    clock.ns += 121 * S
    assert sum(now(limiter, "usr_1", 10).allowed for _ in range(20)) == 10, "nor takes one"


def test_an_address_is_a_digest_and_a_network_of_ipv6_is_one() -> None:
    limiter = in_memory(HandClock())
    of = limiter.of_address
    assert of("2001:db8:1:2::1") == of("2001:db8:1:2:ffff::9%eth0") != of("2001:db8:1:3::1")
    assert of("::ffff:10.0.0.1") == of("10.0.0.1") != of("10.0.0.2")
    assert "10.0.0.1" not in of("10.0.0.1") and of("") != of("unix")
    assert of("10.0.0.1") != in_memory(HandClock()).of_address("10.0.0.1"), "by a key of its own"
    shared = [Limiter(HandClock(), Telemetry(), secret=b"pages").of_address("::1") for _ in "12"]
    assert shared[0] == shared[1]


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 9),
    steps=st.lists(st.tuples(st.floats(0, 70), st.integers(1, 4)), max_size=40),
)
def test_counts_as_the_librarys_own_memory_does(limit: int, steps: list[tuple[float, int]]) -> None:
    clock, item = HandClock(), RateLimitItemPerMinute(limit)
    with pytest.MonkeyPatch.context() as patched:
        watch = SimpleNamespace(time=lambda: clock.ns / S)
        patched.setattr("limits.storage.memory.time", watch)
        patched.setattr("limits.storage.base.time", watch, raising=False)
        theirs, ours = MemoryStorage(), Counters(clock)
        by_theirs, by_ours = (SlidingWindowCounterRateLimiter(one) for one in (theirs, ours))
        for wait_s, tries in steps:
            clock.ns += int(wait_s * S)
            for _ in range(tries):
                assert by_ours.hit(item, "x") == by_theirs.hit(item, "x")
            key = item.key_for("x")
            assert ours.get_sliding_window(key, 60)[::2] == theirs.get_sliding_window(key, 60)[::2]
        theirs.timer.cancel()


async def tried(throttle: Throttle, act: Act, address: str, email: str, count: int) -> list[bool]:
    taken = [await throttle.attempt(act, address, email) for _ in range(count)]
    assert all(dict(one.headers).get(b"retry-after") for one in taken if not one.allowed)
    return [one.allowed for one in taken]


def test_who_guesses_shuts_out_himself_and_not_the_accounts_owner() -> None:
    throttle = Throttle(in_memory(HandClock()))
    tries = TRIES["sign_in"]

    async def sign_in(address: str, email: str, count: int = 1) -> list[bool]:
        return await tried(throttle, "sign_in", address, email, count)

    async def scenario() -> None:
        good = [True] * tries.both
        assert await sign_in("10.0.0.1", "a@b.id", tries.both + 1) == [*good, False]
        assert await sign_in("10.0.0.2", " A@B.id") == [True], "the owner, from elsewhere"
        await throttle.succeeded("sign_in", "10.0.0.2", "a@b.id")
        assert await sign_in("10.0.0.1", "a@b.id") == [False], "it is no stranger's success"
        await throttle.succeeded("sign_in", "10.0.0.1", "a@b.id")
        assert await sign_in("10.0.0.1", "a@b.id") == [True]
        left = tries.address - tries.both - 3
        assert await sign_in("10.0.0.1", "c@d.id", left + 1) == [True] * left + [False]
        assert await sign_in("10.0.0.3", "", tries.address + 1) == [True] * tries.address + [False]
        # However many addresses guess, one account has an end.
        guesses = [await sign_in(f"10.1.0.{at}", "e@f.id", 10) for at in range(8)]
        assert sum(map(sum, guesses)) == tries.account
        await throttle.succeeded("reset", "10.9.9.9", "e@f.id")
        assert await sign_in("10.1.0.1", "e@f.id") == [True], "by a letter's link all is forgotten"

    asyncio.run(scenario())


def test_letters_are_limited_by_minute_hour_and_day() -> None:
    clock = HandClock()
    throttle = Throttle(in_memory(clock))
    hour, day = LETTERS_SENT[HOUR_S], LETTERS_SENT[DAY_S]

    async def letter(address: str, email: str, act: Act = "forgot") -> Taken:
        clock.ns += 61 * S
        return await throttle.attempt(act, address, email)

    async def scenario() -> None:
        sent = [await letter(f"10.0.{at}.1", "a@b.id", "sign_up") for at in range(hour.account)]
        assert all(one.allowed for one in sent)
        assert headers(sent[0])[b"ratelimit-policy"].startswith(b'"minute"')
        refused = await letter("10.1.0.1", " A@b.id")
        assert not refused.allowed and 60 < refused.wait_s <= HOUR_S + 1, "of all acts together"
        assert headers(refused)[b"ratelimit-policy"] == b'"hour";q=10;w=3600'
        assert headers(refused)[b"ratelimit"].startswith(b'"hour";r=0;t=')
        clock.ns += refused.wait_s * S
        assert (await letter("10.1.0.1", "a@b.id")).allowed, "it waited as it was told"
        allowed = 0
        for at in range(20):
            clock.ns += HOUR_S * S // 2
            refused = await letter(f"10.3.{at}.1", "a@b.id")
            allowed += refused.allowed
        assert allowed == day.account - hour.account - 1
        assert headers(refused)[b"ratelimit-policy"] == b'"day";q=20;w=86400'
        await throttle.succeeded("reset", "10.1.0.1", "a@b.id")
        assert (await letter("10.1.0.1", "a@b.id")).allowed
        # Of one address, whomever it writes to.
        many = [(await letter("10.2.0.1", f"{at}@b.id")).allowed for at in range(hour.address + 1)]
        assert many == [True] * hour.address + [False]

    asyncio.run(scenario())


def test_who_has_letters_sent_to_another_uses_up_his_own_and_not_the_others() -> None:
    clock = HandClock()
    throttle = Throttle(in_memory(clock))

    async def scenario() -> None:
        allowed = []
        for _ in range(60):  # all day long, as fast as it is let through
            clock.ns += 20 * 60 * S
            allowed.append((await throttle.attempt("forgot", "10.0.0.1", "a@b.id")).allowed)
        day = LETTERS_SENT[DAY_S]
        assert day.both <= sum(allowed) <= 2 * day.both < day.account
        asked = [await throttle.attempt("forgot", "10.0.0.2", "a@b.id") for _ in range(2)]
        assert all(one.allowed for one in asked), "the owner"

    asyncio.run(scenario())


def test_letters_asked_for_without_end_from_two_addresses_keep_no_owner_from_his_own() -> None:
    """One line at home has two: of IPv4 and of IPv6."""
    clock = HandClock()
    throttle = Throttle(in_memory(clock))

    async def scenario() -> None:
        for minute in range(8 * 60):
            clock.ns += 60 * S
            for address in ("10.0.0.1", "2001:db8::1"):
                await tried(throttle, "forgot", address, "a@b.id", 3)
            if minute % 240 == 239:
                assert await tried(throttle, "forgot", "10.0.0.2", "a@b.id", 1) == [True]

    asyncio.run(scenario())


# -- a server --------------------------------------------------------------------------------------


@pytest.fixture(params=["redis", "valkey"])
def server(request: pytest.FixtureRequest) -> Redis:
    """One of each kind, empty; bursa asks it by its own client."""
    found: Redis = request.getfixturevalue(request.param)
    with found.client() as client:
        client.flushall()
    return found


class Two:
    """Two processes' limiters on one server; closed with the loop that they are of."""

    def __init__(self, url: str) -> None:
        self.telemetry = Telemetry()
        self.one, self.other = (
            Limiter(SystemClock(), self.telemetry, url, b"secret") for _ in "12"
        )

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        async def whole() -> None:
            try:
                await scenario
            finally:
                await self.one.close()
                await self.other.close()

        asyncio.run(whole())

    def counted(self, name: str) -> float:
        return self.telemetry.registry.get_sample_value(f"bursa_{name}") or 0.0


def test_two_processes_share_a_limit(server: Redis) -> None:
    two = Two(server.url())

    async def scenario() -> None:
        assert two.one.take_now("usr_1", 10) is None, "the server is to be asked"
        assert two.one.take_now("usr_1", 0) == Taken(True, ())
        taken = []
        for turn in range(6):
            taken += [await limiter.take("usr_1", 10) for limiter in (two.one, two.other)]
            assert turn or headers(taken[1])[b"ratelimit"].startswith(b'"minute";r=8;t=')
        assert [one.allowed for one in taken] == [True] * 10 + [False] * 2
        assert not any(one.local for one in taken)
        assert 0 < taken[-1].wait_s <= 61
        assert headers(taken[-1])[b"retry-after"] == b"%d" % taken[-1].wait_s
        many = await asyncio.gather(*(two.one.take("usr_2", 30) for _ in range(50)))
        assert sum(one.allowed for one in many) == 30, "however many at once"
        await two.one.take(two.one.of_address("10.9.8.7"), 10)
        daily = [await limiter.take_of("usr_3", 3, DAY_S) for limiter in (two.one, two.other) * 2]
        assert [one.allowed for one in daily] == [True] * 3 + [False]
        assert 60 < daily[-1].wait_s <= DAY_S + 1

    two.run(scenario())
    two.one.check()
    with server.client() as client:
        names = [key.decode() for key in client.scan_iter()]
        long = [name for name in names if "usr_3" in name]
        assert len(long) == 1 and all(0 < client.ttl(name) <= 2 * DAY_S for name in long)
        short = [name for name in names if name not in long]
        assert all(0 < client.ttl(name) <= 120 for name in short), "they end by themselves"
    assert not [name for name in names if "10.9.8.7" in name]
    two.run(scenario_in_another_loop(two))


async def scenario_in_another_loop(two: Two) -> None:
    assert not (await two.one.take("usr_1", 10)).allowed


def test_buckets_are_cleared_by_scan_and_nothing_asks_for_all_keys(server: Redis) -> None:
    two = Two(server.url())

    async def scenario() -> None:
        for number in range(600):
            await two.one.take(f"many/{number}", 5)
        for bucket in ("a[b]*", "a[b]*c", "ab", "b", "many"):
            await two.one.take(bucket, 5)
        assert await two.other.clear("a[b]*") == 2, "a name is no pattern"
        assert await two.other.clear("many/") == 600
        assert await two.other.clear("none") == 0
        await two.other.forget("ab")
        assert headers(await two.one.take("ab", 5))[b"ratelimit"].startswith(b'"minute";r=4;')
        assert headers(await two.one.take("b", 5))[b"ratelimit"].startswith(b'"minute";r=3;')

    two.run(scenario())
    counted = server.counted()
    assert counted["scan"] >= 2 and "keys" not in counted


def test_away_half_the_rate_is_given_and_back_all_is_as_before(server: Redis) -> None:
    two = Two(server.url())
    throttle = Throttle(two.one)

    async def scenario() -> None:
        assert (await two.one.take("usr_1", 20)).allowed
        assert (await throttle.attempt("sign_in", "10.0.0.1", "a@b.id")).allowed
        server.kill()
        taken = [await two.one.take("usr_1", 20) for _ in range(12)]
        assert [one.allowed for one in taken] == [True] * 10 + [False] * 2
        assert all(one.local for one in taken) and not two.one.healthy
        assert headers(taken[0])[b"ratelimit-policy"] == b'"minute";q=10;w=60'
        assert (await two.one.take("usr_2", 1)).allowed, "half of one is one"
        with pytest.raises(Refuse) as refused:
            await throttle.attempt("sign_in", "10.0.0.1", "a@b.id")
        assert (refused.value.code, refused.value.status) == ("limits_away", 503)
        with pytest.raises(Retry):
            await two.one.clear("usr_1")
        with pytest.raises(Retry):
            two.one.check()
        assert two.counted("limits_away") == 1 and two.counted("limits_local_total") == 14
        server.start()
        until = time.monotonic() + PATIENT_S
        while (await two.one.take("usr_1", 20)).local:
            assert time.monotonic() < until, "it is back"
            await asyncio.sleep(0.05)
        assert two.one.healthy and two.counted("limits_away") == 0
        assert (await throttle.attempt("sign_in", "10.0.0.1", "a@b.id")).allowed
        two.one.check()

    try:
        two.run(scenario())
    finally:
        if not server.answers():
            server.start()


def test_a_server_that_stands_still_or_refuses_holds_nobody_up(server: Redis) -> None:
    two = Two(server.url())

    async def scenario() -> None:
        assert not (await two.one.take("usr_1", 20)).local
        server.stand_still()
        began = time.monotonic()
        taken = await asyncio.gather(*(two.one.take("usr_1", 20) for _ in range(30)))
        later = [two.one.take_now("usr_1", 20) for _ in range(3)]
        took_s = time.monotonic() - began
        server.go_on()
        assert sum(one.allowed for one in taken) == 10 and all(one.local for one in taken)
        assert all(one is not None for one in later), "nobody asks again at once"
        assert took_s < 10 * TIMEOUT_S, "all waited at once, and not for ever"
        with server.client() as client:
            client.config_set("maxmemory", "1")
            try:
                assert (await two.other.take("usr_3", 20)).local, "a full one counts nothing"
                with pytest.raises(Retry, match="maxmemory") as away:
                    two.other.check()
                assert away.value.public == "the limits' counters are away"
            finally:
                client.config_set("maxmemory", "0")
            two.other.check()

    try:
        two.run(scenario())
    finally:
        server.go_on()


def test_a_clock_that_is_set_back_leaves_no_server_alone_for_long() -> None:
    async def ask() -> None:
        clock = HandClock()
        limiter = Limiter(clock, Telemetry(), "redis://127.0.0.1:1/0")
        assert (await limiter.take("usr_1", 10)).local
        assert limiter.take_now("usr_1", 10) is not None, "it is left alone for a moment"
        clock.ns -= 3600 * S
        assert limiter.take_now("usr_1", 10) is None, "and asked again"
        await limiter.close()

    asyncio.run(ask())


def test_valkeys_client_counts_on_a_redis_too(redis: Redis) -> None:
    two = Two(redis.url("valkey"))

    async def scenario() -> None:
        taken = [await limiter.take("usr_valkey", 3) for limiter in (two.one, two.other) * 2]
        assert [one.allowed for one in taken] == [True] * 3 + [False]
        assert not any(one.local for one in taken)

    two.run(scenario())
    two.one.check()


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_over_tls_with_a_password_the_server_is_the_one_that_is_meant(
    kind: str, tmp_path: Path, certificates: Certificates
) -> None:
    server = EVERY[kind](tmp_path / "tls", certificates)
    good = server.url()
    assert good.startswith(f"{kind}s://:p%40ss%2F@127.0.0.1:")
    wrong = {
        "its certificate is another host's": server.url(host="127.0.0.2"),
        "nobody knows who signed it": good.partition("?")[0],
        "the password": good.replace("p%40ss", "guessed"),
        "no password": good.replace(":p%40ss%2F@", ""),
    }

    async def counted(url: str) -> bool:
        limiter = Limiter(SystemClock(), Telemetry(), url)
        taken = await limiter.take("usr_1", 10)
        await limiter.close()
        return not taken.local

    async def scenario() -> None:
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        before = len(selector.get_map())
        assert await counted(good)
        for why, url in wrong.items():
            assert not await counted(url), why
        # TLS says goodbye first: only then are they closed.
        until = time.monotonic() + PATIENT_S
        while len(selector.get_map()) > before:
            assert time.monotonic() < until, "every connection is closed"
            await asyncio.sleep(0.01)

    try:
        server.start()
        asyncio.run(scenario())
        Limiter(SystemClock(), Telemetry(), good).check()
        for why, url in wrong.items():
            with pytest.raises(Retry) as away:
                Limiter(SystemClock(), Telemetry(), url).check()
            assert "ss%2F" not in str(away.value) and "p@ss" not in str(away.value), why
    finally:
        server.stop()


NONE = "http://host memcached://h:1 redis://h:port/0 valkey://h:70000 redis://[::1 redis://h:0"


@pytest.mark.parametrize("said", ["", "redis", "redis://", "redis://h/first", *NONE.split()])
def test_what_is_no_server_is_refused_with_what_is_allowed(said: str) -> None:
    with pytest.raises(Refuse, match="allowed: memory, redis://HOST") as refused:
        Limiter(HandClock(), Telemetry(), said)
    assert refused.value.parameter == "accounts.limits"


def test_what_no_client_understands_in_a_url_is_refused_at_the_start(tmp_path: Path) -> None:
    for scheme, more in (
        ("redis", "?ssl_ca_certs=/etc/hosts"),
        ("valkey", "?timeout=5"),
        ("valkeys", "?ssl_cert_reqs=none"),
        ("rediss", "?ssl_ca_certs=/etc/hosts&retry=3"),
    ):
        with pytest.raises(Refuse, match="allowed, of rediss and valkeys: ssl_ca_certs") as refused:
            Limiter(HandClock(), Telemetry(), f"{scheme}://:hunter2@h:1/0{more}")
        assert (refused.value.code, refused.value.parameter) == ("bad_config", "accounts.limits")
        assert "hunter2" not in str(refused.value)
    with pytest.raises(Refuse, match="there is no such file"):
        Limiter(HandClock(), Telemetry(), f"valkeys://h:1/0?ssl_ca_certs={tmp_path / 'none'}")


def test_a_password_of_the_server_is_told_nobody() -> None:
    limiter = Limiter(HandClock(), Telemetry(), "rediss://user:hunter2@host:6380/1")
    assert str(limiter._server) == "rediss://host:6380"
