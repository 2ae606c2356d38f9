"""Sessions, gaps, watermarks and links of a channel, and the rows that tell of them.

Kernel code beside walk.py: what happens at most once a second or once a cut, and the
records that carry no messages. Rows of the status kind are told once a change; a file that is read
twice adds none.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import (
    CHANNEL_DOWN,
    CHANNEL_UP,
    CLOCK,
    DOWN,
    END_OF_FILE,
    END_OF_SESSION,
    FILE_END,
    LOST,
    MARK,
    SESSION_END,
    SPAN_END,
    SPAN_KIND,
    SPAN_START,
    TAPE_CHANNEL,
    TAPE_ROLE,
    UP,
    Block,
)
from bursa.model.schema import INT_NULL, STATES
from bursa.model.schema import STATUS as STATUS_KIND
from bursa.wire.idx import rows
from bursa.wire.idx.layout import CELL, STATE_OF, STATUS, TRADE
from bursa.wire.idx.rows import (
    BAD_LENGTH,
    BAD_NUMBER,
    BAD_STATE,
    HERE,
    IS_TICKS,
    LINK,
    MARK_AT,
    POSITION,
    RECORD,
    ROW,
    SEQ,
    SESSION,
    STATUS_COUNT,
    TAPE_COUNT,
    TS,
    number,
    received,
    rows_of,
)
from bursa.wire.loads import KERNEL, byte
from bursa.wire.transport.sequence import (
    NEXT,
    REFUSED,
    TAKE_FIRST,
    TAKE_LATE,
    WAS_DOWN,
    WATERMARK,
    accept,
    end_session,
    expect,
    given_up,
    look_closely,
    lost_of,
)

_SECOND_NS = 1_000_000_000
_HEARTBEAT, _UP, _DOWN, _FILE_ENDED, _GAP = (
    STATES.index(state) for state in ("H", "up", "down", "end_of_file", "gap")
)
# Session states that end a session: break, post-close, end of day.
_END_B, _END_X, _END_E = (STATES.index(state) for state in "BXE")
_STATE, _NEXT_SEQ = CELL["status", "state"], CELL["status", "next_seq"]

_C_CHANNEL, _C_TS, _C_STATE, _C_FROM, _C_TO, _C_TS_FROM, _C_CAUSE, _C_NEXT = rows_of(
    STATUS_KIND, "channel", "ts", "state", "seq_from", "seq_to", "ts_from", "cause", "next_seq"
)
_C_RECV, _C_POSITION = rows_of(STATUS_KIND, "ts_recv", "position")

# Most rows that one message or record may give.
TAPE_ROWS_EACH, STATUS_ROWS_EACH, NOTES_EACH = 2, 4, 2


@njit(**KERNEL)
def refuse(state: Block, notes: Block, reason: int, at: int, size: int) -> None:
    """Note a refused message; its number stays open, and the next one is looked at closely."""
    row = state[HERE, ROW]
    rows.note(state, notes, reason, at, size)
    state[row, REFUSED] += 1
    look_closely(state, row)


@njit(**KERNEL)
def status_fault(frames: NDArray[np.uint8], body: int, table: Block) -> int:
    """Why a status message is refused; 0 if it is sound."""
    if table[STATE_OF + number(frames, body, table, _STATE)] < 0:
        return BAD_STATE
    return BAD_NUMBER if number(frames, body, table, _NEXT_SEQ) < 0 else 0


@njit(**KERNEL)
def settle(
    frames: NDArray[np.uint8],
    body: int,
    table: Block,
    state: Block,
    tape: Block,
    statuses: Block,
    verdict: int,
) -> None:
    """Take a sound message that is a status, or not simply the next one."""
    row, kind = state[HERE, ROW], table[frames[body]]
    gap = accept(state, row, state[HERE, SEQ], state[HERE, TS], verdict)
    if verdict == TAKE_FIRST:
        state[row, LINK] = _UP
        status_row(state, statuses, _UP)
    if gap[0] > 0:
        gap_row(state, statuses, gap)
    if state[HERE, TS] >= state[row, MARK_AT]:
        second(state, kind, tape)
    if verdict == TAKE_LATE:
        state[row, rows.FILE_CHANGED] = 1
    elif kind == STATUS:
        _session(frames, body, table, state, tape, statuses)


@njit(**KERNEL)
def _session(
    frames: NDArray[np.uint8],
    body: int,
    table: Block,
    state: Block,
    tape: Block,
    statuses: Block,
) -> None:
    """What a status message says: which session it is, and which number comes next."""
    row = state[HERE, ROW]
    gap = expect(state, row, number(frames, body, table, _NEXT_SEQ))
    if gap[0] > 0:
        gap_row(state, statuses, gap)
    said = table[STATE_OF + number(frames, body, table, _STATE)]
    if said == _HEARTBEAT:
        state[HERE, rows.HEARTBEATS] += 1
    elif said != state[row, SESSION]:
        state[row, SESSION] = said
        status_row(state, statuses, said)
        if said == _END_B or said == _END_X or said == _END_E:
            role_row(state, tape, SESSION_END)


@njit(**KERNEL)
def second(state: Block, kind: int, tape: Block) -> None:
    """The watermark moved over a whole second: later stages hear of it, by the trade itself or by
    a row of its own. Channels without trades have MARK_AT out of reach."""
    state[state[HERE, ROW], MARK_AT] = (state[HERE, TS] // _SECOND_NS + 1) * _SECOND_NS
    if kind != TRADE:
        role_row(state, tape, MARK)


@njit(**KERNEL)
def role_row(state: Block, tape: Block, role: int) -> None:
    """A row of the tape that is no trade, at the ts we are at; only for channels with trades."""
    row = state[HERE, ROW]
    if state[row, IS_TICKS] == 0:
        return
    n = state[HERE, TAPE_COUNT]
    rows.blank_tick(state, tape, n)
    tape[TAPE_ROLE, n] = role
    tape[TAPE_CHANNEL, n] = row - 1
    state[HERE, TAPE_COUNT] = n + 1
    state[HERE, rows.ROLES] += 1


@njit(**KERNEL)
def status_row(state: Block, statuses: Block, said: int) -> int:
    """A row of the status kind as of the channel's watermark; returns its place."""
    row, n = state[HERE, ROW], state[HERE, STATUS_COUNT]
    statuses[_C_CHANNEL, n] = row - 1
    statuses[_C_TS, n] = state[row, WATERMARK]
    statuses[_C_STATE, n] = said
    statuses[_C_FROM, n] = statuses[_C_TO, n] = statuses[_C_TS_FROM, n] = INT_NULL
    statuses[_C_CAUSE, n] = -1
    statuses[_C_NEXT, n] = state[row, NEXT]
    statuses[_C_RECV, n] = received(state)
    statuses[_C_POSITION, n] = state[HERE, POSITION]
    state[HERE, STATUS_COUNT] = n + 1
    state[row, rows.FILE_CHANGED] = 1
    return n


