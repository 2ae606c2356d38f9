"""What is known of a venue right now, as its readers see it; and the rows of late.

`Present` is filled by the running pipeline. `Recent` bridges the time until the store has committed
a row, so that a gap counts from the moment it is seen and no index row is missed by who asks on.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from bursa.model.batch import Batch, concat
from bursa.model.schema import INDEX, STATUS

# The store commits within seconds. A day has a few dozen status rows, a second some index rows.
STATUS_ROWS_MAX = 20_000
INDEX_ROWS_MAX = 8_192
_BATCHES_MAX = 64


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


class Recent:
    """The newest rows of one venue that readers may ask for before the store has them: status and
    index rows. Fed by the ingest thread, read on any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = {STATUS.name: _Rows(STATUS_ROWS_MAX), INDEX.name: _Rows(INDEX_ROWS_MAX)}

    def feed(self, batches: Sequence[Batch]) -> None:
        """Take what is kept among batches in stream order; the oldest of too many rows go."""
        for batch in batches:
            kept = self._kept.get(batch.kind.name)
            if kept is not None and len(batch):
                with self._lock:
                    kept.take(batch)

    def status(self) -> Batch | None:
        """The status rows in stream order; None where there are none."""
        with self._lock:
            return self._kept[STATUS.name].rows()

    def index(self) -> Batch | None:
        """The index rows in stream order; None where there are none."""
        with self._lock:
            return self._kept[INDEX.name].rows()


class _Rows:
    """The newest rows of one kind: some batches, joined now and then so that they stay few."""

    def __init__(self, rows_max: int) -> None:
        self._rows_max = rows_max
        self._batches: list[Batch] = []

    def take(self, batch: Batch) -> None:
        self._batches.append(batch)
        if len(self._batches) > _BATCHES_MAX:
            self._join()

    def rows(self) -> Batch | None:
        self._join()
        return self._batches[0] if self._batches else None

    def _join(self) -> None:
        if not self._batches:
            return
        joined = concat(self._batches)
        block = joined.block[:, -self._rows_max :]
        self._batches = [replace(joined, block=np.ascontiguousarray(block))]
