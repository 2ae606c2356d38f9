"""One ITCH message that is whole and due -> what it does to the book, and its row. Kernel code.

Each function answers 0 (taken), a reason code (refused, nothing changed), or AGAIN_LATER + a NEED
(nothing changed, Python makes room and the message comes again). walk.py calls them.

A message that comes late, into a gap, takes from the book but puts nothing into it: what followed
it may have come and found nothing. Its trades count.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import Block
from bursa.model.schema import QUOTES
from bursa.wire.idx.rows import (
    BAD_NUMBER,
    BAD_PRICE,
    HERE,
    NEW_CONTRACT,
    NOTE_SYMBOL,
    NOTE_TS,
    POSITION,
    SEQ,
    TS,
    note,
    received,
    rows_of,
)
from bursa.wire.itch50.book import add, drop, find, level_room, price_of, put, take
from bursa.wire.itch50.layout import AT
from bursa.wire.itch50.state import (
    AGAIN_LATER,
    BAD_EVENT,
    BAD_LOCATE,
    BAD_ORDER,
    BAD_PRINTABLE,
    BAD_SHARES,
    BAD_SIDE,
    BIDS,
    CAPPED,
    COUNT,
    CROSSES_EMPTY,
    FLAGS,
    L_KEY,
    L_SHARES,
    LATE_NOW,
    LIVE,
    LIVE_MAX,
    NEED_LEVELS,
    NEED_ORDERS,
    O_BOOK,
    O_REST,
    OVER_CAP,
    P_SIDELESS,
    QUOTE_COUNT,
    ROOM,
    SHIFT,
    SHORTENED,
    SIDE_COLUMNS,
    STOCK,
    STRETCH,
    SYMBOL,
    TOLD,
    TRADING,
    TYPE_AT,
    UNKNOWN_ORDERS,
    UNPRINTED,
)
from bursa.wire.itch50.stocks import NAN, bind
from bursa.wire.itch50.trades import SCALE, broken, printed
from bursa.wire.loads import INLINE, KERNEL, be16, be64, bits, byte

_LOW = 0xFFFFFFFF
_BUY, _SELL, _YES, _NO = ord("B"), ord("S"), ord("Y"), ord("N")

_Q_TICKER, _Q_TS, _Q_SEQ, _Q_BID, _Q_BID_VOLUME, _Q_ASK, _Q_ASK_VOLUME, _Q_RECV, _Q_POSITION = (
    rows_of(
        QUOTES,
        "ticker",
        "ts",
        "seq",
        "bid",
        "bid_volume",
        "ask",
        "ask_volume",
        "ts_recv",
        "position",
    )
)

_LOCATE = 1
_REF = AT["A", "order_reference"]
_ADD_SIDE, _ADD_SHARES = AT["A", "side"], AT["A", "shares"]
_ADD_STOCK, _ADD_PRICE = AT["A", "stock"], AT["A", "price"]
_SHARES, _MATCH = AT["E", "shares"], AT["E", "match_number"]
_PRINTABLE, _C_PRICE = AT["C", "printable"], AT["C", "price"]
_NEW_REF, _U_SHARES, _U_PRICE = AT["U", "new_reference"], AT["U", "shares"], AT["U", "price"]
_P_MATCH = AT["P", "match_number"]
_Q_SHARES, _Q_STOCK, _Q_PRICE = AT["Q", "shares"], AT["Q", "stock"], AT["Q", "price"]
_Q_MATCH, _B_MATCH = AT["Q", "match_number"], AT["B", "match_number"]
_TRADING_STATE, _EVENT = AT["H", "trading_state"], AT["S", "event"]
_STOCK, _L_STOCK, _I_STOCK = AT["R", "stock"], AT["L", "stock"], AT["I", "stock"]

_S, _R, _H, _P, _Q, _B, _L, _I, _V, _W = (ord(code) for code in "SRHPQBLIVW")
_A, _F, _C, _X, _D, _U = (ord(code) for code in "AFCXDU")


@njit(**INLINE)
def be32(frames: NDArray[np.uint8], at: int) -> int:
    """Four bytes from `at` on, unsigned; `at` is four at least."""
    return be64(frames, at - 4) & _LOW


@njit(**INLINE, error_model="numpy")
def quote(state: Block, books: Block, levels: Block, quotes: Block, locate: int, side: int) -> None:
    """A row of best bid and offer, if the touched side's best is not what was told last."""
    base, told = BIDS + SIDE_COLUMNS * side, TOLD + 2 * side
    count = books[locate, base + COUNT]
    price = volume = NAN
    if count > 0:
        last = books[locate, base + STRETCH] + count - 1
        price = bits(price_of(levels[last, L_KEY] >> 32, side) / SCALE)
        volume = bits(np.float64(levels[last, L_SHARES]))
    if books[locate, told] == price and books[locate, told + 1] == volume:
        return
    books[locate, told] = price
    books[locate, told + 1] = volume
    n = np.uint64(state[HERE, QUOTE_COUNT])
    quotes[_Q_TICKER, n] = books[locate, SYMBOL] - 1
    quotes[_Q_TS, n] = state[HERE, TS]
    quotes[_Q_SEQ, n] = state[HERE, SEQ]
    quotes[_Q_BID, n] = books[locate, TOLD]
    quotes[_Q_BID_VOLUME, n] = books[locate, TOLD + 1]
    quotes[_Q_ASK, n] = books[locate, TOLD + 2]
    quotes[_Q_ASK_VOLUME, n] = books[locate, TOLD + 3]
    quotes[_Q_RECV, n] = received(state)
    quotes[_Q_POSITION, n] = state[HERE, POSITION]
    state[HERE, QUOTE_COUNT] += 1


