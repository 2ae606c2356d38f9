"""A trading floor for tests: a real line, store and rings, fed with idx-1 messages, and served.

`Floor.say` takes messages as a feed would bring them; `Floor.commit` stores what was derived;
`serve` runs the application on a free port in a thread with its own loop.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from litestar import get
from litestar.types import Scope

from bursa.api.app import Extra, build_api, server
from bursa.api.services import ChannelState, Dependency, Services, VenueParts, VenueService
from bursa.api.stream.hub import Hub, StreamLimits
from bursa.api.viewer.candles import Face
from bursa.history.offload import Offload
from bursa.history.present import Recent
from bursa.model.batch import Batch, Block, Words
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.schema import topic
from bursa.model.venue import BINANCE, IDX
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.facts import Facts
from bursa.pipeline.line import Derived, Line, kinds
from bursa.ports import Committed, DayFiles
from bursa.store.duckdb import DuckStore
from bursa.store.rings import Rings
from bursa.wire.idx.decoder import IdxDecoder
from tests.wire.idx import encoder as idx

# Wednesday, Thursday, Friday.
DAYS = (date(2026, 11, 18), date(2026, 11, 19), date(2026, 11, 20))
EPOCH = "00000000deadbeef"
NAMES = {
    "BBCA": "PT Bank Central Asia Tbk",
    "GOTO": "PT GoTo Gojek Tokopedia Tbk",
    "TLKM": "PT Telkom Indonesia Tbk",
}


class HandClock:
    """A clock that is set."""

    def __init__(self, now_ns: int) -> None:
        self.ns = now_ns

    def now_ns(self) -> int:
        return self.ns


class Floor:
    """One idx venue, and an empty binance beside it."""

    def __init__(self, folder: Path, depth: int = 1500) -> None:
        self.words = Words(IDX.boards, [c.name for c in IDX.channels])
        self.line = Line(IDX, self.words, IdxDecoder(IDX, self.words), {})
        self.store = DuckStore(folder / "hot.duckdb", [IDX, BINANCE], kinds())
        self.rings = Rings(IDX, self.words, depth, 64 << 20)
        self.facts, self.recent = Facts(IDX, self.words), Recent()
        self.clock = HandClock(idx.TS)
        self.telemetry = Telemetry()
        self.offload = Offload(2, 16, 10.0)
        self.channels = [ChannelState(c.name, True, 0, 0) for c in IDX.channels]
        self.lock = threading.Lock()
        self.hub: Hub | None = None
        self.seq = [1, 1]
        self.end = 0
        self.waiting: list[Batch] = []
        self.started = True
        self.ill: Exception | None = None
        self.opens = 0
        self.public = frozenset({"idx"})
        self.bulk: DayFiles | None = None

    # -- the feed ----------------------------------------------------------------------------------

    def say(self, *messages: Callable[[int], bytes], channel: int = 0) -> Derived:
        """Messages without their sequence numbers, as one record."""
        raw = []
        for message in messages:
            raw.append(message(self.seq[channel]))
            self.seq[channel] += 1
        # Our clock shows what the exchange's did a millisecond ago.
        self.clock.ns = max(self.clock.ns, int.from_bytes(raw[-1][9:17], "big") + 1_000_000)
        return self.take(idx.frames(raw, channel, self.clock.ns))

    def take(self, record: idx.Record) -> Derived:
        assert record.ts_recv <= self.clock.ns
        ends = idx.positions([record], self.end)
        chunk = idx.chunk([record], ends, self.end)
        self.end = ends[-1]
        with self.lock:
            derived = self.line.push(chunk)
            self.rings.feed_bars(derived.closed)
            self.rings.feed_metrics(derived.metrics)
            for rows in derived.entered:
                self.rings.enter(rows)
        self.recent.feed(derived.batches)
        marks = self.line.watermarks()
        self.facts.take(derived, marks, self.clock.ns)
        self.channels = [
            ChannelState(c.name, True, self.clock.ns, mark, self.facts.state.get(c.name, ""))
            for c, mark in zip(IDX.channels, marks, strict=True)
        ]
        self.waiting += derived.batches
        if self.hub is not None:
            self.hub.offer("idx", derived, self.line.watermark_ns)
        return derived

    def commit(self) -> None:
        """Store all that was derived."""
        at = Committed(self.end, 1)
        self.store.write(self.waiting, {topic("idx", kind): at for kind in kinds()})
        self.waiting = []

    # -- what is said ------------------------------------------------------------------------------

    def list_all(self, ts: int) -> None:
        """Contracts of all tickers."""

        def contract(ticker: str) -> Callable[[int], bytes]:
            return lambda n: idx.contract(n, ts, ticker, name=NAMES[ticker])

        self.say(*map(contract, NAMES), channel=1)

    def state(self, ts: int, state: str) -> None:
        self.say(lambda n: idx.status(n, ts, state))

    def new_day(self) -> None:
        """The channels count anew."""
        self.seq = [1, 1]

    def trade(self, ts: int, price: float, volume: int = 100, ticker: str = "BBCA") -> Derived:
        units = round(price * 10_000)
        return self.say(
            lambda n: idx.trade(n, ts, ticker, price=units, volume=volume, trade_no=self.end + n)
        )

    def heartbeat(self, ts: int) -> Derived:
        return self.say(lambda n: idx.status(n, ts, "H"))

    def day(
        self, day: date, minutes: int | None = None, auction: bool = True, quiet: int = 3
    ) -> None:
        """A day's first minutes (None: all, and its end): BBCA trades in each, GOTO in every
        `quiet`-th, TLKM in the opening one alone. BBCA's price is 9,000 and up by 25 a minute in
        its day's first hour, volume counts the minutes."""
        calendar = IDX.calendar
        opening = calendar.day_open_ns(day)
        self.new_day()
        self.state(opening - 15 * 60 * SECOND_NS, "P")
        self.list_all(opening - 10 * 60 * SECOND_NS)
        if auction:
            self.trade(opening - 5 * 60 * SECOND_NS, 8_975.0, 500)
        self.state(opening, "1")
        every = calendar.expected_minutes(day).tolist()
        for at, minute in enumerate(every[:minutes]):
            rows: list[Callable[[int], bytes]] = [
                self._one("BBCA", minute + SECOND_NS, 9_000 + 25 * (at % 60), 100 * (at + 1)),
                self._one("BBCA", minute + 30 * SECOND_NS, 9_005 + 25 * (at % 60), 100),
            ]
            if at % quiet == 0:
                rows.append(self._one("GOTO", minute + 31 * SECOND_NS, 60 + at % 7, 1_000))
            if at == 0:
                rows.append(self._one("TLKM", minute + 32 * SECOND_NS, 3_000, 100))
            rows.append(partial(self._heartbeat, minute + 50 * SECOND_NS))
            self.say(*rows)
        if minutes is None:
            self.state(calendar.day_close_ns(day), "X")
            self.state(calendar.day_end_ns(day), "E")
            self.heartbeat(calendar.day_end_ns(day) + 5 * SECOND_NS)

    @staticmethod
    def _heartbeat(ts: int, seq: int) -> bytes:
        return idx.status(seq, ts, "H")

    def _one(self, ticker: str, ts: int, price: int, volume: int) -> Callable[[int], bytes]:
        return lambda n: idx.trade(
            n, ts, ticker, price=price * 10_000, volume=volume, trade_no=self.end + n
        )

    # -- the program around it ---------------------------------------------------------------------

    def open_bars(self, ids: Block) -> Batch:
        self.opens += 1
        with self.lock:
            return self.line.open_bars(ids)

    def _check(self) -> None:
        if self.ill is not None:
            raise self.ill

    def services(self) -> Services:
        idle = Words(BINANCE.boards, [c.name for c in BINANCE.channels])
        none = Line(IDX, self.words, IdxDecoder(IDX, self.words), {})
        parts = VenueParts(
            IDX, self.words, self.store, self.rings, self.facts, self.recent, self.open_bars,
            lambda: self.line.watermark_ns, lambda: self.channels,
            lambda ticker, depth: self.facts.book(self.words.find_symbol(ticker), depth),
        )  # fmt: skip
        other = VenueParts(
            BINANCE, idle, self.store, Rings(BINANCE, idle, 60, 1 << 20), Facts(BINANCE, idle),
            Recent(), none.open_bars, lambda: 0,
            lambda: [ChannelState("stream", False, 0, 0)],
        )  # fmt: skip
        return Services(
            {
                "idx": VenueService(parts, self.clock, self.offload),
                "binance": VenueService(other, self.clock, self.offload),
            },
            self.clock,
            self.offload,
            self.telemetry,
            "0.0.0",
            [
                Dependency("hot", self.store.positions),
                Dependency("bus", self._check, False),
            ],
            lambda: "" if self.started else "the journal is replayed",
            self.public,
            "duckdb",
            self.bulk,
            {"idx": 59_400},
        )

    def close(self) -> None:
        self.offload.close()
        self.store.close()


