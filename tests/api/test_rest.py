"""Every route of the data API over a listening server: what it answers, and what it refuses."""

import threading
from datetime import date
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from bursa.api import ledger_shapes, rest, shapes
from bursa.api.services import VenueService
from bursa.metrics.engine import compute
from bursa.model.covered import Covered, none
from bursa.model.venue import IDX
from tests.api.clients import every_page
from tests.api.floor import DAYS, NAMES, Served, at

WED, THU, FRI = DAYS


def rows(client: httpx.Client, path: str, **query: Any) -> list[shapes.Bar]:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=shapes.Bars).data


# -- bars ------------------------------------------------------------------------------------------


def test_the_newest_bars_come_ascending_with_all_their_fields(client: httpx.Client) -> None:
    found = rows(client, "/v1/ohlcv/BBCA", limit=2)
    assert found[-1] == shapes.Bar(
        "BBCA", "2026-11-20T02:08:00Z", "2026-11-20T09:08:00+07:00", "1m", 9200, 9205, 9200, 9205,
        1000, 9_200_500, 2, 9200.5, 0, found[-1].hd,
    )  # fmt: skip
    assert [bar.date for bar in found] == ["2026-11-20T02:07:00Z", "2026-11-20T02:08:00Z"]
    assert found[-1].hd is not None


def test_numbers_are_exact_and_integral_where_they_are(client: httpx.Client) -> None:
    text = client.get("/v1/ohlcv/BBCA?limit=1").text
    assert '"open":9200,"high":9205,' in text and '"volume":1000,' in text
    assert '"vwap":9200.5,' in text


def test_memory_and_store_answer_alike(client: httpx.Client, served: Served) -> None:
    """The ring holds 400 minutes; 661 lie behind them."""
    everything = rows(client, "/v1/ohlcv/BBCA", limit=5000)
    assert len(everything) == 331 * 2 + 1 + 9
    assert [bar.date for bar in everything] == sorted({bar.date for bar in everything})
    assert rows(client, "/v1/ohlcv/BBCA", limit=300) == everything[-300:]
    ranged = {"from": "2026-11-18T02:00:00Z", "to": "2026-11-18T03:00:00Z"}
    assert rows(client, "/v1/ohlcv/BBCA", **ranged) == everything[1:61]


def test_a_range_is_half_open_and_a_day_is_the_venues(client: httpx.Client) -> None:
    found = rows(client, "/v1/ohlcv/BBCA", **{"from": "2026-11-19", "to": "2026-11-20"}, limit=1000)
    assert found[0].bar_time == "2026-11-19T08:55:00+07:00"
    assert found[-1].bar_time == "2026-11-19T15:59:00+07:00"
    minute = {"from": "2026-11-19T09:00:00+07:00", "to": "2026-11-19T02:01:00Z"}
    assert [b.bar_time for b in rows(client, "/v1/ohlcv/BBCA", **minute)] == [
        "2026-11-19T09:00:00+07:00"
    ]
    same = {"from": "2026-11-19T09:00:00+07:00", "to": "2026-11-19T09:00:00+07:00"}
    assert rows(client, "/v1/ohlcv/BBCA", **same) == []


