"""The state of the demo market on one day, for one channel: blocks the kernels work on.

Everything that changes while a day goes by lies in these arrays, so that a copy of them is a place
to go on from. Which numbers they start with is decided here; what happens then, in engine.py.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bursa.exchange import ladder
from bursa.exchange.chance import seed_of, units
from bursa.exchange.closes import closes
from bursa.exchange.encode import IMAGE_BYTES, INDICES, LOT, SEQ, images
from bursa.exchange.tickers import SECTORS, Ticker, listing
from bursa.exchange.timetable import Timetable, timetable
from bursa.model.calendar import SECOND_NS, Calendar

Block = NDArray[np.int64]
Floats = NDArray[np.float64]

# What the njit kernels of engine.py, matching.py and books.py find where.
# Columns of `Market.shares`, one row an instrument.
BID, ASK = 0, 1  # rungs of the best bid and offer; a side beyond its limit is empty
LOWEST, HIGHEST = 2, 3  # rungs of the day's band
SPREAD = 4  # rungs between bid and offer
PREV, OPENED, HIGH, LOW, LAST = 5, 6, 7, 8, 9  # rupiah; 0 before the first trade
VOLUME, VALUE, TRADES = 10, 11, 12
CHANGED = 13  # 1: its snapshot is due
OUTSTANDING = 14
BLUE = 15  # 1: in the second index
CLOSE = 16  # rung of the day's close
SEEN_NS = 17  # when its price was looked at last; 0 before it opened
SECTOR = 18
DEPTH = 19  # shares that usually stand at a level of its book
CLIP = 20  # shares of a usual order there
TRADE_CUT, TRADE_ELSE, BOOK_CUT, BOOK_ELSE = 21, 22, 23, 24  # alias tables of the two draws
SHARE_COLUMNS = 25

# Columns of `Market.traits`.
STRAY, STRAY_SD = 0, 1  # own log deviation from the path, and its deviation per root second
DRIFT, WITH_MARKET, WITH_SECTOR = 2, 3, 4
FILL_LOTS = 5  # mean lots of a trade
TRAIT_COLUMNS = 6

# `Market.clock`; 0 and 1 are encode.USED and encode.SEQ.
QUIET_SEQ, STOP_SEQ = 2, 3  # SEQ a second of market time ago; where not to go on from
START, END, NOW, DONE = 4, 5, 6, 7  # NOW: everything up to and with it was written
TRADE_NO = 8
NEXT_TRADE, NEXT_BOOK, NEXT_TICK, NEXT_EVENT = 9, 10, 11, 12  # NEXT_EVENT: column of the plan
TICK_NS, TICKS, GROUPS, INDEX_EVERY = 13, 14, 15, 16
CHANNEL, BOOKS = 17, 18
CONTINUOUS, INDEX_SHOWN = 19, 20
ELAPSED_S, TRADING_S = 21, 22
CAP, CAP_BASE, CAP_PREV, TRADED = 23, 25, 27, 29  # two of each: all shares, blue ones
CHANCE_TRADE, CHANCE_BOOK, CHANCE_PATH = 31, 32, 33
RING_AT, RING = 34, 35  # who traded last, RING_SIZE of them
RING_SIZE = 16
CLOCK_FIELDS = RING + RING_SIZE

# `Market.path`.
PROGRESS, MARKET, SECTOR_PATHS = 0, 1, 2

NEVER = 2**62
TRADES_CHANNEL, MARKET_CHANNEL = 0, 1
STRAY_S = 1_800.0  # in which a ticker's own deviation fades

_BLUE_COUNT = 45
_VALUE_OF_A_TRADE = 11_000_000  # rupiah
_OWN_SD, _OWN_SD_WILD = 0.007, 0.03  # of a day, in logs: the calmest, the wildest
_BUSY_TICKER = 10.0  # activity above which a spread is one step
_SPREAD_SHARE = 6e-4  # of the price, at least
# Trading days are numbered from one of today's, so that a holiday of long ago, found out late, does
# not change what is traded now.
_KNOWN_DAY, _KNOWN_NUMBER = date(2025, 11, 20), 6753


class Market(NamedTuple):
    """One day's state.

    shares  int64 (n, SHARE_COLUMNS)     traits  float64 (n, TRAIT_COLUMNS)
    images  uint8, the packets each instrument can send (encode.py)
    plan, rates  the day's timetable (timetable.py), never changed
    clock   int64 (CLOCK_FIELDS,)        path    float64, how far the market and sectors strayed
    """

    shares: Block
    traits: Floats
    images: NDArray[np.uint8]
    plan: Block
    rates: Floats
    clock: Block
    path: Floats

    def copy(self) -> "Market":
        """A state of its own, to go on from; what never changes is shared."""
        return Market(
            self.shares.copy(),
            self.traits.copy(),
            self.images.copy(),
            self.plan,
            self.rates,
            self.clock.copy(),
            self.path.copy(),
        )


@dataclass(frozen=True)
class Detail:
    """How much of a day is told.

    books      changes of books are sent
    tick_ns, groups   a group of instruments has its changed snapshots sent at every tick, in turn
    index_every_s     seconds between two index messages
    """

    books: bool
    tick_ns: int
    groups: int
    index_every_s: int


FULL = Detail(True, SECOND_NS // 20, 60, 1)
NO_BOOKS = Detail(False, SECOND_NS // 20, 60, 1)
HISTORY = Detail(False, SECOND_NS, 60, 10)


@dataclass(frozen=True)
class Day:
    """A trading day of one market: what the content of its sessions follows from."""

    calendar: Calendar
    date: date
    seed: int
    tickers: int
    detail: Detail


@lru_cache(4)
def _size(tickers: int) -> tuple[Floats, Floats]:
    """Activity (sum 1) and its weaker power for books (sum 1), of a listing."""
    activity = np.array([t.activity for t in listing(tickers)])
    total = max(activity.sum(), 1e-9)
    books = activity**0.75
    return activity / total, books / max(books.sum(), 1e-9)


@lru_cache(4)
def _images(tickers: int) -> NDArray[np.uint8]:
    return images(listing(tickers))


def _alias(weights: Floats) -> tuple[Block, Block]:
    """Walker's table: a uniform column, kept where 32 random bits are below its cut, else its
    other; draws in proportion to the weights."""
    scaled = weights * len(weights)
    cuts, others = np.ones(len(weights)), np.arange(len(weights))
    small = [i for i, w in enumerate(scaled) if w < 1]
    large = [i for i, w in enumerate(scaled) if w >= 1]
    while small and large:
        low, high = small.pop(), large[-1]
        cuts[low], others[low] = scaled[low], high
        scaled[high] -= 1 - scaled[low]
        if scaled[high] < 1:
            small.append(large.pop())
    return np.round(cuts * 2**32).astype(np.int64), others.astype(np.int64)


@lru_cache(4)
def _alias_columns(tickers: int) -> Block:
    columns = [column for weights in _size(tickers) for column in _alias(weights)]
    return np.stack(columns, axis=1)


def _nature(tickers: tuple[Ticker, ...], seed: int) -> Floats:
    """float64 (4, n): sector, share in the market's and the sector's moves, own daily deviation."""
    chance = units(seed_of(seed, 21), 3 * len(tickers)).reshape(3, -1)
    nature = np.empty((4, len(tickers)))
    nature[0] = [t.sector for t in tickers]
    nature[1] = 0.5 + chance[0]
    nature[2] = 0.4 + 0.9 * chance[1]
    calm = np.array([min(1.0, t.activity / _BUSY_TICKER) for t in tickers])
    wild = np.maximum(chance[2] ** 4, 0.25 * (1 - calm))
    nature[3] = _OWN_SD + (_OWN_SD_WILD - _OWN_SD) * wild
    nature[3, [t.activity == 0 for t in tickers]] = 0.0
    return nature


def trading_day_number(calendar: Calendar, day: date) -> int:
    """Trading days in a row have numbers in a row."""
    if day < _KNOWN_DAY:
        return _KNOWN_NUMBER - len(calendar.days(day, _KNOWN_DAY))
    return _KNOWN_NUMBER + len(calendar.days(_KNOWN_DAY, day))


def _prices(day: Day, nature: Floats) -> tuple[Block, Block]:
    """Closes of the day before and of the day."""
    bases = np.array([float(t.price) for t in listing(day.tickers)])
    number = trading_day_number(day.calendar, day.date)
    root = seed_of(day.seed, 22)
    return closes(root, number - 1, bases, nature), closes(root, number, bases, nature)


def _shares(day: Day, before: Block, after: Block) -> Block:
    tickers = listing(day.tickers)
    shares = np.zeros((len(tickers), SHARE_COLUMNS), np.int64)
    shares[:, PREV] = before
    bands = [ladder.band(close) for close in before.tolist()]
    shares[:, LOWEST], shares[:, HIGHEST] = np.array(bands).T
    shares[:, CLOSE] = [round(ladder.rung(float(p))) for p in after.tolist()]
    activity = np.array([t.activity for t in tickers])
    spread = 1 + np.floor(4 * np.clip(1 - activity / _BUSY_TICKER, 0, 1) ** 8)
    fine = before * _SPREAD_SHARE / ladder.STEP_MAX  # steps are small change at high prices
    shares[:, SPREAD] = np.maximum(spread, fine).astype(np.int64)
    shares[:, OUTSTANDING] = [t.shares for t in tickers]
    blue = sorted(range(len(tickers)), key=lambda i: (-activity[i], i))[:_BLUE_COUNT]
    shares[[i for i in blue if activity[i] > 0], BLUE] = 1
    shares[:, SECTOR] = [t.sector for t in tickers]
    depth_lots = np.maximum(20.0, _fill_lots(before) * (6 + 2.5 * activity))
    shares[:, DEPTH] = (depth_lots.astype(np.int64)) * LOT
    shares[:, CLIP] = np.maximum(1, (depth_lots / 18).astype(np.int64)) * LOT
    shares[:, TRADE_CUT : BOOK_ELSE + 1] = _alias_columns(day.tickers)
    return shares


def _fill_lots(prices: Block) -> Floats:
    return np.clip(_VALUE_OF_A_TRADE / (prices * float(LOT)), 1.2, 20_000.0)


def _traits(day: Day, nature: Floats, before: Block, after: Block) -> Floats:
    count = len(before)
    traits = np.zeros((count, TRAIT_COLUMNS))
    chance = units(seed_of(day.seed, day.date.toordinal(), 23), 4 * count).reshape(4, -1)
    gap = (chance.sum(axis=0) - 2) * 1.73
    traits[:, STRAY] = gap * nature[3] * 0.5
    traits[:, STRAY_SD] = 0.5 * nature[3] * (2.0 / STRAY_S) ** 0.5
    traits[:, DRIFT] = np.log(after / before)
    traits[:, WITH_MARKET], traits[:, WITH_SECTOR] = nature[1], nature[2]
    traits[:, FILL_LOTS] = _fill_lots(before)
    return traits


def _clock(day: Day, channel: int, times: Timetable, shares: Block) -> Block:
    clock = np.zeros(CLOCK_FIELDS, np.int64)
    clock[[NOW, START, END]] = times.start_ns - 1, times.start_ns, times.end_ns
    clock[[SEQ, QUIET_SEQ, TRADE_NO]] = 1
    clock[STOP_SEQ] = NEVER
    clock[[NEXT_TRADE, NEXT_BOOK]] = -1  # not drawn yet
    clock[RING : RING + RING_SIZE] = -1  # nobody traded yet
    told = day.detail if channel == MARKET_CHANNEL else HISTORY
    clock[[TICK_NS, GROUPS]] = told.tick_ns, told.groups
    clock[[NEXT_TICK, INDEX_EVERY]] = times.start_ns + told.tick_ns, told.index_every_s
    clock[[CHANNEL, BOOKS]] = channel, told.books
    clock[TRADING_S] = times.trading_s
    number = day.date.toordinal()
    for at, stream in enumerate((CHANCE_TRADE, CHANCE_BOOK, CHANCE_PATH)):
        clock[stream] = seed_of(day.seed, number, 31 + at)
    bases = np.array([t.price for t in listing(day.tickers)])
    for at, member in enumerate((shares[:, OUTSTANDING] > 0, shares[:, BLUE] == 1)):
        owned = shares[member, OUTSTANDING]
        clock[CAP + at] = clock[CAP_PREV + at] = owned @ shares[member, PREV]
        clock[CAP_BASE + at] = max(1, owned @ bases[member])
    return clock


def open_day(day: Day, channel: int) -> Market:
    """The state before the first message of a day on one channel. Trades, prices and times are the
    same on either channel and for any detail."""
    nature = _nature(listing(day.tickers), day.seed)
    before, after = _prices(day, nature)
    shares = _shares(day, before, after)
    weights, _ = _size(day.tickers)
    told = day.detail.books and channel == MARKET_CHANNEL
    times = timetable(day.calendar, day.date, day.seed, weights, told)
    assert len(_images(day.tickers)) == (day.tickers + len(INDICES) + 1) * IMAGE_BYTES
    return Market(
        shares,
        _traits(day, nature, before, after),
        _images(day.tickers).copy(),
        times.plan,
        times.rates,
        _clock(day, channel, times, shares),
        np.zeros(SECTOR_PATHS + len(SECTORS)),
    )
