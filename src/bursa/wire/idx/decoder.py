"""The decoder of the idx family: chunks of the journal in; tape, batches and refusals out.

Messages of a layout (layout.py) in SoupBinTCP packets or in blocks of u16 length + message, or
as lines of text, which become blocks first (text.py). The work is one call of a kernel a
chunk (walk.py); here its blocks become batches, new tickers enter `Words`, contracts get
their texts and refusals their bytes.

What bad input gets, by reason: `unknown_type`, `bad_length`, `too_deep` (more levels than the
layout allows), `bad_ticker`, `bad_board`, `bad_price`, `bad_volume`, `bad_number` (a u64 past
2^63), `bad_aggressor`, `bad_state`, `bad_seq`, `bad_ts`, `stale_session` (a number that returns to
1 without a later ts): the message is refused and the next block goes on. `framing_lost` (a length
of 0 or past the limit), `truncated` and `bad_form`: the rest of the record is. Lines of text have
`bad_line` and `bad_field` beside these (text.py), and are kept as they came.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bursa.model.batch import (
    BLOCKS,
    FRAMES,
    LINES,
    SPAN_CHANNEL,
    SPAN_END,
    SPAN_FORM,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_ROWS,
    SPAN_TS_RECV,
    TAPE_ROLE,
    TAPE_ROWS,
    TRADE,
    Batch,
    Block,
    Chunk,
    Span,
    Words,
)
from bursa.model.schema import (
    CONTRACTS,
    INDEX,
    ORDERBOOK,
    SNAPSHOT,
    STATUS,
    TICKS,
)
from bursa.model.venue import Venue
from bursa.wire.decoded import PAYLOAD_BYTES_MAX, Decoded, Rejected
from bursa.wire.idx import rows
from bursa.wire.idx.layout import IDX1, Layout
from bursa.wire.idx.text import Transcript
from bursa.wire.idx.text_table import text_table
from bursa.wire.idx.walk import decode
from bursa.wire.symbols import SymbolTable
from bursa.wire.transport import sequence

# Rows that the blocks of one call hold. A little past a power of two, so that the columns of a
# block do not fall into the same lines of the cache.
_SLACK = 64
_CAPACITY = 65_536 + _SLACK

_KINDS = (SNAPSHOT, ORDERBOOK, INDEX, STATUS)
_TICK_ROWS = len(TICKS.scalars)


@dataclass(frozen=True)
class Blocks:
    """What the kernel fills, in the order of its arguments; written anew by every call."""

    tape: Block
    snapshots: Block
    books: Block
    levels: Block
    indexes: Block
    statuses: Block
    notes: Block

    @classmethod
    def of(cls, capacity: int, depth_max: int) -> "Blocks":
        """Blocks that take about `capacity` messages of any type in one call."""

        def block(height: int, width: int) -> Block:
            return np.empty((height, width), np.int64)

        few = min(capacity, 4096 + _SLACK)
        return cls(
            tape=block(TAPE_ROWS, 2 * capacity),
            snapshots=block(len(SNAPSHOT.scalars), capacity),
            books=block(len(ORDERBOOK.scalars), capacity),
            levels=block(3, max(depth_max, 1) * capacity),
            indexes=block(len(INDEX.scalars), capacity),
            statuses=block(len(STATUS.scalars), 4 * few),
            notes=block(rows.NOTE_ROWS, 4 * few),
        )

    def arguments(self) -> tuple[Block, ...]:
        """For the kernel."""
        return (
            self.tape,
            self.snapshots,
            self.books,
            self.levels,
            self.indexes,
            self.statuses,
            self.notes,
        )


class _Parts(dict[str, list[Block]]):
    """Copies of the filled parts of the blocks, call by call; only of those that have any."""

    def add(self, name: str, block: Block, count: int) -> None:
        """Copy the first `count` columns."""
        if count:
            self.setdefault(name, []).append(block[:, :count].copy())

    def take(self, name: str, height: int) -> Block:
        """All of them as one block."""
        parts = self.get(name)
        if parts is None:
            return np.empty((height, 0), np.int64)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


class IdxDecoder:
    """The stage between the journal and the bars: `push(chunk) -> Decoded`. Any cut of the same
    records gives the same rows.

    words     the venue's dictionaries; tickers and texts enter by first appearance. Restore them
              before the next `push` when this is restored.
    capacity  messages a kernel call takes at most; a larger chunk takes more calls
    """

    def __init__(
        self, venue: Venue, words: Words, layout: Layout = IDX1, capacity: int = _CAPACITY
    ) -> None:
        self._venue = venue
        self._words = words
        self._layout = layout
        self._table = layout.compiled(venue.boards)
        self._text = text_table(layout, venue.boards)
        self._symbols = SymbolTable(words, layout["trade", "ticker"].width)
        self._blocks = Blocks.of(capacity, layout.depth_max)
        self._state = channel_state(venue)

    def push(self, chunk: Chunk) -> Decoded:
        """Decode the records of a chunk. What is returned is never written again."""
        assert chunk.frames.flags.writeable and chunk.spans.flags.writeable, "one signature"
        assert max(chunk.spans[SPAN_CHANNEL].tolist(), default=0) < len(self._state) - 1
        parts, rejects, contracts = _Parts(), list[Rejected](), list[tuple[int, ...]]()
        source, text = chunk, None
        if LINES in chunk.spans[SPAN_FORM].tolist():
            text = Transcript(chunk, self._text)
            chunk = text.chunk
        done = False
        while not done:
            self._symbols.catch_up()
            self._state[rows.HERE, rows.SYMBOLS_COUNT] = self._symbols.known
            done = decode(
                chunk.frames,
                chunk.spans,
                self._table,
                self._state,
                self._symbols.slots,
                *self._blocks.arguments(),
            )
            self._collect(parts)
            refused = self._hear(chunk, contracts)
            rejects += [_rejected(source, text, *each) for each in refused]
        return self._decoded(chunk, parts, rejects, contracts)

    def _collect(self, parts: _Parts) -> None:
        counts = self._state[rows.HERE, rows.TAPE_COUNT : rows.NOTE_COUNT].tolist()
        tape, snapshots, books, levels, indexes, statuses = counts
        blocks = self._blocks
        parts.add("tape", blocks.tape, tape)
        parts.add(SNAPSHOT.name, blocks.snapshots, snapshots)
        parts.add(ORDERBOOK.name, blocks.books, books)
        parts.add("levels", blocks.levels, levels)
        parts.add(INDEX.name, blocks.indexes, indexes)
        parts.add(STATUS.name, blocks.statuses, statuses)

    def _hear(
        self, chunk: Chunk, contracts: list[tuple[int, ...]]
    ) -> list[tuple[int, int, int, int]]:
        """The kernel's notes, in stream order; returns (reason, record, at, size) of those that
        refuse."""
        count = int(self._state[rows.HERE, rows.NOTE_COUNT])
        refused = []
        for what, record, at, size, symbol, board, ts, _ in self._blocks.notes[
            :, :count
        ].T.tolist():
            if what == rows.NEW_SYMBOL:
                self._symbols.learn(chunk.frames[at : at + size].tobytes(), symbol)
            elif what == rows.NEW_CONTRACT:
                contracts.append(self._contract(chunk, record, at, symbol, board, ts))
            else:
                refused.append((what, record, at, size))
        return refused

    def _contract(
        self, chunk: Chunk, record: int, at: int, symbol: int, board: int, ts: int
    ) -> tuple[int, ...]:
        """One row of the contracts kind."""
        recv = int(chunk.spans[SPAN_TS_RECV, record])
        row = {
            "ticker": symbol,
            "board": board,
            "ts": ts,
            "lot": int.from_bytes(self._raw(chunk.frames, at, "lot"), "big"),
            "prev_close": self._price_bits(chunk.frames, at),
            "price_decimals": self._venue.price_decimals,
            "volume_decimals": self._venue.volume_decimals,
            "ts_recv": ts if recv < 0 else recv,
            "position": int(chunk.spans[SPAN_POSITION, record]),
        }
        for name in ("name", "isin", "currency"):
            text = self._raw(chunk.frames, at, name).decode("utf-8", "replace").strip(" ")
            row[name] = self._words.text_id(text) if text else -1
        return tuple(row[column.name] for column in CONTRACTS.scalars)

    def _raw(self, frames: NDArray[np.uint8], at: int, name: str) -> bytes:
        field = self._layout["contract", name]
        return frames[at + field.offset : at + field.offset + field.width].tobytes()

    def _price_bits(self, frames: NDArray[np.uint8], at: int) -> int:
        raw = int.from_bytes(self._raw(frames, at, "prev_close"), "big")
        scale = self._layout["contract", "prev_close"].scale
        value = np.float64(raw) / np.float64(10**scale) if raw else np.float64(np.nan)
        return int(value.view(np.int64))

    def _decoded(
        self,
        chunk: Chunk,
        parts: _Parts,
        rejects: list[Rejected],
        contracts: list[tuple[int, ...]],
    ) -> Decoded:
        tape, counts = parts.take("tape", TAPE_ROWS), self._counts(rejects)
        batches: dict[str, Batch] = {}
        others = counts.pop("roles", 0)
        if tape.shape[1] > others:
            ticks = _ticks(tape) if others else tape[:_TICK_ROWS]
            batches[TICKS.name] = Batch(TICKS, ticks, self._words, chunk.span)
        for kind in _KINDS:
            if kind.name in parts:
                levels = parts.take("levels", 3) if kind is ORDERBOOK else None
                block = parts.take(kind.name, len(kind.scalars))
                batches[kind.name] = Batch(kind, block, self._words, chunk.span, levels)
        if contracts:
            block = np.array(contracts, np.int64).T.copy()
            batches[CONTRACTS.name] = Batch(CONTRACTS, block, self._words, chunk.span)
        return Decoded(tape, batches, rejects, counts, chunk.span.last)

    def _counts(self, rejects: list[Rejected]) -> dict[str, int]:
        """What was counted since the last time, by word, only what is above zero."""
        here = self._state[rows.HERE, rows.MESSAGES : rows.ROLES + 1]
        counts = {
            word: count
            for word, count in zip(rows.HERE_COUNTED, here.tolist(), strict=True)
            if count
        }
        here[:] = 0
        counted = self._state[1:, sequence.DUPLICATES : sequence.FORGOTTEN + 1]
        for channel in counted.tolist():
            for word, count in zip(sequence.COUNTED, channel, strict=True):
                if count:
                    counts[word] = counts.get(word, 0) + count
                    counted[:] = 0
        for reject in rejects:
            word = f"rejected_{reject.reason}"
            counts[word] = counts.get(word, 0) + 1
        return counts

    def watermarks(self) -> list[int]:
        """Newest event time of each channel, ns UTC; -1 where nothing came yet."""
        marks: list[int] = self._state[1:, sequence.WATERMARK].tolist()
        return marks

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint: the channels'. Tickers are the checkpoint's `Words`."""
        return {"channels": self._state[1:].copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state; `Words` must have been restored to the same checkpoint."""
        channels = state["channels"]
        assert channels.shape == self._state[1:].shape, "a checkpoint of the same venue"
        self._state[1:] = channels
        self._symbols.forget()

    def warm(self) -> None:
        """Compile what `push` calls, without touching this decoder's state."""
        words = self._venue.words()
        words.symbol_id("WARM")
        decoder = IdxDecoder(self._venue, words, self._layout, capacity=8)
        for form in (BLOCKS, LINES):
            spans = np.zeros((SPAN_ROWS, 1), np.int64)
            spans[SPAN_KIND], spans[SPAN_FORM], spans[SPAN_END] = FRAMES, form, 3
            chunk = Chunk(np.zeros(3, np.uint8), spans, Span(self._venue.name, 0, 0, 3))
            decoder.push(chunk)


def _ticks(tape: Block) -> Block:
    """The trades of a tape that has other rows too."""
    return np.compress(tape[TAPE_ROLE] == TRADE, tape[:_TICK_ROWS], axis=1)


def _rejected(
    chunk: Chunk, text: Transcript | None, what: int, record: int, at: int, size: int
) -> Rejected:
    """A refused message with its bytes, or its line's; `at` is its place in what was decoded."""
    frames = chunk.frames
    if text is not None:
        frames = text.chunk.frames
        line = text.line(record, at)
        if line is not None:
            frames = chunk.frames
            at, size, reason = line
            what = reason or what
    payload = frames[at : at + min(size, PAYLOAD_BYTES_MAX)].tobytes()
    position = int(chunk.spans[SPAN_POSITION, record])
    return Rejected(rows.REASONS[what], position, int(chunk.spans[SPAN_CHANNEL, record]), payload)


def channel_state(venue: Venue) -> Block:
    """The state of a decoder that has seen nothing: row HERE, then a row a channel."""
    state = np.zeros((1 + len(venue.channels), rows.STATE_COLUMNS), np.int64)
    for row, channel in enumerate(venue.channels, 1):
        sequence.begin(state, row)
        state[row, rows.IS_TICKS] = channel.ticks
        state[row, rows.MARK_AT] = 0 if channel.ticks else sequence.INT_MAX
        state[row, rows.SESSION] = state[row, rows.LINK] = -1
        state[row, rows.FILE_WATERMARK] = -1
    return state
