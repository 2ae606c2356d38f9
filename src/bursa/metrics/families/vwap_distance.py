"""How far the close stands from the session's volume-weighted average price.

    vwap_distance <- 100 * (close - vwap) / vwap

Null where vwap is.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import KERNEL, Family, Floats, Ints, Metric, Output


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps. Inputs: close, vwap; see metric.py."""
    for i in range(n):
        close, vwap = values[rows[0], i], values[rows[1], i]
        values[rows[2], i] = 100.0 * (close - vwap) / vwap if vwap > 0.0 else np.nan


FAMILIES = (
    Family(
        "vwap_distance",
        run,
        (
            Metric(
                name="vwap_distance",
                description="Percent of the close over the session's vwap",
                unit="percent",
                inputs=("close", "vwap"),
                outputs=(Output("value", "percent: above 0 where the close is above vwap"),),
                warmup=0,
                state=(),
                arguments=lambda terms: (),
                definition=__doc__ or "",
                group="volume",
                guides=(0.0,),
            ),
        ),
    ),
)
