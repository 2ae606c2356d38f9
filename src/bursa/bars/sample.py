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

from bursa.model.batch import Batch, Block, empty
from bursa.model.schema import Kind

LEVELS_MAX = 10
# Words of a key's second and third column (boards, sides), at most.
WORDS_MAX = 4
# Rows of the state: the interval that waits, how many rows wait.
_INTERVAL, _WAITING = 0, 1


@njit(nogil=True, cache=True)  # type: ignore[misc]
def thin(block, levels, keys, at, every_ns, state, slots, held, held_levels, out, out_levels, done):
    """Take rows from `at[0]` on until the input ends or `out` is full.

    block, levels   the batch; levels (3, m) may be (3, 0)
    keys            dense key of each row, int64 (n,)
    at              int64 (5,): next row, next level (in and out); rows of ts, depth, position
    state, slots    int64 (2,), and key -> place among the held rows or -1
    held            rows that wait: (columns, keys), with their levels (3, keys * LEVELS_MAX)
    done            int64 (2,): rows and levels written to `out`
    """
    columns, n = block.shape
    row, level = at[0], at[1]
    ts_row, depth_row, position_row = at[2], at[3], at[4]
    rows_out, levels_out = 0, 0
    while row < n:
        interval = block[ts_row, row] // every_ns
        if interval > state[_INTERVAL] and state[_WAITING] > 0:
            waiting = state[_WAITING]
            if rows_out + waiting > out.shape[1]:
                break
            for i in range(waiting):
                for column in range(columns):
                    out[column, rows_out] = held[column, i]
                out[position_row, rows_out] = block[position_row, row]
                if depth_row >= 0:
                    for k in range(held[depth_row, i]):
                        for part in range(3):
                            out_levels[part, levels_out] = held_levels[part, i * LEVELS_MAX + k]
                        levels_out += 1
                slots[held[columns, i]] = -1
                rows_out += 1
            state[_WAITING] = 0
        state[_INTERVAL] = max(state[_INTERVAL], interval)
        place = slots[keys[row]]
        if place < 0:
            place = state[_WAITING]
            slots[keys[row]] = place
            held[columns, place] = keys[row]
            state[_WAITING] += 1
        for column in range(columns):
            held[column, place] = block[column, row]
        if depth_row >= 0:
            depth = block[depth_row, row]
            for k in range(depth):
                for part in range(3):
                    held_levels[part, place * LEVELS_MAX + k] = levels[part, level + k]
            level += depth
        row += 1
    at[0], at[1] = row, level
    done[0], done[1] = rows_out, levels_out


class Sampler:
    """The stage for one kind. `push` returns the rows that are due; others wait in its state."""

    def __init__(self, kind: Kind, every_s: int) -> None:
        self._kind = kind
        self._every_ns = every_s * 1_000_000_000
        self._key_columns = [kind.index[k] for k in kind.key if k not in ("ts", "seq")]
        self._state = np.zeros(2, np.int64)
        self._grow(64)
        self.thinned = 0

    def _grow(self, keys: int) -> None:
        columns = len(self._kind.scalars)
        slots = np.full(keys, -1, np.int64)
        held = np.zeros((columns + 1, keys), np.int64)
        held_levels = np.zeros((3, keys * LEVELS_MAX), np.int64)
        if hasattr(self, "_slots"):
            slots[: len(self._slots)] = self._slots
            held[:, : self._held.shape[1]] = self._held
            held_levels[:, : self._held_levels.shape[1]] = self._held_levels
        self._slots, self._held, self._held_levels = slots, held, held_levels

    def push(self, batch: Batch) -> Batch:
        """Rows in, rows that are due out, with the same span."""
        if not len(batch):
            return empty(self._kind, batch.words, batch.span)
        keys = self._dense(batch.block)
        if int(keys.max()) >= len(self._slots):
            self._grow(2 * int(keys.max()) + 2)
        index = self._kind.index
        at = np.array([0, 0, index["ts"], index.get("depth", -1), index["position"]], np.int64)
        levels = batch.levels if batch.levels is not None else np.zeros((3, 0), np.int64)
        room = max(len(self._slots), len(batch)) + len(self._slots)
        out = np.empty((len(self._kind.scalars), room), np.int64)
        out_levels = np.empty((3, room * LEVELS_MAX if batch.levels is not None else 0), np.int64)
        done = np.zeros(2, np.int64)
        waiting = int(self._state[1])
        thin(
            np.ascontiguousarray(batch.block), np.ascontiguousarray(levels), keys, at,
            self._every_ns, self._state, self._slots, self._held, self._held_levels,
            out, out_levels, done,
        )  # fmt: skip
        assert at[0] == len(batch), "the room is for every row that may be released"
        rows, used = int(done[0]), int(done[1])
        self.thinned += len(batch) + waiting - rows - int(self._state[1])
        kept = out_levels[:, :used].copy() if batch.levels is not None else None
        return Batch(self._kind, out[:, :rows].copy(), batch.words, batch.span, kept)

    def _dense(self, block: Block) -> Block:
        """One small integer a key: the key columns are small non-negative integers themselves."""
        # The first column (the ticker) may grow without limit; the others are short dictionaries.
        keys = block[self._key_columns[0]].copy()
        for column in self._key_columns[1:]:
            keys = keys * WORDS_MAX + block[column]
        return keys

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
