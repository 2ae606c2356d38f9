"""Metric rows of the past computed anew from stored bars, and put beside what is stored.

The engine begins in the state of the newest checkpoint that had seen no bar of the range yet, else
cold at the first stored bar, takes the stored bars in order of emission with HD's gates as the
newest schedule has them (it goes by bar times), and so gives the rows that live gave, all columns
and revisions. Rows wait until no later bar can revise them, then are compared with the stored ones
(fill.py) and put right in transactions of their own: ended anywhere and begun again, it goes on.
Memory is bounded by the pieces, whatever the range. The job that does it:
backfill_metric.py.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bursa.jobs.fill import Tally, amendment
from bursa.jobs.other_clock import by_venues_clock
from bursa.journal import checkpoint, parts
from bursa.metrics.catalog import Catalogue
from bursa.metrics.engine import REVISABLE_S, MetricEngine
from bursa.metrics.metric import terms_of
from bursa.metrics.state import only
from bursa.model.batch import Batch, Block, Span, Words, empty
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.errors import Refuse
from bursa.model.schema import OHLCV, topic
from bursa.model.venue import Gates, Venue
from bursa.ops.room import Room
from bursa.pipeline.warmup import lived
from bursa.ports import Store

ALL = "all"
# Rows that are computed, compared and written at once.
ROWS = 1 << 16
_SHOWN = 5


@dataclass(frozen=True)
class Order:
    """What is to be filled.

    start_ns, end_ns  bars with start <= ts < end, ns UTC
    engine            `all`, a family, or a metric
    tickers           (): all
    replace           put right, too, what differs
    """

    start_ns: int
    end_ns: int
    engine: str
    tickers: tuple[str, ...]
    dry_run: bool
    replace: bool


@dataclass(frozen=True)
class Ground:
    """What a backfill stands on.

    gates        HD's schedule
    checkpoints  the venue's folder of them, and the signature of those that this program takes
    end          the newest position that a row can bear by now
    room         makes where an engine of many tickers has what it remembers
    """

    venue: Venue
    store: Store
    catalogue: Catalogue
    gates: tuple[Gates, ...]
    checkpoints: Path
    signature: str
    end: Callable[[], int]
    room: Callable[[], Room]


@dataclass(frozen=True)
class Standing:
    """An engine that has seen nothing of a range: as a checkpoint at `position` has it, or cold at
    0. newest_ns: opening of the newest bar that it had, 0 where it had none."""

    words: Words
    engine: MetricEngine
    position: int
    newest_ns: int


def standing(
    ground: Ground, start_ns: int, upto: int, tickers: Collection[str] | None, room: Room
) -> Standing:
    """The engine of the newest checkpoint up to a position that has every metric and had no bar
    from `start_ns` on; else a new one. Under the newest gates. Where `tickers` are named it has had
    no bar of others, and takes no memory for them in its `room`."""
    last = ground.venue.calendar.day_of(start_ns)
    found = None
    for saved in reversed(checkpoint.listing(ground.checkpoints)):
        if saved.position <= upto and saved.day <= last:
            found = _restored(ground, saved, start_ns, tickers, room)
            if found is not None:
                break
    if found is None:
        words = ground.venue.words()
        found = Standing(words, _engine(ground, words, room), 0, 0)
    found.engine.set_gates(ground.gates)
    return found


def _restored(
    ground: Ground,
    saved: checkpoint.Checkpoint,
    start_ns: int,
    tickers: Collection[str] | None,
    room: Room,
) -> Standing | None:
    """As a checkpoint has it; None where it had a bar of the range, or lacks a metric."""
    folder = ground.checkpoints
    loaded = checkpoint.load_newest(folder, saved.position, ground.signature, gathers=False)
    if loaded is None or loaded[0] != saved.position:
        return None
    words, state = ground.venue.words(), loaded[1]["line"]["engine"]
    newest_ns = int(state["newest_bar"])
    if newest_ns >= start_ns:
        return None
    words.restore(loaded[1]["line"]["words"])
    ids = None
    if tickers is not None:
        known = sorted(words.find_symbol(ticker) for ticker in tickers)
        ids = np.array([one for one in known if 0 <= one < len(state["bars"])], np.int64)
        state = only(state, ids)
    engine = _engine(ground, words, room)
    if isinstance(state["memory"], parts.Laid):
        state["memory"] = parts.gather(folder, state["memory"], rows=ids, room=room)
    return None if engine.restore(state) else Standing(words, engine, loaded[0], newest_ns)


def _engine(ground: Ground, words: Words, room: Room) -> MetricEngine:
    return MetricEngine(ground.venue, words, ground.catalogue, room=room)


class Backfill:
    """One order. Raises Refuse where it makes no sense; `run` once, then `report`. `rows` are
    computed, compared and written at once, or so."""

    def __init__(self, ground: Ground, order: Order, rows: int = 0) -> None:
        self._ground, self.order, self._rows = ground, order, rows or ROWS
        self._columns = columns_of(ground, order.engine)
        _check(ground, order)
        held, name = ground.store.positions(), ground.venue.name
        kinds = (OHLCV, ground.catalogue.kind)
        at = [held[topic(name, kind)] for kind in kinds if topic(name, kind) in held]
        self._upto = min((one.position for one in at), default=0) if len(at) == len(kinds) else 0
        self._tally = Tally()
        self._written = self._bars = 0
        self._venue_clock = False
        self._waiting: list[Block] = []
        self._done_ns = order.start_ns
        self._newest_ns = 0
        # Positions from which on bars are read, and up to which they were.
        tickers = order.tickers or None
        stand = standing(ground, order.start_ns, self._upto, tickers, ground.room())
        self._words, self._engine = stand.words, stand.engine
        self._after = self._at = stand.position
        self.tickers: set[str] = set()

    @property
    def progress(self) -> tuple[int, int]:
        """Done, of how much: in positions of the journal."""
        return self._at - self._after, max(1, self._upto - self._after)

    def run(self) -> Iterator[None]:
        """Do it, a piece at each step. Raises Retry where the store is away: what was written
        stays."""
        order, name = self.order, self._ground.venue.name
        pieces = self._ground.store.emitted(
            name,
            self._after,
            self._upto,
            start_ns=0,
            end_ns=order.end_ns,
            tickers=order.tickers or None,
        )
        for piece in pieces:
            bars = lived(piece)
            for first in range(0, len(bars), self._rows):
                self._take(replace(bars, block=bars.block[:, first : first + self._rows]))
                yield
                yield from self._settle(self._newest_ns - self._reach_ns)
        yield from self._settle(order.end_ns)
        self._at = self._upto
        if not self._tally.computed:
            ground, tickers = self._ground, order.tickers or None
            self._venue_clock = by_venues_clock(
                ground.store, ground.venue, order.start_ns, order.end_ns, tickers
            )

    def report(self) -> dict[str, Any]:
        """What was found and done, as JSON."""
        return {
            **asdict(self._tally),
            "bars": self._bars,
            "written": self._written,
            "from": self._after,
            "upto": self._upto,
            "dry_run": self.order.dry_run,
            "venue_clock": self._venue_clock,
        }

    # -- the bars --------------------------------------------------------------------------------

    def _take(self, piece: Batch) -> None:
        """Bars of the store, whose words are others, into the engine; rows of the range wait."""
        block = piece.block.copy()
        at = piece.kind.index["ticker"]
        ids, place = np.unique(block[at], return_inverse=True)
        symbols = piece.words.symbols
        block[at] = np.array([self._words.symbol_id(symbols[i]) for i in ids.tolist()])[place]
        rows = self._engine.push(Batch(piece.kind, block, self._words, piece.span))
        self._bars += len(piece)
        self._at = int(piece.column("position")[-1])
        final = piece.column("ts")[piece.column("final") != 0]
        self._newest_ns = max(self._newest_ns, int(final.max(initial=0)))
        ts = rows.column("ts")
        inside = (ts >= self.order.start_ns) & (ts < self.order.end_ns)
        if inside.any():
            assert ts[inside].min() >= self._done_ns, "no bar is revised once it is too old to be"
            self._waiting.append(rows.block if inside.all() else rows.block[:, inside])

    @property
    def _reach_ns(self) -> int:
        return (60 + self._ground.venue.grace_s + REVISABLE_S) * SECOND_NS

    # -- the rows --------------------------------------------------------------------------------

    def _settle(self, until_ns: int) -> Iterator[None]:
        """Compare and write all rows with ts < until, so many at a time, where there are as
        many."""
        until_ns = min(until_ns, self.order.end_ns)
        waiting = sum(block.shape[1] for block in self._waiting)
        if until_ns <= self._done_ns or (waiting < self._rows and until_ns < self.order.end_ns):
            return
        kind = self._ground.catalogue.kind
        none = empty(kind, self._words, Span(self._ground.venue.name, 0, 0, self._upto)).block
        rows = np.concatenate([none, *self._waiting], axis=1)
        ts = rows[kind.index["ts"]]
        for cut_ns in _cuts(ts[ts < until_ns], self._done_ns, until_ns, self._rows):
            now = (ts >= self._done_ns) & (ts < cut_ns)
            self._compare(rows[:, now], self._done_ns, cut_ns)
            self._done_ns = cut_ns
            yield
        self._waiting = [rows[:, ts >= until_ns]]

    def _compare(self, rows: Block, start_ns: int, end_ns: int) -> None:
        ground, order = self._ground, self.order
        name, kind = ground.venue.name, ground.catalogue.kind
        stored = ground.store.revisions(
            name, kind.name, start_ns, end_ns, tickers=order.tickers or None
        )
        # What is derived meanwhile is not ours to judge; what lies past that, nobody derived.
        stored = lived(stored)
        position, end = stored.column("position"), ground.end()
        ours = (position <= self._upto) | (position > end)
        if not ours.all():
            stored = replace(stored, block=stored.block[:, ours])
        computed = Batch(kind, rows, self._words, Span(name, stored.span.epoch, 0, self._upto))
        found = amendment(computed, stored, self._columns, replace_differing=order.replace)
        self._tally.add(found.tally)
        self._written += found.rows
        if found.rows and not order.dry_run:
            ground.store.amend(found.gone, found.filled, found.fresh, found.columns)
            self.tickers |= found.tickers


def columns_of(ground: Ground, engine: str) -> tuple[str, ...]:
    """The columns that `all`, a family or a metric has. Refuse for another word, and where the
    venue has no such metric."""
    catalogue = ground.catalogue
    metrics = [
        metric
        for name, metric in catalogue.metrics.items()
        if engine in (ALL, name, catalogue.family_of[name].name)
    ]
    if not metrics:
        families = ", ".join(catalogue.families)
        what = f"--engine: {engine}; allowed: {ALL}, a family ({families}), or one metric's name"
        raise Refuse(what, parameter="engine")
    terms = terms_of(ground.venue)
    if all(metric.arguments(terms) is None for metric in metrics):
        raise Refuse(f"--engine: {ground.venue.name} has no {engine}", parameter="engine")
    return tuple(column.name for metric in metrics for column in metric.columns)


def _check(ground: Ground, order: Order) -> None:
    """Refuse a range in which no bar can be, and tickers that have none."""
    calendar, spans = ground.venue.calendar, ground.store.span(ground.venue.name)
    if not spans:
        raise Refuse(f"no bar of {ground.venue.name} is stored yet", "no_data", 404)
    first, last = min(s for s, _ in spans.values()), max(e for _, e in spans.values())
    if order.start_ns > last or order.end_ns <= first:
        which, bound = ("from", order.start_ns) if order.start_ns > last else ("to", order.end_ns)
        what = f"--{which}: {calendar.text(bound)}; the first stored bar of {ground.venue.name}"
        what += f" opens at {calendar.text(first)}, the last one at {calendar.text(last)}"
        raise Refuse(what, parameter=which)
    unknown = [ticker for ticker in order.tickers if ticker not in spans]
    if unknown:
        near = _near(unknown[0], spans)
        what = f"--ticker: {unknown[0]}; {ground.venue.name} has bars of {len(spans):,} tickers"
        raise Refuse(f"{what}: {near}", "unknown_ticker", 404, "ticker")


def _near(ticker: str, known: Mapping[str, Any]) -> str:
    """The first known ones, those that begin alike before others."""
    alike = sorted(known, key=lambda name: (name[:1] != ticker[:1].upper(), name))
    return ", ".join(alike[:_SHOWN]) + (", ..." if len(alike) > _SHOWN else "")


def _cuts(ts: Block, start_ns: int, end_ns: int, rows: int) -> Sequence[int]:
    """Whole minutes, ascending, between which there are so many rows or some more; `end_ns` is the
    last."""
    ordered = np.sort(ts)[rows - 1 :: rows]
    minutes = np.unique(ordered // MINUTE_NS * MINUTE_NS + MINUTE_NS).tolist()
    return [cut for cut in minutes if start_ns < cut < end_ns] + [end_ns]
