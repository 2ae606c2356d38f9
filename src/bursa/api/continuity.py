"""The ledger: what is received, backfilled, confirmed empty or missing, of one ticker or of all.

Nothing before the first day of which the venue keeps bars is judged: that is no gap. The map of all
tickers costs some tenths of a second and is the same for all who look, so it is made at most once
in some seconds, by one of them while the others wait. Judges nothing itself (history/).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.api import access, formats, params, text
from bursa.api import ledger_shapes as shapes
from bursa.api.access import Access
from bursa.api.envelope import encode, known_ticker
from bursa.api.formats import FORMAT
from bursa.api.paging import paged
from bursa.api.rendered import Page, rendered, sealed
from bursa.api.services import Services, VenueService
from bursa.api.short import data_route
from bursa.history.continuity import Continuity, Stretch
from bursa.history.ledger import Heat
from bursa.model.calendar import DAY_NS
from bursa.model.covered import Ints
from bursa.model.errors import Refuse

# Ten years, and some days.
DAYS_MAX = 3_700
GAPS_MAX = 1_000
MAP_DAYS, MAP_DAYS_MAX = 30, 100
MAP_LIMIT = 100
FRESH_S = 5.0
_MAPS_KEPT = 8
_SORTS = ("missing", "ticker")
_STATES = ("received", "backfilled", "confirmed_empty", "missing")

_SINCE_DAY = replace(
    params.FROM,
    text="first instant, included: ISO with an offset, or a day of the venue. Without it the "
    "day of `to`, the present one by default, from its beginning",
)
_SINCE_DAYS = replace(
    params.FROM,
    text="first instant, included: ISO with an offset, or a day of the venue. Without it so that "
    f"{MAP_DAYS} trading days come",
)


def _sort(given: str) -> str:
    if given not in _SORTS:
        message = f"sort={given[:64]!r} is none of {', '.join(_SORTS)}"
        raise Refuse(message, "unknown_sort", parameter="sort")
    return given


_SORT = params.Param(
    "sort",
    _sort,
    "missing: the most missing minutes first; ticker: by code",
    _SORTS[0],
    schema=params.one_of(_SORTS),
)
_MAP_LIMIT = replace(params.LIMIT, default=MAP_LIMIT, schema=params.whole(1, params.LIMIT_MAX))

CONTINUITY = (
    params.VENUE, params.TF, _SINCE_DAY, params.TO, params.LIMIT, params.PAGE, FORMAT,
)  # fmt: skip
MAP = (params.VENUE, _SINCE_DAYS, params.TO, _SORT, _MAP_LIMIT, params.PAGE, FORMAT)


class Ledgers:
    """The routes over some services."""

    def __init__(self, services: Services) -> None:
        self._services, self._access = services, Access(services)
        self._maps = {name: _Maps(service) for name, service in services.venues.items()}

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        return [
            data_route("/v1/continuity/{ticker:str}", CONTINUITY, shapes.Continuity, 404, 503)(
                self.continuity
            ),
            data_route("/v1/continuity", MAP, shapes.ContinuityMap, 404, 503)(self.map),
        ]

    async def continuity(self, scope: Scope, ticker: FromPath[str]) -> ASGIResponse:
        """Which expected bars of a ticker are received, backfilled, confirmed empty or missing; the
        minutes of the present day by default. A bar longer than a minute is what the worst of its
        minutes is. `limit` and `page` cut the ranges; the totals are those of all."""
        values = params.read_query(scope["query_string"], CONTINUITY)
        service = self._services.venue(values["venue"])
        known_ticker(service, ticker)
        calendar, now_ns = service.venue.calendar, service.now_ns()
        start, end = params.ranged(values, calendar)
        end = now_ns if end is None else end
        start = calendar.midnight_ns(calendar.day_of(max(end - 1, 0))) if start is None else start
        if end - start > DAYS_MAX * DAY_NS:
            message = f"a range is at most {DAYS_MAX:,} days"
            raise Refuse(message, "range_too_long", parameter="from")
        kept_ns = await self._services.offload.run(_expected_from, service, ticker)
        judged = service.live_range(*_kept(start, end, kept_ns), values["tf"])
        found = await service.ledger.continuity(ticker, judged)
        question = ("continuity", service.venue.name, ticker, values["tf"], start, values["to"])
        values["limit"] = self._access.rows(access.who(scope), values["limit"])
        stretches, next_page = paged(found.stretches, values, question)
        access.count_rows(scope, len(stretches))
        row = shapes.ContinuityRow(
            ticker,
            values["tf"],
            text.instant(start),
            text.instant(end),
            text.instant(max(start, found.known_to_ns)),
            None if kept_ns is None else text.instant(kept_ns),
            shapes.Totals(**found.totals),
            [_range(stretch) for stretch in stretches],
            _gaps(found),
        )
        page = Page(encode(row), next_page, seal=sealed(service, values, len(stretches)))
        offload = self._services.offload
        return await rendered(scope, values["format"], formats.RANGES, page, offload)

    async def map(self, scope: Scope) -> ASGIResponse:
        """How whole the days of a venue are: minutes by state of each ticker and day. `limit` and
        `page` cut the tickers; a day's totals are of all. Those without a bar are there too."""
        values = params.read_query(scope["query_string"], MAP)
        service = self._services.venue(values["venue"])
        calendar = service.venue.calendar
        start, end = params.ranged(values, calendar)
        end = _tomorrow(service) if end is None else end
        start = _days_before(service, end, MAP_DAYS) if start is None else start
        if end - start > MAP_DAYS_MAX * DAY_NS:
            message = f"a range is at most {MAP_DAYS_MAX} days"
            raise Refuse(message, "range_too_long", parameter="from")
        kept_ns = await self._services.offload.run(service.kept_from_ns)
        found = await self._maps[service.venue.name].heat(
            *_kept(start, end, kept_ns), self._services.clock.now_ns()
        )
        tickers, table = await self._services.offload.run(_table, service, found)
        order = _ordered(tickers, table["missing"], values["sort"])
        question = ("map", service.venue.name, values["from"], values["to"], values["sort"])
        values["limit"] = self._access.rows(access.who(scope), values["limit"], MAP_LIMIT)
        places, next_page = paged(order, values, question)
        access.count_rows(scope, len(places))
        row = shapes.Map(
            service.venue.name,
            text.instant(start),
            text.instant(end),
            text.instant(max(start, found.known_to_ns)),
            None if kept_ns is None else text.instant(kept_ns),
            [
                shapes.MapDay(
                    day.isoformat(),
                    int(found.expected[at]),
                    _totals({word: table[word][:, at] for word in _STATES}),
                )
                for at, day in enumerate(found.days)
            ],
            len(order),
            [_row(tickers[place], place, table) for place in places],
        )
        page = Page(encode(row), next_page, seal=sealed(service, values, len(places)))
        offload = self._services.offload
        return await rendered(scope, values["format"], formats.DAYS, page, offload)


