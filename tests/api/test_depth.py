"""The order book of a ticker over a served floor."""

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from bursa.api import shapes
from tests.api.floor import DAYS, Floor, Served, at, serve
from tests.wire.idx import encoder as idx

FRI = DAYS[-1]
UNIT = 10_000
T = at(FRI, 9, 0, 30)
BIDS = [((9_000 - 5 * n) * UNIT, 100 * (n + 1), n + 1) for n in range(10)]
ASKS = [((9_005 + 5 * n) * UNIT, 300, 2) for n in range(3)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    floor = Floor(tmp_path_factory.mktemp("floor"))
    floor.day(FRI, minutes=1)
    floor.say(
        lambda n: idx.book(n, T, "bid", [(1 * UNIT, 1, 1)]),
        lambda n: idx.book(n, T + 1, "bid", BIDS),
        lambda n: idx.book(n, T + 2, "ask", ASKS),
        lambda n: idx.book(n, T + 3, "ask", [(7 * UNIT, 7, 7)], board="NG"),
        lambda n: idx.book(n, T + 4, "bid", [], ticker="GOTO"),
        channel=1,
    )
    served: Served
    with serve(floor) as served, httpx.Client(base_url=served.url, timeout=90) as found:
        yield found
    floor.close()


def book(client: httpx.Client, ticker: str = "BBCA", **params: Any) -> shapes.BookRow:
    answer = client.get(f"/v1/orderbook/{ticker}", params=params)
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=shapes.OrderBook).data


def test_both_sides_the_best_first_from_depth_zero(client: httpx.Client) -> None:
    found = book(client)
    assert (found.ticker, found.whole) == ("BBCA", True)
    assert found.date == "2026-11-20T02:00:30.000000002Z"
    assert found.bids == [
        shapes.Level(n, price / UNIT, volume, orders)
        for n, (price, volume, orders) in enumerate(BIDS)
    ]
    assert [level.price for level in found.asks] == [9_005, 9_010, 9_015], "the regular board's"


@pytest.mark.parametrize("depth", [1, 2, 10])
def test_so_many_levels_of_each_side(client: httpx.Client, depth: int) -> None:
    whole, found = book(client), book(client, depth=depth)
    assert (found.bids, found.asks) == (whole.bids[:depth], whole.asks[:depth])


def test_an_empty_book_and_one_of_which_nothing_came(client: httpx.Client) -> None:
    found = book(client, "GOTO")
    assert (found.bids, found.asks) == ([], [])
    assert found.date == "2026-11-20T02:00:30.000000004Z" and found.seq is not None
    nothing = book(client, "TLKM")
    assert (nothing.date, nothing.seq, nothing.bids, nothing.asks) == (None, None, [], [])


@pytest.mark.parametrize(
    ("path", "status", "code", "parameter"),
    [
        ("/v1/orderbook/NIXX", 404, "unknown_ticker", "ticker"),
        ("/v1/orderbook/b*d", 400, "bad_ticker", "ticker"),
        ("/v1/orderbook/BBCA?depth=0", 400, "bad_number", "depth"),
        ("/v1/orderbook/BBCA?depth=11", 400, "bad_number", "depth"),
        ("/v1/orderbook/BBCA?levels=5", 400, "unknown_parameter", "levels"),
    ],
)
def test_what_is_refused(
    client: httpx.Client, path: str, status: int, code: str, parameter: str
) -> None:
    answer = client.get(path)
    found = answer.json()
    assert (answer.status_code, found["code"], found["meta"]["parameter"]) == (
        status, code, parameter,
    )  # fmt: skip
