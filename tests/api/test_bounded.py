"""What strangers may take before anybody looks at what they ask: connections, heads, time."""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState
from websockets.sync.client import connect

from bursa.api import bounded
from bursa.api.bounded import HEAD_BYTES_MAX, Bounds, connections_allowed
from bursa.api.http import AnswerProtocol
from tests.api.floor import Served
from tests.api.test_http import REQUEST, Wire, body, start

BEGUN = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\n"


class House:
    """A server whose connections are made by hand. `turned`: why somebody was turned away;
    `asked`: how many requests came through, with how long a body."""

    def __init__(self, connections: int = 10) -> None:
        self.turned: list[str] = []
        self.asked: list[int] = []
        self.gone = 0
        self.state = ServerState()
        self._bounds = Bounds(connections, self.turned.append)
        self._config = uvicorn.Config(
            self._app, interface="asgi3", log_config=None, access_log=False
        )
        self._config.load()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, scope["path"] != "/early"
        if scope["path"] == "/slow":
            await asyncio.sleep(0.2)
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                return
            size, more = size + len(message["body"]), message["more_body"]
        self.asked.append(size)
        await send(start())
        await send(body())

    def connect(self) -> tuple[AnswerProtocol, Wire]:
        protocol = AnswerProtocol(self._config, self.state, {}, bounds=self._bounds)
        wire = Wire()
        protocol.connection_made(wire)
        return protocol, wire

    async def done(self) -> None:
        await asyncio.gather(*self.state.tasks)


def run(act: Callable[[House], Awaitable[None]], connections: int = 10) -> House:
    async def all_of_it() -> House:
        house = House(connections)
        await act(house)
        return house

    return asyncio.run(all_of_it())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.005)


def endless(size: int) -> bytes:
    return b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(size // 1000))


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(BEGUN + endless(HEAD_BYTES_MAX * 2), id="many headers"),
        pytest.param(BEGUN + b"X: " + b"a" * HEAD_BYTES_MAX * 2, id="a long one"),
        pytest.param(b"GET /" + b"a" * HEAD_BYTES_MAX * 2, id="a long path"),
        pytest.param(BEGUN + endless(HEAD_BYTES_MAX * 2) + b"\r\n", id="that ends"),
    ],
)
@pytest.mark.parametrize("at_once", [700, 1 << 20])
def test_a_head_has_an_end(head: bytes, at_once: int) -> None:
    async def act(house: House) -> None:
        protocol, wire = house.connect()
        sent = 0
        for begin in range(0, len(head), at_once):
            protocol.data_received(head[begin : begin + at_once])
            sent += at_once
            if wire.closed:
                break
        if at_once > len(head) and not wire.closed:
            protocol.data_received(b"a" * (HEAD_BYTES_MAX + 1))  # more of what was read at once
        await house.done()
        assert wire.closed and sent <= HEAD_BYTES_MAX + 2 * at_once
        assert b"".join(wire.writes).startswith(b"HTTP/1.1 431 ")
        protocol.data_received(b"\r\n\r\n" + REQUEST)
        protocol.connection_lost(None)

    house = run(act)
    assert house.turned == ["head"] and not house.asked


def test_what_is_no_head_does_not_count() -> None:
    async def act(house: House) -> None:
        protocol, wire = house.connect()
        protocol.data_received(BEGUN + endless(HEAD_BYTES_MAX - 4_000) + b"\r\n")
        await house.done()
        for part in (POST % 300_000 + b"b" * 200_000, b"b" * 100_000 + BEGUN[:9], BEGUN[9:]):
            protocol.data_received(part)
        await until(lambda: len(house.asked) == 2)
        protocol.data_received(b"\r\n")
        await until(lambda: len(house.asked) == 3)
        assert not wire.closed
        protocol.connection_lost(None)

    house = run(act)
    assert house.asked == [0, 300_000, 0] and not house.turned


@pytest.mark.parametrize("before", [b"", REQUEST], ids=["the first", "a later one"])
def test_a_head_comes_in_time(monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    monkeypatch.setattr(bounded, "HEAD_S", 0.05)

    async def act(house: House) -> None:
        protocol, wire = house.connect()
        if before:
            protocol.data_received(before)
            await until(lambda: len(wire.writes) == 1)
        for sign in range(10_000):
            if wire.closed:
                break
            protocol.data_received(BEGUN[sign : sign + 1] or b"X")  # now and then a sign
            await asyncio.sleep(0.005)
        assert wire.writes[-1].startswith(b"HTTP/1.1 408 ")
        protocol.connection_lost(None)

    assert run(act).turned == ["slow"]


def test_who_connects_asks_for_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "HEAD_S", 0.02)

    async def act(house: House) -> None:
        protocol, wire = house.connect()
        await until(lambda: wire.closed)
        assert not wire.writes
        protocol.connection_lost(None)

    assert not run(act).turned


def test_a_body_comes_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "BODY_S", 0.05)

    async def act(house: House) -> None:
        protocol, wire = house.connect()
        protocol.data_received(POST % 1_000_000)
        for _ in range(10_000):
            if wire.closed:
                break
            protocol.data_received(b"b")
            await asyncio.sleep(0.005)
        protocol.connection_lost(None)
        await house.done()

    house = run(act)
    assert house.turned == ["slow"] and house.gone == 1 and not house.asked


def test_what_is_answered_slowly_is_no_slow_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "HEAD_S", 0.02)
    monkeypatch.setattr(bounded, "BODY_S", 0.02)

    async def act(house: House) -> None:
        protocol, wire = house.connect()
        protocol.data_received(REQUEST)
        await house.done()
        await asyncio.sleep(0.1)
        assert wire.writes[0].startswith(GOOD) and not wire.closed
        protocol.data_received(REQUEST)
        await house.done()
        assert len(wire.writes) == 2
        protocol.connection_lost(None)

    assert not run(act).turned


