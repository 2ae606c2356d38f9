"""How long to wait before the outside is tried again: a lost feed, a store that is away."""

from collections.abc import Sequence
from random import Random

BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
JITTER = 0.2


class BackOff:
    """1, 2, 4, 8, 16, 32 s and then every 32 s, each a fifth more or less by chance, so that many
    clients of one server do not come back at once."""

    def __init__(self, random: Random, waits_s: Sequence[float] = BACK_OFF_S) -> None:
        assert waits_s, "at least one wait, the last one repeats"
        self._random = random
        self._waits_s = tuple(waits_s)
        self._failures = 0

    def next_s(self) -> float:
        """Seconds to wait after one more failure."""
        wait_s = self._waits_s[min(self._failures, len(self._waits_s) - 1)]
        self._failures += 1
        return wait_s * self._random.uniform(1 - JITTER, 1 + JITTER)

    def reset(self) -> None:
        """It worked: the next failure waits shortly again."""
        self._failures = 0
