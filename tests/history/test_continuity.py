"""Each way in which a minute is proved, or is not."""

import itertools
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest

from bursa.history.continuity import (
    RECEIVED,
    STATE_WORDS,
    Asked,
    Continuity,
    Evidence,
    classify,
    minutes_asked,
)
from bursa.model.batch import Batch, Span, Words
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.covered import Bits, Covered, Days
from bursa.model.schema import CAUSES, INT_NULL, STATES, STATUS
from bursa.model.timeframe import TIMEFRAMES, bucket_end, buckets
from bursa.model.venue import BINANCE, IDX, Venue

THU, FRI = date(2026, 11, 19), date(2026, 11, 20)
Row = tuple[int, str, int | None]  # ts, state, ts_from of a gap


def at(day: date, hour: int, minute: int, second: int = 0) -> int:
    local_s = (hour * 60 + minute) * 60 + second
    return IDX.calendar.midnight_ns(day) + local_s * SECOND_NS


def status(venue: Venue, rows: Sequence[Row], channel: int = 0) -> Batch:
    words = Words(venue.boards, [c.name for c in venue.channels])
    block = np.full((len(STATUS.columns), len(rows)), -1, np.int64)
    index = STATUS.index
    for n, (ts, state, ts_from) in enumerate(sorted(rows)):
        block[index["channel"], n] = channel
        block[index["ts"], n] = ts
        block[index["state"], n] = STATES.index(state)
        block[index["ts_from"], n] = INT_NULL if ts_from is None else ts_from
        block[index["seq_from"], n], block[index["seq_to"], n] = 7, 9
        block[index["cause"], n] = CAUSES.index("jump")
    return Batch(STATUS, block, words, Span(venue.name, 1, 0, 0))


def judged(
    rows: Sequence[Row],
    start: int,
    end: int,
    bars: Sequence[int] = (),
    live: int = 0,
    venue: Venue = IDX,
    late: Sequence[int] = (),
    others: Sequence[int] = (),
    tf: str = "1m",
) -> Continuity:
    """`late`: bars that were backfilled; `others`: minutes in which another ticker traded."""
    return of(status(venue, rows), start, end, bars, live, venue, late, others, tf)


def of(
    rows: Batch,
    start: int,
    end: int,
    bars: Sequence[int] = (),
    live: int = 0,
    venue: Venue = IDX,
    late: Sequence[int] = (),
    others: Sequence[int] = (),
    tf: str = "1m",
    faulty: Sequence[int] = (),
) -> Continuity:
    asked, calendar = Asked(start, end, end, tf), venue.calendar
    first, last = minutes_asked(asked, calendar)
    days = Days.of(calendar, calendar.day_of(first), calendar.day_of(last) + timedelta(days=1))

    def bits(*times: Sequence[int]) -> Bits:
        return days.pack(np.array(sorted({t for each in times for t in each}), np.int64))

    heard = bits(bars, others)
    evidence = Evidence(days, days.expected(calendar), rows, [0], heard, [live])
    covered = Covered(bits(bars, late), bits(late), bits(faulty), heard)
    return classify(asked, evidence, covered, venue)


def states(found: Continuity) -> list[tuple[str, str, str]]:
    """(from, to, state) by Jakarta's clock."""

    def clock(ns: int) -> str:
        seconds = IDX.calendar.local_s(ns)
        return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"

    return [(clock(s.start_ns), clock(s.end_ns), s.state) for s in found.stretches]


def totals(
    received: int = 0, backfilled: int = 0, confirmed_empty: int = 0, missing: int = 0
) -> dict[str, int]:
    found = {"received": received, "backfilled": backfilled, "confirmed_empty": confirmed_empty}
    found |= {"missing": missing}
    return found | {"expected": sum(found.values())}


WHOLE_DAY: list[Row] = [
    (at(THU, 8, 45), "P", None),
    (at(THU, 9, 0), "1", None),
    (at(THU, 12, 0), "B", None),
    (at(THU, 13, 30), "2", None),
    (at(THU, 15, 50), "C", None),
    (at(THU, 16, 16), "E", None),
]


def test_a_whole_day_without_trades_is_confirmed_empty() -> None:
    found = judged(WHOLE_DAY, at(THU, 0, 0), at(FRI, 0, 0))
    assert found.totals == totals(confirmed_empty=330)
    assert states(found) == [
        ("09:00", "12:00", "confirmed_empty"),
        ("13:30", "16:00", "confirmed_empty"),
    ]


def test_a_minute_with_a_bar_is_received() -> None:
    found = judged(WHOLE_DAY, at(THU, 9, 0), at(THU, 9, 4), [at(THU, 9, 1), at(THU, 9, 2)])
    assert [s.state for s in found.stretches] == ["confirmed_empty", "received", "confirmed_empty"]
    assert [s.minutes for s in found.stretches] == [1, 2, 1]


