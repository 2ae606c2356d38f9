"""The viewer API over a listening server: public venues' candles, bad input, limits, figures."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from bursa.accounts.counters import Counters
from bursa.api import shapes
from bursa.api.viewer.candles import Face
from bursa.api.viewer.rates import Rates
from bursa.model.calendar import SECOND_NS
from bursa.model.timeframe import TIMEFRAMES
from tests.api.floor import DAYS, Floor, HandClock, Served, at, serve

ROUTES = (
    "/api/v1/symbols",
    "/api/v1/intervals",
    "/api/v1/symbols/BBCA/intervals",
    "/api/v1/candles?symbol=BBCA",
)


# A full minute.
NOON_NS = at(DAYS[0], 12, 0)


def ms(day: int, hour: int, minute: int) -> int:
    return at(DAYS[day], hour, minute) // 1_000_000


def candles(client: httpx.Client, query: str) -> list[list[float]]:
    answer = client.get(f"/api/v1/candles?{query}")
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=shapes.ViewerCandles).data


def test_the_process_says_that_it_lives_and_what_it_is(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    version = msgspec.json.decode(client.get("/version").content, type=shapes.Version)
    assert (version.version, version.api) == ("0.0.0", "v1")


def test_symbols_are_the_public_venues(client: httpx.Client) -> None:
    answer = client.get("/api/v1/symbols")
    found = msgspec.json.decode(answer.content, type=shapes.ViewerSymbols).symbols
    assert [(s.symbol, s.base, s.quote, s.status) for s in found] == [
        ("BBCA", "BBCA", "IDR", "trading"),
        ("GOTO", "GOTO", "IDR", "trading"),
        ("TLKM", "TLKM", "IDR", "trading"),
    ]


def test_intervals_are_every_timeframe(client: httpx.Client) -> None:
    every = list(TIMEFRAMES)
    assert client.get("/api/v1/intervals").json() == {"intervals": every}
    for path in ("/api/v1/intervals?symbol=IDX:bbca", "/api/v1/symbols/bbca/intervals"):
        assert client.get(path).json() == {"intervals": every, "symbol": "BBCA"}


def test_candles_are_those_of_the_data_api(client: httpx.Client) -> None:
    for tf in TIMEFRAMES:
        rows = client.get(f"/v1/ohlcv/BBCA?tf={tf}&limit=600&open=1").json()["data"]
        found = candles(client, f"symbol=BBCA&interval={tf}&partials=1")
        assert found and [candle[1:] for candle in found] == [
            [row[name] for name in ("open", "high", "low", "close", "volume")] for row in rows
        ]
        openings = [datetime.fromisoformat(row["date"]).timestamp() * 1000 for row in rows]
        assert [candle[0] for candle in found] == openings == sorted(set(openings))


def test_an_answer_has_the_form_that_is_promised(client: httpx.Client) -> None:
    text = client.get("/api/v1/candles?symbol=BBCA&limit=2").text
    assert text == (
        '{"symbol":"BBCA","interval":"1m","data":['
        f"[{ms(2, 9, 7)},9175,9180,9175,9180,900],[{ms(2, 9, 8)},9200,9205,9200,9205,1000]]}}"
    )
    assert client.get("/api/v1/candles?symbol=IDX:bbca&limit=2&interval=1m").text == text


def test_limits_are_600_and_5000(client: httpx.Client) -> None:
    assert len(candles(client, "symbol=BBCA")) == 600
    every = candles(client, "symbol=BBCA&limit=5000")
    assert len(every) > 600
    assert every[-600:] == candles(client, "symbol=BBCA&limit=600")


def test_a_range_is_half_open_and_begins_with_its_first(client: httpx.Client) -> None:
    start, end = ms(1, 9, 10), ms(1, 9, 15)
    found = candles(client, f"symbol=BBCA&from={start}&to={end}")
    assert [c[0] for c in found] == list(range(start, end, 60_000))
    iso = "from=2026-11-19T09:10:00%2B07:00&to=2026-11-19T02:15:00Z"
    assert candles(client, f"symbol=BBCA&{iso}") == found
    assert candles(client, f"symbol=BBCA&from={start}&to={end}&limit=2") == found[:2]
    assert candles(client, f"symbol=BBCA&to={end}&limit=2") == found[-2:]
    day = candles(client, "symbol=BBCA&from=2026-11-19&to=2026-11-20&limit=5000")
    assert day[0][0] == ms(1, 8, 55) and day[-1][0] < ms(2, 0, 0)
    # Going on from the last one gives each once.
    pages, at_ms = [], ms(1, 0, 0)
    while page := candles(client, f"symbol=BBCA&from={at_ms}&to=2026-11-20&limit=100"):
        pages += page
        at_ms = int(page[-1][0]) + 1
    assert pages == day
    assert candles(client, f"symbol=BBCA&from={start}&to={start}") == []


def test_the_candle_under_way_comes_where_it_is_wanted(client: httpx.Client) -> None:
    closed = candles(client, "symbol=BBCA&limit=3")
    whole = candles(client, "symbol=BBCA&limit=3&partials=1")
    assert whole[:2] == closed[1:] and whole[-1][0] == ms(2, 9, 9)


def test_an_answer_kept_in_memory_is_not_kept_too_long(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    floor.day(DAYS[0], minutes=5)
    with serve(floor) as served, httpx.Client(base_url=served.url) as client:
        first = candles(client, "symbol=BBCA&limit=3")
        assert candles(client, "symbol=BBCA&limit=3") == first
        floor.trade(at(DAYS[0], 9, 6, 3), 9_999)
        assert candles(client, "symbol=BBCA&limit=3")[:2] == first[1:]
    floor.close()


BAD = [
    ("candles", 400, "missing_parameter", "symbol"),
    ("candles?symbol=", 400, "bad_symbol", "symbol"),
    ("candles?symbol=B%20B", 400, "bad_symbol", "symbol"),
    ("candles?symbol=" + "A" * 500, 400, "bad_symbol", "symbol"),
    ("candles?symbol=IDX:", 400, "bad_symbol", "symbol"),
    ("candles?symbol=NIX", 404, "unknown_symbol", "symbol"),
    ("candles?symbol=NYSE:BBCA", 404, "unknown_symbol", "symbol"),
    ("candles?symbol=BINANCE:BTCUSDT", 404, "unknown_symbol", "symbol"),
    ("candles?symbol=BBCA&symbol=GOTO", 400, "repeated_parameter", "symbol"),
    ("candles?symbol=BBCA&interval=2m", 400, "unknown_interval", "interval"),
    ("candles?symbol=BBCA&interval=", 400, "unknown_interval", "interval"),
    ("candles?symbol=BBCA&interval=1D", 400, "unknown_interval", "interval"),
    ("candles?symbol=BBCA&limit=0", 400, "bad_number", "limit"),
    ("candles?symbol=BBCA&limit=5001", 400, "bad_number", "limit"),
    ("candles?symbol=BBCA&limit=ten", 400, "bad_number", "limit"),
    ("candles?symbol=BBCA&from=-1", 400, "bad_time", "from"),
    ("candles?symbol=BBCA&from=99999999999999", 400, "bad_time", "from"),
    ("candles?symbol=BBCA&from=1e12", 400, "bad_time", "from"),
    ("candles?symbol=BBCA&from=", 400, "bad_time", "from"),
    ("candles?symbol=BBCA&to=2026-11-31", 400, "bad_time", "to"),
    ("candles?symbol=BBCA&to=2026-11-20T09:00:00", 400, "bad_time", "to"),
    ("candles?symbol=BBCA&from=2026-11-20&to=2026-11-19", 400, "bad_range", "from"),
    ("candles?symbol=BBCA&partials=yes", 400, "bad_flag", "partials"),
    ("candles?symbol=BBCA&tf=1m", 400, "unknown_parameter", "tf"),
    ("intervals?symbol=NIX", 404, "unknown_symbol", "symbol"),
    ("symbols/NIX/intervals", 404, "unknown_symbol", "symbol"),
    ("symbols/BBCA/intervals?x=1", 400, "unknown_parameter", "x"),
    ("symbols?venue=idx", 400, "unknown_parameter", "venue"),
]


@pytest.mark.parametrize(("query", "status", "code", "parameter"), BAD)
def test_bad_input_names_the_parameter(
    client: httpx.Client, query: str, status: int, code: str, parameter: str
) -> None:
    answer = client.get(f"/api/v1/{query}")
    body = msgspec.json.decode(answer.content, type=shapes.Error)
    assert (answer.status_code, body.code) == (status, code)
    assert body.meta.parameter == parameter


def test_other_paths_and_methods_are_envelopes_too(client: httpx.Client) -> None:
    browser = {"accept": "text/html"}
    for path in ("/api/v1/nothing", "/api/v2/candles", "/version/x", "/stats/x"):
        assert client.get(path, headers=browser).json()["code"] == "not_found"
    answer = client.post("/api/v1/candles?symbol=BBCA")
    assert answer.status_code == 405 and "GET" in answer.headers["allow"]
    assert client.get("/healthz", headers={"host": "example.com"}).status_code == 421


def test_head_is_get_without_the_body(client: httpx.Client) -> None:
    for path in ("/healthz", "/version", "/stats", *ROUTES):
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b""), path


# -- public or not ---------------------------------------------------------------------------------


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    floor = Floor(tmp_path)
    floor.day(DAYS[0], minutes=3)
    yield floor
    floor.close()


def test_where_nothing_is_public_the_face_is_off_and_says_what_to_set(floor: Floor) -> None:
    floor.public = frozenset()
    with serve(floor) as served, httpx.Client(base_url=served.url) as client:
        for path in (*ROUTES, "/api/v1/candles", "/api/v1/candles?symbol=NIX&limit=0"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_public"), path
            assert "idx.public" in answer.json()["error"]
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/version").status_code == 200


def test_a_private_venues_instruments_do_not_exist(floor: Floor) -> None:
    floor.public = frozenset({"binance"})
    with serve(floor) as served, httpx.Client(base_url=served.url) as client:
        assert client.get("/api/v1/symbols").json() == {"symbols": []}
        for symbol in ("BBCA", "IDX:BBCA", "NIX", "IDX:NIX"):
            for path in (f"candles?symbol={symbol}", f"symbols/{symbol}/intervals"):
                answer = client.get(f"/api/v1/{path}")
                assert (answer.status_code, answer.json()["code"]) == (404, "unknown_symbol")
                told = answer.json()["error"].replace(symbol, "?")
                assert told == "there is no symbol '?'; /api/v1/symbols lists them"
        assert client.get("/v1/symbols").json()["data"], "the data API has them"


# -- the limit of an address -----------------------------------------------------------------------


def limited(served: Served) -> httpx.Client:
    return httpx.Client(base_url=served.url)


def test_every_answer_bears_the_rate_and_the_next_one_is_refused(floor: Floor) -> None:
    floor.clock.ns = floor.clock.ns // (60 * SECOND_NS) * 60 * SECOND_NS + 10 * SECOND_NS
    with serve(floor, face=Face(rate_per_minute=9)) as served, limited(served) as client:
        paths = ["/healthz", "/version", "/stats", *ROUTES, "/api/v1/nothing", "/api/v1/candles"]
        for rest, path in zip(range(8, -1, -1), paths, strict=True):
            answer = client.get(path)
            assert answer.status_code != 429
            assert answer.headers["RateLimit-Policy"] == '"minute";q=9;w=60'
            assert answer.headers["RateLimit"] == f'"minute";r={rest};t=50', path
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            refused = client.request(method, "/api/v1/symbols")
            assert refused.status_code == 429
            assert refused.headers["Retry-After"] == "51"
            assert refused.headers["RateLimit"] == '"minute";r=0;t=51'
        body = msgspec.json.decode(client.get("/healthz").content, type=shapes.Error)
        assert body.code == "too_many_requests" and "9 requests a minute" in body.error
        for path in ("/health", "/v1/symbols", "/udf/config"):
            answer = client.get(path)
            assert answer.status_code == 200 and "RateLimit" not in answer.headers
        registry = floor.telemetry.registry
        labels = {"code": "too_many_requests"}
        assert registry.get_sample_value("bursa_refused_total", labels) == 5


def test_no_spelling_of_a_path_leads_past_the_rate(floor: Floor) -> None:
    spelled = ("//healthz", "/healthz/", "/version//", "//stats", "/stats/", "/api//v1/symbols",
               "//api/v1/symbols", "/api/v1/symbols/", "/%2fapi/v1/symbols")  # fmt: skip
    with serve(floor, face=Face(rate_per_minute=len(spelled))) as served, limited(served) as client:
        for path in spelled:
            answer = client.get(served.url + path)
            assert answer.status_code == 200 and "RateLimit" in answer.headers, path
        for path in spelled:
            assert client.get(served.url + path).status_code == 429, path


def test_the_window_slides(floor: Floor) -> None:
    floor.clock.ns = floor.clock.ns // (60 * SECOND_NS) * 60 * SECOND_NS
    with serve(floor, face=Face(rate_per_minute=60)) as served, limited(served) as client:

        def statuses(count: int) -> list[int]:
            return [client.get("/healthz").status_code for _ in range(count)]

        assert statuses(61) == [200] * 60 + [429]
        floor.clock.ns += 60 * SECOND_NS  # the minute before weighs whole
        assert statuses(1) == [429]
        floor.clock.ns += 30 * SECOND_NS  # half of it has slid out
        assert statuses(31) == [200] * 30 + [429]
        floor.clock.ns += 120 * SECOND_NS
        assert client.get("/healthz").headers["RateLimit"].startswith('"minute";r=59;')


def test_without_a_limit_there_are_no_headers(client: httpx.Client) -> None:
    assert "RateLimit" not in client.get("/healthz").headers


@pytest.mark.parametrize("asked", [1, 7, 60, 100])
def test_who_waits_as_told_may_ask_again_and_not_before(asked: int) -> None:
    clock = HandClock(NOON_NS + 17 * SECOND_NS)
    rates = Rates(asked, clock)
    for _ in range(asked):
        assert rates.take("10.0.0.1").allowed
        clock.ns += 3 * SECOND_NS // asked
    for _ in range(4):
        refused = rates.take("10.0.0.1")
        assert not refused.allowed and 0 < refused.wait_s <= 120
        assert (b"retry-after", str(refused.wait_s).encode()) in refused.headers
        assert rates.take("10.0.0.2").allowed or asked == 1, "another address is another's"
        clock.ns += refused.wait_s * SECOND_NS
        while rates.take("10.0.0.1").allowed:
            pass


def test_no_minute_lets_much_more_through_than_the_limit() -> None:
    clock = HandClock(NOON_NS)
    rates = Rates(120, clock)
    passed = []
    for _ in range(3_000):
        clock.ns += SECOND_NS // 10
        if rates.take("10.0.0.1").allowed:
            passed.append(clock.ns)
    for first in range(len(passed)):
        within = [ns for ns in passed[first:] if ns < passed[first] + 60 * SECOND_NS]
        # The minute before counts as spread evenly: half a limit is the most that can be off.
        assert len(within) <= 180


def test_the_counters_are_bounded_and_end() -> None:
    clock = HandClock(NOON_NS)
    counters = Counters(clock, buckets_max=10)
    for number in range(50):
        assert counters.acquire_sliding_window_entry(f"address {number}", 5, 60)
    assert len(counters) == 10
    assert counters.get_sliding_window("address 49", 60)[2] == 1
    assert counters.get_sliding_window("address 1", 60)[2] == 0
    clock.ns += 121 * SECOND_NS
    assert counters.get_sliding_window("address 49", 60)[::2] == (0, 0)
    assert counters.reset() <= 10 and len(counters) == 0


# -- figures ---------------------------------------------------------------------------------------


def test_stats_are_what_happened(floor: Floor) -> None:
    with serve(floor) as served, httpx.Client(base_url=served.url) as client:
        floor.clock.ns += 5 * SECOND_NS
        floor.telemetry.feed_retries.labels("idx").inc(3)
        for _ in range(20):
            client.get("/api/v1/candles?symbol=BBCA")
        client.get("/nothing")
        found = msgspec.json.decode(client.get("/stats").content, type=shapes.Stats)
        assert found.uptime_seconds == 5.0
        assert found.threads > 1
        assert found.backend_active == "duckdb"
        assert (found.reconnect_attempts_total, found.rest_catchup_candles_total) == (3, 0)
        assert found.ws_state == "partly", "idx is there, binance is not"
        assert found.last_msg_age_ms == 5_000
        by_route: dict[str, Any] = {row.route: row for row in found.routes}
        candle = by_route["/api/v1/candles"]
        assert candle.requests == 20 and 0 < candle.p95_ms <= candle.p99_ms
        assert by_route["other"].requests == 1
        seconds = floor.telemetry.registry.get_sample_value(
            "bursa_http_seconds_sum", {"route": "/api/v1/candles"}
        )
        assert seconds is not None and candle.p95_ms / 1e3 <= seconds


def test_the_schema_tells_of_every_route(client: httpx.Client) -> None:
    paths = client.get("/schema").json()["paths"]
    intervals = ("/api/v1/intervals", "/api/v1/symbols/{symbol}/intervals")
    rest = ("/healthz", "/version", "/stats", "/api/v1/symbols", "/api/v1/candles", "/v1/live")
    for path in (*intervals, *rest):
        assert paths[path]["get"]["description"], path
        assert "200" in paths[path]["get"]["responses"]
    names = [p["name"] for p in paths["/api/v1/candles"]["get"]["parameters"]]
    assert names == ["symbol", "interval", "from", "to", "limit", "partials"]
    assert "429" in paths["/api/v1/candles"]["get"]["responses"]
    assert "text/event-stream" in paths["/v1/live"]["get"]["responses"]["200"]["content"]
