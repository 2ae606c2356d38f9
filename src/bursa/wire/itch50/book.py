"""Order books from order flow: reference -> order, and the price levels of each side. Kernel code.

Orders stand in one open-addressing table (linear probing; a deletion closes the gap behind it by
moving later ones up, so that the table never wears out). The levels of a side are a sorted stretch
of one pool with the best price at its end: what happens, happens near the best, so the search from
the end takes a step or two and little is moved; far from it the search halves. Best bid and offer
are the last entries.

Nothing is allocated here. LIVE_MAX and `level_room` say beforehand whether an order may be put
in; if not, the kernel returns and Python makes the arrays larger (decoder.py).
"""

import numpy as np
from numba import njit

from bursa.model.batch import Block
from bursa.wire.idx.rows import HERE
from bursa.wire.itch50.state import (
    BIDS,
    BOOK_COLUMNS,
    COUNT,
    L_KEY,
    L_SHARES,
    LIVE,
    LIVE_MAX,
    O_BOOK,
    O_REF,
    O_REST,
    POOL_NEXT,
    ROOM,
    ROOM_FIRST,
    SHIFT,
    SIDE_COLUMNS,
    STRETCH,
    SYMBOL,
)
from bursa.wire.loads import INLINE, KERNEL, opaque

_HALF = 2**31
# Steps of the search from the best price on before it halves what is left.
_STEPS = 12
# Levels that are moved one by one; more go by the wide loop.
_FEW = 16
_LOW = 0xFFFFFFFF


@njit(**INLINE)
def home_of(ref: int, shift: int) -> int:
    """The slot where an order belongs."""
    mixed = np.uint64(ref) * np.uint64(0x9E3779B97F4A7C15)
    return int(np.int64(mixed >> np.uint64(shift)))


@njit(**INLINE)
def find(orders: Block, ref: int, shift: int) -> int:
    """The slot of a live order; -1 - the free slot where it would go."""
    mask = orders.shape[0] - 1
    slot = home_of(ref, shift)
    while orders[slot, O_REST] != 0:
        if orders[slot, O_REF] == ref:
            return slot
        slot = (slot + 1) & mask
    return -1 - slot


@njit(**INLINE)
def put(orders: Block, state: Block, slot: int, ref: int, rest: int, book: int) -> None:
    """A new order into a free slot that `find` gave."""
    orders[slot, O_REF] = ref
    orders[slot, O_REST] = rest
    orders[slot, O_BOOK] = book
    state[HERE, LIVE] += 1


@njit(**INLINE)
def drop(orders: Block, state: Block, slot: int, shift: int) -> None:
    """Delete the order in a slot; those behind it that belong before move up."""
    mask = orders.shape[0] - 1
    hole, at = slot, (slot + 1) & mask
    while orders[at, O_REST] != 0:
        home = home_of(orders[at, O_REF], shift)
        if ((at - home) & mask) >= ((at - hole) & mask):
            orders[hole, O_REF] = orders[at, O_REF]
            orders[hole, O_REST] = orders[at, O_REST]
            orders[hole, O_BOOK] = orders[at, O_BOOK]
            hole = at
        at = (at + 1) & mask
    orders[hole, O_REST] = 0
    state[HERE, LIVE] -= 1


@njit(**INLINE)
def key_of(price: int, side: int) -> int:
    """The greater, the better; fits 32 bits with a sign."""
    return (price - _HALF) ^ -side


@njit(**INLINE)
def price_of(key: int, side: int) -> int:
    """The price of a key."""
    return (key ^ -side) + _HALF


@njit(**INLINE)
def find_level(levels: Block, offset: int, count: int, key: int) -> int:
    """The last of `count` levels from `offset` on whose key is `key` or below; offset - 1 if none
    is."""
    at = offset + count - 1
    last = max(offset, at - _STEPS)
    while at >= last and (levels[at, L_KEY] >> 32) > key:
        at -= 1
    if at >= last or last == offset:
        return at
    low, high = offset, at + 1  # the first above lies in [low, high]
    while low < high:
        middle = (low + high) >> 1
        if (levels[middle, L_KEY] >> 32) > key:
            high = middle
        else:
            low = middle + 1
    return low - 1


@njit(**KERNEL)
def level_room(books: Block, levels: Block, state: Block, locate: int, side: int) -> bool:
    """See to it that the side can take one more level; False where the pool is used up."""
    base = BIDS + SIDE_COLUMNS * side
    count, room = books[locate, base + COUNT], books[locate, base + ROOM]
    if count < room:
        return True
    wider = max(2 * room, ROOM_FIRST)
    start = state[HERE, POOL_NEXT]
    if start + wider > levels.shape[0]:
        return False
    offset = books[locate, base + STRETCH]
    for i in range(count):
        levels[start + i, L_KEY] = levels[offset + i, L_KEY]
        levels[start + i, L_SHARES] = levels[offset + i, L_SHARES]
    books[locate, base + STRETCH] = start
    books[locate, base + ROOM] = wider
    state[HERE, POOL_NEXT] = start + wider
    return True


@njit(**KERNEL)
def _up(levels: Block, at: int, top: int) -> None:
    """Levels `at` to `top` one place on."""
    for i in range(top, at - 1, -1):
        levels[i + 1, L_KEY] = levels[i, L_KEY]
        levels[i + 1, L_SHARES] = levels[i, L_SHARES]


@njit(**KERNEL)
def _down(levels: Block, at: int, top: int) -> None:
    """Levels behind `at` to `top` one place back."""
    for i in range(at, top):
        levels[i, L_KEY] = levels[i + 1, L_KEY]
        levels[i, L_SHARES] = levels[i + 1, L_SHARES]


