"""Every job there is, by its name: one line each; and which of them must not run side by side."""

from collections.abc import Mapping

from bursa.jobs import (
    backfill_journal,
    backfill_metric,
    backfill_ohlcv,
    drain,
    export,
    repair,
    restore,
    retention,
)
from bursa.jobs.job import Maker

MAKERS: Mapping[str, Maker] = {
    "backfill_journal": backfill_journal.make,
    "backfill_metric": backfill_metric.make,
    "backfill_ohlcv": backfill_ohlcv.make,
    "drain": drain.make,
    "export": export.make,
    "repair": repair.make,
    "restore": restore.make,
    "retention": retention.make,
}

# Those that put rows of the past where they lack judge what is stored, then write.
ENTRY = "entry"
LANES: Mapping[str, str] = {
    "backfill_journal": ENTRY,
    "backfill_metric": ENTRY,
    "backfill_ohlcv": ENTRY,
    "gaps_fill": ENTRY,
    "repair": ENTRY,
    "restore": ENTRY,
}
