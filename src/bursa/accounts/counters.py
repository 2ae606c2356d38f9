"""Counters of requests in this process's memory: one sliding window a bucket, a minute
mostly, at most so many.

They are a storage of the library that limits (`limits`), whose own memory keeps no bound on buckets
and starts a thread every few milliseconds. The window before weighs by the part of it that has not
slid out yet. Used on one thread, the server's loop.
"""

import math
from collections import OrderedDict

from limits.storage.base import SlidingWindowCounterSupport, Storage

from bursa.ports import Clock

WINDOW_S = 60
# Buckets at once; past them those go that were asked for longest ago.
BUCKETS_MAX = 100_000
_SECOND_NS = 1_000_000_000

# Of a bucket: number of its newest window since 1970, its count, the count of the one before.
_Windows = list[int]


class Counters(SlidingWindowCounterSupport, Storage):
    """The library's storage, by a clock of ours. All windows of one are of the same length."""

    STORAGE_SCHEME = None

    def __init__(
        self, clock: Clock, buckets_max: int = BUCKETS_MAX, window_s: int = WINDOW_S
    ) -> None:
        super().__init__()
        self._clock, self._buckets_max, self._window_s = clock, buckets_max, window_s
        self._buckets: OrderedDict[str, _Windows] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    @property
    def base_exceptions(self) -> type[Exception]:
        """What it raises: nothing of its own."""
        return ValueError

    def take(self, key: str, limit: int, amount: int = 1) -> tuple[bool, int, float, int]:
        """Count, unless that would pass the limit of a window: whether it was counted, and as
        `get_sliding_window` says it without the last figure."""
        windows, left_s = self._now(key, self._window_s)
        _, present, before = windows
        allowed = math.floor(before * left_s / self._window_s + present) + amount <= limit
        if allowed:
            windows[1] = present = present + amount
        return allowed, before, left_s, present

    def _now(self, key: str, expiry: int) -> tuple[_Windows, float]:
        """The windows of a bucket as they are now, and how long the newest one lasts yet."""
        now_s = self._clock.now_ns() / _SECOND_NS
        number = int(now_s // expiry)
        windows = self._buckets.get(key)
        if windows is None:
            windows = self._buckets[key] = [number, 0, 0]
            while len(self._buckets) > self._buckets_max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
            if windows[0] < number:
                windows[2] = windows[1] if windows[0] == number - 1 else 0
                windows[1] = 0
            # Where the clock was set back, what was counted counts on: else each step back would be
            # a limit more.
            windows[0] = number
        return windows, expiry - now_s % expiry

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """What was counted in the window before and in the present one, and for how many more
        seconds each weighs."""
        windows, left_s = self._now(key, expiry)
        return windows[2], left_s, windows[1], left_s + expiry

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count, unless that would pass the limit."""
        return self.take(key, limit, amount)[0]

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget a bucket."""
        self.clear(key)

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, whatever the limit."""
        windows, _ = self._now(key, self._window_s)
        windows[1] += amount
        return windows[1]

    def get(self, key: str) -> int:
        """What was counted in the present window."""
        return self._now(key, self._window_s)[0][1] if key in self._buckets else 0

    def get_expiry(self, key: str) -> float:
        """When the present window is over, seconds since 1970."""
        now_s = self._clock.now_ns() / _SECOND_NS
        return now_s + self._window_s - now_s % self._window_s

    def check(self) -> bool:
        """Is it there? Memory is."""
        return True

    def reset(self) -> int:
        """Forget all; returns how many buckets there were."""
        count = len(self._buckets)
        self._buckets.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget a bucket."""
        self._buckets.pop(key, None)

    def clear_from(self, start: str) -> int:
        """Forget the buckets whose names begin so; returns how many there were."""
        found = [key for key in self._buckets if key.startswith(start)]
        for key in found:
            del self._buckets[key]
        return len(found)
