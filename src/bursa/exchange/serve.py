"""The demo exchange's two ports: logins, and each client's own place in the stream.

One connection is one channel. A client asks for a session and a number:

    blank session         the first day of the stream, from that number on
    a session it knows    from that number on; past its last message: the session that follows,
                          from 1 (the acceptance names it)
    number 0              only what comes from now on, of the live day
    anything else         refused, `S`; a wrong user or password `A`

After a day's last message comes `Z` and the connection is closed; the next login goes on. What lies
behind the market clock is sent as fast as it is taken, the two channels of one user side by side:
neither runs more than LEAD_NS of market time ahead of the other, unless the other is away for
longer than ALONE_AFTER_S. A client that takes slowly is waited for; its own sockets are its memory.
"""

import asyncio
import json
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime

from bursa.exchange.clock import MarketClock, Origin
from bursa.exchange.stream import Session, Sessions, tally
from bursa.model.calendar import MINUTE_NS, Calendar
from bursa.model.errors import Reject
from bursa.wire.transport import soupbin
from bursa.wire.transport.soupbin import Said

LEAD_NS = MINUTE_NS
ALONE_AFTER_S = 2.0
CLIENTS_MAX = 64
_STEP_NS = MINUTE_NS // 2  # of history at a time
_TICK_S, _TICK_FAST_S = 0.01, 0.002
_LINGER_S = 2.0
_CHANNEL_LETTERS = "DI"  # of the sessions' names: idxdata, itchdata


def log(event: str, **facts: object) -> None:
    """A JSON line on standard error; nobody need read it."""
    with suppress(OSError, ValueError):
        sys.stderr.write(json.dumps({"event": event, **facts}, default=str) + "\n")
        sys.stderr.flush()


def session_name(day: date, channel: int) -> str:
    """The name of a day's session on a channel: 251120D."""
    return f"{day:%y%m%d}{_CHANNEL_LETTERS[channel]}"


def session_day(name: str, channel: int) -> date | None:
    """The day of a session's name; None where this channel has no such name."""
    if len(name) != 7 or name[-1] != _CHANNEL_LETTERS[channel] or not name[:6].isdigit():
        return None
    try:
        return datetime.strptime(name[:6] + "+0000", "%y%m%d%z").date()
    except ValueError:
        return None


@dataclass(eq=False)
class Connection:
    """One client on one channel."""

    socket: socket.socket
    channel: int
    peer: str
    user: str = ""
    session: Session | None = None
    sent_s: float = field(default_factory=time.monotonic)

    @property
    def position_ns(self) -> int:
        """Market time it was told up to; -1 before its login."""
        return self.session.position_ns if self.session else -1


