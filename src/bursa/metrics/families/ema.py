"""Exponential moving average of closes, as TA-Lib defines it.

The first value is the simple mean of the first `length` closes, given with the bar that completes
them; from there

    ema <- ema + (close - ema) * 2 / (length + 1)

It remembers for ever, and is null before its first value.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import (
    BAR,
    FROM,
    KERNEL,
    TO,
    Family,
    Floats,
    Ints,
    Metric,
    Output,
    Parameter,
)
from bursa.model.batch import Block

# Arguments.
_LENGTH, _WEIGHT = 0, 1


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Block, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one average; see metric.py. The state is the sum of closes until there are
    enough of them, then the average."""
    length, weight = int(arguments[_LENGTH]), arguments[_WEIGHT]
    for i in range(n):
        close, bar = values[rows[0], i], steps[BAR, i]
        ema = states[steps[FROM, i], s]
        if bar >= length:
            ema = (close - ema) * weight + ema
        else:
            ema += close
            if bar == length - 1:
                ema /= length
        states[steps[TO, i], s] = ema
        values[rows[1], i] = ema if bar >= length - 1 else np.nan


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
        state=("ema",),
        arguments=lambda terms: (float(length), 2.0 / (length + 1)),
        definition=__doc__ or "",
        group="trend",
        overlay=True,
    )


FAMILIES = (Family("ema", run, (ema(20), ema(50), ema(200)), ema, (Parameter("length", 2, 1000),)),)
