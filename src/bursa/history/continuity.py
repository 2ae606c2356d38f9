"""What is known of every expected minute: received, backfilled, confirmed empty, or missing.

A minute with a bar is *received*, or *backfilled* where its bar did not come live. One without is
*confirmed empty* only where the channel is proved to have been contiguous all through it: between
two signs of life of the same trading day, with no sequence gap in between. Any other is *missing*:
inside a gap, before numbers that began anew, or where nothing proves that we listened. So a feed
that was cut never makes a minute confirmed empty; nor does a bar that came later prove that
somebody listened before.

A longer bar is what the worst of its minutes is: one minute missing, and it is.

Pure functions over bits (model/covered.py) and status rows; ledger.py reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from bursa.model.batch import Batch
from bursa.model.calendar import DAY_NS, MINUTE_NS, Calendar
from bursa.model.covered import (
    BITS,
    WORDS,
    Bits,
    Coverage,
    Covered,
    Days,
    between,
    count,
    unpack,
)
from bursa.model.schema import STATES
from bursa.model.timeframe import TIMEFRAMES, bucket_end, buckets, minutes_of
from bursa.model.venue import Venue

# From best to worst: of a longer bar's minutes the greatest counts.
EMPTY, RECEIVED, BACKFILLED, MISSING = range(4)
STATE_WORDS = ("confirmed_empty", "received", "backfilled", "missing")

_GAP, _DOWN, _UP = (STATES.index(state) for state in ("gap", "down", "up"))
_NEVER = np.iinfo(np.int64).max
_DAY_MAX_NS = BITS * MINUTE_NS
# So many days are looked at minute by minute at a time.
_DAYS_AT_ONCE = 64

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that a channel lost: event time [start, end], seq_from to seq_to."""

    channel: str
    start_ns: int
    end_ns: int
    seq_from: int
    seq_to: int
    cause: str | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Expected bars next to one another that share a state; [start, end). `minutes`: those that
    are expected in them."""

    start_ns: int
    end_ns: int
    state: str
    minutes: int
    bars: int


class Stretches(Sequence[Stretch]):
    """Stretches as columns, for there can be hundreds of thousands: int64 (n,) each; `states` are
    places in STATE_WORDS."""

    def __init__(self, start: Times, end: Times, states: Times, minutes: Times, bars: Times):
        self.start, self.end, self.states = start, end, states
        self.minutes, self.bars = minutes, bars

    def __len__(self) -> int:
        return len(self.start)

    @overload
    def __getitem__(self, at: int) -> Stretch: ...
    @overload
    def __getitem__(self, at: slice) -> list[Stretch]: ...
    def __getitem__(self, at: int | slice) -> Stretch | list[Stretch]:
        if isinstance(at, slice):
            return [self[n] for n in range(*at.indices(len(self)))]
        start, end, minutes, bars = (
            int(column[at]) for column in (self.start, self.end, self.minutes, self.bars)
        )
        return Stretch(start, end, STATE_WORDS[self.states[at]], minutes, bars)

    def of(self, state: int) -> "Stretches":
        """Those in one state."""
        chosen = self.states == state
        columns = (self.start, self.end, self.states, self.minutes, self.bars)
        return Stretches(*(column[chosen] for column in columns))

    def totals(self) -> dict[str, int]:
        """Bars by state, and all that are expected."""
        sums = {
            word: int(self.bars[self.states == at].sum()) for at, word in enumerate(STATE_WORDS)
        }
        return sums | {"expected": int(self.bars.sum())}


@dataclass(frozen=True, slots=True)
class Continuity:
    """`totals` counts expected bars by state; `stretches` ascend and do not overlap. Bars are
    judged up to `known_to_ns`; later ones are not closed yet."""

    known_to_ns: int
    totals: dict[str, int]
    stretches: Stretches
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a venue's channels, in some days.

    expected  Days.expected
    status    status rows, ascending by ts, that reach from the first day's beginning to the end
    channels  indices of the channels that carry trades: all must have been contiguous
    heard     minutes of each day in which a bar of any instrument came live (Covered.heard)
    live_ns   newest event time of each of `channels`, 0 where none is known
    """

    days: Days
    expected: Bits
    status: Batch
    channels: Sequence[int]
    heard: Bits
    live_ns: Sequence[int]


