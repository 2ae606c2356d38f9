"""Refused messages, tried again: what the present decoder takes is journalled once more.

Each is decoded first by a copy of the decoder as it stands, so that what is refused again, or was
taken before, changes nothing. What is taken becomes a record of its own, in its channel and form,
and goes the way of every record: it fills the gap that it left, its bar is revised. A SETTING
record behind them names the rows that were taken; the line makes rows of it, so that the table
tells what became of a message, after a rebuild too. Runs between two pushes of the line.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from bursa.journal.record import Control, padded, setting
from bursa.model.batch import (
    FRAMES,
    SPAN_CHANNEL,
    SPAN_COUNT,
    SPAN_END,
    SPAN_FIRST_SEQ,
    SPAN_FORM,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_ROWS,
    SPAN_SESSION,
    SPAN_SESSION_REST,
    SPAN_TS_RECV,
    Chunk,
    Span,
)
from bursa.pipeline.control import journal
from bursa.pipeline.line import TAKEN, Decoder
from bursa.pipeline.quarantine import Chosen, Message, Row, messages, rows_sql
from bursa.pipeline.runtime import VenueRuntime
from bursa.ports import Frames
from bursa.store.folder import Handler
from bursa.store.sql import Answer, Limits

RETRY = "quarantine_retry"
ROWS_MAX = 10_000
"""Messages of one retry; those left over are told, and wait for the next."""
_LIMITS = Limits(ROWS_MAX + 1, 60.0)
# What became of a message: taken, refused again (and why), known already, of a session that is
# over, or no whole message.
TOOK, AGAIN, KNOWN, STALE, BROKEN = "taken", "refused", "known", "stale", "not whole"


class Answering(Protocol):
    """A store that answers a SELECT."""

    def select(self, text: str, limits: Limits) -> Answer:
        """One read-only SELECT."""


class Outcome(NamedTuple):
    """What became of a row. why: the reason, where it was refused."""

    name: str
    reason: str
    outcome: str
    why: str


def handlers(runtimes: Mapping[str, VenueRuntime], store: Answering) -> dict[str, Handler]:
    """What the holder of a folder answers (store/folder.py)."""

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        chosen = Chosen(**payload["chosen"])
        runtime = runtimes[str(payload["venue"])]
        done, left = retry(runtime, store, chosen, dry_run=bool(payload["dry_run"]))
        return {"rows": [list(outcome) for outcome in done], "left": left}

    return {RETRY: answer}


def retry(
    runtime: VenueRuntime, store: Answering, chosen: Chosen, *, dry_run: bool
) -> tuple[list[Outcome], bool]:
    """Try the chosen messages again, the oldest first; whether some are left over. `dry_run`: say
    only what would become of them. Raises what `messages` raises, and Retry where nothing can be
    journalled."""
    venue = runtime.venue
    found = store.select(rows_sql(venue.name, chosen, ROWS_MAX + 1), _LIMITS).rows
    rows = [Row(*row) for row in found[:ROWS_MAX]]
    # Equal messages of one record are told apart by those before them.
    before = _before(store, venue.name, rows)
    wanted = {row.name for row in rows if not row.taken}
    channels = {channel.name: at for at, channel in enumerate(venue.channels)}
    every = [*before, *rows]
    tried = [m for m in messages(runtime.folder, every) if m.row.name in wanted]
    done = [Outcome(row.name, row.reason, KNOWN, "") for row in rows if row.taken]

    def items() -> list[Frames | Control]:
        took = list(_try(runtime, tried, done))
        if dry_run or not took:
            return []
        names = [[m.row.position, m.row.nth, channels[m.row.channel], m.row.length] for m in took]
        return [*(m.frames for m in took if m.frames is not None), setting({TAKEN: names})]

    journal(runtime, items)
    return done, len(found) > ROWS_MAX


def _before(store: Answering, venue: str, rows: Sequence[Row]) -> list[Row]:
    """Rows of the chosen ones' records that stand before them and were not chosen."""
    chosen = {row.name for row in rows}
    later = sorted({row.position for row in rows if row.nth})
    found: list[Row] = []
    for position in later:
        text = rows_sql(venue, Chosen(position), ROWS_MAX + 1)
        found += [Row(*row) for row in store.select(text, _LIMITS).rows]
    return [row for row in found if row.name not in chosen]


def _try(runtime: VenueRuntime, tried: Sequence[Message], done: list[Outcome]) -> Sequence[Message]:
    """The messages that the decoder takes now; what became of all of them goes to `done`."""
    took = []
    probe = _copy_of_decoder(runtime)
    position = runtime.journal.position
    for message in tried:
        position += 1
        outcome, why = BROKEN, ""
        if message.frames is not None:
            outcome, why = _outcome(probe, message.frames, position, runtime.clock.now_ns())
        done.append(Outcome(message.row.name, message.row.reason, outcome, why))
        if outcome == TOOK:
            took.append(message)
    return took


def _copy_of_decoder(runtime: VenueRuntime) -> Decoder:
    """A decoder of its own, in the line's state."""
    state, words = runtime.line.snapshot(), runtime.venue.words()
    words.restore(state["words"])
    probe = runtime.parts.decoder(runtime.venue, words)
    probe.restore(state["decoder"])
    return probe


def _outcome(probe: Decoder, frames: Frames, position: int, now_ns: int) -> tuple[str, str]:
    decoded = probe.push(_chunk(frames, position, now_ns))
    if decoded.rejects:
        return AGAIN, decoded.rejects[0].reason
    if decoded.counts.get("stale", 0):
        return STALE, ""
    return (KNOWN if decoded.counts.get("duplicates", 0) else TOOK), ""


def _chunk(frames: Frames, position: int, now_ns: int) -> Chunk:
    """A record as a decoder sees it, without a journal."""
    size = len(frames.payload)
    buffer = np.zeros(padded(size), np.uint8)
    buffer[:size] = np.frombuffer(frames.payload, np.uint8)
    spans = np.zeros((SPAN_ROWS, 1), np.int64)
    session = np.frombuffer(frames.session.encode("ascii").ljust(16, b"\0"), np.int64)
    for row, value in (
        (SPAN_KIND, FRAMES),
        (SPAN_FORM, frames.form),
        (SPAN_CHANNEL, frames.channel),
        (SPAN_END, size),
        (SPAN_TS_RECV, now_ns),
        (SPAN_POSITION, position),
        (SPAN_FIRST_SEQ, frames.first_seq),
        (SPAN_COUNT, frames.count),
        (SPAN_SESSION, session[0]),
        (SPAN_SESSION_REST, session[1]),
    ):
        spans[row] = value
    return Chunk(buffer, spans, Span("", 0, position - 1, position))
