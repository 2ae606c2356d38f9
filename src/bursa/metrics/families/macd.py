"""Moving average convergence/divergence, as TA-Lib defines it.

    macd      <- fast - slow             exponential averages of the closes
    signal    <- exponential average of macd
    histogram <- macd - signal

Each average begins with a simple mean, and goes on from it with

    average <- average + (new - average) * 2 / (length + 1)

Both averages of closes begin with the bar that completes the slow one: the slow one with the mean
of the first `slow` closes, the fast one with that of the last `fast` among them. The signal begins
with the mean of the first `signal` values of macd, and all three outputs are null until then.
Product and sum of a step are rounded once (fused.py), as in TA-Lib.
"""

import numpy as np
from numba import njit

from bursa.metrics.fused import fused
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

# Arguments: lengths and weights. Fields of the state: the averages, sums until they have begun.
_FAST_LENGTH, _SLOW_LENGTH, _SIGNAL_LENGTH, _FAST_WEIGHT, _SLOW_WEIGHT, _SIGNAL_WEIGHT = range(6)
_FAST, _SLOW, _SIGNAL = range(3)


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Block, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one MACD; see metric.py."""
    fast_length, slow_length = arguments[_FAST_LENGTH], arguments[_SLOW_LENGTH]
    signal_length = arguments[_SIGNAL_LENGTH]
    fast_weight, slow_weight = arguments[_FAST_WEIGHT], arguments[_SLOW_WEIGHT]
    signal_weight = arguments[_SIGNAL_WEIGHT]
    # Bars with which closes enter the fast average, the averages begin, the signal begins.
    enters, begins = int(slow_length - fast_length), int(slow_length) - 1
    known = begins + int(signal_length) - 1
    for i in range(n):
        before, after, bar = steps[FROM, i], steps[TO, i], steps[BAR, i]
        close = values[rows[0], i]
        fast, slow = states[before, s + _FAST], states[before, s + _SLOW]
        signal = states[before, s + _SIGNAL]
        if bar > begins:
            fast = fused(close - fast, fast_weight, fast)
            slow = fused(close - slow, slow_weight, slow)
        else:
            fast += close if bar >= enters else 0.0
            slow += close
            if bar == begins:
                fast /= fast_length
                slow /= slow_length
        macd = fast - slow
        if bar > known:
            signal = fused(macd - signal, signal_weight, signal)
        elif bar >= begins:
            signal += macd
            if bar == known:
                signal /= signal_length
        states[after, s + _FAST], states[after, s + _SLOW] = fast, slow
        states[after, s + _SIGNAL] = signal
        values[rows[1], i] = macd if bar >= known else np.nan
        values[rows[2], i] = signal if bar >= known else np.nan
        values[rows[3], i] = macd - signal if bar >= known else np.nan


def macd(fast: int, slow: int, signal: int) -> Metric:
    """That of averages over `fast` and `slow` bars, `macd_{fast}_{slow}_{signal}`. ValueError where
    the fast one is no faster."""
    if fast >= slow:
        raise ValueError(f"fast {fast}; allowed: less than slow, {slow}")
    lengths = fast, slow, signal
    numbers = (*map(float, lengths), *(2.0 / (length + 1) for length in lengths))
    return Metric(
        name=f"macd_{fast}_{slow}_{signal}",
        description=f"Convergence/divergence of averages over {fast} and {slow} bars, and its "
        f"average over {signal}",
        unit="quote currency",
        inputs=("close",),
        outputs=(
            Output("macd", "quote currency: the fast average less the slow one"),
            Output("signal", "quote currency: the average of macd"),
            Output("histogram", "quote currency: macd less signal", "histogram"),
        ),
        parameters=(("fast", fast), ("slow", slow), ("signal", signal)),
        warmup=slow + signal - 2,
        state=("fast", "slow", "signal"),
        arguments=lambda terms: numbers,
        definition=__doc__ or "",
        group="momentum",
        guides=(0.0,),
    )


FAMILIES = (
    Family(
        "macd",
        run,
        (macd(12, 26, 9),),
        macd,
        (Parameter("fast", 2, 1000), Parameter("slow", 3, 1000), Parameter("signal", 2, 1000)),
    ),
)
