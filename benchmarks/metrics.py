"""The whole catalogue over a minute's close of all symbols: us a symbol-bar, and ms a close.

Each symbol has a past of its own: 21 days of a few bars, other ones than its neighbours have, so
that they do not lie in step; then the minutes of one day that are measured, one bar of every symbol
each. Before anything is timed no column is null, and the values
that TA-Lib gives are the same. `catalogue_N` is the engine's whole `push` for N symbols: rows of
metrics in memory of their own out of rows of bars. Peers:

- copy: what a bar changes and brings is copied once, plainly: the state of its symbol, the bar, the
  row of outputs
- talib: the streaming functions of TA-Lib for those metrics that it has, on views of each symbol's
  arrays as they are (what it costs to keep these arrays is not counted)
- talipp: the incremental indicators of talipp for those that it has

`calls_a_batch_N` counts compiled calls. `restart_...` is told in restart.py.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter_ns

import numpy as np
import talib
from numpy.typing import NDArray
from talib import stream
from talipp import indicators as pp
from talipp.ohlcv import OHLCV as Candle

from benchmarks import report, restart
from bursa.metrics.catalog import STANDARD
from bursa.metrics.engine import MetricEngine
from bursa.metrics.kernel import ENTRY
from bursa.metrics.metric import PAST_FIELDS
from bursa.model.batch import Batch, Block, Span, Words
from bursa.model.calendar import DAY_NS, MINUTE_NS
from bursa.model.schema import OHLCV
from bursa.model.venue import IDX

# A Monday's 09:05 on idx; days before the measured one, and their bars.
OPENING = 1_775_440_800 * 10**9 + 5 * MINUTE_NS
DAYS, BARS_A_DAY = 21, 16
PAST = DAYS * BARS_A_DAY
LEAD = 61  # minutes of that day before any is measured
SPAN = Span("idx", 1, 0, 1)
# Symbols of the peers that are Python: more would take longer, not longer a symbol.
FEW = 50
FIELDS = ("open", "high", "low", "close", "volume")


class Market:
    """Bars of many symbols, each on its own walk, the same every time."""

    def __init__(self, symbols: int, minutes: int) -> None:
        dice = np.random.default_rng(20261120)
        self.symbols, count = symbols, PAST + minutes
        steps = dice.choice([-10.0, -5.0, 0.0, 0.0, 5.0, 10.0], (count, symbols))
        close = np.maximum(dice.integers(200, 9000, symbols) * 5.0 + np.cumsum(steps, 0), 50.0)
        up, down = dice.choice([0.0, 5.0, 10.0], (2, count, symbols))
        volume = 100.0 * dice.integers(1, 900, (count, symbols))
        self.columns = {
            "open": close - steps, "high": np.maximum(close, close - steps) + up,
            "low": np.minimum(close, close - steps) - down, "close": close, "volume": volume,
            "value": volume * close, "vwap": close,
            "delta": np.rint(volume * dice.uniform(-1, 1, (count, symbols))),
            "ruled": np.zeros((count, symbols)),
            "bid_volume": volume * 7, "ask_volume": volume * 5,
        }  # fmt: skip
        self._ids = np.arange(symbols)
        self.words: Words = IDX.words()
        for number in range(symbols):
            self.words.symbol_id(f"T{number:05d}")

    def closes_of_first(self, number: int) -> float:
        """The close of the first symbol in a minute; NaN where it has no bar."""
        bars = self.minute(number)
        held = len(bars) and bars.column("ticker")[0] == 0
        return float(bars.column("close")[0]) if held else np.nan

    def minute(self, number: int) -> Batch:
        """The bars of one minute, of all symbols."""
        day, nth = divmod(min(number, PAST), BARS_A_DAY)
        day, nth = (day, nth) if number < PAST else (DAYS, number - PAST)
        days = day + 2 * (day // 5)  # no weekends
        ids = self._ids
        if number < PAST:
            ids = ids[nth < BARS_A_DAY - (5 * ids + 3 * day) % 8]
        block: Block = np.zeros((len(OHLCV.columns), len(ids)), np.int64)
        found = Batch(OHLCV, block, self.words, SPAN)
        for name, column in self.columns.items():
            found.column(name)[:] = column[number, ids]
        block[OHLCV.index["ticker"]] = ids
        block[OHLCV.index["ts"]] = OPENING + days * DAY_NS + nth * MINUTE_NS
        for name in ("trades", "final"):
            block[OHLCV.index[name]] = 1
        return found


class Ours:
    """An engine that has seen the past."""

    def __init__(self, market: Market) -> None:
        self.market, self.engine = market, MetricEngine(IDX, market.words)
        for number in range(PAST + LEAD):
            last = self.engine.push(market.minute(number))
        self.minute, self.calls_a_batch = PAST + LEAD, 0
        self._check(last)

    def _check(self, known: Batch) -> None:
        for metric in STANDARD.metrics.values():
            for column in metric.columns:
                assert not np.isnan(known.column(column.name)).any(), column.name
        closes = np.array([self.market.closes_of_first(n) for n in range(self.minute)])
        closes = closes[~np.isnan(closes)]
        np.testing.assert_allclose(known.column("rsi_14")[0], talib.RSI(closes)[-1], rtol=1e-9)
        np.testing.assert_allclose(known.column("ema_50")[0], talib.EMA(closes, 50)[-1], rtol=1e-9)
        assert len(known) == self.market.symbols

    def close(self, times: int) -> float:
        """ns for one minute's close."""
        taken = []
        for _ in range(times):
            bars = self.market.minute(self.minute)
            self.minute += 1
            before = self.engine.calls
            began = perf_counter_ns()
            self.engine.push(bars)
            taken.append(perf_counter_ns() - began)
            self.calls_a_batch = max(self.calls_a_batch, self.engine.calls - before)
        return float(np.median(taken))


