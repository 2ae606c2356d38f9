"""The compiled half of the bar builder: its state as arrays, and the passes over a tape.

A bar under way lives in a *slot*, 16 numbers (two cache lines). The slots of one minute lie side by
side, one a symbol, and make a *page*; the page of a minute is found by its opening, so that only
minutes that were traded cost memory. Levels are openings too: a minute is closed when it opens at
or before CLOSED, and forgotten (no more revisions) at or before FORGOTTEN.

`build` stops before a row, with nothing of that row done, when it needs room or pages; the caller
(build.py, where the rules of bars stand) makes them and calls again with that row.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import (
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
from bursa.model.schema import OHLCV, TICKS

# Before and after any time; far enough from the ends of int64 to be reckoned with.
NEVER, ALWAYS = -(2**62), 2**62
# A trade enters a bar where its volume and value in their units, and the sums that the bar holds,
# are all below this: so no sum passes the end of int64.
UNITS_MAX = 2**62

# A slot. Open and close go by (ts, seq), so those of the first and of the newest trade are kept.
# REV counts its emissions, EMITTED is what TRADES was at the last one.
S_TRADES, S_OPEN, S_HIGH, S_LOW, S_CLOSE, S_VOLUME, S_VALUE, S_LAST_TS = range(8)
S_LAST_SEQ, S_LAST_RECV, S_FIRST_TS, S_FIRST_SEQ, S_REV, S_EMITTED = range(8, 14)
SLOT = 16

# A page: its minute's opening (NEVER: free), closed slots that wait for a revision.
P_START, P_DIRTY = range(2)
PAGE = 2

# A channel: 1 where it counts for the watermark; 1 where it is live; its watermark in whole
# seconds (ns); from which ts on a row may move that; the ts of its last end of session.
C_TICKS, C_LIVE, C_MARK, C_NEXT, C_ENDED = range(5)
CHANNEL = 5

# The state's first part, what is kept. Levels: the effective watermark in whole seconds (ns); the
# openings up to which minutes are closed and forgotten; the watermark at which the next page is to
# be closed or forgotten. Then closed slots that wait for a revision, and pages in use.
L_WATERMARK, L_CLOSED, L_FORGOTTEN, L_DUE, L_DIRTY, L_PAGES = range(6)
LEVELS = 6
# Its second part, the rules: index of the board that forms bars, from a minute's opening to its
# closing and to its forgetting (ns), units of volume and of value in one, slots a page, pages
# allowed.
R_BOARD, R_CLOSE_NS, R_FORGET_NS, R_VOLUME, R_VALUE, R_SYMBOLS, R_PAGES_MAX = range(6, 13)
# Its third part, what a call did: rows and markers written, why it stopped and, for NEED_ROOM, for
# how many rows; trades counted that went into bars, into closed bars, that were forgotten, too far
# ahead, too large to be summed.
D_ROWS, D_MINUTES, D_STOP, D_ROOM = range(13, 17)
D_TRADES, D_REVISING, D_LATE, D_AHEAD, D_RANGE = range(17, 22)
# Its last part, what the row at hand asks for: the watermark, the opening up to which minutes are
# closed, and the ts from which on its channel may move these further.
N_WATERMARK, N_CLOSED, N_FOLLOWING = range(22, 25)
STATE = 25

# D_STOP
END, NEED_ROOM, NEED_PAGES = range(3)
# Instead of a page: the trade makes no bar; pages must be made first.
NO_BAR, NO_PAGE = -1, -2

_T_TICKER, _T_TS, _T_BOARD = (TICKS.index[k] for k in ("ticker", "ts", "board"))
_T_PRICE, _T_VOLUME, _T_SEQ = (TICKS.index[k] for k in ("price", "volume", "seq"))
_T_RECV, _T_POSITION = (TICKS.index[k] for k in ("ts_recv", "position"))

_B_TICKER, _B_FREQ, _B_TS, _B_REV = (OHLCV.index[k] for k in ("ticker", "freq", "ts", "rev"))
_B_OPEN, _B_HIGH, _B_LOW = (OHLCV.index[k] for k in ("open", "high", "low"))
_B_CLOSE, _B_VOLUME, _B_VALUE = (OHLCV.index[k] for k in ("close", "volume", "value"))
_B_TRADES, _B_VWAP, _B_FINAL = (OHLCV.index[k] for k in ("trades", "vwap", "final"))
_B_KNOWN, _B_RECV, _B_POSITION = (OHLCV.index[k] for k in ("known_at", "ts_recv", "position"))

# How kernels of bars/ are compiled. They make no arrays, so numba need not count references to
# those they are given: the counting took a third of the time.
KERNEL = {"nogil": True, "cache": True, "_nrt": False}

Floats = NDArray[np.float64]
Cause = tuple[int, int]  # known_at, position


@njit(**KERNEL)
def write(
    slots: Block, first: int, start: int, form: tuple[int, int], cause: Cause, state: Block,
    out: Block, rows: tuple[int, int],
) -> None:  # fmt: skip
    """Fill the rows [from, to) of OHLCV, whose tickers are set, from a page's slots, the first at
    `first`. form: final; how far S_REV is ahead of the rev. A known_at of NEVER: the slot's."""
    numbers, bits = out.view(np.float64), slots.view(np.float64)
    volume_units, value_units = float(state[R_VOLUME]), float(state[R_VALUE])
    for at_row in range(rows[0], rows[1]):
        row = np.uintp(at_row)
        at = np.uintp(first + out[_B_TICKER, row])
        volume = slots[at, S_VOLUME] / volume_units
        value = slots[at, S_VALUE] / value_units
        recv = slots[at, S_LAST_RECV]
        out[_B_FREQ, row] = 0
        out[_B_TS, row] = start
        out[_B_REV, row] = slots[at, S_REV] - form[1]
        numbers[_B_OPEN, row] = bits[at, S_OPEN]
        numbers[_B_HIGH, row] = bits[at, S_HIGH]
        numbers[_B_LOW, row] = bits[at, S_LOW]
        numbers[_B_CLOSE, row] = bits[at, S_CLOSE]
        numbers[_B_VOLUME, row] = volume
        numbers[_B_VALUE, row] = value
        out[_B_TRADES, row] = slots[at, S_TRADES]
        numbers[_B_VWAP, row] = value / volume if volume > 0.0 else np.nan
        out[_B_FINAL, row] = form[0]
        out[_B_KNOWN, row] = cause[0] if cause[0] != NEVER else recv
        out[_B_RECV, row] = recv
        out[_B_POSITION, row] = cause[1]


