"""The stretch of time in which a read looks first."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.model.calendar import DAY_NS, MINUTE_NS, Calendar
from bursa.model.venue import BINANCE, IDX, Venue
from bursa.store.series import NEAR_MINUTES_MAX, Part, longer, near

DAYS = [date(2026, 11, 2) + timedelta(days=n) for n in range(21)]
EVERY = {
    venue.name: np.concatenate([venue.calendar.expected_minutes(day) for day in DAYS])
    for venue in (IDX, BINANCE)
}


@pytest.mark.parametrize("venue", [IDX, BINANCE], ids=lambda v: v.name)
@given(st.data())
def test_it_holds_exactly_as_many_minutes(venue: Venue, data: st.DataObject) -> None:
    every = EVERY[venue.name]
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(every) - 1)] * 2)))
    count = data.draw(st.integers(1, len(every)))
    newest = data.draw(st.booleans())
    start, end = int(every[first]), int(every[last]) + MINUTE_NS
    part = Part(start, end, None, 1 if newest else None, None if newest else 1)
    found = near(part, count, int(every[-1]), venue.calendar)
    if count > last - first + 1:
        assert found is None
        return
    assert found is not None
    inside = every[(every >= found.start_ns) & (every < found.end_ns)]
    assert len(inside) == count
    assert (found.end_ns == end) if newest else (found.start_ns == start)


def test_the_newest_end_stays_open() -> None:
    """Rows newer than the last one that is known are found too."""
    minutes = EVERY["idx"]
    part = Part(0, 2**62, None, 5, None)
    found = near(part, 5, int(minutes[-1]), IDX.calendar)
    assert found is not None and found.end_ns == 2**62
    assert found.start_ns == minutes[-5]


@pytest.mark.parametrize("part", [Part(5, 5, None, 3, None), Part(9, 2, None, None, 3)])
def test_an_empty_part_has_no_stretch(part: Part) -> None:
    assert near(part, 3, 2**60, IDX.calendar) is None


def test_no_day_is_looked_for_beyond_the_part() -> None:
    """A calendar may know no trading day outside it, and says so loudly."""
    rows = [replace(row, since=DAYS[0]) for row in IDX.calendar.hours]
    calendar = Calendar("Asia/Jakarta", "WIB", rows)
    start = calendar.midnight_ns(DAYS[0])
    part = Part(start, start + 3 * DAY_NS, None, 5_000, None)
    assert near(part, 5_000, part.end_ns, calendar) is None


def test_a_long_way_is_not_gone_step_by_step() -> None:
    part = Part(0, 2**62, None, NEAR_MINUTES_MAX + 1, None)
    assert near(part, NEAR_MINUTES_MAX + 1, int(EVERY["idx"][-1]), IDX.calendar) is None


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.integers(1, 10_000))
def test_the_next_stretch_is_longer(minutes: int, found: int, count: int) -> None:
    wanted = longer(minutes, found, count)
    assert wanted >= 4 * minutes
    if found:
        assert wanted * found >= minutes * count
