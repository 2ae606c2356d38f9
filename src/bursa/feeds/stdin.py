"""Standard input as a feed: what another program writes, blocks or lines, until it ends.

A vendor's own client, a decompressor or `nc` may stand in front of the pipe. Told apart and sorted
to channels as a recording is (cut.py). The end of the input is the end of a file: open bars are
stored as not final. There is no going back: what a restart missed is a gap of the messages' own
numbers. While the journal refuses nothing is read, so the pipe holds up whoever writes.
"""

import asyncio
import os
import select
import threading
from collections.abc import Callable

from bursa.feeds.cut import NO_RECEIVE_TIME, Cutter, of, unpack_first
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ports import Intake
from bursa.wire.idx.layout import IDX1, Layout

READ_BYTES = 256 * 1024
STAMPED = 0

Progress = Callable[[int, int], None]


class StdinFeed:
    """Implements ports.Feed over a file descriptor.

    recorded   the messages are a recording's, which bears no receive times; else each read is
               stamped as it comes
    progress   told (bytes read, 0: their sum is not known) after every read
    fd         what is read; it is not closed

    `run` ends with the input; it raises Refuse `bad_recording` where no block can begin.
    """

    def __init__(
        self,
        name: str,
        venue: Venue,
        layout: Layout = IDX1,
        *,
        recorded: bool = False,
        progress: Progress | None = None,
        fd: int = 0,
    ) -> None:
        self.name = name
        self._venue, self._layout = venue, layout
        self._ts_recv = NO_RECEIVE_TIME if recorded else STAMPED
        self._progress = progress or (lambda done, total: None)
        self._fd = fd

    async def run(self, intake: Intake) -> None:
        """Deliver the input, then its end (ports.Feed)."""
        cutter: Cutter | None = None
        done = 0
        reader = _Reader(self._open())
        try:
            while data := await reader.read():
                if cutter is None:
                    cutter = self._cutter(data)
                    self._up(intake)
                for frames in cutter.push(data):
                    intake.frames(frames)
                done += len(data)
                self._progress(done, 0)
                await intake.room()
        except OSError as error:
            raise _unreadable(error) from None
        finally:
            reader.close()
        if cutter is not None:
            for frames in cutter.rest():
                intake.frames(frames)
            for channel in sorted(cutter.channels):
                intake.end_of_file(channel)
            self._down(intake)

    def _open(self) -> int:
        """The descriptor, before another file takes the number of one that is closed."""
        try:
            os.fstat(self._fd)
        except OSError as error:
            raise _unreadable(error) from None
        return self._fd

    def _up(self, intake: Intake) -> None:
        """A stream's channels deliver now; a recording's never came up nor go down."""
        if self._ts_recv == STAMPED:
            for channel in range(len(self._venue.channels)):
                intake.up(channel)

    def _down(self, intake: Intake) -> None:
        if self._ts_recv == STAMPED:
            for channel in range(len(self._venue.channels)):
                intake.down(channel, "standard input ended")

    def _cutter(self, data: bytes) -> Cutter:
        unpack_first(data, "standard input")
        return of(data, self._venue, self._layout, "standard input", self._ts_recv)


def _unreadable(error: OSError) -> Refuse:
    what = f"standard input cannot be read: {error.strerror or error}"
    return Refuse(what, "bad_recording", parameter="file")


class _Reader:
    """Reads a descriptor on a thread of its own, one piece at a time: a pipe, a terminal and a file
    cannot all be waited for by one event loop. `close` ends a read that waits."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._wake, self._woken = os.pipe()
        self._wanted = threading.Semaphore(0)
        self._closed = False
        self._answer: asyncio.Future[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="stdin", daemon=True)
        self._thread.start()

    async def read(self) -> bytes:
        """The next piece; b"" at the end."""
        self._answer = self._loop.create_future()
        self._wanted.release()
        return await self._answer

    def close(self) -> None:
        """End the thread; what waits in the descriptor stays there."""
        self._closed = True
        self._wanted.release()
        os.close(self._woken)
        self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        while True:
            self._wanted.acquire()
            if self._closed:
                return
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            poll.register(self._wake, select.POLLIN)
            if any(fd == self._wake for fd, _ in poll.poll()):
                return
            try:
                data = os.read(self._fd, READ_BYTES)
            except OSError as error:
                self._loop.call_soon_threadsafe(self._fail, error)
            else:
                self._loop.call_soon_threadsafe(self._give, data)

    def _give(self, data: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(data)

    def _fail(self, error: OSError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
