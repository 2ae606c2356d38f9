"""The answers of the data API as types: what OpenAPI publishes and what tests decode with.

Rows are written as text elsewhere (candle_rows.py, rest.py); a test decodes every answer strictly
into these. Times are ISO texts.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

Date = Annotated[str, Meta(description="opening of the bar, ISO, UTC with Z")]
BarTime = Annotated[str, Meta(description="opening of the bar, ISO, the venue's clock and offset")]
Rev = Annotated[int, Meta(description="0, then +1 whenever the content differs")]
Instant = Annotated[str, Meta(description="ISO, UTC with Z, to the nanosecond")]
Price = Annotated[float, Meta(description="quote currency")]
Units = Annotated[float, Meta(description="shares or base units; exact, integral where it is")]


class _Row(Struct, forbid_unknown_fields=True):
    """A row or an answer: no field beside those named."""


class Facts(_Row):
    """What an answer says about itself."""

    latency_us: Annotated[int, Meta(description="time to make the answer, microseconds")]
    next_page: Annotated[
        str | None, Meta(description="token for `page`; null: this is the last page")
    ] = None


class Bar(_Row):
    """One bar."""

    ticker: str
    date: Date
    bar_time: BarTime
    freq: Annotated[str, Meta(description="timeframe")]
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Units
    value: Annotated[float, Meta(description="quote currency traded")]
    freq_cnt: Annotated[int, Meta(description="number of trades")]
    vwap: Annotated[float | None, Meta(description="value / volume of the bar")]
    rev: Rev
    hd: Annotated[float | None, Meta(description="Hidden Delta; null before its warm-up")]


class Bars(_Row):
    """Bars, ascending by date."""

    ok: bool
    data: list[Bar]
    meta: Facts


class Symbol(_Row):
    """One instrument."""

    ticker: str
    name: Annotated[str, Meta(description="the issuer's or pair's name; the code where unknown")]
    board: str
    status: Annotated[
        str, Meta(description="trading (a bar on the venue's present or last day), quiet, listed")
    ]
    lot: int
    currency: str
    price_decimals: int
    volume_decimals: int
    first: Annotated[str | None, Meta(description="first bar, ISO UTC")]
    last: Annotated[str | None, Meta(description="last closed bar, ISO UTC")]


class Symbols(_Row):
    """Instruments by ticker."""

    ok: bool
    data: list[Symbol]
    meta: Facts


class Trade(_Row):
    """The latest trade."""

    date: Instant
    price: Price
    volume: Units
    aggressor: Annotated[str | None, Meta(description="B or S: the side that crossed")]
    trade_no: int


class Quote(_Row):
    """The latest best bid and offer."""

    date: Instant
    bid: float | None
    bid_volume: float | None
    ask: float | None
    ask_volume: float | None


class Day(_Row):
    """The day's figures."""

    date: Instant
    prev: Annotated[float | None, Meta(description="previous close")]
    open: float | None
    high: float | None
    low: float | None
    last: float | None
    volume: Units
    value: Annotated[float, Meta(description="quote currency traded")]
    trades: int


class SnapshotRow(_Row):
    """What is newest of one ticker; a part is null while nothing of it came."""

    ticker: str
    name: str
    board: str
    trade: Trade | None
    quote: Quote | None
    day: Day | None


class Snapshot(_Row):
    """The newest of one ticker."""

    ok: bool
    data: SnapshotRow
    meta: Facts


class RankedRow(_Row):
    """One instrument of a ranking."""

    rank: int
    ticker: str
    name: Annotated[str, Meta(description="the issuer's or pair's name; the code where unknown")]
    last: float | None
    prev: Annotated[float | None, Meta(description="previous close")]
    change: Annotated[float | None, Meta(description="last - prev, quote currency")]
    change_percent: Annotated[float | None, Meta(description="(last / prev - 1) * 100")]
    volume: Units
    value: Annotated[float, Meta(description="quote currency traded")]
    frequency: Annotated[int, Meta(description="number of trades")]
    date: Annotated[str, Meta(description="when the figures were true, ISO, UTC with Z")]


