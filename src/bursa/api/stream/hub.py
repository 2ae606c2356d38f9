"""The hub of the stream: what the ingest thread derives, to every client that asked for it.

`offer` is called on the ingest thread and only notes; all else happens on the server's loop. There
a batch's closed bars and metric rows enter the retained log, become a frame once each if anybody
wants them, and are written to each client in one piece a flush. Partial bars are read when they are
sent, so under load they are conflated by themselves: work is bounded by symbols, not by trades.
A flush follows another by FLUSH_GAP_S at least: with 100 clients at 12,000 messages a second that
takes a fifth less CPU and costs a millisecond of delay.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bursa.api.services import Services
from bursa.api.stream.entered import of_today
from bursa.api.stream.frames import BarRow, Joined, bar_rows, said
from bursa.api.stream.outbox import Client, Key, OutboxLimits
from bursa.api.stream.partials import Partials
from bursa.api.stream.post import Post
from bursa.api.stream.retained import SAID, Retained, Segment
from bursa.api.stream.rolling import Rolling
from bursa.api.stream.subscriptions import BARS, METRICS, VenueStream
from bursa.api.stream.views import Views
from bursa.model.batch import Batch, Block
from bursa.model.errors import Refuse
from bursa.model.schema import STATES
from bursa.model.venue import closed_until_ns
from bursa.ops.logs import logger

FLUSH_GAP_S = 0.002
# Rows that may wait for the loop. Past them every client is closed and a new epoch begins: nothing
# is left out in silence.
INBOX_ROWS_MAX = 2_000_000
RESUME_FRAMES = 500
SWEEP_S = 1.0
GOING_AWAY, TRY_AGAIN, SLOW = 1001, 1013, 4008

_GAP, _DAY_OVER = STATES.index("gap"), STATES.index("E")
# What entries belong to that all of a venue's listeners get.
_MINUTE, _FEED_GAP = ("minute", "", -1), ("gap", "", -1)

_log = logger("stream")


class Derived(Protocol):
    """What one push of a venue's line gave (the fields that the stream reads)."""

    @property
    def batches(self) -> Sequence[Batch]:
        """All that has rows, every kind once."""

    @property
    def closed(self) -> Batch:
        """Closed bars and revisions in order of emission."""

    @property
    def minutes(self) -> Block:
        """Ends of minutes: opening, rows of `closed` before it, known_at, position."""

    @property
    def metrics(self) -> Batch:
        """Metric rows of `closed`, in order of emission."""

    @property
    def touched(self) -> Block:
        """Symbols whose open bar changed."""

    @property
    def entered(self) -> Sequence[Batch]:
        """Rows of the past that were entered."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """The stream's knobs.

    throttle_ms  least time between two partial bars of one symbol, unless a client says otherwise
    retain       entries kept for clients that resume
    clients      connections at once
    """

    throttle_ms: int = 250
    retain: int = 100_000
    clients: int = 2_000
    outbox: OutboxLimits = field(default_factory=OutboxLimits)


class Hub:
    """All streams of one process. `epoch`: 8 to 32 hexadecimal digits, new with each start."""

    def __init__(self, services: Services, limits: StreamLimits, epoch: str) -> None:
        self.limits = limits
        self.retained = Retained(epoch, limits.retain)
        views = Views(services.default.hd)
        self.post = Post(limits.outbox, limits.clients, services.telemetry, views.seen_by)
        self.post.resumed, self.post.left = self._resumed, self._left
        self.streams = {name: VenueStream(service) for name, service in services.venues.items()}
        self.partials = {name: Partials(s, self.post) for name, s in self.streams.items()}
        self._queue = services.telemetry.stream_queue
        self._anew = services.telemetry.stream_anew
        self._inbox: deque[tuple[str, Derived, int]] = deque()
        self._inbox_rows = 0
        self._lock = threading.Lock()
        self._woken = self._overflowed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flushed_s = self._swept_s = 0.0

    # -- the ingest thread -------------------------------------------------------------------------

    def offer(self, venue: str, derived: Derived, watermark_ns: int) -> None:
        """Take what one push of a venue's line gave, and the watermark by which its bars close.
        Cheap, never waits; before `start` and after `stop` nothing is taken."""
        loop = self._loop
        if loop is None:
            return
        with self._lock:
            if self._inbox_rows > INBOX_ROWS_MAX:
                self._inbox.clear()
                self._inbox_rows, self._overflowed = 0, True
            self._inbox_rows += len(derived.closed) + len(derived.metrics)
            self._inbox.append((venue, derived, watermark_ns))
            if self._woken:
                return
            self._woken = True
        try:
            loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            self._loop = None  # the server's loop is closed: there is nobody left to tell

    # -- the server's loop -------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to take; called on the server's loop."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Dismiss every client; take no more."""
        self._loop = None
        for partials in self.partials.values():
            partials.stop()
        for client in list(self.post.clients):
            self.dismiss(client)

    def dismiss(self, client: Client) -> None:
        """Say `shutdown` to a client and close it."""
        self.post.send((client,), said({"type": "shutdown", "reason": "bursa stops; reconnect"}))
        self.post.flush()
        self.post.close(client, GOING_AWAY, "shutdown")

    def _wake(self) -> None:
        if self._loop is None:
            return
        wait_s = self._flushed_s + FLUSH_GAP_S - self._loop.time()
        if wait_s > 0:
            self._loop.call_later(wait_s, self._drain)
        else:
            self._drain()

    def _drain(self) -> None:
        if self._loop is None:
            return
        self._flushed_s = self._loop.time()
        with self._lock:
            inbox, self._inbox = self._inbox, deque()
            overflowed, self._overflowed = self._overflowed, False
            self._inbox_rows, self._woken = 0, False
        self._queue.set(len(inbox))
        if overflowed:
            self._begin_anew("the stream fell behind")
        try:
            self._take_all(inbox)
        except Exception as fault:  # noqa: BLE001 -- ours: told loudly, and no client misses a frame
            self._begin_anew("a fault of ours broke the stream")
            _log.error("stream failed", exc_info=fault)  # last: a trace takes its time to write

    def _take_all(self, inbox: Iterable[tuple[str, Derived, int]]) -> None:
        for stream in self.streams.values():
            self._begin_waiting(stream)
        for venue, derived, watermark_ns in inbox:
            self._take(self.streams[venue], derived, watermark_ns)
        for partials in self.partials.values():
            partials.tell()
        self.post.flush()
        if self._flushed_s - self._swept_s > SWEEP_S:
            self._swept_s = self._flushed_s
            for stream in self.streams.values():
                stream.forget_idle(self.retained.tail)

    def _begin_anew(self, why: str) -> None:
        """Close every client and forget what was retained: whatever was lost, nobody who resumes
        is told that he has all of it."""
        self._anew.inc()
        _log.error("stream begins anew, clients are closed", why=why, was=self.retained.epoch)
        self.retained.begin(f"{int(self.retained.epoch, 16) + 1:016x}"[-32:])
        for client in list(self.post.clients):
            self.post.close(client, TRY_AGAIN, f"{why}; reconnect")

    def _take(self, stream: VenueStream, derived: Derived, watermark_ns: int) -> None:
        joined, metrics = Joined(derived.closed, derived.metrics), derived.metrics
        bar, row = 0, 0
        for opening, before, _, position in derived.minutes.T.tolist():
            after = int(np.searchsorted(metrics.column("position"), position, side="right"))
            self._bars(stream, joined, bar, before)
            self._metrics(stream, metrics, row, after)
            self._minute(stream, opening)
            bar, row = before, max(row, after)
        self._bars(stream, joined, bar, len(derived.closed))
        self._metrics(stream, metrics, row, len(metrics))
        for rows in derived.entered:
            self._entered(stream, rows, watermark_ns)
        for batch in derived.batches:
            if batch.kind.name == "status":
                self._status(stream, batch)
        self._ends(stream, watermark_ns)
        if len(derived.touched):
            for lane in stream.lanes.values():
                lane.touch(derived.touched)

    def _bars(self, stream: VenueStream, joined: Joined, first: int, last: int) -> None:
        if first >= last:
            return
        closed, frames = joined.closed, stream.frames

        def make(place: int, cursor: str) -> bytes:
            at = np.array([first + place])
            return frames.bar(bar_rows(closed, at, joined.hd[at])[0], "1m", cursor)

        symbols, ts = closed.block[0, first:last], closed.column("ts")[first:last]
        segment = self.retained.append(stream.name, BARS, (symbols, ts), make)
        wanted = stream.masks[BARS].places(symbols)
        if not len(wanted):
            return
        partials = self.partials[stream.name]
        rows = bar_rows(closed, wanted + first, joined.hd[wanted + first])
        longer: list[tuple[Rolling, BarRow]] = []
        for place, row in zip(wanted.tolist(), rows, strict=True):
            if clients := stream.of(BARS, "1m", row.symbol):
                cursor = self.retained.cursor(segment.first + place + 1)
                frame = segment.frames[place] = frames.bar(row, "1m", cursor)
                self.post.send(clients, frame)
            longer += partials.roll(row)
        # After all of the minutes, as they are retained: a client's cursors ascend.
        for rolling, long in longer:
            self._long(stream, rolling, long)

    def _entered(self, stream: VenueStream, rows: Batch, watermark_ns: int) -> None:
        today = of_today(rows, stream.service.words, stream.service.venue, watermark_ns)
        if rows.kind.name == METRICS:
            self._metrics(stream, today, 0, len(today))
        elif rows.kind.name == "ohlcv":
            self._bars(stream, Joined(today, None), 0, len(today))
            self.partials[stream.name].reload(np.unique(today.block[0]).tolist())

    def _metrics(self, stream: VenueStream, metrics: Batch, first: int, last: int) -> None:
        if first >= last:
            return

        def make(place: int, cursor: str) -> bytes:
            return stream.frames.metrics(metrics, first + place, cursor)

        symbols, ts = metrics.block[0, first:last], metrics.column("ts")[first:last]
        segment = self.retained.append(stream.name, METRICS, (symbols, ts), make)
        for place in stream.masks[METRICS].places(symbols).tolist():
            if clients := stream.of(METRICS, "1m", int(symbols[place])):
                self.post.send(clients, self.retained.frame(segment, place))

    def _minute(self, stream: VenueStream, opening: int) -> None:
        self._say(stream, opening, _MINUTE, lambda cursor: stream.frames.minute(opening, cursor))

    def _long(self, stream: VenueStream, rolling: Rolling, row: BarRow) -> None:
        freq = rolling.grid.freq
        key = (BARS, freq, rolling.symbol)
        self._say(stream, row.ts, key, lambda cursor: stream.frames.bar(row, freq, cursor))

    def _gap(self, stream: VenueStream, status: Batch, at: int) -> None:
        ts = int(status.column("ts")[at])
        self._say(stream, ts, _FEED_GAP, lambda cursor: stream.frames.gap(status, at, cursor))

    def _say(
        self,
        stream: VenueStream,
        ts: int,
        key: tuple[str, str, int],
        make: Callable[[str], bytes],
    ) -> None:
        """One entry of its own, to those who listen to its key."""
        segment = self.retained.append(
            stream.name,
            SAID,
            (np.array([key[2]]), np.array([ts])),
            lambda _, cursor: make(cursor),
            (key,),
        )
        clients = stream.clients if key in (_MINUTE, _FEED_GAP) else stream.of(*key)
        if clients:
            self.post.send(clients, self.retained.frame(segment, 0))

    def _status(self, stream: VenueStream, status: Batch) -> None:
        states = status.block[status.kind.index["state"]]
        for at in np.flatnonzero(states == _GAP).tolist():
            self._gap(stream, status, at)
        over = status.column("ts")[states == _DAY_OVER]
        if len(over):
            stream.over_day = stream.service.venue.calendar.day_of(int(over[-1]))

    def _ends(self, stream: VenueStream, watermark_ns: int) -> None:
        """Longer bars that are over by now."""
        if not stream.ends or watermark_ns <= 0:
            return
        venue = stream.service.venue
        over = venue.calendar.day_of(watermark_ns) == stream.over_day
        for rolling, bar in stream.ended(closed_until_ns(venue, watermark_ns, over)):
            self._long(stream, rolling, rolling.closed(bar))

    # -- clients -----------------------------------------------------------------------------------

    def cursor(self, offset: int | None = None) -> str:
        """The cursor of an offset, or of what is sent next."""
        return self.retained.cursor(self.retained.head if offset is None else offset)

    def subscribe(
        self, client: Client, keys: Sequence[Key], registered: Callable[[], None] = lambda: None
    ) -> None:
        """A client listens to more from now on. `registered` is called once it does; then the bars
        under way are sent."""
        for key in keys:
            venue, channel, freq, symbol = key
            if key in client.keys:
                continue
            if channel == BARS and freq != "1m":
                self.partials[venue].follow(symbol, freq, self.retained.head)
            self.streams[venue].put(client, key)
        registered()
        for name, partials in self.partials.items():
            partials.newest(client, [key for key in keys if key[0] == name])
        self.post.flush()

    def subscribe_later(
        self, client: Client, venue: str, later: Sequence[tuple[str, str, str]]
    ) -> None:
        """A client listens to (channel, freq, ticker) as soon as the venue has the ticker."""
        client.later |= {(venue, *each) for each in later}
        if later:
            self.streams[venue].waiting.add(client)

    def _begin_waiting(self, stream: VenueStream) -> None:
        """Tickers that have appeared begin for those who wait for them."""
        words = stream.service.words
        if not stream.waiting or len(words.symbols) == stream.symbols:
            return
        stream.symbols = len(words.symbols)
        for client in list(stream.waiting):
            here = [later for later in client.later if later[0] == stream.name]
            come = [later for later in here if words.find_symbol(later[3]) >= 0]
            client.later -= set(come)
            if len(come) == len(here):
                stream.waiting.discard(client)
            self.subscribe(client, [(v, c, f, words.find_symbol(t)) for v, c, f, t in come])

    def unsubscribe(self, client: Client, keys: Sequence[Key]) -> None:
        """A client listens to less from now on."""
        for key in keys:
            if key in client.keys:
                venue, channel, freq, symbol = key
                self.streams[venue].remove(client, key)
                if channel == BARS and freq != "1m":
                    self.partials[venue].release(symbol, freq, self.retained.head)

    def throttle(self, client: Client, throttle_ms: int) -> None:
        """Change how often a client gets partial bars."""
        if throttle_ms != client.throttle_ms:
            keys = list(client.keys)
            for key in keys:
                self.streams[key[0]].remove(client, key)
            client.throttle_ms = throttle_ms
            for key in keys:
                self.streams[key[0]].put(client, key)

    def resumable(self, cursor: str, keys: Sequence[Key]) -> int | None:
        """The offset from which all that `keys` missed is retained; None where it is not. Refuse
        `bad_cursor`."""
        offset = self.retained.offset_of(cursor)
        if offset is None:
            return None
        for venue, channel, freq, symbol in keys:
            if channel == BARS and freq != "1m":
                rolling = self.streams[venue].rollings.get(symbol, {}).get(freq)
                if rolling is None or not rolling.ready or rolling.since > offset:
                    return None
        return offset

    async def resume(self, client: Client, keys: Sequence[Key], offset: int) -> None:
        """Send all entries of `keys` from `offset` on, then go on live without a seam."""
        wanted = Wanted(keys, {key[0] for key in keys} - {key[0] for key in client.keys})
        while not client.closed:
            if offset < self.retained.tail:
                self.post.close(client, SLOW, "too slow: the stream has moved on")
                return
            if client.wire.blocked:
                await asyncio.sleep(0.01)
                continue
            frames, offset = self._missed(wanted, offset)
            self.post.send_each(client, frames)
            if offset == self.retained.head:
                client.owed = ()
                self.subscribe(client, keys)
                return
            self.post.flush()
            await asyncio.sleep(0)

    def _missed(self, wanted: "Wanted", offset: int) -> tuple[list[bytes], int]:
        """At most RESUME_FRAMES frames, and the offset behind the last entry looked at."""
        frames: list[bytes] = []
        for segment, first in self.retained.since(offset):
            for place in wanted.places(segment, first):
                if len(frames) == RESUME_FRAMES:
                    return frames, segment.first + place
                frames.append(self.retained.frame(segment, place))
            offset = segment.after
        return frames, offset

    def changed_since(self, cursor: str, venue: str, ticker: str) -> NDArray[np.int64]:
        """Openings of the minutes of a ticker that closed or were revised after a cursor,
        ascending. Refuse `bad_cursor`, `cursor_expired`."""
        try:
            offset = self.retained.offset_of(cursor)
        except Refuse as refusal:
            raise Refuse(str(refusal), refusal.code, parameter="since") from None
        if offset is None:
            message = "what followed that cursor is not retained any more; fetch the range by from="
            raise Refuse(message, "cursor_expired", 410, "since")
        symbol = self.streams[venue].service.words.find_symbol(ticker)
        found = [
            segment.ts[first:][segment.symbols[first:] == symbol]
            for segment, first in self.retained.since(offset)
            if segment.venue == venue and segment.kind == BARS
        ]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

    def _resumed(self, client: Client, keys: list[Key]) -> None:
        for name, partials in self.partials.items():
            partials.newest(client, [key for key in keys if key[0] == name])
        self.post.flush()

    def _left(self, client: Client) -> None:
        self.unsubscribe(client, list(client.keys))
        for stream in self.streams.values():
            stream.waiting.discard(client)


class Wanted:
    """Which retained entries belong to some keys; `whole`: venues whose minute ends and gaps are
    wanted too."""

    def __init__(self, keys: Sequence[Key], whole: set[str]) -> None:
        self._whole = whole
        self._keys = {key[0]: set[tuple[str, str, int]]() for key in keys}
        for venue, channel, freq, symbol in keys:
            self._keys[venue].add((channel, freq, symbol))
        self._symbols = {
            (venue, channel): np.array(
                [s for c, freq, s in of_venue if c == channel and freq == "1m"], np.int64
            )
            for venue, of_venue in self._keys.items()
            for channel in (BARS, METRICS)
        }

    def places(self, segment: Segment, first: int) -> list[int]:
        """Places in a segment from `first` on."""
        if segment.venue not in self._keys:
            return []
        if segment.kind != SAID:
            symbols = self._symbols[segment.venue, segment.kind]
            hit = np.flatnonzero(np.isin(segment.symbols[first:], symbols))
            return (hit + first).tolist()
        always = (_MINUTE, _FEED_GAP) if segment.venue in self._whole else ()
        keys = self._keys[segment.venue]
        return [
            at
            for at, key in enumerate(segment.keys)
            if at >= first and (key in keys or key in always)
        ]