@njit(**INLINE)
def order(  # noqa: C901, PLR0913 - a kernel
    frames: NDArray[np.uint8],
    body: int,
    code: int,
    state: Block,
    symbols: Block,
    notes: Block,
    tape: Block,
    quotes: Block,
    orders: Block,
    books: Block,
    levels: Block,
    ring: Block,
) -> int:
    """A F E C X D U on one path: that keeps the kernel small and the processor's guesses good."""
    locate, ref, shift = be16(frames, body + _LOCATE), be64(frames, body + _REF), state[HERE, SHIFT]
    slot, side, left, taken, old, was = -1, 0, 0, 0, 0, 0
    adds, new, price, shares = code == _U, ref, 0, 0
    if code == _A or code == _F:
        price, shares = be32(frames, body + _ADD_PRICE), be32(frames, body + _ADD_SHARES)
        reason = _new_order(frames, body, locate, shares, price, state, symbols, notes, books)
        if reason != 0:
            return reason
        side, adds = 0 if frames[body + _ADD_SIDE] == _BUY else 1, True
    else:
        slot = find(orders, ref, shift)
        if slot < 0:
            return _unknown(frames, body, code, state, tape, books, ring)
        old, side = orders[slot, O_REST], orders[slot, O_BOOK] & 1
        was, left, taken = old >> 32 & _LOW, old & _LOW, old & _LOW
        if orders[slot, O_BOOK] >> 1 != locate:
            return BAD_LOCATE
        if code == _U:
            new, shares = be64(frames, body + _NEW_REF), be32(frames, body + _U_SHARES)
            price = be32(frames, body + _U_PRICE)
            if shares == 0 or price == 0:
                return BAD_SHARES if shares == 0 else BAD_PRICE
        elif code != _D:
            taken = _part(frames, body, code, left, was, side, state, tape, books, ring)
            if taken < 0:
                return -taken
    adds = adds and state[HERE, LATE_NOW] == 0
    same = slot >= 0 and new == ref and adds
    if adds:
        rest = price << 32 | shares
        reason = _enter(orders, books, levels, state, slot, same, new, rest, locate << 1 | side)
        if reason != 0:
            return max(reason, 0)
    best, gone = False, 1 if taken == left else 0
    if slot >= 0:
        if gone == 0:
            orders[slot, O_REST] = old - taken
        elif not same:
            drop(orders, state, slot, shift)
        best = take(books, levels, locate, side, was, taken, gone)
    if adds:
        best = add(books, levels, locate, side, price, shares) or best
    if best:
        quote(state, books, levels, quotes, locate, side)
    return 0


@njit(**INLINE)
def _part(  # noqa: PLR0913 - a kernel
    frames: NDArray[np.uint8],
    body: int,
    code: int,
    left: int,
    price: int,
    side: int,
    state: Block,
    tape: Block,
    books: Block,
    ring: Block,
) -> int:
    """The shares that E, C or X takes of the `left` of an order, and the trade of E and C; below
    zero, the reason why it is refused."""
    taken = be32(frames, body + _SHARES)
    if taken == 0 or taken > left:
        return -BAD_SHARES
    if code == _X:
        return taken
    reason = _execution(frames, body, code, taken, price, side, state, tape, books, ring)
    return taken if reason == 0 else -reason


