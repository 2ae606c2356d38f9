"""The newest order book of each instrument, from its venue's book messages. Pure.

A message is one side with its levels; of each symbol and side the last one stays. A venue whose
codec keeps the books itself (wire/itch50.py) does not come here: Line.book.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bursa.model.batch import Batch, Block
from bursa.model.schema import ORDERBOOK, SIDES

LEVELS_MAX = 10
_BID = SIDES.index("bid")
# What is kept of a side: when it was so, its message's number, how many levels (-1: unknown).
_TS, _SEQ, _DEPTH = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Side:
    """Levels, best first: prices and volumes float64 (n,); orders int64 (n,), -1: not told."""

    prices: NDArray[np.float64]
    volumes: NDArray[np.float64]
    orders: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Depth:
    """Both sides of a book.

    ts_ns, seq   event time and number of the newest message that it holds; 0: none came
    whole        False where messages are missing that may have changed it
    """

    ts_ns: int
    seq: int
    whole: bool
    bids: Side
    asks: Side


_NO_LEVELS = Side(np.empty(0), np.empty(0), np.empty(0, np.int64))
NO_BOOK = Depth(0, 0, True, _NO_LEVELS, _NO_LEVELS)
# While the venue recovers: what came is not known yet.
NOT_YET = Depth(0, 0, False, _NO_LEVELS, _NO_LEVELS)


class Books:
    """The books of one venue's bar board."""

    def __init__(self) -> None:
        self._heads: Block = np.full((3, 0), -1, np.int64)
        self._levels: Block = np.zeros((3, 0, LEVELS_MAX), np.int64)

    def take(self, batch: Batch, board: int) -> None:
        """Rows of ORDERBOOK in stream order; those of other boards are left out."""
        assert batch.levels is not None, "books travel with their levels"
        block, index = batch.block, ORDERBOOK.index
        ends = np.cumsum(block[index["depth"]])
        rows = np.flatnonzero(block[index["board"]] == board)
        if not len(rows):
            return
        keys = 2 * block[index["ticker"], rows] + block[index["side"], rows]
        self._grow(int(keys.max()) + 1)
        last = np.zeros(self._heads.shape[1], np.int64)
        last[keys] = rows  # of one side's rows the last one stays
        keys = np.unique(keys)
        rows = last[keys]
        depth = np.minimum(block[index["depth"], rows], LEVELS_MAX)
        self._heads[:, keys] = block[index["ts"], rows], block[index["seq"], rows], depth
        places = (ends[rows] - block[index["depth"], rows])[:, None] + np.arange(LEVELS_MAX)
        if batch.levels.shape[1]:
            kept = np.minimum(places, batch.levels.shape[1] - 1)
            self._levels[:, keys] = batch.levels[:, kept]

    def of(self, symbol: int, depth: int) -> Depth:
        """A symbol's book; empty where nothing of it came."""
        keys = 2 * symbol + np.arange(2)
        known = [key for key in keys.tolist() if 0 <= key < self._heads.shape[1]]
        heads = self._heads[:, known][:, self._heads[_DEPTH, known] >= 0]
        ts, seq = (int(heads[row].max(initial=0)) for row in (_TS, _SEQ))
        return Depth(ts, seq, True, self._side(2 * symbol + _BID, depth),
                     self._side(2 * symbol + 1 - _BID, depth))  # fmt: skip

    def _side(self, key: int, depth: int) -> Side:
        count = int(self._heads[_DEPTH, key]) if 0 <= key < self._heads.shape[1] else 0
        levels = self._levels[:, key, : min(max(count, 0), depth)] if count > 0 else None
        prices, volumes, orders = np.zeros((3, 0), np.int64) if levels is None else levels.copy()
        return Side(prices.view(np.float64), volumes.view(np.float64), orders)

    def forget(self) -> None:
        """Know nothing."""
        self._heads[_DEPTH] = -1

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint, copied."""
        return {"heads": self._heads.copy(), "levels": self._levels.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state."""
        self._heads, self._levels = state["heads"].copy(), state["levels"].copy()

    def _grow(self, keys: int) -> None:
        more = keys - self._heads.shape[1]
        if more > 0:
            more = max(more, self._heads.shape[1])
            self._heads = np.pad(self._heads, ((0, 0), (0, more)), constant_values=-1)
            self._levels = np.pad(self._levels, ((0, 0), (0, more), (0, 0)))
