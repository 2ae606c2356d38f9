"""SoupBinTCP lines as a feed: one connection and one session a channel.

Each channel connects, fails and comes back alone. It asks for the sequence after the last one that
was journalled, so a cut loses nothing that the server can still send. After the end of a session it
asks for what follows it, and a server that knows no such session is asked for the one it runs now.
The protocol itself is wire/soupbin.py; this file has the sockets and the clock.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import numpy as np

from bursa.feeds.session import BackOff
from bursa.model.batch import SOUPBIN
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ports import Frames, Intake
from bursa.wire import soupbin
from bursa.wire.soupbin import Client, Heard, Login, Step

# One read takes at most this; at 200 MB/s the socket must be drained in large reads.
BUFFER_BYTES = 1 << 20
PACKET_BYTES_MAX = 4096
NO_SUCH_SESSION = "S"


@dataclass(frozen=True)
class Timing:
    """Seconds: between our heartbeats, without a byte until the line is dead, to connect."""

    heartbeat_s: float = 1.0
    dead_s: float = 15.0
    connect_s: float = 10.0


class SoupFeed:
    """Implements ports.Feed. `endpoints`: channel's index -> (host, port)."""

    def __init__(
        self,
        name: str,
        venue: Venue,
        endpoints: Mapping[int, tuple[str, int]],
        user: str,
        password: str,
        timing: Timing | None = None,
        random: Random | None = None,
    ) -> None:
        self.name = name
        self._venue, self._endpoints = venue, dict(endpoints)
        self._user, self._password = user, password
        self._timing = timing or Timing()
        self._random = random or Random()

    async def run(self, intake: Intake) -> None:
        """Deliver until cancelled (ports.Feed). Raises Refuse `login_refused` where user or
        password are wrong: waiting cannot mend that."""
        soupbin.warm()
        async with asyncio.TaskGroup() as group:
            for channel in self._endpoints:
                group.create_task(self._channel(channel, intake))

    async def _channel(self, channel: int, intake: Intake) -> None:
        back_off = BackOff(self._random)
        blank = False
        while True:
            line = await self._connect(channel, intake, blank)
            if line is not None:
                try:
                    await self._live(line)
                finally:
                    line.close()
                if line.was_accepted:
                    back_off.reset()
                blank = line.rejected == NO_SUCH_SESSION
                if line.rejected and not blank:
                    name = self._venue.channels[channel].name
                    raise Refuse(f"{self.name}: login on {name} is refused", "login_refused", 403)
                if line.ended or (blank and line.asked_session):
                    continue
            await asyncio.sleep(back_off.next_s())

    async def _connect(self, channel: int, intake: Intake, blank: bool) -> "_Line | None":
        host, port = self._endpoints[channel]
        session, seq = ("", 1) if blank else intake.resume_point(channel)
        request = Login(self._user, self._password, session, seq)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timing.connect_s):
                _, line = await loop.create_connection(
                    lambda: _Line(channel, intake, request), host, port
                )
        except (OSError, TimeoutError) as error:
            intake.down(channel, f"{host}:{port} cannot be reached: {error or 'time is up'}")
            return None
        return line

    async def _live(self, line: "_Line") -> None:
        """Heartbeats out, silence watched, until the connection is gone."""
        timing = self._timing
        loop = asyncio.get_running_loop()
        while not line.closed.done():
            await asyncio.wait((line.closed,), timeout=timing.heartbeat_s)
            if line.closed.done():
                return
            line.send(soupbin.client_heartbeat())
            if loop.time() - line.heard_at > timing.dead_s:
                line.leave(f"nothing came for {timing.dead_s:g} s")


class _Line(asyncio.BufferedProtocol):
    """One connection. `closed` is done when it is gone; then `ended` says that the session is over,
    `rejected` why the server refused the login."""

    def __init__(self, channel: int, intake: Intake, request: Login) -> None:
        self._channel, self._intake = channel, intake
        self._client = Client(request, PACKET_BYTES_MAX)
        self._buffer = np.empty(BUFFER_BYTES, np.uint8)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._transport: asyncio.Transport | None = None
        self._why = "the server closed the connection"
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.heard_at = loop.time()
        self.asked_session = request.session
        self.was_accepted = self.ended = False
        self.rejected = ""

    # -- asyncio.BufferedProtocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._client.login())

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what is whole; an unfinished packet moves to the front."""
        self.heard_at = asyncio.get_running_loop().time()
        self._filled += nbytes
        at = 0
        while not self.ended and not self.rejected:
            step = self._client.hear(self._buffer, at, self._filled)
            if step.heard is Heard.MORE:
                break
            at = step.end
            if not self._take(step):
                return
        rest = self._filled - at
        if at and rest:
            self._buffer[:rest] = self._buffer[at : self._filled].copy()
        self._filled = rest

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the intake, unless the session ended in order."""
        if not self.ended:
            self._intake.down(self._channel, self._why if exc is None else str(exc))
        if not self.closed.done():
            self.closed.set_result(None)

    # ----------------------------------------------------------------------------------------------

    def _take(self, step: Step) -> bool:
        """Act on what was heard; False when nothing more will be."""
        if step.heard is Heard.DATA:
            self._intake.frames(
                Frames(
                    self._channel,
                    SOUPBIN,
                    self._client.session,
                    step.first_seq,
                    step.count,
                    0,
                    self._view[step.start : step.end],
                )
            )
        elif step.heard is Heard.ACCEPTED:
            self.was_accepted = True
            self._intake.up(self._channel)
        elif step.heard is Heard.END:
            self.ended = True
            self._intake.end_of_session(self._channel)
            self.close()
        elif step.heard is Heard.REJECTED:
            self.rejected = step.code or "?"
            self.leave(f"login refused with code {self.rejected}")
        elif step.heard is Heard.LOST:
            self.leave("framing is lost")
            return False
        return True

    def send(self, data: bytes) -> None:
        """Write, if there is anything to write to."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def leave(self, why: str) -> None:
        """Close for a reason of ours."""
        self._why = why
        self.close()

    def close(self) -> None:
        """Close the connection; may be called again."""
        if self._transport is not None:
            self._transport.close()
