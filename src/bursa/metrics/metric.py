"""What a metric declares, and the form of its kernel.

A family (ema.py, rsi.py, hd.py: one file each) is a compiled kernel and the metrics that use it. A
kernel takes a metric through a list of steps, each one bar of one symbol, in the order given:

    run(n, steps, bars, states, s, arguments, out, o)

    n, steps    int64 (STEP_FIELDS, >= n). Step i reads the symbol's state as it was before the bar
                from row steps[FROM, i] of `states`, and writes what it is after it to row
                steps[TO, i]: every field of its own, changed or not
    bars        float64 (BAR_FIELDS, >= n): column i is the bar of step i
    states, s   float64 (rows, width); the metric's own fields begin at column s, all are 0.0 before
                the symbol's first bar
    arguments   float64 vector, the metric's own
    out, o      float64 (columns, >= n); its outputs are rows o, o + 1 ..., NaN is null; all of
                them are written for each step

A kernel reads nothing else, so that the same bars give the same bits whoever calls. The list of
families is catalog.py; engine.py makes the steps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bursa.model.schema import Column
from bursa.model.timeframe import TIMEFRAMES
from bursa.model.venue import Venue

# Rows of `bars`. Day is the venue's date as days since 1970, second that of the venue's day at
# which the bar opens.
OPEN, HIGH, LOW, CLOSE, VOLUME, VALUE, TRADES, VWAP, DAY, SECOND = range(10)
BAR_FIELDS = 10
# The rows of `steps` that a kernel reads.
FROM, TO = 0, 1

# Options of njit for the kernels of metrics/. They make no arrays, so numba need not count
# references to those they are given.
KERNEL = {"nogil": True, "cache": True, "_nrt": False}

Floats = NDArray[np.float64]
Arguments = Callable[[Venue], tuple[float, ...] | None]
ALL_TIMEFRAMES = tuple(TIMEFRAMES)


@dataclass(frozen=True)
class Output:
    """One output. The one called `value` bears the metric's name as its column, another one
    `{metric}_{name}`. `unit` says the unit and what the number means."""

    name: str
    unit: str


@dataclass(frozen=True)
class Metric:
    """One metric.

    definition    how it is computed and after whom, in words and formulas: its family's docstring
    parameters    what distinguishes it inside its family: (("length", 20),)
    inputs        columns of the bars that it reads
    warmup        bars of one symbol before the first that can have a value
    fields        float64 fields of state a symbol
    arguments     numbers for the kernel; None: the venue has no such metric, its values are null
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
    definition: str
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
