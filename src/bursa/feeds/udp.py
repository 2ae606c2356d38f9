"""MoldUDP64 as a feed: two lines of a channel that send the same, and servers that repeat.

Each channel listens on one or two lines, A and B (a multicast group that is joined, or an address
of its own), and asks request servers for what neither brought. The order is made by
wire/transport/sequencer.py; here is time, sockets are made in datagrams.py. Packets are taken many
a wake-up; what they bring goes to the journal as blocks, with session and number. A line that
cannot be opened, or falls silent, is told and tried again; the channel is away when all its lines
are. After a restart the journal's next number is the one that is due: what was sent meanwhile is
asked for.

A packet that is none goes to the intake as it is, and is quarantined with its bytes. While the
journal refuses (a full disk) no socket is read: the kernel drops, and requests heal that later.

Records are stamped by the journal in the turn of the loop in which they are delivered: a message
that had to wait for another could not be known before. Joins are sent by the kernel; a network that
forgets them (no querier) shows as silence.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from bursa.feeds.datagrams import Address, dropped, listener, plain, widen
from bursa.feeds.tally import Tally
from bursa.model.batch import BLOCKS
from bursa.model.errors import Reject
from bursa.model.venue import Venue
from bursa.ops.back_off import BACK_OFF_S, BackOff
from bursa.ops.logs import logger
from bursa.ports import Frames, Intake
from bursa.wire.transport import moldudp64 as mold
from bursa.wire.transport import sequencer as sequencing
from bursa.wire.transport.runs import Ask, Ended, Limits, Lost, Patience, Run, Step
from bursa.wire.transport.sequencer import Sequencer

Endpoint = tuple[str, int]

# One wake-up takes at most this from a socket, then the others have their turn.
BUFFER_BYTES = 4 << 20
DATAGRAMS_MAX = 1024
# How often silence is looked at and counts are told.
LOOK_S = 1.0
# Of packets that do not fit, so many lines and sessions are told.
WARNED_MAX = 64
REQUESTS = "requests"
SEQUENCER = "all"


@dataclass(frozen=True)
class Lines:
    """One channel's endpoints. A multicast group is joined on `interface` (a name or an IPv4
    address of it; "": the system's choice), any other address is bound.

    names     of the lines, in telemetry
    servers   who is asked for what is missing, in turn
    """

    lines: Sequence[Endpoint]
    servers: Sequence[Endpoint] = ()
    interface: str = ""
    names: Sequence[str] = ("A", "B")


@dataclass(frozen=True)
class Manner:
    """How lines are listened to.

    patience          how gaps are waited for; limits: of what waits meanwhile
    dead_s            without a packet until a line is down
    receive_bytes     of each socket's buffer in the kernel
    from_first        a channel of which the journal knows nothing begins at number 1
    block_bytes_max   longest message that the venue's decoder takes
    """

    block_bytes_max: int
    patience: Patience = field(default_factory=Patience)
    limits: Limits = field(default_factory=Limits)
    dead_s: float = 15.0
    receive_bytes: int = 32 << 20
    from_first: bool = True
    back_off_s: tuple[float, ...] = BACK_OFF_S


class MoldFeed:
    """Implements ports.Feed. `channels`: channel's index -> its lines."""

    def __init__(
        self,
        name: str,
        venue: Venue,
        channels: Mapping[int, Lines],
        manner: Manner,
        random: Random | None = None,
    ) -> None:
        self.name = name
        self._venue, self._channels, self._manner = venue, dict(channels), manner
        self._random = random or Random()

    async def run(self, intake: Intake) -> None:
        """Deliver until cancelled (ports.Feed)."""
        mold.warm()
        sequencing.warm()
        channels = [
            _Channel(number, self._venue.channels[number].name, lines, self._manner, intake)
            for number, lines in self._channels.items()
        ]
        tasks = [
            asyncio.create_task(each)
            for channel in channels
            for each in channel.parts(self._random)
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for channel in channels:
                channel.close()


@dataclass
class _Port:
    """A socket that is read: one line, or the answers to requests."""

    index: int
    name: str
    made: socket.socket | None = None
    up: bool = False
    heard_s: float = 0.0
    packets: int = 0
    heartbeats: int = 0
    malformed: int = 0
    doubtful: int = 0
    dropped: int = 0  # by sockets that are closed
    failed: asyncio.Event = field(default_factory=asyncio.Event)


class _Channel:
    """One channel: its sockets, its sequencer, its place in the journal."""

    def __init__(
        self, number: int, name: str, lines: Lines, manner: Manner, intake: Intake
    ) -> None:
        self._number, self._lines, self._manner, self._intake = number, lines, manner, intake
        self._log = logger("moldudp64").bind(channel=name)
        self._ports = [
            _Port(at, lines.names[at] if at < len(lines.names) else str(at))
            for at in range(len(lines.lines))
        ]
        self._answers = _Port(len(lines.lines), REQUESTS)
        patience = manner.patience
        if not lines.servers:
            patience = Patience(patience.first_wait_ns, patience.again_ns, 0, mold.COUNT_MAX)
        self._sequencer = Sequencer(
            len(lines.lines) + 1, patience, manner.limits, from_first=manner.from_first
        )
        self._sequencer.resume(*intake.resume_point(number))
        self._doubt = mold.Doubt(self._sequencer)
        self._octets = np.empty(BUFFER_BYTES, np.uint8)
        self._view = self._octets.data
        self._sessions: dict[bytes, str] = {}
        self._warned: set[tuple[str, str]] = set()
        self._raw = b""
        self._servers: list[tuple[int, Address]] = []
        self._turn = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._tally = Tally(intake, number)
        self._up = False
        self._paused = False
        self._began_s = time.monotonic()

    def parts(self, random: Random) -> Iterator[Coroutine[None, None, None]]:
        """What runs for it, as coroutines."""
        for port in self._ports:
            yield self._listen(port, BackOff(random, self._manner.back_off_s))
        if self._lines.servers:
            yield self._answered(BackOff(random, self._manner.back_off_s))
        yield self._watch()

    def close(self) -> None:
        """Read nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        for port in (*self._ports, self._answers):
            self._shut(port)
        self._count()

    # -- sockets -----------------------------------------------------------------------------------

    async def _listen(self, port: _Port, back_off: BackOff) -> None:
        """Keep a line open."""
        host, number = self._lines.lines[port.index]
        loop = asyncio.get_running_loop()
        while True:
            await self._intake.room()
            try:
                [(family, *_, address), *_] = await loop.getaddrinfo(
                    host, number, type=socket.SOCK_DGRAM
                )
                port.made = listener(family, address, self._lines.interface)
            except OSError as error:
                self._line_down(port, f"{host}:{number} cannot be listened to: {error}")
            else:
                back_off.reset()
                self._read_from(port)
                await port.failed.wait()
                self._shut(port)
            await asyncio.sleep(back_off.next_s())

    async def _answered(self, back_off: BackOff) -> None:
        """Find the servers, and hear their answers."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._servers = []
                for host, number in self._lines.servers:
                    [(family, *_, address), *_] = await loop.getaddrinfo(
                        host, number, type=socket.SOCK_DGRAM
                    )
                    self._servers.append((family, address))
                self._answers.made = plain(self._servers[0][0])
            except OSError as error:
                self._log.warning("request servers cannot be found", why=str(error))
            else:
                self._read_from(self._answers)
                await self._answers.failed.wait()
                self._shut(self._answers)
            await asyncio.sleep(back_off.next_s())

    def _read_from(self, port: _Port) -> None:
        assert port.made is not None, "it was opened"
        port.failed.clear()
        wanted = self._manner.receive_bytes
        given = widen(port.made, wanted)
        if given < wanted:
            self._log.warning(
                "the kernel gives a smaller receive buffer: raise net.core.rmem_max",
                line=port.name,
                wanted=wanted,
                given=given,
            )
        if not self._paused:
            asyncio.get_running_loop().add_reader(port.made, self._readable, port)

    def _shut(self, port: _Port) -> None:
        if port.made is not None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                asyncio.get_running_loop().remove_reader(port.made)
            port.dropped += dropped(port.made)
            port.made.close()
            port.made = None

    def _readable(self, port: _Port) -> None:
        """Take what is there, as far as one turn goes."""
        assert port.made is not None, "only open sockets are read"
        now, at, steps = time.monotonic_ns(), 0, list[Step]()
        for _ in range(DATAGRAMS_MAX):
            if at + mold.DATAGRAM_BYTES_MAX > BUFFER_BYTES:
                break
            try:
                size = port.made.recv_into(self._view[at:])
            except (BlockingIOError, ConnectionRefusedError):
                break  # a request that nobody took comes back as the second
            except OSError as error:
                self._line_down(port, str(error))
                port.failed.set()
                break
            steps += self._packet(port, at, at + size, now)
            at += size
        if at:
            self._alive(port, now)
            self._act(steps)
        if self._intake.refusing and not self._paused:
            self._pause()

    def _pause(self) -> None:
        """Read nothing until the journal takes again."""
        self._paused = True
        loop = asyncio.get_running_loop()
        for port in (*self._ports, self._answers):
            if port.made is not None:
                loop.remove_reader(port.made)

    async def _go_on(self) -> None:
        await self._intake.room()
        self._paused = False
        now = time.monotonic_ns()
        self._sequencer.be_patient(now)
        for port in (*self._ports, self._answers):
            port.heard_s = now / 1e9
            if port.made is not None:
                asyncio.get_running_loop().add_reader(port.made, self._readable, port)
        self._wake()

    # -- packets -----------------------------------------------------------------------------------

    def _packet(self, port: _Port, start: int, end: int, now: int) -> list[Step]:
        """One datagram, lying in [start, end) of the buffer."""
        port.packets += 1
        try:
            packet = mold.parse(self._octets, start, end, self._manner.block_bytes_max)
        except Reject as bad:
            port.malformed += 1
            if port.malformed == 1:
                self._log.warning("a packet is none", line=port.name, why=str(bad))
            return [self._broken(bytes(self._view[start:end]), now)]
        session = self._sessions.get(packet.session) or self._name(packet.session)
        port.heartbeats += packet.messages == mold.HEARTBEAT
        blocks = self._view[start + mold.HEADER_BYTES : end]
        steps = None
        if port is not self._answers or self._is_asked(session, packet):
            heard = mold.Heard(port.index, session, packet, blocks)
            steps = self._doubt.order(heard, now)
        if steps is None:
            self._doubted(port, session, packet)
            return []
        if session == self._sequencer.session:
            self._raw = packet.session
        return steps

    def _is_asked(self, session: str, packet: mold.Packet) -> bool:
        """An answer is of what the lines have shown to exist, or comes too late."""
        if session != self._sequencer.session:
            return self._sequencer.is_past(session)
        return packet.seq < self._sequencer.high + (packet.messages == mold.HEARTBEAT)

    def _doubted(self, port: _Port, session: str, packet: mold.Packet) -> None:
        """It waits, or is turned away; told once a session, and counted."""
        port.doubtful += 1
        if (port.name, session) not in self._warned and len(self._warned) < WARNED_MAX:
            self._warned.add((port.name, session))
            self._log.warning(
                "a packet does not fit the session under way",
                line=port.name, session=session, number=packet.seq,
                under_way=self._sequencer.session, due=self._sequencer.next,
            )  # fmt: skip

    def _name(self, session: bytes) -> str:
        if len(self._sessions) >= sequencing.SESSIONS_MAX:
            self._sessions.clear()
        name = self._sessions[session] = mold.name_of(session)
        return name

    def _broken(self, packet: bytes, now: int) -> Run:
        """A packet that is none, in its place: the decoder refuses it, and keeps its bytes."""
        order = self._sequencer
        return Run(order.session, order.next, 0, mold.broken(packet), now)

    # -- what is to be done ------------------------------------------------------------------------

    def _act(self, steps: Sequence[Step]) -> None:
        """Hand on what came in order, neighbours together; ask for what did not."""
        together: list[Run] = []
        for step in steps:
            if isinstance(step, Run):
                if together and not _follows(together[-1], step):
                    self._hand_on(together)
                    together = []
                together.append(step)
                continue
            self._hand_on(together)
            together = []
            if isinstance(step, Lost):
                self._intake.lost(self._number, step.first, step.last, step.asked)
            elif isinstance(step, Ask):
                self._ask(step)
            elif isinstance(step, Ended):
                self._intake.end_of_session(self._number)
        self._hand_on(together)
        self._wake()

    def _hand_on(self, runs: Sequence[Run]) -> None:
        if not runs:
            return
        head = runs[0]
        payload = head.payload if len(runs) == 1 else b"".join(run.payload for run in runs)
        count = sum(run.count for run in runs)
        self._intake.frames(
            Frames(self._number, BLOCKS, head.session, head.first, count, 0, payload)
        )

    def _ask(self, ask: Ask) -> None:
        """One request to one server; the next one hears the next."""
        if self._answers.made is None or not self._servers:
            return
        self._turn = (self._turn + 1) % len(self._servers)
        count = min(ask.count, mold.COUNT_MAX)
        try:
            self._answers.made.sendto(
                mold.request(self._raw, ask.first, count), self._servers[self._turn][1]
            )
        except OSError as error:  # it is asked for again, or given up
            self._log.debug("a request cannot be sent", why=str(error))

    def _wake(self) -> None:
        """Be called when the sequencer's patience is over."""
        due = self._sequencer.wake_ns()
        if self._timer is not None and (due is None or due < self._timer_ns):
            self._timer.cancel()
            self._timer = None
        if due is not None and self._timer is None:
            wait_s = max(due - time.monotonic_ns(), 0) / 1e9
            self._timer_ns = due
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._due)

    def _due(self) -> None:
        self._timer = None
        if not self._paused:
            self._act(self._sequencer.poll(time.monotonic_ns()))

    # -- lines -------------------------------------------------------------------------------------

    def _alive(self, port: _Port, now: int) -> None:
        port.heard_s = now / 1e9
        if port is self._answers:
            return
        if not port.up:
            port.up = True
            self._intake.count(self._number, port.name, "up", 1)
            self._log.info("line is up", line=port.name)
        if not self._up:
            self._up = True
            self._intake.up(self._number)

    def _line_down(self, port: _Port, why: str) -> None:
        """A line is away; the channel is when it was the last one."""
        if port is self._answers:
            self._log.warning("answers cannot be heard", why=why)
            return
        if port.up:
            port.up = False
            self._intake.count(self._number, port.name, "down", 1)
            self._log.warning("line is down", line=port.name, why=why)
        if not any(each.up for each in self._ports):
            self._up = False
            self._intake.down(self._number, why)

    async def _watch(self) -> None:
        """Look for silence; tell what was counted."""
        while True:
            await asyncio.sleep(min(LOOK_S, self._manner.dead_s / 4))
            if self._paused:
                await self._go_on()
            self._count()
            now_s, dead_s = time.monotonic(), self._manner.dead_s
            if self._sequencer.ended:
                continue  # nothing need be said between two sessions
            for port in self._ports:
                if port.up and now_s - port.heard_s > dead_s:
                    self._line_down(port, f"nothing came for {dead_s:g} s")
            if not self._up and now_s - self._began_s > dead_s:
                self._began_s = now_s
                self._intake.down(self._number, f"nothing came for {dead_s:g} s")

    def _count(self) -> None:
        """What was counted since, to telemetry."""
        for port in (*self._ports, self._answers):
            lane = self._sequencer.lines[port.index]
            here = dropped(port.made) if port.made is not None else 0
            self._tally.tell(
                port.name,
                packets=port.packets,
                heartbeats=port.heartbeats,
                malformed=port.malformed,
                doubtful=port.doubtful,
                dropped=port.dropped + here,
                messages=lane.messages,
                duplicates=lane.duplicates,
                gaps=lane.gaps,
                fills=lane.fills,
                stale=lane.stale,
            )
        counts = self._sequencer.counts
        words = {word: getattr(counts, word) for word in counts.__slots__}
        self._tally.tell(SEQUENCER, **words)


def _follows(before: Run, run: Run) -> bool:
    """Both can be one record; a broken packet is one of its own."""
    if not before.count or not run.count:
        return False
    return before.session == run.session and before.first + before.count == run.first
