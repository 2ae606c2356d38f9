"""Rankings and index rows over a served floor: what was said is answered, whole and once."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from bursa.api import market, shapes
from bursa.model.calendar import SECOND_NS
from tests.api.floor import DAYS, Floor, Served, at, serve
from tests.wire.idx import encoder as idx

WED, THU, FRI = DAYS
UNIT = 10_000
# Index rows of Thursday are stored, those of Friday's first minute are too; the others are not yet.
STORED, WAITING = 30, 12


def day_figures(
    ticker: str, ts: int, prices: tuple[float, ...], counts: tuple[int, int], trades: int
) -> Callable[[int], bytes]:
    """`prices`: prev, open, high, low, last, bid, ask; `counts`: volume, value."""
    units = [round(price * UNIT) for price in prices]
    return lambda n: idx.snapshot(n, ts, ticker, "RG", units, (*counts, 5, 6), trades)


def index_row(ts: int, nth: int, code: str = "COMPOSITE") -> Callable[[int], bytes]:
    traded = 10**12 + nth
    return lambda n: idx.index(n, ts, code, 71_000_000 + nth * 1_234, 71_000_000, traded)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Thursday whole, and Friday's first minute with figures of some instruments."""
    floor = Floor(tmp_path_factory.mktemp("floor"), depth=400)
    floor.day(THU)
    for nth in range(3):
        floor.say(index_row(at(THU, 16, nth), nth), channel=1)
    floor.say(day_figures("OLDY", at(THU, 16, 0), (1, 1, 1, 1, 2_900, 1, 1), (9, 9), 9), channel=1)
    floor.day(FRI, minutes=1)
    for nth in range(STORED):
        floor.say(index_row(at(FRI, 9, 0, nth + 0.123456789), nth), channel=1)
    floor.commit()
    for nth in range(STORED, STORED + WAITING):
        floor.say(index_row(at(FRI, 9, 0, nth), nth), channel=1)
    floor.say(
        day_figures("BBCA", at(FRI, 9, 0, 50.5), (8_900, 0, 0, 0, 8_950, 1, 1), (300, 40), 7),
        day_figures("GOTO", at(FRI, 9, 0, 51), (60, 0, 0, 0, 57, 1, 1), (900, 40), 3),
        day_figures("ASII", at(FRI, 9, 0, 52), (0, 0, 0, 0, 5_000, 1, 1), (300, 50), 3),
        day_figures("TLKM", at(FRI, 9, 0, 52), (3_000, 0, 0, 0, 3_000, 1, 1), (100, 30), 1),
        day_figures("NONE", at(FRI, 9, 0, 53), (100, 0, 0, 0, 0, 1, 1), (0, 0), 0),
        index_row(at(FRI, 9, 0, 53), 0, "LQ45"),
        channel=1,
    )
    floor.clock.ns += SECOND_NS
    with serve(floor) as found:
        yield found
    floor.close()


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=90) as found:
        yield found


def ranking(client: httpx.Client, **params: str | int) -> list[shapes.RankedRow]:
    answer = client.get("/v1/ranking", params=params)
    assert answer.status_code == 200, answer.text
    found = msgspec.json.decode(answer.content, type=shapes.Ranking)
    assert found.ok and found.meta.next_page is None
    assert [row.rank for row in found.data] == list(range(1, len(found.data) + 1))
    return found.data


def tickers(client: httpx.Client, **params: str | int) -> list[str]:
    return [row.ticker for row in ranking(client, **params)]


# -- ranking ---------------------------------------------------------------------------------------


def test_a_ranking_has_who_traded_today_equal_ones_by_ticker(client: httpx.Client) -> None:
    assert tickers(client, by="change") == ["BBCA", "TLKM", "GOTO"]
    assert tickers(client, by="change", order="asc") == ["GOTO", "TLKM", "BBCA"]
    assert tickers(client, by="volume") == ["GOTO", "ASII", "BBCA", "TLKM"]
    assert tickers(client, by="volume", order="asc") == ["TLKM", "ASII", "BBCA", "GOTO"]
    assert tickers(client, by="value", order="desc") == ["ASII", "BBCA", "GOTO", "TLKM"]
    assert tickers(client, by="frequency") == ["BBCA", "ASII", "GOTO", "TLKM"]
    assert tickers(client, by="frequency", limit=2, venue="idx") == ["BBCA", "ASII"]
    assert tickers(client, by="value", limit=1_000) == ["ASII", "BBCA", "GOTO", "TLKM"]
    assert tickers(client, by="value", venue="binance") == []


def test_a_row_of_a_ranking_by_hand(client: httpx.Client) -> None:
    first, still, second = ranking(client, by="change")
    assert first == shapes.RankedRow(
        1, "BBCA", "PT Bank Central Asia Tbk", 8_950, 8_900, 50, (8_950 / 8_900 - 1) * 100, 300,
        40, 7, "2026-11-20T02:00:50.5Z",
    )  # fmt: skip
    assert (still.change, still.change_percent, still.frequency) == (0, 0, 1)
    assert (second.last, second.change, second.date) == (57, -3, "2026-11-20T02:00:51Z")
    new = ranking(client, by="value")[0]
    assert (new.ticker, new.name, new.prev) == ("ASII", "ASII", None)
    assert new.change is None and new.change_percent is None and new.last == 5_000