@njit(**KERNEL)
def gap_row(state: Block, statuses: Block, gap: tuple[int, int, int, int]) -> None:
    """The row of a gap, as wire/transport/sequence.py told it."""
    n = status_row(state, statuses, _GAP)
    statuses[_C_FROM, n] = gap[0]
    statuses[_C_TO, n] = gap[1]
    statuses[_C_TS_FROM, n] = gap[2]
    statuses[_C_CAUSE, n] = gap[3]


@njit(**KERNEL)
def control(
    frames: NDArray[np.uint8],
    spans: Block,
    state: Block,
    tape: Block,
    statuses: Block,
    notes: Block,
) -> None:
    """A record without messages."""
    record, row = state[HERE, RECORD], state[HERE, ROW]
    kind = spans[SPAN_KIND, record]
    state[HERE, SEQ] = 0
    state[HERE, TS] = max(state[row, WATERMARK], 0)
    if kind == UP:
        _link(state, statuses, _UP)
        role_row(state, tape, CHANNEL_UP)
    elif kind == DOWN:
        _link(state, statuses, _DOWN)
        role_row(state, tape, CHANNEL_DOWN)
    elif kind == END_OF_SESSION:
        role_row(state, tape, SESSION_END)
        end_session(state, row)
    elif kind == END_OF_FILE:
        role_row(state, tape, FILE_END)
        _file_end(state, statuses)
    elif kind == CLOCK:
        _clock(frames, spans, state, tape, notes)
    elif kind == LOST:
        _lost(frames, spans, state, statuses, notes)


@njit(**KERNEL)
def _lost(
    frames: NDArray[np.uint8], spans: Block, state: Block, statuses: Block, notes: Block
) -> None:
    """The edge gave a gap up."""
    start, end = spans[SPAN_START, state[HERE, RECORD]], spans[SPAN_END, state[HERE, RECORD]]
    lost = lost_of(frames, start, end)
    if lost[0] == 0:
        refuse(state, notes, BAD_LENGTH, start, end - start)
        return
    gap = given_up(state, state[HERE, ROW], lost)
    if gap[0] > 0:
        gap_row(state, statuses, gap)


@njit(**KERNEL)
def _link(state: Block, statuses: Block, said: int) -> None:
    """The channel came or went. Told once a change, and not before its first message."""
    row = state[HERE, ROW]
    state[row, WAS_DOWN] = 1
    look_closely(state, row)
    if state[row, LINK] != said and state[row, WATERMARK] >= 0:
        status_row(state, statuses, said)
    state[row, LINK] = said


@njit(**KERNEL)
def _file_end(state: Block, statuses: Block) -> None:
    """Told only if the file brought anything: a file read twice adds no row."""
    row = state[HERE, ROW]
    changed = state[row, rows.FILE_CHANGED] != 0
    changed = changed or state[row, NEXT] != state[row, rows.FILE_NEXT]
    changed = changed or state[row, WATERMARK] != state[row, rows.FILE_WATERMARK]
    if changed and state[row, WATERMARK] >= 0:
        status_row(state, statuses, _FILE_ENDED)
    state[row, rows.FILE_NEXT] = state[row, NEXT]
    state[row, rows.FILE_WATERMARK] = state[row, WATERMARK]
    state[row, rows.FILE_CHANGED] = 0


@njit(**KERNEL)
def _clock(
    frames: NDArray[np.uint8], spans: Block, state: Block, tape: Block, notes: Block
) -> None:
    """The shell's clock, eight little-endian bytes of ns, moves the watermark."""
    record, row = state[HERE, RECORD], state[HERE, ROW]
    start, end = spans[SPAN_START, record], spans[SPAN_END, record]
    if end - start != 8:
        refuse(state, notes, BAD_LENGTH, start, end - start)
        return
    ts = 0
    for i in range(8):
        ts |= byte(frames, start + i) << (8 * i)
    state[HERE, TS] = ts
    state[row, WATERMARK] = max(state[row, WATERMARK], ts)
    if state[row, IS_TICKS] != 0 and ts >= state[row, MARK_AT]:
        state[row, MARK_AT] = (ts // _SECOND_NS + 1) * _SECOND_NS
    role_row(state, tape, MARK)