@njit(**KERNEL)
def emit_page(
    slots: Block, pages: Block, page: int, changed: bool, final: int, cause: Cause, state: Block,
    out: Block,
) -> None:  # fmt: skip
    """Emit slots of a page in order of symbols: all in use, or only those with trades that were
    not emitted yet."""
    symbols = state[R_SYMBOLS]
    first = page * symbols
    row = state[D_ROWS]
    for symbol in range(symbols):
        at = np.uintp(first + symbol)
        trades = slots[at, S_TRADES]
        if trades == 0 or (changed and trades == slots[at, S_EMITTED]):
            continue
        out[_B_TICKER, np.uintp(row)] = symbol
        slots[at, S_REV] += 1
        slots[at, S_EMITTED] = trades
        row += 1
    rows = (state[D_ROWS], row)
    write(slots, first, pages[page, P_START], (final, 1), cause, state, out, rows)
    state[D_ROWS] = row
    pages[page, P_DIRTY] = 0


@njit(**KERNEL)
def next_page(pages: Block, after: int) -> int:
    """The page in use with the earliest opening after `after`; -1 where there is none."""
    found = -1
    for page in range(pages.shape[0]):
        start = pages[page, P_START]
        if start > after and (found < 0 or start < pages[found, P_START]):
            found = page
    return found


@njit(**KERNEL)
def lacks_room(
    slots: Block, pages: Block, state: Block, through: int, out: Block, minutes: Block
) -> bool:
    """Whether the blocks are too small for the revisions that wait and the bars of the open minutes
    up to `through`; then D_ROOM says how many rows these are."""
    rows, markers = state[L_DIRTY], 0
    for page in range(pages.shape[0]):
        if state[L_CLOSED] < pages[page, P_START] <= through:
            markers += 1
            first = page * state[R_SYMBOLS]
            for at in range(first, first + state[R_SYMBOLS]):
                rows += slots[np.uintp(at), S_TRADES] > 0
    state[D_ROOM] = max(rows, markers)
    return bool(
        state[D_ROWS] + rows > out.shape[1] or state[D_MINUTES] + markers > minutes.shape[1]
    )


@njit(**KERNEL)
def revise(slots: Block, pages: Block, cause: Cause, state: Block, out: Block) -> None:
    """Emit the revisions that wait, in order of (minute, symbol)."""
    page = next_page(pages, NEVER) if state[L_DIRTY] > 0 else -1
    while page >= 0 and pages[page, P_START] <= state[L_CLOSED]:
        if pages[page, P_DIRTY] > 0:
            emit_page(slots, pages, page, True, 1, cause, state, out)
        page = next_page(pages, pages[page, P_START])
    state[L_DIRTY] = 0