# -- index -----------------------------------------------------------------------------------------


def rows(client: httpx.Client, code: str = "COMPOSITE", **params: Any) -> shapes.Index:
    answer = client.get(f"/v1/index/{code}", params=params)
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=shapes.Index)


def traded(found: shapes.Index) -> list[int]:
    """Which rows these are: each bears its number in the value traded."""
    return [int(row.value_traded) - 10**12 for row in found.data]


def since(instant: str) -> dict[str, Any]:
    """`from` is a word of Python's."""
    return {"from": instant}


def paged(client: httpx.Client, **params: Any) -> list[list[int]]:
    pages = []
    found = rows(client, **params)
    while True:
        pages.append(traded(found))
        if found.meta.next_page is None:
            return pages
        found = rows(client, **params, page=found.meta.next_page)


def test_rows_of_an_index_by_hand(client: httpx.Client) -> None:
    found = rows(client, limit=2)
    assert found.data[-1] == shapes.IndexRow(
        "COMPOSITE", "2026-11-20T02:00:41Z", 7_105.0594, 7_100, 5.0594,
        (7_105.0594 / 7_100 - 1) * 100, 10**12 + 41,
    )  # fmt: skip
    first = rows(client, **since("2026-11-20"), limit=1).data[0]
    assert first.date == "2026-11-20T02:00:00.123456789Z" and first.change == 0


def test_the_newest_rows_come_first_and_pages_lead_back(client: httpx.Client) -> None:
    whole = [*range(3), *range(STORED + WAITING)]
    assert traded(rows(client)) == whole
    assert traded(rows(client, limit=7)) == whole[-7:]
    pages = paged(client, limit=7)
    assert [row for page in reversed(pages) for row in page] == whole
    assert all(len(page) == 7 for page in pages[:-1])
    before = rows(client, to="2026-11-20T09:00:00+07:00")
    assert traded(before) == [0, 1, 2]
    assert traded(rows(client, code="LQ45")) == [0]


def test_with_from_the_oldest_come_and_pages_lead_on(client: httpx.Client) -> None:
    today = since("2026-11-20")
    whole = list(range(STORED + WAITING))
    assert traded(rows(client, **today)) == whole
    assert traded(rows(client, **today, limit=5)) == whole[:5]
    assert [row for page in paged(client, **today, limit=5) for row in page] == whole
    assert [row for page in paged(client, **today, limit=42) for row in page] == whole
    within = rows(client, **since("2026-11-20T02:00:10Z"), to="2026-11-20T02:00:35Z")
    assert traded(within) == list(range(10, 35))
    assert traded(rows(client, **since("2026-11-21"))) == []
    assert traded(rows(client, **today, to="2026-11-20")) == []


