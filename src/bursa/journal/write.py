"""Append records to a journal: one write a call, and the bytes go on to the decoder uncopied.

How it writes was chosen by measurement (2 cores, ext4, 2 GB in 1 MiB writes, a sync each MiB):
    plain append                                       2.2 ns of processor a byte,   390 MB/s
    plain append, pages dropped 4 MiB behind the sync  0.2,                         2,000 MB/s
    the same with blocks reserved before               0.2,                         2,100 MB/s
    the same, dropped 64 MiB behind                    0.6,                         1,100 MB/s
    O_DIRECT                                           0.1 (0.7 in 64 KiB writes), 1,950 MB/s
    overwriting a file filled with zeros before        0.1, but it is written twice
Most of a write's cost is the page that the cache needs for it (on a virtual machine it may have to
come from the host), so pages that are on disk are given back at once and used again. None of the
others makes an fdatasync quicker but overwriting (0.12 instead of 0.25 ms for 256 KiB); O_DIRECT
makes each append wait for the disk, O_DSYNC too. Who lags behind by more than that reads from disk.

Does not decide when to sync (sync.py) and does not compress (compress.py).
"""

import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from bursa.journal.record import (
    CHANNELS_MAX,
    CHECKSUM,
    HEADER,
    MAGIC,
    PACK,
    PAYLOAD_MAX,
    SESSION_MAX,
    Control,
    padded,
    scan,
    warm,
)
from bursa.journal.recover import Mark, Recovered, recover
from bursa.journal.segment import CACHE_BYTES, Head, name_of, pack_head, write_whole
from bursa.journal.segment import HEADER as SEGMENT_HEADER
from bursa.model.batch import BLOCKS, FRAMES, SPAN_ROWS, Chunk, Span
from bursa.model.errors import Refuse
from bursa.ports import Frames

SEGMENT_BYTES = 256 << 20
_DAY_NS = 86_400 * 10**9
_ZEROS = bytes(8)


