"""The envelope around every good answer of the data API, and what routes ask of a request.

`{"ok": true, "data": ..., "meta": {"latency_us", "next_page"}}`; refusals are errors.py's.
"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.api import shapes
from bursa.api.errors import JSON
from bursa.api.services import Services, VenueService
from bursa.model.errors import Refuse

_NO_STORE = [("cache-control", "no-store")]

encode = msgspec.json.Encoder().encode


def answer(scope: Scope, data: bytes, next_page: str | None = None) -> ASGIResponse:
    """`data` is JSON already; the latency is counted from the guard on."""
    began_ns: int = scope["state"]["began_ns"]
    latency_us = (time.perf_counter_ns() - began_ns) // 1_000
    page = "null" if next_page is None else f'"{next_page}"'
    tail = f',"meta":{{"latency_us":{latency_us},"next_page":{page}}}}}'.encode()
    return ASGIResponse(
        body=b"".join((b'{"ok":true,"data":', data, tail)), media_type=JSON, headers=_NO_STORE
    )


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
        404: "unknown ticker or venue",
        410: "the cursor is not retained any more",
        503: "something it needs is away; try again",
    }
    found = {200: ResponseSpec(good, generate_examples=False, description="the answer")}
    for status in statuses:
        found[status] = ResponseSpec(
            shapes.Error, generate_examples=False, description=texts[status]
        )
    return found


def services_of(scope: Scope) -> Services:
    """The services the application was built over."""
    services: Services = scope["litestar_app"].state["services"]
    return services
