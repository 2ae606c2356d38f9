"""Answers of closed ranges that may be kept: their ETag, whose it is, and when it changes. Long
answers packed, and unpacked again."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import zstandard

from bursa.api import packed
from tests.api.readers import LATE, TODAY, Market, Reader, minute_ns, open_market

READERS: dict[str, tuple[str, dict[str, Any]]] = {
    "pro": ("pro", {"rate": 1_000}),
    "second": ("pro", {}),
    "blind": ("enterprise", {"hd": "none"}),
    "unseeing": ("enterprise", {"hd": "none"}),
    "enterprise": ("enterprise", {}),
    "likewise": ("enterprise", {}),
}
CLOSED = {"from": LATE.isoformat(), "to": f"{TODAY}T09:10:00+07:00"}
RANGED: dict[str, dict[str, Any]] = {
    "/v1/ohlcv/BBCA": {"tf": "1m", "limit": 25},
    "/v1/metrics/history": {"metric": "hd,sma_20", "ticker": "BBCA", "limit": 25},
    "/v1/index/COMPOSITE": {},
    "/v1/continuity/BBCA": {"limit": 2},
    "/v1/continuity": {"limit": 2},
}
HD = ("/v1/ohlcv/BBCA", "/v1/metrics/history")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with open_market(tmp_path_factory.mktemp("etags"), READERS) as found:
        found.house.heartbeat(minute_ns(20) + 1)
        yield found


def asked(reader: Reader, path: str, tag: str = "", **query: Any) -> httpx.Response:
    headers = {"If-None-Match": tag} if tag else {}
    query = {**RANGED[path], **CLOSED, **query}
    return reader.client.get(path, params=query, headers=headers)


def tag_of(reader: Reader, path: str, **query: Any) -> str:
    answer = asked(reader, path, **query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "private, no-cache"
    assert "accept" in answer.headers["vary"].split(", ")
    found: str = answer.headers["etag"]
    assert found.startswith('W/"')
    return found


@pytest.mark.parametrize("path", [path for path in RANGED if "index" not in path])
def test_what_is_kept_is_asked_for_again_by_its_tag(market: Market, path: str) -> None:
    reader = market["pro"]
    for form in ("json", "csv", "arrow", "parquet"):
        query = {"format": form}
        tag = tag_of(reader, path, **query)
        assert tag_of(reader, path, **query) == tag
        for told in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
            again = asked(reader, path, told, **query)
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
            assert again.headers["cache-control"] == "private, no-cache"
            assert again.headers["x-request-id"] and again.headers["ratelimit"]
            assert "content-length" not in again.headers
        for told in ('"x"', tag[:-2] + '"', "W/"):
            assert asked(reader, path, told, **query).status_code == 200
    forms = {tag_of(reader, path, format=form) for form in ("json", "csv", "arrow", "parquet")}
    assert len(forms) == 4 and tag_of(reader, path) in forms


def test_every_route_with_a_range_and_rows_is_tried(market: Market) -> None:
    told = market["enterprise"].get("/schema").json()["paths"]
    found = {
        path for path, item in told.items() if "304" in item.get("get", {}).get("responses", {})
    }
    found = {path.format(ticker="BBCA", code="COMPOSITE") for path in found if "bulk" not in path}
    assert found == set(RANGED)


@pytest.mark.parametrize("path", HD)
def test_a_tag_is_of_one_view_of_hd_and_of_one_factor(market: Market, path: str) -> None:
    for form in ("json", "arrow"):
        tags = {name: tag_of(market[name], path, format=form) for name in READERS}
        assert len({tags[name] for name in ("pro", "second", "blind", "enterprise")}) == 4
        assert tags["blind"] == tags["unseeing"] and tags["enterprise"] == tags["likewise"]
        for name in READERS:
            for other in READERS:
                status = asked(market[name], path, tags[other], format=form).status_code
                assert status == (304 if tags[name] == tags[other] else 200), (name, other)
    for bound in ("from", "to"):
        narrower = {bound: f"{TODAY}T09:05:00+07:00"}
        assert tag_of(market["pro"], path, **narrower) != tag_of(market["pro"], path)


def test_who_may_not_have_it_is_told_nothing_by_a_tag(market: Market) -> None:
    tag = tag_of(market["enterprise"], HD[0])
    reader = market.reader("narrow", "free")
    assert asked(reader, HD[0], tag).status_code == 403
    assert (
        httpx.get(f"{market.served.url}{HD[0]}", headers={"If-None-Match": tag}).status_code == 401
    )


@pytest.mark.parametrize("path", HD)
def test_what_is_not_closed_is_not_kept(market: Market, path: str) -> None:
    every: tuple[dict[str, Any], ...] = (
        {"to": "2100-01-01"}, {"to": f"{TODAY}T10:00:00+07:00"}, {"to": None}, {"from": None},
        *([{"open": 1}] if "ohlcv" in path else []),
    )  # fmt: skip
    for query in every:
        for form in ("json", "csv"):
            whole = {**RANGED[path], **CLOSED, **query, "format": form}
            kept = {name: value for name, value in whole.items() if value is not None}
            answer = market["pro"].client.get(path, params=kept, headers={"If-None-Match": "*"})
            assert answer.status_code == 200 and "etag" not in answer.headers
            assert answer.headers["cache-control"] == "no-store"


def test_a_304_is_counted_and_has_no_rows(market: Market) -> None:
    reader, usage = market.reader("counted", "pro"), market.house.accounts.usage
    tag = tag_of(reader, HD[0])
    assert asked(reader, HD[0], tag).status_code == 304
    usage.flush()
    (hour,) = usage.of(reader.user, 2)
    assert (hour.requests, hour.rows) == (2, 25)


@pytest.mark.parametrize("path", HD)
def test_a_revision_makes_another_tag(market: Market, path: str) -> None:
    nth = 16 + HD.index(path)
    day = f"{TODAY}T09:{nth}:00+07:00"
    query = {"from": day, "to": f"{TODAY}T09:20:00+07:00"}
    before = {name: tag_of(market[name], path, **query) for name in READERS}
    elsewhere = tag_of(market["pro"], path)
    old = asked(market["pro"], path, **query).json()["data"]
    market.house.trade(minute_ns(nth) + 7_000_000_000, 9_999)  # it comes late
    market.house.heartbeat(market.next_minute_ns())
    new = asked(market["pro"], path, **query).json()["data"]
    assert (new[0]["rev"], new[0]["date"]) == (old[0]["rev"] + 1, old[0]["date"])
    for name in READERS:
        again = asked(market[name], path, before[name], **query)
        assert again.status_code == 200 and again.headers["etag"] != before[name]
    assert asked(market["pro"], path, elsewhere).status_code == 304, "of a range before it"


# -- packing ---------------------------------------------------------------------------------------


def unpacked(raw: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.decompress(raw)
    return zstandard.ZstdDecompressor().decompressobj().decompress(raw)


# Short and from memory; long; longer than is packed on the loop.
SIZES = {"limit=2": "/v1/ohlcv/BBCA", "limit=40": "/v1/ohlcv/BBCA", "limit=500": "/v1/metrics"}


@pytest.mark.parametrize("coding", ["zstd", "gzip", "identity"])
def test_long_texts_are_packed_and_say_the_same(market: Market, coding: str) -> None:
    client = market["pro"].client
    for query, path in SIZES.items():
        for form in ("json", "csv", "arrow"):
            url = f"{path}?{query}&format={form}"
            plain = client.get(url, headers={"Accept-Encoding": "identity"})
            assert "content-encoding" not in plain.headers
            with client.stream("GET", url, headers={"Accept-Encoding": coding}) as answer:
                raw = b"".join(answer.iter_raw())
            long = form != "arrow" and len(plain.content) >= packed.LEAST_BYTES
            assert long == ("accept-encoding" in answer.headers.get("vary", ""))
            assert int(answer.headers["content-length"]) == len(raw)
            if not long or coding == "identity":
                assert "content-encoding" not in answer.headers
            else:
                assert answer.headers["content-encoding"] == coding
                assert len(raw) < len(plain.content) / 2
                raw = unpacked(raw, coding)
            if form == "json":
                assert json.loads(raw)["data"] == plain.json()["data"]
            else:
                assert raw == plain.content
    history = "/udf/history?symbol=BBCA&resolution=1&countback=60&to=1795400000"
    assert client.get(history, headers={"Accept-Encoding": coding}).json()["s"] == "ok"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, zstd", "zstd"), ("gzip, deflate, br", "gzip"), ("*", "zstd"),
        ("zstd;q=0, *", "gzip"), ("zstd;q=0.5, GZIP;q=0.6", "gzip"), ("br", None), ("", None),
        ("identity", None), ("gzip;q=0", None), ("identity;q=1, gzip;q=0.5", None),
        ("gzip;q=x", None), ("gzip ; q=0.1", "gzip"),
    ],
)  # fmt: skip
def test_the_coding_is_the_clients(accepted: str, coding: str | None) -> None:
    found = packed.chosen(accepted.encode())
    assert found == (None if coding is None else coding.encode())
