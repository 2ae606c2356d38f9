"""What is known of a venue right now, as its readers see it; and the status rows of late.

`Present` is filled by the running pipeline. `RecentStatus` bridges the time until the store has
committed a status row, so that a gap counts from the moment it is seen.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from bursa.model.batch import Batch, concat
from bursa.model.schema import STATUS

# The store commits within seconds, and a day has a few dozen rows.
STATUS_ROWS_MAX = 20_000


class Contract(Protocol):
    """An instrument as its venue describes it; prev_close is NaN where there is none."""

    @property
    def ticker(self) -> str:
        """Its code."""

    @property
    def board(self) -> str:
        """Its market board."""

    @property
    def name(self) -> str:
        """The issuer's or pair's name, "" where the venue tells none."""

    @property
    def lot(self) -> int:
        """Units a lot."""

    @property
    def currency(self) -> str:
        """Quote currency."""

    @property
    def prev_close(self) -> float:
        """Previous close, quote currency."""

    @property
    def price_decimals(self) -> int:
        """Decimals that a price is shown with."""

    @property
    def volume_decimals(self) -> int:
        """Decimals of one unit of volume."""


class Present(Protocol):
    """The present state of one venue. Answers from memory, on any thread."""

    @property
    def contracts(self) -> Mapping[str, Contract]:
        """Instruments by ticker."""

    def last(self, kind: str, ticker: str | None = None) -> Batch:
        """The newest row of each symbol, or of one: `ticks`, `quotes`, `snapshot`, `index`. Trades
        and day figures are those of the bar board."""


class RecentStatus:
    """The newest status rows of one venue. Fed by the ingest thread, read on any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches: deque[Batch] = deque()
        self._rows = 0

    def feed(self, batches: Sequence[Batch]) -> None:
        """Take the status rows among batches in stream order; the oldest of too many go."""
        for batch in batches:
            if batch.kind is not STATUS or not len(batch):
                continue
            with self._lock:
                self._batches.append(batch)
                self._rows += len(batch)
                while self._rows > STATUS_ROWS_MAX and len(self._batches) > 1:
                    self._rows -= len(self._batches.popleft())

    def rows(self) -> Batch | None:
        """All of them in stream order; None where there are none."""
        with self._lock:
            return concat(list(self._batches)) if self._batches else None
