"""Volume today against the usual volume by this time of day.

    relative_volume_tod <- volume since the trading day's first bar / the mean of what that was at
                           this minute over the last 20 trading days

The 20 days are the last ones before today on which the symbol was traded; null until it has so
many, and where none of them had any volume by this minute. A day's volume at a minute is that of
its last bar at or before it: 0 before its first, the whole day's after its last. Minutes go by the
venue's clock; those outside its calendar's hours count as the nearest one inside. It is computed on
1-minute bars; a longer bar has that of its last minute.

A symbol's memory is a ring of days, each of them the volume by each minute, in whole numbers of the
venue's smallest unit. A bar fills the minutes since the bar before it; a day's first bar also fills
what was left of the day before. So what a bar writes is told by the bars up to it, and a bar that
is run again, with all those behind it, writes over what it or they wrote. The sums over the 20 days
are taken for eight minutes at once, a line of the cache of each day, and go with the state.
"""

import numpy as np
from numba import njit

from bursa.metrics.metric import (
    FROM,
    KERNEL,
    SYMBOL,
    TO,
    Family,
    Floats,
    Ints,
    Metric,
    Output,
    Terms,
)
from bursa.model.venue import Venue

_DAYS = 20
# 20 days and the present one; and three more that may be begun already when a bar is run again: as
# many as bars that are open at once can lie in (bars/build.py, PAGES_MAX).
_RING = 24
_GROUP = 8

# Arguments: minute of the venue's day of the first slot, slots a day, slots in use. Fields of the
# state: days begun; the day of the newest bar, its slot, the day's volume up to it; then the sums
# of the group of slots in which that slot is.
_FIRST, _SLOTS, _USED = 0, 1, 2
_BEGUN, _DAY, _SLOT, _VOLUME, _SUMS = 0, 1, 2, 3, 4


@njit(**KERNEL)
def fill(memory: Floats, symbol: int, row: int, start: int, end: int, volume: float) -> None:
    """Write a day's volume into its slots [start, end). row: the column of the day's first slot."""
    for slot in range(start, end):
        memory[symbol, row + slot] = volume


@njit(**KERNEL)
def sum_days(
    memory: Floats, symbol: int, at: int, slots: int, begun: int, states: Floats, after: int,
    sums: int,
) -> None:  # fmt: skip
    """Write the sums over the 20 days before the newest of those begun, for a group of slots. at:
    the column of its first slot on the ring's first day."""
    for slot in range(_GROUP):
        place, found = (begun - 1 - _DAYS) % _RING, 0.0
        for _ in range(_DAYS):
            found += memory[symbol, at + place * slots + slot]
            place = place + 1 if place + 1 < _RING else 0
        states[after, sums + slot] = found


@njit(**KERNEL)
def run(  # noqa: PLR0913 (the form of metric.py)
    n: int, steps: Ints, values: Floats, rows: Ints, states: Floats, s: int, past: Floats,
    memory: Floats, m: int, arguments: Floats,
) -> None:  # fmt: skip
    """All steps. Inputs: day_volume, day, second; see metric.py."""
    first, slots, used = int(arguments[_FIRST]), int(arguments[_SLOTS]), int(arguments[_USED])
    for i in range(n):
        now, after, symbol = steps[FROM, i], steps[TO, i], steps[SYMBOL, i]
        volume, day = values[rows[0], i], values[rows[1], i]
        slot = min(max(int(values[rows[2], i]) // 60 - first, 0), used - 1)
        begun, last = int(states[now, s + _BEGUN]), int(states[now, s + _SLOT])
        row, left = m + (begun - 1) % _RING * slots, states[now, s + _VOLUME]
        same = begun > 0 and day == states[now, s + _DAY]
        if same:
            slot = max(slot, last)  # a clock that is put back
            fill(memory, symbol, row, last + 1, slot, left)
        else:
            if begun > 0:
                fill(memory, symbol, row, last + 1, used, left)
            row = m + begun % _RING * slots
            begun += 1
            fill(memory, symbol, row, 0, slot, 0.0)
        memory[symbol, row + slot] = volume
        states[after, s + _BEGUN], states[after, s + _DAY] = float(begun), day
        states[after, s + _SLOT], states[after, s + _VOLUME] = float(slot), volume
        group = slot // _GROUP
        if same and group == last // _GROUP:
            for field in range(s + _SUMS, s + _SUMS + _GROUP):
                states[after, field] = states[now, field]
        elif begun > _DAYS:
            at = m + group * _GROUP
            sum_days(memory, symbol, at, slots, begun, states, after, s + _SUMS)
        else:
            states[after, s + _SUMS : s + _SUMS + _GROUP] = 0.0
        usual = states[after, s + _SUMS + slot % _GROUP]
        values[rows[3], i] = _DAYS * volume / usual if usual > 0.0 else np.nan


def _hours(venue: Venue) -> tuple[int, int]:
    """The first minute of the venue's day in which its calendar ever has a session, and how many
    there are from there to the end of the last one."""
    phases = [phase for row in venue.calendar.hours for phase in row.phases]
    first = min(phase.start_min for phase in phases)
    return first, max(phase.end_min for phase in phases) - first


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
                state=(
                    "begun",
                    "day",
                    "slot",
                    "volume",
                    *(f"sum_{n}" for n in range(_GROUP)),
                ),  # fmt: skip
                memory=lambda venue: _RING * _slots(venue),
                arguments=_arguments,
                definition=__doc__ or "",
                timeframes=("1m",),
                group="volume",
                guides=(1.0,),
            ),
        ),
    ),
)