class _Maps:
    """The maps of one venue that were asked for last."""

    def __init__(self, service: VenueService) -> None:
        self._service, self._lock = service, asyncio.Lock()
        self._made: OrderedDict[tuple[int, int], tuple[int, Heat]] = OrderedDict()

    async def heat(self, start_ns: int, end_ns: int, now_ns: int) -> Heat:
        """The map of a range, some seconds old at most."""
        key = start_ns, end_ns
        async with self._lock:
            made = self._made.get(key)
            if made is None or now_ns - made[0] >= FRESH_S * 1e9:
                found = await self._service.ledger.heat(self._service.live_range(*key))
                made = self._made[key] = now_ns, found
                self._made.move_to_end(key)
                if len(self._made) > _MAPS_KEPT:
                    self._made.popitem(last=False)
        return made[1]


def _kept(start_ns: int, end_ns: int, kept_ns: int | None) -> tuple[int, int]:
    """The part of a range of which something is kept; empty where nothing is."""
    return (end_ns, end_ns) if kept_ns is None else (min(max(start_ns, kept_ns), end_ns), end_ns)


def _expected_from(service: VenueService, ticker: str) -> int | None:
    """From when on bars of a ticker are expected; None where nothing is kept. Blocks."""
    if service.kept_from_ns() is None:
        return None
    return service.expected_from_ns([ticker])[ticker]


def _tomorrow(service: VenueService) -> int:
    calendar = service.venue.calendar
    return calendar.midnight_ns(calendar.next_day(calendar.day_of(service.now_ns())))


def _days_before(service: VenueService, end_ns: int, count: int) -> int:
    """The beginning of the last so many trading days before an instant."""
    calendar = service.venue.calendar
    day = calendar.day_of(end_ns - 1)
    count -= calendar.is_trading_day(day)
    for _ in range(count):
        day = calendar.previous_day(day)
    return calendar.midnight_ns(day)


def _table(service: VenueService, found: Heat) -> tuple[list[str], dict[str, Ints]]:
    """All tickers of the venue, and minutes by state of each and day; none of days before it was
    expected. Blocks."""
    known = set(found.tickers)
    silent = [s.ticker for s in service.directory.all() if s.ticker not in known]
    if not len(found.days):
        silent = []
    table = {
        word: np.concatenate((found.counts[word], np.tile(found.nobody[word], (len(silent), 1))))
        for word in _STATES
    }
    tickers = [*found.tickers, *silent]
    since = service.expected_from_ns(tickers)
    midnights = np.array([service.venue.calendar.midnight_ns(day) for day in found.days], np.int64)
    expected = midnights >= np.array([since[ticker] for ticker in tickers], np.int64)[:, None]
    return tickers, {word: minutes * expected for word, minutes in table.items()}


def _ordered(tickers: Sequence[str], missing: Ints, by: str) -> list[int]:
    places = range(len(tickers))
    if by == "ticker":
        return sorted(places, key=lambda at: tickers[at])
    lost = missing.sum(axis=1)
    return sorted(places, key=lambda at: (-int(lost[at]), tickers[at]))


def _row(ticker: str, place: int, table: dict[str, Ints]) -> shapes.MapRow:
    own = {word: table[word][place] for word in _STATES}
    return shapes.MapRow(
        ticker=ticker, totals=_totals(own), **{word: own[word].tolist() for word in _STATES}
    )


def _totals(minutes: dict[str, Ints]) -> shapes.Totals:
    sums = {word: int(minutes[word].sum()) for word in _STATES}
    return shapes.Totals(expected=sum(sums.values()), **sums)


def _range(stretch: Stretch) -> shapes.Range:
    bounds = text.instant(stretch.start_ns), text.instant(stretch.end_ns)
    return shapes.Range(*bounds, stretch.state, stretch.minutes, stretch.bars)


def _gaps(found: Continuity) -> list[shapes.GapRow]:
    return [
        shapes.GapRow(
            gap.channel,
            text.instant(gap.start_ns),
            text.instant(gap.end_ns),
            gap.seq_from,
            gap.seq_to,
            gap.cause,
        )
        for gap in found.gaps[-GAPS_MAX:]
    ]
