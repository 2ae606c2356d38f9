"""Bars of every timeframe counted over the minutes they are made of: there, missing, faulty.

Works on the bits of continuity.py, a day at a time; weeks and months go on over days. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from bursa.history.continuity import Judged
from bursa.model.calendar import DAY_NS, MINUTE_NS, Calendar
from bursa.model.covered import WORDS, Bits, Coverage, Days, Ints, unpack
from bursa.model.timeframe import TIMEFRAMES, buckets

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spot:
    """A minute of a ticker at which something is wrong. word: `null`, `impossible` (its bar breaks
    a rule), `absent` (it has trades and no bar), `mismatch` (the bar is not what they make)."""

    ticker: str
    ts: int
    word: str


@dataclass(frozen=True, slots=True)
class Minutes:
    """The minutes of some days. received: minutes with a bar, expected or not, uint64 (tickers,
    days, WORDS)."""

    days: Days
    tickers: tuple[str, ...]
    judged: Judged
    received: Bits
    spots: Sequence[Spot]


@dataclass
class Tally:
    """Bars of one timeframe. expected: those of which a minute is expected and is not confirmed
    empty; gaps: those of which one is missing."""

    bars: int = 0
    expected: int = 0
    gaps: int = 0
    nulls: int = 0
    impossible: int = 0
    mismatches: int = 0


@dataclass
class _Open:
    """A bar under way, of each ticker: has it a minute, does it lack one?"""

    opens: int
    there: Bools
    wanted: Bools
    lacking: Bools


def laid(stored: Coverage, tickers: Sequence[str]) -> Coverage:
    """Coverage with these tickers too, though they have no bar."""
    every = sorted({*stored.tickers, *tickers})
    place = {ticker: at for at, ticker in enumerate(every)}
    at = [place[ticker] for ticker in stored.tickers]
    wide: dict[str, Bits] = {}
    for one in fields(stored):
        if one.name not in ("tickers", "heard"):
            wide[one.name] = np.zeros((len(every), len(stored.heard), WORDS), np.uint64)
            wide[one.name][at] = getattr(stored, one.name)
    return replace(stored, tickers=tuple(every), **wide)


def tallies(minutes: Minutes, calendar: Calendar) -> dict[str, Tally]:
    """Timeframe -> its bars, in the order of TIMEFRAMES."""
    found = {tf: Tally() for tf in TIMEFRAMES}
    under_way: dict[str, _Open] = {}
    for row in range(len(minutes.days)):
        ts, there, wanted, lacking = _day(minutes, row)
        if not len(ts):
            continue
        for tf, tally in found.items():
            for part in _bars(ts, tf, calendar, there, wanted, lacking):
                before = under_way.get(tf)
                if before is not None and before.opens == part.opens:
                    before.there |= part.there
                    before.wanted |= part.wanted
                    before.lacking |= part.lacking
                    continue
                if before is not None:
                    _add(tally, before)
                under_way[tf] = part
    for tf, last in under_way.items():
        _add(found[tf], last)
    _add_spots(found, minutes.spots, calendar)
    return found


def _day(minutes: Minutes, row: int) -> tuple[Ints, Bools, Bools, Bools]:
    """The minutes of a day that matter, int64 (m,), and of each ticker, bool (tickers, m): is there
    a bar, is one wanted, does it lack?"""
    judged = minutes.judged
    kept = judged.received | judged.backfilled | minutes.received
    wanted = unpack((judged.received | judged.backfilled | judged.missing)[:, row])
    lacking, empty = unpack(judged.missing[:, row]), unpack(judged.empty[:, row])
    there = unpack(kept[:, row])
    start, end = minutes.days.midnights[row : row + 2].tolist()
    place = {ticker: at for at, ticker in enumerate(minutes.tickers)}
    for spot in minutes.spots:
        # A bar with a fault, or trades without a bar: something was there, so it is not empty.
        if spot.word != "mismatch" and start <= spot.ts < end and spot.ticker in place:
            at = place[spot.ticker], (spot.ts - start) // MINUTE_NS
            expected = wanted[at] or empty[at]
            there[at], wanted[at], lacking[at] = False, expected, expected
    used = np.flatnonzero((there | wanted).any(axis=0))
    ts = start + used * MINUTE_NS
    return ts, there[:, used], wanted[:, used], lacking[:, used]


def _bars(
    ts: Ints, tf: str, calendar: Calendar, there: Bools, wanted: Bools, lacking: Bools
) -> Iterator[_Open]:
    """The bars of a day's minutes. Those of up to an hour come together, as one."""
    opens = buckets(ts, tf, calendar)
    starts = np.flatnonzero(np.append(True, opens[1:] != opens[:-1]))
    merged = [np.logical_or.reduceat(flags, starts, axis=1) for flags in (there, wanted, lacking)]
    if TIMEFRAMES[tf] >= DAY_NS:
        merged = [np.logical_or.reduce(flags, axis=1, keepdims=True) for flags in merged]
    yield _Open(int(opens[0]), merged[0], merged[1], merged[2])


def _add(tally: Tally, bar: _Open) -> None:
    tally.bars += int(bar.there.sum())
    tally.expected += int(bar.wanted.sum())
    tally.gaps += int(bar.lacking.sum())


def _add_spots(found: dict[str, Tally], spots: Sequence[Spot], calendar: Calendar) -> None:
    """Longer bars that hold a faulty minute, by what is wrong with it."""
    by_word = sorted(spots, key=lambda spot: (spot.word, spot.ticker, spot.ts))
    for (word, _), some in groupby(by_word, lambda spot: (spot.word, spot.ticker)):
        ts = np.array([spot.ts for spot in some], np.int64)
        for tf, tally in found.items():
            count = len(np.unique(buckets(ts, tf, calendar)))
            if word == "null":
                tally.nulls += count
            elif word == "impossible":
                tally.impossible += count
            elif word == "mismatch":
                tally.mismatches += count
