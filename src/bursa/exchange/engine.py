"""The kernel that lets a day's time go by and writes what happens as packets.

Four things come in order of time: the plan's events, the tick (paths of market and sectors,
indices, snapshots, heartbeats), orders that trade, and changes of books. Each keeps its own next
time in the clock, so that how far one call goes changes nothing of what is written. On the same
nanosecond the order is the one above.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.exchange import market as m
from bursa.exchange.books import best_volume, side_at, stir
from bursa.exchange.chance import draw, normal, waiting
from bursa.exchange.encode import (
    AT_CONTRACT,
    AT_INDEX,
    AT_SNAPSHOT,
    AT_STATUS,
    BID,
    BID_VOLUME,
    IMAGE_BYTES,
    INDEX_PREV,
    INDEX_TRADED,
    INDEX_VALUE,
    INDICES,
    KERNEL,
    NEXT_SEQ,
    PREV,
    PREV_CLOSE,
    PRICE_UNITS,
    SEQ,
    STATE,
    TRADES,
    USED,
    VALUE,
    VOLUME,
    put32,
    put64,
    send,
)
from bursa.exchange.ladder import price_at
from bursa.exchange.market import Market
from bursa.exchange.matching import closing, fill, opening, order
from bursa.exchange.timetable import (
    CLOSING,
    CONTRACT,
    FILLS,
    OPENING,
    PLAN_COUNT,
    PLAN_TICKER,
    PLAN_TS,
    PLAN_WHAT,
    RATE_BOOK,
    RATE_TRADE,
    SLOT_NS,
)
from bursa.exchange.timetable import STATE as STATE_EVENT
from bursa.model.calendar import SECOND_NS

Block = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

EVENT_BYTES_MAX = 65_536  # what one event may write; a tick of 5,000 tickers is the largest
_FIRST, _SECOND, _AUCTION, _OVER = (ord(c) for c in "12CE")
_HEARTBEAT = ord("H")
_RECENT = 80  # of 256 orders, to one of those that traded last
_INDEX_POINTS = (7_200.0, 850.0)  # at the base prices
_INDEX_COUNT = len(INDICES)
_MARKET_SD, _SECTOR_SD = 0.006, 0.005  # how far a day strays on its way, in logs


@njit(**KERNEL)
def _arrival(rates: Floats, clock: Block, row: int, ts: int) -> int:
    """When the next event after `ts` comes, at the rates of the timetable."""
    start = clock[m.START]
    need = waiting(draw(clock, m.CHANCE_TRADE + row))
    slot = (ts - start) // SLOT_NS
    while slot < rates.shape[1]:
        rate = rates[row, slot]
        end = start + (slot + 1) * SLOT_NS
        if rate > 0.0:
            have = rate * (end - ts)
            if have > need:
                return ts + int(need / rate)
            need -= have
        ts = end
        slot += 1
    return m.NEVER


@njit(**KERNEL)
def _ticker(shares: Block, clock: Block, stream: int, cut: int) -> int:
    """Whose turn it is: a third of the time one of those that traded last, else by activity."""
    bits = draw(clock, stream)
    recent = clock[m.RING + (bits >> 52 & 15)]
    if (bits >> 56 & 0xFF) < _RECENT and recent >= 0:
        return recent
    i = (bits >> 32 & 0xFFFFF) * shares.shape[0] >> 20
    return i if (bits & 0xFFFFFFFF) < shares[i, cut] else shares[i, cut + 1]


@njit(**KERNEL)
def _trade(market: Market, ts: int, out: Bytes) -> None:
    clock = market.clock
    i = _ticker(market.shares, clock, m.CHANCE_TRADE, m.TRADE_CUT)
    clock[m.RING + clock[m.RING_AT]] = i
    clock[m.RING_AT] = (clock[m.RING_AT] + 1) % m.RING_SIZE
    if market.shares[i, m.SEEN_NS]:  # it has opened
        order(market, i, ts, out)


@njit(**KERNEL)
def _book(market: Market, ts: int, out: Bytes) -> None:
    shares, clock = market.shares, market.clock
    i = _ticker(shares, clock, m.CHANCE_BOOK, m.BOOK_CUT)
    bits = draw(clock, m.CHANCE_BOOK)
    if shares[i, m.SEEN_NS]:
        side = stir(shares, market.images, i, bits)
        send(market.images, side_at(i, side), clock, ts, out)


@njit(**KERNEL)
def _status(images: Bytes, clock: Block, state: int, ts: int, out: Bytes) -> None:
    at = images.shape[0] - IMAGE_BYTES + AT_STATUS
    images[at + STATE] = state
    put64(images, at + NEXT_SEQ, clock[SEQ] + 1)
    send(images, at, clock, ts, out)


@njit(**KERNEL)
def _indices(images: Bytes, clock: Block, ts: int, out: Bytes) -> None:
    for k in range(_INDEX_COUNT):
        at = images.shape[0] - (1 + _INDEX_COUNT - k) * IMAGE_BYTES + AT_INDEX
        scale = _INDEX_POINTS[k] * PRICE_UNITS / clock[m.CAP_BASE + k]
        put64(images, at + INDEX_VALUE, int(np.rint(clock[m.CAP + k] * scale)))
        put64(images, at + INDEX_PREV, int(np.rint(clock[m.CAP_PREV + k] * scale)))
        put64(images, at + INDEX_TRADED, clock[m.TRADED + k])
        send(images, at, clock, ts, out)


@njit(**KERNEL)
def _snapshot(shares: Block, images: Bytes, clock: Block, i: int, ts: int, out: Bytes) -> None:
    at = i * IMAGE_BYTES + AT_SNAPSHOT
    for k in range(5):  # PREV, OPENED, HIGH, LOW, LAST, as they follow one another in the message
        put64(images, at + PREV + 8 * k, shares[i, m.PREV + k] * PRICE_UNITS)
    put64(images, at + VOLUME, shares[i, m.VOLUME])
    put64(images, at + VALUE, shares[i, m.VALUE])
    put32(images, at + TRADES, shares[i, m.TRADES])
    if shares[i, m.SEEN_NS]:  # it has opened
        for side in range(2):
            volume = best_volume(shares, images, clock[m.BOOKS], i, side)
            price = price_at(shares[i, m.BID + side]) if volume else 0
            put64(images, at + BID + 16 * side, price * PRICE_UNITS)
            put64(images, at + BID_VOLUME + 16 * side, volume)
    send(images, at, clock, ts, out)
    shares[i, m.CHANGED] = 0


@njit(**KERNEL)
def _wander(clock: Block, path: Floats) -> None:
    """A second of continuous trading: market and sectors stray, and are home at the close."""
    total = clock[m.TRADING_S]
    left = total - clock[m.ELAPSED_S]
    if left <= 0:
        return
    root = math.sqrt(1.0 / total)
    for k in range(m.MARKET, path.shape[0]):
        sd = _MARKET_SD if k == m.MARKET else _SECTOR_SD
        path[k] += sd * root * normal(draw(clock, m.CHANCE_PATH)) - path[k] / left
    clock[m.ELAPSED_S] += 1
    path[m.PROGRESS] = clock[m.ELAPSED_S] / total


@njit(**KERNEL)
def _tick(market: Market, ts: int, out: Bytes) -> None:
    shares, images, clock = market.shares, market.images, market.clock
    if (ts - clock[m.START]) % SECOND_NS == 0:
        if clock[m.CONTINUOUS]:
            _wander(clock, market.path)
        every = clock[m.INDEX_EVERY]
        if clock[m.INDEX_SHOWN] and (ts - clock[m.START]) // SECOND_NS % every == 0:
            _indices(images, clock, ts, out)
        if clock[SEQ] == clock[m.QUIET_SEQ]:
            _status(images, clock, _HEARTBEAT, ts, out)
        clock[m.QUIET_SEQ] = clock[SEQ]
    if clock[m.CHANNEL] == m.MARKET_CHANNEL:
        groups = clock[m.GROUPS]
        for i in range(clock[m.TICKS] % groups, shares.shape[0], groups):
            if shares[i, m.CHANGED]:
                _snapshot(shares, images, clock, i, ts, out)
    clock[m.TICKS] += 1
    clock[m.NEXT_TICK] = ts + clock[m.TICK_NS]


@njit(**KERNEL)
def _state(images: Bytes, clock: Block, state: int, ts: int, out: Bytes) -> None:
    """The exchange goes over to another state; both channels say so."""
    _status(images, clock, state, ts, out)
    told = clock[m.CHANNEL] == m.MARKET_CHANNEL
    clock[m.CONTINUOUS] = state == _FIRST or state == _SECOND
    clock[m.INDEX_SHOWN] = told and (clock[m.CONTINUOUS] or state == _AUCTION)
    if state == _OVER:
        clock[m.DONE] = 1
    elif told:
        _indices(images, clock, ts, out)


@njit(**KERNEL)
def _event(market: Market, out: Bytes) -> None:
    """The plan's next event."""
    shares, images, clock, plan = market.shares, market.images, market.clock, market.plan
    column = clock[m.NEXT_EVENT]
    ts, what = plan[PLAN_TS, column], plan[PLAN_WHAT, column]
    i, count = plan[PLAN_TICKER, column], plan[PLAN_COUNT, column]
    clock[m.NEXT_EVENT] += 1
    if what == STATE_EVENT:
        _state(images, clock, count, ts, out)
    elif what == OPENING:
        opening(market, i, ts, count, out)
    elif what == CLOSING:
        closing(market, i, ts, count, out)
    elif what == FILLS:
        at = max(shares[i, m.BID], shares[i, m.LOWEST])
        fill(market, i, ts, shares[i, m.CLOSE] if clock[m.ELAPSED_S] else at, count, out)
    elif clock[m.CHANNEL] == m.MARKET_CHANNEL:
        if what == CONTRACT:
            at = i * IMAGE_BYTES + AT_CONTRACT
            put64(images, at + PREV_CLOSE, shares[i, m.PREV] * PRICE_UNITS)
            send(images, at, clock, ts, out)
        else:
            _snapshot(shares, images, clock, i, ts, out)