@njit(**INLINE)
def _enter(  # noqa: PLR0913 - a kernel
    orders: Block,
    books: Block,
    levels: Block,
    state: Block,
    slot: int,
    same: bool,
    new: int,
    rest: int,
    book: int,
) -> int:
    """A new order into the table (`slot`: that of the order it replaces, `same` under the same
    reference; -1 none). 0; why not; -1 where it is left out, past the cap."""
    locate, base = book >> 1, BIDS + SIDE_COLUMNS * (book & 1)
    free = find(orders, new, state[HERE, SHIFT])
    if free >= 0 and not same:
        return BAD_ORDER
    if slot < 0 and state[HERE, LIVE] >= state[HERE, LIVE_MAX]:
        return _no_slot(state, books, locate)
    if books[locate, base + COUNT] == books[locate, base + ROOM]:
        if not level_room(books, levels, state, locate, book & 1):
            return AGAIN_LATER + NEED_LEVELS
    if same:
        orders[slot, O_REST] = rest
    else:
        put(orders, state, -1 - free, new, rest, book)
    return 0


@njit(**INLINE)
def _new_order(  # noqa: PLR0913 - a kernel
    frames: NDArray[np.uint8],
    body: int,
    locate: int,
    shares: int,
    price: int,
    state: Block,
    symbols: Block,
    notes: Block,
    books: Block,
) -> int:
    """0, or why A or F is refused for its own fields."""
    at, code = body + _ADD_STOCK, frames[body + _ADD_SIDE]
    if books[locate, STOCK] != be64(frames, at) or books[locate, SYMBOL] == 0:
        reason = bind(frames, locate, at, state, symbols, notes, books, False)
        if reason != 0:
            return reason
    if (code != _BUY and code != _SELL) or shares == 0 or price == 0:
        return _why(code, shares, price)
    return 0


@njit(**KERNEL)
def _why(code: int, shares: int, price: int) -> int:
    """The reason to refuse an order of which one of these is wrong."""
    if code != _BUY and code != _SELL:
        return BAD_SIDE
    return BAD_SHARES if shares == 0 else BAD_PRICE


@njit(**KERNEL)
def _no_slot(state: Block, books: Block, locate: int) -> int:
    """The table is as full as it may be: grow it, or go on without this order (-1)."""
    if state[HERE, CAPPED] == 0:
        return AGAIN_LATER + NEED_ORDERS
    state[HERE, OVER_CAP] += 1
    books[locate, FLAGS] |= SHORTENED
    return -1


@njit(**INLINE)
def _execution(  # noqa: PLR0913 - a kernel
    frames: NDArray[np.uint8],
    body: int,
    code: int,
    shares: int,
    price: int,
    side: int,
    state: Block,
    tape: Block,
    books: Block,
    ring: Block,
) -> int:
    """The trade of an E, at the order's price, or a C, at its own if it is to be printed; 0 or why
    it is refused."""
    match, prints = be64(frames, body + _MATCH), True
    if match < 0:
        return BAD_NUMBER
    if code == _C:
        reason = _misprint(frames, body)
        if reason != 0:
            return reason
        price, prints = be32(frames, body + _C_PRICE), frames[body + _PRINTABLE] == _YES
    if prints:
        book = books[be16(frames, body + _LOCATE)]
        printed(state, tape, ring, book, price, shares, 1 - side, match)
    else:
        state[HERE, UNPRINTED] += 1
    return 0


@njit(**KERNEL)
def _misprint(frames: NDArray[np.uint8], body: int) -> int:
    """Why a C is refused for its own fields; 0 if it is not."""
    code = byte(frames, body + _PRINTABLE)
    if code != _YES and code != _NO:
        return BAD_PRINTABLE
    return BAD_PRICE if code == _YES and be32(frames, body + _C_PRICE) == 0 else 0


