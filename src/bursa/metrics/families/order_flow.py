"""Order flow: what was bought less what was sold, by the side that crossed the spread.

    delta        <- volume of the bar's trades whose aggressor bought, less that of those whose
                    aggressor sold
    cumulative   <- sum of delta since the trading day's first bar
    ruled        <- how much of the bar's volume was signed by the tick rule, because the venue did
                    not tell the aggressor: 0 where delta is all told, the bar's volume where it is
                    all guessed

The three are null on a bar whose flow is not known. Such a bar adds nothing: the day's sum goes on
from the bars before it, so it is that of the bars that are known. It is kept in whole numbers of
the venue's smallest unit of volume.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import (
    FROM,
    KERNEL,
    TO,
    Family,
    Floats,
    Ints,
    Metric,
    Output,
)

# Argument, and fields of the state: the day of the newest bar, its sum of units.
_UNITS = 0
_DAY, _TOTAL = 0, 1


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps. Inputs: delta, ruled, day; see metric.py."""
    units = arguments[_UNITS]
    for i in range(n):
        now, after = steps[FROM, i], steps[TO, i]
        delta, ruled, day = values[rows[0], i], values[rows[1], i], values[rows[2], i]
        total = states[now, s + _TOTAL] if day == states[now, s + _DAY] else 0.0
        known = not np.isnan(delta)
        if known:
            total += np.rint(delta * units)
        states[after, s + _DAY], states[after, s + _TOTAL] = day, total
        values[rows[3], i] = delta
        values[rows[4], i] = total / units if known else np.nan
        values[rows[5], i] = ruled if known else np.nan


FAMILIES = (
    Family(
        "order_flow",
        run,
        (
            Metric(
                name="order_flow",
                description="Volume bought less volume sold by the aggressor: of the bar, the day",
                unit="shares or base units",
                inputs=("delta", "ruled", "day"),
                outputs=(
                    Output("delta", "shares or base units: bought less sold", "histogram"),
                    Output("cumulative", "shares or base units: delta since the day's first bar"),
                    Output("ruled", "shares or base units: volume signed by the tick rule", "none"),
                ),
                warmup=0,
                state=("day", "total"),
                arguments=lambda terms: (float(10**terms.venue.volume_decimals),),
                definition=__doc__ or "",
                group="flow",
                guides=(0.0,),
            ),
        ),
    ),
)
