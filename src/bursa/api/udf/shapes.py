"""The answers under /udf as types, in TradingView's words: what OpenAPI publishes.

They are made as plain fields elsewhere (udf.py and its neighbours); a test decodes every answer
strictly into these. Times are seconds since 1970 UTC.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Good = Annotated[Literal["ok"], Meta(description="state of the answer")]
Resolutions = Annotated[list[str], Meta(description="widths of bar that it can be asked for")]
Times = Annotated[list[int], Meta(description="seconds of the bar that each mark stands at")]
Code = Annotated[str, Meta(description="the instrument's code on its venue")]
FullName = Annotated[str, Meta(description="EXCHANGE:code, the name to ask by")]
Exchange = Annotated[str, Meta(description="name of the exchange, e.g. IDX")]
Title = Annotated[str, Meta(description="the issuer's or pair's name; the code where unknown")]
KindOf = Annotated[str, Meta(description="what it is: stock or crypto")]
PriceScale = Annotated[int, Meta(description="10 to the power of the decimals of its price")]
Decimals = Annotated[int, Meta(description="decimals of one unit of volume")]
Session = Annotated[str, Meta(description="hours of trading, in TradingView's grammar")]
Holidays = Annotated[str, Meta(description="days without trading, YYYYMMDD, commas between")]
Corrections = Annotated[
    str, Meta(description="days with hours of their own, in TradingView's grammar; empty: none")
]
Zone = Annotated[str, Meta(description="the venue's time zone, e.g. Asia/Jakarta")]
Yes = Annotated[bool, Meta(description="bars of that width can be asked for")]
Currency = Annotated[str, Meta(description="currency of its prices; empty where unknown")]


class _Answer(Struct, forbid_unknown_fields=True):
    """An answer: no field beside those named."""


class UdfChoice(_Answer, omit_defaults=True):
    """One choice of the client's search dialogue; an empty value means all."""

    name: Annotated[str, Meta(description="what the dialogue shows")]
    value: Annotated[str, Meta(description="what it asks by")]
    desc: Annotated[str | UnsetType, Meta(description="the exchange's full title")] = UNSET


class UdfConfig(_Answer):
    """What this data feed can do."""

    supported_resolutions: Resolutions
    supports_search: Annotated[bool, Meta(description="true: /udf/search is there")]
    supports_group_request: Annotated[bool, Meta(description="false: it searches instead")]
    supports_marks: Annotated[bool, Meta(description="true: /udf/marks is there")]
    supports_timescale_marks: Annotated[
        bool, Meta(description="true: /udf/timescale_marks is there")
    ]
    supports_time: Annotated[bool, Meta(description="true: /udf/time is there")]
    exchanges: Annotated[list[UdfChoice], Meta(description="exchanges to search in")]
    symbols_types: Annotated[list[UdfChoice], Meta(description="kinds of instrument to search for")]


class UdfSymbol(_Answer):
    """One symbol, as the charting library wants it."""

    symbol: Code
    name: Code
    ticker: FullName
    full_name: FullName
    description: Title
    type: KindOf
    exchange: Exchange
    listed_exchange: Exchange
    session: Session
    session_holidays: Holidays
    corrections: Corrections
    timezone: Zone
    format: Annotated[Literal["price"], Meta(description="how its numbers are shown")]
    minmov: Annotated[int, Meta(description="least move of the price, in 1 / pricescale")]
    minmove2: Annotated[int, Meta(description="0: prices are decimal")]
    fractional: Annotated[bool, Meta(description="false: prices are decimal")]
    pricescale: PriceScale
    has_intraday: Yes
    intraday_multipliers: Resolutions
    has_daily: Yes
    has_weekly_and_monthly: Yes
    supported_resolutions: Resolutions
    visible_plots_set: Annotated[str, Meta(description="ohlcv: bars have a volume")]
    volume_precision: Decimals
    currency_code: Currency
    data_status: Annotated[Literal["streaming"], Meta(description="bars are live")]


class UdfFound(_Answer):
    """One symbol that a search found."""

    symbol: Code
    full_name: FullName
    description: Title
    exchange: Exchange
    ticker: FullName
    type: KindOf


HYPHENATED = (
    "exchange_traded", "exchange_listed", "session_regular", "session_holidays",
    "intraday_multipliers", "supported_resolutions", "has_intraday", "has_daily", "has_dwm",
    "has_weekly_and_monthly", "currency_code", "visible_plots_set", "volume_precision_",
)  # fmt: skip
_NAMES = {name: name.strip("_").replace("_", "-") for name in HYPHENATED}


