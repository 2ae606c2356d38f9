"""When a venue trades: what follows from its tables of hours and of days that differ.

The tables are data (hours.py, holidays.py); `Calendar` answers questions about days, sessions and
expected minutes. Times are int64 ns UTC, intervals half-open, days are dates of the venue's own
clock. Holds no clock: "now" is always an argument. Does not know timeframes (timeframe.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import overload
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from bursa.model.hours import Dates, Holiday, Hours

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS

_ONE_DAY = timedelta(days=1)
# The exchange announces a year's holidays some months before it.
_SOON = timedelta(days=60)
_QUARTER_NS = 900 * SECOND_NS  # no zone changes its offset off a quarter of an hour
_DAYS_CACHED_MAX = 16_384
HOW_TO_AMEND = "past that every weekday counts as a trading day: name newer ones in a calendar file"
_CLOSED_DAYS_MAX = 366  # a calendar without a trading day for this long is wrong


@dataclass(frozen=True, slots=True)
class Session:
    """A phase on one day, in absolute time: ns UTC, half-open."""

    name: str
    state: str
    open_ns: int
    close_ns: int
    trading: bool


class Calendar:
    """A venue's days; answers about one day are remembered. Fixed while the program runs: an
    operator's table is taken before (`take`).

    timezone   IANA name; zone_word is what pages write behind a time ("WIB")
    hours      rows of any order; of those with since <= day the newest `since` counts
    dates      the days that differ, holidays and half days, whatever `hours` say
    week_from  weekday with which weeks begin; Monday is 0
    """

    def __init__(
        self,
        timezone: str,
        zone_word: str,
        hours: Sequence[Hours],
        dates: Dates | None = None,
        week_from: int = 0,
    ) -> None:
        self.timezone = timezone
        self.zone_word = zone_word
        self.week_from = week_from
        self._zone = ZoneInfo(timezone)
        # Of the instance: a cache that decorates a method keeps every calendar alive.
        self._hours_cached = lru_cache(_DAYS_CACHED_MAX)(self._find_hours)
        self._sessions_cached = lru_cache(_DAYS_CACHED_MAX)(self._make_sessions)
        self._wall_ns_cached = lru_cache(_DAYS_CACHED_MAX)(self._wall_ns)
        self._utc_day_cached = lru_cache(_DAYS_CACHED_MAX)(self._utc_day_offsets_ns)
        self.take(hours, Dates() if dates is None else dates)

    def take(self, hours: Sequence[Hours], dates: Dates) -> None:
        """Take other tables instead. Before anything is asked that is kept: all who hold this
        calendar see them."""
        self.hours = tuple(sorted(hours, key=lambda row: row.since))
        self.dates = dates
        self._hours_cached.cache_clear()
        self._sessions_cached.cache_clear()

    @property
    def holidays(self) -> Mapping[date, Holiday]:
        """The days without trading that the hours have, and why."""
        return self.dates.holidays

    def knows(self, day: date) -> bool:
        """False past the ends of the table of holidays: there every weekday of the hours counts as
        a trading day."""
        return self.dates.known_from <= day <= self.dates.known_until

    def ending(self, day: date) -> str:
        """What is to be said of the holidays' end so that somebody names the next ones in time: ""
        where they are known for long after a day, or there are none."""
        if self.dates.known_until - day >= _SOON:
            return ""
        left = (self.dates.known_until - day).days
        return f"{self.told()}: for {left} days more" if left >= 0 else self.told()

    def told(self) -> str:
        """How far the holidays are known, in words."""
        dates = self.dates
        if dates.known_until == date.max:
            return "it has no holidays"
        unsure = sum(not holiday.sure for holiday in dates.holidays.values())
        doubt = f", {unsure} of them announced or assumed" if unsure else ""
        return f"holidays are known from {dates.known_from} to {dates.known_until}{doubt}"

    # Days

    def day_of(self, ts_ns: int) -> date:
        """The venue's date at an instant."""
        return datetime.fromtimestamp(ts_ns // SECOND_NS, self._zone).date()

    def hours_of(self, day: date) -> Hours | None:
        """The row of the table that holds on a day; None where there is no trading."""
        return self._hours_cached(day)

    def _find_hours(self, day: date) -> Hours | None:
        if day in self.dates.holidays:
            return None
        if (special := self.dates.special.get(day)) is not None:
            return special
        since = max((row.since for row in self.hours if row.since <= day), default=None)
        weekday = day.weekday()
        for row in self.hours:
            if row.since == since and weekday in row.weekdays:
                return row
        return None

    def is_trading_day(self, day: date) -> bool:
        """True where the table has hours for the day and it is no holiday."""
        return self.hours_of(day) is not None

    def next_day(self, day: date) -> date:
        """The first trading day after `day`."""
        return self._walk(day, _ONE_DAY)

    def previous_day(self, day: date) -> date:
        """The last trading day before `day`."""
        return self._walk(day, -_ONE_DAY)

    def days(self, start: date, end: date) -> list[date]:
        """Trading days with start <= day < end, ascending."""
        every = (start + timedelta(days=n) for n in range((end - start).days))
        return [day for day in every if self.is_trading_day(day)]

    def _walk(self, day: date, step: timedelta) -> date:
        for _ in range(_CLOSED_DAYS_MAX):
            day += step
            if self.is_trading_day(day):
                return day
        raise ValueError(f"no trading day within {_CLOSED_DAYS_MAX} days up to {day}")

    # Sessions

    def sessions(self, day: date) -> tuple[Session, ...]:
        """The day's sessions in order of time, pre-open and break included; () where the venue
        does not trade."""
        return self._sessions_cached(day)

    def _make_sessions(self, day: date) -> tuple[Session, ...]:
        row = self.hours_of(day)
        if row is None:
            return ()
        return tuple(
            Session(
                phase.name,
                phase.state,
                self._wall_ns_cached(day, phase.start_min),
                self._wall_ns_cached(day, phase.end_min),
                phase.trading,
            )
            for phase in row.phases
        )

    def grid_opens(self, day: date) -> tuple[int, ...]:
        """The instants at which the grids of long bars start on a day (its first and its second
        session on idx), ascending, ns UTC; () where the venue does not trade."""
        row = self.hours_of(day)
        if row is None:
            return ()
        return tuple(
            self._wall_ns_cached(day, phase.start_min) for phase in row.phases if phase.grid
        )

    def day_open_ns(self, day: date) -> int:
        """Opening of the day's first trading session. ValueError where the venue does not trade."""
        return self._trading(day)[0].open_ns

    def day_close_ns(self, day: date) -> int:
        """End of the day's last trading session (idx: of the pre-close). ValueError where the
        venue does not trade."""
        return self._trading(day)[-1].close_ns

    def day_end_ns(self, day: date) -> int:
        """End of the day's last session of any kind (idx: of the post-close). ValueError where
        the venue does not trade."""
        self._trading(day)
        return self.sessions(day)[-1].close_ns

    def state_at(self, ts_ns: int) -> str:
        """Name of the session at an instant, or `closed`."""
        for session in self.sessions(self.day_of(ts_ns)):
            if session.open_ns <= ts_ns < session.close_ns:
                return session.name
        return "closed"

    def expected_minutes(self, day: date) -> NDArray[np.int64]:
        """Openings of the minutes in which trades are to be expected, ascending, ns UTC; empty
        where the venue does not trade. The minute in which a random close falls is not one."""
        row = self.hours_of(day)
        if row is None:
            return np.empty(0, np.int64)
        until_ns = self._wall_ns_cached(day, row.expected_until_min)
        return np.concatenate(
            [
                np.arange(s.open_ns, min(s.close_ns, until_ns), MINUTE_NS, dtype=np.int64)
                for s in self.sessions(day)
                if s.trading
            ]
        )

    def reach(self) -> tuple[int, int]:
        """The minutes of the day between which the hours ever have a phase: first, end."""
        phases = [phase for row in self.hours for phase in row.phases]
        return min(p.start_min for p in phases), max(p.end_min for p in phases)

    def _trading(self, day: date) -> list[Session]:
        found = [session for session in self.sessions(day) if session.trading]
        if not found:
            raise ValueError(f"{day} is no trading day")
        return found

    def udf_sessions(self) -> str:
        """The hours of the newest rows in TradingView's grammar: `0900-1200,1330-1616:2345|...`,
        days from 1 = Sunday; `24x7` where the venue never closes."""
        since = self.hours[-1].since
        rows = [row for row in self.hours if row.since == since]
        if any(len(row.weekdays) == 7 and _spans(row) == [(0, 24 * 60)] for row in rows):
            return "24x7"
        return "|".join(_udf(row) for row in rows)

    def udf_corrections(self) -> str:
        """The days with hours of their own in TradingView's grammar: `0400-1700:20261127;...`, days
        of the same hours together; "" where there are none."""
        by_hours: dict[str, list[str]] = {}
        for day, row in sorted(self.dates.special.items()):
            if day not in self.dates.holidays:
                by_hours.setdefault(_udf_hours(row), []).append(f"{day:%Y%m%d}")
        return ";".join(f"{hours}:{','.join(days)}" for hours, days in by_hours.items())

    # Clock

    def offset_ns(self, ts_ns: int) -> int:
        """What the venue's clock is ahead of UTC at an instant, ns."""
        offset = datetime.fromtimestamp(ts_ns // SECOND_NS, self._zone).utcoffset()
        assert offset is not None, "a zone has an offset at any instant"
        return (offset // timedelta(microseconds=1)) * 1_000

    def midnight_ns(self, day: date) -> int:
        """The beginning of a day by the venue's clock, ns UTC."""
        return self._wall_ns_cached(day, 0)

    def text(self, ts_ns: int) -> str:
        """An instant as ISO text by the venue's clock, whole seconds, with its offset."""
        return datetime.fromtimestamp(ts_ns // SECOND_NS, self._zone).isoformat()

    def instant_ns(self, moment: datetime) -> int:
        """A moment as ns UTC, to the microsecond; by the venue's clock where it names no zone."""
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone)
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000

    @overload
    def local_s(self, ts_ns: int) -> int: ...
    @overload
    def local_s(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def local_s(self, ts_ns: int | NDArray[np.int64]) -> int | NDArray[np.int64]:
        """Whole seconds since midnight that the venue's wall clock shows (0 to 86,399)."""
        if isinstance(ts_ns, np.ndarray):
            return (ts_ns + self.offsets_ns(ts_ns)) % DAY_NS // SECOND_NS
        return (ts_ns + self.offset_ns(ts_ns)) % DAY_NS // SECOND_NS

    def offsets_ns(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """`offset_ns` of each instant, int64 (n,)."""
        utc_days, at = np.unique(ts_ns // DAY_NS, return_inverse=True)
        ends = np.array([self._utc_day_cached(day) for day in utc_days.tolist()], np.int64)
        ends = ends.reshape(-1, 2)
        offsets = ends[at, 0]
        mixed = offsets != ends[at, 1]  # on the days of a change, look closer
        if mixed.any():
            quarters, at = np.unique(ts_ns[mixed] // _QUARTER_NS, return_inverse=True)
            found = [self.offset_ns(quarter * _QUARTER_NS) for quarter in quarters.tolist()]
            offsets[mixed] = np.array(found, np.int64)[at]
        return offsets

    def _utc_day_offsets_ns(self, utc_day: int) -> tuple[int, int]:
        """The offset at the beginning and at the end of a day of UTC."""
        start_ns = utc_day * DAY_NS
        return self.offset_ns(start_ns), self.offset_ns(start_ns + DAY_NS - 1)

    def _wall_ns(self, day: date, minute: int) -> int:
        """The instant at which the venue's wall clock shows so many minutes after midnight."""
        wall = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        wall += timedelta(minutes=minute)  # adds to the wall clock, not to the instant
        return self.instant_ns(wall)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _spans(row: Hours) -> list[tuple[int, int]]:
    """The stretches to be drawn on a chart: phases that trade and what follows them without a
    pause."""
    spans: list[tuple[int, int]] = []
    for phase in row.phases:
        if spans and spans[-1][1] == phase.start_min and phase.state != "B":
            spans[-1] = (spans[-1][0], phase.end_min)
        elif phase.trading or phase.grid:
            spans.append((phase.start_min, phase.end_min))
    return spans


def _udf(row: Hours) -> str:
    return _udf_hours(row) + ":" + "".join(str((day + 1) % 7 + 1) for day in row.weekdays)


def _udf_hours(row: Hours) -> str:
    return ",".join(f"{_clock(a)}-{_clock(b)}" for a, b in _spans(row))


def _clock(minute: int) -> str:
    """Of minutes after midnight; the day's end is the next midnight."""
    return f"{minute // 60 % 24:02d}{minute % 60:02d}"
