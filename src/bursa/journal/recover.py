"""What a journal is found to be when it is opened to write, and where it goes on.

Truncated is only what nobody was promised. Of the last segment, in this order:
- damage before the floor (what a store has committed) or before the mark (what was synced) stays
  where it is, confined and reported, even if nothing valid follows: those bytes were durable once;
- damage after both, though valid records follow it, is a hole that a power loss tore into bytes
  that were never synced: the journal is cut there, and the source sends the rest again;
- with no mark to tell, damage with valid records after it is confined, an invalid tail is cut.
A file that ends before the floor is not the store's journal, or has lost what was durable: the
start is refused. Older segments were synced before the next one began, and are not looked at.
"""

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from bursa.journal.read import Found, Walk
from bursa.journal.record import CHANNELS_MAX, Damage, headers
from bursa.journal.segment import HEADER, TEMPORARY, Segment, listing, opened, sync_folder
from bursa.model.batch import FRAMES, SPAN_CHANNEL, SPAN_KIND, SPAN_POSITION, SPAN_TS_RECV
from bursa.model.errors import Refuse

MARK = "synced"
_MARK = struct.Struct("<qqQ")


@dataclass(slots=True)
class Recovered:
    """Where the journal goes on.

    base       address of the next segment
    position   of the last record, or of the damage that is kept after it
    epoch      of this opening
    ts_recv    newest receive time so far
    totals, sessions   a channel's payload bytes and newest session
    damaged    what is damaged in the last segment and kept
    truncated  what was cut off it
    """

    base: int = 0
    position: int = 0
    epoch: int = 0
    ts_recv: int = 0
    totals: list[int] = field(default_factory=lambda: [0] * CHANNELS_MAX)
    sessions: list[bytes] = field(default_factory=lambda: [b""] * CHANNELS_MAX)
    damaged: list[Damage] = field(default_factory=list)
    truncated: Damage | None = None

    def take(self, found: Found) -> None:
        """Go on past these records."""
        spans = found.spans
        self.ts_recv = max(self.ts_recv, int(spans[SPAN_TS_RECV].max()))
        self.epoch = max(self.epoch, found.epoch)
        self.position = int(spans[SPAN_POSITION, -1])
        framed = np.flatnonzero(spans[SPAN_KIND] == FRAMES)
        _, from_end = np.unique(spans[SPAN_CHANNEL, framed[::-1]], return_index=True)
        for head in headers(found.frames, spans[:, framed[::-1][from_end]]):
            channel = int(head["channel"])
            self.totals[channel] = int(head["base"]) + int(head["length"])
            self.sessions[channel] = bytes(head["session"])
            self.epoch = max(self.epoch, int(head["epoch"]))


class Mark:
    """The file that says up to where the journal was synced, and the newest epoch. Written after
    each sync, not synced itself: after a power loss it may be older than the truth, never newer."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def read(self) -> tuple[int, int] | None:
        """(position, epoch); None where it says nothing."""
        data = os.pread(self._fd, _MARK.size, 0)
        if len(data) < _MARK.size or xxh3_64_intdigest(data[:16]) != _MARK.unpack(data)[2]:
            return None
        position, epoch, _ = _MARK.unpack(data)
        return position, epoch

    def write(self, position: int, epoch: int) -> None:
        """All up to `position` is on disk."""
        data = struct.pack("<qq", position, epoch)
        os.pwrite(self._fd, data + struct.pack("<Q", xxh3_64_intdigest(data)), 0)

    def sync(self) -> None:
        """Make it durable, once an opening: a hole after a power loss is then told from a tail."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)


def recover(folder: Path, mark: tuple[int, int] | None, floor: int, trusted: int) -> Recovered:
    """Bring the end of a journal in order.

    mark     what Mark.read said
    floor    the highest committed position: never cut below it
    trusted  an address up to which the records were verified before
    Refuses (journal_short) where the files end before `floor`; nothing is changed then.
    """
    state = Recovered(epoch=mark[1] if mark else 0)
    segments = listing(folder)
    end = _file_end(segments[-1]) if segments else 0
    if end < floor:
        raise Refuse(
            f"{folder}: the journal ends at {end}, but the store has committed {floor}: "
            "either the journal lost what was on disk, or it is not this store's journal",
            code="journal_short",
            status=503,
        )
    for path in folder.glob(f"*{TEMPORARY}"):
        path.unlink()
    synced = mark[0] if mark and mark[0] <= end else None
    if mark and synced is None:
        state.damaged.append(Damage(end, mark[0] - end, "missing"))
    for segment in _from_last_head(segments):
        end = _examine(segment, segment is segments[-1], state, (floor, synced, trusted))
    state.base = end
    state.position = max(state.position, floor)
    state.epoch += 1
    return state


def _file_end(segment: Segment) -> int:
    """Address after the last byte of the file, whole words or not."""
    return segment.end if segment.packed else segment.base + segment.disk_bytes


def _from_last_head(segments: list[Segment]) -> list[Segment]:
    """The last segment, and those before it that are needed to know what came before: as far back
    as the newest header that can be read."""
    for at in range(len(segments) - 1, -1, -1):
        with opened(segments[at].path) as source:
            if Walk(source, segments[at].base).head is not None:
                return segments[at:]
    return segments


def _examine(
    segment: Segment, last: bool, state: Recovered, known: tuple[int, int | None, int]
) -> int:
    """Read one segment into `state`; the last one is cut where that is right. Returns where the
    next one begins."""
    floor, synced, trusted = known
    end = _file_end(segment)
    with opened(segment.path) as source:
        walk = Walk(source, segment.base, trusted)
        _take_head(walk, segment, state)
        for item in walk.go(segment.base, walk.stop):
            if isinstance(item, Found):
                state.take(item)
                continue
            at, reaches_end = item.position, item.position + item.bytes == walk.stop
            torn = at >= synced if synced is not None else reaches_end
            if last and not segment.packed and at >= floor and torn:
                state.truncated = Damage(at, end - at, item.reason)
                end = at
                break
            state.damaged.append(item)
            state.position = item.position + item.bytes
    if last and not segment.packed:
        if end > walk.stop >= floor:
            state.truncated, end = Damage(walk.stop, end - walk.stop, "cut"), walk.stop
        _settle(segment, end)
    return (end + 7) & ~7


def _take_head(walk: Walk, segment: Segment, state: Recovered) -> None:
    head = walk.head
    if head is None:
        size = min(HEADER, walk.stop - walk.base)
        state.damaged.append(Damage(segment.base, size, "segment header"))
        return
    state.epoch = max(state.epoch, head.epoch)
    state.position = max(state.position, head.previous)
    state.ts_recv = max(state.ts_recv, head.ts_recv)
    state.totals[:] = head.totals
    state.sessions[:] = head.sessions


def _settle(segment: Segment, end: int) -> None:
    """Cut the file at `end`, or fill its last word; and make it durable: what a killed process left
    in the page cache is not yet."""
    fd = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = ((end + 7) & ~7) - segment.base
        if size != segment.disk_bytes:
            os.ftruncate(fd, size)
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(segment.path.parent)
