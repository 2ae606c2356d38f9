"""How much the book offered when a bar closed: `bid_volume` and `ask_volume` of OHLCV.

Each is the sum of the first LEVELS levels of one side of the bar board's book, as it stands after
the record whose row closed the bar (the last book message at or before the bar's position), and
null where that side was never told. Records are never cut, so any cut of the stream gives the same.
A bar that is revised later keeps what stood at its first close; one that a file's end showed as not
final has what stood then.

Most messages of a book are overtaken before a bar closes, so they wait, many together, and only the
newest of a side is summed. A venue whose codec keeps the books itself (wire/itch50.py) hands out
sums instead of messages. Pure; of the bars under way the books are not told (build.py: null).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.bars.build import REVISABLE_S
from bursa.model.batch import Batch, Block, Words
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import OHLCV, ORDERBOOK, SIDES
from bursa.model.venue import Venue

LEVELS = 5
# So much may wait to be put into its place.
ROWS_WAITING_MAX, BATCHES_WAITING_MAX = 16_384, 1024
# Minutes whose first closes are remembered, the newest ones: no other can be revised any more.
PAGES = 16
_SYMBOLS_FIRST = 256

# Rows of `sums`: symbol id, bits of both sums, position.
SUM_ROWS = 4

_B_TICKER, _B_TS, _B_FINAL, _B_POSITION, _B_BIDS, _B_ASKS = (
    OHLCV.index[k] for k in ("ticker", "ts", "final", "position", "bid_volume", "ask_volume")
)
_O_TICKER, _O_BOARD, _O_SIDE, _O_DEPTH, _O_POSITION = (
    ORDERBOOK.index[k] for k in ("ticker", "board", "side", "depth", "position")
)
_O_VOLUMES = [column.name for column in ORDERBOOK.lists].index("volumes")
_BID, _ASK = SIDES.index("bid"), SIDES.index("ask")
_KERNEL = {"nogil": True, "cache": True}

Floats = NDArray[np.float64]


@njit(**_KERNEL)
def _place(
    block: Block, levels: Block, part: tuple[int, int, int], of: tuple[int, float], turns: Block,
    turn: int, sums: Floats,
) -> None:  # fmt: skip
    """Sum the last message of each side among some rows of a batch into sums, float64 (sides,),
    where `turns` does not say that a newer one of this turn was. part: the first row, the one
    behind the last, and where the levels of that one begin; of: the board, and the units of volume
    in one, so that a sum is exact."""
    (first, end, at), (board, units) = part, of
    volumes = levels.view(np.float64)
    for row in range(end - 1, first - 1, -1):
        depth = block[_O_DEPTH, row]
        at -= depth
        side = 2 * block[_O_TICKER, row] + block[_O_SIDE, row]
        if block[_O_BOARD, row] != board or turns[side] == turn:
            continue
        turns[side] = turn
        total = 0.0
        for level in range(at, at + min(depth, LEVELS)):
            total += np.rint(volumes[_O_VOLUMES, level] * units)
        sums[side] = total / units


@njit(**_KERNEL)
def _fill(
    closed: Block, start: int, sums: Floats, pages: Block, kept: Floats, known: NDArray[np.bool_]
) -> int:
    """Write the book's sums into the bars from `start` on that have one position; the first of
    another is returned. Of final ones the first close is remembered: pages int64 (PAGES,), the
    minute of each; kept float64 (PAGES, sides); known bool (PAGES, symbols)."""
    out = closed.view(np.float64)
    position, row = closed[_B_POSITION, start], start
    while row < closed.shape[1] and closed[_B_POSITION, row] == position:
        symbol, ts = closed[_B_TICKER, row], closed[_B_TS, row]
        bids, asks = sums[2 * symbol + _BID], sums[2 * symbol + _ASK]
        page = ts // MINUTE_NS % PAGES
        if closed[_B_FINAL, row] == 1 and ts >= pages[page]:
            if ts > pages[page]:
                pages[page] = ts
                known[page] = False
            if known[page, symbol]:
                bids, asks = kept[page, 2 * symbol + _BID], kept[page, 2 * symbol + _ASK]
            known[page, symbol] = True
            kept[page, 2 * symbol + _BID], kept[page, 2 * symbol + _ASK] = bids, asks
        out[_B_BIDS, row], out[_B_ASKS, row] = bids, asks
        row += 1
    return row


@njit(**_KERNEL)
def _reach(block: Block, row: int, at: int, position: int) -> tuple[int, int]:
    """The first row from `row` on that came after a position, and where its levels begin, those of
    `row` at `at`."""
    while row < block.shape[1] and block[_O_POSITION, row] <= position:
        at += block[_O_DEPTH, row]
        row += 1
    return row, at


class ClosingBooks:
    """The stage, of one venue. Symbol ids are those of `words`, which must know them by then."""

    def __init__(self, venue: Venue, words: Words) -> None:
        revisable_s = 60 + venue.grace_s + REVISABLE_S
        assert revisable_s < 60 * (PAGES - 1), "each minute that can be revised has its page"
        self._words = words
        self._of = venue.boards.index(venue.bar_board), float(10**venue.volume_decimals)
        self._waiting: list[tuple[Block, Block]] = []
        self._rows_waiting = self._turn = 0
        self._begin(_SYMBOLS_FIRST)

    def _begin(self, symbols: int) -> None:
        self._sums: Floats = np.full(2 * symbols, np.nan)
        self._turns: Block = np.zeros(2 * symbols, np.int64)
        self._pages: Block = np.zeros(PAGES, np.int64)
        self._kept: Floats = np.full((PAGES, 2 * symbols), np.nan)
        self._known = np.zeros((PAGES, symbols), np.bool_)

    def push(self, books: Batch | None, sums: Block, closed: Batch) -> None:
        """Write the two columns of `closed`, the rows that the builder just made of the same
        records (no other has seen them yet).

        books   ORDERBOOK rows of these records, in stream order; None: there are none
        sums    int64 (SUM_ROWS, n), in stream order, of a venue that hands out sums
        """
        if len(self._words.symbols) > self._known.shape[1]:
            self._grow(2 * len(self._words.symbols))
        if not len(closed):
            self._wait(books)
            self._take(sums)
            return
        self._settle()
        block, row, start, taken, at = closed.block, 0, 0, 0, 0
        pieces = _pieces(books)
        while start < block.shape[1]:
            position = int(block[_B_POSITION, start])
            if pieces is not None:
                end, behind = _reach(pieces[0], row, at, position)
                self._sum(pieces, (row, end, behind))
                row, at = end, behind
            upto = taken + int(np.searchsorted(sums[3, taken:], position, "right"))
            self._take(sums[:, taken:upto])
            taken = upto
            start = _fill(block, start, self._sums, self._pages, self._kept, self._known)
        self._take(sums[:, taken:])
        if pieces is not None and row < pieces[0].shape[1]:
            self._hold(np.ascontiguousarray(pieces[0][:, row:]), pieces[1][:, at:].copy())

    def _wait(self, books: Batch | None) -> None:
        pieces = _pieces(books)
        if pieces is not None:
            self._hold(*pieces)

    def _hold(self, block: Block, levels: Block) -> None:
        self._waiting.append((block, levels))
        self._rows_waiting += block.shape[1]
        if self._rows_waiting >= ROWS_WAITING_MAX or len(self._waiting) >= BATCHES_WAITING_MAX:
            self._settle()

    def _settle(self) -> None:
        """Put what waits into its place, the newest first: a side's last message stays."""
        if not self._waiting:
            return
        waiting, self._waiting, self._rows_waiting = self._waiting, [], 0
        self._turn += 1
        for block, levels in reversed(waiting):
            part = (0, block.shape[1], levels.shape[1])
            _place(block, levels, part, self._of, self._turns, self._turn, self._sums)

    def _sum(self, pieces: tuple[Block, Block], part: tuple[int, int, int]) -> None:
        self._turn += 1
        _place(*pieces, part, self._of, self._turns, self._turn, self._sums)

    def _take(self, sums: Block) -> None:
        if sums.shape[1]:
            sides = self._sums.reshape(-1, 2)
            sides[sums[0], _BID] = sums[1].view(np.float64)
            sides[sums[0], _ASK] = sums[2].view(np.float64)

    def warm(self) -> None:
        """Compile all that `push` calls, without touching this stage's state."""
        none = np.zeros((len(ORDERBOOK.scalars), 0), np.int64)
        self._sum((none, np.zeros((3, 0), np.int64)), (0, 0, 0))
        _reach(none, 0, 0, 0)
        bar = np.zeros((len(OHLCV.columns), 1), np.int64)
        _fill(bar, 0, np.zeros(2), np.zeros(PAGES, np.int64), np.zeros((PAGES, 2)),
              np.zeros((PAGES, 1), np.bool_))  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint, copied."""
        self._settle()
        symbols = min(len(self._words.symbols), self._known.shape[1])
        return {
            "sums": self._sums[: 2 * symbols].copy(),
            "pages": self._pages.copy(),
            "kept": self._kept[:, : 2 * symbols].copy(),
            "known": self._known[:, :symbols].astype(np.uint8),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state; whatever was there is forgotten."""
        symbols = state["known"].shape[1]
        self._waiting, self._rows_waiting, self._turn = [], 0, 0
        self._begin(max(symbols, _SYMBOLS_FIRST))
        self._sums[: 2 * symbols] = state["sums"]
        self._pages[:] = state["pages"]
        self._kept[:, : 2 * symbols] = state["kept"]
        self._known[:, :symbols] = state["known"] != 0

    def _grow(self, symbols: int) -> None:
        sums, turns, pages, kept, known = (
            self._sums, self._turns, self._pages, self._kept, self._known,
        )  # fmt: skip
        self._begin(symbols)
        self._sums[: len(sums)], self._turns[: len(turns)], self._pages[:] = sums, turns, pages
        self._kept[:, : len(sums)], self._known[:, : known.shape[1]] = kept, known


def _pieces(books: Batch | None) -> tuple[Block, Block] | None:
    """Block and levels of a batch as the kernels take them; None where it has no row."""
    if books is None or not len(books):
        return None
    assert books.levels is not None, "books travel with their levels"
    return np.ascontiguousarray(books.block), np.ascontiguousarray(books.levels)
