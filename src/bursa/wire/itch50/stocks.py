"""Stock locate -> ticker: which stock each of a session's short numbers stands for. Kernel code.

A locate is bound by the first message that names its stock: R as a rule, at the day's start, else
any other, so that a feed that is joined late has its tickers. It stays with that stock; R alone may
give it to another, while its book is empty. Ids of tickers are those of `Words` (wire/symbols.py).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import Block
from bursa.wire.idx.rows import HERE, NEW_SYMBOL, NOTE_SYMBOL, SYMBOLS_COUNT, note
from bursa.wire.itch50.state import (
    ASKS,
    BAD_LOCATE,
    BAD_STOCK,
    BIDS,
    COUNT,
    FLAGS,
    LOCATE_TOP,
    STOCK,
    SYMBOL,
    TOLD,
    TRADING,
)
from bursa.wire.loads import KERNEL, be64, byte
from bursa.wire.symbols import slot_of

NAN = int(np.float64(np.nan).view(np.int64))


@njit(**KERNEL)
def is_stock(frames: NDArray[np.uint8], at: int) -> bool:
    """Whether eight bytes read as a stock: a letter or digit, then these and Nasdaq's suffix marks
    (. - + = # ^ * $ ! @ % ~), then blanks."""
    size = 8
    while size > 0 and frames[at + size - 1] == 32:
        size -= 1
    for i in range(size):
        code = byte(frames, at + i)
        plain = 65 <= code <= 90 or 48 <= code <= 57
        mark = code == 33 or 35 <= code <= 37 or 42 <= code <= 43 or 45 <= code <= 46
        mark = mark or code == 61 or code == 64 or code == 94 or code == 126
        if not plain and (i == 0 or not mark):
            return False
    return size > 0


@njit(**KERNEL)
def bind(
    frames: NDArray[np.uint8],
    locate: int,
    at: int,
    state: Block,
    symbols: Block,
    notes: Block,
    books: Block,
    anew: bool,
) -> int:
    """See to it that the locate stands for the stock at `at`; 0 or why not. `anew`: a locate whose
    book is empty may be given to another stock."""
    stock = be64(frames, at)
    if books[locate, SYMBOL] != 0:
        if books[locate, STOCK] == stock:
            return 0
        held = books[locate, BIDS + COUNT] + books[locate, ASKS + COUNT]
        if not anew or held > 0:
            return BAD_LOCATE
    if not is_stock(frames, at):
        return BAD_STOCK
    slot = slot_of(symbols, stock, stock)
    known = symbols[slot, 2]
    if known < 0:
        known = state[HERE, SYMBOLS_COUNT]
        symbols[slot, 0] = symbols[slot, 1] = stock
        symbols[slot, 2] = known
        state[HERE, SYMBOLS_COUNT] = known + 1
        notes[NOTE_SYMBOL, note(state, notes, NEW_SYMBOL, at, 8)] = known
    state[HERE, LOCATE_TOP] = max(state[HERE, LOCATE_TOP], locate)
    books[locate, SYMBOL] = known + 1
    books[locate, STOCK] = stock
    books[locate, TRADING] = books[locate, FLAGS] = 0
    for i in range(TOLD, TOLD + 4):
        books[locate, i] = NAN
    return 0