def test_a_day_of_which_nothing_was_heard_is_missing() -> None:
    found = judged(WHOLE_DAY, at(FRI, 0, 0), at(FRI, 17, 0))
    assert found.totals == totals(missing=270)


def test_a_day_between_two_days_that_were_heard_is_missing() -> None:
    monday = date(2026, 11, 23)
    rows = [*WHOLE_DAY, (at(monday, 8, 45), "P", None), (at(monday, 9, 0), "1", None)]
    found = judged(rows, at(THU, 0, 0), at(monday, 9, 0), live=at(monday, 9, 30))
    assert found.totals["missing"] == 270
    assert states(found)[-2:] == [("09:00", "11:30", "missing"), ("14:00", "16:00", "missing")]


def test_after_the_last_sign_of_life_nothing_is_confirmed() -> None:
    cut = WHOLE_DAY[:2]
    found = judged(cut, at(THU, 9, 0), at(THU, 10, 0), live=at(THU, 9, 40, 30))
    assert states(found) == [("09:00", "09:40", "confirmed_empty"), ("09:40", "10:00", "missing")]


def test_a_cut_without_any_message_before_it_confirms_nothing() -> None:
    assert judged([], at(THU, 9, 0), at(THU, 10, 0)).totals["missing"] == 60
    assert (
        judged([(at(THU, 9, 0), "1", None)], at(THU, 9, 0), at(THU, 10, 0)).totals["missing"] == 60
    )


def test_minutes_that_a_gap_touches_are_missing_and_the_gap_is_told() -> None:
    rows = [*WHOLE_DAY, (at(THU, 10, 5, 30), "gap", at(THU, 10, 2, 30))]
    found = judged(rows, at(THU, 10, 0), at(THU, 10, 10), [at(THU, 10, 5)])
    assert states(found) == [
        ("10:00", "10:02", "confirmed_empty"),
        ("10:02", "10:05", "missing"),
        ("10:05", "10:06", "received"),
        ("10:06", "10:10", "confirmed_empty"),
    ]
    gap = found.gaps[0]
    assert (gap.channel, gap.seq_from, gap.seq_to, gap.cause) == ("idxdata", 7, 9, "jump")


@pytest.mark.parametrize("edge", [at(THU, 10, 3), at(THU, 10, 4) - 1])
def test_a_gap_of_one_instant_spoils_its_minute(edge: int) -> None:
    found = judged([*WHOLE_DAY, (edge, "gap", edge)], at(THU, 10, 0), at(THU, 10, 6))
    assert [s for s in states(found) if s[2] == "missing"] == [("10:03", "10:04", "missing")]


def test_a_gap_that_nothing_came_before_begins_with_its_day() -> None:
    rows = [*WHOLE_DAY, (at(THU, 9, 10, 30), "gap", None)]
    found = judged(rows, at(THU, 9, 0), at(THU, 9, 20))
    assert states(found) == [("09:00", "09:11", "missing"), ("09:11", "09:20", "confirmed_empty")]


def test_gaps_of_channels_without_trades_do_not_count() -> None:
    batch = status(IDX, [(at(THU, 10, 0), "gap", at(THU, 9, 0))], channel=1)
    both = np.concatenate((status(IDX, WHOLE_DAY).block, batch.block), axis=1)
    rows = Batch(STATUS, both, batch.words, batch.span)
    found = of(rows, at(THU, 9, 0), at(THU, 11, 0))
    assert found.totals["missing"] == 0 and found.gaps == ()


def test_bars_prove_the_quiet_minutes_between_them() -> None:
    found = judged([], at(THU, 9, 0), at(THU, 9, 10), [at(THU, 9, 2), at(THU, 9, 6)])
    assert states(found) == [
        ("09:00", "09:02", "missing"),
        ("09:02", "09:03", "received"),
        ("09:03", "09:06", "confirmed_empty"),
        ("09:06", "09:07", "received"),
        ("09:07", "09:10", "missing"),
    ]


def test_a_venue_that_never_closes_runs_over_midnight() -> None:
    start = BINANCE.calendar.midnight_ns(THU) + 23 * 60 * MINUTE_NS
    rows: list[Row] = [(start, "up", None)]
    end = start + 120 * MINUTE_NS
    found = judged(rows, start, end, live=end + MINUTE_NS, venue=BINANCE)
    assert found.totals["confirmed_empty"] == 120


def test_a_bar_that_came_later_is_backfilled_and_proves_nothing() -> None:
    late = [at(THU, 9, 2), at(THU, 9, 6)]
    found = judged([], at(THU, 9, 0), at(THU, 9, 10), late=late)
    assert found.totals == totals(backfilled=2, missing=8)
    found = judged(WHOLE_DAY, at(THU, 9, 0), at(THU, 9, 10), [at(THU, 9, 4)], late=late)
    assert found.totals == totals(received=1, backfilled=2, confirmed_empty=7)


