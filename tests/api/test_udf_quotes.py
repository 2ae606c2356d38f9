"""UDF's quotes and groups of symbols over a listening server."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bursa.api.udf.quotes import SYMBOLS_MAX
from bursa.api.udf.symbols import BUILT_IN, table
from tests.api.floor import DAYS, NAMES, Floor, at, serve
from tests.wire.idx import encoder as idx


def quotes(client: httpx.Client, symbols: str) -> list[dict[str, Any]]:
    answer = client.get("/udf/quotes", params={"symbols": symbols})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["s"] == "ok"
    found: list[dict[str, Any]] = body["d"]
    return found


def test_quotes_come_in_the_order_asked_for_under_the_names_asked_for(client: httpx.Client) -> None:
    found = quotes(client, "IDX:GOTO,bbca, TLKM")
    assert [(row["s"], row["n"]) for row in found] == [
        ("ok", "IDX:GOTO"),
        ("ok", "bbca"),
        ("ok", " TLKM"),
    ]
    assert [row["v"]["short_name"] for row in found] == ["GOTO", "BBCA", "TLKM"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A venue that sent the day figures of BBCA, and a trade since; of TLKM a name alone."""
    floor = Floor(tmp_path_factory.mktemp("told"))
    when = at(DAYS[0], 9, 30)
    floor.list_all(when)
    prices = [price * 10_000 for price in (8_900, 8_925, 9_000, 8_850, 8_950, 8_925, 8_975)]
    floor.say(
        lambda n: idx.snapshot(
            n, when, "BBCA", prices=prices, counts=(5_000, 44_750_000, 300, 100)
        ),
        channel=1,
    )
    with serve(floor) as served, httpx.Client(base_url=served.url) as found:
        yield found
    floor.close()


def test_a_quote_has_the_days_figures(told: httpx.Client) -> None:
    (row,) = quotes(told, "IDX:BBCA")
    assert row["v"] == {
        "short_name": "BBCA",
        "exchange": "IDX",
        "original_name": "IDX:BBCA",
        "description": NAMES["BBCA"],
        "lp": 8950,
        "ch": 50,
        "chp": 0.56,
        "bid": 8925,
        "ask": 8975,
        "spread": 50,
        "open_price": 8925,
        "high_price": 9000,
        "low_price": 8850,
        "prev_close_price": 8900,
        "volume": 5000,
    }


def test_what_is_not_known_is_left_out(told: httpx.Client) -> None:
    (row,) = quotes(told, "TLKM")
    assert row["s"] == "ok" and row["v"]["description"] == NAMES["TLKM"]
    assert not {"bid", "ask", "spread", "open_price"} & row["v"].keys()
    assert None not in row["v"].values()


def test_an_unknown_symbol_is_an_error_of_its_own(client: httpx.Client) -> None:
    bad, good, foreign = quotes(client, "NIX,BBCA,NASDAQ:BBCA")
    assert (bad["s"], bad["n"], bad["v"]) == ("error", "NIX", {})
    assert "NIX" in bad["errmsg"] and "NASDAQ" in foreign["errmsg"]
    assert good["s"] == "ok" and good["v"]["lp"]


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("", 400, "symbols"),
        ("?symbols=", 400, "symbols"),
        ("?symbols=%2C%2C", 400, "symbols"),
        ("?symbols=" + "A," * (SYMBOLS_MAX + 1), 400, f"{SYMBOLS_MAX} at most"),
        ("?symbols=BBCA&venue=nix", 404, "venue"),
    ],
)
def test_a_bad_list_is_refused(client: httpx.Client, query: str, status: int, word: str) -> None:
    answer = client.get(f"/udf/quotes{query}")
    assert (answer.status_code, answer.json()["s"]) == (status, "error")
    assert word in answer.json()["errmsg"]


def column(body: dict[str, Any], name: str) -> list[Any]:
    """A column as the adapter reads it: a list has a value a row, anything else is all rows'."""
    value = body[name]
    whole = name in ("supported-resolutions", "intraday-multipliers")
    if isinstance(value, list) and (not whole or isinstance(value[0], list)):
        return value
    return [value] * len(body["symbol"])


@pytest.mark.parametrize("group", ["", "IDX", "idx", *BUILT_IN])
def test_a_group_is_a_table_of_the_same_facts(client: httpx.Client, group: str) -> None:
    body = client.get("/udf/symbol_info", params={"group": group}).json()
    assert body["symbol"] == ["BBCA", "GOTO", "TLKM"]
    assert body["description"] == [NAMES[ticker] for ticker in body["symbol"]]
    for row, ticker in enumerate(body["symbol"]):
        one = client.get("/udf/symbols", params={"symbol": ticker}).json()
        for name, field in {
            "ticker": "ticker",
            "exchange-listed": "listed_exchange",
            "exchange-traded": "exchange",
            "session-regular": "session",
            "session-holidays": "session_holidays",
            "timezone": "timezone",
            "type": "type",
            "minmovement": "minmov",
            "pricescale": "pricescale",
            "has-intraday": "has_intraday",
            "has-daily": "has_daily",
            "has-weekly-and-monthly": "has_weekly_and_monthly",
            "volume-precision": "volume_precision",
            "currency-code": "currency_code",
            "supported-resolutions": "supported_resolutions",
            "intraday-multipliers": "intraday_multipliers",
        }.items():
            assert column(body, name)[row] == one[field], name


def test_an_unknown_group_names_those_there_are(client: httpx.Client) -> None:
    answer = client.get("/udf/symbol_info?group=NASDAQ")
    assert answer.status_code == 404 and answer.json()["s"] == "error"
    assert "IDX" in answer.json()["errmsg"] and "BINANCE" in answer.json()["errmsg"]


def test_a_group_without_symbols_is_an_empty_table(client: httpx.Client) -> None:
    body = client.get("/udf/symbol_info?group=BINANCE").json()
    assert body["symbol"] == body["ticker"] == body["description"] == []


def test_what_differs_is_a_list_and_what_does_not_is_one_value(client: httpx.Client) -> None:
    row = client.get("/udf/symbols?symbol=BBCA").json()
    same = table([row, row])
    assert same["pricescale"] == 1 and same["supported-resolutions"] == row["supported_resolutions"]
    other = table([row, row | {"pricescale": 100, "supported_resolutions": ["D"]}])
    assert other["pricescale"] == [1, 100]
    assert other["supported-resolutions"] == [row["supported_resolutions"], ["D"]]


def test_a_table_is_made_anew_for_a_new_symbol(tmp_path_factory: pytest.TempPathFactory) -> None:
    floor = Floor(tmp_path_factory.mktemp("grows"))
    with serve(floor) as served, httpx.Client(base_url=served.url) as client:
        assert client.get("/udf/symbol_info").json()["symbol"] == []
        floor.list_all(at(DAYS[0], 8, 50))
        assert client.get("/udf/symbol_info").json()["symbol"] == ["BBCA", "GOTO", "TLKM"]
    floor.close()
