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
    5  before the freeze: mapo <- net for the first ever, else mapo + (net - mapo) * 2 / 21 (the
       exponential average over 20 bars)
    6  before the freeze: dmapo <- mapo - day_before
    7  value <- net - dmapo

All outputs are null until mapo exists. Direction is the sign of the change against the symbol's
previous value, 0 for its first. Volumes are whole numbers below 2**53, so the sums are exact.
On longer timeframes HD is that of the last minute in the bar; it is not computed there.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import (
    CLOSE,
    DAY,
    FROM,
    KERNEL,
    SECOND,
    TO,
    VOLUME,
    Floats,
    Metric,
    Output,
)
from bursa.model.batch import Block
from bursa.model.venue import Venue

# Arguments (seconds of the venue's day), and fields of the state. _SEEN and _HAS_MAPO are flags.
_OPEN, _SHUT, _FREEZE = 0, 1, 2
_SEEN, _DAY, _CLOSE, _POSITIVE, _NEGATIVE = 0, 1, 2, 3, 4
_HAS_MAPO, _MAPO, _DAY_BEFORE, _DMAPO, _VALUE = 5, 6, 7, 8, 9


@njit(**KERNEL)
def run(
    n: int, steps: Block, bars: Floats, states: Floats, s: int, arguments: Floats, out: Floats,
    o: int,
) -> None:  # fmt: skip
    """All steps through one HD; see metric.py. The numbers are those of the table above."""
    gate_open, gate_close, freeze = arguments[_OPEN], arguments[_SHUT], arguments[_FREEZE]
    for i in range(n):
        before, after = steps[FROM, i], steps[TO, i]
        close, t = bars[CLOSE, i], bars[SECOND, i]
        seen, had_mapo = states[before, s + _SEEN] > 0.0, states[before, s + _HAS_MAPO] > 0.0
        has_mapo = had_mapo
        positive, negative = states[before, s + _POSITIVE], states[before, s + _NEGATIVE]
        mapo, dmapo = states[before, s + _MAPO], states[before, s + _DMAPO]
        day_before, value = states[before, s + _DAY_BEFORE], states[before, s + _VALUE]
        if not seen or bars[DAY, i] != states[before, s + _DAY]:  # 0
            day_before, positive, negative = mapo, 0.0, 0.0
        delta = close - states[before, s + _CLOSE] if seen else 0.0  # 1
        if t >= gate_open:
            volume = bars[VOLUME, i] if t < gate_close else 0.0
            signed = volume if delta >= 0.0 else -volume  # 2
            positive += max(signed, 0.0)  # 3
            negative += min(signed, 0.0)
            net = positive + negative  # 4
            if t < freeze:
                mapo = mapo + (net - mapo) * 2.0 / 21.0 if had_mapo else net  # 5
                dmapo = mapo - day_before  # 6
                has_mapo = True
            value = net - dmapo  # 7
        states[after, s + _SEEN], states[after, s + _DAY] = 1.0, bars[DAY, i]
        states[after, s + _CLOSE], states[after, s + _HAS_MAPO] = close, 1.0 if has_mapo else 0.0
        states[after, s + _POSITIVE], states[after, s + _NEGATIVE] = positive, negative
        states[after, s + _MAPO], states[after, s + _DMAPO] = mapo, dmapo
        states[after, s + _DAY_BEFORE], states[after, s + _VALUE] = day_before, value
        out[o, i] = value if has_mapo else np.nan
        out[o + 1, i] = mapo if has_mapo else np.nan
        out[o + 2, i] = dmapo if has_mapo else np.nan
        change = np.sign(value - states[before, s + _VALUE]) if had_mapo else 0.0
        out[o + 3, i] = change if has_mapo else np.nan


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
            Output("value", "shares or base units: net volume of the day less dmapo"),
            Output("mapo", "shares or base units: average of the day's net volume, over days"),
            Output("dmapo", "shares or base units: mapo less that of the day before"),
            Output("direction", "-1, 0, +1: sign of the change against the previous value"),
        ),
        parameters=(),
        warmup=0,
        fields=10,
        arguments=_gates,
        definition=__doc__ or "",
        timeframes=("1m",),
    ),
)
