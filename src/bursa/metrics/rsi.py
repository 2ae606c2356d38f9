"""Relative strength index with Wilder's smoothing, as TA-Lib defines it but for one case.

The means of gains and losses are seeded by the simple means of the first `length` changes of the
close; from there mean <- (mean * (length - 1) + new) / length. The index is
100 * gain / (gain + loss): 100 where the mean loss is 0. Where both means are 0 (in TA-Lib's
sense: nearer to it than 1e-14) it is 50, where TA-Lib says 0. Remembers for ever.
"""

from numba import njit

from bursa.metrics.metric import CLOSE, Metric, Output, Vector

# Argument, and fields of the state: bars seen (up to length + 1), the last close, the two means
# (sums until they are seeded).
_LENGTH = 0
_SEEN, _CLOSE, _GAIN, _LOSS = 0, 1, 2, 3
_ZERO = 1e-14


@njit(nogil=True, cache=True)
def step(
    state: Vector, s: int, bar: Vector, arguments: Vector, p: int, out: Vector, o: int
) -> None:
    """One bar; see metric.py."""
    length = arguments[p + _LENGTH]
    change = bar[CLOSE] - state[s + _CLOSE]
    state[s + _CLOSE] = bar[CLOSE]
    seen = state[s + _SEEN]
    if seen == 0.0:
        state[s + _SEEN] = 1.0
        return
    gain = change if change > 0.0 else 0.0
    loss = -change if change < 0.0 else 0.0
    if seen <= length:
        state[s + _SEEN] = seen + 1.0
        state[s + _GAIN] += gain
        state[s + _LOSS] += loss
        if seen < length:
            return
        state[s + _GAIN] /= length
        state[s + _LOSS] /= length
    else:
        state[s + _GAIN] = (state[s + _GAIN] * (length - 1.0) + gain) / length
        state[s + _LOSS] = (state[s + _LOSS] * (length - 1.0) + loss) / length
    both = state[s + _GAIN] + state[s + _LOSS]
    out[o] = 50.0 if both < _ZERO else 100.0 * (state[s + _GAIN] / both)


def rsi(length: int) -> Metric:
    """The index over `length` changes, `rsi_{length}`."""
    return Metric(
        name=f"rsi_{length}",
        description=f"Relative strength index, Wilder's smoothing, length {length}",
        unit="0 to 100",
        inputs=("close",),
        outputs=(Output("value", "0 to 100"),),
        parameters=(("length", length),),
        warmup=length,
        fields=4,
        arguments=lambda venue: (float(length),),
    )


METRICS = (rsi(14),)
