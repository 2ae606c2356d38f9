"""Random numbers of the demo market: counted, not stirred by anything but their own stream.

A stream is one int64 of a block; each draw moves it on by a constant and hashes it (splitmix64).
So a stream's n-th number depends on its seed and n alone, and copying the block copies the chance.
Hashing is done in unsigned numbers: a compiler may take it that signed ones never overflow.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Block = NDArray[np.int64]

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_STEP, _FACTOR_1, _FACTOR_2 = np.uint64(_GOLDEN), np.uint64(_MIX_1), np.uint64(_MIX_2)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_WORD = (1 << 64) - 1
_UNIT = 1.0 / (1 << 53)
_HALVES_MEAN = 2.0 * 65_535.0
_HALVES_SD = 37_836.8  # of the sum of four even 16-bit numbers


@njit(nogil=True, cache=True)
def mix(bits: int) -> int:
    """Hash 64 bits."""
    z = np.uint64(bits)
    z = (z ^ (z >> _SHIFT_1)) * _FACTOR_1
    z = (z ^ (z >> _SHIFT_2)) * _FACTOR_2
    return np.int64(z ^ (z >> _SHIFT_3))  # type: ignore[return-value]  # a kernel's int


@njit(nogil=True, cache=True)
def draw(streams: Block, stream: int) -> int:
    """64 random bits; moves the stream on."""
    streams[stream] = np.int64(np.uint64(streams[stream]) + _STEP)
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
    z = ((z ^ (z >> 30)) * _MIX_1) & _WORD
    z = ((z ^ (z >> 27)) * _MIX_2) & _WORD
    return z ^ (z >> 31)


@njit(nogil=True, cache=True)
def units(seed: int, count: int) -> NDArray[np.float64]:
    """`count` numbers in (0, 1)."""
    streams = np.array([seed])
    found = np.empty(count)
    for at in range(count):
        found[at] = unit(draw(streams, 0))
    return found
