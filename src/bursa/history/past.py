"""Up to when bars were closed at a moment of the past, as far as what was known by then tells.

The watermark itself is not stored. What moved it is: bars of every ticker, each with the time at
which it was known, and the channel's status rows. Does not read the bars that are asked for
(candles.py) and knows nothing of the present.
"""

import numpy as np

from bursa.history import rows
from bursa.model.calendar import DAY_NS, MINUTE_NS, SECOND_NS
from bursa.model.schema import STATES
from bursa.model.venue import Venue
from bursa.ports import Store

_DAY_OVER = STATES.index("E")
# What ends a session; in the pause behind it only heartbeats come, which nobody keeps.
_CLOSING = [STATES.index(state) for state in "BXE"]
# How far after a bar's end the bars of others, and the feed's states, are looked for: longer than
# any venue is shut.
_BARS_NS, _STATUS_NS = 10 * MINUTE_NS, 32 * DAY_NS


def was_closed(store: Store, venue: Venue, end_ns: int, as_of_ns: int) -> bool:
    """Was a bar that ends at `end_ns` closed, by what was known at `as_of_ns`? True where a bar of
    anyone that ends then or later was known, where the feed had said that the session or the day
    is over, or had spoken once the venue's grace was past. Blocks; raises what the store raises."""
    return _told(store, venue, end_ns, as_of_ns) or _others(store, venue, end_ns, as_of_ns)


def _told(store: Store, venue: Venue, end_ns: int, as_of_ns: int) -> bool:
    calendar = venue.calendar
    day = calendar.day_of(end_ns - 1)
    midnight = calendar.midnight_ns(day)
    found = store.status(venue.name, midnight, end_ns + _STATUS_NS)
    known = rows.of(found, found.block[:, found.column("ts_recv") <= as_of_ns])
    ts, states = known.column("ts"), known.block[known.kind.index["state"]]
    grace_ns = venue.grace_s * SECOND_NS
    if np.any(ts >= end_ns + grace_ns):
        return True
    long_ago = known.column("ts_recv") + grace_ns <= as_of_ns
    if np.any((ts >= end_ns) & long_ago & np.isin(states, _CLOSING)):
        return True
    if not calendar.is_trading_day(day) or end_ns > calendar.day_end_ns(day):
        return False
    return bool(np.any((states == _DAY_OVER) & (ts < midnight + DAY_NS)))


def _others(store: Store, venue: Venue, end_ns: int, as_of_ns: int) -> bool:
    start = max(end_ns - MINUTE_NS, 0)
    found = store.revisions(venue.name, "ohlcv", start, end_ns + _BARS_NS)
    return bool(np.any(found.column("known_at") <= as_of_ns))
