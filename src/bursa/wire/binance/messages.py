"""What Binance spot sends, as typed messages: JSON text in, one message or a Reject out.

Both forms are known: the combined stream's `{"stream": ..., "data": ...}`, where the stream names
the kind, and the raw one, where the message's own fields do. Of the messages

    trade         price, volume, trade id, time, and whether the buyer was the maker
    bookTicker    best bid and ask with an update id; it bears no time
    depthUpdate   changed levels with their range of update ids
    snapshot      the REST answer to /depth: the whole book at an update id; it bears no symbol
                  unless it comes as `{"stream": "btcusdt@...", "data": ...}`

are taken. Answers to a subscription and the notice of a restart are service messages. Everything
else is refused as `unknown_event`. Knows no state (decoder.py).
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from bursa.model.errors import Reject

_NUMBER_MAX = 1e15  # prices and volumes past this are refused; a float64 still tells cents apart
_TIME_MS_MAX = 4_102_444_800_000  # the year 2100
_TIME_MS_MIN = 1_483_228_800_000  # the year 2017, in which the venue opened

_plain_decimals = re.compile(r"[0-9.]+").fullmatch

Number = Annotated[int, Meta(ge=0, le=2**62)]
TextLevels = list[tuple[str, str]]


class Trade(Struct, tag_field="e", tag="trade"):
    """One trade. p price, q volume, t trade id, T trade time, m the buyer was the maker."""

    s: str
    t: Number
    p: str
    q: str
    T: Number
    m: bool


class BookTicker(Struct):
    """Best bid (b, B volume) and ask (a, A volume) at update id u."""

    u: Number
    s: str
    b: str
    B: str
    a: str
    A: str


class DepthUpdate(Struct, tag_field="e", tag="depthUpdate"):
    """Levels changed by the updates U to u, as (price, volume); volume 0: the level is gone."""

    E: Number
    s: str
    U: Number
    u: Number
    b: TextLevels
    a: TextLevels


class Snapshot(Struct):
    """The whole book at an update id. `symbol` is "" where the message names none."""

    lastUpdateId: Number
    bids: TextLevels
    asks: TextLevels
    symbol: str = ""


class Service(Struct):
    """Nothing of the market: an answer to a request, the notice of a restart. `word` counts it."""

    word: str


Message = Trade | BookTicker | DepthUpdate | Snapshot | Service

_NOTHING = Raw()


class _Envelope(Struct):
    """The fields by which a message's kind is told."""

    stream: str = ""
    data: Raw = _NOTHING
    e: str = ""
    u: Raw = _NOTHING
    lastUpdateId: Raw = _NOTHING
    result: Raw = _NOTHING
    error: Raw = _NOTHING


_envelope = msgspec.json.Decoder(_Envelope)
_KINDS: dict[str, msgspec.json.Decoder[Message]] = {
    "trade": msgspec.json.Decoder(Trade),
    "bookTicker": msgspec.json.Decoder(BookTicker),
    "depthUpdate": msgspec.json.Decoder(DepthUpdate),
    "snapshot": msgspec.json.Decoder(Snapshot),
}
# What follows the symbol in a stream's name; others are told by their content.
_STREAMS = {
    "trade": "trade",
    "bookTicker": "bookTicker",
    "depth": "depthUpdate",
    "depth@100ms": "depthUpdate",
}


def parse(line: bytes) -> Message:
    """The message of one line. Reject `bad_json`, `bad_type` or `unknown_event`."""
    try:
        head = _envelope.decode(line)
        if not head.stream:
            return _by_content(head, line)
        symbol, _, name = head.stream.partition("@")
        kind = _STREAMS.get(name)
        if kind:
            return _KINDS[kind].decode(head.data)
        message = _by_content(_envelope.decode(head.data), head.data)
    except msgspec.ValidationError as error:
        raise Reject("bad_type", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Reject("bad_json", str(error)) from None
    if isinstance(message, Snapshot):
        message.symbol = symbol.upper()
    return message


def _by_content(head: _Envelope, body: bytes | Raw) -> Message:
    if head.e in ("trade", "depthUpdate"):
        return _KINDS[head.e].decode(body)
    if head.e == "serverShutdown":
        return Service("server_shutdown")
    if head.e:
        raise Reject("unknown_event", head.e)
    if head.lastUpdateId:
        return _KINDS["snapshot"].decode(body)
    if head.u:
        return _KINDS["bookTicker"].decode(body)
    if head.error:
        return Service("service_errors")
    if head.result:
        return Service("service_answers")
    raise Reject("unknown_event")


def numbers(texts: Sequence[str]) -> list[float]:
    """The float64 nearest to each decimal. Reject `bad_number` for whatever is no plain decimal
    from 0 to 1e15: signs, exponents, NaN."""
    if not texts:
        return []
    try:
        values = list(map(float, texts))
    except ValueError as error:
        raise Reject("bad_number", str(error)) from None
    if not _plain_decimals("".join(texts)) or max(values) > _NUMBER_MAX:
        raise Reject("bad_number")
    return values


def levels(texts: TextLevels) -> list[tuple[float, float]]:
    """(price, volume) of each level. Reject `bad_number`, also for a price of 0."""
    values = numbers(list(chain.from_iterable(texts)))
    if not all(values[0::2]):
        raise Reject("bad_number", "a level without a price")
    return list(zip(values[0::2], values[1::2], strict=True))


def time_ns(time: int) -> int:
    """Nanoseconds of a time in milliseconds, or in microseconds where the stream was asked for
    them. Reject `bad_number` outside the venue's life."""
    if _TIME_MS_MIN <= time < _TIME_MS_MAX:
        return time * 1_000_000
    if _TIME_MS_MIN * 1_000 <= time < _TIME_MS_MAX * 1_000:
        return time * 1_000
    raise Reject("bad_number", f"time {time}")


def decimals(texts: Iterable[str]) -> int:
    """The decimals that any of these plain decimals really uses: "0.05000000" has two."""
    return max((len(t.rstrip("0").partition(".")[2]) for t in texts), default=0)
