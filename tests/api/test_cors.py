"""Other sites' pages: what their browsers are told, path by path and origin by origin."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bursa.api.viewer.candles import Face
from bursa.api.viewer.cors import Origins
from tests.api.floor import DAYS, Floor, serve

A, B, OTHER = "https://a.example", "http://b.example:8080", "https://other.example"
OPEN = (
    "/healthz",
    "/version",
    "/api/v1/symbols",
    "/api/v1/intervals",
    "/api/v1/symbols/BBCA/intervals",
    "/api/v1/candles?symbol=BBCA",
    "/api/v1/candles?symbol=NIX",
    "/api/v1/candles?symbol=BBCA&limit=0",
    "/api/v1/nothing",
)
SHUT = (
    "/",
    "/health",
    "/ready",
    "/stats",
    "/schema",
    "/nothing",
    "/v1/symbols",
    "/v1/ohlcv/BBCA",
    "/v1/live",
    "/udf/config",
    "/udf/nothing",
    "/healthz/x",
    "/api/v2/candles",
    "/api/v1",
)
PREFLIGHT = {"Access-Control-Request-Method": "GET"}


@contextlib.contextmanager
def serving(folder: Path, face: Face) -> Iterator[httpx.Client]:
    floor = Floor(folder)
    floor.day(DAYS[0], minutes=2)
    with serve(floor, face=face) as served, httpx.Client(base_url=served.url) as client:
        yield client
    floor.close()


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Two origins are listed."""
    with serving(tmp_path_factory.mktemp("listed"), Face(f"{A}  {B}")) as client:
        yield client


def cors(answer: httpx.Response) -> dict[str, Any]:
    return {
        name: value
        for name, value in answer.headers.items()
        if name.startswith("access-control-") or name == "cross-origin-resource-policy"
    }


SAME = {"cross-origin-resource-policy": "same-origin"}


@pytest.mark.parametrize("path", OPEN)
def test_a_listed_origin_reads_the_viewers_answers(listing: httpx.Client, path: str) -> None:
    for origin in (A, B):
        answer = listing.get(path, headers={"Origin": origin})
        assert cors(answer) == {
            "access-control-allow-origin": origin,
            "access-control-expose-headers": (
                "RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
            ),
            "cross-origin-resource-policy": "cross-origin",
        }
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize("origin", [OTHER, "null", "http://a.example", f"{A}.evil.example", ""])
def test_any_other_is_told_nothing(listing: httpx.Client, path: str, origin: str) -> None:
    answer = listing.get(path, headers={"Origin": origin} if origin else {})
    assert cors(answer) == SAME
    assert answer.headers["vary"] == "Origin", "a cache must not give it to a listed one"


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
@pytest.mark.parametrize("path", SHUT)
def test_every_other_path_is_shut(listing: httpx.Client, path: str, method: str) -> None:
    for headers in ({"Origin": A}, {"Origin": A, **PREFLIGHT}, {}):
        answer = listing.request(method, path, headers=headers)
        assert cors(answer) == SAME
        assert "vary" not in answer.headers


@pytest.mark.parametrize("path", OPEN)
def test_a_preflight_of_a_listed_origin(listing: httpx.Client, path: str) -> None:
    answer = listing.options(path, headers={"Origin": A, **PREFLIGHT})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == A
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert "X-Request-Id" in answer.headers["access-control-allow-headers"]
    assert int(answer.headers["access-control-max-age"]) > 0
    assert {"Origin", "Access-Control-Request-Method"} <= set(
        part.strip() for part in answer.headers["vary"].split(",")
    )


@pytest.mark.parametrize("path", ["//healthz", "/version/", "//api/v1/symbols", "/api//v1/symbols"])
def test_another_spelling_of_a_path_is_that_path(listing: httpx.Client, path: str) -> None:
    url = str(listing.base_url).rstrip("/") + path
    told = listing.get(url, headers={"Origin": A}).headers
    assert told["access-control-allow-origin"] == A
    refused = listing.options(url, headers={"Origin": OTHER, **PREFLIGHT})
    assert refused.json()["code"] == "foreign_origin"


@pytest.mark.parametrize("path", OPEN)
def test_a_preflight_of_any_other_is_refused(listing: httpx.Client, path: str) -> None:
    for origin in (OTHER, "null"):
        answer = listing.options(path, headers={"Origin": origin, **PREFLIGHT})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
        assert cors(answer) == SAME


def test_plain_options_say_what_a_route_takes(listing: httpx.Client) -> None:
    plain: tuple[dict[str, str], ...] = ({}, {"Origin": A}, {"Origin": OTHER}, PREFLIGHT)
    for headers in plain:
        for path in ("/healthz", "/api/v1/candles", "/stats", "/v1/ohlcv/BBCA", "/ready"):
            answer = listing.options(path, headers=headers)
            assert (answer.status_code, answer.content) == (204, b""), path
            assert answer.headers["allow"] == "GET, OPTIONS"
    assert listing.options("/api/v1/nothing").status_code == 404


def test_any_origin_where_the_list_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, Face("*")) as client:
        for path in OPEN:
            for headers in ({"Origin": OTHER}, {"Origin": "null"}, {}):
                answer = client.get(path, headers=headers)
                assert answer.headers["access-control-allow-origin"] == "*"
                assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
                assert "vary" not in answer.headers
            assert client.options(path, headers={"Origin": OTHER, **PREFLIGHT}).status_code == 204
        for path in SHUT:
            assert cors(client.get(path, headers={"Origin": OTHER})) == SAME


def test_none_where_nothing_is_listed(tmp_path: Path) -> None:
    with serving(tmp_path, Face()) as client:
        for path in OPEN:
            answer = client.get(path, headers={"Origin": A})
            assert cors(answer) == SAME and "vary" not in answer.headers
            refused = client.options(path, headers={"Origin": A, **PREFLIGHT})
            assert refused.status_code == 403 and cors(refused) == SAME


def test_a_page_can_read_that_it_asked_too_often(tmp_path: Path) -> None:
    with serving(tmp_path, Face(A, rate_per_minute=1)) as client:
        client.get("/healthz")
        refused = client.get("/api/v1/candles?symbol=BBCA", headers={"Origin": A})
        assert refused.status_code == 429
        assert refused.headers["access-control-allow-origin"] == A
        exposed = refused.headers["access-control-expose-headers"].split(", ")
        assert {"RateLimit", "Retry-After"} <= set(exposed)
        preflight = client.options("/api/v1/candles", headers={"Origin": A, **PREFLIGHT})
        assert preflight.status_code == 429


@pytest.mark.parametrize(
    ("listed", "origin", "allowed"),
    [
        ("https://a.example", "https://A.example", True),
        ("https://a.example:443", "https://a.example", True),
        ("http://a.example:80", "http://a.example", True),
        ("https://a.example", "https://a.example:443", True),
        ("https://a.example:80", "https://a.example", False),
        ("http://[::1]:3000", "http://[::1]:3000", True),
        ("*", "anything", True),
        ("*", "", False),
        ("", "https://a.example", False),
        ("https://a.example", "*", False),
        ("https://a.example", "https://a.example, https://b.example", False),
    ],
)
def test_which_origins_are_meant(listed: str, origin: str, allowed: bool) -> None:
    assert Origins(listed).allow(origin.encode()) is allowed
