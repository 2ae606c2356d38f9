"""Volume today against the usual volume by this time of day.

    relative_volume_tod <- volume since the trading day's first bar / the mean of what that was at
                           this minute over the last 20 trading days

The 20 days are the last ones before today on which the symbol was traded; null until it has so
many, and where none of them had any volume by this minute. A day's volume at a minute is that of
its last bar at or before it: 0 before its first, the whole day's after its last. Minutes go by the
venue's clock; those outside its calendar's hours count as the nearest one inside. It is computed on
1-minute bars; a longer bar has that of its last minute.

A symbol's memory is a ring of days, each of them the volume by each minute, and a shorter ring of
the sums over the 20 days before a day,

    sum(day) <- sum(day - 1) + volume(day - 1) - volume(day - 21)

in whole numbers of the venue's smallest unit: exact below 2 ** 53, so nothing of a day stays in it.
A bar fills the minutes since the bar before it, sums for eight minutes at once (a line of the
cache), and a day's first bar also fills what was left of the day before. So what a bar writes is
told by the bars up to it, and a bar that is run again, with all those behind it, writes over what
it or they wrote.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import (
    BAR,
    FROM,
    KERNEL,
    P_DAY_VOLUME,
    SYMBOL,
    TO,
    Family,
    Floats,
    Ints,
    Metric,
    Output,
    Terms,
)
from bursa.metrics.past import AHEAD, INLINE, begins_day
from bursa.model.prefetch import prefetch
from bursa.model.venue import Venue

_DAYS = 20
# Days newer than that of a bar which is run again, of which there may be bars in memory already.
# Bars that are open at once lie in no more than three days (bars/build.py, PAGES_MAX): two. The
# engine runs up to three bars before a revised one with it (kernel.py, GAP), each perhaps of a day
# of its own. And a checkpoint finds what a day later was written there (metric.py): two more.
_NEWER = 2 + 3 + 2
# Days that each ring holds: of volumes, 21 days before the present one are read, of sums, one.
_VOLUMES, _SUMS = _DAYS + 1 + 1 + _NEWER, 1 + 1 + _NEWER
_GROUP = 8

# Arguments: minute of the venue's day of the first slot, slots a day, slots in use. Fields of the
# state: days begun, the slot of the newest bar.
_FIRST, _SLOTS, _USED = 0, 1, 2
_BEGUN, _SLOT = 0, 1


@njit(**INLINE)
def volumes_of(day: int, slots: int) -> int:
    """Where a day's volumes begin. Days are numbered from the symbol's first, which is 0."""
    return day % _VOLUMES * slots


@njit(**INLINE)
def sums_of(day: int, slots: int) -> int:
    """Where the sums over the 20 days before a day begin."""
    return (_VOLUMES + day % _SUMS) * slots


@njit(**KERNEL)
def fill(memory: Floats, symbol: int, row: int, start: int, end: int, volume: float) -> None:
    """Write a day's volume into its slots [start, end). row: the column of the day's first slot."""
    for slot in range(start, end):
        memory[symbol, row + slot] = volume


@njit(**KERNEL)
def add(memory: Floats, symbol: int, m: int, slots: int, day: int, start: int, end: int) -> None:
    """Write a day's sums for its slots [start, end). Before the symbol's first day all is 0."""
    total, before = m + sums_of(day, slots), m + sums_of(day - 1, slots)
    coming, leaving = m + volumes_of(day - 1, slots), m + volumes_of(day - 1 - _DAYS, slots)
    for slot in range(start, end):
        found = 0.0
        if day > 0:
            found = memory[symbol, before + slot] + memory[symbol, coming + slot]
        if day > _DAYS:
            found -= memory[symbol, leaving + slot]
        memory[symbol, total + slot] = found


@njit(**INLINE)
def fetch(memory: Floats, symbol: int, m: int, slots: int, day: int, slot: int) -> None:
    """Fetch what a bar of a day will read and write, if it is not the day's first."""
    at = symbol * memory.shape[1] + m + slot
    prefetch(memory, at + volumes_of(day, slots))
    prefetch(memory, at + sums_of(day, slots))
    if slot % _GROUP == 0:
        prefetch(memory, at + sums_of(day - 1, slots))
        prefetch(memory, at + volumes_of(day - 1, slots))
        prefetch(memory, at + volumes_of(day - 1 - _DAYS, slots))


