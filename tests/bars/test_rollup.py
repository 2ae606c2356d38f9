"""Longer bars equal a rebuild from the trades; figures known by hand beside."""

from collections import defaultdict
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from bursa.bars.build import BarBuilder
from bursa.bars.rollup import roll_up, summed
from bursa.model.batch import FILE_END, MARK, TRADE, Batch, Span
from bursa.model.calendar import DAY_NS
from bursa.model.schema import FREQS
from bursa.model.timeframe import TIMEFRAMES, buckets
from bursa.model.venue import BINANCE, Venue
from tests.bars.oracle import MINUTE, SECOND, VENUE, Bar, Row, TickRule, rows_of, tape_of
from tests.bars.test_build import words

SPAN = Span("test", 1, 0, 1)
# A day of 24 hours, from its beginning.
T0 = 20_000 * DAY_NS
LONG = [tf for tf in TIMEFRAMES if tf != "1m"]


def trades(venue: Venue, seed: int = 4) -> list[Row]:
    """Some weeks over the end of a month: full days, quiet ones, an auction's minutes."""
    random = np.random.default_rng(seed)
    days = venue.calendar.days(date(2026, 3, 23), date(2026, 4, 14))
    found: list[Row] = []
    for number, day in enumerate(days):
        opening = venue.calendar.day_open_ns(day)
        count = int(random.choice([3, 40, 400]))
        offsets = np.sort(random.integers(-10 * 60, 425 * 60, count))
        for offset in offsets.tolist():
            found.append(
                Row(
                    TRADE,
                    opening + offset * SECOND,
                    symbol=int(random.integers(0, 3)),
                    price=float(random.integers(1, 5000)) / 10,
                    volume=float(random.integers(1, 99999)) / 100,
                    seq=len(found),
                    recv=len(found),
                    position=number,
                    aggressor=int(random.integers(-1, 2)),
                )  # fmt: skip
            )
    return found


def minutes_of(rows: list[Row], venue: Venue) -> Batch:
    """The closed 1-minute bars, ascending by ts."""
    end = Row(MARK, rows[-1].ts + 10 * MINUTE)
    return BarBuilder(venue, words()).push(tape_of([*rows, end]), SPAN).closed


