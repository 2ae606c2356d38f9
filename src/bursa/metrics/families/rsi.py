"""Relative strength index with Wilder's smoothing, as TA-Lib defines it but for one case.

The means of gains and losses are seeded by the simple means of the first `length` changes of the
close; from there

    mean <- (mean * (length - 1) + new) / length      by a product with 1 / length, as in TA-Lib
    rsi  <- 100 * gain / (gain + loss)

100 where the mean loss is 0, and 50 where both means are 0 (TA-Lib says 0 there). It remembers for
ever, and is null before its first value.
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

# Argument, and fields of the state: the two means, sums until they are seeded.
_LENGTH = 0
_GAIN, _LOSS = 0, 1


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Block, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one index; see metric.py."""
    length, mask = int(arguments[_LENGTH]), past.shape[1] - 1
    share, others = 1.0 / length, length - 1.0
    for i in range(n):
        before, after, bar = steps[FROM, i], steps[TO, i], steps[BAR, i]
        gain, loss = states[before, s + _GAIN], states[before, s + _LOSS]
        change = 0.0
        if bar > 0:
            change = values[rows[0], i] - past[steps[SYMBOL, i], (bar - 1) & mask, P_CLOSE]
        rise = max(change, 0.0)
        if bar > length:
            gain *= others
            loss *= others
        gain += rise
        loss += rise - change
        if bar >= length:
            gain *= share
            loss *= share
        states[after, s + _GAIN], states[after, s + _LOSS] = gain, loss
        both = gain + loss
        index = 100.0 * (gain / both) if both > 0.0 else 50.0
        values[rows[1], i] = index if bar >= length else np.nan


def rsi(length: int) -> Metric:
    """The index over `length` changes, `rsi_{length}`."""
    return Metric(
        name=f"rsi_{length}",
        description=f"Relative strength index, Wilder's smoothing, length {length}",
        unit="0 to 100",
        inputs=("close",),
        outputs=(Output("value", "0 to 100: the share of gains in all moves, 50 where none"),),
        parameters=(("length", length),),
        warmup=length,
        back=1,
        state=("gain", "loss"),
        arguments=lambda terms: (float(length),),
        definition=__doc__ or "",
        group="momentum",
        guides=(30.0, 70.0),
    )


FAMILIES = (Family("rsi", run, (rsi(14),), rsi, (Parameter("length", 2, 1000),)),)
