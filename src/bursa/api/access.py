"""What routes ask of whoever came in: who it is, and what he may have.

The guard has found the principal and left it in the scope; here are his rights, as refusals that
name the tier which has what he lacks. What he sees of HD is decided by accounts/hd.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bursa.accounts.hd import View, view_of
from bursa.accounts.who import Principal, Rights
from bursa.api import params
from bursa.api.services import Services, VenueService
from bursa.model.calendar import DAY_NS
from bursa.model.errors import Refuse
from bursa.model.timeframe import RESOLUTIONS, TIMEFRAMES


def who(scope: Mapping[str, Any]) -> Principal:
    """Who asks. Behind a public door it may be nobody (who.NOBODY)."""
    found: Principal = scope["state"]["who"]
    return found


def count_rows(scope: Mapping[str, Any], rows: int) -> None:
    """Say how many rows an answer has, for the usage of whoever asked."""
    scope["state"]["rows"] = rows


def address(scope: Mapping[str, Any]) -> str:
    """Where a request comes from: the client's address, as trusted proxies tell it."""
    found: str = scope["state"]["address"]
    return found


@dataclass(frozen=True, slots=True)
class Grant:
    """What one reader gets of one venue.

    view      how HD is shown to him
    limit     rows of one answer at most
    floor_ns  beginning of what he may have of the past, ns UTC; 0: all of it
    """

    view: View
    limit: int
    floor_ns: int


class Access:
    """Rights by the tier matrix of some services. Every refusal is a 403 that says which tier has
    what is asked for."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def grant(
        self, asks: Principal, service: VenueService, tf: str, limit: int = params.LIMIT_DEFAULT
    ) -> Grant:
        """What a reader gets of bars or rows of `tf`. Refuse `tier_timeframe`, `tier_rows`."""
        self.timeframe(asks, tf)
        return Grant(view_of(asks), self.rows(asks, limit), floor_ns(asks, service))

    def timeframe(self, asks: Principal, tf: str, parameter: str = "tf") -> None:
        """Refuse `tier_timeframe`."""
        allowed = asks.rights.timeframes
        if allowed is None or tf in allowed:
            return
        known = ", ".join(name for name in TIMEFRAMES if name in allowed) or "no timeframe"
        has = self._having(lambda rights: rights.timeframes is None or tf in rights.timeframes)
        message = f"{parameter}={tf}: {_tier(asks)} have {known}; {has}"
        raise Refuse(message, "tier_timeframe", 403, parameter)

    def raw(self, asks: Principal, what: str) -> None:
        """For trades, books and whole files, which hold more than bars of some timeframe. Refuse
        `tier_timeframe`."""
        if asks.rights.timeframes is not None:
            has = self._having(lambda rights: rights.timeframes is None)
            message = f"{what} takes all timeframes, which {_tier(asks)} have not; {has}"
            raise Refuse(message, "tier_timeframe", 403)

    def rows(self, asks: Principal, limit: int, default: int = params.LIMIT_DEFAULT) -> int:
        """The rows that he gets of `limit`: a limit that is the default is as many as he may have.
        Refuse `tier_rows`."""
        most = asks.rights.rows
        if limit <= most:
            return limit
        if limit == default:
            return most
        has = self._having(lambda rights: rights.rows >= limit)
        message = f"limit={limit}: {_tier(asks)} have {most:,} rows an answer; {has}"
        raise Refuse(message, "tier_rows", 403, "limit")

    def history(
        self, asks: Principal, service: VenueService, start_ns: int | None, end_ns: int | None
    ) -> int:
        """The floor of a range whose bounds were given, or not (None). Refuse `tier_history` where
        one leads below it: nothing that was asked for by name is left out."""
        floor = floor_ns(asks, service)
        if floor and start_ns is not None and start_ns < floor:
            raise self.too_early(asks, service, start_ns, "from")
        if floor and end_ns is not None and end_ns <= floor:
            raise self.too_early(asks, service, end_ns - 1, "to")
        return floor

    def too_early(
        self, asks: Principal, service: VenueService, at_ns: int, parameter: str
    ) -> Refuse:
        """The refusal `tier_history` of an instant below a reader's floor."""
        begins = service.venue.calendar.text(floor_ns(asks, service))
        back = -(-(service.now_ns() - at_ns) // DAY_NS)
        has = self._having(lambda rights: rights.history_days is None or rights.history_days > back)
        message = (
            f"{parameter} leads before {begins}: {_tier(asks)} have "
            f"{asks.rights.history_days} days of history; {has}"
        )
        return Refuse(message, "tier_history", 403, parameter)

    def streaming(self, asks: Principal, symbols: int, parameter: str = "tickers") -> None:
        """May he stream so many instruments at once? Refuse `tier_streaming`, `tier_symbols`."""
        most = asks.rights.stream_symbols
        if most is None or (symbols <= most and most > 0):
            return
        has = self._having(
            lambda rights: rights.stream_symbols is None or rights.stream_symbols >= max(symbols, 1)
        )
        if most == 0:
            message = f"{_tier(asks)} have no streams; {has}"
            raise Refuse(message, "tier_streaming", 403, parameter)
        message = f"{_tier(asks)} may stream {most:,} instruments at once, not {symbols:,}; {has}"
        raise Refuse(message, "tier_symbols", 403, parameter)

    def hd(self, asks: Principal, service: VenueService, metrics: tuple[str, ...]) -> None:
        """Refuse `tier_hd` where metrics are asked for that tell of HD and that his view of it does
        not cover."""
        lacking = service.hd.raw_only(metrics) if view_of(asks)[0] != "raw" else ()
        if lacking:
            has = self._having(lambda rights: rights.hd == "raw")
            message = (
                f"metric={lacking[0]} tells of hd, which {_tier(asks)} do not see as it is; {has}"
            )
            raise Refuse(message, "tier_hd", 403, "metric")

    def _having(self, has: Callable[[Rights], bool]) -> str:
        """Which tier has it: the lowest one."""
        for name, rights in self._services.tiers.items():
            if has(rights):
                return f"tier {name} has it"
        return "no tier has it now"


def floor_ns(asks: Principal, service: VenueService) -> int:
    """Beginning of what a reader may have of a venue's past, ns UTC: that of one of its days. 0
    where he may have all of it."""
    days = asks.rights.history_days
    return 0 if days is None else service.days_ago_ns(days)


def resolutions(asks: Principal) -> tuple[str, ...]:
    """TradingView's names of the timeframes that a reader has, in the order they are shown."""
    allowed = asks.rights.timeframes
    return tuple(name for name, tf in RESOLUTIONS.items() if allowed is None or tf in allowed)


def _tier(asks: Principal) -> str:
    return f"you (tier {asks.rights.tier})"
