"""The envelope around every good answer of the data API, and what routes ask of a request.

`{"ok": true, "data": ..., "meta": {"latency_us", "next_page"}}`; refusals are errors.py's.
"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from bursa.api import packed, shapes, text
from bursa.api.errors import JSON
from bursa.api.http import whole
from bursa.api.services import VenueService
from bursa.model.errors import Refuse

NO_STORE = (b"cache-control", b"no-store")
# Of bodies that are long enough to be packed.
_VARIES = (b"vary", b"accept-encoding")
_HEADERS = ((b"content-type", JSON.encode()), NO_STORE)
Headers = tuple[tuple[bytes, bytes], ...]
# What stands before the data of every good answer.
HEAD = b'{"ok":true,"data":'
_NONE: dict[bytes, bytes] = {}

_TEXTS = (JSON, "text/")

# What any route of somebody's may answer: to nobody, beyond his rights, too often, or while what it
# needs is away.
LIMITED = (401, 403, 429, 503)

encode = msgspec.json.Encoder().encode


class Ready(ASGIResponse):
    """A good answer whose body is made already: a fifth of the time that the general one takes.
    Texts are packed where they are long and the client takes it (packed.py)."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.status_code = 200
        self._headers: Headers = _HEADERS
        self._packs = True

    @classmethod
    def of(cls, body: bytes, kind: str, more: Headers) -> "Ready":
        """Of another type, or with headers of its own; `more` says how it is cached."""
        made = cls(body)
        made._packs = kind.startswith(_TEXTS)
        made._headers = ((b"content-type", kind.encode()), *more)
        return made

    @classmethod
    def begun(cls, start: packed.Begun, end: bytes) -> "Ready":
        """JSON whose beginning is packed already, by a coding that the client takes (`coding`)."""
        made = cls(start.start, start.ended(end))
        made._packs = False
        made._headers = (*_HEADERS, _VARIES, (b"content-encoding", start.coding))
        return made

    @property
    def body(self) -> bytes:  # type: ignore[override]  # it is joined when somebody wants to see it
        """All of it."""
        return b"".join(self.pieces)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        pieces: Sequence[bytes] = self.pieces
        headers, size = list(self._headers), sum(map(len, pieces))
        if self._packs and size >= packed.LEAST_BYTES:
            headers.append(_VARIES)
            if (chosen := coding(scope)) is not None:
                pieces = (await packed.packed(b"".join(pieces), chosen),)
                headers.append((b"content-encoding", chosen))
                size = len(pieces[0])
        headers.append((b"content-length", b"%d" % size))
        start: Any = {"type": "http.response.start", "status": 200, "headers": headers}
        await send(start)
        body: Any = whole(scope, pieces)
        await send(body)


def coding(scope: Any) -> bytes | None:
    """The coding that whoever asks likes best of a long body; None for none."""
    accepted = scope["state"].get("given", _NONE).get(b"accept-encoding")
    return None if accepted is None else packed.chosen(accepted)


def answer(
    scope: Scope, data: bytes, next_page: str | None = None, floor_ns: int = 0
) -> ASGIResponse:
    """`data` is JSON already; the latency is counted from the guard on. floor_ns: where the
    reader's history begins, ns UTC; 0: he has all of it, and nothing is said."""
    return Ready(HEAD, data, tail(scope, ending(next_page, floor_ns)))


def enveloped(scope: Scope, data: bytes, next_page: str | None, floor_ns: int = 0) -> bytes:
    """The body of `answer`."""
    return b"".join((HEAD, data, tail(scope, ending(next_page, floor_ns))))


def ending(next_page: str | None, floor_ns: int = 0) -> bytes:
    """What `tail` ends with, the same whoever asks for the same when."""
    page = "null" if next_page is None else f'"{next_page}"'
    begins = f',"history_from":"{text.instant(floor_ns)}"' if floor_ns else ""
    return f',"next_page":{page}{begins}}}}}'.encode()


def tail(scope: Any, ending: bytes) -> bytes:
    """What stands behind the data of an answer that is sent now."""
    latency_us = (time.perf_counter_ns() - scope["state"]["began_ns"]) // 1_000
    return b',"meta":{"latency_us":%d%b' % (latency_us, ending)


def told(
    scope: Scope,
    data: object,
    status: int = 200,
    headers: Sequence[tuple[str, str]] = (),
    next_page: str | None = None,
) -> ASGIResponse:
    """A good answer that is not made for speed: any status, with headers of its own."""
    body = enveloped(scope, encode(data), next_page)
    every = [("cache-control", "no-store"), *headers]
    return ASGIResponse(body=body, status_code=status, media_type=JSON, headers=every)


def joined(rows: Sequence[bytes]) -> bytes:
    """Rows that are JSON already, as an array."""
    return b"".join((b"[", b",".join(rows), b"]"))


def known_ticker(service: VenueService, ticker: str) -> str:
    """The ticker, if the venue has it. Refuse `bad_ticker` or `unknown_ticker`."""
    if service.directory.knows(ticker):
        return ticker
    if not service.is_ticker(ticker):
        message = f"ticker={ticker[:64]!r} is malformed for {service.venue.name}"
        raise Refuse(message, "bad_ticker", 400, "ticker")
    message = f"{service.venue.name} has no ticker {ticker!r}"
    raise Refuse(message, "unknown_ticker", 404, "ticker")


def responses(good: type[Any], *statuses: int) -> dict[int, ResponseSpec]:
    """What OpenAPI says of a route's answers."""
    texts = {
        400: "a parameter is malformed or unknown; `meta.parameter` names it",
        404: "unknown ticker, symbol, index or venue",
        401: "nobody, or somebody whose credentials are not good; `code` says which",
        403: "not for this address or origin, or not within his rights; `code` says which",
        409: "it contradicts what is there already; `code` says how",
        410: "the cursor is not retained any more",
        413: "the body is too long",
        415: "the body is of another type than those that are read",
        429: "too many requests a minute; `Retry-After` says how many seconds to wait",
        503: "something it needs is away; try again",
    }
    found = {200: ResponseSpec(good, generate_examples=False, description="the answer")}
    for status in statuses:
        found[status] = ResponseSpec(
            shapes.Error, generate_examples=False, description=texts[status]
        )
    return found
