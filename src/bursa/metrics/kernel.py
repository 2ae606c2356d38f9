"""The compiled half of the metric engine: steps from bars, rows from steps.

A symbol's newest bars with the state after each are its *tail*: a ring of entries. Which entry is
where in order of time stands in `order` (symbols, depth), a permutation: to insert a late bar
moves entries in that order, never their rows, which the steps laid out before refer to. Entry e of
a symbol is row symbol * depth + e of `entries`, and one row further down in `states`, whose row 0
is the state before any bar: zeros.

engine.py says what it is for, and calls `run`.
"""

import numpy as np
from numba import njit

from bursa.metrics import catalog
from bursa.metrics.catalog import METRICS
from bursa.metrics.metric import BAR_FIELDS, DAY, FROM, KERNEL, SECOND, TO, TRADES, Floats
from bursa.model.batch import Block
from bursa.model.schema import OHLCV

# A step, beside FROM and TO: the input row that caused it, 1 where its bar is new, its entry in the
# tail, its bar's opening and ts_recv.
S_CAUSE, S_NEW, S_ENTRY, S_TS, S_RECV = range(2, 7)
STEP_FIELDS = 7

# An entry of a tail: its bar's opening and ts_recv, the rev of its metrics, then float64 bits: the
# bar's fields, the outputs as last emitted.
E_TS, E_RECV, E_REV, E_BAR = range(4)
E_OUT = E_BAR + BAR_FIELDS
FIRST_OUTPUT = METRICS.index["rev"] + 1
OUTPUTS = METRICS.index["known_at"] - FIRST_OUTPUT
ENTRY = E_OUT + OUTPUTS

# A symbol's head: where its ring starts, entries in it, 1 when older ones were let go (the first
# entry is then kept only for the state after it, and cannot be run again).
H_START, H_COUNT, H_LOST = range(3)
HEAD = 3

# Levels: newest opening of a final bar, and how far back from it revisions reach (ns). What a call
# did: rows written, and why it stopped.
L_NEWEST, L_REACH, L_ROWS, L_STOP = range(4)
LEVELS = 4
END, NEED_ROOM, NEED_DEPTH, TOO_OLD = range(4)

_B_TICKER, _B_FREQ, _B_TS, _B_FINAL = (OHLCV.index[k] for k in ("ticker", "freq", "ts", "final"))
_B_KNOWN, _B_RECV, _B_POSITION = (OHLCV.index[k] for k in ("known_at", "ts_recv", "position"))
# The first fields of a bar are columns of OHLCV, in the same order.
_B_OPEN, _B_TRADES, _B_VWAP = (OHLCV.index[k] for k in ("open", "trades", "vwap"))
_M_TICKER, _M_FREQ, _M_TS, _M_REV = (METRICS.index[k] for k in ("ticker", "freq", "ts", "rev"))
_M_KNOWN, _M_RECV, _M_POSITION = (METRICS.index[k] for k in ("known_at", "ts_recv", "position"))


@njit(**KERNEL)
def seek(order: Block, head: Block, entries: Block, symbol: int, ts: int) -> tuple[int, bool]:
    """Where in a symbol's tail a bar stands or would stand, counted from its oldest entry, and
    whether it stands there."""
    depth = order.shape[1]
    at = head[symbol, H_COUNT]
    while at > 0:
        slot = order[symbol, (head[symbol, H_START] + at - 1) & (depth - 1)]
        found = entries[symbol * depth + slot, E_TS]
        if found <= ts:
            return (at - 1, True) if found == ts else (at, False)
        at -= 1
    return 0, False


@njit(**KERNEL)
def insert(order: Block, head: Block, entries: Block, symbol: int, at: int, levels: Block) -> int:
    """Make a place at `at` in a symbol's tail, and let go of its oldest entry where it is full.
    Where the place is then; -1 where the entry may still be asked for."""
    depth = order.shape[1]
    start, count = head[symbol, H_START], head[symbol, H_COUNT]
    if count == depth:
        base = order[symbol, (start + 1) & (depth - 1)]
        if entries[symbol * depth + base, E_TS] > levels[L_NEWEST] - levels[L_REACH]:
            return -1
        start, count, at = (start + 1) & (depth - 1), count - 1, at - 1
        head[symbol, H_START], head[symbol, H_LOST] = start, 1
    free = order[symbol, (start + count) & (depth - 1)]
    for place in range(count, at, -1):
        one_less = order[symbol, (start + place - 1) & (depth - 1)]
        order[symbol, (start + place) & (depth - 1)] = one_less
    order[symbol, (start + at) & (depth - 1)] = free
    head[symbol, H_COUNT] = count + 1
    return at


