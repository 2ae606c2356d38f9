"""A day of Nasdaq TotalView-ITCH as a file: u16 big-endian length and message, from first to last.

Messages say the time since midnight and have no numbers, so the day and the place in the file stand
for them: the session is the day as YYYYMMDD, message i of the file has the number i, from 1. A file
that is replayed again brings numbers that are known, and adds nothing. The day is given, or it is
in the file's name. Without receive times: ts_recv = -1, "as the message's own ts".

Reads nothing by itself (replay.py does) and does not look into messages.
"""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from bursa.feeds.cut import NO_RECEIVE_TIME
from bursa.model.batch import BLOCKS
from bursa.model.errors import Refuse
from bursa.ports import Frames
from bursa.wire.idx import route
from bursa.wire.itch50.layout import BLOCK_BYTES_MAX

# Read at once: about 30,000 messages.
READ_BYTES = 1 << 20

# How names write a day, the surest first: 2020-01-30, 20200130, 01302020, 013020.
_FORMS = (
    (re.compile(r"(?<!\d)(?P<y>\d{4})[-_](?P<m>\d\d)[-_](?P<d>\d\d)(?!\d)"), 0),
    (re.compile(r"(?<!\d)(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)(?!\d)"), 0),
    (re.compile(r"(?<!\d)(?P<m>\d\d)(?P<d>\d\d)(?P<y>\d{4})(?!\d)"), 0),
    (re.compile(r"(?<!\d)(?P<m>\d\d)(?P<d>\d\d)(?P<y>\d\d)(?!\d)"), 2000),
)
_YEARS = range(1990, 2100)


def day_of(path: Path, given: date | None = None, today: date = date.max) -> date:
    """The day of a file: as given, else as its name says. Refuse `no_date` where neither does, and
    `bad_date` past `today`: all that follows a day is later, so one yet to come shuts out the rest.

    >>> day_of(Path("01302020.NASDAQ_ITCH50.gz"))
    datetime.date(2020, 1, 30)
    >>> day_of(Path("S013020-v50.txt.gz"))
    datetime.date(2020, 1, 30)
    """
    day = given or _named(path)
    if day > today or day.year not in _YEARS:
        raise Refuse(
            f"{path.name}: its day would be {day}, which is yet to come, or none of ITCH; allowed: "
            "--date YYYY-MM-DD, the day on which it was sent",
            "bad_date",
            parameter="date",
        )
    return day


def _named(path: Path) -> date:
    for form, century in _FORMS:
        for found in form.finditer(path.name):
            year = int(found["y"]) + century
            try:
                day = date(year, int(found["m"]), int(found["d"]))
            except ValueError:
                continue
            if year in _YEARS:
                return day
    raise Refuse(
        f"{path.name}: its messages say no day, and neither does its name; allowed: --date "
        "YYYY-MM-DD, or a name with YYYYMMDD, MMDDYYYY or MMDDYY in it",
        "no_date",
        parameter="date",
    )


class ItchBlocks:
    """Cuts whole messages and numbers them (replay.Cutter). `where` names the file in errors."""

    def __init__(self, day: date, where: str, channel: int = 0) -> None:
        self.channels = {channel}
        self._channel = channel
        self._session = f"{day:%Y%m%d}"
        self._where = where
        self._tail = b""
        self._next, self._done = 1, 0

    def push(self, data: bytes) -> Iterator[Frames]:
        """The messages that are complete by now, as one. Refuse `bad_recording` where no message
        can begin, after what stands there was delivered."""
        piece = bytearray(self._tail)
        piece += data
        used, count, end = route.whole(np.frombuffer(piece, np.uint8), BLOCK_BYTES_MAX)
        self._tail = bytes(memoryview(piece)[used:])
        self._done += used
        if count:
            yield self._frames(count, memoryview(piece)[:used])
        if end == route.LOST:
            yield from self.rest()
            what = f"{self._where}: no message can begin at byte {self._done}"
            raise Refuse(what, "bad_recording", parameter="file")

    def rest(self) -> Iterator[Frames]:
        """The bytes of a message that the file's end cuts short."""
        tail, self._tail = self._tail, b""
        if tail:
            yield self._frames(1, tail)

    def _frames(self, count: int, payload: bytes | memoryview) -> Frames:
        first, self._next = self._next, self._next + count
        return Frames(self._channel, BLOCKS, self._session, first, count, NO_RECEIVE_TIME, payload)
