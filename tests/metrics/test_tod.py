"""Volume by the time of day: against a plain definition, under revisions, cuts and restarts."""

import math
import random

import numpy as np
import pytest

from bursa.model.errors import Refuse
from bursa.model.venue import BINANCE, IDX, Venue
from tests.metrics.bars import DAY, MINUTE, Bar, at
from tests.metrics.days import (
    VENUES,
    Minute,
    around_midnights,
    emitted,
    engine_for,
    final,
    given,
    minutes,
    newest,
    restated,
    said,
    stretch,
)

NAME = "relative_volume_tod"
# The calendars' hours by the venue's clock, in minutes: first and last one.
INSIDE = {"idx": (525, 975), "binance": (0, 1439), "xnas": (240, 1199)}


def plain(bars: list[Minute], venue: Venue) -> list[float]:
    """From the definition: nothing is kept."""
    first, last = INSIDE[venue.name]
    clocks = [min(max(bar.clock, first), last) for bar in bars]
    found = []
    for n, now in enumerate(bars):
        before = sorted({bar.day for bar in bars[:n]} - {now.day})[-20:]
        usual = sum(
            bar.volume
            for bar, clock in zip(bars, clocks, strict=True)
            if bar.day in before and clock <= clocks[n]
        )
        today = sum(bar.volume for bar in bars[: n + 1] if bar.day == now.day)
        found.append(20 * today / usual if len(before) == 20 and usual else math.nan)
    return found


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
@pytest.mark.parametrize("seed", range(6))
def test_the_mean_by_this_minute_of_twenty_days(seed: int, venue: Venue) -> None:
    """Long enough for the ring of days to turn, through changes of the clock on xnas."""
    bars = stretch(random.Random(seed), venue, days=60, most=9)
    expected = plain(minutes(bars, venue), venue)
    np.testing.assert_array_equal(given(NAME, bars, venue)[NAME], expected)
    assert np.isfinite(expected).sum() > 50


def days_alike(count: int, *clocks: str) -> list[Bar]:
    return [Bar(at(clock, day), 10, 100) for day in range(count) for clock in clocks]


def test_null_until_twenty_days_lie_before() -> None:
    found = given(NAME, days_alike(22, "09:00", "12:00"))[NAME]
    assert all(map(math.isnan, found[:40])) and found[40:] == [1, 1, 1, 1]


def test_a_day_is_that_of_its_last_bar_before_its_first_it_is_nothing() -> None:
    bars = [
        *days_alike(20, "10:00", "11:00"), Bar(at("09:30", 20), 10, 50),
        Bar(at("10:59", 20), 10, 50), Bar(at("16:10", 20), 10, 500),
    ]  # fmt: skip
    np.testing.assert_array_equal(given(NAME, bars)[NAME][40:], [math.nan, 1, 3])


def test_a_day_that_ended_early_stays_at_what_it_had() -> None:
    full = days_alike(19, "09:00", "12:00", "15:00")
    bars = [*full, Bar(at("09:00", 19), 10, 2000), Bar(at("15:30", 20), 10, 770)]
    assert given(NAME, bars)[NAME][-1] == 770 / ((19 * 300 + 2000) / 20)


def test_days_without_the_symbol_do_not_count() -> None:
    """Twenty of its own days, however far back; the one before these is gone."""
    bars = [Bar(at("09:00", 30 * n), 10, 1e6 if n == 0 else 100) for n in range(22)]
    assert given(NAME, bars)[NAME][20:] == [20 * 100 / (1e6 + 1900), 1]


def test_minutes_outside_the_hours_count_as_the_nearest_inside() -> None:
    bars = [
        *days_alike(20, "08:00", "17:00"), Bar(at("08:44", 20), 10, 100),
        Bar(at("08:45", 20), 10, 50), Bar(at("16:15", 20), 10, 150),
    ]  # fmt: skip
    assert given(NAME, bars)[NAME][40:] == [1, 1.5, 1.5]


def test_a_burst_counts_twenty_days_and_leaves_nothing_behind() -> None:
    bars = [
        Bar(at("00:00", day) + 7 * 60 * MINUTE, 10, 1e7 if day == 3 else 1e-8) for day in range(45)
    ]
    found = given(NAME, bars, BINANCE)[NAME]
    assert found[24:] == [1.0] * 21 and found[23] == 20 / (10**15 + 19)


