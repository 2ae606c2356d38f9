"""Longer bars from 1-minute bars: 5m to 1M, equal to what a rebuild from the trades would give.

Which minutes make a bar is model/timeframe.py's to say. Volume and value are summed as whole
numbers of the venue's decimals and divided once, as the minutes' own were. Does not read, and does
not know whether a bar is over: the caller does.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bursa.model.batch import Batch, Block
from bursa.model.schema import FREQS, INT_NULL, OHLCV
from bursa.model.timeframe import buckets
from bursa.model.venue import Venue

_INT64_HOLDS = 2.0**62


def roll_up(bars: Batch, tf: str, venue: Venue) -> Batch:
    """Bars of the timeframe `tf`, ascending by (ts, ticker).

    bars      1-minute OHLCV, each minute of a ticker at most once (its newest revision), ascending
              by ts; one ticker or several
    returns   OHLCV. final where all parts are; rev counts the parts and their revisions, so that
              it rises whenever one is added or revised; known_at and (position, nth) are the
              newest of the parts, ts_recv is that of the newest trade. A part whose trades were all
              taken back lends its prices only where all parts are such. delta and ruled are summed
              over the parts that know theirs; the book is that at the last part's close. source is
              that of a part that has one, null where none has
    """
    if tf == "1m" or not len(bars):
        return bars
    ts, ticker = bars.column("ts"), bars.column("ticker")
    minutes, at = np.unique(ts, return_inverse=True)
    bucket = buckets(minutes, tf, venue.calendar)[at]
    order = np.lexsort((ts, ticker))
    parts = replace(bars, block=bars.block[:, order])
    bucket, ticker = bucket[order], ticker[order]
    begins = np.ones(len(order), bool)
    begins[1:] = (bucket[1:] != bucket[:-1]) | (ticker[1:] != ticker[:-1])
    first = np.flatnonzero(begins)
    opens = bucket[first]
    block = _joined(parts, first, opens, FREQS.index(tf), venue)
    return replace(bars, block=block[:, np.lexsort((block[OHLCV.index["ticker"]], opens))])


def _joined(parts: Batch, first: Block, opens: Block, freq: int, venue: Venue) -> Block:
    """One row for each stretch of parts; `first` is where each begins."""
    block = np.zeros((len(OHLCV.columns), len(first)), np.int64)
    joined = replace(parts, block=block)
    begin, last, prices = _priced(parts, first)
    last_of = np.append(first[1:], len(parts)) - 1
    joined.column("ticker")[:] = parts.column("ticker")[first]
    joined.column("freq")[:] = freq
    joined.column("ts")[:] = opens
    joined.column("rev")[:] = np.add.reduceat(parts.column("rev") + 1, first) - 1
    joined.column("open")[:] = parts.column("open")[begin]
    joined.column("high")[:] = np.maximum.reduceat(
        np.where(prices, parts.column("high"), -np.inf), first
    )
    joined.column("low")[:] = np.minimum.reduceat(
        np.where(prices, parts.column("low"), np.inf), first
    )
    joined.column("close")[:] = parts.column("close")[last]
    volume = summed(parts.column("volume"), first, 10.0**venue.volume_decimals)
    value = summed(parts.column("value"), first, 10.0**venue.value_decimals)
    joined.column("volume")[:] = volume
    joined.column("value")[:] = value
    joined.column("trades")[:] = np.add.reduceat(parts.column("trades"), first)
    none = np.full(len(first), np.nan)
    joined.column("vwap")[:] = np.divide(value, volume, out=none, where=volume > 0)
    for name in ("delta", "ruled"):
        joined.column(name)[:] = _known_sum(parts.column(name), first, 10.0**venue.volume_decimals)
    for name in ("bid_volume", "ask_volume"):
        joined.column(name)[:] = parts.column(name)[last_of]
    joined.column("final")[:] = np.minimum.reduceat(parts.column("final"), first)
    joined.column("known_at")[:] = np.maximum.reduceat(parts.column("known_at"), first)
    joined.column("ts_recv")[:] = parts.column("ts_recv")[last]
    position = np.maximum.reduceat(parts.column("position"), first)
    joined.column("position")[:] = position
    newest = parts.column("position") == np.repeat(position, last_of - first + 1)
    joined.column("nth")[:] = np.maximum.reduceat(
        np.where(newest, parts.column("nth"), INT_NULL), first
    )
    joined.column("source")[:] = np.maximum.reduceat(parts.column("source"), first)
    return block


def _priced(parts: Batch, first: Block) -> tuple[Block, Block, NDArray[np.bool_]]:
    """Of each stretch the parts that its opening and its close are of, and which parts have a say
    in its prices."""
    count = len(parts)
    ends = np.append(first[1:], count)
    void = (parts.column("trades") == 0) & (parts.column("volume") == 0)
    if not void.any():
        return first, ends - 1, ~void
    none_left = np.repeat(np.logical_and.reduceat(void, first), ends - first)
    prices, at = ~void | none_left, np.arange(count)
    begin = np.minimum.reduceat(np.where(prices, at, count), first)
    last = np.maximum.reduceat(np.where(prices, at, -1), first)
    return begin, last, prices


def summed(amounts: NDArray[np.float64], first: Block, units_in_one: float) -> NDArray[np.float64]:
    """Sums of stretches of volumes or values; `first` is where each begins, the last one goes to
    the end. In int64, as whole numbers of so many units in one; a stretch that this could not hold
    (billions of a coin in a minute, with 8 decimals) as the amounts' own sum, rounded once: no sum
    wraps, and none depends on the order or on other stretches. NaN where an amount is none."""
    if np.abs(amounts).sum() * units_in_one < _INT64_HOLDS:
        units = np.rint(amounts * units_in_one).astype(np.int64)
        return np.asarray(np.add.reduceat(units, first) / units_in_one)
    large = ~(np.add.reduceat(np.abs(amounts), first) * units_in_one < _INT64_HOLDS)
    ends = np.append(first[1:], len(amounts))
    held = np.where(np.repeat(large, ends - first), 0.0, amounts)
    found = np.add.reduceat(np.rint(held * units_in_one).astype(np.int64), first) / units_in_one
    for at in np.flatnonzero(large).tolist():
        part = amounts[first[at] : ends[at]]
        found[at] = math.fsum(part) if np.isfinite(part).all() else part.sum()
    return np.asarray(found)


def _known_sum(
    amounts: NDArray[np.float64], first: Block, units_in_one: float
) -> NDArray[np.float64]:
    """As `summed`; parts that do not know theirs add nothing, and nothing known is NaN."""
    known = ~np.isnan(amounts)
    if known.all():
        return summed(amounts, first, units_in_one)
    sums = summed(np.where(known, amounts, 0.0), first, units_in_one)
    return np.where(np.logical_or.reduceat(known, first), sums, np.nan)
