"""The whole catalogue, extra metrics too: no cut into batches, no interleaving of symbols and no
place in a longer stream changes a bit of any column; and what stands at the end is what a run over
the final bars alone gives."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.metrics.catalog import catalogue
from bursa.metrics.engine import MetricEngine, compute
from bursa.model.batch import Batch, Words
from bursa.model.schema import OHLCV
from bursa.model.venue import BINANCE, IDX, Venue
from tests.metrics.bars import DAY, MINUTE, SPAN, at, words

EXTRA = catalogue(["ema_3", "sma_400", "rsi_5", "macd_3_6_2", "bbands_5_1", "stoch_4_2_2", "atr_3"])
SYMBOLS = 3


def stream(seed: int, count: int, venue: Venue) -> Batch:
    """Bars of a few symbols over several days in order of emission, with late and revised ones of
    the last eight minutes; no two of the same emission."""
    dice = np.random.default_rng(seed)
    block = np.zeros((len(OHLCV.columns), count), np.int64)
    found = Batch(OHLCV, block, words(SYMBOLS), SPAN)
    now, price, revs = at("08:55"), 5000.0, dict[tuple[int, int], int]()
    quiet = float(dice.choice([0.0, 0.02, 0.3]))
    for n in range(count):
        symbol = int(dice.integers(SYMBOLS))
        if dice.random() < 0.5:
            now += int(dice.choice([1, 1, 1, 2, 5, 17])) * MINUTE
        if dice.random() < quiet / 10 + 1 / 120:
            now += DAY - now % DAY + int(dice.integers(60, 400)) * MINUTE
        back = int(dice.choice([0, 0, 0, 0, 1, 3, 7])) * MINUTE
        price = max(50.0, price + 5.0 * float(dice.integers(-3, 4)))
        volume = float(dice.integers(1, 50)) * 100 if venue is IDX else float(dice.random())
        key = (symbol, now - back)
        revs[key] = revs.get(key, -1) + 1
        row = {
            "ticker": symbol, "ts": now - back, "rev": revs[key], "open": price,
            "high": price + 5 * dice.integers(3), "low": price - 5 * dice.integers(3),
            "close": price, "volume": volume, "value": volume * price, "trades": 1,
            "vwap": price, "delta": float(dice.choice([np.nan, volume, -volume])), "ruled": 0.0,
            "bid_volume": float(dice.choice([np.nan, 300.0])), "ask_volume": 200.0,
            "final": int(dice.random() < 0.9), "known_at": n, "ts_recv": now - back + 5,
            "position": 10 * n,
        }  # fmt: skip
        for name, value in row.items():
            found.column(name)[n] = value
    return found


def through(bars: Batch, sizes: list[int], venue: Venue) -> Batch:
    """Rows of all bars, in batches of these sizes, then the rest."""
    engine = MetricEngine(venue, bars.words, EXTRA)
    start, blocks = 0, []
    for size in [*sizes, len(bars)]:
        block = np.ascontiguousarray(bars.block[:, start : start + size])
        blocks.append(engine.push(Batch(OHLCV, block, bars.words, SPAN)).block)
        start += size
    return Batch(EXTRA.kind, np.concatenate(blocks, axis=1), bars.words, SPAN)


def of(rows: Batch, symbol: int) -> np.ndarray:
    return rows.block[:, rows.column("ticker") == symbol]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 700), st.lists(st.integers(0, 90), max_size=12),
    st.sampled_from([IDX, BINANCE]),
)  # fmt: skip
def test_no_cut_and_no_interleaving_changes_a_bit(
    seed: int, count: int, sizes: list[int], venue: Venue
) -> None:
    bars = stream(seed, count, venue)
    whole = through(bars, [], venue)
    np.testing.assert_array_equal(through(bars, sizes, venue).block, whole.block)
    # Each symbol without the others: its own order is all that matters.
    for symbol in range(SYMBOLS):
        mine = bars.block[:, bars.column("ticker") == symbol]
        alone = through(Batch(OHLCV, np.ascontiguousarray(mine), bars.words, SPAN), sizes, venue)
        np.testing.assert_array_equal(alone.block, of(whole, symbol))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 700), st.sampled_from([IDX, BINANCE]))
def test_the_newest_rows_are_those_of_a_run_over_the_final_bars(
    seed: int, count: int, venue: Venue
) -> None:
    bars = stream(seed, count, venue)
    rows = through(bars, [], venue)
    outputs = slice(EXTRA.kind.index["rev"] + 1, EXTRA.kind.index["known_at"])
    for symbol in range(SYMBOLS):
        standing = {int(ts): n for n, ts in enumerate(bars.column("ts")) if _is(bars, n, symbol)}
        order = [standing[ts] for ts in sorted(standing)]
        if not order:
            continue
        final = Batch(OHLCV, np.ascontiguousarray(bars.block[:, order]), _own(), SPAN)
        expected = compute(EXTRA.metrics, final, venue, EXTRA)
        newest = {int(r[EXTRA.kind.index["ts"]]): r for r in of(rows, symbol).T}
        got = np.array([newest[ts] for ts in sorted(newest)]).T
        np.testing.assert_array_equal(got[outputs], expected.block[outputs])


def _is(bars: Batch, row: int, symbol: int) -> bool:
    return bool(bars.column("ticker")[row] == symbol)


def _own() -> Words:
    return words(SYMBOLS)
