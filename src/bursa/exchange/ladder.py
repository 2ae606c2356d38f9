"""Prices as rungs of a ladder: the exchange's price steps, and how far a day may move.

A price below 200 rupiah moves in steps of 1, to 500 of 2, to 2,000 of 5, to 5,000 of 10, above of
25. The lowest price is 50. Rung 0 is 50 rupiah, and neighbouring rungs are one step apart, so that
the rest of the market counts in rungs. An order further than a share of the previous close away is
rejected: 35 % for closes up to 200, 25 % up to 5,000, 20 % above.
"""

import math

from numba import njit

FLOOR = 50
STEP_MAX = 25


@njit(nogil=True, cache=True)
def rung(price: float) -> float:
    """The height of a price in rungs, with fraction; whole where the price is allowed."""
    if price <= 200:
        return price - 50.0
    if price <= 500:
        return 150.0 + (price - 200.0) / 2.0
    if price <= 2_000:
        return 300.0 + (price - 500.0) / 5.0
    if price <= 5_000:
        return 600.0 + (price - 2_000.0) / 10.0
    return 900.0 + (price - 5_000.0) / STEP_MAX


@njit(nogil=True, cache=True)
def price_at(at: int) -> int:
    """The price of a rung in rupiah; at >= 0."""
    if at <= 150:
        return 50 + at
    if at <= 300:
        return 200 + (at - 150) * 2
    if at <= 600:
        return 500 + (at - 300) * 5
    if at <= 900:
        return 2_000 + (at - 600) * 10
    return 5_000 + (at - 900) * STEP_MAX


@njit(nogil=True, cache=True)
def band(close: int) -> tuple[int, int]:
    """The lowest and the highest rung of the day after a close."""
    percent = 35 if close <= 200 else 25 if close <= 5_000 else 20
    low = -((-close * (100 - percent)) // 100)
    high = close * (100 + percent) // 100
    return int(math.ceil(rung(float(max(low, FLOOR))))), int(math.floor(rung(float(high))))
