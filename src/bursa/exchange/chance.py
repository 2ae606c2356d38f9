"""Random numbers of the demo market: counted, not stirred by anything but their own stream.

A stream is one int64 of a block; each draw moves it on by a constant and hashes it (splitmix64).
So a stream's n-th number depends on its seed and n alone, and copying the block copies the chance.
All arithmetic is in int64 and wraps.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Block = NDArray[np.int64]

_GOLDEN = -7046029254386353131
_MIX_1 = -4658895280553007687
_MIX_2 = -7723592293110705685
_WORD = (1 << 64) - 1
_UNIT = 1.0 / (1 << 53)
_HALVES_MEAN = 2.0 * 65_535.0
_HALVES_SD = 37_836.8  # of the sum of four even 16-bit numbers


@njit(nogil=True, cache=True)
def mix(z: int) -> int:
    """Hash an int64."""
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * _MIX_1
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return z ^ ((z >> 31) & 0x1FFFFFFFF)


@njit(nogil=True, cache=True)
def draw(streams: Block, stream: int) -> int:
    """64 random bits; moves the stream on."""
    streams[stream] += _GOLDEN
    return mix(streams[stream])


@njit(nogil=True, cache=True)
def unit(bits: int) -> float:
    """64 bits as a number in (0, 1)."""
    return (((bits >> 11) & 0x1FFFFFFFFFFFFF) + 0.5) * _UNIT


@njit(nogil=True, cache=True)
def normal(bits: int) -> float:
    """64 bits as a number of mean 0 and deviation 1, never past 3.47: the sum of four."""
    total = (bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF)
    total += (bits >> 48) & 0xFFFF
    return (total - _HALVES_MEAN) / _HALVES_SD


@njit(nogil=True, cache=True)
def waiting(bits: int) -> float:
    """64 bits as a waiting time of mean 1."""
    return -math.log(unit(bits))


def seed_of(*parts: int) -> int:
    """A stream's seed from a few numbers (the market's seed, the day, the stream's own)."""
    z = 0
    for part in parts:
        z = _mixed((z ^ part) + _GOLDEN)
    return z - (1 << 64) if z >> 63 else z


def _mixed(z: int) -> int:
    """`mix` in plain integers, so that seeding waits for no compiler; unsigned."""
    z &= _WORD
    z = ((z ^ (z >> 30)) * (_MIX_1 & _WORD)) & _WORD
    z = ((z ^ (z >> 27)) * (_MIX_2 & _WORD)) & _WORD
    return z ^ (z >> 31)


@njit(nogil=True, cache=True)
def units(seed: int, count: int) -> NDArray[np.float64]:
    """`count` numbers in (0, 1)."""
    streams = np.array([seed])
    found = np.empty(count)
    for at in range(count):
        found[at] = unit(draw(streams, 0))
    return found
