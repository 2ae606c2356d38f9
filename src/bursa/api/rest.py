"""The data API: symbols, bars, the catalogue and metric rows, the newest of a ticker.

Every route reads its parameters from one table, asks history/ and shapes the answer. Without `from`
the newest rows are given and pages lead back in time; with it the oldest, and pages lead on. What a
reader may have, and how he sees HD, is asked of access.py before anything is read; answers that are
kept are kept by that.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.accounts.hd import View
from bursa.accounts.who import Principal
from bursa.api import access, formats, params, shapes, text
from bursa.api.access import Access, Grant
from bursa.api.candle_rows import TICKER_ROWS_MAX, SeenRows, seen, serialise
from bursa.api.envelope import answer, encode, joined, known_ticker
from bursa.api.formats import FORMAT, Rows
from bursa.api.newest import Asked, Newest, Read
from bursa.api.paging import leading_on, paged, turned
from bursa.api.rendered import Page, rendered, sealed
from bursa.api.services import Services, VenueService
from bursa.api.short import data_route
from bursa.api.stream.hub import Hub
from bursa.history.candles import FOREVER_NS, Ask, Candles
from bursa.history.directory import Symbol
from bursa.metrics.catalog import Catalogue
from bursa.metrics.describe import described
from bursa.metrics.metric import Metric, terms_of
from bursa.model.batch import Batch, concat
from bursa.model.errors import Refuse

TICKERS_MAX = 2_000
METRICS_MAX = 64
# What a token of the next page is not sealed with: all formats have the same pages, and a venue's
# name stands in it whether it was asked for by name or not.
_NO_QUESTION = ("venue", "page", "limit", "format")

_TICKER = params.Param("ticker", str, "the instrument's code", required=True)
_OPEN = params.Param(
    "open", params.flag("open"), "1: with the bar that is still open", False, schema=params.FLAG
)
_SINCE = params.Param(
    "since",
    str,
    "a cursor of the stream: the bars that changed after it, newest revisions; not together with "
    "from, to, page, as_of or open",
)
_TICKERS = params.Param("tickers", str, "codes with commas between; without it all of the venue")

SYMBOLS = (params.VENUE, params.LIMIT, params.PAGE, FORMAT)
SNAPSHOT = (params.VENUE,)
OHLCV = (
    params.VENUE, params.TF, params.FROM, params.TO, params.LIMIT, params.PAGE, params.AS_OF,
    _OPEN, _SINCE, FORMAT,
)  # fmt: skip
_OHLCV = params.Table(OHLCV)
METRICS = (params.VENUE, params.LIMIT, params.PAGE, FORMAT)


def latest(metric: params.Param) -> tuple[params.Param, ...]:
    """What `/v1/metrics/latest` reads; `metric` is the catalogue's."""
    return (params.VENUE, metric, _TICKERS, params.LIMIT, params.PAGE, FORMAT)


def history(metric: params.Param) -> tuple[params.Param, ...]:
    """What `/v1/metrics/history` reads."""
    return (
        params.VENUE, metric, _TICKER, params.TF, params.FROM, params.TO, params.LIMIT, params.PAGE,
        params.AS_OF, FORMAT,
    )  # fmt: skip


