"""The state of a metric engine in a checkpoint: what cannot be had by running bars again.

Of each symbol: how many bars it had, those of them that can still be revised (`entries`), the state
after the bar before the first of these (`states`), and the lines of `past` before it as far back as
metrics read (`lines`). States after the later bars, and what was emitted for them, come again to
the bit when these bars are run again. Fields that are too many to be kept a bar (`memory`) go as a
Lasting array: a checkpoint may read it later than the rest, so that what it holds is then what bars
of up to a day later wrote (metric.py says why that does no harm).

Which metrics the columns of `states` and `memory` belong to is told by their signatures, so that a
state also serves another catalogue (`arranged`), and metrics that it lacks can be put beside those
it has (`joined`). Computes nothing (engine.py does).

    bars, held, before   int64 (symbols,): bars so far; how many entries and lines follow of each
    entries              int64 (sum of held, ENTRY), by symbol and time
    lines                float64 (sum of before, PAST_FIELDS), likewise
    states               float64 (symbols, fields), 0 where the first entry is the first bar
    memory               float64 (symbols, fields)
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from bursa.metrics.kernel import (
    E_BAR,
    E_RECV,
    E_REV,
    E_TS,
    ENTRY,
    GAP,
    H_COUNT,
    H_NEWEST,
    L_BACK,
    L_NEWEST,
    L_REACH,
    base,
    earliest,
    row_after,
)
from bursa.metrics.metric import BAR_COLUMNS, KERNEL, PAST_FIELDS, Floats, Ints, Metric
from bursa.model.batch import Block
from bursa.model.calendar import DAY_NS
from bursa.model.lasting import Lasting
from bursa.model.schema import OHLCV
from bursa.model.venue import Venue

State = Mapping[str, Any]


class Arrays(NamedTuple):
    """The arrays of an engine (kernel.py)."""

    head: Ints
    kept: Ints
    states: Floats
    past: Floats
    memory: Floats
    levels: Ints


@njit(**KERNEL)
def count(
    symbols: int, head: Ints, kept: Ints, past: Floats, levels: Ints, bars: Ints, held: Ints,
    before: Ints,
) -> None:  # fmt: skip
    """How much of each symbol goes into a state."""
    depth, least = kept.shape[1], levels[L_NEWEST] - levels[L_REACH]
    for symbol in range(symbols):
        had = head[symbol, H_COUNT]
        first = max(had - 1, 0)
        while (
            first > earliest(had, depth) and kept[symbol, (first - 1) & (depth - 1), E_TS] > least
        ):
            first -= 1
        first = base(first) + 1
        bars[symbol], held[symbol] = had, had - first
        before[symbol] = min(first, max(levels[L_BACK], 1), past.shape[1] - had + first)


@njit(**KERNEL)
def pack(  # noqa: PLR0913 (a kernel: primitives only)
    bars: Ints, held: Ints, before: Ints, kept: Ints, states: Floats, past: Floats, entries: Ints,
    lines: Floats, bases: Floats,
) -> None:  # fmt: skip
    """Copy what `count` counted."""
    depth, mask = kept.shape[1], past.shape[1] - 1
    entry = line = 0
    for symbol in range(bars.shape[0]):
        first = bars[symbol] - held[symbol]
        for bar in range(first, bars[symbol]):
            for field in range(ENTRY):
                entries[entry, field] = kept[symbol, bar & (depth - 1), field]
            entry += 1
        for bar in range(first - before[symbol], first):
            for field in range(PAST_FIELDS):
                lines[line, field] = past[symbol, bar & mask, field]
            line += 1
        row = row_after(symbol, first - 1, depth)
        for field in range(bases.shape[1]):
            bases[symbol, field] = states[row, field]


@njit(**KERNEL)
def unpack(  # noqa: PLR0913 (a kernel: primitives only)
    bars: Ints, held: Ints, before: Ints, entries: Ints, lines: Floats, bases: Floats, head: Ints,
    kept: Ints, states: Floats, past: Floats,
) -> None:  # fmt: skip
    """The opposite, into empty arrays that are deep enough."""
    depth, reach = kept.shape[1], past.shape[1]
    entry = line = 0
    for symbol in range(bars.shape[0]):
        first = bars[symbol] - held[symbol]
        for bar in range(first, bars[symbol]):
            for field in range(ENTRY):
                kept[symbol, bar & (depth - 1), field] = entries[entry, field]
            head[symbol, H_NEWEST] = entries[entry, E_TS]
            entry += 1
        head[symbol, H_COUNT] = bars[symbol]
        for bar in range(first - before[symbol], first):
            if bar >= bars[symbol] - reach:
                for field in range(PAST_FIELDS):
                    past[symbol, bar & (reach - 1), field] = lines[line, field]
            line += 1
        if first > 0:
            row = row_after(symbol, first - 1, depth)
            for field in range(bases.shape[1]):
                states[row, field] = bases[symbol, field]


@njit(**KERNEL)
def put_revs(bars: Ints, held: Ints, entries: Ints, kept: Ints) -> None:
    """The revs of the rows emitted for the bars of a state, which running them again counts up."""
    depth, entry = kept.shape[1], 0
    for symbol in range(bars.shape[0]):
        for bar in range(bars[symbol] - held[symbol], bars[symbol]):
            kept[symbol, bar & (depth - 1), E_REV] = entries[entry, E_REV]
            entry += 1


def taken(symbols: int, arrays: Arrays, metrics: Sequence[Metric], venue: Venue) -> dict[str, Any]:
    """The state of the first `symbols` of an engine with these metrics, copied but for `memory`."""
    bars, held, before = np.zeros((3, symbols), np.int64)
    levels, newest = arrays.levels, int(arrays.levels[L_NEWEST])
    count(symbols, arrays.head, arrays.kept, arrays.past, levels, bars, held, before)
    entries = np.empty((int(held.sum()), ENTRY), np.int64)
    lines = np.empty((int(before.sum()), PAST_FIELDS), np.float64)
    bases = np.empty((symbols, arrays.states.shape[1]), np.float64)
    pack(bars, held, before, arrays.kept, arrays.states, arrays.past, entries, lines, bases)
    return {
        "metrics": [metric.signature for metric in metrics],
        "widths": [list(_widths(metric, venue)) for metric in metrics],
        "hours": list(venue.calendar.reach()),
        "newest": newest,
        "newest_bar": int(entries[:, E_TS].max(initial=0)),
        "back": int(levels[L_BACK]),
        "bars": bars,
        "held": held,
        "before": before,
        "entries": entries,
        "lines": lines,
        "states": bases,
        "memory": Lasting(
            arrays.memory[:symbols], lambda: int(levels[L_NEWEST]) - newest <= DAY_NS
        ),
    }


def depth_for(state: State) -> int:
    """How many bars of a symbol an engine must keep to take a state."""
    return int(state["held"].max(initial=0)) + GAP


def put(state: State, arrays: Arrays) -> None:
    """Give a state to empty arrays of the same metrics, all but `memory`; the bars are not run
    yet."""
    bars = state["bars"]
    arrays.levels[L_NEWEST] = state["newest"]
    unpack(
        bars, state["held"], state["before"], state["entries"], state["lines"], state["states"],
        arrays.head, arrays.kept, arrays.states, arrays.past,
    )  # fmt: skip


def fitting(state: State, shape: tuple[int, int]) -> Floats | None:
    """The state's `memory` where it has this shape and lies on lines of the cache."""
    memory = state["memory"]
    fits = isinstance(memory, np.ndarray) and memory.shape == shape
    return memory if fits and memory.ctypes.data % 64 == 0 else None


