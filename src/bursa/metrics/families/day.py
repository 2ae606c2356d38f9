"""What the trading day has shown so far: its high, its low, the gap at which it opened.

    high_day   <- highest high since the trading day's first bar
    low_day    <- lowest low since then
    gap_day    <- 100 * (open - before) / before: the open of the day's first bar against the
                  symbol's last close before this trading day; the same all day

The gap is null on a symbol's first day. A symbol that was not traded yesterday opens against the
last day on which it was.
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
)
from bursa.metrics.past import begins_day

# Argument of the extremes: 1 for the high, -1 for the low. The one field of a state is what the
# newest bar was given.
_SIGN = 0


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one extreme. Inputs: high or low, day; see metric.py."""
    sign = arguments[_SIGN]
    for i in range(n):
        extreme = sign * values[rows[0], i]
        if not begins_day(past, steps[SYMBOL, i], steps[BAR, i], values[rows[1], i]):
            extreme = max(extreme, sign * states[steps[FROM, i], s])
        extreme *= sign
        states[steps[TO, i], s] = extreme
        values[rows[2], i] = extreme


@njit(**KERNEL)
def run_gap(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through the gap. Inputs: open, day; see metric.py."""
    mask = past.shape[1] - 1
    for i in range(n):
        symbol, bar, gap = steps[SYMBOL, i], steps[BAR, i], states[steps[FROM, i], s]
        if begins_day(past, symbol, bar, values[rows[1], i]):
            before = past[symbol, (bar - 1) & mask, P_CLOSE] if bar > 0 else 0.0
            opened = values[rows[0], i]
            gap = 100.0 * (opened - before) / before if before != 0.0 else np.nan
        states[steps[TO, i], s] = gap
        values[rows[2], i] = gap


def _extreme(name: str, sign: float, word: str) -> Metric:
    return Metric(
        name=f"{name}_day",
        description=f"The {word} price since the trading day's first bar",
        unit="quote currency",
        inputs=(name, "day"),
        outputs=(Output("value", f"quote currency: {word} price of the day so far"),),
        warmup=0,
        state=(name,),
        back=1,
        arguments=lambda terms: (sign,),
        definition=__doc__ or "",
        group="day",
        overlay=True,
    )


FAMILIES = (
    Family("extreme_day", run, (_extreme("high", 1.0, "highest"), _extreme("low", -1.0, "lowest"))),
    Family(
        "gap_day",
        run_gap,
        (
            Metric(
                name="gap_day",
                description="Percent from the last close of the day before to the day's open",
                unit="percent",
                inputs=("open", "day"),
                outputs=(Output("value", "percent: of the symbol's last close before today"),),
                warmup=1,
                state=("gap",),
                back=1,
                arguments=lambda terms: (),
                definition=__doc__ or "",
                group="day",
                guides=(0.0,),
            ),
        ),
    ),
)
