"""The day figures of all instruments of a venue as one table, laid together from what is known.

What the venue tells itself (snapshots) counts, with the price of a trade newer than that; where it
told nothing of the day, the day's minutes do, and the newest trade. Pure functions over arrays;
reads nothing by itself (day.py hands it in).
"""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from bursa.history.day_bars import BarFigures
from bursa.history.day_table import DayTable, Floats, Ints
from bursa.history.present import Present
from bursa.model.batch import Batch, Words

_PRICES = ("last", "prev", "open", "high", "low", "bid", "ask")


@dataclass(frozen=True)
class Listed:
    """The instruments of a venue: those it describes and those it told figures or trades of.

    tickers  ascending; rows: each one's place
    place    symbol id -> place, -1 for what is no instrument
    prev     float64 (n,): previous close as described, NaN is null
    state    changes when any of these does
    """

    tickers: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    place: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    prev: Floats = field(default_factory=lambda: np.empty(0))
    state: tuple[object, ...] = ()


def listed_state(present: Present, words: Words, told: int, traded: int) -> tuple[object, ...]:
    """Changes whenever an instrument is new, or the dictionary another one. `told`, `traded`:
    instruments with a snapshot, and with a trade."""
    symbols = words.symbols
    return len(symbols), symbols[-1:], len(present.contracts), told, traded


def listed(present: Present, words: Words) -> Listed:
    """The instruments as of now. About 5 ms for 10,000."""
    told, ticks = present.last("snapshot"), present.last("ticks")
    contracts = list(present.contracts.values())
    symbols = list(words.symbols)
    state = listed_state(present, words, len(told), len(ticks))
    prev = {contract.ticker: contract.prev_close for contract in contracts}
    known = set(prev)
    for batch in (told, ticks):
        known.update(symbols[at] for at in batch.column("ticker").tolist())
    known.discard("")
    tickers = sorted(known)
    rows = {ticker: at for at, ticker in enumerate(tickers)}
    place = np.array([rows.get(symbol, -1) for symbol in symbols], np.int64)
    closes = np.array([prev.get(ticker, np.nan) for ticker in tickers], np.float64)
    return Listed(tickers, rows, place, closes, state)


class Figures:
    """A table in the making: `take_told`, then `take_bars`, `take_trades` and `take_quotes`, which
    fill only rows of which nothing was told on the day."""

    def __init__(self, instruments: Listed, midnight_ns: int) -> None:
        count = len(instruments.tickers)
        self._listed, self._midnight_ns = instruments, midnight_ns
        self._of = {name: np.full(count, np.nan) for name in _PRICES}
        self._of |= {name: np.zeros(count) for name in ("volume", "value")}
        self._of["prev"][:] = instruments.prev
        self._trades, self._ts = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._told = np.zeros(count, bool)

    def take_told(self, snapshots: Batch) -> None:
        """The venue's own figures; of earlier days only the last price."""
        at, rows = self._places(snapshots.column("ticker"))
        ts = snapshots.column("ts")[rows]
        today = ts >= self._midnight_ns
        self._ts[at] = ts
        self._told[at] = today
        here, rows_here = at[today], rows[today]
        for name in (*_PRICES, "volume", "value"):
            self._of[name][here] = snapshots.column(name)[rows_here]
        self._trades[here] = snapshots.column("trades")[rows_here]
        self._close(at[~today], snapshots.column("last")[rows[~today]])

    def take_bars(self, bars: BarFigures) -> None:
        """Figures of the day made of its minutes."""
        at, rows = self._places(bars.ids, ~self._told)
        for name in ("open", "high", "low", "last", "volume", "value"):
            self._of[name][at] = bars.of[name][rows]
        prev = bars.of["prev"][rows]
        known = ~np.isnan(prev)
        self._of["prev"][at[known]] = prev[known]
        self._trades[at] = bars.trades[rows]

    def take_trades(self, ticks: Batch) -> None:
        """The newest trades: they move the last price, and are all that is known of an instrument
        whose minutes are not read yet."""
        self._move(ticks)
        at, rows = self._places(ticks.column("ticker"), ~self._told)
        price, ts = ticks.column("price")[rows], ticks.column("ts")[rows]
        today = ts >= self._midnight_ns
        earlier = ~today & (ts >= self._ts[at])
        self._ts[at[earlier]] = ts[earlier]
        self._close(at[earlier], price[earlier])
        at, price, ts, rows = at[today], price[today], ts[today], rows[today]
        of = self._of
        of["last"][at] = price
        of["high"][at] = np.fmax(of["high"][at], price)
        of["low"][at] = np.fmin(of["low"][at], price)
        self._ts[at] = np.maximum(self._ts[at], ts)
        alone = self._trades[at] == 0
        at, price, volume = at[alone], price[alone], ticks.column("volume")[rows[alone]]
        of["open"][at], of["volume"][at], of["value"][at] = price, volume, price * volume
        self._trades[at] = 1

    def _move(self, ticks: Batch) -> None:
        """Trades newer than the figures told: only the price is known before the next figures."""
        at, rows = self._places(ticks.column("ticker"), self._told)
        newer = ticks.column("ts")[rows] > self._ts[at]
        at, rows = at[newer], rows[newer]
        price, of = ticks.column("price")[rows], self._of
        of["last"][at], self._ts[at] = price, ticks.column("ts")[rows]
        of["high"][at] = np.fmax(of["high"][at], price)
        of["low"][at] = np.fmin(of["low"][at], price)

    def take_quotes(self, quotes: Batch) -> None:
        """The newest best bid and offer of the day."""
        at, rows = self._places(quotes.column("ticker"), ~self._told)
        today = quotes.column("ts")[rows] >= self._midnight_ns
        for name in ("bid", "ask"):
            self._of[name][at[today]] = quotes.column(name)[rows[today]]

    def table(self, day: date) -> DayTable:
        """What was taken, with what follows from it."""
        of, traded = self._of, self._trades > 0
        untraded = np.isnan(of["last"])
        of["last"][untraded] = of["prev"][untraded]
        change = np.full(len(traded), np.nan)
        known = traded & (of["prev"] > 0)
        change[known] = (of["last"][known] / of["prev"][known] - 1) * 100
        for name in ("volume", "value"):
            of[name][np.isnan(of[name])] = 0
        arrays = {**of, "trades": self._trades, "ts": self._ts, "change": change}
        for array in arrays.values():
            array.setflags(write=False)
        as_of_ns = int(self._ts.max(initial=0))
        return DayTable(
            day=day,
            as_of_ns=as_of_ns,
            tickers=self._listed.tickers,
            rows=self._listed.rows,
            **arrays,
        )

    def _places(self, ids: Ints, wanted: NDArray[np.bool_] | None = None) -> tuple[Ints, Ints]:
        """Places of symbol ids that are instruments (and wanted), and which of `ids` they are."""
        place = self._listed.place
        rows = np.flatnonzero(ids < len(place))
        at = place[ids[rows]]
        keep = at >= 0
        if wanted is not None and len(wanted):
            keep &= wanted[at]
        return at[keep], rows[keep]

    def _close(self, at: Ints, last: Floats) -> None:
        """Rows of an earlier day: the last price is the previous close."""
        known = ~np.isnan(last)
        self._of["last"][at[known]] = self._of["prev"][at[known]] = last[known]
