"""How feeds come back: the waits between attempts. What feeds share, and nothing else."""

from random import Random

BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
JITTER = 0.2


class BackOff:
    """1, 2, 4, 8, 16, 32 s and then every 32 s, each a fifth more or less by chance, so that many
    clients of one server do not come back at once."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0

    def next_s(self) -> float:
        """Seconds to wait after one more failure."""
        wait = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        return wait * self._random.uniform(1 - JITTER, 1 + JITTER)

    def reset(self) -> None:
        """It worked: the next failure waits shortly again."""
        self._failures = 0
