"""Thin out what is stored: of each key, the last row in every N seconds of event time.

A pure stage between the decoder and the store's topics, for kinds whose every row is more than
history needs (order books are four fifths of a feed). Rows wait until a row of a later interval
comes on the same kind; they leave in the order in which their keys first appeared in the interval,
and bear the position of the row that released them, so that a cut of the input changes nothing.
Bars, metrics and live readers do not pass here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from bursa.model.batch import Batch, Block, Span, Words, empty
from bursa.model.schema import Kind

LEVELS_MAX = 10
# Words of a key's second and third column (boards, sides), at most.
WORDS_MAX = 4
# Rows of the state: the interval that waits, how many rows wait.
_INTERVAL, _WAITING = 0, 1
# Where the kernel finds its columns.
_TS, _DEPTH, _POSITION = 0, 1, 2
# state, slots, out, out_levels, done, at
Outlet = tuple[Block, Block, Block, Block, Block, Block]


@njit(nogil=True, cache=True)
def _release(now: Block, row: int, held: Block, held_levels: Block, to: Outlet) -> None:
    """Move the rows that wait to the outlet; they bear the position of row `row` of `now`."""
    columns = now.shape[0]
    state, slots, out, out_levels, done, at = to
    for i in range(state[_WAITING]):
        target = done[0]
        for column in range(columns):
            out[column, target] = held[column, i]
        out[at[_POSITION], target] = now[at[_POSITION], row]
        if at[_DEPTH] >= 0:
            for k in range(held[at[_DEPTH], i]):
                for part in range(3):
                    out_levels[part, done[1]] = held_levels[part, i * LEVELS_MAX + k]
                done[1] += 1
        slots[held[columns, i]] = -1
        done[0] += 1
    state[_WAITING] = 0


@njit(nogil=True, cache=True)
def thin(
    block: Block,
    levels: Block,
    keys: Block,
    every_ns: int,
    held: Block,
    held_levels: Block,
    to: Outlet,
) -> None:
    """Take all rows of a batch; what is due goes to the outlet, which has room for it.

    block, levels      the batch; levels (3, m) may be (3, 0)
    keys               dense key of each row, int64 (n,)
    held, held_levels  rows that wait: (columns + 1, keys), the last row being the key; their
                       levels (3, keys * LEVELS_MAX)
    to                 state int64 (2,); slots: key -> place among the held rows or -1; out,
                       out_levels; done int64 (2,): rows and levels written; at int64 (3,): rows of
                       ts, depth (-1: no lists) and position in the block
    """
    state, slots, _, _, _, at = to
    columns, n = block.shape
    level = 0
    for row in range(n):
        interval = block[at[_TS], row] // every_ns
        if interval > state[_INTERVAL]:
            _release(block, row, held, held_levels, to)
            state[_INTERVAL] = interval
        place = slots[keys[row]]
        if place < 0:
            place = state[_WAITING]
            slots[keys[row]] = place
            held[columns, place] = keys[row]
            state[_WAITING] += 1
        for column in range(columns):
            held[column, place] = block[column, row]
        if at[_DEPTH] >= 0:
            for k in range(block[at[_DEPTH], row]):
                for part in range(3):
                    held_levels[part, place * LEVELS_MAX + k] = levels[part, level]
                level += 1


class Sampler:
    """The stage for one kind. `push` returns the rows that are due; others wait in its state."""

    def __init__(self, kind: Kind, every_s: int) -> None:
        self._kind = kind
        self._every_ns = every_s * 1_000_000_000
        self._key_columns = [kind.index[k] for k in kind.key if k not in ("ts", "seq")]
        index = kind.index
        self._at = np.array([index["ts"], index.get("depth", -1), index["position"]], np.int64)
        self._state = np.zeros(2, np.int64)
        self._slots = np.empty(0, np.int64)
        self._held = np.empty((len(kind.scalars) + 1, 0), np.int64)
        self._held_levels = np.empty((3, 0), np.int64)
        self._grow(64)
        self.thinned = 0

    def _grow(self, keys: int) -> None:
        more = keys - len(self._slots)
        self._slots = np.concatenate((self._slots, np.full(more, -1, np.int64)))
        self._held = np.concatenate((self._held, np.zeros((len(self._held), more), np.int64)), 1)
        lists = np.zeros((3, more * LEVELS_MAX), np.int64)
        self._held_levels = np.concatenate((self._held_levels, lists), 1)

    def push(self, batch: Batch) -> Batch:
        """Rows in, rows that are due out, with the same span."""
        if not len(batch):
            return empty(self._kind, batch.words, batch.span)
        keys = self._dense(batch.block)
        if int(keys.max()) >= len(self._slots):
            self._grow(2 * int(keys.max()) + 2)
        levels = batch.levels if batch.levels is not None else np.zeros((3, 0), np.int64)
        waiting = int(self._state[_WAITING])
        room = len(batch) + waiting
        out = np.empty((len(self._kind.scalars), room), np.int64)
        lists = 0 if batch.levels is None else levels.shape[1] + waiting * LEVELS_MAX
        out_levels = np.empty((3, lists), np.int64)
        done = np.zeros(2, np.int64)
        outlet = (self._state, self._slots, out, out_levels, done, self._at)
        thin(
            np.ascontiguousarray(batch.block),
            np.ascontiguousarray(levels),
            keys,
            self._every_ns,
            self._held,
            self._held_levels,
            outlet,
        )
        rows, used = int(done[0]), int(done[1])
        self.thinned += len(batch) + waiting - rows - int(self._state[_WAITING])
        kept = out_levels[:, :used].copy() if batch.levels is not None else None
        return Batch(self._kind, out[:, :rows].copy(), batch.words, batch.span, kept)

    def release(self, words: Words, span: Span, position: int) -> Batch:
        """The rows that wait, released by the record at `position`; none waits any more."""
        waiting = int(self._state[_WAITING])
        now = np.zeros((len(self._kind.scalars), 1), np.int64)
        now[self._at[_POSITION]] = position
        out = np.empty((len(self._kind.scalars), waiting), np.int64)
        lists = waiting * LEVELS_MAX if self._kind.lists else 0
        out_levels = np.empty((3, lists), np.int64)
        done = np.zeros(2, np.int64)
        outlet = (self._state, self._slots, out, out_levels, done, self._at)
        _release(now, 0, self._held, self._held_levels, outlet)
        kept = out_levels[:, : done[1]].copy() if self._kind.lists else None
        return Batch(self._kind, out, words, span, kept)

    def _dense(self, block: Block) -> Block:
        """One small integer a key: the key columns are small non-negative integers themselves."""
        # The first column (the ticker) may grow without limit; the others are short dictionaries.
        keys = block[self._key_columns[0]].copy()
        for column in self._key_columns[1:]:
            keys = keys * WORDS_MAX + block[column]
        return keys

    def warm(self) -> None:
        """Compile the kernel for this kind's blocks."""
        other = Sampler(self._kind, 1)
        block = np.zeros((len(self._kind.scalars), 1), np.int64)
        levels = np.empty((3, 0), np.int64) if self._kind.lists else None
        words, span = Words((), ()), Span("", 0, 0, 0)
        other.push(Batch(self._kind, block, words, span, levels))
        other.release(words, span, 0)

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {
            "state": self._state.copy(),
            "slots": self._slots.copy(),
            "held": self._held.copy(),
            "levels": self._held_levels.copy(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state."""
        self._state, self._slots = state["state"], state["slots"]
        self._held, self._held_levels = state["held"], state["levels"]
