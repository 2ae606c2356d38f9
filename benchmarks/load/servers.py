"""A server under load, in a process of its own: bursa's, or a peer that serves the same.

`python -m benchmarks.load.servers WHO --folder DIR --tickers N --days N`: prints its port once it
listens, then obeys lines on standard input, each answered by one on standard output, and ends with
it:

    cold         open the store anew on a file out of the cache; answers the share still in it
    push MS      push bars into the stream every so many milliseconds
    hush         push no more; answers how many pushes there were
    token TIER   of `guarded`: answers a token that it lets in, of a user of that tier

WHO is `bursa`; `guarded`, which has accounts: a token is asked for, its user's requests are limited
(to more than there are) and summed up, all timeframes are his; `fastapi`, with orjson, parameters
declared, or `fastapi-request`, which reads them off the request unchecked (its documentation's
"Using the Request Directly"); or `picows`, a WebSocket server without anything else. All serve the
same rows, in one process and on one loop of uvloop, HTTP by uvicorn and httptools without access
log.
"""

import argparse
import asyncio
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from benchmarks.load.market import Market
from benchmarks.load.pushing import Bars, Pushing
from bursa.accounts.parts import Accounts, Beside
from bursa.accounts.tiers import SEED
from bursa.accounts.who import CLI
from bursa.api.app import build_api, server
from bursa.api.stream.frames import Frames
from bursa.api.stream.hub import Hub, StreamLimits
from bursa.app import SystemClock
from bursa.model.venue import IDX
from bursa.ops import logs
from bursa.ops.telemetry import Telemetry
from bursa.state.database import Database

CANDLES = 600
DEPTH = 1_000
CLIENTS_MAX = 5_000
# Requests a minute: more than any run makes.
RATE = 1_000_000

Commands = dict[str, Callable[[str], object]]


def bursa(market: Market, listening: socket.socket) -> tuple[uvicorn.Server, Commands]:
    services = market.services()
    hub = Hub(services, StreamLimits(clients=CLIENTS_MAX), "0123456789abcdef")
    bars = Bars(market.words)
    pushing = Pushing(lambda nth: hub.offer("idx", bars.push(nth), 0))
    return server(build_api(services, hub), "127.0.0.1", 0, services.telemetry), {
        "cold": lambda _: market.store.chill(),
        **_pushes(pushing),
    }


def guarded(market: Market, folder: Path) -> tuple[uvicorn.Server, Commands]:
    clock, telemetry = SystemClock(), Telemetry()
    database, beside = Database(folder / "state.db"), Beside(folder, folder / "secrets")
    accounts = Accounts(database, clock, telemetry, beside)
    made: dict[str, str] = {}
    for tier in SEED:
        email = f"{tier}@bursa.example"
        user = accounts.people.create(email, "user", tier, None, CLI)
        accounts.people.set_override(user, {"rate": RATE, "timeframes": None}, CLI)
        made[tier] = accounts.keys.make(user, "bench", None, CLI)[1].id
    accounts.start()

    def token(tier: str) -> str:
        who = accounts.standing.principal_of_key(made[tier], 0)
        return accounts.tokens.issue(who, clock.now_ns())

    services = replace(market.services(), clock=clock, telemetry=telemetry, accounts=accounts)
    hub = Hub(services, StreamLimits(clients=CLIENTS_MAX), "0123456789abcdef")
    return server(build_api(services, hub), "127.0.0.1", 0, services.telemetry), {"token": token}


def fastapi(market: Market, declared: bool) -> uvicorn.Server:
    """Rows as dictionaries in memory, encoded by orjson and returned as a Response, which FastAPI
    passes on as it is. Faster than its other documented forms, measured in one run: ORJSONResponse
    takes 1.3 times the CPU, a response model over instances (Pydantic) 2.8 times."""
    import orjson
    from fastapi import FastAPI, Request, Response

    kept: dict[str, list[dict[str, Any]]] = {
        ticker: market.rows(ticker, CANDLES) for ticker in market.words.symbols
    }
    app = FastAPI()

    def answer(ticker: str, limit: int) -> Response:
        body = {"ok": True, "data": kept[ticker][-limit:], "meta": {"next_page": None}}
        return Response(orjson.dumps(body), media_type="application/json")

    if declared:

        @app.get("/v1/ohlcv/{ticker}")
        async def ohlcv(ticker: str, limit: int = 1000, tf: str = "1m") -> Response:
            return answer(ticker, limit)

    else:

        @app.get("/v1/ohlcv/{ticker}")
        async def ohlcv_of(request: Request) -> Response:
            limit = int(request.query_params.get("limit", 1000))
            return answer(request.path_params["ticker"], limit)

    config = uvicorn.Config(
        app, http="httptools", loop="uvloop", log_config=None, access_log=False, lifespan="off"
    )
    return uvicorn.Server(config)


class Picows:
    """A WebSocket server that sends what is pushed to every client that said something."""

    def __init__(self, market: Market) -> None:
        self._bars = Bars(market.words)
        self._frames = Frames(IDX, market.words.symbols)
        self._clients: set[Any] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.should_exit = False

    def push(self, nth: int) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._send, self._bars.payloads(nth, self._frames))

    def _send(self, payloads: list[bytes]) -> None:
        from picows import WSMsgType

        text = WSMsgType.TEXT
        for client in self._clients:
            for payload in payloads:
                client.send(text, payload)

    async def serve(self, sockets: list[socket.socket]) -> None:
        from picows import WSListener, WSMsgType, ws_create_server

        clients = self._clients
        self._loop = asyncio.get_running_loop()

        class Client(WSListener):  # type: ignore[misc]  # picows has no types
            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                if frame.msg_type == WSMsgType.TEXT:
                    clients.add(transport)
                    transport.send(WSMsgType.TEXT, b'{"type":"subscribed"}')

            def on_ws_disconnected(self, transport: Any) -> None:
                clients.discard(transport)

        running = await ws_create_server(lambda _: Client(), sock=sockets[0], backlog=1024)
        while not self.should_exit:  # noqa: ASYNC110 -- a thread sets it, as uvicorn's
            await asyncio.sleep(0.05)
        running.close()


def _pushes(pushing: Pushing) -> Commands:
    def begin(milliseconds: str) -> None:
        pushing.begin(float(milliseconds) / 1e3)

    return {"push": begin, "hush": lambda _: pushing.end()}


def made(
    who: str, market: Market, listening: socket.socket
) -> tuple[uvicorn.Server | Picows, Commands]:
    if who == "bursa":
        return bursa(market, listening)
    if who == "guarded":
        return guarded(market, market.folder)
    if who == "picows":
        peer = Picows(market)
        return peer, _pushes(Pushing(peer.push))
    return fastapi(market, who == "fastapi"), {}


def obey(commands: Commands) -> None:
    """Do what standard input says until it ends."""
    for line in sys.stdin:
        name, _, argument = line.strip().partition(" ")
        print(commands[name](argument), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("who", choices=["bursa", "guarded", "fastapi", "fastapi-request", "picows"])
    parser.add_argument("--folder", required=True)
    parser.add_argument("--tickers", type=int, required=True)
    parser.add_argument("--days", type=int, required=True)
    options = parser.parse_args()
    logs.setup("warning", "json")
    market = Market(Path(options.folder), options.tickers, options.days, DEPTH)
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    running, commands = made(options.who, market, listening)

    def until_the_end() -> None:
        obey(commands)
        running.should_exit = True

    threading.Thread(target=until_the_end, daemon=True).start()
    print(listening.getsockname()[1], flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(running.serve(sockets=[listening]))


if __name__ == "__main__":
    main()
