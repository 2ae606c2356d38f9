"""The stages of one venue, in one line: decode, build bars, compute metrics, mind the settings.

Pure: journal records in, batches out, and all state in `snapshot()`. Live frames, a recovery, a
replay and a lagging reader's backlog all call `push` with the records of the same journal, so they
get the same rows whatever the cuts. Does not read, write, wait or know the time (ingest.py,
recover.py, writer.py do).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bursa.bars.build import BarBuilder, Built
from bursa.bars.closing import ClosingBooks
from bursa.metrics.catalog import STANDARD, Catalogue
from bursa.metrics.engine import MetricEngine
from bursa.model.batch import (
    SPAN_POSITION,
    SPAN_TS_RECV,
    Batch,
    Block,
    Chunk,
    Span,
    Words,
    empty,
)
from bursa.model.schema import MARKET_KINDS, ORDERBOOK, QUARANTINE, SCHEMA_VERSION, Kind
from bursa.model.venue import Venue
from bursa.ops.room import Room
from bursa.pipeline.books import NO_BOOK, Depth, Side
from bursa.pipeline.entered import ENTERED, entered_of, joined
from bursa.pipeline.gates import GateSchedule
from bursa.pipeline.switches import STORE, UNSAID, Setting, Switches, settings_of
from bursa.wire.decoded import Book, Decoded, Rejected

# Raised whenever a stage's state changes its form: older checkpoints are then passed over.
STATE_VERSION = 10
# Hex characters of one refused message in its quarantine row.
PAYLOAD_BYTES_KEPT = 4096
SIGNATURE = f"{SCHEMA_VERSION}:{STATE_VERSION}"
"""Of the code whose checkpoints these stages take. Not of the layout that a decoder reads by: what
another one refused is in the state as a gap, and a retry must find it there. Nor of the catalogue:
the engine's state names its metrics."""


TAKEN = "taken"
"""Reason of a quarantine row that tells of a retry, and the word of the SETTING record that it
comes of. Its payload names the row that was refused and now is taken, `POSITION:NTH`."""


def taken_of(setting: Setting, channels: int) -> list[tuple[int, int, str]]:
    """(channel, length, `POSITION:NTH`) of the refused messages that a setting says were taken."""
    found = []
    said = setting.values.get(TAKEN)
    for row in said if isinstance(said, list) else ():
        if (
            isinstance(row, list)
            and len(row) == 4
            and all(type(n) is int and abs(n) < 2**63 for n in row)
        ):
            position, nth, channel, length = row
            if 0 <= channel < channels:
                found.append((channel, length, f"{position}:{nth}"))
    return found


class Decoder(Protocol):
    """What a venue's codec is to the line."""

    def push(self, chunk: Chunk) -> Decoded:
        """Decode records; any cut of their sequence gives the same rows."""

    def watermarks(self) -> list[int]:
        """Newest event time of each channel, ns UTC; 0 or less where nothing came yet."""

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint, copied."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state."""

    def warm(self) -> None:
        """Compile what `push` calls."""


@runtime_checkable
class KeepsBooks(Protocol):
    """A decoder that has every instrument's book at hand."""

    def book(self, symbol: int, depth: int) -> Book | None:
        """The best `depth` levels of both sides; None where there is no such book."""

    def stands(self) -> tuple[int, int]:
        """Newest event time, ns UTC, and number of the newest message."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What one chunk gave.

    batches  what the store takes; only kinds that have rows, every kind once
    live     what readers of the present get, likewise: rows that the store is spared are in it,
             entered ones are not
    hidden   kinds that are published no longer, or not yet (switches.py)
    entered  rows of the past that were entered (entered.py), with words of their own; they are in
             `batches`, and neither in `closed` nor in `metrics`
    """

    span: Span
    batches: tuple[Batch, ...]
    closed: Batch
    minutes: Block
    touched: Block
    metrics: Batch
    counts: Mapping[str, int]
    live: tuple[Batch, ...]
    hidden: frozenset[str] = frozenset()
    entered: tuple[Batch, ...] = ()


def kinds(catalogue: Catalogue = STANDARD) -> tuple[Kind, ...]:
    """All kinds that a line derives."""
    return (*MARKET_KINDS, catalogue.kind)


