"""Which ids of a growing sequence were seen: an interval set, kept as what is missing.

Ids come nearly in order, so the set is its first id, the next one expected, and the holes between.
Says what is new and what is not; does not know what an id names.
"""

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

# Past this many holes the lowest is given up: its ids count as seen from then on.
HOLES_MAX = 1_024


class IdSet:
    """Ids >= 0 that were taken.

    first, next    lowest id taken, and one above the highest; 0 and 0 while there is none
    given_up       holes that were forgotten because there were too many
    """

    __slots__ = ("_ends", "_starts", "first", "given_up", "next")

    def __init__(self) -> None:
        self.first = 0
        self.next = 0
        self.given_up = 0
        self._starts: list[int] = []  # of the holes, ascending; each is [start, end)
        self._ends: list[int] = []

    def take(self, number: int) -> tuple[bool, int]:
        """Add an id. (was it new, how many ids in front of it were jumped over)."""
        ahead = number - self.next
        if ahead == 0 and self.next:
            self.next += 1
            return True, 0
        if not self.next:
            self.first, self.next = number, number + 1
            return True, 0
        if ahead > 0:
            self._open(self.next, number)
            self.next = number + 1
            return True, ahead
        if number < self.first:
            self._open(number + 1, self.first)
            self.first = number
            return True, 0
        return self._fill(number), 0

    def _open(self, start: int, end: int) -> None:
        if start == end:
            return
        at = bisect_right(self._starts, start)
        self._starts.insert(at, start)
        self._ends.insert(at, end)
        if len(self._starts) > HOLES_MAX:
            del self._starts[0], self._ends[0]
            self.given_up += 1

    def _fill(self, number: int) -> bool:
        """True if the id lay in a hole; it does no longer."""
        at = bisect_right(self._starts, number) - 1
        if at < 0 or number >= self._ends[at]:
            return False
        start, end = self._starts[at], self._ends[at]
        del self._starts[at], self._ends[at]
        self._open(start, number)
        self._open(number + 1, end)
        return True

    def snapshot(self) -> NDArray[np.int64]:
        """State for a checkpoint: first, next, given_up, then start and end of each hole."""
        flat = [self.first, self.next, self.given_up]
        for pair in zip(self._starts, self._ends, strict=True):
            flat += pair
        return np.array(flat, np.int64)

    def restore(self, state: NDArray[np.int64]) -> None:
        """Take a checkpoint's state; whatever was there is forgotten."""
        self.first, self.next, self.given_up, *holes = state.tolist()
        self._starts, self._ends = holes[0::2], holes[1::2]