@njit(**KERNEL)
def run(market: Market, until_ns: int, out: Bytes) -> int:
    """Let time go by up to and with `until_ns`, or until `out` has no room for another event or
    clock[STOP_SEQ] is reached (clock[NOW] stays before it then), or the day is over (clock[DONE]).

    out      uint8 (n,), n >= EVENT_BYTES_MAX; packets are written from its beginning on
    returns  bytes written
    """
    clock, start = market.clock, market.clock[m.START]
    clock[USED] = 0
    if clock[m.NEXT_TRADE] < 0:
        for row in range(2):
            clock[m.NEXT_TRADE + row] = _arrival(market.rates, clock, row, start)
    room = out.shape[0] - EVENT_BYTES_MAX
    while clock[m.DONE] == 0 and clock[USED] <= room and clock[SEQ] < clock[m.STOP_SEQ]:
        event = market.plan[PLAN_TS, clock[m.NEXT_EVENT]]
        ts = min(event, clock[m.NEXT_TICK], clock[m.NEXT_TRADE], clock[m.NEXT_BOOK])
        if ts > until_ns:
            clock[m.NOW] = max(clock[m.NOW], until_ns)
            return clock[USED]
        clock[m.NOW] = ts - 1
        if ts == event:
            _event(market, out)
        elif ts == clock[m.NEXT_TICK]:
            _tick(market, ts, out)
        else:
            row = RATE_TRADE if ts == clock[m.NEXT_TRADE] else RATE_BOOK
            if row == RATE_TRADE:
                _trade(market, ts, out)
            else:
                _book(market, ts, out)
            clock[m.NEXT_TRADE + row] = _arrival(market.rates, clock, row, ts)
    if clock[m.DONE]:
        clock[m.NOW] = clock[m.END]
    return clock[USED]
