"""Metric rows by time: what live rows say at last, and rows for bars that were entered."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from bursa.jobs.backfill_metric import ground_of
from bursa.jobs.by_time import bars_by_time, metrics_by_time
from bursa.jobs.entry import enter, enter_absent, newest, wait_committed
from bursa.metrics.engine import compute
from bursa.model.batch import Batch
from bursa.model.schema import OHLCV
from tests.jobs.test_entry import BEFORE, Venue, bars_of
from tests.pipeline import market, rows, running

END = 2**62
# What tells when a row came, and of which revision it is.
BESIDE = frozenset({"rev", "known_at", "ts_recv", "position", "source"})


def told(*batches: Batch, without: frozenset[str] = BESIDE) -> rows.Rows:
    """Rows of metrics by what they say."""
    return rows.in_any_order(np.concatenate([rows.of_batch(b, without) for b in batches]))


def by_time(venue: Venue, start: int, end: int = END) -> list[Batch]:
    found = metrics_by_time(ground_of(venue.runtime), None, start, end)
    return [batch for batch in found if len(batch)]


def test_they_are_what_live_rows_say_at_last(tmp_path: Path) -> None:
    script = market.channels()
    with Venue(tmp_path / "data", running.Script(script, Random(3), 60)) as venue:
        runtime = venue.runtime
        running.until(lambda: runtime.committed >= runtime.journal.position, "it is committed")
        runtime.saver.take(runtime.journal.position)
        stored = newest(venue.store.revisions("idx", "metrics", 0, END))
        assert len(stored) > 20
        second = runtime.venue.calendar.midnight_ns(market.DAYS[1])
        later = stored.column("ts") >= second
        part = replace(stored, block=np.ascontiguousarray(stored.block[:, later]))
        assert np.array_equal(told(*by_time(venue, 0)), told(stored))
        assert np.array_equal(told(*by_time(venue, second)), told(part))
        pieces = list(bars_by_time(ground_of(runtime), None, 0, END))
        ts = np.concatenate([piece.column("ts") for piece in pieces])
        assert (np.diff(ts) >= 0).all()


def test_rows_of_entered_bars_follow_from_all_bars_before_them(tmp_path: Path) -> None:
    with Venue(tmp_path / "data") as venue:
        first, then = (
            bars_of(["BBCA", "ZZZZ"], 40),
            bars_of(["BBCA"], 5, start=BEFORE + 3600 * 10**9),
        )
        for bars in (first, then):
            wait_committed(venue.runtime, enter(venue.runtime, bars))
        count = sum(enter_absent(venue.runtime, made) for made in by_time(venue, 0))
        assert count == 85
        wait_committed(venue.runtime, venue.runtime.entered_to)
        assert sum(enter_absent(venue.runtime, made) for made in by_time(venue, 0)) == 0
        kept = venue.store.revisions("idx", "metrics", 0, END)
        assert set(kept.text("source")) == {"file"}
        whole = venue.store.revisions("idx", OHLCV.name, 0, END)
        order = np.lexsort((whole.column("ticker"), whole.column("ts")))
        whole = replace(whole, block=np.ascontiguousarray(whole.block[:, order]))
        metrics = [name for name in venue.runtime.line.catalogue.metrics]
        want = compute(metrics, whole, venue.runtime.venue, venue.runtime.line.catalogue)
        assert np.array_equal(told(kept), told(want))