class Exchange:
    """Serves until `stop` is set, or until nobody was there for `idle_exit_s`."""

    def __init__(
        self, calendar: Calendar, origin: Origin, clock: MarketClock, user: str, password: str
    ) -> None:
        self.clock = clock
        self.stop = asyncio.Event()
        self._calendar = calendar
        self._origin = origin
        self._user, self._password = user, password
        self._sessions = Sessions()
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Event()  # somebody, or the clock, went on: waiters look again
        self._seen_s: dict[tuple[str, int], float] = {}  # (user, channel): last there

    async def serve(self, listeners: list[socket.socket], idle_exit_s: float) -> None:
        """Accept clients on each channel's listening socket. Returns when stopped."""
        accepting = [
            asyncio.create_task(self._accept(listener, channel))
            for channel, listener in enumerate(listeners)
        ]
        try:
            await self._tick(idle_exit_s)
        finally:
            tasks = [*accepting, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # Time

    async def _tick(self, idle_exit_s: float) -> None:
        fast = self.clock.pace.rate is not None or self.clock.pace.speed > 1
        counted: asyncio.Task[None] | None = None
        here_s = time.monotonic()
        while not self.stop.is_set():
            now_s = time.monotonic()
            here_s = now_s if self._connections else here_s
            if now_s - here_s > idle_exit_s:
                log("idle", seconds=idle_exit_s)
                return
            at_a_rate = self.clock.pace.rate is not None
            self.clock.tick(time.monotonic_ns(), counts=bool(self._connections) or not at_a_rate)
            day = self.clock.missing()
            if day is not None and (counted is None or counted.done()):
                counted = asyncio.create_task(self._count(day))
            self._notify()
            await asyncio.sleep(_TICK_FAST_S if fast else _TICK_S)

    async def _count(self, day: date) -> None:
        counts = await asyncio.to_thread(tally, self._origin.day(self._calendar, day))
        self.clock.take(day, counts)

    def _notify(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    # Clients

    async def _accept(self, listener: socket.socket, channel: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, address = await loop.sock_accept(listener)
            client.setblocking(False)
            if len(self._connections) >= CLIENTS_MAX:
                log("refused", why="too many clients", peer=address)
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(client, channel, f"{address[0]}:{address[1]}")
            self._connections.add(connection)
            task = asyncio.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: Connection) -> None:
        server = soupbin.Server()
        try:
            request = await self._hear_login(connection, server)
            if request is not None and await self._log_in(connection, request):
                await self._converse(connection, server)
        except (OSError, Reject) as error:
            log("dropped", peer=connection.peer, why=str(error) or type(error).__name__)
        finally:
            self._leave(connection)

    async def _converse(self, connection: Connection, server: soupbin.Server) -> None:
        """Tell the session until it ends or the client leaves."""
        hearing = asyncio.create_task(self._hear(connection, server))
        telling = asyncio.create_task(self._tell(connection))
        try:
            await asyncio.wait((hearing, telling), return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                await telling
                connection.socket.shutdown(socket.SHUT_WR)
                await asyncio.wait((hearing,), timeout=_LINGER_S)  # it reads on, then closes
            if hearing.done():
                await hearing
        finally:
            for task in (hearing, telling):
                task.cancel()
            await asyncio.gather(hearing, telling, return_exceptions=True)

    def _leave(self, connection: Connection) -> None:
        self._connections.discard(connection)
        connection.socket.close()
        self._notify()

    async def _read(self, connection: Connection) -> bytes:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(soupbin.DEAD_AFTER_S):
            return await loop.sock_recv(connection.socket, 65_536)

    async def _hear_login(
        self, connection: Connection, server: soupbin.Server
    ) -> soupbin.Login | None:
        while data := await self._read(connection):
            for said, payload in server.hear(data):
                if said is Said.LOGIN:
                    return server.request
                self._note(connection, said, payload)
        return None

    async def _hear(self, connection: Connection, server: soupbin.Server) -> None:
        """Until the client leaves; raises TimeoutError (an OSError) when it falls silent."""
        while data := await self._read(connection):
            for said, payload in server.hear(data):
                if said is Said.LOGOUT:
                    return
                self._note(connection, said, payload)

    def _note(self, connection: Connection, said: Said, payload: bytes) -> None:
        """What a client says beside the session: its text is for who reads the log; orders, which
        nobody takes here, are told to be none."""
        if said is Said.DEBUG:
            log("client says", peer=connection.peer, text=payload[:200].decode("ascii", "replace"))
        elif said is Said.UNSEQUENCED:
            log("not taken", peer=connection.peer, bytes=len(payload))

    # Sessions

    async def _log_in(self, connection: Connection, request: soupbin.Login) -> bool:
        loop = asyncio.get_running_loop()
        session, code = None, soupbin.NOT_AUTHORISED
        if (request.user, request.password) == (self._user, self._password):
            session = await asyncio.to_thread(self._find, connection.channel, request)
            code = soupbin.NO_SUCH_SESSION
        if session is None:
            log("login refused", peer=connection.peer, session=request.session, seq=request.seq)
            await loop.sock_sendall(connection.socket, soupbin.login_rejected(code))
            return False
        day = session.day.date
        self.clock.reached(day, session.position_ns)
        if day == self.clock.day:
            self.clock.start()
        connection.user = request.user
        connection.session = session
        self._seen_s.setdefault((request.user, 1 - connection.channel), time.monotonic())
        name, seq = session_name(day, connection.channel), session.next_seq
        log("login", peer=connection.peer, session=name, seq=seq)
        await loop.sock_sendall(connection.socket, soupbin.login_accepted(name, seq))
        return True

    def _find(self, channel: int, request: soupbin.Login) -> Session | None:
        """The session to go on in; None where there is no such message."""
        if request.seq == 0:
            session = Session(self._origin.day(self._calendar, self.clock.day), channel)
            session.skip(self.clock.now_ns)
            return session
        day = session_day(request.session, channel) if request.session else self._origin.first_day
        latest = self._calendar.next_day(self.clock.day)
        if day is None or not self._origin.first_day <= day <= latest:
            return None
        if not self._calendar.is_trading_day(day):
            return None
        found = self._sessions.open(self._origin.day(self._calendar, day), channel, request.seq)
        if found is None or not found.done:
            return found
        following = self._origin.day(self._calendar, self._calendar.next_day(day))
        return self._sessions.open(following, channel, 1)

    def _limit_ns(self, connection: Connection, session: Session) -> int:
        """How far a connection may be told now."""
        limit_ns = self.clock.limit_ns(session.day.date)
        if limit_ns - session.position_ns <= LEAD_NS:
            return limit_ns
        other = 1 - connection.channel
        positions = [
            c.position_ns
            for c in self._connections
            if c.channel == other and c.user == connection.user and c.session
        ]
        now_s = time.monotonic()
        if positions:
            self._seen_s[connection.user, other] = now_s
            beside_ns = min(positions, key=lambda ns: abs(ns - session.position_ns))
            return min(limit_ns, beside_ns + LEAD_NS)
        alone = now_s - self._seen_s[connection.user, other] > ALONE_AFTER_S
        return limit_ns if alone else session.position_ns

    async def _tell(self, connection: Connection) -> None:
        """Send the session to its end, then say so."""
        loop = asyncio.get_running_loop()
        session = connection.session
        assert session is not None, "only who is logged in is told anything"
        while not session.done:
            moved = self._moved
            before_ns = session.position_ns
            limit_ns = min(self._limit_ns(connection, session), before_ns + _STEP_NS)
            block = session.advance(limit_ns)
            if block:
                await loop.sock_sendall(connection.socket, block)
                connection.sent_s = time.monotonic()
                self._sessions.remember(session)
            if self.clock.pace.unbounded:
                self.clock.reached(session.day.date, session.position_ns)
            if session.position_ns > before_ns:
                self._notify()
                await asyncio.sleep(0)
            elif not block:
                await self._wait(connection, moved)
        await loop.sock_sendall(connection.socket, soupbin.end_of_session())

    async def _wait(self, connection: Connection, moved: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        await moved.wait()
        if time.monotonic() - connection.sent_s >= soupbin.HEARTBEAT_S:
            await loop.sock_sendall(connection.socket, soupbin.heartbeat())
            connection.sent_s = time.monotonic()
