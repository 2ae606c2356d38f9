"""What a metric declares, and the form of its step.

A family (ema.py, rsi.py, hd.py, one file each) is a compiled step and the metrics that use it. The
step takes one bar of one symbol, changes the metric's own state and writes its outputs:

    step(state, s, bar, arguments, p, out, o)

    state, s      float64 vector of one symbol; the metric's own fields begin at s, all 0.0 before
                  the symbol's first bar
    bar           float64 (BAR_FIELDS,), see below
    arguments, p  float64 vector; the metric's own arguments begin at p
    out, o        float64 vector; the metric's outputs begin at o, NaN (null) before the call

A step reads nothing else, so that the same bars give the same bits whoever calls. The list of
families is catalog.py; engine.py runs them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bursa.model.schema import Column
from bursa.model.timeframe import TIMEFRAMES
from bursa.model.venue import Venue

# The fields of `bar`. Day is the venue's date as days since 1970, second that of the venue's day
# at which the bar opens.
OPEN, HIGH, LOW, CLOSE, VOLUME, VALUE, TRADES, VWAP, DAY, SECOND = range(10)
BAR_FIELDS = 10

Vector = NDArray[np.float64]
Arguments = Callable[[Venue], tuple[float, ...] | None]
ALL_TIMEFRAMES = tuple(TIMEFRAMES)


@dataclass(frozen=True)
class Output:
    """One output. The one called `value` bears the metric's name as its column, another one
    `{metric}_{name}`."""

    name: str
    unit: str


@dataclass(frozen=True)
class Metric:
    """One metric.

    parameters    what distinguishes it inside its family: (("length", 20),)
    inputs        columns of the bars that it reads
    warmup        bars of one symbol before the first that has a value
    fields        float64 fields of state a symbol
    arguments     numbers for the step; None: the venue has no such metric, its values are null
    timeframes    those it may be computed on
    """

    name: str
    description: str
    unit: str
    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]
    parameters: tuple[tuple[str, int], ...]
    warmup: int
    fields: int
    arguments: Arguments
    timeframes: tuple[str, ...] = ALL_TIMEFRAMES

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its outputs, in order; all may be null."""
        return tuple(
            Column(
                self.name if output.name == "value" else f"{self.name}_{output.name}",
                "float",
                output.unit,
                nullable=True,
            )
            for output in self.outputs
        )
