"""Where each channel of a feed is to go on: its session and the next sequence number.

Read off the journal's own records, never off a store: what was journalled need not be sent again.
A session's place never goes back: a message that comes late fills a gap behind it.
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
    SPAN_SESSION,
    SPAN_SESSION_REST,
    Chunk,
)
from bursa.ports import Frames


def _on(place: tuple[str, int], session: str, next_seq: int) -> tuple[str, int]:
    same = bool(session) and session == place[0]
    return session, max(place[1], next_seq) if same else next_seq


def further(place: tuple[str, int], frames: Frames) -> tuple[str, int]:
    """The place of a channel after these frames, which are numbered."""
    return _on(place, frames.session, frames.first_seq + frames.count)


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
                words = spans[SPAN_SESSION : SPAN_SESSION_REST + 1, found]
                found = found[(words == words[:, -1:]).all(axis=0)]
                after = spans[SPAN_FIRST_SEQ, found] + spans[SPAN_COUNT, found]
                session = headers(chunk.frames, spans[:, found[-1:]])["session"][0].decode("ascii")
                newest = int(after.max() if session else after[-1])
                self.places[channel] = _on(self.places[channel], session, newest)

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {
            "sessions": [session for session, _ in self.places],
            "next": [next_seq for _, next_seq in self.places],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state."""
        self.places = list(zip(state["sessions"], state["next"], strict=True))
