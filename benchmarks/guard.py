"""What the guard costs: alone, and on the way to 600 candles from memory.

Where no server runs, us are CPU of the thread: nothing waits there.

guard_us               one request through the guard to an application that answers nothing: its
                       names, its door, a token that was seen before, its user's limit, what every
                       answer bears, counters and usage; 10 headers, as clients of the API send them
guard_session_us       the same with the cookie of a session and a browser's 16 headers
guard_key_us           the same with an API key, under /udf
candles_600_guarded_rps  600 candles of a ticker from memory over HTTP, 4 connections: asked with a
                       token, limited, summed up; beside a plain FastAPI application with orjson
                       that does nothing of it and has the rows as dictionaries in memory. Of a
                       user of enterprise, who sees HD as it is
candles_600_scaled_rps the same of a user of pro: HD times his factor
candles_600_zeros_rps  the same of a user of free with all timeframes: HD as zeros
candles_600_..._cpu_us CPU of the server's process for one of them
candles_600_zstd_rps   the first of a client that takes zstd, as browsers do; the peer packs nothing
candles_600_open_rps   the same of bursa without accounts

What the answers behind the guard cost is in guard_answers.py.
"""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from time import thread_time
from typing import Any

import msgspec
import uvloop
import zstandard

from benchmarks import guard_answers, report
from benchmarks.http import MEMORY, answer, many_clients
from benchmarks.load.market import Market
from benchmarks.load.process import Server, serving
from bursa.accounts.parts import Accounts, Beside
from bursa.accounts.who import CLI, Actor
from bursa.api.admission import Admission
from bursa.api.errors import handler
from bursa.api.guard import Guard, Layers
from bursa.api.viewer.cors import Origins
from bursa.api.viewer.door import Door
from bursa.api.viewer.rates import Rates
from bursa.app import SystemClock
from bursa.ops import logs
from bursa.ops.telemetry import Telemetry
from bursa.state.database import Database

Headers = tuple[tuple[bytes, bytes], ...]

# Requests a minute: more than any run makes.
RATE = 1_000_000
# Whose answers are measured: each sees HD in another way.
TIERS = {"guarded": "enterprise", "scaled": "pro", "zeros": "free"}
PASSWORD = "kopi susu 7 gelas"
PROGRAM = (
    (b"host", b"127.0.0.1:18090"), (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate, zstd"), (b"connection", b"keep-alive"),
    (b"user-agent", b"python-httpx/0.28.1"), (b"x-request-id", b"0192f0aa-77aa"),
    (b"cache-control", b"no-cache"), (b"pragma", b"no-cache"), (b"dnt", b"1"),
)  # fmt: skip
BROWSER = (
    *PROGRAM, (b"sec-fetch-site", b"same-origin"), (b"sec-fetch-mode", b"cors"),
    (b"sec-fetch-dest", b"empty"), (b"referer", b"http://127.0.0.1:18090/chart"),
    (b"accept-language", b"en-GB,en;q=0.9"), (b"sec-ch-ua-platform", b"Linux"),
)  # fmt: skip


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """The application: one row, ready."""
    scope["path_template"] = "/v1/ohlcv/{ticker}"
    scope["state"]["rows"] = 600
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"[]", "more_body": False})


async def receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


class Alone:
    """A guard before that application."""

    def __init__(self, folder: Path) -> None:
        market = Market(folder / "market", 1, 1, 100)
        clock, telemetry = SystemClock(), Telemetry()
        beside = Beside(folder, folder / "secrets")
        self.accounts = Accounts(Database(folder / "state.db"), clock, telemetry, beside)
        people, keys = self.accounts.people, self.accounts.keys
        user = people.create("bench@bursa.example", "user", "enterprise", PASSWORD, CLI)
        people.set_override(user, {"rate": RATE}, CLI)
        self.key, row = keys.make(user, "bench", None, CLI)
        who = self.accounts.standing.principal_of_key(row.id, 0)
        self.token = self.accounts.tokens.issue(who, clock.now_ns())
        actor = Actor("", "user", "127.0.0.1")
        self.cookie = people.login("bench@bursa.example", PASSWORD, actor)[0]
        services = market.services()
        object.__setattr__(services, "clock", clock)
        object.__setattr__(services, "accounts", self.accounts)
        door = Door(nothing, Origins(""), Rates(0, clock), telemetry)
        layers = Layers("b", door, handler())
        self.guard = Guard(nothing, services, Admission(services), layers)

    def runs(self, count: int) -> dict[str, Callable[[], float]]:
        """Name -> us a request, of so many."""
        candles, bearing = "/v1/ohlcv/BBCA", f"Bearer {self.token}".encode()
        cookie = f"theme=dark; bursa_session={self.cookie}".encode()
        shown = {
            "guard_us": (candles, (*PROGRAM, (b"authorization", bearing))),
            "guard_session_us": (candles, (*BROWSER, (b"cookie", cookie))),
            "guard_key_us": ("/udf/history", (*PROGRAM, (b"x-api-key", self.key.encode()))),
        }
        return {name: self._run(*asked, count) for name, asked in shown.items()}

    def _run(self, path: str, headers: Headers, count: int) -> Callable[[], float]:
        scope = {
            "type": "http", "method": "GET", "path": path, "query_string": b"limit=600",
            "headers": list(headers), "client": ("127.0.0.1", 40_000),
        }  # fmt: skip
        statuses: list[int] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        async def ask() -> float:
            guard = self.guard
            began = thread_time()
            for _ in range(count):
                await guard({**scope, "state": {}}, receive, send)  # type: ignore[arg-type]  # a scope made by hand
            return (thread_time() - began) / count * 1e6

        def run() -> float:
            statuses.clear()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                took_us = runner.run(ask())
            assert statuses == [200] * count, "every one was let in"
            return took_us

        return run


