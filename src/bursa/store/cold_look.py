"""Cold files are looked at when they are read for the first time.

The engine does not check the sums of pages: a bit that fell over on the disk would be handed out as
it lies there. So each file that somebody reads is hashed once by each process, behind the read and
one at a time; with a rest after each, for readers come first. Which files there are, what is wrong
with one, and what comes of that: parquet.py.
"""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Condition, Thread
from time import perf_counter

from bursa.ops.logs import logger
from bursa.store.cold_days import Sealed

# A rest is so many times as long as the look before it: a fifth of one core at most.
_RESTS = 4.0
# Stretches that are remembered.
_STRETCHES = 10_000


class Looks:
    """What was looked at, and what is to be. `look(sealed)` is called in a thread of its own, which
    begins with the first file; what it raises is logged."""

    def __init__(self, look: Callable[[Sealed], object]) -> None:
        self._look = look
        # Files that were asked for, all and as stretches of them: a read of ten years is some
        # thousand files, and is not to be gone through again.
        self._asked: set[Path] = set()
        self._stretches: set[tuple[Path, Path, int]] = set()
        self._waiting: deque[Sealed] = deque()
        self._gate = Condition()
        self._thread: Thread | None = None
        self._busy = self._ended = False

    def ask(self, read: Sequence[Sealed]) -> None:
        """Have files of one kind, by day, looked at that were not yet, the newest one first. Does
        not wait."""
        stretch = read[0].path, read[-1].path, len(read)
        if stretch in self._stretches:
            return
        with self._gate:
            if self._ended:
                return
            fresh = [sealed for sealed in read if sealed.path not in self._asked]
            self._asked.update(sealed.path for sealed in fresh)
            self._waiting.extend(reversed(fresh))
            if len(self._stretches) >= _STRETCHES:
                self._stretches = set()
            self._stretches.add(stretch)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="cold-looks", daemon=True)
                self._thread.start()
            self._gate.notify_all()

    def settled(self, seconds: float) -> bool:
        """Wait until all that was asked for was looked at; False where that takes longer."""
        with self._gate:
            return self._gate.wait_for(lambda: not (self._waiting or self._busy), seconds)

    def close(self) -> None:
        """Look at nothing more; waits for the file that is looked at."""
        with self._gate:
            self._ended = True
            self._waiting.clear()
            self._gate.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (sealed := self._next()) is not None:
            began = perf_counter()
            try:
                self._look(sealed)
            except Exception:  # noqa: BLE001 -- the others are looked at all the same
                logger("cold").exception("cold file cannot be looked at", file=str(sealed.path))
            rest = _RESTS * (perf_counter() - began)
            with self._gate:
                self._busy = False
                self._gate.notify_all()
                self._gate.wait_for(lambda: self._ended, rest)

    def _next(self) -> Sealed | None:
        with self._gate:
            self._gate.wait_for(lambda: self._waiting or self._ended)
            if self._ended:
                return None
            self._busy = True
            return self._waiting.popleft()