class Ranking(_Row):
    """Instruments traded on the day, by one figure."""

    ok: bool
    data: list[RankedRow]
    meta: Facts


class IndexRow(_Row):
    """An index at one instant."""

    index_code: str
    date: Instant
    value: Annotated[float, Meta(description="index points")]
    prev: Annotated[float | None, Meta(description="previous close, index points")]
    change: Annotated[float | None, Meta(description="value - prev, index points")]
    change_percent: Annotated[float | None, Meta(description="(value / prev - 1) * 100")]
    value_traded: Annotated[float, Meta(description="quote currency, the day so far")]


class Index(_Row):
    """Rows of one index, ascending by date, one an instant."""

    ok: bool
    data: list[IndexRow]
    meta: Facts


class Metrics(_Row):
    """Metric rows: `ticker date bar_time freq rev`, then one field an output of the metric."""

    ok: bool
    data: list[dict[str, Any]]
    meta: Facts


Bound = Annotated[str, Meta(description="ISO, UTC with Z")]


class Range(_Row, rename={"start": "from", "end": "to"}):
    """Expected minutes next to one another that share a state, [from, to)."""

    start: Bound
    end: Bound
    state: Annotated[str, Meta(description="received, confirmed_empty or missing")]
    minutes: int


class GapRow(_Row, rename={"start": "from", "end": "to"}):
    """Messages that a channel lost, in event time."""

    channel: str
    start: Bound
    end: Bound
    seq_from: int
    seq_to: int
    cause: str | None


class Totals(_Row):
    """Expected minutes by state, over the whole range."""

    expected: int
    received: int
    confirmed_empty: int
    missing: int


class ContinuityRow(_Row, rename={"start": "from", "end": "to"}):
    """The ledger of one ticker. `known_to`: up to where minutes are closed and judged."""

    ticker: str
    start: Bound
    end: Bound
    known_to: Bound
    totals: Totals
    ranges: list[Range]
    gaps: list[GapRow]


class Continuity(_Row):
    """The ledger of one ticker."""

    ok: bool
    data: ContinuityRow
    meta: Facts


class Health(_Row):
    """The process is alive."""

    ok: bool


class DependencyRow(_Row):
    """One thing this process leans on."""

    ok: bool
    latency_ms: float
    error: str | None = None


class Ready(_Row):
    """Whether it can serve. `degraded` names what is ill, `waiting_for` what the start awaits."""

    ok: bool
    dependencies: dict[str, DependencyRow]
    degraded: list[str]
    waiting_for: str | None = None


class Status(_Row):
    """The process is alive."""

    status: str


class Version(_Row):
    """What runs."""

    version: Annotated[str, Meta(description="bursa's version")]
    api: Annotated[str, Meta(description="version of the viewer API")]
    python: str


class ViewerSymbol(_Row):
    """One instrument of a public venue."""

    symbol: Annotated[str, Meta(description="its code; EXCHANGE:code where two venues share one")]
    base: str
    quote: Annotated[str, Meta(description="currency of its prices; empty where unknown")]
    status: Annotated[str, Meta(description="trading, quiet, listed: as in /v1/symbols")]


class ViewerSymbols(_Row):
    """The instruments of all public venues."""

    symbols: list[ViewerSymbol]


class Intervals(_Row, omit_defaults=True):
    """Widths of candle, ascending."""

    intervals: list[str]
    symbol: str | None = None


Candle = Annotated[
    list[float],
    Meta(description="ms since 1970, open, high, low, close, volume", min_length=6, max_length=6),
]


class ViewerCandles(_Row):
    """Candles, ascending by opening."""

    symbol: str
    interval: str
    data: list[Candle]


class ErrorFacts(_Row):
    """What a refusal says about itself."""

    request_id: str
    parameter: str | None = None


class Error(_Row):
    """A refusal or a failure."""

    ok: bool
    error: Annotated[str, Meta(description="what, and why")]
    code: Annotated[str, Meta(description="stable word for programs")]
    meta: ErrorFacts


class UdfError(_Row):
    """A refusal or failure under /udf."""

    s: str
    errmsg: str
    code: str
