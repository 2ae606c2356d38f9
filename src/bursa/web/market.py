"""A venue's day in figures for the overview (facts.Market), from what `history/day.py` remembers.

Decides what leads the page, who is in its lists and where values are missing. Reads memory only;
knows no JSON (overview.py).
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bursa.history.day import DayTable, IndexFigure, MarketDay
from bursa.model.calendar import MINUTE_NS
from bursa.model.venue import Venue
from bursa.web.facts import (
    LIST_ROWS,
    Headline,
    Index,
    Instrument,
    Market,
    Row,
    Tape,
    away,
    freshness,
)

SPARK_PARTS = 34
# What indices are called; others go by their code.
INDEX_NAMES = {"COMPOSITE": "Jakarta Composite"}

_RANKINGS = {"value": "value", "volume": "volume", "trades": "frequency"}

Ints = NDArray[np.int64]
Ranges = Sequence[tuple[int, int]]


Find = Callable[[str], Instrument | None]


def market(venue: Venue, day: MarketDay, find: Find, tape: Tape, first: str | None) -> Market:
    """The day as the overview shows it. `first`: the best known instrument."""
    # One table for all: another one may have other places.
    table = day.table()
    breadth, lists = table.breadth(), _lists(table)
    wanted = dict.fromkeys(ticker for tickers in lists.values() for ticker in tickers)
    indices = day.indices()
    missing = list(_lost(venue, tape))
    lost_parts = _parts(_expected(venue, table, tape.now_ns), missing, tape.now_ns)
    headline = (
        _of_index(venue, day, tape, indices[0])
        if indices
        else _of_instrument(venue, day, find, tape, first, missing)
    )
    return Market(
        day=table.day,
        as_of_ns=table.as_of_ns,
        headline=headline,
        indices=[Index(i.code, i.ts_ns, _known(i.value), _known(i.prev)) for i in indices],
        up=breadth.up,
        down=breadth.down,
        unchanged=breadth.unchanged,
        untraded=breadth.untraded,
        at_high=breadth.at_high,
        at_low=breadth.at_low,
        volume=breadth.volume,
        value=breadth.value,
        trades=breadth.trades,
        usual=day.usual(),
        rows=[_row(venue, day, table, find(ticker), ticker, lost_parts) for ticker in wanted],
        lists=lists,
        spark_lost=lost_parts,
    )


def _lists(table: DayTable) -> dict[str, list[str]]:
    """Tickers of each of facts.LISTS. Who did not rise is no gainer, however short the list."""
    best, worst = (table.ranking("change", LIST_ROWS, ascending=up) for up in (False, True))
    gained = [at for at in best if table.change[at] > 0]
    lost = [at for at in worst if table.change[at] < 0]
    places = {"gainers": gained, "losers": lost}
    places |= {name: table.ranking(by, LIST_ROWS) for name, by in _RANKINGS.items()}
    return {name: [table.tickers[at] for at in ranked] for name, ranked in places.items()}


def _row(
    venue: Venue,
    day: MarketDay,
    table: DayTable,
    symbol: Instrument | None,
    ticker: str,
    lost: Sequence[int],
) -> Row:
    at = table.rows[ticker]
    spark = list(day.spark(ticker, SPARK_PARTS))
    if spark and len(spark) - 1 not in lost:
        spark[-1] = _known(table.last[at])  # its minute is still open
    return Row(
        ticker,
        _name(symbol, ticker),
        venue.price_decimals if symbol is None else symbol.price_decimals,
        _known(table.last[at]),
        _known(table.prev[at]),
        _known(table.change[at]),
        float(table.volume[at]),
        float(table.value[at]),
        int(table.trades[at]),
        spark,
    )


def _name(symbol: Instrument | None, ticker: str) -> str:
    return "" if symbol is None or symbol.name == ticker else symbol.name


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


# -- the headline ----------------------------------------------------------------------------------


def _of_index(venue: Venue, day: MarketDay, tape: Tape, index: IndexFigure) -> Headline:
    table, trail = day.table(), day.trail(index.code)
    sessions = [s for s in venue.calendar.sessions(table.day) if s.trading]
    inside = np.zeros(len(trail.ts), bool)
    for session in sessions:
        inside |= (session.open_ns <= trail.ts) & (trail.ts < session.close_ns)
    minutes, values = trail.ts[inside], trail.values[inside]
    if len(values):
        values[-1] = index.value  # what is said in a break or after the close belongs to its minute
    return Headline(
        index.code,
        INDEX_NAMES.get(index.code, index.code),
        2,
        index.ts_ns,
        _known(index.value),
        _known(index.prev),
        minutes.tolist(),
        values.tolist(),
        [] if tape.progress else _unsaid(_expected(venue, table, tape.now_ns), minutes),
    )


def _unsaid(expected: Ints, said: Ints) -> list[tuple[int, int]]:
    """Ranges of whole minutes in which an index was to be expected and none came. `expected` ends
    with the minute under way. Before two minutes are known it was not looked for yet; what lies
    just before the newest one may still be on its way to the store."""
    if len(said) < 2:
        return []
    absent = ~np.isin(expected, said)
    newest = int(np.searchsorted(expected, said[-1]))
    if newest >= len(expected) - 2:
        late = newest - 1
        while late >= 0 and absent[late]:
            absent[late] = False
            late -= 1
        absent[newest:] = False
    return list(_runs(expected, absent))


def _runs(minutes: Ints, chosen: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Chosen minutes that follow one another, as ranges."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8)))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield int(minutes[start]), int(minutes[end - 1]) + MINUTE_NS


def _of_instrument(
    venue: Venue, day: MarketDay, find: Find, tape: Tape, ticker: str | None, lost: Ranges
) -> Headline | None:
    table = day.table()
    at = None if ticker is None else table.rows.get(ticker)
    if ticker is None or at is None:
        return None
    symbol = find(ticker)
    expected = _expected(venue, table, tape.now_ns)
    closes = np.array(day.spark(ticker, len(expected)), np.float64)  # a part a minute
    expected = expected[: len(closes)]  # the spark looked at the clock a moment later or earlier
    known = np.maximum.accumulate(np.where(np.isnan(closes), -1, np.arange(len(closes))))
    kept = known >= 0  # a minute without a trade keeps the price
    for start, end in lost:
        kept &= ~((expected < end) & (expected + MINUTE_NS > start))
    return Headline(
        ticker,
        _name(symbol, ticker) or ticker,
        venue.price_decimals if symbol is None else symbol.price_decimals,
        int(table.ts[at]),
        _known(table.last[at]),
        _known(table.prev[at]),
        expected[kept].tolist(),
        closes[known[kept]].tolist(),
        list(lost),
        chart=True,
    )


# -- what is missing -------------------------------------------------------------------------------


def _expected(venue: Venue, table: DayTable, now_ns: int) -> Ints:
    """Openings of the day's trading minutes so far, the one under way included."""
    minutes = venue.calendar.expected_minutes(table.day)
    return minutes[: int(np.searchsorted(minutes, now_ns))]


def _lost(venue: Venue, tape: Tape) -> Iterator[tuple[int, int]]:
    """Ranges in which trades are missing, or not received yet."""
    trades = {channel.name for channel in venue.channels if channel.ticks}
    for hole in tape.holes:
        if hole.channel in trades:
            yield hole.start_ns, max(hole.end_ns, hole.start_ns + 1)
    fresh = freshness(tape, venue.stale_after_s)
    for channel in away(tape, fresh):
        if channel.trades and 0 < channel.until_ns < tape.now_ns:
            yield channel.until_ns, tape.now_ns


def _parts(expected: Ints, lost: Ranges, now_ns: int) -> list[int]:
    """Parts of a spark that lie in lost ranges, by the partition of MarketDay.spark."""
    count = min(SPARK_PARTS, len(expected))
    starts = expected[np.arange(count) * len(expected) // max(count, 1)]
    ends = np.append(starts[1:], now_ns)
    hit = np.zeros(count, bool)
    for start, end in lost:
        hit |= (starts < end) & (ends > start)
    return np.flatnonzero(hit).tolist()
