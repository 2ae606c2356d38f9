"""A metric told to others: plain data for the API, the chart's menu and the docs.

One door, so that nothing that shows a metric repeats what its family declares. Computes nothing.
"""

from collections.abc import Iterable
from typing import Any

from bursa.metrics.metric import Metric, Terms

# What the groups are called, in the order in which they are listed.
GROUP_TITLES = {
    "trend": "Trend",
    "momentum": "Momentum",
    "volatility": "Volatility",
    "volume": "Volume",
    "day": "The day",
    "flow": "Order flow",
    "own": "bursa's own",
}
# Names that are abbreviations; others are words.
_ABBREVIATIONS = frozenset(
    "rsi ema sma macd obv bbands atr vwap hd mapo dmapo wma adx cci roc mfi".split()
)


def title(name: str) -> str:
    """What a metric is called where people read.

    >>> title("macd_12_26_9"), title("vwap_5m"), title("relative_volume_20")
    ('MACD 12 26 9', 'VWAP 5m', 'Relative volume 20')
    """
    first, *rest = name.split("_")
    head = first.upper() if first in _ABBREVIATIONS else first.capitalize()
    return " ".join((head, *rest))


def described(metric: Metric, terms: Terms) -> dict[str, Any]:
    """All that there is to say of a metric on one venue, as JSON has it."""
    return {
        "name": metric.name,
        "title": title(metric.name),
        "description": metric.description,
        "unit": metric.unit,
        "group": metric.group,
        "parameters": dict(metric.parameters),
        "inputs": list(metric.inputs),
        "outputs": [
            {
                "name": output.name,
                "column": metric.column(output),
                "unit": output.unit,
                "draw": output.draw,
            }
            for output in metric.outputs
        ],
        "overlay": metric.overlay,
        "guides": list(metric.guides),
        "warmup": metric.warmup,
        "timeframes": list(metric.timeframes),
        "available": metric.arguments(terms) is not None,
        "definition": metric.definition.strip(),
    }


def catalogue_data(metrics: Iterable[Metric], terms: Terms) -> dict[str, Any]:
    """What a chart needs of a catalogue: its groups and metrics, without their definitions."""
    told = [described(metric, terms) for metric in metrics]
    for one in told:
        del one["definition"], one["inputs"]
    return {"groups": GROUP_TITLES, "metrics": told}
