"""Trades taken back, in the bars they are in: emptying a bar, filling it anew, telling whether it
still says what was emitted of it. Compiled; state.py tells the arrays.

A slot that has been emptied once stays a bar, whatever becomes of its trades: with none left it has
0 trades and the prices it had. Since its number of trades then no longer tells whether it changed,
what was emitted is kept as a digest: taken when a clean slot of a closed minute is first touched
(it holds just what was emitted then), and at a file's end, after which open ones go on.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.bars import state as s
from bursa.bars.state import KERNEL, Floats
from bursa.model.batch import BROKEN, TAPE_ROLE, Block
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import TICKS

_T_TICKER, _T_TS, _T_BOARD = (TICKS.index[k] for k in ("ticker", "ts", "board"))
_T_PRICE, _T_VOLUME, _T_SEQ = (TICKS.index[k] for k in ("price", "volume", "seq"))
_T_RECV, _T_AGGRESSOR = TICKS.index["ts_recv"], TICKS.index["aggressor"]


@njit(**KERNEL, forceinline=True)
def in_use(slots: Block, at: int) -> bool:
    """Whether a slot holds a bar."""
    return bool(slots[at, s.S_TRADES] | (slots[at, s.S_TOLD] & s.MENDED) > 0)


@njit(**KERNEL)
def digest(slots: Block, at: int) -> int:
    """What a slot's row would say, less when it came, in 64 bits."""
    mixed = np.uint64(0x9E3779B97F4A7C15)
    for field in range(int(s.S_TRADES), int(s.S_RULED) + 1):
        mixed ^= np.uint64(slots[at, np.uintp(field)])
        mixed *= np.uint64(0xD6E8FEB86659FD93)
        mixed ^= mixed >> np.uint64(32)
    return int(np.int64(mixed))


@njit(**KERNEL)
def stands(slots: Block, at: int, changed: bool) -> bool:
    """Whether a slot whose count of trades says "nothing to emit" is to be emitted all the same,
    because trades of it were taken back. `changed`: only if it says other than it did."""
    told = slots[at, s.S_TOLD]
    mended = told & s.MENDED
    if mended == 0 or not changed:
        return bool(mended != 0)
    if told >> s.REV_SHIFT == 0 or slots[at, s.S_TRADES] != told & s.EMITTED:
        return True
    if mended == s.TOLD:
        return False
    slots[at, s.S_TOLD] = told ^ (s.UNTOLD | s.TOLD)
    return bool(digest(slots, at) != slots[at, s.S_DIGEST])


@njit(**KERNEL)
def stain(slots: Block, at: int, page: int, pages: Block, state: Block) -> None:
    """A slot is about to change: let it wait for a revision, where its minute is closed."""
    if pages[page, s.P_START] > state[s.L_CLOSED]:
        return
    told = slots[at, s.S_TOLD]
    if slots[at, s.S_TRADES] == told & s.EMITTED and told & s.MENDED != s.UNTOLD:
        slots[at, s.S_DIGEST] = digest(slots, at)
        symbol = at - page * state[s.R_SYMBOLS]
        pages[page, s.P_FROM] = min(pages[page, s.P_FROM], symbol)
        pages[page, s.P_TO] = max(pages[page, s.P_TO], symbol + 1)
        state[s.L_DIRTY] += 1


@njit(**KERNEL)
def summed(tape: Block, row: int, slots: Block, at: int, state: Block) -> tuple[bool, int, int]:
    """Whether a trade can be summed into a slot, its volume and its value in their units."""
    numbers = tape.view(np.float64)
    price, shares = numbers[_T_PRICE, row], numbers[_T_VOLUME, row]
    volume = np.rint(shares * float(state[s.R_VOLUME]))
    value = np.rint(price * shares * float(state[s.R_VALUE]))
    small = 0.0 <= volume < s.UNITS_MAX and 0.0 <= value < s.UNITS_MAX
    if not small or slots[at, s.S_VOLUME] >= s.UNITS_MAX or slots[at, s.S_VALUE] >= s.UNITS_MAX:
        return False, 0, 0
    return True, int(volume), int(value)


@njit(**KERNEL)
def ruled(price: float, last: Floats, signs: Block, at: int) -> int:
    """1 for a trade above its symbol's last price, -1 below, at it as the last one was; 0: unknown.
    `last`, `signs`: what the tick rule knows, as float64 and as int64, of the symbol at `at`."""
    before = last[at + s.LAST_PRICE]
    if price > before:
        return 1
    return -1 if price < before else signs[at + s.LAST_SIGN]


