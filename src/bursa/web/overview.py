"""What the overview shows, as the JSON that its script reads: made at most once a second for each
venue, and shared by all who look.

Times are in ms since 1970 UTC, ranges half-open. Knows no routes (pages.py) and no stores: the
figures come through facts.PageSource.
"""

import time
from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec

from bursa.model.calendar import MINUTE_NS, Calendar
from bursa.model.venue import Venue
from bursa.web.facts import Headline, Market, PageSource, Tape, freshness, session_at

FRESH_S = 1.0
_MS = 1_000_000


class Overviews:
    """The bodies of all venues."""

    def __init__(self, source: PageSource, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._source, self._monotonic = source, monotonic
        self._made: dict[str, tuple[float, bytes]] = {}

    def body(self, venue: Venue) -> bytes:
        """The venue's JSON; the same bytes for a second."""
        now = self._monotonic()
        made = self._made.get(venue.name)
        if made is None or now - made[0] >= FRESH_S:
            made = self._made[venue.name] = (now, msgspec.json.encode(self._fields(venue)))
        return made[1]

    def _fields(self, venue: Venue) -> dict[str, Any]:
        source = self._source
        tape = source.tape(venue.name)
        fields = market_fields(venue, source.market(venue.name), tape.now_ns)
        fields["instruments"] = source.instruments(venue.name)
        fields["venues"] = [self._other(v) for v in source.venues() if v.name != venue.name]
        return fields

    def _other(self, venue: Venue) -> dict[str, Any]:
        """One line about another venue."""
        source = self._source
        tape, market = source.tape(venue.name), source.market(venue.name)
        head = market.headline
        return {
            "venue": venue.name,
            "title": venue.title,
            "fresh": freshness(tape, venue.stale_after_s),
            "age_ms": tape.age_ms,
            "session": getattr(session_at(tape), "name", "closed"),
            "opens": _next_open(venue.calendar, tape) // _MS,
            "offset_s": _offset_s(venue.calendar, tape.now_ns),
            "zone": venue.calendar.zone_word,
            "headline": head
            and {
                "code": head.code,
                "decimals": head.decimals,
                "value": head.value,
                "prev": head.prev,
            },
        }


def market_fields(venue: Venue, market: Market, now_ns: int) -> dict[str, Any]:
    """A day's figures for the script; `now_ns` is the venue's clock."""
    calendar = venue.calendar
    sessions = [s for s in calendar.sessions(market.day) if s.trading]
    return {
        "venue": venue.name,
        "day": market.day.isoformat(),
        "offset_s": _offset_s(calendar, now_ns),
        "as_of": market.as_of_ns // _MS or None,
        "next_open": next_open_ns(calendar, now_ns) // _MS,
        "trading": [[s.open_ns // _MS, s.close_ns // _MS] for s in sessions],
        "headline": market.headline and _headline(market.headline),
        "indices": [
            {"code": i.code, "at": i.ts_ns // _MS, "value": i.value, "prev": i.prev}
            for i in market.indices
        ],
        "breadth": {
            "up": market.up,
            "down": market.down,
            "unchanged": market.unchanged,
            "untraded": market.untraded,
            "at_high": market.at_high,
            "at_low": market.at_low,
        },
        "totals": {
            "volume": market.volume,
            "value": market.value,
            "trades": market.trades,
            "usual": market.usual,
        },
        "rows": {
            row.ticker: {
                "name": row.name,
                "decimals": row.decimals,
                "last": row.last,
                "prev": row.prev,
                "change": row.change,
                "volume": row.volume,
                "value": row.value,
                "trades": row.trades,
                "spark": row.spark,
            }
            for row in market.rows
        },
        "lists": market.lists,
        "spark_lost": market.spark_lost,
    }


def next_open_ns(calendar: Calendar, now_ns: int) -> int:
    """When trading begins next: a session's opening after `now_ns`."""
    day: date = calendar.day_of(now_ns)
    while True:
        for session in calendar.sessions(day):
            if session.trading and session.open_ns > now_ns:
                return session.open_ns
        day = calendar.next_day(day)


def _next_open(calendar: Calendar, tape: Tape) -> int:
    return next_open_ns(calendar, tape.now_ns)


def _headline(head: Headline) -> dict[str, Any]:
    start = head.minutes_ns[0] if len(head.minutes_ns) else 0
    return {
        "code": head.code,
        "name": head.name,
        "decimals": head.decimals,
        "at": head.ts_ns // _MS,
        "value": head.value,
        "prev": head.prev,
        "chart": head.chart,
        "from": start // _MS,
        "minutes": [(minute - start) // MINUTE_NS for minute in head.minutes_ns],
        "values": head.values,
        "lost": [[a // _MS, -(-b // _MS)] for a, b in head.lost],
    }


def _offset_s(calendar: Calendar, ts_ns: int) -> int:
    return calendar.offset_ns(ts_ns) // 1_000_000_000
