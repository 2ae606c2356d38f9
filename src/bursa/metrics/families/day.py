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
    TO,
    Family,
    Floats,
    Ints,
    Metric,
    Output,
)

# Argument of the extremes: 1 for the high, -1 for the low. Fields of the states; the gap's are the
# day of the newest bar, its close, the day's open, the last close before it (0.0: none).
_SIGN = 0
_DAY, _EXTREME = 0, 1
_CLOSE, _OPEN, _BEFORE = 1, 2, 3


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one extreme. Inputs: high or low, day; see metric.py."""
    sign = arguments[_SIGN]
    for i in range(n):
        now, after = steps[FROM, i], steps[TO, i]
        extreme, day = values[rows[0], i], values[rows[1], i]
        if steps[BAR, i] > 0 and day == states[now, s + _DAY]:
            extreme = sign * max(sign * extreme, sign * states[now, s + _EXTREME])
        states[after, s + _DAY], states[after, s + _EXTREME] = day, extreme
        values[rows[2], i] = extreme


@njit(**KERNEL)
def run_gap(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through the gap. Inputs: open, close, day; see metric.py."""
    for i in range(n):
        now, after = steps[FROM, i], steps[TO, i]
        day, opened, before = values[rows[2], i], states[now, s + _OPEN], states[now, s + _BEFORE]
        if steps[BAR, i] == 0 or day != states[now, s + _DAY]:
            opened, before = values[rows[0], i], states[now, s + _CLOSE]
        states[after, s + _DAY], states[after, s + _CLOSE] = day, values[rows[1], i]
        states[after, s + _OPEN], states[after, s + _BEFORE] = opened, before
        values[rows[3], i] = 100.0 * (opened - before) / before if before != 0.0 else np.nan


def _extreme(name: str, sign: float, word: str) -> Metric:
    return Metric(
        name=f"{name}_day",
        description=f"The {word} price since the trading day's first bar",
        unit="quote currency",
        inputs=(name, "day"),
        outputs=(Output("value", f"quote currency: {word} price of the day so far"),),
        warmup=0,
        state=("day", name),
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
                inputs=("open", "close", "day"),
                outputs=(Output("value", "percent: of the symbol's last close before today"),),
                warmup=1,
                state=("day", "close", "open", "before"),
                arguments=lambda terms: (),
                definition=__doc__ or "",
                group="day",
                guides=(0.0,),
            ),
        ),
    ),
)
