"""Which minutes of a venue's days have bars: a bit a minute, so that ten years fit in a megabyte.

A day has WORDS words of 64 bits; the lowest bit of the first one is the minute that begins with the
venue's day. Minutes are counted by elapsed time, so a day of 23 or 25 hours is like any other.
Pure; what the bits are used for is history/continuity.py, where they are kept store/coverage.py.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from bursa.model.calendar import MINUTE_NS, Calendar

# The longest day has 25 hours.
WORDS = 24
BITS = 64 * WORDS

Bits = NDArray[np.uint64]
Ints = NDArray[np.int64]

_ONE_DAY = timedelta(days=1)
_WORD_STARTS = 64 * np.arange(WORDS)


@dataclass(frozen=True, slots=True)
class Days:
    """Days of a venue's clock that follow one another, trading days or not.

    first      the first of them
    midnights  int64 (n + 1,), the beginning of each and of the one after the last, ns UTC
    """

    first: date
    midnights: Ints

    @staticmethod
    def of(calendar: Calendar, first: date, until: date) -> "Days":
        """The days first <= day < until."""
        count = max((until - first).days, 0)
        every = [calendar.midnight_ns(first + n * _ONE_DAY) for n in range(count + 1)]
        return Days(first, np.array(every, np.int64))

    @staticmethod
    def around(calendar: Calendar, first: date, until: date) -> "Days":
        """The days first <= day < until, and one more at an end where trading goes on over
        midnight: what was heard there proves minutes of these."""
        first -= _goes_on(calendar, first) * _ONE_DAY
        until += _goes_on(calendar, until) * _ONE_DAY
        return Days.of(calendar, first, until)

    def __len__(self) -> int:
        return len(self.midnights) - 1

    def day(self, row: int) -> date:
        """The date of a row."""
        return self.first + row * _ONE_DAY

    def rows(self, ts: Ints) -> Ints:
        """To which of the days instants belong; -1 before the first, n after the last."""
        return np.searchsorted(self.midnights, ts, side="right") - 1

    def pack(self, ts: Ints) -> Bits:
        """The minutes that begin at these instants. uint64 (n, WORDS); others are left out."""
        row = self.rows(ts)
        inside = (row >= 0) & (row < len(self))
        row, ts = row[inside], ts[inside]
        return pack(row, (ts - self.midnights[row]) // MINUTE_NS, len(self))

    def expected(self, calendar: Calendar) -> Bits:
        """The minutes in which trades are to be expected. uint64 (n, WORDS)."""
        out = np.zeros((len(self), WORDS), np.uint64)
        for row in range(len(self)):
            minutes = calendar.expected_minutes(self.day(row))
            if len(minutes):
                minutes = (minutes - self.midnights[row]) // MINUTE_NS
                out[row] = pack(np.zeros_like(minutes), minutes, 1)[0]
        return out


@dataclass(frozen=True, slots=True)
class Covered:
    """One instrument's minutes with bars, a row a day. uint64 (days, WORDS) each.

    received    there is a bar without a fault, however it came
    backfilled  those of `received` of which no revision came live
    faulty      there is one that cannot be (a null, a price below 0): nobody knows what was
    heard       a bar of any instrument of the venue came live: its feed spoke
    """

    received: Bits
    backfilled: Bits
    faulty: Bits
    heard: Bits


@dataclass(frozen=True, slots=True)
class Coverage:
    """The same of all instruments of a venue that have a bar in some days.

    tickers     ascending
    received    uint64 (tickers, days, WORDS); backfilled and faulty likewise
    heard       uint64 (days, WORDS)
    """

    tickers: tuple[str, ...]
    received: Bits
    backfilled: Bits
    faulty: Bits
    heard: Bits


def _goes_on(calendar: Calendar, day: date) -> bool:
    """Whether a day goes on what the one before ends with."""
    before, after = (calendar.expected_minutes(one) for one in (day - _ONE_DAY, day))
    return len(before) > 0 and len(after) > 0 and int(after[0] - before[-1]) == MINUTE_NS


def none(days: int) -> Covered:
    """Nothing, of so many days."""
    return Covered(*(np.zeros((days, WORDS), np.uint64) for _ in range(4)))


def pack(rows: Ints, minutes: Ints, count: int) -> Bits:
    """Bits of some minutes of their days' rows. uint64 (count, WORDS)."""
    out = np.zeros((count, WORDS), np.uint64)
    bit = np.left_shift(np.uint64(1), (minutes & 63).astype(np.uint64))
    np.bitwise_or.at(out, (rows, minutes >> 6), bit)
    return out


def unpack(bits: Bits) -> NDArray[np.bool_]:
    """bool (days, BITS)."""
    as_bytes = np.ascontiguousarray(bits).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, bitorder="little").view(np.bool_)


def count(bits: Bits) -> Ints:
    """How many minutes there are in each day: the last axis summed up."""
    return np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)


def between(start: Ints, end: Ints) -> Bits:
    """The minutes start <= minute < end of each row. uint64 (n, WORDS); none where end <= start."""
    return _below(end) & ~_below(np.minimum(start, end))


def _below(minute: Ints) -> Bits:
    """The minutes before one."""
    held = np.clip(minute[:, None] - _WORD_STARTS, 0, 64).astype(np.uint64)
    # A shift by all 64 bits is none in NumPy.
    some = np.left_shift(np.uint64(1), np.minimum(held, np.uint64(63))) - np.uint64(1)
    return np.where(held == 64, np.uint64(2**64 - 1), some)
