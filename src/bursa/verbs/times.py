"""Bounds of a range as people write them: a date or a time, in a zone where they name none."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from rich.console import Console

from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.store.rings import FOREVER_NS

UTC_ZONE, VENUE_ZONE = "UTC", "venue"


def half_open(begin: str, end: str, zone: str, venue: Venue) -> tuple[int, int]:
    """`--from` and `--to` as ns UTC, the second one left out; `zone` as `--tz`. Refuse where they
    are none, or hold nothing between them."""
    where = zone_of(zone, venue)
    start, until = instant(begin, "--from", where), instant(end, "--to", where)
    if start >= until:
        what = f"--from {begin} is not before --to {end}: --to itself is left out"
        raise Refuse(what, parameter="from")
    return start, until


def zone_of(text: str, venue: Venue) -> tzinfo:
    """The zone of `--tz`."""
    if text == UTC_ZONE:
        return UTC
    try:
        return ZoneInfo(venue.calendar.timezone if text == VENUE_ZONE else text)
    except (ValueError, OSError, KeyError):
        what = f"--tz: {text}; allowed: {UTC_ZONE}, {VENUE_ZONE}, or a zone such as Asia/Jakarta"
        raise Refuse(what, parameter="tz") from None


def instant(text: str, parameter: str, zone: tzinfo) -> int:
    """ns UTC of a date or a time; of its own zone where it names one."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
            if moment.utcoffset() != moment.replace(fold=1).utcoffset():
                what = f"{parameter}: {text}: clocks change then, it comes twice or not at all;"
                what += " allowed: a time with its offset, such as 2025-11-02T01:30-04:00"
                raise Refuse(what, parameter=parameter.strip("-"))
        elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
        ts_ns = elapsed // timedelta(microseconds=1) * 1000
        if not 0 <= ts_ns < FOREVER_NS:
            raise ValueError
    except (ValueError, OverflowError):
        what = f"{parameter}: {text}; allowed: a date or a time such as 2025-11-21T09:30, from 1970"
        what += f" to {datetime.fromtimestamp(FOREVER_NS // 10**9, UTC).year}"
        raise Refuse(what, parameter=parameter.strip("-")) from None
    return ts_ns


def tell_other_clock(venue: Venue, zone: str, there: bool, warn: Console) -> None:
    """Say, of a range in UTC that was empty, that it is not where the same clock times are the
    venue's (`there`)."""
    if there and zone == UTC_ZONE:
        clock = venue.calendar.timezone
        what = f"nothing lies there in UTC, but by the clock of {venue.name} ({clock}) it does:"
        warn.print(f"{what} --tz venue", markup=False)