@dataclass(frozen=True, slots=True)
class Asked:
    """Bars of a timeframe that open at start <= ts < end, closed at `closed_ns`."""

    start_ns: int
    end_ns: int
    closed_ns: int
    tf: str = "1m"


def classify(asked: Asked, evidence: Evidence, covered: Covered, venue: Venue) -> Continuity:
    """The state of each expected bar that is asked for. The days of the evidence hold all minutes
    of these bars."""
    calendar = venue.calendar
    runs = stretches(asked, evidence, covered, proved(evidence, venue), calendar)
    found = gaps(evidence.status, evidence.channels, calendar)
    inside = tuple(g for g in found if g.start_ns < asked.end_ns and g.end_ns >= asked.start_ns)
    known_to = minutes_asked(asked, calendar)[1]
    return Continuity(known_to, runs.totals(), runs, inside)


def stretches(
    asked: Asked, evidence: Evidence, covered: Covered, proof: Bits, calendar: Calendar
) -> Stretches:
    """Runs of the expected bars of one ticker that are asked for, in one state each. `proof`: of
    the same evidence (proved), which is the same for all tickers."""
    held = evidence.expected & _inside(asked, evidence.days, calendar)
    return _stretches(asked, evidence.days, judge(held, proof, covered), calendar)


@dataclass(frozen=True, slots=True)
class Judged:
    """Expected minutes by state, uint64 (..., days, WORDS) each; each is in one of them."""

    received: Bits
    backfilled: Bits
    empty: Bits
    missing: Bits

    def of_days(self, rows: slice) -> "Judged":
        """Those of some of the days."""
        every = (self.received, self.backfilled, self.empty, self.missing)
        return Judged(*(bits[..., rows, :] for bits in every))

    def counts(self) -> dict[str, Times]:
        """Minutes of each day by state, int64 (..., days)."""
        return {
            "received": count(self.received),
            "backfilled": count(self.backfilled),
            "confirmed_empty": count(self.empty),
            "missing": count(self.missing),
        }


def judge(expected: Bits, proof: Bits, covered: Covered | Coverage) -> Judged:
    """The state of the expected minutes: of one ticker (days, WORDS), or of several. A bar that
    cannot be is missing, whatever is proved."""
    late = expected & covered.backfilled
    here = expected & covered.received & ~late
    rest = expected & ~here & ~late
    proof = proof & ~covered.faulty
    return Judged(here, late, rest & proof, rest & ~proof)


def heat(
    start_ns: int, until_ns: int, evidence: Evidence, coverage: Coverage, venue: Venue
) -> tuple[Times, dict[str, Times]]:
    """How many minutes are expected in each day from one instant to another, int64 (days,), and how
    many of them are in which state, int64 (tickers, days)."""
    expected, judged = judge_all(start_ns, until_ns, evidence, coverage, venue)
    return count(expected), judged.counts()


def judge_all(
    start_ns: int, until_ns: int, evidence: Evidence, coverage: Coverage, venue: Venue
) -> tuple[Bits, Judged]:
    """The minutes that are expected from one instant to another, uint64 (days, WORDS), and the
    state of each of every ticker."""
    asked = Asked(start_ns, until_ns, until_ns)
    expected = evidence.expected & _inside(asked, evidence.days, venue.calendar)
    proof = proved(evidence, venue)
    return expected, judge(expected, proof, coverage)


# -- what is expected ------------------------------------------------------------------------------