@pytest.mark.parametrize("venue", [IDX, BINANCE], ids=lambda venue: venue.name)
@pytest.mark.parametrize("seed", range(8))
def test_revised_and_late_bars_cuts_and_restarts(seed: int, venue: Venue) -> None:
    chance = random.Random(seed)
    if venue is BINANCE:
        ordered = around_midnights(chance, 40)
    else:
        ordered = stretch(chance, venue, days=30, most=12)
    bars = restated(chance, ordered, venue, 0.3)
    whole = emitted([NAME], bars, venue)
    sizes = [chance.choice([1, 1, 2, 5, 30]) for _ in range(60)]
    assert emitted([NAME], bars, venue, sizes, restarts=True) == whole
    expected = final(bars)
    found = newest(whole)
    values = [found[0, bar.ts][0] for bar in expected]
    np.testing.assert_array_equal(values, plain(minutes(expected, venue), venue))
    assert np.isfinite(values).sum() > 20 and len(bars) > len(expected)


def test_restarts_at_every_bar() -> None:
    chance = random.Random(4)
    bars = restated(chance, around_midnights(chance, 30), BINANCE, 0.4)
    assert emitted([NAME], bars, BINANCE, [1] * len(bars), restarts=True) == emitted(
        [NAME], bars, BINANCE
    )


def test_a_late_bar_that_makes_a_day_of_its_own() -> None:
    start = at("00:00") + 7 * 60 * MINUTE
    bars = [Bar(start + day * DAY + 60 * MINUTE, 10, 100 + day) for day in range(24)]
    bars += [Bar(start + 25 * DAY + n * MINUTE, 10, 5) for n in range(3)]
    bars += [Bar(start + 25 * DAY - 3 * MINUTE, 10, 70), bars[-2]._replace(rev=1, volume=9)]
    found = newest(emitted([NAME], bars, BINANCE))
    ordered = final(bars)
    expected = plain(minutes(ordered, BINANCE), BINANCE)
    np.testing.assert_array_equal([found[0, bar.ts][0] for bar in ordered], expected)


@pytest.mark.parametrize("count", range(25, 33))
def test_bars_that_stay_open_over_two_midnights_are_run_again(count: int) -> None:
    """At a file's end a channel may lag a day and a half: its bars are not final until then. A bar
    a day is the worst case: whatever is run again with them is of days further back."""
    start = at("00:00") + 7 * 60 * MINUTE
    bars = [Bar(start + n * DAY + 1400 * MINUTE, 10, 100 + 7 * n) for n in range(count)]
    open_ones = [
        Bar(start + (count + 1) * DAY + minute * MINUTE, 10, 40, final=0)
        for minute in (-20, 1410, 1440 + 5, 1440 + 480)
    ]
    again = [bar._replace(volume=90, rev=1, final=1) for bar in open_ones]
    late = open_ones[1]._replace(ts=open_ones[1].ts + 7 * MINUTE)
    every = [*bars, *open_ones, again[0], late, *again[1:]]
    found = newest(emitted([NAME], every, BINANCE, [count, 3]))
    ordered = final(every)
    expected = plain(minutes(ordered, BINANCE), BINANCE)
    np.testing.assert_array_equal([found[0, bar.ts][0] for bar in ordered], expected)


@pytest.mark.parametrize("seed", range(6))
def test_a_checkpoint_that_finds_what_a_day_later_was_written(seed: int) -> None:
    """Memory is read while bars go on; from there the same bars must give the same rows."""
    chance = random.Random(seed)
    bars = restated(chance, around_midnights(chance, 34), BINANCE, 0.3)
    live = engine_for([NAME], BINANCE)
    start = next(n for n, bar in enumerate(bars) if bar.ts > at("00:00", 22 + seed))
    said(live, [NAME], bars[:start])
    state = live.snapshot()
    newer = max(bar.ts for bar in bars[:start]) + DAY
    end = next(n for n, bar in enumerate(bars) if bar.ts > newer)
    expected = said(live, [NAME], bars[start:end])
    assert state["memory"].holds()
    again = engine_for([NAME], BINANCE)
    again.restore(state)  # memory is that of the live one: as `end` left it
    assert said(again, [NAME], bars[start:end]) == expected
    assert said(again, [NAME], bars[end:]) == said(live, [NAME], bars[end:])


def test_it_is_computed_on_minutes_alone() -> None:
    with pytest.raises(Refuse, match="relative_volume_tod is computed on 1m"):
        given(NAME, days_alike(2, "09:00"), freq="1d")
