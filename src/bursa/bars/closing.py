"""How much the book offered when a bar's minute was over: `bid_volume`, `ask_volume` of OHLCV.

Each is the sum of the first LEVELS levels of one side of the bar board's book at the minute's end
by event time: of the side's last message (in stream order) with a ts before it, among those that
came by the record with which the bar closed. So it does not matter how books and trades lie beside
each other in the stream, as long as the books are not behind by more than the venue's grace, nor
ahead by more than PAGES minutes; and records are never cut, so any cut of them gives the same. It
is null where that side was never told. A bar that is revised later keeps what its first close said;
one that a file's end shows as not final has what is known then.

How many minutes one record spans does not matter. A venue whose codec keeps the books itself
(wire/itch50/decoder.py) hands out sums instead of messages.
Of the bars under way the books are not told (build.py: null).
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
# So much may wait to be summed.
ROWS_WAITING_MAX, BATCHES_WAITING_MAX = 16_384, 1024
# The newest minutes are remembered, so many: no bar of another can be revised any more.
PAGES = 16
# Of the record that closed a bar, messages up to so far past its opening are looked at.
AHEAD_NS = 5 * MINUTE_NS
_SYMBOLS_FIRST = 256

_B_TICKER, _B_TS, _B_FINAL, _B_POSITION, _B_BIDS, _B_ASKS = (
    OHLCV.index[k] for k in ("ticker", "ts", "final", "position", "bid_volume", "ask_volume")
)
_O_TICKER, _O_BOARD, _O_TS, _O_SIDE, _O_DEPTH, _O_POSITION = (
    ORDERBOOK.index[k] for k in ("ticker", "board", "ts", "side", "depth", "position")
)
_O_VOLUMES = [column.name for column in ORDERBOOK.lists].index("volumes")
_BID, _ASK = SIDES.index("bid"), SIDES.index("ask")
# Rows of sums that are handed out (wire/decoded.py).
_S_SYMBOL, _S_SIDES, _S_TS, _S_POSITION = 0, 1, 3, 4
_KERNEL = {"nogil": True, "cache": True}
_NONE = -1
_MINUTE_BITS = 28  # a minute of an int64 in ns

Floats = NDArray[np.float64]


@njit(**_KERNEL)
def _note(minutes: Block, sums: Floats, side: int, minute: int, total: float) -> None:
    """A side's newest sum. minutes int64, sums float64 (sides, PAGES + 1): of each of the newest
    minutes with a message the last sum; in the last place, the newest of those before."""
    page = minute % PAGES
    held = minutes[side, page]
    if minute > held:
        if held > minutes[side, PAGES]:
            minutes[side, PAGES], sums[side, PAGES] = held, sums[side, page]
        minutes[side, page], sums[side, page] = minute, total
    elif minute == held:
        sums[side, page] = total
    elif minute >= minutes[side, PAGES]:
        minutes[side, PAGES], sums[side, PAGES] = minute, total


@njit(**_KERNEL)
def _at(minutes: Block, sums: Floats, side: int, minute: int) -> float:
    """What a side held at the end of a minute; NaN: unknown."""
    newest, found = _NONE, np.nan
    for page in range(PAGES + 1):
        if newest < minutes[side, page] <= minute:
            newest, found = minutes[side, page], sums[side, page]
    return found


@njit(**_KERNEL)
def _reach(block: Block, start: tuple[int, int], upto: tuple[int, int]) -> tuple[int, int]:
    """The first row that came after a position, or by it with a ts past another, and where its
    levels begin. start: the row to look from, and where its levels do; upto: both."""
    row, at = start
    while row < block.shape[1] and block[_O_POSITION, row] <= upto[0]:
        if block[_O_POSITION, row] == upto[0] and block[_O_TS, row] > upto[1]:
            break
        at += block[_O_DEPTH, row]
        row += 1
    return row, at


@njit(**_KERNEL)
def _sum(
    block: Block, levels: Block, part: tuple[int, int, int, int], of: tuple[int, float],
    need: Block, later: Block, minutes: Block, sums: Floats,
) -> None:  # fmt: skip
    """Note the messages of a part of a batch: the first row, the one behind the last, where the
    levels of that one begin, and a number of its own. One that the side's next message, of the same
    minute, overtakes is passed over: nearly all are. of: the board, and the units of volume in one,
    so that sums are exact. need int64 (2, rows), later int64 (sides,): of use here alone."""
    (first, end, at, number), (board, units) = part, of
    volumes, needed = levels.view(np.float64), 0
    start = minute = 0
    marked = number << _MINUTE_BITS
    for row in range(end - 1, first - 1, -1):
        at -= block[_O_DEPTH, row]
        ts = block[_O_TS, row]
        if not start <= ts < start + MINUTE_NS:
            minute = ts // MINUTE_NS
            start, marked = minute * MINUTE_NS, number << _MINUTE_BITS | minute
        side = 2 * block[_O_TICKER, row] + block[_O_SIDE, row]
        if block[_O_BOARD, row] == board and later[side] != marked:
            later[side] = marked
            need[0, needed], need[1, needed] = row, at
            needed += 1
    for nth in range(needed - 1, -1, -1):
        row, at, total = need[0, nth], need[1, nth], 0.0
        for level in range(at, at + min(block[_O_DEPTH, row], LEVELS)):
            total += np.rint(volumes[_O_VOLUMES, level] * units)
        side = 2 * block[_O_TICKER, row] + block[_O_SIDE, row]
        _note(minutes, sums, side, block[_O_TS, row] // MINUTE_NS, total / units)


@njit(**_KERNEL)
def _hear(handed: Block, start: int, upto: tuple[int, int], minutes: Block, sums: Floats) -> int:
    """Note handed out sums as `_reach` counts messages; the first behind is returned."""
    told, row = handed.view(np.float64), start
    while row < handed.shape[1] and handed[_S_POSITION, row] <= upto[0]:
        if handed[_S_POSITION, row] == upto[0] and handed[_S_TS, row] > upto[1]:
            break
        minute = handed[_S_TS, row] // MINUTE_NS
        for side in range(2):
            which = 2 * handed[_S_SYMBOL, row] + side
            _note(minutes, sums, which, minute, told[_S_SIDES + side, row])
        row += 1
    return row


@njit(**_KERNEL)
def _fill(
    closed: Block, start: int, minutes: Block, sums: Floats, pages: Block, kept: Floats,
    known: NDArray[np.bool_],
) -> int:  # fmt: skip
    """Write both columns of the bars from `start` on that have one position and are of no later
    minute than the first; the first of another is returned. Of final ones the first close is
    remembered: pages int64 (PAGES,), the minute of each; kept float64 (PAGES, sides); known bool
    (PAGES, symbols)."""
    out = closed.view(np.float64)
    position, row = closed[_B_POSITION, start], start
    newest = closed[_B_TS, start]
    while (
        row < closed.shape[1]
        and closed[_B_POSITION, row] == position
        and closed[_B_TS, row] <= newest
    ):
        symbol, minute = closed[_B_TICKER, row], closed[_B_TS, row] // MINUTE_NS
        page, final = minute % PAGES, closed[_B_FINAL, row] == 1
        if final and minute > pages[page]:
            pages[page] = minute
            known[page] = False
        if final and minute == pages[page] and known[page, symbol]:
            bids, asks = kept[page, 2 * symbol + _BID], kept[page, 2 * symbol + _ASK]
        else:
            bids = _at(minutes, sums, 2 * symbol + _BID, minute)
            asks = _at(minutes, sums, 2 * symbol + _ASK, minute)
        if final and minute == pages[page]:
            known[page, symbol] = True
            kept[page, 2 * symbol + _BID], kept[page, 2 * symbol + _ASK] = bids, asks
        out[_B_BIDS, row], out[_B_ASKS, row] = bids, asks
        row += 1
    return row


class ClosingBooks:
    """The stage, of one venue. Symbol ids are those of `words`, which must know them by then."""

    def __init__(self, venue: Venue, words: Words) -> None:
        revisable_s = 60 + venue.grace_s + REVISABLE_S
        assert revisable_s < 60 * (PAGES - 1), "each minute that can be revised has its page"
        self._words = words
        self._of = venue.boards.index(venue.bar_board), float(10**venue.volume_decimals)
        # Batches not looked at yet: many are summed in one go.
        self._waiting: list[tuple[Block, Block]] = []
        self._rows_waiting = self._number = 0
        self._need: Block = np.empty((2, ROWS_WAITING_MAX), np.int64)
        self._begin(_SYMBOLS_FIRST)

    def _begin(self, symbols: int) -> None:
        self._minutes: Block = np.full((2 * symbols, PAGES + 1), _NONE, np.int64)
        self._sums: Floats = np.full((2 * symbols, PAGES + 1), np.nan)
        self._pages: Block = np.full(PAGES, _NONE, np.int64)
        self._later: Block = np.zeros(2 * symbols, np.int64)
        self._kept: Floats = np.full((PAGES, 2 * symbols), np.nan)
        self._known = np.zeros((PAGES, symbols), np.bool_)

    def push(self, books: Batch | None, handed: Block, closed: Batch) -> None:
        """Write the two columns of `closed`, the rows that the builder just made of the same
        records (no other has seen them yet).

        books    ORDERBOOK rows of these records, in stream order; None: there are none
        handed   sums of these records that a codec handed out (wire/decoded.py)
        """
        if len(self._words.symbols) > self._known.shape[1]:
            self._grow(2 * len(self._words.symbols))
        pieces, block = _pieces(books), closed.block
        if block.shape[1]:
            self._settle()
        start, row, at, told = 0, 0, 0, 0
        while start < block.shape[1]:
            # Lest those of a record's many minutes push out what its bars need.
            upto = (int(block[_B_POSITION, start]), int(block[_B_TS, start]) + AHEAD_NS)
            if pieces is not None:
                end, behind = _reach(pieces[0], (row, at), upto)
                self._sum(*pieces, (row, end, behind))
                row, at = end, behind
            told = _hear(handed, told, upto, self._minutes, self._sums)
            start = _fill(
                block, start, self._minutes, self._sums, self._pages, self._kept, self._known
            )
        if handed.shape[1] > told:
            upto = (int(handed[_S_POSITION, -1]) + 1, 0)
            _hear(handed, told, upto, self._minutes, self._sums)
        if pieces is not None and row < pieces[0].shape[1]:
            left = (pieces[0][:, row:].copy(), pieces[1][:, at:].copy()) if row else pieces
            self._hold(*left)

    def _hold(self, block: Block, levels: Block) -> None:
        self._waiting.append((block, levels))
        self._rows_waiting += block.shape[1]
        if self._rows_waiting >= ROWS_WAITING_MAX or len(self._waiting) >= BATCHES_WAITING_MAX:
            self._settle()

    def _settle(self) -> None:
        """Sum what waits, in its order."""
        waiting, self._waiting, self._rows_waiting = self._waiting, [], 0
        for block, levels in waiting:
            self._sum(block, levels, (0, block.shape[1], levels.shape[1]))

    def _sum(self, block: Block, levels: Block, part: tuple[int, int, int]) -> None:
        if part[1] > part[0]:
            if part[1] - part[0] > self._need.shape[1]:
                self._need = np.empty((2, 2 * (part[1] - part[0])), np.int64)
            self._number += 1
            _sum(
                block, levels, (*part, self._number), self._of, self._need, self._later,
                self._minutes, self._sums,
            )  # fmt: skip

    def warm(self) -> None:
        """Compile all that `push` calls, without touching this stage's state."""
        minutes, sums = np.full((2, PAGES + 1), _NONE, np.int64), np.zeros((2, PAGES + 1))
        none = np.zeros((len(ORDERBOOK.scalars), 0), np.int64)
        _reach(none, (0, 0), (0, 0))
        levels, need = np.zeros((3, 0), np.int64), np.zeros((2, 0), np.int64)
        _sum(none, levels, (0, 0, 0, 0), self._of, need, np.zeros(2, np.int64), minutes, sums)
        _hear(np.zeros((5, 0), np.int64), 0, (0, 0), minutes, sums)
        bar = np.zeros((len(OHLCV.columns), 1), np.int64)
        _fill(bar, 0, minutes, sums, np.zeros(PAGES, np.int64), np.zeros((PAGES, 2)),
              np.zeros((PAGES, 1), np.bool_))  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint, copied."""
        self._settle()
        symbols = min(len(self._words.symbols), self._known.shape[1])
        return {
            "minutes": self._minutes[: 2 * symbols].copy(),
            "sums": self._sums[: 2 * symbols].copy(),
            "pages": self._pages.copy(),
            "kept": self._kept[:, : 2 * symbols].copy(),
            "known": self._known[:, :symbols].astype(np.uint8),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state; whatever was there is forgotten."""
        self._waiting, self._rows_waiting = [], 0
        self._begin(max(state["known"].shape[1], _SYMBOLS_FIRST))
        self._take(state)

    def _take(self, state: Mapping[str, Any]) -> None:
        sides = len(state["sums"])
        self._minutes[:sides], self._sums[:sides] = state["minutes"], state["sums"]
        self._pages[:] = state["pages"]
        self._kept[:, :sides] = state["kept"]
        self._known[:, : sides // 2] = state["known"] != 0

    def _grow(self, symbols: int) -> None:
        state = {
            "minutes": self._minutes, "sums": self._sums, "pages": self._pages,
            "kept": self._kept, "known": self._known,
        }  # fmt: skip
        self._begin(symbols)
        self._take(state)


def _pieces(books: Batch | None) -> tuple[Block, Block] | None:
    """Block and levels of a batch as the kernels take them; None where it has no row."""
    if books is None or not len(books):
        return None
    assert books.levels is not None, "books travel with their levels"
    return np.ascontiguousarray(books.block), np.ascontiguousarray(books.levels)
