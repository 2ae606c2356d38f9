"""How bars leave the builder's arrays as rows of OHLCV: revisions, closes, ends of files, and the
open bars as they stand. Compiled; state.py tells the arrays. Does not decide when (kernel.py).
"""

import numpy as np
from numba import njit

from bursa.bars import state as s
from bursa.bars.broken import digest, in_use, stands
from bursa.bars.state import KERNEL, Floats
from bursa.model.batch import Block
from bursa.model.calendar import SECOND_NS
from bursa.model.schema import OHLCV

Cause = tuple[int, int]  # known_at, position

_B_TICKER, _B_FREQ, _B_TS, _B_REV = (OHLCV.index[k] for k in ("ticker", "freq", "ts", "rev"))
_B_OPEN, _B_HIGH, _B_LOW = (OHLCV.index[k] for k in ("open", "high", "low"))
_B_CLOSE, _B_VOLUME, _B_VALUE = (OHLCV.index[k] for k in ("close", "volume", "value"))
_B_TRADES, _B_VWAP, _B_FINAL = (OHLCV.index[k] for k in ("trades", "vwap", "final"))
_B_KNOWN, _B_RECV, _B_POSITION = (OHLCV.index[k] for k in ("known_at", "ts_recv", "position"))
_B_DELTA, _B_RULED, _B_NTH = (OHLCV.index[k] for k in ("delta", "ruled", "nth"))
_B_BIDS, _B_ASKS = (OHLCV.index[k] for k in ("bid_volume", "ask_volume"))
_B_SOURCE = OHLCV.index["source"]


@njit(**KERNEL, forceinline=True)
def write(  # noqa: PLR0913 (inlined: its arguments cost nothing)
    slots: Block, bits: Floats, at: int, state: Block, start: int, form: tuple[int, int],
    cause: Cause, out: Block, numbers: Floats, row: int,
) -> None:  # fmt: skip
    """Write a slot as a row of OHLCV, all but ticker and nth. form: final; how far S_TOLD is ahead
    of the rev. A known_at of NEVER: the slot's ts_recv. bits, numbers: slots and out as float64.
    Books are not known here."""
    units = float(state[s.R_VOLUME])
    volume = slots[at, s.S_VOLUME] / units
    value = slots[at, s.S_VALUE] / float(state[s.R_VALUE])
    recv = slots[at, s.S_LAST_RECV]
    out[_B_FREQ, row] = 0
    out[_B_TS, row] = start
    out[_B_REV, row] = (slots[at, s.S_TOLD] >> s.REV_SHIFT) - form[1]
    numbers[_B_OPEN, row] = bits[at, s.S_OPEN]
    numbers[_B_HIGH, row] = bits[at, s.S_HIGH]
    numbers[_B_LOW, row] = bits[at, s.S_LOW]
    numbers[_B_CLOSE, row] = bits[at, s.S_CLOSE]
    numbers[_B_VOLUME, row] = volume
    numbers[_B_VALUE, row] = value
    out[_B_TRADES, row] = slots[at, s.S_TRADES]
    numbers[_B_VWAP, row] = value / volume if volume > 0.0 else np.nan
    numbers[_B_DELTA, row] = slots[at, s.S_DELTA] / units
    numbers[_B_RULED, row] = slots[at, s.S_RULED] / units
    numbers[_B_BIDS, row] = numbers[_B_ASKS, row] = np.nan
    out[_B_FINAL, row] = form[0]
    out[_B_KNOWN, row] = cause[0] if cause[0] != s.NEVER else recv
    out[_B_RECV, row] = recv
    out[_B_POSITION, row] = cause[1]
    out[_B_SOURCE, row] = -1


@njit(**KERNEL)
def emit_page(
    slots: Block, pages: Block, page: int, changed: bool, final: int, cause: Cause, state: Block,
    out: Block,
) -> None:  # fmt: skip
    """Emit slots of a page in order of symbols: all in use, or only those that wait for a revision,
    or, at a file's end, those with trades that were not emitted yet. Bars whose trades were all
    taken back are in use (broken.py)."""
    numbers, bits = out.view(np.float64), slots.view(np.float64)
    start, first = pages[page, s.P_START], page * state[s.R_SYMBOLS]
    reached = max(state[s.L_WATERMARK], state[s.N_WATERMARK], 0) // SECOND_NS << s.NTH_SHIFT
    if reached > state[s.L_NTH]:
        state[s.L_NTH] = reached
    row = np.uintp(state[s.D_ROWS])
    nth = state[s.L_NTH] - np.int64(row)
    symbols, mended = (0, state[s.R_SYMBOLS]), pages[page, s.P_MENDED] != 0
    if changed and final == 1:
        symbols = (pages[page, s.P_FROM], pages[page, s.P_TO])
    for symbol in range(symbols[0], symbols[1]):
        at = np.uintp(first + symbol)
        trades = slots[at, s.S_TRADES]
        told = slots[at, s.S_TOLD]
        nothing = trades == 0 or (changed and trades == told & s.EMITTED)
        if nothing and not (mended and stands(slots, at, changed)):
            continue
        told = (slots[at, s.S_TOLD] & ~s.EMITTED) + (1 << s.REV_SHIFT)
        if mended and told & s.MENDED == s.UNTOLD:
            told ^= s.UNTOLD | s.TOLD
        slots[at, s.S_TOLD] = told | trades
        if final == 0:
            slots[at, s.S_DIGEST] = digest(slots, at)
        out[_B_TICKER, row] = symbol
        out[_B_NTH, row] = nth + np.int64(row)
        write(slots, bits, at, state, start, (final, 1), cause, out, numbers, row)
        row += np.uintp(1)
    state[s.D_ROWS] = row
    state[s.L_NTH] = nth + np.int64(row)
    pages[page, s.P_FROM], pages[page, s.P_TO] = s.ALWAYS, 0


