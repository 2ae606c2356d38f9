"""One venue, running: its journal, line, topics, rings, writer, checkpoints and feeds, in order.

`start` recovers and then delivers; `stop` goes upstream first: feeds end, the line's rows are
committed, the state is saved, the journal is closed. Which adapters these are is app.py's choice.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bursa.bus.memory import Entry, Limits, Log, MemoryBus
from bursa.journal import checkpoint
from bursa.journal.closed import Compressor
from bursa.journal.read import JournalReader
from bursa.journal.record import Damage, Healed, setting
from bursa.journal.sync import GroupSync
from bursa.journal.write import JournalWriter
from bursa.metrics.catalog import STANDARD, Catalogue
from bursa.model.batch import Batch, Block, Words
from bursa.model.calendar import DAY_NS
from bursa.model.errors import Retry
from bursa.model.schema import topic
from bursa.model.venue import Venue
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.pipeline import gates_file, gauges
from bursa.pipeline.books import NO_BOOK, NOT_YET, Depth
from bursa.pipeline.checkpoints import Checkpoints, rest
from bursa.pipeline.facts import Facts
from bursa.pipeline.gates import TOOK
from bursa.pipeline.ingest import Ingest, Journalled, Listener
from bursa.pipeline.line import Decoder, Derived, Line, kinds
from bursa.pipeline.recover import Recovered, Sources, backlog, recover
from bursa.pipeline.resume import Resume
from bursa.pipeline.tiers import Cold, Hot, tiers_of
from bursa.pipeline.upkeep import JournalLimits, Upkeep
from bursa.pipeline.waiting import Waiting
from bursa.pipeline.writer import Flush, Writer
from bursa.ports import Clock, Committed, DeadLetters, Feed, State, Store
from bursa.store.rings import Rings

# A writer that is less than this behind the journal has time for other work.
IDLE_BYTES = 8 << 20
# Kinds whose hot days a capped folder may give up (upkeep.py).
RAW = ("ticks", "quotes", "snapshot", "orderbook")
Progress = Callable[[int, int], Any]
# Status rows this far around the newest bar are read back at a start: session states, holes.
STATUS_BACK_NS = 7 * DAY_NS


@dataclass(frozen=True)
class Knobs:
    """The values a runtime takes from the configuration. kinds: the venue's switches
    (switches.py), those that it has. retain_days: how many days of a kind stay hot; absent: all."""

    sync_gap_s: float
    sync_bytes: int
    segment_bytes: int
    compress: bool
    checkpoint_s: float
    checkpoint_bytes: int
    flush: Flush
    topics: Limits
    kinds: Mapping[str, str]
    retain_days: Mapping[str, int]
    cap_bytes: int
    # Seconds past a day's midnight after which it may go cold.
    drain_s: int = 86_400
    journal_limits: JournalLimits = JournalLimits()


@dataclass(frozen=True)
class Parts:
    """What a runtime is made of; app.py picks them. Without a state database a row that the store
    refuses stops the writer."""

    store: Store
    rings: Rings
    bus: MemoryBus
    clock: Clock
    telemetry: Telemetry
    decoder: Callable[[Venue, Words], Decoder]
    catalogue: Catalogue = STANDARD
    state: State | None = None


class VenueRuntime:
    """A venue from its feed to its committed rows."""

    def __init__(self, venue: Venue, words: Words, data: Path, parts: Parts, knobs: Knobs) -> None:
        self.venue, self.words, self.parts, self.knobs = venue, words, parts, knobs
        self.folder = data / "journal" / venue.name
        self.checkpoints_folder = data / "checkpoints" / venue.name
        self.data = data
        self._kinds = kinds(parts.catalogue)
        self.facts = Facts(venue, words)
        parts.telemetry.begin(venue.name, [channel.name for channel in venue.channels])
        self.line = self._make_line(words)
        self.recovered: Recovered | None = None
        self._log = logger("runtime").bind(venue=venue.name)
        self._resume = Resume(len(venue.channels))
        # Called with all that is derived past what was committed, also during a recovery.
        self.listeners: list[Listener] = []
        self.started = self.has_feed = False
        self._begun_ns = 0
        # Journal position of the newest rows of the past that were entered (entry.py).
        self.entered_to = 0
        self.ingest: Ingest | None = None
        self.writer: Writer | None = None
        self._waiting = self._new_waiting()
        self._known: set[Damage | Healed] = set()

    def _make_line(self, words: Words) -> Line:
        decoder = self.parts.decoder(self.venue, words)
        return Line(self.venue, words, decoder, catalogue=self.parts.catalogue)

    def _own_line(self) -> Line:
        return self._make_line(self.venue.words())

    def _new_waiting(self) -> Waiting:
        return Waiting(self.venue.name, self.parts.telemetry, self._log)

    # -- start -----------------------------------------------------------------------------------

    def start(self, feeds: Sequence[Feed], progress: Progress = lambda done, total: None) -> None:
        """Recover, then run the feeds; waits while the store is away. `progress` is told in bytes
        of journal to replay. Raises Interrupted where `interrupt` ended it."""
        self.has_feed, ask = bool(feeds), self._waiting.until_there
        committed, newest_ns = ask(self._committed), ask(self._newest_bar_ns)
        self._open_journal(committed)
        self._open_topics(committed, newest_ns)
        self.started = True  # from here on there is something to stop
        ask(lambda: self.parts.rings.rehydrate(self.parts.store))
        self._recover(committed, progress)
        if not feeds:
            rest(self.line, self.checkpoints_folder)
        ask(self._remember)
        self._deliver(feeds)
        self._waiting.at = ""

    def interrupt(self) -> None:
        """End a start that is under way, though it waits for a store that is away."""
        self._waiting.interrupt()

    @property
    def waits_for(self) -> str:
        """What a start that is under way is at; "" where there is nothing to say."""
        return self._waiting.at

    def _committed(self) -> int:
        held = self.parts.store.positions()
        found = [held.get(topic(self.venue.name, kind), Committed(0, 0)) for kind in self._kinds]
        return min(c.position for c in found)

    def _open_journal(self, committed: int) -> None:
        knobs, clock = self.knobs, self.parts.clock
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoints_folder.mkdir(parents=True, exist_ok=True)
        self.journal = JournalWriter(
            self.folder,
            self.venue.name,
            floor=committed,
            trusted=max(
                (c.position for c in checkpoint.listing(self.checkpoints_folder)), default=0
            ),
            now_ns=clock.now_ns,
            segment_bytes=knobs.segment_bytes,
        )
        for damage in (*self.journal.damaged, self.journal.truncated):
            if damage is not None:
                self._told(damage)
        self.entered_to = self.journal.position
        self.sync = GroupSync(
            self.journal,
            gap_s=knobs.sync_gap_s,
            bytes_max=knobs.sync_bytes,
            on_synced=self._synced,
        )
        self.sync.start()
        self._compressor = Compressor(self.folder, lambda: self.journal.base, packs=knobs.compress)
        self._compressor.start()

    def _told(self, note: Damage | Healed) -> None:
        """Whoever of this run reads the journal met something; said once."""
        if note in self._known:
            return
        self._known.add(note)
        telemetry, name = self.parts.telemetry, self.venue.name
        if isinstance(note, Healed):
            telemetry.journal_healed.labels(name).inc()
            self._log.error("journal was damaged here and is healed", **note._asdict())
        else:
            telemetry.journal_damaged.labels(name).inc()
            self._log.error("journal is damaged here", **note._asdict())

    def _synced(self, position: int, took_s: float) -> None:
        telemetry, name = self.parts.telemetry, self.venue.name
        telemetry.journal_sync.labels(name).observe(took_s)
        telemetry.journal_unsynced.labels(name).set(self.journal.position - position)

    def _open_topics(self, committed: int, newest_ns: int) -> None:
        derive = backlog(self._own_line, lambda: self._sources(self._new_waiting()))
        self.log: Log = self.parts.bus.open(self.venue.name, self.knobs.topics, derive)
        self.log.start(committed)
        self.writer = Writer(
            self.venue.name,
            self._kinds,
            self.parts.store,
            self.log.join("store", committed),
            self.knobs.flush,
            self.parts.clock,
            self.parts.telemetry,
        )
        self.writer.synced_past = self.sync.wait
        self.writer.letters = self._letters
        self._upkeep = Upkeep(
            self,
            [kind for kind in RAW if self.knobs.retain_days.get(kind)],
            self.knobs.cap_bytes,
            settled_to=self.venue.calendar.day_of(newest_ns),
            journal=self.knobs.journal_limits,
        )
        self.writer.idle = self._between_writes
        self.writer.start(committed)

    def _letters(self) -> DeadLetters | None:
        state = self.parts.state
        return None if state is None else state.letters

    def _newest_bar_ns(self) -> int:
        """Opening of the newest stored bar; 0 before the first."""
        spans = self.parts.store.span(self.venue.name)
        return max((last for _, last in spans.values()), default=0)

    def _remember(self) -> None:
        store, name = self.parts.store, self.venue.name
        shown = {"contracts", "snapshot", "index"} - self.line.switches.hidden
        self.facts.restore(store.latest(name, kind) for kind in shown)
        newest = self._newest_bar_ns()
        self.facts.restore([store.status(name, newest - STATUS_BACK_NS, newest + STATUS_BACK_NS)])

    def _recover(self, committed: int, progress: Progress) -> None:
        checkpoint.delete_after(self.checkpoints_folder, self.journal.position)
        sources = replace(
            self._sources(self._waiting),
            restored=lambda state: self.facts.resume(state["facts"]),
            silent=self._note,
        )

        at = self._waiting.told("the journal is replayed")

        def told(done: int, total: int) -> None:
            at(done, total)
            progress(done, total)

        self.recovered = recover(
            self.line, self._resume, sources, committed, self._publish_slowly, told
        )
        self.facts.stand(self.line.watermarks())
        found = self.recovered
        self._log.info(
            "recovered",
            committed=committed,
            checkpoint=found.checkpoint,
            end=found.end,
            silent_bytes=found.silent_bytes,
            loud_bytes=found.loud_bytes,
        )

    def _sources(self, waiting: Waiting) -> Sources:
        reader = JournalReader(self.folder, self._told)
        bars = partial(waiting.bars, self.parts.store)
        return Sources(reader, self.checkpoints_folder, bars, self._passed_over)

    def _passed_over(self, path: Path, why: str) -> None:
        self.parts.telemetry.checkpoints_bad.labels(self.venue.name).inc()
        self._log.warning("checkpoint passed over, or a part of one", file=path.name, why=why)

    def _note(self, derived: Derived) -> None:
        self.facts.take(derived, self.line.watermarks(), self.parts.clock.now_ns())

    def _publish_slowly(self, derived: Derived) -> None:
        """During a recovery no socket waits, so the writer may be waited for."""
        self._keep(derived)
        self._publish(derived)
        while self.log.rows * 2 > self.knobs.topics.rows_max and self.writer is not None:
            if self.writer.failure is not None:
                raise self.writer.failure
            self._waiting.sleep(0.01)

    def _deliver(self, feeds: Sequence[Feed]) -> None:
        knobs, parts = self.knobs, self.parts
        self.ingest = Ingest(
            self.line,
            Journalled(self.journal, self.sync),
            feeds,
            parts.clock,
            parts.telemetry,
        )
        self.ingest.go_on(self._resume.places)
        self.saver = Checkpoints(
            self.checkpoints_folder,
            self.line,
            knobs.checkpoint_s,
            knobs.checkpoint_bytes,
            parts.clock,
            parts.telemetry,
        )
        self.saver.synced_past = self.sync.wait
        assert self.writer is not None, "topics are opened before feeds run"
        writer = self.writer
        self.saver.committed = lambda: writer.committed
        self.saver.folded = lambda: self.hot.folded(self.venue.name)
        self.saver.beside = self._beside_the_line
        self.saver.journal_first = lambda: JournalReader(self.folder).first
        self.saver.start(self.journal.position, self.journal.epoch)
        self.ingest.after_push = self.saver.after_push
        self.ingest.hand_over = self._keep
        self.ingest.listeners.append(self._publish)
        gates_file.keep(self.folder, self.line.gates)
        if due := self.line.switches.due(knobs.kinds):
            self.ingest.say_first(setting(due))
        self._begun_ns = parts.clock.now_ns()
        self.ingest.start()

    def _beside_the_line(self) -> dict[str, Any]:
        """What a checkpoint holds besides the line's state."""
        assert self.ingest is not None, "checkpoints are taken while feeds run"
        self._resume.places = list(self.ingest.places)
        return {"resume": self._resume.snapshot(), "facts": self.facts.snapshot()}

    # -- the way of what was derived ---------------------------------------------------------------

    def _keep(self, derived: Derived) -> None:
        """Under the line's lock while feeds run: a bar that is no longer open is in its ring before
        anybody can look for it."""
        if len(derived.closed):
            self.parts.rings.feed_bars(derived.closed)
        if len(derived.metrics):
            self.parts.rings.feed_metrics(derived.metrics)
        for rows in derived.entered:
            self.parts.rings.enter(rows)

    def _publish(self, derived: Derived) -> None:
        self._note(derived)
        gauges.derived(self.parts.telemetry, self.venue.name, derived)
        self.log.publish(Entry(derived.span, derived.batches))
        if TOOK in derived.counts:
            gates_file.keep(self.folder, self.line.gates)
        for listen in self.listeners:
            listen(derived)

    def _between_writes(self) -> None:
        """On the writer's thread, after each of its turns."""
        self._upkeep.pump()
        gauges.topics(self.parts.telemetry, self.venue.name, self.log)
        gauges.memory(self.parts.telemetry, self.venue, self.parts.rings, self.facts.watermarks)

    @property
    def configured(self) -> Mapping[str, str]:
        """The switches as the configuration has them (control.py)."""
        return self.knobs.kinds

    def published(self, kind: str) -> bool:
        """Do readers of the present get this kind?"""
        return kind not in self.line.switches.hidden

    @property
    def newest_ns(self) -> int:
        """Newest event time."""
        return self.facts.newest_ns

    @property
    def heard_ns(self) -> int:
        """When the feed brought something last, or was begun; our clock, 0 before."""
        if self.ingest is None:
            return 0
        return max(self._begun_ns, *(state.last_recv_ns for state in self.ingest.channels))

    @property
    def tiers(self) -> tuple[Hot, Cold] | None:
        """Both sides of the store; None where it has but one."""
        return tiers_of(self.parts.store)

    @property
    def idle(self) -> bool:
        """The writer is not behind."""
        return self.log.lag("store") < IDLE_BYTES

    @property
    def rows(self) -> int:
        """Rows committed since the start."""
        return 0 if self.writer is None else self.writer.rows

    def check(self) -> None:
        """Raise what stopped a thread of this venue, if anything did."""
        saver = self.saver if self.ingest is not None else None
        for part in (self.ingest, self.writer, saver):
            if part is not None and part.failure is not None:
                raise part.failure

    def check_writer(self) -> None:
        """Raise Retry while the store takes nothing, or does not keep up."""
        if self.writer is not None:
            self.writer.check()

    def check_writer_long(self) -> None:
        """Raise Retry where that has gone on for too long."""
        if self.writer is not None:
            self.writer.check_long()

    def check_journal(self) -> None:
        """Raise Retry while the journal takes nothing and the feeds wait."""
        if self.ingest is not None and self.ingest.refused:
            raise Retry(f"feeds wait: {self.ingest.refused}")

    def open_bars(self, ids: Block | None = None) -> Batch:
        """The bars not closed yet; safe from any thread."""
        if self.ingest is None:
            return self.line.open_bars(np.empty(0, np.int64))
        with self.ingest.lock:
            return self.line.open_bars(ids)

    def book(self, ticker: str, depth: int) -> Depth:
        """A ticker's order book as it is now, `depth` levels of a side at most, empty where nothing
        of it came, and not whole either while the venue recovers; safe from any thread."""
        if self.ingest is None:
            return NOT_YET
        symbol = self.words.find_symbol(ticker)
        if symbol < 0:
            return NO_BOOK
        with self.ingest.lock:
            found = self.line.book(symbol, depth)
        return self.facts.book(symbol, depth) if found is None else found

    @property
    def hot(self) -> Store:
        """The store."""
        return self.parts.store

    @property
    def clock(self) -> Clock:
        """Our clock."""
        return self.parts.clock

    @property
    def telemetry(self) -> Telemetry:
        """The counters."""
        return self.parts.telemetry

    @property
    def committed(self) -> int:
        """Journal position up to which the store holds all rows."""
        return 0 if self.writer is None else self.writer.committed

    # -- stop ------------------------------------------------------------------------------------

    def stop(self, timeout_s: float = 25.0) -> bool:
        """Feeds, writer, checkpoint, journal, in this order, all of it in about `timeout_s`. True
        if all rows were committed."""
        until = time.monotonic() + timeout_s

        def left_s() -> float:
            return max(0.1, until - time.monotonic())

        if self.ingest is not None:
            self.ingest.stop(left_s())
        with self._failing_sync():
            self.sync.wait(self.journal.position, left_s())
        self.log.close()
        done = self.writer is not None and self.writer.stop(left_s())
        if self.ingest is not None and self.ingest.failure is None:
            self.saver.take(self.journal.position)
            self.saver.stop(left_s())
        self._compressor.stop()
        with self._failing_sync():
            self.sync.stop()
        self.journal.close()
        committed = self.writer.committed if self.writer is not None else 0
        self._log.info(
            "stopped",
            position=self.journal.position,
            committed=committed,
            rows=0 if self.writer is None else self.writer.rows,
        )
        return done and committed >= self.journal.position

    @contextmanager
    def _failing_sync(self) -> Iterator[None]:
        """A stop goes on to its end where the disk fails; what is not synced is not committed."""
        try:
            yield
        except OSError as error:
            self._log.error("journal is not synced", synced=self.journal.synced, why=str(error))