@njit(**KERNEL)
def close(
    slots: Block, pages: Block, through: int, cause: Cause, state: Block, out: Block,
    minutes: Block,
) -> None:  # fmt: skip
    """Close the minutes up to `through` in order of (minute, symbol), a marker behind each."""
    page = next_page(pages, state[L_CLOSED])
    while page >= 0 and pages[page, P_START] <= through:
        before = state[D_ROWS]
        emit_page(slots, pages, page, False, 1, cause, state, out)
        if state[D_ROWS] > before:
            marker = state[D_MINUTES]
            minutes[0, marker] = pages[page, P_START]
            minutes[1, marker] = state[D_ROWS]
            minutes[2, marker] = cause[0]
            minutes[3, marker] = cause[1]
            state[D_MINUTES] += 1
        page = next_page(pages, pages[page, P_START])


@njit(**KERNEL)
def forget(slots: Block, pages: Block, state: Block) -> None:
    """Free the pages of the minutes that take no more revisions; find what is due next."""
    symbols, due = state[R_SYMBOLS], ALWAYS
    for page in range(pages.shape[0]):
        start = pages[page, P_START]
        if start == NEVER:
            continue
        if start <= state[L_FORGOTTEN]:
            pages[page, P_START] = NEVER
            slots[page * symbols : (page + 1) * symbols] = 0
            state[L_PAGES] -= 1
        else:
            due = min(due, due_of(start, state))
    state[L_DUE] = due


@njit(**KERNEL)
def due_of(start: int, state: Block) -> int:
    """The watermark at which a minute is to be closed, or forgotten where it is closed."""
    return start + (state[R_FORGET_NS] if start <= state[L_CLOSED] else state[R_CLOSE_NS])


@njit(**KERNEL)
def finish(slots: Block, pages: Block, cause: Cause, state: Block, out: Block) -> None:
    """Emit the open bars as not final, in order of (minute, symbol), if they changed since."""
    page = next_page(pages, state[L_CLOSED])
    while page >= 0:
        emit_page(slots, pages, page, True, 0, cause, state, out)
        page = next_page(pages, pages[page, P_START])


@njit(**KERNEL)
def least(channels: Block, field: int) -> int:
    """The smallest value of a field over the live channels; NEVER where none is live."""
    found = ALWAYS
    for channel in range(channels.shape[0]):
        if channels[channel, C_LIVE] == 1:
            found = min(found, channels[channel, field])
    return found if found != ALWAYS else NEVER


@njit(**KERNEL)
def move(channels: Block, channel: int, role: int, ts: int) -> int:
    """Bring a channel up to a row of that role; doing it twice is doing it once. The ts from which
    on a later row may move it further is returned."""
    if channels[channel, C_TICKS] == 0:
        return ALWAYS
    if role == CHANNEL_DOWN:
        channels[channel, C_LIVE] = 0
        return NEVER
    channels[channel, C_LIVE] = 1
    if role == CHANNEL_UP:
        return NEVER
    mark = max(channels[channel, C_MARK], ts - ts % SECOND_NS)
    channels[channel, C_MARK] = mark
    if role == SESSION_END:
        channels[channel, C_ENDED] = max(channels[channel, C_ENDED], ts)
    return mark + SECOND_NS


@njit(**KERNEL)
def asks(channels: Block, channel: int, role: int, ts: int, state: Block) -> bool:
    """What a row that may move the watermark, or end a session or a file, asks for. False: nothing
    is to be emitted or forgotten, and all is done."""
    if role == FILE_END:
        return True
    state[N_FOLLOWING] = move(channels, channel, role, ts)
    watermark = max(state[L_WATERMARK], least(channels, C_MARK))
    ended = least(channels, C_ENDED)
    state[N_WATERMARK] = watermark
    state[N_CLOSED] = max(state[L_CLOSED], watermark - state[R_CLOSE_NS], ended)
    if ended > state[L_CLOSED] or (
        watermark > state[L_WATERMARK] and (state[L_DIRTY] > 0 or watermark >= state[L_DUE])
    ):
        return True
    settle(channels, channel, state)
    return False


@njit(**KERNEL)
def settle(channels: Block, channel: int, state: Block) -> None:
    """Move the levels to where the row at hand asks for."""
    channels[channel, C_NEXT] = state[N_FOLLOWING]
    state[L_WATERMARK] = state[N_WATERMARK]
    state[L_CLOSED] = state[N_CLOSED]
    state[L_FORGOTTEN] = state[N_WATERMARK] - state[R_FORGET_NS]


