"""A venue that never closes: what is known of a minute does not hang on the range that is asked,
nor on whether its bar is in memory too."""

from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from bursa.history import gaps
from bursa.history.ledger import Ledger, Range
from bursa.model.batch import Batch, Span, Words
from bursa.model.calendar import DAY_NS, MINUTE_NS
from bursa.model.covered import Days
from bursa.model.schema import MARKET_KINDS, OHLCV
from bursa.model.venue import BINANCE, IDX, VENUES
from bursa.ports import Committed
from tests.fakes.store import FakeStore, Row, batch_of

DAY = date(2025, 11, 18)
OPENS = BINANCE.calendar.midnight_ns(DAY)
LIVE = OPENS + DAY_NS + 600 * MINUTE_NS
CLOSED = LIVE - MINUTE_NS


def bar(ticker: str, ts: int, **other: Any) -> Row:
    whole: Row = {name: 100.0 for name in ("open", "high", "low", "close", "vwap")}
    whole |= {"volume": 5.0, "value": 500.0, "trades": 3, "final": True, "source": None}
    head = {"ticker": ticker, "freq": "1m", "ts": ts, "rev": 0, "known_at": ts, "ts_recv": ts}
    return whole | head | {"position": 1} | other


@pytest.fixture(scope="module")
def store() -> FakeStore:
    """Of three days up to 10:00 of the last one, a bar a minute of BTC, one an hour of ETH; SOL
    came on the last one."""
    words = Words(BINANCE.boards, [channel.name for channel in BINANCE.channels])
    rows = [
        bar(ticker, ts)
        for ts in range(OPENS - DAY_NS, CLOSED, MINUTE_NS)
        for ticker, often, since in (("BTC", 1, 0), ("ETH", 60, 0), ("SOL", 1, OPENS + DAY_NS))
        if ts >= since and (ts + 30 * MINUTE_NS) // MINUTE_NS % often == 0
    ]
    made = FakeStore([BINANCE], MARKET_KINDS)
    batch = batch_of(OHLCV, rows, words, Span(BINANCE.name, 1, 0, 1))
    made.write([batch], {"binance.ohlcv": Committed(1, 1)})
    return made


def ledger(store: FakeStore, ring: Batch | None = None) -> Ledger:
    nothing = SimpleNamespace(bars=lambda *_: ring, version=lambda _: 0)
    market: Any = SimpleNamespace(venue=BINANCE, store=store, rings=nothing, words=None)
    market.closed_until_ns = lambda: CLOSED
    market.words = SimpleNamespace(symbols=[])
    recent: Any = SimpleNamespace(status=lambda: None)
    return Ledger(market, recent, cast(Any, None))


RANGES = [
    (OPENS, OPENS + DAY_NS), (OPENS, OPENS + 5 * MINUTE_NS),
    (OPENS + DAY_NS - 5 * MINUTE_NS, OPENS + DAY_NS), (OPENS + DAY_NS, LIVE),
]  # fmt: skip


@pytest.mark.parametrize(("start", "end"), RANGES)
def test_the_minutes_at_midnight_are_proved_by_the_days_beside(
    store: FakeStore, start: int, end: int
) -> None:
    found = ledger(store).read("ETH", Range(start, end, (LIVE,)))
    assert found.totals["missing"] == 0
    assert found.totals["expected"] == (min(end, CLOSED) - start) // MINUTE_NS


def test_the_map_of_a_day_has_that_day_alone(store: FakeStore) -> None:
    found = ledger(store).read_heat(Range(OPENS, OPENS + DAY_NS, (LIVE,)))
    assert found.days == (DAY,)
    assert found.expected.tolist() == [1440]
    eth = found.tickers.index("ETH")
    assert found.counts["missing"][eth].tolist() == [0]
    assert found.counts["received"][eth].tolist() == [24]
    assert found.nobody["confirmed_empty"].tolist() == [1440]


def test_gaps_of_a_day_know_the_days_beside_but_nobody_who_came_later(store: FakeStore) -> None:
    subject = gaps.Subject(BINANCE, store, None, CLOSED, (LIVE,), LIVE)
    for tickers in ([], ["ETH"]):
        order = {"start_ns": OPENS, "end_ns": OPENS + DAY_NS, "tickers": tickers}
        job = gaps.GapsJob(subject, order)
        for _ in job.run():
            pass
        told = job.report()
        assert told["gaps"] == []
        assert told["totals"]["expected"] == (len(tickers) or 2) * 1440


def test_only_where_trading_goes_on_over_midnight_a_day_more_is_read() -> None:
    calendar, after = BINANCE.calendar, DAY + timedelta(days=1)
    wide = Days.around(calendar, DAY, after)
    assert (wide.first, len(wide)) == (DAY - timedelta(days=1), 3)
    for venue in (IDX, VENUES["xnas"]):
        days = Days.around(venue.calendar, DAY, after)
        assert (days.first, len(days)) == (DAY, 1)
        assert np.array_equal(days.midnights, Days.of(venue.calendar, DAY, after).midnights)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_bar_with_a_fault_is_missing_though_memory_has_it(in_memory: bool) -> None:
    words = Words(BINANCE.boards, [channel.name for channel in BINANCE.channels])
    bars = [bar("BTC", OPENS + n * MINUTE_NS, close=-1.0 if n == 2 else 100.0) for n in range(5)]
    batch = batch_of(OHLCV, bars, words, Span(BINANCE.name, 1, 0, 1))
    store = FakeStore([BINANCE], MARKET_KINDS)
    store.write([batch], {"binance.ohlcv": Committed(1, 1)})
    asked = Range(OPENS, OPENS + 5 * MINUTE_NS, (LIVE,))
    found = ledger(store, batch if in_memory else None).read("BTC", asked)
    assert (found.totals["received"], found.totals["missing"]) == (4, 1)
