"""The compiled half of the metric engine: steps from bars, rows from steps.

A symbol's bars are numbered from its first, in order of time. Of its newest `depth` bars there is
an entry in `kept`, which is what is needed to run them again; of more of them a line in `past`
(metric.py). Both are rings over the number. Of `states` a symbol has one row for the state after
its newest bar, and a ring of rows for those after every GAP-th bar, its *bases*: to run a bar again
is to begin behind the base before it. So a state is written where it lies, in the cache, and not
once more for each bar.

Steps are laid out a chunk at a time, few enough for the cache; every metric takes a chunk in one
go. A bar that is to be run again is a chunk of its own, twice: as the bars were, since rows are
emitted only where the outputs differ, and as they are now. A bar that comes late moves those behind
it up by one.

engine.py says what it is for, and calls `run`.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from bursa.metrics.metric import (
    BAR,
    BAR_COLUMNS,
    BAR_INPUTS,
    FROM,
    KERNEL,
    P_CLOSE,
    P_DAY,
    P_DAY_VALUE,
    P_DAY_VOLUME,
    P_HIGH,
    P_LOW,
    P_MINUTE,
    P_VOLUME,
    PAST_FIELDS,
    SIGNATURE,
    SYMBOL,
    TO,
    Floats,
    Ints,
)
from bursa.model.batch import Block
from bursa.model.calendar import DAY_NS, MINUTE_NS, SECOND_NS
from bursa.model.prefetch import prefetch
from bursa.model.schema import OHLCV

# A step, beside the rows that metrics read: the input row that caused it, its bar's opening and
# ts_recv.
S_CAUSE, S_TS, S_RECV = range(4, 7)
STEP_FIELDS = 7
# Steps of one chunk; all of one symbol's that can be run again find room in it. The block is wider,
# since lines a power of two apart share few lines of the cache.
CHUNK = 128
SPARE = 8
# Symbols follow each other in no order that the processor can see: so many rows ahead the head of
# one is fetched, and then, by that, what its bar will need.
FAR, NEAR = 24, 12
LINE = 8  # fields of a line of the cache

# An entry: its bar's opening and ts_recv, day and second of the venue's clock, the rev of its
# metrics, then the bar's columns as float64 bits.
E_TS, E_RECV, E_DAY, E_SECOND, E_REV, E_BAR = range(6)
BAR_FIELDS = len(BAR_COLUMNS)
ENTRY = E_BAR + BAR_FIELDS
# From base to base.
GAP = 4

# A symbol's head: its bars so far, the newest one's opening, the chunk in which it last had steps,
# and the number of its first bar in that.
H_COUNT, H_NEWEST, H_CHUNK, H_FIRST = range(4)
HEAD = 4

# Levels: newest opening of a final bar; how far back from it revisions reach (ns); units of volume
# and of value in one; the number of the chunk; bars back that metrics read. What a call did: rows
# written, and why it stopped. Then compiled calls so far.
(
    L_NEWEST, L_REACH, L_VOLUME, L_VALUE, L_CHUNK, L_BACK, L_ROWS, L_STOP, L_CALLS,
) = range(9)  # fmt: skip
LEVELS = 9
END, NEED_ROOM, NEED_DEPTH, TOO_OLD, FULL, AGAIN = range(6)

# Lines of `values`: the bar's, then the outputs in the order of their columns.
FIRST_OUTPUT = len(BAR_INPUTS)
_LINE = {name: line for line, name in enumerate(BAR_INPUTS)}
_HIGH, _LOW, _CLOSE = _LINE["high"], _LINE["low"], _LINE["close"]
_VOLUME, _VALUE = _LINE["volume"], _LINE["value"]
_DAY, _SECOND, _MINUTE = _LINE["day"], _LINE["second"], _LINE["minute"]
_DAY_VOLUME, _DAY_VALUE = _LINE["day_volume"], _LINE["day_value"]

_B_TICKER, _B_FREQ, _B_TS, _B_FINAL = (OHLCV.index[k] for k in ("ticker", "freq", "ts", "final"))
_B_KNOWN, _B_RECV, _B_POSITION = (OHLCV.index[k] for k in ("known_at", "ts_recv", "position"))
# A bar's columns stand side by side in OHLCV, in the same order; only trades are whole numbers.
_B_OPEN, _TRADES = OHLCV.index["open"], BAR_COLUMNS.index("trades")
assert [c.name for c in OHLCV.columns[_B_OPEN : _B_OPEN + BAR_FIELDS]] == [
    name.removeprefix("bar_") for name in BAR_COLUMNS
], "columns of bars in the order of OHLCV"
# METRICS begins so; outputs follow, then known_at, ts_recv, position and source.
M_TICKER, M_FREQ, M_TS, M_REV, M_OUT = range(5)


@intrinsic
def call(  # type: ignore[no-untyped-def]  # noqa: PLR0913 (numba's form, and a kernel's)
    typing, address, n, steps, values, rows, states, s, past, memory, m, arguments
):
    """Call the kernel of SIGNATURE whose machine code is at an address."""

    def code(context, builder, signature, values):  # type: ignore[no-untyped-def]
        form = context.call_conv.get_function_type(types.none, SIGNATURE)
        target = builder.inttoptr(values[0], form.as_pointer())
        status, _ = context.call_conv.call_function(
            builder, target, types.none, SIGNATURE, values[1:]
        )
        with builder.if_then(status.is_error, likely=False):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(types.int64, *SIGNATURE), code


def address_of(kernel: Any) -> int:
    """The address of a family's machine code, which is compiled or loaded where it is not yet."""
    kernel.compile(SIGNATURE)
    found = kernel.overloads[SIGNATURE]
    return int(found.library.get_pointer_to_function(found.fndesc.llvm_func_name))


