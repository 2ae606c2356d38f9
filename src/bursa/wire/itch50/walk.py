"""The walk through one chunk of ITCH 5.0: records, their packets or blocks, their messages.

`decode` is what decoder.py calls, once a chunk. What it meets it passes to
wire/transport/sequence.py (is it due?), to rows.py (books and rows) and to wire/idx/status.py
(sessions, gaps, links). It returns early, to go on from there when called again, where a block is
full, where the arrays of the book must grow, where a session begins whose day Python has to find,
and where a minute ends: then the books are looked at (sums.py).

Orders lie all over a table larger than any cache. The walk therefore looks ahead (fetch.py) and has
the processor fetch what the messages there will need.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import (
    BLOCKS,
    END_OF_FILE,
    END_OF_SESSION,
    FRAMES,
    SESSION_END,
    SOUPBIN,
    SPAN_CHANNEL,
    SPAN_END,
    SPAN_FIRST_SEQ,
    SPAN_FORM,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_SESSION,
    SPAN_SESSION_REST,
    SPAN_START,
    SPAN_TS_RECV,
    TAPE_ROLE,
    Block,
)
from bursa.model.batch import TRADE as TRADED
from bursa.model.calendar import DAY_NS
from bursa.model.schema import STATES
from bursa.wire.idx import rows
from bursa.wire.idx.layout import TRADE
from bursa.wire.idx.rows import (
    BAD_FORM,
    BAD_LENGTH,
    BAD_SEQ,
    BAD_TS,
    FRAMING_LOST,
    HERE,
    LINK,
    MARK_AT,
    NOTE_COUNT,
    OFFSET,
    RECORD,
    ROW,
    SEQ,
    SESSION,
    STALE_SESSION,
    STATUS_COUNT,
    SYMBOLS_COUNT,
    TAPE_COUNT,
    TRUNCATED,
    TS,
    TS_LIMIT,
    TS_RECV,
    UNKNOWN_TYPE,
)
from bursa.wire.idx.status import (
    NOTES_EACH,
    STATUS_ROWS_EACH,
    TAPE_ROWS_EACH,
    control,
    gap_row,
    refuse,
    role_row,
    second,
    status_row,
)
from bursa.wire.idx.walk import AHEAD_MAX, TS_MAX
from bursa.wire.itch50.book import clear
from bursa.wire.itch50.fetch import FAR, NEAR, fetch_far, fetch_near
from bursa.wire.itch50.layout import AT
from bursa.wire.itch50.layout import BLOCK_BYTES_MAX as _BLOCK_BYTES_MAX
from bursa.wire.itch50.rows import order, rarer
from bursa.wire.itch50.state import (
    AGAIN_LATER,
    DAY,
    DAY_END,
    DONE,
    FULL,
    HAND_AT,
    HAND_TO,
    LATE_NOW,
    LENGTHS,
    NAMED,
    NEED_SESSION,
    NEED_SUMS,
    NO_DATE,
    NO_DAY,
    NTH,
    PAST,
    PAST_REST,
    PAST_WORD,
    QUOTE_COUNT,
    SHIFT,
    UNDATED,
    UNSURE,
    WORD,
    WORD_REST,
)
from bursa.wire.itch50.trades import forget_trades
from bursa.wire.loads import INLINE, KERNEL, be16, be64, byte
from bursa.wire.transport.sequence import (
    DROP,
    GUARD,
    HOLES_COUNT,
    INT_MAX,
    NEXT,
    REFUSE,
    STALE,
    TAKE_FIRST,
    TAKE_LATE,
    WATERMARK,
    accept,
    judge,
)

_A, _F, _E, _C, _X, _D, _U, _S = (ord(code) for code in "AFECXDUS")
_EVENT = AT["S", "event"]
_REF, _NEW_REF = AT["A", "order_reference"], AT["U", "new_reference"]
_NS = (1 << 48) - 1

# Messages between two looks at the room left; trades.py counts on it.
_RUN = 1024
# Verdict of the fast question: it is the next one, nothing else to be seen to.
_TAKE_NEXT = 9

_UP, _PRE, _OPEN, _POST, _END = (STATES.index(state) for state in ("up", "P", "1", "X", "E"))


@njit(**KERNEL)
def decode(  # noqa: PLR0913 - a kernel: one argument a block
    frames: NDArray[np.uint8], spans: Block, state: Block, symbols: Block, tape: Block,
    quotes: Block, statuses: Block, notes: Block, orders: Block, books: Block, levels: Block,
    ring: Block,
) -> int:  # fmt: skip
    """Decode from where `state` says on.

    frames, spans   of a Chunk (model/batch.py)
    state, orders, books, levels, ring   state.py
    symbols         slots of wire/symbols.py
    tape, quotes, statuses   int64 (rows of the kind, capacity)
    notes           int64 (NOTE_ROWS, capacity)
    returns         DONE, or why it must be called again: FULL (take out what the counts in `state`
                    say is there; so with all others too), NEED_SESSION, NEED_ORDERS, NEED_LEVELS,
                    NEED_TAPE, NEED_SUMS
    """
    state[HERE, TAPE_COUNT : NOTE_COUNT + 1] = 0
    state[HERE, QUOTE_COUNT] = 0
    while state[HERE, RECORD] < spans.shape[1]:
        room = min(
            (tape.shape[1] - state[HERE, TAPE_COUNT]) // TAPE_ROWS_EACH,
            quotes.shape[1] - state[HERE, QUOTE_COUNT],
            (statuses.shape[1] - state[HERE, STATUS_COUNT]) // STATUS_ROWS_EACH,
            (notes.shape[1] - state[HERE, NOTE_COUNT]) // NOTES_EACH,
        )
        room = min(room, 3 * symbols.shape[0] // 4 - state[HERE, SYMBOLS_COUNT])
        if room <= 0:
            return FULL
        record = state[HERE, RECORD]
        _enter(spans, state, record)
        if spans[SPAN_KIND, record] != FRAMES:
            _control(frames, spans, state, tape, statuses, notes)
        elif _past(spans, state, record):
            _pass_by(frames, spans, state, record)
        elif _session_due(spans, state, record):
            return NEED_SESSION
        else:
            outcome = _packets(
                frames, spans, min(room, _RUN), state, symbols, tape, quotes, statuses, notes,
                orders, books, levels, ring,
            )  # fmt: skip
            if outcome == FULL:
                continue
            if outcome != DONE:
                return outcome
        state[HERE, RECORD] = record + 1
        state[HERE, OFFSET] = state[HERE, NTH] = 0
        row = state[HERE, ROW]
        if state[row, MARK_AT] > state[row, HAND_AT]:
            state[row, HAND_TO] = state[row, MARK_AT] - 1
            return NEED_SUMS
    state[HERE, RECORD] = 0
    return DONE


@njit(**INLINE)
def _enter(spans: Block, state: Block, record: int) -> None:
    """What rows take from their record."""
    state[HERE, ROW] = spans[SPAN_CHANNEL, record] + 1
    recv = spans[SPAN_TS_RECV, record]
    state[HERE, TS_RECV] = recv
    state[HERE, TS_LIMIT] = recv + AHEAD_MAX if recv > 0 else TS_MAX
    state[HERE, rows.POSITION] = spans[SPAN_POSITION, record]


@njit(**KERNEL)
def _control(
    frames: NDArray[np.uint8], spans: Block, state: Block, tape: Block, statuses: Block,
    notes: Block,
) -> None:  # fmt: skip
    """A record without messages."""
    row, kind = state[HERE, ROW], spans[SPAN_KIND, state[HERE, RECORD]]
    past = state[row, PAST]
    if kind == END_OF_SESSION or kind == END_OF_FILE:
        state[row, PAST] = state[row, HAND_AT] = 0
    if kind == END_OF_SESSION and past != 0:
        return  # of a session that was passed by
    control(frames, spans, state, tape, statuses, notes)
    if state[row, HOLES_COUNT] > 0:
        state[row, UNSURE] = 1
    if kind == END_OF_SESSION:
        state[row, DAY] = NO_DAY


@njit(**INLINE)
def _past(spans: Block, state: Block, record: int) -> bool:
    """Whether the record is known to be of a session of a past day."""
    row = state[HERE, ROW]
    if state[HERE, PAST] != 0:
        return True
    named = state[row, PAST_WORD] != 0 and spans[SPAN_SESSION, record] == state[row, PAST_WORD]
    return named and spans[SPAN_SESSION_REST, record] == state[row, PAST_REST]


@njit(**KERNEL)
def _pass_by(frames: NDArray[np.uint8], spans: Block, state: Block, record: int) -> None:
    """Drop and count the messages of such a record; what no message is read from counts as one."""
    row, at, end = state[HERE, ROW], spans[SPAN_START, record], spans[SPAN_END, record]
    soup = spans[SPAN_FORM, record] == SOUPBIN
    state[HERE, PAST] = 0
    state[row, PAST] = 1
    while at < end:
        size = be16(frames, at) if at + 2 <= end else 0
        if size == 0 or at + 2 + size > end:
            size = end - at
        if soup and size > 0 and at + 2 < end and frames[at + 2] != _S:
            state[HERE, rows.SKIPPED] += 1
        else:
            state[row, STALE] += 1
            state[HERE, rows.MESSAGES] += 1
        at += 2 + size


@njit(**INLINE)
def _session_due(spans: Block, state: Block, record: int) -> bool:
    """Whether the record is the first of a session: it says so by its name; or the one before is
    over; or its name is no date, it came on a later day, and its numbers do not go on."""
    row = state[HERE, ROW]
    state[row, PAST] = 0
    if (
        spans[SPAN_SESSION, record] != state[row, WORD]
        or spans[SPAN_SESSION_REST, record] != state[row, WORD_REST]
        or state[row, DAY] == NO_DAY
    ):
        return True
    if state[row, NAMED] != 0 or state[HERE, TS_RECV] < state[row, DAY_END]:
        return False
    return state[row, DAY] == NO_DATE or spans[SPAN_FIRST_SEQ, record] <= 1


@njit(**INLINE)
def _packets(  # noqa: PLR0913 - a kernel
    frames: NDArray[np.uint8],
    spans: Block,
    room: int,
    state: Block,
    symbols: Block,
    tape: Block,
    quotes: Block,
    statuses: Block,
    notes: Block,
    orders: Block,
    books: Block,
    levels: Block,
    ring: Block,
) -> int:
    """At most `room` packets of a FRAMES record: DONE at its end, FULL before it, or a NEED."""
    record = state[HERE, RECORD]
    start, end = spans[SPAN_START, record], spans[SPAN_END, record]
    soup = 1 if spans[SPAN_FORM, record] == SOUPBIN else 0
    at = start + state[HERE, OFFSET]
    if spans[SPAN_FORM, record] != BLOCKS and soup == 0:
        refuse(state, notes, BAD_FORM, at, end - at)
        return DONE
    if state[state[HERE, ROW], DAY] < 0:
        refuse(state, notes, UNDATED, at, end - at)
        return DONE
    first = spans[SPAN_FIRST_SEQ, record]
    far = near = at
    led = 0
    for _ in range(room):
        if at == end:
            return DONE
        while led < FAR and far < end:
            far = fetch_far(frames, far, end, soup, state[HERE, SHIFT], orders, books)
            led += 1
            if led > FAR - NEAR:
                near = fetch_near(frames, near, end, soup, books, levels)
        size = be16(frames, at) if at + 2 <= end else -1
        if size <= 0 or size > _BLOCK_BYTES_MAX or at + 2 + size > end:
            broken = size == 0 or size > _BLOCK_BYTES_MAX
            refuse(state, notes, FRAMING_LOST if broken else TRUNCATED, at, end - at)
            return DONE
        if soup == 1 and frames[at + 2] != _S:
            state[HERE, rows.SKIPPED] += 1
        else:
            need = _message(
                frames, at + 2 + soup, size - soup, first, state, symbols, tape, quotes, statuses,
                notes, orders, books, levels, ring,
            )  # fmt: skip
            if need != 0:
                return need
            state[HERE, NTH] += 1
            state[HERE, rows.MESSAGES] += 1
        at += 2 + size
        led -= 1
        state[HERE, OFFSET] = at - start
    return DONE if at == end else FULL


@njit(**INLINE)
def _message(  # noqa: PLR0913 - a kernel
    frames: NDArray[np.uint8],
    body: int,
    size: int,
    first: int,
    state: Block,
    symbols: Block,
    tape: Block,
    quotes: Block,
    statuses: Block,
    notes: Block,
    orders: Block,
    books: Block,
    levels: Block,
    ring: Block,
) -> int:
    """One message: is it whole, is it due, is it sound; then it counts. 0, or a NEED."""
    row = state[HERE, ROW]
    code = byte(frames, body) if size > 0 else 0
    reason, verdict = 0, _TAKE_NEXT
    if size != state[HERE, LENGTHS + code] or size == 0:
        reason = UNKNOWN_TYPE if size > 0 and state[HERE, LENGTHS + code] == 0 else BAD_LENGTH
    else:
        since = be64(frames, body + 3) & _NS
        ts = state[row, DAY] + since
        seq = first + state[HERE, NTH] if first > 0 else max(state[row, NEXT], 1)
        state[HERE, SEQ] = seq
        state[HERE, TS] = ts
        if (
            seq != state[row, NEXT]
            or ts <= state[row, GUARD]
            or ts > state[HERE, TS_LIMIT]
            or since >= DAY_NS
        ):
            verdict, reason = _examine(state, row, seq, ts, since)
            if verdict == DROP:
                return 0
            state[HERE, LATE_NOW] = 1 if verdict == TAKE_LATE else 0
            if verdict == TAKE_FIRST:
                _empty(orders, books, ring, state)
    if reason == 0 and state[HERE, TS] >= state[row, HAND_AT]:
        if state[HERE, SEQ] == state[row, NEXT]:  # behind a gap nobody knows the book
            state[row, HAND_TO] = state[HERE, TS]
            return NEED_SUMS
    before = state[HERE, TAPE_COUNT]
    if reason == 0:
        reason = _apply(
            frames, body, code, state, symbols, tape, quotes, notes, orders, books, levels, ring
        )
    if reason == 0 and verdict == _TAKE_NEXT and code != _S:
        state[row, NEXT] += 1
        state[row, WATERMARK] = max(state[row, WATERMARK], state[HERE, TS])
        if state[HERE, TS] >= state[row, MARK_AT]:
            second(state, _trades(state, tape, before), tape)
        return 0
    return _settle(frames, body, size, state, tape, statuses, notes, reason, verdict, before)


@njit(**INLINE)
def _apply(  # noqa: PLR0913 - a kernel
    frames: NDArray[np.uint8], body: int, code: int, state: Block, symbols: Block, tape: Block,
    quotes: Block, notes: Block, orders: Block, books: Block, levels: Block, ring: Block,
) -> int:  # fmt: skip
    """What a message of a type does (rows.py)."""
    if (
        code == _A or code == _D or code == _U or code == _E or code == _X or code == _F
        or code == _C
    ):  # fmt: skip
        return order(
            frames, body, code, state, symbols, notes, tape, quotes, orders, books, levels, ring
        )
    return rarer(frames, body, state, symbols, notes, tape, books, ring)


@njit(**KERNEL)
def _examine(state: Block, row: int, seq: int, ts: int, since: int) -> tuple[int, int]:
    """(verdict, reason) for a message that is not simply the next one."""
    if seq < 1 or seq >= INT_MAX:
        return REFUSE, BAD_SEQ
    if since >= DAY_NS or ts > state[HERE, TS_LIMIT]:
        return REFUSE, BAD_TS
    verdict = judge(state, row, seq, ts)
    return verdict, STALE_SESSION if verdict == REFUSE else 0


@njit(**KERNEL)
def _empty(orders: Block, books: Block, ring: Block, state: Block) -> None:
    """A session begins: nothing of the one before holds."""
    clear(orders, books, state)
    forget_trades(state, ring)
    state[state[HERE, ROW], UNSURE] = 0
    state[state[HERE, ROW], SESSION] = -1


@njit(**KERNEL)
def _trades(state: Block, tape: Block, before: int) -> int:
    """TRADE if the message put a trade on the tape: it moves the watermark of later stages."""
    grown = state[HERE, TAPE_COUNT] > before
    return TRADE if grown and tape[TAPE_ROLE, before] == TRADED else 0


@njit(**KERNEL)
def _settle(  # noqa: PLR0913 - a kernel
    frames: NDArray[np.uint8],
    body: int,
    size: int,
    state: Block,
    tape: Block,
    statuses: Block,
    notes: Block,
    reason: int,
    verdict: int,
    before: int,
) -> int:
    """What is refused, wants more room, is a system event, or is not simply the next one."""
    row = state[HERE, ROW]
    late = verdict == TAKE_LATE
    state[HERE, LATE_NOW] = 0
    if reason >= AGAIN_LATER:
        return reason - AGAIN_LATER
    if reason != 0:
        refuse(state, notes, reason, body, size)
        return 0
    gap = accept(state, row, state[HERE, SEQ], state[HERE, TS], verdict)
    if verdict == TAKE_FIRST:
        state[row, LINK] = _UP
        status_row(state, statuses, _UP)
    if gap[0] > 0:
        gap_row(state, statuses, gap)
        state[row, UNSURE] = 1
    if state[HERE, TS] >= state[row, MARK_AT]:
        second(state, _trades(state, tape, before), tape)
    if late:
        state[row, rows.FILE_CHANGED] = 1
    elif byte(frames, body) == _S:
        _event(byte(frames, body + _EVENT), state, tape, statuses)
    return 0


@njit(**KERNEL)
def _event(code: int, state: Block, tape: Block, statuses: Block) -> None:
    """A system event as the venue's session state: O and S pre-open, Q open, M post-close, E and C
    the day's end. Told once a change."""
    row = state[HERE, ROW]
    said = _PRE
    if code == ord("Q"):
        said = _OPEN
    elif code == ord("M"):
        said = _POST
    elif code == ord("E") or code == ord("C"):
        said = _END
    if said == state[row, SESSION]:
        return
    state[row, SESSION] = said
    status_row(state, statuses, said)
    if said == _END:
        role_row(state, tape, SESSION_END)
        state[row, HAND_AT] = 0