def at(day: date, hour: int, minute: int, second: float = 0) -> int:
    """ns UTC of a time by Jakarta's clock."""
    local = (hour * 60 + minute) * MINUTE_NS + round(second * SECOND_NS)
    return IDX.calendar.midnight_ns(day) + local


class Served:
    """A floor behind a listening port."""

    def __init__(self, floor: Floor, hub: Hub, services: Services, port: int) -> None:
        self.floor, self.hub, self.services, self.port = floor, hub, services, port
        self.url = f"http://127.0.0.1:{port}"
        self.ws = f"ws://127.0.0.1:{port}/v1/stream"


@contextlib.contextmanager
def serve(
    floor: Floor,
    limits: StreamLimits | None = None,
    routes: Sequence[Any] = (),
    face: Face | None = None,
) -> Iterator[Served]:
    """Serve a floor until the block ends."""
    services = floor.services()
    hub = Hub(services, limits or StreamLimits(throttle_ms=0), EPOCH)
    with listening(build_api(services, hub, Extra(routes, face=face or Face()))) as port:
        floor.hub = hub
        try:
            yield Served(floor, hub, services, port)
        finally:
            floor.hub = None


@contextlib.contextmanager
def listening(app: Any) -> Iterator[int]:
    """Serve an application until the block ends, on the port that it gets."""
    wire = socket.create_server(("127.0.0.1", 0))
    running = server(app, "127.0.0.1", 0, Telemetry())

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(running.serve(sockets=[wire]))

    thread = threading.Thread(target=run, name="served")
    thread.start()
    try:
        until = time.monotonic() + 60
        while not running.started:
            assert thread.is_alive() and time.monotonic() < until, "the server did not start"
            time.sleep(0.01)
        yield wire.getsockname()[1]
    finally:
        running.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "the server did not stop"


def crash(path: str, error: Exception) -> Any:
    """A route that raises."""

    @get(path, include_in_schema=False)
    async def crashing(scope: Scope) -> None:
        raise error

    return crashing
