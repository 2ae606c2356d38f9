"""The WebSocket `/ws`: candles of public venues as they happen, bars under way where wanted.

A client says `subscribe` (symbol, interval, partials), `unsubscribe` or `ping`, or asks for one
subscription by the address it opens. It is told `candle`s, as /api/v1/candles shows them, and
acknowledgements with all it is subscribed to. It is a client of the hub like any other; its frames
take another form on the way (outbox.Form). No cursors: who was away asks /api/v1/candles.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec
from litestar import WebSocket, websocket
from litestar.handlers import WebsocketRouteHandler

from bursa.api import params
from bursa.api.errors import failure_of, send_failure
from bursa.api.services import Services
from bursa.api.stream.frames import payload, said
from bursa.api.stream.hub import Hub
from bursa.api.stream.orders import Orders, check_count
from bursa.api.stream.outbox import Client, Key
from bursa.api.stream.subscriptions import BARS
from bursa.api.stream.ws import Conversation, reader
from bursa.api.viewer.candles import INTERVAL, interval
from bursa.api.viewer.public import Public
from bursa.model.errors import Refuse

_QUERY = (
    params.Param("symbol", str, "a code, or EXCHANGE:code"),
    INTERVAL,
    params.Param("partials", params.flag("partials"), "1: with candles under way", False),
)
_CANDLES_KEPT = 4_096


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """What a client may say. Without `symbol`, `unsubscribe` means all; without `interval`, it
    means all of a symbol."""

    action: Literal["subscribe", "unsubscribe", "ping"]
    symbol: str | None = None
    interval: str | None = None
    partials: bool = False


class _Bar(msgspec.Struct):
    """A bar's frame; numbers stay the texts they are."""

    venue: str
    ticker: str
    freq: str
    bar_time: str
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    close: msgspec.Raw
    volume: msgspec.Raw
    final: bool


class _Gap(msgspec.Struct):
    reason: str


_ask = reader(Ask)
_bar = msgspec.json.Decoder(_Bar).decode
_gap = msgspec.json.Decoder(_Gap).decode


class ViewerStream:
    """The route over a hub."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self._services, self._hub = services, hub
        self._public, self._orders = Public(services), Orders(services, hub)
        self._candle = lru_cache(_CANDLES_KEPT)(self._made)
        self._conversation = Conversation(services, hub, self._heard, self.form)

    def routes(self) -> list[WebsocketRouteHandler]:
        """What the application serves."""
        return [websocket("/ws")(self.stream)]

    async def stream(self, socket: WebSocket[Any, Any, Any]) -> None:
        """One client. What its address asks for is judged before the handshake."""
        try:
            self._public.venues()
            values = params.read_query(socket.scope["query_string"], _QUERY)
            if values["symbol"] is not None:
                self._public.find(values["symbol"])
        except Refuse as refusal:
            failure = failure_of(refusal)
            self._services.telemetry.refused.labels(failure.code).inc()
            await socket.receive()
            await send_failure(socket.send, socket.scope, failure, "websocket.http.response")
            return
        asked = Ask("subscribe", **values)

        async def first(client: Client) -> None:
            self._obey(client, asked)

        await self._conversation.hold(socket, None if asked.symbol is None else first)

    async def _heard(self, client: Client, text: str) -> None:
        self._obey(client, _ask(text))

    def _obey(self, client: Client, ask: Ask) -> None:
        if ask.action == "ping":
            self._orders.tell(client, said({"type": "pong"}))
        elif ask.action == "unsubscribe":
            self._unsubscribe(client, ask)
        else:
            self._subscribe(client, ask)

    def _subscribe(self, client: Client, ask: Ask) -> None:
        if ask.symbol is None:
            raise Refuse("symbol is required", "missing_parameter", parameter="symbol")
        service, code = self._public.find(ask.symbol)
        symbol = service.words.find_symbol(code)
        if symbol < 0:
            message = f"{ask.symbol!r} is stored, and was not heard of since the start; try later"
            raise Refuse(message, "not_yet", 503, "symbol")
        key: Key = (service.venue.name, BARS, interval(ask.interval or "1m"), symbol)
        check_count(len(client.keys | {key}), "symbol")
        if key in client.keys and ask.partials == (key in client.quiet):
            self._drop(client, [key])  # it asks for the other way
        if not ask.partials:
            client.quiet.add(key)
        self._hub.subscribe(client, [key], lambda: self._tell_state(client, "subscribed"))

    def _unsubscribe(self, client: Client, ask: Ask) -> None:
        gone = list(client.keys)
        if ask.symbol is not None:
            service, code = self._public.find(ask.symbol)
            meant = (service.venue.name, service.words.find_symbol(code))
            gone = [key for key in gone if (key[0], key[3]) == meant]
        if ask.interval is not None:
            freq = interval(ask.interval)
            gone = [key for key in gone if key[2] == freq]
        self._drop(client, gone)
        self._tell_state(client, "unsubscribed")

    def _drop(self, client: Client, keys: list[Key]) -> None:
        self._hub.unsubscribe(client, keys)
        client.quiet.difference_update(keys)

    def _tell_state(self, client: Client, kind: str) -> None:
        """The whole of what a client is subscribed to, by symbol and interval."""
        held = []
        for key in client.keys:
            venue, _, freq, symbol = key
            name = self._name(venue, self._services.venues[venue].words.symbols[symbol])
            held.append((name, freq, key not in client.quiet))
        rows = [{"symbol": s, "interval": freq, "partials": p} for s, freq, p in sorted(held)]
        self._orders.tell(client, said({"type": kind, "subscriptions": rows}))

    def _name(self, venue: str, code: str) -> str:
        return self._public.name(self._services.venues[venue], code)

    # -- the form of frames ------------------------------------------------------------------------

    def form(self, frame: bytes) -> bytes:
        """A bar's frame as a candle's, once for all clients; what a viewer has no use for is left
        out: ends of minutes, and the feed's gaps, which the data API tells of."""
        data = payload(frame)
        if data.startswith(b'{"type":"bar"'):
            return self._candle(frame)
        if data.startswith(b'{"type":"end_of_interval"'):
            return b""
        if data.startswith(b'{"type":"gap"') and _gap(data).reason == "feed":
            return b""
        return frame

    def _made(self, frame: bytes) -> bytes:
        bar = _bar(payload(frame))
        ms = round(datetime.fromisoformat(bar.bar_time).timestamp()) * 1_000
        numbers = (msgspec.Raw(b"%d" % ms), bar.open, bar.high, bar.low, bar.close, bar.volume)
        return said(
            {
                "type": "candle",
                "symbol": self._name(bar.venue, bar.ticker),
                "interval": bar.freq,
                "data": numbers,
                "final": bar.final,
            }
        )
