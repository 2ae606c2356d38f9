"""The one run loop of a venue: frames in, journal first, then the stages, then whoever listens.

A thread with an event loop of its own, on which the feeds run. What arrives within one turn of
the loop are journalled and decoded together (calls cost more than rows). Nothing here waits for a
reader; only the journal itself pushes back on the sockets. While it refuses (a full disk), what
came is held, the feeds read no further, and the append is tried again from the loop, which stays
free.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

import uvloop

from bursa.journal.record import Control, down, lost
from bursa.journal.sync import GroupSync
from bursa.journal.write import JournalWriter
from bursa.model.batch import END_OF_FILE, END_OF_SESSION, UP, Chunk, Span
from bursa.model.errors import BursaError, Retry
from bursa.model.venue import Venue
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.line import Derived, Line
from bursa.pipeline.resume import further
from bursa.ports import Clock, Feed, Frames

# Frames that wait for the turn's end are copied; more than this is pushed at once, uncopied.
PENDING_BYTES_MAX = 256 * 1024
# How long a refused append (a full disk) waits before it is tried again.
RETRY_S = 0.5
STOPPED = "stopped"
# How often somebody who waits for the loop looks whether it ended.
LOOK_S = 0.05
T = TypeVar("T")


class Listener(Protocol):
    """Who is told what each push derived, on the ingest thread; must be quick and never wait."""

    def __call__(self, derived: Derived) -> None:
        """Take it."""


@dataclass
class ChannelState:
    """What is known of one channel of the feed. `stamped`: its newest frames had a receive time, or
    were given one."""

    name: str
    up: bool = False
    why: str = "not connected yet"
    session: str = ""
    next_seq: int = 1
    last_recv_ns: int = 0
    ended: bool = False
    stamped: bool = True


@dataclass
class Journalled:
    """The journal of a venue and what keeps it synced."""

    writer: JournalWriter
    sync: GroupSync


class Ingest:
    """Runs a venue's feeds. Implements ports.Intake.

    lock       held while the line is pushed and `hand_over` takes what it gave
    hand_over  told first, under the lock: who reads the open bars under it, and the closed ones
               afterwards, finds each bar in at least one of the two
    listeners  told after that, the lock being free
    """

    def __init__(
        self,
        line: Line,
        journal: Journalled,
        feeds: Sequence[Feed],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self.venue: Venue = line.venue
        self._line, self._journal, self._feeds = line, journal, feeds
        self._clock, self._telemetry = clock, telemetry
        self._log = logger("ingest").bind(venue=self.venue.name)
        self.lock = threading.Lock()
        self.channels = [ChannelState(c.name) for c in self.venue.channels]
        # Session and next number of each channel, as journalled: what a checkpoint keeps.
        self.places: list[tuple[str, int]] = [("", 1)] * len(self.channels)
        self._messages = [telemetry.messages.labels(self.venue.name, c.name) for c in self.channels]
        self._bytes = [telemetry.bytes_in.labels(self.venue.name, c.name) for c in self.channels]
        self._journal_bytes = telemetry.journal_bytes.labels(self.venue.name)
        self.hand_over: Listener = lambda derived: None
        self.listeners: list[Listener] = []
        self.after_push: Callable[[int], None] = lambda position: None
        self.failure: BaseException | None = None
        # Why the journal takes nothing now; "" while it does.
        self.refused = ""
        self._taking = asyncio.Event()
        self._taking.set()
        self._retry: asyncio.TimerHandle | None = None
        self.finished = threading.Event()
        self._pending: list[Frames | Control] = []
        self._pending_bytes = 0
        self._scheduled = False
        self._asking = threading.Lock()
        self._stopping = threading.Event()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"ingest-{self.venue.name}", daemon=True
        )

    # -- the thread ------------------------------------------------------------------------------

    def start(self) -> None:
        """Run the feeds until they end or `stop` is called."""
        self._thread.start()

    def go_on(self, places: Sequence[tuple[str, int]]) -> None:
        """Say where the channels are to go on, before the start."""
        self.places = list(places)
        for state, (session, next_seq) in zip(self.channels, places, strict=True):
            state.session, state.next_seq = session, next_seq

    def stop(self, timeout_s: float) -> None:
        """Cancel the feeds, push what is pending, end the thread."""
        self._stopping.set()
        self._ask(self._cancel)
        self._thread.join(timeout_s)

    def _ask(self, call: Callable[[], None]) -> None:
        """Have the loop call this, from any thread; nothing where it has none yet, or no more."""
        if self._loop is not None:
            with suppress(RuntimeError):  # closed: the feeds have ended, perhaps as this is asked
                self._loop.call_soon_threadsafe(call)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._taking.set()  # nobody waits for room longer than this

    def _run(self) -> None:
        try:
            uvloop.run(self._main())
        except BaseException as failure:  # noqa: BLE001 - whatever it is, the owner must learn of it
            self.failure = failure
            mild = isinstance(failure, BursaError)
            told: dict[str, object] = {"why": str(failure)} if mild else {"exc_info": failure}
            self._log.error("ingest stopped", position=self._journal.writer.position, **told)
        finally:
            self.finished.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(feed.run(self), name=feed.name) for feed in self._feeds]
        if self._stopping.is_set():
            self._cancel()
        self.flush()  # what was said before the start
        done = await asyncio.gather(*self._tasks, return_exceptions=True)
        for state in self.channels:
            if state.up:
                self.down(self.channels.index(state), STOPPED)
        await self._last()
        if self.failure is not None:
            raise self.failure
        for outcome in done:
            if isinstance(outcome, BaseException) and not isinstance(
                outcome, asyncio.CancelledError
            ):
                raise outcome

    # -- ports.Intake ----------------------------------------------------------------------------

    def frames(self, frames: Frames) -> None:
        """Take packets (ports.Intake)."""
        state = self.channels[frames.channel]
        size = len(frames.payload)
        state.stamped = frames.ts_recv >= 0
        self._messages[frames.channel].inc(frames.count)
        self._bytes[frames.channel].inc(size)
        if frames.first_seq:
            place = (state.session, state.next_seq)
            state.session, state.next_seq = further(place, frames)
        else:
            state.session = frames.session
        if size + self._pending_bytes >= PENDING_BYTES_MAX and not self.refused:
            self._pending.append(frames)
            self.flush()
            return
        self._wait(_copied(frames))
        self._pending_bytes += size

    def up(self, channel: int) -> None:
        """The channel delivers now (ports.Intake)."""
        state = self.channels[channel]
        state.up, state.why = True, ""
        self._telemetry.feed_up.labels(self.venue.name, state.name).set(1)
        # A session that follows another is no news: past days bring dozens within a minute.
        say = self._log.debug if state.ended else self._log.info
        state.ended = False
        say("channel is up", channel=state.name, next_seq=state.next_seq)
        self._wait(Control(UP, channel))

    def down(self, channel: int, why: str) -> None:
        """The channel is away (ports.Intake)."""
        state = self.channels[channel]
        news, state.why = why not in (state.why, STOPPED), why
        if not state.up:
            self._telemetry.feed_retries.labels(self.venue.name).inc()
            if news:  # told once; the attempts after it are counted
                self._log.warning("channel does not come up", channel=state.name, why=why)
            return
        state.up = False
        self._telemetry.feed_up.labels(self.venue.name, state.name).set(0)
        self._telemetry.feed_downs.labels(self.venue.name, state.name).inc()
        say = self._log.info if why == STOPPED else self._log.warning
        say("channel is down", channel=state.name, why=why, next_seq=state.next_seq)
        self._wait(down(channel, why))

    def end_of_session(self, channel: int) -> None:
        """The channel's session is over (ports.Intake)."""
        self.channels[channel].ended = True
        self._wait(Control(END_OF_SESSION, channel))

    def lost(self, channel: int, first: int, last: int, asked: bool) -> None:
        """A gap was given up (ports.Intake)."""
        name = self.channels[channel].name
        self._log.warning("messages are lost", channel=name, first=first, last=last, asked=asked)
        self._wait(lost(channel, first, last, asked))

    def count(self, channel: int, line: str, word: str, count: int) -> None:
        """What a line did (ports.Intake)."""
        labels = (self.venue.name, self.channels[channel].name, line, word)
        self._telemetry.line_events.labels(*labels).inc(count)

    def end_of_file(self, channel: int) -> None:
        """A file is read to its end (ports.Intake)."""
        # A recording's times are in the past: 1 is raised to the newest of the journal, "now" would
        # be given to every older recording that follows. Where it has none (-1), what it says at
        # its end was known at its newest message.
        ts_recv = 1 if self.channels[channel].stamped else -1
        self._wait(Control(END_OF_FILE, channel, ts_recv=ts_recv))

    def resume_point(self, channel: int) -> tuple[str, int]:
        """Session and sequence number to ask for (ports.Intake)."""
        state = self.channels[channel]
        return state.session, state.next_seq

    async def synced(self) -> None:
        """Return when all that was taken is on disk (ports.Intake)."""
        self.flush()
        await self.room()
        await self._journal.sync.reached(self._journal.writer.position)

    @property
    def refusing(self) -> bool:
        """The journal takes nothing now (ports.Intake)."""
        return bool(self.refused)

    async def room(self) -> None:
        """Return when the journal takes (ports.Intake)."""
        await self._taking.wait()
        if self._closed or self.refused:
            raise OSError("the journal takes no more")

    # -- what the shell itself says ----------------------------------------------------------------

    def say_first(self, control: Control) -> None:
        """Journal this before all that the feeds bring; called before the start."""
        self._pending.append(control)

    def between(self, act: Callable[[], T]) -> T:
        """Call `act` between two pushes, from any other thread; returns or raises what it does.
        Raises Retry while the journal refuses. Where the feeds have ended it is called here."""
        with self._asking:
            outcome: Future[T] = Future()
            while self._loop is None and not self.finished.wait(LOOK_S):
                pass
            self._ask(partial(self._run_between, act, outcome))
            while not outcome.done() and not self.finished.wait(LOOK_S):
                pass
            if not outcome.done():  # the loop is over, it cannot run any more
                self._run_between(act, outcome)
            return outcome.result()

    def _run_between(self, act: Callable[[], T], outcome: Future[T]) -> None:
        try:
            self.flush()
            if self.refused or self.failure is not None:
                raise Retry(f"nothing is taken now: {self.refused or self.failure}")
            outcome.set_result(act())
        except BaseException as failure:  # noqa: BLE001 - raised at who asked
            outcome.set_exception(failure)

    def take(self, items: Sequence[Frames | Control]) -> Derived:
        """Inside `between`: journal and push these at once. Raises Retry where the journal refuses
        them; nothing of them is in it then."""
        try:
            chunk = self._journal.writer.append(items)
        except OSError as full:
            raise Retry(f"the journal takes nothing now: {full}") from full
        self._journal_bytes.inc(chunk.span.last - chunk.span.first)
        try:
            return self.push(chunk)
        except BaseException as failure:
            self.failure = failure  # journalled and not derived: the venue ends
            self._close()
            self._cancel()
            raise

    # -- the way of a frame ----------------------------------------------------------------------

    def _wait(self, item: Frames | Control) -> None:
        self._pending.append(item)
        if not self._scheduled and not self.refused and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Journal and push all that is pending; not while the journal refuses, which is asked again
        from time to time."""
        self._scheduled = False
        if not self.refused:
            self._attempt()

    def _attempt(self) -> None:
        """What fails here ends the venue: whatever came later would be taken as following what was
        not journalled, or not derived."""
        if not self._pending or self._closed:
            return
        try:
            self._flush(self._pending)
        except BaseException as failure:  # noqa: BLE001 - raised by `_main`, once the feeds ended
            self.failure = failure
            self._close()
            self._cancel()

    def _flush(self, pending: Sequence[Frames | Control]) -> None:
        now = self._clock.now_ns()
        for item in pending:
            if isinstance(item, Frames):
                state = self.channels[item.channel]
                state.last_recv_ns = now
        try:
            chunk = self._journal.writer.append(pending)
        except OSError as full:
            self._hold(full)
            return
        self._pending, self._pending_bytes = [], 0
        self._go_on(chunk.span)
        for item in pending:
            if isinstance(item, Frames) and item.first_seq:
                self.places[item.channel] = further(self.places[item.channel], item)
        self.push(chunk)

    def _hold(self, full: OSError) -> None:
        """The journal refuses: what is pending stays, as copies, for its buffers are the feeds'.
        Raises where a sync has failed: what that left undone only a restart finds out."""
        self._telemetry.journal_errors.labels(self.venue.name).inc()
        if self._journal.sync.error is not None:
            raise full
        if not self.refused:
            self._log.error("journal refuses, feeds wait", why=str(full))
            self._telemetry.journal_refusing.labels(self.venue.name).set(1)
            self._taking.clear()
            self._pending = [_copied(i) if isinstance(i, Frames) else i for i in self._pending]
        self.refused = str(full)
        assert self._loop is not None, "what is pending came on the loop"
        self._retry = self._loop.call_later(RETRY_S, self._attempt)

    def _go_on(self, taken: Span) -> None:
        """The journal took what was pending."""
        self._journal_bytes.inc(taken.last - taken.first)
        if self.refused:
            self._log.info("journal takes again", position=taken.last)
            self._telemetry.journal_refusing.labels(self.venue.name).set(0)
            self.refused = ""
            self._taking.set()

    async def _last(self) -> None:
        """The feeds have ended: what is pending still goes to the journal, however long it refuses.
        A stop tries once more and leaves the rest, which nobody was told is taken."""
        self.flush()
        if not self._stopping.is_set():
            await self._taking.wait()
        if self.refused:
            self._attempt()
        self._close()

    def _close(self) -> None:
        """Take no more; who waits for room learns it."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._taking.set()

    def push(self, chunk: Chunk) -> Derived:
        """One chunk through the stages, then to the listeners."""
        with self.lock:
            derived = self._line.push(chunk)
            self.hand_over(derived)
        for listen in self.listeners:
            listen(derived)
        self.after_push(derived.span.last)
        return derived


def _copied(frames: Frames) -> Frames:
    """The same, with bytes of its own."""
    return replace(frames, payload=bytes(frames.payload))
