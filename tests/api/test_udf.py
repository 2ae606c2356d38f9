"""TradingView's protocol over a listening server: times, paging by countback, and error shapes."""

from typing import Any

import httpx
import pytest

from bursa.api.udf import routes as udf
from tests.api.floor import DAYS, Served, at

WED, THU, FRI = DAYS
FAR = 1_995_000_000


def history(client: httpx.Client, **query: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"symbol": "BBCA", "resolution": "1", "from": 0, "to": FAR}
    query = asked | query
    answer = client.get("/udf/history", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["s"] in ("ok", "no_data")
    if body["s"] == "ok":
        assert len({len(body[name]) for name in "tohlcv"}) == 1
        assert body["t"] == sorted(set(body["t"]))
    return body


def s(*when: Any) -> int:
    return at(*when) // 10**9


def test_config_says_what_is_there(client: httpx.Client) -> None:
    config = client.get("/udf/config").json()
    assert config["supported_resolutions"] == ["1", "5", "15", "30", "60", "240", "D", "W", "M"]
    assert config["supports_search"] and config["supports_time"]
    assert config["supports_marks"] and config["supports_timescale_marks"]
    assert not config["supports_group_request"]


@pytest.mark.parametrize("symbol", ["BBCA", "IDX:BBCA", "idx:bbca", " bbca "])
def test_a_symbol_by_code_or_full_name(client: httpx.Client, symbol: str) -> None:
    found = client.get("/udf/symbols", params={"symbol": symbol}).json()
    assert (found["ticker"], found["description"]) == ("IDX:BBCA", "PT Bank Central Asia Tbk")
    assert found["session"] == "0900-1200,1330-1616:2345|0900-1130,1400-1616:6"
    assert (found["timezone"], found["pricescale"], found["minmov"]) == ("Asia/Jakarta", 1, 1)
    assert found["has_intraday"] and "s" not in found


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ("Bank Central", ["BBCA"]),
        ("BANK CENTRAL", ["BBCA"]),
        ("IDX:BB", ["BBCA"]),
        ("BB", ["BBCA"]),
        ("goto", ["GOTO"]),
        ("tbk", ["BBCA", "GOTO", "TLKM"]),
        ("lkm", ["TLKM"]),
        ("", ["BBCA", "GOTO", "TLKM"]),
        ("nothing", []),
    ],
)
def test_search_matches_codes_and_names(client: httpx.Client, query: str, codes: list[str]) -> None:
    found = client.get("/udf/search", params={"query": query, "limit": 10}).json()
    assert [row["symbol"] for row in found] == codes
    assert all(row["full_name"] == f"IDX:{row['symbol']}" for row in found)


def test_search_is_limited_and_filtered(client: httpx.Client) -> None:
    assert len(client.get("/udf/search?query=tbk&limit=2").json()) == 2
    assert client.get("/udf/search?query=tbk&type=crypto").json() == []
    assert client.get("/udf/search?query=tbk&exchange=BINANCE").json() == []
    assert len(client.get("/udf/search?query=TBK&exchange=idx&type=stock").json()) == 3
    assert len(client.get("/udf/search?query=TBK&exchange=&type=&limit=30").json()) == 3


def test_bars_lie_between_from_and_to(client: httpx.Client) -> None:
    body = history(client, **{"from": s(THU, 9, 0), "to": s(THU, 9, 3)})
    assert body["t"] == [s(THU, 9, 0), s(THU, 9, 1), s(THU, 9, 2)]
    assert body["v"][1:] == [300, 400]


def test_the_auctions_bar_stands_at_nine(client: httpx.Client) -> None:
    body = history(client, **{"from": s(THU, 8, 0), "to": s(THU, 9, 1)})
    assert body["t"] == [s(THU, 9, 0)]
    assert (body["o"], body["c"], body["v"]) == ([8975], [9005], [700])


def test_the_open_bar_is_the_last_one(client: httpx.Client) -> None:
    body = history(client, countback=2)
    assert body["t"] == [s(FRI, 9, 8), s(FRI, 9, 9)] and body["v"][-1] == 1100


def test_countback_beats_from_and_counts_over_breaks_and_nights(client: httpx.Client) -> None:
    body = history(client, to=s(THU, 13, 32), countback=4, **{"from": s(THU, 13, 31)})
    assert body["t"] == [s(THU, 11, 58), s(THU, 11, 59), s(THU, 13, 30), s(THU, 13, 31)]
    body = history(client, to=s(THU, 9, 2), countback=4, **{"from": s(FRI, 9, 0)})
    assert body["t"] == [s(WED, 15, 58), s(WED, 15, 59), s(THU, 9, 0), s(THU, 9, 1)]


def test_a_window_longer_than_the_cap_gives_its_newest_bars(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udf, "COUNTBACK_MAX", 100)
    body = history(client, **{"from": s(WED, 9, 0), "to": s(THU, 9, 50)})
    assert len(body["t"]) == 100 and body["t"][-1] == s(THU, 9, 49)


def test_countback_is_capped(client: httpx.Client) -> None:
    assert len(history(client, countback=1_000_000)["t"]) == 330 * 2 + 10


