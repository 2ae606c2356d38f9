"""HD, Hidden Delta: the day's signed volume less the drift of its own average since the day before.

Per symbol, over 1-minute bars in order of time; t is the bar's opening on the venue's clock. The
venue's gates (open <= close <= freeze) cut the day: before `open` nothing is counted, from `close`
on bars count 0, from `freeze` on the average stands still. Gates may change from one bar on: each
goes by those that hold at its opening. For each bar:

    0  first bar of a trading day: day_before <- mapo as the symbol's previous day left it, which is
       that of the freeze or, where no bar came so late, its last (0 where there was none);
       cum_positive = cum_negative = 0. dmapo and value carry over.
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
    BAR,
    FROM,
    KERNEL,
    P_CLOSE,
    P_DAY,
    SYMBOL,
    TO,
    Family,
    Floats,
    Ints,
    Metric,
    Output,
    Terms,
)
from bursa.model.batch import Block
from bursa.model.calendar import MINUTE_NS

# Arguments: how many gates; then each, ascending: the minute since 1970 UTC from which it holds
# (the first holds before it too), and its seconds of the venue's day.
_COUNT, _FIRST = 0, 1
_FROM, _OPEN, _SHUT, _FREEZE = range(4)
_GATES = 4
# Fields of the state; HAS_MAPO is a flag.
_POSITIVE, _NEGATIVE, _HAS_MAPO, _MAPO, _DAY_BEFORE, _DMAPO, _VALUE = range(7)
_CLOSE_IN, _VOLUME_IN, _DAY_IN, _SECOND_IN, _MINUTE_IN, _OUT = range(6)


@njit(**KERNEL)
def gates_at(arguments: Floats, minute: float) -> int:
    """Where in the arguments the gates of a bar begin that opens at that minute."""
    at = _FIRST + _GATES * (int(arguments[_COUNT]) - 1)
    while at > _FIRST and minute < arguments[at + _FROM]:
        at -= _GATES
    return at


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Block, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one HD; see metric.py. The numbers are those of the table above."""
    mask, o = past.shape[1] - 1, rows[_OUT]
    for i in range(n):
        before, after, bar = steps[FROM, i], steps[TO, i], steps[BAR, i]
        symbol, last = steps[SYMBOL, i], (bar - 1) & mask
        close, t = values[rows[_CLOSE_IN], i], values[rows[_SECOND_IN], i]
        gates = gates_at(arguments, values[rows[_MINUTE_IN], i])
        had_mapo = states[before, s + _HAS_MAPO] > 0.0
        has_mapo = had_mapo
        positive, negative = states[before, s + _POSITIVE], states[before, s + _NEGATIVE]
        mapo, dmapo = states[before, s + _MAPO], states[before, s + _DMAPO]
        day_before, told = states[before, s + _DAY_BEFORE], states[before, s + _VALUE]
        value = told
        if bar == 0 or values[rows[_DAY_IN], i] != past[symbol, last, P_DAY]:  # 0
            day_before, positive, negative = mapo, 0.0, 0.0
        delta = close - past[symbol, last, P_CLOSE] if bar > 0 else 0.0  # 1
        if t >= arguments[gates + _OPEN]:
            volume = values[rows[_VOLUME_IN], i] if t < arguments[gates + _SHUT] else 0.0
            signed = volume if delta >= 0.0 else -volume  # 2
            positive += max(signed, 0.0)  # 3
            negative += min(signed, 0.0)
            net = positive + negative  # 4
            if t < arguments[gates + _FREEZE]:
                mapo = mapo + (net - mapo) * 2.0 / 21.0 if had_mapo else net  # 5
                dmapo = mapo - day_before  # 6
                has_mapo = True
            value = net - dmapo  # 7
        states[after, s + _HAS_MAPO] = 1.0 if has_mapo else 0.0
        states[after, s + _POSITIVE], states[after, s + _NEGATIVE] = positive, negative
        states[after, s + _MAPO], states[after, s + _DMAPO] = mapo, dmapo
        states[after, s + _DAY_BEFORE], states[after, s + _VALUE] = day_before, value
        values[o, i] = value if has_mapo else np.nan
        values[o + 1, i] = mapo if has_mapo else np.nan
        values[o + 2, i] = dmapo if has_mapo else np.nan
        change = np.sign(value - told) if had_mapo else 0.0
        values[o + 3, i] = change if has_mapo else np.nan


def _gates(terms: Terms) -> tuple[float, ...] | None:
    if not terms.gates:
        return None
    numbers = [float(len(terms.gates))]
    for gates in terms.gates:
        begins = gates.from_ns // MINUTE_NS
        numbers += map(float, (begins, gates.open_s, gates.close_s, gates.freeze_s))
    return tuple(numbers)


HD = Metric(
    name="hd",
    description="Hidden Delta: the day's signed volume less the drift of its own average",
    unit="shares or base units",
    inputs=("close", "volume", "day", "second", "minute"),
    outputs=(
        Output("value", "shares or base units: net volume of the day less dmapo", "direction"),
        Output("mapo", "shares or base units: average of the day's net volume, over days"),
        Output("dmapo", "shares or base units: mapo less that of the day before"),
        Output("direction", "-1, 0, +1: sign of the change against the previous value", "none"),
    ),
    warmup=0,
    back=1,
    state=("positive", "negative", "has_mapo", "mapo", "day_before", "dmapo", "value"),
    arguments=_gates,
    definition=__doc__ or "",
    timeframes=("1m",),
)
FAMILIES = (Family("hd", run, (HD,)),)
