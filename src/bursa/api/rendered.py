"""A list of the data API in the format that was asked for: JSON in its envelope, or rows alone.

What the envelope says besides its rows, the other formats say in headers: the next page as `Link`
and `X-Next-Page`, the beginning of the reader's history as `X-History-From`. Does not make rows of
a format (formats.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Schema
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.api import formats, params, text
from bursa.api.envelope import Ready, answer
from bursa.api.formats import Rows
from bursa.api.params import Param
from bursa.history.offload import Offload

# What may stand in the target of a Link as it is.
_SAFE = "/?&=%+:,;@!$'()*~-._"


def documented(table: Sequence[Param]) -> type[Operation]:
    """The operation of a route that reads `table` and gives its rows in every format."""
    base: type[Operation] = params.documented(table)

    @dataclass
    class Documented(base):  # type: ignore[valid-type, misc]
        def __post_init__(self) -> None:
            super().__post_init__()
            for kind in formats.MEDIA_TYPES.values():
                rows = Schema(type=OpenAPIType.STRING)
                self.responses["200"].content[kind] = OpenAPIMediaType(rows)

    return Documented


class Page(NamedTuple):
    """The rows of an answer.

    data       JSON of a shape of `rows`
    next_page  token of the page after it
    floor_ns   where the reader's history begins, ns UTC; 0: he has all of it, and nothing is said
    """

    data: bytes
    next_page: str | None = None
    floor_ns: int = 0


async def rendered(
    scope: Scope, given: str | None, rows: Rows, page: Page, offload: Offload
) -> ASGIResponse:
    """The answer. given: the query's `format`. Another format than JSON is made on a thread."""
    name = formats.asked(scope, given)
    if name == "json":
        return answer(scope, *page)
    body = await offload.run(rows.written, page.data, name)
    return Ready(body, formats.MEDIA_TYPES[name], _told(scope, page))


def _told(scope: Any, page: Page) -> tuple[tuple[bytes, bytes], ...]:
    headers = []
    if page.next_page is not None:
        target = quote(scope["path"], safe=_SAFE) + "?" + _turned(scope, page.next_page)
        headers = [
            (b"link", f'<{target}>; rel="next"'.encode()),
            (b"x-next-page", page.next_page.encode()),
        ]
    if page.floor_ns:
        headers.append((b"x-history-from", text.instant(page.floor_ns).encode()))
    return tuple(headers)


def _turned(scope: Any, token: str) -> str:
    """The query with another page's token."""
    query: str = scope["query_string"].decode("latin-1")
    parts = [p for p in query.split("&") if p and unquote_plus(p.partition("=")[0]) != "page"]
    return quote("&".join([*parts, f"page={token}"]), safe=_SAFE)
