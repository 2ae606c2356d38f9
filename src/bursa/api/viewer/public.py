"""The public venues: which instruments anyone may ask for, and what the viewer API calls them.

A venue is public by configuration, else it does not exist here: its symbols are as unknown as ones
that never were. Does not answer requests (candles.py, ws.py).
"""

from bursa.api.services import Services, VenueService
from bursa.history.directory import Symbol
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES

# Currencies that pairs end in, for venues whose instruments do not say theirs; longer ones first.
_QUOTES = tuple("FDUSD USDT USDC TUSD BUSD BIDR IDRT BTC ETH BNB EUR TRY BRL JPY USD IDR".split())


class Public:
    """The public venues of some services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def venues(self) -> list[VenueService]:
        """In the order of configuration. Refuse `not_public` where there is none."""
        public = self._services.public
        found = [service for name, service in self._services.venues.items() if name in public]
        if not found:
            settings = " or ".join(f"{name}.public" for name in VENUES)
            message = f"no venue that runs here is public; set {settings} to true"
            raise Refuse(message, "not_public", 404)
        return found

    def find(self, symbol: str) -> tuple[VenueService, str]:
        """The venue and the code of `CODE` (of the first venue that has it) or `EXCHANGE:CODE`, in
        either case. Refuse `bad_symbol`, `unknown_symbol`, `not_public`."""
        venues = self.venues()
        exchange, _, code = symbol.upper().rpartition(":")
        meant = [s for s in venues if exchange in ("", s.venue.exchange)]
        for service in meant:
            if service.directory.knows(code):
                return service, code
        if len(symbol) > 64 or (meant and not any(s.is_ticker(code) for s in meant)):
            message = f"symbol={symbol[:64]!r} is malformed; it is a code, or EXCHANGE:code"
            raise Refuse(message, "bad_symbol", parameter="symbol")
        message = f"there is no symbol {symbol!r}; /api/v1/symbols lists them"
        raise Refuse(message, "unknown_symbol", 404, "symbol")

    def name(self, service: VenueService, code: str) -> str:
        """What an instrument is called: its code, or with its exchange where an earlier venue has
        one of that code too."""
        for earlier in self.venues():
            if earlier is service:
                break
            if earlier.directory.knows(code):
                return f"{service.venue.exchange}:{code}"
        return code


def pair(symbol: Symbol) -> tuple[str, str]:
    """Base and quote: BTCUSDT is BTC and USDT, a share is its code and its currency; quote "" where
    it cannot be told."""
    if symbol.currency:
        return symbol.ticker.removesuffix(symbol.currency) or symbol.ticker, symbol.currency
    for quote in _QUOTES:
        if symbol.ticker.endswith(quote) and symbol.ticker != quote:
            return symbol.ticker.removesuffix(quote), quote
    return symbol.ticker, ""
