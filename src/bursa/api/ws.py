"""The WebSocket `/v1/stream`: the wire, what clients may say, and what they are told back.

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
from collections.abc import Callable
from typing import Any, Literal, cast

import msgspec
from litestar import WebSocket, websocket
from litestar.handlers import WebsocketRouteHandler
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request

from bursa.api.errors import failure_of
from bursa.api.frames import said
from bursa.api.live import Hub
from bursa.api.outbox import Client, Key
from bursa.api.services import Services, VenueService
from bursa.api.subscriptions import BARS, CHANNELS, METRICS
from bursa.metrics.catalog import METRICS as METRICS_KIND
from bursa.model.errors import BursaError, Refuse
from bursa.model.timeframe import parse
from bursa.ops.logs import logger

EXTENSION = "bursa.wire"
MESSAGE_BYTES_MAX = 65_536
TICKERS_MAX = 1_000
SUBSCRIPTIONS_MAX = 5_000
THROTTLE_MS_MAX = 60_000
# What the kernel and the transport hold for one client; past it the client's outbox fills.
SOCKET_BYTES, TRANSPORT_BYTES = 1 << 18, 1 << 18
LET_GO_S = 3.0
# After a message its client waits so many times what that took, but not longer than so many
# seconds: what one client says takes a tenth of the loop at most, the others have the rest.
REST, REST_S = 9.0, 1.0

_log = logger("stream")


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


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """What a client may say."""

    action: Literal["subscribe", "unsubscribe", "ping"]
    tickers: tuple[str, ...] | None = None
    freq: str = "1m"
    channels: tuple[str, ...] = (BARS,)
    venue: str | None = None
    resume: str | None = None
    throttle_ms: int | None = None


_decode = msgspec.json.Decoder(Ask).decode


class Stream:
    """The route over a hub."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self._services, self._hub = services, hub

    def routes(self) -> list[WebsocketRouteHandler]:
        """What the application serves."""
        return [websocket("/v1/stream")(self.stream)]

    async def stream(self, socket: WebSocket[Any, Any, Any]) -> None:
        """One client, from its handshake to its end."""
        extensions = cast("dict[str, Any]", socket.scope.get("extensions") or {})
        wire: SocketWire = extensions[EXTENSION]
        await socket.accept()
        post = self._hub.post
        try:
            client = post.connect(wire, self._hub.limits.throttle_ms)
        except Refuse as full:
            self._services.telemetry.refused.labels(full.code).inc()
            wire.write(_error(full))
            wire.close(1013, full.code)
            return
        wire.on_writable = lambda: post.writable(client)
        wire.on_shutdown = lambda: self._hub.dismiss(client)
        time = asyncio.get_running_loop().time
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if message["type"] == "websocket.receive":
                    began_s = time()
                    await self._heard(client, message.get("text"))
                    await asyncio.sleep(min(REST * (time() - began_s), REST_S))
        except Exception as fault:  # noqa: BLE001 -- ours: told loudly, the client is let go
            _log.error("stream client failed", exc_info=fault)
            wire.close(1011, "a fault of ours")
        finally:
            post.leave(client)

    async def _heard(self, client: Client, text: str | None) -> None:
        try:
            if text is None:
                raise Refuse("messages are JSON texts", "bad_message")
            if len(text) > MESSAGE_BYTES_MAX:
                raise Refuse(f"a message has at most {MESSAGE_BYTES_MAX} bytes", "bad_message")
            await self._obey(client, _decode(text))
        except msgspec.MsgspecError as error:
            self._refuse(client, Refuse(str(error), "bad_message"))
        except BursaError as refusal:
            self._refuse(client, refusal)

    def _refuse(self, client: Client, refusal: BursaError) -> None:
        self._services.telemetry.refused.labels(failure_of(refusal).code).inc()
        self._tell(client, _error(refusal))

    async def _obey(self, client: Client, ask: Ask) -> None:
        if ask.action == "ping":
            self._tell(client, said({"type": "pong", "cursor": self._hub.cursor()}))
            return
        service = self._services.venue(ask.venue)
        if ask.action == "unsubscribe":
            self._unsubscribe(client, service, ask)
        else:
            await self._subscribe(client, service, ask)

    async def _subscribe(self, client: Client, service: VenueService, ask: Ask) -> None:
        _check(ask)
        tickers = list(dict.fromkeys(ask.tickers or ()))
        known, coming = _sorted_out(service, tickers)
        keys = [
            (service.venue.name, channel, ask.freq, service.words.find_symbol(ticker))
            for channel in dict.fromkeys(ask.channels)
            for ticker in known
        ]
        later = [(channel, ask.freq, t) for channel in dict.fromkeys(ask.channels) for t in coming]
        if len(client.keys | set(keys)) + len(later) + len(client.later) > SUBSCRIPTIONS_MAX:
            message = f"a client has at most {SUBSCRIPTIONS_MAX} subscriptions"
            raise Refuse(message, "too_many_subscriptions", parameter="tickers")
        if ask.throttle_ms is not None:
            self._hub.throttle(client, ask.throttle_ms)
        fresh = [key for key in keys if key not in client.keys]
        offset = None if ask.resume is None else self._hub.resumable(ask.resume, fresh)
        self._hub.subscribe_later(client, service.venue.name, later)
        told = self._state(client, "subscribed", fresh, offset)
        if ask.resume is not None:
            told["recovered"] = offset is not None
            if offset is None:
                told["fetch"] = _fetch(ask, service.venue.name)
        if offset is None:
            self._hub.subscribe(client, fresh, lambda: self._tell(client, said(told)))
        else:
            self._tell(client, said(told))
            await self._hub.resume(client, fresh, offset)

    def _unsubscribe(self, client: Client, service: VenueService, ask: Ask) -> None:
        venue = service.venue.name
        tickers = None if ask.tickers is None else set(ask.tickers)
        symbols = service.words.symbols

        def meant(channel: str, freq: str, ticker: str) -> bool:
            of_ticker = tickers is None or ticker in tickers
            return of_ticker and freq == ask.freq and channel in ask.channels

        gone = [k for k in client.keys if k[0] == venue and meant(k[1], k[2], symbols[k[3]])]
        self._hub.unsubscribe(client, gone)
        client.later -= {later for later in client.later if later[0] == venue and meant(*later[1:])}
        self._tell(client, said(self._state(client, "unsubscribed", (), None)))

    def _tell(self, client: Client, frame: bytes) -> None:
        self._hub.post.send((client,), frame)
        self._hub.post.flush()

    def _state(
        self, client: Client, kind: str, fresh: "list[Key] | tuple[()]", offset: int | None
    ) -> dict[str, Any]:
        """The whole subscription state, as an acknowledgement bears it."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for venue, channel, freq, symbol in {*client.keys, *fresh}:
            ticker = self._services.venues[venue].words.symbols[symbol]
            found.setdefault((venue, freq, channel), []).append(ticker)
        for venue, channel, freq, ticker in client.later:
            found.setdefault((venue, freq, channel), []).append(ticker)
        rows = [
            {"venue": venue, "freq": freq, "channel": channel, "tickers": sorted(tickers)}
            for (venue, freq, channel), tickers in sorted(found.items())
        ]
        cursor = self._hub.cursor(offset)
        return {
            "type": kind,
            "subscriptions": rows,
            "throttle_ms": client.throttle_ms,
            "cursor": cursor,
        }


def _check(ask: Ask) -> None:
    parse_freq(ask.freq)
    if not ask.tickers:
        raise Refuse("tickers is required", "missing_parameter", parameter="tickers")
    if len(ask.tickers) > TICKERS_MAX:
        message = f"at most {TICKERS_MAX} tickers a message"
        raise Refuse(message, "too_many_tickers", parameter="tickers")
    for channel in ask.channels:
        if channel not in CHANNELS:
            message = f"channel {channel[:64]!r} is none of {', '.join(CHANNELS)}"
            raise Refuse(message, "unknown_channel", parameter="channels")
    if not ask.channels:
        raise Refuse("channels is empty", "missing_parameter", parameter="channels")
    if METRICS in ask.channels and ask.freq != "1m":
        names = ", ".join(c.name for c in METRICS_KIND.columns if c.dtype == "float")
        message = f"metrics ({names}) are streamed at 1m; longer ones are /v1/metrics/history's"
        raise Refuse(message, "timeframe_not_allowed", parameter="freq")
    if ask.throttle_ms is not None and not 0 <= ask.throttle_ms <= THROTTLE_MS_MAX:
        message = f"throttle_ms lies between 0 and {THROTTLE_MS_MAX}"
        raise Refuse(message, "bad_number", parameter="throttle_ms")


def parse_freq(freq: str) -> str:
    """A timeframe. Refuse `unknown_timeframe` with the parameter's name here."""
    try:
        return parse(freq)
    except Refuse as refusal:
        raise Refuse(str(refusal), refusal.code, refusal.status, "freq") from None


