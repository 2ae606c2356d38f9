"""The timeframes, and to which bar of one a minute belongs.

Grid rules: a session's grid starts at its opening. Earlier minutes of the day (the opening
auction) count in the first bucket; later ones continue the grid, so that a closing auction at
16:00 opens a 5m bucket of its own. `ts` of 1d, 1w and 1M is the opening of the first session on the
first trading day that the calendar has in that day, week or month, whether or not
anything was traded then. On a day without trading the grid starts at its midnight.

Does not build bars (bars/rollup.py).
"""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bursa.model.calendar import DAY_NS, MINUTE_NS, Calendar
from bursa.model.errors import Refuse
from bursa.model.hours import Hours

# Nanoseconds; nominal from 1d on, where the calendar decides.
TIMEFRAMES: dict[str, int] = {
    "1m": MINUTE_NS,
    "5m": 5 * MINUTE_NS,
    "15m": 15 * MINUTE_NS,
    "30m": 30 * MINUTE_NS,
    "1h": 60 * MINUTE_NS,
    "4h": 240 * MINUTE_NS,
    "1d": DAY_NS,
    "1w": 7 * DAY_NS,
    "1M": 30 * DAY_NS,
}

# TradingView's resolution -> timeframe, in the order in which they are shown.
RESOLUTIONS = {
    "1": "1m",
    "5": "5m",
    "15": "15m",
    "30": "30m",
    "60": "1h",
    "240": "4h",
    "D": "1d",
    "W": "1w",
    "M": "1M",
}

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_ONE_DAY = timedelta(days=1)


def parse(text: str, name: str = "tf") -> str:
    """The timeframe `text`. Refuse `unknown_timeframe` otherwise, of the parameter `name`."""
    if text not in TIMEFRAMES:
        known = ", ".join(TIMEFRAMES)
        message = f"{name}={text[:64]!r} is none of {known}"
        raise Refuse(message, "unknown_timeframe", parameter=name)
    return text


def buckets(ts: NDArray[np.int64], tf: str, calendar: Calendar) -> NDArray[np.int64]:
    """The opening of the bar of `tf` that each minute belongs to.

    ts        int64 (n,), openings of 1-minute bars, ns UTC, ascending
    returns   int64 (n,), ns UTC, ascending
    """
    if tf == "1m" or not len(ts):
        return ts.copy()
    out = np.empty_like(ts)
    local_day = (ts + calendar.offsets_ns(ts)) // DAY_NS
    days, starts = np.unique(local_day, return_index=True)
    ends = np.append(starts[1:], len(ts))
    for number, start, end in zip(days.tolist(), starts.tolist(), ends.tolist(), strict=True):
        day = date.fromordinal(_EPOCH_ORDINAL + number)
        if TIMEFRAMES[tf] >= DAY_NS:
            out[start:end] = _long_open(day, tf, calendar)
        else:
            out[start:end] = _on_grid(ts[start:end], day, TIMEFRAMES[tf], calendar)
    return out


def minutes_of(open_ns: int, tf: str, calendar: Calendar) -> tuple[int, int]:
    """The minutes that a bar is made of: every minute of [start, end) and no other has its bucket
    at `open_ns`, which must be the opening of a bar of `tf`. ns UTC."""
    if tf == "1m":
        return open_ns, open_ns + MINUTE_NS
    day = calendar.day_of(open_ns)
    if TIMEFRAMES[tf] >= DAY_NS:
        first, after = _stretch(day, tf, calendar)
        return calendar.midnight_ns(first), calendar.midnight_ns(after)
    opens = _opens(day, calendar)
    start = calendar.midnight_ns(day) if open_ns == opens[0] else open_ns
    end = min(open_ns + TIMEFRAMES[tf], calendar.midnight_ns(day + _ONE_DAY))
    return start, min([end, *(at for at in opens if at > open_ns)])


