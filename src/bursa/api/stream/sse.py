"""The stream as server-sent events: `GET /v1/live`, the frames of `/v1/stream` over plain HTTP.

One request is one order; its first event acknowledges it. An event's `id` is its frame's cursor, so
a browser that reconnects says by itself where it was (`Last-Event-ID`), and gets what it missed.
Slow clients are dealt with as everywhere on the hub; one that is closed is told so by a `closed`
event. A stop of the server ends these answers at once. Knows no frame but its cursor.
"""

import asyncio
import socket as sockets
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from bursa.api import envelope, params
from bursa.api.http import AnswerProtocol
from bursa.api.services import Services
from bursa.api.stream.admitted import Admitted, holder
from bursa.api.stream.frames import payload
from bursa.api.stream.hub import Hub
from bursa.api.stream.orders import THROTTLE_MS_MAX, Ask, Missed, Orders
from bursa.api.stream.outbox import Client
from bursa.api.stream.subscriptions import BARS, CHANNELS
from bursa.api.stream.ws import LET_GO_S
from bursa.model.errors import Refuse
from bursa.ops.logs import logger

RETRY_MS = 2_000
COMMENT_S = 15.0
# What the kernel and the transport hold for one client, and what waits for them here; past it the
# client's outbox fills.
SOCKET_BYTES, TRANSPORT_BYTES, PENDING_BYTES = 1 << 18, 1 << 16, 1 << 16
_KEPT_BYTES = 1_024
_TRANSPORT, _STOPPING = "transport", "stopping"

_log = logger("stream")


class EventsProtocol(AnswerProtocol):
    """The server's HTTP protocol, which lets an answer that does not end know of the stop."""

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["state"][_TRANSPORT] = self.transport

    def shutdown(self) -> None:
        """The server stops."""
        super().shutdown()
        if self.cycle is not None and not self.cycle.response_complete:
            stopping = self.cycle.scope["state"].get(_STOPPING)
            if stopping is not None:
                stopping()


