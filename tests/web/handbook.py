"""The docs as a reader gets them: a small market behind a real server, and pages taken apart."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from litestar import Litestar
from litestar.handlers import BaseRouteHandler

from bursa import cli
from bursa.api import asyncapi
from bursa.api.app import Extra, build_api, server
from bursa.api.front import Front
from bursa.model.venue import BINANCE, IDX
from bursa.verbs.told import told
from bursa.web.docs.made import Told
from bursa.web.docs.pages import Docs
from bursa.web.pages import Pages
from bursa.web.reader import asked_of
from tests.accounts.house import accounts
from tests.web.market import Market

HEADINGS = ("h1", "h2", "h3", "h4")


@dataclass
class Answer:
    """What a server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Site:
    """A running server with the docs, its store in `folder`; `extra` are routes beside its own."""

    def __init__(
        self, folder: Path, say: Told | None = None, extra: Sequence[BaseRouteHandler] = ()
    ) -> None:
        self.market = Market(folder)
        services = self.market.services
        # With accounts, and so with their routes; who shows nothing reads the docs all the same.
        self.accounts = accounts(folder, services.clock, services.telemetry, None, "memory")
        services = replace(
            services,
            public=frozenset({"idx"}),
            accounts=self.accounts,
            front=Front(demo=True),
        )
        base = told(cli.app) if say is None else say
        self.told = replace(
            base,
            streams=base.streams or asyncapi.document("test"),
            telemetry=services.telemetry,
            venues=[IDX, BINANCE],
        )
        pages = Pages(self.market, accounts=asked_of(self.accounts))
        routes = [*pages.routes(), *Docs(pages, self.told).routes(), *extra]
        served: Any = build_api(services, self.market.hub, Extra(routes, pages.error))
        self._server = server(served, "127.0.0.1", 0, services.telemetry)
        while not isinstance(served, Litestar):
            served = served._app
        self.app: Litestar = served
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self.url = ""
        self._pages: dict[str, Reading] = {}

    def __enter__(self) -> "Site":
        self._thread.start()
        until = time.monotonic() + 90
        while not self._server.started:
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        return self

    def stop(self) -> None:
        """Let the server end; clients are told."""
        self._server.should_exit = True

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(60)
        self.market.close()
        self.accounts.database.close()

    def get(self, path: str, **headers: str) -> Answer:
        request = Request(self.url + path, headers=headers)
        try:
            with urlopen(request, timeout=90) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def page(self, name: str) -> "Reading":
        """A page of the docs, taken apart."""
        if name not in self._pages:
            answer = self.get("/docs" if name == "index" else f"/docs/{name}")
            assert answer.status == 200, name
            self._pages[name] = read(answer.text)
        return self._pages[name]

    def names(self) -> list[str]:
        """The pages that the tree lists."""
        links = [href for href in self.page("index").tree if "#" not in href]
        return ["index" if href == "/docs" else href.removeprefix("/docs/") for href in links]


@dataclass
class Table:
    """A table: heads, and rows as head -> text."""

    heads: list[str] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)

    def row(self, name: str) -> dict[str, str] | None:
        """The row whose first cell is that name."""
        first = self.heads[0]
        return next((row for row in self.rows if row[first] == name), None)


@dataclass
class Section:
    """A heading with what stands under it up to the next one of any level."""

    level: int
    title: str
    text: str = ""
    tables: list[Table] = field(default_factory=list)
    code: list[str] = field(default_factory=list)


@dataclass
class Reading:
    """A page: its sections in order, anchors, links of the text and of the tree."""

    sections: list[Section] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    tree: list[str] = field(default_factory=list)

    def section(self, title: str) -> Section | None:
        return next((one for one in self.sections if one.title == title), None)

    def under(self, title: str) -> list[Section]:
        """A section and those below it."""
        found: list[Section] = []
        for one in self.sections:
            if found and one.level <= found[0].level:
                break
            if found or one.title == title:
                found.append(one)
        return found

    @property
    def tables(self) -> list[Table]:
        return [table for section in self.sections for table in section.tables]


def read(html: str) -> Reading:
    """Take a page apart."""
    reader = _Reader()
    reader.feed(html)
    return reader.reading


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.reading = Reading()
        self._inside: list[str] = []
        self._article = self._tree = False
        self._cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        words = (given.get("class") or "").split()
        if given.get("id"):
            self.reading.anchors.add(str(given["id"]))
        if tag == "article":
            self._article = True
        if "d-tree" in words:
            self._tree = True
        if tag == "a" and given.get("href"):
            (self.reading.tree if self._tree else self.reading.links).append(str(given["href"]))
        if self._article:
            self._begin(tag)
            if tag not in ("img", "br", "hr", "input", "use", "path"):
                self._inside.append("anchor" if "d-anchor" in words else tag)

    def _begin(self, tag: str) -> None:
        if tag in HEADINGS:
            self.reading.sections.append(Section(int(tag[1]), ""))
        elif tag == "table":
            self._section.tables.append(Table())
        elif tag == "tr":
            self._cells = []
        elif tag in ("td", "th"):
            self._cells.append("")
        elif tag == "pre":
            self._section.code.append("")

    @property
    def _section(self) -> Section:
        if not self.reading.sections:
            self.reading.sections.append(Section(0, ""))
        return self.reading.sections[-1]

    def handle_endtag(self, tag: str) -> None:
        if tag == "nav":
            self._tree = False
        if tag == "article":
            self._article = False
        if not self._article or not self._inside:
            return
        self._inside.pop()
        if tag == "tr":
            table = self._section.tables[-1]
            if not table.heads:
                table.heads = self._cells
            else:
                table.rows.append(dict(zip(table.heads, self._cells, strict=True)))

    def handle_data(self, data: str) -> None:
        if not self._article or "anchor" in self._inside:
            return
        if any(tag in HEADINGS for tag in self._inside):
            self._section.title += data
        elif "td" in self._inside or "th" in self._inside:
            self._cells[-1] += data
        elif "pre" in self._inside:
            self._section.code[-1] += data
        elif any(tag in ("p", "li") for tag in self._inside):
            self._section.text += data