class UdfSymbolInfo(_Answer, rename=_NAMES):
    """All symbols of a group as columns: a list with one value a symbol, or, where it is the same
    for all of them, that value alone."""

    s: Good
    symbol: Annotated[list[str], Meta(description="codes on their venues")]
    ticker: Annotated[list[str], Meta(description="EXCHANGE:code, the names to ask by")]
    description: Annotated[list[str], Meta(description="the issuers' or pairs' names")]
    exchange_traded: Annotated[str | list[str], Meta(description="name of the exchange, e.g. IDX")]
    exchange_listed: Annotated[str | list[str], Meta(description="name of the exchange, e.g. IDX")]
    type: Annotated[str | list[str], Meta(description="what it is: stock or crypto")]
    session_regular: Annotated[
        str | list[str], Meta(description="hours of trading, in TradingView's grammar")
    ]
    session_holidays: Annotated[
        str | list[str], Meta(description="days without trading, YYYYMMDD, commas between")
    ]
    corrections: Annotated[
        str | list[str], Meta(description="days with hours of their own, in TradingView's grammar")
    ]
    timezone: Annotated[
        str | list[str], Meta(description="the venue's time zone, e.g. Asia/Jakarta")
    ]
    minmovement: Annotated[
        int | list[int], Meta(description="least move of the price, in 1 / pricescale")
    ]
    minmovement2: Annotated[int | list[int], Meta(description="0: prices are decimal")]
    fractional: Annotated[bool | list[bool], Meta(description="false: prices are decimal")]
    pricescale: Annotated[
        int | list[int], Meta(description="10 to the power of the decimals of the price")
    ]
    has_intraday: Annotated[bool | list[bool], Meta(description="bars of minutes can be asked for")]
    intraday_multipliers: Resolutions
    has_daily: Annotated[bool | list[bool], Meta(description="bars of days can be asked for")]
    has_dwm: Annotated[bool | list[bool], Meta(description="the same under its older name")]
    has_weekly_and_monthly: Annotated[
        bool | list[bool], Meta(description="bars of weeks and months can be asked for")
    ]
    supported_resolutions: Resolutions
    volume_precision_: Annotated[
        int | list[int], Meta(description="decimals of one unit of volume")
    ]
    volume_precision: Annotated[int | list[int], Meta(description="the same under its other name")]
    visible_plots_set: Annotated[str | list[str], Meta(description="ohlcv: bars have a volume")]
    currency_code: Annotated[str | list[str], Meta(description="currency of the prices")]


class UdfHistory(_Answer):
    """Bars as columns, ascending and unique by time."""

    s: Good
    t: Annotated[list[int], Meta(description="seconds of each bar's opening")]
    o: Annotated[list[float], Meta(description="prices of the first trades, in step with `t`")]
    h: Annotated[list[float], Meta(description="highest prices, in step with `t`")]
    l: Annotated[list[float], Meta(description="lowest prices, in step with `t`")]  # noqa: E741
    c: Annotated[list[float], Meta(description="prices of the last trades, in step with `t`")]
    v: Annotated[list[float], Meta(description="traded volumes, in step with `t`")]


class UdfNoData(_Answer, rename={"next_time": "nextTime"}):
    """There is no bar in the range."""

    s: Annotated[Literal["no_data"], Meta(description="state of the answer")]
    next_time: Annotated[
        int | UnsetType, Meta(description="seconds of the nearest older bar; absent: none")
    ] = UNSET


class UdfFigures(_Answer):
    """The day's figures of a symbol; what is not known of it is absent."""

    short_name: Annotated[str | UnsetType, Meta(description="the code on its venue")] = UNSET
    exchange: Annotated[str | UnsetType, Meta(description="name of the exchange")] = UNSET
    original_name: Annotated[str | UnsetType, Meta(description="EXCHANGE:code")] = UNSET
    description: Annotated[str | UnsetType, Meta(description="the issuer's or pair's name")] = UNSET
    lp: Annotated[float | UnsetType, Meta(description="last price, quote currency")] = UNSET
    open_price: Annotated[float | UnsetType, Meta(description="the day's first price")] = UNSET
    high_price: Annotated[float | UnsetType, Meta(description="the day's highest price")] = UNSET
    low_price: Annotated[float | UnsetType, Meta(description="the day's lowest price")] = UNSET
    prev_close_price: Annotated[float | UnsetType, Meta(description="previous close")] = UNSET
    bid: Annotated[float | UnsetType, Meta(description="best bid, quote currency")] = UNSET
    ask: Annotated[float | UnsetType, Meta(description="best ask, quote currency")] = UNSET
    volume: Annotated[float | UnsetType, Meta(description="the day's volume, units")] = UNSET
    ch: Annotated[float | UnsetType, Meta(description="lp - prev_close_price")] = UNSET
    chp: Annotated[float | UnsetType, Meta(description="the same in percent")] = UNSET
    spread: Annotated[float | UnsetType, Meta(description="best ask less best bid")] = UNSET


class UdfQuote(_Answer):
    """One symbol of several: its figures, or why there are none."""

    s: Annotated[Literal["ok", "error"], Meta(description="state of this symbol")]
    n: Annotated[str, Meta(description="the symbol as it was asked for")]
    v: Annotated[UdfFigures, Meta(description="its figures; none on an error")]
    errmsg: Annotated[str | UnsetType, Meta(description="what is wrong with it")] = UNSET


class UdfQuotes(_Answer):
    """The figures of each symbol, in the order asked for."""

    s: Good
    d: Annotated[list[UdfQuote], Meta(description="one entry a symbol")]


class UdfMarks(_Answer, rename={"label_font_color": "labelFontColor", "min_size": "minSize"}):
    """Marks on bars as columns; all of the same length."""

    id: Annotated[list[str], Meta(description="the same whenever it is asked for")]
    time: Times
    color: Annotated[list[str], Meta(description="names of colours")]
    text: Annotated[list[str], Meta(description="what happened, in plain text")]
    label: Annotated[list[str], Meta(description="G gap, R revision, S session")]
    label_font_color: Annotated[list[str], Meta(description="colours of the labels")]
    min_size: Annotated[list[int], Meta(description="least sizes, pixels")]


class UdfTimescaleMark(_Answer):
    """One mark on the time scale."""

    id: Annotated[str, Meta(description="the same whenever it is asked for")]
    time: Annotated[int, Meta(description="seconds of the bar that it stands at")]
    color: Annotated[str, Meta(description="name of a colour")]
    label: Annotated[str, Meta(description="G gap, S session, D day")]
    tooltip: Annotated[list[str], Meta(description="what happened, a line each")]
