"""What a metric declares, and the form of its kernel.

A family (a file of families/) is a compiled kernel and the metrics that use it. A kernel takes one
metric through a list of steps, each one bar of one symbol, in the order given:

    run(n, steps, values, rows, states, s, past, memory, m, arguments)

    n, steps    int64 (STEP_FIELDS, >= n). Step i is bar number steps[BAR, i] of symbol
                steps[SYMBOL, i], counted from that symbol's first, which is 0. It reads the state
                as it was before the bar from row steps[FROM, i] of `states`, and writes what it is
                after it to row steps[TO, i]: every field of its own, changed or not, and only
                when it has read what it needs, for both are the same row as a rule
    values      float64 (lines, >= n), column i belongs to step i. rows[k] is the line of the k-th
                input that the metric declares, rows[len(inputs) + j] that of its output j. Every
                output is written for each step; NaN is null
    rows        int64 vector
    states, s   float64 (rows, width); the metric's own fields begin at column s, and all are 0.0
                before the symbol's first bar
    past        float64 (symbols, depth, PAST_FIELDS), depth a power of two: bar number b of a
                symbol is past[symbol, b & (depth - 1)], the step's own bar included. Bars up to
                `back` before it are there, as far as the symbol had them
    memory, m   float64 (symbols, width): fields too many to be kept after each bar; the metric's
                own begin at column m. What is written there may depend on bars alone, so that a
                bar that is run again writes what then holds. A checkpoint may find there what bars
                of up to a day later wrote: a bar reads nothing of later bars, and nothing that bars
                of the next two days write over
    arguments   float64 vector, the metric's own

A kernel reads nothing else, and nothing of later steps, so that the same bars give the same bits
whoever calls. All kernels have this one signature (SIGNATURE), so that one compiled call takes a
batch through all metrics, whichever they are (kernel.py). catalog.py finds the families.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from bursa.model.schema import Column
from bursa.model.timeframe import TIMEFRAMES
from bursa.model.venue import Gates, Venue

# The rows of `steps` that a kernel reads.
FROM, TO, SYMBOL, BAR = range(4)

# What can be an input beside the columns of other metrics: fields of the bar, in the order of their
# lines. Columns of OHLCV bear its names, but that its vwap is `bar_vwap`.
BAR_COLUMNS = (
    "open", "high", "low", "close", "volume", "value", "trades", "bar_vwap", "delta", "ruled",
    "bid_volume", "ask_volume",
)  # fmt: skip
# Then: the venue's trading day as days since 1970; the second of its clock's day at which the bar
# opens; minutes since 1970 UTC at which it opens; the symbol's volume and value since the trading
# day's first bar, with this one, as whole numbers of the venue's smallest units (volume_decimals,
# value_decimals), so that sums and differences are exact below 2 ** 53.
BAR_INPUTS = (*BAR_COLUMNS, "day", "second", "minute", "day_volume", "day_value")

# Fields of `past`; one cache line a bar.
P_CLOSE, P_HIGH, P_LOW, P_VOLUME, P_MINUTE, P_DAY, P_DAY_VOLUME, P_DAY_VALUE = range(8)
PAST_FIELDS = 8

# Options of njit for the kernels of metrics/. They make no arrays, so numba need not count
# references to those they are given.
KERNEL = {"nogil": True, "cache": True, "_nrt": False}
_INTS, _FLOATS = types.Array(types.int64, 2, "C"), types.Array(types.float64, 2, "C")
SIGNATURE = (
    types.int64,
    _INTS,
    _FLOATS,
    types.Array(types.int64, 1, "C"),
    _FLOATS,
    types.int64,
    types.Array(types.float64, 3, "C"),
    _FLOATS,
    types.int64,
    types.Array(types.float64, 1, "C"),
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ALL_TIMEFRAMES = tuple(TIMEFRAMES)
GROUPS = ("trend", "momentum", "volatility", "volume", "day", "flow", "own")
DRAWN = ("line", "histogram", "direction", "none")


@dataclass(frozen=True)
class Terms:
    """What a metric's arguments may depend on: the venue, and HD's gates on it by the time from
    which they hold, ascending; () where it has none."""

    venue: Venue
    gates: tuple[Gates, ...] = ()


def terms_of(venue: Venue) -> Terms:
    """The terms of a venue as it is known here."""
    return Terms(venue, (venue.gates,) if venue.gates is not None else ())


Arguments = Callable[[Terms], tuple[float, ...] | None]


@dataclass(frozen=True)
class Output:
    """One output. The one called `value` bears the metric's name as its column, another one
    `{metric}_{name}`. `unit` says the unit and what the number means; draw, one of DRAWN, how a
    chart shows it."""

    name: str
    unit: str
    draw: str = "line"


@dataclass(frozen=True)
class Metric:
    """One metric.

    definition    how it is computed and after whom, in words and formulas: its family's docstring
    parameters    what distinguishes it inside its family: (("length", 20),)
    inputs        what it reads: names of BAR_INPUTS, columns of other metrics
    warmup        bars of one symbol before the first that can have a value
    state         names of its float64 fields of state
    back          how many bars back it reads in `past`
    memory        fields of `memory` a symbol on a venue; None: none
    arguments     numbers for the kernel; None: the venue has no such metric, its values are null
    timeframes    those that its kernel computes; on others its value is that of the last minute
    group         one of GROUPS
    overlay       drawn over the prices rather than beneath them
    guides        levels that a chart marks
    version       raised when the same bars give other values than before
    """

    name: str
    description: str
    unit: str
    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]
    warmup: int
    state: tuple[str, ...]
    arguments: Arguments
    definition: str
    parameters: tuple[tuple[str, float], ...] = ()
    back: int = 0
    memory: Callable[[Venue], int] | None = None
    timeframes: tuple[str, ...] = ALL_TIMEFRAMES
    group: str = "own"
    overlay: bool = False
    guides: tuple[float, ...] = ()
    version: int = 1

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its outputs, in order; all may be null."""
        return tuple(
            Column(self.column(output), "float", output.unit, nullable=True)
            for output in self.outputs
        )

    def column(self, output: Output) -> str:
        """The name of an output's column."""
        return self.name if output.name == "value" else f"{self.name}_{output.name}"

    @property
    def signature(self) -> str:
        """What its state depends on: one that was saved under another signature is of no use."""
        return f"{self.name}/{self.version}:{','.join(self.state)}"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a family, a whole number from `least` to `most`."""

    name: str
    least: int
    most: int


@dataclass(frozen=True)
class Family:
    """A kernel and its metrics.

    name         first word of its metrics' names
    kernel       njit(**KERNEL) function of SIGNATURE
    metrics      those that every catalogue has
    make         another one by its parameters, where it has any; its name is
                 `{name}_{parameter}_{parameter}...`
    """

    name: str
    kernel: Any
    metrics: tuple[Metric, ...]
    make: Callable[..., Metric] | None = None
    parameters: tuple[Parameter, ...] = ()
