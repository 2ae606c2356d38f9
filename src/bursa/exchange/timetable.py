"""What a trading day holds by the clock: session states, auctions, and how busy each moment is.

Two answers: a *plan* of single events in order of time, and *rates* at which trades and changes of
books come in between. Busy minutes lie at the opening and before the close; each slot has its own
mood. All of it follows from the calendar, the listing and a seed.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from bursa.exchange.chance import seed_of, units
from bursa.model.calendar import SECOND_NS, Calendar, Session

Floats = NDArray[np.float64]
Block = NDArray[np.int64]

# Rows of a plan, and what its events are; read by the njit kernel of engine.py.
PLAN_TS, PLAN_WHAT, PLAN_TICKER, PLAN_COUNT = 0, 1, 2, 3
STATE, CONTRACT, QUOTE, OPENING, CLOSING, FILLS = 0, 1, 2, 3, 4, 5

# Rows of rates: orders that trade, changes of books; per ns.
RATE_TRADE, RATE_BOOK = 0, 1
SLOT_NS = 10 * SECOND_NS

TRADES_A_DAY = 1_000_000  # of a full listing, on an average day
BOOKS_A_DAY = 7_400_000
FULL_LISTING = 700
_OPENING_SHARE, _CLOSING_SHARE = 0.02, 0.04
FILLS_MEAN = 2.3  # trades of one order in the continuous market
_FILLS_MAX = 100  # trades of one auction event
_FILLS_GAP_NS = 20_000_000
_LISTING_GAP_NS = 100_000
_DAY_SIZE_SD = 0.16


@dataclass(frozen=True)
class Timetable:
    """A day's clock.

    plan    int64 (4, events): PLAN_* rows, ascending by ts; the last event is the end of the day
    rates   float64 (2, slots): RATE_* rows, slots of SLOT_NS from `start_ns` on
    trading_s  seconds of continuous trading
    """

    start_ns: int
    end_ns: int
    plan: Block
    rates: Floats
    trading_s: int


def timetable(calendar: Calendar, day: date, seed: int, weights: Floats, books: bool) -> Timetable:
    """The clock of a trading day. weights: float64 (n,), shares of all trades, sum 1; 0: suspended.
    `books` false leaves the changes of books out; nothing else depends on it."""
    sessions = calendar.sessions(day)
    number = day.toordinal()
    size = min(1.0, len(weights) / FULL_LISTING)
    mood = 1 + _DAY_SIZE_SD * (units(seed_of(seed, number, 11), 1)[0] - 0.5) * 3.46
    trades = TRADES_A_DAY * size * mood
    rates = _rates(sessions, seed_of(seed, number, 12))
    rates[RATE_TRADE] *= trades * (1 - _OPENING_SHARE - _CLOSING_SHARE) / FILLS_MEAN
    rates[RATE_BOOK] *= BOOKS_A_DAY * size * mood if books else 0.0
    parts = [
        _states(sessions),
        _listed(sessions[0], len(weights)),
        _opening(sessions, trades * _OPENING_SHARE * weights, seed_of(seed, number, 13)),
        _closing(sessions, trades * _CLOSING_SHARE * weights, seed_of(seed, number, 14)),
    ]
    plan = np.concatenate(parts, axis=1)
    plan = plan[:, np.argsort(plan[PLAN_TS], kind="stable")]
    continuous = [s for s in sessions if s.trading and s.state != "C"]
    return Timetable(
        sessions[0].open_ns,
        sessions[-1].close_ns,
        np.ascontiguousarray(plan),
        rates,
        sum((s.close_ns - s.open_ns) // SECOND_NS for s in continuous),
    )


def _states(sessions: tuple[Session, ...]) -> Block:
    at = [s.open_ns for s in sessions] + [sessions[-1].close_ns]
    states = [ord(s.state) for s in sessions] + [ord("E")]
    return np.array([at, [STATE] * len(at), [-1] * len(at), states])


def _listed(first: Session, count: int) -> Block:
    """Each contract, then each quote without a trade, just after the day began."""
    ticker = np.arange(count)
    at = first.open_ns + (1 + ticker) * _LISTING_GAP_NS
    zero = np.zeros_like(ticker)
    contracts = np.stack([at, zero + CONTRACT, ticker, zero])
    return np.concatenate([contracts, np.stack([at + SECOND_NS, zero + QUOTE, ticker, zero])], 1)


def _auction(what: int, at: Block, ticker: Block, fills: Block) -> Block:
    """An auction's events: the first sets the price, more follow where one cannot hold all."""
    rows = [np.stack([at, np.full_like(at, what), ticker, np.minimum(fills, _FILLS_MAX)])]
    more = 1
    while (rest := fills - more * _FILLS_MAX).max(initial=0) > 0:
        left = rest > 0
        later = at[left] + more * _FILLS_GAP_NS
        count = np.minimum(rest[left], _FILLS_MAX)
        rows.append(np.stack([later, np.full_like(later, FILLS), ticker[left], count]))
        more += 1
    return np.concatenate(rows, axis=1)


