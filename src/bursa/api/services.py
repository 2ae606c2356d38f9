"""What the surfaces need of the running program, as values and small functions.

app.py fills these in; nothing here reads, waits or knows an adapter. A venue's clock is its newest
event time, carried on by our own clock: freshness, session state and UDF's time go by it.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from bursa.accounts.hd import Shown
from bursa.accounts.orders import Keep
from bursa.accounts.parts import Accounts
from bursa.accounts.tiers import SEED
from bursa.accounts.who import Rights
from bursa.api.front import Front
from bursa.history.candles import Market, Reader, Rings
from bursa.history.day import MarketDay, Parts
from bursa.history.directory import Directory, Sources
from bursa.history.indices import Indices
from bursa.history.ledger import Ledger, Range
from bursa.history.name_book import NameBook
from bursa.history.offload import Offload
from bursa.history.present import Present, Recent
from bursa.model.batch import Batch, Block, Words
from bursa.model.calendar import DAY_NS, HOW_TO_AMEND
from bursa.model.errors import Refuse, Retry
from bursa.model.venue import Venue, closed_until_ns
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.books import NO_BOOK, Depth
from bursa.ports import Clock, DayFiles, Store

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ChannelState:
    """One channel of a feed. Times are 0 where nothing came yet.

    state  the venue's session state last heard (schema.STATES), "" where none was
    ended  the source said that it is over (a file's end): its clock stands still
    """

    name: str
    up: bool
    last_recv_ns: int
    watermark_ns: int
    state: str = ""
    ended: bool = False


@dataclass(frozen=True)
class VenueParts:
    """The parts of one venue that app.py hands over. All callables answer from memory.

    open_bars     open bars of some symbol ids; takes the line's lock
    watermark_ns  event time by which bars close; 0 before the first
    channels      the channels' states, in the venue's order
    present       what is known right now
    recent        fed by the ingest thread with every batch
    book          a ticker's order book, so many levels of a side; takes the line's lock
    names         what instruments are called; None: by what comes with the program
    published     do readers of the present get a kind? Its switch may be turned at any time
    """

    venue: Venue
    words: Words
    store: Store
    rings: Rings
    present: Present
    recent: Recent
    open_bars: Callable[[Block], Batch]
    watermark_ns: Callable[[], int]
    channels: Callable[[], Sequence[ChannelState]]
    book: Callable[[str, int], Depth] = lambda ticker, depth: NO_BOOK
    names: NameBook | None = None
    published: Callable[[str], bool] = lambda kind: True


class VenueService:
    """One venue as the surfaces see it."""

    def __init__(self, parts: VenueParts, clock: Clock, offload: Offload) -> None:
        self.venue, self.words = parts.venue, parts.words
        self.store, self.rings, self.present = parts.store, parts.rings, parts.present
        self.open_bars, self.channels = parts.open_bars, parts.channels
        self.book = parts.book
        self.catalogue = parts.rings.catalogue
        self.hd = Shown(self.catalogue)
        self.watermark_ns, self.published = parts.watermark_ns, parts.published
        self._clock = clock
        self._live_from: int | None = None
        self._ago: tuple[int, dict[int, int]] = (0, {})
        self._ticker = re.compile(parts.venue.ticker_pattern)
        self.names = parts.names or NameBook(parts.venue)
        sources = Sources(
            parts.venue, parts.words, parts.store, parts.rings, parts.present, self.names
        )
        self.directory = Directory(sources, offload)
        self.market = Market(
            parts.venue,
            parts.words,
            parts.store,
            parts.rings,
            parts.open_bars,
            self.closed_until_ns,
            self.directory.first_ns,
        )
        self.reader = Reader(self.market, offload)
        self.ledger = Ledger(self.market, parts.recent, offload)
        self.indices = Indices(self.market, parts.present, parts.recent, offload)
        self.day = MarketDay(Parts(self.market, parts.present, self.now_ns), clock, offload)

    def is_ticker(self, text: str) -> bool:
        """Is it well formed for the venue?"""
        return self._ticker.fullmatch(text) is not None

    def check_calendar(self) -> None:
        """Retry where the venue's holidays are not known of today: its days are guesses then."""
        calendar = self.venue.calendar
        if not calendar.knows(calendar.day_of(self.now_ns())):
            raise Retry(f"{calendar.told()}; {HOW_TO_AMEND}")

    def require(self, kind: str) -> None:
        """Refuse `not_published` where readers of the present do not get this kind."""
        if not self.published(kind):
            switch = f"{self.venue.name}.{kind}.publish"
            message = f"{self.venue.name} does not publish {kind} now ({switch} is off)"
            raise Refuse(message, "not_published", 404)

    def now_ns(self) -> int:
        """The venue's clock, ns UTC: the newest event time, carried on by ours since it came. It
        stands still where the source has ended; before any event it is ours."""
        newest = max(self.channels(), key=lambda c: c.watermark_ns, default=None)
        if newest is None or newest.watermark_ns <= 0:
            return self._clock.now_ns()
        if newest.ended or newest.last_recv_ns <= 0:
            return newest.watermark_ns
        return newest.watermark_ns + max(self._clock.now_ns() - newest.last_recv_ns, 0)

    def days_ago_ns(self, days: int) -> int:
        """Beginning of the day of the venue so many days before its present one, ns UTC; not before
        1970. Up to a second old."""
        second = self._clock.now_ns() // SECOND_NS
        if self._ago[0] != second:
            self._ago = second, {}
        found = self._ago[1].get(days)
        if found is None:
            calendar = self.venue.calendar
            day = calendar.day_of(self.now_ns()) - timedelta(days=days)
            found = self._ago[1][days] = max(calendar.midnight_ns(day), 0)
        return found

    def closed_until_ns(self) -> int:
        """Event time up to which all bars are closed; 0 before the first event."""
        watermark = self.watermark_ns()
        states = [state.state for state in self.channels() if state.state]
        return closed_until_ns(self.venue, watermark, bool(states) and states[0] == "E")

    def lately_ns(self) -> int:
        """Midnight of the venue's last day before the present one: who traded since is trading."""
        calendar = self.venue.calendar
        return calendar.midnight_ns(calendar.previous_day(calendar.day_of(self.now_ns())))

    def live_range(self, start_ns: int, end_ns: int, tf: str = "1m") -> Range:
        """A range for the ledger, with how far the channels are."""
        live_ns = tuple(state.watermark_ns for state in self.channels())
        return Range(start_ns, end_ns, live_ns, tf)

    def kept_from_ns(self) -> int | None:
        """Beginning of the first day of which a bar is kept; None where there is none. Blocks
        while the store is opened."""
        first = min((first for first, _ in self.store.span(self.venue.name).values()), default=None)
        if first is None:
            # The day's first bars are in memory before the store has committed any.
            first = self.watermark_ns()
            if first <= 0:
                return None
        return self._midnight_ns(first)

    def expected_from_ns(self, tickers: Collection[str]) -> dict[str, int]:
        """Ticker -> beginning of the first day on which bars of it are expected: that of its first
        bar, or of the first one that came live of anybody, where that is earlier. What a file
        brought of one instrument's years before says nothing of the others. Blocks."""
        spans = self.store.span(self.venue.name)
        live = self._live_from_ns()
        firsts = {ticker: spans[ticker][0] if ticker in spans else live for ticker in tickers}
        return {ticker: self._midnight_ns(min(first, live)) for ticker, first in firsts.items()}

    def _live_from_ns(self) -> int:
        """When anything came live first; now, where nothing did."""
        kept, now_ns, calendar = self.kept_from_ns(), self.now_ns(), self.venue.calendar
        if self._live_from is None and kept is not None:
            first, until = (calendar.day_of(ts) for ts in (kept, now_ns + DAY_NS))
            heard = self.store.covered(self.venue.name, "", first, until).heard.any(axis=1)
            if heard.any():
                day = first + timedelta(days=int(np.argmax(heard)))
                self._live_from = calendar.midnight_ns(day)
        return now_ns if self._live_from is None else min(self._live_from, now_ns)

    def _midnight_ns(self, ts_ns: int) -> int:
        return self.venue.calendar.midnight_ns(self.venue.calendar.day_of(ts_ns))


@dataclass(frozen=True)
class GateDesk:
    """HD's gates of a venue that runs. Blocks; Retry while it recovers.

    rows   the schedule, as pipeline/control.py names its columns, oldest first
    order  sets seconds of the day by `open_s`, `close_s`, `freeze_s` for bars from a time on (ns
           UTC), carried out by a Keep; were they
           others? Refuse for what may not be
    """

    venue: Venue
    rows: Callable[[], list[list[str]]]
    order: Callable[[Mapping[str, int], int, Keep], bool]


@dataclass(frozen=True)
class Dependency:
    """Something this process leans on. `check` blocks and raises what is wrong; `required`: without
    it nothing can be served."""

    name: str
    check: Callable[[], object]
    required: bool = True


@dataclass(frozen=True)
class Services:
    """All that the surfaces need.

    waiting_for  what the start still waits for, "" when it is done
    public       names of the venues that anyone may ask for by the viewer API
    backend      the store's name
    bulk         closed days as whole files; None: there are none
    drain_s      venue -> second of its clock's day from which a day is made one
    desk         threads for calls of accounts: they hold up no reader of the market
    passwords    threads for those that compute a password: a flood of sign-ins holds up no exchange
                 or renewal of a token
    front        how this server is reached
    accounts     who may what; None: everybody is the demo's user
    gates        venue -> the gates of its HD; none of one that has no HD
    """

    venues: Mapping[str, VenueService]
    clock: Clock
    offload: Offload
    telemetry: Telemetry
    version: str
    dependencies: Sequence[Dependency] = ()
    waiting_for: Callable[[], str] = field(default=lambda: "")
    public: frozenset[str] = frozenset()
    backend: str = ""
    bulk: DayFiles | None = None
    drain_s: Mapping[str, int] = field(default_factory=dict)
    desk: Offload = field(default_factory=Offload)
    passwords: Offload = field(default_factory=Offload)
    front: Front = field(default_factory=Front)
    accounts: Accounts | None = None
    gates: Mapping[str, GateDesk] = field(default_factory=dict)

    @property
    def default(self) -> VenueService:
        """The venue configured first."""
        return next(iter(self.venues.values()))

    @property
    def tiers(self) -> Mapping[str, Rights]:
        """The tier matrix, the lowest tier first."""
        return SEED if self.accounts is None else self.accounts.standing.tiers()

    def venue(self, name: str | None) -> VenueService:
        """The venue of that name, the default one for None. Refuse `unknown_venue`."""
        if name is None:
            return self.default
        found = self.venues.get(name)
        if found is None:
            known = ", ".join(self.venues)
            raise Refuse(f"venue={name!r} is none of {known}", "unknown_venue", 404, "venue")
        return found
