"""The store's reader of the topics: what was derived becomes committed rows.

A thread of its own, never in a tick's way. It gathers entries in a bounded buffer (buffer.py) until
there are enough rows or time is up, waits until the journal is synced past them (no store runs
ahead of what a power loss leaves), and writes rows and positions in one transaction. While the
store is away (ops/breaker.py says when it is asked again) it holds its place, and takes no more
than the buffer has room for; what that cannot hold, the topics or the journal do. Rows that a
healthy store refuses become dead letters (letters.py) before the positions move.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from bursa.bus.memory import Consumer, Entry, merge
from bursa.model.batch import Batch, concat
from bursa.model.errors import Reject, Retry
from bursa.model.schema import Kind, topic
from bursa.ops.back_off import BACK_OFF_S
from bursa.ops.breaker import CLOSED, FAILURES, HALF_OPEN, OPEN, OPEN_S, Breaker
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.buffer import Bounds, Buffer
from bursa.pipeline.entered import placed
from bursa.pipeline.letters import letters, sift, without
from bursa.ports import Clock, Committed, DeadLetters, Store

# How long one poll of the topics waits; also how soon a stop is seen.
POLL_S = 0.05
# A reader that has been paused for longer is in an error state.
PAUSED_MAX_S = 600.0
PAUSE_TOLD_S = 1.0
# At a stop the store is asked every so often, and given up where it was away for so long.
STOP_ASK_S, STOP_AWAY_S = 1.0, 15.0
_STATES = {CLOSED: 0, HALF_OPEN: 1, OPEN: 2}


@dataclass(frozen=True)
class Flush:
    """When to write, and how much may wait for it."""

    rows: int
    wait_s: float
    bounds: Bounds = Bounds()


class Writer:
    """Writes one venue's topics. `synced_past(position, timeout)` waits for the journal; `idle` is
    called between two writes while the store is there; `letters` takes rows that the store
    refuses, without it they stop the writer."""

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
        self._buffer = Buffer(flush.bounds)
        self._breaker = Breaker(Random(), FAILURES, OPEN_S, BACK_OFF_S)
        self._dry = False
        self._told_pauses = 0
        # Since when (_now_s) reading is paused, and the store away (0: it is not), and when it was
        # last asked in vain.
        self._paused_s = self._away_s = self._asked_s = 0.0
        self._until_s = float("inf")
        self.synced_past: Callable[[int, float], bool] = lambda position, timeout: True
        self.idle: Callable[[], None] = lambda: None
        self.letters: Callable[[], DeadLetters | None] = lambda: None
        self.committed = 0
        self.rows = 0
        self.failure: BaseException | None = None

    def start(self, committed: int) -> None:
        """Begin; `committed` is what the store holds."""
        self.committed = committed
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Write what is left in the closed log, then end. True if all was committed in time."""
        self._until_s = self._now_s() + min(STOP_AWAY_S, timeout_s)
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and self.failure is None

    @property
    def paused_s(self) -> float:
        """For how long nothing was read, since the buffer is full; 0 while it is not."""
        since = self._paused_s
        return max(0.0, self._now_s() - since) if since else 0.0

    def check(self) -> None:
        """Raise Retry while the store is away, or does not keep up: what is derived waits."""
        if (paused_s := self.paused_s) > PAUSE_TOLD_S:
            what = f"{self._buffer.rows:,} rows wait, reading is paused for {paused_s:.0f} s"
            raise Retry(f"the store does not keep up: {what}; the journal holds what follows")
        if self._away_s:
            raise Retry(f"the store takes nothing for {self._now_s() - self._away_s:.0f} s")

    def check_long(self) -> None:
        """Raise Retry where reading has been paused for too long."""
        if (paused_s := self.paused_s) > PAUSED_MAX_S:
            raise Retry(f"the store took nothing for {paused_s:.0f} s, {self._buffer.rows:,} wait")

    def _now_s(self) -> float:
        """Of a clock that nobody sets: what is waited for takes no longer where ours steps."""
        return time.monotonic()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as failure:  # noqa: BLE001 - whatever it is, the owner must learn of it
            self.failure = failure
            self._log.error("writer stopped", committed=self.committed, exc_info=failure)

    def _turn(self) -> bool:
        """Take what came, and write if it is time to; False at the end of a stop."""
        if not self._buffer.paused and not self._due():
            entry = self._consumer.poll(POLL_S)
            if entry is not None:
                self._buffer.put(entry, time.monotonic_ns())
                self._note_pause()
            self._dry = entry is None and self._stop.is_set()
        if self._due():
            return self._write(self._buffer.head(self._flush.rows))
        if not self._buffer:
            self._tell()
            return not self._dry
        if self._away_s and (self._buffer.paused or self._dry):
            time.sleep(min(POLL_S, self._wait_s()))
            self._tell()
        return not self._given_up()

    def _due(self) -> bool:
        """There is enough to write, or it has waited enough, and the store may be asked."""
        buffer = self._buffer
        if not buffer or self._wait_s() > 0:
            return False
        if buffer.rows >= self._flush.rows or buffer.paused or self._dry:
            return True
        return time.monotonic_ns() - buffer.since_ns >= self._flush.wait_s * 1e9

    def _wait_s(self) -> float:
        """How long the store is left alone; not for long at a stop."""
        now_s = self._now_s()
        wait_s = self._breaker.wait_s(now_s)
        if self._stop.is_set():
            wait_s = min(wait_s, max(0.0, self._asked_s + STOP_ASK_S - now_s))
        return wait_s

    def _given_up(self) -> bool:
        """At a stop, a store that is away is not waited for to the end."""
        return self._stop.is_set() and bool(self._away_s) and self._now_s() > self._until_s

    # Writing

    def _write(self, entries: Sequence[Entry]) -> bool:
        """False: given up at a stop. Nothing later may be written then, positions would pass it."""
        last = entries[-1].span
        while not self.synced_past(last.last, 1.0):
            if self._stop.is_set():
                return False
        batches = [concat(several) for several in merge(entries).values()]
        batches = [batch for batch in batches if len(batch)]
        at = Committed(last.last, last.epoch)
        positions = {topic(self._venue, kind): at for kind in self._kinds}
        began_s = self._now_s()
        try:
            written = self._store_rows([self._placed(batch) for batch in batches], positions)
        except Retry as away:
            self._note_away(away)
            return not self._given_up()
        self._telemetry.store_write.labels(self._venue).observe(self._now_s() - began_s)
        self._note_there()
        for batch in written:
            self._telemetry.store_rows.labels(self._venue, batch.kind.name).inc(len(batch))
            self.rows += len(batch)
        self.committed = last.last
        self._consumer.commit(last.last)
        self._buffer.drop(len(entries))
        self._note_pause()
        self._tell()
        return True

    def _placed(self, batch: Batch) -> Batch:
        """Without rows of the past whose place is taken (entered.py)."""
        left = placed(batch, self._store.revisions)
        if len(left) < len(batch):
            self._log.warning(
                "rows that were entered have their place taken by earlier ones",
                kind=batch.kind.name,
                rows=len(batch) - len(left),
            )
        return left

    def _store_rows(
        self, batches: Sequence[Batch], positions: Mapping[str, Committed]
    ) -> Sequence[Batch]:
        """One transaction; what the store refuses of it is a dead letter first. Returns what was
        written."""
        try:
            self._store.write(batches, positions)
        except Reject as refused:
            kept = self.letters()
            if kept is None:
                raise
            batches = self._set_aside(batches, refused, kept)
            self._store.write(batches, positions)
        return batches

    def _set_aside(
        self, batches: Sequence[Batch], refused: Reject, kept: DeadLetters
    ) -> list[Batch]:
        """What the store takes of these batches; the rest is kept as letters, on disk when this
        returns. Raises what the store said where each row is taken by itself: that is a bug."""
        taken, dead = [], []
        for batch in batches:
            found = sift(batch, self._store.refuses)
            if found:
                dead += letters(batch, found, self._clock.now_ns())
                batch = without(batch, found)
            taken.append(batch)
        if not dead:
            raise refused
        new = 0
        for kind in sorted({letter.kind for letter in dead}):
            # Those of a write that is done again are there already.
            added = kept.add([letter for letter in dead if letter.kind == kind])
            self._telemetry.dead_letters.labels(self._venue, kind).inc(added)
            new += added
        self._log.error(
            "store refuses rows: kept as dead letters",
            rows=len(dead),
            new=new,
            kinds=sorted({letter.kind for letter in dead}),
            position=dead[0].position,
            why=dead[0].why,
        )
        return [batch for batch in taken if len(batch)]

    # What is told

    def _note_away(self, away: Retry) -> None:
        now_s = self._asked_s = self._now_s()
        self._away_s = self._away_s or now_s
        self._telemetry.store_retries.labels(self._venue).inc()
        wait_s = self._breaker.failed(now_s)
        self._log.warning(
            "store is away, holding",
            why=str(away),
            position=self.committed,
            rows=self._buffer.rows,
            breaker=self._breaker.state(now_s),
            wait_s=round(wait_s, 1),
        )
        self._tell()

    def _note_there(self) -> None:
        if self._away_s:
            self._log.info(
                "store is back",
                away_s=round(self._now_s() - self._away_s, 1),
                position=self.committed,
                rows=self._buffer.rows,
            )
        self._away_s = 0.0
        self._breaker.worked()

    def _note_pause(self) -> None:
        if self._buffer.paused and not self._paused_s:
            self._paused_s = self._now_s()
        elif not self._buffer.paused and self._paused_s:
            if self._told_pauses:
                self._log.info("store's reader goes on", paused_s=round(self.paused_s, 1))
            self._paused_s, self._told_pauses = 0.0, 0

    def _tell(self) -> None:
        """Gauges; and other work, while the store is there."""
        telemetry, venue, buffer = self._telemetry, self._venue, self._buffer
        telemetry.store_buffer_rows.labels(venue).set(buffer.rows_of_a_kind)
        telemetry.store_buffer_bytes.labels(venue).set(buffer.bytes)
        telemetry.store_paused.labels(venue).set(self.paused_s)
        telemetry.store_breaker.labels(venue).set(_STATES[self._breaker.state(self._now_s())])
        # A store that catches up makes short pauses: only those that last are told.
        lasts = (self.paused_s > PAUSE_TOLD_S) + (self.paused_s > PAUSED_MAX_S)
        if lasts > self._told_pauses:
            self._told_pauses = lasts
            tell = self._log.warning if lasts == 1 else self._log.error
            tell("store's reader is paused", paused_s=round(self.paused_s, 1), rows=buffer.rows)
        if not self._away_s:
            try:
                self.idle()
            except Retry as away:
                self._log.warning("other work waits: the store is away", why=str(away))