@njit(**KERNEL)
def advance(
    tape: Block, row: int, channels: Block, slots: Block, pages: Block, state: Block, out: Block,
    minutes: Block,
) -> bool:  # fmt: skip
    """Emit and forget what a row asks for. False: it lacks room, and nothing was emitted."""
    role, through = tape[TAPE_ROLE, row], state[N_CLOSED]
    if lacks_room(slots, pages, state, ALWAYS if role == FILE_END else through, out, minutes):
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
    if opened <= state[L_FORGOTTEN]:
        state[D_LATE] += 1
        return NO_BAR
    free = NO_PAGE
    for page in range(pages.shape[0]):
        if pages[page, P_START] == opened:
            return page
        if pages[page, P_START] == NEVER:
            free = page
    if state[L_PAGES] >= state[R_PAGES_MAX]:
        state[D_AHEAD] += 1
        return NO_BAR
    if free >= 0:
        pages[free, P_START] = opened
        pages[free, P_DIRTY] = 0
        state[L_PAGES] += 1
        state[L_DUE] = min(state[L_DUE], due_of(opened, state))
    return free


@njit(**KERNEL)
def place(
    tape: Block, row: int, slots: Block, at: int, page: int, pages: Block, state: Block
) -> int:
    """A trade that is not simply the newest of an open bar: late, out of order, or too large to be
    summed (which is counted, and makes 0 of 1)."""
    numbers, bits = tape.view(np.float64), slots.view(np.float64)
    price, shares = numbers[_T_PRICE, row], numbers[_T_VOLUME, row]
    volume = np.rint(shares * float(state[R_VOLUME]))
    value = np.rint(price * shares * float(state[R_VALUE]))
    small = 0.0 <= volume < UNITS_MAX and 0.0 <= value < UNITS_MAX
    if not small or slots[at, S_VOLUME] >= UNITS_MAX or slots[at, S_VALUE] >= UNITS_MAX:
        state[D_RANGE] += 1
        return 0
    if pages[page, P_START] <= state[L_CLOSED]:
        state[D_REVISING] += 1
        if slots[at, S_TRADES] == slots[at, S_EMITTED]:
            pages[page, P_DIRTY] += 1
            state[L_DIRTY] += 1
    slots[at, S_VOLUME] += int(volume)
    slots[at, S_VALUE] += int(value)
    slots[at, S_TRADES] += 1
    fit(bits, slots, at, price, tape[_T_TS, row], tape[_T_SEQ, row], tape[_T_RECV, row])
    return 1


@njit(**KERNEL)
def fit(bits: Floats, slots: Block, at: int, price: float, ts: int, seq: int, recv: int) -> None:
    """A trade's price into a slot, wherever it stands in (ts, seq)."""
    first = slots[at, S_TRADES] == 1
    if first or price > bits[at, S_HIGH]:
        bits[at, S_HIGH] = price
    if first or price < bits[at, S_LOW]:
        bits[at, S_LOW] = price
    if first or (ts, seq) >= (slots[at, S_LAST_TS], slots[at, S_LAST_SEQ]):
        bits[at, S_CLOSE] = price
        slots[at, S_LAST_TS] = ts
        slots[at, S_LAST_SEQ] = seq
        slots[at, S_LAST_RECV] = recv
    if first or (ts, seq) < (slots[at, S_FIRST_TS], slots[at, S_FIRST_SEQ]):
        bits[at, S_OPEN] = price
        slots[at, S_FIRST_TS] = ts
        slots[at, S_FIRST_SEQ] = seq


