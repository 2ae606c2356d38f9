"""The store's reader of the topics: what was derived becomes committed rows.

A thread of its own, never in a tick's way. It gathers entries until there are enough rows or time
is up, waits until the journal is synced past them (no store runs ahead of what a power loss
leaves), and writes rows and positions in one transaction. While the store is away it holds its
place and tries again; what memory cannot hold meanwhile, the journal does.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from bursa.bus.memory import Consumer, Entry, merge
from bursa.model.batch import Batch, concat, keep_levels
from bursa.model.errors import Retry
from bursa.model.schema import Kind, topic
from bursa.ops.back_off import BACK_OFF_S, BackOff
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.ports import Clock, Committed, Store

# How long one poll of the topics waits; also how soon a stop is seen.
POLL_S = 0.05


@dataclass(frozen=True)
class Flush:
    """When to write."""

    rows: int
    wait_s: float


class Writer:
    """Writes one venue's topics. `synced_past(position, timeout)` waits for the journal;
    `oldest_kept(kind)` is the event time before which retention keeps nothing of a kind."""

    def __init__(
        self,
        venue: str,
        kinds: Sequence[Kind],
        store: Store,
        consumer: Consumer,
        flush: Flush,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._venue, self._kinds, self._store = venue, kinds, store
        self._consumer, self._flush = consumer, flush
        self._clock, self._telemetry = clock, telemetry
        self._log = logger("writer").bind(venue=venue)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"writer-{venue}", daemon=True)
        self.synced_past: Callable[[int, float], bool] = lambda position, timeout: True
        self.oldest_kept: Callable[[str], int | None] = lambda kind: None
        self.idle: Callable[[], None] = lambda: None
        self.committed = 0
        self.rows = 0
        self.failure: BaseException | None = None

    def start(self, committed: int) -> None:
        """Begin; `committed` is what the store holds."""
        self.committed = committed
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Write what is left in the closed log, then end. True if all was committed in time."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and self.failure is None

    def _run(self) -> None:
        try:
            while self._turn():
                self.idle()
        except BaseException as failure:  # noqa: BLE001 - whatever it is, the owner must learn of it
            self.failure = failure
            self._log.error("writer stopped", committed=self.committed, exc_info=failure)

    def _turn(self) -> bool:
        entries = self._gather()
        if entries:
            return self._write(entries)
        return not self._stop.is_set()

    def _gather(self) -> list[Entry]:
        """Entries worth one transaction: enough rows, or all that came in the longest wait."""
        entries: list[Entry] = []
        rows, began = 0, 0
        while rows < self._flush.rows:
            entry = self._consumer.poll(POLL_S)
            if entry is None:
                if self._stop.is_set():
                    break
            else:
                entries.append(entry)
                rows += entry.rows
                began = began or self._clock.now_ns()
            if began and self._clock.now_ns() - began >= self._flush.wait_s * 1e9:
                break
            if not began and entry is None:
                break
        return entries

    def _write(self, entries: Sequence[Entry]) -> bool:
        """False: given up at a stop. Nothing later may be written then, positions would pass it."""
        last = entries[-1].span
        while not self.synced_past(last.last, 1.0):
            if self._stop.is_set():
                return False
        batches: list[Batch] = []
        for several in merge(entries).values():
            batch = self._inside_retention(concat(several))
            if len(batch):
                batches.append(batch)
        at = Committed(last.last, last.epoch)
        positions = {topic(self._venue, kind): at for kind in self._kinds}
        began = self._clock.now_ns()
        if not self._until_written(batches, positions):
            return False
        self._telemetry.store_write.labels(self._venue).observe(
            (self._clock.now_ns() - began) / 1e9
        )
        for batch in batches:
            self._telemetry.store_rows.labels(self._venue, batch.kind.name).inc(len(batch))
            self.rows += len(batch)
        self.committed = last.last
        self._consumer.commit(last.last)
        return True

    def _until_written(self, batches: Sequence[Batch], positions: Mapping[str, Committed]) -> bool:
        back_off = BackOff(Random(), BACK_OFF_S)
        for attempt in range(1_000_000):
            try:
                self._store.write(batches, positions)
                return True
            except Retry as away:
                self._telemetry.store_retries.labels(self._venue).inc()
                wait = back_off.next_s()
                self._log.warning(
                    "store is away, holding",
                    why=str(away),
                    position=self.committed,
                    wait_s=round(wait, 1),
                )
                if self._stop.wait(min(wait, 1.0) if self._stop.is_set() else wait) and attempt > 3:
                    return False
        return False

    def _inside_retention(self, batch: Batch) -> Batch:
        floor = self.oldest_kept(batch.kind.name)
        if floor is None:
            return batch
        rows = batch.block[batch.kind.index["ts"]] >= floor
        gone = len(batch) - int(np.count_nonzero(rows))
        if not gone:
            return batch
        self._telemetry.store_thinned.labels(self._venue, batch.kind.name).inc(gone)
        return Batch(
            batch.kind, batch.block[:, rows], batch.words, batch.span, keep_levels(batch, rows)
        )
