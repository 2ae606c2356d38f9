"""The walk through one chunk: records, their packets or blocks, their messages. One kernel call.

`decode` is what decoder.py calls. What it meets it passes to wire/transport/sequence.py (is it
due?) and to rows.py (its row), the rest to status.py. Where a block might not take the next message
the call ends and goes on from there when it is made again: cuts of any kind change nothing.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import (
    BLOCKS,
    FRAMES,
    SOUPBIN,
    SPAN_CHANNEL,
    SPAN_END,
    SPAN_FORM,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_START,
    SPAN_TS_RECV,
    Block,
)
from bursa.wire.idx import rows
from bursa.wire.idx.layout import (
    BLOCK_BYTES_MAX,
    BOOK_ASK,
    BOOK_BID,
    CELL,
    CONTRACT,
    DEPTH_MAX,
    INDEX,
    LENGTHS,
    LEVEL_BYTES,
    SNAPSHOT,
    STATUS,
    TRADE,
)
from bursa.wire.idx.rows import (
    BAD_LENGTH,
    BAD_SEQ,
    BAD_TS,
    FRAMING_LOST,
    HERE,
    MARK_AT,
    OFFSET,
    POSITION,
    RECORD,
    ROW,
    SEQ,
    STALE_SESSION,
    STATUS_COUNT,
    TAPE_COUNT,
    TOO_DEEP,
    TRUNCATED,
    TS,
    TS_LIMIT,
    TS_RECV,
    UNKNOWN_TYPE,
    number,
)
from bursa.wire.idx.status import (
    NOTES_EACH,
    STATUS_ROWS_EACH,
    TAPE_ROWS_EACH,
    control,
    refuse,
    second,
    settle,
    status_fault,
)
from bursa.wire.loads import INLINE, KERNEL, be16
from bursa.wire.transport.sequence import DROP, GUARD, INT_MAX, NEXT, REFUSE, WATERMARK, judge

TS_MAX = 4_102_444_800 * 1_000_000_000
"""2100-01-01: the limit of ts where a source has no receive times."""
AHEAD_MAX = 86_400 * 1_000_000_000
"""How far a ts may run ahead of its receive time. One that lies further is a fault of the source:
taken, it would close every bar, and make all that follows stale, for good."""

_DATA = ord("S")
_HEAD_SEQ, _HEAD_TS = CELL["header", "seq"], CELL["header", "ts"]

# Messages decoded before their levels become floats: few enough to find them in the cache.
_RUN = 128
# Verdict of the fast question: it is the next one, nothing else to be seen to.
_TAKE_NEXT = 9


@njit(**KERNEL)
def decode(  # noqa: PLR0913 - a kernel: one argument a block
    frames: NDArray[np.uint8],
    spans: Block,
    table: Block,
    state: Block,
    symbols: Block,
    tape: Block,
    snapshots: Block,
    books: Block,
    levels: Block,
    indexes: Block,
    statuses: Block,
    notes: Block,
) -> bool:
    """Decode from where `state` says on.

    frames, spans   of a Chunk (model/batch.py)
    table           compiled layout (layout.py)
    state           int64 (1 + channels, STATE_COLUMNS): row HERE (rows.py), then channels
    symbols         slots of wire/symbols.py
    tape ... statuses   int64 (rows of the kind, capacity); levels int64 (3, capacity)
    notes           int64 (NOTE_ROWS, capacity)
    returns         True when the chunk is done; False when a block is full: take out what the
                    counts in `state` say is there and call again
    """
    state[HERE, TAPE_COUNT : rows.NOTE_COUNT + 1] = 0
    while state[HERE, RECORD] < spans.shape[1]:
        room = _room(state, symbols, table, tape, snapshots, books, levels, indexes)
        room = min(room, (statuses.shape[1] - state[HERE, STATUS_COUNT]) // STATUS_ROWS_EACH)
        room = min(room, (notes.shape[1] - state[HERE, rows.NOTE_COUNT]) // NOTES_EACH)
        if room <= 0:
            return False
        record, level = state[HERE, RECORD], state[HERE, rows.LEVEL_COUNT]
        done = True
        _enter(spans, state, record)
        if spans[SPAN_KIND, record] != FRAMES:
            control(frames, spans, state, tape, statuses, notes)
        else:
            done = _packets(
                frames,
                spans,
                min(room, _RUN),
                table,
                state,
                symbols,
                tape,
                snapshots,
                books,
                levels,
                indexes,
                statuses,
                notes,
            )
            rows.levels_to_floats(levels, level, state[HERE, rows.LEVEL_COUNT], table)
        if done:
            state[HERE, RECORD] = record + 1
            state[HERE, OFFSET] = 0
    state[HERE, RECORD] = 0
    return True


@njit(**INLINE)
def _enter(spans: Block, state: Block, record: int) -> None:
    """What rows take from their record."""
    state[HERE, ROW] = spans[SPAN_CHANNEL, record] + 1
    recv = spans[SPAN_TS_RECV, record]
    state[HERE, TS_RECV] = recv
    state[HERE, TS_LIMIT] = recv + AHEAD_MAX if recv > 0 else TS_MAX
    state[HERE, POSITION] = spans[SPAN_POSITION, record]


@njit(**KERNEL)
def _room(
    state: Block,
    symbols: Block,
    table: Block,
    tape: Block,
    snapshots: Block,
    books: Block,
    levels: Block,
    indexes: Block,
) -> int:
    """How many messages surely fit into these blocks."""
    room = min(
        (tape.shape[1] - state[HERE, TAPE_COUNT]) // TAPE_ROWS_EACH,
        snapshots.shape[1] - state[HERE, rows.SNAPSHOT_COUNT],
        books.shape[1] - state[HERE, rows.BOOK_COUNT],
        (levels.shape[1] - state[HERE, rows.LEVEL_COUNT]) // max(table[DEPTH_MAX], 1),
        indexes.shape[1] - state[HERE, rows.INDEX_COUNT],
    )
    return min(room, 3 * symbols.shape[0] // 4 - state[HERE, rows.SYMBOLS_COUNT])


@njit(**INLINE)
def _packets(  # noqa: PLR0913 - a kernel
    frames: NDArray[np.uint8],
    spans: Block,
    room: int,
    table: Block,
    state: Block,
    symbols: Block,
    tape: Block,
    snapshots: Block,
    books: Block,
    levels: Block,
    indexes: Block,
    statuses: Block,
    notes: Block,
) -> bool:
    """At most `room` packets of a FRAMES record; True when it is at its end."""
    record = state[HERE, RECORD]
    start, end = spans[SPAN_START, record], spans[SPAN_END, record]
    soup = 1 if spans[SPAN_FORM, record] == SOUPBIN else 0
    at = start + state[HERE, OFFSET]
    if spans[SPAN_FORM, record] != BLOCKS and soup == 0:
        refuse(state, notes, rows.BAD_FORM, at, end - at)
        return True
    for count in range(room):
        if at == end:
            state[HERE, rows.MESSAGES] += count
            return True
        size = _size(frames, at, end)
        if size <= 0 or size > table[BLOCK_BYTES_MAX] + soup or at + 2 + size > end:
            broken = size == 0 or size > table[BLOCK_BYTES_MAX] + soup
            refuse(state, notes, FRAMING_LOST if broken else TRUNCATED, at, end - at)
            state[HERE, rows.MESSAGES] += count
            return True
        if soup == 1 and frames[at + 2] != _DATA:
            state[HERE, rows.SKIPPED] += 1
            state[HERE, rows.MESSAGES] -= 1
        else:
            _message(
                frames,
                at + 2 + soup,
                size - soup,
                table,
                state,
                symbols,
                tape,
                snapshots,
                books,
                levels,
                indexes,
                statuses,
                notes,
            )
        at += 2 + size
    state[HERE, rows.MESSAGES] += room
    state[HERE, OFFSET] = at - start
    return at == end


@njit(**INLINE)
def _size(frames: NDArray[np.uint8], at: int, end: int) -> int:
    """The length in front of a block; -1 where not even that is whole."""
    return be16(frames, at) if at + 2 <= end else -1


@njit(**INLINE)
def _message(  # noqa: PLR0913 - a kernel
    frames: NDArray[np.uint8],
    body: int,
    size: int,
    table: Block,
    state: Block,
    symbols: Block,
    tape: Block,
    snapshots: Block,
    books: Block,
    levels: Block,
    indexes: Block,
    statuses: Block,
    notes: Block,
) -> None:
    """One message: is it whole, is it due, is it sound; then it counts."""
    row = state[HERE, ROW]
    kind = table[frames[body]] if size > 0 else 0
    reason = _misfit(frames, body, size, table, kind)
    verdict = _TAKE_NEXT
    if reason == 0:
        seq, ts = (
            number(frames, body, table, _HEAD_SEQ),
            number(frames, body, table, _HEAD_TS),
        )
        state[HERE, SEQ] = seq
        state[HERE, TS] = ts
        if seq != state[row, NEXT] or ts <= state[row, GUARD] or ts > state[HERE, TS_LIMIT]:
            verdict, reason = _examine(state, row, seq, ts)
        if verdict == DROP:
            return
    if reason == 0:
        if kind == BOOK_BID or kind == BOOK_ASK:
            reason = rows.book(frames, body, table, state, symbols, notes, books, levels)
        elif kind == TRADE:
            reason = rows.trade(frames, body, table, state, symbols, notes, tape)
        else:
            reason = _rarer(frames, body, table, state, symbols, notes, snapshots, indexes)
    if reason != 0:
        refuse(state, notes, reason, body, size)
    elif verdict == _TAKE_NEXT and kind != STATUS:
        state[row, NEXT] += 1
        state[row, WATERMARK] = max(state[row, WATERMARK], state[HERE, TS])
        if state[HERE, TS] >= state[row, MARK_AT]:
            second(state, kind, tape)
    else:
        settle(frames, body, table, state, tape, statuses, verdict)


@njit(**INLINE)
def _misfit(frames: NDArray[np.uint8], body: int, size: int, table: Block, kind: int) -> int:
    """0, or why a message of this length is none of its type."""
    if kind == 0:
        return UNKNOWN_TYPE if size > 0 else BAD_LENGTH
    whole = table[LENGTHS + kind]
    if kind == BOOK_BID or kind == BOOK_ASK:
        if size < whole:
            return BAD_LENGTH
        depth = number(frames, body, table, rows.BOOK_DEPTH)
        if depth < 0 or depth > table[DEPTH_MAX]:
            return TOO_DEEP
        whole += depth * table[LEVEL_BYTES]
    return 0 if size == whole else BAD_LENGTH


@njit(**KERNEL)
def _examine(state: Block, row: int, seq: int, ts: int) -> tuple[int, int]:
    """(verdict, reason) for a message that is not simply the next one."""
    if seq < 1 or seq == INT_MAX:
        return REFUSE, BAD_SEQ
    if ts < 0 or ts > state[HERE, TS_LIMIT]:
        return REFUSE, BAD_TS
    verdict = judge(state, row, seq, ts)
    return verdict, STALE_SESSION if verdict == REFUSE else 0


@njit(**KERNEL)
def _rarer(
    frames: NDArray[np.uint8],
    body: int,
    table: Block,
    state: Block,
    symbols: Block,
    notes: Block,
    snapshots: Block,
    indexes: Block,
) -> int:
    """The row of a message that is neither book nor trade."""
    kind = table[frames[body]]
    if kind == SNAPSHOT:
        return rows.snapshot(frames, body, table, state, symbols, notes, snapshots)
    if kind == INDEX:
        return rows.index(frames, body, table, state, symbols, notes, indexes)
    if kind == CONTRACT:
        return rows.contract(frames, body, table, state, symbols, notes)
    return status_fault(frames, body, table)
