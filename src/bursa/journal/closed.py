"""Segments after they were closed: indexed and compressed in the background, in the end retired.

Compressing makes the new file whole and durable before the plain one goes, so a reader finds the
segment under one of its names at any time. Retiring says what went. Never touches the segment that
is being written.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import zstandard

from bursa.journal import index
from bursa.journal.packed import FRAME, Pieces
from bursa.journal.segment import HEADER as SEGMENT_HEADER
from bursa.journal.segment import (
    PACKED,
    PLAIN,
    TEMPORARY,
    Segment,
    bases,
    listing,
    opened,
    sync_folder,
    unpack_head,
)

# Books of ten levels: level 1 takes 1.7 ns a byte and leaves 29 %, level 3 takes 2.6, leaves 28 %.
LEVEL = 1
# A limit of bytes that nothing exceeds.
FOR_EVER = 1 << 62
_NICE = 19
# Between the end of a compression and a retirement of the same segment.
_moving = threading.Lock()


def compress(path: Path, level: int = LEVEL, cancelled: Callable[[], bool] = lambda: False) -> bool:
    """Put `.log.zst` in the place of a closed `.log`. False if `cancelled` said so, asked once a
    frame, or the segment was retired meanwhile; nothing has changed then. Raises OSError."""
    packed = path.with_name(path.name.removesuffix(PLAIN) + PACKED)
    temporary = packed.with_name(packed.name + TEMPORARY)
    try:
        if not _compress(path, temporary, level, cancelled):
            return False
        with _moving:
            if not path.exists():
                return False
            temporary.replace(packed)
            sync_folder(path.parent)
            path.unlink()
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _compress(path: Path, to: Path, level: int, cancelled: Callable[[], bool]) -> bool:
    packer = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
    pieces = Pieces()
    with path.open("rb", buffering=0) as source, to.open("wb") as target:
        while piece := source.read(FRAME):
            if cancelled():
                return False
            target.write(pieces.frame(packer.compress(piece), len(piece)))
            os.posix_fadvise(source.fileno(), 0, source.tell(), os.POSIX_FADV_DONTNEED)
        target.write(pieces.end())
        target.flush()
        os.fsync(target.fileno())
        os.posix_fadvise(target.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


class Compressor:
    """Indexes and compresses closed segments one by one, oldest first, in a thread of the lowest
    priority.

    active   address of the segment that is being written (JournalWriter.base); it and later ones
             are left alone
    keep     closed segments that stay plain, the newest, for readers that lag a little
    packs    compress at all
    errors   how many attempts failed with an OSError (a full disk, say); they are tried again
    """

    def __init__(
        self,
        folder: Path,
        active: Callable[[], int],
        *,
        keep: int = 1,
        level: int = LEVEL,
        packs: bool = True,
    ) -> None:
        self.errors = 0
        self._folder = folder
        self._active = active
        self._keep = keep
        self._level = level
        self._packs = packs
        self._indexed: set[int] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def pump(self) -> int | None:
        """Compress one segment now, in the calling thread; its address, or None where there is
        nothing to do. Raises OSError."""
        if not self._packs:
            return None
        closed = self._closed()
        for base, path in closed[: len(closed) - self._keep]:
            if path.name.endswith(PLAIN):
                with suppress(FileNotFoundError):
                    if compress(path, self._level, self._stopping.is_set):
                        return base
        return None

    def index(self) -> int | None:
        """Give one closed segment an index where it has none, or a bad one; its address, or None
        where all have theirs. Raises OSError."""
        for base, path in self._closed():
            if base in self._indexed:
                continue
            self._indexed.add(base)
            with suppress(FileNotFoundError):
                with opened(path) as source:
                    segment = Segment(source.path, base, source.size, source.disk_bytes)
                if index.load(segment) is None:
                    index.save(segment, index.summarize(segment))
                    return base
        return None

    def _closed(self) -> list[tuple[int, Path]]:
        active = self._active()
        return [(base, path) for base, path in bases(self._folder).items() if base < active]

    def start(self, pause_s: float = 1.0) -> None:
        """Look for work every `pause_s`."""
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._run, args=(pause_s,), name="compress", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End; an unfinished segment stays plain."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, pause_s: float) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while not self._stopping.is_set():
            try:
                worked = self.index() is not None or self.pump() is not None
            except OSError:
                self.errors += 1
                worked = False
            if not worked:
                self._stopping.wait(pause_s)


def retire(folder: Path, bytes_max: int, keep_from: int, closed_before: int = 0) -> list[Segment]:
    """Delete the oldest segments until the journal takes at most `bytes_max` on disk, and those
    that were closed before a time.

    keep_from      nothing after this position goes (the oldest checkpoint that is needed); the last
                   segment never goes
    closed_before  ns UTC of our clock; 0: age does not matter
    returns        what went, oldest first; empty where the journal fits, or must stay
    """
    segments = listing(folder)
    taken = sum(segment.disk_bytes for segment in segments)
    gone = []
    for segment, following in pairwise(segments):
        old = closed_before and 0 < _created(following) < closed_before
        if segment.end > keep_from or not (taken > bytes_max or old):
            break
        with _moving:
            name = segment.path.name.partition(".")[0]
            for suffix in (PLAIN, PACKED, index.SUFFIX):
                segment.path.with_name(name + suffix).unlink(missing_ok=True)
        taken -= segment.disk_bytes
        gone.append(segment)
    if gone:
        sync_folder(folder)
    return gone


def _created(segment: Segment) -> int:
    """When a segment was begun, and the one before it closed, ns UTC; 0 where its header is
    damaged."""
    with opened(segment.path) as source:
        data = bytearray(SEGMENT_HEADER)
        got = source.read(0, memoryview(data))
    head = unpack_head(bytes(data[:got]), segment.base)
    return head.created if head else 0
