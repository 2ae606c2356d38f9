"""Average true range with Wilder's smoothing, as TA-Lib defines it.

    range <- the greatest of high - low, |previous close - high|, |previous close - low|
    atr   <- the mean of the first `length` ranges; from there
             atr * keep + range * (1 - keep)      keep = (length - 1) / length

The symbol's first bar has no previous close and so no range: the first value comes with bar
`length` + 1. It remembers for ever. The last product and the sum are rounded once (fused.py), as in
TA-Lib.
"""

import numpy as np
from numba import njit

from bursa.metrics.fused import fused
from bursa.metrics.metric import (
    BAR,
    FROM,
    KERNEL,
    P_CLOSE,
    SYMBOL,
    TO,
    Family,
    Floats,
    Ints,
    Metric,
    Output,
    Parameter,
)
from bursa.model.batch import Block

_LENGTH = 0
_HIGH_IN, _LOW_IN, _OUT = range(3)


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Block, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one average; see metric.py. The state is the sum of ranges until there are
    enough of them, then the average."""
    length, mask = int(arguments[_LENGTH]), past.shape[1] - 1
    keep = (length - 1) / length
    take = 1.0 - keep
    for i in range(n):
        bar, average = steps[BAR, i], states[steps[FROM, i], s]
        if bar > 0:
            high, low = values[rows[_HIGH_IN], i], values[rows[_LOW_IN], i]
            previous = past[steps[SYMBOL, i], (bar - 1) & mask, P_CLOSE]
            true_range = max(high - low, abs(previous - high), abs(previous - low))
            if bar > length:
                average = fused(keep, average, take * true_range)
            else:
                average += true_range
                if bar == length:
                    average /= length
        states[steps[TO, i], s] = average
        values[rows[_OUT], i] = average if bar >= length else np.nan


def atr(length: int) -> Metric:
    """The average over `length` ranges, `atr_{length}`."""
    return Metric(
        name=f"atr_{length}",
        description=f"Average true range, Wilder's smoothing, length {length}",
        unit="quote currency",
        inputs=("high", "low"),
        outputs=(Output("value", "quote currency: the average reach of a bar, gaps included"),),
        parameters=(("length", length),),
        warmup=length,
        back=1,
        state=("average",),
        arguments=lambda terms: (float(length),),
        definition=__doc__ or "",
        group="volatility",
    )


FAMILIES = (Family("atr", run, (atr(14),), atr, (Parameter("length", 2, 1000),)),)