def _inside(asked: Asked, days: Days, calendar: Calendar) -> Bits:
    """The minutes of the bars that are asked for, so far as they are closed."""
    start, end = minutes_asked(asked, calendar)
    first, last = (-(-(at - days.midnights[:-1]) // MINUTE_NS) for at in (start, end))
    return between(np.maximum(first, 0), np.maximum(last, 0))


def minutes_asked(asked: Asked, calendar: Calendar) -> tuple[int, int]:
    """The minutes that the asked-for bars are made of: [start, end), none of them open still."""
    tf, start, end = asked.tf, asked.start_ns, min(asked.end_ns, asked.closed_ns)
    if tf == "1m" or end <= start:
        return start, max(start, end)
    opening = _bucket(start, tf, calendar)
    if opening < start:  # it opens before the range
        start = minutes_of(opening, tf, calendar)[1]
    last = _bucket(end - 1, tf, calendar)
    while last >= start and (last >= end or bucket_end(last, tf, calendar) > asked.closed_ns):
        last = _bucket(minutes_of(last, tf, calendar)[0] - 1, tf, calendar)
    after = bucket_end(last, tf, calendar)
    return (start, after) if after > start else (asked.start_ns, asked.start_ns)


def _bucket(ts_ns: int, tf: str, calendar: Calendar) -> int:
    return int(buckets(np.array([ts_ns], np.int64), tf, calendar)[0])


# -- what is proved --------------------------------------------------------------------------------


def proved(evidence: Evidence, venue: Venue) -> Bits:
    """The minutes in which every channel was contiguous. uint64 (days, WORDS)."""
    days = evidence.days
    if not len(days):
        return evidence.expected
    out = np.full((len(days), WORDS), np.uint64(2**64 - 1))
    for channel, live_ns in zip(evidence.channels, evidence.live_ns, strict=True):
        out &= _spoken(evidence, channel, live_ns)
        numbered = venue.channels[channel].numbered
        unknown = _begun_anew(evidence, channel) if numbered else _away(evidence, channel, live_ns)
        out &= ~_touched(days, unknown)
    found = gaps(evidence.status, evidence.channels, venue.calendar)
    spans = [(gap.start_ns, gap.end_ns + 1) for gap in found]
    return out & ~_touched(days, spans)


def _spoken(evidence: Evidence, channel: int, live_ns: int) -> Bits:
    """The minutes between the first and the last sign of life of their day."""
    days, starts = evidence.days, evidence.days.midnights[:-1]
    signs = _signs(evidence, channel, live_ns)
    row = days.rows(signs)
    inside = (row >= 0) & (row < len(days))
    first, last = np.full(len(days), _NEVER), np.full(len(days), -1)
    np.minimum.at(first, row[inside], signs[inside])
    np.maximum.at(last, row[inside], signs[inside])
    if len(evidence.channels) == 1:
        # A bar proves that its channel spoke within its minute, no one knows at which instant.
        minutes = unpack(evidence.heard)
        some = minutes.any(axis=1)
        earliest = starts + (minutes.argmax(axis=1) + 1) * MINUTE_NS
        latest = starts + (BITS - 1 - minutes[:, ::-1].argmax(axis=1)) * MINUTE_NS
        first = np.where(some, np.minimum(first, earliest), first)
        last = np.where(some, np.maximum(last, latest), last)
    # A session that goes on over midnight is one with the next day's.
    whole = np.cumsum(~_goes_on(evidence)) - 1
    begins = np.flatnonzero(np.append(True, whole[1:] != whole[:-1]))
    first = np.minimum.reduceat(first, begins)[whole]
    last = np.maximum.reduceat(last, begins)[whole]
    none = (first == _NEVER) | (last < 0)
    # Outside its day an instant stands for the day's edge.
    first = np.clip(np.where(none, starts, first) - starts, 0, _DAY_MAX_NS)
    last = np.clip(np.where(none, starts, last) - starts, 0, _DAY_MAX_NS)
    return between(-(-first // MINUTE_NS), last // MINUTE_NS)


def _goes_on(evidence: Evidence) -> NDArray[np.bool_]:
    """Which days go on what the day before ends with, over midnight; bool (days,)."""
    days, expected = evidence.days, evidence.expected
    length = np.diff(days.midnights) // MINUTE_NS - 1
    ends = expected[np.arange(len(days)), length >> 6] >> (length & 63).astype(np.uint64)
    begins = expected[:, 0]
    goes_on = np.zeros(len(days), bool)
    goes_on[1:] = (ends[:-1] & begins[1:] & np.uint64(1)).astype(bool)
    return goes_on


def _signs(evidence: Evidence, channel: int, live_ns: int) -> Times:
    """Event times at which the channel is known to have spoken, ascending."""
    status = evidence.status
    own = status.block[status.kind.index["channel"]] == channel
    every = np.unique(np.append(status.column("ts")[own], live_ns))
    return every[every > 0]


def _begun_anew(evidence: Evidence, channel: int) -> list[tuple[int, int]]:
    """Where a channel's numbers began anew: nothing tells what else the session before had said.
    From its last sign of life to the first message of the new one, which says `up` although the
    line was not away, or bears a lower number."""
    index, block = evidence.status.kind.index, evidence.status.block
    block = block[:, block[index["channel"]] == channel]
    block = block[:, np.lexsort((block[index["position"]], block[index["ts"]]))]
    ts, state, due = (block[index[name]] for name in ("ts", "state", "next_seq"))
    anew = (state[1:] == _UP) & ((state[:-1] != _DOWN) | (due[1:] < due[:-1]))
    edges = zip(ts[:-1][anew].tolist(), ts[1:][anew].tolist(), strict=True)
    return [(_heard_before(evidence, before, start), start) for before, start in edges]


def _heard_before(evidence: Evidence, since_ns: int, ts_ns: int) -> int:
    """`since_ns`, or the opening of the last minute after it that is over at an instant and has a
    bar: its channel spoke in it."""
    days = evidence.days
    first, row = days.rows(np.array([since_ns, ts_ns])).tolist()
    if len(evidence.channels) > 1:  # nobody knows of which of them a bar is
        return since_ns
    for at in range(min(row, len(days) - 1), max(first, 0) - 1, -1):
        minutes = np.flatnonzero(unpack(evidence.heard[at : at + 1])[0])
        opens = days.midnights[at] + minutes * MINUTE_NS
        opens = opens[opens + MINUTE_NS <= ts_ns]
        if len(opens):
            return max(since_ns, int(opens[-1]))
    return since_ns


def _away(evidence: Evidence, channel: int, live_ns: int) -> list[tuple[int, int]]:
    """When the line of a channel without numbers of its own was away: nothing tells what it said
    meanwhile. From the cut to the next sign of life."""
    status, days = evidence.status, evidence.days
    index, block = status.kind.index, status.block
    cut = (block[index["channel"]] == channel) & (block[index["state"]] == _DOWN)
    signs = _signs(evidence, channel, live_ns)
    spans = []
    for down in np.unique(status.column("ts")[cut]).tolist():
        ends = [int(days.midnights[-1]), *signs[signs > down][:1].tolist()]
        heard = _heard_after(evidence, down)
        spans.append((down, min(ends if heard is None else [*ends, heard])))
    return spans


def _heard_after(evidence: Evidence, ts_ns: int) -> int | None:
    """When at the latest a bar tells that its channel spoke after an instant: the end of the first
    minute that opened later. Trades of an earlier one may have come before it."""
    days, heard = evidence.days, evidence.heard
    row = int(days.rows(np.array([ts_ns]))[0])
    if row >= len(days):
        return None
    if row >= 0:
        minutes = np.flatnonzero(unpack(heard[row : row + 1])[0])
        later = minutes[days.midnights[row] + minutes * MINUTE_NS > ts_ns]
        if len(later):
            return int(days.midnights[row]) + (int(later[0]) + 1) * MINUTE_NS
    after = np.flatnonzero(heard[row + 1 :].any(axis=1))
    if not len(after):
        return None
    row += 1 + int(after[0])
    first = int(unpack(heard[row : row + 1])[0].argmax())
    return int(days.midnights[row]) + (first + 1) * MINUTE_NS


def _touched(days: Days, spans: Sequence[tuple[int, int]]) -> Bits:
    """The minutes that have a part in any of [start, end). uint64 (days, WORDS)."""
    out = np.zeros((len(days), WORDS), np.uint64)
    if not spans or not len(days):
        return out
    edges = np.array(spans, np.int64)
    first, last = days.rows(edges[:, 0]), days.rows(edges[:, 1] - 1)
    for row in range(len(days)):
        here = (first <= row) & (last >= row)
        if here.any():
            start, end = (edges[here] - days.midnights[row]).T
            hit = between(np.maximum(start // MINUTE_NS, 0), -(-end // MINUTE_NS))
            out[row] = np.bitwise_or.reduce(hit, axis=0)
    return out


def gaps(status: Batch, channels: Sequence[int], calendar: Calendar) -> tuple[Gap, ...]:
    """The gap rows of some channels, in order. One without a message before it begins with the
    venue's day."""
    index, block = status.kind.index, status.block
    wanted = (block[index["state"]] == _GAP) & np.isin(block[index["channel"]], channels)
    rows = block[:, wanted]
    ts, ts_from = index["ts"], index["ts_from"]
    causes = status.words.of(status.kind.columns[index["cause"]])
    return tuple(
        Gap(
            status.words.channels[row[index["channel"]]],
            row[ts_from] if row[ts_from] > 0 else calendar.midnight_ns(calendar.day_of(row[ts])),
            row[ts],
            row[index["seq_from"]],
            row[index["seq_to"]],
            causes[row[index["cause"]]] if row[index["cause"]] >= 0 else None,
        )
        for row in rows.T.tolist()
    )


# -- bars next to one another ----------------------------------------------------------------------

# Columns of bars, and of stretches: opening, end, state, minutes, bars.
_Columns = tuple[Times, Times, Times, Times, Times]


def _stretches(asked: Asked, days: Days, judged: Judged, calendar: Calendar) -> Stretches:
    """Runs of expected bars in one state."""
    long = TIMEFRAMES[asked.tf] >= DAY_NS
    parts = []
    for at in range(0, len(days), _DAYS_AT_ONCE):
        bars = _bars(asked, days, judged, slice(at, at + _DAYS_AT_ONCE), calendar)
        if len(bars[0]):
            # A long bar may go on in the next part.
            parts.append(bars if long else _runs(bars, long))
    if not parts:
        return Stretches(*(np.empty(0, np.int64),) * 5)
    whole = _join(parts)
    if long:
        whole = _merged(whole, whole[0])
    return Stretches(*_runs(whole, long))


def _bars(asked: Asked, days: Days, judged: Judged, part: slice, calendar: Calendar) -> _Columns:
    """The expected bars of some days, of 1d and more the part that those days have of them."""
    masks = [judged.empty, judged.received, judged.backfilled, judged.missing]
    states = np.full((len(days.midnights[:-1][part]), BITS), -1, np.int8)
    for state, mask in enumerate(masks):
        states[unpack(mask[part])] = state
    rows, minutes = np.nonzero(states >= 0)
    opens = days.midnights[:-1][part][rows] + minutes * MINUTE_NS
    ones = np.ones(len(opens), np.int64)
    found = (opens, opens + MINUTE_NS, states[rows, minutes].astype(np.int64), ones, ones)
    return found if asked.tf == "1m" else _merged(found, buckets(opens, asked.tf, calendar))


def _merged(columns: _Columns, opens: Times) -> _Columns:
    """Rows of one opening as one bar."""
    if not len(opens):
        return columns
    first = np.flatnonzero(np.append(True, opens[1:] != opens[:-1]))
    _, ends, states, minutes, _ = columns
    return (
        opens[first],
        np.maximum.reduceat(ends, first),
        np.maximum.reduceat(states, first),
        np.add.reduceat(minutes, first),
        np.ones(len(first), np.int64),
    )


def _runs(columns: _Columns, long: bool) -> _Columns:
    """Rows next to one another that share a state as one. Days follow each other over nights and
    weekends (`long`); shorter bars do not."""
    opens, ends, states, minutes, bars = columns
    new = states[1:] != states[:-1]
    if not long:
        new |= opens[1:] != ends[:-1]
    first = np.flatnonzero(np.append(True, new))
    last = np.append(first[1:], len(opens)) - 1
    return (
        opens[first],
        ends[last],
        states[first],
        np.add.reduceat(minutes, first),
        np.add.reduceat(bars, first),
    )


def _join(parts: Sequence[_Columns]) -> _Columns:
    opens, ends, states, minutes, bars = (
        np.concatenate([part[at] for part in parts]) for at in range(5)
    )
    return opens, ends, states, minutes, bars
