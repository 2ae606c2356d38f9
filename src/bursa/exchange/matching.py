"""Kernels for trades: where a price is drawn to, who crosses the spread, and what is filled.

A ticker's fair price is its path to the day's close, the strays of the market and of its sector,
and its own. An order meets the quote; when the fair price has left the quote, the order eats
through it and the quote follows. Auctions fill at one price. Last, bid and offer always agree:
bid <= last <= ask. Boards NG and TN see a few large trades beside the book, which count nowhere
else.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.exchange import ladder
from bursa.exchange import market as m
from bursa.exchange.books import BUY, SELL, reach, side_at, take
from bursa.exchange.chance import draw, normal
from bursa.exchange.encode import (
    AT_TRADE,
    BOARD,
    IMAGE_BYTES,
    KERNEL,
    LOT,
    PRICE_UNITS,
    TRADE_NO,
    TRADE_PRICE,
    TRADE_SIDE,
    TRADE_VOLUME,
    USED,
    put64,
    send,
)
from bursa.exchange.market import Market
from bursa.model.calendar import SECOND_NS

Block = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

NO_SIDE = 2  # an auction's trade, or a negotiated one
_SIDE_CODE = np.frombuffer(b"BS ", np.uint8)
_N, _T, _G = ord("N"), ord("T"), ord("G")
_FILLS_OF_ORDER = np.array(
    [1] * 30 + [2] * 15 + [3] * 8 + [4] * 4 + [5] * 3 + [7] * 2 + [9, 12], np.int64
)
_SLACK = 0.3  # rungs that a fair price may leave the quote by before an order follows it
_SWEEP_MAX = 12
_SEEN_S_MAX = 900.0
_NEGOTIATED = 2**32 // 250  # of 2**32 orders
_CASH = 2**32 // 40  # of 2**32 negotiated ones


def _lot_curve() -> Floats:
    """A long-tailed size of trades by 256 equally likely steps, mean 1."""
    steps = (np.arange(256) + 0.5) / 256
    tail = (1 - steps) ** -0.62 - 0.93
    return np.asarray(tail / tail.mean())


_LOT_CURVE = _lot_curve()


@njit(**KERNEL)
def offer_of(shares: Block, i: int, bid: int) -> int:
    """The best offer's rung to a bid's. A bid below the band is an empty side, with the offer at
    the band's end; a bid at the highest rung has no offer."""
    if bid < shares[i, m.LOWEST]:
        return shares[i, m.LOWEST]
    if bid >= shares[i, m.HIGHEST]:
        return shares[i, m.HIGHEST] + 1
    return min(bid + shares[i, m.SPREAD], shares[i, m.HIGHEST])


@njit(**KERNEL)
def fair_rung(shares: Block, traits: Floats, path: Floats, i: int) -> float:
    """Where the price of a ticker is drawn to now, in rungs within its band."""
    x = traits[i, m.DRIFT] * path[m.PROGRESS] + traits[i, m.STRAY]
    x += traits[i, m.WITH_MARKET] * path[m.MARKET]
    x += traits[i, m.WITH_SECTOR] * path[m.SECTOR_PATHS + shares[i, m.SECTOR]]
    grown = 1.0 + x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x / 24.0)))
    rung = ladder.rung(max(shares[i, m.PREV] * grown, float(ladder.FLOOR)))
    return min(max(rung, float(shares[i, m.LOWEST])), float(shares[i, m.HIGHEST]))


@njit(**KERNEL)
def _stray(shares: Block, traits: Floats, i: int, ts: int, bits: int) -> None:
    """A ticker's own deviation, brought up to `ts`."""
    seconds = min((ts - shares[i, m.SEEN_NS]) / SECOND_NS, _SEEN_S_MAX)
    shares[i, m.SEEN_NS] = ts
    moved = traits[i, m.STRAY_SD] * math.sqrt(seconds) * normal(bits)
    traits[i, m.STRAY] = traits[i, m.STRAY] * (1.0 - seconds / m.STRAY_S) + moved


@njit(**KERNEL)
def _quote_for(shares: Block, i: int, fair: float) -> int:
    """The bid's rung that goes with a fair price which has left the quote."""
    if fair <= shares[i, m.LOWEST] + 0.02:
        return shares[i, m.LOWEST] - 1
    return int(math.floor(fair))


