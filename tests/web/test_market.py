"""What the overview says of a day: from messages through the line, the store and the rings."""

import asyncio
from datetime import date

import numpy as np
import pytest

from bursa.model.calendar import MINUTE_NS
from bursa.web.facts import LISTS, Progress
from bursa.web.facts import Market as Figures
from bursa.web.market import SPARK_PARTS, _unsaid
from tests.web.market import TUESDAY, Market, at, some_days, whole_market


def seen(market: Market) -> Figures:
    """The day once the store was read."""
    asyncio.run(market.services.default.day.renew())
    return market.market("idx")


def test_an_index_leads_and_its_lost_minutes_are_named(market: Market) -> None:
    whole_market(market)
    head = seen(market).headline
    assert head is not None
    assert (head.code, head.name, head.value, head.prev) == (
        "COMPOSITE",
        "Jakarta Composite",
        7_412.08,
        7_365.02,
    )
    assert list(head.lost) == [(at(TUESDAY, 10, 15), at(TUESDAY, 10, 50))]
    assert not head.chart
    minutes = list(head.minutes_ns)
    assert (minutes[0], minutes[-1]) == (at(TUESDAY, 9, 0), at(TUESDAY, 14, 0))
    assert len(minutes) == len(head.values) == 75 + 70 + 30 + 1
    assert head.values[-1] == 7_412.08


def test_what_is_said_after_the_close_is_the_days_last_value(market: Market) -> None:
    whole_market(market)
    market.index("COMPOSITE", at(TUESDAY, 16, 5), 7_420.5, 7_365.02, 9.9e12)
    market.push()
    market.shown = {"now_ns": at(TUESDAY, 16, 20)}
    head = seen(market).headline
    assert head is not None
    assert head.value == head.values[-1] == 7_420.5
    assert head.minutes_ns[-1] == at(TUESDAY, 14, 0)
    assert list(head.lost)[-1] == (at(TUESDAY, 14, 1), at(TUESDAY, 16, 0))


def test_no_minute_is_lost_while_past_days_stream_in(market: Market) -> None:
    whole_market(market)
    market.shown = {"progress": Progress(12, 30, date(2025, 10, 14))}
    head = seen(market).headline
    assert head is not None
    assert not head.lost


def test_without_an_index_the_best_known_instrument_leads(market: Market) -> None:
    some_days(market)
    figures = seen(market)
    head = figures.headline
    assert head is not None
    assert (head.code, head.name, head.value) == ("BBCA", "Bank Central Asia", 8_850.0)
    assert head.chart
    assert figures.indices == []
    assert figures.usual is None
    (lost,) = head.lost
    minutes = np.array(head.minutes_ns)
    assert not np.any((minutes >= lost[0]) & (minutes < lost[1]))
    # A minute in which nobody traded keeps the price; a lost one has none.
    expected = [m for m in range(at(TUESDAY, 9, 0), at(TUESDAY, 10, 14), MINUTE_NS)]
    assert minutes[: len(expected)].tolist() == expected


def test_nothing_is_known_of_what_a_cut_channel_says(market: Market) -> None:
    some_days(market)
    market.shown = {"connected": False, "now_ns": at(TUESDAY, 14, 30)}
    head = seen(market).headline
    assert head is not None
    assert head.lost[-1] == (at(TUESDAY, 14, 0, 5), at(TUESDAY, 14, 30))
    assert head.minutes_ns[-1] == at(TUESDAY, 13, 59)


def test_lists_hold_who_belongs_there(market: Market) -> None:
    whole_market(market)
    figures = seen(market)
    rows = {row.ticker: row for row in figures.rows}
    assert tuple(figures.lists) == LISTS
    assert set(rows) == {ticker for tickers in figures.lists.values() for ticker in tickers}
    for name, sign in (("gainers", 1), ("losers", -1)):
        changes = [(rows[ticker].change or 0) * sign for ticker in figures.lists[name]]
        assert changes == sorted(changes, reverse=True)
        assert min(changes) > 0
    assert rows["GOTO"].change == 0
    assert "GOTO" not in {*figures.lists["gainers"], *figures.lists["losers"]}
    traded = [rows[ticker].trades for ticker in figures.lists["trades"]]
    assert traded == sorted(traded, reverse=True)
    assert (figures.up, figures.unchanged, figures.down) == (7, 1, 8)
    assert figures.usual == pytest.approx(9.84 / 9.2, abs=0.01)


def test_a_spark_ends_at_the_last_price_and_names_its_lost_parts(market: Market) -> None:
    whole_market(market)
    figures = seen(market)
    rows = {row.ticker: row for row in figures.rows}
    bbca = rows["BBCA"].spark
    assert len(bbca) == SPARK_PARTS
    assert bbca[-1] == 8_850.0
    empty = [part for part, value in enumerate(bbca) if value is None]
    assert empty
    assert set(empty) <= set(figures.spark_lost)
    assert figures.spark_lost[-1] - figures.spark_lost[0] == len(figures.spark_lost) - 1
    assert rows["UNTR"].spark[:-1] == [None] * (SPARK_PARTS - 1)  # it has figures, and no bars
    assert rows["UNTR"].spark[-1] == 27_500.0


def test_an_empty_venue_has_nothing_to_say(market: Market) -> None:
    figures = seen(market)
    assert figures.headline is None
    assert figures.as_of_ns == 0
    assert not figures.rows
    assert all(not tickers for tickers in figures.lists.values())


MINUTES = np.arange(10, dtype=np.int64) * MINUTE_NS


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], []),
        ([0, 1, 2, 6, 7, 8, 9], [(3, 6)]),
        ([2, 3, 4, 8, 9], [(0, 2), (5, 8)]),
        ([0, 1, 2, 9], []),  # the store is behind what was heard last
        ([0, 1, 2, 8], []),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], []),  # the minute under way
        ([0, 1, 2, 3, 4, 5, 6], [(7, 10)]),
        ([0, 1, 4, 5], [(2, 4), (6, 10)]),
        ([5], []),  # only what was heard last: the store was not read yet
        ([], []),
    ],
)
def test_which_minutes_of_an_index_are_lost(said: list[int], lost: list[tuple[int, int]]) -> None:
    found = _unsaid(MINUTES, MINUTES[np.array(said, np.int64)])
    assert found == [(a * MINUTE_NS, b * MINUTE_NS) for a, b in lost]
