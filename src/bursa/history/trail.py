"""The way of each index through the venue's day, and what is usual by this time of day.

Stored index rows are read off the event loop, from where the last renewal ended; the newest rows in
memory are laid over them. One caller renews at a time, any thread reads what was found. Does not
say which indices there are (day.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from bursa.history.present import Present
from bursa.model.batch import Batch
from bursa.model.calendar import MINUTE_NS
from bursa.model.venue import Venue
from bursa.ports import Store

# What is usual: the mean of so many trading days that have index rows, looked for among so many.
USUAL_DAYS = 5
_DAYS_BACK_MAX = 15
# Indices read from the store in one turn, each in its turn: memory alone knows all but the very end
# of a minute.
READS_MAX = 4

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trail:
    """The way of one index: the last value in each minute that has one.

    ts      int64 (n,), openings of the minutes, ns UTC, ascending
    values  float64 (n,), index points
    """

    ts: Ints
    values: Floats


NO_TRAIL = Trail(np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True)
class _Known:
    """What the last renewal found; replaced as a whole.

    trails  by code
    from_ns by code: from where on the store is read next
    curves  the value traded by the main index on earlier days: (ns since midnight, ascending;
            value traded so far), the newest day first
    """

    day: date
    trails: Mapping[str, Trail] = field(default_factory=dict)
    from_ns: Mapping[str, int] = field(default_factory=dict)
    curves: tuple[tuple[Ints, Floats], ...] = ()


class Trails:
    """The indices of one venue."""

    def __init__(self, venue: Venue, store: Store, present: Present) -> None:
        self._venue, self._store, self._present = venue, store, present
        self._known: _Known | None = None
        self._curves: dict[date, tuple[Ints, Floats]] = {}
        self._turn = 0
        self._read: dict[str, int] = {}

    def trail(self, code: str, day: date) -> Trail:
        """The way of an index through a day, the newest row in memory included; empty where there
        is none."""
        known = self._known
        found = NO_TRAIL
        if known is not None and known.day == day:
            found = known.trails.get(code, NO_TRAIL)
        newest = self._newest(day).get(code)
        return found if newest is None else _laid(found, newest)

    def usual(self, day: date) -> float | None:
        """The main index's value traded on a day so far, over the mean of what it was at that time
        on earlier days; None where one of the two is not known."""
        known = self._known
        rows = self._present.last("index", self._venue.main_index)
        midnight = self._venue.calendar.midnight_ns(day)
        if known is None or known.day != day or not known.curves or not len(rows):
            return None
        passed = int(rows.column("ts")[0]) - midnight
        if passed < 0:
            return None
        earlier = [np.interp(passed, at, traded, left=0.0) for at, traded in known.curves]
        mean = float(np.mean(earlier))
        return float(rows.column("value_traded")[0]) / mean if mean > 0 else None

    def renew(self, day: date) -> None:
        """Read what was stored since the last time. Blocks; raises what the store raises."""
        known = self._known
        if known is None or known.day != day:
            known = _Known(day)
        newest = self._newest(day)
        trails, from_ns = dict(known.trails), dict(known.from_ns)
        for code, last in newest.items():
            trails[code] = _laid(trails.get(code, NO_TRAIL), last)
        self._known = known = _Known(day, trails, from_ns, known.curves)
        start_ns, end_ns = self._bounds(day)
        for code in self._next(list(newest)):
            stored = self._store.index(self._venue.name, code, from_ns.get(code, start_ns), end_ns)
            if len(stored):
                trails[code] = _joined(trails[code], _by_minute(stored))
                from_ns[code] = int(stored.column("ts")[-1]) // MINUTE_NS * MINUTE_NS
        # Once rows of the day are stored, all of the days before are.
        curves = self._earlier(day) if self._venue.main_index in from_ns else known.curves
        self._known = _Known(day, trails, from_ns, curves)

    def _next(self, codes: list[str]) -> list[str]:
        """Whose turn it is: the main index's always, then who waits longest."""
        main, self._turn = self._venue.main_index, self._turn + 1
        codes.sort(key=lambda code: (code != main, self._read.get(code, 0), code))
        self._read |= dict.fromkeys(codes[:READS_MAX], self._turn)
        return codes[:READS_MAX]

    def _newest(self, day: date) -> dict[str, tuple[int, float]]:
        """Code -> (ts, value) of the newest row, where it is of the day."""
        rows = self._present.last("index")
        start_ns, end_ns = self._bounds(day)
        found = zip(
            rows.text("index_code"),
            rows.column("ts").tolist(),
            rows.column("value").tolist(),
            strict=True,
        )
        return {code: (ts, value) for code, ts, value in found if code and start_ns <= ts < end_ns}

    def _earlier(self, day: date) -> tuple[tuple[Ints, Floats], ...]:
        """The curves of the last trading days before one; each is read once."""
        calendar, found = self._venue.calendar, []
        kept, self._curves = self._curves, {}
        for _ in range(_DAYS_BACK_MAX):
            day = calendar.previous_day(day)
            curve = kept.get(day)
            curve = self._curve(day) if curve is None else curve
            self._curves[day] = curve
            if len(curve[0]):
                found.append(curve)
            if len(found) == USUAL_DAYS:
                break
        return tuple(found)

    def _curve(self, day: date) -> tuple[Ints, Floats]:
        start_ns, end_ns = self._bounds(day)
        stored = self._store.index(self._venue.name, self._venue.main_index, start_ns, end_ns)
        last = _last_of_minutes(stored.column("ts"))
        ts, traded = stored.column("ts")[last] - start_ns, stored.column("value_traded")[last]
        return ts, np.maximum.accumulate(traded)

    def _bounds(self, day: date) -> tuple[int, int]:
        calendar = self._venue.calendar
        return calendar.midnight_ns(day), calendar.midnight_ns(day + timedelta(days=1))


def _last_of_minutes(ts: Ints) -> Ints:
    """Which of ascending instants are the last of their minute."""
    minutes = ts // MINUTE_NS
    return np.flatnonzero(np.append(minutes[1:] != minutes[:-1], True)[: len(ts)])


def _by_minute(stored: Batch) -> Trail:
    ts = stored.column("ts")
    last = _last_of_minutes(ts)
    return Trail(ts[last] // MINUTE_NS * MINUTE_NS, stored.column("value")[last])


def _joined(known: Trail, stored: Trail) -> Trail:
    """The stored minutes in the place of known ones, which stay before and behind them."""
    first, last = np.searchsorted(known.ts, (stored.ts[0], stored.ts[-1] + 1))
    ts = np.concatenate((known.ts[:first], stored.ts, known.ts[last:]))
    return Trail(ts, np.concatenate((known.values[:first], stored.values, known.values[last:])))


def _laid(known: Trail, newest: tuple[int, float]) -> Trail:
    """The newest value over a trail: in its minute, unless the trail goes on past it."""
    minute, value = newest[0] // MINUTE_NS * MINUTE_NS, newest[1]
    if len(known.ts) and known.ts[-1] > minute:
        return known
    keep = len(known.ts) - bool(len(known.ts) and known.ts[-1] == minute)
    return Trail(np.append(known.ts[:keep], minute), np.append(known.values[:keep], value))