def test_a_minute_with_a_faulty_bar_is_missing_not_empty() -> None:
    start, end = at(THU, 9, 0), at(THU, 9, 10)
    found = of(status(IDX, WHOLE_DAY), start, end, faulty=[at(THU, 9, 4)])
    assert found.totals == totals(confirmed_empty=9, missing=1)


def test_bars_of_other_tickers_prove_quiet_minutes_from_the_one_after_the_first() -> None:
    """The first of them may have come when its minute was half over."""
    others = [at(THU, 9, 2), at(THU, 9, 6)]
    found = judged([], at(THU, 9, 0), at(THU, 9, 10), others=others)
    assert states(found) == [
        ("09:00", "09:03", "missing"),
        ("09:03", "09:06", "confirmed_empty"),
        ("09:06", "09:10", "missing"),
    ]


def test_while_a_line_without_numbers_was_away_nothing_is_confirmed() -> None:
    def moment(minute: int) -> int:
        return at(THU, 17, minute)

    rows: list[Row] = [(moment(0), "up", None), (moment(20) + 7, "down", None)]
    rows += [(moment(20) + 7, "up", None)]
    found = judged(
        rows, moment(10), moment(40), others=[moment(31)], live=moment(50), venue=BINANCE
    )
    # Who spoke in the minute from 31 on may have come back in it.
    assert [(s.state, s.minutes) for s in found.stretches] == [
        ("confirmed_empty", 10), ("missing", 12), ("confirmed_empty", 8),
    ]  # fmt: skip
    assert judged(rows, moment(10), moment(40), venue=IDX, live=moment(50)).totals["missing"] == 0


def test_a_line_that_never_came_back_confirms_nothing_from_the_cut_on() -> None:
    rows: list[Row] = [(at(THU, 17, 0), "up", None), (at(THU, 17, 20), "down", None)]
    found = judged(rows, at(THU, 17, 10), at(THU, 17, 40), venue=BINANCE)
    assert found.totals == totals(confirmed_empty=10, missing=20)


def test_between_two_sessions_of_a_day_nothing_is_confirmed() -> None:
    """Numbers that begin anew do not tell how many the session before had."""
    rows: list[Row] = [(at(THU, 9, 0), "up", None), (at(THU, 9, 30) + 7, "up", None)]
    start, end = at(THU, 9, 0), at(THU, 9, 40)
    found = judged(rows, start, end, others=[at(THU, 9, 9)], live=end)
    assert states(found) == [
        ("09:00", "09:09", "confirmed_empty"),
        ("09:09", "09:31", "missing"),
        ("09:31", "09:40", "confirmed_empty"),
    ]
    assert judged(rows, start, end, live=end).totals == totals(confirmed_empty=9, missing=31)
    # A line that was away goes on with the same numbers: what it lost would be a gap.
    rows.insert(1, (at(THU, 9, 12), "down", None))
    assert judged(rows, start, end, live=end).totals == totals(confirmed_empty=40)


def test_between_two_sessions_of_two_days_each_day_counts_for_itself() -> None:
    rows: list[Row] = [(at(THU, 9, 0), "up", None), (at(FRI, 9, 0), "up", None)]
    heard = [at(THU, 15, 59), at(FRI, 9, 30)]
    found = judged(rows, at(THU, 0, 0), at(FRI, 9, 30), others=heard, live=at(FRI, 9, 30))
    assert states(found)[-2:] == [
        ("15:59", "16:00", "missing"),
        ("09:00", "09:30", "confirmed_empty"),
    ]
    assert found.totals == totals(confirmed_empty=359, missing=1)


# -- longer bars -----------------------------------------------------------------------------------


def test_a_longer_bar_is_what_the_worst_of_its_minutes_is() -> None:
    rows = [*WHOLE_DAY, (at(THU, 9, 17, 30), "gap", at(THU, 9, 17, 10))]
    bars = [at(THU, 9, minute) for minute in (0, 1, 7, 16)]
    found = judged(rows, at(THU, 9, 0), at(THU, 9, 25), bars, late=[at(THU, 9, 8)], tf="5m")
    assert states(found) == [
        ("09:00", "09:05", "received"),
        ("09:05", "09:10", "backfilled"),
        ("09:10", "09:15", "confirmed_empty"),
        ("09:15", "09:20", "missing"),
        ("09:20", "09:25", "confirmed_empty"),
    ]
    assert found.totals == totals(1, 1, 2, 1)
    assert [(s.minutes, s.bars) for s in found.stretches] == [(5, 1)] * 5