def alone(folder: Path, quick: bool) -> list[report.Result]:
    """The guard by itself, and what lies behind it."""
    made, (count, rounds) = Alone(folder), (2_000, 3) if quick else (20_000, 7)
    with closing(made.accounts.database):
        times = report.interleave(made.runs(count), rounds)
        behind = guard_answers.results(folder / "answers", made.accounts, made.token, quick)
    return [report.Result(name, value, "us a request") for name, value in times.items()] + behind


def served(servers: dict[str, Server], count: int, rounds: int) -> list[report.Result]:
    """Candles by each, in turns."""
    runs = {name: _asking(server, count) for name, server in servers.items()}
    found = report.interleave_each(runs, rounds)
    results = []
    for at, (figure, unit) in enumerate((("rps", "requests/s"), ("cpu_us", "us of CPU"))):
        values = {name: of_one[at] for name, of_one in found.items()}
        for name in TIERS:
            pair = {name: values[name], "fastapi": values["fastapi"]}
            results += report.against(f"candles_600_{name}_{figure}", pair, name, unit)
        for name in ("zstd", "open"):
            results.append(report.Result(f"candles_600_{name}_{figure}", values[name], unit))
    return results


def _asking(server: Server, count: int) -> Callable[[], list[float]]:
    return lambda: many_clients(server, MEMORY, count)


def main() -> None:
    options = report.arguments(__doc__)
    logs.setup("warning", "json")
    count, rounds = (600, 3) if options.quick else (4_000, 7)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bursa-guard-")))
        (folder / "alone").mkdir()
        (folder / "alone" / "market").mkdir()
        (folder / "alone" / "answers").mkdir()
        results = alone(folder / "alone", options.quick)
        running = {
            name: stack.enter_context(serving(name, folder / name, 50, 4))
            for name in ("guarded", "bursa", "fastapi")
        }
        servers = {name: _shown(running["guarded"], tier) for name, tier in TIERS.items()}
        servers["zstd"] = replace(servers["guarded"])
        servers["zstd"].headers += "Accept-Encoding: zstd\r\n"
        servers["open"], servers["fastapi"] = running["bursa"], running["fastapi"]
        servers["fastapi"].headers = servers["guarded"].headers  # all read the same lines
        _check(servers)
        results += served(servers, count, rounds)
    report.emit("guard", results, options)


def _shown(server: Server, tier: str) -> Server:
    """The server as a user of a tier asks it."""
    return replace(server, headers=f"Authorization: Bearer {server.tell(f'token {tier}')}\r\n")


def _check(servers: dict[str, Server]) -> None:
    """All give 600 rows of the same fields, HD as each is to see it; without a token the guarded
    one gives none."""
    path = MEMORY.format(ticker="T007")
    every = {name: answer(server, path) for name, server in servers.items()}
    every["zstd"] = zstandard.ZstdDecompressor().decompressobj().decompress(every["zstd"])
    found = {name: msgspec.json.decode(body)["data"] for name, body in every.items()}
    plain = found["fastapi"]
    assert found["guarded"] == found["zstd"] == found["open"] == plain and len(plain) == 600
    for name in ("scaled", "zeros"):
        without = [{**row, "hd": 0} for row in found[name]]
        assert without == [{**row, "hd": 0} for row in plain] and found[name] != plain
    assert not any(row["hd"] for row in found["zeros"])
    nobody = replace(servers["guarded"], headers="")
    try:
        answer(nobody, path)
    except AssertionError:
        return
    raise AssertionError("who shows nothing was let in")


if __name__ == "__main__":
    main()
