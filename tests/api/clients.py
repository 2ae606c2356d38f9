"""Clients of a served floor: those that read frames one by one or not at all, one that reads all
pages; and what makes the floor speak."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import httpx
from websockets.sync.client import ClientConnection, connect

from bursa.api.stream.hub import Hub
from bursa.model.calendar import MINUTE_NS
from tests.api.floor import DAYS, Floor, Served, at

DAY = DAYS[1]
# A frame that never comes is found out in the end; on a busy machine one may come late.
WAIT_S = 60
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def every_page(client: httpx.Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """The rows of all pages of a route's answer."""
    found: list[dict[str, Any]] = []
    for _ in range(1_000):
        body = client.get(path, params=query).json()
        data = body["data"]
        found += data if isinstance(data, list) else data["ranges"]
        if body["meta"]["next_page"] is None:
            return found
        query["page"] = body["meta"]["next_page"]
    raise AssertionError("paging does not end")


class Frames:
    """Who reads frames, however they come."""

    def next(self) -> dict[str, Any]:
        """The next frame."""
        raise NotImplementedError

    def until(self, *kinds: str) -> list[dict[str, Any]]:
        """All frames up to the next one of a type, that one included."""
        found = [self.next()]
        while found[-1]["type"] not in kinds:
            found.append(self.next())
        return found


def taken(hub: Hub) -> None:
    """Wait until the stream's loop has taken all that was pushed: it gathers for some milliseconds.
    What the loop is asked from then on comes behind it."""
    until(lambda: not hub._inbox)


class Socket(Frames):
    """A client of a WebSocket of a hub's. Use as a context."""

    wire: ClientConnection

    def __init__(self, hub: Hub, url: str, **options: Any) -> None:
        self._hub = hub
        self._opening = connect(url, compression=None, open_timeout=WAIT_S, **options)

    def __enter__(self) -> Self:
        self.wire = self._opening.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.close()

    def say(self, **message: Any) -> None:
        self.wire.send(json.dumps(message))

    def next(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self.wire.recv(timeout=WAIT_S))
        return frame

    def rest(self) -> list[dict[str, Any]]:
        """What comes of all that was pushed, up to the answer to a ping."""
        taken(self._hub)
        self.say(action="ping")
        return self.until("pong")[:-1]


@contextlib.contextmanager
def idle(served: Served, target: str, headers: str = "") -> Iterator[socket.socket]:
    """A connection that asks for `target` and then does not read; its window is small."""
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.settimeout(WAIT_S)
        wire.connect(("127.0.0.1", served.port))
        host = f"Host: 127.0.0.1:{served.port}\r\n"
        wire.sendall(f"GET {target} HTTP/1.1\r\n{host}{headers}\r\n".encode())
        yield wire


def drain(wire: socket.socket, last: bytes = b"") -> bytes:
    """All that a connection brings to its end; or to `last` and a second of silence behind it."""
    raw = b""
    with contextlib.suppress(ConnectionResetError, TimeoutError):
        while part := wire.recv(1 << 20):
            raw += part
            if last and last in raw:
                wire.settimeout(1)
    return raw


def until(condition: Callable[[], Any], seconds: float = WAIT_S) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def minute(floor: Floor, number: int, price: float = 9_200) -> None:
    """A trade in 09:number, and what closes the minute before."""
    floor.trade(at(DAY, 9, number, 2.5), price)


def minutes(floor: Floor, most: int = 20_000) -> Iterator[int]:
    """A trade a minute from 09:04 on, for as long as one looks; how many came before."""
    for n in range(most):
        floor.trade(at(DAY, 9, 4) + n * MINUTE_NS + 2_500_000_000, 9_000 + n % 50)
        yield n


def until_blocked(floor: Floor, client: Any) -> None:
    """Trade until the server has more for a client than its connection takes."""
    for _ in minutes(floor):
        if client.blocked_since_s is not None:
            return
    raise AssertionError("its connection takes all")


def until_withheld(floor: Floor, client: Any, count: int) -> int:
    """Trade within 09:03 until so many partials were left out for a client; ns of the next one."""
    ts = at(DAY, 9, 3, 4)
    for n in range(5_000):
        if client.withheld >= count:
            return ts
        floor.trade(ts, 9_000 + n % 1000)
        ts += 1_000_000
        time.sleep(0.003)
    raise AssertionError(f"{client.withheld} of {count} partials were left out")