@njit(**KERNEL, forceinline=True)
def add(
    tape: Block, numbers: Floats, row: int, slots: Block, bits: Floats, at: int,
    units: tuple[float, float], late: bool,
) -> bool:  # fmt: skip
    """One trade into its slot, if it is simply the newest of an open bar; else False."""
    price, shares = numbers[_T_PRICE, row], numbers[_T_VOLUME, row]
    volume, value = np.rint(shares * units[0]), np.rint(price * shares * units[1])
    ts, seq, last_ts = tape[_T_TS, row], tape[_T_SEQ, row], slots[at + np.uintp(S_LAST_TS)]
    newest = ts > last_ts or (ts == last_ts and seq >= slots[at + np.uintp(S_LAST_SEQ)])
    small = 0.0 <= volume < UNITS_MAX and 0.0 <= value < UNITS_MAX
    if (
        late
        or not newest
        or not small
        or slots[at + np.uintp(S_VOLUME)] | slots[at + np.uintp(S_VALUE)] >= UNITS_MAX
    ):
        return False
    trades = slots[at + np.uintp(S_TRADES)]
    slots[at + np.uintp(S_TRADES)] = trades + 1
    slots[at + np.uintp(S_VOLUME)] += int(volume)
    slots[at + np.uintp(S_VALUE)] += int(value)
    slots[at + np.uintp(S_LAST_TS)] = ts
    slots[at + np.uintp(S_LAST_SEQ)] = seq
    slots[at + np.uintp(S_LAST_RECV)] = tape[_T_RECV, row]
    bits[at + np.uintp(S_CLOSE)] = price
    if trades == 0:
        bits[at + np.uintp(S_OPEN)] = bits[at + np.uintp(S_HIGH)] = bits[at + np.uintp(S_LOW)] = (
            price
        )
        slots[at + np.uintp(S_FIRST_TS)] = ts
        slots[at + np.uintp(S_FIRST_SEQ)] = seq
    bits[at + np.uintp(S_HIGH)] = max(price, bits[at + np.uintp(S_HIGH)])
    bits[at + np.uintp(S_LOW)] = min(price, bits[at + np.uintp(S_LOW)])
    return True


@njit(**KERNEL)
def build(  # noqa: PLR0913 (a kernel: primitives only)
    tape: Block, start: int, channels: Block, slots: Block, pages: Block, state: Block,
    touched: NDArray[np.uint8], out: Block, minutes: Block,
) -> int:  # fmt: skip
    """Take rows of the tape from `start` on; the row to go on from is returned.

    tape      int64 (TAPE_ROWS, n)
    touched   uint8 (symbols,): set to 1 where a symbol's open bar changed
    out       int64 (columns of OHLCV, capacity): rows are written from 0 on
    minutes   int64 (4, capacity): markers are written from 0 on
    """
    flat = slots.reshape(-1)
    numbers, bits = tape.view(np.float64), flat.view(np.float64)
    units = float(state[R_VOLUME]), float(state[R_VALUE])
    board, opened, page, late, taken = state[R_BOARD], NEVER, NO_BAR, False, 0
    first = np.uintp(0)
    state[D_ROWS:N_WATERMARK] = 0
    for at_row in range(start, tape.shape[1]):
        row = np.uintp(at_row)
        role, ts = tape[TAPE_ROLE, row], tape[_T_TS, row]
        channel = np.uintp(tape[TAPE_CHANNEL, row])
        moves = role > MARK or ts >= channels[channel, C_NEXT]
        if moves and asks(channels, channel, role, ts, state):
            if not advance(tape, row, channels, slots, pages, state, out, minutes):
                return stop(state, NEED_ROOM, taken, at_row)
            opened = NEVER
        if role != TRADE or tape[_T_BOARD, row] != board:
            continue
        if np.uint64(ts - opened) >= np.uint64(MINUTE_NS):
            opened = ts - ts % MINUTE_NS
            page = seek(opened, pages, state)
            late = opened <= state[L_CLOSED]
            if page == NO_PAGE:
                return stop(state, NEED_PAGES, taken, at_row)
            if page == NO_BAR:
                opened = NEVER  # so that each such trade is counted
                continue
            first = np.uintp(page * state[R_SYMBOLS])
        symbol = np.uintp(tape[_T_TICKER, row])
        at = first + symbol
        if add(tape, numbers, row, flat, bits, at * np.uintp(SLOT), units, late):
            taken += 1
        else:
            taken += place(tape, row, slots, at, page, pages, state)
        if not late:
            touched[symbol] = 1
    return stop(state, END, taken, tape.shape[1])


@njit(**KERNEL)
def stop(state: Block, why: int, taken: int, row: int) -> int:
    """Say why and with how many trades a call ends before a row."""
    state[D_STOP] = why
    state[D_TRADES] = taken
    return row


@njit(**KERNEL)
def peek(slots: Block, pages: Block, ids: Block, position: int, state: Block, out: Block) -> int:
    """Write the open bars of some symbols as they stand; the number of rows is returned. `out`
    has room for one row an id and page."""
    row = 0
    page = next_page(pages, state[L_CLOSED])
    while page >= 0:
        first, start, before = page * state[R_SYMBOLS], pages[page, P_START], row
        for symbol in ids:
            if slots[first + symbol, S_TRADES] > 0:
                out[_B_TICKER, row] = symbol
                row += 1
        write(slots, first, start, (0, 0), (NEVER, position), state, out, (before, row))
        page = next_page(pages, start)
    return row