@njit(**KERNEL)
def next_page(pages: Block, after: int) -> int:
    """The page in use with the earliest opening after `after`; -1 where there is none."""
    found = -1
    for page in range(pages.shape[0]):
        start = pages[page, s.P_START]
        if start > after and (found < 0 or start < pages[found, s.P_START]):
            found = page
    return found


@njit(**KERNEL)
def lacks_room(
    slots: Block, pages: Block, state: Block, through: int, out: Block, minutes: Block
) -> bool:
    """Whether the blocks are too small for the revisions that wait and the bars of the open minutes
    up to `through`; then D_ROOM says how many rows these are."""
    dirty, markers = state[s.L_DIRTY], 0
    for page in range(pages.shape[0]):
        markers += state[s.L_CLOSED] < pages[page, s.P_START] <= through
    row, rows = state[s.D_ROWS], dirty + markers * state[s.R_SYMBOLS]
    if row + rows > out.shape[1]:
        rows = dirty + count(slots, pages, state, through)
    state[s.D_ROOM] = max(rows, markers)
    return bool(row + rows > out.shape[1] or state[s.D_MINUTES] + markers > minutes.shape[1])


@njit(**KERNEL)
def count(slots: Block, pages: Block, state: Block, through: int) -> int:
    """How many bars the open minutes up to `through` have."""
    bars, symbols = 0, state[s.R_SYMBOLS]
    for page in range(pages.shape[0]):
        if state[s.L_CLOSED] < pages[page, s.P_START] <= through:
            for at in range(page * symbols, (page + 1) * symbols):
                bars += in_use(slots, np.uintp(at))
    return bars


@njit(**KERNEL)
def revise(slots: Block, pages: Block, cause: Cause, state: Block, out: Block) -> None:
    """Emit the revisions that wait, in order of (minute, symbol)."""
    page = next_page(pages, s.NEVER) if state[s.L_DIRTY] > 0 else -1
    while page >= 0 and pages[page, s.P_START] <= state[s.L_CLOSED]:
        if pages[page, s.P_TO] > 0:
            emit_page(slots, pages, page, True, 1, cause, state, out)
        page = next_page(pages, pages[page, s.P_START])
    state[s.L_DIRTY] = 0


@njit(**KERNEL)
def close(
    slots: Block, pages: Block, through: int, cause: Cause, state: Block, out: Block,
    minutes: Block,
) -> None:  # fmt: skip
    """Close the minutes up to `through` in order of (minute, symbol), a marker behind each."""
    page = next_page(pages, state[s.L_CLOSED])
    while page >= 0 and pages[page, s.P_START] <= through:
        before = state[s.D_ROWS]
        emit_page(slots, pages, page, False, 1, cause, state, out)
        if state[s.D_ROWS] > before:
            marker = state[s.D_MINUTES]
            minutes[0, marker] = pages[page, s.P_START]
            minutes[1, marker] = state[s.D_ROWS]
            minutes[2, marker] = cause[0]
            minutes[3, marker] = cause[1]
            state[s.D_MINUTES] += 1
        page = next_page(pages, pages[page, s.P_START])


@njit(**KERNEL)
def finish(slots: Block, pages: Block, cause: Cause, state: Block, out: Block) -> None:
    """Emit the open bars as not final, in order of (minute, symbol), if they changed since."""
    page = next_page(pages, state[s.L_CLOSED])
    while page >= 0:
        emit_page(slots, pages, page, True, 0, cause, state, out)
        page = next_page(pages, pages[page, s.P_START])


@njit(**KERNEL)
def peek(slots: Block, pages: Block, ids: Block, position: int, state: Block, out: Block) -> int:
    """Write the open bars of some symbols as they stand; the number of rows is returned. `out`
    has room for one row an id and page."""
    numbers, bits = out.view(np.float64), slots.view(np.float64)
    row, cause = 0, (s.NEVER, position)
    page = next_page(pages, state[s.L_CLOSED])
    while page >= 0:
        start = pages[page, s.P_START]
        for symbol in ids:
            at = page * state[s.R_SYMBOLS] + symbol
            if in_use(slots, at):
                out[_B_TICKER, row] = symbol
                out[_B_NTH, row] = 0
                write(slots, bits, at, state, start, (0, 0), cause, out, numbers, row)
                row += 1
        page = next_page(pages, start)
    return row
