"""What the tests of pages share: facts at their port, markets and docs over the API, a browser."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from bursa.model.calendar import MINUTE_NS
from bursa.model.venue import IDX, Venue
from bursa.web.facts import Headline, Hole, Index, Instrument, Market, Row, Tape
from tests.web.handbook import Site
from tests.web.market import Market as Floor
from tests.web.market import some_days
from tests.web.tab import Tab

DAY = date(2025, 11, 18)


def quiet_day() -> Tape:
    """Five minutes into the second session of an idx day, with one hole in the first."""
    sessions = IDX.calendar.sessions(DAY)
    first, second = (next(s for s in sessions if s.name == n) for n in ("session 1", "session 2"))
    hole = Hole("idxdata", first.open_ns + 75 * MINUTE_NS, first.open_ns + 110 * MINUTE_NS, 7, 99)
    now = second.open_ns + 5 * MINUTE_NS
    return Tape(DAY, now, sessions, first.open_ns, [40] * 275, 812.4, True, True, 38, [hole])


def some_figures() -> Market:
    """What an overview may say of that day: two instruments, an index with a hole in its course."""
    opens = IDX.calendar.day_open_ns(DAY)
    rows = [
        Row("BBCA", "Bank Central Asia", 0, 8850.0, 8725.0, 1.4327, 5e6, 4.4e10, 900, (1.0, None)),
        Row("TLKM", "</script><b>", 0, 3310.0, 3350.0, -1.194, 2e6, 6.6e9, 400, (2.0, 1.5)),
    ]
    main = Headline(
        "COMPOSITE",
        "Jakarta Composite",
        2,
        opens + 2 * MINUTE_NS,
        7412.08,
        7365.02,
        [opens, opens + MINUTE_NS],
        [7370.5, 7412.08],
        [(opens + 75 * MINUTE_NS, opens + 110 * MINUTE_NS)],
    )
    lists = {"gainers": ["BBCA"], "losers": ["TLKM"]}
    lists |= {name: ["BBCA", "TLKM"] for name in ("value", "volume", "trades")}
    return Market(
        day=DAY,
        as_of_ns=opens + 2 * MINUTE_NS,
        headline=main,
        indices=[Index("COMPOSITE", opens, 7412.08, 7365.02), Index("LQ45", opens, 812.3, None)],
        up=1,
        down=1,
        untraded=3,
        volume=7e6,
        value=5e10,
        trades=1300,
        usual=1.2,
        rows=rows,
        lists=lists,
        spark_lost=[1],
    )


@dataclass
class Facts:
    """A source of facts that holds what a test gives it."""

    known: dict[str, Instrument] = field(
        default_factory=lambda: {"BBCA": Instrument("BBCA", "Bank Central Asia", 0, 0, 100)}
    )
    shown: Tape = field(default_factory=quiet_day)
    figures: Market = field(default_factory=some_figures)
    others: list[Venue] = field(default_factory=list)

    def venues(self) -> Sequence[Venue]:
        return [IDX, *self.others]

    def instruments(self, venue: str) -> int:
        return len(self.known)

    def instrument(self, venue: str, ticker: str) -> Instrument | None:
        return self.known.get(ticker)

    def first_ticker(self, venue: str) -> str | None:
        return next(iter(self.known), None)

    def tape(self, venue: str) -> Tape:
        return self.shown

    def market(self, venue: str) -> Market:
        return self.figures


@pytest.fixture
def facts() -> Facts:
    return Facts()


@pytest.fixture
def tab(browser: Any, shared: str) -> Iterator[Tab]:
    """A tab on what a module's tests share."""
    tab = Tab(browser, shared)
    yield tab
    tab.context.close()


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Floor]:
    """An empty venue."""
    market = Floor(tmp_path)
    yield market
    market.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The docs as they are served, over a venue with four days."""
    with Site(tmp_path_factory.mktemp("store")) as site:
        some_days(site.market)
        yield site


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
        self.join(60)
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
