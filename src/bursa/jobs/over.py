"""Which days of a venue are over, so that they may go cold.

A day is over once the venue's time has passed the drain time of that day (16:30 on idx). The
venue's time is the newest event; where the feed has been silent for long, or there is none, our
clock counts too: the last message of a day comes before its drain time, and a recording ends with
it. A day that was taken for over too early is merely drained again.
"""

from datetime import date

from bursa.model.calendar import SECOND_NS
from bursa.pipeline.runtime import VenueRuntime

# A break at noon is longer; then its day is taken for over by our clock alone, if at all.
QUIET_NS = 600 * SECOND_NS


def venue_now_ns(runtime: VenueRuntime) -> int:
    """The venue's time, ns UTC; 0 before the first event."""
    newest, now = runtime.newest_ns, runtime.clock.now_ns()
    if not newest or (runtime.has_feed and now - runtime.heard_ns < QUIET_NS):
        return newest
    return max(newest, now)


def over_ns(runtime: VenueRuntime, day: date) -> int:
    """The drain time of a day, ns UTC."""
    return runtime.venue.calendar.midnight_ns(day) + runtime.knobs.drain_s * SECOND_NS


def is_over(runtime: VenueRuntime, day: date) -> bool:
    """Has the drain time of a day passed?"""
    return over_ns(runtime, day) <= venue_now_ns(runtime)


def last_over(runtime: VenueRuntime) -> date | None:
    """The newest trading day that is over; None before the first event."""
    now, calendar = venue_now_ns(runtime), runtime.venue.calendar
    if not now:
        return None
    day = calendar.day_of(now)
    while not calendar.is_trading_day(day) or over_ns(runtime, day) > now:
        day = calendar.previous_day(day)
    return day
