"""Which side of the order book is the heavier one.

    book_imbalance <- (bid volume - ask volume) / (bid volume + ask volume)

over the first five levels of each side as the book stood when the bar closed: 1 where there are
only bids, -1 where there are only asks. Null where the book is not known, or empty. A longer bar
has that of its last minute.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import KERNEL, Family, Floats, Ints, Metric, Output


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps. Inputs: bid_volume, ask_volume; see metric.py."""
    for i in range(n):
        bid, ask = values[rows[0], i], values[rows[1], i]
        both = bid + ask  # NaN where either is not known, and that is not above 0
        values[rows[2], i] = (bid - ask) / both if both > 0.0 else np.nan


FAMILIES = (
    Family(
        "book_imbalance",
        run,
        (
            Metric(
                name="book_imbalance",
                description="Bid less ask volume over their sum, first 5 levels, at the close",
                unit="-1 to 1",
                inputs=("bid_volume", "ask_volume"),
                outputs=(Output("value", "-1 to 1: above 0 where more is bid than asked"),),
                warmup=0,
                state=(),
                arguments=lambda terms: (),
                definition=__doc__ or "",
                timeframes=("1m",),
                group="flow",
                guides=(0.0,),
            ),
        ),
    ),
)
