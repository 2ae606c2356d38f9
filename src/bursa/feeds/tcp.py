"""SoupBinTCP lines as a feed: one connection and one session a channel.

Each channel connects, fails and comes back alone. It asks for the number after the last one that
was journalled, so a cut loses nothing that the server can still send. After the end of a session it
asks for what follows; a server that knows no such session is asked for the one it runs now.

Where framing is lost, what cannot be read goes to the intake as it is (it is quarantined with its
bytes) and the connection is opened anew. If the same message breaks it again, it is passed over:
one message is missing then, recorded as a gap, instead of the rest of the day.

While the journal refuses (a full disk) no socket is read and none is opened; heartbeats go on, and
the silence of a line that is not read is not the server's.

What was granted and what came goes through a sequencer (wire/transport/sequencer.py), one a channel
over all its connections: a server that sends again what was asked for before is not journalled
twice. Debug text and unsequenced data are logged and counted, they belong to no order.

The protocol itself is wire/transport/soupbin.py; this file has the sockets and the clock.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from bursa.feeds.socket_line import SocketLine
from bursa.feeds.tally import Tally
from bursa.model.batch import SOUPBIN
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ops.back_off import BACK_OFF_S, BackOff
from bursa.ops.logs import logger
from bursa.ports import Frames, Intake
from bursa.wire.idx.layout import IDX1
from bursa.wire.transport import sequencer as sequencing
from bursa.wire.transport import soupbin
from bursa.wire.transport.runs import Run
from bursa.wire.transport.runs import Step as Ordered
from bursa.wire.transport.sequencer import Sequencer
from bursa.wire.transport.soupbin import Client, Heard, Login, Step

# What is kept of bytes in which no packet can be found.
BROKEN_BYTES_MAX = 65_536
# What is logged of a server's debug text.
_TEXT_MAX = 200
LINE = "tcp"
# How long a closing connection may take to say goodbye.
_GOODBYE_S = 1.0
# The login that asks for the running session from its beginning.
_BLANK = ("", 1)


@dataclass(frozen=True)
class Timing:
    """Seconds: between our heartbeats, without a byte until the line is dead, to connect, to wait
    after each failure in turn."""

    heartbeat_s: float = soupbin.HEARTBEAT_S
    dead_s: float = soupbin.DEAD_AFTER_S
    connect_s: float = 10.0
    back_off_s: tuple[float, ...] = BACK_OFF_S


class SoupFeed:
    """Implements ports.Feed. `endpoints`: channel's index -> (host, port); `message_bytes_max`: a
    longer message means that framing is lost."""

    def __init__(
        self,
        name: str,
        venue: Venue,
        endpoints: Mapping[int, tuple[str, int]],
        user: str,
        password: str,
        timing: Timing | None = None,
        random: Random | None = None,
        message_bytes_max: int = IDX1.block_bytes_max,
    ) -> None:
        self.name = name
        # With the packet's type. Longer than the decoder takes: it would lose the rest of a read.
        self._bytes_max = message_bytes_max + 1
        self._venue, self._endpoints = venue, dict(endpoints)
        self._user, self._password = user, password
        self._timing = timing or Timing()
        self._random = random or Random()

    async def run(self, intake: Intake) -> None:
        """Deliver until cancelled (ports.Feed). Raises Refuse `login_refused` where the first
        login of a channel is: waiting cannot mend a wrong password."""
        soupbin.warm()
        sequencing.warm()
        channels = [
            asyncio.create_task(self._channel(channel, intake)) for channel in self._endpoints
        ]
        try:
            await asyncio.gather(*channels)
        finally:
            for task in channels:
                task.cancel()
            await asyncio.gather(*channels, return_exceptions=True)

    async def _channel(self, channel: int, intake: Intake) -> None:
        back_off = BackOff(self._random, self._timing.back_off_s)
        past = _Past(intake, channel, self._venue.channels[channel].name)
        while True:
            await intake.room()
            line = await self._connect(channel, intake, past)
            at_once = False
            if line is not None:
                try:
                    await self._live(line, past)
                finally:
                    await line.close()
                    past.tell()
                if line.rejected == soupbin.NOT_AUTHORISED and not past.accepted:
                    name = self._venue.channels[channel].name
                    what = f"{self.name}: login on {name} is refused: its user or password is wrong"
                    raise Refuse(what, "login_refused", 403)
                at_once = past.learn(line)
                if line.delivered:
                    back_off.reset()
            if not at_once:
                await asyncio.sleep(back_off.next_s())

    async def _connect(self, channel: int, intake: Intake, past: "_Past") -> "_Line | None":
        host, port = self._endpoints[channel]
        point = past.request(intake.resume_point(channel))
        request = Login(self._user, self._password, *point)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timing.connect_s):
                _, line = await loop.create_connection(
                    lambda: _Line(channel, intake, request, past, self._bytes_max), host, port
                )
        except (OSError, TimeoutError) as error:
            intake.down(channel, f"{host}:{port} cannot be reached: {error or 'time is up'}")
            return None
        return line

    async def _live(self, line: "_Line", past: "_Past") -> None:
        """Heartbeats out, silence counted, until the connection is gone. Silence is counted in
        heartbeats: a loop that stood still itself has not listened. Until the login is answered
        nothing else breaks it."""
        timing = self._timing
        silent_s = 0.0
        while not line.closed.done():
            line.heard = False
            await asyncio.wait((line.closed,), timeout=timing.heartbeat_s)
            line.send(soupbin.client_heartbeat())
            past.tell()
            alive = line.paused or line.heard and line.accepted
            silent_s = 0.0 if alive else silent_s + timing.heartbeat_s
            if silent_s >= timing.dead_s:
                what = "nothing came" if line.accepted else "the login was not answered"
                line.leave(f"{what} for {timing.dead_s:g} s")


class _Past:
    """What one channel's connections have taught, for the next login.

    name       the channel's
    accepted   a login was, once
    ended      the session that ended last
    sequencer  what came, in order
    totals     of what else was heard: heartbeats, debug, unsequenced, other, logins, rejected, lost
    """

    def __init__(self, intake: Intake, channel: int, name: str) -> None:
        self.name = name
        self.sequencer = Sequencer()
        self.sequencer.resume(*intake.resume_point(channel))
        self.totals: dict[str, int] = {}
        self._tally = Tally(intake, channel)
        self.accepted = False
        self.ended = ""
        self._blank = False
        self._lost_at: tuple[str, int] | None = None
        self._lost_count = 0

    def add(self, word: str) -> None:
        """One more of these."""
        self.totals[word] = self.totals.get(word, 0) + 1

    def tell(self) -> None:
        """To telemetry."""
        lane, counts = self.sequencer.lines[0], self.sequencer.counts
        self._tally.tell(LINE, messages=lane.messages, duplicates=lane.duplicates, **self.totals)
        self._tally.tell(
            LINE, gaps=counts.gaps, missing=counts.missing, sessions=counts.sessions,
            resets=counts.resets,
        )  # fmt: skip

    def request(self, point: tuple[str, int]) -> tuple[str, int]:
        """Session and number to ask for, where the intake is at `point`."""
        if self._blank:
            return _BLANK
        session, seq = point
        return (session, seq + 1) if self._lost_at == point and self._lost_count > 1 else point

    def learn(self, line: "_Line") -> bool:
        """After a connection: whether to come back at once. Behind a session that has just ended
        there may be another; behind one that was over before there was none a moment ago."""
        self.accepted = self.accepted or line.accepted
        self._blank = line.rejected == soupbin.NO_SUCH_SESSION and line.asked != _BLANK
        if line.lost_at is not None:
            self._lost_count = self._lost_count + 1 if line.lost_at == self._lost_at else 1
            self._lost_at = line.lost_at
        if not line.ended:
            return self._blank
        news, self.ended = line.delivered or line.session != self.ended, line.session
        return news


class _Line(SocketLine):
    """One connection, and its session.

    asked       session and number that were asked for
    accepted    the login was; then `session` is the server's
    delivered   messages came
    ended       the server said that the session is over
    rejected    the code of a refused login
    lost_at     session and number of the message at which framing was lost
    """

    def __init__(
        self, channel: int, intake: Intake, request: Login, past: "_Past", bytes_max: int
    ) -> None:
        super().__init__(intake)
        self._channel = channel
        self._past, self._ended_before = past, past.ended
        self._log = logger("soupbin").bind(channel=past.name)
        self._client = Client(request, bytes_max)
        self.asked = (request.session, request.seq)
        self.accepted = self.delivered = self.ended = False
        self.rejected = ""
        self.lost_at: tuple[str, int] | None = None

    @property
    def session(self) -> str:
        """The session as the server named it."""
        return self._client.session

    # -- asyncio.BufferedProtocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in."""
        super().connection_made(transport)
        self.send(self._client.login())

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what is whole; an unfinished packet moves to the front."""
        self.heard = True
        self._filled += nbytes
        at = 0
        while not (self.ended or self.rejected or self.lost_at):
            step = self._client.hear(self._buffer, at, self._filled)
            if step.heard is Heard.MORE:
                break
            self._take(step)
            at = step.end
        self._used(at)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the intake, unless the session ended in order."""
        self._wait_no_more()
        if not self.ended:
            self._intake.down(self._channel, self._why if exc is None else str(exc))
        self.closed.set_result(None)

    # ----------------------------------------------------------------------------------------------

    def _take(self, step: Step) -> None:
        """Act on what was heard."""
        if step.heard is Heard.DATA:
            self.delivered = True
            packets = self._view[step.start : step.end]
            now = time.monotonic_ns()
            self._deliver(
                self._past.sequencer.offer(
                    0, self.session, step.first_seq, step.count, packets, now
                )
            )
            return
        self._past.add(step.heard.name.lower())
        if step.heard is Heard.ACCEPTED:
            self.accepted = True
            self._intake.up(self._channel)
            now = time.monotonic_ns()
            self._deliver(self._past.sequencer.grant(0, self.session, step.first_seq, now))
        elif step.heard is Heard.END:
            self._end()
        elif step.heard is Heard.REJECTED:
            self.rejected = step.code or "?"
            self.leave(f"login refused with code {self.rejected}")
        elif step.heard is Heard.LOST:
            self._lose(step)
        elif step.heard is Heard.DEBUG:
            self._log.info("the server says", text=step.text[:_TEXT_MAX])
        elif step.heard in (Heard.UNSEQUENCED, Heard.OTHER):
            self._log.debug("a packet outside the stream", bytes=step.end - step.start)

    def _deliver(self, steps: Sequence[Ordered]) -> None:
        """Hand on what is news. What the server cannot send any more the decoder sees missing."""
        for step in steps:
            if isinstance(step, Run):
                self._hand_on(step.first, step.count, step.payload)

    def _hand_on(self, first_seq: int, count: int, packets: bytes | bytearray | memoryview) -> None:
        self._intake.frames(
            Frames(self._channel, SOUPBIN, self.session, first_seq, count, 0, packets)
        )

    def _end(self) -> None:
        """The session is over; it is told once, however often the server repeats it."""
        self.ended = True
        if self.delivered or self.session != self._ended_before:
            self._intake.end_of_session(self._channel)
        self._shut()

    def _lose(self, step: Step) -> None:
        """No packet can begin here: keep the bytes, close."""
        self.lost_at = (self.session, self._client.next_seq)
        if self.accepted:
            end = min(step.end, step.start + BROKEN_BYTES_MAX)
            self._hand_on(self._client.next_seq, 0, self._view[step.start : end])
        self.leave("framing is lost")

    def send(self, data: bytes) -> None:
        """Write, if there is anything to write to."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def leave(self, why: str) -> None:
        """Close for a reason of ours."""
        self._why = why
        self._shut()

    async def close(self) -> None:
        """Log out and close; returns when the connection is gone."""
        if self.accepted:
            self.send(soupbin.logout())
        if not self.closed.done():
            self.leave("stopped")
        await asyncio.wait((self.closed,), timeout=_GOODBYE_S)
        if self._transport is not None and not self.closed.done():
            self._transport.abort()

    def _shut(self) -> None:
        if self._transport is not None:
            self._transport.close()