def _sorted_out(service: VenueService, tickers: list[str]) -> tuple[list[str], list[str]]:
    """Tickers that the venue has, and ones to come. While a venue knows no instrument at all yet,
    a well-formed code cannot be judged: it is taken, and begins with its first message."""
    known, coming = [], []
    for ticker in tickers:
        if service.directory.knows(ticker):
            known.append(ticker)
        elif not service.directory.count() and service.is_ticker(ticker):
            coming.append(ticker)
        else:
            message = f"{service.venue.name} has no ticker {ticker[:64]!r}"
            raise Refuse(message, "unknown_ticker", 404, "tickers")
    return known, coming


def _fetch(ask: Ask, venue: str) -> list[str]:
    """Where what was missed is to be had, one path a channel."""
    paths = {
        BARS: f"/v1/ohlcv/{{ticker}}?venue={venue}&tf={ask.freq}&from=",
        METRICS: f"/v1/metrics/history?ticker={{ticker}}&venue={venue}&tf={ask.freq}&from=",
    }
    return [paths[channel] for channel in ask.channels]


def _error(error: BursaError) -> bytes:
    failure = failure_of(error)
    fields = {"type": "error", "code": failure.code, "error": failure.message}
    return said(fields | ({"parameter": failure.parameter} if failure.parameter else {}))
