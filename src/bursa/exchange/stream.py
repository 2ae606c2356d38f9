"""A day's session of one channel as SoupBinTCP packets, from any message on.

What a session holds follows from its `Day` alone, so nothing of it is kept: to go on from a message
is to make the day again up to there. `Sessions` remembers a few states on the way through the days
it saw last, which makes that quick. Knows no sockets and no clock.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from bursa.exchange import market as m
from bursa.exchange.encode import SEQ
from bursa.exchange.engine import EVENT_BYTES_MAX, run
from bursa.exchange.market import FULL, HISTORY, Day, Market, open_day
from bursa.model.calendar import MINUTE_NS, SECOND_NS, Calendar
from bursa.model.venue import IDX

BLOCK_BYTES = 1 << 20
_MARK_MESSAGES = 500_000
_DAYS_MARKED = 3  # of one channel each


class Session:
    """One channel of one day, made as it is asked for.

    day, channel   what it is a session of
    """

    def __init__(self, day: Day, channel: int, state: Market | None = None) -> None:
        self.day = day
        self.channel = channel
        self._market = open_day(day, channel) if state is None else state
        self._out = np.empty(BLOCK_BYTES + EVENT_BYTES_MAX, np.uint8)
        self._pending, self._pending_count = memoryview(b""), 0

    @property
    def start_ns(self) -> int:
        """When the day's first message comes."""
        return int(self._market.clock[m.START])

    @property
    def position_ns(self) -> int:
        """Every message up to and with this time was given."""
        return int(self._market.clock[m.NOW])

    @property
    def made_seq(self) -> int:
        """Number of the next message to be made; those that are pending lie before it."""
        return int(self._market.clock[SEQ])

    @property
    def next_seq(self) -> int:
        """Number of the message that comes next."""
        return self.made_seq - self._pending_count

    @property
    def done(self) -> bool:
        """The day's last message was given."""
        return bool(self._market.clock[m.DONE]) and not self._pending

    def advance(self, until_ns: int) -> memoryview:
        """The next messages up to and with `until_ns`, at most about BLOCK_BYTES: whole packets,
        good until the next call. Empty when there are none left up to there."""
        if self._pending:
            pending, self._pending, self._pending_count = self._pending, memoryview(b""), 0
            return pending
        size = run(self._market, until_ns, self._out)
        return self._out[:size].data

    def seek(self, seq: int) -> bool:
        """Make messages, unseen, up to number `seq`, which will come next; not backwards. False
        where the day ends earlier; its end itself (seq = last + 1) may be sought."""
        assert seq >= self.made_seq and not self._pending, "a session goes forward only"
        clock = self._market.clock
        clock[m.STOP_SEQ] = seq
        first, size = self.made_seq, 0
        while self.made_seq < seq and not clock[m.DONE]:
            first = self.made_seq
            size = run(self._market, m.NEVER, self._out)
        clock[m.STOP_SEQ] = m.NEVER
        if self.made_seq > seq:
            at = 0
            for _ in range(seq - first):
                at += 2 + (int(self._out[at]) << 8 | int(self._out[at + 1]))
            self._pending, self._pending_count = self._out[at:size].data, self.made_seq - seq
        return self.made_seq >= seq

    def skip(self, until_ns: int) -> None:
        """Make messages, unseen, up to and with `until_ns`."""
        while self.position_ns < until_ns and not self.done:
            self.advance(until_ns)

    def mark(self) -> Market:
        """A copy of the state to open another session from; nothing may be pending."""
        assert not self._pending, "what is pending is no part of the state"
        return self._market.copy()


class Sessions:
    """Opens sessions at any message; keeps states on the way (limit: _DAYS_MARKED sessions, one
    state every _MARK_MESSAGES; the longest unused session is forgotten)."""

    def __init__(self) -> None:
        self._marks: OrderedDict[tuple[Day, int], list[Market]] = OrderedDict()
        self._guard = Lock()  # `open` may run in a thread beside the event loop

    def open(self, day: Day, channel: int, seq: int) -> Session | None:
        """The session whose next message is number `seq`; None where it ends before. Takes up to
        some hundred ms; may be called off the event loop."""
        with self._guard:
            marks = list(self._marks.get((day, channel), ()))
        before = [mark for mark in marks if mark.clock[SEQ] <= seq]
        session = Session(day, channel, before[-1].copy() if before else None)
        while session.made_seq + _MARK_MESSAGES < seq:
            if not session.seek(session.made_seq + _MARK_MESSAGES):
                return None
            session.skip(session.position_ns + 1)  # the rest of an event
            self.remember(session)
        return session if session.seek(seq) else None

    def remember(self, session: Session) -> None:
        """Keep the session's state if it is far from the last one kept."""
        key = (session.day, session.channel)
        with self._guard:
            marks = self._marks.setdefault(key, [])
            self._marks.move_to_end(key)
            if session.made_seq - (marks[-1].clock[SEQ] if marks else 1) >= _MARK_MESSAGES:
                marks.append(session.mark())
            while len(self._marks) > _DAYS_MARKED:
                self._marks.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Block:
    """Encoded packets of one channel: `count` messages from number `first_seq` on, none later than
    `ts_ns`."""

    channel: int
    ts_ns: int
    first_seq: int
    count: int
    payload: bytes


def blocks(
    day: date, seed: int, *, step_ns: int = SECOND_NS, tickers: int = 700, books: bool = True,
    calendar: Calendar = IDX.calendar,
) -> Iterator[Block]:  # fmt: skip
    """A trading day of both channels in steps of market time, trades first in each step; steps
    without a message are left out. `books` false: as days of history are sent."""
    told = Day(calendar, day, seed, tickers, FULL if books else HISTORY)
    sessions = [Session(told, channel) for channel in (m.TRADES_CHANNEL, m.MARKET_CHANNEL)]
    until_ns = sessions[0].start_ns
    while not all(session.done for session in sessions):
        for session in sessions:
            first_seq, parts = session.next_seq, []
            while session.position_ns < until_ns and not session.done:
                parts.append(bytes(session.advance(until_ns)))
            if count := session.next_seq - first_seq:
                yield Block(session.channel, until_ns, first_seq, count, b"".join(parts))
        until_ns += step_ns


def generate(
    day: date, seed: int, *, tickers: int = 700, books: bool = True,
    calendar: Calendar = IDX.calendar,
) -> tuple[bytes, bytes]:  # fmt: skip
    """A whole trading day: the packets of the trades channel and those of the market channel."""
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    for block in blocks(
        day, seed, step_ns=MINUTE_NS, tickers=tickers, books=books, calendar=calendar
    ):
        parts[block.channel].append(block.payload)
    return b"".join(parts[m.TRADES_CHANNEL]), b"".join(parts[m.MARKET_CHANNEL])


def tally(day: Day, step_ns: int = SECOND_NS) -> NDArray[np.int64]:
    """How many messages both channels have sent by the day's start + n * step_ns: int64 (n,)."""
    counts = []
    for channel in (m.TRADES_CHANNEL, m.MARKET_CHANNEL):
        session = Session(day, channel)
        sent = []
        until_ns = session.start_ns
        while not session.done:
            session.skip(until_ns)
            sent.append(session.next_seq - 1)
            until_ns += step_ns
        counts.append(np.array(sent))
    return np.sum(counts, axis=0)


def warm() -> None:
    """Compile all kernels."""
    day = Day(IDX.calendar, date(2025, 11, 20), 7, 20, replace(FULL, groups=2))
    session = Session(day, m.MARKET_CHANNEL)
    session.advance(session.start_ns)