def test_rows_are_made_beside_the_loop(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many of them take long, and the loop serves everybody."""
    threads = []

    def noting(*args: Any) -> bytes:
        threads.append(threading.current_thread().name)
        return made(*args)

    made = market._index_rows
    monkeypatch.setattr(market, "_index_rows", noting)
    assert client.get("/v1/index/COMPOSITE?limit=3").status_code == 200
    assert [name.partition("_")[0] for name in threads] == ["read"]


def test_a_page_belongs_to_its_question(client: httpx.Client) -> None:
    page = rows(client, limit=5).meta.next_page
    for path in (
        f"/v1/index/LQ45?limit=5&page={page}",
        f"/v1/index/COMPOSITE?to=2026-11-20&page={page}",
        f"/v1/ohlcv/BBCA?page={page}",
        "/v1/index/COMPOSITE?page=nonsense",
    ):
        answer = client.get(path)
        assert answer.status_code == 400, path
        assert answer.json()["code"] == "bad_page" and answer.json()["meta"]["parameter"] == "page"


BAD = [
    ("/v1/ranking?by=", 400, "unknown_ranking", "by"),
    ("/v1/ranking?by=price", 400, "unknown_ranking", "by"),
    ("/v1/ranking?by=Volume", 400, "unknown_ranking", "by"),
    ("/v1/ranking?by=value&by=change", 400, "repeated_parameter", "by"),
    ("/v1/ranking?by=value&limit=0", 400, "bad_number", "limit"),
    ("/v1/ranking?by=value&limit=1001", 400, "bad_number", "limit"),
    ("/v1/ranking?by=value&limit=ten", 400, "bad_number", "limit"),
    ("/v1/ranking?by=value&limit=2.5", 400, "bad_number", "limit"),
    ("/v1/ranking?by=value&order=up", 400, "bad_order", "order"),
    ("/v1/ranking?by=value&venue=nyse", 404, "unknown_venue", "venue"),
    ("/v1/ranking?by=value&venue=../x", 400, "bad_venue", "venue"),
    ("/v1/ranking?by=value&page=1", 400, "unknown_parameter", "page"),
    ("/v1/index/NIX", 404, "unknown_index", "code"),
    ("/v1/index/BBCA", 404, "unknown_index", "code"),
    ("/v1/index/COMPOSITE?venue=binance", 404, "unknown_index", "code"),
    ("/v1/index/composite", 400, "bad_index", "code"),
    ("/v1/index/%3Cb%3E", 400, "bad_index", "code"),
    ("/v1/index/COMPOSITE?from=yesterday", 400, "bad_time", "from"),
    ("/v1/index/COMPOSITE?from=2026-02-30", 400, "bad_time", "from"),
    ("/v1/index/COMPOSITE?to=2026-11-20T09:00:00", 400, "bad_time", "to"),
    ("/v1/index/COMPOSITE?from=2026-11-20&to=2026-11-19", 400, "bad_range", "from"),
    ("/v1/index/COMPOSITE?limit=10001", 400, "bad_number", "limit"),
    ("/v1/index/COMPOSITE?limit=-1", 400, "bad_number", "limit"),
    ("/v1/index/COMPOSITE?venue=nyse", 404, "unknown_venue", "venue"),
    ("/v1/index/COMPOSITE?tf=1m", 400, "unknown_parameter", "tf"),
]


@pytest.mark.parametrize(("path", "status", "code", "parameter"), BAD, ids=[b[0] for b in BAD])
def test_bad_input_names_its_parameter(
    client: httpx.Client, path: str, status: int, code: str, parameter: str
) -> None:
    answer = client.get(path)
    found = msgspec.json.decode(answer.content, type=shapes.Error)
    assert (answer.status_code, found.code, found.meta.parameter) == (status, code, parameter)
    assert not found.ok and found.error


def test_an_unknown_index_is_told_the_known_ones(client: httpx.Client) -> None:
    said = client.get("/v1/index/NIX").json()["error"]
    assert said == "idx has no index 'NIX'; known: COMPOSITE, LQ45"
    assert "none so far" in client.get("/v1/index/NIX?venue=binance").json()["error"]


def test_openapi_describes_both_routes(client: httpx.Client) -> None:
    paths = client.get("/schema").json()["paths"]
    by, limit, order = (
        {p["name"]: p for p in paths["/v1/ranking"]["get"]["parameters"]}[name]
        for name in ("by", "limit", "order")
    )
    assert by["schema"]["enum"] == ["change", "volume", "value", "frequency"]
    assert by["schema"]["default"] == "value"
    assert (
        client.get("/v1/ranking").json()["data"]
        == client.get("/v1/ranking?by=value").json()["data"]
    )
    assert (limit["schema"]["maximum"], limit["schema"]["default"]) == (1_000, 20)
    assert order["schema"]["enum"] == ["desc", "asc"] and order["schema"]["default"] == "desc"
    index = paths["/v1/index/{code}"]["get"]
    names = [p["name"] for p in index["parameters"]]
    assert names == ["code", "venue", "from", "to", "limit", "page", "format"]
    assert {"200", "400", "404", "503"} <= set(index["responses"])


# -- a floor of its own ----------------------------------------------------------------------------


def test_who_asks_on_misses_nothing_while_rows_come_and_are_stored(tmp_path: Any) -> None:
    """A client reads on from the last row it has, while one thread tells and commits."""
    floor = Floor(tmp_path, depth=100)
    floor.say(index_row(at(FRI, 9, 0), 0), channel=1)
    count = 400

    def tell() -> None:
        for nth in range(1, count):
            floor.say(index_row(at(FRI, 9, 0) + nth * SECOND_NS, nth), channel=1)
            if nth % 23 == 0:
                floor.commit()

    with serve(floor) as served, httpx.Client(base_url=served.url, timeout=90) as client:
        telling = threading.Thread(target=tell)
        telling.start()
        found: list[int] = []
        after = "2026-11-20"
        while len(found) < count and (telling.is_alive() or not found or found[-1] < count - 1):
            page = rows(client, **since(after), limit=50)
            fresh = traded(page)[1:] if found else traded(page)
            found += fresh
            after = page.data[-1].date
        telling.join()
    floor.close()
    assert found == list(range(count))


def test_while_the_store_is_away_rankings_answer_and_an_index_says_so(tmp_path: Any) -> None:
    floor = Floor(tmp_path, depth=100)
    figures = day_figures("BBCA", at(FRI, 9, 0), (100, 0, 0, 0, 101, 1, 1), (3, 4), 5)
    floor.say(index_row(at(FRI, 9, 0), 0), figures, channel=1)
    floor.clock.ns += SECOND_NS
    with serve(floor) as served, httpx.Client(base_url=served.url, timeout=90) as client:
        floor.store.close()
        answer = client.get("/v1/index/COMPOSITE")
        assert answer.status_code == 503 and answer.json()["code"] == "unavailable"
        assert answer.headers["retry-after"]
        assert tickers(client, by="value") == ["BBCA"]
    floor.close()