class Rest:
    """The routes over some services; `hub` knows what changed since a cursor."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self._services, self._hub = services, hub
        self._access = Access(services)
        self._rows = {
            name: SeenRows(service.venue.calendar) for name, service in services.venues.items()
        }
        self._newest = Newest(services, self._rows)
        metric = _metric_param(services.default.catalogue)
        self._latest, self._history = latest(metric), history(metric)

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        return [
            data_route("/v1/symbols", SYMBOLS, shapes.Symbols, 404)(self.symbols),
            data_route("/v1/snapshot/{ticker:str}", SNAPSHOT, shapes.Snapshot, 404)(self.snapshot),
            data_route("/v1/ohlcv/{ticker:str}", OHLCV, shapes.Bars, 404, 410, 503)(self.ohlcv),
            data_route("/v1/metrics", METRICS, shapes.Catalogue, 404)(self.metrics),
            data_route("/v1/metrics/latest", self._latest, shapes.Metrics, 404)(
                self.metrics_latest
            ),
            data_route("/v1/metrics/history", self._history, shapes.Metrics, 404, 503)(
                self.metrics_history
            ),
        ]

    async def ohlcv(self, scope: Scope, ticker: FromPath[str]) -> ASGIResponse:
        """Bars of one ticker and timeframe, ascending, each its newest revision."""
        values = _OHLCV.read(scope["query_string"])
        service = self._services.venue(values["venue"])
        known_ticker(service, ticker)
        asks = access.who(scope)
        grant = self._access.grant(asks, service, values["tf"], values["limit"])
        if values["since"] is not None:
            found = await self._since(service, ticker, values, grant)
            found = seen(found, grant.view)
            rows = serialise(ticker, values["tf"], found, service.venue.calendar)
            access.count_rows(scope, len(rows))
            page = Page(joined(rows), floor_ns=grant.floor_ns)
            return await self._rendered(scope, values, formats.BARS, page)
        if _plain(values) and formats.asked(scope, values["format"]) == "json":
            asked = Asked(service.venue.name, ticker, values["tf"], grant.limit, grant.floor_ns)
            read = partial(self._read_newest, service, ticker, values, grant)
            return await self._newest.answer(scope, asked, grant.view, read)
        self._in_history(asks, service, values)
        ask, question = _ask(service, ticker, values, grant)
        found = await service.reader.candles(ask)
        if len(found.bars) > TICKER_ROWS_MAX:  # so many rows are not kept one by one
            calendar, shown = service.venue.calendar, seen(found, grant.view)
            made = await self._services.offload.run(serialise, ticker, ask.tf, shown, calendar)
            data = joined(made)
        else:
            data = self._rows[service.venue.name].array(ticker, ask.tf, found, grant.view)
        count = len(found.bars)
        access.count_rows(scope, count)
        seal = sealed(service, values, count, grant.view, asks.user)
        page = Page(data, _next_page(ask, found.bars, found.more, question), grant.floor_ns, seal)
        return await self._rendered(scope, values, formats.BARS, page)

    async def _read_newest(
        self, service: VenueService, ticker: str, values: Mapping[str, Any], grant: Grant
    ) -> Read:
        ask, question = _ask(service, ticker, values, grant)
        found = service.reader.in_memory(ask)
        in_memory = found is not None
        if found is None:
            found = await service.reader.candles(ask)
        return Read(found, _next_page(ask, found.bars, found.more, question), in_memory)

    def _rendered(
        self, scope: Scope, values: Mapping[str, Any], rows: Rows, page: Page
    ) -> Awaitable[ASGIResponse]:
        return rendered(scope, values["format"], rows, page, self._services.offload)

    def _in_history(
        self, asks: Principal, service: VenueService, values: Mapping[str, Any]
    ) -> None:
        """Refuse `tier_history` where the range leads below what a reader may have."""
        self._access.history(asks, service, *params.ranged(values, service.venue.calendar))

    async def _since(
        self, service: VenueService, ticker: str, values: Mapping[str, Any], grant: Grant
    ) -> Candles:
        for name in ("from", "to", "page", "as_of", "open"):
            if values[name]:
                message = f"since and {name} exclude each other"
                raise Refuse(message, "exclusive_parameters", parameter=name)
        bars = self._hub.changed_since(values["since"], service.venue.name, ticker)
        found = await service.reader.changed(ticker, values["tf"], bars)
        allowed = found.bars.column("ts") >= grant.floor_ns
        if allowed.all():
            return found
        kept = replace(found.bars, block=found.bars.block[:, allowed])
        return Candles(kept, found.hd[allowed], found.more)

    async def metrics(self, scope: Scope) -> ASGIResponse:
        """The catalogue: every metric with its parameters, inputs, outputs and definition."""
        values = params.read_query(scope["query_string"], METRICS)
        service = self._services.venue(values["venue"])
        every = list(service.catalogue.metrics.values())
        values["limit"] = self._access.rows(access.who(scope), values["limit"])
        found, next_page = paged(every, values, ("metrics", service.venue.name))
        access.count_rows(scope, len(found))
        terms = terms_of(service.venue)
        page = Page(encode([described(metric, terms) for metric in found]), next_page)
        return await self._rendered(scope, values, formats.CATALOGUE, page)

    async def metrics_history(self, scope: Scope) -> ASGIResponse:
        """Rows of metrics, ascending by date; never price bars. At 1m they are stored rows. Of
        longer bars they are computed from the first stored bar on by the same kernel, where the
        metric allows that timeframe (then `rev` is 0); else a bar has the value of its last minute.
        """
        values = params.read_query(scope["query_string"], self._history)
        service = self._services.venue(values["venue"])
        ticker = known_ticker(service, values["ticker"])
        metrics = [service.catalogue.find(name) for name in values["metric"]]
        asks = access.who(scope)
        grant = self._access.grant(asks, service, values["tf"], values["limit"])
        self._access.hd(asks, service, values["metric"])
        self._in_history(asks, service, values)
        ask, question = _ask(service, ticker, {**values, "open": False}, grant)
        found, more = await service.reader.metrics(ask, metrics)
        access.count_rows(scope, len(found))
        # 10,000 rows take 80 ms: nobody else is to wait for them.
        data = await self._services.offload.run(
            _metric_rows, service, [ticker] * len(found), values["tf"], metrics, found, grant.view
        )
        seal = sealed(service, values, len(found), grant.view, asks.user)
        page = Page(data, _next_page(ask, found, more, question), grant.floor_ns, seal)
        return await self._rendered(scope, values, _metric_columns(metrics), page)

    async def metrics_latest(self, scope: Scope) -> ASGIResponse:
        """The newest 1-minute row of metrics for each ticker that has one, from memory."""
        values = params.read_query(scope["query_string"], self._latest)
        service = self._services.venue(values["venue"])
        metrics = [service.catalogue.find(name) for name in values["metric"]]
        asks = access.who(scope)
        grant = self._access.grant(asks, service, "1m", values["limit"])
        self._access.hd(asks, service, values["metric"])
        question = ("latest", service.venue.name, values["metric"], values["tickers"])
        values["limit"] = grant.limit
        tickers, next_page = paged(_tickers(service, values["tickers"]), values, question)
        newest = ((ticker, service.rings.metrics(ticker, 1)) for ticker in tickers)
        held = {
            ticker: row
            for ticker, row in newest
            if row is not None and len(row) and int(row.column("ts")[-1]) >= grant.floor_ns
        }
        access.count_rows(scope, len(held))
        data = joined([])
        if held:
            rows = concat(list(held.values()))
            data = _metric_rows(service, [*held], "1m", metrics, rows, grant.view)
        page = Page(data, next_page)
        return await self._rendered(scope, values, _metric_columns(metrics), page)

    async def symbols(self, scope: Scope) -> ASGIResponse:
        """The instruments of a venue, by ticker."""
        values = params.read_query(scope["query_string"], SYMBOLS)
        service = self._services.venue(values["venue"])
        every = service.directory.all()
        values["limit"] = self._access.rows(access.who(scope), values["limit"])
        found, next_page = paged(every, values, ("symbols", service.venue.name))
        access.count_rows(scope, len(found))
        lately_ns = service.lately_ns()
        page = Page(encode([_symbol(s, lately_ns) for s in found]), next_page)
        return await self._rendered(scope, values, formats.SYMBOLS, page)

    async def snapshot(self, scope: Scope, ticker: FromPath[str]) -> ASGIResponse:
        """The latest trade, quote and day figures of one ticker, from memory."""
        values = params.read_query(scope["query_string"], SNAPSHOT)
        service = self._services.venue(values["venue"])
        symbol = service.directory.find(known_ticker(service, ticker))
        assert symbol is not None, "a known ticker has a symbol"
        present = service.present
        row = shapes.SnapshotRow(
            ticker,
            symbol.name,
            symbol.board,
            _newest(present.last("ticks", ticker), shapes.Trade),
            _newest(present.last("quotes", ticker), shapes.Quote),
            _newest(present.last("snapshot", ticker), shapes.Day),
            [kind for kind in ("ticks", "quotes", "snapshot") if not service.published(kind)],
        )
        if row.quote is None:
            row.quote = _newest(present.last("snapshot", ticker), shapes.Quote)
        if row.day is None:
            row.day = await self._day(service, ticker)
        access.count_rows(scope, 1)
        return answer(scope, encode(row))

    async def _day(self, service: VenueService, ticker: str) -> shapes.Day | None:
        """The day's figures where the venue sends none: those of its daily bar."""
        found = await service.reader.candles(Ask(ticker, "1d", 2, open=True))
        bars = found.bars
        if not len(bars):
            return None

        def figure(name: str, at: int = -1) -> float | None:
            return text.json_value(bars.column(name)[at].item())

        return shapes.Day(
            text.instant(int(bars.column("ts")[-1])),
            figure("close", -2) if len(bars) > 1 else None,
            figure("open"),
            figure("high"),
            figure("low"),
            figure("close"),
            figure("volume") or 0,
            figure("value") or 0,
            int(bars.column("trades")[-1]),
        )


