"""The arrays that the bar builder works on: what each number in them is. Data, no behaviour.

A bar under way lives in a *slot*, 16 numbers (two cache lines). The slots of one minute lie side by
side, one a symbol, and make a *page*; the page of a minute is found by its opening, so that only
minutes that were traded cost memory. Levels are openings too: a minute is closed when it opens at
or before CLOSED, and forgotten (no more revisions) at or before FORGOTTEN.
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
# REV counts its emissions, EMITTED is what TRADES was at the last one. DIGEST is what it said then,
# MENDED whether trades of it were taken back (broken.py).
# Unsigned: numba looks at the sign of other indexes, and the hot loop feels it.
_AT = [np.uintp(at) for at in range(17)]
S_TRADES, S_OPEN, S_HIGH, S_LOW, S_CLOSE, S_VOLUME, S_VALUE, S_LAST_TS = _AT[:8]
S_LAST_SEQ, S_LAST_RECV, S_FIRST_TS, S_FIRST_SEQ, S_REV, S_EMITTED = _AT[8:14]
S_DIGEST, S_MENDED = _AT[14:16]
SLOT = _AT[16]
# S_MENDED: never; since the last emission; before it.
WHOLE, UNTOLD, TOLD = range(3)

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
# be closed or forgotten. Then closed slots that wait for a revision, and pages in use.
L_WATERMARK, L_CLOSED, L_FORGOTTEN, L_DUE, L_DIRTY, L_PAGES = range(6)
LEVELS = 6
# Its second part, the rules: index of the board that forms bars, from a minute's opening to its
# closing and to its forgetting (ns), units of volume and of value in one, slots a page, pages
# allowed.
R_BOARD, R_CLOSE_NS, R_FORGET_NS, R_VOLUME, R_VALUE, R_SYMBOLS, R_PAGES_MAX = range(6, 13)
# Its third part, what a call did: rows and markers written, why it stopped and, for NEED_ROOM, for
# how many rows; trades counted that went into bars, into closed bars, that were forgotten, too far
# ahead, too large to be summed; bars emptied, and breaks of trades that were forgotten.
D_ROWS, D_MINUTES, D_STOP, D_ROOM = range(13, 17)
D_TRADES, D_REVISING, D_LATE, D_AHEAD, D_RANGE, D_BREAKS, D_LATE_BREAKS = range(17, 24)
# Its last part, what the row at hand asks for: the watermark, the opening up to which minutes are
# closed, and the ts from which on its channel may move these further.
N_WATERMARK, N_CLOSED, N_FOLLOWING = range(24, 27)
STATE = 27

# D_STOP
END, NEED_ROOM, NEED_PAGES = range(3)
# Instead of a page: the trade makes no bar; pages must be made first.
NO_BAR, NO_PAGE = -1, -2
