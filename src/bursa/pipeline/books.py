"""The newest order book of each instrument, from its venue's book messages. Pure.

A message is one side with its levels; of each symbol and side the last one stays. A venue whose
codec keeps the books itself (wire/itch50/decoder.py) does not come here: Line.book.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import Batch, Block
from bursa.model.schema import ORDERBOOK, SIDES

LEVELS_MAX = 10
_BID = SIDES.index("bid")
# So much may wait to be put into its place.
ROWS_WAITING_MAX, BATCHES_WAITING_MAX = 16_384, 1024
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


_TICKER_AT, _BOARD_AT, _TS_AT, _SIDE_AT, _DEPTH_AT, _SEQ_AT = (
    ORDERBOOK.index[name] for name in ("ticker", "board", "ts", "side", "depth", "seq")
)


@njit(nogil=True, cache=True)
def _place(
    block: Block,
    levels: Block,
    board: int,
    placed: NDArray[np.bool_],
    heads: Block,
    kept: Block,
) -> None:
    """Put each side's last row of a batch into heads, int64 (3, keys), and kept, int64 (3, keys,
    LEVELS_MAX), where `placed` does not say that a newer batch has."""
    at = levels.shape[1]
    for row in range(block.shape[1] - 1, -1, -1):
        depth = block[_DEPTH_AT, row]
        at -= depth
        key = 2 * block[_TICKER_AT, row] + block[_SIDE_AT, row]
        if block[_BOARD_AT, row] != board or placed[key]:
            continue
        placed[key] = True
        count = min(depth, LEVELS_MAX)
        heads[_TS, key], heads[_SEQ, key] = block[_TS_AT, row], block[_SEQ_AT, row]
        heads[_DEPTH, key] = count
        for line in range(3):
            for level in range(count):
                kept[line, key, level] = levels[line, at + level]


def warm() -> None:
    """Compile what batches are placed with."""
    block = np.zeros((len(ORDERBOOK.scalars), 0), np.int64)
    none = np.zeros((3, 0), np.int64)
    _place(block, none, 0, np.zeros(0, np.bool_), none, np.zeros((3, 0, LEVELS_MAX), np.int64))


class Books:
    """The books of one venue's bar board."""

    def __init__(self) -> None:
        warm()
        self._heads: Block = np.full((3, 0), -1, np.int64)
        self._levels: Block = np.zeros((3, 0, LEVELS_MAX), np.int64)
        # Batches not looked at yet: most of what they say is overtaken before anybody asks.
        self._waiting: list[Batch] = []
        self._rows_waiting = 0
        self._board = -1

    def take(self, batch: Batch, board: int) -> None:
        """Rows of ORDERBOOK in stream order; those of other boards are left out. Cheap: batches
        are put into their places together, once many wait or somebody asks."""
        assert batch.levels is not None, "books travel with their levels"
        self._board = board
        self._waiting.append(batch)
        self._rows_waiting += len(batch)
        if self._rows_waiting >= ROWS_WAITING_MAX or len(self._waiting) >= BATCHES_WAITING_MAX:
            self._settle()

    def _settle(self) -> None:
        """Put what waits into its place, the newest first: a side's last row stays."""
        if not self._waiting:
            return
        waiting, self._waiting, self._rows_waiting = self._waiting, [], 0
        tickers = ORDERBOOK.index["ticker"]
        self._grow(2 * max(int(b.block[tickers].max(initial=-1)) for b in waiting) + 2)
        placed = np.zeros(self._heads.shape[1], np.bool_)
        for batch in reversed(waiting):
            block, levels = np.ascontiguousarray(batch.block), np.ascontiguousarray(batch.levels)
            _place(block, levels, self._board, placed, self._heads, self._levels)

    def of(self, symbol: int, depth: int) -> Depth:
        """A symbol's book; empty where nothing of it came."""
        self._settle()
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
        self._waiting, self._rows_waiting = [], 0
        self._heads[_DEPTH] = -1

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint, copied."""
        self._settle()
        return {"heads": self._heads.copy(), "levels": self._levels.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state."""
        self._waiting, self._rows_waiting = [], 0
        self._heads, self._levels = state["heads"].copy(), state["levels"].copy()

    def _grow(self, keys: int) -> None:
        more = keys - self._heads.shape[1]
        if more > 0:
            more = max(more, self._heads.shape[1])
            self._heads = np.pad(self._heads, ((0, 0), (0, more)), constant_values=-1)
            self._levels = np.pad(self._levels, ((0, 0), (0, more), (0, 0)))
