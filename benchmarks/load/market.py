"""A made-up past of one venue for servers under load: bars and metric rows of many tickers.

`Market` fills a store with whole days and the rings with what is newest of them; `services` puts
the API over both. The rows come from the metrics' own engine over bars of a random walk.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.load import cache
from bursa.api.services import ChannelState, Services, VenueParts, VenueService
from bursa.bars.build import BarBuilder
from bursa.history.offload import Offload
from bursa.history.present import Recent
from bursa.metrics.catalog import STANDARD
from bursa.metrics.engine import MetricEngine
from bursa.model.batch import Batch, Block, Span, Words
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.schema import MARKET_KINDS, OHLCV, topic
from bursa.model.venue import IDX
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.facts import Facts
from bursa.ports import Committed, Store
from bursa.store.duckdb import DuckStore
from bursa.store.rings import Rings

KINDS = (*MARKET_KINDS, STANDARD.kind)
LAST_DAY = date(2026, 11, 19)


class Clock:
    """The market's clock: it stands at the end of the last day."""

    def now_ns(self) -> int:
        return IDX.calendar.day_end_ns(LAST_DAY) + 60 * SECOND_NS


class Reopening:
    """The store, which can be closed and opened again on a file that lies in no cache."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._present = DuckStore(path, [IDX], KINDS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._present, name)

    def chill(self) -> float:
        """Open it anew: the engine's buffers hold what the opening reads (ticker and ts of all
        bars), the machine's file cache nothing. Returns the share of the file still there."""
        self._present.close()
        cache.evict(self._path)
        self._present = DuckStore(self._path, [IDX], KINDS)
        cache.evict(self._path)
        return cache.held(self._path)


@dataclass
class Market:
    """`days` whole days of `tickers` instruments that trade every minute."""

    folder: Path
    tickers: int
    days: int
    depth: int

    def __post_init__(self) -> None:
        self.words = Words(IDX.boards, [channel.name for channel in IDX.channels])
        for number in range(self.tickers):
            self.words.symbol_id(f"T{number:03d}")
        self.store = Reopening(self.folder / "hot.duckdb")
        self.rings = Rings(IDX, self.words, self.depth, 512 << 20)
        self.clock = Clock()
        engine, position = MetricEngine(IDX, self.words), 0
        for day, bars in self._days():
            position += 1_000
            span = Span("idx", 1, position - 1_000, position)
            bars[OHLCV.index["position"]] = position
            closed = Batch(OHLCV, bars, self.words, span)
            metrics = engine.push(closed)
            at = {topic("idx", kind): Committed(position, 1) for kind in KINDS}
            self.store.write([closed, metrics], at)
            self.rings.feed_bars(closed)
            self.rings.feed_metrics(metrics)
            midnight = IDX.calendar.midnight_ns(day)
            self.store.settle("idx", midnight, midnight + 24 * 60 * MINUTE_NS)

    def _days(self) -> Iterator[tuple[date, Block]]:
        """Each day's bars as a block in order of emission."""
        dice = np.random.default_rng(20261120)
        price = 1_000.0 + 50 * dice.integers(0, 100, self.tickers)
        start = LAST_DAY - timedelta(days=2 * self.days + 20)
        for day in IDX.calendar.days(start, LAST_DAY + timedelta(days=1))[-self.days :]:
            blocks = []
            for minute in IDX.calendar.expected_minutes(day).tolist():
                opened = price
                price = np.maximum(price + 5.0 * dice.integers(-3, 4, self.tickers), 50.0)
                blocks.append(self._minute(minute, opened, price, dice))
            yield day, np.concatenate(blocks, axis=1)

    def _minute(
        self, ts: int, opened: np.ndarray, closed: np.ndarray, dice: np.random.Generator
    ) -> Block:
        block = np.zeros((len(OHLCV.columns), self.tickers), np.int64)
        floats, row = block.view(np.float64), OHLCV.index
        volume = 100.0 * dice.integers(1, 500, self.tickers)
        block[row["ticker"]] = np.arange(self.tickers)
        block[row["ts"]] = ts
        floats[row["open"]], floats[row["close"]] = opened, closed
        floats[row["high"]] = np.maximum(opened, closed) + 5
        floats[row["low"]] = np.minimum(opened, closed) - 5
        floats[row["volume"]] = volume
        floats[row["value"]] = volume * closed
        floats[row["vwap"]] = closed
        block[row["trades"]] = dice.integers(1, 40, self.tickers)
        block[row["final"]] = 1
        block[row["known_at"]] = block[row["ts_recv"]] = ts + 62 * SECOND_NS
        return block

    def services(self) -> Services:
        """The API's services over it."""
        end_ns = IDX.calendar.day_end_ns(LAST_DAY) + 10 * SECOND_NS
        states = [ChannelState(c.name, True, end_ns, end_ns) for c in IDX.channels]
        builder = BarBuilder(IDX, self.words)
        parts = VenueParts(
            IDX, self.words, cast(Store, self.store), self.rings, Facts(IDX, self.words), Recent(),
            builder.open_bars, lambda: end_ns, lambda: states,
        )  # fmt: skip
        offload = Offload()
        service = VenueService(parts, self.clock, offload)
        public = frozenset({"idx"})
        return Services({"idx": service}, self.clock, offload, Telemetry(), "0", public=public)

    def rows(self, ticker: str, count: int) -> list[dict[str, Any]]:
        """A ticker's newest bars as the API shows them."""
        import msgspec

        from bursa.api.candle_rows import serialise
        from bursa.history.candles import Ask, Candles

        service = self.services().default
        found = service.reader.in_memory(Ask(ticker, "1m", count))
        assert isinstance(found, Candles), "the rings hold what is asked for"
        return [msgspec.json.decode(r) for r in serialise(ticker, "1m", found, IDX.calendar)]
