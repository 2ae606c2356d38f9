"""The market clock: what takes time and what does not, and what is kept of it."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from bursa.exchange.clock import (
    MarketClock,
    Pace,
    State,
    first_live_day,
    load,
    new_state,
    save,
)
from bursa.exchange.market import FULL, HISTORY, NEVER, NO_BOOKS, trading_day_number
from bursa.model.errors import Refuse
from bursa.model.venue import IDX

CALENDAR = IDX.calendar
S = 1_000_000_000
FRIDAY, MONDAY = date(2025, 11, 21), date(2025, 11, 24)


def state(today: date = date(2026, 11, 20), history_days: int = 30, books: bool = True) -> State:
    return new_state(CALENDAR, today, 7, 700, books, history_days)


def clock(pace: Pace, kept: State) -> MarketClock:
    made = MarketClock(CALENDAR, kept, pace)
    made.tick(1_000 * S)
    return made


@pytest.mark.parametrize(
    ("today", "live"),
    [
        (date(2026, 11, 20), date(2025, 11, 20)),
        (date(2026, 11, 22), date(2025, 11, 24)),  # a Saturday a year ago: the Monday after it
        (date(2028, 2, 29), date(2027, 3, 1)),  # the 28th was a Sunday
    ],
)
def test_the_first_live_day_lies_a_year_back(today: date, live: date) -> None:
    assert first_live_day(CALENDAR, today) == live


def test_history_lies_before_the_live_day() -> None:
    origin = state().origin
    assert len(CALENDAR.days(origin.first_day, origin.live_day)) == 30
    assert origin.day(CALENDAR, origin.first_day).detail == HISTORY
    assert origin.day(CALENDAR, origin.live_day).detail == FULL
    assert state(books=False).origin.day(CALENDAR, origin.live_day).detail == NO_BOOKS
    alone = state(history_days=0).origin
    assert alone.first_day == alone.live_day


def test_it_stands_until_somebody_comes() -> None:
    made = clock(Pace(), state())
    before_ns = made.now_ns
    assert before_ns == CALENDAR.day_open_ns(date(2025, 11, 20)) - 30 * S
    made.tick(2_000 * S)
    assert made.now_ns == before_ns
    made.start()
    made.tick(2_001 * S)
    assert made.now_ns == before_ns + S


def test_nights_and_weekends_take_no_time() -> None:
    kept = state()
    kept.day, kept.now_ns = FRIDAY, CALENDAR.day_end_ns(FRIDAY) - 10 * S
    made = clock(Pace(speed=4.0), kept)
    made.start()
    made.tick(1_005 * S)  # 20 s of market time
    assert (made.day, made.now_ns) == (MONDAY, CALENDAR.day_open_ns(MONDAY) - 20 * S)
    assert made.limit_ns(FRIDAY) == NEVER
    assert made.limit_ns(MONDAY) == made.now_ns
    assert made.limit_ns(date(2025, 11, 25)) == -1


def test_who_has_seen_more_moves_it_up() -> None:
    made = clock(Pace(), state())
    day = made.day
    made.reached(date(2025, 10, 9), 1)
    made.reached(day, made.now_ns - 1)
    assert made.now_ns == CALENDAR.day_open_ns(day) - 30 * S
    made.reached(day, made.now_ns + 77)
    assert made.now_ns == CALENDAR.day_open_ns(day) - 30 * S + 77
    made.reached(FRIDAY, CALENDAR.sessions(FRIDAY)[0].open_ns)
    assert (made.day, made.now_ns) == (FRIDAY, CALENDAR.day_open_ns(FRIDAY) - 30 * S)


def test_at_a_rate_messages_make_the_time() -> None:
    kept = state()
    made = clock(Pace(rate=100), kept)
    start_ns = CALENDAR.sessions(made.day)[0].open_ns
    assert made.missing() == made.day
    made.start()
    made.tick(1_001 * S)
    assert made.now_ns == CALENDAR.day_open_ns(made.day) - 30 * S, "it waits for the tally"
    seconds = (CALENDAR.day_end_ns(made.day) - start_ns) // S + 1
    tally = np.arange(seconds, dtype=np.int64) * 10  # ten messages a second of market time
    made.take(made.day, tally)
    assert made.missing() == FRIDAY
    made.take(FRIDAY, tally)
    assert made.missing() is None
    opens_s = 14 * 60 + 30
    made.tick(1_001 * S + S // 2)  # 50 messages
    assert made.now_ns == start_ns + (opens_s + 5) * S
    made.tick(1_003 * S, counts=False)
    assert made.now_ns == start_ns + (opens_s + 5) * S
    left_s = int(seconds) - 1 - opens_s - 5
    made.tick(1_003 * S + left_s * S // 10 + S)  # to the end of the day, and 100 messages more
    assert made.day == FRIDAY
    assert made.now_ns == CALENDAR.sessions(FRIDAY)[0].open_ns + (opens_s + 10) * S


def test_unbounded_it_tells_all() -> None:
    made = clock(Pace(unbounded=True), state())
    made.start()
    made.tick(9_000 * S)
    assert made.limit_ns(made.day) == made.limit_ns(date(2031, 1, 2)) == NEVER


def test_the_state_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert load(path) is None
    kept = state()
    kept.now_ns += 123_456_789
    save(path, kept)
    assert load(path) == kept
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 2}'])
def test_a_state_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(Refuse, match=r"state\.json"):
        load(path)


def test_a_market_keeps_the_calendar() -> None:
    """A holiday is passed over, and the days on both sides of it have numbers in a row."""
    assert first_live_day(CALENDAR, date(2026, 12, 25)) == date(2025, 12, 29)
    assert state(date(2026, 12, 29), history_days=1).origin.first_day == date(2025, 12, 24)
    around = (date(2025, 8, 15), date(2025, 8, 19), date(2025, 12, 24), date(2025, 12, 29))
    numbers = [trading_day_number(CALENDAR, day) for day in around]
    assert numbers[1] == numbers[0] + 1, "18 August was joint leave"
    assert numbers[3] == numbers[2] + 1, "Christmas and the day after it, then a weekend"


def test_a_kept_state_without_history_days_is_read(tmp_path: Path) -> None:
    path, made = tmp_path / "state.json", state()
    save(path, made)
    assert load(path) == made
    content = json.loads(path.read_text())
    del content["origin"]["history_days"]
    path.write_text(json.dumps(content))
    kept = load(path)
    assert kept is not None
    assert kept.origin == replace(made.origin, history_days=None)
