"""Exponential moving average of closes, as TA-Lib defines it.

The first value is the simple mean of the first `length` closes, given with the bar that completes
them; from there

    ema <- ema + (close - ema) * 2 / (length + 1)

It remembers for ever, and is null before its first value.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import CLOSE, FROM, KERNEL, TO, Floats, Metric, Output
from bursa.model.batch import Block

# Arguments. The fields of the state are closes seen (up to the length), their sum, the average.
_LENGTH, _WEIGHT = 0, 1


@njit(**KERNEL)
def run(
    n: int, steps: Block, bars: Floats, states: Floats, s: int, arguments: Floats, out: Floats,
    o: int,
) -> None:  # fmt: skip
    """All steps through one average; see metric.py."""
    length, weight = arguments[_LENGTH], arguments[_WEIGHT]
    for i in range(n):
        before, after = steps[FROM, i], steps[TO, i]
        close = bars[CLOSE, i]
        seen, total, ema = states[before, s], states[before, s + 1], states[before, s + 2]
        if seen == length:
            ema = (close - ema) * weight + ema
        else:
            seen += 1.0
            total += close
            ema = total / length if seen == length else np.nan
        states[after, s], states[after, s + 1], states[after, s + 2] = seen, total, ema
        out[o, i] = ema


def ema(length: int) -> Metric:
    """The average over `length` bars, `ema_{length}`."""
    return Metric(
        name=f"ema_{length}",
        description=f"Exponential moving average of the last closes, length {length}",
        unit="quote currency",
        inputs=("close",),
        outputs=(Output("value", "quote currency: the average of the closes so far"),),
        parameters=(("length", length),),
        warmup=length - 1,
        fields=3,
        arguments=lambda venue: (float(length), 2.0 / (length + 1)),
        definition=__doc__ or "",
    )


METRICS = (ema(20),)
