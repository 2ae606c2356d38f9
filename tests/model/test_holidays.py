"""The holidays: against exchange-calendars, against what the exchange told of years, row by row.

Where ours and exchange-calendars' differ, each difference stands here with its reason.
"""

from datetime import date, timedelta
from functools import cache

import exchange_calendars
import pytest

from bursa.model import holidays
from bursa.model.venue import IDX, XNAS

# The library's own use of pandas.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning")

# Days that are no trading days with us, but are with exchange-calendars.
IDX_CLOSED_HERE = {
    date(2022, 4, 29): "joint leave: the exchange was closed from 29 April to 6 May 2022",
    date(2022, 5, 4): "the same",
    date(2022, 5, 5): "the same",
    date(2022, 5, 6): "the same",
    date(2025, 8, 18): "Peng-00149/BEI.POP/08-2025, of August; the library's list is older",
}
# The other way about.
IDX_OPEN_HERE: dict[date, str] = {}

# Trading days of years, as the exchange told or its reports count them.
IDX_TOLD = {
    2018: 240,
    2019: 245,
    2020: 242,  # Peng-00367/BEI.POP/12-2020
    2021: 247,
    2022: 246,
    2023: 239,
    2024: 237,
    2025: 236,  # Peng-00149/BEI.POP/08-2025
    2026: 239,  # Peng-00171/BEI.POP/09-2025
}


@cache
def theirs(name: str, first: date, last: date) -> frozenset[date]:
    """The trading days of exchange-calendars, `last` included."""
    calendar = exchange_calendars.get_calendar(name, start=str(first), end=str(last))
    return frozenset(session.date() for session in calendar.sessions)


def test_idx_against_exchange_calendars_to_2025() -> None:
    first, last = date(2015, 1, 1), date(2025, 12, 31)
    ours = set(IDX.calendar.days(first, last + timedelta(days=1)))
    other = theirs("XIDX", first, last)
    assert other - ours == IDX_CLOSED_HERE.keys()
    assert ours - other == IDX_OPEN_HERE.keys()


@pytest.mark.parametrize("year", IDX_TOLD)
def test_idx_trading_days_of_a_year(year: int) -> None:
    days = IDX.calendar.days(date(year, 1, 1), date(year + 1, 1, 1))
    assert len(days) == IDX_TOLD[year]


def test_every_holiday_of_idx_is_a_weekday_with_its_source() -> None:
    found = IDX.calendar.holidays
    assert {day.year for day in found} == set(range(2015, 2027))
    for day, why in found.items():
        assert day.weekday() < 5, day
        assert why.name and why.source.startswith(str(day.year)), day
    unsure = {day.year for day, why in found.items() if not why.sure}
    assert unsure == {2017, 2026}, "what was announced ahead, or not seen, says so"


@pytest.mark.parametrize(
    "day", [date(2018, 6, 20), date(2018, 6, 27), date(2020, 12, 28), date(2021, 12, 24)]
)
def test_idx_traded_on_days_that_are_often_taken_for_holidays(day: date) -> None:
    assert IDX.calendar.is_trading_day(day)


def test_new_york_against_exchange_calendars() -> None:
    first, last = date(2006, 1, 1), date(2027, 10, 31)
    ours = XNAS.calendar.days(first, last + timedelta(days=1))
    assert frozenset(ours) == theirs("XNYS", first, last)
    calendar = exchange_calendars.get_calendar("XNYS", start=str(first), end=str(last))
    early = {session.date() for session in calendar.early_closes}
    assert {day for day in XNAS.calendar.dates.special if day <= last} == early


# The holidays and early closings that NYSE announced on 23 December 2025 for 2026 to 2028.
ANNOUNCED = {
    2026: "0101 0119 0216 0403 0525 0619 0703 0907 1126 1225",
    2027: "0101 0118 0215 0326 0531 0618 0705 0906 1125 1224",
    2028: "0117 0221 0414 0529 0619 0704 0904 1123 1225",
}


@pytest.mark.parametrize("year", ANNOUNCED)
def test_new_yorks_holidays_as_they_are_announced(year: int) -> None:
    found = sorted(day for day in XNAS.calendar.holidays if day.year == year)
    assert [f"{day:%m%d}" for day in found] == ANNOUNCED[year].split()
    half = {f"{day:%m%d}" for day in XNAS.calendar.dates.special if day.year == year}
    assert half == {2026: {"1127", "1224"}, 2027: {"1126"}, 2028: {"0703", "1124"}}[year]


def test_days_of_mourning_and_of_the_storm() -> None:
    for day in (date(2007, 1, 2), date(2012, 10, 29), date(2018, 12, 5), date(2025, 1, 9)):
        assert not XNAS.calendar.is_trading_day(day)
        assert XNAS.calendar.holidays[day].source.startswith(str(day.year))


@pytest.mark.parametrize(
    ("year", "month", "day"), [(1961, 4, 2), (2000, 4, 23), (2008, 3, 23), (2038, 4, 25)]
)
def test_easter(year: int, month: int, day: int) -> None:
    assert holidays.easter(year) == date(year, month, day)
