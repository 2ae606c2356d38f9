"""The pages' facts, taken from running venues (facts.PageSource).

Turns what the pipeline remembers into what the day tape, the chart's head and the badge show. Reads
memory only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Protocol

from bursa.history.day import MarketDay
from bursa.model.calendar import MINUTE_NS, Calendar, Session
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.pipeline.facts import Facts
from bursa.ports import Clock
from bursa.web.facts import Heard, Hole, Instrument, Market, Progress, Tape
from bursa.web.market import market

# What a chart opens with, where the venue has it.
KNOWN_BEST = ("BBCA", "BTCUSDT")


class Channel(Protocol):
    """What is asked of a feed's channel."""

    @property
    def name(self) -> str:
        """As the venue calls it."""

    @property
    def watermark_ns(self) -> int:
        """Event time of its newest message; 0 before."""

    @property
    def up(self) -> bool:
        """It delivers."""

    @property
    def last_recv_ns(self) -> int:
        """When something came last, ns UTC, our clock; 0 before."""


@dataclass(frozen=True)
class View:
    """One running venue.

    now_ns    the venue's clock; ours before its first event
    channels  states of its feed's channels; empty where no feed is configured
    name_of   (ticker, what its venue calls it) -> the name to show
    past      [first, live) are past days that stream in before the live one; None: there are none
    day       its figures
    starting  what its start waits for; "" once it is done
    """

    venue: Venue
    facts: Facts
    now_ns: Callable[[], int]
    channels: Callable[[], Sequence[Channel]]
    past: Callable[[], tuple[date, date] | None]
    name_of: Callable[[str, str], str]
    day: MarketDay
    starting: Callable[[], str] = lambda: ""


class LiveSource:
    """Implements facts.PageSource."""

    def __init__(self, views: Mapping[str, View], clock: Clock) -> None:
        self._views, self._clock = views, clock

    def venues(self) -> Sequence[Venue]:
        """The venues, the default one first."""
        return [view.venue for view in self._views.values()]

    def instruments(self, venue: str) -> int:
        """How many instruments are known."""
        return len(self._view(venue).facts.contracts)

    def instrument(self, venue: str, ticker: str) -> Instrument | None:
        """An instrument by its exact code."""
        view = self._view(venue)
        contract = view.facts.contracts.get(ticker)
        if contract is None:
            return None
        return Instrument(
            ticker,
            view.name_of(ticker, contract.name),
            contract.price_decimals,
            contract.volume_decimals,
            contract.lot,
        )

    def first_ticker(self, venue: str) -> str | None:
        """The best known instrument, else the one described first."""
        contracts = self._view(venue).facts.contracts
        for ticker in KNOWN_BEST:
            if ticker in contracts:
                return ticker
        return next(iter(contracts), None)

    def tape(self, venue: str) -> Tape:
        """The venue's day now."""
        view = self._view(venue)
        facts, calendar, now = view.facts, view.venue.calendar, self._clock.now_ns()
        channels = view.channels()
        connected = bool(channels) and all(channel.up for channel in channels)
        venue_now = view.now_ns()
        day = calendar.day_of(venue_now)
        if not calendar.is_trading_day(day):
            day = calendar.next_day(day)
        newest = max((channel.last_recv_ns for channel in channels), default=0)
        sessions = calendar.sessions(day)
        start, counts = _shown(facts, sessions)
        return Tape(
            day=day,
            now_ns=venue_now,
            sessions=sessions,
            minutes_ns=start,
            counts=counts,
            rate=facts.rate(now),
            feed=bool(channels),
            connected=connected,
            age_ms=(now - newest) // 1_000_000 if newest else None,
            holes=_holes(facts, calendar, day),
            progress=_progress(view, calendar, venue_now),
            heard=_heard(view.venue, channels),
            starting=view.starting(),
        )

    def market(self, venue: str) -> Market:
        """The venue's day in figures."""
        view = self._view(venue)
        tape, first = self.tape(venue), self.first_ticker(venue)
        return market(view.venue, view.day, partial(self.instrument, venue), tape, first)

    def _view(self, venue: str) -> View:
        view = self._views.get(venue)
        if view is None:
            raise Refuse(f"venue={venue!r}: none of {', '.join(self._views)}", "unknown_venue", 404)
        return view


def _heard(venue: Venue, channels: Sequence[Channel]) -> list[Heard]:
    trades = {channel.name: channel.ticks for channel in venue.channels}
    return [
        Heard(state.name, state.watermark_ns, state.up, trades[state.name]) for state in channels
    ]


def _shown(facts: Facts, sessions: Sequence[Session]) -> tuple[int, list[int]]:
    """The pulse from the day's first phase to its last; empty where another day was heard last."""
    midnight, counts = facts.pulse()
    start, end = sessions[0].open_ns, sessions[-1].close_ns
    first, last = (start - midnight) // MINUTE_NS, (end - midnight) // MINUTE_NS
    return start, counts[first:last] if 0 <= first < len(counts) else []


def _holes(facts: Facts, calendar: Calendar, day: date) -> list[Hole]:
    start, end = calendar.midnight_ns(day), calendar.midnight_ns(calendar.next_day(day))
    return [
        Hole(hole.channel, hole.start_ns, hole.end_ns, hole.seq_from, hole.seq_to)
        for hole in list(facts.holes)
        if hole.end_ns > start and hole.start_ns < end
    ]


def _progress(view: View, calendar: Calendar, now_ns: int) -> Progress | None:
    """None once the live day is reached."""
    past = view.past()
    if past is None:
        return None
    first, live = past
    today = calendar.day_of(now_ns) if view.facts.newest_ns else first
    if today >= live:
        return None
    return Progress(len(calendar.days(first, today)) + 1, len(calendar.days(first, live)), today)
