"""What strangers may take of the server before anybody looks at what they ask: connections, heads,
time.

The server by itself reads a head without end into memory, waits for the rest of a request for ever,
and takes connections until the process can open no file any more, which would end the feeds too.
Here all three end, each of them counted, as is what is no HTTP: connections leave files for all
else, a head has HEAD_BYTES_MAX, and a request is there HEAD_S and then BODY_S after its beginning.
Does not know what is asked, nor by whom.
"""

import asyncio
import logging
import resource
from collections.abc import Callable
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

# Proxies send on some 8 to 32 KiB.
HEAD_BYTES_MAX = 64 << 10
# Seconds until a head is whole, and from there until the body is.
HEAD_S, BODY_S = 30.0, 120.0
# Of the files that the process may open, those that connections leave for all else: where there are
# few, three quarters.
FILES_KEPT = 256
CONNECTIONS_MAX = 20_000
# Why somebody is turned away.
TOO_MANY, TOO_LONG, TOO_SLOW, MALFORMED = "connections", "head", "slow", "malformed"
_SAID = {
    TOO_MANY: (503, b"too many connections"),
    TOO_LONG: (431, b"the head of the request is longer than 64 KiB"),
    TOO_SLOW: (408, b"the request did not come in time"),
}
# What the server has to say of its own. That a stranger sent no HTTP is counted: a line each would
# let him fill the disk.
_log = logging.getLogger("uvicorn.error.http")
_log.addFilter(lambda record: record.msg != "Invalid HTTP request received.")


class Bounds(NamedTuple):
    """The bounds of one server.

    connections  how many there may be at once, WebSockets too
    turned_away  called with why (TOO_MANY, ...) for each that is
    """

    connections: int
    turned_away: Callable[[str], object] = lambda why: None


def connections_allowed() -> int:
    """How many connections the process may have, by the files that it may open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return min(max(files - FILES_KEPT, files // 4), CONNECTIONS_MAX)


class BoundedProtocol(HttpToolsProtocol):
    """The server's HTTP protocol within bounds."""

    def __init__(self, *given: Any, bounds: Bounds | None = None, **named: Any) -> None:
        super().__init__(*given, **named)
        self.logger = _log
        self._bounds = bounds or Bounds(CONNECTIONS_MAX)
        self._ending: asyncio.TimerHandle | None = None
        # Of the request that is coming in: is there one at all, is it its head that is, and how
        # many bytes are of that, or since the last ones of its body of what frames it.
        self._coming, self._heading, self._headed = False, False, 0
        # Of the bytes that came last: how many, and did they go on with a head?
        self._last, self._went_on = 0, False
        self._turned = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connects."""
        super().connection_made(transport)
        if len(self.connections) > self._bounds.connections:
            self._turn_away(TOO_MANY)
        else:
            self._within(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._unbound()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        if self._turned:
            return
        self._last, self._went_on = len(data), self._heading
        # Of a body it is taken back. Else: of a head, or of what stands between its pieces and
        # behind them, which has no end either.
        self._headed += self._last if self._coming else 0
        super().data_received(data)
        if self._turned:
            return
        if not self._coming:
            self._idle()
        elif self._headed > HEAD_BYTES_MAX:
            self._turn_away(TOO_LONG)
        else:
            self._within(HEAD_S if self._heading else BODY_S)

    def _idle(self) -> None:
        """Nothing is coming. The server leaves one alone for ever who says something, but asks for
        nothing, or who is answered before his body has come."""
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self.timeout_keep_alive_task is None and self in self.connections:
            self._within(HEAD_S)

    def on_message_begin(self) -> None:
        """A request begins. What stood before it in the same bytes is not its own: those do not
        count."""
        super().on_message_begin()
        self._coming, self._heading, self._headed = True, True, 0

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._heading, self._headed = False, 0
        self._unbound()
        many = self._went_on or self._last > HEAD_BYTES_MAX
        if many and self._size() > HEAD_BYTES_MAX:
            self._turn_away(TOO_LONG)
        if not self._turned:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of its body came."""
        self._headed = 0
        if not self._turned:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._coming = False
        self._unbound()
        if not self._turned:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """It is no HTTP."""
        if not self._turned:
            self._turned = True
            self._unbound()
            self._bounds.turned_away(MALFORMED)
            super().send_400_response(msg)

    def handle_websocket_upgrade(self) -> None:
        """A handshake is whole."""
        if not self._turned:
            super().handle_websocket_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Another protocol was asked for: it is answered as if it were not, and not worth a
        line."""

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _within(self, seconds: float) -> None:
        """Turn away who has not gone on by then; the time runs from its beginning."""
        if self._ending is None:
            self._ending = self.loop.call_later(seconds, self._late)

    def _unbound(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def _late(self) -> None:
        self._ending = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self._within(BODY_S)  # it is we who let him wait: an answer before it goes on
        elif self._coming:
            self._turn_away(TOO_SLOW)
        else:
            self.transport.close()  # he connected, and asked for nothing

    def _turn_away(self, why: str) -> None:
        """Say why, if an answer has not begun, and let go of the connection."""
        self._turned = True
        self._unbound()
        self._bounds.turned_away(why)
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            status, text = _SAID[why]
            head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(text)
            said = STATUS_LINE[status] + head + b"connection: close\r\n\r\n" + text
            self.transport.write(said)
        self.transport.close()
