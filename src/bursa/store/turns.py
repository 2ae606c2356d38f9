"""Who writes next: one at a time, and live rows before history.

A lock of two classes. What comes live waits for the one write that is under way; historical work
(settling, drains, what a person puts right) waits until nothing live is waiting.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


class Turns:
    """`with turns:` is a turn of historical work, `with turns.live():` one of live rows. Not
    reentrant. Of one class who waits gets it in no order."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._taken = False
        self._live = 0

    @contextmanager
    def live(self) -> Iterator[None]:
        """A turn as soon as the one under way is over."""
        with self._free:
            self._live += 1
            try:
                self._free.wait_for(lambda: not self._taken)
                self._taken = True
            finally:
                self._live -= 1
        try:
            yield
        finally:
            self._leave()

    def __enter__(self) -> None:
        with self._free:
            self._free.wait_for(lambda: not self._taken and not self._live)
            self._taken = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        with self._free:
            self._taken = False
            self._free.notify_all()
