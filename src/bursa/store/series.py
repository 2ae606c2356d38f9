"""What is asked of one ticker's minutes, and in which stretch of time they are looked for first.

Tables lie by time, not by ticker, so a read costs by its range: the newest 600 of two years are
looked for in the days that hold 600 minutes, then, where the ticker is seldom traded, in ever
longer ones. Knows the calendar; no engine and no SQL (duckdb.py).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from bursa.model.calendar import MINUTE_NS, Calendar
from bursa.model.schema import INT_NULL, Kind

# Past a stretch of so many minutes (300 days of idx) the whole range is read.
NEAR_MINUTES_MAX = 100_000
# A stretch that held too few rows is followed by one so many times as long, at least.
_LONGER = 4
_ALWAYS = ("ticker", "freq", "ts", "rev")
_NULLS = {"float": int(np.array([np.nan]).view(np.int64)[0]), "text": -1}


@dataclass(frozen=True)
class Part:
    """What is asked: start <= ts < end, known by `as_of_ns`; the `newest` or `oldest` N of it; of
    its columns some or (None) all."""

    start_ns: int
    end_ns: int
    as_of_ns: int | None
    newest: int | None
    oldest: int | None
    columns: Collection[str] | None = None

    @property
    def count(self) -> int | None:
        """How many rows are asked for; None: all."""
        return self.oldest if self.newest is None else self.newest

    def left_out(self, kind: Kind) -> dict[str, int]:
        """The columns that are not wanted, and null as it is in a block."""
        if self.columns is None:
            return {}
        kept = {*_ALWAYS, *self.columns}
        return {c.name: _NULLS.get(c.dtype, INT_NULL) for c in kind.columns if c.name not in kept}


def near(part: Part, minutes: int, last_ns: int, calendar: Calendar) -> Part | None:
    """The stretch at the asked-for end of a part that has so many expected minutes; None where that
    is all of the part, or too long.

    last_ns   ts of the ticker's last row
    """
    if minutes > NEAR_MINUTES_MAX:
        return None
    back = part.newest is not None
    start_ns, end_ns = part.start_ns, min(part.end_ns, last_ns + 1)
    day, edge = calendar.day_of(start_ns), calendar.day_of(end_ns - 1)
    if back:
        day, edge = edge, day
    while True:
        every = calendar.expected_minutes(day)
        inside = every[np.searchsorted(every, start_ns) : np.searchsorted(every, end_ns)]
        if len(inside) >= minutes:
            # Its end stays open: there may be newer rows than the last one known.
            if back:
                return replace(part, start_ns=int(inside[-minutes]))
            return replace(part, end_ns=int(inside[minutes - 1]) + MINUTE_NS)
        minutes -= len(inside)
        # Not a day further: a calendar may know no trading day before its first or after its last.
        if day <= edge if back else day >= edge:
            return None
        day = calendar.previous_day(day) if back else calendar.next_day(day)


def longer(minutes: int, found: int, count: int) -> int:
    """How many minutes to look at next, after so many held `found` rows of `count`."""
    return max(_LONGER * minutes, -(-5 * minutes * count // (4 * max(found, 1))))