@pytest.mark.parametrize("tf", ["1m", "5m", "1h", "4h", "1d", "1w", "1M"])
@pytest.mark.parametrize("start", [None, "2026-11-18"])
def test_pages_join_without_a_seam(client: httpx.Client, tf: str, start: str | None) -> None:
    query = {"tf": tf} | ({"from": start} if start else {})
    whole = every_page(client, "/v1/ohlcv/BBCA", limit=2000, **query)
    size = max(1, len(whole) // 3)
    cut = every_page(client, "/v1/ohlcv/BBCA", limit=size, **query)
    if start is None:  # pages lead back in time, each ascending
        cut.sort(key=lambda bar: bar["date"])
    assert cut == whole


@pytest.mark.parametrize("tf", ["5m", "15m", "30m", "1h", "4h", "1d", "1w", "1M"])
def test_longer_bars_are_those_of_their_minutes(client: httpx.Client, tf: str) -> None:
    minutes = rows(client, "/v1/ohlcv/GOTO", limit=5000)
    found = rows(client, "/v1/ohlcv/GOTO", tf=tf, limit=5000, open=1)
    assert sum(bar.volume for bar in found) == sum(bar.volume for bar in minutes) + 1000
    assert sum(bar.freq_cnt for bar in found) == len(minutes) + 1
    assert max(bar.high for bar in found) == max(bar.high for bar in minutes)
    assert found[0].open == minutes[0].open
    closed = rows(client, "/v1/ohlcv/GOTO", tf=tf, limit=5000)
    assert closed == found[: len(closed)] and len(closed) < len(found)


def test_the_opening_auction_counts_in_the_days_first_bar(client: httpx.Client) -> None:
    day = {"from": "2026-11-19", "to": "2026-11-20"}
    first = rows(client, "/v1/ohlcv/BBCA", tf="5m", **day)[0]
    assert first.bar_time == "2026-11-19T09:00:00+07:00"
    assert (first.open, first.volume) == (8975, 500 + sum(100 * n + 100 for n in range(1, 6)))


def test_hd_of_a_longer_bar_is_that_of_its_last_minute(client: httpx.Client) -> None:
    minutes = {bar.bar_time: bar.hd for bar in rows(client, "/v1/ohlcv/BBCA", limit=5000)}
    found = rows(client, "/v1/ohlcv/BBCA", tf="15m", **{"from": "2026-11-19", "to": "2026-11-20"})
    assert found[1].hd == minutes["2026-11-19T09:29:00+07:00"]


def test_the_open_bar_comes_where_it_is_asked_for(client: httpx.Client) -> None:
    closed, opened = (rows(client, "/v1/ohlcv/BBCA", limit=1, open=n)[0] for n in (0, 1))
    assert (closed.bar_time[11:16], opened.bar_time[11:16]) == ("09:08", "09:09")
    assert opened.volume == 1100 and opened.hd is None
    assert rows(client, "/v1/ohlcv/BBCA", tf="1d", limit=1)[0].bar_time[:10] == "2026-11-19"
    assert rows(client, "/v1/ohlcv/BBCA", tf="1d", limit=1, open=1)[0].bar_time[:10] == "2026-11-20"


def test_as_of_shows_what_was_known(client: httpx.Client) -> None:
    noon = "2026-11-19T12:00:30+07:00"
    found = rows(client, "/v1/ohlcv/BBCA", as_of=noon, limit=1)
    assert found[0].bar_time == "2026-11-19T11:58:00+07:00"
    hour = rows(client, "/v1/ohlcv/BBCA", as_of=noon, tf="1h", limit=1)
    assert hour[0].bar_time == "2026-11-19T10:00:00+07:00"


# -- metrics ---------------------------------------------------------------------------------------


def test_metric_history_gives_metric_rows(client: httpx.Client) -> None:
    query: dict[str, Any] = {"metric": "hd", "ticker": "BBCA", "limit": 2}
    found = client.get("/v1/metrics/history", params=query).json()["data"]
    names = ["ticker", "date", "bar_time", "freq", "rev", "hd", "hd_mapo", "hd_dmapo"]
    assert list(found[-1]) == [*names, "hd_direction"]
    bars = rows(client, "/v1/ohlcv/BBCA", limit=2)
    assert [row["hd"] for row in found] == [bar.hd for bar in bars]


def test_a_metric_of_longer_bars_is_computed_by_the_same_kernel(
    client: httpx.Client, served: Served
) -> None:
    query = {"metric": "rsi_14", "ticker": "BBCA", "tf": "5m"}
    found = every_page(client, "/v1/metrics/history", limit=40, **query, **{"from": "2026-11-18"})
    service = served.services.venues["idx"]
    from bursa.history.candles import Ask

    bars = service.reader.read(Ask("BBCA", "5m", 10_000)).bars
    expected = compute("rsi_14", bars, service.venue).column("rsi_14")
    given = [np.nan if row["rsi_14"] is None else row["rsi_14"] for row in found]
    np.testing.assert_array_equal(np.array(given, np.float64), expected)
    assert found[13]["rsi_14"] is None and found[14]["rsi_14"] is not None


def test_hd_on_longer_bars_is_the_last_minutes_row(client: httpx.Client) -> None:
    query = {"metric": "hd", "ticker": "BBCA", "from": "2026-11-19", "to": "2026-11-20"}
    minutes = {r["bar_time"]: r for r in every_page(client, "/v1/metrics/history", **query)}
    longer = every_page(client, "/v1/metrics/history", tf="1h", **query)
    assert longer[0]["bar_time"] == "2026-11-19T09:00:00+07:00"
    assert longer[0]["hd"] == minutes["2026-11-19T09:59:00+07:00"]["hd"]
    assert longer[0]["hd_mapo"] == minutes["2026-11-19T09:59:00+07:00"]["hd_mapo"]


@pytest.mark.parametrize(
    ("made", "path"),
    [
        ("serialise", "/v1/ohlcv/BBCA?limit=300&from=2026-11-18"),
        ("serialise", "/v1/ohlcv/BBCA?limit=300&tf=5m&from=2026-11-18"),
        ("_metric_rows", "/v1/metrics/history?metric=hd&ticker=BBCA&limit=300"),
    ],
)
def test_many_rows_are_made_beside_the_loop(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, made: str, path: str
) -> None:
    """They take long, and the loop serves everybody. The answer is the same."""
    threads = []
    make = getattr(rest, made)

    def noting(*args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return make(*args)

    before = client.get(path).json()["data"]
    monkeypatch.setattr(rest, made, noting)
    monkeypatch.setattr(rest, "TICKER_ROWS_MAX", 50)
    assert client.get(path).json()["data"] == before and len(before) > 50
    assert [name.partition("_")[0] for name in threads] == ["read"]


def test_the_latest_metrics_come_for_all_or_for_some(client: httpx.Client) -> None:
    every = client.get("/v1/metrics/latest?metric=ema_20").json()["data"]
    assert [row["ticker"] for row in every] == sorted(NAMES)
    some = client.get("/v1/metrics/latest?metric=ema_20&tickers=TLKM,BBCA").json()["data"]
    assert [row["ticker"] for row in some] == ["TLKM", "BBCA"]
    assert some[1] == next(row for row in every if row["ticker"] == "BBCA")
    pages = every_page(client, "/v1/metrics/latest", metric="ema_20", limit=2)
    assert pages == every


# -- symbols, snapshot -----------------------------------------------------------------------------


def test_symbols_tell_who_they_are_and_since_when(client: httpx.Client) -> None:
    answer = client.get("/v1/symbols")
    found = msgspec.json.decode(answer.content, type=shapes.Symbols).data
    assert [s.ticker for s in found] == sorted(NAMES)
    first = found[0]
    assert (first.name, first.board, first.lot) == (NAMES["BBCA"], "RG", 100)
    assert (first.first, first.last) == ("2026-11-18T01:55:00Z", "2026-11-20T02:08:00Z")
    assert first.status == "trading"
    assert every_page(client, "/v1/symbols", limit=1) == answer.json()["data"]


def test_a_venue_without_anything_has_no_symbols(client: httpx.Client) -> None:
    assert client.get("/v1/symbols?venue=binance").json()["data"] == []


def test_the_snapshot_has_the_trade_and_the_day(client: httpx.Client) -> None:
    found = msgspec.json.decode(client.get("/v1/snapshot/BBCA").content, type=shapes.Snapshot).data
    assert found.trade is not None and found.day is not None
    assert (found.trade.date, found.trade.price) == ("2026-11-20T02:09:30Z", 9230)
    assert (found.day.open, found.day.last, found.day.prev) == (8975, 9230, 9730)
    assert found.quote is None


# -- continuity ------------------------------------------------------------------------------------


def test_quiet_minutes_are_confirmed_empty(client: httpx.Client) -> None:
    query = {"from": "2026-11-18", "to": "2026-11-20"}
    answer = client.get("/v1/continuity/GOTO", params=query)
    found = msgspec.json.decode(answer.content, type=ledger_shapes.Continuity).data
    assert found.totals == ledger_shapes.Totals(660, 220, 0, 440, 0)
    assert found.gaps == []
    ranges = every_page(client, "/v1/continuity/GOTO", limit=50, **query)
    assert sum(r["minutes"] for r in ranges) == 660
    assert {r["state"] for r in ranges} == {"received", "confirmed_empty"}


def test_the_present_day_is_judged_up_to_its_closed_minutes(client: httpx.Client) -> None:
    found = client.get("/v1/continuity/GOTO").json()["data"]
    assert found["from"] == "2026-11-19T17:00:00Z"
    assert found["totals"] == {
        "expected": 9, "received": 3, "backfilled": 0, "confirmed_empty": 6, "missing": 0,
    }  # fmt: skip
    assert found["known_to"] == "2026-11-20T02:09:00Z"


def test_longer_bars_are_judged_too(client: httpx.Client) -> None:
    query = {"from": "2026-11-18", "to": "2026-11-20", "tf": "1h"}
    found = msgspec.json.decode(
        client.get("/v1/continuity/GOTO", params=query).content, type=ledger_shapes.Continuity
    ).data
    assert (found.tf, found.totals) == ("1h", ledger_shapes.Totals(12, 12, 0, 0, 0))
    assert [(r.start[11:16], r.minutes, r.bars) for r in found.ranges[:2]] == [
        ("02:00", 180, 3), ("06:30", 150, 3),
    ]  # fmt: skip
    ten_years = client.get("/v1/continuity/GOTO?from=2016-11-22&to=2026-11-20&tf=1d").json()["data"]
    assert ten_years["totals"]["expected"] == ten_years["totals"]["received"] == 2
    assert ten_years["kept_from"] == "2026-11-17T17:00:00Z"


def test_the_map_tells_each_day_of_each_ticker(client: httpx.Client) -> None:
    query = {"from": "2026-11-17", "to": "2026-11-21"}
    answer = client.get("/v1/continuity", params=query)
    found = msgspec.json.decode(answer.content, type=ledger_shapes.ContinuityMap).data
    # Nothing is kept of the 17th, so nothing of it is missing.
    assert [day.date for day in found.days] == ["2026-11-18", "2026-11-19", "2026-11-20"]
    assert [day.minutes for day in found.days] == [330, 330, 9]
    assert found.kept_from == "2026-11-17T17:00:00Z"
    assert found.known_to == "2026-11-20T02:09:00Z"
    rows = {row.ticker: row for row in found.tickers}
    assert set(rows) == {"BBCA", "GOTO", "TLKM"} and found.count == 3
    assert (rows["GOTO"].received, rows["GOTO"].confirmed_empty) == ([110, 110, 3], [220, 220, 6])
    assert rows["TLKM"].totals == ledger_shapes.Totals(669, 3, 0, 666, 0)
    assert sum(row.totals.received for row in found.tickers) == sum(
        day.totals.received for day in found.days
    )


def test_the_map_agrees_with_each_tickers_ledger(client: httpx.Client) -> None:
    query = {"from": "2026-11-18", "to": "2026-11-20"}
    for row in client.get("/v1/continuity", params=query).json()["data"]["tickers"]:
        own = client.get(f"/v1/continuity/{row['ticker']}", params=query).json()["data"]
        assert own["totals"] == row["totals"]


def test_the_map_comes_in_pages_in_the_order_asked_for(client: httpx.Client) -> None:
    found: list[str] = []
    query: dict[str, str] = {"limit": "2", "sort": "ticker"}
    while True:
        body = client.get("/v1/continuity", params=query).json()
        found += [row["ticker"] for row in body["data"]["tickers"]]
        if body["meta"]["next_page"] is None:
            break
        query["page"] = body["meta"]["next_page"]
    assert found == ["BBCA", "GOTO", "TLKM"]


def test_a_venue_without_bars_has_an_empty_map(client: httpx.Client) -> None:
    found = client.get("/v1/continuity?venue=binance").json()["data"]
    assert (found["days"], found["tickers"], found["kept_from"]) == ([], [], None)


def service_over(**store: Any) -> Any:
    """A venue on Friday's morning, of which nothing but these answers of its store is there."""
    service: Any = object.__new__(VenueService)
    service.venue, service.store = IDX, SimpleNamespace(**store)
    service.watermark_ns = service.now_ns = lambda: at(FRI, 9, 10)
    service._live_from = None
    return service


def test_minutes_in_memory_are_kept_before_the_store_has_committed_any() -> None:
    service = service_over(span=lambda venue: {})
    assert service.kept_from_ns() == IDX.calendar.midnight_ns(FRI)
    service.watermark_ns = lambda: 0
    assert service.kept_from_ns() is None


def test_a_file_of_one_instruments_past_says_nothing_of_the_others() -> None:
    old, heard = date(2024, 1, 2), []

    def covered(venue: str, ticker: str, first: date, until: date) -> Covered:
        days = none((until - first).days)
        days.heard[(THU - first).days, 9] = 1
        heard.append((first, until))
        return days

    spans = {"BBCA": (at(old, 9, 0), at(FRI, 9, 0)), "GOTO": (at(FRI, 9, 0),) * 2}
    service = service_over(span=lambda venue: spans, covered=covered)
    midnights = {day: IDX.calendar.midnight_ns(day) for day in (old, THU)}
    expected = service.expected_from_ns(["BBCA", "GOTO", "TLKM"])
    assert expected == {"BBCA": midnights[old], "GOTO": midnights[THU], "TLKM": midnights[THU]}
    assert service.expected_from_ns([]) == {} and len(heard) == 1


# -- what is refused -------------------------------------------------------------------------------

BAD = [
    ("/v1/ohlcv/NIX", 404, "unknown_ticker", "ticker"),
    ("/v1/ohlcv/bbca", 400, "bad_ticker", "ticker"),
    ("/v1/ohlcv/COMPOSITE", 404, "unknown_ticker", "ticker"),
    ("/v1/ohlcv/BBCA?venue=xnas", 404, "unknown_venue", "venue"),
    ("/v1/ohlcv/BBCA?venue=X'", 400, "bad_venue", "venue"),
    ("/v1/ohlcv/BBCA?venue=binance", 404, "unknown_ticker", "ticker"),
    ("/v1/ohlcv/BBCA?tf=2m", 400, "unknown_timeframe", "tf"),
    ("/v1/ohlcv/BBCA?tf=", 400, "unknown_timeframe", "tf"),
    ("/v1/ohlcv/BBCA?limit=0", 400, "bad_number", "limit"),
    ("/v1/ohlcv/BBCA?limit=10001", 400, "bad_number", "limit"),
    ("/v1/ohlcv/BBCA?limit=1.5", 400, "bad_number", "limit"),
    ("/v1/ohlcv/BBCA?limit=%D9%A3", 400, "bad_number", "limit"),
    ("/v1/ohlcv/BBCA?limit=", 400, "bad_number", "limit"),
    ("/v1/ohlcv/BBCA?limit=1&limit=2", 400, "repeated_parameter", "limit"),
    ("/v1/ohlcv/BBCA?limt=1", 400, "unknown_parameter", "limt"),
    ("/v1/ohlcv/BBCA?from=yesterday", 400, "bad_time", "from"),
    ("/v1/ohlcv/BBCA?from=2026-11-19T09:00:00", 400, "bad_time", "from"),
    ("/v1/ohlcv/BBCA?from=2026-13-01", 400, "bad_time", "from"),
    ("/v1/ohlcv/BBCA?from=0001-01-01", 400, "bad_time", "from"),
    ("/v1/ohlcv/BBCA?from=0001-01-01T00:00:00Z", 400, "bad_time", "from"),
    ("/v1/ohlcv/BBCA?to=1763456789", 400, "bad_time", "to"),
    ("/v1/ohlcv/BBCA?from=2026-11-20&to=2026-11-19", 400, "bad_range", "from"),
    ("/v1/ohlcv/BBCA?as_of=soon", 400, "bad_time", "as_of"),
    ("/v1/ohlcv/BBCA?as_of=2026-11-19&open=1", 400, "exclusive_parameters", "open"),
    ("/v1/ohlcv/BBCA?open=yes", 400, "bad_flag", "open"),
    ("/v1/ohlcv/BBCA?page=abc", 400, "bad_page", "page"),
    ("/v1/ohlcv/BBCA?page=%00", 400, "bad_page", "page"),
    ("/v1/ohlcv/BBCA?since=abc", 400, "bad_cursor", "since"),
    ("/v1/ohlcv/BBCA?since=00000000deadbeef-0&open=1", 400, "exclusive_parameters", "open"),
    ("/v1/ohlcv/BBCA?since=00000000deadbee0-0", 410, "cursor_expired", "since"),
    ("/v1/ohlcv/BBCA?%ff=1", 400, "bad_query", "\ufffd"),
    ("/v1/ohlcv/BBCA?limit=%ff", 400, "bad_query", "limit"),
    (f"/v1/ohlcv/BBCA?from={'1' * 5000}", 400, "bad_query", None),
    ("/v1/ohlcv/BBCA?" + "&".join(f"a{n}=1" for n in range(40)), 400, "bad_query", None),
    ("/v1/metrics/history?ticker=BBCA", 400, "missing_parameter", "metric"),
    ("/v1/ohlcv/BBCA?from=", 400, "bad_time", "from"),
    ("/v1/ohlcv/BBCA?page=", 400, "bad_page", "page"),
    ("/v1/metrics/history?metric=hd", 400, "missing_parameter", "ticker"),
    ("/v1/metrics/history?metric=nix&ticker=BBCA", 400, "unknown_metric", "metric"),
    ("/v1/metrics/history?metric=hd&ticker=NIX", 404, "unknown_ticker", "ticker"),
    ("/v1/metrics/latest?metric=hd&tickers=BBCA,NIX", 404, "unknown_ticker", "tickers"),
    ("/v1/metrics/latest?metric=hd&tickers=", 400, "bad_ticker", "tickers"),
    ("/v1/metrics/latest", 400, "missing_parameter", "metric"),
    ("/v1/snapshot/NIX", 404, "unknown_ticker", "ticker"),
    ("/v1/snapshot/BBCA?tf=1m", 400, "unknown_parameter", "tf"),
    ("/v1/symbols?limit=-1", 400, "bad_number", "limit"),
    ("/v1/continuity/BBCA?from=2010-01-01&to=2026-01-01", 400, "range_too_long", "from"),
    ("/v1/continuity/BBCA?tf=2h", 400, "unknown_timeframe", "tf"),
    ("/v1/continuity?from=2026-01-01", 400, "range_too_long", "from"),
    ("/v1/continuity?sort=best", 400, "unknown_sort", "sort"),
    ("/v1/continuity?venue=xnas", 404, "unknown_venue", "venue"),
    ("/v1/continuity/NIX", 404, "unknown_ticker", "ticker"),
    ("/health?x=1", 400, "unknown_parameter", "x"),
    ("/v1/nothing", 404, "not_found", None),
    ("/nothing", 404, "not_found", None),
]  # fmt: skip


@pytest.mark.parametrize(("path", "status", "code", "parameter"), BAD)
def test_bad_input_is_refused_by_name(
    client: httpx.Client, path: str, status: int, code: str, parameter: str | None
) -> None:
    answer = client.get(path)
    body = msgspec.json.decode(answer.content, type=shapes.Error)
    assert (answer.status_code, body.code, body.meta.parameter) == (status, code, parameter)
    assert not body.ok and body.error and body.meta.request_id


def test_a_page_belongs_to_its_question(client: httpx.Client) -> None:
    page = client.get("/v1/ohlcv/BBCA?limit=2").json()["meta"]["next_page"]
    assert client.get(f"/v1/ohlcv/BBCA?limit=5&page={page}").status_code == 200
    for other in ("/v1/ohlcv/GOTO?", "/v1/ohlcv/BBCA?tf=5m&", "/v1/ohlcv/BBCA?from=2026-11-19&"):
        assert client.get(f"{other}page={page}").json()["code"] == "bad_page"


def test_a_lost_plus_of_an_offset_is_understood(client: httpx.Client) -> None:
    path = "/v1/ohlcv/BBCA?from=2026-11-19T09:00:00+07:00&to=2026-11-19T09:05:00+07:00"
    assert len(client.get(path).json()["data"]) == 5


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_wrong_method_is_an_envelope_too(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/v1/ohlcv/BBCA")
    assert answer.status_code == 405 and answer.json()["code"] == "method_not_allowed"
    assert "GET" in answer.headers["allow"]


# -- health, schema --------------------------------------------------------------------------------


def test_alive_and_ready(client: httpx.Client, served: Served) -> None:
    assert client.get("/health").json() == {"ok": True}
    ready = client.get("/ready")
    assert ready.status_code == 200 and ready.json()["degraded"] == []
    assert set(ready.json()["dependencies"]) == {"hot", "bus"}
    served.floor.ill = OSError("no route")
    try:
        ill = client.get("/ready")
        assert ill.status_code == 200 and ill.json()["degraded"] == ["bus"]
        served.floor.started = False
        waiting = client.get("/ready")
        assert waiting.status_code == 503
        assert waiting.json()["waiting_for"] == "the journal is replayed"
    finally:
        served.floor.ill, served.floor.started = None, True


def test_openapi_describes_every_route_and_parameter(client: httpx.Client) -> None:
    schema = client.get("/schema").json()
    assert schema["openapi"].startswith("3.1")
    assert set(schema["paths"]) >= {
        "/health", "/ready", "/v1/symbols", "/v1/snapshot/{ticker}", "/v1/ohlcv/{ticker}",
        "/v1/metrics/latest", "/v1/metrics/history", "/v1/continuity/{ticker}", "/v1/continuity",
        "/udf/config",
        "/udf/symbols", "/udf/search", "/udf/history", "/udf/time", "/udf/symbol_info",
        "/udf/marks", "/udf/timescale_marks", "/udf/quotes",
    }  # fmt: skip
    for path, item in schema["paths"].items():
        operation = item["get"]
        assert operation["description"], path
        assert all(p["description"] for p in operation.get("parameters", []) if p["in"] == "query")
        assert "200" in operation["responses"]
    names = [p["name"] for p in schema["paths"]["/v1/ohlcv/{ticker}"]["get"]["parameters"]]
    assert names == [
        "ticker",
        "venue",
        "tf",
        "from",
        "to",
        "limit",
        "page",
        "as_of",
        "open",
        "since",
        "format",
    ]
    bar = schema["components"]["schemas"]["Bar"]["properties"]
    assert bar["freq_cnt"]["description"] == "number of trades"


def test_days_are_real() -> None:
    assert [day.strftime("%a") for day in DAYS] == ["Wed", "Thu", "Fri"]
    assert at(date(2026, 11, 20), 9, 0) == 1795140000 * 10**9