class JournalWriter:
    """The one writer of a venue's journal. Opening it brings the end in order (recover.py), counts
    a new epoch and begins a new segment; all that was kept is durable then.

    floor          the highest position that a store has committed: the journal is never cut below
                   it, and one that ends before it refuses to open (Refuse journal_short)
    trusted        an address up to which the records were verified before: opening is quicker
    segment_bytes  a segment is closed before it grows past this, and when the UTC day of ts_recv
                   changes
    damaged        what the last segment holds that is no valid record, and was kept
    truncated      what was cut off its end

    `append` and `roll` belong to one thread, `sync` may run in another at the same time. A second
    writer of the same folder refuses (journal_held).
    """

    def __init__(
        self,
        folder: Path,
        venue: str,
        *,
        now_ns: Callable[[], int],
        floor: int = 0,
        trusted: int = 0,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        warm()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.venue = venue
        self.appended: Callable[[int], None] | None = None
        self._now_ns = now_ns
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._failed: OSError | None = None
        self._fd = -1
        self._base = self._end = self._dropped = self._day = 0
        self._held = _hold(folder)
        self._mark = Mark(folder)
        try:
            state = recover(folder, self._mark.read(), floor, trusted)
            self._take(state)
            self._begin(state.base)
        except BaseException:
            self.close()
            raise

    def _take(self, state: Recovered) -> None:
        self.epoch = state.epoch
        self.damaged = state.damaged
        self.truncated = state.truncated
        self._position = self._synced = state.position
        self._ts_recv = state.ts_recv
        self._totals = state.totals
        self._sessions = state.sessions

    @property
    def position(self) -> int:
        """Position of the last record appended."""
        return self._position

    @property
    def synced(self) -> int:
        """The position up to which everything is on disk."""
        return self._synced

    @property
    def base(self) -> int:
        """Address of the segment that is being written; those before it are closed."""
        return self._base

    @property
    def ts_recv(self) -> int:
        """The newest receive time, ns UTC; 0 for an empty journal."""
        return self._ts_recv

    def session(self, channel: int) -> str:
        """The session of the channel's newest frames, over all openings; "" where it has none."""
        return self._sessions[channel].decode("ascii")

    def append(self, items: Sequence[Frames | Control]) -> Chunk:
        """Append records in one write, at least one, and return them as the decoder wants them.

        A ts_recv of 0 becomes now; one below the newest becomes the newest; -1 stays. A payload
        has at most PAYLOAD_MAX bytes. Raises OSError when the disk is full or fails: nothing of
        this call is in the journal then, and a later call may succeed; after a failed sync none
        will, because what it left undone is not known.
        """
        self._check()
        sizes = [padded(len(item.payload)) for item in items]
        total = sum(sizes)
        now = self._now_ns()
        day = self._newest(items, now) // _DAY_NS
        if self._due(total, day):
            self.roll()
        frames = np.empty(total, np.uint8)
        view = frames.data
        newest, totals, sessions = self._pack(view, items, sizes, now)
        self._write(view)
        spans = np.empty((SPAN_ROWS, len(items)), np.int64)
        scan(frames.view(np.int64), self._end, self.epoch, spans)
        first, self._end = self._position, self._end + total
        self._ts_recv, self._totals, self._sessions = newest, totals, sessions
        self._day = day
        self._position = self._end
        if self.appended is not None:
            self.appended(self._end)
        return Chunk(frames, spans, Span(self.venue, self.epoch, first, self._end))

    def _newest(self, items: Sequence[Frames | Control], now: int) -> int:
        """The newest receive time after these records."""
        return max(self._ts_recv, *[item.ts_recv or now for item in items])

    def _pack(
        self, view: memoryview, items: Sequence[Frames | Control], sizes: Sequence[int], now: int
    ) -> tuple[int, list[int], list[bytes]]:
        """Fill the buffer with headers, payloads and checksums; what the journal knows after it."""
        newest, epoch, at = self._ts_recv, self.epoch, 0
        totals, sessions = self._totals.copy(), self._sessions.copy()
        for item, size in zip(items, sizes, strict=True):
            payload, channel = item.payload, item.channel
            length = len(payload)
            assert length <= PAYLOAD_MAX and 0 <= channel < CHANNELS_MAX, (
                "the feed keeps the limits"
            )
            ts_recv = item.ts_recv or now
            if ts_recv >= 0:
                ts_recv = newest = max(newest, ts_recv)
            if isinstance(item, Control):
                kind, form, seq, count, session = item.kind, BLOCKS, 0, 0, b""
                base = totals[channel]
            else:
                kind, form, seq, count = FRAMES, item.form, item.first_seq, item.count
                session = sessions[channel] = item.session.encode("ascii")
                assert len(session) <= SESSION_MAX, "the feed keeps the limits"
                base = totals[channel]
                totals[channel] = base + length
            fields = (kind, form, channel, length, epoch, ts_recv, seq, base, count, 0, session)
            PACK.pack_into(view, at, 0, MAGIC, *fields)
            end, filled = at + size, at + HEADER + length
            view[at + HEADER : filled] = payload
            if filled != end:
                view[filled:end] = _ZEROS[: end - filled]
            checksum = xxh3_64_intdigest(view[at + 8 : end], self._end + at)
            CHECKSUM.pack_into(view, at, checksum)
            at = end
        return newest, totals, sessions

    def _due(self, total: int, day: int) -> bool:
        """Does the segment end before a write of `total` bytes on this UTC day?"""
        size = self._end - self._base
        if size == SEGMENT_HEADER:
            return False
        return size + total > self._segment_bytes or day != self._day

    def _write(self, view: memoryview) -> None:
        """All of it at the end of the file, or nothing."""
        offset, done = self._end - self._base, 0
        try:
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], offset + done)
        except OSError:
            # Should this fail as well, the next append overwrites what is there, and an opening
            # cuts it off.
            with suppress(OSError):
                os.ftruncate(self._fd, offset)
            raise

    def roll(self) -> None:
        """Close the segment and begin the next, the old one being synced first: a power loss never
        leaves a hole before a later segment. Raises OSError; the old one is written on then."""
        with self._lock:
            self._check()
            self._flush()
            self._begin(self._end)

    def _begin(self, base: int) -> None:
        """Create the segment at `base`; the bytes before it are durable."""
        head = Head(
            self.venue,
            self.epoch,
            base,
            self._position,
            self._now_ns(),
            self._ts_recv,
            tuple(self._totals),
            tuple(self._sessions),
        )
        path = self.folder / name_of(base)
        write_whole(path, [pack_head(head)])
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._base, self._end = fd, base, base + SEGMENT_HEADER
        self._dropped = 0
        self._day = self._ts_recv // _DAY_NS
        self._mark.write(self._position, self.epoch)
        self._mark.sync()

    def sync(self) -> int:
        """Bring what was appended until now to the disk; returns the position. Raises OSError when
        that fails, then and ever after: the kernel forgets what it could not write."""
        with self._lock:
            self._check()
            return self._flush()

    def _flush(self) -> int:
        position = self._position
        if position != self._synced:
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                self._failed = error
                raise
            self._synced = position
            self._mark.write(position, self.epoch)
            self._give_back(position)
        return position

    def _give_back(self, position: int) -> None:
        """Let the page cache have what is on disk, but for the newest."""
        until = position - self._base - CACHE_BYTES
        if until - self._dropped >= CACHE_BYTES // 4:
            os.posix_fadvise(self._fd, self._dropped, until - self._dropped, os.POSIX_FADV_DONTNEED)
            self._dropped = until & ~0xFFFF

    def _check(self) -> None:
        if self._failed is not None:
            raise OSError(self._failed.errno, f"{self.folder}: a sync failed: {self._failed}")
        if self._fd < 0:
            raise OSError("the journal is closed")

    def close(self) -> None:
        """Sync and close; again: nothing. Raises OSError when the sync fails, closed even then."""
        with self._lock:
            try:
                if self._fd >= 0 and self._failed is None:
                    self._flush()
            finally:
                for fd in (self._fd, self._held):
                    if fd >= 0:
                        os.close(fd)
                if self._held >= 0:
                    self._mark.close()
                self._fd = self._held = -1


def _hold(folder: Path) -> int:
    """The folder's lock, which the kernel takes back when the process ends."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise Refuse(
            f"{folder}: another process writes this journal", code="journal_held", status=503
        ) from error
    return fd