def copied(state: State, empty: Floats) -> Floats:
    """The state's `memory`, if it has one, in an array that has made room for it."""
    found = _memory(state)
    if found is not None:
        empty[: len(found)] = found
    return empty


def first_bars(state: State) -> Block:
    """The first of each symbol's entries as rows of OHLCV, not final ones: given to the engine,
    they have it run them and all bars behind them again."""
    held, entries = state["held"], state["entries"]
    symbols = np.flatnonzero(held)
    firsts = entries[(np.cumsum(held) - held)[symbols]]
    block = np.zeros((len(OHLCV.columns), len(symbols)), np.int64)
    block[OHLCV.index["ticker"]] = symbols
    block[OHLCV.index["ts"]] = firsts[:, E_TS]
    block[OHLCV.index["ts_recv"]] = firsts[:, E_RECV]
    for field, name in enumerate(BAR_COLUMNS):
        column = OHLCV.index.get("vwap" if name == "bar_vwap" else name, -1)
        if column >= 0:
            bits = np.ascontiguousarray(firsts[:, E_BAR + field])
            whole = OHLCV.columns[column].dtype == "int"
            block[column] = bits.view(np.float64).astype(np.int64) if whole else bits
    return block


def only(state: State, symbols: Ints) -> dict[str, Any]:
    """The same state where symbols other than these (ascending ids) had no bar yet; `memory` is
    left as it is, for none of them reads it."""
    ours = np.zeros(len(state["bars"]), np.bool_)
    ours[symbols] = True
    found = dict(state)
    for name, counted in (("entries", "held"), ("lines", "before")):
        found[name] = state[name][np.repeat(ours, state[counted])]
    for name in ("bars", "held", "before"):
        found[name] = np.where(ours, state[name], 0)
    return found


