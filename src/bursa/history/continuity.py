"""What is known of every expected minute: received, confirmed empty, or missing.

A minute with a bar is *received*. One without is *confirmed empty* only where the channel is proved
to have been contiguous all through it: between two signs of life of the same trading day, with no
sequence gap in between. Any other is *missing*: inside a gap, or where nothing proves that we
listened. So a feed that was cut never makes a minute confirmed empty.

A pure function over status rows and bar times; ledger.py reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from bursa.model.batch import Batch
from bursa.model.calendar import MINUTE_NS, Calendar
from bursa.model.schema import STATES

RECEIVED, EMPTY, MISSING = 0, 1, 2
WORDS = ("received", "confirmed_empty", "missing")

_GAP = STATES.index("gap")

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
    """Expected minutes next to one another that share a state; [start, end)."""

    start_ns: int
    end_ns: int
    state: str
    minutes: int


@dataclass(frozen=True, slots=True)
class Continuity:
    """`totals` counts expected minutes by state; `stretches` ascend and do not overlap. Minutes are
    judged up to `known_to_ns`; later ones are not closed yet."""

    known_to_ns: int
    totals: dict[str, int]
    stretches: tuple[Stretch, ...]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a venue's channels.

    status    status rows, ascending by ts, that reach from the first day's beginning to the end
    channels  indices of the channels that carry trades: all must have been contiguous
    bar_ts    openings of one ticker's bars, ascending
    live_ns   newest event time of each of `channels`, 0 where none is known
    """

    status: Batch
    channels: Sequence[int]
    bar_ts: Times
    live_ns: Sequence[int]


def classify(start_ns: int, end_ns: int, evidence: Evidence, calendar: Calendar) -> Continuity:
    """The state of each expected minute that opens in [start, end). The caller puts `end` at or
    before the last closed minute; later ones are not due yet."""
    minutes = expected(start_ns, end_ns, calendar)
    states = np.full(len(minutes), MISSING)
    whole = np.ones(len(minutes), bool)
    for channel, live_ns in zip(evidence.channels, evidence.live_ns, strict=True):
        whole &= _contiguous(minutes, _signs(evidence, channel, live_ns), calendar)
    found = gaps(evidence.status, evidence.channels, calendar)
    for gap in found:
        whole &= (minutes > gap.end_ns) | (minutes + MINUTE_NS <= gap.start_ns)
    states[whole] = EMPTY
    states[np.isin(minutes, evidence.bar_ts)] = RECEIVED
    totals = {word: int((states == at).sum()) for at, word in enumerate(WORDS)}
    inside = tuple(gap for gap in found if gap.start_ns < end_ns and gap.end_ns >= start_ns)
    totals["expected"] = len(minutes)
    return Continuity(end_ns, totals, tuple(_stretches(minutes, states)), inside)


def expected(start_ns: int, end_ns: int, calendar: Calendar) -> Times:
    """Openings of the expected minutes in [start, end), ascending."""
    if end_ns <= start_ns:
        return np.empty(0, np.int64)
    days = calendar.days(calendar.day_of(start_ns), calendar.day_of(end_ns - 1) + timedelta(days=1))
    every = [calendar.expected_minutes(day) for day in days]
    minutes = np.concatenate(every) if every else np.empty(0, np.int64)
    return minutes[(minutes >= start_ns) & (minutes < end_ns)]


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


def _signs(evidence: Evidence, channel: int, live_ns: int) -> Times:
    """Event times at which the channel is known to have spoken, ascending. A bar is one: the
    minute that it stands for was not cut off before its opening."""
    status = evidence.status
    own = status.block[status.kind.index["channel"]] == channel
    times = (status.column("ts")[own], evidence.bar_ts, np.array([live_ns], np.int64))
    every = np.unique(np.concatenate(times))
    return every[every > 0]


def _contiguous(minutes: Times, signs: Times, calendar: Calendar) -> NDArray[np.bool_]:
    """Which minutes lie between two signs of the same trading day. Where the venue never closes
    there is no session to end, and days run on into one another."""
    if not len(signs) or not len(minutes):
        return np.zeros(len(minutes), bool)
    before = np.searchsorted(signs, minutes, side="right") - 1
    after = np.searchsorted(signs, minutes + MINUTE_NS, side="left")
    inside = (before >= 0) & (after < len(signs))
    first = signs[np.maximum(before, 0)]
    last = signs[np.minimum(after, len(signs) - 1)]
    if calendar.udf_sessions() == "24x7":
        return inside
    day = 86_400 * 1_000_000_000
    local = [(times + calendar.offsets_ns(times)) // day for times in (first, last)]
    return inside & (local[0] == local[1])


def _stretches(minutes: Times, states: NDArray[np.int64]) -> list[Stretch]:
    if not len(minutes):
        return []
    cut = np.flatnonzero((np.diff(minutes) != MINUTE_NS) | (np.diff(states) != 0)) + 1
    first = np.concatenate(([0], cut))
    last = np.concatenate((cut, [len(minutes)]))
    return [
        Stretch(int(minutes[a]), int(minutes[b - 1]) + MINUTE_NS, WORDS[states[a]], int(b - a))
        for a, b in zip(first.tolist(), last.tolist(), strict=True)
    ]
