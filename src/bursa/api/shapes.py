"""The answers of the data API as types: what OpenAPI publishes and what tests decode with.

Rows are written as text elsewhere (candle_rows.py, rest.py); a test decodes every answer strictly
into these. Times are ISO texts.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

# The mark of a text that is an instant in UTC: in columns it is a timestamp (formats.py).
UTC = {"instant": "utc"}

Date = Annotated[str, Meta(description="opening of the bar, ISO, UTC with Z", extra=UTC)]
BarTime = Annotated[str, Meta(description="opening of the bar, ISO, the venue's clock and offset")]
Rev = Annotated[int, Meta(description="0, then +1 whenever the content differs")]
Instant = Annotated[str, Meta(description="ISO, UTC with Z, to the nanosecond", extra=UTC)]
Price = Annotated[float, Meta(description="quote currency")]
Units = Annotated[float, Meta(description="shares or base units; exact, integral where it is")]
Ok = Annotated[bool, Meta(description="true on a good answer, false on a refusal")]
Ticker = Annotated[str, Meta(description="the instrument's code on its venue")]
Name = Annotated[str, Meta(description="the issuer's or pair's name; the code where unknown")]
Board = Annotated[str, Meta(description="market board, e.g. RG")]
Figure = Annotated[float | None, Meta(description="quote currency; null while unknown")]
Size = Annotated[float | None, Meta(description="shares or base units; null while unknown")]
Count = Annotated[int, Meta(description="number of trades")]
SymbolWord = Annotated[str, Meta(description="the symbol as it was asked for")]


class _Row(Struct, forbid_unknown_fields=True):
    """A row or an answer: no field beside those named."""


class Facts(_Row):
    """What an answer says about itself."""

    latency_us: Annotated[int, Meta(description="time to make the answer, microseconds")]
    next_page: Annotated[
        str | None, Meta(description="token for `page`; null: this is the last page")
    ] = None
    history_from: Annotated[
        str | UnsetType,
        Meta(description="where the reader's history begins, ISO, UTC; absent: he has all of it"),
    ] = UNSET


About = Annotated[Facts, Meta(description="what the answer says about itself")]


class Bar(_Row):
    """One bar."""

    ticker: Ticker
    date: Date
    bar_time: BarTime
    freq: Annotated[str, Meta(description="timeframe of the bar")]
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Units
    value: Annotated[float, Meta(description="quote currency traded")]
    freq_cnt: Count
    vwap: Annotated[float | None, Meta(description="value / volume of the bar")]
    rev: Rev
    hd: Annotated[float | None, Meta(description="Hidden Delta; null before its warm-up")]


class Bars(_Row):
    """Bars, ascending by date."""

    ok: Ok
    data: Annotated[list[Bar], Meta(description="the rows")]
    meta: About


class Symbol(_Row):
    """One instrument."""

    ticker: Ticker
    name: Name
    board: Board
    status: Annotated[
        str, Meta(description="trading (a bar on the venue's present or last day), quiet, listed")
    ]
    lot: Annotated[int, Meta(description="units a lot")]
    currency: Annotated[str, Meta(description="currency of its prices; empty where unknown")]
    price_decimals: Annotated[int, Meta(description="decimals that a price is shown with")]
    volume_decimals: Annotated[int, Meta(description="decimals of one unit of volume")]
    first: Annotated[str | None, Meta(description="first bar, ISO UTC", extra=UTC)]
    last: Annotated[str | None, Meta(description="last closed bar, ISO UTC", extra=UTC)]


class Symbols(_Row):
    """Instruments by ticker."""

    ok: Ok
    data: Annotated[list[Symbol], Meta(description="the rows")]
    meta: About


class Trade(_Row):
    """The latest trade."""

    date: Instant
    price: Price
    volume: Units
    aggressor: Annotated[str | None, Meta(description="B or S: the side that crossed")]
    trade_no: Annotated[int, Meta(description="the venue's trade number or id")]


class Quote(_Row):
    """The latest best bid and offer."""

    date: Instant
    bid: Figure
    bid_volume: Size
    ask: Figure
    ask_volume: Size


class Day(_Row):
    """The day's figures."""

    date: Instant
    prev: Annotated[float | None, Meta(description="previous close")]
    open: Figure
    high: Figure
    low: Figure
    last: Figure
    volume: Units
    value: Annotated[float, Meta(description="quote currency traded")]
    trades: Count


class SnapshotRow(_Row):
    """What is newest of one ticker; a part is null while nothing of it came."""

    ticker: Ticker
    name: Name
    board: Board
    trade: Annotated[Trade | None, Meta(description="the latest trade")]
    quote: Annotated[Quote | None, Meta(description="the latest best bid and offer")]
    day: Annotated[Day | None, Meta(description="the day's figures")]
    unpublished: Annotated[
        list[str],
        Meta(description="of ticks, quotes, snapshot: kinds not published now, so not in here"),
    ]


