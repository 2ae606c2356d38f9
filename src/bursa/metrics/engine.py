"""All metrics of a venue over its closed bars: one compiled call a batch.

Bars come in order of emission, revisions among them, and so leave the rows of metrics: one for each
new bar; for a revised or late bar the symbol is run again from that bar on, and each bar whose
metrics differ then gives a row with rev + 1 (a late bar its first). A row bears known_at and the
position of the bar row that caused it, and ts_recv of its own bar. Rows are always whole.

To be run again, a symbol keeps its newest bars and the state after some of them, at least as many
as can still be revised (kernel.py). A batch becomes a list of steps, which each metric takes in one
go, in an order by which its inputs are there, and which then become rows: so a cut of the input
changes nothing, and no metric knows of revisions.

`compute` is the same over any bars from cold, for some metrics and any timeframe that they allow.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from bursa.metrics import kernel as k
from bursa.metrics import state as saved
from bursa.metrics.catalog import STANDARD, Catalogue
from bursa.metrics.metric import BAR_INPUTS, PAST_FIELDS, Floats, Ints, Metric, Terms, terms_of
from bursa.model.batch import Batch, Block, Words, empty
from bursa.model.calendar import DAY_NS, SECOND_NS, Calendar
from bursa.model.errors import Refuse
from bursa.model.lasting import Lasting
from bursa.model.schema import FREQS, OHLCV
from bursa.model.venue import Gates, Venue
from bursa.ops.room import Room, aligned

# How far behind the newest closed bar one can be revised: bars/build.py's rule.
REVISABLE_S = 480

_BAR_S = 60
_SYMBOLS_FIRST = 256
_DEPTH_FIRST = 16  # bars; a power of two
# Bars of one symbol that one chunk can take beside those that metrics read back.
_AHEAD = 16
# After so many bars the room of `memory` is spared what they touched: five pages of a symbol a day.
_SPARED = 1 << 13


class MetricEngine:
    """The stage. Takes 1-minute bars whose symbol ids are those of `words`. With `names` it runs
    these metrics of the catalogue alone, and those that they read; the others are null. `room` is
    where its largest table lies, by far (memory)."""

    def __init__(
        self,
        venue: Venue,
        words: Words,
        catalogue: Catalogue = STANDARD,
        names: Iterable[str] | None = None,
        room: Room | None = None,
    ) -> None:
        self._venue, self._words = venue, words
        self.catalogue = catalogue
        reach_ns = (_BAR_S + venue.grace_s + REVISABLE_S) * SECOND_NS
        self._symbols = _Symbols(
            catalogue, catalogue.ordered(names), terms_of(venue), reach_ns, room
        )

    def push(self, closed: Batch) -> Batch:
        """Bars in order of emission in, rows of metrics out, with the same span. Refuse `bad_bars`
        for one that comes when it is too old to be revised: stored bars that were altered."""
        kind = self.catalogue.kind
        if not len(closed):
            return empty(kind, closed.words, closed.span)
        self._symbols.wake()
        self._symbols.hold(len(self._words.symbols))
        try:
            return replace(closed, kind=kind, block=self._symbols.push(closed.block))
        except _TooOld as old:
            symbol, ts, position = (
                int(closed.block[OHLCV.index[name], old.row])
                for name in ("ticker", "ts", "position")
            )
            what = f"the bar of {self._words.symbols[symbol]} that opens at"
            what += f" {self._venue.calendar.text(ts)} comes at position {position}, where bars of"
            what += f" {REVISABLE_S // 60} minutes later were over: no feed gives that"
            raise Refuse(what, "bad_bars", 409) from None

    def set_gates(self, gates: tuple[Gates, ...]) -> None:
        """HD's gates by the time from which they hold, ascending."""
        self._symbols.set_terms(replace(self._symbols.terms, gates=gates))

    @property
    def gates(self) -> tuple[Gates, ...]:
        """HD's gates as they were set last."""
        return self._symbols.terms.gates

    @property
    def calls(self) -> int:
        """Compiled calls so far."""
        return int(self._symbols.levels[k.L_CALLS])

    def warm(self) -> None:
        """Compile all that a running engine calls."""
        self._symbols.push(np.zeros((len(OHLCV.columns), 0), np.int64))
        self._symbols.warm()

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint (state.py)."""
        return self._symbols.snapshot(len(self._words.symbols))

    def rest(self, put: Callable[[Lasting], Any], back: Callable[[Any], Floats | None]) -> None:
        """Give most of what it holds away until a bar comes, which may be never.

        put   stores an array; raises OSError where it cannot, and all is as before. What it gives
              stands for the array in snapshots
        back  that -> the array; None where it is lost, and then the bar raises OSError
        """
        self._symbols.rest(len(self._words.symbols), put, back)

    def restore(self, state: Mapping[str, Any]) -> tuple[str, ...]:
        """Take a checkpoint's state; whatever was there is forgotten. Returns the names of the
        metrics that it lacks, which are then as before any bar: `join` brings them."""
        return self._symbols.restore(state)

    def beside(self, names: Iterable[str] | None) -> "MetricEngine":
        """A new engine for some metrics of this one, or for all, under the same gates."""
        made = MetricEngine(self._venue, self._words, self.catalogue, names)
        made.set_gates(self.gates)
        return made

    def join(self, other: "MetricEngine", names: Iterable[str]) -> bool:
        """Take those metrics as `other` has them, which has seen the same bars; False, and nothing
        is taken, where it has not."""
        self._symbols.wake()
        signatures = [self.catalogue.find(name).signature for name in names]
        state = saved.joined(self.snapshot(), other.snapshot(), signatures)
        if state is not None:
            self.restore(state)
        return state is not None


def compute(
    names: str | Iterable[str],
    bars: Batch,
    venue: Venue | Terms,
    catalogue: Catalogue = STANDARD,
) -> Batch:
    """Metrics over bars of one timeframe, from cold: a row a bar, rev 0, other metrics null.

    bars   OHLCV, any symbols, each ascending and unique by ts
    Refuse `unknown_metric`, `timeframe_not_allowed`.
    """
    terms = venue if isinstance(venue, Terms) else terms_of(venue)
    kind = catalogue.kind
    metrics = catalogue.ordered([names] if isinstance(names, str) else names)
    if not len(bars):
        return replace(bars, kind=kind, block=np.empty((len(kind.columns), 0), np.int64))
    freqs = np.unique(bars.column("freq"))
    assert len(freqs) == 1, "bars of one timeframe"
    for metric in metrics:
        if FREQS[freqs[0]] not in metric.timeframes:
            allowed = ", ".join(metric.timeframes)
            message = f"{metric.name} is computed on {allowed}, not on {FREQS[freqs[0]]}"
            raise Refuse(message, "timeframe_not_allowed", parameter="tf")
    block = bars.block.copy()
    tickers, block[OHLCV.index["ticker"]] = np.unique(bars.column("ticker"), return_inverse=True)
    symbols = _Symbols(catalogue, metrics, terms, None, symbols=len(tickers), depth=2 * k.GAP)
    rows = symbols.push(block)
    rows[kind.index["ticker"]] = tickers[rows[kind.index["ticker"]]]
    return replace(bars, kind=kind, block=rows)


class _Resting(NamedTuple):
    """What stands for an engine's `memory` while it rests: of so many symbols."""

    symbols: int
    held: Any
    back: Callable[[Any], Floats | None]