def _metric_param(catalogue: Catalogue) -> params.Param:
    """`metric`: one name of the catalogue, or several with commas between, each once."""

    def read(text: str) -> tuple[str, ...]:
        names = dict.fromkeys(text.split(","))
        if len(names) > METRICS_MAX:
            message = f"at most {METRICS_MAX} metrics"
            raise Refuse(message, "too_many_metrics", parameter="metric")
        return tuple(catalogue.find(name).name for name in names)

    about = "a metric of the catalogue, or several with commas between: "
    return params.Param("metric", read, about + ", ".join(catalogue.metrics), required=True)


def _plain(values: Mapping[str, Any]) -> bool:
    """The newest closed bars, nothing else asked for?"""
    asked = [values[name] for name in ("from", "to", "page", "as_of")]
    return not values["open"] and asked == [None] * 4


def _ask(
    service: VenueService, ticker: str, values: Mapping[str, Any], grant: Grant
) -> tuple[Ask, tuple[object, ...]]:
    """The question of a ranged route within what is granted, and what its page tokens are sealed
    with."""
    calendar = service.venue.calendar
    start, end = params.ranged(values, calendar)
    as_of = values["as_of"]
    as_of_ns = None if as_of is None else params.instant("as_of", as_of, calendar)
    if as_of is not None and values["open"]:
        message = "open and as_of exclude each other: an open bar has no past"
        raise Refuse(message, "exclusive_parameters", parameter="open")
    kept = {name: value for name, value in values.items() if name not in _NO_QUESTION}
    question = (service.venue.name, ticker, tuple(kept.items()))
    ask = Ask(
        ticker,
        values["tf"],
        grant.limit,
        max(start or 0, grant.floor_ns),
        FOREVER_NS if end is None else end,
        newest=start is None,
        as_of_ns=as_of_ns,
        open=values["open"],
    )
    page = turned(values["page"], question, ask.newest)
    if page is not None and ask.newest:
        ask = replace(ask, end_ns=page.at, open=False)
    elif page is not None:
        ask = replace(ask, start_ns=max(page.at, ask.start_ns))  # a token is no proof of a right
    return ask, question


