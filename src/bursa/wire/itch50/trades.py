"""Printed trades: their rows on the tape, and what is done when one is broken. Kernel code.

The newest trades are kept in a ring (state.py: RING of them, 48 bytes each and 32 of the
indexes), from which a break (message B) takes back its own: the ticks get a second row with the
break's time and the volume below zero, the bars a row BROKEN and, once more, each trade of that
ticker and minute that stands. A break of a trade that the ring has lost is counted; where the ring
has lost any trade of that minute the bar is left as it is, and counted too.

A break finds its trade, and the others of that ticker and minute, by two indexes of the ring: it
costs what there is to tell, however many trades are held. What was printed since the last break
enters them with the next: each trade once at most, none on a day without breaks, and printing is
not slowed. A trade that leaves the ring is not taken out of them: its number is below those held,
and there its chain ends.
"""

import numpy as np
from numba import njit

from bursa.model.batch import AGAIN, BROKEN, TAPE_CHANNEL, TAPE_ROLE, TRADE, Block
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import TICKS
from bursa.wire.idx import rows
from bursa.wire.idx.rows import HERE, POSITION, ROW, SEQ, TAPE_COUNT, TS, received, rows_of
from bursa.wire.itch50.state import (
    AGAIN_LATER,
    BREAK_TICK,
    BREAK_TICKS,
    BREAKS,
    BREAKS_UNHELD,
    BREAKS_UNKNOWN,
    BROKEN_BIT,
    EVICTED_TS,
    HANDED,
    HANDED_BEFORE,
    INDEXED,
    NEED_TAPE,
    PRINTED,
    R_MATCH,
    R_MATCH_BEFORE,
    R_MATCH_NEWEST,
    R_MINUTE_BEFORE,
    R_MINUTE_NEWEST,
    R_PRICE,
    R_SEQ,
    R_SHARES,
    R_SYMBOL,
    R_TS,
    SIDE_MASK,
    SYMBOL,
    TAPE_NEEDED,
    TRADED,
)
from bursa.wire.loads import INLINE, KERNEL, bits

SCALE = 10_000.0
# Rows of tape that the other messages of one run may need (walk.py: messages times rows).
TAPE_SLACK = 2 * 1024 + 8

_T_TICKER, _T_TS, _T_TRADE_NO, _T_BOARD, _T_PRICE, _T_VOLUME = rows_of(
    TICKS, "ticker", "ts", "trade_no", "board", "price", "volume"
)
_T_AGGRESSOR, _T_SEQ, _T_RECV, _T_POSITION = rows_of(
    TICKS, "aggressor", "seq", "ts_recv", "position"
)


@njit(**INLINE, error_model="numpy")
def printed(
    state: Block,
    tape: Block,
    ring: Block,
    book: Block,
    price: int,
    shares: int,
    aggressor: int,
    match: int,
) -> None:
    """A trade of a book, onto the tape and into the ring."""
    n, symbol = np.uint64(state[HERE, TAPE_COUNT]), book[SYMBOL] - 1
    tape[_T_TICKER, n] = symbol
    tape[_T_TS, n] = state[HERE, TS]
    tape[_T_TRADE_NO, n] = match
    tape[_T_BOARD, n] = 0
    tape[_T_PRICE, n] = bits(price / SCALE)
    tape[_T_VOLUME, n] = bits(np.float64(shares))
    tape[_T_AGGRESSOR, n] = aggressor
    tape[_T_SEQ, n] = state[HERE, SEQ]
    tape[_T_RECV, n] = received(state)
    tape[_T_POSITION, n] = state[HERE, POSITION]
    tape[TAPE_ROLE, n] = TRADE
    tape[TAPE_CHANNEL, n] = state[HERE, ROW] - 1
    state[HERE, TAPE_COUNT] += 1
    count = state[HERE, PRINTED]
    slot = count & (ring.shape[1] - 1)
    if count >= ring.shape[1]:
        state[HERE, EVICTED_TS] = max(state[HERE, EVICTED_TS], ring[R_TS, slot])
    ring[R_MATCH, slot] = match
    ring[R_TS, slot] = state[HERE, TS]
    ring[R_SEQ, slot] = state[HERE, SEQ]
    ring[R_SYMBOL, slot] = symbol << 3 | (aggressor + 1)
    ring[R_PRICE, slot] = price
    ring[R_SHARES, slot] = shares
    state[HERE, PRINTED] = count + 1
    book[TRADED] = count + 1