@pytest.mark.parametrize("venue", [VENUE, replace(BINANCE, volume_decimals=2, price_decimals=1)])
@pytest.mark.parametrize("tf", LONG)
def test_rolled_up_is_rebuilt(tf: str, venue: Venue) -> None:
    rows = trades(venue)
    built: dict[tuple[int, int], Bar] = defaultdict(Bar)
    opens = buckets(np.array([r.ts // MINUTE * MINUTE for r in rows]), tf, venue.calendar)
    rules: dict[int, TickRule] = defaultdict(TickRule)
    for number, (row, opening) in enumerate(zip(rows, opens.tolist(), strict=True)):
        bar = built[opening, row.symbol]
        bar.trades.append((row.ts, row.seq, number, row))
        bar.signs[number] = rules[row.symbol].signed(row)
    found = roll_up(minutes_of(rows, venue), tf, venue)
    assert set(found.column("freq").tolist()) == {FREQS.index(tf)}
    found.column("freq")[:] = 0
    content = [(r[1], r[0], *r[3:13], r[15]) for r in rows_of(found)]
    assert content == [(*key, *built[key].content(venue)) for key in sorted(built)]
    assert len(found) < len(rows)


def test_the_closing_auction_opens_a_bucket_and_early_minutes_join_the_first() -> None:
    opening = VENUE.calendar.day_open_ns(date(2026, 4, 7))
    at = [-5, 0, 4, 5, 415, 419, 420]  # the last: 16:00
    rows = [
        Row(TRADE, opening + m * MINUTE, symbol=0, price=m + 10.0, volume=1.0, seq=n)
        for n, m in enumerate(at)
    ]
    found = roll_up(minutes_of(rows, VENUE), "5m", VENUE)
    assert ((found.column("ts") - opening) // MINUTE).tolist() == [0, 5, 415, 420]
    assert found.column("open").tolist() == [5.0, 15.0, 425.0, 430.0]
    assert found.column("trades").tolist() == [3, 1, 2, 1]


def test_rev_rises_with_every_part_added_or_revised() -> None:
    opening = VENUE.calendar.day_open_ns(date(2026, 4, 7))
    rows = [
        Row(TRADE, opening + m * MINUTE, symbol=0, price=1.0, volume=1.0, recv=50 - m, position=m)
        for m in range(3)
    ]
    builder = BarBuilder(VENUE, words())
    closed = builder.push(tape_of([*rows, Row(FILE_END, 0, recv=60, position=9)]), SPAN).closed
    revs = []
    for parts in range(1, 4):
        some = replace(closed, block=closed.block[:, :parts])
        revs.append(roll_up(some, "1h", VENUE).column("rev").tolist())
    closed.column("rev")[1] = 2
    found = roll_up(closed, "1h", VENUE)
    assert [*revs, found.column("rev").tolist()] == [[0], [1], [2], [4]]
    assert found.column("final").tolist() == [0]
    names = ("known_at", "ts_recv", "position", "nth")
    newest = closed.column("nth").max()
    assert [found.column(k).tolist() for k in names] == [[60], [48], [9], [newest]]


def test_flow_is_summed_where_it_is_known_and_the_book_is_the_last_ones() -> None:
    opening = VENUE.calendar.day_open_ns(date(2026, 4, 7))
    rows = [
        Row(TRADE, opening + m * MINUTE, symbol=0, price=1.0, volume=2.0 + m, aggressor=m % 2)
        for m in range(5)
    ]
    closed = minutes_of(rows, VENUE)
    assert closed.column("delta").tolist() == [2.0, -3.0, 4.0, -5.0, 6.0]
    assert closed.column("ruled").tolist() == [0.0] * 5
    closed.column("bid_volume")[:] = [1.0, 2.0, 3.0, 4.0, 5.0]
    (found,) = roll_up(closed, "5m", VENUE).column("bid_volume")
    assert found == 5.0
    closed.column("delta")[2:4] = np.nan  # written before it was kept
    closed.column("bid_volume")[4] = np.nan
    found = roll_up(closed, "5m", VENUE)
    assert found.column("delta").tolist() == [5.0]
    assert np.isnan(found.column("bid_volume")).all() and np.isnan(found.column("ask_volume")).all()
    closed.column("delta")[:] = np.nan
    assert np.isnan(roll_up(closed, "5m", VENUE).column("delta")).all()


def test_nothing_and_minutes_pass_as_they_are() -> None:
    opening = VENUE.calendar.day_open_ns(date(2026, 4, 7))
    closed = minutes_of([Row(TRADE, opening, symbol=0, price=1.0, volume=1.0)], VENUE)
    assert roll_up(closed, "1m", VENUE) is closed
    none = replace(closed, block=closed.block[:, :0])
    assert len(roll_up(none, "1d", VENUE)) == 0


def test_no_sum_wraps() -> None:
    """A coin of which billions are traded a minute, with eight decimals: a day passes int64."""
    venue = BINANCE
    rows = [
        Row(TRADE, T0 + n * MINUTE, symbol=0, price=0.000012, volume=4.5e10 + n, seq=n, recv=n)
        for n in range(1440)
    ]
    minutes = minutes_of(rows, venue)
    assert len(minutes) == 1440
    day = roll_up(minutes, "1d", venue)
    assert day.column("volume").tolist() == [sum(row.volume for row in rows)]
    assert day.column("vwap")[0] == pytest.approx(0.000012)
    assert summed(np.array([1e300, 1.0, 2.0, np.nan]), np.array([0, 1, 3]), 1.0).tolist()[:2] == [
        1e300,
        3.0,
    ]


def test_what_a_sum_is_does_not_hang_on_others() -> None:
    """One of billions beside it had the others rounded another way."""
    rng = np.random.default_rng(7)
    for _ in range(200):
        few = np.rint(rng.uniform(0, 1e5, 5) * 100) / 100
        alone = summed(few, np.array([0]), 100.0)
        beside = summed(np.append(few, 1e18), np.array([0, 5]), 100.0)
        unknown = summed(np.append(few, np.nan), np.array([0, 5]), 100.0)
        assert alone[0] == beside[0] == unknown[0]
        assert beside[1] == 1e18 and np.isnan(unknown[1])