@njit(**KERNEL)
def put(
    tape: Block, row: int, slots: Block, at: int, sums: tuple[int, int], known: Block, symbol: int
) -> None:
    """A trade that can be summed into its slot, wherever it stands in (ts, seq). sums: its volume
    and its value; known: what the tick rule knows of symbols, this one's at `symbol`."""
    bits = slots.view(np.float64)
    price, aggressor = tape.view(np.float64)[_T_PRICE, row], tape[_T_AGGRESSOR, row]
    of, last = np.uintp(symbol), known.view(np.float64)
    sign = 1 - 2 * aggressor
    if aggressor < 0:
        sign = ruled(price, last, known, of)
        slots[at, s.S_RULED] += abs(sign) * sums[0]
    slots[at, s.S_DELTA] += sign * sums[0]
    last[of + s.LAST_PRICE] = price
    known[of + s.LAST_SIGN] = sign
    slots[at, s.S_VOLUME] += sums[0]
    slots[at, s.S_VALUE] += sums[1]
    slots[at, s.S_TRADES] += 1
    fit(bits, slots, at, price, tape[_T_TS, row], tape[_T_SEQ, row], tape[_T_RECV, row])


@njit(**KERNEL)
def fit(bits: Floats, slots: Block, at: int, price: float, ts: int, seq: int, recv: int) -> None:
    """A trade's price into a slot, wherever it stands in (ts, seq)."""
    first = slots[at, s.S_TRADES] == 1
    if first or price > bits[at, s.S_HIGH]:
        bits[at, s.S_HIGH] = price
    if first or price < bits[at, s.S_LOW]:
        bits[at, s.S_LOW] = price
    if first or (ts, seq) >= (slots[at, s.S_LAST_TS], slots[at, s.S_LAST_SEQ]):
        bits[at, s.S_CLOSE] = price
        slots[at, s.S_LAST_TS] = ts
        slots[at, s.S_LAST_SEQ] = seq
        slots[at, s.S_LAST_RECV] = recv
    if first or (ts, seq) < (slots[at, s.S_FIRST_TS], slots[at, s.S_FIRST_SEQ]):
        bits[at, s.S_OPEN] = price
        slots[at, s.S_FIRST_TS] = ts
        slots[at, s.S_FIRST_SEQ] = seq


@njit(**KERNEL, forceinline=True)
def mend(
    tape: Block, row: int, slots: Block, pages: Block, touched: NDArray[np.uint8], state: Block
) -> None:
    """A row that is no trade of the bar board: correct a bar, where it says so."""
    if tape[TAPE_ROLE, row] >= BROKEN and tape[_T_BOARD, row] == state[s.R_BOARD]:
        correct(tape, row, slots, pages, touched, state)


@njit(**KERNEL)
def correct(
    tape: Block, row: int, slots: Block, pages: Block, touched: NDArray[np.uint8], state: Block
) -> None:
    """A row BROKEN or AGAIN. Makes no page: a minute without one has no bar to correct."""
    role, ts = tape[TAPE_ROLE, row], tape[_T_TS, row]
    opened, found = ts - ts % MINUTE_NS, -1
    if role == BROKEN:
        state.view(np.float64)[s.L_AGAIN_PRICE] = np.nan
        state[s.L_AGAIN_SIGN] = 0
    if opened <= state[s.L_FORGOTTEN]:
        state[s.D_LATE_BREAKS] += role == BROKEN
        return
    for page in range(pages.shape[0]):
        if pages[page, s.P_START] == opened:
            found = page
    symbol = tape[_T_TICKER, row]
    at = found * state[s.R_SYMBOLS] + symbol
    if found < 0 or not in_use(slots, at):
        return
    late = opened <= state[s.L_CLOSED]
    if role == BROKEN:
        empty(slots, at, found, pages, state)
    else:
        small, volume, value = summed(tape, row, slots, at, state)
        if small:
            stain(slots, at, found, pages, state)
            put(tape, row, slots, at, (volume, value), state[s.L_AGAIN_PRICE : s.LEVELS], 0)
    if not late:
        touched[symbol] = 1


@njit(**KERNEL)
def empty(slots: Block, at: int, page: int, pages: Block, state: Block) -> None:
    """Take all trades out of a slot; its prices stay."""
    state[s.D_BREAKS] += 1
    stain(slots, at, page, pages, state)
    slots[at, s.S_TOLD] = (slots[at, s.S_TOLD] & ~s.MENDED) | s.UNTOLD
    pages[page, s.P_MENDED] = 1
    slots[at, s.S_TRADES] = slots[at, s.S_VOLUME] = slots[at, s.S_VALUE] = 0
    slots[at, s.S_DELTA] = slots[at, s.S_RULED] = 0
