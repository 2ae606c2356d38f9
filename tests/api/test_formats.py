"""The same rows and pages in JSON, CSV, Arrow and Parquet, of every route that gives rows."""

from collections.abc import Iterator
from typing import Any

import httpx
import pyarrow as pa
import pytest

from bursa.api import formats
from bursa.model.calendar import SECOND_NS
from tests.api.floor import DAYS, Floor, Served, at, serve
from tests.api.tables import TYPES, read, table
from tests.wire.idx import encoder as idx

_, THU, FRI = DAYS
UNIT = 10_000
OTHERS = ("csv", "arrow", "parquet")

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    floor = Floor(tmp_path_factory.mktemp("floor"), depth=400)
    floor.day(THU, minutes=40)
    floor.commit()
    floor.day(FRI, minutes=20)
    floor.say(
        *(
            lambda n, nth=nth: idx.index(
                n, at(FRI, 9, 20, nth + 0.123456789), "COMPOSITE", 71_000_000 + nth, 71_000_000, 9
            )
            for nth in range(7)
        ),
        lambda n: idx.book(n, at(FRI, 9, 20, 8), "bid", [(9 * UNIT, 9, 3), (8 * UNIT, 5, 1)]),
        lambda n: idx.book(n, at(FRI, 9, 20, 9), "ask", [(9_005 * UNIT, 300, 2)]),
        channel=1,
    )  # fmt: skip
    floor.clock.ns += SECOND_NS
    with serve(floor) as found:
        yield found
    floor.close()


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=90) as found:
        yield found


def plain(data: Any) -> Rows:
    rows: Rows = data
    return rows


def levels(data: Any) -> Rows:
    head = {name: data[name] for name in ("ticker", "date", "seq", "whole")}
    bids, asks = ([head | {"side": s} | one for one in data[f"{s}s"]] for s in ("bid", "ask"))
    return bids + asks


def ranges(data: Any) -> Rows:
    return [{"ticker": data["ticker"], "tf": data["tf"]} | one for one in data["ranges"]]


def days(data: Any) -> Rows:
    states = ("received", "backfilled", "confirmed_empty", "missing")
    return [
        {"ticker": row["ticker"], "date": day["date"]} | {name: row[name][at] for name in states}
        for row in data["tickers"]
        for at, day in enumerate(data["days"])
    ]


# Each route that gives rows: what is asked of it, and its rows by its JSON.
ROUTES: dict[str, tuple[dict[str, Any], Any]] = {
    "/v1/symbols": ({"limit": 3}, plain),
    "/v1/ohlcv/BBCA": ({"limit": 9}, plain),
    "/v1/ohlcv/BBCA?from=2026-11-19&tf=5m": ({"limit": 5}, plain),
    "/v1/ohlcv/BBCA?since=00000000deadbeef-0": ({}, plain),
    "/v1/ohlcv/TLKM?from=2020-01-01&to=2020-01-02": ({}, plain),
    "/v1/metrics": ({"limit": 40}, plain),
    "/v1/metrics/latest?metric=hd,macd_12_26_9": ({"limit": 2}, plain),
    "/v1/metrics/history?metric=hd,rsi_14&ticker=BBCA": ({"limit": 30}, plain),
    "/v1/metrics/history?metric=sma_20&ticker=BBCA&tf=1h": ({}, plain),
    "/v1/ranking?by=volume": ({}, plain),
    "/v1/index/COMPOSITE": ({"limit": 3}, plain),
    "/v1/orderbook/BBCA": ({}, levels),
    "/v1/orderbook/TLKM": ({}, levels),
    "/v1/continuity/BBCA?from=2026-11-18": ({"limit": 2}, ranges),
    "/v1/continuity?from=2026-11-18&to=2026-11-21": ({"limit": 3}, days),
}
PAGED = 4


