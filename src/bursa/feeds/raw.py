"""Raw TCP as a feed: sockets on which blocks or lines come without a session.

One connection a channel, of blocks or of lines, told by its first byte. There is no login, nobody
is asked for a number and nothing comes twice: what was sent while a connection was away is lost,
and the numbers of the messages show it as a gap. So a message that a cut leaves unfinished is
dropped, its bytes counted in the reason that is logged.

Where framing is lost, the bytes go to the intake as they are (the decoder refuses them, they are
quarantined) and the connection is opened anew. The protocol has no heartbeats: how long a silent
connection is believed is the operator's to say, the system's own keep-alive is on beside it. While
the journal refuses (a full disk) no socket is read.
"""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from bursa.feeds.socket_line import SocketLine
from bursa.model.batch import BLOCKS, LINES
from bursa.model.venue import Venue
from bursa.ops.back_off import BACK_OFF_S, BackOff
from bursa.ports import Frames, Intake
from bursa.wire.idx import route
from bursa.wire.idx.layout import IDX1

LINE_BYTES_MAX = 64 * 1024
# What is kept of bytes in which no message can be found.
BROKEN_BYTES_MAX = 64 * 1024
_LF = b"\n"


@dataclass(frozen=True)
class Timing:
    """Seconds: without a byte until a connection is opened anew (0: for ever), to connect, to wait
    after each failure in turn."""

    silent_s: float = 60.0
    connect_s: float = 10.0
    back_off_s: tuple[float, ...] = BACK_OFF_S


class RawFeed:
    """Implements ports.Feed. `endpoints`: channel's index -> (host, port); a block longer than
    `message_bytes_max` means that framing is lost."""

    def __init__(
        self,
        name: str,
        venue: Venue,
        endpoints: Mapping[int, tuple[str, int]],
        message_bytes_max: int = IDX1.block_bytes_max,
        timing: Timing | None = None,
        random: Random | None = None,
    ) -> None:
        self.name = name
        self._venue, self._endpoints = venue, dict(endpoints)
        self._bytes_max = message_bytes_max
        self._timing = timing or Timing()
        self._random = random or Random()

    async def run(self, intake: Intake) -> None:
        """Deliver until cancelled (ports.Feed)."""
        async with asyncio.TaskGroup() as channels:
            for channel in self._endpoints:
                channels.create_task(self._channel(channel, intake))

    async def _channel(self, channel: int, intake: Intake) -> None:
        back_off = BackOff(self._random, self._timing.back_off_s)
        while True:
            await intake.room()
            line = await self._connect(channel, intake)
            if line is not None:
                try:
                    await self._live(line)
                finally:
                    line.leave("stopped")
                    await asyncio.wait((line.closed,), timeout=1.0)
                if line.delivered and not line.lost:
                    back_off.reset()
            await asyncio.sleep(back_off.next_s())

    async def _connect(self, channel: int, intake: Intake) -> "_Line | None":
        host, port = self._endpoints[channel]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timing.connect_s):
                _, line = await loop.create_connection(
                    lambda: _Line(channel, intake, self._bytes_max), host, port
                )
        except (OSError, TimeoutError) as error:
            intake.down(channel, f"{host}:{port} cannot be reached: {error or 'time is up'}")
            return None
        return line

    async def _live(self, line: "_Line") -> None:
        """Until the connection is gone, or silent for too long."""
        silent_s = self._timing.silent_s or None
        while not line.closed.done():
            line.heard = False
            await asyncio.wait((line.closed,), timeout=silent_s)
            if not (line.heard or line.paused or line.closed.done()):
                line.leave(f"nothing came for {silent_s:g} s")
                await asyncio.wait((line.closed,))


class _Line(SocketLine):
    """One connection. delivered: messages came; lost: framing was."""

    def __init__(self, channel: int, intake: Intake, bytes_max: int) -> None:
        super().__init__(intake)
        self._channel, self._bytes_max = channel, bytes_max
        self._form = -1
        self.delivered = self.lost = False

    # -- asyncio.BufferedProtocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It delivers from now on."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._intake.up(self._channel)

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what is whole; an unfinished message moves to the front."""
        self.heard = True
        self._filled += nbytes
        if self.lost:
            self._filled = 0
            return
        if self._form < 0:  # a block's length begins below `0`, the first byte of a line
            is_block = self._buffer[0] <= self._bytes_max >> 8
            self._form = BLOCKS if is_block else LINES
        at = self._blocks() if self._form == BLOCKS else self._lines()
        self._used(at)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the intake."""
        self._wait_no_more()
        why = self._why if exc is None else str(exc)
        if self._filled and not self.lost:
            why += f", {self._filled} bytes into a message"
        self._intake.down(self._channel, why)
        self.closed.set_result(None)

    # ----------------------------------------------------------------------------------------------

    def _blocks(self) -> int:
        """Bytes used."""
        used, count, end = route.whole(self._buffer[: self._filled], self._bytes_max)
        self._hand_on(0, used, count)
        return self._lose(used) if end == route.LOST else used

    def _lines(self) -> int:
        """Bytes used. A line that does not end is no line."""
        data = bytes(self._view[: self._filled])
        used = data.rfind(_LF) + 1
        if used:
            self._hand_on(0, used - 1, len([line for line in data[:used].split(_LF) if line]))
        return self._lose(used) if self._filled - used > LINE_BYTES_MAX else used

    def _hand_on(self, start: int, end: int, count: int) -> None:
        if count:
            self.delivered = True
            self._give(start, end, count)

    def _give(self, start: int, end: int, count: int) -> None:
        payload = self._view[start:end]
        self._intake.frames(Frames(self._channel, self._form, "", 0, count, 0, payload))

    def _lose(self, start: int) -> int:
        """No message can begin here: keep the bytes, close."""
        self.lost = True
        self._give(start, min(self._filled, start + BROKEN_BYTES_MAX), 0)
        self.leave("framing is lost")
        return self._filled

    def leave(self, why: str) -> None:
        """Close for a reason of ours."""
        if self.closed.done() or self._transport is None or self._transport.is_closing():
            return
        self._why = why
        self._transport.close()