@njit(**INLINE)
def slot_of(second: float, first: int, used: int) -> int:
    """The slot of a second of the venue's day."""
    return min(max(int(second) // 60 - first, 0), used - 1)


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps. Inputs: day_volume, day, second; see metric.py."""
    first, slots, used = int(arguments[_FIRST]), int(arguments[_SLOTS]), int(arguments[_USED])
    mask = past.shape[1] - 1
    for i in range(n):
        if i + AHEAD < n:
            slot = slot_of(values[rows[2], i + AHEAD], first, used)
            day = int(states[steps[FROM, i + AHEAD], s + _BEGUN]) - 1
            fetch(memory, steps[SYMBOL, i + AHEAD], m, slots, day, slot)
        now, after, symbol, bar = steps[FROM, i], steps[TO, i], steps[SYMBOL, i], steps[BAR, i]
        volume, slot = values[rows[0], i], slot_of(values[rows[2], i], first, used)
        day, last = int(states[now, s + _BEGUN]) - 1, int(states[now, s + _SLOT])
        left = past[symbol, (bar - 1) & mask, P_DAY_VOLUME]
        ready = (last // _GROUP + 1) * _GROUP
        if not begins_day(past, symbol, bar, values[rows[1], i]):
            slot = max(slot, last)  # a clock that is put back
            fill(memory, symbol, m + volumes_of(day, slots), last + 1, slot, left)
        else:
            if bar > 0:
                fill(memory, symbol, m + volumes_of(day, slots), last + 1, used, left)
                add(memory, symbol, m, slots, day, ready, slots)
            day, ready = day + 1, 0
            fill(memory, symbol, m + volumes_of(day, slots), 0, slot, 0.0)
        memory[symbol, m + volumes_of(day, slots) + slot] = volume
        if slot >= ready:
            add(memory, symbol, m, slots, day, ready, (slot // _GROUP + 1) * _GROUP)
        states[after, s + _BEGUN], states[after, s + _SLOT] = float(day + 1), float(slot)
        usual = memory[symbol, m + sums_of(day, slots) + slot]
        known = day >= _DAYS and usual > 0.0
        values[rows[3], i] = _DAYS * volume / usual if known else np.nan


def _hours(venue: Venue) -> tuple[int, int]:
    """The first minute of the venue's day in which its calendar ever has a session, and how many
    there are from there to the end of the last one."""
    first, end = venue.calendar.reach()
    return first, end - first


def _slots(venue: Venue) -> int:
    """Those of a day, in whole groups."""
    return -(-_hours(venue)[1] // _GROUP) * _GROUP


def _arguments(terms: Terms) -> tuple[float, float, float]:
    first, used = _hours(terms.venue)
    return float(first), float(_slots(terms.venue)), float(used)


FAMILIES = (
    Family(
        "relative_volume_tod",
        run,
        (
            Metric(
                name="relative_volume_tod",
                description="Volume so far today over the mean volume by this minute of 20 days",
                unit="ratio",
                inputs=("day_volume", "day", "second"),
                outputs=(Output("value", "ratio: 1 where today is as busy as usual by this time"),),
                parameters=(("days", _DAYS),),
                warmup=_DAYS,
                state=("begun", "slot"),
                back=1,
                memory=lambda venue: (_VOLUMES + _SUMS) * _slots(venue),
                arguments=_arguments,
                definition=__doc__ or "",
                timeframes=("1m",),
                group="volume",
                guides=(1.0,),
            ),
        ),
    ),
)