@njit(**KERNEL)
def _unknown(
    frames: NDArray[np.uint8],
    body: int,
    code: int,
    state: Block,
    tape: Block,
    books: Block,
    ring: Block,
) -> int:
    """E C X D U of an order that nobody knows: counted. A C has its price all the same, no side."""
    if code == _C:
        locate, shares = be16(frames, body + _LOCATE), be32(frames, body + _SHARES)
        match, reason = be64(frames, body + _MATCH), _misprint(frames, body)
        if reason != 0:
            return reason
        if shares == 0 or match < 0:
            return BAD_SHARES if shares == 0 else BAD_NUMBER
        if frames[body + _PRINTABLE] == _NO:
            state[HERE, UNPRINTED] += 1
        elif books[locate, SYMBOL] != 0:
            price = be32(frames, body + _C_PRICE)
            printed(state, tape, ring, books[locate], price, shares, -1, match)
    state[HERE, UNKNOWN_ORDERS] += 1
    return 0


@njit(**KERNEL)
def rarer(
    frames: NDArray[np.uint8],
    body: int,
    state: Block,
    symbols: Block,
    notes: Block,
    tape: Block,
    books: Block,
    ring: Block,
) -> int:
    """Every type that touches no resting order."""
    code, locate = byte(frames, body), be16(frames, body + _LOCATE)
    reason = 0
    if code == _S:
        reason = 0 if is_event(byte(frames, body + _EVENT)) else BAD_EVENT
    elif code == _B:
        match = be64(frames, body + _B_MATCH)
        reason = BAD_NUMBER if match < 0 else broken(state, tape, ring, match)
    elif code != _V and code != _W:
        at = body + stock_at(code)
        reason = bind(frames, locate, at, state, symbols, notes, books, code == _R)
    if reason == 0 and code == _P:
        reason = _hidden(frames, body, state, tape, books, ring)
    elif reason == 0 and code == _Q:
        reason = _crossed(frames, body, state, tape, books, ring)
    if reason != 0:
        return reason
    if code == _H:
        books[locate, TRADING] = byte(frames, body + _TRADING_STATE)
    elif code == _R:
        n = note(state, notes, NEW_CONTRACT, body, 0)
        notes[NOTE_SYMBOL, n] = books[locate, SYMBOL] - 1
        notes[NOTE_TS, n] = state[HERE, TS]
    state[HERE, state[HERE, TYPE_AT + code]] += 1
    return 0


@njit(**KERNEL)
def stock_at(code: int) -> int:
    """Where the stock stands in a message of this type, which has one."""
    if code == _P:
        return _ADD_STOCK
    if code == _Q:
        return _Q_STOCK
    if code == _L:
        return _L_STOCK
    return _I_STOCK if code == _I else _STOCK


@njit(**KERNEL)
def is_event(code: int) -> bool:
    """Whether this is an event of message S: O S Q M E C."""
    return code == 79 or code == 83 or code == 81 or code == 77 or code == 69 or code == 67


@njit(**KERNEL)
def _hidden(
    frames: NDArray[np.uint8], body: int, state: Block, tape: Block, books: Block, ring: Block
) -> int:
    """P: a trade with an order that the book did not show."""
    code = byte(frames, body + _ADD_SIDE)
    shares, price = be32(frames, body + _ADD_SHARES), be32(frames, body + _ADD_PRICE)
    match = be64(frames, body + _P_MATCH)
    if (code != _BUY and code != _SELL) or shares == 0 or price == 0:
        return _why(code, shares, price)
    if match < 0:
        return BAD_NUMBER
    aggressor = 0
    if code == _BUY:
        aggressor = -1 if state[HERE, P_SIDELESS] != 0 else 1
    book = books[be16(frames, body + _LOCATE)]
    printed(state, tape, ring, book, price, shares, aggressor, match)
    return 0


@njit(**KERNEL)
def _crossed(
    frames: NDArray[np.uint8], body: int, state: Block, tape: Block, books: Block, ring: Block
) -> int:
    """Q: an auction's volume at its price; none where nothing was matched."""
    shares, price = be64(frames, body + _Q_SHARES), be32(frames, body + _Q_PRICE)
    match = be64(frames, body + _Q_MATCH)
    if shares == 0:
        state[HERE, CROSSES_EMPTY] += 1
        return 0
    if shares < 0 or match < 0:
        return BAD_NUMBER
    if price == 0:
        return BAD_PRICE
    book = books[be16(frames, body + _LOCATE)]
    printed(state, tape, ring, book, price, shares, -1, match)
    return 0
