"""The routes of the docs: `/docs`, its pages and search, and `/llms.txt`.

A page is rendered once; only the address in its examples is the reader's own. Search works without
scripts (`/docs?q=`); `/docs/index.json` is what the script searches in. Everything that takes a
while runs on a thread. Does not know what the pages say (book.py).
"""

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from markupsafe import Markup, escape

from bursa.web.docs import api as docs_api
from bursa.web.docs import book as docs_book
from bursa.web.docs.book import Book, Page
from bursa.web.docs.made import Told
from bursa.web.docs.search import QUERY_CHARS_MAX, find
from bursa.web.docs.text import HOME, address

_HOST = re.compile(r"^[A-Za-z0-9.\-\[\]:]{1,255}$")
_PICTURES = {".png": "image/png", ".svg": "image/svg+xml"}
_MARKDOWN, _PLAIN = "text/markdown; charset=utf-8", "text/plain; charset=utf-8"
_NEAR_MAX = 8

PageRequest = Request[Any, Any, Any]


class Shell(Protocol):
    """Who puts a template into the look of all pages (pages.Pages)."""

    def render(
        self, template: str, request: PageRequest, status: int, context: Mapping[str, Any]
    ) -> Response[bytes]:
        """The page, in the reader's display settings and under the strict policy."""

    def modules(self, entry: str) -> list[str]:
        """Addresses of the scripts of a page."""


class Docs:
    """The docs of one running program. `told` is what the parts above say of themselves."""

    def __init__(self, shell: Shell, told: Told, files: Path | None = None) -> None:
        self._shell, self._told = shell, told
        self._files = docs_book.folder() if files is None else files
        self._lock = threading.Lock()
        self._book: Book | None = None
        self._index = b""

    def routes(self) -> list[HTTPRouteHandler]:
        """`/docs`, `/docs/index.json`, `/docs/{name}` and `/llms.txt`."""

        @get("/docs", include_in_schema=False, sync_to_thread=True)
        def home(request: PageRequest) -> Response[bytes]:
            """The first page; with `q` what is found."""
            query = request.query_params.get("q")
            if query is None:
                return self._page(request, HOME)
            return self._found(request, query[:QUERY_CHARS_MAX])

        @get("/docs/index.json", include_in_schema=False, sync_to_thread=True)
        def index(request: PageRequest) -> Response[bytes]:
            """Everything that search can find."""
            self._opened(request)
            headers = {"Cache-Control": "private, no-cache"}
            return Response(self._index, media_type="application/json", headers=headers)

        @get("/docs/{name:path}", include_in_schema=False, sync_to_thread=True)
        def page(request: PageRequest) -> Response[bytes]:
            """A page; as Markdown where its name ends in `.md`; a picture."""
            return self._named(request, str(request.path_params["name"]).strip("/"))

        @get("/llms.txt", include_in_schema=False, sync_to_thread=True)
        def llms(request: PageRequest) -> Response[bytes]:
            """The docs' contents for language models."""
            return _text(self._llms(request), _PLAIN)

        return [home, index, page, llms]

    def _opened(self, request: PageRequest) -> Book:
        """The book, made by whoever asks first."""
        with self._lock:
            if self._book is None:
                openapi = request.app.openapi_schema.to_schema()
                book = Book(self._told, openapi, self._files)
                self._index = _index_of(book)
                self._book = book
            return self._book

    def _named(self, request: PageRequest, name: str) -> Response[bytes]:
        stem, _, suffix = name.rpartition(".")
        if f".{suffix}" in _PICTURES and stem.replace("-", "").isalnum():
            file = self._files / name
            if file.is_file():
                media_type = _PICTURES[f".{suffix}"]
                return Response(file.read_bytes(), media_type=media_type)
        if suffix == "md" and stem in self._opened(request).pages:
            source = self._opened(request).pages[stem].markdown
            return _text(source.replace(docs_api.HOST, _host(request)), _MARKDOWN)
        return self._page(request, name)

    def _page(self, request: PageRequest, name: str) -> Response[bytes]:
        book = self._opened(request)
        page = book.pages.get(name)
        if page is None:
            return self._missing(request, book, name)
        html = page.text.html.replace(docs_api.HOST, str(escape(_host(request))))
        # Made from our own files and schemas by a renderer that escapes (text.py).
        return self._shown(request, book, page, {"html": Markup(html)})

    def _missing(self, request: PageRequest, book: Book, name: str) -> Response[bytes]:
        query = " ".join(re.findall(r"[A-Za-z0-9_.]+", name))[:QUERY_CHARS_MAX]
        near = [hit for word in query.split() for hit in find(book.entries, word, _NEAR_MAX)]
        facts = {"state": "missing", "asked": name[:200], "query": query, "hits": near[:_NEAR_MAX]}
        return self._shown(request, book, None, facts, 404)

    def _found(self, request: PageRequest, query: str) -> Response[bytes]:
        book = self._opened(request)
        facts = {"state": "found", "query": query, "hits": find(book.entries, query)}
        return self._shown(request, book, None, facts)

    def _shown(
        self,
        request: PageRequest,
        book: Book,
        page: Page | None,
        facts: Mapping[str, Any],
        status: int = 200,
    ) -> Response[bytes]:
        names = list(book.pages)
        at = names.index(page.name) if page else -1
        context = {
            "page": "docs",
            "doc": page,
            "state": "page",
            "query": "",
            "hits": [],
            "asked": "",
            "html": "",
            "contents": book.contents,
            "address": address,
            "before": book.pages[names[at - 1]] if at > 0 else None,
            "after": book.pages[names[at + 1]] if 0 <= at < len(names) - 1 else None,
            "modules": self._shell.modules("js/docs.js"),
            **facts,
        }
        return self._shell.render("docs.html", request, status, context)

    def _llms(self, request: PageRequest) -> str:
        book, base = self._opened(request), f"http://{_host(request)}"
        lines = ["# bursa", ""]
        if home := book.pages.get(HOME):
            lines += [f"> {home.text.lead}", ""]
        lines += [
            "Each page is Markdown at the address given; without `.md` it is for people.",
            f"Routes as OpenAPI: {base}/schema. Streams as AsyncAPI: {base}/asyncapi.json.",
        ]
        for group, pages in book.contents:
            lines += ["", f"## {group}", ""]
            for page in pages:
                about = f": {_sentence(page.text.lead)}" if page.text.lead else ""
                lines.append(f"- [{page.text.title}]({base}/docs/{page.name}.md){about}")
        return "\n".join(lines) + "\n"


def _index_of(book: Book) -> bytes:
    rows = [
        {
            "at": address(entry.page, entry.anchor),
            "title": entry.title,
            "trail": entry.trail,
            "text": " ".join(entry.text.split()),
            "row": entry.row,
        }
        for entry in book.entries
    ]
    return msgspec.json.encode(rows)


def _host(request: PageRequest) -> str:
    """The address that the reader came by."""
    host = request.headers.get("host", "")
    return host if _HOST.match(host) else docs_api.HOST


def _sentence(text: str) -> str:
    """The first sentence."""
    return re.split(r"(?<=[.:;]) ", text, maxsplit=1)[0].rstrip(":;")


def _text(text: str, media_type: str) -> Response[bytes]:
    headers = {"Cache-Control": "private, no-cache", "Vary": "Host"}
    return Response(text.encode(), media_type=media_type, headers=headers)
