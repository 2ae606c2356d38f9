"""What a start is at, and its waits for a store that is away.

A start cannot go on without the store: what it has committed decides what is derived, and the
metrics' past may have to come from its bars. So it waits, as long as it takes, says so in the log
and to whoever asks (`/ready`, the pages, the terminal), and can be told to end.
"""

import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, TypeVar

from bursa.model.batch import Batch
from bursa.model.errors import Retry
from bursa.ops.back_off import BACK_OFF_S, BackOff
from bursa.ops.telemetry import Telemetry
from bursa.ports import Store

T = TypeVar("T")
_FOREVER_NS = 2**62


class Interrupted(Exception):
    """A start was told to end before it was done; `stop` comes next."""


class Waiting:
    """One start of a venue. `at` is what it is at now in words, "" where there is nothing to say;
    read from any thread."""

    def __init__(self, venue: str, telemetry: Telemetry, log: Any) -> None:
        self.at = ""
        self._venue, self._telemetry, self._log = venue, telemetry, log
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        """End it, whatever it waits for."""
        self._interrupted.set()

    def go_on(self) -> None:
        """Raise Interrupted where it was told to end."""
        if self._interrupted.is_set():
            raise Interrupted

    def sleep(self, seconds: float) -> None:
        """Wait a little. Raises Interrupted as soon as it is told to end."""
        if self._interrupted.wait(seconds):
            raise Interrupted

    def told(self, doing: str) -> Callable[[int, int], None]:
        """What to tell progress (done, total) to, while it is doing that."""

        def progress(done: int, total: int) -> None:
            self.go_on()
            self.at = f"{doing}, {100 * done // total} %" if total > 0 else doing

        return progress

    def until_there(self, ask: Callable[[], T]) -> T:
        """What the store answers, however long it is away."""
        back_off, before = BackOff(Random(), BACK_OFF_S), self.at
        while True:
            try:
                found = ask()
            except Retry as away:
                wait = back_off.next_s()
                self.at = f"the store, which is away: {away}"
                self._telemetry.store_retries.labels(self._venue).inc()
                self._log.warning(
                    "store is away, the start waits", why=str(away), wait_s=round(wait, 1)
                )
                self.sleep(wait)
                continue
            if self.at != before:
                self._log.info("store is back, the start goes on")
                self.at = before
            return found

    def bars(self, store: Store, upto: int) -> Iterator[Batch]:
        """Stored bars up to a position in order of emission (ports.Store.emitted), however often
        the store is away meanwhile; progress is told."""
        told, first = self.told("metrics are computed over the stored bars"), 0
        after = -1
        found: Iterator[Batch] | None = None

        def following() -> Batch | None:
            nonlocal found
            if found is None:
                asked = store.emitted(self._venue, after, upto, start_ns=0, end_ns=_FOREVER_NS)
                found = iter(asked)
            try:
                return next(found, None)
            except Retry:
                found = None  # the next one begins where the last piece ended
                raise

        while (batch := self.until_there(following)) is not None:
            first, after = first or batch.span.last, batch.span.last
            yield batch
            told(after - first, upto - first)
        self.at = ""
