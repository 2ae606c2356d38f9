"""Freshness: what the badge may say of a venue's day."""

from dataclasses import replace
from datetime import date

from bursa.model.calendar import MINUTE_NS
from bursa.model.venue import IDX
from bursa.web.facts import Heard, Progress, Tape, away, freshness, session_at
from bursa.web.pages import tape_fields

DAY = date(2025, 11, 18)
SESSIONS = IDX.calendar.sessions(DAY)
OPEN = SESSIONS[1].open_ns
LIVE = Tape(DAY, OPEN + 5 * MINUTE_NS, SESSIONS, OPEN, [10, 20], 8.5, True, True, 40)


def test_live_while_messages_come() -> None:
    assert freshness(LIVE, 10) == "live"
    assert freshness(replace(LIVE, age_ms=10_000), 10) == "live"


def test_silence_in_a_session_is_stale_and_outside_of_hours_closed() -> None:
    assert freshness(replace(LIVE, age_ms=10_001), 10) == "stale"
    night = replace(LIVE, now_ns=SESSIONS[-1].close_ns, age_ms=60_000)
    assert freshness(night, 10) == "closed"
    assert session_at(night) is None


def test_a_channel_that_is_away_counts_more_than_its_silence() -> None:
    assert freshness(replace(LIVE, connected=False, age_ms=60_000), 10) == "cut"
    assert freshness(replace(LIVE, connected=False, feed=False), 10) == "none"


def test_a_start_that_is_not_done_counts_more_than_all_else() -> None:
    waits = replace(LIVE, starting="the store, which is away", connected=False, feed=False)
    assert freshness(waits, 10) == "start"
    assert tape_fields(IDX, waits)["starting"] == "the store, which is away"
    assert tape_fields(IDX, waits)["away"] == []
    assert tape_fields(IDX, LIVE)["starting"] is None


def test_waiting_while_past_days_come_or_nothing_came() -> None:
    assert freshness(replace(LIVE, progress=Progress(3, 30, DAY)), 10) == "wait"
    assert freshness(replace(LIVE, age_ms=None), 10) == "wait"


def test_what_is_away_is_the_cut_channel_or_a_silent_feed_whole() -> None:
    trades, rest = Heard("idxdata", OPEN, False, True), Heard("itchdata", OPEN + 9, True, False)
    tape = replace(LIVE, heard=[trades, rest])
    assert away(tape, "live") == []
    assert away(tape, "cut") == [trades]
    assert away(tape, "stale") == [trades, rest]
    fields = tape_fields(IDX, replace(tape, connected=False))
    assert fields["away"] == [{"channel": "idxdata", "since": OPEN // 10**6, "trades": True}]
    never = replace(tape, connected=False, heard=[Heard("idxdata", 0, False, True)])
    assert tape_fields(IDX, never)["away"][0]["since"] is None


def test_sessions_meet_without_overlap() -> None:
    lunch = next(s for s in SESSIONS if s.name == "break")
    first = session_at(replace(LIVE, now_ns=lunch.open_ns))
    second = session_at(replace(LIVE, now_ns=lunch.close_ns))
    assert first is not None
    assert second is not None
    assert (first.name, second.name) == ("break", "session 2")
