"""Stretches of time that hold so many stored rows at most: how jobs read a range in bounded memory.

What is to come is counted by the minute first: a market is quiet for hours and then has a tenth of
its day in a few minutes, so what one stretch held says nothing of the next. Writes nothing.
"""

from collections.abc import Collection, Iterator

from bursa.model.calendar import DAY_NS
from bursa.ports import Store

# What is counted at once: minutes are some MB at most.
COUNTED_NS = 32 * DAY_NS


def stretches(
    store: Store,
    venue: str,
    kind: str,
    within: tuple[int, int],
    most: int,
    tickers: Collection[str] | None = None,
) -> Iterator[tuple[int, int]]:
    """(start, end) ns UTC, one after another over all of `within`, cut at minutes: `most` rows of a
    kind lie in each at most, of these tickers or (None) of all, unless one minute has more. Raises
    Retry where the store is away."""
    at_ns, end_ns = within
    while at_ns < end_ns:
        until_ns, held = min(at_ns + COUNTED_NS, end_ns), 0
        for opened, rows in store.minutes(venue, kind, at_ns, until_ns, tickers=tickers):
            if held and held + rows > most:
                yield at_ns, opened
                at_ns, held = opened, 0
            held += rows
        yield at_ns, until_ns
        at_ns = until_ns
