"""Each way in which a minute is proved, or is not."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pytest

from bursa.history.continuity import Continuity, Evidence, classify, expected
from bursa.model.batch import Batch, Span, Words
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.schema import CAUSES, INT_NULL, STATES, STATUS
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
) -> Continuity:
    evidence = Evidence(status(venue, rows), [0], np.array(sorted(bars), np.int64), [live])
    return classify(start, end, evidence, venue.calendar)


def states(found: Continuity) -> list[tuple[str, str, str]]:
    """(from, to, state) by Jakarta's clock."""

    def clock(ns: int) -> str:
        seconds = IDX.calendar.local_s(ns)
        return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"

    return [(clock(s.start_ns), clock(s.end_ns), s.state) for s in found.stretches]


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
    assert found.totals == {"expected": 330, "received": 0, "confirmed_empty": 330, "missing": 0}
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
    assert found.totals == {"expected": 270, "received": 0, "confirmed_empty": 0, "missing": 270}


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
    evidence = Evidence(
        Batch(STATUS, both, batch.words, batch.span), [0], np.empty(0, np.int64), [0]
    )
    found = classify(at(THU, 9, 0), at(THU, 11, 0), evidence, IDX.calendar)
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


def test_expected_minutes_are_those_of_the_calendar() -> None:
    assert len(expected(at(THU, 0, 0), at(FRI, 17, 0), IDX.calendar)) == 600
    assert len(expected(at(THU, 12, 0), at(THU, 13, 30), IDX.calendar)) == 0
    assert len(expected(at(FRI, 0, 0), at(FRI, 0, 0), IDX.calendar)) == 0
    weekend = at(date(2026, 11, 21), 0, 0), at(date(2026, 11, 23), 0, 0)
    assert len(expected(*weekend, IDX.calendar)) == 0
