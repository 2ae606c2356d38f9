"""An answer is written once, and whatever is no plain answer is left to the server."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from bursa.api.http import PIECES, AnswerProtocol, whole

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written, one entry a write."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.writes.append(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def start(headers: Sequence[tuple[bytes, bytes]] = HEADERS, status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes = b"hello", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def asked(
    *messages: dict[str, Any], request: bytes = REQUEST, before: Callable[[Any], Any] = id
) -> Wire:
    """What is written when a request is answered by these messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    async def run() -> Wire:
        config = uvicorn.Config(app, http=AnswerProtocol, log_config=None, access_log=False)
        config.load()
        state, wire = ServerState(), Wire()
        protocol = AnswerProtocol(config, state, {})
        protocol.connection_made(wire)
        before(protocol)
        protocol.data_received(request)
        await asyncio.gather(*state.tasks)
        protocol.connection_lost(None)
        return wire

    return asyncio.run(run())


def test_head_and_body_are_one_write() -> None:
    wire = asked(start(), body())
    assert wire.writes == [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"
    ]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("headers", [HEADERS, [*HEADERS, (b"connection", b"close")], HEADERS[:1]])
def test_a_body_in_pieces_is_the_same_body(
    headers: list[tuple[bytes, bytes]], version: bytes, method: bytes
) -> None:
    pieces = (b"he", b"llo")
    assert whole({}, pieces) == body()
    message = whole({"extensions": {PIECES: {}}}, pieces)
    assert message[PIECES] is pieces
    request = method + b" / HTTP/" + version + b"\r\nHost: x\r\n\r\n"
    kept, joined = (asked(start(headers), m, request=request) for m in (message, body()))
    assert (kept.writes, kept.closed) == (joined.writes, joined.closed)


def test_requests_of_one_connection_are_answered_in_turn() -> None:
    wire = asked(start(), body(), request=REQUEST * 3)
    assert wire.writes and set(wire.writes) == {wire.writes[0]}


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([start(), body(b"he", True), body(b"llo")], id="in pieces"),
        pytest.param([start([HEADERS[0]]), body()], id="no length told"),
        pytest.param([start([*HEADERS, (b"connection", b"close")]), body()], id="closing"),
        pytest.param([start(status=404), body()], id="an error"),
        pytest.param([start([(b"content-length", b"0")], 304), body(b"")], id="no body"),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_the_bytes_are_those_of_the_server(
    messages: list[dict[str, Any]], method: bytes, version: bytes
) -> None:
    request = method + b" / HTTP/" + version + b"\r\nHost: x\r\n\r\n"

    def plainly(protocol: AnswerProtocol) -> None:
        start_task = super(AnswerProtocol, protocol)._start_asgi_task
        protocol._start_asgi_task = start_task  # type: ignore[method-assign]

    ours = asked(*messages, request=request)
    servers = asked(*messages, request=request, before=plainly)
    assert b"".join(ours.writes) == b"".join(servers.writes)
    assert ours.closed == servers.closed


@pytest.mark.parametrize(
    "header",
    [(b"x-a", b"1\r\nx-b: 2"), (b"x-a", b"1\n"), (b"x-a", b"\0"), (b"x\r\n", b"1")],
)
def test_a_header_cannot_begin_another_line(header: tuple[bytes, bytes]) -> None:
    wire = asked(start([*HEADERS, header]), body())
    assert wire.closed and not wire.writes


@pytest.mark.parametrize("data", [b"hell", b"hello!"])
def test_after_a_body_of_another_length_the_connection_is_cut(data: bytes) -> None:
    assert asked(start(), body(data)).closed


def test_after_a_head_without_a_body_the_connection_is_cut() -> None:
    assert asked(start()).closed


def test_a_slow_reader_is_waited_for() -> None:
    """The protocol is told that the socket takes no more: nothing is written until it does."""
    written: list[int] = []

    def paused(protocol: AnswerProtocol) -> None:
        protocol.pause_writing()

        def resume() -> None:
            written.append(len(protocol.transport.writes))  # type: ignore[attr-defined]
            protocol.resume_writing()

        asyncio.get_running_loop().call_later(0.02, resume)

    wire = asked(start(), body(), before=paused)
    assert written == [0] and b"".join(wire.writes).endswith(b"\r\n\r\nhello")
