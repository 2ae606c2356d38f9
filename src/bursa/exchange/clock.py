"""What time it is on the demo exchange, and what of it outlives the process.

The market clock runs through one trading day after another, `pace` market seconds a second, or so
that messages come at a given rate. Nights and weekends take no time: a day begins for it half a
minute before the opening. It stands until the first client has come to the live day. `limit_ns` is
what the server goes by: how far each day's session may be told now.

State is one small JSON file, replaced as a whole; who lost the last second of it asks for a later
message, and the clock moves up to that.
"""

import json
import os
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bursa.exchange.market import FULL, HISTORY, NEVER, NO_BOOKS, Day
from bursa.model.calendar import SECOND_NS, Calendar
from bursa.model.errors import Refuse

Floats = NDArray[np.float64]

OPENS_BEFORE_NS = 30 * SECOND_NS
_VERSION = 1


@dataclass(frozen=True)
class Pace:
    """How time goes by on live days: market seconds a second; or, where `rate` is given, messages
    a second (both channels together); or, where `unbounded`, as fast as clients take it."""

    speed: float = 1.0
    rate: int | None = None
    unbounded: bool = False


@dataclass(frozen=True)
class Origin:
    """What the stream of an exchange follows from; fixed when its folder is made.

    first_day   the stream begins with it, history up to the day before `live_day`
    live_day    the first day with a clock (and books, if there are any)
    history_days  trading days between, as they were asked for; None in states of older programs
    """

    seed: int
    tickers: int
    books: bool
    first_day: date
    live_day: date
    history_days: int | None = None

    def day(self, calendar: Calendar, day: date) -> Day:
        """A day of the stream: history is told without books and with fewer snapshots."""
        live = FULL if self.books else NO_BOOKS
        detail = live if day >= self.live_day else HISTORY
        return Day(calendar, day, self.seed, self.tickers, detail)


@dataclass
class State:
    """What is kept: the origin, and how far the clock has come."""

    origin: Origin
    day: date
    now_ns: int


def first_live_day(calendar: Calendar, today: date) -> date:
    """The trading day a year before `today`, or the next after it."""
    leap_day = (today.month, today.day) == (2, 29)
    day = today.replace(year=today.year - 1, day=28 if leap_day else today.day)
    return day if calendar.is_trading_day(day) else calendar.next_day(day)


def new_state(
    calendar: Calendar, today: date, seed: int, tickers: int, books: bool, history_days: int
) -> State:
    """The state of an exchange that starts for the first time."""
    live_day = first = first_live_day(calendar, today)
    for _ in range(history_days):
        first = calendar.previous_day(first)
    origin = Origin(seed, tickers, books, first, live_day, history_days)
    return State(origin, live_day, calendar.day_open_ns(live_day) - OPENS_BEFORE_NS)


def save(path: Path, state: State) -> None:
    """Replace the file by this state. Survives the death of the process, not a power loss."""
    new = path.with_suffix(".new")
    content = {"version": _VERSION, **asdict(state)}
    new.write_text(json.dumps(content, default=date.isoformat, indent=1) + "\n")
    os.replace(new, path)


def load(path: Path) -> State | None:
    """The kept state; None where there is no file. Raises Refuse where it is of another version."""
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text())
        if content["version"] != _VERSION:
            raise Refuse(f"{path}: version {content['version']}, this program writes {_VERSION}")
        kept = content["origin"]
        first, live = (date.fromisoformat(kept[name]) for name in ("first_day", "live_day"))
        fixed = (int(kept["seed"]), int(kept["tickers"]), bool(kept["books"]))
        history = kept.get("history_days")
        origin = Origin(*fixed, first, live, None if history is None else int(history))
        return State(origin, date.fromisoformat(content["day"]), int(content["now_ns"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Refuse(f"{path}: no state of an exchange ({error})") from error


class MarketClock:
    """The clock itself. `now_ns` lies within `day`; days before it are over."""

    def __init__(self, calendar: Calendar, state: State, pace: Pace) -> None:
        self.pace = pace
        self.running = False
        self._calendar = calendar
        self._state = state
        self._told_ns: int | None = None  # our clock at the last tick
        self._tallies: dict[date, tuple[Floats, Floats]] = {}  # messages sent by, seconds
        self._sent: float | None = None  # at a rate: messages of the day so far

    @property
    def day(self) -> date:
        """The live day."""
        return self._state.day

    @property
    def now_ns(self) -> int:
        """Market time, ns UTC."""
        return self._state.now_ns

    def limit_ns(self, day: date) -> int:
        """How far a day's session may be told: all of it, up to now, or (-1) not at all yet."""
        if day < self.day or self.pace.unbounded:
            return NEVER
        return self.now_ns if day == self.day else -1

    def start(self) -> None:
        """The first client has come to the live day."""
        self.running = True

    def reached(self, day: date, ts_ns: int) -> None:
        """Somebody has been told up to there: it cannot be earlier."""
        if day > self.day:
            ts_ns = max(ts_ns, self._calendar.day_open_ns(day) - OPENS_BEFORE_NS)
        if (day, ts_ns) > (self.day, self.now_ns):
            self._state.day, self._state.now_ns = day, ts_ns
            self._sent = None

    def missing(self) -> date | None:
        """At a rate: the next day whose tally the clock needs and has not."""
        if self.pace.rate is None:
            return None
        days = (self.day, self._calendar.next_day(self.day))
        return next((day for day in days if day not in self._tallies), None)

    def take(self, day: date, tally: NDArray[np.int64]) -> None:
        """At a rate: messages sent by each second of a day (stream.tally)."""
        for old in [known for known in self._tallies if known < self.day]:
            del self._tallies[old]
        self._tallies[day] = tally.astype(np.float64), np.arange(len(tally), dtype=np.float64)

    def tick(self, wall_ns: int, counts: bool = True) -> None:
        """Let time go by since the last tick. `wall_ns` is any clock that never goes back;
        `counts` false: this stretch takes no market time."""
        passed_ns = wall_ns - self._told_ns if self._told_ns is not None else 0
        self._told_ns = wall_ns
        if not (self.running and counts) or self.pace.unbounded:
            return
        if self.pace.rate is None:
            self._by_time(round(passed_ns * self.pace.speed))
        else:
            self._by_messages(passed_ns * self.pace.rate / SECOND_NS)

    def _by_time(self, passed_ns: int) -> None:
        while passed_ns >= (left := self._calendar.day_end_ns(self.day) - self.now_ns):
            passed_ns -= left
            self._next_day()
        self._state.now_ns += passed_ns

    def _by_messages(self, messages: float) -> None:
        while (known := self._tallies.get(self.day)) is not None:
            tally, seconds = known
            start_ns = self._calendar.sessions(self.day)[0].open_ns
            if self._sent is None:
                self._sent = float(np.interp((self.now_ns - start_ns) / SECOND_NS, seconds, tally))
            self._sent += messages
            messages = self._sent - float(tally[-1])
            if messages < 0:
                now_s = float(np.interp(self._sent, tally, seconds))
                now_ns = start_ns + round(now_s * SECOND_NS)
                self._state.now_ns = max(self.now_ns, now_ns)
                return
            self._next_day()

    def _next_day(self) -> None:
        self._state.day = self._calendar.next_day(self.day)
        self._state.now_ns = self._calendar.day_open_ns(self.day) - OPENS_BEFORE_NS
        self._sent = None
