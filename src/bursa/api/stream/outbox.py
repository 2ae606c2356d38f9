"""One client of the stream: what it asked for, and what waits for it when it does not read.

Frames are gathered and written once a flush. While the socket takes no more, partial bars are left
out (the newest is sent later, and a `gap` frame says how many were not), other frames wait in an
outbox with limits; a client past them, or stalled with frames waiting, is closed with 4008.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bursa.accounts.who import NOBODY, Principal
from bursa.api.stream.frames import said

SLOW = 4008


class Wire(Protocol):
    """The way to one client (ws.py)."""

    blocked: bool

    def write(self, data: bytes) -> None:
        """Put whole frames on the socket; never waits."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame behind what is written, then let go of the socket soon."""


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """What may wait for one client, and how long (seconds) it may take nothing meanwhile."""

    messages: int = 500
    bytes: int = 15 * 2**20
    stall_s: float = 20.0


# What a client asked for: (venue, channel, freq, symbol id). `Client.later` has those whose ticker
# the venue does not know yet, with the code in the id's place.
Key = tuple[str, str, str, int]
# What a frame, as frames.py makes it, becomes on the way to a client; b"": it is left out. Frames
# are made once for all clients, so a form that remembers what it made makes each once too.
Form = Callable[[bytes], bytes]
# What frames become for somebody, before they take the form of his way; None: they stay.
Seen = Callable[[Principal], Form | None]


class Client:
    """One connected client.

    quiet    those of its keys whose bars under way it does not want
    who      who listens, from `address`; what frames become for him goes by it (`seen`)
    whose    what its place is counted by (post.py)
    again    asks who listens, at a time; raises Refuse where he may no longer; None: nobody asks
    owed     those of which it still takes up what it missed; it listens to them once it has
    """

    def __init__(
        self,
        wire: Wire,
        limits: OutboxLimits,
        throttle_ms: int,
        seen: Seen,
        form: Form | None = None,
    ) -> None:
        self.wire = wire
        self.throttle_ms = throttle_ms
        self._see = seen
        self.who, self.address, self.whose = NOBODY, "", ""
        self.owed: Sequence[Key] = ()
        self.again: Callable[[int], Principal] | None = None
        self.keys: set[Key] = set()
        self.quiet: set[Key] = set()
        self.later: set[tuple[str, str, str, str]] = set()
        self.closed = False
        self.blocked_since_s: float | None = None
        self.missed: dict[Key, None] = {}
        self.withheld = 0
        self._limits, self._form = limits, form
        self._gathered: list[bytes] = []
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0

    @property
    def who(self) -> Principal:
        """Who listens. Nobody, who sees no HD, until it is said."""
        return self._who

    @who.setter
    def who(self, who: Principal) -> None:
        self._who, self._seen = who, self._see(who)

    def put(self, frame: bytes) -> bool:
        """Gather a frame for the next `flush`. True: it is the first since the last one."""
        if self._seen is not None:
            frame = self._seen(frame)
        if self._form is not None:
            frame = self._form(frame)
            if not frame:
                return False
        self._gathered.append(frame)
        return len(self._gathered) == 1

    def put_partial(self, frame: bytes, key: Key) -> bool:
        """As `put`, for a frame that a newer one of its key makes void."""
        if self.wire.blocked:
            self.missed[key] = None
            self.withheld += 1
            return False
        return self.put(frame)

    def flush(self, now_s: float) -> int:
        """Write what is gathered, or let it wait. Returns the number of frames taken."""
        gathered, self._gathered = self._gathered, []
        if self.closed or not gathered:
            return 0
        if not self.wire.blocked and not self._waiting:
            self.wire.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))
        else:
            self._waiting.extend(gathered)
            self._waiting_bytes += sum(map(len, gathered))
        if self.wire.blocked and self.blocked_since_s is None:
            self.blocked_since_s = now_s
        return len(gathered)

    def is_slow(self, now_s: float) -> bool:
        """Past its limits, or stalled while frames wait that cannot be left out?"""
        if len(self._waiting) > self._limits.messages or self._waiting_bytes > self._limits.bytes:
            return True
        since = self.blocked_since_s
        return since is not None and bool(self._waiting) and now_s - since >= self._limits.stall_s

    def drain(self, now_s: float) -> list[Key]:
        """The socket takes again: write what waited. Returns the keys whose newest partial is to be
        sent; how many others were left out a `gap` frame tells."""
        while self._waiting and not self.wire.blocked:
            frame = self._waiting.popleft()
            self._waiting_bytes -= len(frame)
            self.wire.write(frame)
        self.blocked_since_s = now_s if self.wire.blocked else None
        if self.wire.blocked:
            return []
        keys = list(self.missed)
        left_out = self.withheld - len(keys)
        if left_out > 0:
            told = said({"type": "gap", "reason": "slow", "conflated": left_out})
            self.wire.write(told if self._form is None else self._form(told))
        self.missed.clear()
        self.withheld = 0
        return keys

    def end(self, code: int, reason: str) -> None:
        """Close it; what waits is dropped."""
        if not self.closed:
            self.closed = True
            self._waiting.clear()
            self._gathered.clear()
            self.wire.close(code, reason)