@njit(**INLINE)
def add(books: Block, levels: Block, locate: int, side: int, price: int, shares: int) -> bool:
    """One more order at a price; there must be room. Returns whether that is the best price."""
    base = BIDS + SIDE_COLUMNS * side
    offset, count = books[locate, base + STRETCH], books[locate, base + COUNT]
    key = key_of(price, side)
    at = find_level(levels, offset, count, key)
    top = offset + count - 1
    if at >= offset and (levels[at, L_KEY] >> 32) == key:
        levels[at, L_KEY] += 1
        levels[at, L_SHARES] += shares
        return at == top
    at += 1
    if top - at >= _FEW:
        _up(levels, at, top)
    else:
        i = top
        while i >= at:
            levels[i + 1, L_KEY] = levels[i, L_KEY]
            levels[i + 1, L_SHARES] = levels[i, L_SHARES]
            i = opaque(i - 1)  # a step or two as a rule: not worth what a wide loop costs to enter
    levels[at, L_KEY] = (key << 32) | 1
    levels[at, L_SHARES] = shares
    books[locate, base + COUNT] = count + 1
    return at > top


@njit(**INLINE)
def take(
    books: Block, levels: Block, locate: int, side: int, price: int, shares: int, gone: int
) -> bool:
    """Shares less at a price, of an order that is there; `gone` 1 where the order leaves. Returns
    whether that was the best price."""
    base = BIDS + SIDE_COLUMNS * side
    offset, count = books[locate, base + STRETCH], books[locate, base + COUNT]
    at = find_level(levels, offset, count, key_of(price, side))
    top = offset + count - 1
    left = levels[at, L_KEY] - gone
    levels[at, L_KEY] = left
    levels[at, L_SHARES] -= shares
    if left & _LOW == 0:
        if top - at >= _FEW:
            _down(levels, at, top)
        else:
            i = at
            while i < top:
                levels[i, L_KEY] = levels[i + 1, L_KEY]
                levels[i, L_SHARES] = levels[i + 1, L_SHARES]
                i = opaque(i + 1)
        books[locate, base + COUNT] = count - 1
    return at == top


@njit(**KERNEL)
def clear(orders: Block, books: Block, state: Block) -> None:
    """No orders, no levels, no stocks: a session begins."""
    if state[HERE, LIVE] > 0:
        for slot in range(orders.shape[0]):
            orders[slot, O_REST] = 0
    state[HERE, LIVE] = state[HERE, POOL_NEXT] = 0
    for locate in range(books.shape[0]):
        if books[locate, SYMBOL] != 0:
            for at in range(BOOK_COLUMNS):
                books[locate, at] = 0


@njit(**KERNEL)
def move_orders(old: Block, orders: Block, shift: int) -> None:
    """All live orders into a larger, empty table."""
    for at in range(old.shape[0]):
        if old[at, O_REST] != 0:
            slot = -1 - find(orders, old[at, O_REF], shift)
            for column in range(3):
                orders[slot, column] = old[at, column]


@njit(**KERNEL)
def move_levels(books: Block, old: Block, levels: Block, state: Block) -> int:
    """All levels into another pool that surely takes them, each side with half as much room again
    and no waste between; returns the first row free behind them."""
    free = 0
    for locate in range(books.shape[0]):
        for side in range(2):
            base = BIDS + SIDE_COLUMNS * side
            count, offset = books[locate, base + COUNT], books[locate, base + STRETCH]
            room = _room_for(count) if books[locate, SYMBOL] != 0 else 0
            for i in range(count):
                levels[free + i, L_KEY] = old[offset + i, L_KEY]
                levels[free + i, L_SHARES] = old[offset + i, L_SHARES]
            books[locate, base + STRETCH] = free
            books[locate, base + ROOM] = room
            free += room
    state[HERE, POOL_NEXT] = free
    return free


@njit(**KERNEL)
def _room_for(count: int) -> int:
    return 0 if count == 0 else max(ROOM_FIRST, count + (count >> 1))


@njit(**KERNEL)
def levels_held(books: Block) -> int:
    """Rows that `move_levels` needs."""
    total = 0
    for locate in range(books.shape[0]):
        for side in range(2):
            total += _room_for(books[locate, BIDS + SIDE_COLUMNS * side + COUNT])
    return total


@njit(**KERNEL)
def pack(orders: Block, packed: Block) -> None:
    """The live orders, one behind the other, into int64 (live, 3)."""
    n = 0
    for at in range(orders.shape[0]):
        if orders[at, O_REST] != 0:
            for column in range(3):
                packed[n, column] = orders[at, column]
            n += 1


@njit(**KERNEL)
def unpack(
    packed: Block, start: int, orders: Block, books: Block, levels: Block, state: Block
) -> int:
    """Put packed orders back, from `start` on; returns where the pool or the table was full, or
    their number."""
    for n in range(start, packed.shape[0]):
        locate, side = packed[n, O_BOOK] >> 1, packed[n, O_BOOK] & 1
        full = state[HERE, LIVE] >= state[HERE, LIVE_MAX]
        if full or not level_room(books, levels, state, locate, side):
            return n
        rest, shift = packed[n, O_REST], state[HERE, SHIFT]
        slot = -1 - find(orders, packed[n, O_REF], shift)
        put(orders, state, slot, packed[n, O_REF], rest, packed[n, O_BOOK])
        add(books, levels, locate, side, (rest >> 32) & _LOW, rest & _LOW)
    return packed.shape[0]
