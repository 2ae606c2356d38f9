"""The order book of an instrument as it is now. Answers from memory; stored books are the store's.

Levels are counted from 0, the best. Does not know how a venue's books are kept (pipeline/).
"""

from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.api import access, formats, params, shapes, text
from bursa.api.access import Access
from bursa.api.envelope import encode, known_ticker
from bursa.api.formats import FORMAT
from bursa.api.rendered import Page, rendered
from bursa.api.services import Services
from bursa.api.short import data_route
from bursa.model.schema import ORDERBOOK as ORDERBOOK_KIND
from bursa.pipeline.books import LEVELS_MAX, Side

_DEPTH = params.Param(
    "depth",
    params.integer("depth", 1, LEVELS_MAX),
    "most levels of a side",
    LEVELS_MAX,
    schema=params.whole(1, LEVELS_MAX),
)

ORDERBOOK = (params.VENUE, _DEPTH, FORMAT)
_ORDERBOOK = params.Table(ORDERBOOK)


class Books:
    """The route over some services."""

    def __init__(self, services: Services) -> None:
        self._services, self._access = services, Access(services)

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        route = data_route("/v1/orderbook/{ticker:str}", ORDERBOOK, shapes.OrderBook, 404)
        return [route(self.orderbook)]

    async def orderbook(self, scope: Scope, ticker: FromPath[str]) -> ASGIResponse:
        """Both sides of a ticker's book as it is now, the best level first."""
        values = _ORDERBOOK.read(scope["query_string"])
        service = self._services.venue(values["venue"])
        known_ticker(service, ticker)
        self._access.raw(access.who(scope), "a book")
        service.require(ORDERBOOK_KIND.name)
        found = service.book(ticker, values["depth"])
        row = shapes.BookRow(
            ticker,
            text.instant(found.ts_ns) if found.ts_ns > 0 else None,
            found.seq if found.ts_ns > 0 else None,
            found.whole,
            _levels(found.bids),
            _levels(found.asks),
        )
        access.count_rows(scope, len(row.bids) + len(row.asks))
        page = Page(encode(row))
        return await rendered(scope, values["format"], formats.BOOK, page, self._services.offload)


def _levels(side: Side) -> list[shapes.Level]:
    rows = zip(side.prices.tolist(), side.volumes.tolist(), side.orders.tolist(), strict=True)
    return [
        shapes.Level(at, price, volume, orders if orders >= 0 else None)
        for at, (price, volume, orders) in enumerate(rows)
    ]
