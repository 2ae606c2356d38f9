"""Slow stochastic oscillator with simple averages, as TA-Lib defines it.

    raw <- 100 * (close - lowest) / (highest - lowest)      of the last `length` bars
    k   <- mean of the last `slow` values of raw
    d   <- mean of the last `average` values of k

raw is 0 where highest - lowest is not above 10 ** -14 of |highest| + |lowest|. The means are kept
as running totals (sma.py). Both outputs are null until d has its first value.

Of either extreme the state knows the newest bar that holds it, and the extreme of the bars after
that one: when the first leaves the window, the second takes its place, and only when that leaves
too with none to follow is the window looked through.
"""

from typing import Any

import numpy as np
from numba import njit

from bursa.metrics.metric import (
    BAR,
    FROM,
    KERNEL,
    P_HIGH,
    P_LOW,
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

_LENGTH, _SLOW, _AVERAGE = range(3)
# Fields of the state: of each extreme four, see `least`; totals of raw and of k; then the values
# in them, oldest first.
_LOW, _HIGH, _RAW_TOTAL, _K_TOTAL, _VALUES = 0, 4, 8, 9, 10
_HIGH_IN, _LOW_IN, _CLOSE_IN, _K, _D = range(5)
_FLAT = 1e-14
_INLINE: dict[str, Any] = KERNEL | {"forceinline": True}


@njit(**KERNEL)
def look_through(
    past: Floats, symbol: int, bar: int, length: int, field: int, sign: float
) -> tuple[float, int, float, int]:
    """The least of the window up to `bar`, its newest bar, and the same of the bars after that one
    (where there are none the bar is no later)."""
    mask = past.shape[1] - 1
    first, first_bar = sign * past[symbol, bar & mask, field], bar
    second, second_bar = first, bar
    for earlier in range(bar - 1, bar - length, -1):
        value = sign * past[symbol, earlier & mask, field]
        lower = value < first
        second, second_bar = first if lower else second, first_bar if lower else second_bar
        first, first_bar = value if lower else first, earlier if lower else first_bar
    return first, first_bar, second, second_bar


@njit(**_INLINE)
def least(  # noqa: PLR0913 (a kernel: primitives only)
    states: Floats, before: int, after: int, at: int, bar: int, value: float, past: Floats,
    symbol: int, length: int, field: int, sign: float,
) -> float:  # fmt: skip
    """Take `value`, sign times the bar's `field`, into the least of the window, and return that.

    The four fields of the state from column `at`: the least, its newest bar, the least of the bars
    after that one and its newest bar; the latter is not known where its bar is no later.
    """
    first, first_bar = states[before, at], int(states[before, at + 1])
    second, second_bar = states[before, at + 2], int(states[before, at + 3])
    gone = first_bar <= bar - length
    if gone and second_bar <= first_bar:
        first, first_bar, second, second_bar = look_through(past, symbol, bar, length, field, sign)
    else:
        # Choices rather than branches: no processor can tell them beforehand.
        first, first_bar = second if gone else first, second_bar if gone else first_bar
        lower = (value <= first) | (bar == 0)
        follows = lower | (first_bar == bar - 1) | ((second_bar > first_bar) & (value <= second))
        first, first_bar = value if lower else first, bar if lower else first_bar
        second, second_bar = value if follows else second, bar if follows else second_bar
    states[after, at], states[after, at + 1] = first, float(first_bar)
    states[after, at + 2], states[after, at + 3] = second, float(second_bar)
    return first


@njit(**_INLINE)
def mean(
    states: Floats, before: int, after: int, total_at: int, at: int, length: int, value: float
) -> float:
    """Take a value into a running mean of `length`, whose total of the last length - 1 values is
    the field `total_at` and whose values are those from `at` on; 0.0 stands for those not yet
    there."""
    total = states[before, total_at] + value
    found = total / length
    oldest = value if length == 1 else states[before, at]
    for place in range(at, at + length - 2):
        states[after, place] = states[before, place + 1]
    if length > 1:
        states[after, at + length - 2] = value
    states[after, total_at] = total - oldest
    return found


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Block, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one oscillator; see metric.py."""
    length, slow, average = int(arguments[_LENGTH]), int(arguments[_SLOW]), int(arguments[_AVERAGE])
    raw_at = s + _VALUES
    k_at, end = raw_at + slow - 1, raw_at + slow + average - 2
    for i in range(n):
        before, after, bar = steps[FROM, i], steps[TO, i], steps[BAR, i]
        symbol = steps[SYMBOL, i]
        low = least(
            states, before, after, s + _LOW, bar, values[rows[_LOW_IN], i], past, symbol, length,
            P_LOW, 1.0,
        )  # fmt: skip
        high = -least(
            states, before, after, s + _HIGH, bar, -values[rows[_HIGH_IN], i], past, symbol,
            length, P_HIGH, -1.0,
        )  # fmt: skip
        k = d = np.nan
        if bar >= length - 1:
            raw = 0.0
            if high - low > _FLAT * (abs(high) + abs(low)):
                raw = 100.0 * ((values[rows[_CLOSE_IN], i] - low) / (high - low))
            k = mean(states, before, after, s + _RAW_TOTAL, raw_at, slow, raw)
        else:
            states[after, s + _RAW_TOTAL] = 0.0
            for place in range(raw_at, k_at):
                states[after, place] = 0.0
        if bar >= length + slow - 2:
            d = mean(states, before, after, s + _K_TOTAL, k_at, average, k)
        else:
            states[after, s + _K_TOTAL] = 0.0
            for place in range(k_at, end):
                states[after, place] = 0.0
        known = bar >= length + slow + average - 3
        values[rows[_K], i] = k if known else np.nan
        values[rows[_D], i] = d if known else np.nan


def stoch(length: int, slow: int, average: int) -> Metric:
    """That of `length` bars, `stoch_{length}_{slow}_{average}`."""
    extremes = tuple(
        f"{side}_{field}" for side in ("low", "high") for field in ("1", "bar_1", "2", "bar_2")
    )
    held = [f"raw_{n}" for n in range(slow - 1)] + [f"k_{n}" for n in range(average - 1)]
    return Metric(
        name=f"stoch_{length}_{slow}_{average}",
        description=f"Slow stochastic: where the close stands between the extremes of {length} "
        f"bars, its mean over {slow}, and the mean of that over {average}",
        unit="0 to 100",
        inputs=("high", "low", "close"),
        outputs=(
            Output("k", "0 to 100: the smoothed place of the close between the extremes"),
            Output("d", "0 to 100: the mean of k"),
        ),
        parameters=(("length", length), ("slow", slow), ("average", average)),
        warmup=length + slow + average - 3,
        back=length - 1,
        state=(*extremes, "raw_total", "k_total", *held),
        arguments=lambda terms: (float(length), float(slow), float(average)),
        definition=__doc__ or "",
        group="momentum",
        guides=(20.0, 80.0),
    )


FAMILIES = (
    Family(
        "stoch",
        run,
        (stoch(14, 3, 3),),
        stoch,
        (Parameter("length", 2, 1000), Parameter("slow", 1, 50), Parameter("average", 1, 50)),
    ),
)
