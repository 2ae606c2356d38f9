"""Blocks in the body of a broker's message: how many are whole. A kernel.

A body is one block or many: u16 big-endian length, then the message. Knows nothing of messages.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.wire.loads import KERNEL, be16


@njit(**KERNEL)
def walk(body: NDArray[np.uint8], start: int, bytes_max: int, block_max: int) -> tuple[int, int]:
    """Whole blocks from `start` on, of `bytes_max` together at most, but one at least.

    body       uint8 (n,), read-only
    block_max  longest message; a longer one, or one of length 0, is none
    returns    (where the last one ends, how many); (start, 0) where no block begins at `start`

    >>> walk(np.frombuffer(b"\\0\\1a\\0\\2bc\\0\\0", np.uint8), 0, 100, 16)
    (7, 2)
    """
    at, count = start, 0
    while at + 2 <= body.shape[0]:
        size = be16(body, at)
        end = at + 2 + size
        if size == 0 or size > block_max or end > body.shape[0]:
            break
        if count and end - start > bytes_max:
            break
        at, count = end, count + 1
    return at, count


def warm() -> None:
    """Compile or load `walk` for read-only arrays, which is what bodies are."""
    walk(np.frombuffer(b"\0\1a", np.uint8), 0, 3, 1)
