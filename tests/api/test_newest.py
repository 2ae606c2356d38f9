"""Answers that are ready: each view's own, good until a bar changes, packed once, bounded."""

import asyncio
import gzip
import json
import threading
import tracemalloc
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.accounts import hd
from bursa.accounts.hd import NONE, RAW, View
from bursa.api import newest, packed
from bursa.api.candle_rows import SeenRows, seen, serialise
from bursa.api.newest import BRIEF_NS, EACH_BYTES, HOW, Answer, Asked, Kept, Newest, Read
from bursa.history.candles import Candles
from bursa.history.offload import Offload
from bursa.model.calendar import MINUTE_NS
from bursa.model.venue import IDX
from bursa.ops.telemetry import Telemetry
from tests.api.floor import DAYS, Floor, at, serve
from tests.api.test_text import candles

VIEWS: tuple[View, ...] = (RAW, NONE, ("scaled", 0.5), ("scaled", 1.9))
CODINGS = (None, b"zstd", b"gzip")


def unpacked(body: bytes, coding: bytes | None) -> bytes:
    """The body, of exactly one stream that came to its end."""
    if coding is None:
        return body
    if coding == b"zstd":
        reader: Any = zstandard.ZstdDecompressor().decompressobj()
    else:
        reader = zlib.decompressobj(wbits=31)
    found: bytes = reader.decompress(body)
    assert reader.eof and not reader.unused_data
    return found


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(1, 2_000), st.binary(max_size=400))
@pytest.mark.parametrize("coding", [b"zstd", b"gzip"])
def test_a_packed_beginning_takes_any_end(
    coding: bytes, part: bytes, times: int, end: bytes
) -> None:
    start = part * times
    begun = asyncio.run(packed.begun(start, coding))
    for one in (end, b"", end[::-1]):
        body = begun.start + begun.ended(one)
        assert unpacked(body, coding) == start + one
        if coding == b"gzip":
            assert gzip.decompress(body) == start + one


def test_what_is_kept_is_good_for_its_version_and_time_and_bounded() -> None:
    kept: Kept[Answer] = Kept(100 + 2 * EACH_BYTES)

    def answer(size: int, until_ns: int = 0) -> Answer:
        return Answer(b"x" * size, b"", 1, until_ns)

    kept.put("a", 1, answer(40))
    assert kept.get("a", 1, 0) == answer(40) and kept.bytes == 40 + EACH_BYTES
    assert kept.get("a", 2, 0) is None and (kept.bytes, len(kept)) == (0, 0), "it is dropped"
    kept.put("a", 2, answer(30))
    kept.put("a", 2, answer(40))
    kept.put("b", 1, answer(40))
    assert kept.bytes == 80 + 2 * EACH_BYTES and kept.get("a", 2, 0) is not None
    kept.put("c", 1, answer(40))
    assert kept.bytes == 80 + 2 * EACH_BYTES, "it is bounded"
    assert kept.get("b", 1, 0) is None, "it was asked for longest ago"
    kept.put("brief", 1, answer(9, until_ns=50))
    assert kept.get("brief", 1, 49) is not None and kept.get("brief", 1, 50) is None
    kept.put("huge", 1, answer(101 + EACH_BYTES))
    assert (kept.bytes, len(kept)) == (0, 0)


def test_answers_without_rows_are_bounded_too() -> None:
    """Each limit is a question of its own, and an empty answer has two bytes."""
    kept: Kept[Answer] = Kept(2_000_000)
    tracemalloc.start()
    try:
        for limit in range(20_000):
            asked = Asked("idx", "BBCA", "1w", limit, 0)
            kept.put((asked, RAW, None), (limit, 1), Answer(b"[]", b',"next_page":null}}', 0))
        took, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) < 3_000 and took < 2 * 2_000_000


class House:
    """The answers of a ticker whose bars and version are given."""

    def __init__(self) -> None:
        self.version, self.found, self.in_memory, self.reads = 1, candles(20), True, 0
        self.now_ns, self.closed_ns = 10, 0
        rings = SimpleNamespace(version=lambda ticker, kind="ohlcv": self.version)
        self.telemetry = Telemetry()
        services: Any = SimpleNamespace(
            venues={
                "idx": SimpleNamespace(
                    rings=rings, venue=IDX, closed_until_ns=lambda: self.closed_ns
                )
            },
            telemetry=self.telemetry,
            clock=SimpleNamespace(now_ns=lambda: self.now_ns),
            offload=Offload(1),
        )
        self.newest = Newest(services, {"idx": SeenRows(IDX.calendar)})

    def changed(self, seed: int) -> None:
        """Other bars have come."""
        self.version += 1
        self.found = candles(20, seed)
        self.found.hd[:] = np.random.default_rng(seed).normal(0, 1e6, len(self.found.hd))
        self.found.hd[::7] = np.nan

    async def ask(
        self, view: View, coding: bytes | None, limit: int = 20, tf: str = "1m"
    ) -> list[dict[str, Any]]:
        async def read() -> Read:
            self.reads += 1
            return Read(self.found, "token", self.in_memory)

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        given = {} if coding is None else {b"accept-encoding": coding}
        scope: Any = {"state": {"given": given, "began_ns": 0}}
        ready = await self.newest.answer(scope, Asked("idx", "BBCA", tf, limit, 0), view, read)
        await ready(scope, None, send)  # type: ignore[arg-type]  # nothing is received
        headers, body = dict(sent[0]["headers"]), sent[1]["body"]
        assert headers.get(b"content-encoding") == coding
        assert int(headers[b"content-length"]) == len(body)
        told = json.loads(unpacked(body, coding))
        assert told["ok"] and told["meta"]["next_page"] == "token"
        rows: list[dict[str, Any]] = told["data"]
        assert scope["state"]["rows"] == len(rows)
        return rows

    def made(self, view: View) -> list[dict[str, Any]]:
        """The same, made at once."""
        return [
            json.loads(row) for row in serialise("BBCA", "1m", seen(self.found, view), IDX.calendar)
        ]

    def counts(self, view: str) -> tuple[float, ...]:
        value = self.telemetry.registry.get_sample_value
        return tuple(value("bursa_answers_total", {"view": view, "how": how}) or 0.0 for how in HOW)