@njit(**KERNEL)
def seek(symbol: int, ts: int, head: Block, kept: Ints) -> tuple[int, bool]:
    """The number that a bar has or would have, and whether it is there."""
    count = head[symbol, H_COUNT]
    if count == 0 or ts > head[symbol, H_NEWEST]:
        return count, False
    mask = kept.shape[1] - 1
    least = max(0, count - kept.shape[1])
    bar = count - 1
    while bar >= least and kept[symbol, bar & mask, E_TS] > ts:
        bar -= 1
    if bar >= least and kept[symbol, bar & mask, E_TS] == ts:
        return bar, True
    return bar + 1, False


@njit(**KERNEL)
def base(bar: int) -> int:
    """The newest bar before this one after which the state is kept; -1: none, its state is that
    before any bar."""
    return (bar - 1) // GAP * GAP if bar > 0 else -1


@njit(**KERNEL)
def earliest(count: int, depth: int) -> int:
    """The first of so many bars that can be run again."""
    return max(0, ((count - 1) // GAP - (depth // GAP - 1)) * GAP + 1)


@njit(**KERNEL)
def row_after(symbol: int, bar: int, depth: int) -> int:
    """The row of `states` for the state after a bar."""
    if bar < 0:
        return 0
    bases = depth // GAP
    first = 1 + symbol * (1 + bases)
    return first + 1 + (bar // GAP & (bases - 1)) if bar % GAP == 0 else first


@njit(**KERNEL)
def obstacle(symbol: int, bar: int, known: bool, head: Block, kept: Ints, levels: Block) -> int:
    """What stands in the way of taking a bar; END: nothing does."""
    had, depth = head[symbol, H_COUNT], kept.shape[1]
    count = had + (not known)
    first = earliest(count, depth)
    if first > earliest(had, depth):  # the bar before that one cannot be run again any more
        lost = kept[symbol, (first - 1) & (depth - 1), E_TS]
        if lost > levels[L_NEWEST] - levels[L_REACH]:
            return NEED_DEPTH
    return TOO_OLD if bar < first else END


@njit(**KERNEL)
def shift(symbol: int, bar: int, head: Block, kept: Ints, past: Floats) -> None:
    """Move a symbol's bars from `bar` on up by one."""
    kept_mask, past_mask = kept.shape[1] - 1, past.shape[1] - 1
    for place in range(head[symbol, H_COUNT], bar, -1):
        for field in range(kept.shape[2]):
            kept[symbol, place & kept_mask, field] = kept[symbol, (place - 1) & kept_mask, field]
        for field in range(PAST_FIELDS):
            past[symbol, place & past_mask, field] = past[symbol, (place - 1) & past_mask, field]


@njit(**KERNEL)
def keep(closed: Block, row: int, offset: int, symbol: int, at: int, kept: Ints) -> None:
    """Write an input row into an entry. offset: what the venue's clock is ahead of UTC then, ns."""
    fields = kept.view(np.float64)
    local = closed[_B_TS, row] + offset
    day = local // DAY_NS
    kept[symbol, at, E_TS] = closed[_B_TS, row]
    kept[symbol, at, E_RECV] = closed[_B_RECV, row]
    kept[symbol, at, E_DAY] = day
    kept[symbol, at, E_SECOND] = (local - day * DAY_NS) // SECOND_NS
    for field in range(BAR_FIELDS):
        kept[symbol, at, E_BAR + field] = closed[_B_OPEN + field, row]
    fields[symbol, at, E_BAR + _TRADES] = float(closed[_B_OPEN + _TRADES, row])


@njit(**KERNEL)
def lay(
    symbol: int, bar: int, n: int, kept: Ints, past: Floats, steps: Block, values: Floats,
    levels: Block,
) -> None:  # fmt: skip
    """Make a bar of a symbol step n, all but what caused it, and bring its line of `past` up."""
    fields = kept.view(np.float64)
    depth = kept.shape[1]
    at, mask = bar & (depth - 1), past.shape[1] - 1
    steps[FROM, n] = row_after(symbol, bar - 1, depth)
    steps[TO, n] = row_after(symbol, bar, depth)
    steps[SYMBOL, n], steps[BAR, n] = symbol, bar
    steps[S_TS, n], steps[S_RECV, n] = kept[symbol, at, E_TS], kept[symbol, at, E_RECV]
    for field in range(BAR_FIELDS):
        values[field, n] = fields[symbol, at, E_BAR + field]
    day = float(kept[symbol, at, E_DAY])
    minute = float(kept[symbol, at, E_TS] // MINUTE_NS)
    volume = np.rint(values[_VOLUME, n] * float(levels[L_VOLUME]))
    value = np.rint(values[_VALUE, n] * float(levels[L_VALUE]))
    if bar > 0 and past[symbol, (bar - 1) & mask, P_DAY] == day:
        volume += past[symbol, (bar - 1) & mask, P_DAY_VOLUME]
        value += past[symbol, (bar - 1) & mask, P_DAY_VALUE]
    values[_DAY, n], values[_SECOND, n] = day, float(kept[symbol, at, E_SECOND])
    values[_MINUTE, n], values[_DAY_VOLUME, n], values[_DAY_VALUE, n] = minute, volume, value
    line = bar & mask
    past[symbol, line, P_CLOSE], past[symbol, line, P_VOLUME] = (
        values[_CLOSE, n],
        values[_VOLUME, n],
    )
    past[symbol, line, P_HIGH], past[symbol, line, P_LOW] = values[_HIGH, n], values[_LOW, n]
    past[symbol, line, P_MINUTE], past[symbol, line, P_DAY] = minute, day
    past[symbol, line, P_DAY_VOLUME], past[symbol, line, P_DAY_VALUE] = volume, value


@njit(**(KERNEL | {"forceinline": True}))
def fetch_row(block: Floats, row: int) -> None:
    """Fetch a row of a block."""
    width = block.shape[1]
    for at in range(row * width, (row + 1) * width, LINE):
        prefetch(block, at)


@njit(**KERNEL)
def fetch(symbol: int, bar: int, kept: Ints, states: Floats, past: Floats, backs: Ints) -> None:
    """Fetch what a symbol's next bar will need, its number being `bar`."""
    depth, reach = kept.shape[1], past.shape[1]
    entry = (symbol * depth + (bar & (depth - 1))) * ENTRY
    for at in range(entry, entry + ENTRY, LINE):
        prefetch(kept, at)
    prefetch(past, (symbol * reach + (bar & (reach - 1))) * PAST_FIELDS)
    for back in backs:
        prefetch(past, (symbol * reach + ((bar - back) & (reach - 1))) * PAST_FIELDS)
    before, after = row_after(symbol, bar - 1, depth), row_after(symbol, bar, depth)
    fetch_row(states, before)
    if after != before:
        fetch_row(states, after)


@njit(**KERNEL)
def lay_out(  # noqa: PLR0913 (a kernel: primitives only)
    closed: Block, offsets: Ints, start: int, room: int, backs: Ints, head: Block, kept: Ints,
    states: Floats, past: Floats, steps: Block, values: Floats, levels: Block,
) -> tuple[int, int]:  # fmt: skip
    """Turn input rows from `start` on into at most `room` steps; the next row and the number of
    steps are returned, and L_STOP says why it ends there."""
    n, levels[L_STOP] = 0, END
    levels[L_CHUNK] += 1
    most, depth = min(room, steps.shape[1] - SPARE), kept.shape[1]
    for row in range(start, closed.shape[1]):
        if row + FAR < closed.shape[1]:
            prefetch(head, closed[_B_TICKER, row + FAR] * HEAD)
            soon = closed[_B_TICKER, row + NEAR]
            fetch(soon, head[soon, H_COUNT], kept, states, past, backs)
        symbol, ts = closed[_B_TICKER, row], closed[_B_TS, row]
        bar = head[symbol, H_COUNT]
        if bar > 0 and ts <= head[symbol, H_NEWEST]:
            levels[L_STOP] = AGAIN
            return row, n
        levels[L_STOP] = obstacle(symbol, bar, False, head, kept, levels)
        pending = head[symbol, H_CHUNK] == levels[L_CHUNK]
        if n == most or (pending and bar - head[symbol, H_FIRST] + levels[L_BACK] >= past.shape[1]):
            levels[L_STOP] = FULL if n > 0 else NEED_ROOM
        if levels[L_STOP] != END:
            return row, n
        keep(closed, row, offsets[row], symbol, bar & (depth - 1), kept)
        head[symbol, H_COUNT], head[symbol, H_NEWEST] = bar + 1, ts
        if closed[_B_FINAL, row] == 1:
            levels[L_NEWEST] = max(levels[L_NEWEST], ts)
        if not pending:
            head[symbol, H_CHUNK], head[symbol, H_FIRST] = levels[L_CHUNK], bar
        kept[symbol, bar & (depth - 1), E_REV] = 0
        steps[S_CAUSE, n] = row
        lay(symbol, bar, n, kept, past, steps, values, levels)
        n += 1
    return closed.shape[1], n


@njit(**KERNEL)
def emit(closed: Block, n: int, steps: Block, values: Floats, out: Block, levels: Block) -> None:
    """Write a row for each step; all their bars are new."""
    bits, row = values.view(np.int64), levels[L_ROWS]
    outputs = values.shape[0] - FIRST_OUTPUT
    for column in range(outputs):
        for i in range(n):
            out[M_OUT + column, row + i] = bits[FIRST_OUTPUT + column, i]
    for i in range(n):
        head_row(closed, i, 0, steps, row + i, outputs, out)
    levels[L_ROWS] += n


@njit(**KERNEL)
def head_row(
    closed: Block, i: int, rev: int, steps: Block, row: int, outputs: int, out: Block
) -> None:
    """Write all of a row but its outputs."""
    cause = steps[S_CAUSE, i]
    out[M_TICKER, row], out[M_FREQ, row] = steps[SYMBOL, i], closed[_B_FREQ, cause]
    out[M_TS, row], out[M_REV, row] = steps[S_TS, i], rev
    out[M_OUT + outputs, row] = closed[_B_KNOWN, cause]
    out[M_OUT + outputs + 1, row] = steps[S_RECV, i]
    out[M_OUT + outputs + 2, row] = closed[_B_POSITION, cause]
    out[M_OUT + outputs + 3, row] = -1


@njit(**KERNEL)
def lay_again(  # noqa: PLR0913 (a kernel: primitives only)
    symbol: int, bar: int, row: int, head: Block, kept: Ints, past: Floats, steps: Block,
    values: Floats, levels: Block,
) -> int:  # fmt: skip
    """Make a bar and all behind it steps once more, those since the base before it first; the
    number of steps is returned."""
    n = 0
    for place in range(base(bar) + 1, head[symbol, H_COUNT]):
        steps[S_CAUSE, n] = row
        lay(symbol, place, n, kept, past, steps, values, levels)
        n += 1
    return n


@njit(**KERNEL)
def stash(n: int, values: Floats, before: Floats) -> None:
    """Keep the outputs of some steps."""
    for column in range(before.shape[0]):
        for i in range(n):
            before[column, i] = values[FIRST_OUTPUT + column, i]


@njit(**KERNEL)
def take_again(  # noqa: PLR0913 (a kernel: primitives only)
    closed: Block, row: int, offset: int, bar: int, known: bool, head: Block, kept: Ints,
    past: Floats, levels: Block,
) -> None:  # fmt: skip
    """Put a revised or late bar into its place."""
    symbol, at = closed[_B_TICKER, row], bar & (kept.shape[1] - 1)
    if not known:
        shift(symbol, bar, head, kept, past)
        head[symbol, H_COUNT] += 1
        kept[symbol, at, E_REV] = 0
    keep(closed, row, offset, symbol, at, kept)
    if closed[_B_FINAL, row] == 1:
        levels[L_NEWEST] = max(levels[L_NEWEST], closed[_B_TS, row])


@njit(**KERNEL)
def emit_again(  # noqa: PLR0913 (a kernel: primitives only)
    closed: Block, bar: int, known: bool, n: int, steps: Block, values: Floats, before: Floats,
    kept: Ints, out: Block, levels: Block,
) -> None:  # fmt: skip
    """Write a row for each step from `bar` on whose outputs differ from those that stand in the
    same order in `before`, and one for a late bar, which has none there."""
    bits, old = values.view(np.int64), before.view(np.int64)
    row, outputs = levels[L_ROWS], values.shape[0] - FIRST_OUTPUT
    for i in range(n):
        number = steps[BAR, i]
        if number < bar:
            continue
        late = not known and number == bar
        differs = late
        for column in range(outputs):
            now = bits[FIRST_OUTPUT + column, i]
            if not late:
                differs |= old[column, i if known else i - 1] != now
            out[M_OUT + column, row] = now
        if not differs:
            continue
        at = number & (kept.shape[1] - 1)
        if not late:
            kept[steps[SYMBOL, i], at, E_REV] += 1
        head_row(closed, i, kept[steps[SYMBOL, i], at, E_REV], steps, row, outputs, out)
        row += 1
    levels[L_ROWS] = row


@njit(**KERNEL)
def measure(  # noqa: PLR0913 (a kernel: primitives only)
    n: int, plan: Block, lines: Block, arguments: Floats, states: Floats, past: Floats,
    memory: Floats, steps: Block, values: Floats,
) -> None:  # fmt: skip
    """Take steps through all metrics."""
    for metric in range(plan.shape[0]):
        address, s, m, first = plan[metric]
        call(
            address, n, steps, values, lines[metric], states, s, past, memory, m, arguments[first:]
        )


@njit(**KERNEL)
def run(  # noqa: PLR0913 (a kernel: primitives only)
    closed: Block, offsets: Ints, start: int, plan: Block, lines: Block, arguments: Floats,
    backs: Ints, head: Block, kept: Ints, states: Floats, past: Floats, memory: Floats,
    steps: Block, values: Floats, before: Floats, out: Block, levels: Block,
) -> int:  # fmt: skip
    """Take input rows from `start` on; the row to go on from is returned, rows are in `out`.

    closed     int64 (columns of OHLCV, n)
    offsets    int64 (n,): what the venue's clock is ahead of UTC, ns
    plan       int64 (metrics, 4): address of the kernel, first column of `states`, first of
               `memory`, first of `arguments`; in order of computation
    lines      int64 (metrics, most): rows of `values`, see metric.py
    backs      int64 vector: how many bars back the lines of `past` are that metrics read as a rule
    before     float64 (outputs, depth): outputs of bars that are run again, as they were
    """
    levels[L_ROWS] = 0
    levels[L_CALLS] += 1
    row = start
    while True:
        room = out.shape[1] - levels[L_ROWS]
        row, n = lay_out(
            closed, offsets, row, room, backs, head, kept, states, past, steps, values, levels
        )
        measure(n, plan, lines, arguments, states, past, memory, steps, values)
        emit(closed, n, steps, values, out, levels)
        if levels[L_STOP] == AGAIN:
            symbol = closed[_B_TICKER, row]
            bar, known = seek(symbol, closed[_B_TS, row], head, kept)
            levels[L_STOP] = obstacle(symbol, bar, known, head, kept, levels)
            needed = head[symbol, H_COUNT] + 1 - bar
            if levels[L_STOP] == END and needed > out.shape[1] - levels[L_ROWS]:
                levels[L_STOP] = NEED_ROOM
            if levels[L_STOP] != END:
                return row
            n = lay_again(symbol, bar, row, head, kept, past, steps, values, levels)
            measure(n, plan, lines, arguments, states, past, memory, steps, values)
            stash(n, values, before)
            take_again(closed, row, offsets[row], bar, known, head, kept, past, levels)
            n = lay_again(symbol, bar, row, head, kept, past, steps, values, levels)
            measure(n, plan, lines, arguments, states, past, memory, steps, values)
            emit_again(closed, bar, known, n, steps, values, before, kept, out, levels)
            row += 1
        elif levels[L_STOP] != FULL:
            return row