class Snapshot(_Row):
    """The newest of one ticker."""

    ok: Ok
    data: Annotated[SnapshotRow, Meta(description="what was asked for")]
    meta: About


class Level(_Row):
    """One level of a book."""

    depth: Annotated[int, Meta(description="place on its side, 0 is the best")]
    price: Price
    volume: Units
    orders: Annotated[int | None, Meta(description="orders at the level; null: the venue is mute")]


class BookRow(_Row):
    """Both sides of a book; a side without orders is empty."""

    ticker: Ticker
    date: Annotated[
        str | None,
        Meta(
            description="event time up to which it is true, ISO, UTC with Z; null: nothing came",
            extra=UTC,
        ),
    ]
    seq: Annotated[int | None, Meta(description="number of the newest message it holds")]
    whole: Annotated[bool, Meta(description="false: messages are missing that may have changed it")]
    bids: Annotated[list[Level], Meta(description="the highest price first")]
    asks: Annotated[list[Level], Meta(description="the lowest price first")]


class OrderBook(_Row):
    """The order book of one ticker."""

    ok: Ok
    data: Annotated[BookRow, Meta(description="what was asked for")]
    meta: About


class RankedRow(_Row):
    """One instrument of a ranking."""

    rank: Annotated[int, Meta(description="place in the list, from 1")]
    ticker: Ticker
    name: Name
    last: Figure
    prev: Annotated[float | None, Meta(description="previous close")]
    change: Annotated[float | None, Meta(description="last - prev, quote currency")]
    change_percent: Annotated[float | None, Meta(description="(last / prev - 1) * 100")]
    volume: Units
    value: Annotated[float, Meta(description="quote currency traded")]
    frequency: Count
    date: Annotated[str, Meta(description="when the figures were true, ISO, UTC with Z", extra=UTC)]


class Ranking(_Row):
    """Instruments traded on the day, by one figure."""

    ok: Ok
    data: Annotated[list[RankedRow], Meta(description="the rows")]
    meta: About


class IndexRow(_Row):
    """An index at one instant."""

    index_code: Annotated[str, Meta(description="code of the index")]
    date: Instant
    value: Annotated[float, Meta(description="index points")]
    prev: Annotated[float | None, Meta(description="previous close, index points")]
    change: Annotated[float | None, Meta(description="value - prev, index points")]
    change_percent: Annotated[float | None, Meta(description="(value / prev - 1) * 100")]
    value_traded: Annotated[float, Meta(description="quote currency, the day so far")]


class Index(_Row):
    """Rows of one index, ascending by date, one an instant."""

    ok: Ok
    data: Annotated[list[IndexRow], Meta(description="the rows")]
    meta: About


class MetricHead(_Row):
    """What every metric row has before its values."""

    ticker: Ticker
    date: Date
    bar_time: BarTime
    freq: Annotated[str, Meta(description="timeframe of the bar")]
    rev: Rev


class Metrics(_Row):
    """Metric rows: `ticker date bar_time freq rev`, then one field an output of each metric asked
    for."""

    ok: Ok
    data: Annotated[list[dict[str, Any]], Meta(description="the rows")]
    meta: About


class MetricOutput(_Row):
    """One output of a metric."""

    name: Annotated[str, Meta(description="the output's own name; `value` where it has one only")]
    column: Annotated[str, Meta(description="its field in metric rows and its column in SQL")]
    unit: Annotated[str, Meta(description="unit, and what the number means")]
    draw: Annotated[
        str,
        Meta(description="how a chart shows it: line, histogram, direction (coloured by it), none"),
    ]


class MetricRow(_Row):
    """One metric of the catalogue."""

    name: Annotated[str, Meta(description="what `metric` takes")]
    title: Annotated[str, Meta(description="what it is called on the pages")]
    description: Annotated[str, Meta(description="what it is, in a sentence")]
    unit: Annotated[str, Meta(description="unit of its values")]
    group: Annotated[
        str, Meta(description="trend, momentum, volatility, volume, day, flow or own (bursa's own)")
    ]
    parameters: Annotated[
        dict[str, float], Meta(description="its parameters by name, in the order of its own name")
    ]
    inputs: Annotated[
        list[str], Meta(description="what it reads: fields of bars, columns of other metrics")
    ]
    outputs: Annotated[list[MetricOutput], Meta(description="what it gives, in order")]
    overlay: Annotated[bool, Meta(description="true: its values lie among the prices")]
    guides: Annotated[list[float], Meta(description="levels that a chart marks")]
    warmup: Annotated[int, Meta(description="bars before the first that can have a value")]
    timeframes: Annotated[
        list[str], Meta(description="those it is computed on; on others: its last minute's value")
    ]
    available: Annotated[bool, Meta(description="false: always null on this venue")]
    definition: Annotated[str, Meta(description="how it is computed and after whom")]


