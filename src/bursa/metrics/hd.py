"""HD, Hidden Delta: the day's signed volume less the drift of its own average since the day before.

Per symbol, over 1-minute bars in order of time; t is the bar's opening on the venue's clock. The
venue's gates (open <= close, freeze) cut the day: before `open` nothing is counted, from `close` on
bars count 0, from `freeze` on the average stands still. For each bar:

    0  first bar of a trading day: day_before <- mapo as the previous day left it (0 where there was
       none); cum_positive = cum_negative = 0. dmapo and value carry over.
    1  delta <- close - previous close (0 for the first bar ever). Before the opening gate the bar
       ends here and repeats the last value, mapo and dmapo.
    2  signed <- +volume where delta >= 0, else -volume; 0 from the closing gate on
    3  cum_positive += max(signed, 0); cum_negative += min(signed, 0)
    4  net <- cum_positive + cum_negative
    5  before the freeze: mapo <- net for the first ever, else mapo + (net - mapo) * 2 / 21
    6  before the freeze: dmapo <- mapo - day_before
    7  value <- net - dmapo

All outputs are null until mapo exists. Direction is the sign of the change against the symbol's
previous value, 0 for its first. Volumes are whole numbers below 2**53, so the sums are exact.
On longer timeframes HD is that of the last minute in the bar; it is not computed there.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import CLOSE, DAY, SECOND, VOLUME, Metric, Output, Vector
from bursa.model.venue import Venue

# Arguments (seconds of the venue's day), and fields of the state. _SEEN and _HAS_MAPO are flags.
_OPEN, _SHUT, _FREEZE = 0, 1, 2
_SEEN, _DAY, _CLOSE, _POSITIVE, _NEGATIVE = 0, 1, 2, 3, 4
_HAS_MAPO, _MAPO, _DAY_BEFORE, _DMAPO, _VALUE = 5, 6, 7, 8, 9
_WEIGHT, _SPAN = 2.0, 21.0  # of an average over 20 bars: 2 / (20 + 1)


@njit(nogil=True, cache=True)
def step(
    state: Vector, s: int, bar: Vector, arguments: Vector, p: int, out: Vector, o: int
) -> None:
    """One bar; see metric.py. The numbers are those of the table above."""
    if state[s + _SEEN] == 0.0 or bar[DAY] != state[s + _DAY]:  # 0
        state[s + _DAY] = bar[DAY]
        state[s + _DAY_BEFORE] = state[s + _MAPO]
        state[s + _POSITIVE] = 0.0
        state[s + _NEGATIVE] = 0.0
    delta = bar[CLOSE] - state[s + _CLOSE] if state[s + _SEEN] != 0.0 else 0.0  # 1
    state[s + _CLOSE] = bar[CLOSE]
    state[s + _SEEN] = 1.0
    before = state[s + _VALUE]
    had_value = state[s + _HAS_MAPO] != 0.0
    t = bar[SECOND]
    if t >= arguments[p + _OPEN]:
        if t < arguments[p + _SHUT]:  # 2, 3
            if delta >= 0.0:
                state[s + _POSITIVE] += bar[VOLUME]
            else:
                state[s + _NEGATIVE] -= bar[VOLUME]
        net = state[s + _POSITIVE] + state[s + _NEGATIVE]  # 4
        if t < arguments[p + _FREEZE]:  # 5, 6
            mapo = state[s + _MAPO]
            state[s + _MAPO] = mapo + (net - mapo) * _WEIGHT / _SPAN if had_value else net
            state[s + _HAS_MAPO] = 1.0
            state[s + _DMAPO] = state[s + _MAPO] - state[s + _DAY_BEFORE]
        state[s + _VALUE] = net - state[s + _DMAPO]  # 7
    if state[s + _HAS_MAPO] != 0.0:
        out[o] = state[s + _VALUE]
        out[o + 1] = state[s + _MAPO]
        out[o + 2] = state[s + _DMAPO]
        out[o + 3] = np.sign(state[s + _VALUE] - before) if had_value else 0.0


def _gates(venue: Venue) -> tuple[float, ...] | None:
    gates = venue.gates
    if gates is None:
        return None
    return float(gates.open_s), float(gates.close_s), float(gates.freeze_s)


METRICS = (
    Metric(
        name="hd",
        description="Hidden Delta: the day's signed volume less the drift of its own average",
        unit="shares or base units",
        inputs=("close", "volume"),
        outputs=(
            Output("value", "shares or base units"),
            Output("mapo", "shares or base units: average of the day's net volume, over days"),
            Output("dmapo", "shares or base units: mapo less that of the day before"),
            Output("direction", "-1, 0, +1: sign of the change against the previous value"),
        ),
        parameters=(),
        warmup=0,
        fields=10,
        arguments=_gates,
        timeframes=("1m",),
    ),
)
