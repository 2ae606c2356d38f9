"""The compiled half of the bar builder: the pass over a tape. Its arrays are told in state.py, how
bars leave it in emit.py.

`build` stops before a row, with nothing of that row done, when it needs room or pages; the caller
(build.py, where the rules of bars stand) makes them and calls again with that row.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.bars import state as s
from bursa.bars.broken import mend, put, ruled, stain, summed
from bursa.bars.emit import close, finish, lacks_room, revise
from bursa.bars.state import KERNEL, Floats
from bursa.model.batch import (
    BROKEN,
    CHANNEL_DOWN,
    CHANNEL_UP,
    FILE_END,
    MARK,
    SESSION_END,
    TAPE_CHANNEL,
    TAPE_ROLE,
    TRADE,
    Block,
)
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.schema import TICKS

_T_TICKER, _T_TS, _T_BOARD = (TICKS.index[k] for k in ("ticker", "ts", "board"))
_T_PRICE, _T_VOLUME, _T_SEQ = (TICKS.index[k] for k in ("price", "volume", "seq"))
_T_RECV, _T_POSITION = (TICKS.index[k] for k in ("ts_recv", "position"))
_T_AGGRESSOR = TICKS.index["aggressor"]


@njit(**KERNEL)
def forget(slots: Block, pages: Block, state: Block) -> None:
    """Free the pages of the minutes that take no more revisions; find what is due next."""
    symbols, due = state[s.R_SYMBOLS], s.ALWAYS
    for page in range(pages.shape[0]):
        start = pages[page, s.P_START]
        if start == s.NEVER:
            continue
        if start <= state[s.L_FORGOTTEN]:
            pages[page, s.P_START] = s.NEVER
            slots[page * symbols : (page + 1) * symbols] = 0
            state[s.L_PAGES] -= 1
        else:
            due = min(due, due_of(start, state))
    state[s.L_DUE] = due


@njit(**KERNEL)
def due_of(start: int, state: Block) -> int:
    """The watermark at which a minute is to be closed, or forgotten where it is closed."""
    return start + (state[s.R_FORGET_NS] if start <= state[s.L_CLOSED] else state[s.R_CLOSE_NS])


@njit(**KERNEL)
def least(channels: Block, field: int) -> int:
    """The smallest value of a field over the live channels; NEVER where none is live."""
    found = s.ALWAYS
    for channel in range(channels.shape[0]):
        if channels[channel, s.C_LIVE] == 1:
            found = min(found, channels[channel, field])
    return found if found != s.ALWAYS else s.NEVER


@njit(**KERNEL)
def move(channels: Block, channel: int, role: int, ts: int) -> int:
    """Bring a channel up to a row of that role; doing it twice is doing it once. The ts from which
    on a later row may move it further is returned."""
    if channels[channel, s.C_TICKS] == 0:
        return s.ALWAYS
    if role == CHANNEL_DOWN:
        channels[channel, s.C_LIVE] = 0
        return s.NEVER
    channels[channel, s.C_LIVE] = 1
    if role == CHANNEL_UP:
        return s.NEVER
    mark = max(channels[channel, s.C_MARK], ts - ts % SECOND_NS)
    channels[channel, s.C_MARK] = mark
    if role == SESSION_END:
        channels[channel, s.C_ENDED] = max(channels[channel, s.C_ENDED], ts)
    return mark + SECOND_NS


@njit(**KERNEL)
def asks(channels: Block, channel: int, role: int, ts: int, state: Block) -> bool:
    """What a row that may move the watermark, or end a session or a file, asks for. False: nothing
    is to be emitted or forgotten, and all is done."""
    if role == FILE_END:
        return True
    if role >= BROKEN:
        return False
    state[s.N_FOLLOWING] = move(channels, channel, role, ts)
    watermark = max(state[s.L_WATERMARK], least(channels, s.C_MARK))
    ended = least(channels, s.C_ENDED)
    state[s.N_WATERMARK] = watermark
    state[s.N_CLOSED] = max(state[s.L_CLOSED], watermark - state[s.R_CLOSE_NS], ended)
    if ended > state[s.L_CLOSED] or (
        watermark > state[s.L_WATERMARK] and (state[s.L_DIRTY] > 0 or watermark >= state[s.L_DUE])
    ):
        return True
    settle(channels, channel, state)
    return False


@njit(**KERNEL)
def settle(channels: Block, channel: int, state: Block) -> None:
    """Move the levels to where the row at hand asks for."""
    channels[channel, s.C_NEXT] = state[s.N_FOLLOWING]
    state[s.L_WATERMARK] = state[s.N_WATERMARK]
    state[s.L_CLOSED] = state[s.N_CLOSED]
    forgotten = state[s.N_WATERMARK] - state[s.R_FORGET_NS]
    state[s.L_FORGOTTEN] = max(state[s.L_FORGOTTEN], forgotten)


@njit(**KERNEL)
def advance(
    tape: Block, row: int, channels: Block, slots: Block, pages: Block, state: Block, out: Block,
    minutes: Block,
) -> bool:  # fmt: skip
    """Emit and forget what a row asks for. False: it lacks room, and nothing was emitted."""
    role, through = tape[TAPE_ROLE, row], state[s.N_CLOSED]
    if lacks_room(slots, pages, state, s.ALWAYS if role == FILE_END else through, out, minutes):
        return False
    cause = (tape[_T_RECV, row], tape[_T_POSITION, row])
    revise(slots, pages, cause, state, out)
    if role == FILE_END:
        finish(slots, pages, cause, state, out)
    else:
        close(slots, pages, through, cause, state, out, minutes)
        settle(channels, tape[TAPE_CHANNEL, row], state)
        forget(slots, pages, state)
    return True


@njit(**KERNEL)
def seek(opened: int, pages: Block, state: Block) -> int:
    """The page of a minute for one more trade; else NO_BAR (it is forgotten or too far ahead, which
    is counted) or NO_PAGE."""
    if opened <= state[s.L_FORGOTTEN]:
        state[s.D_LATE] += 1
        return s.NO_BAR
    free = s.NO_PAGE
    for page in range(pages.shape[0]):
        if pages[page, s.P_START] == opened:
            return page
        if pages[page, s.P_START] == s.NEVER:
            free = page
    if state[s.L_PAGES] >= state[s.R_PAGES_MAX]:
        state[s.D_AHEAD] += 1
        return s.NO_BAR
    if free >= 0:
        pages[free, s.P_START] = opened
        pages[free, s.P_FROM], pages[free, s.P_TO] = s.ALWAYS, 0
        pages[free, s.P_MENDED] = 0
        state[s.L_PAGES] += 1
        state[s.L_DUE] = min(state[s.L_DUE], due_of(opened, state))
    return free


@njit(**KERNEL)
def place(
    tape: Block, row: int, slots: Block, at: int, page: int, pages: Block, known: Block,
    state: Block,
) -> int:  # fmt: skip
    """A trade that is not simply the newest of an open bar: late, out of order, or too large to be
    summed (which is counted, and makes 0 of 1)."""
    small, volume, value = summed(tape, row, slots, at, state)
    if not small:
        state[s.D_RANGE] += 1
        return 0
    state[s.D_REVISING] += pages[page, s.P_START] <= state[s.L_CLOSED]
    stain(slots, at, page, pages, state)
    put(tape, row, slots, at, (volume, value), known, s.LAST * tape[_T_TICKER, row])
    return 1


@njit(**KERNEL, forceinline=True)
def add(  # noqa: PLR0913 (inlined: its arguments cost nothing)
    tape: Block, numbers: Floats, row: int, slots: Block, bits: Floats, at: int,
    units: tuple[float, float], late: bool, known: Block, last: Floats, symbol: int,
) -> bool:  # fmt: skip
    """One trade into its slot, if it is simply the newest of an open bar; else False."""
    price, shares = numbers[_T_PRICE, row], numbers[_T_VOLUME, row]
    volume, value = np.rint(shares * units[0]), np.rint(price * shares * units[1])
    ts, seq, last_ts = tape[_T_TS, row], tape[_T_SEQ, row], slots[at + s.S_LAST_TS]
    newest = ts > last_ts or (ts == last_ts and seq >= slots[at + s.S_LAST_SEQ])
    small = 0.0 <= volume < s.UNITS_MAX and 0.0 <= value < s.UNITS_MAX
    held = slots[at + s.S_VOLUME] | slots[at + s.S_VALUE]
    if late or not newest or not small or held >= s.UNITS_MAX:
        return False
    trades, aggressor, whole = slots[at + s.S_TRADES], tape[_T_AGGRESSOR, row], int(volume)
    sign = 1 - 2 * aggressor
    if aggressor < 0:
        sign = ruled(price, last, known, symbol)
        slots[at + s.S_RULED] += abs(sign) * whole
    slots[at + s.S_DELTA] += sign * whole
    last[symbol + s.LAST_PRICE] = price
    known[symbol + s.LAST_SIGN] = sign
    slots[at + s.S_TRADES] = trades + 1
    slots[at + s.S_VOLUME] += whole
    slots[at + s.S_VALUE] += int(value)
    slots[at + s.S_LAST_TS] = ts
    slots[at + s.S_LAST_SEQ] = seq
    slots[at + s.S_LAST_RECV] = tape[_T_RECV, row]
    bits[at + s.S_CLOSE] = price
    if trades == 0:
        bits[at + s.S_OPEN] = bits[at + s.S_HIGH] = bits[at + s.S_LOW] = price
        slots[at + s.S_FIRST_TS] = ts
        slots[at + s.S_FIRST_SEQ] = seq
    bits[at + s.S_HIGH] = max(price, bits[at + s.S_HIGH])
    bits[at + s.S_LOW] = min(price, bits[at + s.S_LOW])
    return True


@njit(**KERNEL)
def build(  # noqa: PLR0913 (a kernel: primitives only)
    tape: Block, start: int, channels: Block, slots: Block, pages: Block, state: Block,
    known: Block, touched: NDArray[np.uint8], out: Block, minutes: Block,
) -> int:  # fmt: skip
    """Take rows of the tape from `start` on; the row to go on from is returned.

    tape      int64 (TAPE_ROWS, n)
    known     int64 (LAST * symbols,): what the tick rule knows of each
    touched   uint8 (symbols,): set to 1 where a symbol's open bar changed
    out       int64 (columns of OHLCV, capacity): rows are written from 0 on
    minutes   int64 (4, capacity): markers are written from 0 on
    """
    flat = slots.reshape(-1)
    numbers, bits, last = tape.view(np.float64), flat.view(np.float64), known.view(np.float64)
    units = float(state[s.R_VOLUME]), float(state[s.R_VALUE])
    board, opened, page, late, taken = state[s.R_BOARD], s.NEVER, s.NO_BAR, False, 0
    first = np.uintp(0)
    state[s.D_ROWS : s.N_WATERMARK] = 0
    for at_row in range(start, tape.shape[1]):
        row = np.uintp(at_row)
        role, ts = tape[TAPE_ROLE, row], tape[_T_TS, row]
        channel = np.uintp(tape[TAPE_CHANNEL, row])
        moves = role > MARK or ts >= channels[channel, s.C_NEXT]
        if moves and asks(channels, channel, role, ts, state):
            if not advance(tape, row, channels, slots, pages, state, out, minutes):
                return stop(state, s.NEED_ROOM, taken, at_row)
            opened = s.NEVER
        if role != TRADE or tape[_T_BOARD, row] != board:
            mend(tape, at_row, slots, pages, touched, state)
            continue
        if np.uint64(ts - opened) >= np.uint64(MINUTE_NS):
            opened = ts - ts % MINUTE_NS
            page = seek(opened, pages, state)
            late = opened <= state[s.L_CLOSED]
            if page == s.NO_PAGE:
                return stop(state, s.NEED_PAGES, taken, at_row)
            if page == s.NO_BAR:
                opened = s.NEVER  # so that each such trade is counted
                continue
            first = np.uintp(page * state[s.R_SYMBOLS])
        symbol = np.uintp(tape[_T_TICKER, row])
        at = first + symbol
        of = symbol * np.uintp(s.LAST)
        if add(tape, numbers, row, flat, bits, at * s.SLOT, units, late, known, last, of):
            taken += 1
        else:
            taken += place(tape, at_row, slots, np.int64(at), page, pages, known, state)
        if not late:
            touched[symbol] = 1
    return stop(state, s.END, taken, tape.shape[1])


@njit(**KERNEL)
def stop(state: Block, why: int, taken: int, row: int) -> int:
    """Say why and with how many trades a call ends before a row."""
    state[s.D_STOP] = why
    state[s.D_TRADES] = taken
    return row
