"""What happened to the data, as marks on bars and on the time scale: gaps, revisions, sessions.

A mark stands at a bar that exists: the one its event falls in, else the last one before, for the
library draws no other. Events of one sort at one bar are one mark, so a bar has three at most (the
library takes ten). Both answers are bounded, the newest marks stay. Texts may be drawn as HTML and
hold nothing that a client or an instrument's name put there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope
from numpy.typing import NDArray

from bursa.api import access, params
from bursa.api.access import Access
from bursa.api.envelope import Ready
from bursa.api.services import SECOND_NS, Services, VenueService
from bursa.api.udf import bars as udf_bars
from bursa.api.udf import shapes as udf_shapes
from bursa.api.udf.form import RESOLUTION, SYMBOL, asked, json, read, route, seconds
from bursa.history.candles import FOREVER_NS, Ask
from bursa.history.continuity import gaps
from bursa.model.batch import Batch
from bursa.model.calendar import DAY_NS
from bursa.model.errors import Refuse
from bursa.model.schema import STATES
from bursa.model.timeframe import TIMEFRAMES

BARS_MAX = 5_000
# Revisions are looked for in so many of the newest minutes of a range: a month of idx.
MINUTES_MAX = 10_000
MARKS_MAX = 500
LINES_MAX = 6

MARKS = (
    params.VENUE,
    SYMBOL,
    RESOLUTION,
    seconds("from", "seconds of the first visible bar"),
    seconds("to", "seconds of the last visible bar, included", required=True),
)

GAP, REVISION, SESSION, DAY = "gap", "revision", "session", "day"
_LOOKS = {
    GAP: ("red", "G", "#ffffff"),
    REVISION: ("yellow", "R", "#000000"),
    SESSION: ("blue", "S", "#ffffff"),
    DAY: ("green", "D", "#ffffff"),
}
_MIN_SIZE = 14
# Wider bars hold all of a day's sessions: none of them is worth a mark.
_SESSIONS_BELOW_NS = TIMEFRAMES["4h"]

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at an instant (ns UTC), in a line of plain text."""

    sort: str
    at_ns: int
    line: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The events of one sort at one bar; `time` is the bar's, in seconds."""

    sort: str
    time: int
    lines: tuple[str, ...]

    @property
    def id(self) -> str:
        """The same whenever it is asked for."""
        return f"{self.sort}-{self.time}"


@dataclass(frozen=True, slots=True)
class _Range:
    """The bars that marks may stand at.

    times    seconds at which they are shown, ascending
    after_s  when the first bar after them is shown; far away where there is none
    floor_ns no bar that opens earlier is read
    """

    service: VenueService
    ticker: str
    tf: str
    times: Times
    after_s: int
    floor_ns: int = 0

    @property
    def start_ns(self) -> int:
        """Event time from which on marks can stand at these bars: an opening auction is before its
        day's first bar, and a long bar's day may begin before midnight UTC."""
        return max(int(self.times[0]) * SECOND_NS - DAY_NS, self.floor_ns)

    @property
    def end_ns(self) -> int:
        """Event time by which it is told what happened before the bar after them."""
        return self.after_s * SECOND_NS + TIMEFRAMES[self.tf] + DAY_NS


class UdfMarks:
    """The routes over some services."""

    def __init__(self, services: Services) -> None:
        self._services, self._access = services, Access(services)

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        return [
            route("/udf/marks", MARKS, udf_shapes.UdfMarks)(self.marks),
            route("/udf/timescale_marks", MARKS, list[udf_shapes.UdfTimescaleMark])(
                self.timescale_marks
            ),
        ]

    async def marks(self, scope: Scope) -> Ready:
        """Gaps, revisions and session changes on their bars, as columns."""
        asked_for = await self._range(scope)
        events: list[Event] = []
        if len(asked_for.times):
            status = await _status(asked_for)
            events = [*_gaps(asked_for, status), *_sessions(asked_for, status)]
            events += _revisions(asked_for.service, await self._minutes(asked_for))
        marks = placed(asked_for, events)
        looks = [_LOOKS[mark.sort] for mark in marks]
        return json(
            {
                "id": [mark.id for mark in marks],
                "time": [mark.time for mark in marks],
                "color": [color for color, _, _ in looks],
                "text": ["; ".join(_shortened(mark.lines)) for mark in marks],
                "label": [label for _, label, _ in looks],
                "labelFontColor": [font for _, _, font in looks],
                "minSize": [_MIN_SIZE] * len(marks),
            }
        )

    async def timescale_marks(self, scope: Scope) -> Ready:
        """Days, session changes and gaps on the time scale, an object each."""
        asked_for = await self._range(scope)
        events: list[Event] = []
        if len(asked_for.times):
            status = await _status(asked_for)
            events = [*_gaps(asked_for, status), *_sessions(asked_for, status)]
            events += _days(asked_for, await self._before(asked_for))
        return json(
            [
                {
                    "id": mark.id,
                    "time": mark.time,
                    "color": _LOOKS[mark.sort][0],
                    "label": _LOOKS[mark.sort][1],
                    "tooltip": _shortened(mark.lines),
                }
                for mark in placed(asked_for, events)
            ]
        )

    async def _range(self, scope: Scope) -> _Range:
        values = read(scope, MARKS)
        service, symbol = asked(self._services, values)
        asks = access.who(scope)
        self._access.timeframe(asks, values["resolution"], "resolution")
        floor_ns = access.floor_ns(asks, service)
        if values["from"] > values["to"]:
            raise Refuse("from lies after to", "bad_range", parameter="from")
        tf, start_s, end_s = values["resolution"], max(values["from"], 0), max(values["to"], 0)
        ask = Ask(symbol.ticker, tf, min(BARS_MAX, asks.rights.rows), floor_ns)
        columns = await udf_bars.between(service, ask, start_s, end_s + 1)
        after_s = await udf_bars.first_after(service, ask, end_s) if len(columns.t) else None
        after_s = FOREVER_NS // SECOND_NS if after_s is None else after_s
        return _Range(service, symbol.ticker, tf, columns.t, after_s, floor_ns)

    async def _before(self, asked_for: _Range) -> Times:
        """The bar before the first one; it tells whether that one begins its day."""
        ask = Ask(asked_for.ticker, asked_for.tf, 1, asked_for.floor_ns)
        return (await udf_bars.between(asked_for.service, ask, 0, int(asked_for.times[0]))).t

    async def _minutes(self, asked_for: _Range) -> Batch:
        span = (asked_for.start_ns, asked_for.after_s * SECOND_NS)
        ask = Ask(asked_for.ticker, "1m", MINUTES_MAX, *span, hd=False)
        return (await asked_for.service.reader.candles(ask)).bars


