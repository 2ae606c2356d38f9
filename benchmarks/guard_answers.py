"""What lies behind the guard: part of the benchmark `guard`. us are CPU of the thread.

newest_kept_us     600 candles, from the route on: the answer is ready
newest_factor_us   its rows are known, a factor of HD comes first: numbers made, and put in
newest_made_us     the ticker's bars have changed: read from memory, rows joined anew
packed_zstd_us     their JSON packed as it is for a client; packed_gzip_us: with gzip
token_seen_us      a token that was shown before is judged; token_first_us: its signature verified
format_csv_ms      10,000 candles of JSON laid out as CSV; format_arrow_ms, format_parquet_ms
"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from time import thread_time
from typing import Any

from benchmarks import report
from benchmarks.load.market import Market
from bursa.accounts.hd import RAW, View
from bursa.accounts.parts import Accounts
from bursa.accounts.tokens import Tokens
from bursa.api import formats, packed
from bursa.api.candle_rows import SeenRows
from bursa.api.newest import Asked, Newest, Read
from bursa.app import SystemClock
from bursa.history.candles import Ask, Candles

NEWEST, MANY = 600, 10_000

Asks = Sequence[tuple[Asked, View]]


def results(folder: Path, accounts: Accounts, token: str, quick: bool) -> list[report.Result]:
    """All of it; `token` is one of the accounts'."""
    count, rounds = (50, 3) if quick else (1_000, 7)
    market = Market(folder, 1, 4, 1_000)
    runs = {**_newest(market, count), **_packed(market, count), **_tokens(accounts, token, count)}
    us = report.interleave(runs, rounds)
    ms = report.interleave(_formats(market, 1 if quick else 10), rounds)
    return [
        *(report.Result(name, value, "us of CPU") for name, value in us.items()),
        *(report.Result(name, value, "ms of CPU") for name, value in ms.items()),
    ]


def _timed(run: Callable[[], object], count: int) -> Callable[[], float]:
    """us of CPU for one of so many."""

    def timed() -> float:
        began = thread_time()
        for _ in range(count):
            run()
        return (thread_time() - began) / count * 1e6

    return timed


def _candles(market: Market) -> Candles:
    found = market.services().default.reader.in_memory(Ask("T000", "1m", NEWEST))
    assert found is not None and len(found.bars) == NEWEST, "the rings hold them"
    return found


def _newest(market: Market, count: int) -> dict[str, Callable[[], float]]:
    services = market.services()
    reader, calendar = services.default.reader, services.default.venue.calendar
    made, numbers = Newest(services, {"idx": SeenRows(calendar)}), itertools.count(1)
    asked = Asked("idx", "T000", "1m", NEWEST, 0)

    async def read() -> Read:
        found = reader.in_memory(Ask("T000", "1m", NEWEST))
        assert found is not None
        return Read(found, None, True)

    async def answers(asks: Asks) -> float:
        began = thread_time()
        for one, view in asks:
            scope: Any = {"state": {"began_ns": 0}}
            await made.answer(scope, one, view, read)
        return (thread_time() - began) / len(asks) * 1e6

    def factor() -> Asks:
        return [(asked, ("scaled", 0.5 + next(numbers) * 1e-9)) for _ in range(count)]

    def changed() -> Asks:
        # A question of its own each time: nothing is known but the rows, as after a new bar.
        return [(asked._replace(floor_ns=next(numbers)), RAW) for _ in range(count)]

    def run(asks: Callable[[], Asks]) -> Callable[[], float]:
        return lambda: asyncio.run(answers(asks()))

    return {
        "newest_kept_us": run(lambda: [(asked, RAW)] * count),
        "newest_factor_us": run(factor),
        "newest_made_us": run(changed),
    }


def _packed(market: Market, count: int) -> dict[str, Callable[[], float]]:
    rows = SeenRows(market.services().default.venue.calendar)
    body = rows.array("T000", "1m", _candles(market), RAW)

    def pack(coding: bytes) -> Callable[[], object]:
        return lambda: packed.begin(body, coding)

    return {f"packed_{one}_us": _timed(pack(one.encode()), count) for one in ("zstd", "gzip")}


def _tokens(accounts: Accounts, token: str, count: int) -> dict[str, Callable[[], float]]:
    now_ns, kept = SystemClock().now_ns(), accounts.secrets
    return {
        "token_seen_us": _timed(lambda: accounts.tokens.read(token, now_ns), count),
        "token_first_us": _timed(lambda: Tokens(kept).read(token, now_ns), count),
    }


def _formats(market: Market, count: int) -> dict[str, Callable[[], float]]:
    rows = SeenRows(market.services().default.venue.calendar)
    part = rows.array("T000", "1m", _candles(market), RAW)[1:-1]
    data = b"[%b]" % b",".join([part] * -(-MANY // NEWEST))

    def form(name: str) -> Callable[[], float]:
        run = _timed(lambda: formats.BARS.written(data, name), count)
        return lambda: run() / 1e3 * MANY / (NEWEST * -(-MANY // NEWEST))

    return {f"format_{name}_ms": form(name) for name in ("csv", "arrow", "parquet")}
