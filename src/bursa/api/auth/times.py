"""Times of accounts as texts: told in whole seconds, read with an offset."""

from datetime import UTC, datetime

from bursa.model.errors import Refuse

_S = 1_000_000_000
# What lies beyond is a mistake.
_YEAR_MAX = 2200


def instant(at_ns: int) -> str:
    """ns since 1970 as ISO, UTC with Z, in whole seconds."""
    return f"{datetime.fromtimestamp(at_ns // _S, UTC):%Y-%m-%dT%H:%M:%SZ}"


def maybe(at_ns: int | None) -> str | None:
    """The same of an instant that may be none."""
    return None if at_ns is None else instant(at_ns)


def expiry(given: str, name: str = "expires") -> int:
    """ns since 1970 of an ISO time with an offset. Refuse `bad_expiry`, of the parameter `name`."""
    try:
        found = datetime.fromisoformat(given)
        if found.tzinfo is not None and found.year < _YEAR_MAX:
            return int(found.timestamp()) * _S
    except (ValueError, OverflowError):
        pass
    text = f"{name}={given[:64]!r} is no time with an offset, as 2027-01-31T00:00:00Z"
    raise Refuse(text, "bad_expiry", 400, name)
