"""Sequence numbers of a channel: next, gap, late, duplicate, another session. Kernel code.

A channel counts its messages from 1, one session a trading day. Its state is a row of an int64
block; the columns below are this module's, those from FREE on are the codec's own.

    a number                                        is
    the next one                                    taken
    above the next                                  taken; the numbers between are a gap
    below, and in a gap of this session             taken late, the gap shrinks
    below otherwise                                 a duplicate, dropped
    1, with a later ts than all before it           the first of a new session
    1, with the ts of a session's first message     a duplicate: a source is read again
    1, with another earlier or equal ts             refused
    any, with a ts not above those of the session before    stale, dropped

The codec asks `judge` first (only where the fast question fails: is it NEXT, is ts above GUARD),
decodes, and calls `accept` when the message turned out to be sound: a refused message leaves a gap
behind, whose cause is `refused`. HOLES_MAX gaps can be filled late; past that the oldest is
forgotten and counted. Knows nothing of messages.

Decoders ask of one message after another, with its own ts. The receiving edge (sequencer.py) asks
of runs of numbers (`judge_run`, `accept_run`); it has no ts but counts sessions, and that count
takes its place. What the edge gave up is journalled as a record of its own, LOST (`lost_of` reads
it), for which every decoder calls `given_up`.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import Block
from bursa.model.schema import CAUSES, INT_NULL
from bursa.wire.loads import KERNEL, be64

# NEXT       number that the next message will bear; 0 before a session's first one
# GUARD      FLOOR, or INT_MAX where the next message must be looked at closely
# WATERMARK  newest ts seen; -1 none yet
# FLOOR      newest ts of the session before; -1 none
# WAS_DOWN   1 if the channel was away since the last message
# REFUSED    messages refused since the last message
# HOLES_COUNT, then pairs (first, last) missing, ascending, from HOLES on
NEXT, GUARD, WATERMARK, FLOOR, WAS_DOWN, REFUSED, HOLES_COUNT = 0, 1, 2, 3, 4, 5, 6
# What happened, counted; the codec reads and clears them.
DUPLICATES, STALE, LATE, GAPS, MISSING, SESSIONS, FORGOTTEN = 8, 9, 10, 11, 12, 13, 14
# 1 if messages were asked for again, and given up, since the last message.
ASKED = 15
COUNTED = ("duplicates", "stale", "late", "gaps", "missing", "sessions", "holes_forgotten")
HOLES, HOLES_MAX = 16, 64
# The ts of the first messages of the last sessions, a ring: session s stands at s % FIRSTS_MAX.
FIRSTS, FIRSTS_MAX = HOLES + 2 * HOLES_MAX, 64
SESSION_NUMBER = 7
FREE = FIRSTS + FIRSTS_MAX

# Verdicts. From TAKE on the message is taken.
REFUSE, DROP, TAKE, TAKE_LATE, TAKE_FIRST = -1, 0, 1, 2, 3

INT_MAX = 2**63 - 1
# A LOST record: three big-endian int64.
LOST_BYTES = 24
_JUMP, _DOWN, _REFUSED, _UNANSWERED = (
    CAUSES.index(cause) for cause in ("jump", "down", "refused", "unanswered")
)


def begin(state: Block, row: int) -> None:
    """A channel of which nothing was seen yet."""
    state[row, :FREE] = 0
    state[row, FIRSTS:FREE] = -1
    state[row, GUARD] = INT_MAX
    state[row, WATERMARK] = state[row, FLOOR] = -1


@njit(**KERNEL)
def judge(state: Block, row: int, seq: int, ts: int) -> int:
    """The verdict on a message with seq >= 1 and ts >= 0. Changes nothing but counts."""
    if state[row, NEXT] == 0 or seq == 1:
        if ts > (state[row, FLOOR] if state[row, NEXT] == 0 else state[row, WATERMARK]):
            return TAKE_FIRST
    verdict = _place(state, row, seq, ts)
    if verdict != DROP:
        return verdict
    if seq == 1 and not _is_first(state, row, ts):
        return REFUSE
    state[row, STALE if ts <= state[row, FLOOR] else DUPLICATES] += 1
    return DROP


@njit(**KERNEL)
def _place(state: Block, row: int, seq: int, ts: int) -> int:
    """TAKE, TAKE_LATE or DROP: where a number of a session under way stands."""
    if ts <= state[row, FLOOR]:
        return DROP
    if seq >= state[row, NEXT]:
        return TAKE
    return TAKE_LATE if _hole(state, row, seq) >= 0 else DROP


@njit(**KERNEL)
def judge_run(state: Block, row: int, first: int, count: int, ts: int) -> tuple[int, int]:
    """(verdict, how many): of the count >= 1 numbers from `first` on, so many share the verdict of
    the first one. Duplicates and stale ones are counted; sessions begin with `go_on` here."""
    verdict = _place(state, row, first, ts)
    length = count if verdict == TAKE or ts <= state[row, FLOOR] else 1
    while length < count and _place(state, row, first + length, ts) == verdict:
        length += 1
    if verdict == DROP:
        state[row, STALE if ts <= state[row, FLOOR] else DUPLICATES] += length
    return verdict, length


@njit(**KERNEL)
def accept_run(state: Block, row: int, first: int, count: int, ts: int, verdict: int) -> None:
    """Take what `judge_run` let through; a TAKE must be the next one."""
    if verdict == TAKE_LATE:
        for seq in range(first, first + count):
            accept(state, row, seq, ts, verdict)
        return
    accept(state, row, first, ts, verdict)
    state[row, NEXT] = first + count


@njit(**KERNEL)
def go_on(state: Block, row: int, seq: int, ts: int) -> None:
    """A session of which all before `seq` is known elsewhere; the one before, if any, is over."""
    if state[row, NEXT] != 0:
        end_session(state, row)
    state[row, SESSIONS] += 1
    state[row, NEXT] = seq
    state[row, WATERMARK] = ts
    state[row, GUARD] = state[row, FLOOR]


@njit(**KERNEL)
def _is_first(state: Block, row: int, ts: int) -> bool:
    """Whether one of the last sessions began with this ts."""
    for i in range(FIRSTS, FIRSTS + FIRSTS_MAX):
        if state[row, i] == ts:
            return True
    return False


@njit(**KERNEL)
def accept(state: Block, row: int, seq: int, ts: int, verdict: int) -> tuple[int, int, int, int]:
    """Take the message. Returns the gap that it shows: first and last number missing, ts before
    it (INT_NULL: none), cause as an index into CAUSES; (0, 0, 0, 0) is none."""
    if verdict == TAKE_LATE:
        _fill(state, row, seq)
        state[row, LATE] += 1
        state[row, WATERMARK] = max(state[row, WATERMARK], ts)
        return 0, 0, 0, 0
    if verdict == TAKE_FIRST:
        if state[row, NEXT] != 0:
            end_session(state, row)
        state[row, SESSIONS] += 1
        state[row, NEXT] = 1
        if seq == 1:
            state[row, FIRSTS + state[row, SESSION_NUMBER] % FIRSTS_MAX] = ts
            state[row, SESSION_NUMBER] += 1
    gap = expect(state, row, seq)
    state[row, NEXT] = seq + 1
    state[row, WATERMARK] = max(state[row, WATERMARK], ts)
    state[row, GUARD] = state[row, FLOOR]
    state[row, WAS_DOWN] = state[row, REFUSED] = state[row, ASKED] = 0
    return gap


@njit(**KERNEL)
def expect(state: Block, row: int, seq: int) -> tuple[int, int, int, int]:
    """The source says that `seq` comes next: NEXT moves up to it, the gap between is returned as
    by `accept`. A number below NEXT says nothing."""
    first = state[row, NEXT]
    if seq <= first:
        return 0, 0, 0, 0
    missing = seq - first
    cause = _JUMP
    if missing <= state[row, REFUSED]:
        cause = _REFUSED
    elif state[row, ASKED]:
        cause = _UNANSWERED
    elif state[row, WAS_DOWN]:
        cause = _DOWN
    before = state[row, WATERMARK]
    _insert(state, row, state[row, HOLES_COUNT], first, seq - 1)
    state[row, NEXT] = seq
    state[row, GAPS] += 1
    state[row, MISSING] += missing
    return first, seq - 1, INT_NULL if before < 0 else before, cause


@njit(**KERNEL)
def given_up(state: Block, row: int, lost: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The edge waits no longer for the numbers `lost`: first, last, whether they were asked for.

    Where the channel's numbers are the transport's the gap is told now, as by `accept`; where they
    are the messages' own it shows with the next message, whose gap then bears the cause.
    """
    first, last, asked = lost
    if asked:
        state[row, ASKED] = 1
        look_closely(state, row)
    due = state[row, NEXT]
    if due < 1 or not due <= first <= due + state[row, REFUSED]:
        return 0, 0, 0, 0
    return expect(state, row, last + 1)


