"""A market that is told row by row, for tests of what is made of it; and rows to tell."""

import asyncio
from datetime import date
from typing import Any

import numpy as np

from bursa.history.candles import Market
from bursa.history.day import MarketDay, Parts
from bursa.history.indices import Indices
from bursa.history.offload import Offload
from bursa.history.present import Recent
from bursa.model.batch import Batch, Block, Span
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.schema import OHLCV, Kind, topic
from bursa.model.venue import BINANCE, IDX, Venue
from bursa.pipeline.facts import Facts
from bursa.pipeline.line import Derived, kinds
from bursa.ports import Committed
from bursa.store.rings import Rings
from tests.api.floor import HandClock
from tests.fakes.store import FakeStore, Row, batch_of

TUE, WED, THU, FRI = (date(2026, 11, n) for n in (17, 18, 19, 20))


class Asked(FakeStore):
    """Remembers what was asked of its index rows, and how often of its bars."""

    def __init__(self) -> None:
        super().__init__([IDX, BINANCE], kinds())
        self.index_asks: list[tuple[str, int]] = []
        self.bar_asks = 0

    def index(self, venue: str, code: str, start_ns: int, end_ns: int, **edge: Any) -> Batch:
        self.index_asks.append((code, start_ns))
        return super().index(venue, code, start_ns, end_ns, **edge)

    def bars(self, venue: str, ticker: str, *within: Any, **asked: Any) -> Batch:
        self.bar_asks += 1
        return super().bars(venue, ticker, *within, **asked)


class Told:
    """A venue that is told row by row: real facts and rings over the fake store. `now_ns` is the
    venue's clock, 0: ours."""

    def __init__(self, venue: Venue = IDX) -> None:
        self.venue, self.words = venue, venue.words()
        self.facts, self.store, self.recent = Facts(venue, self.words), Asked(), Recent()
        self.rings = Rings(venue, self.words, 2000, 64 << 20)
        self.clock, self.now_ns, self.closed_ns = HandClock(at(FRI, 12, 0)), 0, 0
        self.opened: list[Row] = []
        self._position = 0
        market = Market(
            venue, self.words, self.store, self.rings, self._open_bars,
            lambda: self.closed_ns, lambda ticker: 0,
        )  # fmt: skip
        parts = Parts(market, self.facts, lambda: self.now_ns or self.clock.ns)
        self.offload = Offload(1)
        self.day = MarketDay(parts, self.clock, self.offload)
        self.indices = Indices(market, self.facts, self.recent, self.offload)

    def _open_bars(self, ids: Block) -> Batch:
        names = {self.words.symbols[symbol] for symbol in ids.tolist()}
        rows = [row for row in self.opened if row["ticker"] in names]
        return batch_of(OHLCV, rows, self.words, Span(self.venue.name, 1, 0, 0))

    def tell(self, kind: Kind, *rows: Row, memory: bool = True, store: bool = False) -> None:
        """Rows as the pipeline brings them, and as the writer stores them."""
        for row in rows:
            self._position += 1
            row |= {"position": self._position, "ts_recv": row["ts"]}
        span = Span(self.venue.name, 1, 0, self._position)
        batch = batch_of(kind, rows, self.words, span)
        if memory:
            none = batch_of(OHLCV, [], self.words, span)
            ids = np.empty(0, np.int64)
            self.facts.take(Derived(span, (batch,), none, ids, ids, none, {}, (batch,)), [0, 0], 0)
            self.recent.feed([batch])
            if kind is OHLCV:
                self.rings.feed_bars(batch)
        if store:
            name = topic(self.venue.name, kind)
            self.store.write([batch], {name: Committed(self._position, 1)})
        self.clock.ns += SECOND_NS

    def renew(self) -> None:
        self.clock.ns += SECOND_NS
        asyncio.run(self.day.renew())
        self.clock.ns += SECOND_NS

    def of(self, ticker: str) -> dict[str, float]:
        """An instrument's figures."""
        table = self.day.table()
        place = table.rows[ticker]
        names = ("last", "prev", "open", "high", "low", "bid", "ask", "volume", "value", "change")
        found = {name: getattr(table, name)[place].item() for name in names}
        return found | {"trades": int(table.trades[place]), "ts": int(table.ts[place])}


def at(day: date, hour: int, minute: int, second: float = 0, venue: Venue = IDX) -> int:
    """ns UTC of a time by the venue's clock."""
    passed = (hour * 60 + minute) * MINUTE_NS + round(second * SECOND_NS)
    return venue.calendar.midnight_ns(day) + passed


def figures(ticker: str, ts: int, **other: Any) -> Row:
    row = {
        "ticker": ticker, "board": "RG", "ts": ts, "prev": 100.0, "open": 101.0, "high": 110.0,
        "low": 95.0, "last": 105.0, "volume": 1_000.0, "value": 105_000.0, "trades": 10,
        "bid": 104.0, "bid_volume": 5.0, "ask": 106.0, "ask_volume": 6.0,
    }  # fmt: skip
    return row | other


def trade(ticker: str, ts: int, price: float, volume: float = 100.0, board: str = "RG") -> Row:
    return {
        "ticker": ticker, "ts": ts, "trade_no": 1, "board": board, "price": price,
        "volume": volume, "aggressor": "B", "seq": 1,
    }  # fmt: skip


def contract(ticker: str, close: float | None) -> Row:
    return {
        "ticker": ticker, "board": "RG", "ts": at(WED, 8, 0), "name": "A Tbk", "lot": 100,
        "currency": "IDR", "prev_close": close, "price_decimals": 0, "volume_decimals": 0,
    }  # fmt: skip


def index(ts: int, value: float, code: str = "COMPOSITE", traded: float = 0.0) -> Row:
    return {"index_code": code, "ts": ts, "value": value, "prev": 7000.0, "value_traded": traded}


def bar(ticker: str, ts: int, close: float = 10.0, **other: Any) -> Row:
    row = {
        "ticker": ticker, "freq": "1m", "ts": ts, "rev": 0, "open": close, "high": close + 1,
        "low": close - 1, "close": close, "volume": 0.1, "value": 1.01, "trades": 2,
        "vwap": close, "final": True, "known_at": ts,
    }  # fmt: skip
    return row | other