def bucket_end(open_ns: int, tf: str, calendar: Calendar) -> int:
    """When the bar that opens at `open_ns` is over: at the end of its minutes, or with the last
    session of its last trading day where that is earlier. ns UTC."""
    _, end_ns = minutes_of(open_ns, tf, calendar)
    if tf == "1m":
        return end_ns
    first = calendar.day_of(open_ns)
    day = calendar.day_of(end_ns - 1)
    while day >= first:
        if calendar.is_trading_day(day):
            over_ns = calendar.day_end_ns(day)
            return over_ns if open_ns < over_ns < end_ns else end_ns
        day -= _ONE_DAY
    return end_ns


def lookback_ns(tf: str, count: int, calendar: Calendar, before_ns: int) -> int:
    """A start such that [start, before_ns) holds at least `count` bars of `tf` by the calendar,
    if every expected minute was traded: a venue's midnight, ns UTC, never before 1970."""
    floor = date(1970, 1, 1)
    day = calendar.day_of(before_ns - 1)
    if TIMEFRAMES[tf] >= DAY_NS:
        held = 0
        for start in _stretches_back(day, tf, calendar):
            held += _long_open(start, tf, calendar) < before_ns
            if held >= count or start <= floor:
                return max(calendar.midnight_ns(start), 0)
    held = _held(day, tf, calendar, before_ns)
    while held < count and day > floor:
        day = calendar.previous_day(day)
        held += _held(day, tf, calendar, before_ns)
    return max(calendar.midnight_ns(day), 0)


def _opens(day: date, calendar: Calendar) -> tuple[int, ...]:
    return calendar.grid_opens(day) or (calendar.midnight_ns(day),)


def _on_grid(
    ts: NDArray[np.int64], day: date, step_ns: int, calendar: Calendar
) -> NDArray[np.int64]:
    """Buckets of the minutes of one day."""
    opens = np.array(_opens(day, calendar), np.int64)
    grid = opens[np.maximum(np.searchsorted(opens, ts, side="right") - 1, 0)]
    return grid + np.maximum(ts - grid, 0) // step_ns * step_ns


def _stretch(day: date, tf: str, calendar: Calendar) -> tuple[date, date]:
    """The days of the 1d, 1w or 1M bar that holds `day`: first, and the one after the last."""
    if tf == "1d":
        return day, day + _ONE_DAY
    if tf == "1w":
        first = day - timedelta(days=(day.weekday() - calendar.week_from) % 7)
        return first, first + timedelta(days=7)
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


def _long_open(day: date, tf: str, calendar: Calendar) -> int:
    first, after = _stretch(day, tf, calendar)
    at = first
    while at < after:
        if calendar.is_trading_day(at):
            return calendar.day_open_ns(at)
        at += _ONE_DAY
    return calendar.midnight_ns(first)


def _stretches_back(day: date, tf: str, calendar: Calendar) -> Iterator[date]:
    """First days of the bars of 1d, 1w or 1M that have a trading day: that of `day`, then back."""
    while True:
        first, _ = _stretch(day, tf, calendar)
        yield first
        day = calendar.previous_day(first)


def _held(day: date, tf: str, calendar: Calendar, before_ns: int) -> int:
    """How many intraday bars the expected minutes of a day before an instant make."""
    row = calendar.hours_of(day)
    if row is None:
        return 0
    if before_ns > calendar.day_end_ns(day):
        return _bars_a_day(row, TIMEFRAMES[tf] // MINUTE_NS)
    minutes = calendar.expected_minutes(day)
    minutes = minutes[: np.searchsorted(minutes, before_ns)]
    return len(np.unique(buckets(minutes, tf, calendar)))


@lru_cache
def _bars_a_day(row: Hours, step_min: int) -> int:
    """How many intraday bars the expected minutes of a whole day make."""
    keys = set()
    grid_min = 0
    for phase in row.phases:
        grid_min = phase.start_min if phase.grid else grid_min
        if phase.trading:
            minutes = range(phase.start_min, min(phase.end_min, row.expected_until_min))
            keys |= {(grid_min, (minute - grid_min) // step_min) for minute in minutes}
    return len(keys)
