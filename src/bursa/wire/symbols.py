"""Ticker bytes -> symbol id in a few nanoseconds: an open-addressing table beside `Words`.

A ticker of 8 to 16 bytes, padded with blanks, is two overlapping words of eight bytes; both are
compared, so that no two tickers meet. Ids are those of `Words`, given by first appearance: the
kernel gives the next free one, `SymbolTable.learn` tells `Words` after the call. The table is a
function of `Words` alone and is rebuilt from it; a checkpoint needs no copy.

A ticker is refused unless it reads `[A-Z0-9][A-Z0-9.-]*` and then blanks to its width.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import Block, Words
from bursa.wire.loads import INLINE, KERNEL

# Columns of a slot: first and last eight bytes, id (-1: free).
_HEAD, _TAIL, _ID = 0, 1, 2
_COLUMNS = 4
_SLOTS_MIN = 4096


@njit(**INLINE)
def slot_of(symbols: Block, head: int, tail: int) -> int:
    """Where a ticker stands, or the free slot where it belongs."""
    mixed = np.uint64(head) ^ (np.uint64(tail) * np.uint64(0x9E3779B97F4A7C15))
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    mask = symbols.shape[0] - 1
    slot = np.int64(mixed >> np.uint64(40)) & mask
    while symbols[slot, _ID] >= 0 and not (
        symbols[slot, _HEAD] == head and symbols[slot, _TAIL] == tail
    ):
        slot = (slot + 1) & mask
    return slot


@njit(**KERNEL)
def is_ticker(frames: NDArray[np.uint8], at: int, width: int) -> bool:
    """Whether `width` bytes read as a ticker."""
    size = width
    while size > 0 and frames[at + size - 1] == 32:
        size -= 1
    for i in range(size):
        byte = frames[at + i]
        upper_or_digit = 65 <= byte <= 90 or 48 <= byte <= 57
        if not upper_or_digit and (i == 0 or not (byte == 46 or byte == 45)):
            return False
    return size > 0


class SymbolTable:
    """The table of one decoder.

    slots   int64 (a power of two, 4), at most half full before a call of the kernel
    """

    def __init__(self, words: Words, width: int) -> None:
        self.slots: Block = _free(_SLOTS_MIN)
        self.known = 0
        self._words = words
        self._width = width

    def forget(self) -> None:
        """`Words` was replaced: learn it anew at the next call."""
        self.slots = _free(_SLOTS_MIN)
        self.known = 0

    def catch_up(self) -> None:
        """Take in what `Words` has learned from others since, and keep half of the slots free."""
        symbols = self._words.symbols
        slots = len(self.slots)
        while 2 * len(symbols) > slots:
            slots *= 2
        if slots != len(self.slots):
            self.slots = _free(slots)
            self.known = 0
        while self.known < len(symbols):
            self._put(symbols[self.known], self.known)
            self.known += 1

    def room(self) -> int:
        """How many new tickers the kernel may put in before `catch_up` is due again."""
        return len(self.slots) * 3 // 4 - self.known

    def learn(self, raw: bytes, at: int) -> None:
        """The kernel met a new ticker and gave it the id `at`."""
        given = self._words.symbol_id(raw.decode("ascii").rstrip(" "))
        assert given == at == self.known, "the kernel and Words number tickers alike"
        self.known += 1

    def _put(self, symbol: str, at: int) -> None:
        raw = symbol.encode("utf-8").ljust(self._width)
        if len(raw) > self._width:
            return
        head, tail = np.frombuffer(raw[:8] + raw[-8:], ">i8").tolist()
        self.slots[slot_of(self.slots, head, tail)] = (head, tail, at, 0)


def _free(slots: int) -> Block:
    table = np.zeros((slots, _COLUMNS), np.int64)
    table[:, _ID] = -1
    return table
