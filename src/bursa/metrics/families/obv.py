"""On balance volume, as TA-Lib defines it.

The volume of the symbol's first bar; from there the volume is added where the close rose, taken off
where it fell, and left out where it stayed:

    obv <- obv + volume * sign(close - previous close)

It runs from the first bar stored and remembers for ever, so its height says nothing, its turns do.
"""

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
from bursa.model.batch import Block


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Block, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps; see metric.py. The state is the balance."""
    mask = past.shape[1] - 1
    for i in range(n):
        close, volume, bar = values[rows[0], i], values[rows[1], i], steps[BAR, i]
        balance = states[steps[FROM, i], s]
        if bar == 0:
            balance = volume
        else:
            previous = past[steps[SYMBOL, i], (bar - 1) & mask, P_CLOSE]
            balance += volume * (int(close > previous) - int(close < previous))
        states[steps[TO, i], s] = balance
        values[rows[2], i] = balance


OBV = Metric(
    name="obv",
    description="On balance volume: volume counted up where the close rises, down where it falls",
    unit="shares or base units",
    inputs=("close", "volume"),
    outputs=(Output("value", "shares or base units: signed volume since the first bar"),),
    warmup=0,
    back=1,
    state=("balance",),
    arguments=lambda terms: (),
    definition=__doc__ or "",
    group="volume",
)
FAMILIES = (Family("obv", run, (OBV,)),)
