"""The server's HTTP protocol: head and body of an answer go to the socket in one write.

The server would write the head alone and the body after it: two system calls and two packets. Here
the head waits for the body, which the application sends next. Only plain answers are written here:
a body in one piece whose length the head tells, on a connection that stays. Streams, HEAD, slow
readers and an access log are left to the server. A body may come in pieces that are kept elsewhere
(`PIECES`): they go to the socket without being joined. Does not parse requests, and does not know
what is answered.
"""

from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from bursa.api.bounded import BoundedProtocol

# The name among a scope's `extensions`, and in the message of a whole body: its pieces in order, in
# place of `body`.
PIECES = "bursa.pieces"
_EXTENSIONS: dict[str, Any] = {PIECES: {}}
# The server itself minds how a connection goes on after these.
_SERVERS = frozenset({b"connection", b"transfer-encoding"})


class AnswerProtocol(BoundedProtocol):
    """The server's protocol; each of its requests is answered through an `Exchange`."""

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = _EXTENSIONS

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        exchange: Any = Exchange(cycle, app)
        super()._start_asgi_task(cycle, exchange)


class Exchange:
    """The application for one request: its answer's head is held back until the body comes."""

    __slots__ = ("_app", "_cycle", "_head")

    def __init__(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._cycle: Any = cycle
        self._app = app
        self._head: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the application. A head whose body never came is the server's to deal with."""
        await self._app(scope, receive, self._send)
        if self._head is not None:
            await self._cycle.send(self._head)

    async def _send(self, message: Any) -> None:
        head, self._head = self._head, None
        if head is not None:
            if self._write_whole(head, message):
                return
            await self._cycle.send(head)
        elif message["type"] == "http.response.start" and _tells_length(message["headers"]):
            self._head = message
            return
        if PIECES in message:
            message = {**message, "body": b"".join(message[PIECES])}
        await self._cycle.send(message)

    def _write_whole(self, head: Any, message: Any) -> bool:
        """Write the answer if it is a plain one."""
        cycle = self._cycle
        pieces = message.get(PIECES) or (message.get("body", b""),)
        if (
            message["type"] != "http.response.body"
            or message.get("more_body", False)
            or not cycle.keep_alive
            or cycle.access_log
            or cycle.disconnected
            or cycle.flow.write_paused
            or cycle.scope["method"] == "HEAD"
        ):
            return False
        lines = _lines(cycle.default_headers + list(head["headers"]), sum(map(len, pieces)))
        if not lines:
            return False
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        cycle.transport.writelines((STATUS_LINE[head["status"]] + lines, *pieces))
        cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True


def whole(scope: Any, pieces: Sequence[bytes]) -> dict[str, Any]:
    """The message of a body that comes at once, after a head that tells its length."""
    if len(pieces) > 1 and PIECES in scope.get("extensions", ()):
        return {"type": "http.response.body", PIECES: pieces, "more_body": False}
    return {"type": "http.response.body", "body": b"".join(pieces), "more_body": False}


def _tells_length(headers: Any) -> bool:
    for name, _ in headers:
        if name == b"content-length":
            return True
    return False


def _lines(headers: list[tuple[bytes, bytes]], size: int) -> bytes:
    """Headers as they go over the wire, and the empty line. None at all where the server is to look
    at them itself: one concerns the connection, tells another length, or would not stay on its
    line."""
    if (b"content-length", b"%d" % size) not in headers:
        return b""
    if not _SERVERS.isdisjoint([name for name, _ in headers]):
        return b""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    count = len(headers)
    if lines.count(b"\n") != count or lines.count(b"\r") != count or b"\0" in lines:
        return b""
    return lines + b"\r\n"
