"""Rows that a store refuses, and rows that are put back: on the real store and on the fake."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bursa.model.errors import Reject
from bursa.model.schema import CONTRACTS, OHLCV, ORDERBOOK, TICKS, Kind
from bursa.ports import Committed
from bursa.store.duckdb import DuckStore
from tests.fakes.store import FakeStore, Row, rows_of
from tests.store.contract import ALL, KINDS, OPEN, VENUES, bar, batch, put, tick


def picky_duck(folder: Path) -> DuckStore:
    """It takes no trade without an aggressor and no bar without book sums."""
    file = folder / "hot.duckdb"
    DuckStore(file, VENUES, KINDS).close()
    with duckdb.connect(str(file)) as connection:
        connection.execute("alter table idx_ticks alter aggressor set not null")
        connection.execute("alter table idx_ohlcv alter bid_volume set not null")
    return DuckStore(file, VENUES, KINDS)


def picky_fake() -> FakeStore:
    wanted = {"ticks": "aggressor", "ohlcv": "bid_volume"}

    def refuse(kind: str, row: Row) -> str:
        name = wanted.get(kind)
        return f"NOT NULL: {name}" if name and row[name] is None else ""

    store = FakeStore(VENUES, KINDS)
    store.refuse = refuse
    return store


@pytest.fixture(params=["duckdb", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "fake":
        yield picky_fake()
    else:
        store = picky_duck(tmp_path)
        yield store
        store.close()


def ticks(store: Any) -> list[Row]:
    return rows_of(store.ticks("idx", "BBCA", *ALL))


def test_a_write_with_a_row_that_is_refused_leaves_nothing(store: Any) -> None:
    good, bad = [tick("BBCA", n) for n in (1, 2, 3)], tick("BBCA", 4, aggressor=None)
    bars = batch(OHLCV, [bar("BBCA", 0)])
    with pytest.raises(Reject, match=r"(?i)not null"):
        put(store, bars, batch(TICKS, [*good, bad]))
    assert store.positions() == {} and not ticks(store)
    assert len(store.bars("idx", "BBCA", *ALL)) == 0
    put(store, bars, batch(TICKS, good))
    assert len(ticks(store)) == 3, "and it is healthy"


def test_refuses_tells_and_changes_nothing(store: Any) -> None:
    put(store, batch(TICKS, [tick("BBCA", 1)]))
    before = store.positions()
    fresh = batch(TICKS, [tick("BBCA", n) for n in (1, 2, 3)])
    bad = batch(TICKS, [tick("BBCA", 5), tick("BBCA", 4, aggressor=None)])
    for _ in range(2):
        assert store.refuses(fresh) == ""
        assert "not null" in store.refuses(bad).lower()
        assert store.refuses(batch(OHLCV, [bar("BBCA", 0, bid_volume=None)]))
    assert len(ticks(store)) == 1 and store.positions() == before
    assert len(store.bars("idx", "BBCA", *ALL)) == 0


def book(seq: int, side: str = "bid", prices: tuple[float, ...] = (5.0, 4.0)) -> Row:
    return {
        "ticker": "BBCA", "board": "RG", "ts": OPEN, "side": side, "depth": len(prices), "seq": seq,
        "ts_recv": OPEN + 1, "position": seq, "prices": list(prices),
        "volumes": [100.0] * len(prices), "orders": [-1] * len(prices),
    }  # fmt: skip


def contract(lot: int, position: int) -> Row:
    return {
        "ticker": "BBCA", "board": "RG", "ts": OPEN, "name": None, "isin": None, "lot": lot,
        "currency": "IDR", "prev_close": 5.0, "price_decimals": 0, "volume_decimals": 0,
        "ts_recv": OPEN, "position": position,
    }  # fmt: skip


MADE: dict[str, tuple[Kind, Callable[[int], Row]]] = {
    "ticks": (TICKS, lambda n: tick("BBCA", n)),
    "ohlcv": (OHLCV, lambda n: bar("BBCA", n, position=n)),
    "orderbook": (ORDERBOOK, lambda n: book(n)),
}


@pytest.mark.parametrize("name", MADE)
def test_rows_that_lack_are_put_back_once(store: Any, name: str) -> None:
    kind, made = MADE[name]
    every = [made(n) for n in range(1, 9)]
    put(store, batch(kind, [row for row in every if row["position"] not in (2, 5)]))
    store.write([], {f"idx.{name}": Committed(9, 1)})
    before = store.positions()
    assert store.readmit(batch(kind, every[1:5])) == 2
    assert store.readmit(batch(kind, every)) == 0
    assert store.readmit(batch(kind, [made(11)])) == 1, "a row of another time"
    assert store.positions() == before
    if name == "ohlcv":
        assert store.span("idx")["BBCA"] == (every[0]["ts"], made(11)["ts"])
        assert rows_of(store.bars("idx", "BBCA", *ALL)) == [*every, made(11)]
    if name == "ticks":
        assert sorted(row["trade_no"] for row in ticks(store)) == [*range(1, 9), 11]


def test_what_is_put_back_may_be_refused_again(store: Any) -> None:
    with pytest.raises(Reject, match=r"(?i)not null"):
        store.readmit(batch(TICKS, [tick("BBCA", 1), tick("BBCA", 2, aggressor=None)]))
    assert not ticks(store)
    assert store.readmit(batch(TICKS, [tick("BBCA", 1)])) == 1


def test_an_older_row_of_a_key_does_not_replace_a_newer(store: Any) -> None:
    put(store, batch(CONTRACTS, [contract(100, position=7)]))
    assert store.readmit(batch(CONTRACTS, [contract(50, position=5)])) == 0
    assert [row["lot"] for row in rows_of(store.latest("idx", "contracts"))] == [100]
    assert store.readmit(batch(CONTRACTS, [contract(500, position=9)])) == 1
    assert [row["lot"] for row in rows_of(store.latest("idx", "contracts"))] == [500]