def pages(client: httpx.Client, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """The first answers in JSON of a question, as far as pages lead."""
    found: list[dict[str, Any]] = []
    page: dict[str, str] = {}
    while len(found) < PAGED:
        answer = client.get(path, params=httpx.URL(path).params.merge({**query, **page}))
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        if found[-1]["meta"]["next_page"] is None:
            break
        page = {"page": found[-1]["meta"]["next_page"]}
    return found


@pytest.mark.parametrize("path", ROUTES)
def test_every_format_has_the_same_rows_and_pages(client: httpx.Client, path: str) -> None:
    query, rows_of = ROUTES[path]
    told = pages(client, path, query)
    for name in OTHERS:
        url = httpx.URL(path).copy_merge_params({**query, "format": name})
        target = str(url)
        for at_page, json in enumerate(told):
            answer = client.get(target)
            assert answer.headers["content-type"] == TYPES[name], answer.text
            want = rows_of(json["data"])
            found = read(answer, want)
            assert found == want, (path, name, at_page)
            if want:
                assert [*found[0]] == [*want[0]], "the same columns in the same order"
            following = json["meta"]["next_page"]
            assert answer.headers.get("x-next-page") == following
            assert (following is None) == ("next" not in answer.links)
            if following is not None:
                target = answer.links["next"]["url"]
                assert client.get(target).status_code == 200


def test_every_route_of_rows_is_compared_and_documented(client: httpx.Client) -> None:
    """Enumerated from the running application."""
    told = client.get("/schema").json()["paths"]
    found = set()
    for path, methods in told.items():
        names = [one["name"] for one in methods.get("get", {}).get("parameters", ())]
        if "format" in names:
            found.add(path)
            assert set(methods["get"]["responses"]["200"]["content"]) == set(TYPES.values())
    tried = {path.partition("?")[0] for path in ROUTES}
    tried = {path.replace("BBCA", "{ticker}").replace("TLKM", "{ticker}") for path in tried}
    assert {path.replace("COMPOSITE", "{code}") for path in tried} == found


def test_columns_are_the_same_without_a_row(client: httpx.Client) -> None:
    metric = "/v1/metrics/history?metric=hd,rsi_14&ticker=BBCA"
    none = "&from=2020-01-01&to=2020-01-02"
    for path in (metric, "/v1/ohlcv/BBCA?limit=9"):
        for name in ("arrow", "parquet"):
            some, nothing = (table(client.get(f"{path}&format={name}{of}")) for of in ("", none))
            assert some.num_rows and not nothing.num_rows
            assert some.schema == nothing.schema
        heads = [client.get(f"{path}&format=csv{of}").text.splitlines()[0] for of in ("", none)]
        assert heads[0] == heads[1] == ",".join(some.column_names)


def test_types_of_bars(client: httpx.Client) -> None:
    found = table(client.get("/v1/ohlcv/BBCA?format=arrow&limit=2")).schema
    assert [found.field(name).type for name in ("date", "close", "freq_cnt", "bar_time")] == [
        pa.timestamp("ns", "UTC"), pa.float64(), pa.int64(), pa.string(),
    ]  # fmt: skip
    assert found.field("hd").nullable and not found.field("close").nullable


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("text/csv", "csv"),
        ("application/vnd.apache.arrow.stream", "arrow"),
        ("application/vnd.apache.parquet", "parquet"),
        ("application/json, text/csv;q=0.9", "json"),
        ("application/json;q=0.5, TEXT/CSV ; q=0.9", "csv"),
        ("text/csv;q=0, application/*;q=0.1", "json"),
        ("text/csv;q=x", "json"),
        ("text/html,*/*;q=0.8", "json"),
        ("image/png", "json"),
    ],
)
def test_accept_chooses_and_the_query_comes_before_it(
    client: httpx.Client, accept: str, name: str
) -> None:
    path, headers = "/v1/ohlcv/BBCA?limit=3", {"Accept": accept}
    answer = client.get(path, headers=headers)
    assert answer.headers["content-type"] == TYPES[name]
    if name != "json":
        further = client.get(answer.links["next"]["url"], headers=headers)
        assert further.headers["content-type"] == TYPES[name]
    for other in TYPES:
        by_query = client.get(f"{path}&format={other}", headers=headers)
        assert by_query.headers["content-type"] == TYPES[other]


def test_an_unknown_format_is_refused_by_name(client: httpx.Client) -> None:
    for path in ROUTES:
        answer = client.get(httpx.URL(path).copy_merge_params({"format": "xlsx"}))
        body = answer.json()
        assert (answer.status_code, body["code"]) == (400, "unknown_format")
        assert body["meta"]["parameter"] == "format" and "arrow" in body["error"]
    assert client.get("/v1/ohlcv/NIXX?format=csv").json()["code"] == "unknown_ticker"
    token = client.get("/v1/symbols?limit=1&format=csv").headers["x-next-page"]
    other = client.get("/v1/metrics", params={"page": token, "format": "parquet"})
    assert (other.status_code, other.json()["code"]) == (400, "bad_page")


def test_a_link_holds_nothing_of_the_query_as_it_came(client: httpx.Client) -> None:
    path = "/v1/ohlcv/BBCA?limit=2&format=csv&from=2026-11-19T09:00:00%2B07:00"
    link = client.get(path).headers["link"]
    assert client.get(f"{client.base_url}/{path}").headers["link"] == link, "no other host's"
    assert link.startswith("</v1/ohlcv/BBCA?") and link.endswith('>; rel="next"')
    assert "from=2026-11-19T09:00:00%2B07:00" in link
    assert (
        link.count("page=")
        == client.get(client.get(path).links["next"]["url"]).headers["link"].count("page=")
        == 1
    )


def test_text_in_csv_is_quoted_and_no_formula() -> None:
    columns = (formats.Column("name", pa.string(), True), formats.Column("x", pa.float64(), True))
    rows = formats.Rows(columns)
    data = (
        b'[{"name":"a \\"b\\", c\\nd","x":-1.5},{"name":"","x":null},{"name":null,"x":1e300},'
        b'{"name":"=1+1","x":0},{"name":"@x","x":18.42},{"name":"-2,3","x":8900},'
        b'{"name":"PT Bank","x":9007199254740991}]'
    )
    assert rows.written(data, "csv").decode() == (
        'name,x\r\n"a ""b"", c\nd",-1.5\r\n"",\r\n,1e+300\r\n\'=1+1,0\r\n\'@x,18.42\r\n'
        '"\'-2,3",8900\r\nPT Bank,9007199254740991\r\n'
    )
