"""All that `bursa up` serves, in one process: surfaces, accounts, pages, docs, over two days of a
small market; nobody is limited by his address, or tries too often."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar

from bursa import cli
from bursa.accounts import throttle
from bursa.api import asyncapi
from bursa.api.app import Extra, build_api
from bursa.api.auth import exchange, plugin
from bursa.api.front import Front
from bursa.api.services import GateDesk, Services
from bursa.api.stream.hub import Hub, StreamLimits
from bursa.model.venue import BINANCE, IDX
from bursa.pipeline.control import GATES
from bursa.verbs.told import told
from bursa.web.docs.pages import Docs
from bursa.web.pages import Pages
from bursa.web.reader import asked_of
from bursa.web.source import LiveSource, View
from tests.accounts.house import House, Site, accounts
from tests.api.floor import DAYS, EPOCH, Served, listening
from tests.api.readers import Shelf
from tests.servers.smtp import MailServer

OFTEN = 1_000_000


class Whole(House):
    """A house with whatever a route may ask for: closed days as files, gates of HD."""

    def __init__(self, folder: Path, post: MailServer | None = None) -> None:
        super().__init__(folder, lambda clock, told: accounts(folder, clock, told, post, "memory"))
        self.front = Front(rate_per_minute=OFTEN)
        self.bulk = Shelf(folder)
        now_ns = self.clock.ns
        for day in DAYS[1:]:
            self.day(day, minutes=20)
            self.heartbeat(IDX.calendar.day_end_ns(day))
        self.commit()
        self.clock.ns = max(now_ns, self.clock.ns)

    def services(self) -> Services:
        gates = GateDesk(IDX, lambda: [], self._order)
        return replace(super().services(), gates={"idx": gates})

    def _order(self, wanted: Mapping[str, int], from_ns: int, keep: Any) -> bool:
        return keep(GATES, IDX.name, lambda: ({}, dict(wanted))) is not None

    def pages(self, services: Services) -> tuple[Pages, Docs]:
        """The pages over what is served, as a start makes them."""
        service = services.default
        view = View(
            IDX,
            self.facts,
            service.now_ns,
            lambda: self.channels,
            lambda: None,
            lambda ticker, name: name,
            service.day,
        )
        pages = Pages(LiveSource({"idx": view}, self.clock), accounts=asked_of(self.accounts))
        docs = replace(
            told(cli.app),
            streams=asyncapi.document("test"),
            telemetry=services.telemetry,
            venues=[IDX, BINANCE],
        )
        return pages, Docs(pages, docs)

    def build(self, extra: Sequence[Any] = ()) -> tuple[Any, Services, Hub]:
        """The application, with routes beside its own; what it stands on."""
        services = self.services()
        hub = Hub(services, StreamLimits(throttle_ms=0), EPOCH)
        pages, docs = self.pages(services)
        routes = [*pages.routes(), *docs.routes(), *extra]
        return build_api(services, hub, Extra(routes, pages.error)), services, hub


def router(app: Any) -> Litestar:
    """The router within the layers of an application."""
    while not isinstance(app, Litestar):
        app = app._app
    return app


@contextlib.contextmanager
def open_whole(folder: Path, extra: Sequence[Any] = ()) -> Iterator[tuple[Site, Litestar]]:
    """The whole application, served, until the block ends; and its router."""
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        often = throttle.Tries(OFTEN, OFTEN, OFTEN)
        for name in ("TRIES", "LETTERS_SENT"):
            patch.setattr(throttle, name, dict.fromkeys(getattr(throttle, name), often))
        for module in (exchange, plugin):
            patch.setattr(module, "EXCHANGES", OFTEN)
            patch.setattr(module, "RENEWALS", OFTEN)
        patch.setattr(plugin, "REPORTS", OFTEN)
        post = stack.enter_context(MailServer())
        house = Whole(folder, post)
        stack.callback(house.close)
        stack.callback(house.accounts.database.close)
        house.accounts.start()
        stack.callback(house.accounts.stop)
        app, services, hub = house.build(extra)
        port = stack.enter_context(listening(app))
        house.hub = hub
        yield Site(Served(house, hub, services, port), house, post), router(app)
        house.hub = None