@njit(**KERNEL)
def lost_of(frames: NDArray[np.uint8], start: int, end: int) -> tuple[int, int, int]:
    """What a LOST record says: first and last number, 1 where they were asked for; (0, 0, 0) where
    its payload [start, end) is none."""
    if end - start != LOST_BYTES:
        return 0, 0, 0
    first, last = be64(frames, start), be64(frames, start + 8)
    if not 0 < first <= last < INT_MAX:
        return 0, 0, 0
    return first, last, be64(frames, start + 16)


@njit(**KERNEL)
def end_session(state: Block, row: int) -> None:
    """The session is over: numbers begin again, later than all that was seen."""
    state[row, FLOOR] = state[row, WATERMARK]
    state[row, HOLES_COUNT] = 0
    state[row, NEXT] = 0
    state[row, GUARD] = INT_MAX


@njit(**KERNEL)
def look_closely(state: Block, row: int) -> None:
    """The next message goes through `judge`, whatever its number."""
    state[row, GUARD] = INT_MAX


@njit(**KERNEL)
def _hole(state: Block, row: int, seq: int) -> int:
    """Which hole a number lies in, -1 for none."""
    low, high = 0, state[row, HOLES_COUNT]
    while low < high:
        middle = (low + high) // 2
        if state[row, HOLES + 2 * middle + 1] < seq:
            low = middle + 1
        else:
            high = middle
    if low < state[row, HOLES_COUNT] and state[row, HOLES + 2 * low] <= seq:
        return int(low)
    return -1


