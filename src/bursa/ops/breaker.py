"""A circuit breaker: what fails again and again is left alone for a while. Pure: time is told.

    closed     it is asked; failures in a row wait as the back-off says
    open       it failed too often: it is not asked for a while
    half open  that while is over: it is asked once; that decides

Knows nobody's clock and asks nothing itself.
"""

from collections.abc import Sequence
from random import Random

from bursa.ops.back_off import BACK_OFF_S, BackOff

FAILURES, OPEN_S = 5, 30.0
CLOSED, HALF_OPEN, OPEN = "closed", "half open", "open"


class Breaker:
    """One thing that may be away. Opens after so many failures in a row, for `open_s` each time; up
    to there one waits as `waits_s` (back_off.py) says. Times are seconds of one clock."""

    def __init__(
        self,
        random: Random,
        failures: int = FAILURES,
        open_s: float = OPEN_S,
        waits_s: Sequence[float] = BACK_OFF_S,
    ) -> None:
        assert failures > 0
        self._most, self._open_s = failures, open_s
        self._back_off = BackOff(random, waits_s)
        self._until_s = 0.0
        self.failures = 0

    def state(self, now_s: float) -> str:
        """CLOSED, HALF_OPEN or OPEN."""
        if self.failures < self._most:
            return CLOSED
        return HALF_OPEN if now_s >= self._until_s else OPEN

    def wait_s(self, now_s: float) -> float:
        """Seconds until it may be asked; 0: now."""
        return max(0.0, self._until_s - now_s) if self.failures else 0.0

    def failed(self, now_s: float) -> float:
        """It was asked and failed; how long it is to be left alone."""
        self.failures += 1
        wait_s = self._back_off.next_s()
        if self.failures >= self._most:
            wait_s = self._open_s
        self._until_s = now_s + wait_s
        return wait_s

    def worked(self) -> None:
        """It was asked and did it."""
        self.failures = 0
        self._until_s = 0.0
        self._back_off.reset()