class EventWire:
    """outbox.Wire over one answer: gathers events, gives them to the server as it takes them."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.blocked = False
        self.on_writable: Callable[[], None] = lambda: None
        self._transport = transport
        transport.set_write_buffer_limits(high=TRANSPORT_BYTES)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SOCKET_BYTES)
        self._parts: list[bytes] = []
        self._pending = 0
        self._ending = False
        self._woken = asyncio.Event()

    def write(self, data: bytes) -> None:
        """Gather events; after the closing there are none."""
        if self._ending:
            return
        self._parts.append(data)
        self._pending += len(data)
        self.blocked = self._pending >= PENDING_BYTES
        self._woken.set()

    def close(self, code: int, reason: str) -> None:
        """End the answer with a `closed` event; a client that does not take it is let go."""
        told = msgspec.json.encode({"type": "closed", "code": code, "reason": reason})
        self.write(b"data: " + told + b"\n\n")
        self.drop()
        asyncio.get_running_loop().call_later(LET_GO_S, self._transport.abort)

    def drop(self) -> None:
        """End the answer behind what is gathered."""
        self._ending = True
        self._woken.set()

    async def run(self, send: Send) -> None:
        """Write until the end."""
        beat = asyncio.get_running_loop().call_later(COMMENT_S, self._beat)
        self._beating = beat
        try:
            while not (self._ending and not self._parts):
                await self._woken.wait()
                self._woken.clear()
                data, self._parts = b"".join(self._parts), []
                await send({"type": "http.response.body", "body": data, "more_body": True})
                self._pending -= len(data)
                if self.blocked and self._pending < PENDING_BYTES:
                    self.blocked = False
                    self.on_writable()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            self._pending = 0
        finally:
            self._ending = True
            self._beating.cancel()

    def _beat(self) -> None:
        """A comment, so that whoever stands between knows that the connection lives."""
        if not self.blocked:
            self.write(b": still here\n\n")
        self._beating = asyncio.get_running_loop().call_later(COMMENT_S, self._beat)


class _Cursor(msgspec.Struct):
    cursor: str | None = None


_cursor_of = msgspec.json.Decoder(_Cursor).decode


def event(frame: bytes) -> bytes:
    """A frame of the stream as an event; outbox.Form. Those that many clients get are made once."""
    return _kept(frame) if len(frame) <= _KEPT_BYTES else _made(frame)


def _made(frame: bytes) -> bytes:
    data = payload(frame)
    cursor = _cursor_of(data).cursor
    name = b"" if cursor is None else b"id: %s\n" % cursor.encode()
    return b"%sdata: %s\n\n" % (name, data)


_kept = lru_cache(8_192)(_made)


def _words(given: str) -> tuple[str, ...]:
    return tuple(given.split(",")) if given else ()


LIVE = (
    params.Param("tickers", _words, "codes with commas between", required=True),
    params.Param(
        "channels",
        _words,
        f"{', '.join(CHANNELS)}, with commas between; {BARS} by default",
        (BARS,),
        schema=Schema(type=OpenAPIType.STRING, default=BARS),
    ),
    params.Param("freq", str, "timeframe of the bars, 1m by default; metrics are told at 1m", "1m"),
    params.VENUE,
    params.Param(
        "throttle_ms",
        params.integer("throttle_ms", 0, THROTTLE_MS_MAX),
        "least time between two events of a bar under way",
    ),
    params.Param("resume", str, "the cursor to go on from; `Last-Event-ID` is stronger"),
)
_LIVE = params.Table(LIVE)


class Live:
    """The route over a hub."""

    def __init__(self, services: Services, hub: Hub, admitted: Admitted) -> None:
        self._hub, self._orders, self._admitted = hub, Orders(services, hub), admitted

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        found = envelope.responses(str, 400, 404, *envelope.LIMITED)
        found[200] = ResponseSpec(
            str,
            generate_examples=False,
            description="frames of the stream, an event each",
            media_type="text/event-stream",
        )
        return [
            get(
                "/v1/live",
                operation_class=params.documented(LIVE),
                responses=found,
                tags=["stream"],
            )(self.live)
        ]

    async def live(self, scope: Scope) -> ASGIResponse:
        """Closed bars, bars under way, metrics, ends of minutes and gaps, as they happen."""
        values = dict(_LIVE.read(scope["query_string"]))
        last = [value for name, value in scope["headers"] if name == b"last-event-id"]
        if last and last[-1]:
            values["resume"] = last[-1].decode("latin-1")
        return Events(self._hub, self._orders, self._admitted, Ask("subscribe", **values))


class Events(ASGIResponse):
    """The answer that does not end."""

    def __init__(self, hub: Hub, orders: Orders, admitted: Admitted, ask: Ask) -> None:
        self.status_code = 200
        self._hub, self._orders, self._admitted, self._ask = hub, orders, admitted, ask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client, from its order to its end."""
        state: dict[str, Any] = scope["state"]
        wire = EventWire(state[_TRANSPORT])
        wire.write(b"retry: %d\n\n" % RETRY_MS)
        whose = holder(state["who"], state["address"])
        client = self._hub.post.connect(wire, self._hub.limits.throttle_ms, event, whose)
        wire.on_writable = lambda: self._hub.post.writable(client)
        try:
            self._admitted.let_in(client, state["who"], state)
            missed = self._orders.obey(client, self._ask)
            state[_STOPPING] = lambda: self._hub.dismiss(client)
            state["answered_ns"] = time.perf_counter_ns()
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            if state.get("head"):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await self._serve(client, wire, missed, receive, send)
        finally:
            self._hub.post.leave(client)

    async def _serve(
        self, client: Client, wire: EventWire, missed: Missed | None, receive: Receive, send: Send
    ) -> None:
        gone = asyncio.create_task(self._until_gone(client, wire, receive))
        writing = asyncio.create_task(wire.run(send))
        try:
            if missed is not None:
                await self._hub.resume(client, *missed)
            await writing
        except Refuse as refusal:
            self._orders.refuse(client, refusal)
            self._hub.post.close(client, 1013, refusal.code)
            await writing
        except Exception as fault:  # noqa: BLE001 -- ours: told loudly, the client is let go
            _log.error("stream client failed", exc_info=fault)
            wire.close(1011, "a fault of ours")
            await writing
        finally:
            gone.cancel()
            writing.cancel()

    async def _until_gone(self, client: Client, wire: EventWire, receive: Receive) -> None:
        """When the client hangs up it is forgotten at once, whatever is being sent."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._hub.post.leave(client)
        wire.drop()


_HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"connection", b"close"),  # what a slow client has not read goes with its connection
)
