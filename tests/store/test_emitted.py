"""Stored bars come back in the order in which they were emitted, from every store."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.model.errors import Retry
from bursa.model.schema import OHLCV
from bursa.ports import Committed
from bursa.store import emission
from bursa.store.duckdb import DuckStore
from tests.fakes.store import FakeStore, Row, rows_of
from tests.store.contract import KINDS, MINUTE, OPEN, VENUES, bar, batch, put

ALL: dict[str, Any] = {"start_ns": 0, "end_ns": 2**62}
DAY = 24 * 60


@pytest.fixture(params=["duckdb", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "fake":
        yield FakeStore(VENUES, KINDS)
        return
    duck = DuckStore(tmp_path / "hot.duckdb", VENUES, KINDS)
    yield duck
    duck.close()


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emission, "PIECE_ROWS", 10)


def emitted(store: Any, after: int = 0, upto: int = 2**62, **asked: Any) -> list[Row]:
    """What comes, judged piece by piece."""
    found: list[Row] = []
    last = after
    for piece in store.emitted("idx", after, upto, **(ALL | asked)):
        assert len(piece)
        assert last <= piece.span.first < piece.span.last <= upto
        position = piece.column("position")
        assert piece.span.first < position[0] and position[-1] <= piece.span.last
        last = piece.span.last
        found += rows_of(piece)
    return found


def places(rows: list[Row]) -> list[tuple[int, int | None]]:
    return [(row["position"], row.get("nth")) for row in rows]


def made(seed: int, days: int = 3) -> list[Row]:
    """Bars of some days with late revisions, several of a record, in order of emission."""
    chance, rows, position = Random(seed), [], 0
    for day in range(days):
        for minute in range(day * DAY, day * DAY + 12):
            position += chance.randrange(1, 10**6)
            some = chance.sample(["BBCA", "TLKM", "ASII", "GOTO"], chance.randrange(1, 5))
            chosen = [(t, minute, 0) for t in some]
            if minute % 12 > 2 and chance.random() < 0.5:
                chosen.insert(chance.randrange(len(chosen) + 1), ("BBCA", minute - 2, 1))
            rows += [
                bar(t, m, rev, position=position, nth=nth) for nth, (t, m, rev) in enumerate(chosen)
            ]
    return rows


@pytest.mark.parametrize("settled", [False, True])
def test_all_revisions_come_in_order_of_emission(store: Any, settled: bool) -> None:
    rows = made(1)
    positions = sorted({row["position"] for row in rows})
    for low, high in pairwise([0, *positions[6::7], positions[-1]]):
        some = [row for row in rows if low < row["position"] <= high]
        put(store, *([batch(OHLCV, some)] if some else []))
    if settled:
        for day in range(3):
            store.settle("idx", OPEN + day * DAY * MINUTE, OPEN + (day + 1) * DAY * MINUTE)
    found = emitted(store)
    kept = set(OHLCV.index)
    expected = [{name: value for name, value in row.items() if name in kept} for row in rows]
    assert [{n: row[n] for n in e} for row, e in zip(found, expected, strict=True)] == expected


def test_bounds_of_position_and_time_and_tickers(store: Any) -> None:
    rows = made(2)
    put(store, batch(OHLCV, rows))
    positions = sorted({row["position"] for row in rows})
    for after, upto in ((0, positions[4]), (positions[4], positions[9]), (positions[-1], 2**62)):
        expected = [r for r in rows if after < r["position"] <= upto]
        assert places(emitted(store, after, upto)) == places(expected)
    start, end = OPEN + DAY * MINUTE + 3 * MINUTE, OPEN + DAY * MINUTE + 8 * MINUTE
    inside = [r for r in rows if start <= r["ts"] < end]
    assert places(emitted(store, start_ns=start, end_ns=end)) == places(inside)
    some = [r for r in inside if r["ticker"] in ("BBCA", "GOTO")]
    asked: dict[str, Any] = {"start_ns": start, "end_ns": end, "tickers": ["BBCA", "GOTO", "none"]}
    assert places(emitted(store, **asked)) == places(some)
    assert emitted(store, tickers=[]) == emitted(store, tickers=["none"]) == []
    assert list(store.emitted("binance", 0, 2**62, **ALL)) == []


def test_rows_from_before_nth_go_by_ts_and_rev(store: Any) -> None:
    keys = [(3, 0), (1, 0), (1, 1), (2, 0)]
    rows = [bar("BBCA", m, rev, position=5, nth=None) for m, rev in keys]
    put(store, batch(OHLCV, rows))
    found = [((row["ts"] - OPEN) // MINUTE, row["rev"]) for row in emitted(store)]
    assert found == sorted(keys)


def test_what_is_left_begins_at_the_last_pieces_end(tmp_path: Path) -> None:
    rows = made(3)
    store = DuckStore(tmp_path / "hot.duckdb", VENUES, KINDS)
    put(store, batch(OHLCV, rows))
    pieces = store.emitted("idx", 0, 2**62, **ALL)
    first = next(pieces)
    assert len(first) < len(rows)
    store.close()
    with pytest.raises(Retry):
        list(store.emitted("idx", first.span.last, 2**62, **ALL))
    again = DuckStore(tmp_path / "hot.duckdb", VENUES, KINDS)
    assert rows_of(first) + emitted(again, first.span.last) == emitted(again)
    again.close()


def test_one_reads_while_another_writes_past_it(store: Any) -> None:
    rows = made(4)
    half = rows[len(rows) // 2]["position"]
    put(store, batch(OHLCV, [r for r in rows if r["position"] <= half]))
    found: list[Row] = []
    for piece in store.emitted("idx", 0, half, **ALL):
        found += rows_of(piece)
        if len(store.positions()) == 1:
            put(store, batch(OHLCV, [r for r in rows if r["position"] > half]))
            store.write([], {"idx.ticks": Committed(1, 1)})
    assert places(found) == places([r for r in rows if r["position"] <= half])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 10**12), st.integers(1, 40)), max_size=60),
    st.integers(1, 50),
    st.integers(0, 3),
)
def test_cuts_hold_every_row_once(held: list[tuple[int, int]], rows: int, more: int) -> None:
    """held: (position, rows at it)."""
    counts: dict[int, int] = {}
    for position, number in held:
        counts[position] = counts.get(position, 0) + number

    def count(after: int, upto: int, width: int) -> list[tuple[int, int]]:
        found: dict[int, int] = {}
        for position, number in counts.items():
            if after < position <= upto:
                bucket = (position - after - 1) // width
                found[bucket] = found.get(bucket, 0) + number
        assert len(found) <= emission._BUCKETS_MAX
        return sorted(found.items())

    upto = max(counts, default=0) + more * 10**9
    seen, last = 0, 0
    for low, high in emission.cuts(count, 0, upto, rows):
        assert last <= low < high <= upto
        inside = [number for position, number in counts.items() if low < position <= high]
        assert sum(inside) <= rows or len(inside) == 1
        seen, last = seen + sum(inside), high
    assert seen == sum(counts.values())
