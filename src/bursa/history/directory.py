"""The symbols of a venue: who they are, how their numbers print, and since when there are bars.

Held in memory and renewed off the event loop; lookups never wait. Contracts come from the feed, the
range of bars from the store, names from the name book; a ticker that just began to trade is known
by its ring or open bar.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bursa.history.candles import Rings
from bursa.history.name_book import NameBook
from bursa.history.names import rank
from bursa.history.offload import Offload
from bursa.history.present import Present
from bursa.model.batch import Words
from bursa.model.errors import BursaError
from bursa.model.venue import Venue
from bursa.ops.logs import logger
from bursa.ports import Store

RENEW_EVERY_S = 5.0
# A start restores what the venue described, or hears it, after the first renewal.
LOOKS = 10
_SEARCH_MAX = 500

_log = logger("directory")


@dataclass(frozen=True, slots=True)
class Symbol:
    """One instrument of a venue. `first_ns`, `last_ns`: ts of its first and last 1-minute bar."""

    ticker: str
    name: str
    board: str
    lot: int
    currency: str
    prev_close: float | None
    price_decimals: int
    volume_decimals: int
    first_ns: int | None = None
    last_ns: int | None = None
    listed: bool = False

    def status(self, lately_ns: int) -> str:
        """trading: it has a bar since then; quiet: an older one; listed: none."""
        if self.last_ns is None:
            return "listed"
        return "trading" if self.last_ns >= lately_ns else "quiet"


@dataclass(frozen=True)
class Sources:
    """Where the directory reads."""

    venue: Venue
    words: Words
    store: Store
    rings: Rings
    present: Present
    names: NameBook


class Directory:
    """All symbols of one venue."""

    def __init__(self, sources: Sources, offload: Offload) -> None:
        self._sources, self._offload = sources, offload
        self._spans: dict[str, tuple[int, int]] = {}
        self._symbols: dict[str, Symbol] = {}
        # Ticker -> value it traded on its last day, quote currency.
        self._traded: dict[str, float] = {}

    async def run(self) -> None:
        """Renew for ever, at once where the venue describes more; a store that is away is tried
        again at the next turn."""
        while True:
            try:
                await self.renew()
            except BursaError as away:
                _log.warning("symbols not renewed", venue=self._sources.venue.name, why=str(away))
            described = len(self._sources.present.contracts)
            for _ in range(LOOKS):
                await asyncio.sleep(RENEW_EVERY_S / LOOKS)
                if len(self._sources.present.contracts) != described:
                    break

    async def renew(self) -> None:
        """Read the store, and the names where they changed, once."""
        venue = self._sources.venue.name
        await self._offload.run(self._sources.names.refresh)
        self._traded = _traded(self._sources.present)
        self._spans = await self._offload.run(self._sources.store.span, venue)
        self._symbols = {ticker: self._make(ticker) for ticker in self._tickers()}

    def find(self, ticker: str) -> Symbol | None:
        """A symbol by its exact code, its last bar as of now; None where there is none."""
        known = self._symbols.get(ticker)
        if known is None:
            if not self._has_traded(ticker):
                return None
            known = self._symbols[ticker] = self._make(ticker)
        return self._fresh(known)

    def knows(self, ticker: str) -> bool:
        """As `find`, without the figures."""
        return ticker in self._symbols or self.find(ticker) is not None

    def name(self, ticker: str) -> str:
        """What a symbol is called; its code where it is not known yet."""
        known = self._symbols.get(ticker)
        return ticker if known is None else known.name

    def all(self) -> list[Symbol]:
        """Every symbol, by ticker."""
        return [self._fresh(symbol) for symbol in self.listed()]

    def listed(self) -> list[Symbol]:
        """As `all`, the last bars as of the last renewal."""
        for ticker in self._tickers():
            if ticker not in self._symbols:
                self._symbols[ticker] = self._make(ticker)
        return [self._symbols[ticker] for ticker in sorted(self._symbols)]

    def count(self) -> int:
        """How many symbols are known."""
        return len(self._symbols)

    def first_ns(self, ticker: str) -> int:
        """ts of a ticker's first stored bar; 0 where it is not known."""
        span = self._spans.get(ticker)
        return span[0] if span else 0

    def search(self, query: str, limit: int) -> list[Symbol]:
        """Symbols whose code or name matches, the best first: the code itself, codes that begin
        with it, names with all its words, codes that hold it (names.rank); of equals the one of
        which more was traded. "" matches all."""
        ranked = []
        for symbol in self._symbols.values():
            place = rank(symbol.ticker, symbol.name, query)
            if place is not None:
                traded = self._traded.get(symbol.ticker, 0.0)
                ranked.append((place, -traded, symbol.ticker, symbol))
        ranked.sort(key=lambda found: found[:3])
        return [symbol for *_, symbol in ranked[: min(limit, _SEARCH_MAX)]]

    def _tickers(self) -> Sequence[str]:
        listed = list(self._sources.present.contracts)
        return list(dict.fromkeys([*listed, *self._spans, *self._symbols]))

    def _make(self, ticker: str) -> Symbol:
        venue = self._sources.venue
        row = self._sources.present.contracts.get(ticker)
        first, last = self._spans.get(ticker, (None, None))
        if row is None:
            return Symbol(
                ticker,
                self._sources.names.name(ticker),
                venue.bar_board,
                1,
                venue.currency,
                None,
                venue.price_decimals,
                venue.volume_decimals,
                first,
                last,
            )
        return Symbol(
            ticker,
            self._sources.names.name(ticker, row.name),
            row.board,
            row.lot,
            row.currency or venue.currency,
            row.prev_close if row.prev_close == row.prev_close else None,
            row.price_decimals,
            row.volume_decimals,
            first,
            last,
            listed=True,
        )

    def _fresh(self, symbol: Symbol) -> Symbol:
        ring = self._sources.rings.bars(symbol.ticker, 1)
        if ring is None or not len(ring):
            return symbol
        last = int(ring.column("ts")[-1])
        first = last if symbol.first_ns is None else symbol.first_ns
        return replace(symbol, first_ns=first, last_ns=max(last, symbol.last_ns or 0))

    def _has_traded(self, ticker: str) -> bool:
        sources = self._sources
        if sources.words.find_symbol(ticker) < 0:
            return False
        if ticker in sources.present.contracts or len(sources.present.last("ticks", ticker)):
            return True
        ring = sources.rings.bars(ticker, 1)
        return ring is not None and len(ring) > 0


def _traded(present: Present) -> dict[str, float]:
    """Value of each instrument's newest day, by what its venue says of the day; none where it says
    nothing."""
    rows = present.last("snapshot")
    values = np.nan_to_num(rows.column("value")).tolist()
    return {ticker or "": value for ticker, value in zip(rows.text("ticker"), values, strict=True)}
