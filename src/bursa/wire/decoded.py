"""What a decoder hands on: the tape, the batches, the refused records, the counts; and books.

Every codec of wire/ returns this, so that bars, stores and quarantine know one form. It decodes
nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bursa.model.batch import Batch, Block


@dataclass(frozen=True, slots=True)
class Rejected:
    """One message that was refused; the stream went on behind it.

    reason    short stable word, e.g. `unknown_type` (the codec's module lists its own)
    position  journal position of the record it came in
    channel   index into the venue's channels
    payload   its bytes, at most PAYLOAD_BYTES_MAX of them
    """

    reason: str
    position: int
    channel: int
    payload: bytes


# What quarantine keeps of one refused message; a lost framing can leave megabytes behind it.
PAYLOAD_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Decoded:
    """All that one chunk gave.

    tape     int64 (TAPE_ROWS, n): trades and the rows that move watermarks, in stream order
             (model/batch.py); never written again
    batches  kind name -> rows, only kinds that have any; all bear the chunk's span
    rejects  refused messages in stream order
    counts   what happened, by word, only those above zero: `messages`, `duplicates`, `gaps`,
             `missing`, `rejected_<reason>` and what else the codec counts
    end      journal position up to which all of this goes; also where nothing came of the chunk
    sums     int64 (5, n), of a codec that keeps the books itself: at every minute's end, what the
             best 5 levels of the books hold that were traded lately: symbol, bits of the bids' and
             of the asks' volume (NaN: not known), the newest ts that counts, position
    """

    tape: Block
    batches: Mapping[str, Batch]
    rejects: Sequence[Rejected] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    end: int = 0
    sums: Block = field(default_factory=lambda: np.empty((5, 0), np.int64))


@dataclass(frozen=True, slots=True)
class BookSide:
    """Levels of one side, best first: prices, quantities, numbers of orders."""

    prices: NDArray[np.float64]
    volumes: NDArray[np.int64]
    orders: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Book:
    """Both sides of a book; `whole`: no message of the session is missing, none was left out."""

    bids: BookSide
    asks: BookSide
    whole: bool
