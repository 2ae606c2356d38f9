"""Was a range meant by the venue's clock? Asked where one in UTC turned out to be empty."""

from collections.abc import Collection

from bursa.model.calendar import DAY_NS
from bursa.model.schema import OHLCV, TICKS
from bursa.model.venue import Venue
from bursa.ports import Store
from bursa.store.reading import Reading


def by_venues_clock(
    store: Store | Reading,
    venue: Venue,
    start_ns: int,
    end_ns: int,
    tickers: Collection[str] | None = None,
) -> bool:
    """Whether bars or trades are stored in the first day of a range whose clock times, here taken
    as UTC, are taken as the venue's. Raises Retry where the store is away."""
    offset = venue.calendar.offset_ns(start_ns)
    low, high = start_ns - offset, min(end_ns, start_ns + DAY_NS) - offset
    return offset != 0 and any(
        len(store.rows(venue.name, kind.name, low, high, tickers=tickers))
        for kind in (OHLCV, TICKS)
    )
