"""The list of families, and what follows from it: the catalogue and the metrics kind.

To add a metric write its file (metric.py says what goes into it) and enter it here: in `FAMILIES`
and, at the same place in the order, in `step`. Nothing else changes.
"""

from numba import njit

from bursa.metrics import ema, hd, rsi
from bursa.metrics.metric import Metric, Vector
from bursa.model.errors import Refuse
from bursa.model.schema import Kind, metrics_kind

# Each family's metrics. The order of families is that of the columns.
FAMILIES: tuple[tuple[Metric, ...], ...] = (ema.METRICS, rsi.METRICS, hd.METRICS)

CATALOGUE: dict[str, Metric] = {metric.name: metric for family in FAMILIES for metric in family}

METRICS: Kind = metrics_kind(tuple(c for metric in CATALOGUE.values() for c in metric.columns))


@njit(nogil=True, cache=True)
def step(
    family: int,
    state: Vector,
    s: int,
    bar: Vector,
    arguments: Vector,
    p: int,
    out: Vector,
    o: int,
) -> None:
    """One bar through one metric of the family at that place of `FAMILIES`; see metric.py."""
    if family == 0:
        ema.step(state, s, bar, arguments, p, out, o)
    elif family == 1:
        rsi.step(state, s, bar, arguments, p, out, o)
    elif family == 2:
        hd.step(state, s, bar, arguments, p, out, o)


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
