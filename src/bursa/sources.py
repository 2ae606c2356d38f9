"""Configured sources become feeds; with app.py the only file that names adapters of sources.

`TYPES` of config/sources.py says what tables there are; here each has its builder. `bursa up` runs
the feeds, `bursa capture` records one of them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bursa.config import Config
from bursa.config.sources import SoupBin, channels
from bursa.exchange.launch import Running
from bursa.feeds.tcp import SoupFeed
from bursa.model.venue import IDX, VENUES
from bursa.ports import Feed


def _soupbin(name: str, source: SoupBin) -> SoupFeed:
    venue = VENUES[source.venue]
    return SoupFeed(name, venue, channels(source, venue.name), source.user, source.password)


BUILDERS: Mapping[type, Callable[[str, Any], Feed]] = {SoupBin: _soupbin}
"""Table of a source -> what makes its feed of (name, table)."""


def feed(name: str, source: Any) -> Feed:
    """The feed of one configured source."""
    return BUILDERS[type(source)](name, source)


def feeds(config: Config) -> dict[str, list[Feed]]:
    """Venue -> its configured feeds."""
    out: dict[str, list[Feed]] = {}
    for name, source in config.feeds.items():
        out.setdefault(source.venue, []).append(feed(name, source))
    return out


def demo_feed(running: Running) -> SoupFeed:
    """The demo exchange's line."""
    endpoints = {0: ("127.0.0.1", running.port_trades), 1: ("127.0.0.1", running.port_market)}
    return SoupFeed("demo", IDX, endpoints, running.user, running.password)
