"""The arrays of the ITCH 5.0 decoder, column by column. Kernels and Python share these names.

state    int64 (1 + channels, STATE_COLUMNS): that of the idx family (wire/idx/rows.py: row HERE,
         then a row a channel with its sequence), and behind it the columns below
orders   int64 (a power of two, 4): open addressing; a free slot has 0 in O_REST
books    int64 (65536, BOOK_COLUMNS): a row a stock locate
levels   int64 (n, 2): one pool; each side of a book has a stretch of it, best price at its end
ring     int64 (RING_ROWS, a power of two): the newest printed trades, so that they can be broken,
         and two indexes of them
"""

import numpy as np
from numpy.typing import NDArray

from bursa.model.batch import Block
from bursa.model.venue import Venue
from bursa.wire.idx import rows
from bursa.wire.itch50.layout import MESSAGES
from bursa.wire.transport import sequence

LOCATES = 65_536

# -- state: columns of a channel's row ------------------------------------------------------------
# Midnight of the session's day and of the next one, ns UTC (NO_DAY before a session, NO_DATE where
# it has none); the session's two words; 1 if its name is a date; 1 if messages of it are missing;
# the two words of the session of a past day that came last, 0 for none.
_OWN = rows.STATE_COLUMNS
DAY, DAY_END, WORD, WORD_REST, NAMED, UNSURE, PAST_WORD, PAST_REST = range(_OWN, _OWN + 8)
NO_DAY, NO_DATE = -1, -2

# -- state: columns of row HERE -------------------------------------------------------------------
# message of the record we are in; live orders, and how many may live before the table must grow
# (CAPPED 1: it may not); 64 - log2 of its slots; first free row of the level pool; printed trades
# of the session so far; newest ts of those that left the ring; rows of tape that a break needs;
# rows of the quotes block; 1 where P tells no side; 1 while the message comes late.
_HERE = _OWN + 8
NTH, LIVE, LIVE_MAX, CAPPED, SHIFT, POOL_NEXT, PRINTED, EVICTED_TS = range(_HERE, _HERE + 8)
TAPE_NEEDED, QUOTE_COUNT, P_SIDELESS, LATE_NOW = range(_HERE + 8, _HERE + 12)
# In every row. HERE: 1 if the record we are in is of a session of a past day. A channel's: 1 if the
# last one with messages was; an end of a session then is that one's.
PAST = _HERE + 12
# HERE: the printed trades before this number are in the ring's indexes.
INDEXED = _HERE + 13
# A channel's: the minute's end (ns) at which books are handed out next (sums.py), 0: at
# once; while they are, how far its time is then. HERE: trades printed at the last hand-out at a
# minute's end, and at the one before; the highest locate bound.
HAND_AT, HAND_TO, HANDED, HANDED_BEFORE, LOCATE_TOP = range(_HERE + 14, _HERE + 19)
# Counts since the last push.
_COUNTS = _HERE + 19
COUNTED = (
    "unknown_orders",
    "orders_over_cap",
    "breaks",
    "breaks_unknown",
    "breaks_unheld",
    "unprinted",
    "crosses_empty",
    "break_ticks",
    *(name for name, _, _ in MESSAGES.values()),
)
(UNKNOWN_ORDERS, OVER_CAP, BREAKS, BREAKS_UNKNOWN, BREAKS_UNHELD, UNPRINTED, CROSSES_EMPTY) = range(
    _COUNTS, _COUNTS + 7
)
BREAK_TICKS = _COUNTS + 7
BY_NAME = _COUNTS + 8
COUNTS_END = _COUNTS + len(COUNTED)
# Length of each type by its code; 0 is none.
LENGTHS = COUNTS_END + 1
# Where each type is counted, by its code.
TYPE_AT = LENGTHS + 256
STATE_COLUMNS = TYPE_AT + 256

# -- orders ---------------------------------------------------------------------------------------
# Reference; price << 32 | shares left; stock locate << 1 | side (0 buy, 1 sell).
O_REF, O_REST, O_BOOK = 0, 1, 2
ORDER_COLUMNS = 4  # 32 bytes: no order lies across two lines of the cache
ORDERS_FIRST = 65_536

