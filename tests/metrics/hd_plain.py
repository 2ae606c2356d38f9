"""HD by its definition alone: one symbol, one bar at a time, whole numbers where they are whole.

Written from the definition's words (docs/metrics.md has them), beside the kernel and without it:
the numbers of the comments are the definition's steps. It shares nothing with the program, the
clock included: Jakarta is seven hours ahead of UTC all year.
"""

from collections.abc import Sequence
from typing import NamedTuple

AHEAD_S, DAY_S, SECOND_NS = 7 * 3600, 86_400, 1_000_000_000


class PlainGates(NamedTuple):
    """Seconds of the venue's day, and the bar time, ns UTC, from which they hold."""

    from_ns: int
    opens: int
    closes: int
    freezes: int


ALWAYS = PlainGates(0, 9 * 3600 + 5 * 60, 14 * 3600 + 50 * 60, 15 * 3600)
"""The exchange's own: 09:05, 14:50, 15:00."""


class PlainRow(NamedTuple):
    """What a bar gives."""

    value: float
    mapo: float
    dmapo: float
    direction: int


class PlainHd:
    """One symbol's. `schedule`: gates, the later ones last."""

    def __init__(self, schedule: Sequence[PlainGates] = (ALWAYS,)) -> None:
        self._schedule = schedule
        self._prev_close: float | None = None
        self._cum_positive = 0
        self._cum_negative = 0
        self._mapo: float | None = None
        self._prev_day_mapo = 0.0
        self._dmapo = 0.0
        self._value = 0.0
        self._day: int | None = None
        # The day's mapo as it was at the freeze, once a bar has come at or past it.
        self._is_frozen = False
        self._frozen: float | None = None
        self._last: float | None = None

    def push(self, ts: int, close: float, volume: int) -> PlainRow | None:
        """The row of a bar that opens at `ts` (ns UTC); None while all of it is null."""
        day, t = divmod(ts // SECOND_NS + AHEAD_S, DAY_S)
        gates = [one for one in self._schedule if one.from_ns <= ts][-1]
        if day != self._day:
            self._new_day(day)
        delta = 0.0 if self._prev_close is None else close - self._prev_close  # 1
        self._prev_close = close
        if t >= gates.opens:
            self._count(t, gates, delta, volume)
        if self._mapo is None:
            return None
        change = 0.0 if self._last is None else self._value - self._last
        self._last = self._value
        direction = 1 if change > 0 else -1 if change < 0 else 0
        return PlainRow(self._value, self._mapo, self._dmapo, direction)

    def _new_day(self, day: int) -> None:  # 0
        left = self._frozen if self._is_frozen else self._mapo
        self._prev_day_mapo = 0.0 if left is None else left
        self._cum_positive = self._cum_negative = 0
        self._is_frozen, self._frozen = False, None
        self._day = day

    def _count(self, t: int, gates: PlainGates, delta: float, volume: int) -> None:
        signed = 0
        if t < gates.closes:  # 2
            signed = volume if delta >= 0 else -volume
        if signed > 0:  # 3
            self._cum_positive += signed
        else:
            self._cum_negative += signed
        net = self._cum_positive + self._cum_negative  # 4
        if t < gates.freezes:
            if self._mapo is None:  # 5
                self._mapo = float(net)
            else:
                self._mapo = self._mapo + (net - self._mapo) * 2 / 21
            self._dmapo = self._mapo - self._prev_day_mapo  # 6
            self._is_frozen = False
        else:
            self._is_frozen, self._frozen = True, self._mapo
        self._value = net - self._dmapo  # 7
