"""When a venue trades: its dated table of hours, and what follows from it.

The hours are data (`IDX_HOURS`, `XNAS_HOURS`, `ALWAYS_OPEN`), versioned by date, each row with
where it comes from; `Calendar` answers questions about days, sessions and expected minutes. Times
are int64 ns UTC, intervals half-open, days are dates of the venue's own clock. Holds no clock:
"now" is always an argument. Does not know timeframes (timeframe.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import overload
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS

_ONE_DAY = timedelta(days=1)
_QUARTER_NS = 900 * SECOND_NS  # no zone changes its offset off a quarter of an hour
_DAYS_CACHED_MAX = 16_384
_CLOSED_DAYS_MAX = 366  # a calendar without a trading day for this long is wrong


@dataclass(frozen=True)
class Phase:
    """One stretch of a trading day by the venue's wall clock: minutes after midnight, half-open.

    state    the feed's code of it (schema.STATES)
    trading  the market's main hours: continuous trading, or the closing auction that ends it
    grid     long bars start a new grid at its opening; charts have room for it
    """

    name: str
    state: str
    start_min: int
    end_min: int
    trading: bool = False
    grid: bool = False


@dataclass(frozen=True)
class Hours:
    """The phases of some weekdays (Monday is 0) from a date on, until rows of a later `since`.

    expected_until_min   minutes after midnight: from here on a minute may lie empty, although the
                         market is open (a closing auction that ends at random)
    source               where the row comes from, and how sure it is
    """

    since: date
    weekdays: tuple[int, ...]
    phases: tuple[Phase, ...]
    expected_until_min: int
    source: str


@dataclass(frozen=True, slots=True)
class Session:
    """A phase on one day, in absolute time: ns UTC, half-open."""

    name: str
    state: str
    open_ns: int
    close_ns: int
    trading: bool


def _idx_day(lunch: tuple[int, int], closing: tuple[int, int, int, int]) -> tuple[Phase, ...]:
    """lunch: start, end; closing: end of the second session, of the auction, start and end of the
    post-close; all in minutes after midnight."""
    return (
        Phase("pre-open", "P", 8 * 60 + 45, 9 * 60),
        Phase("session 1", "1", 9 * 60, lunch[0], trading=True, grid=True),
        Phase("break", "B", *lunch),
        Phase("session 2", "2", lunch[1], closing[0], trading=True, grid=True),
        Phase("pre-close", "C", closing[0], closing[1], trading=True),
        Phase("post-close", "X", closing[2], closing[3]),
    )


def _at(hour: int, minute: int) -> int:
    return hour * 60 + minute


_MON_THU, _FRI, _MON_FRI = (0, 1, 2, 3), (4,), (0, 1, 2, 3, 4)
_LUNCH, _LUNCH_FRI = (_at(12, 0), _at(13, 30)), (_at(11, 30), _at(14, 0))
_CLOSING_OLD = (_at(15, 50), _at(16, 5), _at(16, 5), _at(16, 16))
_CLOSING_SHORT = (_at(14, 50), _at(15, 1), _at(15, 1), _at(15, 16))
_CLOSING_NOW = (_at(15, 50), _at(16, 1), _at(16, 1), _at(16, 16))
_UNCONFIRMED = "assumed: the hours of 2023 with post-close from 16:05; the operator must confirm it"

# The regular board. NG and TN keep other hours; they form no bars.
IDX_HOURS = (
    Hours(date.min, _MON_THU, _idx_day(_LUNCH, _CLOSING_OLD), _at(16, 0), _UNCONFIRMED),
    Hours(date.min, _FRI, _idx_day(_LUNCH_FRI, _CLOSING_OLD), _at(16, 0), _UNCONFIRMED),
    Hours(
        date(2020, 3, 30),
        _MON_FRI,
        _idx_day((_at(11, 30), _at(13, 30)), _CLOSING_SHORT),
        _at(15, 0),
        "the exchange's shortened hours during the pandemic, the same on every weekday",
    ),
    Hours(
        date(2023, 4, 3),
        _MON_THU,
        _idx_day(_LUNCH, _CLOSING_NOW),
        _at(16, 0),
        "the exchange's return to full hours, Monday to Thursday; the close is at random",
    ),
    Hours(
        date(2023, 4, 3),
        _FRI,
        _idx_day(_LUNCH_FRI, _CLOSING_NOW),
        _at(16, 0),
        "the exchange's return to full hours, Friday with its longer noon break",
    ),
)

# Trades are made in all three phases, but only those of the regular one are to be expected, and
# the day opens with it. Half days and holidays are not known here.
XNAS_HOURS = (
    Hours(
        date.min,
        _MON_FRI,
        (
            Phase("pre-market", "P", _at(4, 0), _at(9, 30), grid=True),
            Phase("regular", "1", _at(9, 30), _at(16, 0), trading=True, grid=True),
            Phase("post-market", "X", _at(16, 0), _at(20, 0), grid=True),
        ),
        _at(16, 0),
        "the exchange's published hours: pre-market from 04:00 (since 2013, 07:00 before), market "
        "hours 09:30 to 16:00, post-market until 20:00, Eastern time; the crosses are at 09:30 "
        "and, printed just behind it, at 16:00",
    ),
)

ALWAYS_OPEN = (
    Hours(
        date.min,
        tuple(range(7)),
        (Phase("open", "1", 0, 24 * 60, trading=True, grid=True),),
        24 * 60,
        "trades without a pause; days are those of UTC",
    ),
)


class Calendar:
    """A venue's days. Immutable; answers about one day are remembered.

    timezone   IANA name; zone_word is what pages write behind a time ("WIB")
    hours      rows of any order; of those with since <= day the newest `since` counts
    holidays   days without trading, whatever the table says
    """

    def __init__(
        self,
        timezone: str,
        zone_word: str,
        hours: Sequence[Hours],
        holidays: frozenset[date] = frozenset(),
    ) -> None:
        self.timezone = timezone
        self.zone_word = zone_word
        self.hours = tuple(sorted(hours, key=lambda row: row.since))
        self.holidays = holidays
        self._zone = ZoneInfo(timezone)
        # Of the instance: a cache that decorates a method keeps every calendar alive.
        self._hours_cached = lru_cache(_DAYS_CACHED_MAX)(self._find_hours)
        self._sessions_cached = lru_cache(_DAYS_CACHED_MAX)(self._make_sessions)
        self._wall_ns_cached = lru_cache(_DAYS_CACHED_MAX)(self._wall_ns)
        self._utc_day_cached = lru_cache(_DAYS_CACHED_MAX)(self._utc_day_offsets_ns)

    # Days

    def day_of(self, ts_ns: int) -> date:
        """The venue's date at an instant."""
        return datetime.fromtimestamp(ts_ns // SECOND_NS, self._zone).date()

    def hours_of(self, day: date) -> Hours | None:
        """The row of the table that holds on a day; None where there is no trading."""
        return self._hours_cached(day)

    def _find_hours(self, day: date) -> Hours | None:
        if day in self.holidays:
            return None
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
    hours = ",".join(f"{a // 60:02d}{a % 60:02d}-{b // 60:02d}{b % 60:02d}" for a, b in _spans(row))
    return hours + ":" + "".join(str((day + 1) % 7 + 1) for day in row.weekdays)
