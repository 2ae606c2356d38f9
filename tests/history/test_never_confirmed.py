"""A feed that was cut never makes a minute confirmed empty: any feed, any cuts, the real line.

An exchange says things for three quarters of an hour, some of which nobody hears: whole runs of
messages are lost, the first ones come too late, the last ones never. Of no ticker may a minute be
confirmed empty in which anything was lost; and what was heard without a break is confirmed.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.history.continuity import Asked, Evidence, classify
from bursa.model.batch import Batch, concat
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.covered import Covered, Days
from bursa.model.venue import IDX
from bursa.pipeline.line import Line
from bursa.wire.idx.decoder import IdxDecoder
from tests.wire.idx import encoder as idx

DAY = date(2026, 11, 19)
OPENS_NS = IDX.calendar.midnight_ns(DAY) + 9 * 60 * MINUTE_NS
MINUTES = 45
TICKERS = ("BBCA", "GOTO", "TLKM")


@dataclass(frozen=True)
class Said:
    """One message: when, and of whom a trade; "" is a sign of life."""

    ts: int
    ticker: str


@dataclass(frozen=True)
class Story:
    """What was said, and which of it (by place) was lost."""

    said: tuple[Said, ...]
    lost: frozenset[int]
    cuts: tuple[int, ...]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    seconds = sorted(draw(st.lists(st.integers(0, MINUTES * 60 - 1), min_size=2, max_size=60)))
    names = st.sampled_from(("", *TICKERS))
    said = tuple(Said(OPENS_NS + s * SECOND_NS + n, draw(names)) for n, s in enumerate(seconds))
    places = st.integers(0, len(said) - 1)
    runs = draw(st.lists(st.tuples(places, st.integers(1, 8)), max_size=4))
    lost = {n for first, count in runs for n in range(first, min(first + count, len(said)))}
    cuts = tuple(sorted(draw(st.lists(places, max_size=4))))
    return Story(said, frozenset(lost), cuts)


def heard(story: Story) -> list[Batch]:
    """What the line makes of the messages that came, in records cut anywhere."""
    words = idx.words()
    line = Line(IDX, words, IdxDecoder(IDX, words), {})
    out: list[Batch] = []
    end = 0
    came = [n for n in range(len(story.said)) if n not in story.lost]
    parts: list[list[int]] = [[]]
    for n in came:
        if n in story.cuts and parts[-1]:
            parts.append([])
        parts[-1].append(n)
    for part in parts:
        if part:
            record = idx.blocks_of([message(n, story.said[n]) for n in part])
            ends = idx.positions([record], end)
            out += line.push(idx.chunk([record], ends, end)).batches
            end = ends[-1]
    marks = line.watermarks()
    assert marks[0] == max((story.said[n].ts for n in came), default=0)
    return out


def message(number: int, said: Said) -> bytes:
    seq = number + 1
    if not said.ticker:
        return idx.status(seq, said.ts)
    return idx.trade(seq, said.ts, said.ticker, trade_no=seq)


def judged(story: Story) -> dict[str, dict[int, str]]:
    """Ticker -> minute after nine -> state, as far as bars are closed."""
    batches = heard(story)
    status = [batch for batch in batches if batch.kind.name == "status"]
    bars = [batch for batch in batches if batch.kind.name == "ohlcv"]
    if not status:
        return {}
    came = [said.ts for n, said in enumerate(story.said) if n not in story.lost]
    closed = (max(came) - IDX.grace_s * SECOND_NS) // MINUTE_NS * MINUTE_NS
    days = Days.of(IDX.calendar, DAY, DAY + timedelta(days=1))
    opens = {ticker: set[int]() for ticker in TICKERS}
    for batch in bars:
        for ticker, ts in zip(batch.text("ticker"), batch.column("ts").tolist(), strict=True):
            assert ticker is not None
            opens[ticker].add(ts)
    spoken = days.pack(np.array(sorted(set().union(*opens.values())), np.int64))
    evidence = Evidence(days, days.expected(IDX.calendar), concat(status), [0], spoken, [max(came)])
    out = {}
    for ticker in TICKERS:
        received = days.pack(np.array(sorted(opens[ticker]), np.int64))
        none = np.zeros_like(received)
        covered = Covered(received, none, none, spoken)
        asked = Asked(OPENS_NS, OPENS_NS + MINUTES * MINUTE_NS, closed)
        out[ticker] = {
            (ts - OPENS_NS) // MINUTE_NS: stretch.state
            for stretch in classify(asked, evidence, covered, IDX).stretches
            for ts in range(stretch.start_ns, stretch.end_ns, MINUTE_NS)
        }
    return out


@settings(max_examples=60, deadline=None)
@given(stories())
def test_no_minute_in_which_anything_was_lost_is_confirmed_empty(story: Story) -> None:
    lost = {(story.said[n].ts - OPENS_NS) // MINUTE_NS for n in story.lost}
    for states in judged(story).values():
        confirmed = {minute for minute, state in states.items() if state == "confirmed_empty"}
        assert not confirmed & lost


@settings(max_examples=60, deadline=None)
@given(stories())
def test_no_minute_that_reaches_into_silence_is_confirmed_empty(story: Story) -> None:
    """Before the first message, in a lost run, after the last: not by a second."""
    came = [n for n in range(len(story.said)) if n not in story.lost]
    if not came:
        return
    times = [said.ts for said in story.said]
    proved = [
        (times[one], times[other]) for one, other in zip(came, came[1:], strict=False)
        if other == one + 1
    ]  # fmt: skip
    for states in judged(story).values():
        for minute, state in states.items():
            if state == "confirmed_empty":
                start = OPENS_NS + minute * MINUTE_NS
                assert covers(proved, start, start + MINUTE_NS), minute


def covers(spans: list[tuple[int, int]], start: int, end: int) -> bool:
    """Do spans that touch one another hold all of [start, end)?"""
    at = start
    for first, last in spans:
        if first <= at < last:
            at = last
    return at >= end


@settings(max_examples=60, deadline=None)
@given(stories())
def test_what_was_heard_without_a_break_is_known(story: Story) -> None:
    whole = Story(story.said, frozenset(), story.cuts)
    first, last = whole.said[0].ts, whole.said[-1].ts
    for ticker, states in judged(whole).items():
        traded = {(s.ts - OPENS_NS) // MINUTE_NS for s in whole.said if s.ticker == ticker}
        for minute, state in states.items():
            start = OPENS_NS + minute * MINUTE_NS
            if minute in traded:
                assert state == "received"
            elif start >= first and start + MINUTE_NS <= last:
                assert state == "confirmed_empty"
            else:
                assert state == "missing"
