"""Group commit: one thread that syncs a journal, at most every few milliseconds or so many bytes.

The first append after a pause is synced at once; while appends go on, a sync begins `gap_s` after
the last one began, or as soon as `bytes_max` are waiting. Whoever must not go on before its bytes
are on disk waits here for a position, in a thread or on an event loop. Does not append (write.py).
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from bursa.journal.write import JournalWriter

GAP_S = 0.005
BYTES_MAX = 1 << 20


class GroupSync:
    """The sync thread of one writer.

    on_synced  called in the thread after each sync, with the position and the seconds it took
    error      the OSError that ended it; None while all is well
    """

    def __init__(
        self,
        writer: JournalWriter,
        *,
        gap_s: float = GAP_S,
        bytes_max: int = BYTES_MAX,
        on_synced: Callable[[int, float], None] | None = None,
    ) -> None:
        self.error: OSError | None = None
        self._writer = writer
        self._gap_s = gap_s
        self._bytes_max = bytes_max
        self._on_synced = on_synced
        self._threshold = 1
        self._stopping = False
        self._stopped = False
        self._wake = threading.Event()
        self._done = threading.Condition()
        self._futures: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._thread = threading.Thread(target=self._run, name=f"sync-{writer.venue}", daemon=True)

    def start(self) -> None:
        """Begin; once."""
        self._writer.appended = self._appended
        self._thread.start()

    def stop(self) -> None:
        """Sync what is left, then end. Raises OSError when that failed."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def wait(self, position: int, timeout_s: float | None = None) -> bool:
        """Block until everything up to `position` is on disk: True; False after `timeout_s`.
        Raises OSError when a sync has failed or the thread has ended before."""
        with self._done:
            reached = self._done.wait_for(
                lambda: self._writer.synced >= position or self._stopped, timeout_s
            )
            if reached and self._writer.synced < position:
                raise self.error or OSError("the journal's sync thread has ended")
            return reached

    async def reached(self, position: int) -> None:
        """The same on an event loop, without a limit in time."""
        with self._done:
            if self._writer.synced >= position:
                return
            if self._stopped:
                raise self.error or OSError("the journal's sync thread has ended")
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            self._futures.append((position, loop, future))
        await future

    def _appended(self, position: int) -> None:
        """On the appending thread: wake the other if enough is waiting."""
        if position - self._writer.synced >= self._threshold and not self._wake.is_set():
            self._wake.set()

    def _run(self) -> None:
        began = monotonic() - self._gap_s
        try:
            while not self._stopping:
                self._pause(1, None)
                self._pause(self._bytes_max, began + self._gap_s)
                began = monotonic()
                self._sync(began)
            self._sync(monotonic())
        except OSError as error:
            self.error = error
        finally:
            self._stopped = True
            self._tell(self._writer.synced, 0.0)

    def _sync(self, began: float) -> None:
        position = self._writer.sync()
        self._tell(position, monotonic() - began)

    def _pause(self, threshold: int, until: float | None) -> None:
        """Sleep until so many bytes wait, the time has come, or the end."""
        self._threshold = threshold
        while not self._stopping:
            self._wake.clear()
            if self._writer.position - self._writer.synced >= threshold or self._stopping:
                return
            left = None if until is None else until - monotonic()
            if left is not None and left <= 0 or not self._wake.wait(left):
                return

    def _tell(self, position: int, took_s: float) -> None:
        """Wake all whose position is reached; all, where the thread ends."""
        with self._done:
            self._done.notify_all()
            due = [f for f in self._futures if f[0] <= position or self._stopped]
            self._futures = [f for f in self._futures if not (f[0] <= position or self._stopped)]
        for wanted, loop, future in due:
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._settle, future, wanted <= position)
        if self._on_synced is not None and not self._stopped:
            self._on_synced(position, took_s)

    def _settle(self, future: asyncio.Future[None], reached: bool) -> None:
        if future.done():
            return
        if reached:
            future.set_result(None)
        else:
            future.set_exception(self.error or OSError("the journal's sync thread has ended"))
