"""Volume-weighted average price: the value traded over the volume traded.

Of the session: since the trading day's first bar,

    vwap <- sum(value) / sum(volume)

Rolling (`vwap_5m`, `vwap_15m`, `vwap_1h`): the same over the closed bars of the last minutes by the
clock, this one included, so those that open in (t - length, t]. A window does not end at midnight:
where a venue never closes it reaches into the day before. Rolling ones are computed on 1-minute
bars; a longer bar has that of its last minute.

Sums are whole numbers of the venue's smallest units, exact below 2 ** 53 a day, so nothing that
left a window stays behind in it. Null where nothing was traded (a bar whose trades were all taken
back).
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import (
    BAR,
    FROM,
    KERNEL,
    P_DAY,
    P_DAY_VALUE,
    P_DAY_VOLUME,
    SYMBOL,
    TO,
    Family,
    Floats,
    Ints,
    Metric,
    Output,
    Terms,
)
from bursa.metrics.past import AHEAD, fetch_older, of_days_before, older

# Arguments: units of volume and of value in one, minutes of the window (rolling).
_VOLUME_UNITS, _VALUE_UNITS, _MINUTES = 0, 1, 2


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through the session's average. Inputs: day_volume, day_value; see metric.py."""
    volume_units, value_units = arguments[_VOLUME_UNITS], arguments[_VALUE_UNITS]
    for i in range(n):
        volume, value = values[rows[0], i], values[rows[1], i]
        known = volume > 0.0
        values[rows[2], i] = (value / value_units) / (volume / volume_units) if known else np.nan


@njit(**KERNEL)
def run_rolling(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one rolling average. Inputs: day_volume, day_value, day, minute; see
    metric.py. The state counts the bars that have left the window, which holds parts of two trading
    days at most."""
    volume_units, value_units = arguments[_VOLUME_UNITS], arguments[_VALUE_UNITS]
    minutes, mask = int(arguments[_MINUTES]), past.shape[1] - 1
    for i in range(n):
        if i + AHEAD < n:
            fetch_older(steps, i + AHEAD, states, s, past, minutes)
        symbol, bar = steps[SYMBOL, i], steps[BAR, i]
        volume, value, day = values[rows[0], i], values[rows[1], i], values[rows[2], i]
        left = int(states[steps[FROM, i], s])
        left = older(past, symbol, bar, values[rows[3], i], minutes, left)
        states[steps[TO, i], s] = float(left)
        of_day = day
        today = left > 0 and past[symbol, (left - 1) & mask, P_DAY] == day
        if not today and left < bar and past[symbol, left & mask, P_DAY] != day:
            last = (of_days_before(past, symbol, left + 1, bar, day) - 1) & mask
            volume += past[symbol, last, P_DAY_VOLUME]
            value += past[symbol, last, P_DAY_VALUE]
            of_day = past[symbol, last, P_DAY]
        if left > 0 and past[symbol, (left - 1) & mask, P_DAY] == of_day:
            volume -= past[symbol, (left - 1) & mask, P_DAY_VOLUME]
            value -= past[symbol, (left - 1) & mask, P_DAY_VALUE]
        known = volume > 0.0
        values[rows[4], i] = (value / value_units) / (volume / volume_units) if known else np.nan


def _units(terms: Terms) -> tuple[float, float]:
    return float(10**terms.venue.volume_decimals), float(10**terms.venue.value_decimals)


def _rolling(name: str, minutes: int) -> Metric:
    return Metric(
        name=f"vwap_{name}",
        description=f"Volume-weighted average price of the last {minutes} minutes",
        unit="quote currency",
        inputs=("day_volume", "day_value", "day", "minute"),
        outputs=(Output("value", "quote currency: value over volume in the window"),),
        parameters=(("minutes", minutes),),
        warmup=0,
        state=("left",),
        back=minutes,
        arguments=lambda terms: (*_units(terms), float(minutes)),
        definition=__doc__ or "",
        timeframes=("1m",),
        group="volume",
        overlay=True,
    )


FAMILIES = (
    Family(
        "vwap",
        run,
        (
            Metric(
                name="vwap",
                description="Volume-weighted average price since the trading day's first bar",
                unit="quote currency",
                inputs=("day_volume", "day_value"),
                outputs=(Output("value", "quote currency: the day's value over its volume"),),
                warmup=0,
                state=(),
                arguments=_units,
                definition=__doc__ or "",
                group="volume",
                overlay=True,
            ),
        ),
    ),
    Family(
        "vwap_rolling",
        run_rolling,
        (_rolling("5m", 5), _rolling("15m", 15), _rolling("1h", 60)),
    ),
)
