"""How often one may ask: a sliding minute of each bucket, or an hour or a day, and what an answer
says of it.

A bucket is a user with all his keys, or an address where nobody is known. Counting and weighing are
the library's (`limits`): in memory, or on a Redis or Valkey that several processes share
(limits_server.py). While that one is away requests are judged here by half their rate, and whoever
must not be judged by guess (sign-in, refresh, admin) sees it by `Taken.local`. Does not answer.
"""

import ipaddress
import math
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from bursa.accounts.counters import WINDOW_S, Counters
from bursa.accounts.limits_server import LimitsAway, LimitsServer
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.ports import Clock

MEMORY = "memory"
# How long a server that failed is left alone: the first time, the second, and from then on.
WAITS_S = (0.2, 0.5, 1.0)
# Windows that are counted, and what an answer calls them.
HOUR_S, DAY_S = 3_600, 86_400
_NAMES = {WINDOW_S: "minute", HOUR_S: "hour", DAY_S: "day"}
# Addresses whose bucket is remembered.
ADDRESSES_MAX = 10_000
_SECOND_NS = 1_000_000_000
_WAIT_MAX_NS = int(max(WAITS_S) * _SECOND_NS)

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether a request may go on, and the headers of its answer.

    wait_s  if not, in how many whole seconds one may
    local   the shared counters were away: this process judged, by half the rate
    """

    allowed: bool
    headers: Headers
    wait_s: int = 0
    local: bool = False


FREE = Taken(True, ())


class Limiter:
    """The limits of one process. `take_now` and `take` belong to the server's loop.

    url     `memory`, or the server that counts: redis://, rediss://, valkey:// or valkeys://
    secret  what addresses are hidden by, alike in all processes that share a server
    """

    def __init__(
        self, clock: Clock, telemetry: Telemetry, url: str = MEMORY, secret: bytes = b""
    ) -> None:
        self._clock, self._telemetry = clock, telemetry
        self._counters = Counters(clock)
        self._longer = {long: Counters(clock, window_s=long) for long in (HOUR_S, DAY_S)}
        self._server = None if url == MEMORY else LimitsServer(url)
        self._secret = blake2b(secret or secrets.token_bytes(32), digest_size=32).digest()
        self._addresses: OrderedDict[str, str] = OrderedDict()
        self._failures = 0
        self._again_ns = 0
        self._log = logger("limits")

    @property
    def healthy(self) -> bool:
        """Did the counters answer when they were asked last?"""
        return not self._failures

    def check(self) -> None:
        """Raise Retry where the server does not answer. Blocks; for any thread."""
        if self._server is not None:
            self._server.check()

    def of_address(self, address: str) -> str:
        """The bucket of who is known by his address alone: a keyed digest, of an IPv6 address that
        of its network of 64 bits, all of which one customer has."""
        bucket = self._addresses.get(address)
        if bucket is None:
            digest = blake2b(network(address).encode(), digest_size=12, key=self._secret)
            bucket = self._addresses[address] = f"address/{digest.hexdigest()}"
            if len(self._addresses) > ADDRESSES_MAX:
                self._addresses.popitem(last=False)
        return bucket

    def of_name(self, kind: str, name: str) -> str:
        """The bucket of something that must not be read in the server, such as an e-mail."""
        return f"{kind}/{blake2b(name.encode(), digest_size=12, key=self._secret).hexdigest()}"

    def take_now(self, bucket: str, limit: int, window_s: int = WINDOW_S) -> Taken | None:
        """Count a request, if it may be made; 0 a minute: no limit, no headers. None: a server has
        to be asked, by `take`."""
        if limit <= 0:
            return FREE
        if self._server is None:
            return told(limit, self._of(window_s).take(bucket, limit), window_s)
        # However the clock was set, it is for a second at most.
        if self._failures and 0 < self._again_ns - self._clock.now_ns() <= _WAIT_MAX_NS:
            return self._local(bucket, limit, window_s)
        return None

    async def take(self, bucket: str, per_minute: int) -> Taken:
        """The same, asking the server where there is one. Never raises: while that is away this
        process judges by half the rate."""
        return await self.take_of(bucket, per_minute, WINDOW_S)

    async def take_of(self, bucket: str, limit: int, window_s: int) -> Taken:
        """The same of a minute, an hour (HOUR_S) or a day (DAY_S); a bucket is of one of them."""
        now = self.take_now(bucket, limit, window_s)
        if now is not None:
            return now
        assert self._server is not None
        if self._failures:
            # One asks, the others need not wait for it.
            self._leave_alone()
        try:
            counted = await self._server.take(bucket, limit, window_s)
        except LimitsAway as error:
            self._lost(str(error))
            return self._local(bucket, limit, window_s)
        self._found()
        return told(limit, counted, window_s)

    async def left(self, bucket: str, per_minute: int) -> tuple[int, int] | None:
        """How many requests of a bucket are left, and in how many whole seconds more may be; counts
        none. None while the server is away."""
        try:
            if self._server is None:
                before, left_s, present, _ = self._counters.get_sliding_window(bucket, WINDOW_S)
            else:
                before, left_s, present = await self._server.look(bucket)
        except LimitsAway:
            return None
        rest = per_minute - math.floor(before * left_s / WINDOW_S + present)
        return max(rest, 0), math.ceil(left_s)

    def _of(self, window_s: int) -> Counters:
        return self._counters if window_s == WINDOW_S else self._longer[window_s]

    def _local(self, bucket: str, limit: int, window_s: int) -> Taken:
        self._telemetry.limits_local.inc()
        half = max(limit // 2, 1)
        taken = told(half, self._of(window_s).take(bucket, half), window_s)
        return Taken(taken.allowed, taken.headers, taken.wait_s, local=True)

    def _leave_alone(self) -> None:
        wait_s = WAITS_S[min(self._failures, len(WAITS_S)) - 1]
        self._again_ns = self._clock.now_ns() + int(wait_s * _SECOND_NS)

    def _lost(self, why: str) -> None:
        if not self._failures:
            self._telemetry.limits_away.set(1)
            self._log.warning("limits are judged here by half the rate: their server is away",
                              server=str(self._server), error=why)  # fmt: skip
        self._failures += 1
        self._leave_alone()

    def _found(self) -> None:
        if self._failures:
            self._failures = 0
            self._telemetry.limits_away.set(0)
            self._log.info("the server of the limits is back", server=str(self._server))

    async def forget(self, bucket: str) -> None:
        """Forget what was counted in a bucket. Raises Retry where the server is away."""
        for counters in (self._counters, *self._longer.values()):
            counters.clear(bucket)
        if self._server is not None:
            await self._server.forget(bucket)

    async def clear(self, bucket: str) -> int:
        """Forget what was counted in the buckets whose names begin so; returns how many there were.
        Looks at all names of the server, so it is for what happens seldom. Raises Retry where that
        is away."""
        every = (self._counters, *self._longer.values())
        count = sum(counters.clear_from(bucket) for counters in every)
        if self._server is None:
            return count
        return await self._server.clear(bucket)

    async def close(self) -> None:
        """Let go of the server's connections, on the loop that made them."""
        if self._server is not None:
            await self._server.close()


