"""Many WebSocket clients in one process, each with some tickers, throttle 0: which bar came when.

`python -m benchmarks.load.clients --url ws://... --clients N --tickers M --log FILE`: prints
`ready` when all subscriptions are acknowledged; a line on standard input ends it. FILE (.npz)
gets, for each bar frame: client, ticker number, bar's opening (s), volume so far, and the
monotonic clock when it came. The tickers are M of the load's at random, others for each client, or
with --names A,B,... these for all.
"""

import argparse
import asyncio
import sys
from array import array
from functools import partial

import msgspec
import numpy as np
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.load import messages

NAMES = [name.decode().strip() for name in messages.names()]
NUMBERS = {name: number for number, name in enumerate(NAMES)}


class Frame(msgspec.Struct):
    type: str
    ticker: str = ""
    bar_time: str = ""
    volume: float = 0.0
    code: str = ""


DECODER = msgspec.json.Decoder(Frame)


class Seen:
    """What all clients saw, in columns that grow."""

    def __init__(self) -> None:
        self.ticker, self.volume, self.clock = array("q"), array("d"), array("q")
        self.minute, self.client = array("q"), array("q")
        self.minutes: dict[str, int] = {}
        self.other: dict[str, int] = {}


class Client(WSListener):  # type: ignore[misc]  # picows has no types
    def __init__(
        self, number: int, seen: Seen, tickers: list[str], acknowledged: asyncio.Semaphore
    ) -> None:
        super().__init__()
        self.number, self.seen = number, seen
        self.tickers, self.acknowledged = tickers, acknowledged

    def on_ws_connected(self, transport: WSTransport) -> None:
        ask = {
            "action": "subscribe",
            "tickers": self.tickers,
            "freq": "1m",
            "channels": ["bars"],
            "throttle_ms": 0,
        }
        transport.send(WSMsgType.TEXT, msgspec.json.encode(ask))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
            return
        if frame.msg_type != WSMsgType.TEXT:
            return
        clock = asyncio.get_running_loop().time
        found = DECODER.decode(frame.get_payload_as_memoryview())
        seen = self.seen
        if found.type == "bar":
            seen.client.append(self.number)
            seen.ticker.append(NUMBERS.setdefault(found.ticker, len(NUMBERS)))
            seen.minute.append(seen.minutes.setdefault(found.bar_time, len(seen.minutes)))
            seen.volume.append(found.volume)
            seen.clock.append(int(clock() * 1e9))
            return
        seen.other[found.type + found.code] = seen.other.get(found.type + found.code, 0) + 1
        if found.type == "subscribed":
            self.acknowledged.release()


async def run(options: argparse.Namespace) -> None:
    seen, acknowledged = Seen(), asyncio.Semaphore(0)
    rng = np.random.default_rng(3)
    for number in range(options.clients):
        some = rng.choice(messages.TICKERS, options.tickers, replace=False)
        tickers = options.names.split(",") if options.names else [NAMES[i] for i in some]
        await ws_connect(partial(Client, number, seen, tickers, acknowledged), options.url)
    for _ in range(options.clients):
        await asyncio.wait_for(acknowledged.acquire(), 30)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    openings = np.array(
        [np.datetime64(text[:19], "s").astype(np.int64) for text in seen.minutes], np.int64
    )
    zone = next(iter(seen.minutes), "+00:00")[-6:]
    offset = (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60) * (1 if zone[0] == "+" else -1)
    minute = np.array(seen.minute, np.int64)
    np.savez(
        options.log,
        client=np.array(seen.client, np.int64),
        ticker=np.array(seen.ticker, np.int64),
        minute=openings[minute] - offset if len(openings) else minute,
        volume=np.array(seen.volume, np.float64),
        clock=np.array(seen.clock, np.int64),
    )
    print(msgspec.json.encode(seen.other).decode(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--tickers", type=int, default=50)
    parser.add_argument("--names", default="")
    parser.add_argument("--log", required=True)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
