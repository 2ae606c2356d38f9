"""Day figures of instruments whose venue tells none: from the day's 1-minute bars.

Closed minutes come from the rings, and from the store where those do not reach back to midnight;
the open ones from the line. It blocks and is called off the event loop, by one caller at a time;
what it found is read from memory. Instruments with snapshots never come here (figures.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from bursa.bars.rollup import roll_up
from bursa.history import rows
from bursa.history.candles import Market
from bursa.model.batch import Batch, Block
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import OHLCV

# Instruments read from the store in one turn: a start with many of them is spread over some turns.
READS_MAX = 100
_ALL = 10**9
# So many bars in a row, whose trades were all taken back, are looked past for the last close.
_VOID_MAX = 60
_NAMES = ("open", "high", "low", "last", "volume", "value", "prev")
_ID, _TS = OHLCV.index["ticker"], OHLCV.index["ts"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class BarFigures:
    """Figures of some instruments on one day.

    ids      int64 (n,): symbol ids of the venue's dictionary
    of       open, high, low, last, volume, value, prev: float64 (n,), NaN is null
    trades   int64 (n,)
    """

    day: date | None = None
    ids: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    of: dict[str, Floats] = field(default_factory=lambda: {n: np.empty(0) for n in _NAMES})
    trades: Ints = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class _Closed:
    """The closed minutes of one instrument's day. `row`: OHLCV (columns, 0 or 1), its ts that of
    the first minute; good while the ring's version (without a ring, the newest closed minute) is
    `version`."""

    version: int
    row: Block
    last_ns: int


class DayBars:
    """Remembers the closed minutes of each instrument as one row for as long as its ring does not
    change."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._figures = BarFigures()
        self._forget(None)

    def figures(self, day: date) -> BarFigures:
        """As of the last renewal; none where that was for another day."""
        found = self._figures
        return found if found.day == day else BarFigures()

    def renew(self, day: date, tickers: Sequence[str]) -> None:
        """Take these instruments' minutes of the day. Blocks; raises what the store raises."""
        if day != self._day:
            self._forget(day)
        self._reads = 0
        market = self._market
        ids = np.array([market.words.find_symbol(ticker) for ticker in tickers], np.int64)
        if not len(ids):
            self._figures = BarFigures(day)
            return
        # The open bars are read first: one that closes meanwhile is in both rather than in none.
        opened = market.open_bars(ids)
        closed = [self._closed_of(ticker) for ticker in tickers]
        self._figures = self._joined(ids, opened, closed)

    def _forget(self, day: date | None) -> None:
        self._day = day
        self._reads = 0
        self._closed: dict[str, _Closed] = {}
        # Stored minutes of the day, and up to where they are all that there are.
        self._stored: dict[str, tuple[Batch, int]] = {}
        self._prev: dict[str, float] = {}

    def _bounds(self) -> tuple[int, int]:
        assert self._day is not None, "renewed for a day"
        calendar = self._market.venue.calendar
        return calendar.midnight_ns(self._day), calendar.midnight_ns(self._day + timedelta(days=1))

    def _closed_of(self, ticker: str) -> _Closed | None:
        """None where the store has to be read and it is not this one's turn yet."""
        market = self._market
        version = market.rings.version(ticker) or -market.closed_until_ns() // MINUTE_NS
        kept = self._closed.get(ticker)
        if kept is not None and kept.version == version:
            return kept
        self._note_previous(ticker)
        minutes = self._minutes(ticker)
        if minutes is None:
            return kept
        row, last_ns = np.empty((len(OHLCV.scalars), 0), np.int64), 0
        if len(minutes):
            row = roll_up(minutes, "1d", market.venue).block.copy()
            row[_TS] = minutes.column("ts")[0]
            last_ns = int(minutes.column("ts")[-1])
        self._closed[ticker] = found = _Closed(version, row, last_ns)
        return found

    def _minutes(self, ticker: str) -> Batch | None:
        """Closed minutes of the day; None where the store would have to be read once too often."""
        market, (start_ns, end_ns) = self._market, self._bounds()
        whole = market.rings.covers(ticker, start_ns)  # asked first: rows may leave meanwhile
        ring = market.rings.bars(ticker, _ALL)
        held = None if ring is None else rows.between(ring, start_ns, end_ns)
        if whole and held is not None:
            return held
        first_ns = int(held.column("ts")[0]) if held is not None and len(held) else 0
        before, until_ns = self._stored.get(ticker, (None, 0))
        if before is None or not first_ns or until_ns < first_ns:
            if self._reads >= READS_MAX:
                return None
            self._reads += 1
            before = market.store.bars(market.venue.name, ticker, start_ns, end_ns)
            self._stored[ticker] = before, first_ns
        return before if held is None else rows.newest_revisions([before, held])

    def _note_previous(self, ticker: str) -> None:
        """The last close before the day."""
        if ticker in self._prev:
            return
        market, (start_ns, _) = self._market, self._bounds()
        held = market.rings.bars(ticker, 1, start_ns)
        found = None if held is None else rows.traded(held)
        if found is None or not len(found):
            if self._reads >= READS_MAX:
                return
            self._reads += 1
            found = self._last_before(ticker, start_ns)
        self._prev[ticker] = float(found.column("close")[-1]) if len(found) else float("nan")

    def _last_before(self, ticker: str, ts_ns: int) -> Batch:
        """The newest stored bar with a trade left in it, if any."""
        read, name = self._market.store.bars, self._market.venue.name
        found = read(name, ticker, 0, ts_ns, newest=1)
        if len(found) and not len(rows.traded(found)):
            found = read(name, ticker, 0, ts_ns, newest=_VOID_MAX)
        return rows.traded(found)

    def _joined(self, ids: Ints, opened: Batch, closed: Sequence[_Closed | None]) -> BarFigures:
        """The open minutes behind the closed ones, summed as bars are."""
        start_ns, end_ns = self._bounds()
        last_ns = np.zeros(int(ids.max()) + 1, np.int64)
        parts = []
        for symbol, one in zip(ids.tolist(), closed, strict=True):
            if one is not None and one.row.shape[1]:
                last_ns[symbol] = one.last_ns
                parts.append(one.row)
                one.row[_ID] = symbol
        ts = opened.block[_TS]
        later = (ts > last_ns[opened.block[_ID]]) & (ts >= start_ns) & (ts < end_ns)
        block = np.concatenate([*parts, opened.block[:, later]], axis=1)
        block = block[:, np.argsort(block[_TS], kind="stable")]
        bars = rows.traded(roll_up(rows.of(opened, block), "1d", self._market.venue))
        of = {n: bars.column("close" if n == "last" else n) for n in _NAMES if n != "prev"}
        symbols = self._market.words.symbols
        names = [symbols[symbol] for symbol in bars.column("ticker").tolist()]
        of["prev"] = np.array([self._prev.get(name, np.nan) for name in names], np.float64)
        return BarFigures(self._day, bars.column("ticker"), of, bars.column("trades"))