class _TooOld(Exception):
    """The bar of an input row is from further back than bars can be revised."""

    def __init__(self, row: int) -> None:
        self.row = row


class _Symbols:
    """The arrays of an engine for some metrics, and the loop around its kernel.

    reach_ns   how far behind the newest final bar one can be revised; None: none can
    """

    def __init__(
        self,
        catalogue: Catalogue,
        metrics: Sequence[Metric],
        terms: Terms,
        reach_ns: int | None,
        room: Room | None = None,
        symbols: int = _SYMBOLS_FIRST,
        depth: int = _DEPTH_FIRST,
    ) -> None:
        self._catalogue, self._metrics = catalogue, metrics
        self._calendar, self.terms = terms.venue.calendar, terms
        self._columns = [c.name for metric in catalogue.metrics.values() for c in metric.columns]
        kernels = {metric.name: catalogue.family_of[metric.name].kernel for metric in metrics}
        self._addresses = {name: k.address_of(kernel) for name, kernel in kernels.items()}
        self._width = sum(len(metric.state) for metric in metrics)
        self._memory_width = sum(m.memory(terms.venue) for m in metrics if m.memory is not None)
        self._back = max((metric.back for metric in metrics), default=0)
        self._backs = np.array(sorted({1, *(m.back for m in metrics if m.back)}), np.int64)
        self.levels = np.zeros(k.LEVELS, np.int64)
        self.levels[k.L_NEWEST] = -(2**62) if reach_ns is not None else 2**62
        self.levels[k.L_REACH] = reach_ns or 0
        self.levels[k.L_VOLUME] = 10**terms.venue.volume_decimals
        self.levels[k.L_VALUE] = 10**terms.venue.value_decimals
        self.levels[k.L_BACK] = self._back
        self._resting: _Resting | None = None
        self._room, self._unspared = room or Room(), 0
        self._memory: Floats = self._room.take(symbols, self._memory_width)
        self._allot(symbols, depth)
        self.set_terms(terms)

    def set_terms(self, terms: Terms) -> None:
        """Lay out the plan: in order of computation each metric that the venue has."""
        self.terms = terms
        plan: list[tuple[int, int, int, int]] = []
        lines: list[list[int]] = []
        numbers: list[float] = []
        s = m = 0
        for metric in self._metrics:
            arguments = metric.arguments(terms)
            if arguments is not None:
                plan.append((self._addresses[metric.name], s, m, len(numbers)))
                lines.append([self._line(name) for name in metric.inputs])
                lines[-1] += [self._line(column.name) for column in metric.columns]
                numbers += arguments
            s += len(metric.state)
            m += 0 if metric.memory is None else metric.memory(terms.venue)
        most = max(map(len, lines), default=0)
        self._plan = np.array(plan, np.int64).reshape(-1, 4)
        self._lines = np.array([(*row, *[-1] * (most - len(row))) for row in lines], np.int64)
        self._lines = self._lines.reshape(len(lines), most)
        self._arguments = np.array(numbers, np.float64)

    def _line(self, name: str) -> int:
        if name in BAR_INPUTS:
            return BAR_INPUTS.index(name)
        return k.FIRST_OUTPUT + self._columns.index(name)

    def push(self, block: Block) -> Block:
        """Rows of OHLCV in, rows of METRICS out."""
        block = np.ascontiguousarray(block)
        self._unspared += block.shape[1]
        if self._unspared >= _SPARED:
            self._room.spare()
            self._unspared = 0
        offsets = _offsets(block[OHLCV.index["ts"]], self._calendar)
        found: list[Block] = []
        row = 0
        while True:
            room = max(block.shape[1] - row, self._kept.shape[1])
            out = np.empty((len(self._catalogue.kind.columns), room), np.int64)
            row = k.run(
                block, offsets, row, self._plan, self._lines, self._arguments, self._backs,
                self._head, self._kept, self._states, self._past, self._memory, self._steps,
                self._values, self._before, out, self.levels,
            )  # fmt: skip
            rows, stop = self.levels[k.L_ROWS], self.levels[k.L_STOP]
            found.append(out if rows == room else out[:, :rows].copy())
            if stop == k.END:
                return found[0] if len(found) == 1 else np.concatenate(found, axis=1)
            if stop == k.TOO_OLD:
                raise _TooOld(row)
            if stop == k.NEED_DEPTH:
                self._reshape(len(self._head), 2 * self._kept.shape[1])

    def hold(self, symbols: int) -> None:
        """Have room for so many symbols."""
        if symbols > len(self._head):
            self._reshape(max(symbols, 2 * len(self._head)), self._kept.shape[1])

    def snapshot(self, symbols: int) -> dict[str, Any]:
        """The state of the first `symbols`."""
        resting = self._resting
        symbols = min(symbols, len(self._head) if resting is None else resting.symbols)
        state = saved.taken(symbols, self._arrays, self._metrics, self.terms.venue)
        if resting is not None:
            state["memory"] = resting.held
        return {**state, "gates": [list(_numbers(gates)) for gates in self.terms.gates]}

    def rest(
        self, symbols: int, put: Callable[[Lasting], Any], back: Callable[[Any], Floats | None]
    ) -> None:
        """Have no `memory` of the first `symbols`, which alone had bars, until `wake`."""
        if self._resting is None and self._memory.size:
            symbols = min(symbols, len(self._head))
            held = put(Lasting(self._memory[:symbols]))
            self._resting = _Resting(symbols, held, back)
            self._memory = self._room.take(0, self._memory_width)

    def wake(self) -> None:
        """Have `memory` again."""
        if self._resting is None:
            return
        found = self._resting.back(self._resting.held)
        if found is None:
            raise OSError("what metrics remember was lost from the disk while nothing came")
        self._memory = self._memory_of({"memory": found})
        self._resting = None

    def restore(self, state: Mapping[str, Any]) -> tuple[str, ...]:
        """Take such a state, which is used up; the names of metrics that it lacks."""
        self._resting = None
        mine, lacking = saved.arranged(state, self._metrics, self.terms.venue)
        depth = max(_DEPTH_FIRST, 1 << (saved.depth_for(mine) - 1).bit_length())
        self._allot(max(len(mine["bars"]), _SYMBOLS_FIRST), depth)
        self.set_terms(replace(self.terms, gates=tuple(Gates(*g) for g in mine["gates"])))
        saved.put(mine, self._arrays)
        self._memory = self._memory_of(mine)
        self.push(saved.first_bars(mine))
        saved.put_revs(mine["bars"], mine["held"], mine["entries"], self._kept)
        return lacking

    def _memory_of(self, state: Mapping[str, Any]) -> Floats:
        """A state's `memory` for all symbols that there is room for: as it is where it fits, else
        copied."""
        shape = len(self._head), self._memory_width
        fitting = saved.fitting(state, shape)
        if fitting is not None:
            return fitting
        return saved.copied(state, self._room.take(*shape))

    def warm(self) -> None:
        """Compile what `snapshot` and `restore` call."""
        nothing = self.snapshot(0)
        saved.put(nothing, self._arrays)
        saved.put_revs(nothing["bars"], nothing["held"], nothing["entries"], self._kept)

    @property
    def _arrays(self) -> saved.Arrays:
        return saved.Arrays(
            self._head, self._kept, self._states, self._past, self._memory, self.levels
        )

    def _allot(self, symbols: int, depth: int) -> None:
        reach = 1 << (self._back + depth + _AHEAD).bit_length()
        steps = max(k.CHUNK, depth) + k.SPARE
        self._steps = np.zeros((k.STEP_FIELDS, steps), np.int64)
        self._values = np.full((k.FIRST_OUTPUT + len(self._columns), steps), np.nan)
        self._before = np.zeros((len(self._columns), depth))
        self._head = np.zeros((symbols, k.HEAD), np.int64)
        self._head[:, k.H_CHUNK] = -1
        self._kept = aligned((symbols, depth, k.ENTRY), np.int64)
        rows = 1 + symbols * (1 + depth // k.GAP)
        self._states: Floats = aligned((rows, self._width), np.float64)
        self._past: Floats = aligned((symbols, reach, PAST_FIELDS), np.float64)

    def _reshape(self, symbols: int, depth: int) -> None:
        """More symbols, or longer rings for each."""
        head, kept, states, past = self._head, self._kept, self._states, self._past
        held, old_depth = kept.shape[:2]
        self._allot(symbols, depth)
        self._head[:held] = head
        if symbols > held:
            self._memory = self._room.grow(self._memory, symbols)
        counts = head[:, k.H_COUNT]
        _turn(counts, kept, self._kept)
        _turn(counts, past, self._past)
        old = states[1:].reshape(held, 1 + old_depth // k.GAP, self._width)
        new = self._states[1:].reshape(symbols, 1 + depth // k.GAP, self._width)
        new[:held, 0] = old[:, 0]
        _turn((counts - 1) // k.GAP + 1, old[:, 1:], new[:, 1:])


def _turn(counts: Ints, old: Any, new: Any) -> None:
    """Copy rings over bar numbers, (symbols, depth, fields), into longer or equal ones."""
    held, depth = old.shape[:2]
    places = np.arange(depth)
    bars = counts[:, None] - 1 - (counts[:, None] - 1 - places) % depth
    symbols, slots = np.nonzero(bars >= 0)
    new[symbols, bars[symbols, slots] % new.shape[1]] = old[symbols, slots]


def _numbers(gates: Gates) -> tuple[int, ...]:
    return tuple(getattr(gates, name) for name in gates.__dataclass_fields__)


def _offsets(ts: Ints, calendar: Calendar) -> Ints:
    """What the venue's clock is ahead of UTC at each instant, ns."""
    if not len(ts):
        return np.empty(0, np.int64)
    first, last = int(ts.min()), int(ts.max())
    offset = calendar.offset_ns(first)
    # A clock is not changed twice within a day.
    if last - first < DAY_NS and offset == calendar.offset_ns(last):
        return np.full(len(ts), offset, np.int64)
    return calendar.offsets_ns(ts)
