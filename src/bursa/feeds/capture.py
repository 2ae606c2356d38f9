"""A line's messages as a recording: what a feed delivers, in a file that `ReplayFeed` reads.

Implements ports.Intake over a file of blocks (replay.py): u16 big-endian length and message, plain
or gzip, channels mixed in the order in which they were heard. Only complete messages are written.
While it grows the file is called FILE.part; it gets its name when it is whole and on disk. Does not
speak the line's protocol (tcp.py), and journals nothing.
"""

import contextlib
import fcntl
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO, cast

from bursa.model.batch import SOUPBIN
from bursa.model.errors import Refuse
from bursa.ports import Frames

_BUFFER_BYTES = 1 << 20
_PACKED_LEVEL = 6
# A sequenced packet: u16 length of what follows, the letter S, the message.
_TYPE_AT, _MESSAGE_AT = 2, 3

Reached = Callable[[], None]


class Recording:
    """Implements ports.Intake. Use as a context: leaving it without `keep` leaves no file behind
    where nothing was taken, else FILE.part.

    messages_max  no more are taken; None: no limit
    from_start    ask for each session from its first message, else for what comes from now on
    reached       called once when no more are taken
    messages      taken so far; `empty` of length 0 and bytes of broken framing were left out
    state         by channel: "up", or why it is away
    """

    def __init__(
        self,
        path: Path,
        channels: int,
        reached: Reached,
        *,
        messages_max: int | None = None,
        from_start: bool = True,
        force: bool = False,
    ) -> None:
        if path.exists() and not force:
            raise Refuse(
                f"{path} is there already; --force replaces it", "file_exists", 409, "file"
            )
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._reached, self._messages_max, self._force = reached, messages_max, force
        first = ("", 1 if from_start else 0)
        self._points = [first] * channels
        self._raw = _opened(self._part)
        # No name and no time in its head: the same messages are the same bytes.
        self._out: IO[bytes] = (
            cast(IO[bytes], gzip.GzipFile("", "wb", _PACKED_LEVEL, self._raw, mtime=0))
            if path.suffix == ".gz"
            else self._raw
        )
        self._kept = False
        self._failure: OSError | None = None
        self.messages = self.message_bytes = 0
        self.empty = self.broken_bytes = 0
        self.state = ["not connected yet"] * channels

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            with contextlib.suppress(OSError):  # it is told already
                self._out.close()
            with contextlib.suppress(OSError):
                self._raw.close()
            if not self.messages:
                self._part.unlink(missing_ok=True)

    @property
    def is_full(self) -> bool:
        """No more messages are taken."""
        return self._messages_max is not None and self.messages >= self._messages_max

    def keep(self) -> int:
        """Finish the file, sync it and give it its name. Its bytes on disk. OSError where the disk
        did not take all of it."""
        if self._failure is not None:
            raise self._failure
        if self._out is not self._raw:
            self._out.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        size = os.fstat(self._raw.fileno()).st_size
        if self._path.exists() and not self._force:
            what = f"{self._path} came meanwhile; the recording is {self._part}"
            raise Refuse(what, "file_exists", 409, "file")
        os.replace(self._part, self._path)
        self._raw.close()
        self._kept = True
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return size

    # -- ports.Intake ------------------------------------------------------------------------------

    def frames(self, frames: Frames) -> None:
        """Write whole messages. Where the disk takes no more, that is the end (`keep` says why)."""
        assert frames.form == SOUPBIN, "blocks are made of sequenced packets"
        if not frames.count:  # framing is lost there: no message can be told
            self.broken_bytes += len(frames.payload)
            return
        self._points[frames.channel] = (frames.session, frames.first_seq + frames.count)
        if self.is_full or self._failure is not None:
            return
        try:
            self._out.write(self._blocks(memoryview(frames.payload)))
        except OSError as error:
            self._failure = error
        if self.is_full or self._failure is not None:
            self._reached()

    def _blocks(self, packets: memoryview) -> bytearray:
        """The packets' messages, each behind its length, as far as any are taken."""
        out, at = bytearray(), 0
        while at < len(packets) and not self.is_full:
            size = packets[at] << 8 | packets[at + 1]
            end = at + _TYPE_AT + size
            if size > 1:
                out += (size - 1).to_bytes(2, "big")
                out += packets[at + _MESSAGE_AT : end]
                self.messages += 1
                self.message_bytes += size - 1
            else:
                self.empty += 1  # in a file no length is 0
            at = end
        return out

    def up(self, channel: int) -> None:
        """The channel delivers now."""
        self.state[channel] = "up"

    def down(self, channel: int, why: str) -> None:
        """It is away; the feed comes back by itself."""
        self.state[channel] = why

    def end_of_session(self, channel: int) -> None:
        """A recording does not tell of it: the next session's first number does."""
        self.state[channel] = "its session ended"

    def lost(self, channel: int, first: int, last: int, asked: bool) -> None:
        """A recording does not tell of it: the next message's number does."""

    def count(self, channel: int, line: str, word: str, count: int) -> None:
        """A recording has no telemetry."""

    def end_of_file(self, channel: int) -> None:
        """No line ends like this."""
        raise AssertionError("a line is no file")

    def resume_point(self, channel: int) -> tuple[str, int]:
        """After the last message that was written."""
        return self._points[channel]

    async def synced(self) -> None:
        """On disk it is at the end only."""

    @property
    def refusing(self) -> bool:
        """A full disk ends a recording (`keep` says why); nothing waits for it."""
        return False

    async def room(self) -> None:
        """There is no waiting."""


def _opened(part: Path) -> BinaryIO:
    """A new FILE.part, held for this process alone."""
    try:
        raw = open(part, "ab", buffering=_BUFFER_BYTES)  # closed by its recording
    except OSError as error:
        raise Refuse(f"{part}: {error.strerror}", "no_such_file", 404, "file") from None
    try:
        fcntl.flock(raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raw.truncate(0)
    except BlockingIOError:
        raw.close()
        raise Refuse(f"{part} is written by another capture", "file_exists", 409, "file") from None
    return raw
