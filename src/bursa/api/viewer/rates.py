"""How often one address may ask: a sliding minute, and what an answer says of it.

Counting and weighing are the library's (`limits`); its own memory keeps no bound on addresses and
starts a thread every few milliseconds, so the counters are kept here, by our clock. An address is
kept as a keyed digest, for two minutes. Does not answer (door.py).
"""

import math
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from limits import RateLimitItemPerMinute
from limits.storage.base import (
    SlidingWindowCounterSupport,
    Storage,
    TimestampedSlidingWindow,
)
from limits.strategies import SlidingWindowCounterRateLimiter

from bursa.ports import Clock

WINDOW_S = 60
# Counters at once, two an address; past them those of whoever asked longest ago go.
COUNTERS_MAX = 20_000
_SECOND_NS = 1_000_000_000

Headers = tuple[tuple[bytes, bytes], ...]


class Counters(TimestampedSlidingWindow, SlidingWindowCounterSupport, Storage):
    """The library's storage in this process's memory: no thread, at most `counters_max` counters,
    time by a clock. Used on the server's loop alone."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock, counters_max: int = COUNTERS_MAX) -> None:
        super().__init__()
        self._clock, self._counters_max = clock, counters_max
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def base_exceptions(self) -> type[Exception]:
        """What it raises: nothing of its own."""
        return ValueError

    def now_s(self) -> float:
        """Seconds since 1970."""
        return self._clock.now_ns() / _SECOND_NS

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count; a counter lives `expiry` seconds from its first one on."""
        count = self.get(key) + amount
        expires_s = self._counts[key][1] if key in self._counts else self.now_s() + expiry
        self._counts[key] = count, expires_s
        self._counts.move_to_end(key)
        while len(self._counts) > self._counters_max:
            self._counts.popitem(last=False)
        return count

    def get(self, key: str) -> int:
        """What was counted; 0 where nothing was, or its life is over."""
        count, expires_s = self._counts.get(key, (0, 0.0))
        if count and expires_s <= self.now_s():
            del self._counts[key]
            return 0
        return count

    def get_expiry(self, key: str) -> float:
        """When a counter's life is over, seconds since 1970; now where there is none."""
        return self._counts[key][1] if key in self._counts else self.now_s()

    def check(self) -> bool:
        """Is it there? Memory is."""
        return True

    def reset(self) -> int:
        """Forget all; returns how many counters there were."""
        count = len(self._counts)
        self._counts.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget one counter."""
        self._counts.pop(key, None)

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """What was counted in the minute before and in the present one, and for how many more
        seconds each weighs."""
        now_s = self.now_s()
        before, present = self.sliding_window_keys(key, expiry, now_s)
        left_s = expiry - now_s % expiry
        return self.get(before), left_s, self.get(present), left_s + expiry

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count, unless that would pass the limit."""
        before, left_s, present, _ = self.get_sliding_window(key, expiry)
        if math.floor(before * left_s / expiry + present) + amount > limit:
            return False
        self.incr(self.sliding_window_keys(key, expiry, self.now_s())[1], 2 * expiry, amount)
        return True

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget an address."""
        for counter in self.sliding_window_keys(key, expiry, self.now_s()):
            self.clear(counter)


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether a request may go on, and the headers of its answer. `wait_s`: if not, in how many
    seconds one may."""

    allowed: bool
    headers: Headers
    wait_s: int = 0


class Rates:
    """The limit of every address; `per_minute` 0: none."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self.per_minute = per_minute
        self._item = RateLimitItemPerMinute(max(per_minute, 1))
        self._counters = Counters(clock)
        self._limiter = SlidingWindowCounterRateLimiter(self._counters)
        self._secret = secrets.token_bytes(16)
        self._policy = f'"minute";q={per_minute};w={WINDOW_S}'.encode()

    def take(self, address: str) -> Taken:
        """Count one request of an address, if it may be made."""
        if not self.per_minute:
            return Taken(True, ())
        digest = blake2b(address.encode(), digest_size=8, key=self._secret).hexdigest()
        allowed = self._limiter.hit(self._item, digest)
        key = self._item.key_for(digest)
        before, left_s, present, _ = self._counters.get_sliding_window(key, WINDOW_S)
        wait_s = 0 if allowed else _wait_s(self.per_minute, before, left_s, present)
        rest = self.per_minute - math.floor(before * left_s / WINDOW_S + present)
        resets_s = wait_s or math.ceil(left_s)
        told = f'"minute";r={max(rest, 0)};t={resets_s}'.encode()
        headers = ((b"ratelimit-policy", self._policy), (b"ratelimit", told))
        if allowed:
            return Taken(True, headers)
        return Taken(False, (*headers, (b"retry-after", str(wait_s).encode())), wait_s)


def _wait_s(limit: int, before: int, left_s: float, present: int) -> int:
    """Whole seconds until a refused address may ask again: until enough of the minute before has
    slid out, or, where the present one is full by itself, until that begins to."""
    if present >= limit:
        return math.floor(left_s) + 1
    return max(math.floor(left_s - WINDOW_S * (limit - present) / before) + 1, 1)
