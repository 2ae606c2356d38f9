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
    BAR,
    FROM,
    KERNEL,
    SYMBOL,
    TO,
    Family,
    Floats,
    Ints,
    Metric,
    Output,
)
from bursa.metrics.past import begins_day

# Argument; the one field of the state is the day's sum of units.
_UNITS = 0


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps. Inputs: delta, ruled, day; see metric.py."""
    units = arguments[_UNITS]
    for i in range(n):
        symbol, bar, total = steps[SYMBOL, i], steps[BAR, i], states[steps[FROM, i], s]
        delta, ruled, day = values[rows[0], i], values[rows[1], i], values[rows[2], i]
        if begins_day(past, symbol, bar, day):
            total = 0.0
        known = not np.isnan(delta)
        if known:
            total += np.rint(delta * units)
        states[steps[TO, i], s] = total
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
                state=("total",),
                back=1,
                arguments=lambda terms: (float(10**terms.venue.volume_decimals),),
                definition=__doc__ or "",
                group="flow",
                guides=(0.0,),
            ),
        ),
    ),
)
