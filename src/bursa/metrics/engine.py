"""All metrics of a venue over its closed bars: one compiled call a batch.

Bars come in order of emission, revisions among them, and so leave the rows of metrics: one for each
new bar; for a revised or late bar the symbol is run again from that bar on, and each bar whose
metrics differ then gives a row with rev + 1 (a late bar its first). A row bears known_at and the
position of the bar row that caused it, and ts_recv of its own bar. Rows are always whole.

To be run again, a symbol keeps a *tail*: its newest bars with the state after each, at least as
many as can still be revised. A batch is first laid out as a list of steps, which each metric then
takes in one go (metric.py), and which then become rows: so a cut of the input changes nothing, and
no metric knows of revisions.

`compute` is the same over any bars from cold, for one metric and any timeframe that it allows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bursa.metrics import kernel as k
from bursa.metrics.catalog import CATALOGUE, FAMILIES, METRICS, find
from bursa.metrics.metric import BAR_FIELDS, Metric
from bursa.model.batch import Batch, Block, Words, empty
from bursa.model.calendar import DAY_NS, SECOND_NS, Calendar
from bursa.model.schema import FREQS, OHLCV
from bursa.model.venue import Venue

# How far behind the newest closed bar one can be revised: bars/build.py's rule.
REVISABLE_S = 480

_BAR_S = 60
_SYMBOLS_FIRST = 256
_DEPTH_FIRST = 16  # bars; a power of two
# No power of two: columns that far apart would share their few lines of the cache.
_STEPS_FIRST = 2048 + 8


class MetricEngine:
    """The stage. Takes 1-minute bars whose symbol ids are those of `words`."""

    def __init__(self, venue: Venue, words: Words) -> None:
        self._words = words
        reach_ns = (_BAR_S + venue.grace_s + REVISABLE_S) * SECOND_NS
        self._tails = _Tails(tuple(CATALOGUE.values()), venue, reach_ns)

    def push(self, closed: Batch) -> Batch:
        """Bars in order of emission in, rows of metrics out, with the same span."""
        if not len(closed):
            return empty(METRICS, closed.words, closed.span)
        self._tails.hold(len(self._words.symbols))
        return replace(closed, kind=METRICS, block=self._tails.push(closed.block))

    def warm(self) -> None:
        """Compile all that a running engine calls."""
        none = np.zeros((len(OHLCV.columns), 0), np.int64)
        self._tails.push(none)

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return self._tails.snapshot(len(self._words.symbols))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state; whatever was there is forgotten."""
        self._tails.restore(state)


def compute(metric: str, bars: Batch, venue: Venue) -> Batch:
    """One metric over bars of one timeframe, from cold: a row a bar, rev 0, other metrics null.

    bars   OHLCV, any symbols, each ascending and unique by ts
    Refuse `unknown_metric`, `timeframe_not_allowed`.
    """
    if not len(bars):
        return replace(bars, kind=METRICS, block=np.empty((len(METRICS.columns), 0), np.int64))
    freqs = np.unique(bars.column("freq"))
    assert len(freqs) == 1, "bars of one timeframe"
    found = find(metric, FREQS[freqs[0]])
    block = bars.block.copy()
    symbols, block[OHLCV.index["ticker"]] = np.unique(bars.column("ticker"), return_inverse=True)
    tails = _Tails((found,), venue, reach_ns=None, symbols=len(symbols), depth=2)
    rows = tails.push(block)
    rows[METRICS.index["ticker"]] = symbols[rows[METRICS.index["ticker"]]]
    return replace(bars, kind=METRICS, block=rows)


