"""What the books of ITCH 5.0 hold near their best prices, handed out where minutes close. Kernel
code.

The decoder is a whole chunk ahead of the bars, and a book moves with most messages. So the walk
stops before the first message at or past a minute's end, and behind a record that ends a session or
a file, or that moves the watermark past a minute's end without a message. There the sums of the
best levels are written down for the books that were traded since the hand-out before the last one:
all that can have a bar in the minute, late trades aside.
"""

import numpy as np
from numba import njit

from bursa.model.batch import Block
from bursa.wire.idx.rows import HERE, POSITION, ROW
from bursa.wire.itch50.state import (
    BIDS,
    COUNT,
    FLAGS,
    HAND_AT,
    HANDED,
    HANDED_BEFORE,
    L_SHARES,
    LOCATE_TOP,
    PRINTED,
    SHORTENED,
    SIDE_COLUMNS,
    STRETCH,
    SUM_LEVELS,
    SYMBOL,
    TRADED,
    UNSURE,
)
from bursa.wire.itch50.stocks import NAN
from bursa.wire.loads import KERNEL, bits
from bursa.wire.transport.sequence import WATERMARK


@njit(**KERNEL)
def hand_out(state: Block, books: Block, levels: Block, sums: Block) -> int:
    """Write sums, int64 (5, locates), as wire/decoded.py has them; how many is returned. Of a book
    of which messages are missing, or that was cut short, they are NaN. When the next hand-out is
    due is not set here."""
    row, since, n = state[HERE, ROW], state[HERE, HANDED_BEFORE], 0
    for locate in range(state[HERE, LOCATE_TOP] + 1):
        if books[locate, TRADED] <= since:
            continue
        sums[0, n] = books[locate, SYMBOL] - 1
        whole = state[row, UNSURE] == 0 and books[locate, FLAGS] & SHORTENED == 0
        for side in range(2):
            sums[1 + side, n] = bits(_best(books, levels, locate, side)) if whole else NAN
        sums[3, n] = state[row, HAND_AT] - 1 if state[row, HAND_AT] > 0 else state[row, WATERMARK]
        sums[4, n] = state[HERE, POSITION]
        n += 1
    if state[row, HAND_AT] > 0:  # a minute's end, not an end that came between
        state[HERE, HANDED_BEFORE] = state[HERE, HANDED]
        state[HERE, HANDED] = state[HERE, PRINTED]
    return n


@njit(**KERNEL)
def _best(books: Block, levels: Block, locate: int, side: int) -> float:
    """The shares of the best levels of a side."""
    base, total = BIDS + SIDE_COLUMNS * side, 0
    end = books[locate, base + STRETCH] + books[locate, base + COUNT]
    for level in range(end - min(books[locate, base + COUNT], SUM_LEVELS), end):
        total += levels[level, L_SHARES]
    return np.float64(total)