@njit(**INLINE)
def _class(key: int, ring: Block) -> int:
    """Where the chain of a key begins."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return int(np.int64(mixed >> np.uint64(32))) & (ring.shape[1] - 1)


@njit(**INLINE)
def _minute_class(symbol: int, minute: int, ring: Block) -> int:
    return _class(minute << 24 ^ symbol, ring)


@njit(**INLINE)
def _chain(ring: Block, count: int, slot: int) -> None:
    """Printed trade `count`, which stands at a slot, into the indexes."""
    first = _class(ring[R_MATCH, slot], ring)
    ring[R_MATCH_BEFORE, slot] = ring[R_MATCH_NEWEST, first]
    ring[R_MATCH_NEWEST, first] = count + 1
    first = _minute_class(ring[R_SYMBOL, slot] >> 3, ring[R_TS, slot] // MINUTE_NS, ring)
    ring[R_MINUTE_BEFORE, slot] = ring[R_MINUTE_NEWEST, first]
    ring[R_MINUTE_NEWEST, first] = count + 1


@njit(**KERNEL)
def forget_trades(state: Block, ring: Block) -> None:
    """No trade is held: a session begins."""
    if state[HERE, INDEXED] > 0:
        for at in range(ring.shape[1]):
            ring[R_MATCH_NEWEST, at] = ring[R_MINUTE_NEWEST, at] = 0
    state[HERE, PRINTED] = state[HERE, INDEXED] = 0
    state[HERE, HANDED] = state[HERE, HANDED_BEFORE] = 0
    state[HERE, EVICTED_TS] = -1


@njit(**KERNEL)
def _catch_up(state: Block, ring: Block) -> None:
    """Take what was printed since the last break into the indexes, as far as it is held."""
    for count in range(max(state[HERE, INDEXED], _oldest(state, ring)), state[HERE, PRINTED]):
        _chain(ring, count, count & (ring.shape[1] - 1))
    state[HERE, INDEXED] = state[HERE, PRINTED]


@njit(**INLINE)
def _oldest(state: Block, ring: Block) -> int:
    """The number of the oldest trade held."""
    return max(state[HERE, PRINTED] - ring.shape[1], 0)


@njit(**KERNEL)
def broken(state: Block, tape: Block, ring: Block, match: int) -> int:
    """Take a trade back; 0, or a NEED where the tape has no room for that."""
    _catch_up(state, ring)
    found = _held(state, ring, match)
    if found < 0:
        state[HERE, BREAKS_UNKNOWN] += 1
        return 0
    minute, symbol = ring[R_TS, found] // MINUTE_NS, ring[R_SYMBOL, found] >> 3
    whole = state[HERE, EVICTED_TS] < minute * MINUTE_NS
    standing = _standing(state, ring, symbol, minute) if whole else 0
    needed = 2 + standing
    if state[HERE, TAPE_COUNT] + needed + TAPE_SLACK > tape.shape[1]:
        state[HERE, TAPE_NEEDED] = needed + TAPE_SLACK
        return AGAIN_LATER + NEED_TAPE
    state[HERE, BREAKS] += 1
    ring[R_SYMBOL, found] |= BROKEN_BIT
    n = _row(state, tape, ring, found, BREAK_TICK, state[HERE, TAPE_COUNT])
    tape[_T_TS, n] = state[HERE, TS]
    tape[_T_SEQ, n] = state[HERE, SEQ]
    tape[_T_VOLUME, n] = bits(-np.float64(ring[R_SHARES, found]))
    state[HERE, BREAK_TICKS] += 1
    if not whole:
        state[HERE, BREAKS_UNHELD] += 1
        return 0
    n = _row(state, tape, ring, found, BROKEN, n + 1)
    n += standing - 1  # all but the broken one; the chain has the newest first
    before = ring[R_MINUTE_NEWEST, _minute_class(symbol, minute, ring)]
    while before > _oldest(state, ring):
        slot = (before - 1) & (ring.shape[1] - 1)
        if _stands(ring, slot, symbol, minute) != 0:
            n = _row(state, tape, ring, slot, AGAIN, n) - 1
        before = ring[R_MINUTE_BEFORE, slot]
    return 0


@njit(**KERNEL)
def _standing(state: Block, ring: Block, symbol: int, minute: int) -> int:
    """How many trades of this symbol and minute are held and not broken."""
    before, found = ring[R_MINUTE_NEWEST, _minute_class(symbol, minute, ring)], 0
    while before > _oldest(state, ring):
        slot = (before - 1) & (ring.shape[1] - 1)
        found += _stands(ring, slot, symbol, minute)
        before = ring[R_MINUTE_BEFORE, slot]
    return found


@njit(**INLINE)
def _stands(ring: Block, slot: int, symbol: int, minute: int) -> int:
    """1 if the trade is of this symbol and minute, and not broken."""
    which = ring[R_SYMBOL, slot]
    if which >> 3 != symbol or which & BROKEN_BIT != 0:
        return 0
    return 1 if ring[R_TS, slot] // MINUTE_NS == minute else 0


@njit(**KERNEL)
def _held(state: Block, ring: Block, match: int) -> int:
    """Where the newest trade of this number stands that is not broken; -1 if none is held."""
    before = ring[R_MATCH_NEWEST, _class(match, ring)]
    while before > _oldest(state, ring):
        slot = (before - 1) & (ring.shape[1] - 1)
        if ring[R_MATCH, slot] == match and ring[R_SYMBOL, slot] & BROKEN_BIT == 0:
            return int(slot)
        before = ring[R_MATCH_BEFORE, slot]
    return -1


@njit(**KERNEL, error_model="numpy")
def _row(state: Block, tape: Block, ring: Block, slot: int, role: int, n: int) -> int:
    """A held trade on the tape once more, at place n, caused by the record we are in; returns n."""
    tape[_T_TICKER, n] = ring[R_SYMBOL, slot] >> 3
    tape[_T_TS, n] = ring[R_TS, slot]
    tape[_T_TRADE_NO, n] = ring[R_MATCH, slot]
    tape[_T_BOARD, n] = 0
    tape[_T_PRICE, n] = bits(ring[R_PRICE, slot] / SCALE)
    tape[_T_VOLUME, n] = bits(np.float64(ring[R_SHARES, slot]))
    tape[_T_AGGRESSOR, n] = (ring[R_SYMBOL, slot] & SIDE_MASK) - 1
    tape[_T_SEQ, n] = ring[R_SEQ, slot]
    tape[_T_RECV, n] = received(state)
    tape[_T_POSITION, n] = state[HERE, POSITION]
    tape[TAPE_ROLE, n] = role
    tape[TAPE_CHANNEL, n] = state[HERE, ROW] - 1
    state[HERE, TAPE_COUNT] += 1
    state[HERE, rows.ROLES] += 1
    return n