@pytest.mark.parametrize(
    "framing", [b"T: %s\r\n" % (b"z" * 1000), b"1;%s\r\nb\r\n" % (b"e" * 1000)]
)
def test_what_frames_a_body_has_an_end(framing: bytes) -> None:
    """Fields behind it were kept, without end; so long as some of it comes, all is well."""

    async def act(house: House) -> None:
        protocol, wire = house.connect()
        head = BEGUN.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n"
        protocol.data_received(head + (b"0\r\n" if framing.startswith(b"T") else b""))
        for _ in range(HEAD_BYTES_MAX // 1000 + 10):
            protocol.data_received(framing)
        assert wire.closed == framing.startswith(b"T")
        protocol.connection_lost(None)
        await house.done()

    assert run(act).turned == (["head"] if framing.startswith(b"T") else [])


def test_a_head_in_two_parts_is_as_long_as_in_one() -> None:
    async def act(house: House) -> None:
        protocol, wire = house.connect()
        protocol.data_received(BEGUN + endless(60_000))
        protocol.data_received(endless(60_000) + b"\r\n")
        await house.done()
        assert wire.closed and wire.writes[0].startswith(b"HTTP/1.1 431 ")
        protocol.connection_lost(None)

    house = run(act)
    assert house.turned == ["head"] and not house.asked


def test_a_handshake_that_is_turned_away_is_over(caplog: pytest.LogCaptureFixture) -> None:
    async def act(house: House) -> None:
        protocol, wire = house.connect()
        said = b"Connection: upgrade\r\nUpgrade: websocket\r\n"
        protocol.data_received(BEGUN + said + endless(HEAD_BYTES_MAX * 2) + b"\r\n")
        assert wire.closed and wire.writes[0].startswith(b"HTTP/1.1 431 ")
        protocol.connection_lost(None)

    assert run(act).turned == ["head"]
    assert not caplog.records


@pytest.mark.parametrize(
    "ahead", [REQUEST, POST.replace(b"/", b"/early", 1) % 9], ids=["", "early"]
)
def test_nobody_keeps_a_connection_for_nothing(
    monkeypatch: pytest.MonkeyPatch, ahead: bytes
) -> None:
    """A line feed, or the rest of a body behind its answer, had it open for ever."""
    monkeypatch.setattr(bounded, "HEAD_S", 0.05)

    async def act(house: House) -> None:
        protocol, wire = house.connect()
        protocol.data_received(ahead)
        await house.done()
        assert wire.writes[0].startswith(GOOD) and not wire.closed
        protocol.data_received(b"\r\n" if ahead == REQUEST else b"b" * 9)
        await until(lambda: wire.closed)
        protocol.connection_lost(None)

    assert not run(act).turned


def test_who_waits_for_an_answer_of_ours_is_not_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "BODY_S", 0.02)

    async def act(house: House) -> None:
        protocol, wire = house.connect()
        protocol.data_received(REQUEST.replace(b"/", b"/slow", 1) + POST % 4 + b"bo")
        await asyncio.sleep(0.1)
        assert not wire.closed and not wire.writes
        await until(lambda: len(wire.writes) == 1)
        protocol.data_received(b"dy")
        await until(lambda: len(wire.writes) == 2)
        assert all(one.startswith(GOOD) for one in wire.writes)
        protocol.connection_lost(None)

    house = run(act)
    assert house.asked == [0, 4] and not house.turned


def test_a_websocket_that_is_open_is_no_request_under_way(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "HEAD_S", 0.1)
    monkeypatch.setattr(bounded, "BODY_S", 0.1)
    with connect(f"ws://127.0.0.1:{served.port}/v1/stream") as stream:
        for _ in range(5):
            time.sleep(0.1)
            stream.send('{"action":"ping"}')
            assert '"pong"' in str(stream.recv(60))


def test_what_is_no_http_is_counted_and_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def act(house: House) -> None:
        for said in (b"\0\1\2\r\n\r\n", b"GET / HTTP/1.1\r\nA : b\r\n\r\n", BEGUN + b"\r\r\n\n"):
            protocol, wire = house.connect()
            protocol.data_received(said)
            protocol.data_received(REQUEST)
            assert wire.closed and b"".join(wire.writes).count(b"HTTP/1.1 400 ") == 1
            protocol.connection_lost(None)
        protocol, wire = house.connect()
        protocol.data_received(BEGUN + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n")
        await house.done()
        assert wire.writes[0].startswith(GOOD)
        protocol.connection_lost(None)

    assert run(act).turned == ["malformed"] * 3
    assert not caplog.records


def test_connections_are_counted() -> None:
    async def act(house: House) -> None:
        held = [house.connect() for _ in range(3)]
        late, wire = house.connect()
        assert wire.closed and wire.writes[0].startswith(b"HTTP/1.1 503 ")
        late.data_received(REQUEST)
        late.connection_lost(None)
        held[0][0].connection_lost(None)
        held.append(house.connect())
        for protocol, _ in held[1:]:
            protocol.data_received(REQUEST)
        await house.done()
        assert all(wire.writes[0].startswith(GOOD) for _, wire in held[1:])
        for protocol, _ in held[1:]:
            protocol.connection_lost(None)

    house = run(act, connections=3)
    assert house.turned == ["connections"] and house.asked == [0, 0, 0]


@pytest.mark.parametrize(
    ("files", "allowed"),
    [(256, 64), (300, 75), (1024, 768), (65_536, 20_000), (resource.RLIM_INFINITY, 20_000)],
)
def test_connections_leave_files_for_all_else(
    monkeypatch: pytest.MonkeyPatch, files: int, allowed: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (files, files))
    assert connections_allowed() == allowed
