"""The hours in which venues trade: tables by date, each row with where it comes from.

`Hours` are the phases of some weekdays from a date on; `Dates` the days that differ from their
weekday, holidays and half days, and how far that is known. Data; calendar.py answers questions.
Which days differ is in holidays.py and in the files of calendars/.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date


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


@dataclass(frozen=True)
class Holiday:
    """Why a weekday has no trading. `source` says who says so; `sure` is false where that was
    announced ahead, or not seen."""

    name: str
    source: str
    sure: bool = True


@dataclass(frozen=True)
class Dates:
    """The days that differ from their weekday.

    holidays   days without trading
    special    days with hours of their own (half days), each a row of that day alone
    known_from, known_until   first and last day of which it is known whether they differ
    """

    holidays: Mapping[date, Holiday] = field(default_factory=dict)
    special: Mapping[date, Hours] = field(default_factory=dict)
    known_from: date = date.min
    known_until: date = date.max


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
        "the exchange's decree Kep-00031/BEI/03-2020: shorter hours in the pandemic, the same on"
        " every weekday. At first the auction's price came until 15:05; the table has the ends of"
        " the random close that came later",
    ),
    Hours(
        date(2023, 4, 3),
        _MON_THU,
        _idx_day(_LUNCH, _CLOSING_NOW),
        _at(16, 0),
        "the exchange's return to full hours, Monday to Thursday, by the regulator's letter"
        " S-52/PM.01/2023; the close is at random",
    ),
    Hours(
        date(2023, 4, 3),
        _FRI,
        _idx_day(_LUNCH_FRI, _CLOSING_NOW),
        _at(16, 0),
        "the same letter: Friday with its longer noon break",
    ),
)


def new_york_phases(close_min: int) -> tuple[Phase, ...]:
    """Nasdaq's day by when it closes. Trades are made in all three phases, but only those of the
    regular one are to be expected, and the day opens with it."""
    return (
        Phase("pre-market", "P", _at(4, 0), _at(9, 30), grid=True),
        Phase("regular", "1", _at(9, 30), close_min, trading=True, grid=True),
        Phase("post-market", "X", close_min, close_min + 4 * 60, grid=True),
    )


XNAS_HOURS = (
    Hours(
        date.min,
        _MON_FRI,
        new_york_phases(_at(16, 0)),
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


def _open(since_min: int, until_min: int) -> tuple[Phase, ...]:
    return (Phase("open", "1", since_min, until_min, trading=True, grid=True),)


_FOREX = "24 x 5: Sunday 17:00 to Friday 17:00 by New York's clock, the dealers' custom"

# Days are New York's dates, so Sunday evening is a day of its own, with which the week begins.
FOREX_HOURS = (
    Hours(date.min, (6,), _open(_at(17, 0), _at(24, 0)), _at(24, 0), _FOREX),
    Hours(date.min, _MON_THU, _open(0, _at(24, 0)), _at(24, 0), _FOREX),
    Hours(date.min, _FRI, _open(0, _at(17, 0)), _at(17, 0), _FOREX),
)
