"""The list of families, and what follows from it: the catalogue and the metrics kind.

To add a metric write its file (metric.py says what goes into it) and enter it here: in `FAMILIES`
and, under its place in that order, in `run`. Nothing else changes.
"""

from numba import njit

from bursa.metrics import ema, hd, rsi
from bursa.metrics.metric import KERNEL, Floats, Metric
from bursa.model.batch import Block
from bursa.model.errors import Refuse
from bursa.model.schema import Kind, metrics_kind

# Each family's metrics. The order of families is that of the columns.
FAMILIES: tuple[tuple[Metric, ...], ...] = (ema.METRICS, rsi.METRICS, hd.METRICS)

CATALOGUE: dict[str, Metric] = {metric.name: metric for family in FAMILIES for metric in family}

# What an engine's state depends on: one that was saved under another signature is of no use.
SIGNATURE = ";".join(f"{m.name}{m.parameters}{m.fields}" for m in CATALOGUE.values())

METRICS: Kind = metrics_kind(tuple(c for metric in CATALOGUE.values() for c in metric.columns))


@njit(**KERNEL)
def run(  # noqa: PLR0913 (a kernel: primitives only)
    family: int, n: int, steps: Block, bars: Floats, states: Floats, s: int, arguments: Floats,
    out: Floats, o: int,
) -> None:  # fmt: skip
    """All steps through one metric of the family at that place of `FAMILIES`; see metric.py."""
    if family == 0:
        ema.run(n, steps, bars, states, s, arguments, out, o)
    elif family == 1:
        rsi.run(n, steps, bars, states, s, arguments, out, o)
    elif family == 2:
        hd.run(n, steps, bars, states, s, arguments, out, o)


def find(name: str, timeframe: str = "1m") -> Metric:
    """The metric of that name. Refuse `unknown_metric`, or `timeframe_not_allowed` where it is not
    computed on that timeframe."""
    metric = CATALOGUE.get(name)
    if metric is None:
        known = ", ".join(CATALOGUE)
        raise Refuse(f"metric={name!r} is none of {known}", "unknown_metric", parameter="metric")
    if timeframe not in metric.timeframes:
        allowed = ", ".join(metric.timeframes)
        message = f"{name} is computed on {allowed}, not on {timeframe}"
        raise Refuse(message, "timeframe_not_allowed", parameter="tf")
    return metric
