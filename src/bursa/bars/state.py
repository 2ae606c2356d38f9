"""The arrays that the bar builder works on: what each number in them is. Data, no behaviour.

A bar under way lives in a *slot*, 16 numbers: two cache lines, all of them used. The slots of one
minute lie side by side, one a symbol, and make a *page*; the page of a minute is found by its
opening, so that only minutes that were traded cost memory. Levels are openings too: a minute is
closed when it opens at or before CLOSED, and forgotten (no more revisions) at or before FORGOTTEN.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Options of njit for the kernels of bars/. They make no arrays, so numba need not count references
# to those they are given: the counting took a third of the time.
KERNEL = {"nogil": True, "cache": True, "_nrt": False}

# Before and after any time; far enough from the ends of int64 to be reckoned with.
NEVER, ALWAYS = -(2**62), 2**62
# A trade enters a bar where its volume and value in their units, and the sums that the bar holds,
# are all below this: so no sum passes the end of int64.
UNITS_MAX = 2**62

# A slot. Open and close go by (ts, seq), so those of the first and of the newest trade are kept.
# TOLD is three in one: what TRADES was at the last emission, whether trades were taken back
# (broken.py), and how many emissions there were. DIGEST is what the slot said at the last one.
# Unsigned: numba looks at the sign of other indexes, and the hot loop feels it.
_AT = [np.uintp(at) for at in range(17)]
S_TRADES, S_OPEN, S_HIGH, S_LOW, S_CLOSE, S_VOLUME, S_VALUE, S_DELTA = _AT[:8]
S_RULED, S_LAST_TS, S_LAST_SEQ, S_LAST_RECV, S_FIRST_TS, S_FIRST_SEQ = _AT[8:14]
S_TOLD, S_DIGEST = _AT[14:16]
SLOT = _AT[16]
# S_TOLD: its lowest 32 bits are trades, which no minute of a symbol has more of; the next two say
# when trades were taken back: never; since the last emission; before it.
EMITTED = 2**32 - 1
MENDED, UNTOLD, TOLD = 3 << 32, 1 << 32, 2 << 32
REV_SHIFT = 34

# What the tick rule knows of a symbol: its last price (bits of a float64; NaN: none) and how its
# last trade was signed: 1, -1, 0 (not yet). Two numbers each, one symbol behind the other.
LAST_PRICE, LAST_SIGN = _AT[:2]
LAST = 2

# A page: its minute's opening (NEVER: free); between which symbols, the second excluded, lie the
# closed slots that wait for a revision; 1 where a slot of it is mended.
P_START, P_FROM, P_TO, P_MENDED = range(4)
PAGE = 4

# A channel: 1 where it counts for the watermark; 1 where it is live; its watermark in whole
# seconds (ns); from which ts on a row may move that; the ts of its last end of session.
C_TICKS, C_LIVE, C_MARK, C_NEXT, C_ENDED = range(5)
CHANNEL = 5

# The state's first part, what is kept. Levels: the effective watermark in whole seconds (ns); the
# openings up to which minutes are closed and forgotten; the watermark at which the next page is to
# be closed or forgotten. Then closed slots that wait for a revision, and pages in use; the nth of
# the next bar to be emitted; the tick rule's two over a bar told again.
L_WATERMARK, L_CLOSED, L_FORGOTTEN, L_DUE, L_DIRTY, L_PAGES = range(6)
L_NTH, L_AGAIN_PRICE, L_AGAIN_SIGN = range(6, 9)
LEVELS = 9
# The nth of bars: the watermark's second since 1970, then its place among those emitted in it.
NTH_SHIFT = 30
# Its second part, the rules: index of the board that forms bars, from a minute's opening to its
# closing and to its forgetting (ns), units of volume and of value in one, slots a page, pages
# allowed.
R_BOARD, R_CLOSE_NS, R_FORGET_NS, R_VOLUME, R_VALUE, R_SYMBOLS, R_PAGES_MAX = range(9, 16)
# Its third part, what a call did: rows and markers written, why it stopped and, for NEED_ROOM, for
# how many rows; trades counted that went into bars, into closed bars, that were forgotten, too far
# ahead, too large to be summed; bars emptied, and breaks of trades that were forgotten.
D_ROWS, D_MINUTES, D_STOP, D_ROOM = range(16, 20)
D_TRADES, D_REVISING, D_LATE, D_AHEAD, D_RANGE, D_BREAKS, D_LATE_BREAKS = range(20, 27)
# Its last part, what the row at hand asks for: the watermark, the opening up to which minutes are
# closed, and the ts from which on its channel may move these further.
N_WATERMARK, N_CLOSED, N_FOLLOWING = range(27, 30)
STATE = 30

# D_STOP
END, NEED_ROOM, NEED_PAGES = range(3)
# Instead of a page: the trade makes no bar; pages must be made first.
NO_BAR, NO_PAGE = -1, -2