def _whole(expected: Floats, chance: Floats) -> Block:
    return np.floor(expected + chance).astype(np.int64)


def _opening(sessions: tuple[Session, ...], expected: Floats, seed: int) -> Block:
    """Most open in the last seconds before the first session, some with its first moments."""
    open_ns = next(s.open_ns for s in sessions if s.trading)
    chance = units(seed, 3 * len(expected)).reshape(3, -1)
    before = open_ns - 18 * SECOND_NS + (chance[0] * 17.5 * SECOND_NS).astype(np.int64)
    after = open_ns + (chance[0] * 0.2 * SECOND_NS).astype(np.int64)
    at = np.where(chance[1] < 0.8, before, after)
    (ticker,) = np.nonzero(expected > 0)
    fills = _whole(expected, chance[2])
    return _auction(OPENING, at[ticker], ticker, fills[ticker])


def _closing(sessions: tuple[Session, ...], expected: Floats, seed: int) -> Block:
    """The last trading session ends with an auction in its last minute."""
    close_ns = [s.close_ns for s in sessions if s.trading][-1]
    chance = units(seed, 2 * len(expected)).reshape(2, -1)
    at = close_ns - 50 * SECOND_NS + (chance[0] * 45 * SECOND_NS).astype(np.int64)
    (ticker,) = np.nonzero(expected > 0)
    fills = _whole(expected, chance[1])
    return _auction(CLOSING, at[ticker], ticker, fills[ticker])


def _rates(sessions: tuple[Session, ...], seed: int) -> Floats:
    """Shares of the day's trades and book changes per ns, by slot; each row's integral is 1."""
    start_ns, end_ns = sessions[0].open_ns, sessions[-1].close_ns
    middle = np.arange(start_ns + SLOT_NS // 2, end_ns, SLOT_NS)
    shape = np.zeros((2, len(middle)))
    for at, session in enumerate(s for s in sessions if s.trading):
        inside = (middle >= session.open_ns) & (middle < session.close_ns)
        since_s = (middle[inside] - session.open_ns) / SECOND_NS
        left_s = (session.close_ns - middle[inside]) / SECOND_NS
        if session.state == "C":  # orders gather for the auction, nothing trades
            shape[RATE_BOOK, inside] = 0.15 * (left_s > 60)
            continue
        shape[RATE_TRADE, inside] = _busy(since_s, left_s, first=at == 0)
        shape[RATE_BOOK, inside] = shape[RATE_TRADE, inside] ** 0.8
    chance = units(seed, 4 * len(middle)).reshape(4, -1)
    swings = (chance.sum(axis=0) - 2) * 1.73  # mean 0, deviation 1
    smooth = np.convolve(swings, np.ones(6) / 6**0.5, "same")
    shape *= np.exp(0.2 * smooth + 0.15 * swings)
    return shape / (shape.sum(axis=1, keepdims=True) * SLOT_NS)


def _busy(since_s: Floats, left_s: Floats, first: bool) -> Floats:
    if first:
        return (
            1.0
            + 8.0 * np.exp(-since_s / 60)
            + 1.8 * np.exp(-since_s / 1500)
            + 0.5 * np.exp(-left_s / 900)
        )
    return (
        0.8
        + 1.5 * np.exp(-since_s / 240)
        + 1.6 * np.exp(-left_s / 900)
        + 4.0 * np.exp(-left_s / 45)
    )