def test_four_of_five_minutes_are_not_a_whole_bar() -> None:
    bars = [at(THU, 9, minute) for minute in range(4)]
    found = judged([], at(THU, 9, 0), at(THU, 9, 5), bars, tf="5m")
    assert found.totals == totals(missing=1)
    day = [int(m) for m in IDX.calendar.expected_minutes(THU)]
    assert judged([], at(THU, 0, 0), at(FRI, 0, 0), day, tf="1d").totals == totals(received=1)
    for gone in (0, 100, len(day) - 1):
        rest = day[:gone] + day[gone + 1 :]
        lost = [(day[gone] + SECOND_NS, "gap", day[gone])]
        assert judged(lost, at(THU, 0, 0), at(FRI, 0, 0), rest, tf="1d").totals["missing"] == 1


@pytest.mark.parametrize("tf", TIMEFRAMES)
def test_every_timeframe_agrees_with_its_minutes(tf: str) -> None:
    """Against a reference that looks at one bar after another."""
    random = np.random.default_rng(list(TIMEFRAMES).index(tf))
    start, end = at(date(2026, 10, 26), 0, 0), at(date(2026, 12, 8), 11, 7)
    calendar = IDX.calendar
    days = calendar.days(calendar.day_of(start), calendar.day_of(end) + timedelta(days=1))
    minutes = np.concatenate([calendar.expected_minutes(day) for day in days])
    bars = minutes[random.random(len(minutes)) < 0.97].tolist()
    late = bars[40:90]
    rows: list[Row] = [
        (at(day, hour, 0), state, None) for day in days for hour, state in ((8, "P"), (17, "E"))
    ]
    rows += [(ts + 10 * SECOND_NS, "gap", ts) for ts in random.choice(minutes, 4).tolist()]
    bars = [ts for ts in bars if ts not in set(late)]
    found = judged(rows, start, end, bars, late=late, tf=tf)
    single = judged(
        rows, minutes_asked(Asked(start, end, end, tf), calendar)[0], end, bars, late=late
    )
    worst: dict[int, int] = {}
    for stretch in single.stretches:
        state = STATE_WORDS.index(stretch.state)
        inside = np.arange(stretch.start_ns, stretch.end_ns, MINUTE_NS)
        for opening in buckets(inside, tf, calendar).tolist():
            worst[opening] = max(worst.get(opening, 0), state)
    whole = {
        opening: state
        for opening, state in worst.items()
        if opening >= start and bucket_end(opening, tf, calendar) <= end
    }
    expected = {word: 0 for word in (*STATE_WORDS, "expected")}
    for state in whole.values():
        expected[STATE_WORDS[state]] += 1
        expected["expected"] += 1
    assert found.totals == expected
    assert sum(s.bars for s in found.stretches) == len(whole)
    for before, after in itertools.pairwise(found.stretches):
        assert before.end_ns <= after.start_ns


def test_bars_that_are_not_closed_yet_are_not_judged() -> None:
    day = [int(m) for m in IDX.calendar.expected_minutes(THU)]
    found = judged([], at(THU, 9, 0), at(THU, 9, 13), day, tf="5m")
    assert found.totals == totals(received=2) and found.known_to_ns == at(THU, 9, 10)
    assert judged([], at(THU, 0, 0), at(THU, 15, 0), day, tf="1d").totals == totals()
    # A week from Wednesday on is not asked for: its bar opened before.
    wednesday = date(2026, 11, 18)
    assert judged([], at(wednesday, 0, 0), at(FRI, 23, 0), day, tf="1w").totals == totals()


@pytest.mark.parametrize("tf", ["1h", "1d", "1w", "1M"])
def test_where_no_bar_opens_and_closes_in_the_range_nothing_is_judged(tf: str) -> None:
    """Not known to the opening of the next bar, which lies ahead."""
    start, end = at(THU, 9, 20), at(THU, 9, 40)
    assert minutes_asked(Asked(start, end, end, tf), IDX.calendar) == (start, start)
    found = judged(WHOLE_DAY, start, end, tf=tf)
    assert (found.known_to_ns, found.totals) == (start, totals())


def test_days_over_a_weekend_are_next_to_one_another() -> None:
    days = IDX.calendar.days(date(2026, 11, 16), date(2026, 11, 28))
    bars = [int(m) for day in days for m in IDX.calendar.expected_minutes(day)]
    found = judged([], at(days[0], 0, 0), at(date(2026, 11, 28), 0, 0), bars, tf="1d")
    assert len(found.stretches) == 1 and found.totals == totals(received=10)


def test_rows_of_many_stretches_are_cut_like_a_list() -> None:
    bars = [at(THU, 9, minute) for minute in range(0, 60, 2)]
    found = judged(WHOLE_DAY, at(THU, 9, 0), at(THU, 10, 0), bars).stretches
    assert len(found) == 60 and len(found[10:20]) == 10
    assert found[10:12] == [found[10], found[11]]
    assert [s.start_ns for s in found.of(RECEIVED)] == bars
