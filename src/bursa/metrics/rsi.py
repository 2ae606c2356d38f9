"""Relative strength index with Wilder's smoothing, as TA-Lib defines it but for one case.

The means of gains and losses are seeded by the simple means of the first `length` changes of the
close; from there

    mean <- (mean * (length - 1) + new) / length
    rsi  <- 100 * gain / (gain + loss)

100 where the mean loss is 0, and 50 where both means are 0 (TA-Lib says 0 there). It remembers for
ever, and is null before its first value.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import CLOSE, FROM, KERNEL, TO, Floats, Metric, Output
from bursa.model.batch import Block

# Argument, and fields of the state: bars seen (up to length + 1), the last close, the two means
# (sums until they are seeded).
_LENGTH = 0
_SEEN, _CLOSE, _GAIN, _LOSS = 0, 1, 2, 3


@njit(**KERNEL)
def run(
    n: int, steps: Block, bars: Floats, states: Floats, s: int, arguments: Floats, out: Floats,
    o: int,
) -> None:  # fmt: skip
    """All steps through one index; see metric.py."""
    length = arguments[_LENGTH]
    for i in range(n):
        before, after = steps[FROM, i], steps[TO, i]
        close = bars[CLOSE, i]
        seen = states[before, s + _SEEN]
        gain, loss = states[before, s + _GAIN], states[before, s + _LOSS]
        change = close - states[before, s + _CLOSE] if seen > 0.0 else 0.0
        if seen > length:
            gain = (gain * (length - 1.0) + max(change, 0.0)) / length
            loss = (loss * (length - 1.0) + max(-change, 0.0)) / length
        else:
            gain += max(change, 0.0)
            loss += max(-change, 0.0)
            if seen == length:
                gain /= length
                loss /= length
            seen += 1.0
        states[after, s + _SEEN] = seen
        states[after, s + _CLOSE] = close
        states[after, s + _GAIN] = gain
        states[after, s + _LOSS] = loss
        both = gain + loss
        index = 100.0 * (gain / both) if both > 0.0 else 50.0
        out[o, i] = index if seen > length else np.nan


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
        fields=4,
        arguments=lambda venue: (float(length),),
        definition=__doc__ or "",
    )


METRICS = (rsi(14),)