@njit(**KERNEL)
def keep(closed: Block, clock: Block, row: int, entries: Block, entry: int) -> None:
    """Write an input row into an entry. clock: int64 (2, rows), day and second of the venue."""
    fields = entries.view(np.float64)
    entries[entry, E_TS] = closed[_B_TS, row]
    entries[entry, E_RECV] = closed[_B_RECV, row]
    for field in range(_B_VWAP - _B_OPEN + 1):
        entries[entry, E_BAR + field] = closed[_B_OPEN + field, row]
    fields[entry, E_BAR + TRADES] = float(closed[_B_TRADES, row])
    fields[entry, E_BAR + DAY] = float(clock[0, row])
    fields[entry, E_BAR + SECOND] = float(clock[1, row])


@njit(**KERNEL)
def lay_out(  # noqa: PLR0913 (a kernel: primitives only)
    closed: Block, clock: Block, start: int, head: Block, order: Block, entries: Block,
    levels: Block, steps: Block, bars: Floats,
) -> tuple[int, int]:  # fmt: skip
    """Turn input rows from `start` on into steps; the next row and the number of steps are
    returned. Stops where the steps may not find room, and says in L_STOP why else."""
    fields, mask, n = entries.view(np.float64), order.shape[1] - 1, 0
    levels[L_STOP] = NEED_ROOM
    for row in range(start, closed.shape[1]):
        if n + mask + 1 > steps.shape[1]:
            return row, n
        symbol, ts = closed[_B_TICKER, row], closed[_B_TS, row]
        at, known = seek(order, head, entries, symbol, ts)
        if not known:
            at = insert(order, head, entries, symbol, at, levels)
        if at < head[symbol, H_LOST]:
            levels[L_STOP] = NEED_DEPTH if at < 0 else TOO_OLD
            return row, n
        first, begin = symbol * (mask + 1), head[symbol, H_START]
        keep(closed, clock, row, entries, first + order[symbol, (begin + at) & mask])
        if closed[_B_FINAL, row] == 1:
            levels[L_NEWEST] = max(levels[L_NEWEST], ts)
        for place in range(at, head[symbol, H_COUNT]):
            entry = first + order[symbol, (begin + place) & mask]
            before = first + order[symbol, (begin + place - 1) & mask]
            steps[FROM, n] = 1 + before if place > 0 else 0
            steps[TO, n] = 1 + entry
            steps[S_CAUSE, n] = row
            steps[S_NEW, n] = not known and place == at
            steps[S_ENTRY, n] = entry
            steps[S_TS, n] = entries[entry, E_TS]
            steps[S_RECV, n] = entries[entry, E_RECV]
            for field in range(BAR_FIELDS):
                bars[field, n] = fields[entry, E_BAR + field]
            n += 1
    levels[L_STOP] = END
    return closed.shape[1], n


@njit(**KERNEL)
def emit(
    closed: Block, n: int, steps: Block, outputs: Floats, entries: Block, out: Block, levels: Block
) -> None:
    """Write a row for each step whose bar is new or whose outputs differ from those emitted."""
    bits, row = outputs.view(np.int64), 0
    for i in range(n):
        entry, cause = steps[S_ENTRY, i], steps[S_CAUSE, i]
        differs = False
        for column in range(OUTPUTS):
            out[FIRST_OUTPUT + column, row] = bits[column, i]
            differs |= entries[entry, E_OUT + column] != bits[column, i]
            entries[entry, E_OUT + column] = bits[column, i]
        if steps[S_NEW, i] == 1:
            entries[entry, E_REV] = 0
        elif differs:
            entries[entry, E_REV] += 1
        else:
            continue
        out[_M_TICKER, row] = closed[_B_TICKER, cause]
        out[_M_FREQ, row] = closed[_B_FREQ, cause]
        out[_M_TS, row] = steps[S_TS, i]
        out[_M_REV, row] = entries[entry, E_REV]
        out[_M_KNOWN, row] = closed[_B_KNOWN, cause]
        out[_M_RECV, row] = steps[S_RECV, i]
        out[_M_POSITION, row] = closed[_B_POSITION, cause]
        row += 1
    levels[L_ROWS] = row


@njit(**KERNEL)
def run(  # noqa: PLR0913 (a kernel: primitives only)
    closed: Block, clock: Block, start: int, plan: Block, arguments: Floats, head: Block,
    order: Block, entries: Block, states: Floats, steps: Block, bars: Floats, outputs: Floats,
    out: Block, levels: Block,
) -> int:  # fmt: skip
    """Take input rows from `start` on; the row to go on from is returned, rows are in `out`.

    plan   int64 (metrics, 4): family, first column of `states`, first of `arguments`, first row of
           `outputs`
    """
    row, n = lay_out(closed, clock, start, head, order, entries, levels, steps, bars)
    for metric in range(plan.shape[0]):
        family, state_at, argument_at, output_at = plan[metric]
        mine = arguments[argument_at:]
        catalog.run(family, n, steps, bars, states, state_at, mine, outputs, output_at)
    emit(closed, n, steps, outputs, entries, out, levels)
    return row
