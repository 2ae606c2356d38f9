"""Every job there is, by its name: one line each."""

from collections.abc import Mapping

from bursa.pipeline import backfill_metric
from bursa.pipeline.jobs import Maker

MAKERS: Mapping[str, Maker] = {
    "backfill_metric": backfill_metric.make,
}
