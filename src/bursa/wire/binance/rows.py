"""Rows of one chunk while they are collected, and the batches that they become.

Knows in which order the columns stand (model/schema.py), not what the messages mean (decoder.py).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bursa.model.batch import TAPE_ROLE, TAPE_ROWS, TRADE, Batch, Block, Chunk, Words
from bursa.model.calendar import DAY_NS
from bursa.model.errors import Reject
from bursa.model.schema import (
    CAUSES,
    CONTRACTS,
    INT_NULL,
    ORDERBOOK,
    QUOTES,
    STATES,
    STATUS,
    TICKS,
    Kind,
)
from bursa.wire.decoded import PAYLOAD_BYTES_MAX, Decoded, Rejected

Row = tuple[Any, ...]

_NO_GAP = (INT_NULL, INT_NULL, INT_NULL, "")


class Rows:
    """Everything that one chunk gives. `record` says which record the next rows come from.

    tape, quotes, contracts   rows as tuples in column order; floats as floats, texts as ids
    counts                    what happened, by word
    """

    def __init__(self, chunk: Chunk, words: Words) -> None:
        self.channel = 0
        self.position = chunk.span.first
        self._ts_recv = 0
        self._span = chunk.span
        self._words = words
        self.tape: list[Row] = []
        self.quotes: list[Row] = []
        self.contracts: list[Row] = []
        self.counts: Counter[str] = Counter()
        self._status: list[Row] = []
        self._books: list[Row] = []
        self._prices: list[float] = []
        self._volumes: list[float] = []
        self._rejects: list[Rejected] = []

    def record(self, channel: int, ts_recv: int, position: int) -> None:
        """The record that causes what follows."""
        self.channel = channel
        self.position = position
        self._ts_recv = ts_recv

    def recv(self, ts: int) -> int:
        """Receive time of the record; the row's own where its source has none."""
        return self._ts_recv if self._ts_recv >= 0 else ts

    def believed(self, ts: int) -> int:
        """The ts itself. Reject `bad_ts` where it lies a day or more past its receive time: taken,
        it would close every bar for good."""
        if 0 < self._ts_recv < ts - DAY_NS:
            raise Reject("bad_ts", f"{ts} was received at {self._ts_recv}")
        return ts

    def mark(self, ts: int, role: int) -> None:
        """A row of the tape that is no trade."""
        nothing = (-1, ts, 0, -1, 0.0, 0.0, -1, 0)
        self.tape.append((*nothing, self.recv(ts), self.position, role, self.channel))

    def status(self, ts: int, state: str, gap: Row = _NO_GAP, next_seq: int = 0) -> None:
        """A row of `status`. gap: first and last missing id, time before it, cause."""
        *ids, cause = gap
        head = (self.channel, ts, STATES.index(state), *ids)
        known = CAUSES.index(cause) if cause else -1
        self._status.append((*head, known, next_seq, self.recv(ts), self.position))

    def book(self, row: Row, prices: Sequence[float], volumes: Sequence[float]) -> None:
        """A row of `orderbook` with its levels."""
        self._books.append(row)
        self._prices += prices
        self._volumes += volumes

    def reject(self, reason: str, payload: bytes) -> None:
        """Quarantine one message."""
        self.counts[f"rejected_{reason}"] += 1
        payload = payload[:PAYLOAD_BYTES_MAX]
        self._rejects.append(Rejected(reason, self.position, self.channel, payload))

    def decoded(self) -> Decoded:
        """All of it."""
        tape = _block(TICKS, self.tape, TAPE_ROWS)
        blocks = {
            TICKS: np.ascontiguousarray(tape[: len(TICKS.scalars), tape[TAPE_ROLE] == TRADE]),
            QUOTES: _block(QUOTES, self.quotes),
            ORDERBOOK: _block(ORDERBOOK, self._books),
            CONTRACTS: _block(CONTRACTS, self.contracts),
            STATUS: _block(STATUS, self._status),
        }
        batches = {
            kind.name: Batch(
                kind, block, self._words, self._span, self._levels() if kind.lists else None
            )
            for kind, block in blocks.items()
            if block.shape[1]
        }
        counts = {word: count for word, count in self.counts.items() if count}
        return Decoded(tape, batches, self._rejects, counts, self._span.last)

    def _levels(self) -> Block:
        prices, volumes = np.array(self._prices), np.array(self._volumes)
        orders = np.full(len(prices), -1, np.int64)  # the venue tells none
        return np.stack([prices.view(np.int64), volumes.view(np.int64), orders])


def _block(kind: Kind, rows: Sequence[Row], height: int = 0) -> Block:
    """Rows as a block of the kind; `height` where more int columns follow its own."""
    block = np.empty((height or len(kind.scalars), len(rows)), np.int64)
    if not rows:
        return block
    floats = {at for at, column in enumerate(kind.scalars) if column.dtype == "float"}
    for at, column in enumerate(zip(*rows, strict=True)):
        if at in floats:
            block[at].view(np.float64)[:] = column
        else:
            block[at] = column
    return block
