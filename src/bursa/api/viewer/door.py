"""The viewer API's door: counts a request, refuses it, or lets it through and marks its answer.

Stands around the application for the viewer's paths only (guard.py chooses), so that refusals, the
router's own answers and good ones all bear the rate's headers, and CORS where the path is open.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

from bursa.api.address import is_own
from bursa.api.errors import Failure, routed, send_failure
from bursa.api.viewer.cors import PREFLIGHT, Header, Origins, is_open
from bursa.api.viewer.rates import Rates
from bursa.ops.telemetry import Telemetry

_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


def is_viewer(path: str) -> bool:
    """Is a path the viewer API's?"""
    return is_open(path) or routed(path) == "/stats"


class Door:
    """The application for the viewer's paths."""

    def __init__(self, app: ASGIApp, origins: Origins, rates: Rates, telemetry: Telemetry) -> None:
        self._app, self._origins = app, origins
        self._rates, self._telemetry = rates, telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        asked = {name: value for name, value in scope["headers"] if name in _ASKED}
        client = scope.get("client")
        taken = self._rates.take(client[0] if client else "")
        origin = asked.get(b"origin", b"")
        open_ = is_open(scope["path"])
        marks = [*taken.headers, *(self._origins.headers(origin) if open_ else ())]

        async def marking(message: Any) -> None:
            if message["type"] in _STARTS:
                message["headers"] = [*message.get("headers", ()), *marks]
            await send(message)

        preflight = open_ and origin and _METHOD in asked and scope.get("method") == "OPTIONS"
        if not taken.allowed:
            limit = self._rates.per_minute
            text = f"more than {limit} requests a minute; wait {taken.wait_s} s"
            await self._refuse(scope, receive, marking, Failure(429, "too_many_requests", text))
        elif (preflight or _is_foreign(scope, asked)) and not self._origins.allow(origin):
            text = "that origin is not listed (viewer.origins)"
            await self._refuse(scope, receive, marking, Failure(403, "foreign_origin", text))
        elif preflight:
            await _nothing(marking, PREFLIGHT)
        else:
            await self._app(scope, receive, marking)

    async def _refuse(self, scope: Any, receive: Receive, send: Send, failure: Failure) -> None:
        if scope["type"] == "http":
            scope["state"]["failure"] = failure.code
            await send_failure(send, scope, failure)
        else:
            self._telemetry.refused.labels(failure.code).inc()
            await receive()
            await send_failure(send, scope, failure, "websocket.http.response")


_METHOD = b"access-control-request-method"
_ASKED = frozenset({b"host", b"origin", _METHOD})


def _is_foreign(scope: Any, asked: Mapping[bytes, bytes]) -> bool:
    """Does another site's page open a WebSocket? No browser asks before it does that."""
    origin = asked.get(b"origin", b"")
    return scope["type"] == "websocket" and bool(origin) and not is_own(origin, asked[b"host"])


async def _nothing(send: Any, headers: Sequence[Header]) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": list(headers)})
    await send({"type": "http.response.body", "body": b""})
