"""An operator's file of a calendar: what it changes, and what it is refused for."""

from collections.abc import Iterator
from datetime import date

import pytest

from bursa.model import venue
from bursa.model.calendar_file import parse
from bursa.model.errors import Refuse
from bursa.model.hours import IDX_HOURS, Dates
from bursa.model.venue import IDX, XNAS

GOOD = """
known_until = 2027-12-31

[[closed]]
source = "Peng-1"
sure = false
days = { 2027-01-01 = "New Year", 2026-12-30 = "extra" }

[[open]]
source = "Peng-2"
days = { 2026-12-24 = "joint leave was taken back" }

[[special]]
source = "Peng-3"
expected_until = "11:00"
phases = [{ name = "morning", state = "1", from = "09:00", to = "11:30", trading = true, grid = true }]
days = { 2026-12-29 = "a short day", 2026-12-31 = "the year's last day trades after all" }

[[hours]]
since = 2027-03-01
weekdays = ["mon", "tue", "wed", "thu", "fri"]
source = "Peng-4"
expected_until = "17:00"
phases = [
    { name = "session 1", state = "1", from = "08:30", to = "12:00", trading = true, grid = true },
    { name = "break", state = "B", from = "12:00", to = "13:00" },
    { name = "session 2", state = "2", from = "13:00", to = "17:01", trading = true, grid = true },
]
"""  # noqa: E501


@pytest.fixture(autouse=True)
def built_in() -> Iterator[None]:
    yield
    venue.amend("idx", "", "nothing")


def test_a_file_changes_the_calendar_that_all_have() -> None:
    before = IDX.calendar.days(date(2026, 1, 1), date(2026, 12, 24))
    venue.amend("idx", GOOD, "own.toml")
    calendar = IDX.calendar
    assert calendar.days(date(2026, 1, 1), date(2026, 12, 24)) == before
    assert calendar.days(date(2026, 12, 23), date(2027, 1, 5)) == [
        date(2026, 12, 23),
        date(2026, 12, 24),
        date(2026, 12, 28),
        date(2026, 12, 29),
        date(2026, 12, 31),
        date(2027, 1, 4),
    ]
    assert [s.name for s in calendar.sessions(date(2026, 12, 29))] == ["morning"]
    assert len(calendar.expected_minutes(date(2026, 12, 29))) == 120
    assert len(calendar.expected_minutes(date(2026, 12, 28))) == 330
    assert len(calendar.expected_minutes(date(2027, 2, 26))) == 270
    assert len(calendar.expected_minutes(date(2027, 3, 5))) == 450
    assert calendar.knows(date(2027, 12, 31))
    assert not calendar.holidays[date(2027, 1, 1)].sure
    assert calendar.udf_sessions() == "0830-1200,1300-1701:23456"
    assert calendar.udf_corrections() == "0900-1130:20261229,20261231"


def test_nothing_takes_it_all_back() -> None:
    kept = IDX.calendar.hours, IDX.calendar.dates
    venue.amend("idx", GOOD, "own.toml")
    assert IDX.calendar.is_trading_day(date(2026, 12, 24))
    venue.amend("idx", "", "nothing")
    assert (IDX.calendar.hours, IDX.calendar.dates) == kept
    assert not IDX.calendar.is_trading_day(date(2026, 12, 24))


def test_a_half_day_may_become_a_holiday_and_a_whole_one() -> None:
    text = """
    closed = [{ source = "s", days = { 2026-11-27 = "closed for all day" } }]
    open = [{ source = "s", days = { 2026-12-24 = "open as on other days" } }]
    """
    try:
        venue.amend("xnas", text, "own.toml")
        assert not XNAS.calendar.is_trading_day(date(2026, 11, 27))
        assert "20261127" not in XNAS.calendar.udf_corrections()
        assert len(XNAS.calendar.expected_minutes(date(2026, 12, 24))) == 390
    finally:
        venue.amend("xnas", "", "nothing")


def test_a_row_of_hours_replaces_those_of_its_day() -> None:
    text = """
    [[hours]]
    since = 2023-04-03
    weekdays = ["mon"]
    source = "s"
    expected_until = "10:00"
    phases = [{ name = "a", state = "1", from = "09:00", to = "24:00", trading = true, grid = true }]
    """  # noqa: E501
    found = parse(text, "own.toml").hours_onto(IDX_HOURS)
    assert [row.weekdays for row in found if row.since == date(2023, 4, 3)] == [(0,)]
    assert found[-1].phases[0].end_min == 1440


