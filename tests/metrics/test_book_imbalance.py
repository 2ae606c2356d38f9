"""The book's imbalance, by hand."""

import math

import numpy as np

from tests.metrics.bars import MINUTE, OPENING, Bar
from tests.metrics.days import given


def test_bid_less_ask_over_their_sum() -> None:
    books = [
        (300.0, 100.0), (100.0, 300.0), (0.0, 5.0), (5.0, 0.0), (0.0, 0.0),
        (math.nan, 5.0), (5.0, math.nan), (math.nan, math.nan), (0.3, 0.1),
    ]  # fmt: skip
    bars = [
        Bar(OPENING + n * MINUTE, 10, bid_volume=bid, ask_volume=ask)
        for n, (bid, ask) in enumerate(books)
    ]
    found = given("book_imbalance", bars)["book_imbalance"]
    expected = [0.5, -0.5, -1, 1, *[math.nan] * 4, (0.3 - 0.1) / (0.3 + 0.1)]
    np.testing.assert_array_equal(found, expected)
