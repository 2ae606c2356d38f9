"""Metric rows that are stored are read with all revisions and put right, in every store."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bursa.metrics.catalog import STANDARD
from bursa.model.batch import Batch, Span, Words, empty
from bursa.model.schema import OHLCV
from bursa.model.venue import IDX
from bursa.store.duckdb import DuckStore
from tests.fakes.store import FakeStore, Row, rows_of
from tests.store.contract import KINDS, MINUTE, OPEN, VENUES, bar, batch, metric, put

METRICS = STANDARD.kind


@pytest.fixture(params=["duckdb", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "fake":
        yield FakeStore(VENUES, KINDS)
        return
    duck = DuckStore(tmp_path / "hot.duckdb", VENUES, KINDS)
    yield duck
    duck.close()


def some(rows: list[Row]) -> Batch:
    words = Words(IDX.boards, [channel.name for channel in IDX.channels])
    return batch(METRICS, rows) if rows else empty(METRICS, words, Span("idx", 1, 0, 0))


def amend(
    store: Any,
    gone: list[Row] | None = None,
    filled: list[Row] | None = None,
    fresh: list[Row] | None = None,
    columns: tuple[str, ...] = (),
) -> None:
    store.amend(some(gone or []), some(filled or []), some(fresh or []), columns)


def by_key(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["ticker"], row["ts"], row["rev"]))


def stored(store: Any, start: int = 0, end: int = 2**62, **asked: Any) -> list[Row]:
    return by_key(rows_of(store.revisions("idx", "metrics", start, end, **asked)))


def made() -> list[Row]:
    rows = [metric(t, m, rsi_14=float(m)) for m in range(4) for t in ("BBCA", "TLKM")]
    return by_key([*rows, metric("BBCA", 1, 1, rsi_14=7.5), metric("BBCA", 1, 2, rsi_14=None)])


def test_every_revision_is_read(store: Any) -> None:
    rows = made()
    put(store, some(rows))
    assert stored(store) == rows
    start, end = OPEN + MINUTE, OPEN + 3 * MINUTE
    inside = [row for row in rows if start <= row["ts"] < end]
    assert stored(store, start, end) == inside
    mine = [row for row in inside if row["ticker"] == "BBCA"]
    assert stored(store, start, end, tickers=["BBCA", "none"]) == mine
    assert stored(store, tickers=[]) == stored(store, end, start) == []
    assert len(store.revisions("binance", "metrics", 0, 2**62)) == 0


def test_rows_are_deleted_filled_and_added_at_once(store: Any) -> None:
    rows = made()
    put(store, some(rows), batch(OHLCV, [bar("BBCA", minute) for minute in range(4)]))
    at = store.positions()
    gone = [metric("BBCA", 1, 2), metric("TLKM", 0)]
    filled = [metric("BBCA", 2, rsi_14=70.0, ema_20=1.25), metric("TLKM", 3, rsi_14=None)]
    fresh = [metric("ASII", 2, rsi_14=1e-300), metric("TLKM", 0, rsi_14=3.0)]
    amend(store, gone, filled, fresh, ("rsi_14",))
    absent = {(row["ticker"], row["ts"], row["rev"]) for row in gone}
    expected = [r for r in rows if (r["ticker"], r["ts"], r["rev"]) not in absent] + fresh
    for row in expected:
        if (row["ticker"], row["ts"]) == ("BBCA", OPEN + 2 * MINUTE):
            row["rsi_14"] = 70.0
        if (row["ticker"], row["ts"]) == ("TLKM", OPEN + 3 * MINUTE):
            row["rsi_14"] = None
    assert stored(store) == by_key(expected)
    assert store.positions() == at
    amend(store)
    assert stored(store) == by_key(expected)
    newest = rows_of(store.metrics("idx", "BBCA", 0, 2**62))
    assert [row["rsi_14"] for row in newest] == [0.0, 7.5, 70.0, 3.0]


def test_a_key_that_is_there_twice_goes_and_fills_with_all_its_rows(store: Any) -> None:
    twice = metric("BBCA", 1, rsi_14=None)
    put(store, some([twice, metric("BBCA", 2), twice]))
    amend(store, filled=[metric("BBCA", 1, rsi_14=4.0)], columns=("rsi_14",))
    assert [row["rsi_14"] for row in stored(store)] == [4.0, 4.0, None]
    amend(store, gone=[metric("BBCA", 1)])
    assert stored(store) == [metric("BBCA", 2)]


def test_what_no_kind_has_any_more_stays_in_a_row_that_is_filled(tmp_path: Path) -> None:
    """A metric was taken out of the configuration: its values are still there."""
    path = tmp_path / "hot.duckdb"
    before = DuckStore(path, VENUES, KINDS)
    put(before, some([metric("BBCA", 1, rsi_14=4.0)]))
    before.close()
    fewer = [kind for kind in KINDS if kind.name != "metrics"]
    less = replace(METRICS, columns=tuple(c for c in METRICS.columns if c.name != "rsi_14"))
    now = DuckStore(path, VENUES, [*fewer, less])
    words = Words(IDX.boards, [channel.name for channel in IDX.channels])
    none = empty(less, words, Span("idx", 1, 0, 0))
    now.amend(none, batch(less, [metric("BBCA", 1, ema_20=8.0)]), none, ("ema_20",))
    now.close()
    again = DuckStore(path, VENUES, KINDS)
    assert stored(again) == [metric("BBCA", 1, rsi_14=4.0, ema_20=8.0)]
    again.close()