@njit(**KERNEL)
def _fills(
    market: Market, i: int, ts: int, first: int, steps: int, fills: int, side: int, out: Bytes
) -> int:
    """Trades on the regular board from one order: from rung `first` on over `steps` rungs (upwards
    for buyers, none: at one price). The trades channel tells them, both count them. Returns the
    volume."""
    shares, clock, lots = market.shares, market.clock, market.traits[i, m.FILL_LOTS]
    told = clock[m.CHANNEL] == m.TRADES_CHANNEL
    up = -1 if side == SELL else 1
    price, volume, value, bits = ladder.price_at(first), 0, 0, 0
    opened = price
    for k in range(fills):
        bits = bits >> 8 if k & 7 else draw(clock, m.CHANCE_TRADE)
        size = max(1, int(lots * _LOT_CURVE[bits & 0xFF])) * LOT
        if steps > 1:
            price = ladder.price_at(first + up * (k * (steps - 1) // (fills - 1)))
        if told:
            _tell(market.images, clock, i, ts, price, size, side, out)
        volume += size
        value += size * price
    if not told:
        clock[m.TRADE_NO] += fills
    _count(shares, clock, i, opened, price, volume, value, fills)
    return volume


@njit(**KERNEL)
def _tell(
    images: Bytes, clock: Block, i: int, ts: int, price: int, volume: int, side: int, out: Bytes
) -> None:
    """Send one trade."""
    at = clock[USED]
    send(images, i * IMAGE_BYTES + AT_TRADE, clock, ts, out)
    put64(out, at + TRADE_NO, clock[m.TRADE_NO])
    put64(out, at + TRADE_PRICE, price * PRICE_UNITS)
    put64(out, at + TRADE_VOLUME, volume)
    out[at + TRADE_SIDE] = _SIDE_CODE[side]
    clock[m.TRADE_NO] += 1


@njit(**KERNEL)
def _count(
    shares: Block, clock: Block, i: int, first: int, last: int, volume: int, value: int, fills: int
) -> None:
    """Trades on the regular board enter the day's numbers; prices went from `first` to `last`."""
    before = shares[i, m.LAST]
    if before == 0:
        before = shares[i, m.PREV]
        shares[i, m.OPENED] = shares[i, m.HIGH] = shares[i, m.LOW] = first
    shares[i, m.LAST] = last
    shares[i, m.HIGH] = max(shares[i, m.HIGH], first, last)
    shares[i, m.LOW] = min(shares[i, m.LOW], first, last)
    shares[i, m.VOLUME] += volume
    shares[i, m.VALUE] += value
    shares[i, m.TRADES] += fills
    shares[i, m.CHANGED] = 1
    moved = shares[i, m.OUTSTANDING] * (last - before)
    clock[m.CAP] += moved
    clock[m.TRADED] += value
    if shares[i, m.BLUE]:
        clock[m.CAP + 1] += moved
        clock[m.TRADED + 1] += value


@njit(**KERNEL)
def _negotiated(market: Market, i: int, ts: int, bits: int, out: Bytes) -> None:
    """A large trade on NG, seldom on TN, near the market."""
    shares, clock = market.shares, market.clock
    near = shares[i, m.BID] + (bits >> 20 & 3) - 1
    rung = min(max(near, shares[i, m.LOWEST]), shares[i, m.HIGHEST])
    lots = int(market.traits[i, m.FILL_LOTS] * (20 + (bits >> 24 & 0xFF)))
    if clock[m.CHANNEL] == m.TRADES_CHANNEL:
        at = clock[USED]
        _tell(market.images, clock, i, ts, ladder.price_at(rung), lots * LOT, NO_SIDE, out)
        cash = (bits >> 32) & 0xFFFFFFFF < _CASH
        out[at + BOARD] = _T if cash else _N
        out[at + BOARD + 1] = _N if cash else _G
    else:
        clock[m.TRADE_NO] += 1


@njit(**KERNEL)
def _side_of(shares: Block, i: int, fair: float, bits: int) -> int:
    """Who crosses the spread: buyers rather, the nearer the fair price is to the offer."""
    if shares[i, m.BID] < shares[i, m.LOWEST]:
        return BUY
    if shares[i, m.ASK] > shares[i, m.HIGHEST]:
        return SELL
    share = (fair - shares[i, m.BID]) / (shares[i, m.ASK] - shares[i, m.BID])
    buys = min(max(0.1 + 0.8 * share, 0.1), 0.9)
    return BUY if (bits & 0xFFFF) < buys * 65_536.0 else SELL


@njit(**KERNEL)
def _follow(market: Market, i: int, bid: int, ask: int, ts: int, out: Bytes) -> None:
    """The quote has left (bid, ask) for what `shares` says: the books go after it."""
    shares, images, clock = market.shares, market.images, market.clock
    if clock[m.BOOKS]:
        for side in range(2):
            farther = bid - shares[i, m.BID] if side == BUY else shares[i, m.ASK] - ask
            reach(shares, images, clock, i, side, farther)
            send(images, side_at(i, side), clock, ts, out)


@njit(**KERNEL)
def order(market: Market, i: int, ts: int, out: Bytes) -> None:
    """One order of the continuous market crosses the spread."""
    shares, clock = market.shares, market.clock
    bits = draw(clock, m.CHANCE_TRADE)
    if (bits >> 32) & 0xFFFFFFFF < _NEGOTIATED:
        _negotiated(market, i, ts, draw(clock, m.CHANCE_TRADE), out)
        return
    _stray(shares, market.traits, i, ts, draw(clock, m.CHANCE_TRADE))
    fair = fair_rung(shares, market.traits, market.path, i)
    bid, ask = shares[i, m.BID], shares[i, m.ASK]
    steps = 0
    if fair > ask + _SLACK:
        shares[i, m.BID] = _quote_for(shares, i, fair)
        side, first, steps = BUY, ask, shares[i, m.BID] - ask + 1
    elif fair < bid - _SLACK:
        shares[i, m.BID] = _quote_for(shares, i, fair)
        side, first, steps = SELL, bid, bid - shares[i, m.BID]
    else:
        side = _side_of(shares, i, fair, bits >> 8)
        first = ask if side == BUY else bid
    fills = max(_FILLS_OF_ORDER[bits & 63], min(steps, _SWEEP_MAX))
    volume = _fills(market, i, ts, first, steps, fills, side, out)
    if steps:
        shares[i, m.ASK] = offer_of(shares, i, shares[i, m.BID])
        _follow(market, i, bid, ask, ts, out)
    elif clock[m.BOOKS]:
        take(shares, market.images, clock, i, 1 - side, volume, fills)
        send(market.images, side_at(i, 1 - side), clock, ts, out)


@njit(**KERNEL)
def fill(market: Market, i: int, ts: int, at: int, fills: int, out: Bytes) -> None:
    """An auction's trades at rung `at`."""
    if fills:
        _fills(market, i, ts, at, 0, fills, NO_SIDE, out)


@njit(**KERNEL)
def opening(market: Market, i: int, ts: int, fills: int, out: Bytes) -> None:
    """A ticker opens: the auction's trades where there are any, then its first quote and books."""
    shares = market.shares
    shares[i, m.SEEN_NS] = ts
    bid = _quote_for(shares, i, fair_rung(shares, market.traits, market.path, i))
    shares[i, m.BID], shares[i, m.ASK] = bid, offer_of(shares, i, bid)
    fill(market, i, ts, max(bid, shares[i, m.LOWEST]), fills, out)
    shares[i, m.CHANGED] = 1
    _follow(market, i, bid, shares[i, m.ASK], ts, out)


@njit(**KERNEL)
def closing(market: Market, i: int, ts: int, fills: int, out: Bytes) -> None:
    """A ticker's closing auction fills at the day's close. One that did not trade there all day
    has at least one trade, where its close is another than its last price."""
    shares = market.shares
    close = shares[i, m.CLOSE]
    last = shares[i, m.LAST] if shares[i, m.LAST] else shares[i, m.PREV]
    if fills == 0 and last == ladder.price_at(close):
        return
    fill(market, i, ts, close, max(fills, 1), out)
    bid, ask = shares[i, m.BID], shares[i, m.ASK]
    if close < bid or close > ask:
        shares[i, m.BID] = close
        shares[i, m.ASK] = offer_of(shares, i, close)
        _follow(market, i, bid, ask, ts, out)