def placed(asked_for: _Range, events: list[Event]) -> list[Mark]:
    """Marks in order of time, of the newest bars where they are too many."""
    times = asked_for.times
    events = sorted(events, key=lambda event: event.at_ns)
    instants = np.array([event.at_ns for event in events], np.int64)
    falls_in = udf_bars.bar_of(asked_for.service, asked_for.tf, instants)
    at = np.searchsorted(times, falls_in, side="right") - 1
    at[falls_in >= asked_for.after_s] = -1  # it belongs to a later bar
    found: dict[tuple[int, str], list[str]] = {}
    for place, event in zip(at.tolist(), events, strict=True):
        if place >= 0:
            found.setdefault((int(times[place]), event.sort), []).append(event.line)
    marks = [Mark(sort, time, tuple(lines)) for (time, sort), lines in sorted(found.items())]
    return marks[-MARKS_MAX:]


async def _status(asked_for: _Range) -> Batch:
    return await asked_for.service.ledger.status(asked_for.start_ns, asked_for.end_ns)


def _shortened(lines: tuple[str, ...]) -> list[str]:
    if len(lines) <= LINES_MAX:
        return list(lines)
    return [*lines[: LINES_MAX - 1], f"and {len(lines) - LINES_MAX + 1} more"]


def _gaps(asked_for: _Range, status: Batch) -> Iterator[Event]:
    """Messages that a channel with trades lost: bars under way then may lack some."""
    venue = asked_for.service.venue
    channels = [at for at, channel in enumerate(venue.channels) if channel.ticks]
    for gap in gaps(status, channels, venue.calendar):
        first, last = (_clock(asked_for.service, at) for at in (gap.start_ns, gap.end_ns))
        count = gap.seq_to - gap.seq_from + 1
        what = f"{count:,} messages missing" if count > 1 else "a message missing"
        line = f"{what} on {gap.channel}, {first} to {last} {venue.calendar.zone_word}"
        yield Event(GAP, gap.start_ns, line)


def _revisions(service: VenueService, minutes: Batch) -> Iterator[Event]:
    """Minutes that trades came for after they were closed."""
    rev = minutes.column("rev")
    revised = np.flatnonzero(rev > 0)
    for ts, count in zip(
        minutes.column("ts")[revised].tolist(), rev[revised].tolist(), strict=True
    ):
        yield Event(REVISION, ts, f"{_clock(service, ts)[:5]} was revised, revision {count}")


def _sessions(asked_for: _Range, status: Batch) -> Iterator[Event]:
    """Changes of the session as the venue announced them; a state told again is none."""
    if TIMEFRAMES[asked_for.tf] >= _SESSIONS_BELOW_NS:
        return
    service = asked_for.service
    names = {
        phase.state: phase.name for row in service.venue.calendar.hours for phase in row.phases
    }
    names["E"] = "end of day"
    known = {STATES.index(state): name for state, name in names.items()}
    before = None
    of_first = status.column("channel") == 0
    for state, ts in zip(
        status.column("state")[of_first].tolist(),
        status.column("ts")[of_first].tolist(),
        strict=True,
    ):
        if state in known and state != before:
            before = state
            yield Event(SESSION, ts, f"{known[state]} from {_clock(service, ts)[:5]}")


def _days(asked_for: _Range, before: Times) -> Iterator[Event]:
    """The first bar of each day, where bars are shorter than days; `before` is the bar before."""
    if TIMEFRAMES[asked_for.tf] >= DAY_NS:
        return
    calendar = asked_for.service.venue.calendar
    opens = np.concatenate((before, asked_for.times)) * SECOND_NS
    days = (opens + calendar.offsets_ns(opens)) // DAY_NS
    begins = np.append(not len(before), days[1:] != days[:-1])
    for at in np.flatnonzero(begins).tolist():
        date = datetime.fromtimestamp(days[at] * (DAY_NS // SECOND_NS), UTC)
        hours = calendar.state_at(int(opens[at]))
        line = f"{date:%a} {date.day} {date:%b %Y}"
        yield Event(DAY, int(opens[at]), f"{line}, {hours}" if hours != "closed" else line)


def _clock(service: VenueService, ts_ns: int) -> str:
    """The venue's wall clock."""
    seconds_of_day = service.venue.calendar.local_s(ts_ns)
    return f"{seconds_of_day // 3600:02d}:{seconds_of_day // 60 % 60:02d}:{seconds_of_day % 60:02d}"
