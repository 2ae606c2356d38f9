"""What goes over the streams as types: the frames, and what a client says.

Frames are written as text elsewhere (frames.py, orders.py, hub.py, viewer/ws.py); tests decode
every one strictly into these, and asyncapi.py publishes them. Times are ISO texts.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from bursa.model.schema import FREQS

Cursor = Annotated[
    str, Meta(description="place in the stream, opaque: for `resume`, and `since` of the data API")
]
Venue = Annotated[str, Meta(description="name of the venue, e.g. idx")]
Ticker = Annotated[str, Meta(description="the instrument's code on its venue")]
Freq = Annotated[
    str, Meta(description="timeframe of the bar", extra_json_schema={"enum": list(FREQS)})
]
BarTime = Annotated[str, Meta(description="opening of the bar, ISO, the venue's clock and offset")]
Rev = Annotated[int, Meta(description="0, then +1 whenever the content differs")]
Channel = Literal["bars", "metrics"]


class _Frame(Struct, tag_field="type", forbid_unknown_fields=True):
    """A frame: no field beside those named."""


class Bar(_Frame, tag="bar"):
    """A bar: closed or revised, then with a cursor; or still under way, then without one."""

    venue: Venue
    ticker: Ticker
    freq: Freq
    bar_time: BarTime
    open: Annotated[float, Meta(description="price of the first trade, quote currency")]
    high: Annotated[float, Meta(description="highest price, quote currency")]
    low: Annotated[float, Meta(description="lowest price, quote currency")]
    close: Annotated[float, Meta(description="price of the last trade, quote currency")]
    volume: Annotated[float, Meta(description="traded volume, shares or base units")]
    hd: Annotated[float | None, Meta(description="Hidden Delta; null before its warm-up")]
    final: Annotated[bool, Meta(description="false while the bar is under way")]
    rev: Rev
    cursor: Annotated[
        str | UnsetType, Meta(description="place in the stream; none on a bar under way")
    ] = UNSET


class Metrics(_Frame, tag="metrics"):
    """The metrics of a closed 1-minute bar: every output of the catalogue."""

    venue: Venue
    ticker: Ticker
    freq: Freq
    bar_time: BarTime
    values: Annotated[
        dict[str, float | None], Meta(description="output -> value; null before its warm-up")
    ]
    rev: Rev
    cursor: Cursor


class EndOfInterval(_Frame, tag="end_of_interval"):
    """All bars and metrics of a minute were sent, those of every ticker."""

    venue: Venue
    freq: Freq
    bar_time: Annotated[str, Meta(description="opening of the minute, ISO, the venue's clock")]
    cursor: Cursor


class Gap(_Frame, tag="gap", rename={"start": "from", "end": "to"}):
    """Something is missing: in the feed, or here because this client reads too slowly."""

    reason: Annotated[
        Literal["feed", "slow"],
        Meta(description="feed: messages of the exchange are lost; slow: bars under way left out"),
    ]
    venue: Annotated[str | UnsetType, Meta(description="feed: name of the venue")] = UNSET
    channel: Annotated[str | UnsetType, Meta(description="feed: channel that lost them")] = UNSET
    start: Annotated[
        str | None | UnsetType,
        Meta(description="feed: time of the last message before it, ISO UTC; null: none came yet"),
    ] = UNSET
    end: Annotated[
        str | UnsetType, Meta(description="feed: event time at which it was noticed, ISO UTC")
    ] = UNSET
    seq_from: Annotated[
        int | UnsetType, Meta(description="feed: first missing sequence number")
    ] = UNSET
    seq_to: Annotated[int | UnsetType, Meta(description="feed: last missing sequence number")] = (
        UNSET
    )
    cursor: Annotated[str | UnsetType, Meta(description="feed: place in the stream")] = UNSET
    conflated: Annotated[
        int | UnsetType, Meta(description="slow: how many bars under way were left out")
    ] = UNSET


class Subscription(Struct, forbid_unknown_fields=True):
    """The tickers of one venue, timeframe and channel that a client is told of."""

    venue: Venue
    freq: Freq
    channel: Annotated[Channel, Meta(description="what is told of them")]
    tickers: Annotated[list[str], Meta(description="codes, ascending")]


class Subscribed(_Frame, tag="subscribed"):
    """The answer to `subscribe`: everything that this client is subscribed to now."""

    subscriptions: Annotated[list[Subscription], Meta(description="all of them")]
    throttle_ms: Annotated[int, Meta(description="least time between two bars under way")]
    cursor: Cursor
    recovered: Annotated[
        bool | UnsetType,
        Meta(description="where it resumed: true, every frame missed follows; false, see `fetch`"),
    ] = UNSET
    fetch: Annotated[
        list[str] | UnsetType,
        Meta(description="where what was missed is to be had, one path a channel"),
    ] = UNSET


class Unsubscribed(_Frame, tag="unsubscribed"):
    """The answer to `unsubscribe`: what this client is still subscribed to."""

    subscriptions: Annotated[list[Subscription], Meta(description="all that are left")]
    throttle_ms: Annotated[int, Meta(description="least time between two bars under way")]
    cursor: Cursor


class Pong(_Frame, tag="pong"):
    """The answer to `ping`."""

    cursor: Cursor


class Authenticated(_Frame, tag="authenticated"):
    """The answer to `auth`: who shows this token may listen."""

    tier: Annotated[str, Meta(description="name of the tier")]
    stream_symbols: Annotated[
        int | None, Meta(description="instruments at once; 0: none; null: no limit")
    ]


class Error(_Frame, tag="error"):
    """A message of this client was refused; the connection stays open."""

    code: Annotated[str, Meta(description="stable word for programs")]
    error: Annotated[str, Meta(description="what was wrong, and what is allowed")]
    parameter: Annotated[str | UnsetType, Meta(description="field that it is about")] = UNSET


class Shutdown(_Frame, tag="shutdown"):
    """The server stops; the connection closes with code 1001. Reconnect and resume."""

    reason: Annotated[str, Meta(description="why, for people")]


class Closed(_Frame, tag="closed"):
    """Server-sent events only: the answer ends here, with the code a WebSocket would close with."""

    code: Annotated[
        int,
        Meta(description="1001: the server stops; 4008: too slow a reader; 4401: not let in now"),
    ]
    reason: Annotated[str, Meta(description="why, in a word")]


class _Order(Struct, tag_field="action", forbid_unknown_fields=True):
    """What a client may say."""


Tickers = Annotated[list[str], Meta(description="codes, 1,000 at most a message")]
Wanted = Annotated[tuple[Channel, ...], Meta(description="what to be told of them; default: bars")]


class Subscribe(_Order, tag="subscribe"):
    """Be told of tickers; what was subscribed before stays. Metrics are told at 1m only."""

    tickers: Tickers
    freq: Annotated[
        str,
        Meta(
            description="timeframe; metrics know 1m only", extra_json_schema={"enum": list(FREQS)}
        ),
    ] = "1m"
    channels: Wanted = ("bars",)
    venue: Annotated[str | None, Meta(description="venue; default: the first that runs")] = None
    resume: Annotated[str | None, Meta(description="the last cursor that was taken")] = None
    throttle_ms: Annotated[
        int | None, Meta(description="least time between two bars under way; 0: every change")
    ] = None


class Unsubscribe(_Order, tag="unsubscribe"):
    """Be told of these no more."""

    tickers: Annotated[list[str] | None, Meta(description="codes; default: all tickers")] = None
    freq: Freq = "1m"
    channels: Wanted = ("bars",)
    venue: Annotated[str | None, Meta(description="venue; default: the first that runs")] = None


class Auth(_Order, tag="auth"):
    """Say who listens, where the handshake did not; or go on by a newer token."""

    token: Annotated[str, Meta(description="a token that an API key was exchanged for")]


class Ping(_Order, tag="ping"):
    """Ask for a sign of life."""


class Candle(_Frame, tag="candle"):
    """A candle of a public venue: closed, revised, or under way."""

    symbol: Annotated[str, Meta(description="as /api/v1/symbols names it")]
    interval: Annotated[str, Meta(description="width of the candle")]
    data: Annotated[
        tuple[int, float, float, float, float, float],
        Meta(description="ms since 1970, open, high, low, close, volume: as /api/v1/candles"),
    ]
    final: Annotated[bool, Meta(description="false while the candle is under way")]


class Watched(Struct, forbid_unknown_fields=True):
    """One symbol and width that a client of the viewer API is told of."""

    symbol: Annotated[str, Meta(description="as /api/v1/symbols names it")]
    interval: Annotated[str, Meta(description="width of the candle")]
    partials: Annotated[bool, Meta(description="with candles under way")]


class ViewerSubscribed(_Frame, tag="subscribed"):
    """The answer to `subscribe`: everything that this client is subscribed to now."""

    subscriptions: Annotated[list[Watched], Meta(description="all of them")]


class ViewerUnsubscribed(_Frame, tag="unsubscribed"):
    """The answer to `unsubscribe`: what this client is still subscribed to."""

    subscriptions: Annotated[list[Watched], Meta(description="all that are left")]


class ViewerPong(_Frame, tag="pong"):
    """The answer to `ping`."""


class ViewerSubscribe(_Order, tag="subscribe"):
    """Be told of a symbol at one width; what was subscribed before stays."""

    symbol: Annotated[str, Meta(description="a code, or EXCHANGE:code")]
    interval: Annotated[str | None, Meta(description="width of the candle; default: 1m")] = None
    partials: Annotated[bool, Meta(description="with candles under way")] = False


class ViewerUnsubscribe(_Order, tag="unsubscribe"):
    """Be told of these no more."""

    symbol: Annotated[str | None, Meta(description="a code; default: all of them")] = None
    interval: Annotated[str | None, Meta(description="width; default: all of the symbol")] = None


FRAMES = (
    Bar, Metrics, EndOfInterval, Gap, Authenticated, Subscribed, Unsubscribed, Pong, Error,
    Shutdown,
)  # fmt: skip
EVENTS = (Bar, Metrics, EndOfInterval, Gap, Subscribed, Shutdown, Closed)
ORDERS = (Auth, Subscribe, Unsubscribe, Ping)
VIEWER_FRAMES = (
    Candle, ViewerSubscribed, ViewerUnsubscribed, ViewerPong, Gap, Error, Shutdown,
)  # fmt: skip
VIEWER_ORDERS = (ViewerSubscribe, ViewerUnsubscribe, Ping)
