"""The grids: to which longer bar a minute belongs."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.model import timeframe
from bursa.model.calendar import MINUTE_NS, SECOND_NS, Calendar
from bursa.model.errors import Refuse
from bursa.model.hours import Dates, Holiday
from bursa.model.schema import FREQS
from bursa.model.venue import BINANCE, IDX

IDX_DAYS = IDX.calendar
ALWAYS = BINANCE.calendar
THURSDAY, FRIDAY, SATURDAY = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 21)
LONG = [tf for tf in timeframe.TIMEFRAMES if tf != "1m"]


def at(day: date, clock: str, calendar: Calendar = IDX_DAYS) -> int:
    hour, minute = map(int, clock.split(":"))
    return calendar.midnight_ns(day) + (hour * 60 + minute) * MINUTE_NS


def grid(tf: str, day: date, calendar: Calendar = IDX_DAYS) -> Callable[[str], str]:
    """Minute's clock -> bucket's clock, of one day."""

    def bucket(clock: str) -> str:
        ts = np.array([at(day, clock, calendar)], np.int64)
        found = int(timeframe.buckets(ts, tf, calendar)[0])
        assert calendar.day_of(found) == day
        second = calendar.local_s(found)
        return f"{second // 3600:02d}:{second // 60 % 60:02d}"

    return bucket


def test_names() -> None:
    assert tuple(timeframe.TIMEFRAMES) == FREQS
    assert timeframe.parse("1M") == "1M"
    for wrong in ("1", "2m", "1D", "", "1m "):
        with pytest.raises(Refuse) as refused:
            timeframe.parse(wrong)
        assert (refused.value.code, refused.value.status) == ("unknown_timeframe", 400)
        assert refused.value.parameter == "tf"


@pytest.mark.parametrize(
    ("tf", "day", "pairs"),
    [
        ("5m", THURSDAY, {"08:58": "09:00", "09:04": "09:00", "09:05": "09:05", "16:00": "16:00"}),
        ("15m", THURSDAY, {"11:59": "11:45", "12:00": "12:00", "13:30": "13:30", "13:44": "13:30"}),
        ("30m", FRIDAY, {"09:29": "09:00", "11:29": "11:00", "14:00": "14:00", "16:00": "16:00"}),
        ("1h", THURSDAY, {"08:59": "09:00", "11:59": "11:00", "13:30": "13:30", "14:29": "13:30"}),
        ("1h", THURSDAY, {"14:30": "14:30", "15:59": "15:30", "16:00": "15:30"}),
        ("1h", FRIDAY, {"11:29": "11:00", "14:00": "14:00", "14:59": "14:00", "16:00": "16:00"}),
        ("4h", THURSDAY, {"08:50": "09:00", "11:59": "09:00", "13:29": "13:00", "13:30": "13:30"}),
        ("4h", FRIDAY, {"11:29": "09:00", "14:00": "14:00", "16:00": "14:00"}),
        ("1d", FRIDAY, {"08:50": "09:00", "16:00": "09:00", "23:59": "09:00"}),
        ("1h", SATURDAY, {"10:20": "10:00"}),
        ("1d", SATURDAY, {"10:20": "00:00"}),
    ],
)
def test_idx_grids(tf: str, day: date, pairs: dict[str, str]) -> None:
    bucket = grid(tf, day)
    assert {clock: bucket(clock) for clock in pairs} == pairs


def test_weeks_and_months_open_with_their_first_trading_day() -> None:
    ts = np.array([at(THURSDAY, "10:00"), at(FRIDAY, "10:00")], np.int64)
    monday = at(date(2026, 11, 16), "09:00")
    assert timeframe.buckets(ts, "1w", IDX_DAYS).tolist() == [monday, monday]
    second = at(date(2026, 11, 2), "09:00")  # the 1st is a Sunday
    assert timeframe.buckets(ts, "1M", IDX_DAYS).tolist() == [second, second]
    off = Calendar(
        "Asia/Jakarta",
        "WIB",
        IDX_DAYS.hours,
        Dates({date(2026, 11, 16): Holiday("a holiday", "said so")}),
    )
    assert timeframe.buckets(ts, "1w", off).tolist() == [at(date(2026, 11, 17), "09:00")] * 2


def test_always_open_grids_are_those_of_utc() -> None:
    assert grid("4h", SATURDAY, ALWAYS)("23:59") == "20:00"
    assert grid("1d", SATURDAY, ALWAYS)("23:59") == "00:00"
    ts = np.array([at(date(2026, 11, 22), "23:59", ALWAYS)], np.int64)  # a Sunday
    assert timeframe.buckets(ts, "1w", ALWAYS)[0] == ALWAYS.midnight_ns(date(2026, 11, 16))
    assert timeframe.buckets(ts, "1M", ALWAYS)[0] == ALWAYS.midnight_ns(date(2026, 11, 1))


def test_the_end_of_a_bar() -> None:
    def end(clock: str, tf: str, day: date = THURSDAY) -> int:
        return timeframe.bucket_end(at(day, clock), tf, IDX_DAYS)

    assert end("09:00", "1m") == at(THURSDAY, "09:01")
    assert end("09:00", "5m") == at(THURSDAY, "09:05")
    assert end("09:00", "4h") == at(THURSDAY, "13:00")
    assert end("11:00", "1h", FRIDAY) == at(FRIDAY, "12:00")
    assert end("13:00", "1h") == at(THURSDAY, "13:30")
    assert end("13:30", "4h") == at(THURSDAY, "16:16")
    assert end("09:00", "1d") == at(THURSDAY, "16:16")
    assert end("09:00", "1w", date(2026, 11, 16)) == at(FRIDAY, "16:16")
    assert end("09:00", "1M", date(2026, 11, 2)) == at(date(2026, 11, 30), "16:16")
    day_ns = ALWAYS.midnight_ns(SATURDAY)
    assert timeframe.bucket_end(day_ns, "1d", ALWAYS) == ALWAYS.midnight_ns(date(2026, 11, 22))


@pytest.mark.parametrize("calendar", [IDX_DAYS, ALWAYS], ids=["idx", "always"])
@pytest.mark.parametrize("tf", LONG)
def test_minutes_of_is_the_inverse_of_buckets(tf: str, calendar: Calendar) -> None:
    start = calendar.midnight_ns(date(2026, 10, 30))
    end = calendar.midnight_ns(date(2026, 12, 2))
    ts = np.arange(start, end, MINUTE_NS, dtype=np.int64)
    opens = timeframe.buckets(ts, tf, calendar)
    assert (np.diff(opens) >= 0).all()
    for open_ns in np.unique(opens)[:-1].tolist():
        mine = ts[opens == open_ns]
        first, after = timeframe.minutes_of(open_ns, tf, calendar)
        assert mine[-1] == after - MINUTE_NS
        assert mine[0] == max(first, start)
        assert first <= open_ns < timeframe.bucket_end(open_ns, tf, calendar) <= after


@given(st.integers(0, 2**60), st.integers(1, 50), st.sampled_from(LONG))
def test_any_cut_gives_the_same_buckets(start_ns: int, count: int, tf: str) -> None:
    start_ns -= start_ns % MINUTE_NS
    ts = start_ns + np.arange(count, dtype=np.int64) * 37 * MINUTE_NS
    whole = timeframe.buckets(ts, tf, IDX_DAYS)
    parts = [timeframe.buckets(ts[i : i + 1], tf, IDX_DAYS) for i in range(count)]
    assert np.concatenate(parts).tolist() == whole.tolist()
    again = timeframe.buckets(whole, tf, IDX_DAYS)
    assert again.tolist() == whole.tolist()


@pytest.mark.parametrize("calendar", [IDX_DAYS, ALWAYS], ids=["idx", "always"])
@pytest.mark.parametrize("tf", list(timeframe.TIMEFRAMES))
@pytest.mark.parametrize("clock", ["09:00", "10:17", "23:00"])
def test_lookback_holds_as_many_bars_as_asked(tf: str, calendar: Calendar, clock: str) -> None:
    before = at(FRIDAY, clock, calendar)
    for count in (1, 7, 60):
        start = timeframe.lookback_ns(tf, count, calendar, before)
        days = calendar.days(calendar.day_of(start), date(2026, 11, 21))
        ts = np.concatenate([calendar.expected_minutes(day) for day in days])
        ts = ts[(ts >= start) & (ts < before)]
        assert len(np.unique(timeframe.buckets(ts, tf, calendar))) >= count
        assert calendar.local_s(start) == 0


def test_lookback_ends_with_1970() -> None:
    for tf in timeframe.TIMEFRAMES:
        start = timeframe.lookback_ns(tf, 10_000_000, IDX_DAYS, 40 * 86_400 * SECOND_NS)
        assert 0 <= start < 86_400 * SECOND_NS


def test_nothing_has_no_buckets() -> None:
    assert timeframe.buckets(np.empty(0, np.int64), "5m", IDX_DAYS).tolist() == []
