"""The days that differ from their weekday: the exchange's lists and New York's rules.

Lists are files of calendars/, of the form of an operator's own (calendar_file.py). New York's
holidays follow from rules, which the exchanges publish, so only what the rules cannot know is
listed. Knows no hours but those of a half day.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from bursa.model import calendar_file
from bursa.model.hours import Dates, Holiday, Hours, new_york_phases

FOLDER = Path(__file__).parent / "calendars"

_MON, _THU, _FRI, _SAT, _SUN = 0, 3, 4, 5, 6
_RULE = "the rules of New York's exchanges (NYSE rule 7.2, which Nasdaq keeps too)"
_RULE_HALF = "the exchanges' published hours: they close at 13:00, late trading ends at 17:00"
_HALF_CLOSE_MIN = 13 * 60


def listed(name: str) -> Dates:
    """The days of a file that comes with bursa."""
    path = FOLDER / f"{name}.toml"
    return calendar_file.parse(path.read_text("utf-8"), path.name).onto(Dates())


def new_york() -> Dates:
    """New York's holidays and half days, as far as the list of the days beside the rules goes."""
    beside = listed("xnas")
    years = range(beside.known_from.year, beside.known_until.year + 1)
    holidays = {day: Holiday(name, _RULE) for year in years for day, name in _closed(year)}
    special = {
        day: Hours(
            day, (day.weekday(),), new_york_phases(_HALF_CLOSE_MIN), _HALF_CLOSE_MIN, _RULE_HALF
        )
        for year in years
        for day in _half(year)
        if day not in holidays
    }
    return Dates(holidays | dict(beside.holidays), special, beside.known_from, beside.known_until)


def _closed(year: int) -> Iterator[tuple[date, str]]:
    """The holidays of a year by the rules. One on a Sunday is kept on Monday, one on a Saturday on
    Friday: but for New Year's Day, as that Friday ends the year before."""
    new_year = date(year, 1, 1)
    if new_year.weekday() != _SAT:
        yield _kept(new_year), "New Year"
    yield _nth(year, 1, _MON, 3), "Martin Luther King, Jr. Day"
    yield _nth(year, 2, _MON, 3), "Washington's Birthday"
    yield easter(year) - timedelta(days=2), "Good Friday"
    yield _nth(year, 6, _MON, 1) - timedelta(days=7), "Memorial Day"
    if year >= 2022:
        yield _kept(date(year, 6, 19)), "Juneteenth"
    yield _kept(date(year, 7, 4)), "Independence Day"
    yield _nth(year, 9, _MON, 1), "Labor Day"
    yield _nth(year, 11, _THU, 4), "Thanksgiving Day"
    yield _kept(date(year, 12, 25)), "Christmas"


def _half(year: int) -> Iterator[date]:
    """The days of a year on which trading ends at 13:00; one may turn out to be a holiday."""
    yield _nth(year, 11, _THU, 4) + timedelta(days=1)
    for day in (date(year, 7, 3), date(year, 12, 24)):
        if day.weekday() < _FRI:
            yield day


def _kept(day: date) -> date:
    """The day on which a holiday is kept that falls on `day`."""
    return day + timedelta(days={_SAT: -1, _SUN: 1}.get(day.weekday(), 0))


def _nth(year: int, month: int, weekday: int, number: int) -> date:
    """The so many-th such weekday of a month."""
    first = date(year, month, 1)
    ahead = (weekday - first.weekday()) % 7
    return first + timedelta(days=ahead + 7 * (number - 1))


def easter(year: int) -> date:
    """Easter Sunday by the Gregorian reckoning (the anonymous computus).

    >>> easter(2026)
    datetime.date(2026, 4, 5)
    """
    golden, century, in_century = year % 19, year // 100, year % 100
    leaps, skipped = century // 4, century % 4
    moon = (19 * golden + century - leaps - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    ahead = (32 + 2 * skipped + 2 * (in_century // 4) - moon - in_century % 4) % 7
    late = (golden + 11 * moon + 22 * ahead) // 451
    month, day = divmod(moon + ahead - 7 * late + 114, 31)
    return date(year, month, day + 1)
