"""Exponential moving average of closes, as TA-Lib defines it.

The first value is the simple mean of the first `length` closes, given with the bar that completes
them; from there ema <- ema + (close - ema) * 2 / (length + 1). Remembers for ever.
"""

from numba import njit

from bursa.metrics.metric import CLOSE, Metric, Output, Vector

# Arguments, and fields of the state: closes seen (up to the length), their sum, the average.
_LENGTH, _WEIGHT = 0, 1
_SEEN, _SUM, _EMA = 0, 1, 2


@njit(nogil=True, cache=True)
def step(
    state: Vector, s: int, bar: Vector, arguments: Vector, p: int, out: Vector, o: int
) -> None:
    """One bar; see metric.py."""
    close = bar[CLOSE]
    length = arguments[p + _LENGTH]
    if state[s + _SEEN] < length:
        state[s + _SEEN] += 1.0
        state[s + _SUM] += close
        if state[s + _SEEN] < length:
            return
        state[s + _EMA] = state[s + _SUM] / length
    else:
        ema = state[s + _EMA]
        state[s + _EMA] = (close - ema) * arguments[p + _WEIGHT] + ema
    out[o] = state[s + _EMA]


def ema(length: int) -> Metric:
    """The average over `length` bars, `ema_{length}`."""
    return Metric(
        name=f"ema_{length}",
        description=f"Exponential moving average of the last closes, length {length}",
        unit="quote currency",
        inputs=("close",),
        outputs=(Output("value", "quote currency"),),
        parameters=(("length", length),),
        warmup=length - 1,
        fields=3,
        arguments=lambda venue: (float(length), 2.0 / (length + 1)),
    )


METRICS = (ema(20),)
