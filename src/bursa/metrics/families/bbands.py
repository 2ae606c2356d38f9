"""Bollinger bands around the simple moving average of closes, as TA-Lib defines them.

    middle <- mean of the last `length` closes (sma.py)
    upper  <- middle + deviations * sigma
    lower  <- middle - deviations * sigma

sigma is the population's deviation in the same window. It is kept as running sums of the closes
less a shift near them, so that a small deviation of large prices is not lost:

    d        <- close - shift;  sum <- sum + d;  squares <- squares + d * d
    variance <- squares / length - (sum / length) ** 2;  sigma <- its root
    d of the window's oldest close is then taken off both sums

The shift is the symbol's first close until the sums are made anew from the window, with its mean as
the shift. That happens with the bar at which variance < squares / length / 10 ** 6 (the shift is
far off), or the square that left was over 10 ** 6 times what remained (its rounding would stay), or
after 32 * length bars. A new variance below squares / length / 10 ** 12 is 0. Here `squares` is
what remains, but for the last rule, which sees the whole window's. 1 / length is multiplied with.
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

_LENGTH, _DEVIATIONS = range(2)
# Fields of the state: of closes, the shift, of what is left of them and of their squares, the bar
# with which the sums are made anew.
_TOTAL, _SHIFT, _SUM, _SQUARES, _DUE = range(5)
_CLOSE_IN, _UPPER, _MIDDLE, _LOWER = range(4)
_BARS_OF_SUMS = 32  # windows
_SHIFT_FAR, _LEFT_MUCH, _NOTHING = 1e-6, 1e6, 1e-12


@njit(**KERNEL)
def anew(
    past: Floats, symbol: int, oldest: int, length: int, share: float
) -> tuple[float, float, float]:
    """Shift, sum and squares from the window that begins with bar `oldest`."""
    mask = past.shape[1] - 1
    total = 0.0
    for bar in range(oldest, oldest + length):
        total += past[symbol, bar & mask, P_CLOSE]
    shift = total * share
    total = squares = 0.0
    for bar in range(oldest, oldest + length):
        d = past[symbol, bar & mask, P_CLOSE] - shift
        total += d
        squares += d * d
    return shift, total, squares


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Block, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one pair of bands; see metric.py."""
    length, deviations, mask = int(arguments[_LENGTH]), arguments[_DEVIATIONS], past.shape[1] - 1
    share = 1.0 / length
    for i in range(n):
        before, after, bar = steps[FROM, i], steps[TO, i], steps[BAR, i]
        symbol, oldest, close = steps[SYMBOL, i], bar - (length - 1), values[rows[_CLOSE_IN], i]
        shift, due = states[before, s + _SHIFT], states[before, s + _DUE]
        if bar == 0:
            shift, due = close, float(_BARS_OF_SUMS * length + length - 2)
        d = close - shift
        total = states[before, s + _TOTAL] + close
        sums, squares = states[before, s + _SUM] + d, states[before, s + _SQUARES] + d * d
        middle, reach = np.nan, np.nan
        if oldest >= 0:
            variance = squares * share - (sums * share) * (sums * share)
            middle = total / length
            leaving = past[symbol, oldest & mask, P_CLOSE]
            total -= leaving
            d = leaving - shift
            sums -= d
            squares -= d * d
            if (
                variance < _SHIFT_FAR * (squares * share)
                or d * d > _LEFT_MUCH * squares
                or bar >= due
            ):
                due = float(bar + _BARS_OF_SUMS * length)
                shift, sums, squares = anew(past, symbol, oldest, length, share)
                variance = squares * share - (sums * share) * (sums * share)
                if variance < _NOTHING * (squares * share):
                    variance = 0.0
                d = leaving - shift
                sums -= d
                squares -= d * d
            reach = deviations * np.sqrt(variance)
        states[after, s + _TOTAL], states[after, s + _SHIFT] = total, shift
        states[after, s + _SUM], states[after, s + _SQUARES] = sums, squares
        states[after, s + _DUE] = due
        values[rows[_UPPER], i] = middle + reach
        values[rows[_MIDDLE], i] = middle
        values[rows[_LOWER], i] = middle - reach


def bbands(length: int, deviations: int) -> Metric:
    """Those `deviations` away from the mean of `length` bars, `bbands_{length}_{deviations}`."""
    return Metric(
        name=f"bbands_{length}_{deviations}",
        description=f"Bollinger bands: {deviations} standard deviations around the mean of the "
        f"last {length} closes",
        unit="quote currency",
        inputs=("close",),
        outputs=(
            Output("upper", f"quote currency: the mean and {deviations} deviations"),
            Output("middle", "quote currency: the mean of the window's closes"),
            Output("lower", f"quote currency: the mean less {deviations} deviations"),
        ),
        parameters=(("length", length), ("deviations", deviations)),
        warmup=length - 1,
        back=length - 1,
        state=("total", "shift", "sum", "squares", "due"),
        arguments=lambda terms: (float(length), float(deviations)),
        definition=__doc__ or "",
        group="volatility",
        overlay=True,
    )


FAMILIES = (
    Family(
        "bbands",
        run,
        (bbands(20, 2),),
        bbands,
        (Parameter("length", 2, 1000), Parameter("deviations", 1, 10)),
    ),
)