HOURS = """
[[hours]]
since = 2027-03-01
weekdays = ["mon"]
source = "s"
expected_until = "10:00"
phases = [{ name = "a", state = "1", from = "09:00", to = "11:00", trading = true, grid = true }]
"""


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        ("= 1", "own.toml", "is no TOML"),
        ("holidays = 1", "holidays", "is no key; allowed: known_from, known_until, closed"),
        ('known_until = "2027-12-31"', "known_until", "a day without quotes"),
        ("known_until = 2027-12-31T00:00:00", "known_until", "a day without quotes"),
        ("known_until = 2000-12-31", "known_until", "lies before known_from 2015-01-01"),
        ("closed = 3", "closed", "write [[closed]]"),
        ("[closed]\ndays = 3", "closed", "write [[closed]]"),
        ('[[closed]]\ndays = { 2027-01-01 = "x" }', "closed[0].source", "is missing: a text"),
        ('[[closed]]\nsource = " "', "closed[0].source", "a text"),
        ('[[closed]]\nsource = "s"', "closed[0].days", "is missing"),
        ('[[closed]]\nsource = "s"\nday = 1', "closed[0].day", "is no key"),
        ('[[closed]]\nsource = "s"\nsure = 1', "closed[0].sure", "true or false"),
        ('[[closed]]\nsource="s"\ndays={2027-02-29 = "x"}', "closed[0].days.2027-02-29", "no day"),
        ('[[closed]]\nsource="s"\ndays={20270101 = "x"}', "closed[0].days.20270101", "no day"),
        ('[[closed]]\nsource="s"\ndays={2027-01-01 = ""}', "closed[0].days.2027-01-01", "a text"),
        (
            '[[closed]]\nsource="s"\ndays={2027-01-01="x"}\n'
            '[[closed]]\nsource="s"\ndays={2027-01-01="x"}',
            "closed[1].days.2027-01-01",
            "is named twice",
        ),
        (
            '[[closed]]\nsource="s"\ndays={2027-01-01="x"}\n'
            '[[open]]\nsource="s"\ndays={2027-01-01="x"}',
            "closed.days.2027-01-01",
            "is in [[open]] or [[special]] too",
        ),
        ('[[open]]\nsource="s"\ndays={2027-01-02="x"}', "open.days", "is a Saturday"),
        (HOURS.replace("since = 2027-03-01", ""), "hours[0].since", "is missing: a day"),
        (HOURS.replace('["mon"]', '["monday"]'), "hours[0].weekdays", "some of mon, tue"),
        (HOURS.replace('["mon"]', '["mon", "mon"]'), "hours[0].weekdays", "each once"),
        (HOURS + HOURS, "hours[1].weekdays", "mon has hours since 2027-03-01 already"),
        (HOURS.replace('"10:00"', '"9:00"'), "hours[0].expected_until", 'from "00:00" to "24:00"'),
        (HOURS.replace('"10:00"', '"24:01"'), "hours[0].expected_until", 'from "00:00"'),
        (HOURS.replace('"10:00"', '"12:00"'), "hours[0].expected_until", "up to 11:00"),
        (HOURS.replace('"11:00"', '"09:00"'), "hours[0].phases[0].to", "a time after 09:00"),
        (HOURS.replace('state = "1"', 'state = "E"'), "hours[0].phases[0].state", "P, 1, B, 2"),
        (HOURS.replace('name = "a"', "name = 1"), "hours[0].phases[0].name", "a text"),
        (HOURS.replace("grid = true", "grid = false"), "hours[0].phases", "grid = true"),
        (HOURS.replace("phases = [{", "phases = [3, {"), "hours[0].phases[0]", "a table of name"),
        (
            HOURS.replace(
                "phases = [",
                'phases = [{ name = "b", state = "P", from = "08:00", to = "09:01" }, ',
            ),
            "hours[0].phases",
            "a begins before b ends",
        ),
    ],
)
def test_a_bad_file_is_refused_with_file_and_key(text: str, key: str, what: str) -> None:
    before = IDX.calendar.dates
    with pytest.raises(Refuse) as refused:
        venue.amend("idx", text, "own.toml")
    assert str(refused.value).startswith("own.toml: ")
    assert what in str(refused.value)
    assert (refused.value.code, refused.value.parameter) == ("bad_calendar", key)
    assert IDX.calendar.dates is before


def test_an_empty_file_changes_nothing() -> None:
    said = parse("", "own.toml")
    assert said.onto(Dates()) == Dates()
    assert said.hours_onto(IDX_HOURS) == IDX_HOURS