@njit(**KERNEL)
def _insert(state: Block, row: int, at: int, first: int, last: int) -> None:
    """Put a hole at place `at`; where all places are taken the lowest of all is forgotten."""
    count = state[row, HOLES_COUNT]
    if count == HOLES_MAX:
        state[row, FORGOTTEN] += 1
        if at == 0:
            return
        at -= 1
        count -= 1
        for i in range(HOLES, HOLES + 2 * count):
            state[row, i] = state[row, i + 2]
    for i in range(HOLES + 2 * count - 1, HOLES + 2 * at - 1, -1):
        state[row, i + 2] = state[row, i]
    state[row, HOLES + 2 * at] = first
    state[row, HOLES + 2 * at + 1] = last
    state[row, HOLES_COUNT] = count + 1


@njit(**KERNEL)
def _fill(state: Block, row: int, seq: int) -> None:
    """Take one number out of the hole it lies in."""
    at = _hole(state, row, seq)
    first, last = state[row, HOLES + 2 * at], state[row, HOLES + 2 * at + 1]
    if first < seq < last:
        state[row, HOLES + 2 * at] = seq + 1
        _insert(state, row, at, first, seq - 1)
    elif seq < last:
        state[row, HOLES + 2 * at] = seq + 1
    elif first < seq:
        state[row, HOLES + 2 * at + 1] = seq - 1
    else:
        for i in range(HOLES + 2 * at, HOLES + 2 * (state[row, HOLES_COUNT] - 1)):
            state[row, i] = state[row, i + 2]
        state[row, HOLES_COUNT] -= 1
