"""Delivery: the connected clients, one write a client and flush, and what becomes of slow ones.

Does not know what is in a frame, nor who asked for it (hub.py, partials.py).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from bursa.api.stream.outbox import SLOW, Client, Form, Key, OutboxLimits, Seen, Wire
from bursa.model.errors import Refuse
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry

WATCH_EVERY_S = 0.5
# One holder may have this part of the places, so that nobody shuts out all others.
SHARE = 10

_log = logger("stream")


class Post:
    """The clients of the stream. All methods run on the server's loop.

    seen     what frames become for whom
    resumed  called with a client whose socket takes again and the keys whose newest partial bar it
             is owed
    left     called with a client that is gone or is being closed
    """

    def __init__(
        self, limits: OutboxLimits, clients_max: int, telemetry: Telemetry, seen: Seen
    ) -> None:
        self.clients: set[Client] = set()
        self._held: Counter[str] = Counter()
        self.resumed: Callable[[Client, list[Key]], None] = lambda client, keys: None
        self.left: Callable[[Client], None] = lambda client: None
        self._limits, self._clients_max = limits, clients_max
        self._telemetry, self._seen = telemetry, seen
        self._gathering: list[Client] = []
        self._blocked: set[Client] = set()
        self._watch: asyncio.TimerHandle | None = None

    def connect(
        self, wire: Wire, throttle_ms: int, form: Form | None = None, whose: str = ""
    ) -> Client:
        """A new client of `whose`, a tenth of all places at most; "": he is not counted.
        Refuse `too_many_clients`."""
        if len(self.clients) >= self._clients_max:
            raise Refuse("the stream is full; try again later", "too_many_clients", 503)
        most = max(self._clients_max // SHARE, 1)
        if whose and self._held[whose] >= most:
            message = f"you hold {most:,} connections to the stream, as many as one may: close some"
            raise Refuse(message, "too_many_clients", 503)
        client = Client(wire, self._limits, throttle_ms, self._seen, form)
        client.whose = whose
        self.clients.add(client)
        self._held[whose] += 1
        self._telemetry.clients.set(len(self.clients))
        return client

    def leave(self, client: Client) -> None:
        """A client is gone; the partial bars that it is not sent any more are counted."""
        self._telemetry.stream_conflated.inc(client.withheld)
        client.withheld = 0
        if client in self.clients:
            self.clients.remove(client)
            self._held[client.whose] -= 1
            if not self._held[client.whose]:
                del self._held[client.whose]
        self._blocked.discard(client)
        client.closed = True
        self._telemetry.clients.set(len(self.clients))
        self.left(client)

    def close(self, client: Client, code: int, reason: str) -> None:
        """Close a client; one that was too slow is counted and logged."""
        if client.closed:
            return
        if code == SLOW:
            self._telemetry.stream_closed.inc()
            _log.warning("slow client closed", subscriptions=len(client.keys), reason=reason)
        client.end(code, reason)
        self.leave(client)

    def send(self, clients: Iterable[Client], frame: bytes) -> None:
        """Gather a frame that is never left out."""
        for client in clients:
            if client.put(frame):
                self._gathering.append(client)

    def send_each(self, client: Client, frames: Iterable[bytes]) -> None:
        """Gather many frames for one client."""
        for frame in frames:
            self.send((client,), frame)

    def send_partial(self, clients: Iterable[Client], frame: bytes, key: Key) -> None:
        """Gather a frame that a later one of its key makes void."""
        for client in clients:
            if client.put_partial(frame, key):
                self._gathering.append(client)

    def flush(self) -> None:
        """Write what was gathered, each client's in one piece."""
        if not self._gathering:
            return
        gathering, self._gathering = self._gathering, []
        now_s = asyncio.get_running_loop().time()
        frames = 0
        for client in gathering:
            frames += client.flush(now_s)
            if client.blocked_since_s is not None:
                self._blocked.add(client)
                self._close_if_slow(client, now_s)
        self._telemetry.stream_frames.labels("all").inc(frames)
        if self._blocked and self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(WATCH_EVERY_S, self._look)

    def writable(self, client: Client) -> None:
        """A client's socket takes again."""
        if client.closed:
            return
        withheld, missed = client.withheld, len(client.missed)
        keys = client.drain(asyncio.get_running_loop().time())
        if client.blocked_since_s is None:
            self._blocked.discard(client)
        if keys:
            self._telemetry.stream_conflated.inc(withheld - missed)
            self.resumed(client, keys)

    def _look(self) -> None:
        self._watch = None
        now_s = asyncio.get_running_loop().time()
        for client in list(self._blocked):
            self._close_if_slow(client, now_s)
        if self._blocked:
            self._watch = asyncio.get_running_loop().call_later(WATCH_EVERY_S, self._look)

    def _close_if_slow(self, client: Client, now_s: float) -> None:
        if client.is_slow(now_s):
            self.close(client, SLOW, "too slow: frames that may not be left out wait for too long")
