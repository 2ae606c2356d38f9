"""Bars as UDF shows them: columns, unique and ascending by the time they are shown at.

That is seconds UTC of the opening; the minutes before a day's first session count in its first bar;
days, weeks and months stand at 00:00 UTC of their first trading day. The open bar is the last one.
"""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from bursa.api.envelope import encode
from bursa.api.services import SECOND_NS, VenueService
from bursa.bars.rollup import summed
from bursa.history.candles import Ask
from bursa.model.batch import Batch
from bursa.model.calendar import DAY_NS, MINUTE_NS
from bursa.model.timeframe import TIMEFRAMES, buckets

# Read beyond what is asked for, since some bars become one (an opening auction's) or are shown
# after `to` although they open before: so many, and one more in so many.
SPARE, SPARE_IN = 20, 50
_EXACT = 2.0**53
_SHOWN = ("open", "high", "low", "close", "volume")
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Columns:
    """Bars ascending and unique by `t` (seconds)."""

    t: Times
    o: NDArray[np.float64]
    h: NDArray[np.float64]
    l: NDArray[np.float64]  # noqa: E741 -- the protocol's name
    c: NDArray[np.float64]
    v: NDArray[np.float64]

    def part(self, rows: slice) -> "Columns":
        """Some rows."""
        return Columns(*(getattr(self, name)[rows] for name in "tohlcv"))

    def body(self) -> bytes:
        """The answer to /udf/history."""
        found = {"s": "ok", "t": self.t.tolist()}
        found.update((name, _numbers(getattr(self, name))) for name in "ohlcv")
        return encode(found)


def _numbers(values: NDArray[np.float64]) -> list[float] | list[int]:
    """For the encoder, which writes a float's shortest text: integral ones without a point."""
    if (np.rint(values) == values).all() and (np.abs(values) <= _EXACT).all():
        whole: list[int] = values.astype(np.int64).tolist()
        return whole
    out: list[float] = values.tolist()
    return out


async def between(service: VenueService, ask: Ask, start_s: int, end_s: int) -> Columns:
    """The newest bars shown in [start, end), the open one included; `ask` says of what, how many at
    most, and before which opening none (`start_ns`)."""
    # A bar is shown within a day of its opening: at its session's, or at 00:00 UTC of its day.
    start_ns = max(start_s * SECOND_NS - DAY_NS, ask.start_ns)
    end_ns = end_s * SECOND_NS + (DAY_NS if TIMEFRAMES[ask.tf] >= DAY_NS else 0)
    limit = ask.limit + SPARE + ask.limit // SPARE_IN
    wider = replace(ask, limit=limit, start_ns=start_ns, end_ns=end_ns, open=True)
    candles = await service.reader.candles(replace(wider, hd=False, columns=_SHOWN))
    columns = shown(service, ask.tf, candles.bars)
    first, last = np.searchsorted(columns.t, (start_s, end_s))
    return columns.part(slice(max(int(first), int(last) - ask.limit), int(last)))


async def first_after(service: VenueService, ask: Ask, end_s: int) -> int | None:
    """When the first bar that is shown after `end_s` is; None where there is none yet."""
    start_ns = (end_s + 1) * SECOND_NS
    if TIMEFRAMES[ask.tf] >= DAY_NS:
        following = date.fromordinal(_EPOCH_ORDINAL + end_s * SECOND_NS // DAY_NS + 1)
        start_ns = service.venue.calendar.midnight_ns(following)
    first = replace(ask, limit=1, start_ns=start_ns, newest=False, open=True, hd=False)
    columns = shown(service, ask.tf, (await service.reader.candles(first)).bars)
    return int(columns.t[0]) if len(columns.t) else None


def shown(service: VenueService, tf: str, bars: Batch) -> Columns:
    """Bars at the times UDF shows them; those that share one become one bar."""
    t = shown_at(service, tf, bars.column("ts"))
    if not len(t):
        none = np.empty(0)
        return Columns(t, none, none, none, none, none)
    open_, high, low, close, volume = (bars.column(name) for name in _SHOWN)
    begins = np.append(True, t[1:] != t[:-1])
    if begins.all():
        return Columns(t, open_, high, low, close, volume)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(t)) - 1
    return Columns(
        t[first],
        open_[first],
        np.maximum.reduceat(high, first),
        np.minimum.reduceat(low, first),
        close[last],
        summed(volume, first, 10.0**service.venue.volume_decimals),
    )


def shown_at(service: VenueService, tf: str, opens: Times) -> Times:
    """When bars of `tf` that open at `opens` (ns, ascending) are shown, seconds."""
    if TIMEFRAMES[tf] >= DAY_NS:
        local = (opens + service.venue.calendar.offsets_ns(opens)) // DAY_NS
        return local * (DAY_NS // SECOND_NS)
    return (_in_session(service, opens) if tf == "1m" else opens) // SECOND_NS


def bar_of(service: VenueService, tf: str, instants: Times) -> Times:
    """When the bar that an instant (ns, ascending) falls in is shown, seconds, whether or not
    there is one."""
    minutes = instants // MINUTE_NS * MINUTE_NS
    return shown_at(service, tf, buckets(minutes, tf, service.venue.calendar))


def _in_session(service: VenueService, ts: Times) -> Times:
    """Minutes of an opening auction put at their day's opening."""
    if not len(ts):
        return ts
    calendar = service.venue.calendar
    local_day = (ts + calendar.offsets_ns(ts)) // DAY_NS
    starts = np.flatnonzero(np.append(True, local_day[1:] != local_day[:-1]))
    ends = np.append(starts[1:], len(ts))
    out = ts.copy()
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        opens = calendar.grid_opens(calendar.day_of(int(ts[start])))
        if opens and out[start] < opens[0]:
            out[start:end] = np.maximum(ts[start:end], opens[0])
    return out
