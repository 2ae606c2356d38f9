"""The WebSocket `/v1/stream`: the wire, and a client's conversation over it (orders.py).

A client says `subscribe` (tickers, freq, channels, venue, throttle_ms, resume), `unsubscribe` or
`ping`. It is told `subscribed` or `unsubscribed` with all it is subscribed to and a cursor (and,
where it resumed, `recovered`, else where to `fetch`), then `bar`, `metrics`, `end_of_interval`,
`gap` (of the feed, or of its own slowness), `pong`, `error` with a code, and `shutdown`. Entries
with a cursor are never left out; a bar without one is under way. A bar closes some seconds after
its end and may be revised later, so a frame of an older bar can follow one of a newer.

The server's WebSocket code does the handshake, pings and the closing; frames of the hub go straight
to the transport: 1.2 us of CPU a frame, against 3.6 through the application interface, which also
needs a task to be woken for each client and flush. At 17,000 frames a second that is a tenth of a
core. Compression is off: a frame would have to be packed once a client.
"""

import asyncio
import socket as sockets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar, cast, get_args

import msgspec
from litestar import WebSocket, websocket
from litestar.handlers import WebsocketRouteHandler
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

from bursa.accounts.who import NOBODY, Principal
from bursa.api.services import Services
from bursa.api.stream.admitted import Admitted, holder, turn_away
from bursa.api.stream.hub import Hub
from bursa.api.stream.orders import Ask, Orders
from bursa.api.stream.outbox import Client, Form
from bursa.model.errors import BursaError, Refuse
from bursa.ops.logs import logger

EXTENSION = "bursa.wire"
MESSAGE_BYTES_MAX = 65_536
# What the kernel and the transport hold for one client; past it the client's outbox fills.
SOCKET_BYTES, TRANSPORT_BYTES = 1 << 18, 1 << 18
LET_GO_S = 3.0
# After a message its client waits so many times what that took, but not longer than so many
# seconds: what one client says takes a tenth of the loop at most, the others have the rest.
REST, REST_S = 9.0, 1.0

_log = logger("stream")

Said = TypeVar("Said", bound=msgspec.Struct)


