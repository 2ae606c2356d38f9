"""One-minute bars made again from their trades alone: for backfills and repairs.

A bar follows from its own trades and nothing else, so the same bar comes of any range that is
asked for: trades count by (ts, seq), and the tick rule signs them among themselves, as if the first
of them were its ticker's first. Sums and prices are those of the builder (broken.py, emit.py).
"""

import numpy as np
from numba import njit

from bursa.bars import state as s
from bursa.bars.broken import put, summed
from bursa.bars.emit import write
from bursa.bars.state import KERNEL
from bursa.model.batch import Batch, Block, Span
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import OHLCV, TICKS
from bursa.model.venue import Venue

_T_TICKER, _T_TS = (TICKS.index[k] for k in ("ticker", "ts"))
_B_TICKER, _B_NTH = (OHLCV.index[k] for k in ("ticker", "nth"))


@njit(**KERNEL)
def _finish(slots: Block, state: Block, ticker: int, opened: int, out: Block, row: int) -> int:
    """Write the slot as a final bar, where it holds a trade, and clear it; the next row."""
    if slots[0, s.S_TRADES] > 0:
        numbers, bits = out.view(np.float64), slots.view(np.float64)
        write(slots, bits, 0, state, opened, (1, 0), (s.NEVER, 0), out, numbers, row)
        out[_B_TICKER, row], out[_B_NTH, row] = ticker, 0
        row += 1
    slots[0] = 0
    return row


@njit(**KERNEL)
def _again(
    trades: Block, order: Block, slots: Block, known: Block, state: Block, out: Block
) -> int:
    """Bars of the trades in `order`, those of one ticker and minute side by side; how many."""
    row, ticker, opened = 0, -1, 0
    for at in order:
        here = trades[_T_TS, at] - trades[_T_TS, at] % MINUTE_NS
        if trades[_T_TICKER, at] != ticker or here != opened:
            row = _finish(slots, state, ticker, opened, out, row)
            ticker, opened = trades[_T_TICKER, at], here
            known.view(np.float64)[s.LAST_PRICE] = np.nan
            known[s.LAST_SIGN] = 0
        small, volume, value = summed(trades, at, slots, 0, state)
        if small:
            put(trades, at, slots, 0, (volume, value), known, 0)
    return _finish(slots, state, ticker, opened, out, row)


def bars_again(trades: Batch, venue: Venue) -> Batch:
    """Final bars, rev 0, ascending by (ticker id, ts), of trades on the venue's bar board. Their
    books are not known, `source` is null; known_at and ts_recv are those of the newest trade."""
    ours = trades.block[TICKS.index["board"]] == venue.boards.index(venue.bar_board)
    of = np.flatnonzero(ours)
    ticker, ts, seq, number = (
        trades.column(name)[of] for name in ("ticker", "ts", "seq", "trade_no")
    )
    order = of[np.lexsort((number, seq, ts, ticker))]
    state = np.zeros(s.STATE, np.int64)
    state[s.R_VOLUME] = 10**venue.volume_decimals
    state[s.R_VALUE] = 10**venue.value_decimals
    out = np.empty((len(OHLCV.columns), _bars(trades.block, order)), np.int64)
    block = np.ascontiguousarray(trades.block)
    slots, known = np.zeros((1, int(s.SLOT)), np.int64), np.zeros(int(s.LAST), np.int64)
    rows = _again(block, order, slots, known, state, out)
    span = Span(trades.span.source, trades.span.epoch, 0, trades.span.last)
    return Batch(OHLCV, out[:, :rows].copy(), trades.words, span)


def _bars(trades: Block, order: Block) -> int:
    """How many tickers and minutes the trades in `order` are of."""
    if not len(order):
        return 0
    ticker, minute = trades[_T_TICKER, order], trades[_T_TS, order] // MINUTE_NS
    return 1 + int(((ticker[1:] != ticker[:-1]) | (minute[1:] != minute[:-1])).sum())
