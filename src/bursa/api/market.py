"""The market as a whole: rankings of the day's instruments, and the rows of an index.

Rankings answer from memory. Index rows are paged as bars are: without `from` the newest come and
pages lead back in time, with it the oldest, and pages lead on. Does not know bars (rest.py).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.api import access, formats, params, shapes, text
from bursa.api.access import Access
from bursa.api.envelope import encode, joined
from bursa.api.formats import FORMAT
from bursa.api.paging import leading_on, turned
from bursa.api.rendered import Page, rendered, sealed
from bursa.api.services import Services, VenueService
from bursa.api.short import data_route
from bursa.history.candles import FOREVER_NS
from bursa.history.day import RANKINGS
from bursa.history.indices import IndexAsk
from bursa.model.batch import Batch
from bursa.model.errors import Refuse

RANKING_DEFAULT, RANKING_MAX = 20, 1_000
ORDERS = ("desc", "asc")
_CODES_NAMED_MAX = 50


def _one_of(name: str, words: Sequence[str], code: str) -> Callable[[str], str]:
    """Reads one of some words."""

    def read(given: str) -> str:
        if given not in words:
            message = f"{name}={given[:64]!r} is none of {', '.join(words)}"
            raise Refuse(message, code, parameter=name)
        return given

    return read


_BY = params.Param(
    "by",
    _one_of("by", RANKINGS, "unknown_ranking"),
    "what ranks: the day's change in percent, volume, value, or number of trades (frequency)",
    "value",
    schema=params.one_of(RANKINGS),
)
_ORDER = params.Param(
    "order",
    _one_of("order", ORDERS, "bad_order"),
    "desc: the highest first; asc: the lowest",
    ORDERS[0],
    schema=params.one_of(ORDERS),
)
_LIMIT = params.Param(
    "limit",
    params.integer("limit", 1, RANKING_MAX),
    "most rows",
    RANKING_DEFAULT,
    schema=params.whole(1, RANKING_MAX),
)

RANKING = (params.VENUE, _BY, _LIMIT, _ORDER, FORMAT)
INDEX = (params.VENUE, params.FROM, params.TO, params.LIMIT, params.PAGE, FORMAT)
_RANKING, _INDEX = params.Table(RANKING), params.Table(INDEX)


class Ranked:
    """The routes over some services."""

    def __init__(self, services: Services) -> None:
        self._services, self._access = services, Access(services)

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        return [
            data_route("/v1/ranking", RANKING, shapes.Ranking, 404)(self.ranking),
            data_route("/v1/index/{code:str}", INDEX, shapes.Index, 404, 503)(self.index),
        ]

    async def ranking(self, scope: Scope) -> ASGIResponse:
        """The day's instruments by change, volume, value or number of trades: those that traded,
        equal ones by ticker."""
        values = _RANKING.read(scope["query_string"])
        service = self._services.venue(values["venue"])
        limit = self._access.rows(access.who(scope), values["limit"], RANKING_DEFAULT)
        rows = _ranked(service, {**values, "limit": limit})
        access.count_rows(scope, len(rows))
        return await rendered(
            scope, values["format"], formats.RANKING, Page(encode(rows)), self._services.offload
        )

    async def index(self, scope: Scope, code: FromPath[str]) -> ASGIResponse:
        """Rows of an index as they came, ascending by date. They are finer than any bar."""
        values = _INDEX.read(scope["query_string"])
        service = self._services.venue(values["venue"])
        asks = access.who(scope)
        self._access.raw(asks, "an index's rows")
        service.require("index")
        _known(service, code)
        limit = self._access.rows(asks, values["limit"])
        bounds = params.ranged(values, service.venue.calendar)
        floor = self._access.history(asks, service, *bounds)
        ask, question = _ask(service, code, {**values, "limit": limit}, floor)
        found, more = await service.indices.rows(ask)
        access.count_rows(scope, len(found))
        # 10,000 rows take 80 ms: nobody else is to wait for them.
        offload = self._services.offload
        data = await offload.run(_index_rows, code, found, service.venue.price_scale)
        on = leading_on(found.column("ts"), question, ask.newest) if more else None
        page = Page(data, on, floor, sealed(service, values, len(found)))
        return await rendered(scope, values["format"], formats.INDEX, page, offload)


def _ranked(service: VenueService, values: Mapping[str, Any]) -> list[shapes.RankedRow]:
    # Places and figures from one table: another one may have other places.
    table = service.day.table()
    places = table.ranking(values["by"], values["limit"], values["order"] == "asc")
    last, prev = table.last[places], table.prev[places]
    columns = zip(
        (table.tickers[at] for at in places),
        _numbers(last),
        _numbers(prev),
        _numbers(np.round(last - prev, service.venue.price_scale)),
        _numbers(table.change[places]),
        _numbers(table.volume[places]),
        _numbers(table.value[places]),
        table.trades[places].tolist(),
        map(text.instant, table.ts[places].tolist()),
        strict=True,
    )
    name = service.directory.name
    return [
        shapes.RankedRow(rank, ticker, name(ticker), *figures)
        for rank, (ticker, *figures) in enumerate(columns, 1)
    ]


def _numbers(values: Any) -> list[Any]:
    return [text.json_value(value) for value in values.tolist()]


def _known(service: VenueService, code: str) -> None:
    """Refuse `bad_index` or `unknown_index`."""
    codes = service.indices.codes()
    if code in codes:
        return
    if not service.is_ticker(code):
        message = f"code={code[:64]!r} is malformed for {service.venue.name}"
        raise Refuse(message, "bad_index", 400, "code")
    named = ", ".join(codes[:_CODES_NAMED_MAX]) or "none so far"
    message = f"{service.venue.name} has no index {code!r}; known: {named}"
    raise Refuse(message, "unknown_index", 404, "code")


def _ask(
    service: VenueService, code: str, values: Mapping[str, Any], floor_ns: int
) -> tuple[IndexAsk, tuple[object, ...]]:
    """The question, with nothing before `floor_ns`, and what its page tokens are sealed with."""
    start, end = params.ranged(values, service.venue.calendar)
    question = ("index", service.venue.name, code, values["from"], values["to"])
    start_ns, end_ns = max(start or 0, floor_ns), FOREVER_NS if end is None else end
    newest = start is None
    page = turned(values["page"], question, newest)
    if page is not None:
        start_ns, end_ns = (start_ns, page.at) if newest else (max(page.at, start_ns), end_ns)
    return IndexAsk(code, values["limit"], start_ns, end_ns, newest), question


def _index_rows(code: str, rows: Batch, decimals: int) -> bytes:
    """The rows as a JSON array."""
    value, prev = rows.column("value"), rows.column("prev")
    known = np.where(prev > 0, prev, np.nan)
    return joined(
        [
            f'{{"index_code":"{code}","date":"{d}","value":{v},"prev":{p},"change":{c},'
            f'"change_percent":{r},"value_traded":{t}}}'.encode()
            for d, v, p, c, r, t in zip(
                map(text.instant, rows.column("ts").tolist()),
                text.numbers(value),
                text.numbers(prev),
                text.numbers(np.round(value - prev, decimals)),
                text.numbers((value / known - 1) * 100),
                text.numbers(rows.column("value_traded")),
                strict=True,
            )
        ]
    )
