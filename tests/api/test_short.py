"""The short way and the router give the same answer to anything, and are counted alike."""

import re
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from litestar import Litestar, get
from litestar.params import FromPath
from litestar.types import Scope

from bursa.api import errors
from bursa.api.envelope import Ready
from bursa.api.short import SHORT, ShortWay
from tests.api.floor import Served

ROUTES = (
    "/v1/ohlcv/BBCA",
    "/v1/symbols",
    "/v1/snapshot/BBCA",
    "/v1/metrics/latest",
    "/v1/metrics/history",
    "/v1/continuity/BBCA",
    "/udf/history",
    "/udf/symbols",
    "/api/v1/candles",
    "/api/v1/symbols/BBCA/intervals",
)
# What differs from one request to the next.
_OWN = re.compile(rb'"(latency_us|request_id)":[^,}]*')
_PASSING = frozenset({"date", "x-request-id", "content-length", "ratelimit", "retry-after"})

NAMES = st.sampled_from(
    ["tf", "from", "to", "limit", "page", "as_of", "open", "since", "venue", "metric", "ticker",
     "tickers", "symbol", "resolution", "countback", "interval", "nonsense", ""]
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(
        ["1m", "5m", "1d", "5", "D", "0", "1", "600", "10001", "BBCA", "GOTO", "NONE", "idx",
         "binance", "rsi_14", "2026-11-19", "2026-11-19T09:00:00+07:00", "1763517600", "true", "é"]
    ),
    st.text(max_size=8),
)  # fmt: skip
QUERIES = st.lists(st.tuples(NAMES, TEXTS), max_size=4).map(
    lambda pairs: "&".join(f"{name}={quote(text)}" for name, text in pairs)
)


def told(served: Served, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of an answer, without what is its own. The path is sent as it is."""
    connection = HTTPConnection("127.0.0.1", served.port, timeout=90)
    connection.request(method, path)
    answer = connection.getresponse()
    found = {k: v for k, v in answer.getheaders() if k not in _PASSING}
    status, body = answer.status, _OWN.sub(b"", answer.read())
    connection.close()
    return status, body, found


@pytest.mark.parametrize("path", ROUTES)
def test_any_query_is_answered_alike_either_way(served: Served, path: str) -> None:
    """The router also takes a path with a slash at its end, the short way does not."""

    @settings(max_examples=25, deadline=None)
    @example("")
    @example("limit=3")
    @example("symbol=BBCA&resolution=1&from=0&to=1800000000&countback=3")
    @example("symbol=BBCA&interval=1m&limit=3")
    @example("metric=rsi_14&ticker=BBCA&limit=3")
    @example("limit=x")
    @example("limit=1&limit=2")
    @example("a=%ff")
    @given(QUERIES)
    def alike(query: str) -> None:
        assert told(served, f"{path}?{query}") == told(served, f"{path}/?{query}")

    alike()


@settings(max_examples=60, deadline=None)
@example("BBCA")
@example("bbca")
@example("*")
@example("%2F")
@example(".")
@example("..")
@example("a/b")
@example("{ticker}")
@example("BBCA%20")
@given(st.text(max_size=6).map(lambda name: quote(name, safe="*%/.{}")))
def test_any_name_is_answered_alike_either_way(served: Served, name: str) -> None:
    """The router also takes a path with two slashes inside."""
    for route in ("/v1/ohlcv/", "/v1/symbols/", "/v1/metrics/", "/udf/"):
        assert told(served, route + name) == told(served, f"{route}/{name}")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_other_methods_are_the_routers(served: Served, method: str) -> None:
    path = "/v1/ohlcv/BBCA"
    assert told(served, path, method) == told(served, path + "/", method)


def test_both_ways_are_counted_under_one_name(served: Served) -> None:
    def counted() -> float:
        value = served.floor.telemetry.registry.get_sample_value(
            "bursa_http_requests_total", {"route": "/v1/continuity/{ticker}", "status": "200"}
        )
        return value or 0.0

    before = counted()
    for path in ("/v1/continuity/BBCA", "/v1/continuity/BBCA/"):
        assert told(served, path)[0] == 200
    assert counted() == before + 2


def made(*handlers: Any) -> ShortWay:
    handle = errors.handler()
    app = Litestar(handlers, exception_handlers={Exception: handle}, logging_config=None)
    return ShortWay(app, handle)


def test_a_route_of_the_router_is_not_taken_for_a_name() -> None:
    @get("/things/{name:str}", opt=SHORT)
    async def thing(scope: Scope, name: FromPath[str]) -> Ready:
        return Ready(b"a thing")

    @get("/things/list")
    async def every() -> str:
        return "all things"

    short = made(thing, every)
    assert short._find("/things/list")[0] is None
    assert short._find("/things/chair")[1] == "chair"


def test_a_parameter_in_the_middle_is_the_routers() -> None:
    @get("/things/{name:str}/parts", opt=SHORT)
    async def parts(scope: Scope, name: FromPath[str]) -> Ready:
        return Ready(b"parts")

    short = made(parts)
    assert short._find("/things/chair/parts")[0] is None
