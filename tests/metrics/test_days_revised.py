"""Metrics of the clock and of the day under revisions: late and revised bars, also across midnight,
cuts and restarts end with the bits of the final bars."""

import random

import numpy as np
import pytest

from bursa.model.venue import BINANCE, IDX, Venue
from tests.metrics.bars import Bar
from tests.metrics.days import (
    around_midnights,
    columns,
    emitted,
    final,
    given,
    newest,
    restated,
    stretch,
)

NAMES = (
    "vwap", "vwap_5m", "vwap_15m", "vwap_1h", "volume_avg_20", "relative_volume_20", "change_1m",
    "change_5m", "change_15m", "change_day", "high_day", "low_day", "gap_day", "vwap_distance",
    "order_flow", "book_imbalance", "relative_volume_tod",
)  # fmt: skip


def with_books(chance: random.Random, bars: list[Bar]) -> list[Bar]:
    """The same with order flow and books, now and then unknown."""
    return [
        bar._replace(
            delta=chance.choice([bar.volume, -bar.volume, 0.0, np.nan]),
            ruled=chance.choice([0.0, bar.volume]),
            bid_volume=chance.choice([0.0, 300.0, 1700.0, np.nan]),
            ask_volume=chance.choice([0.0, 500.0]),
        )
        for bar in bars
    ]


@pytest.mark.parametrize("venue", [IDX, BINANCE], ids=lambda venue: venue.name)
@pytest.mark.parametrize("seed", range(5))
def test_any_stream_ends_as_its_final_bars_do(seed: int, venue: Venue) -> None:
    chance = random.Random(seed)
    if venue is BINANCE:
        ordered = around_midnights(chance, 40)
    else:
        ordered = stretch(chance, venue, days=26, most=25)
    bars = with_books(chance, restated(chance, ordered, venue, 0.25))
    whole = emitted(NAMES, bars, venue)
    sizes = [chance.choice([1, 1, 2, 7, 40]) for _ in range(40)]
    assert emitted(NAMES, bars, venue, sizes, restarts=True) == whole
    ordered = final(bars)
    expected = given(NAMES, ordered, venue)
    found = newest(whole)
    for place, name in enumerate(columns(NAMES)):
        values = [found[0, bar.ts][place] for bar in ordered]
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
        assert np.isfinite(values).any()
