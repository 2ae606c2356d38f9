"""What the messages ahead will need is fetched from memory while the one at hand is decoded.

Kernel code. Orders and books lie all over tables larger than any cache; without this the walk
(walk.py) would wait for memory two or three times a message.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import Block
from bursa.model.prefetch import prefetch
from bursa.wire.itch50.book import home_of
from bursa.wire.itch50.layout import AT
from bursa.wire.itch50.state import (
    ASKS,
    BIDS,
    BOOK_COLUMNS,
    COUNT,
    LINE,
    ORDER_COLUMNS,
    STRETCH,
)
from bursa.wire.loads import INLINE, be16, be64

FAR, NEAR = 24, 12
"""So many messages ahead the order's slot and the book's row are fetched; and then, by that row,
the best levels."""
# The shortest block that may need either, and all that is read of it here.
_FETCHED = 2 + 27

_U = ord("U")
_REF, _NEW_REF = AT["A", "order_reference"], AT["U", "new_reference"]


@njit(**INLINE)
def fetch_far(
    frames: NDArray[np.uint8],
    at: int,
    end: int,
    soup: int,
    shift: int,
    orders: Block,
    books: Block,
) -> int:
    """Fetch the order's slot and the book's row that the message at `at` will need; returns where
    the next one is, `end` if none."""
    if at + _FETCHED + soup > end:
        return end
    body = at + 2 + soup
    row = be16(frames, body + 1) * BOOK_COLUMNS
    prefetch(books, row)
    prefetch(books, row + LINE)
    slot = home_of(be64(frames, body + _REF), shift) * ORDER_COLUMNS
    prefetch(orders, slot)
    prefetch(orders, slot + ORDER_COLUMNS)  # a deletion looks at the slot behind
    if frames[body] == _U:
        prefetch(orders, home_of(be64(frames, body + _NEW_REF), shift) * ORDER_COLUMNS)
    return min(at + 2 + be16(frames, at), end)


@njit(**INLINE)
def fetch_near(
    frames: NDArray[np.uint8], at: int, end: int, soup: int, books: Block, levels: Block
) -> int:
    """Fetch the best levels of the book that the message at `at` is of, as `fetch_far`."""
    if at + _FETCHED + soup > end:
        return end
    locate = be16(frames, at + 3 + soup)
    bids = 2 * (books[locate, BIDS + STRETCH] + books[locate, BIDS + COUNT])
    asks = 2 * (books[locate, ASKS + STRETCH] + books[locate, ASKS + COUNT])
    prefetch(levels, bids - 2)
    prefetch(levels, asks - 2)
    prefetch(levels, bids - 2 - LINE)
    prefetch(levels, asks - 2 - LINE)
    return min(at + 2 + be16(frames, at), end)
