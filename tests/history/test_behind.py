"""The ledger while the store is behind: what no ring holds any more, nor the store yet, is open."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bursa.history.ledger import Ledger, Range
from bursa.model.batch import Span
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import OHLCV
from bursa.model.venue import BINANCE
from bursa.pipeline.line import kinds
from bursa.ports import Committed
from bursa.store.rings import Rings
from tests.fakes.store import FakeStore, batch_of
from tests.history.test_over_midnight import OPENS, bar

DEPTH, MINUTES, COMMITTED = 5, 60, 10
CLOSED = OPENS + MINUTES * MINUTE_NS
RANGE = Range(OPENS, CLOSED, (CLOSED,))


class Behind:
    """Sixty minutes of BTC and one of ETH went through rings of five; the store has ten so far."""

    def __init__(self) -> None:
        self.words = BINANCE.words()
        rows = [bar("BTC", OPENS + n * MINUTE_NS, position=n + 1) for n in range(MINUTES)]
        rows.insert(3, bar("ETH", OPENS + 2 * MINUTE_NS, position=3))
        self.rows = rows
        self.rings = Rings(BINANCE, self.words, DEPTH, 1 << 20)
        self.store = FakeStore([BINANCE], kinds())
        self.rings.feed_bars(batch_of(OHLCV, rows, self.words, self._span()))
        market: Any = SimpleNamespace(
            venue=BINANCE, words=self.words, store=self.store, rings=self.rings
        )
        market.closed_until_ns = lambda: CLOSED
        recent: Any = SimpleNamespace(status=lambda: None)
        self.ledger = Ledger(market, recent, cast(Any, None))

    def _span(self) -> Span:
        return Span(BINANCE.name, 1, 0, MINUTES)

    def commit(self, first: int, last: int) -> None:
        rows = [row for row in self.rows if first < row["position"] <= last]
        batch = batch_of(OHLCV, rows, self.words, Span(BINANCE.name, 1, first, last))
        self.store.write([batch], {"binance.ohlcv": Committed(last, 1)})


def test_nothing_is_proved_empty_that_is_on_its_way_to_the_store() -> None:
    behind = Behind()
    found = behind.ledger.read("BTC", RANGE)
    assert (found.known_to_ns, found.totals["expected"]) == (OPENS, 0)
    assert behind.ledger.read_heat(RANGE).known_to_ns == OPENS

    behind.commit(0, COMMITTED)
    newest = OPENS + (COMMITTED - 1) * MINUTE_NS
    found = behind.ledger.read("BTC", RANGE)
    assert (found.known_to_ns, found.totals["received"]) == (newest, COMMITTED - 1)
    assert found.totals["confirmed_empty"] == 0
    told = behind.ledger.read_heat(RANGE)
    assert told.known_to_ns == newest
    assert told.counts["confirmed_empty"][told.tickers.index("BTC")].tolist() == [0]

    # Its one bar never left its ring.
    found = behind.ledger.read("ETH", RANGE)
    assert (found.known_to_ns, found.totals["received"]) == (CLOSED, 1)

    behind.commit(COMMITTED, MINUTES)
    found = behind.ledger.read("BTC", RANGE)
    assert (found.known_to_ns, found.totals["received"]) == (CLOSED, MINUTES)
    told = behind.ledger.read_heat(RANGE)
    assert told.known_to_ns == CLOSED
    assert told.counts["received"][told.tickers.index("BTC")].tolist() == [MINUTES]


def test_a_store_that_rings_reach_back_to_is_asked_once_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    behind = Behind()
    behind.commit(0, MINUTES)
    asked: list[int] = []
    back = behind.store.minute_back

    def counted(venue: str, count: int) -> int:
        asked.append(count)
        return back(venue, count)

    monkeypatch.setattr(behind.store, "minute_back", counted)
    for _ in range(3):
        behind.ledger.read("BTC", RANGE)
        behind.ledger.read_heat(RANGE)
    assert asked == [1]
