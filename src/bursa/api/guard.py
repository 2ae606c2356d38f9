"""The outermost layer: who may speak to the application, and what every answer bears.

Until there are accounts bursa serves this machine alone. It listens on loopback, and answers only
to a Host that names loopback, so that a page of another origin cannot reach it through a name that
resolves here; WebSockets open for its own origin, the viewer's also for those listed (cors.py). A
crash past every other layer becomes an answer here, in the form of its path.
"""

import ipaddress
import itertools
import re
import time
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from bursa.accounts.who import DEMO
from bursa.api.errors import Failure, is_udf, note, send_failure
from bursa.api.viewer.cors import is_own
from bursa.api.viewer.door import Door, is_viewer
from bursa.model.errors import Refuse
from bursa.ops.spread import Spread
from bursa.ops.telemetry import Telemetry

_HOST = re.compile(rb"^(127\.0\.0\.1|localhost|\[::1\]|::1)(:\d{1,5})?$", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._\-]{1,64}$")

# Borne by every answer that does not set its own; pages set a wider policy (web/).
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_SECURITY_NAMES = frozenset(name for name, _ in SECURITY_HEADERS)


def loopback_only(host: str) -> str:
    """The address, if it is loopback's. Refuse `not_loopback` otherwise."""
    try:
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    message = f"http.host={host!r}: without accounts bursa serves this machine alone (127.0.0.1)"
    raise Refuse(message, "not_loopback", parameter="http.host")


class Guard:
    """The application around the application. `boot` makes request ids differ between starts;
    `door` is the application for the viewer's paths."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, boot: str, door: Door) -> None:
        self._app, self._telemetry = app, telemetry
        self._door = door
        self._numbers = itertools.count(1)
        self._boot = boot
        self._counters: dict[tuple[str, int], Any] = {}
        self._spreads: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection through, or answer it."""
        kind: str = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Any, receive: Receive, send: Send) -> None:
        began_ns = time.perf_counter_ns()
        state = scope.setdefault("state", {})
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server knows what was asked, and sends no body
            state["head"] = True
        host, given = _headers(scope, b"host", b"x-request-id")
        request_id = self._id(given)
        state["request_id"], state["began_ns"] = request_id, began_ns
        state["who"], state["address"] = DEMO, scope["client"][0] if scope.get("client") else ""
        status = 0

        async def bearing(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers: Any = message["headers"]
                own = {name.lower() for name, _ in headers}
                wanted = SECURITY_HEADERS
                if not own.isdisjoint(_SECURITY_NAMES):
                    wanted = tuple(pair for pair in wanted if pair[0] not in own)
                request = (b"x-request-id", request_id.encode())
                message["headers"] = [*headers, request, *wanted]
            await send(message)

        try:
            if _HOST.match(host) is None:
                await send_failure(bearing, scope, _misdirected(scope))
            else:
                app = self._door if is_viewer(scope["path"]) else self._app
                await app(scope, receive, bearing)
        except Exception as error:  # noqa: BLE001 -- the last layer: logged there, then answered
            failure = note(scope, error)
            if not status:
                await send_failure(bearing, scope, failure)
        finally:
            self._count(scope, status, began_ns)

    async def _websocket(self, scope: Any, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        state["request_id"], state["who"] = self._id(b""), DEMO
        state["address"] = scope["client"][0] if scope.get("client") else ""
        host, origin = _headers(scope, b"host", b"origin")
        if _HOST.match(host) is None:
            failure = _misdirected(scope)
        elif is_udf(scope["path"]):
            failure = Failure(404, "not_found", "there is no WebSocket here; /v1/stream is one")
        elif is_viewer(scope["path"]):
            # It knows the origins that may open it.
            await self._door(scope, receive, _naming(scope, send))
            return
        elif origin and not is_own(origin, host):
            failure = Failure(403, "foreign_origin", "the stream opens for its own pages only")
        else:
            await self._app(scope, receive, _naming(scope, send))
            return
        scope["state"]["failure"] = failure.code
        self._telemetry.refused.labels(failure.code).inc()
        await receive()
        await send_failure(send, scope, failure, "websocket.http.response")

    def _id(self, given: bytes) -> str:
        if given and _REQUEST_ID.match(given):
            return given.decode()
        return f"{self._boot}-{next(self._numbers):x}"

    def _count(self, scope: Any, status: int, began_ns: int) -> None:
        route = scope.get("path_template") or "other"
        counter = self._counters.get((route, status))
        if counter is None:
            counter = self._telemetry.http_requests.labels(route, str(status))
            self._counters[route, status] = counter
            self._spreads[route] = self._telemetry.http_seconds.labels(route)
            self._telemetry.routes.setdefault(route, Spread())
        counter.inc()
        # An answer that goes on for hours was given when it began.
        took_ns = (scope["state"].get("answered_ns") or time.perf_counter_ns()) - began_ns
        self._spreads[route].observe(took_ns / 1e9)
        self._telemetry.routes[route].add(took_ns)
        if code := scope["state"].get("failure"):
            self._telemetry.refused.labels(code).inc()


def _headers(scope: Any, *names: bytes) -> list[bytes]:
    """The values of some headers, b"" where there is none; of a repeated one, all with commas
    between, which no Host and no id matches."""
    found = dict.fromkeys(names, b"")
    for name, value in scope["headers"]:
        if name in found:
            found[name] = found[name] + b"," + value if found[name] else value
    return list(found.values())


def _naming(scope: Any, send: Send) -> Send:
    """`send` of a handshake: the router closes what it has no WebSocket for without a word."""
    accepted = False

    async def naming(message: Any) -> None:
        nonlocal accepted
        accepted = accepted or message["type"] != "websocket.close"
        if accepted:
            await send(message)
            return
        failure = Failure(404, "not_found", "there is no WebSocket here; /v1/stream is one")
        await send_failure(send, scope, failure, "websocket.http.response")

    return naming


def _misdirected(scope: Any) -> Failure:
    scope["state"]["failure"] = "bad_host"
    message = "bursa answers only to 127.0.0.1, localhost and ::1"
    return Failure(421, "bad_host", message)