def network(address: str) -> str:
    """What one customer has who asks from an address: of IPv6 its network of 64 bits."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))


@lru_cache(maxsize=256)
def _policy(limit: int, window_s: int) -> tuple[bytes, bytes]:
    return b"ratelimit-policy", f'"{_NAMES[window_s]}";q={limit};w={window_s}'.encode()


def told(limit: int, counted: tuple[bool, int, float, int], window_s: int = WINDOW_S) -> Taken:
    """What is said of a count: draft-ietf-httpapi-ratelimit-headers, a policy called `minute`,
    `hour` or `day`."""
    allowed, before, left_s, present = counted
    rest = limit - math.floor(before * left_s / window_s + present)
    wait_s = 0 if allowed else _wait_s(limit, before, left_s, present, window_s)
    name, reset_s = _NAMES[window_s].encode(), wait_s or math.ceil(left_s)
    told = b'"%s";r=%d;t=%d' % (name, max(rest, 0), reset_s)
    headers = (_policy(limit, window_s), (b"ratelimit", told))
    if allowed:
        return Taken(True, headers)
    return Taken(False, (*headers, (b"retry-after", b"%d" % wait_s)), wait_s)


def _wait_s(limit: int, before: int, left_s: float, present: int, window_s: int) -> int:
    """Whole seconds until a refused one may ask again: until enough of the window before has slid
    out, or, where the present one is full by itself, until that begins to."""
    if present >= limit:
        return math.floor(left_s) + 1
    return max(math.floor(left_s - window_s * (limit - present) / before) + 1, 1)
