"""Simple moving average of closes, as TA-Lib defines it.

    total <- total + close
    sma   <- total / length
    total <- total - the close of length - 1 bars ago

Null until there are `length` closes. The running total is kept in this order from the symbol's
first bar on, so that what rounding leaves in it is what it leaves in TA-Lib's.
"""

import numpy as np
from numba import njit

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


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Block, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one average; see metric.py. The state is the total of the newest closes,
    one fewer than the length."""
    length, mask = int(arguments[_LENGTH]), past.shape[1] - 1
    for i in range(n):
        oldest = steps[BAR, i] - (length - 1)
        total = states[steps[FROM, i], s] + values[rows[0], i]
        sma = np.nan
        if oldest >= 0:
            sma = total / length
            total -= past[steps[SYMBOL, i], oldest & mask, P_CLOSE]
        states[steps[TO, i], s] = total
        values[rows[1], i] = sma


def sma(length: int) -> Metric:
    """The average over `length` bars, `sma_{length}`."""
    return Metric(
        name=f"sma_{length}",
        description=f"Simple moving average of the last {length} closes",
        unit="quote currency",
        inputs=("close",),
        outputs=(Output("value", "quote currency: the mean of the window's closes"),),
        parameters=(("length", length),),
        warmup=length - 1,
        back=length - 1,
        state=("total",),
        arguments=lambda terms: (float(length),),
        definition=__doc__ or "",
        group="trend",
        overlay=True,
    )


FAMILIES = (Family("sma", run, (sma(20), sma(50), sma(200)), sma, (Parameter("length", 2, 1000),)),)