class _Tails:
    """The arrays of some metrics' engine, and the loop around its kernel.

    reach_ns   how far behind the newest final bar one can be revised; None: none can
    """

    def __init__(
        self,
        metrics: Sequence[Metric],
        venue: Venue,
        reach_ns: int | None,
        symbols: int = _SYMBOLS_FIRST,
        depth: int = _DEPTH_FIRST,
    ) -> None:
        self._calendar = venue.calendar
        self._plan, self._arguments, self._width = _plan(metrics, venue)
        self._levels = np.zeros(k.LEVELS, np.int64)
        self._levels[k.L_REACH] = -(2**62) if reach_ns is None else reach_ns
        self._head, self._order, self._entries, self._states = self._empty(symbols, depth)
        self._make_room(max(_STEPS_FIRST, 2 * depth))

    def push(self, block: Block) -> Block:
        """Rows of OHLCV in, rows of METRICS out."""
        block = np.ascontiguousarray(block)
        clock = _clock(block[OHLCV.index["ts"]], self._calendar)
        found = []
        row = 0
        while True:
            row = k.run(
                block, clock, row, self._plan, self._arguments, self._head, self._order,
                self._entries, self._states, self._steps, self._bars, self._outputs, self._out,
                self._levels,
            )  # fmt: skip
            found.append(self._out[:, : self._levels[k.L_ROWS]].copy())
            stop = self._levels[k.L_STOP]
            if stop == k.END:
                return found[0] if len(found) == 1 else np.concatenate(found, axis=1)
            assert stop != k.TOO_OLD, "a bar from further back than bars can be revised"
            if stop == k.NEED_DEPTH:
                self._reshape(len(self._head), 2 * self._order.shape[1])

    def hold(self, symbols: int) -> None:
        """Have room for so many symbols."""
        if symbols > len(self._head):
            self._reshape(max(symbols, 2 * len(self._head)), self._order.shape[1])

    def snapshot(self, symbols: int) -> dict[str, Any]:
        """The state of the first `symbols`."""
        symbols = min(symbols, len(self._head))
        rows = symbols * self._order.shape[1]
        return {
            "newest": int(self._levels[k.L_NEWEST]),
            "head": self._head[:symbols].copy(),
            "order": self._order[:symbols].copy(),
            "entries": self._entries[:rows].copy(),
            "states": self._states[: rows + 1].copy(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take such a state."""
        order: Block = state["order"]
        symbols, depth = order.shape
        rows = symbols * depth
        self._head, self._order, self._entries, self._states = self._empty(
            max(symbols, _SYMBOLS_FIRST), depth
        )
        self._make_room(max(_STEPS_FIRST, 2 * depth))
        self._levels[k.L_NEWEST] = state["newest"]
        self._head[:symbols] = state["head"]
        self._order[:symbols] = order
        self._entries[:rows] = state["entries"]
        self._states[: rows + 1] = state["states"]

    def _empty(self, symbols: int, depth: int) -> tuple[Block, Block, Block, Any]:
        return (
            np.zeros((symbols, k.HEAD), np.int64),
            np.tile(np.arange(depth), (symbols, 1)),
            np.zeros((symbols * depth, k.ENTRY), np.int64),
            np.zeros((1 + symbols * depth, self._width), np.float64),
        )

    def _make_room(self, steps: int) -> None:
        self._steps = np.zeros((k.STEP_FIELDS, steps), np.int64)
        self._bars = np.zeros((BAR_FIELDS, steps), np.float64)
        self._outputs = np.full((k.OUTPUTS, steps), np.nan)
        self._out = np.zeros((len(METRICS.columns), steps), np.int64)

    def _reshape(self, symbols: int, depth: int) -> None:
        """More symbols, or a deeper tail for each. Entries keep their numbers within the symbol;
        a ring that grows is unrolled."""
        head, order, entries, states = self._head, self._order, self._entries, self._states
        old_symbols, old_depth = order.shape
        self._head, self._order, self._entries, self._states = self._empty(symbols, depth)
        turned = (head[:, :1] + np.arange(old_depth)) % old_depth
        self._head[:old_symbols] = head
        self._head[:old_symbols, k.H_START] = 0
        self._order[:old_symbols, :old_depth] = np.take_along_axis(order, turned, axis=1)
        old = entries.reshape(old_symbols, old_depth, -1)
        self._entries.reshape(symbols, depth, -1)[:old_symbols, :old_depth] = old
        old_states = states[1:].reshape(old_symbols, old_depth, -1)
        self._states[1:].reshape(symbols, depth, -1)[:old_symbols, :old_depth] = old_states
        self._make_room(max(_STEPS_FIRST, 2 * depth))


def _plan(metrics: Sequence[Metric], venue: Venue) -> tuple[Block, Any, int]:
    """The kernel's plan and arguments for the metrics that the venue has, and the fields of state
    that they need."""
    columns = [column.name for column in METRICS.columns[k.FIRST_OUTPUT :]]
    plan: list[tuple[int, int, int, int]] = []
    numbers: list[float] = []
    width = 0
    for family, members in enumerate(FAMILIES):
        for metric in members:
            arguments = metric.arguments(venue)
            if metric in metrics and arguments is not None:
                output = columns.index(metric.columns[0].name)
                plan.append((family, width, len(numbers), output))
                numbers += arguments
                width += metric.fields
    return np.array(plan, np.int64).reshape(-1, 4), np.array(numbers), width


def _clock(ts: Block, calendar: Calendar) -> Block:
    """int64 (2, n): the venue's date as days since 1970, and the second of its day."""
    local = ts + calendar.offsets_ns(ts)
    return np.stack((local // DAY_NS, local % DAY_NS // SECOND_NS))
