"""Percent change of the close: against some minutes ago, and against the day before.

    change_1m, change_5m, change_15m
                 <- 100 * (close - before) / before; `before` is the last close at or before
                    t - 1, 5, 15 minutes by the clock, on the same trading day
    change_day   <- the same against the symbol's last close before this trading day

Null where there is no such close: in the first minutes of a day, or on a symbol's first day. A
symbol that was not traded yesterday is measured by the last day on which it was. The changes over
minutes are computed on 1-minute bars; a longer bar has that of its last minute.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import (
    BAR,
    FROM,
    KERNEL,
    P_CLOSE,
    P_DAY,
    SYMBOL,
    TO,
    Family,
    Floats,
    Ints,
    Metric,
    Output,
)
from bursa.metrics.past import AHEAD, begins_day, fetch_older, older

# Argument of the change over minutes, whose state is how many bars are that old. The state of the
# daily one is the last close before the day of the newest bar, 0.0 where there is none.
_MINUTES = 0


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one change over minutes. Inputs: close, day, minute; see metric.py."""
    minutes, mask = int(arguments[_MINUTES]), past.shape[1] - 1
    for i in range(n):
        if i + AHEAD < n:
            fetch_older(steps, i + AHEAD, states, s, past, minutes)
        symbol, close = steps[SYMBOL, i], values[rows[0], i]
        count = int(states[steps[FROM, i], s])
        count = older(past, symbol, steps[BAR, i], values[rows[2], i], minutes, count)
        states[steps[TO, i], s] = float(count)
        at = (count - 1) & mask
        change = np.nan
        if count > 0 and past[symbol, at, P_DAY] == values[rows[1], i]:
            before = past[symbol, at, P_CLOSE]
            if before != 0.0:
                change = 100.0 * (close - before) / before
        values[rows[3], i] = change


@njit(**KERNEL)
def run_day(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through the change against the day before. Inputs: close, day; see metric.py."""
    mask = past.shape[1] - 1
    for i in range(n):
        symbol, bar, close = steps[SYMBOL, i], steps[BAR, i], values[rows[0], i]
        before = states[steps[FROM, i], s]
        if bar > 0 and begins_day(past, symbol, bar, values[rows[1], i]):
            before = past[symbol, (bar - 1) & mask, P_CLOSE]
        states[steps[TO, i], s] = before
        values[rows[2], i] = 100.0 * (close - before) / before if before != 0.0 else np.nan


def _over(minutes: int) -> Metric:
    return Metric(
        name=f"change_{minutes}m",
        description=f"Percent change of the close over {minutes} minutes of the same day",
        unit="percent",
        inputs=("close", "day", "minute"),
        outputs=(Output("value", "percent: of the last close that many minutes ago or more"),),
        parameters=(("minutes", minutes),),
        warmup=1,
        state=("older",),
        back=minutes,
        arguments=lambda terms: (float(minutes),),
        definition=__doc__ or "",
        timeframes=("1m",),
        group="day",
        guides=(0.0,),
    )


FAMILIES = (
    Family("change", run, (_over(1), _over(5), _over(15))),
    Family(
        "change_day",
        run_day,
        (
            Metric(
                name="change_day",
                description="Percent change of the close against the last close of the day before",
                unit="percent",
                inputs=("close", "day"),
                outputs=(Output("value", "percent: of the symbol's last close before today"),),
                warmup=1,
                state=("before",),
                back=1,
                arguments=lambda terms: (),
                definition=__doc__ or "",
                group="day",
                guides=(0.0,),
            ),
        ),
    ),
)
