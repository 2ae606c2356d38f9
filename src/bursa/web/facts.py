"""What a page must know beyond the data API, and the seam it comes through.

`PageSource` is implemented by the core; this package neither reads stores nor knows feeds. Times
are int64 ns UTC on the venue's clock unless a field says otherwise, ranges are half-open.
Does not draw (static/js) and does not answer requests (pages.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from bursa.model.calendar import Session
from bursa.model.venue import Venue


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the head of a chart says of an instrument, and how its numbers are printed.

    lot   units a lot; 1 where the venue has none
    """

    ticker: str
    name: str
    price_decimals: int
    volume_decimals: int
    lot: int = 1


@dataclass(frozen=True, slots=True)
class Hole:
    """A range of event time in which messages are missing on a channel, [start, end)."""

    channel: str
    start_ns: int
    end_ns: int
    seq_from: int | None = None
    seq_to: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """How far one channel was heard: event time of its newest message, 0 before the first.

    up       it delivers
    trades   it carries the trades that bars are made of
    """

    channel: str
    until_ns: int
    up: bool
    trades: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far past days have come in: `day` of `days`, and which date that is."""

    day: int
    days: int
    date: date


@dataclass(frozen=True, slots=True)
class Tape:
    """One venue's day at a glance.

    day          the venue's day that is shown; on a day without trading, the next one
    now_ns       the venue's clock
    sessions     that day's phases in time order
    minutes_ns   opening of the first minute counted below
    counts       messages a minute from there on, all channels; shorter than the day is fine
    rate         messages a second lately, all channels
    feed         a feed is configured; without one nothing can become stale
    connected    every channel delivers
    age_ms       since the newest message came, our clock; None before the first one
    backfilled   ranges that were filled in later
    progress     None unless past days are streaming in
    heard        the feed's channels
    starting     what the venue's start waits for; "" once it runs
    """

    day: date
    now_ns: int
    sessions: Sequence[Session]
    minutes_ns: int
    counts: Sequence[int]
    rate: float
    feed: bool
    connected: bool
    age_ms: int | None
    holes: Sequence[Hole] = ()
    backfilled: Sequence[tuple[int, int]] = ()
    progress: Progress | None = None
    heard: Sequence[Heard] = ()
    starting: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One instrument's day. Prices are in quote currency, None where there is none.

    change   percent against `prev`
    volume   shares or base units; value in quote currency
    spark    closes over equal parts of the trading day so far; None: no bar begins in that part
    """

    ticker: str
    name: str
    decimals: int
    last: float | None
    prev: float | None
    change: float | None
    volume: float
    value: float
    trades: int
    spark: Sequence[float | None] = ()


@dataclass(frozen=True, slots=True)
class Index:
    """An index now. `ts_ns` is when it was said."""

    code: str
    ts_ns: int
    value: float | None
    prev: float | None


@dataclass(frozen=True, slots=True)
class Headline:
    """What an overview begins with: the venue's main index, else its best known instrument.

    minutes_ns  openings of the minutes that have a value, ascending
    values      the last value in each of them
    lost        ranges in which values are missing, [start, end), ascending
    chart       it is an instrument, which a chart can show
    """

    code: str
    name: str
    decimals: int
    ts_ns: int
    value: float | None
    prev: float | None
    minutes_ns: Sequence[int] = ()
    values: Sequence[float] = ()
    lost: Sequence[tuple[int, int]] = ()
    chart: bool = False


# The overview's lists, each of tickers, the first one first.
LISTS = ("gainers", "losers", "value", "volume", "trades")
LIST_ROWS = 11


@dataclass(frozen=True, slots=True)
class Market:
    """A venue's day in figures.

    day          the day they are of
    as_of_ns     the newest of them; 0 where there is none
    untraded     instruments without a trade on that day; the three before count the others
    usual        value traded, as a multiple of what is usual by this time; None: not known
    rows         every instrument of `lists`, once
    spark_lost   parts of the sparks in which messages are missing
    """

    day: date
    as_of_ns: int = 0
    headline: Headline | None = None
    indices: Sequence[Index] = ()
    up: int = 0
    down: int = 0
    unchanged: int = 0
    untraded: int = 0
    at_high: int = 0
    at_low: int = 0
    volume: float = 0.0
    value: float = 0.0
    trades: int = 0
    usual: float | None = None
    rows: Sequence[Row] = ()
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    spark_lost: Sequence[int] = ()


class PageSource(Protocol):
    """Live facts for the pages. Every method is called on the event loop and answers from memory,
    without waiting."""

    def venues(self) -> Sequence[Venue]:
        """The configured venues, the default one first; at least one."""

    def instruments(self, venue: str) -> int:
        """How many instruments the venue is known to have so far."""

    def instrument(self, venue: str, ticker: str) -> Instrument | None:
        """An instrument by its exact code; None where the venue has none of that code."""

    def first_ticker(self, venue: str) -> str | None:
        """The instrument that a chart opens with when none is named: the best known one; None
        while the venue has none."""

    def tape(self, venue: str) -> Tape:
        """The venue's day now."""

    def market(self, venue: str) -> Market:
        """The venue's day in figures. It costs milliseconds: ask once for many readers."""


# Freshness: what the badge shows. The words of each state are the page's (static/js/fresh.js).
LIVE, STALE, CUT, CLOSED, WAIT, NONE = "live", "stale", "cut", "closed", "wait", "none"
START = "start"


def session_at(tape: Tape) -> Session | None:
    """The phase that the venue is in now; None outside its hours."""
    return next((s for s in tape.sessions if s.open_ns <= tape.now_ns < s.close_ns), None)


def freshness(tape: Tape, stale_after_s: int) -> str:
    """One word for how far the venue's data can be trusted to be current.

    start   it recovers; what it waits for is told
    none    no feed is configured         wait    past days stream in, or nothing came yet
    cut     a channel is away             stale   connected, but silent for too long
    closed  connected, outside hours      live    connected and speaking
    """
    if tape.starting:
        return START
    if not tape.feed:
        return NONE
    if not tape.connected:
        return CUT
    if tape.progress is not None or tape.age_ms is None:
        return WAIT
    if session_at(tape) is None:
        return CLOSED
    return STALE if tape.age_ms > stale_after_s * 1000 else LIVE


def away(tape: Tape, fresh: str) -> list[Heard]:
    """The channels from which nothing comes now: cut ones, or all where the feed is silent."""
    if fresh == STALE:
        return list(tape.heard)
    return [channel for channel in tape.heard if not channel.up] if fresh == CUT else []
