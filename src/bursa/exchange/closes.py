"""Closing prices of any day, without going through the days before.

A share's log price strays from its base by a sum of past days' returns that fades (so it comes back
in the long run), each return made of the market's, its sector's and its own. Every number is hashed
from (seed, trading day, who), so the close of a day is a function of these alone; the session
kernels lead the day's prices there, and the next day starts from it.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.exchange import ladder
from bursa.exchange.chance import mix, normal

_DAYS = 120  # how far back a return is felt
_FADE = 0.97
_MARKET_SD, _SECTOR_SD = 0.007, 0.0045
_RETURN_MAX = 0.13  # in logs; with fading and rounding it stays inside every band
_WHO_SECTOR, _WHO_TICKER = 1, 1_000


@njit(nogil=True, cache=True)
def _news(seed: int, day: int, who: int) -> float:
    return normal(mix(mix(seed ^ mix(day)) ^ who))


@njit(nogil=True, cache=True)
def closes(
    seed: int, day: int, bases: NDArray[np.float64], traits: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Closing prices of trading day number `day`.

    bases    float64 (n,), rupiah
    traits   float64 (4, n): sector, share in the market's and in the sector's return, own deviation
             of a day's log return; a ticker with a deviation of 0 never moves
    returns  int64 (n,), rupiah, allowed prices
    """
    count = bases.shape[0]
    strays = np.zeros(count)
    sectors = np.zeros(64)
    for back in range(_DAYS - 1, -1, -1):
        at = day - back
        market = _MARKET_SD * _news(seed, at, 0)
        for sector in range(sectors.shape[0]):
            sectors[sector] = _SECTOR_SD * _news(seed, at, _WHO_SECTOR + sector)
        for i in range(count):
            own = traits[3, i]
            if own > 0:
                moved = traits[1, i] * market + traits[2, i] * sectors[int(traits[0, i])]
                moved += own * _news(seed, at, _WHO_TICKER + i)
                strays[i] = strays[i] * _FADE + min(max(moved, -_RETURN_MAX), _RETURN_MAX)
    prices = np.empty(count, np.int64)
    for i in range(count):
        height = ladder.rung(max(bases[i] * np.exp(strays[i]), ladder.FLOOR))
        prices[i] = ladder.price_at(int(np.rint(height)))
    return prices
