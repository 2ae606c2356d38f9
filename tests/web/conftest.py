"""What the tests of pages share: a source of facts at its port, and a browser."""

import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
import uvicorn

from bursa.model.calendar import MINUTE_NS
from bursa.model.venue import IDX, Venue
from bursa.web.facts import Hole, Instrument, Tape

DAY = date(2025, 11, 18)
CHROMIUM = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def quiet_day() -> Tape:
    """Five minutes into the second session of an idx day, with one hole in the first."""
    sessions = IDX.calendar.sessions(DAY)
    first, second = (next(s for s in sessions if s.name == n) for n in ("session 1", "session 2"))
    hole = Hole("idxdata", first.open_ns + 75 * MINUTE_NS, first.open_ns + 110 * MINUTE_NS, 7, 99)
    now = second.open_ns + 5 * MINUTE_NS
    return Tape(DAY, now, sessions, first.open_ns, [40] * 275, 812.4, True, True, 38, [hole])


@dataclass
class Facts:
    """A source of facts that holds what a test gives it."""

    known: dict[str, Instrument] = field(
        default_factory=lambda: {"BBCA": Instrument("BBCA", "Bank Central Asia", 0, 0, 100)}
    )
    shown: Tape = field(default_factory=quiet_day)

    def venues(self) -> Sequence[Venue]:
        return [IDX]

    def instruments(self, venue: str) -> int:
        return len(self.known)

    def instrument(self, venue: str, ticker: str) -> Instrument | None:
        return self.known.get(ticker)

    def first_ticker(self, venue: str) -> str | None:
        return next(iter(self.known), None)

    def tape(self, venue: str) -> Tape:
        return self.shown


@pytest.fixture
def facts() -> Facts:
    return Facts()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium; absent, the test is skipped."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=CHROMIUM)
        yield chromium
        chromium.close()


class Served(threading.Thread):
    """An application on a free loopback port, in a thread; `url` is where."""

    def __init__(self, app: Any) -> None:
        super().__init__(daemon=True)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        self._server.should_exit = True
        self.join(10)
        self._socket.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Serve an application until the test ends: serve(app) -> its address."""
    running: list[Served] = []

    def start(app: Any) -> str:
        served = Served(app)
        served.start()
        running.append(served)
        return served.url

    yield start
    for served in running:
        served.stop()
