"""Bars that the line left as they were though the journal has more of them: trades, or breaks of
trades, that came too late.

`Late` looks on while a line derives, and notes the bars that what came late is of. `LastBars` goes
over the same records once more and gives the newest revision of some bars alone, and of late ones
the bar that all their trades make (bars/again.py). It holds these trades in memory, TRADES_MAX of
them; bars for which there is no room are left for another turn. Pure.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bursa.bars.again import bars_again
from bursa.bars.build import Built
from bursa.jobs.entry import match, newest
from bursa.model.batch import BROKEN, TAPE_ROLE, TRADE, Batch, Block, Span
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import OHLCV, TICKS
from bursa.pipeline.line import Line
from bursa.wire.decoded import Decoded

Bar = tuple[str, int]
"""A ticker and the opening of a minute, ns UTC."""

TRADES_MAX = 1 << 20
_TICKER, _TS, _BOARD, _TRADE_NO = (
    TICKS.index[name] for name in ("ticker", "ts", "board", "trade_no")
)
_MINUTE_BITS = 28
# What a bar has none of once its last trade was taken back.
_EMPTIED = ("volume", "value", "delta", "ruled")


class Late:
    """The bars with start <= ts < end that something came too late for."""

    def __init__(self, line: Line, start_ns: int, end_ns: int) -> None:
        self.bars: set[Bar] = set()
        self._line, self._start_ns, self._end_ns = line, start_ns, end_ns
        self._board = line.venue.boards.index(line.venue.bar_board)

    def watch(self, decoded: Decoded, built: Built) -> None:
        """As Line.watch. Bars of trades that were just in time are noted with those of the same
        records that were not: they come out as they were."""
        if not (built.counts.get("late_ticks") or built.counts.get("late_breaks")):
            return
        tape, minute = decoded.tape, decoded.tape[_TS] - decoded.tape[_TS] % MINUTE_NS
        role = tape[TAPE_ROLE]
        late = ((role == TRADE) | (role == BROKEN)) & (tape[_BOARD] == self._board)
        late &= (minute <= self._line.forgotten_ns) & (minute >= self._start_ns)
        late &= minute < self._end_ns
        symbols = self._line.words.symbols
        pairs = zip(tape[_TICKER, late].tolist(), minute[late].tolist(), strict=True)
        self.bars |= {(symbols[ticker], opened) for ticker, opened in pairs}


class LastBars:
    """The newest of some bars, `doubtful` as the line made them, `late` of all their trades."""

    def __init__(self, line: Line, doubtful: Collection[Bar], late: Collection[Bar]) -> None:
        self.left: list[Bar] = []
        self._line = line
        self._doubtful, self._late = set(doubtful), sorted(late)
        self._board = line.venue.boards.index(line.venue.bar_board)
        self._held: list[Block] = []
        self._trades: list[Block] = []
        self._broken: list[Block] = []
        self._count = 0
        self._known = -1
        self._learn()

    def _learn(self) -> None:
        """Follow the line's dictionary: it grows."""
        if self._known != len(self._line.words.symbols):
            self._known = len(self._line.words.symbols)
            self._late_keys = self._keys(self._late)
            self._wanted = self._keys(self._doubtful | set(self._late))

    def _keys(self, bars: Collection[Bar]) -> Block:
        find = self._line.words.find_symbol
        ids = {ticker: find(ticker) for ticker in {ticker for ticker, _ in bars}}
        found = [_key(ids[ticker], ts) for ticker, ts in bars if ids[ticker] >= 0]
        return np.array(sorted(found), np.int64)

    def take(self, decoded: Decoded, built: Built) -> None:
        """What the line's first stages gave of the next records."""
        self._learn()
        closed = built.closed
        if len(closed):
            rows = np.isin(_key(closed.column("ticker"), closed.column("ts")), self._wanted)
            self._held.append(closed.block[:, rows])
        tape = decoded.tape
        if not len(self._late_keys) or not tape.shape[1]:
            return
        ours = (tape[_BOARD] == self._board) & np.isin(
            _key(tape[_TICKER], tape[_TS]), self._late_keys
        )
        for role, to in ((TRADE, self._trades), (BROKEN, self._broken)):
            found = tape[: len(TICKS.columns), ours & (tape[TAPE_ROLE] == role)]
            if found.shape[1]:
                to.append(found)
                self._count += found.shape[1]
        if self._count > TRADES_MAX and len(self._late) > 1:
            self._leave_half()

    def _leave_half(self) -> None:
        """Give up what the second half of the late bars has in memory."""
        half = len(self._late) // 2
        self.left += self._late[half:]
        self._doubtful -= set(self._late[half:])
        self._late, self._known = self._late[:half], -1
        self._learn()
        for of in (self._trades, self._broken):
            of[:] = [b[:, np.isin(_key(b[_TICKER], b[_TS]), self._late_keys)] for b in of]
        self._count = sum(block.shape[1] for block in self._trades + self._broken)

    def bars(self) -> Batch:
        """The bars, unique by (ticker, ts), with the line's words; rev and what tells of their
        arrival are nobody's."""
        line = self._line
        span = Span(line.venue.name, 0, 0, 0)
        block = _joined(self._held, len(OHLCV.columns))
        made = newest(Batch(OHLCV, block, line.words, span))
        keys = _key(made.column("ticker"), made.column("ts"))
        made = _part(made, np.isin(keys, self._wanted))  # less those that were left since
        trades = Batch(TICKS, self._standing(), line.words, span)
        again = bars_again(trades, line.venue)
        place = match(again, made)
        both = np.flatnonzero(place >= 0)
        for name in ("bid_volume", "ask_volume"):
            again.column(name)[both] = made.column(name)[place[both]]
        same = np.zeros(len(again), np.bool_)
        same[both] = np.all(
            [again.column(n)[both] == made.column(n)[place[both]] for n in ("trades", "volume")],
            axis=0,
        )
        late = np.isin(_key(made.column("ticker"), made.column("ts")), self._late_keys)
        told_again = np.zeros(len(made), np.bool_)
        told_again[place[both]] = True
        void = np.flatnonzero(late & ~told_again & (made.column("trades") > 0))
        made.column("trades")[void] = 0
        for name in _EMPTIED:
            made.column(name)[void] = 0.0
        made.column("vwap")[void] = np.nan
        told_again[place[np.flatnonzero(same)]] = False
        parts = [_part(made, ~told_again).block, _part(again, ~same).block]
        return replace(made, block=np.concatenate(parts, axis=1))

    def _standing(self) -> Block:
        """The late bars' trades, less those that were taken back."""
        trades = _joined(self._trades, len(TICKS.columns))
        broken = _joined(self._broken, len(TICKS.columns))
        if not broken.shape[1]:
            return trades
        gone = set(zip(*(broken[at].tolist() for at in (_TICKER, _TS, _TRADE_NO)), strict=True))
        named = zip(*(trades[at].tolist() for at in (_TICKER, _TS, _TRADE_NO)), strict=True)
        return np.ascontiguousarray(trades[:, [one not in gone for one in named]])


def _key(ticker: Block | int, ts: Block | int) -> Block:
    """One number for a ticker's id and a minute."""
    return np.asarray(np.int64(ticker) << _MINUTE_BITS | ts // MINUTE_NS)


def _joined(blocks: Collection[Block], columns: int) -> Block:
    return np.concatenate([np.empty((columns, 0), np.int64), *blocks], axis=1)


def _part(rows: Batch, which: NDArray[np.bool_]) -> Batch:
    return replace(rows, block=np.ascontiguousarray(rows.block[:, which]))
