"""Finding bars in a symbol's past by the clock, for kernels.

A line of `past` (metric.py) is a line of the cache, and where symbols follow each other it is in
none: so as few of them as can be are looked at, and those of a later step are fetched beforehand.
"""

from typing import Any

from numba import njit

from bursa.metrics.metric import (
    BAR,
    FROM,
    KERNEL,
    P_DAY,
    P_MINUTE,
    PAST_FIELDS,
    SYMBOL,
    Floats,
    Ints,
)
from bursa.model.prefetch import prefetch

INLINE: dict[str, Any] = KERNEL | {"forceinline": True}
"""Options of njit for the parts of a kernel that run once a step."""

AHEAD = 8
"""Steps from a fetch to the use of what it brings."""
_STRIDES = 4  # bars looked at in turn, before the rest of them is searched by halves


@njit(**INLINE)
def begins_day(past: Floats, symbol: int, bar: int, day: float) -> bool:
    """Whether a symbol's bar number `bar`, of the trading day `day`, is its first one of that."""
    return bool(bar == 0 or past[symbol, (bar - 1) & (past.shape[1] - 1), P_DAY] != day)


@njit(**INLINE)
def older(past: Floats, symbol: int, bar: int, minute: float, back: int, known: int) -> int:
    """How many of a symbol's bars open `back` minutes or more before its bar number `bar`, which
    opens at `minute`. So the newest of them is number older - 1.

    back    whole minutes, 1 or more; as many bars back must stand in `past`
    known   what this gave for bar - 1; 0 where there is none
    """
    mask, limit = past.shape[1] - 1, minute - back
    low, high = max(known, 0), bar
    if low <= bar - back:  # a minute has one bar at most; and if there are no gaps, that is it
        low = bar - back + 1
        if past[symbol, (low - 1) & mask, P_MINUTE] == limit:
            return low
    # Choices rather than branches: no processor can tell how many minutes passed. It ends at the
    # bar itself, whose minute stands in its line.
    low += past[symbol, low & mask, P_MINUTE] <= limit
    low += past[symbol, low & mask, P_MINUTE] <= limit
    for _ in range(_STRIDES):
        if past[symbol, low & mask, P_MINUTE] > limit:
            return low
        low += 1
    while low < high:
        middle = (low + high) >> 1
        if past[symbol, middle & mask, P_MINUTE] > limit:
            high = middle
        else:
            low = middle + 1
    return low


@njit(**INLINE)
def of_days_before(past: Floats, symbol: int, low: int, high: int, day: float) -> int:
    """How many of a symbol's bars are of trading days before `day`, where that is known of the
    first `low` ones and of none from number `high` on."""
    mask = past.shape[1] - 1
    while low < high:
        middle = (low + high) >> 1
        if past[symbol, middle & mask, P_DAY] < day:
            low = middle + 1
        else:
            high = middle
    return low


@njit(**INLINE)
def fetch_bar(past: Floats, symbol: int, bar: int) -> None:
    """Fetch a line of the past."""
    depth = past.shape[1]
    prefetch(past, (symbol * depth + (bar & (depth - 1))) * PAST_FIELDS)


@njit(**INLINE)
def fetch_older(steps: Ints, i: int, states: Floats, field: int, past: Floats, back: int) -> None:
    """Fetch what `older` will look at in step i, where a field of the state keeps what it gave."""
    symbol, bar = steps[SYMBOL, i], steps[BAR, i]
    known, least = int(states[steps[FROM, i], field]), bar - back + 1
    fetch_bar(past, symbol, max(known, least) - 1)
    if known >= least:  # there are gaps: some more of them may have grown old
        fetch_bar(past, symbol, known)
        fetch_bar(past, symbol, known + 1)
