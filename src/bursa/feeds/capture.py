"""A line's messages as a recording: what a feed delivers, in a file that `ReplayFeed` reads.

Implements ports.Intake over a file of blocks (u16 big-endian length and message) or of lines
(idx-1's text form), plain or gzip, channels mixed in the order in which they were heard. Only
complete messages are written. While it grows the file is called FILE.part; it gets its name when it
is whole and on disk. Does not speak the line's protocol (tcp.py), and journals nothing.
"""

import contextlib
import fcntl
import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from bursa.model.batch import LINES, SOUPBIN
from bursa.model.errors import Refuse
from bursa.ports import Frames
from bursa.wire.idx.lines import LineWriter

_BUFFER_BYTES = 1 << 20
_PACKED_LEVEL = 6
# A sequenced packet: u16 length of what follows, the letter S, the message.
_TYPE_AT, _MESSAGE_AT = 2, 3

# What a text recording's name ends in.
_TEXT = (".txt", ".txt.gz")

Reached = Callable[[], None]


def is_text(path: Path) -> bool:
    """Whether a recording of this name is of lines."""
    return path.name.endswith(_TEXT)


def replaceable(path: Path, force: bool) -> None:
    """Refuse a file that is there, unless `force`; a folder or a device is never replaced."""
    if path.exists() and not path.is_file():
        raise Refuse(f"{path} is no file: it is not replaced", "not_a_file", 409, "file")
    if path.exists() and not force:
        raise Refuse(f"{path} is there already; --force replaces it", "file_exists", 409, "file")


class Recording:
    """Implements ports.Intake. Use as a context: leaving it without `keep` leaves no file behind
    where nothing was taken, else FILE.part.

    messages_max  no more are taken; None: no limit
    from_start    ask for each session from its first message, else for what comes from now on
    reached       called once when no more are taken
    lines         writes the messages as text; None: blocks
    messages      taken so far; `empty` of length 0, `wordless` ones that the text form cannot say
                  and bytes of broken framing were left out
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
        lines: LineWriter | None = None,
    ) -> None:
        replaceable(path, force)
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
        self._failure: OSError | Refuse | None = None
        self._lines = lines
        self.messages = self.message_bytes = 0
        self.empty = self.wordless = self.broken_bytes = 0
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
        if not frames.count:  # framing is lost there: no message can be told
            self.broken_bytes += len(frames.payload)
            return
        if frames.first_seq:
            self._points[frames.channel] = (frames.session, frames.first_seq + frames.count)
        if self.is_full or self._failure is not None:
            return
        try:
            self._out.write(self._written(frames))
        except (OSError, Refuse) as error:
            self._failure = error
        if self.is_full or self._failure is not None:
            self._reached()

    def _written(self, frames: Frames) -> bytes:
        """The messages as the file has them, as far as any are taken."""
        payload = bytes(frames.payload)
        if frames.form == LINES:
            if self._lines is None:
                what = "the source sends lines: FILE must end in .txt or .txt.gz"
                raise Refuse(what, parameter="file")
            messages: Iterator[bytes] = iter(payload.split(b"\n"))
        else:
            messages = _messages(payload, frames.form == SOUPBIN)
        out = []
        while not self.is_full and (message := next(messages, None)) is not None:
            if not message:
                self.empty += frames.form != LINES  # in a file no length is 0
                continue
            part = self._one(message, frames.form == LINES)
            if part is None:
                self.wordless += 1
                continue
            out.append(part)
            self.messages += 1
            self.message_bytes += len(message)
        return b"".join(out)

    def _one(self, message: bytes, is_line: bool) -> bytes | None:
        if self._lines is None:
            return len(message).to_bytes(2, "big") + message
        line = message if is_line else self._lines.line(message)
        return None if line is None else line + b"\n"

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
        """Standard input ended, and the recording with it."""
        self.state[channel] = "its input ended"
        self._reached()

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


def _messages(packets: bytes, sequenced: bool) -> Iterator[bytes]:
    """Each whole message of sequenced packets, or of blocks; b"" for one without a byte."""
    head = _MESSAGE_AT if sequenced else _TYPE_AT
    at = 0
    while at < len(packets):
        end = at + _TYPE_AT + (packets[at] << 8 | packets[at + 1])
        yield packets[at + head : end]
        at = end


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
