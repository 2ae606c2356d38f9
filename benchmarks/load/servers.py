"""A server under load, in a process of its own: bursa's API, or FastAPI with orjson as its peer.

`python -m benchmarks.load.servers bursa|fastapi --folder DIR --tickers N --days N`: prints its
port once it listens, ends when standard input does. Both serve the same rows, on uvicorn with
uvloop and httptools, one process, no access log.
"""

import argparse
import asyncio
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from benchmarks.load.market import Market
from bursa.api.app import build_api, server
from bursa.api.live import Hub, StreamLimits

CANDLES = 600
DEPTH = 1_000


def bursa(market: Market) -> uvicorn.Server:
    services = market.services()
    hub = Hub(services, StreamLimits(), "0123456789abcdef")
    return server(build_api(services, hub), "127.0.0.1", 0)


def fastapi(market: Market) -> uvicorn.Server:
    """Rows as dictionaries in memory; the answer is encoded by orjson and returned as it is, which
    is the form FastAPI's documentation gives for speed."""
    import orjson
    from fastapi import FastAPI, Response

    kept: dict[str, list[dict[str, Any]]] = {
        ticker: market.rows(ticker, CANDLES) for ticker in market.words.symbols
    }
    app = FastAPI()

    @app.get("/v1/ohlcv/{ticker}")
    async def ohlcv(ticker: str, limit: int = 1000, tf: str = "1m") -> Response:
        body = {"ok": True, "data": kept[ticker][-limit:], "meta": {"next_page": None}}
        return Response(orjson.dumps(body), media_type="application/json")

    config = uvicorn.Config(
        app, http="httptools", loop="uvloop", log_config=None, access_log=False, lifespan="off"
    )
    return uvicorn.Server(config)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("who", choices=["bursa", "fastapi"])
    parser.add_argument("--folder", required=True)
    parser.add_argument("--tickers", type=int, required=True)
    parser.add_argument("--days", type=int, required=True)
    options = parser.parse_args()
    market = Market(Path(options.folder), options.tickers, options.days, DEPTH)
    running = bursa(market) if options.who == "bursa" else fastapi(market)
    listening = socket.create_server(("127.0.0.1", 0))

    def end() -> None:
        sys.stdin.read()
        running.should_exit = True

    threading.Thread(target=end, daemon=True).start()
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(running.serve(sockets=[listening]))


if __name__ == "__main__":
    main()
