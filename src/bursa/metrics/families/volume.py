"""Volume against its own average over the bars before it.

    volume_avg        <- mean volume of the last `length` bars before this one
    relative_volume   <- volume / volume_avg

The bar itself is not in the average it is measured by. A window counts bars, not minutes: a minute
without a trade has none. Null until there are `length` bars before, and relative where the average
is 0. Volumes are summed as whole numbers of the venue's smallest unit, so that a burst that left
the window leaves nothing behind.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import (
    BAR,
    FROM,
    KERNEL,
    P_VOLUME,
    SYMBOL,
    TO,
    Family,
    Floats,
    Ints,
    Metric,
    Output,
    Parameter,
)
from bursa.metrics.past import AHEAD, fetch_bar

# Arguments; the one field of the state is the sum of the newest bars, up to the length.
_LENGTH, _UNITS = 0, 1


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one average. Input: volume; see metric.py."""
    length, units, mask = int(arguments[_LENGTH]), arguments[_UNITS], past.shape[1] - 1
    over = length * units
    for i in range(n):
        if i + AHEAD < n:
            fetch_bar(past, steps[SYMBOL, i + AHEAD], steps[BAR, i + AHEAD] - length)
        bar, total = steps[BAR, i], states[steps[FROM, i], s]
        values[rows[1], i] = total / over if bar >= length else np.nan
        total += np.rint(values[rows[0], i] * units)
        if bar >= length:
            leaving = past[steps[SYMBOL, i], (bar - length) & mask, P_VOLUME]
            total -= np.rint(leaving * units)
        states[steps[TO, i], s] = total


@njit(**KERNEL)
def run_relative(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps through one ratio. Inputs: volume, its average; see metric.py."""
    for i in range(n):
        average = values[rows[1], i]
        values[rows[2], i] = values[rows[0], i] / average if average > 0.0 else np.nan


def volume_avg(length: int) -> Metric:
    """The mean over `length` bars, `volume_avg_{length}`."""
    return Metric(
        name=f"volume_avg_{length}",
        description=f"Mean volume of the {length} bars before",
        unit="shares or base units",
        inputs=("volume",),
        outputs=(Output("value", "shares or base units: mean volume of a bar"),),
        parameters=(("length", length),),
        warmup=length,
        state=("total",),
        back=length,
        arguments=lambda terms: (float(length), float(10**terms.venue.volume_decimals)),
        definition=__doc__ or "",
        group="volume",
    )


def relative_volume(length: int) -> Metric:
    """Volume over `volume_avg_{length}`, `relative_volume_{length}`."""
    return Metric(
        name=f"relative_volume_{length}",
        description=f"Volume of the bar over the mean volume of the {length} bars before",
        unit="ratio",
        inputs=("volume", f"volume_avg_{length}"),
        outputs=(Output("value", "ratio: 1 where the bar is as large as the mean"),),
        parameters=(("length", length),),
        warmup=length,
        state=(),
        arguments=lambda terms: (),
        definition=__doc__ or "",
        group="volume",
        guides=(1.0,),
    )


_LENGTHS = (Parameter("length", 1, 500),)

FAMILIES = (
    Family("volume_avg", run, (volume_avg(20),), volume_avg, _LENGTHS),
    Family("relative_volume", run_relative, (relative_volume(20),), relative_volume, _LENGTHS),
)
