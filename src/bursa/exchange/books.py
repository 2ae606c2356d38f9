"""Kernels for the order books: ten levels a side, kept as the packets that tell them.

A side's best price is the quote's (matching.py moves it); what is here is what stands behind it:
volumes and numbers of orders, from a stream of chance of its own, so that trades are the same
whether books are told or not. Level k of the bid is k rungs below the best, of the ask above it; a
side ends at the day's band.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.exchange import ladder
from bursa.exchange import market as m
from bursa.exchange.chance import draw
from bursa.exchange.encode import (
    AT_ASK,
    AT_BID,
    BOOK_BYTES,
    IMAGE_BYTES,
    KERNEL,
    LEVEL_BYTES,
    LEVELS,
    LEVELS_COUNT,
    LEVELS_MAX,
    LOT,
    PRICE_UNITS,
    copy,
    get64,
    put32,
    put64,
)

Block = NDArray[np.int64]
Bytes = NDArray[np.uint8]

BUY, SELL = 0, 1  # sides of a book; also who crossed the spread: a buyer hits side SELL
_VOLUME, _ORDERS = 8, 16  # within a level


@njit(**KERNEL)
def side_at(i: int, side: int) -> int:
    """Where the packet of an instrument's side begins in the images."""
    return i * IMAGE_BYTES + (AT_BID if side == BUY else AT_ASK)


@njit(**KERNEL)
def levels_of(shares: Block, i: int, side: int) -> int:
    """Levels that a side has now: all, or as many as fit inside the band."""
    if side == BUY:
        room = shares[i, m.BID] - shares[i, m.LOWEST] + 1
    else:
        room = shares[i, m.HIGHEST] - shares[i, m.ASK] + 1
    return min(max(room, 0), LEVELS_MAX)


@njit(**KERNEL)
def _fresh(shares: Block, images: Bytes, clock: Block, i: int, side: int, level: int) -> None:
    """Orders for a level that had none."""
    bits = draw(clock, m.CHANCE_BOOK)
    at = side_at(i, side) + LEVELS + level * LEVEL_BYTES
    rung = shares[i, m.BID] - level if side == BUY else shares[i, m.ASK] + level
    lots = shares[i, m.DEPTH] // LOT * (40 + (bits & 0x7F)) * (8 + level) // 832
    orders = 1 + lots * LOT // shares[i, m.CLIP] * (3 + ((bits >> 8) & 3)) // 4
    lots = max(lots, orders)
    put64(images, at, ladder.price_at(rung) * PRICE_UNITS)
    put64(images, at + _VOLUME, lots * LOT)
    put32(images, at + _ORDERS, orders)


@njit(**KERNEL)
def reach(shares: Block, images: Bytes, clock: Block, i: int, side: int, farther: int) -> None:
    """The best price of a side has moved by `farther` rungs away from the middle (below 0:
    towards it): levels that stay keep their orders, the others get new ones."""
    at = side_at(i, side)
    had, have = int(images[at + LEVELS_COUNT]), levels_of(shares, i, side)
    first = at + LEVELS
    if farther >= 0:
        kept = max(had - farther, 0)
        if kept and farther:
            copy(images, first, images, first + farther * LEVEL_BYTES, kept * LEVEL_BYTES)
        new, old = min(kept, have), have
    else:
        nearer = min(-farther, LEVELS_MAX)
        kept = min(had, LEVELS_MAX - nearer)
        if kept:
            copy(images, first + nearer * LEVEL_BYTES, images, first, kept * LEVEL_BYTES)
        for level in range(min(nearer, have)):
            _fresh(shares, images, clock, i, side, level)
        new, old = min(nearer + kept, have), have
    for level in range(new, old):
        _fresh(shares, images, clock, i, side, level)
    size = BOOK_BYTES - 2 + have * LEVEL_BYTES
    images[at] = size >> 8
    images[at + 1] = size & 0xFF
    images[at + LEVELS_COUNT] = have


@njit(**KERNEL)
def take(
    shares: Block, images: Bytes, clock: Block, i: int, side: int, volume: int, fills: int
) -> None:
    """Trades took `volume` from the best level of a side, without clearing it."""
    at = side_at(i, side)
    if images[at + LEVELS_COUNT] == 0:
        return
    level = at + LEVELS
    left = get64(images, level + _VOLUME) - volume
    if left < LOT:
        _fresh(shares, images, clock, i, side, 0)
        return
    put64(images, level + _VOLUME, left)
    orders = get64(images, level + _ORDERS - 4) & 0xFFFFFFFF
    put32(images, level + _ORDERS, max(1, min(orders - fills, left // LOT)))


@njit(**KERNEL)
def _change(shares: Block, images: Bytes, i: int, side: int, level: int, bits: int) -> None:
    """One order comes to a level, or leaves it."""
    at = side_at(i, side) + LEVELS + level * LEVEL_BYTES
    volume = get64(images, at + _VOLUME)
    orders = get64(images, at + _ORDERS - 4) & 0xFFFFFFFF
    lots = 1 + (shares[i, m.CLIP] // LOT * (bits & 0xFF) >> 7)
    full = shares[i, m.DEPTH] * (8 + level) >> 3
    comes = ((bits >> 8) & 7) < (5 if volume < full else 3)
    if comes or orders <= 1:
        volume += lots * LOT
        orders += 1
    else:
        orders -= 1
        volume = max(volume - lots * LOT, orders * LOT)
    put64(images, at + _VOLUME, volume)
    put32(images, at + _ORDERS, orders)


@njit(**KERNEL)
def stir(shares: Block, images: Bytes, i: int, bits: int) -> int:
    """Change a book somewhere, mostly near the best price; returns the side that changed."""
    side = (bits >> 16) & 1
    count = int(images[side_at(i, side) + LEVELS_COUNT])
    if count == 0:
        side = 1 - side
        count = int(images[side_at(i, side) + LEVELS_COUNT])
    near = min((bits >> 17) & 0xF, (bits >> 21) & 0xF)  # the lower of two
    level = near * count >> 4
    _change(shares, images, i, side, level, bits >> 32)
    if level == 0:
        shares[i, m.CHANGED] = 1
    return side


@njit(**KERNEL)
def best_volume(shares: Block, images: Bytes, books: int, i: int, side: int) -> int:
    """Shares at the best price of a side; without books a guess that goes with the trades."""
    if levels_of(shares, i, side) == 0:
        return 0
    if books:
        return get64(images, side_at(i, side) + LEVELS + _VOLUME)
    lots = shares[i, m.DEPTH] // LOT
    turn = (shares[i, m.TRADES] * 2_654_435_761 + side * 97 >> 7) & 0x7F
    return max(1, lots * (40 + turn) // 104) * LOT