ASKS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(VIEWS), st.sampled_from(CODINGS)),
        st.tuples(st.floats(0.5, 1.999).map(lambda f: ("scaled", f)), st.sampled_from(CODINGS)),
        st.integers(1, 40),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(ASKS, st.integers(2_000, 40_000))
def test_no_answer_of_one_view_reaches_another(asks: list[Any], bytes_max: int) -> None:
    """Views, factors and codings in any order, bars that change between them, and room for few."""
    house = House()
    for kept in (house.newest._shared, house.newest._scaled, house.newest._open):
        kept._bytes_max = bytes_max

    async def run() -> None:
        for one in asks:
            if isinstance(one, int):
                house.changed(one)
            else:
                view, coding = one
                assert await house.ask(view, coding) == house.made(view)

    asyncio.run(run())
    for gauge, kept in house.newest._sizes:
        assert kept.bytes <= bytes_max and gauge._value.get() == kept.bytes


def test_who_asks_at_once_gets_his_own_view() -> None:
    house = House()
    house.changed(3)
    asks = [(view, coding) for coding in CODINGS for view in VIEWS] * 3

    async def run() -> list[Any]:
        return await asyncio.gather(*[house.ask(*one) for one in asks])

    for (view, _), rows in zip(asks, asyncio.run(run()), strict=True):
        assert rows == house.made(view)


def test_an_answer_is_made_once_and_packed_once() -> None:
    house = House()

    async def run() -> None:
        for _ in range(3):
            for view in VIEWS:
                for coding in CODINGS:
                    await house.ask(view, coding)

    asyncio.run(run())
    # Of three codings the first is made and the others packed, then all are kept; two factors.
    assert house.counts("raw") == house.counts("none") == (6, 2, 1)
    assert house.counts("scaled") == (12, 4, 2)
    assert house.reads == 2, "once raw, and once for all other views together"


def test_what_the_store_had_part_in_is_good_for_two_seconds() -> None:
    house = House()
    house.in_memory = False

    async def read(view: View) -> int:
        for coding in CODINGS:
            await house.ask(view, coding)
        return house.reads

    assert asyncio.run(read(RAW)) == 1 and asyncio.run(read(NONE)) == 2
    house.now_ns += BRIEF_NS - 1
    assert asyncio.run(read(RAW)) == asyncio.run(read(("scaled", 1.5))) == 2
    house.now_ns += 1
    assert asyncio.run(read(RAW)) == 3 and asyncio.run(read(("scaled", 1.5))) == 4


def test_longer_bars_are_good_until_a_minute_closes() -> None:
    house = House()
    for tf in ("1m", "5m", "1d"):
        house.reads, house.closed_ns = 0, 0
        for closed_ns in (0, MINUTE_NS - 1, MINUTE_NS, MINUTE_NS, 2 * MINUTE_NS):
            house.closed_ns = closed_ns
            found = asyncio.run(house.ask(RAW, b"zstd", tf=tf))
            assert {row["freq"] for row in found} == {tf}
        assert house.reads == (1 if tf == "1m" else 3)


def test_many_rows_are_made_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    house, threads = House(), []
    house.changed(5)

    def noting(*args: Any) -> list[bytes]:
        threads.append(threading.current_thread().name)
        return serialise(*args)

    monkeypatch.setattr(newest, "serialise", noting)
    monkeypatch.setattr(newest, "TICKER_ROWS_MAX", 10)
    for view in VIEWS:
        assert asyncio.run(house.ask(view, b"zstd")) == house.made(view)
    assert [name.partition("_")[0] for name in threads] == ["read"] * len(VIEWS)


def test_rows_without_an_end_and_without_bars() -> None:
    house = House()
    house.found = Candles(house.found.bars, np.full(len(house.found.hd), np.nan), False)
    for view in VIEWS:
        assert asyncio.run(house.ask(view, None)) == house.made(view)
    house.found, house.version = candles(0), 9
    for view in VIEWS:
        assert asyncio.run(house.ask(view, None)) == []
    assert hd.values(NONE, house.found.hd).size == 0


def test_the_next_page_is_there_whoever_asked_first(tmp_path: Path) -> None:
    """An answer that is kept bears one token for all who ask the same, venue named or not."""
    floor = Floor(tmp_path)
    floor.day(DAYS[1], minutes=30)
    floor.clock.ns = at(DAYS[1], 9, 31, 1)
    with serve(floor) as served, httpx.Client(base_url=served.url, timeout=90) as client:
        path = "/v1/ohlcv/BBCA?limit=5"
        token = client.get(path).json()["meta"]["next_page"]
        named = client.get(path + "&venue=idx").json()["meta"]["next_page"]
        first = client.get(f"{path}&page={token}").json()["data"]
        assert first == client.get(f"{path}&venue=idx&page={named}").json()["data"] and first
    floor.close()
