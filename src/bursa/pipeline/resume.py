"""Where each channel of a feed is to go on: its session and the next sequence number.

Read off the journal's own records, never off a store: what was journalled need not be sent again.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bursa.journal.record import headers
from bursa.model.batch import (
    FRAMES,
    SPAN_CHANNEL,
    SPAN_COUNT,
    SPAN_FIRST_SEQ,
    SPAN_KIND,
    Chunk,
)


class Resume:
    """The places of all channels of one venue; ("", 1) is a channel that brought nothing yet."""

    def __init__(self, channels: int) -> None:
        self.places: list[tuple[str, int]] = [("", 1)] * channels

    def see(self, chunk: Chunk) -> None:
        """Take note of the records of one chunk."""
        spans = chunk.spans
        numbered = (spans[SPAN_KIND] == FRAMES) & (spans[SPAN_FIRST_SEQ] > 0)
        for channel in range(len(self.places)):
            found = np.flatnonzero(numbered & (spans[SPAN_CHANNEL] == channel))
            if len(found):
                last = spans[:, found[-1:]]
                session = headers(chunk.frames, last)["session"][0].decode("ascii")
                next_seq = int(last[SPAN_FIRST_SEQ, 0] + last[SPAN_COUNT, 0])
                self.places[channel] = (session, next_seq)

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {
            "sessions": [session for session, _ in self.places],
            "next": [next_seq for _, next_seq in self.places],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state."""
        self.places = list(zip(state["sessions"], state["next"], strict=True))