def arranged(
    state: State, metrics: Sequence[Metric], venue: Venue
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A state for these metrics, in their order of computation, and the names of those that it
    lacks: theirs is as before any bar. Lacking are metrics that it never had, those of other code,
    those that read another one that is lacking, and those with `memory` where that was lost, or was
    laid out for other hours of the venue."""
    at, memory = _places(state), _memory(state)
    hours = list(venue.calendar.reach())
    if list(state.get("hours", hours)) != hours:
        memory = None
    if memory is not None and state["metrics"] == [metric.signature for metric in metrics]:
        return dict(state), ()
    columns: dict[str, str] = {}
    lacking: list[str] = []
    symbols = len(state["bars"])
    states, memories = [np.empty((symbols, 0))], [np.empty((symbols, 0))]
    for metric in metrics:
        wide, wide_memory = _widths(metric, venue)
        place = at.get(metric.signature)
        reads_lacking = any(columns.get(name, "") in lacking for name in metric.inputs)
        if place is None or reads_lacking or (wide_memory and memory is None):
            lacking.append(metric.name)
            states.append(np.zeros((symbols, wide)))
            memories.append(np.zeros((symbols, wide_memory)))
        else:
            states.append(state["states"][:, place.states])
            memories.append(
                memory[:, place.memory] if memory is not None else np.empty((symbols, 0))
            )
        columns |= {column.name: metric.name for column in metric.columns}
    found = {
        **state,
        "metrics": [metric.signature for metric in metrics],
        "widths": [list(_widths(metric, venue)) for metric in metrics],
        "hours": hours,
        "states": np.concatenate(states, axis=1),
        "memory": np.concatenate(memories, axis=1),
    }
    return found, tuple(lacking)


def joined(state: State, other: State, signatures: Collection[str]) -> dict[str, Any] | None:
    """A state with those metrics as `other` has them and the rest as `state` has them; None where
    the two have not seen the same bars."""
    symbols = max(len(state["bars"]), len(other["bars"]))
    one, two = _for(state, symbols), _for(other, symbols)
    same = all(np.array_equal(one[name], two[name]) for name in ("bars", "held"))
    ts = [each["entries"][:, E_TS] for each in (one, two)]
    if not same or not np.array_equal(*ts):
        return None
    further = two if two["back"] > one["back"] else one
    mine, theirs = _places(one), _places(two)
    memories = _memory(one), _memory(two)
    states, memory = one["states"].copy(), np.array(memories[0])
    for signature in signatures:
        states[:, mine[signature].states] = two["states"][:, theirs[signature].states]
        if memories[1] is not None:
            memory[:, mine[signature].memory] = memories[1][:, theirs[signature].memory]
    past = {name: further[name] for name in ("back", "before", "lines")}
    return {**one, **past, "states": states, "memory": memory}


class _Place(NamedTuple):
    """A metric's columns in `states` and in `memory`."""

    states: slice
    memory: slice


def _places(state: State) -> dict[str, _Place]:
    found = {}
    s = m = 0
    for signature, (wide, wide_memory) in zip(state["metrics"], state["widths"], strict=True):
        found[signature] = _Place(slice(s, s + wide), slice(m, m + wide_memory))
        s, m = s + wide, m + wide_memory
    return found


def _widths(metric: Metric, venue: Venue) -> tuple[int, int]:
    return len(metric.state), 0 if metric.memory is None else metric.memory(venue)


def _memory(state: State) -> Any:
    memory = state["memory"]
    return memory.array if isinstance(memory, Lasting) else memory


def _for(state: State, symbols: int) -> dict[str, Any]:
    """The same for more symbols, which had no bar yet."""
    more = symbols - len(state["bars"])
    if more == 0:
        return dict(state)
    wider: dict[str, Any] = {
        name: np.concatenate((state[name], np.zeros(more, np.int64)))
        for name in ("bars", "held", "before")
    }
    for name, array in (("states", state["states"]), ("memory", _memory(state))):
        wider[name] = np.concatenate((array, np.zeros((more, array.shape[1]))))
    return {**state, **wider}