class Catalogue(_Row):
    """The metrics that there are, in the order of their columns."""

    ok: Ok
    data: Annotated[list[MetricRow], Meta(description="the rows")]
    meta: About


class Health(_Row):
    """The process is alive."""

    ok: Ok


class DependencyRow(_Row):
    """One thing this process leans on."""

    ok: Ok
    latency_ms: Annotated[float, Meta(description="time it took to answer, milliseconds")]
    error: Annotated[str | None, Meta(description="what is wrong with it; null: nothing")] = None


class Ready(_Row):
    """Whether it can serve. `degraded` names what is ill, `waiting_for` what the start awaits."""

    ok: Ok
    dependencies: Annotated[
        dict[str, DependencyRow], Meta(description="each thing it leans on, by name")
    ]
    degraded: Annotated[list[str], Meta(description="names of those that are ill")]
    waiting_for: Annotated[
        str | None, Meta(description="what the start still waits for; null: nothing")
    ] = None


class Status(_Row):
    """The process is alive."""

    status: Annotated[str, Meta(description="`ok` while the process is alive")]


class Version(_Row):
    """What runs."""

    version: Annotated[str, Meta(description="bursa's version")]
    api: Annotated[str, Meta(description="version of the viewer API")]
    python: Annotated[str, Meta(description="version of the Python that runs it")]


class ViewerSymbol(_Row):
    """One instrument of a public venue."""

    symbol: Annotated[str, Meta(description="its code; EXCHANGE:code where two venues share one")]
    base: Annotated[str, Meta(description="what is traded: the pair's first half, or the code")]
    quote: Annotated[str, Meta(description="currency of its prices; empty where unknown")]
    status: Annotated[str, Meta(description="trading, quiet, listed: as in /v1/symbols")]


class ViewerSymbols(_Row):
    """The instruments of all public venues."""

    symbols: Annotated[list[ViewerSymbol], Meta(description="by venue and code")]


class Intervals(_Row, omit_defaults=True):
    """Widths of candle, ascending."""

    intervals: Annotated[list[str], Meta(description="widths of candle, e.g. 5m")]
    symbol: Annotated[str | None, Meta(description="the symbol, where one was asked for")] = None


Candle = Annotated[
    list[float],
    Meta(description="ms since 1970, open, high, low, close, volume", min_length=6, max_length=6),
]


class ViewerCandles(_Row):
    """Candles, ascending by opening."""

    symbol: SymbolWord
    interval: Annotated[str, Meta(description="width of a candle")]
    data: Annotated[list[Candle], Meta(description="the rows")]


class RouteStats(_Row):
    """How one route was used since the start."""

    route: Annotated[str, Meta(description="its path; `other`: what no route answered")]
    requests: Annotated[int, Meta(description="answers, refusals too")]
    p95_ms: Annotated[float, Meta(description="95 % were answered within, milliseconds")]
    p99_ms: Annotated[float, Meta(description="99 % were answered within, milliseconds")]


class Stats(_Row):
    """What the process is doing."""

    uptime_seconds: Annotated[float, Meta(description="seconds since the start")]
    threads: Annotated[int, Meta(description="threads that run Python")]
    backend_active: Annotated[str, Meta(description="the store's name")]
    reconnect_attempts_total: Annotated[
        int, Meta(description="attempts to connect to a source again, all venues")
    ]
    rest_catchup_candles_total: Annotated[
        int, Meta(description="candles fetched by REST after a gap; 0: no source here needs it")
    ]
    ws_state: Annotated[
        str, Meta(description="the sources' lines: connected, partly, disconnected, none")
    ]
    last_msg_age_ms: Annotated[
        float | None, Meta(description="since anything came from a source; null: nothing did")
    ]
    routes: Annotated[list[RouteStats], Meta(description="by route")]


class ErrorFacts(_Row):
    """What a refusal says about itself."""

    request_id: Annotated[str, Meta(description="id of the request, as in X-Request-Id")]
    parameter: Annotated[
        str | None, Meta(description="parameter that it is about; absent: none")
    ] = None


class Error(_Row):
    """A refusal or a failure."""

    ok: Ok
    error: Annotated[str, Meta(description="what, and why")]
    code: Annotated[str, Meta(description="stable word for programs")]
    meta: Annotated[ErrorFacts, Meta(description="what the refusal says about itself")]


class UdfError(_Row):
    """A refusal or failure under /udf."""

    s: Annotated[str, Meta(description="state of the answer: `error`")]
    errmsg: Annotated[str, Meta(description="what, and why")]
    code: Annotated[str, Meta(description="stable word for programs")]
