"""The dated hours, and the days, sessions and minutes that follow from them."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from bursa.model.calendar import DAY_NS, MINUTE_NS, SECOND_NS, Calendar
from bursa.model.hours import Dates, Holiday, Hours, Phase
from bursa.model.timeframe import bucket_end, buckets, minutes_of
from bursa.model.venue import BINANCE, FOREX_CALENDAR, IDX, XNAS

IDX_DAYS = IDX.calendar
ALWAYS = BINANCE.calendar
THURSDAY, FRIDAY, SATURDAY = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 21)
NEW_YORK = Calendar(
    "America/New_York",
    "ET",
    (Hours(date.min, (0, 1, 2, 3, 4, 5, 6), (Phase("day", "1", 570, 960, True, True),), 960, "-"),),
)


def jakarta_ns(day: date, clock: str) -> int:
    hour, minute = map(int, clock.split(":"))
    at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo("Asia/Jakarta"))
    return int(at.timestamp()) * SECOND_NS


@pytest.mark.parametrize(
    ("day", "session_1", "session_2", "pre_close", "post_close", "minutes"),
    [
        (THURSDAY, "09:00-12:00", "13:30-15:50", "15:50-16:01", "16:01-16:16", 330),
        (FRIDAY, "09:00-11:30", "14:00-15:50", "15:50-16:01", "16:01-16:16", 270),
        (date(2023, 4, 3), "09:00-12:00", "13:30-15:50", "15:50-16:01", "16:01-16:16", 330),
        (date(2023, 3, 31), "09:00-11:30", "13:30-14:50", "14:50-15:01", "15:01-15:16", 240),
        (date(2020, 3, 30), "09:00-11:30", "13:30-14:50", "14:50-15:01", "15:01-15:16", 240),
        (date(2020, 3, 26), "09:00-12:00", "13:30-15:50", "15:50-16:05", "16:05-16:16", 330),
        (date(2020, 3, 27), "09:00-11:30", "14:00-15:50", "15:50-16:05", "16:05-16:16", 270),
    ],
)
def test_idx_hours_by_date(
    day: date, session_1: str, session_2: str, pre_close: str, post_close: str, minutes: int
) -> None:
    found = {s.name: (s.open_ns, s.close_ns) for s in IDX_DAYS.sessions(day)}

    def span(text: str) -> tuple[int, int]:
        start, end = text.split("-")
        return jakarta_ns(day, start), jakarta_ns(day, end)

    assert found == {
        "pre-open": span("08:45-09:00"),
        "session 1": span(session_1),
        "break": span(f"{session_1[6:]}-{session_2[:5]}"),
        "session 2": span(session_2),
        "pre-close": span(pre_close),
        "post-close": span(post_close),
    }
    assert "".join(s.state for s in IDX_DAYS.sessions(day)) == "P1B2CX"
    assert [s.name for s in IDX_DAYS.sessions(day) if s.trading] == [
        "session 1",
        "session 2",
        "pre-close",
    ]
    assert IDX_DAYS.day_open_ns(day) == span(session_1)[0]
    assert IDX_DAYS.day_close_ns(day) == span(pre_close)[1]
    assert IDX_DAYS.day_end_ns(day) == span(post_close)[1]
    assert len(IDX_DAYS.expected_minutes(day)) == minutes


def test_expected_minutes_end_before_the_random_close() -> None:
    found = IDX_DAYS.expected_minutes(THURSDAY)
    assert found[0] == jakarta_ns(THURSDAY, "09:00")
    assert found[179] == jakarta_ns(THURSDAY, "11:59")
    assert found[180] == jakarta_ns(THURSDAY, "13:30")
    assert found[-1] == jakarta_ns(THURSDAY, "15:59")
    assert found.dtype == np.int64


def test_state_at_walks_the_day() -> None:
    clocks = ["08:44", "08:45", "09:00", "11:59", "12:00", "13:30", "15:50", "16:00", "16:01"]
    found = [IDX_DAYS.state_at(jakarta_ns(THURSDAY, clock)) for clock in clocks]
    assert found == [
        "closed",
        "pre-open",
        "session 1",
        "session 1",
        "break",
        "session 2",
        "pre-close",
        "pre-close",
        "post-close",
    ]
    assert IDX_DAYS.state_at(jakarta_ns(THURSDAY, "16:16")) == "closed"
    assert IDX_DAYS.state_at(jakarta_ns(SATURDAY, "10:00")) == "closed"


def test_days() -> None:
    assert IDX_DAYS.is_trading_day(FRIDAY)
    assert not IDX_DAYS.is_trading_day(SATURDAY)
    assert IDX_DAYS.next_day(FRIDAY) == date(2026, 11, 23)
    assert IDX_DAYS.previous_day(date(2026, 11, 23)) == FRIDAY
    assert IDX_DAYS.days(THURSDAY, date(2026, 11, 24)) == [THURSDAY, FRIDAY, date(2026, 11, 23)]
    assert IDX_DAYS.days(SATURDAY, SATURDAY) == []
    assert IDX_DAYS.sessions(SATURDAY) == ()
    assert len(IDX_DAYS.expected_minutes(SATURDAY)) == 0
    with pytest.raises(ValueError, match="2026-11-21"):
        IDX_DAYS.day_open_ns(SATURDAY)


def test_holidays_are_closed() -> None:
    dates = Dates({FRIDAY: Holiday("a holiday", "said so")})
    calendar = Calendar("Asia/Jakarta", "WIB", IDX_DAYS.hours, dates)
    assert calendar.next_day(THURSDAY) == date(2026, 11, 23)
    assert calendar.sessions(FRIDAY) == ()
    assert calendar.udf_sessions() == IDX_DAYS.udf_sessions()


def test_a_calendar_without_days_says_so() -> None:
    calendar = Calendar("UTC", "UTC", ())
    with pytest.raises(ValueError, match="no trading day"):
        calendar.next_day(THURSDAY)


def test_the_local_date_and_clock() -> None:
    ts = jakarta_ns(FRIDAY, "00:00")
    assert IDX_DAYS.day_of(ts) == FRIDAY
    assert IDX_DAYS.day_of(ts - 1) == THURSDAY
    assert IDX_DAYS.midnight_ns(FRIDAY) == ts
    assert IDX_DAYS.offset_ns(ts) == 7 * 3600 * SECOND_NS
    assert IDX_DAYS.local_s(ts) == 0
    assert IDX_DAYS.local_s(ts - 1) == 86_399
    found = IDX_DAYS.local_s(np.array([ts, ts + 1, ts + 3_661 * SECOND_NS], np.int64))
    assert found.tolist() == [0, 0, 3_661]
    assert IDX_DAYS.local_s(np.empty(0, np.int64)).tolist() == []


def test_offsets_follow_daylight_saving() -> None:
    start = int(datetime(2026, 3, 7, tzinfo=UTC).timestamp()) * SECOND_NS
    ts = np.arange(start, start + 3 * DAY_NS, 600 * SECOND_NS, dtype=np.int64)
    assert NEW_YORK.offsets_ns(ts).tolist() == [NEW_YORK.offset_ns(at) for at in ts.tolist()]
    assert sorted({at // 3600 // SECOND_NS for at in NEW_YORK.offsets_ns(ts).tolist()}) == [-5, -4]
    before, after = date(2026, 3, 7), date(2026, 3, 9)
    hours = NEW_YORK.day_open_ns(after) - NEW_YORK.day_open_ns(before)
    assert hours == (48 - 1) * 3600 * SECOND_NS
    assert NEW_YORK.local_s(NEW_YORK.day_open_ns(after)) == 9 * 3600 + 1800


def test_always_open() -> None:
    midnight = int(datetime(2026, 11, 21, tzinfo=UTC).timestamp()) * SECOND_NS
    assert ALWAYS.day_open_ns(SATURDAY) == midnight
    assert ALWAYS.day_close_ns(SATURDAY) == midnight + DAY_NS
    assert ALWAYS.next_day(FRIDAY) == SATURDAY
    assert len(ALWAYS.expected_minutes(SATURDAY)) == 1440
    assert ALWAYS.state_at(midnight) == "open"
    assert ALWAYS.is_trading_day(date(1970, 1, 1))


def test_sessions_in_tradingviews_grammar() -> None:
    assert IDX_DAYS.udf_sessions() == "0900-1200,1330-1616:2345|0900-1130,1400-1616:6"
    assert ALWAYS.udf_sessions() == "24x7"


def test_every_row_of_the_table_is_whole() -> None:
    for row in IDX_DAYS.hours:
        assert row.source
        for earlier, later in zip(row.phases, row.phases[1:], strict=False):
            assert earlier.start_min < earlier.end_min == later.start_min
    every = {day.weekday() for day in IDX_DAYS.days(THURSDAY, THURSDAY + timedelta(days=7))}
    assert every == {0, 1, 2, 3, 4}


def new_york_ns(day: date, clock: str) -> int:
    hour, minute = map(int, clock.split(":"))
    at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo("America/New_York"))
    return int(at.timestamp()) * SECOND_NS


# Before, on the Monday after, and long after each change of 2026: 8 March and 1 November.
@pytest.mark.parametrize(
    ("day", "behind_h"),
    [
        (date(2026, 3, 6), 5),
        (date(2026, 3, 9), 4),
        (date(2026, 7, 1), 4),
        (date(2026, 10, 30), 4),
        (date(2026, 11, 2), 5),
    ],
)
def test_xnas_keeps_new_yorks_clock_through_both_changes(day: date, behind_h: int) -> None:
    days = XNAS.calendar
    assert [(s.name, s.state, s.trading) for s in days.sessions(day)] == [
        ("pre-market", "P", False),
        ("regular", "1", True),
        ("post-market", "X", False),
    ]
    hour = 3600 * SECOND_NS
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * SECOND_NS
    assert days.midnight_ns(day) == midnight + behind_h * hour
    assert days.day_open_ns(day) == new_york_ns(day, "09:30")
    assert days.day_close_ns(day) == new_york_ns(day, "16:00")
    assert days.day_end_ns(day) == new_york_ns(day, "20:00")
    minutes = days.expected_minutes(day)
    assert len(minutes) == 390
    assert minutes[0] == midnight + (9 + behind_h) * hour + hour // 2
    assert days.local_s(minutes[-1:]).tolist() == [15 * 3600 + 59 * 60]
    assert days.day_of(days.day_end_ns(day)) == day, "20:00 is the next day in UTC, not there"


def test_xnas_does_not_trade_at_weekends() -> None:
    assert XNAS.calendar.next_day(date(2026, 3, 6)) == date(2026, 3, 9)
    assert XNAS.calendar.sessions(date(2026, 3, 8)) == ()
    assert XNAS.calendar.udf_sessions() == "0400-2000:23456"


def test_long_bars_of_xnas_start_anew_at_the_opening_and_at_the_close() -> None:
    day = date(2026, 3, 9)
    clocks = ["04:00", "09:29", "09:30", "10:29", "10:30", "15:59", "16:00", "16:31", "19:59"]
    ts = np.array([new_york_ns(day, clock) for clock in clocks])
    opens = ["04:00", "09:00", "09:30", "09:30", "10:30", "15:30", "16:00", "16:00", "19:00"]
    assert buckets(ts, "1h", XNAS.calendar).tolist() == [new_york_ns(day, at) for at in opens]
    assert set(buckets(ts, "1d", XNAS.calendar).tolist()) == {new_york_ns(day, "09:30")}


def test_tickers_of_xnas_bear_suffixes() -> None:
    pattern = re.compile(XNAS.ticker_pattern)
    good = "AAPL A BRK.A PSA-B ABC- ABC+ ABC+A ABC= ABC# ABC^ ABC$ ABC* ABC! ABC@ ABC% ABC~".split()
    assert all(pattern.fullmatch(ticker) for ticker in good)
    assert not any(
        pattern.fullmatch(t) for t in ["", "abc", ".A", "A B", "ABCDEFGHI", "A/B", "A\n"]
    )


def test_instants_are_read_and_written_by_the_venues_clock() -> None:
    nine = jakarta_ns(FRIDAY, "09:00")
    assert IDX_DAYS.text(nine + 999) == "2026-11-20T09:00:00+07:00"
    for text in ("2026-11-20T09:00", "2026-11-20T02:00Z", "2026-11-20T11:00:00+09:00"):
        assert IDX_DAYS.instant_ns(datetime.fromisoformat(text)) == nine
    assert IDX_DAYS.instant_ns(datetime(1969, 12, 31, 23, 0, 0, 1)) == -8 * 3600 * 10**9 + 1000
    # On the day on which summer time begins it is the wall that is read.
    day = date(2026, 3, 8)
    for clock in ("01:59", "03:00", "16:00"):
        moment = datetime.fromisoformat(f"{day}T{clock}")
        assert XNAS.calendar.instant_ns(moment) == new_york_ns(day, clock)
        assert XNAS.calendar.text(new_york_ns(day, clock))[:16] == f"{day}T{clock}"


# The week before each change of 2026 (8 March, 1 November), and the one after it.
@pytest.mark.parametrize(
    ("friday", "sunday", "hours_between"),
    [
        (date(2026, 2, 27), date(2026, 3, 1), 48),
        (date(2026, 3, 6), date(2026, 3, 8), 47),
        (date(2026, 10, 30), date(2026, 11, 1), 49),
        (date(2026, 11, 6), date(2026, 11, 8), 48),
    ],
)
def test_forex_closes_on_friday_and_opens_on_sunday_at_five(
    friday: date, sunday: date, hours_between: int
) -> None:
    closes, opens = new_york_ns(friday, "17:00"), new_york_ns(sunday, "17:00")
    assert opens - closes == hours_between * 3600 * SECOND_NS
    assert FOREX_CALENDAR.state_at(closes - MINUTE_NS) == "open"
    assert FOREX_CALENDAR.state_at(closes) == "closed"
    assert FOREX_CALENDAR.state_at(opens - MINUTE_NS) == "closed"
    assert FOREX_CALENDAR.state_at(opens) == "open"
    saturday = friday + timedelta(days=1)
    assert not FOREX_CALENDAR.is_trading_day(saturday)
    assert FOREX_CALENDAR.next_day(friday) == sunday
    assert FOREX_CALENDAR.day_close_ns(friday) == closes
    assert FOREX_CALENDAR.day_open_ns(sunday) == opens
    assert FOREX_CALENDAR.expected_minutes(friday)[-1] == closes - MINUTE_NS
    assert FOREX_CALENDAR.expected_minutes(sunday)[0] == opens


@pytest.mark.parametrize("sunday", [date(2026, 3, 8), date(2026, 7, 5), date(2026, 11, 1)])
def test_forex_trades_a_hundred_and_twenty_hours_a_week(sunday: date) -> None:
    days = FOREX_CALENDAR.days(sunday, sunday + timedelta(days=7))
    minutes = np.concatenate([FOREX_CALENDAR.expected_minutes(day) for day in days])
    assert [len(FOREX_CALENDAR.expected_minutes(day)) for day in days] == [
        420, 1440, 1440, 1440, 1440, 1020,
    ]  # fmt: skip
    assert np.all(np.diff(minutes) == MINUTE_NS), "without a pause"
    assert minutes[0] == new_york_ns(sunday, "17:00")
    week = set(buckets(minutes, "1w", FOREX_CALENDAR).tolist())
    assert week == {new_york_ns(sunday, "17:00")}, "Sunday's evening begins the week"
    assert minutes_of(week.pop(), "1w", FOREX_CALENDAR) == (
        FOREX_CALENDAR.midnight_ns(sunday),
        FOREX_CALENDAR.midnight_ns(sunday + timedelta(days=7)),
    )


def test_forex_in_tradingviews_grammar() -> None:
    assert FOREX_CALENDAR.udf_sessions() == "1700-0000:1|0000-0000:2345|0000-1700:6"


def test_a_half_day_ends_at_one() -> None:
    day, after = date(2026, 11, 27), date(2026, 11, 30)
    days = XNAS.calendar
    assert [s.name for s in days.sessions(day)] == ["pre-market", "regular", "post-market"]
    assert days.day_close_ns(day) == new_york_ns(day, "13:00")
    assert days.day_end_ns(day) == new_york_ns(day, "17:00")
    assert days.state_at(new_york_ns(day, "13:00")) == "post-market"
    assert len(days.expected_minutes(day)) == 210
    assert len(days.expected_minutes(after)) == 390
    assert days.previous_day(day) == date(2026, 11, 25), "the day before is Thanksgiving"
    opens = buckets(days.expected_minutes(day), "1d", days)
    assert bucket_end(int(opens[0]), "1d", days) == days.day_end_ns(day)
    late = int(buckets(np.array([new_york_ns(day, "16:30")]), "4h", days)[0])
    assert late == new_york_ns(day, "13:00"), "the grid starts anew at the early close"
    assert "0400-1700:20060703," in days.udf_corrections()
    assert ",20261127," in days.udf_corrections()


def test_a_short_week_of_idul_fitri() -> None:
    """Closed from Wednesday 18 to Tuesday 24 March 2026."""
    assert IDX_DAYS.next_day(date(2026, 3, 17)) == date(2026, 3, 25)
    assert IDX_DAYS.previous_day(date(2026, 3, 25)) == date(2026, 3, 17)
    assert len(IDX_DAYS.expected_minutes(date(2026, 3, 20))) == 0
    assert IDX_DAYS.state_at(jakarta_ns(date(2026, 3, 20), "10:00")) == "closed"
    week = minutes_of(jakarta_ns(date(2026, 3, 25), "09:00"), "1w", IDX_DAYS)
    assert week[0] == IDX_DAYS.midnight_ns(date(2026, 3, 23))
    found = buckets(IDX_DAYS.expected_minutes(date(2026, 3, 26)), "1w", IDX_DAYS)
    assert set(found.tolist()) == {jakarta_ns(date(2026, 3, 25), "09:00")}


def test_how_far_holidays_are_known() -> None:
    assert IDX_DAYS.knows(date(2015, 1, 1))
    assert IDX_DAYS.knows(date(2026, 12, 31))
    assert not IDX_DAYS.knows(date(2014, 12, 31))
    assert not IDX_DAYS.knows(date(2027, 1, 1))
    assert IDX_DAYS.is_trading_day(date(2027, 1, 1)), "unknown, so a weekday like others"
    assert ALWAYS.knows(date.max)