def copying(symbols: int) -> Callable[[], float]:
    """ns for one plain copy of what such a close changes and brings."""
    state = sum(len(metric.state) for metric in STANDARD.metrics.values())
    widths = (state, PAST_FIELDS, ENTRY, len(STANDARD.kind.columns))
    blocks: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = [
        (np.ones((symbols, width)), np.ones((symbols, width))) for width in widths
    ]

    def copy() -> float:
        began = perf_counter_ns()
        for source, target in blocks:
            np.copyto(target, source)
        return float(perf_counter_ns() - began)

    return copy


def streaming(market: Market) -> Callable[[], float]:
    """ns a symbol-bar of TA-Lib's streaming functions."""
    arrays = [
        {name: np.ascontiguousarray(market.columns[name][:PAST, n]) for name in FIELDS}
        for n in range(FEW)
    ]

    def run() -> float:
        began = perf_counter_ns()
        for a in arrays:
            high, low, close, volume = a["high"], a["low"], a["close"], a["volume"]
            for length in (20, 50, 200):
                stream.EMA(close, length)
                stream.SMA(close, length)
            stream.RSI(close, 14)
            stream.MACD(close, 12, 26, 9)
            stream.OBV(close, volume)
            stream.BBANDS(close, 20, 2, 2)
            stream.STOCH(high, low, close, 14, 3, 0, 3, 0)
            stream.ATR(high, low, close, 14)
        return (perf_counter_ns() - began) / FEW

    return run


def incremental(market: Market) -> Callable[[], float]:
    """ns a symbol-bar of talipp's indicators."""
    held = []
    for n in range(FEW):
        closes = market.columns["close"][:PAST, n].tolist()
        candles = [
            Candle(*(market.columns[name][m, n].item() for name in FIELDS)) for m in range(PAST)
        ]
        lengths = (20, 50, 200)
        on_closes = [pp.RSI(14), pp.MACD(12, 26, 9), pp.BB(20, 2.0)]
        on_closes += [made(length) for made in (pp.EMA, pp.SMA) for length in lengths]
        on_candles = [pp.OBV(), pp.Stoch(14, 3), pp.ATR(14), pp.VWAP()]
        for indicator in on_closes:
            indicator.add(closes)
        for indicator in on_candles:
            indicator.add(candles)
        held.append((on_closes, on_candles, candles[-1]))

    def run() -> float:
        began = perf_counter_ns()
        for on_closes, on_candles, candle in held:
            for indicator in on_closes:
                indicator.add(candle.close)
            for indicator in on_candles:
                indicator.add(candle)
        return (perf_counter_ns() - began) / FEW

    return run


def main() -> None:
    options = report.arguments(__doc__)
    rounds = 5 if options.quick else 15
    found: list[report.Result] = []
    for symbols, times in ((700, 9), (10_000, 3)):
        market = Market(symbols, LEAD + (rounds + 1) * times)
        ours = Ours(market)
        runs: dict[str, Callable[[], float]] = {
            "ours": partial(ours.close, times),
            "copy": copying(symbols),
        }
        if symbols == 700:
            runs |= {"talib": streaming(market), "talipp": incremental(market)}
        times_of = report.interleave(runs, rounds)
        a_bar = {name: ns / 1e3 for name, ns in times_of.items()}
        for name in ("ours", "copy"):
            a_bar[name] /= symbols
        if symbols == 700:
            python = {name: a_bar[name] for name in ("talib", "talipp")}
        a_bar |= python
        found += report.against(f"catalogue_{symbols}", a_bar, "ours", "us a symbol-bar")
        if symbols == 10_000:
            close = {name: times_of[name] / 1e6 for name in ("ours", "copy")}
            found += report.against("close_10000_ms", close, "ours", "ms")
        found.append(
            report.Result(f"calls_a_batch_{symbols}", ours.calls_a_batch, "compiled calls")
        )
    found += restart.measure(options.quick)
    report.emit("metrics", found, options)


if __name__ == "__main__":
    main()
