"""Metric rows by time: what live rows say at last, and rows for bars that were entered."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest

from bursa.jobs import by_time as module
from bursa.jobs.backfill_metric import ground_of
from bursa.jobs.by_time import bars_by_time, groups, metrics_by_time
from bursa.jobs.entry import enter, newest, wait_committed
from bursa.jobs.onward import revise_metrics
from bursa.jobs.stretches import stretches
from bursa.metrics.engine import compute
from bursa.model.batch import Batch
from bursa.model.calendar import DAY_NS
from bursa.model.schema import OHLCV, TICKS
from bursa.model.venue import IDX
from tests.fakes.store import FakeStore
from tests.jobs.test_entry import BEFORE, Venue, bars_of
from tests.pipeline import market, rows, running
from tests.store import contract
from tests.store.contract import KINDS

END = IDX.calendar.midnight_ns(market.DAYS[1]) + 2 * DAY_NS
# What tells when a row came, and of which revision it is.
BESIDE = frozenset({"rev", "known_at", "ts_recv", "position", "source"})


def told(*batches: Batch, without: frozenset[str] = BESIDE) -> rows.Rows:
    """Rows of metrics by what they say."""
    return rows.in_any_order(np.concatenate([rows.of_batch(b, without) for b in batches]))


def by_time(venue: Venue, start: int, end: int = END) -> list[Batch]:
    found = metrics_by_time(ground_of(venue.runtime), None, start, end)
    return [batch for batch, _ in found if len(batch)]


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


def test_groups_of_tickers_give_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = market.channels()
    with Venue(tmp_path / "data", running.Script(script, Random(3), 60)) as venue:
        runtime = venue.runtime
        running.until(lambda: runtime.committed >= runtime.journal.position, "it is committed")
        runtime.saver.take(runtime.journal.position)
        second = runtime.venue.calendar.midnight_ns(market.DAYS[1])
        ground = ground_of(runtime)
        for start in (0, second):
            whole = told(*by_time(venue, start))
            with monkeypatch.context() as patch:
                patch.setattr(module, "GROUP", 1)
                patch.setattr(module, "ROWS", 3)
                count = len(groups(ground, None))
                assert count == min(len(venue.store.span("idx")), module.TURNS) > 1
                found = list(metrics_by_time(ground, None, start, END))
            parts, shares = [b for b, _ in found if len(b)], [done for _, done in found]
            assert all(len(batch) <= 3 or len(set(batch.column("ts"))) == 1 for batch in parts)
            assert np.array_equal(told(*parts), whole)
            # How far it is: over all groups, and never back.
            assert shares == sorted(shares) and len(set(shares)) >= count
            assert 0 <= shares[0] and (count - 1) / count < shares[-1] <= 1
        assert groups(ground, ["ZZZZ"]) == []


def test_stretches_are_cut_by_what_lies_in_them() -> None:
    store, minute = FakeStore((IDX,), KINDS), contract.MINUTE
    counts = {0: 3, 1: 3, 4: 9, 5: 1, 6: 5, 100_000: 2}
    ticks = [
        contract.tick("BBCA", n, ts=contract.OPEN + at * minute, position=n + 1)
        for n, at in enumerate(at for at, rows in counts.items() for _ in range(rows))
    ]
    contract.put(store, contract.batch(TICKS, ticks))
    end = contract.OPEN + 200_000 * minute
    found = list(stretches(store, "idx", "ticks", (contract.OPEN + 1, end), 6))
    assert found[0][0] == contract.OPEN + 1 and found[-1][1] == end
    assert all(one[1] == other[0] for one, other in pairwise(found))
    held = [len(store.rows("idx", "ticks", *within)) for within in found]
    # What the first minute has before the start is not counted; a full minute stands alone.
    assert [rows for rows in held if rows] == [3, 9, 6, 2]
    assert list(stretches(store, "idx", "ticks", (end, end), 6)) == []


def test_rows_of_entered_bars_follow_from_all_bars_before_them(tmp_path: Path) -> None:
    with Venue(tmp_path / "data") as venue:
        first, then = (
            bars_of(["BBCA", "ZZZZ"], 40),
            bars_of(["BBCA"], 5, start=BEFORE + 3600 * 10**9),
        )
        for bars in (first, then):
            wait_committed(venue.runtime, enter(venue.runtime, bars))
        count = sum(revise_metrics(venue.runtime, made) for made in by_time(venue, 0))
        assert count == 85
        wait_committed(venue.runtime, venue.runtime.entered_to)
        assert sum(revise_metrics(venue.runtime, made) for made in by_time(venue, 0)) == 0
        kept = venue.store.revisions("idx", "metrics", 0, END)
        assert set(kept.text("source")) == {"file"}
        whole = venue.store.revisions("idx", OHLCV.name, 0, END)
        order = np.lexsort((whole.column("ticker"), whole.column("ts")))
        whole = replace(whole, block=np.ascontiguousarray(whole.block[:, order]))
        metrics = [name for name in venue.runtime.line.catalogue.metrics]
        want = compute(metrics, whole, venue.runtime.venue, venue.runtime.line.catalogue)
        assert np.array_equal(told(kept), told(want))
