"""What goes into the sequencer and comes out: runs of messages, steps to take, limits, counts.

A run's payload is u16 length and message (BLOCKS), or u16 length and packet (SOUPBIN), one after
another: either way it can be cut between messages. The order is made in sequencer.py.
"""

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.wire.loads import KERNEL, be16

HELD_BYTES_MAX = 32 << 20
HELD_MESSAGES_MAX = 1 << 20
HELD_RUNS_MAX = 65_536

Payload = bytes | bytearray | memoryview
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Patience:
    """How a gap is waited for.

    first_wait_ns   before it is asked for: the other line, or another order, may fill it
    again_ns        between two requests for the same numbers
    tries           requests without an answer before it is given up; 0: nobody can be asked
    messages_max    asked for at once
    """

    first_wait_ns: int = 5_000_000
    again_ns: int = 200_000_000
    tries: int = 5
    messages_max: int = 10_000


@dataclass(frozen=True)
class Limits:
    """What may wait behind a gap."""

    bytes_max: int = HELD_BYTES_MAX
    messages_max: int = HELD_MESSAGES_MAX
    runs_max: int = HELD_RUNS_MAX


@dataclass(frozen=True, slots=True)
class Run:
    """Deliver: `count` messages of `session` from `first` on, heard at `heard_ns`."""

    session: str
    first: int
    count: int
    payload: Payload
    heard_ns: int
    late: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """Given up: numbers first to last; `asked` for, or not."""

    session: str
    first: int
    last: int
    asked: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """Request: `count` numbers from `first` on."""

    session: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over."""

    session: str


Step = Run | Lost | Ask | Ended


@dataclass(slots=True)
class LineCounts:
    """What one line brought: runs, messages, those of them known already, jumps of this line's own
    numbers, messages that filled a gap, and runs of a session that is over."""

    runs: int = 0
    messages: int = 0
    duplicates: int = 0
    gaps: int = 0
    fills: int = 0
    stale: int = 0
    next: int = field(default=0, repr=False)  # number its next message will bear; 0: any


@dataclass(slots=True)
class Counts:
    """What happened to the channel: gaps given up and their messages, requests, late messages,
    gaps given up for want of room, runs turned away for want of room, sessions, counters that
    stepped back under the same session's name."""

    gaps: int = 0
    missing: int = 0
    asked: int = 0
    late: int = 0
    overflows: int = 0
    turned_away: int = 0
    sessions: int = 0
    resets: int = 0


@dataclass(slots=True)
class Gap:
    """Numbers first to last are waited for."""

    first: int
    last: int
    due_ns: int  # next request, or the end of patience
    asked_to: int = 0
    tries: int = 0
    asked: bool = False
    answered: bool = False
    lost: bool = False


def part_of(run: Run, first: int, count: int) -> Run:
    """`count` messages of a run from number `first` on."""
    if count == run.count:
        return run
    start = cut(run.payload, 0, first - run.first)
    view = memoryview(run.payload)[start : cut(run.payload, start, count)]
    return Run(run.session, first, count, view, run.heard_ns)


def owned(run: Run) -> Run:
    """With bytes of its own: the buffer of a read is used again."""
    return Run(run.session, run.first, run.count, bytes(run.payload), run.heard_ns)


def late(run: Run) -> Run:
    """As one that fills a gap that was given up."""
    return Run(run.session, run.first, run.count, run.payload, run.heard_ns, True)


def cut(payload: Payload, start: int, count: int) -> int:
    """Where the `count` blocks (u16 length and so many bytes) from `start` on end."""
    if count == 0:
        return start
    return _cut(np.frombuffer(payload, np.uint8), start, count)


@njit(**KERNEL)
def _cut(payload: Bytes, start: int, count: int) -> int:
    at = start
    for _ in range(count):
        at += 2 + be16(payload, at)
    return at