# -- books ----------------------------------------------------------------------------------------
# One line of the cache: symbol id + 1 (0: no stock yet), the stock's eight bytes, and of each side
# its stretch of the pool: where it begins, levels, room. Another: the quote as last told, in float
# bits, trading state (H), flags, the number of its newest printed trade, from 1.
SYMBOL, STOCK, BIDS, ASKS = 0, 1, 2, 5
STRETCH, COUNT, ROOM = 0, 1, 2
SIDE_COLUMNS = 3
TOLD, TRADING, FLAGS, TRADED = 8, 12, 13, 14
BOOK_COLUMNS = 16
LINE = 8  # words of a line of the cache
# FLAGS: an order of this book was not taken, past the cap.
SHORTENED = 1

# -- levels ---------------------------------------------------------------------------------------
# (price key << 32) | orders, then shares. The key of a bid is price - 2**31, of an ask
# 2**31 - 1 - price: the best price of either side has the greatest key.
L_KEY, L_SHARES = 0, 1
LEVELS_FIRST = 16_384
ROOM_FIRST = 8
# So many of a side count where books are handed out.
SUM_LEVELS = 5

# -- ring -----------------------------------------------------------------------------------------
R_MATCH, R_TS, R_SEQ, R_SYMBOL, R_PRICE, R_SHARES = range(6)  # R_SYMBOL: id << 3 | how it traded
TRADE_ROWS = 6
# Printed trade n stands at slot n % ring. Those before INDEXED are in two chains, newest first: of
# those whose match number falls into one of `ring` classes, and of those whose symbol and minute
# do. By class the newest one's n + 1, by slot that of the one before; 0, or one that left: the end.
R_MATCH_NEWEST, R_MATCH_BEFORE, R_MINUTE_NEWEST, R_MINUTE_BEFORE = range(6, 10)
RING_ROWS = 10
RING = 524_288
# How a trade went, the low bits of R_SYMBOL: aggressor + 1 (0 none, 1 B, 2 S), BROKEN_BIT.
SIDE_MASK, BROKEN_BIT = 3, 4

# A row of the tape that only Python sees: the tick of a break (its volume below zero).
BREAK_TICK = 99

# -- what the walk comes back for -----------------------------------------------------------------
DONE, FULL, NEED_SESSION, NEED_ORDERS, NEED_LEVELS, NEED_TAPE, NEED_SUMS = range(7)

_FIRST = len(rows.REASONS)
REASONS = (
    *rows.REASONS,
    "bad_stock",
    "bad_locate",
    "bad_side",
    "bad_shares",
    "bad_order",
    "bad_printable",
    "bad_event",
    "no_date",
)
"""Why a message is refused, by code; those of the idx family come first."""
BAD_STOCK, BAD_LOCATE, BAD_SIDE, BAD_SHARES, BAD_ORDER, BAD_PRINTABLE, BAD_EVENT, UNDATED = range(
    _FIRST, _FIRST + 8
)
# Added to a NEED code: a message function's way to say that it changed nothing and wants to be
# called again.
AGAIN_LATER = 1_000


def new_state(venue: Venue) -> Block:
    """The state of a decoder that has seen nothing."""
    state = np.zeros((1 + len(venue.channels), STATE_COLUMNS), np.int64)
    for row, channel in enumerate(venue.channels, 1):
        sequence.begin(state, row)
        state[row, rows.IS_TICKS] = channel.ticks
        state[row, rows.MARK_AT] = 0 if channel.ticks else sequence.INT_MAX
        state[row, rows.SESSION] = state[row, rows.LINK] = -1
        state[row, rows.FILE_WATERMARK] = -1
        state[row, DAY] = NO_DAY
    state[rows.HERE, EVICTED_TS] = -1
    for nth, (code, (_, length, _)) in enumerate(MESSAGES.items()):
        state[rows.HERE, LENGTHS + ord(code)] = length
        state[rows.HERE, TYPE_AT + ord(code)] = BY_NAME + nth
    return state


def new_books() -> NDArray[np.int64]:
    """No stock known. The system gives the pages as locates come up."""
    return aligned(LOCATES, BOOK_COLUMNS)


def aligned(height: int, width: int) -> NDArray[np.int64]:
    """Zeros that begin with a line of the cache."""
    words = np.zeros(height * width + LINE, np.int64)
    start = -words.ctypes.data // 8 % LINE
    return words[start : start + height * width].reshape(height, width)
