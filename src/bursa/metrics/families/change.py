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
from bursa.metrics.past import AHEAD, fetch_older, older

# Argument of the change over minutes; its state is how many bars are that old. The state of the
# daily one: the day of the newest bar, its close, the last close before that day (0.0: none).
_MINUTES = 0
_DAY, _CLOSE, _BEFORE = 0, 1, 2


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
    for i in range(n):
        now, after = steps[FROM, i], steps[TO, i]
        close, day, before = values[rows[0], i], values[rows[1], i], states[now, s + _BEFORE]
        if day != states[now, s + _DAY]:
            before = states[now, s + _CLOSE]
        states[after, s + _DAY], states[after, s + _CLOSE] = day, close
        states[after, s + _BEFORE] = before
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
                state=("day", "close", "before"),
                arguments=lambda terms: (),
                definition=__doc__ or "",
                group="day",
                guides=(0.0,),
            ),
        ),
    ),
)
