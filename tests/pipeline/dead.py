"""A writer over topics that a test fills, its store and letters behind doors that fail.

`Doors` counts every call of a write or commit path and lets one of them fail, before or after its
effect: `away` as a store that does not answer, `dead` as a process that ends there. After a death a
new writer begins where the store stands, as a start does.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from bursa.bus.memory import Entry, Limits, MemoryBus
from bursa.model.batch import Batch
from bursa.model.errors import Retry
from bursa.model.schema import TICKS, topic
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.writer import Flush, Writer
from bursa.ports import Committed
from tests.fakes.flaky import Dead
from tests.pipeline import running
from tests.store.contract import KINDS

# No wait of a test is longer.
LIFE_S = 20.0


class Doors:
    """Which call fails: the `at`-th from 1 (0: none), or those of `every`; `how` as above. `names`
    are the calls in order."""

    def __init__(self, fails: Sequence[tuple[int, str]] = ()) -> None:
        self._fails = dict(fails)
        self.names: list[str] = []
        self.hit: list[str] = []

    def call(self, name: str, real: Callable[..., Any], *given: Any) -> Any:
        """`real(*given)`, or what befalls it."""
        self.names.append(name)
        how = self._fails.get(len(self.names), "")
        if name == "commit" and "away" in how and real.__name__ == "commit":
            how = ""  # a commit to the topics is in memory: it never fails alone
        if how:
            self.hit.append(f"{name} {how}")
        if "before" in how:
            self._raise(how)
        found = real(*given)
        if "after" in how:
            self._raise(how)
        return found

    def _raise(self, how: str) -> None:
        raise Dead(how) if "dead" in how else Retry(f"away ({how})")

    def around(self, inner: Any, *names: str) -> Any:
        """An object whose methods of these names go through the doors."""
        return _Around(self, inner, names)


class _Around:
    def __init__(self, doors: Doors, inner: Any, names: Sequence[str]) -> None:
        self._doors, self._inner, self._names = doors, inner, names

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._inner, name)
        if name not in self._names:
            return real

        def call(*given: Any) -> Any:
            return self._doors.call(name, real, *given)

        return call


def live(
    store: Any, letters: Any, doors: Doors, entries: Sequence[Entry], flush: Flush
) -> BaseException | None:
    """One life of a writer: from where the store stands to the end of the entries, or its death."""
    held = store.positions()
    at = min((held.get(topic("idx", k), Committed(0, 0)).position for k in KINDS), default=0)
    log = MemoryBus().open("idx", Limits(1_000_000, 1 << 30), lambda position: iter(()))
    log.start(at)
    consumer = log.join("store", at)
    for entry in entries:
        if entry.span.last > at:
            log.publish(entry)
    log.close()
    writer = Writer(
        "idx", KINDS, doors.around(store, "write", "refuses"),
        doors.around(consumer, "commit"),
        flush, running.WallClock(), Telemetry(),
    )  # fmt: skip
    writer.letters = lambda: doors.around(letters, "add")
    writer.start(at)
    began = time.monotonic()
    done = writer.stop(LIFE_S)
    assert done or writer.failure is not None, f"no end within {time.monotonic() - began:.0f} s"
    return writer.failure


def entry(batches: Sequence[Batch]) -> Entry:
    """What one push derived."""
    return Entry(batches[0].span, tuple(batches))


def count(batches: Sequence[Batch], kind: str = TICKS.name) -> int:
    """Rows of a kind."""
    return sum(len(batch) for batch in batches if batch.kind.name == kind)