def test_paging_back_by_countback_meets_every_bar_once(client: httpx.Client) -> None:
    seen: list[int] = []
    to = FAR
    while (body := history(client, to=to, countback=97))["s"] == "ok":
        assert body["t"][-1] < to
        seen = body["t"] + seen
        to = body["t"][0]
    assert body == {"s": "no_data"}
    assert seen == history(client, countback=5000)["t"]


def test_a_poll_over_the_lunch_break_has_the_bars_on_both_sides(client: httpx.Client) -> None:
    for minute, expected in (
        ((12, 0), [(11, 58), (11, 59)]),
        ((13, 29), [(11, 58), (11, 59)]),
        ((13, 30), [(11, 58), (11, 59)]),
        ((13, 31), [(11, 59), (13, 30)]),
    ):
        body = history(client, to=s(THU, *minute), countback=2, **{"from": s(THU, 13, 20)})
        assert body["t"] == [s(THU, *at) for at in expected]


def test_no_data_says_where_older_bars_end(client: httpx.Client) -> None:
    night = {"from": s(THU, 20, 0), "to": s(THU, 21, 0)}
    assert history(client, **night) == {"s": "no_data", "nextTime": s(THU, 15, 59)}
    assert history(client, **{"from": 0, "to": s(WED, 8, 0)}) == {"s": "no_data"}


@pytest.mark.parametrize(
    ("resolution", "minutes"), [("5", 5), ("15", 15), ("30", 30), ("60", 60), ("240", 240)]
)
def test_longer_resolutions_are_real(client: httpx.Client, resolution: str, minutes: int) -> None:
    day = history(client, resolution=resolution, **{"from": s(THU, 0, 0), "to": s(FRI, 0, 0)})
    whole = history(client, **{"from": s(THU, 0, 0), "to": s(FRI, 0, 0)})
    assert day["t"][:2] == [s(THU, 9, 0), s(THU, 9, minutes) if minutes < 180 else s(THU, 13, 30)]
    assert sum(day["v"]) == sum(whole["v"])
    assert day["h"][0] == max(whole["h"][: min(minutes, 180)])


@pytest.mark.parametrize("name", ["D", "1D"])
def test_days_stand_at_midnight_utc(client: httpx.Client, name: str) -> None:
    midnight = [s(day, 0, 0) + 7 * 3600 for day in DAYS]
    body = history(client, resolution=name)
    assert body["t"] == midnight and all(t % 86_400 == 0 for t in midnight)
    assert (
        history(client, resolution=name, **{"from": midnight[1], "to": midnight[2]})["t"]
        == (midnight[1:2])
    )
    assert history(client, resolution=name, to=midnight[0]) == {"s": "no_data"}
    assert history(client, resolution=name, to=midnight[0] + 1)["t"] == midnight[:1]


@pytest.mark.parametrize(
    ("name", "first"),
    [("W", "2026-11-16"), ("1W", "2026-11-16"), ("M", "2026-11-02"), ("1M", "2026-11-02")],
)
def test_weeks_and_months_stand_at_their_first_trading_day(
    client: httpx.Client, name: str, first: str
) -> None:
    from datetime import UTC, datetime

    body = history(client, resolution=name)
    assert body["t"] == [int(datetime.fromisoformat(first).replace(tzinfo=UTC).timestamp())]
    assert body["v"] == [sum(history(client, resolution="D")["v"])]


def test_time_is_the_venues_clock_in_plain_seconds(client: httpx.Client, served: Served) -> None:
    answer = client.get("/udf/time")
    assert answer.headers["content-type"].startswith("text/plain")
    # 11 s after the last message, which bore 09:09:50.
    assert int(answer.text) == s(FRI, 9, 10, 1)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/udf", 404),
        ("/udf/", 404),
        ("/udf/nothing", 404),
        ("/udf/symbols", 400),
        ("/udf/symbols?symbol=NIX", 404),
        ("/udf/symbols?symbol=NASDAQ:BBCA", 404),
        ("/udf/symbols?symbol=BBCA&venue=nix", 404),
        ("/udf/search?limit=x", 400),
        ("/udf/history", 400),
        ("/udf/history?symbol=BBCA&resolution=2&from=0&to=1", 400),
        ("/udf/history?symbol=BBCA&resolution=1&from=0", 400),
        ("/udf/history?symbol=BBCA&resolution=1&from=abc&to=1", 400),
        ("/udf/history?symbol=BBCA&resolution=1&from=2&to=1", 400),
        ("/udf/history?symbol=BBCA&resolution=1&from=0&to=99999999999", 400),
        ("/udf/history?symbol=NIX&resolution=1&from=0&to=1", 404),
        ("/udf/history?symbol=BBCA&symbol=GOTO&resolution=1&from=0&to=1", 400),
    ],
)
def test_every_error_is_udf_shaped(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.json()["s"] == "error" and answer.json()["errmsg"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_wrong_method_is_udf_shaped(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/udf/config")
    assert answer.status_code == 405 and answer.json()["s"] == "error"


def test_parameters_of_others_are_passed_over(client: httpx.Client) -> None:
    assert history(client, countback=1, currencyCode="IDR", user_id="x")["s"] == "ok"


def test_negative_times_are_before_everything(client: httpx.Client) -> None:
    assert history(client, **{"from": -5, "to": -1}) == {"s": "no_data"}
