"""Which part of which journal a verb is about: a venue, a range, channels and kinds by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from bursa.config import Config
from bursa.journal import index
from bursa.journal.read import JournalReader, Record
from bursa.journal.segment import bases
from bursa.model.batch import (
    CLOCK,
    DOWN,
    END_OF_FILE,
    END_OF_SESSION,
    FRAMES,
    LOST,
    ROWS,
    SETTING,
    UP,
)
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES, Venue

KINDS = {
    FRAMES: "messages",
    CLOCK: "clock",
    UP: "up",
    DOWN: "down",
    END_OF_FILE: "end_of_file",
    END_OF_SESSION: "end_of_session",
    SETTING: "setting",
    LOST: "lost",
    ROWS: "rows",
}

POSITION_DIGITS = 18


@dataclass(frozen=True)
class Part:
    """A range of a journal: records with first <= position <= last and, of those with a receive
    time, since_ns <= ts_recv < until_ns."""

    first: int = 0
    last: int = 1 << 62
    since_ns: int = 0
    until_ns: int = 1 << 62

    @property
    def by_time(self) -> bool:
        """It is bounded by receive times."""
        return self.since_ns > 0 or self.until_ns < 1 << 62


@dataclass(frozen=True)
class Journal:
    """One venue's journal in a data folder."""

    venue: Venue
    folder: Path

    def records(self, part: Part, reader: JournalReader | None = None) -> Iterator[Record]:
        """The records of a part, in order. Those without messages come where they lie; messages
        without a receive time are in no range of times. `reader`: of this journal, of one who wants
        to know what was damaged there."""
        reader = reader or JournalReader(self.folder)
        start = reader.before(part.first)
        if part.since_ns:
            start = max(start, index.since(self.folder, part.since_ns))
        for record in reader.records(max(start, reader.first)):
            if record.position > part.last or record.ts_recv >= part.until_ns:
                return
            if record.position < part.first or (part.since_ns and record.ts_recv < part.since_ns):
                continue
            yield record

    def channel(self, name: str) -> int:
        """The index of a channel. Raises Refuse."""
        names = [channel.name for channel in self.venue.channels]
        if name not in names:
            what = f"--channel: {name}; allowed: {', '.join(names)}"
            raise Refuse(what, parameter="channel")
        return names.index(name)

    def channel_name(self, number: int) -> str:
        """A channel's name; its number where the venue knows none."""
        known = self.venue.channels
        return known[number].name if number < len(known) else str(number)


def find(config: Config, venue: str) -> Journal:
    """The journal of a venue; of the only one that the folder has, where none is named."""
    if venue and venue not in VENUES:
        raise Refuse(f"--venue: {venue}; allowed: {', '.join(VENUES)}", parameter="venue")
    above = Path(config.data) / "journal"
    kept = [name for name in VENUES if bases(above / name)]
    if not (kept if not venue else venue in kept):
        what = f"{above} has no journal{f' of {venue}' if venue else ''}"
        raise Refuse(what, "no_data", 404, "venue")
    if not venue and len(kept) > 1:
        what = f"{above} has journals of {', '.join(kept)}: name one by --venue"
        raise Refuse(what, parameter="venue")
    name = venue or kept[0]
    return Journal(VENUES[name], above / name)


def between(journal: Journal, begin: str, end: str) -> Part:
    """The part from one bound to the other, each "" or a position, or a time by ISO 8601: in the
    venue's clock where it names no zone. A bound of time at the end is left out itself."""
    first, since_ns = _bound(journal, begin, "--from")
    last, until_ns = _bound(journal, end, "--to")
    part = Part(first or 0, last or 1 << 62, since_ns or 0, until_ns or 1 << 62)
    if part.first > part.last or part.since_ns >= part.until_ns:
        upto = f"--to {end}" if end else "all that can be"
        raise Refuse(f"--from {begin} is not before {upto}", parameter="from")
    return part


def of_day(journal: Journal, day: date) -> Part:
    """What was received on a day of the venue's clock."""
    calendar = journal.venue.calendar
    until = calendar.midnight_ns(day + timedelta(days=1))
    return Part(since_ns=calendar.midnight_ns(day), until_ns=until)


def a_day(text: str, parameter: str) -> date:
    """A date by ISO 8601. Raises Refuse."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        what = f"{parameter}: {text}; allowed: a date such as 2025-11-21"
        raise Refuse(what, parameter=parameter.strip("-")) from None


def shown(ts_ns: int) -> str:
    """A time for people, UTC to the microsecond; "" where there is none."""
    if ts_ns <= 0:
        return ""
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _bound(journal: Journal, text: str, parameter: str) -> tuple[int | None, int | None]:
    """(position, time): one of them, or none."""
    if not text:
        return None, None
    if text.isascii() and text.isdigit() and len(text) <= POSITION_DIGITS:
        return int(text), None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        what = f"{parameter}: {text}; allowed: a position, or a time such as 2025-11-21T09:30"
        raise Refuse(what, parameter=parameter.strip("-")) from None
    return None, journal.venue.calendar.instant_ns(moment)