class Line:
    """One venue's stages. `unsaid`: how much of a kind is stored until the journal says otherwise,
    where that is not what the venue's journals mean (switches.UNSAID). `room`: of its engine."""

    signature = SIGNATURE

    def __init__(
        self,
        venue: Venue,
        words: Words,
        decoder: Decoder,
        unsaid: Mapping[str, str] | None = None,
        catalogue: Catalogue = STANDARD,
        room: Room | None = None,
    ) -> None:
        self.venue = venue
        self.words = words
        self.catalogue = catalogue
        self._decoder = decoder
        self._builder = BarBuilder(venue, words)
        self._closing = ClosingBooks(venue, words)
        self.engine = MetricEngine(venue, words, catalogue, room=room)
        self._stored_to = -1
        # Told what the first stages gave of each chunk; for who looks for trades that came late.
        self.watch: Callable[[Decoded, Built], None] = lambda decoded, built: None
        self._enterable = {k.name: k for k in kinds(catalogue) if k.name in ENTERED}
        self.gates = GateSchedule(venue)
        stored = {f"{kind}.{STORE}": how for kind, how in (unsaid or {}).items()}
        self.switches = Switches(UNSAID.get(venue.name, {}) if unsaid is None else stored)

    def push(self, chunk: Chunk) -> Derived:
        """All stages over the records of a chunk, in stream order."""
        decoded, built = self.build(chunk)
        self.watch(decoded, built)
        settings = settings_of(chunk)
        changes = self.gates.push(built.closed, settings)
        if changes:
            self.engine.set_gates(self.gates.schedule)
        metrics = self._metrics_of(built.closed)
        kept = self.switches.push(decoded.batches.values(), settings, self.words, chunk.span)
        whole = [built.closed, metrics]
        if decoded.rejects or settings:
            whole.append(quarantined(decoded.rejects, settings, self.words, chunk))
        always = tuple(batch for batch in whole if len(batch))
        entered, entries = entered_of(chunk, self._enterable, self.words)
        return Derived(
            chunk.span,
            joined(kept.stored + always, entered) if entered else kept.stored + always,
            built.closed,
            built.minutes,
            built.touched,
            metrics,
            {**decoded.counts, **built.counts, **changes, **kept.counts, **entries},
            kept.live + always,
            self.switches.hidden,
            entered,
        )

    def build(self, chunk: Chunk) -> tuple[Decoded, Built]:
        """The first stages alone: decode, bars, and what the book held at their end."""
        decoded = self._decoder.push(chunk)
        built = self._builder.push(decoded.tape, chunk.span)
        self._closing.push(decoded.batches.get(ORDERBOOK.name), decoded.sums, built.closed)
        return decoded, built

    def _metrics_of(self, closed: Batch) -> Batch:
        """Of bars up to where stored ones were taken, nothing."""
        if closed.span.last <= self._stored_to:
            return empty(self.catalogue.kind, closed.words, closed.span)
        return self.engine.push(closed)

    def stored(self, position: int, newest_ns: int) -> None:
        """The engine has taken the stored bars up to a position, past which chunks are cut; the
        newest of them opened at `newest_ns`, and trades of minutes up to there make no bars."""
        self._stored_to = position
        self._builder.forget(newest_ns)

    def open_bars(self, ids: Block | None = None) -> Batch:
        """The bars not closed yet, of some or of all symbols. Not while `push` runs."""
        return self._builder.open_bars(ids)

    def book(self, symbol: int, depth: int) -> Depth | None:
        """A symbol's order book where the decoder keeps the books itself; None where it does not.
        Not while `push` runs."""
        if not isinstance(self._decoder, KeepsBooks):
            return None
        (ts_ns, seq), found = self._decoder.stands(), self._decoder.book(symbol, depth)
        if found is None:
            return NO_BOOK
        sides = [
            Side(side.prices, side.volumes.astype(np.float64), side.orders)
            for side in (found.bids, found.asks)
        ]
        return Depth(max(ts_ns, 0), seq, found.whole, *sides)

    @property
    def watermark_ns(self) -> int:
        """Event time up to which bars are closed, less the grace."""
        return self._builder.watermark

    @property
    def forgotten_ns(self) -> int:
        """Minutes that open at or before it get no more bars and no revisions from the feed; less
        than any time before there is a watermark."""
        return self._builder.forgotten_ns

    def watermarks(self) -> list[int]:
        """Newest event time of each channel of the venue, ns UTC; 0 where nothing came yet."""
        return [max(0, mark) for mark in self._decoder.watermarks()]

    def snapshot(self) -> dict[str, Any]:
        """The state of all stages, copied."""
        return {
            "words": self.words.snapshot(),
            "decoder": self._decoder.snapshot(),
            "builder": self._builder.snapshot(),
            "closing": self._closing.snapshot(),
            "gates": self.gates.snapshot(),
            "engine": self.engine.snapshot(),
            "switches": self.switches.snapshot(),
        }

    def restore(self, state: Mapping[str, Any]) -> tuple[str, ...]:
        """Take a checkpoint's state. Returns the names of the metrics that it lacks: they must be
        brought up from stored bars (warmup.py) before anything is pushed."""
        self.words.restore(state["words"])
        self._decoder.restore(state["decoder"])
        self._builder.restore(state["builder"])
        self._closing.restore(state["closing"])
        self.gates.restore(state["gates"])
        lacking = self.engine.restore(state["engine"])
        self.engine.set_gates(self.gates.schedule)
        self.switches.restore(state["switches"])
        return lacking

    def warm(self) -> None:
        """Compile or load every kernel that `push` calls."""
        self._decoder.warm()
        self._builder.warm()
        self._closing.warm()
        self.engine.warm()
        self.switches.warm()


def quarantined(
    rejects: Sequence[Rejected], settings: Sequence[Setting], words: Words, chunk: Chunk
) -> Batch:
    """Refused messages as rows, and those that a retry took (pipeline/retry.py journals which) as
    rows of the reason TAKEN. Their texts are in a dictionary of this batch's own, so that a stream
    of garbage does not grow the venue's."""
    own = Words(words.boards, words.channels)
    rows: list[tuple[int, ...]] = []
    if rejects:
        spans = chunk.spans[[SPAN_POSITION, SPAN_TS_RECV]].tolist()
        received, nth, last = dict(zip(*spans, strict=True)), 0, -1
        for reject in rejects:
            nth = nth + 1 if reject.position == last else 0
            last, payload = reject.position, reject.payload[:PAYLOAD_BYTES_KEPT].hex()
            texts = own.text_id(reject.reason), len(reject.payload), own.text_id(payload)
            rows.append((reject.channel, *texts, nth, received[last], last))
    for setting in settings:
        for nth, (channel, length, row) in enumerate(taken_of(setting, len(words.channels))):
            texts = own.text_id(TAKEN), length, own.text_id(row)
            rows.append((channel, *texts, nth, setting.ts_recv, setting.position))
    rows.sort(key=itemgetter(-1))  # in stream order, whatever the cuts
    block = np.array(rows, np.int64).reshape(-1, len(QUARANTINE.scalars)).T.copy()
    return Batch(QUARANTINE, block, own, chunk.span)