class StreamProtocol(WebSocketsSansIOProtocol):
    """The server's WebSocket protocol, which also hands out its transport as a `SocketWire`."""

    wire: "SocketWire | None" = None

    def handle_connect(self, event: Request) -> None:
        """The handshake came."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.wire = SocketWire(self)
            extensions = cast("dict[str, Any]", self.scope["extensions"])
            extensions[EXTENSION] = self.wire

    def pause_writing(self) -> None:
        """The transport holds as much as it may."""
        super().pause_writing()
        if self.wire is not None:
            self.wire.blocked = True

    def resume_writing(self) -> None:
        """The transport takes again."""
        super().resume_writing()
        if self.wire is not None:
            self.wire.blocked = False
            self.wire.on_writable()

    async def send(self, message: Any) -> None:
        """What the application says."""
        await super().send(message)
        if self.close_sent and not self.handshake_complete:
            # An HTTP answer in place of the handshake: uvicorn would log it as a fault.
            self.handshake_complete = True

    def shutdown(self) -> None:
        """The server stops: a client is told so and let go; a mere handshake is broken off."""
        if self.wire is None or self.wire.on_shutdown is None:
            super().shutdown()
        else:
            self.stop_keepalive()
            self.wire.on_shutdown()


class SocketWire:
    """outbox.Wire over one connection."""

    def __init__(self, protocol: StreamProtocol) -> None:
        self.blocked = False
        self.on_writable: Callable[[], None] = lambda: None
        self.on_shutdown: Callable[[], None] | None = None
        self._protocol = protocol
        transport = protocol.transport
        transport.set_write_buffer_limits(high=TRANSPORT_BYTES)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SOCKET_BYTES)

    def write(self, data: bytes) -> None:
        """Put whole frames on the socket; after the closing nothing is written."""
        protocol = self._protocol
        if not protocol.close_sent and not protocol.transport.is_closing():
            protocol.transport.write(data)

    def close(self, code: int, reason: str) -> None:
        """Send a close frame; a client that does not answer it is let go after LET_GO_S."""
        protocol = self._protocol
        if protocol.close_sent or protocol.transport.is_closing():
            return
        try:
            protocol.conn.send_close(code, reason)
        except InvalidState:
            return
        protocol.transport.write(b"".join(protocol.conn.data_to_send()))
        protocol.close_sent = True
        protocol.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        loop = asyncio.get_running_loop()
        protocol.close_timer = loop.call_later(LET_GO_S, protocol.transport.abort)


def reader(kind: type[Said]) -> Callable[[str], Said]:
    """Reads messages of a kind with an `action`. Refuse `bad_message` says what is allowed."""
    decode = msgspec.json.Decoder(kind).decode
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    actions, others = ", ".join(get_args(fields.pop("action"))), ", ".join(fields)

    def read(text: str) -> Said:
        try:
            return decode(text)
        except msgspec.MsgspecError as error:
            allowed = f"a message has an action ({actions}) and may have {others}"
            raise Refuse(f"{error}; {allowed}", "bad_message") from None

    return read


class Conversation:
    """One way of talking with clients of the hub over WebSockets.

    heard     what a client said; raises what it is to be told
    form      what frames become on the way to it; None: they stay
    admitted  lets clients in; None: anybody may listen
    """

    def __init__(
        self,
        services: Services,
        hub: Hub,
        heard: Callable[[Client, str], Awaitable[None]],
        form: Form | None = None,
        admitted: Admitted | None = None,
    ) -> None:
        self._services, self._hub = services, hub
        self._heard, self._form, self._admitted = heard, form, admitted
        self._orders = Orders(services, hub)

    async def hold(
        self,
        socket: WebSocket[Any, Any, Any],
        first: Callable[[Client], Awaitable[None]] | None = None,
    ) -> None:
        """Talk with one client, from its handshake to its end; `first` is what it said by its
        address."""
        extensions = cast("dict[str, Any]", socket.scope.get("extensions") or {})
        wire: SocketWire = extensions[EXTENSION]
        await socket.accept()
        post = self._hub.post
        client = await self._let_in(socket, wire)
        if client is None:
            return
        wire.on_writable = lambda: post.writable(client)
        wire.on_shutdown = lambda: self._hub.dismiss(client)
        time = asyncio.get_running_loop().time
        try:
            if first is not None:
                await self._obey(client, first(client))
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if message["type"] == "websocket.receive":
                    began_s = time()
                    await self._obey(client, self._listen(client, message.get("text")))
                    await asyncio.sleep(min(REST * (time() - began_s), REST_S))
        except Exception as fault:  # noqa: BLE001 -- ours: told loudly, the client is let go
            _log.error("stream client failed", exc_info=fault)
            wire.close(1011, "a fault of ours")
        finally:
            post.leave(client)

    async def _let_in(self, socket: WebSocket[Any, Any, Any], wire: SocketWire) -> Client | None:
        """A socket's client, once it is known who listens; None where it was turned away."""
        state = socket.scope["state"]
        who: Principal = state["who"]
        client = None
        try:
            if self._admitted is not None and who is NOBODY:
                first = partial(_first, socket)
                who = await self._admitted.introduced(first, wire, state["address"])
            whose = holder(who, state["address"])
            client = self._hub.post.connect(wire, self._hub.limits.throttle_ms, self._form, whose)
            if self._admitted is not None:
                self._admitted.let_in(client, who, state)
        except BursaError as refusal:
            if client is not None:
                self._hub.post.leave(client)
            turn_away(self._services.telemetry, wire, refusal)
            return None
        except ConnectionError:
            return None
        return client

    async def _listen(self, client: Client, text: str | None) -> None:
        if text is None:
            raise Refuse("messages are JSON texts", "bad_message")
        if len(text) > MESSAGE_BYTES_MAX:
            raise Refuse(f"a message has at most {MESSAGE_BYTES_MAX} bytes", "bad_message")
        await self._heard(client, text)

    async def _obey(self, client: Client, doing: Awaitable[None]) -> None:
        """Do it, or tell the client why not."""
        try:
            await doing
        except BursaError as refusal:
            self._orders.refuse(client, refusal)


async def _first(socket: WebSocket[Any, Any, Any]) -> str | None:
    """A message's text, None where it is none. ConnectionError where the client is gone."""
    message: Any = {"type": ""}
    while message["type"] != "websocket.receive":
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionError
    text: str | None = message.get("text")
    return text


class Stream:
    """The route over a hub."""

    def __init__(self, services: Services, hub: Hub, admitted: Admitted) -> None:
        self._hub, self._orders, self._admitted = hub, Orders(services, hub), admitted
        self._conversation = Conversation(services, hub, self._heard, admitted=admitted)
        self._read = reader(Ask)

    def routes(self) -> list[WebsocketRouteHandler]:
        """What the application serves."""
        return [websocket("/v1/stream")(self.stream)]

    async def stream(self, socket: WebSocket[Any, Any, Any]) -> None:
        """One client, from its handshake to its end."""
        await self._conversation.hold(socket)

    async def _heard(self, client: Client, text: str) -> None:
        ask = self._read(text)
        if ask.action == "auth":
            await self._admitted.renewed(client, ask.token)
            return
        missed = self._orders.obey(client, ask)
        if missed is not None:
            await self._hub.resume(client, *missed)
