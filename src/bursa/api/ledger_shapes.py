"""The ledger's answers as types (shapes.py): one ticker's continuity, and the map of all.

Times are ISO texts.
"""

from typing import Annotated

from msgspec import Meta, Struct

from bursa.api.shapes import UTC, About, Ok, Ticker


class _Row(Struct, forbid_unknown_fields=True):
    """A row or an answer: no field beside those named."""


Bound = Annotated[str, Meta(description="ISO, UTC with Z", extra=UTC)]


class Range(_Row, rename={"start": "from", "end": "to"}):
    """Expected bars next to one another that share a state, [from, to)."""

    start: Bound
    end: Bound
    state: Annotated[
        str, Meta(description="received, backfilled, confirmed_empty or missing: the worst of each")
    ]
    minutes: Annotated[int, Meta(description="minutes expected in it")]
    bars: Annotated[int, Meta(description="bars expected in it")]


class GapRow(_Row, rename={"start": "from", "end": "to"}):
    """Messages that a channel lost, in event time."""

    channel: Annotated[str, Meta(description="channel of the feed that lost them")]
    start: Bound
    end: Bound
    seq_from: Annotated[int, Meta(description="first missing sequence number")]
    seq_to: Annotated[int, Meta(description="last missing sequence number")]
    cause: Annotated[
        str | None, Meta(description="jump, down, refused or unanswered; null while unknown")
    ]


class Totals(_Row):
    """Expected bars by state: minutes, unless another timeframe was asked for."""

    expected: Annotated[int, Meta(description="bars in which the venue trades")]
    received: Annotated[int, Meta(description="that came live, whole")]
    backfilled: Annotated[int, Meta(description="that came afterwards, whole or in part")]
    confirmed_empty: Annotated[int, Meta(description="surely without a trade")]
    missing: Annotated[int, Meta(description="of which, or of a part of which, nobody can know")]


class ContinuityRow(_Row, rename={"start": "from", "end": "to"}):
    """The ledger of one ticker. `known_to`: up to where bars are closed and judged."""

    ticker: Ticker
    tf: Annotated[str, Meta(description="timeframe of the bars that are judged")]
    start: Bound
    end: Bound
    known_to: Bound
    kept_from: Annotated[
        str | None,
        Meta(description="first day of which the venue's bars are kept: nothing before is judged"),
    ]
    totals: Annotated[Totals, Meta(description="bars by state, over the whole range")]
    ranges: Annotated[list[Range], Meta(description="bars by state, ascending")]
    gaps: Annotated[list[GapRow], Meta(description="what channels lost, ascending")]


class Continuity(_Row):
    """The ledger of one ticker."""

    ok: Ok
    data: Annotated[ContinuityRow, Meta(description="what was asked for")]
    meta: About


PerDay = Annotated[list[int], Meta(description="minutes of each of the days, in their order")]


class MapDay(_Row):
    """A trading day of the map: minutes of all of its tickers."""

    date: Annotated[str, Meta(description="day of the venue's clock")]
    minutes: Annotated[int, Meta(description="minutes in which the venue trades, so far closed")]
    totals: Annotated[Totals, Meta(description="minutes of all tickers by state")]


class MapRow(_Row):
    """A ticker of the map."""

    ticker: Ticker
    totals: Annotated[Totals, Meta(description="minutes of all days by state")]
    received: PerDay
    backfilled: PerDay
    confirmed_empty: PerDay
    missing: PerDay


class Map(_Row, rename={"start": "from", "end": "to"}):
    """How whole a venue's days are, by ticker."""

    venue: Annotated[str, Meta(description="the venue's name")]
    start: Bound
    end: Bound
    known_to: Bound
    kept_from: Annotated[
        str | None,
        Meta(description="first day of which the venue's bars are kept: nothing before is judged"),
    ]
    days: Annotated[list[MapDay], Meta(description="the trading days, ascending")]
    count: Annotated[int, Meta(description="tickers on all pages")]
    tickers: Annotated[list[MapRow], Meta(description="the rows")]


class ContinuityMap(_Row):
    """How whole a venue's days are."""

    ok: Ok
    data: Annotated[Map, Meta(description="what was asked for")]
    meta: About
