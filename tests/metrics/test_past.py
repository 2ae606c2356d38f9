"""Finding bars by the clock, against looking at every bar."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.metrics.metric import P_DAY, P_MINUTE, PAST_FIELDS
from bursa.metrics.past import begins_day, of_days_before, older

DEPTH = 128
STEPS = st.lists(st.sampled_from([1, 1, 1, 1, 1, 2, 3, 7, 64, 900]), min_size=1, max_size=300)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([1, 5, 15, 60]))
def test_bars_of_so_many_minutes_ago(steps: list[int], back: int) -> None:
    """Bar by bar, through a ring that is shorter than the series."""
    past = np.full((3, DEPTH, PAST_FIELDS), np.nan)
    openings = np.cumsum(steps).tolist()
    known = 0
    for bar, minute in enumerate(openings):
        past[1, bar % DEPTH, P_MINUTE] = minute
        known = older(past, 1, bar, float(minute), back, known)
        assert known == sum(opening <= minute - back for opening in openings[:bar])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=120))
def test_bars_of_days_before(steps: list[int]) -> None:
    days = np.cumsum(steps)
    past = np.zeros((2, DEPTH, PAST_FIELDS))
    past[1, : len(days), P_DAY] = days
    for bar, day in enumerate(days.tolist()):
        before = int((days[: bar + 1] < day).sum())
        for low in {0, before // 2, before}:
            assert of_days_before(past, 1, low, bar, float(day)) == before
        assert begins_day(past, 1, bar, float(day)) == (before == bar)


@pytest.mark.parametrize("back", [1, 5, 60])
def test_the_first_bar_has_none_before_it(back: int) -> None:
    past = np.zeros((1, DEPTH, PAST_FIELDS))
    assert older(past, 0, 0, 0.0, back, 0) == 0
