"""A list of the data API in the format that was asked for: JSON in its envelope, or rows alone.

What the envelope says besides its rows, the other formats say in headers: the next page as `Link`
and `X-Next-Page`, the beginning of the reader's history as `X-History-From`. What is asked of a
range that is closed may be kept by who asked, and answered with 304 where it is as it was. Does not
make rows of a format (formats.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus

import xxhash
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from bursa.accounts.hd import RAW, View
from bursa.api import access, formats, params, text
from bursa.api.envelope import NO_STORE, Headers, Ready, answer, enveloped
from bursa.api.errors import JSON, routed
from bursa.api.formats import Rows
from bursa.api.params import Param
from bursa.api.services import VenueService
from bursa.history.offload import Offload

_KEPT = (b"cache-control", b"private, no-cache")
# What may stand in the target of a Link as it is.
_SAFE = "/?&=%+:,;@!$'()*~-._"


def documented(table: Sequence[Param]) -> type[Operation]:
    """The operation of a route that reads `table` and gives its rows in every format."""
    ranged = {"from", "to"} <= {param.name for param in table}

    def in_formats(operation: Operation) -> None:
        responses: Any = operation.responses
        for kind in formats.MEDIA_TYPES.values():
            rows = Schema(type=OpenAPIType.STRING)
            responses["200"].content[kind] = OpenAPIMediaType(rows)
        if ranged:
            told = "closed range: it is as the `ETag` in `If-None-Match` has it"
            responses["304"] = OpenAPIResponse(told)

    return params.documented(table, in_formats)


class Page(NamedTuple):
    """The rows of an answer.

    data       JSON of a shape of `rows`
    next_page  token of the page after it
    floor_ns   where the reader's history begins, ns UTC; 0: he has all of it, and nothing is said
    seal       of a closed range: the range, how many rows, and whose view it is; else None
    """

    data: bytes
    next_page: str | None = None
    floor_ns: int = 0
    seal: tuple[object, ...] | None = None


def sealed(
    service: VenueService, values: Mapping[str, Any], rows: int, view: View = RAW, user: str = ""
) -> tuple[object, ...] | None:
    """The seal of a page that `user` sees so; None where the range has not both bounds or is not
    closed. A factor of HD is not in it, but whose it is: a hash of it could be guessed at."""
    if values["from"] is None or values["to"] is None or values.get("open"):
        return None
    bounds = params.ranged(values, service.venue.calendar)
    if bounds[1] is None or bounds[1] > service.closed_until_ns():
        return None
    return (*bounds, rows, view[0], user if view[0] == "scaled" else "")


async def rendered(
    scope: Scope, given: str | None, rows: Rows, page: Page, offload: Offload
) -> ASGIResponse:
    """The answer. given: the query's `format`. Another format than JSON is made on a thread."""
    name = formats.asked(scope, given)
    if name == "json" and page.seal is None:
        return answer(scope, page.data, page.next_page, page.floor_ns)
    cached: Headers = (NO_STORE,)
    if page.seal is not None:
        tag = _tag(page, name)
        cached = ((b"etag", tag), _KEPT, (b"vary", b"accept"))
        if _known(scope, tag):
            access.count_rows(scope, 0)
            return Unchanged(cached)
    if name == "json":
        body = enveloped(scope, page.data, page.next_page, page.floor_ns)
        return Ready.of(body, JSON, cached)
    body = await offload.run(rows.written, page.data, name)
    return Ready.of(body, formats.MEDIA_TYPES[name], (*cached, *_told(scope, page)))


class Unchanged(ASGIResponse):
    """304: what the client keeps is still so."""

    def __init__(self, headers: Headers) -> None:
        self.status_code, self._headers = 304, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": 304, "headers": [*self._headers]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _tag(page: Page, name: str) -> bytes:
    """The entity tag: weak, for `meta` tells how long an answer took, and packing differs."""
    told = repr((page.seal, page.next_page, page.floor_ns, name)).encode()
    return b'W/"' + xxhash.xxh3_128_hexdigest(told + page.data).encode() + b'"'


def _known(scope: Any, tag: bytes) -> bool:
    """Does the client name it, or whatever there is?"""
    given: bytes = scope["state"].get("given", {}).get(b"if-none-match", b"")
    opaque = tag.removeprefix(b"W/")
    names = [one.strip().removeprefix(b"W/") for one in given.split(b",")] if given else []
    return opaque in names or b"*" in names


def _told(scope: Any, page: Page) -> tuple[tuple[bytes, bytes], ...]:
    headers = []
    if page.next_page is not None:
        # With two slashes at its beginning a path would be another host's.
        target = quote(routed(scope["path"]), safe=_SAFE) + "?" + _turned(scope, page.next_page)
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
