"""A TCP connection that is read into one buffer: what feeds over bare sockets and sessions share.

What is not whole yet moves to the buffer's front. While the journal refuses (a full disk) nothing
is read: it would wait in memory. What the bytes mean is the feed's to know.
"""

import asyncio
import contextlib
from typing import cast

import numpy as np

from bursa.ports import Intake

# One read takes at most this; at 200 MB/s the socket must be drained in large reads.
BUFFER_BYTES = 1 << 20


class SocketLine(asyncio.BufferedProtocol):
    """One connection; `closed` is done when it is gone (whoever inherits this does that), `heard`:
    bytes came since somebody last looked."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._buffer = np.empty(BUFFER_BYTES, np.uint8)
        self._view = self._buffer.data
        self._filled = 0
        self._transport: asyncio.Transport | None = None
        self._resuming: asyncio.Task[None] | None = None
        self._why = "the server closed the connection"
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard = False

    @property
    def paused(self) -> bool:
        """Nothing is read, for the journal refuses."""
        return self._resuming is not None

    # -- asyncio.BufferedProtocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is something to read from."""
        # uvloop's transports are no subclass of asyncio's, though they do the same.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._view[self._filled :]

    # ----------------------------------------------------------------------------------------------

    def _used(self, at: int) -> None:
        """The first `at` bytes of what is there were taken; the rest waits for what follows."""
        rest = self._filled - at
        if at and rest:
            self._buffer[:rest] = self._buffer[at : self._filled]
        self._filled = rest
        if self._intake.refusing:
            self._pause()

    def _pause(self) -> None:
        """Read nothing until the journal takes again: it would wait in memory."""
        if self._transport is None or self._transport.is_closing() or self.paused:
            return
        self._transport.pause_reading()
        self._resuming = asyncio.get_running_loop().create_task(self._resume())

    async def _resume(self) -> None:
        with contextlib.suppress(OSError):  # the journal has ended, and with it this feed
            await self._intake.room()
        self._resuming = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _wait_no_more(self) -> None:
        if self._resuming is not None:
            self._resuming.cancel()
