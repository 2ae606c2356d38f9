"""One-minute bars from a tape of trades, by watermark.

The rules, row by row in stream order (a cut of the input changes nothing):

- Each `ticks` channel has a watermark, the newest ts of its trades, marks and ends of session, in
  whole seconds. A channel counts from its first row or its CHANNEL_UP until its CHANNEL_DOWN. The
  effective watermark is the minimum over those that count, and never goes back.
- The bar [t, t + 60 s) closes when the watermark reaches t + 60 s + the venue's grace; or when all
  channels that count have ended a session at or after t.
- A closed bar can be revised until the watermark passes that point by REVISABLE_S: a late trade
  changes it (or makes it), and it is emitted again, rev + 1, when the watermark next moves. Later
  trades are counted `late_ticks` and make no bar.
- What one row causes leaves in this order: revisions, then closing bars, each by (minute, symbol
  id); behind each closed minute's last bar stands one marker. All of it bears that row's receive
  time as known_at, and its position.
- `nth` is the order in which bars leave: the second, since 1970, of the watermark with which they
  do, times 2**30, and their place among those of that second. Within one position it tells the
  order, and it is the same in whatever records the rows came.
- At FILE_END the bars still open are emitted with final = 0 (after the revisions that wait), those
  that did not change since the last time excepted; no markers. A stop emits nothing.
- Open and close go by (ts, seq). Volume and value are summed as int64 in units of the venue's
  decimals (a trade's value is rounded once, half to even) and divided once, on output.
- `delta` is what aggressors bought less what they sold. A trade whose aggressor is not told is
  signed by the tick rule: above the symbol's last price bought, below it sold, at it as the last
  one was; before there is a price, not at all. The last trade is the last in stream order that went
  into a bar, a late one too. What the rule signed is summed in `ruled`.
- Trades of boards other than the venue's bar board form no bars. A trade too large to be summed
  is counted `range_ticks`; one that would need more than PAGES_MAX minutes to be held at once,
  because a channel that counts hangs that far behind, `ahead_ticks`. Neither enters a bar.
- BROKEN empties its minute's bar of its symbol, and the AGAIN rows behind it fill that anew. An
  open bar just changes; a closed one waits for a revision like any other, which is made only if it
  then says something else than before. A bar with no trade left keeps its prices, with 0 trades,
  volume and value. The tick rule signs AGAIN rows as if theirs were the symbol's first trades, and
  what it knows of later ones stays. Past REVISABLE_S a break is counted `late_breaks` and changes
  nothing. Neither row moves a watermark, and AGAIN is counted nowhere: its trade was.

The arrays are told in state.py; the compiled passes over them are kernel.py and emit.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bursa.bars import emit, kernel
from bursa.bars import state as s
from bursa.model.batch import TAPE_ROWS, Batch, Block, Span, Words
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.schema import OHLCV
from bursa.model.venue import Venue

REVISABLE_S = 480
PAGES_MAX = 2048

_SLOT = int(s.SLOT)
_PAGES_FIRST = 16  # the revisable minutes, the open ones and a few to spare
_SYMBOLS_FIRST = 256
# No power of two: columns that far apart would share their few lines of the cache.
_ROWS_FIRST = 1024 + 8
_ROWS_MANY = 16_384  # more than this at once are copied out piece by piece
_COUNTS = {
    "bar_ticks": s.D_TRADES,
    "revising_ticks": s.D_REVISING,
    "late_ticks": s.D_LATE,
    "ahead_ticks": s.D_AHEAD,
    "range_ticks": s.D_RANGE,
    "broken_ticks": s.D_BREAKS,
    "late_breaks": s.D_LATE_BREAKS,
}


@dataclass(frozen=True, slots=True)
class Built:
    """What one tape gave.

    closed    OHLCV rows in order of emission: new bars, revisions, and at a file's end open bars
    minutes   int64 (4, m), one column a closed minute with bars: its opening, the number of rows
              of `closed` before the marker, known_at, position
    touched   int64 (k,), ascending: symbols whose open bar changed
    counts    trades by what became of them, only those above zero: `bar_ticks` went into bars, of
              these `revising_ticks` into closed ones; `late_ticks`, `ahead_ticks` and
              `range_ticks` did not; `broken_ticks` were taken out again, `late_breaks` not
    """

    closed: Batch
    minutes: Block
    touched: Block
    counts: Mapping[str, int]


class BarBuilder:
    """The stage. Symbol ids of a tape are those of `words`, which must know them by then."""

    def __init__(self, venue: Venue, words: Words, pages_max: int = PAGES_MAX) -> None:
        self._words = words
        self._span = Span(venue.name, 0, 0, 0)
        close_ns = MINUTE_NS + venue.grace_s * SECOND_NS
        self._state = np.zeros(s.STATE, np.int64)
        self._state[[s.L_WATERMARK, s.L_CLOSED, s.L_FORGOTTEN]] = s.NEVER
        self._state[s.L_DUE] = s.ALWAYS
        self._state[s.R_BOARD] = venue.boards.index(venue.bar_board)
        self._state[s.R_CLOSE_NS] = close_ns
        self._state[s.R_FORGET_NS] = close_ns + REVISABLE_S * SECOND_NS
        self._state[s.R_VOLUME] = 10**venue.volume_decimals
        self._state[s.R_VALUE] = 10**venue.value_decimals
        self._state[s.R_SYMBOLS] = _SYMBOLS_FIRST
        self._state[s.R_PAGES_MAX] = pages_max
        self._channels = np.zeros((len(venue.channels), s.CHANNEL), np.int64)
        self._channels[:, s.C_TICKS] = [channel.ticks for channel in venue.channels]
        self._channels[:, [s.C_MARK, s.C_NEXT, s.C_ENDED]] = s.NEVER
        self._pages, self._slots = _no_pages(_PAGES_FIRST, _SYMBOLS_FIRST)
        self._known = _nothing_known(_SYMBOLS_FIRST)
        self._touched = np.zeros(_SYMBOLS_FIRST, np.uint8)
        self._make_room(_ROWS_FIRST)

    @property
    def watermark(self) -> int:
        """The effective watermark in whole seconds, ns UTC; 0 before any row."""
        return max(int(self._state[s.L_WATERMARK]), 0)

    @property
    def forgotten_ns(self) -> int:
        """Minutes that open at or before it are neither made nor revised any more, ns UTC; NEVER
        before any row."""
        return int(self._state[s.L_FORGOTTEN])

    def push(self, tape: Block, span: Span) -> Built:
        """Take the rows of one tape, int64 (TAPE_ROWS, n), derived from the journal's `span`."""
        self._span = span
        if len(self._words.symbols) > len(self._touched):
            self._grow_symbols(len(self._words.symbols))
        tape = np.ascontiguousarray(tape)
        rows: list[Block] = []
        markers: list[Block] = []
        counts = dict.fromkeys(_COUNTS, 0)
        start, emitted = 0, 0
        while True:
            start = kernel.build(
                tape, start, self._channels, self._slots, self._pages, self._state, self._known,
                self._touched, self._out, self._minutes,
            )  # fmt: skip
            done: list[int] = self._state.tolist()
            for name, at in _COUNTS.items():
                counts[name] += done[at]
            if done[s.D_ROWS]:
                rows.append(self._out[:, : done[s.D_ROWS]].copy())
            if done[s.D_MINUTES]:
                found = self._minutes[:, : done[s.D_MINUTES]].copy()
                found[1] += emitted
                markers.append(found)
            emitted += done[s.D_ROWS]
            if done[s.D_STOP] == s.END:
                break
            self._make_what_is_needed(done)
        touched = np.flatnonzero(self._touched)
        self._touched[touched] = 0
        block = _join(rows, len(OHLCV.columns))
        return Built(
            Batch(OHLCV, block, self._words, span),
            _join(markers, 4),
            touched,
            {k: v for k, v in counts.items() if v},
        )

    def open_bars(self, ids: NDArray[np.int64] | None = None) -> Batch:
        """The bars under way (all, or those of some symbols) as they stand, by (minute, order of
        `ids`): final = 0, rev as if emitted now, known_at the receive time of their newest trade.
        Shortly after a minute's end a symbol may have two."""
        if ids is None:
            ids = np.arange(len(self._words.symbols))
        ids = np.ascontiguousarray(ids[ids < len(self._touched)])
        out = np.empty((len(OHLCV.columns), len(ids) * (int(self._state[s.L_PAGES]) + 1)), np.int64)
        rows = emit.peek(self._slots, self._pages, ids, self._span.last, self._state, out)
        return Batch(OHLCV, out[:, :rows].copy(), self._words, self._span)

    def forget(self, opened_ns: int) -> None:
        """Make no bars of minutes that open at or before this: their trades are late ones."""
        self._state[[s.L_CLOSED, s.L_FORGOTTEN]] = opened_ns

    def warm(self) -> None:
        """Compile all that a running builder calls."""
        self.push(np.zeros((TAPE_ROWS, 0), np.int64), self._span)
        self.open_bars(np.zeros(0, np.int64))

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint."""
        used = np.flatnonzero(self._pages[:, s.P_START] != s.NEVER)
        symbols = min(len(self._words.symbols), len(self._touched))
        slots = self._slots.reshape(len(self._pages), -1, _SLOT)
        return {
            "levels": self._state[: s.LEVELS].copy(),
            "channels": self._channels.copy(),
            "pages": self._pages[used],
            "slots": slots[used, :symbols],
            "known": self._known[: s.LAST * symbols].copy(),
            "span": np.array([self._span.epoch, self._span.first, self._span.last], np.int64),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state; whatever was there is forgotten."""
        pages, slots = state["pages"], state["slots"]
        self._state[: s.LEVELS] = state["levels"]
        self._channels[:] = state["channels"]
        self._pages, self._slots = _no_pages(
            max(_PAGES_FIRST, len(pages)), max(_SYMBOLS_FIRST, slots.shape[1])
        )
        self._pages[: len(pages)] = pages
        view = self._slots.reshape(len(self._pages), -1, _SLOT)
        view[: len(pages), : slots.shape[1]] = slots
        self._state[s.R_SYMBOLS] = view.shape[1]
        self._touched = np.zeros(view.shape[1], np.uint8)
        self._known = _nothing_known(view.shape[1])
        self._known[: len(state["known"])] = state["known"]
        self._span = Span(self._span.source, *state["span"].tolist())

    def _make_what_is_needed(self, done: list[int]) -> None:
        if done[s.D_STOP] == s.NEED_ROOM:
            rows = self._out.shape[1]
            if rows < max(done[s.D_ROOM], _ROWS_MANY):
                self._make_room(max(2 * done[s.D_ROOM], 2 * rows))
        else:
            self._reshape(2 * len(self._pages), len(self._touched))

    def _make_room(self, rows: int) -> None:
        self._out = np.empty((len(OHLCV.columns), rows), np.int64)
        self._minutes = np.empty((4, rows), np.int64)

    def _grow_symbols(self, symbols: int) -> None:
        self._reshape(len(self._pages), max(2 * len(self._touched), symbols))
        self._state[s.R_SYMBOLS] = len(self._touched)

    def _reshape(self, pages: int, symbols: int) -> None:
        old_pages, old_slots = self._pages, self._slots
        self._pages, self._slots = _no_pages(pages, symbols)
        self._pages[: len(old_pages)] = old_pages
        old = old_slots.reshape(len(old_pages), -1, _SLOT)
        self._slots.reshape(pages, symbols, _SLOT)[: old.shape[0], : old.shape[1]] = old
        more = symbols - len(self._touched)
        self._touched = np.concatenate((self._touched, np.zeros(more, np.uint8)))
        self._known = np.concatenate((self._known, _nothing_known(more)))


def _no_pages(pages: int, symbols: int) -> tuple[Block, Block]:
    """Free pages, and their empty slots on cache lines."""
    table = np.zeros((pages, s.PAGE), np.int64)
    table[:, s.P_START] = s.NEVER
    line = 64
    raw = np.zeros(pages * symbols * _SLOT + line // 8, np.int64)
    skip = -raw.ctypes.data % line // 8
    return table, raw[skip : skip + pages * symbols * _SLOT].reshape(-1, _SLOT)


def _nothing_known(symbols: int) -> Block:
    known = np.zeros(s.LAST * symbols, np.int64)
    known.view(np.float64)[s.LAST_PRICE :: s.LAST] = np.nan
    return known


def _join(blocks: list[Block], rows: int) -> Block:
    if not blocks:
        return np.empty((rows, 0), np.int64)
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