def _next_page(ask: Ask, rows: Batch, more: bool, question: tuple[object, ...]) -> str | None:
    return leading_on(rows.column("ts"), question, ask.newest) if more else None


def _tickers(service: VenueService, given: str | None) -> list[str]:
    if given is None:
        return [symbol.ticker for symbol in service.directory.all()]
    tickers = list(dict.fromkeys(given.split(",")))
    if len(tickers) > TICKERS_MAX:
        message = f"at most {TICKERS_MAX} tickers"
        raise Refuse(message, "too_many_tickers", parameter="tickers")
    for ticker in tickers:
        try:
            known_ticker(service, ticker)
        except Refuse as refusal:
            raise Refuse(str(refusal), refusal.code, refusal.status, "tickers") from None
    return tickers


def _metric_columns(metrics: Sequence[Metric]) -> Rows:
    return formats.metric_rows(tuple(c.name for metric in metrics for c in metric.columns))


def _metric_rows(
    service: VenueService,
    tickers: Sequence[str],
    tf: str,
    metrics: Sequence[Metric],
    rows: Batch,
    view: View,
) -> bytes:
    """Metric rows as a view shows them, a JSON array; `tickers` in step with them."""
    ts = rows.column("ts")
    names = [column.name for metric in metrics for column in metric.columns]
    values = [
        [text.json_value(v) for v in service.hd.column(view, name, rows.column(name)).tolist()]
        for name in names
    ]
    heads = zip(
        tickers,
        text.utc(ts),
        text.local(ts, service.venue.calendar),
        rows.column("rev").tolist(),
        strict=True,
    )
    return encode(
        [
            {"ticker": t, "date": d, "bar_time": b, "freq": tf, "rev": rev}
            | {name: column[at] for name, column in zip(names, values, strict=True)}
            for at, (t, d, b, rev) in enumerate(heads)
        ]
    )


def _symbol(symbol: Symbol, lately_ns: int) -> shapes.Symbol:
    return shapes.Symbol(
        symbol.ticker,
        symbol.name,
        symbol.board,
        symbol.status(lately_ns),
        symbol.lot,
        symbol.currency,
        symbol.price_decimals,
        symbol.volume_decimals,
        None if symbol.first_ns is None else text.instant(symbol.first_ns),
        None if symbol.last_ns is None else text.instant(symbol.last_ns),
    )


def _newest(rows: Batch, shape: type[Any]) -> Any:
    """The one row of `rows` as a part of a snapshot; None where there is none."""
    if not len(rows):
        return None
    index = rows.kind.index
    fields: dict[str, Any] = {"date": text.instant(int(rows.column("ts")[-1]))}
    for name in shape.__struct_fields__[1:]:
        column = rows.kind.columns[index[name]]
        if column.dtype == "text":
            fields[name] = rows.text(name)[-1]
        elif column.dtype == "float":
            fields[name] = text.json_value(rows.column(name)[-1].item())
        else:
            fields[name] = int(rows.column(name)[-1])
    return shape(**fields)
