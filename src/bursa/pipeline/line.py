"""The stages of one venue, in one line: decode, build bars, compute metrics, thin out.

Pure: journal records in, batches out, and all state in `snapshot()`. Live frames, a recovery, a
replay and a lagging reader's backlog all call `push` with the records of the same journal, so they
get the same rows whatever the cuts. Does not read, write, wait or know the time (ingest.py,
recover.py, writer.py do).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bursa.bars.build import BarBuilder
from bursa.bars.sample import Sampler
from bursa.metrics import catalog
from bursa.metrics.catalog import METRICS
from bursa.metrics.engine import MetricEngine
from bursa.model.batch import (
    SPAN_POSITION,
    SPAN_TS_RECV,
    Batch,
    Block,
    Chunk,
    Span,
    Words,
)
from bursa.model.schema import MARKET_KINDS, QUARANTINE, SCHEMA_VERSION, Kind
from bursa.model.venue import Venue
from bursa.pipeline.books import NO_BOOK, Depth, Side
from bursa.wire.decoded import Decoded, Rejected
from bursa.wire.itch50 import Book

# Raised whenever a stage's state changes its form: older checkpoints are then passed over.
STATE_VERSION = 5
# Hex characters of one refused message in its quarantine row.
PAYLOAD_BYTES_KEPT = 4096


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
    """What one chunk gave. `batches` are what topics carry: those with rows, every kind once."""

    span: Span
    batches: tuple[Batch, ...]
    closed: Batch
    minutes: Block
    touched: Block
    metrics: Batch
    counts: Mapping[str, int]


def kinds() -> tuple[Kind, ...]:
    """All kinds that a line derives."""
    return (*MARKET_KINDS, METRICS)


class Line:
    """One venue's stages. `keep` says what the store takes of a kind: all, off, or `Ns`."""

    def __init__(
        self, venue: Venue, words: Words, decoder: Decoder, keep: Mapping[str, str]
    ) -> None:
        self.venue = venue
        self.words = words
        self._decoder = decoder
        self._builder = BarBuilder(venue, words)
        self._engine = MetricEngine(venue, words)
        self._off = frozenset(kind for kind, how in keep.items() if how == "off")
        by_name = {kind.name: kind for kind in MARKET_KINDS}
        self._samplers = {
            kind: Sampler(by_name[kind], int(how[:-1]))
            for kind, how in keep.items()
            if how[-1] == "s"
        }
        identity = getattr(decoder, "identity", "")  # of one whose layout is data
        self.signature = ":".join(
            [str(SCHEMA_VERSION), str(STATE_VERSION), catalog.SIGNATURE, identity]
            + [f"{kind}={how}" for kind, how in sorted(keep.items())]
        )

    def push(self, chunk: Chunk) -> Derived:
        """All stages over the records of a chunk, in stream order."""
        decoded = self._decoder.push(chunk)
        built = self._builder.push(decoded.tape, chunk.span)
        metrics = self._engine.push(built.closed)
        batches = [self._thinned(batch) for batch in decoded.batches.values()]
        batches += [built.closed, metrics]
        if decoded.rejects:
            batches.append(quarantined(decoded.rejects, self.words, chunk))
        kept = tuple(b for b in batches if len(b) and b.kind.name not in self._off)
        counts = {**decoded.counts, **built.counts}
        return Derived(
            chunk.span, kept, built.closed, built.minutes, built.touched, metrics, counts
        )

    def _thinned(self, batch: Batch) -> Batch:
        sampler = self._samplers.get(batch.kind.name)
        return batch if sampler is None else sampler.push(batch)

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

    def watermarks(self) -> list[int]:
        """Newest event time of each channel of the venue, ns UTC; 0 where nothing came yet."""
        return [max(0, mark) for mark in self._decoder.watermarks()]

    def snapshot(self) -> dict[str, Any]:
        """The state of all stages, copied."""
        return {
            "words": self.words.snapshot(),
            "decoder": self._decoder.snapshot(),
            "builder": self._builder.snapshot(),
            "engine": self._engine.snapshot(),
            "samplers": {kind: s.snapshot() for kind, s in self._samplers.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state."""
        self.words.restore(state["words"])
        self._decoder.restore(state["decoder"])
        self._builder.restore(state["builder"])
        self._engine.restore(state["engine"])
        for kind, sampler in self._samplers.items():
            sampler.restore(state["samplers"][kind])

    def warm(self) -> None:
        """Compile or load every kernel that `push` calls."""
        self._decoder.warm()
        self._builder.warm()
        self._engine.warm()
        for sampler in self._samplers.values():
            sampler.warm()


def quarantined(rejects: Sequence[Rejected], words: Words, chunk: Chunk) -> Batch:
    """Refused messages as rows. Their texts are in a dictionary of this batch's own, so that a
    stream of garbage does not grow the venue's."""
    own = Words(words.boards, words.channels)
    received = dict(
        zip(chunk.spans[SPAN_POSITION].tolist(), chunk.spans[SPAN_TS_RECV].tolist(), strict=True)
    )
    block = np.empty((len(QUARANTINE.scalars), len(rejects)), np.int64)
    nth, last = 0, -1
    for at, reject in enumerate(rejects):
        nth = nth + 1 if reject.position == last else 0
        last = reject.position
        payload = reject.payload[:PAYLOAD_BYTES_KEPT].hex()
        block[:, at] = (
            reject.channel,
            own.text_id(reject.reason),
            len(reject.payload),
            own.text_id(payload),
            nth,
            received[reject.position],
            reject.position,
        )
    return Batch(QUARANTINE, block, own, chunk.span)
