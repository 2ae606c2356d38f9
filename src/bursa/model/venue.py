"""A venue: its clock, calendar, boards, channels, precision and HD gates. Data.

Its hours are dated tables (hours.py), the days that differ are lists and rules (holidays.py), which
an operator may change (`amend`). `VENUES` holds what this program knows; configuration picks from
it. A provider's oddity belongs into its codec (wire/) and feed (feeds/).
"""

from dataclasses import dataclass
from datetime import date

from bursa.model import calendar_file, holidays
from bursa.model.batch import Words
from bursa.model.calendar import SECOND_NS, Calendar
from bursa.model.hours import ALWAYS_OPEN, FOREX_HOURS, IDX_HOURS, XNAS_HOURS, Dates, Hours


@dataclass(frozen=True)
class Gates:
    """HD's gates in seconds of the venue's day; its metric says what each does.

    from_ns   they hold for bars that open at this time, ns UTC, or later (0: for all); a schedule
              is several of these, ascending, of which each holds until the next (pipeline/gates.py)
    """

    open_s: int
    close_s: int
    freeze_s: int
    from_ns: int = 0


@dataclass(frozen=True)
class Channel:
    """One ordered stream of a venue's feed.

    ticks     it carries trades, so that its watermark is one of those that close bars
    numbered  its messages bear one running number: what a cut loses is seen when it is over.
              Without one, nobody knows what was said meanwhile
    """

    name: str
    ticks: bool
    numbered: bool = True


@dataclass(frozen=True)
class Venue:
    """What is true of a market whoever asks.

    bar_board         the one board whose trades form bars
    price_scale       wire integers are price * 10**price_scale
    volume_scale      wire integers are volume * 10**volume_scale
    price_decimals    decimals a price is shown with, unless its instrument says otherwise
    volume_decimals   decimals of one unit of volume, unless its instrument says otherwise
    finest_decimals   decimals of the finest price, where that is finer than what is shown
    volume_unit       units in which pages show volume (100 on idx: lots), and its word
    grace_s           a bar closes when the watermark is this far past its end
    stale_after_s     silence on a channel past this is stale
    gates             None: HD is null on this venue
    main_index        code of the index that stands for the market, "" where there is none
    since             its first day of trading: no row of it is older
    takes_back        trades may be taken back after they were told: stored ones do not say which
    """

    name: str
    title: str
    exchange: str
    calendar: Calendar
    boards: tuple[str, ...]
    bar_board: str
    channels: tuple[Channel, ...]
    currency: str
    ticker_pattern: str
    price_scale: int
    volume_scale: int
    price_decimals: int
    volume_decimals: int
    finest_decimals: int = 0
    volume_unit: int = 1
    volume_word: str = ""
    grace_s: int = 2
    stale_after_s: int = 10
    gates: Gates | None = None
    main_index: str = ""
    since: date = date(1970, 1, 1)
    takes_back: bool = False

    def words(self) -> Words:
        """A new dictionary of this venue, without symbols or texts yet."""
        return Words(self.boards, [channel.name for channel in self.channels])

    @property
    def value_decimals(self) -> int:
        """Decimals of the value of one trade, to which it is rounded once."""
        return min(max(self.price_decimals, self.finest_decimals) + self.volume_decimals, 4)


IDX = Venue(
    name="idx",
    title="Indonesia Stock Exchange",
    exchange="IDX",
    calendar=Calendar("Asia/Jakarta", "WIB", IDX_HOURS, holidays.listed("idx")),
    boards=("RG", "NG", "TN"),
    bar_board="RG",
    channels=(Channel("idxdata", ticks=True), Channel("itchdata", ticks=False)),
    currency="IDR",
    ticker_pattern=r"^[A-Z0-9][A-Z0-9.\-]{0,11}$",
    price_scale=4,
    volume_scale=0,
    price_decimals=0,
    volume_decimals=0,
    volume_unit=100,
    volume_word="lots",
    gates=Gates(9 * 3600 + 300, 14 * 3600 + 3000, 15 * 3600),
    main_index="COMPOSITE",
    since=date(1977, 8, 10),
)

BINANCE = Venue(
    name="binance",
    title="Binance spot",
    exchange="BINANCE",
    calendar=Calendar("UTC", "UTC", ALWAYS_OPEN),
    boards=("SPOT",),
    bar_board="SPOT",
    channels=(Channel("stream", ticks=True, numbered=False),),
    currency="",
    ticker_pattern=r"^[A-Z0-9][A-Z0-9.\-]{0,19}$",
    price_scale=8,
    volume_scale=8,
    price_decimals=2,
    volume_decimals=8,
    since=date(2017, 7, 14),
)

# Nasdaq writes a class, a preferred share, a right, a warrant, a unit and so on as a suffix of one
# mark, most with a letter behind it: BRK.A, PSA-B, ABC^, ABC+, ABC=, ABC#.
XNAS = Venue(
    name="xnas",
    title="Nasdaq",
    exchange="NASDAQ",
    calendar=Calendar("America/New_York", "ET", XNAS_HOURS, holidays.new_york()),
    boards=("XNAS",),
    bar_board="XNAS",
    channels=(Channel("itch", ticks=True),),
    currency="USD",
    ticker_pattern=r"^[A-Z0-9][A-Z0-9.\-+=#^*$!@%~]{0,7}$",
    price_scale=4,
    volume_scale=0,
    price_decimals=2,
    volume_decimals=0,
    finest_decimals=4,
    volume_word="shares",
    since=date(1971, 2, 8),
    takes_back=True,
)

VENUES = {venue.name: venue for venue in (IDX, BINANCE, XNAS)}

# Of the forex venue, which its provider will bring: weeks begin with Sunday's evening.
FOREX_CALENDAR = Calendar("America/New_York", "ET", FOREX_HOURS, week_from=6)

_BUILT_IN: dict[str, tuple[tuple[Hours, ...], Dates]] = {
    venue.name: (venue.calendar.hours, venue.calendar.dates) for venue in VENUES.values()
}


def amend(name: str, text: str, where: str) -> None:
    """Take an operator's file of a venue's calendar, above what comes with bursa; an empty text
    takes the tables that do. At a start, before anything asks the calendar.

    Raises Refuse `bad_calendar`, naming file and key, and then has changed nothing.
    """
    hours, dates = _BUILT_IN[name]
    said = calendar_file.parse(text, where)
    VENUES[name].calendar.take(said.hours_onto(hours), said.onto(dates))


def closed_until_ns(venue: Venue, watermark_ns: int, day_is_over: bool) -> int:
    """Event time up to which bars are closed, given the watermark; all of the day's once the venue
    has said that the day is over."""
    if watermark_ns <= 0:
        return 0
    until = watermark_ns - venue.grace_s * SECOND_NS
    day = venue.calendar.day_of(watermark_ns)
    if day_is_over and venue.calendar.is_trading_day(day):
        return max(until, venue.calendar.day_end_ns(day))
    return until
