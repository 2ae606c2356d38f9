"""Numbers and instants as JSON text: the one door from float64 to what a client reads.

A float is written as the shortest text that gives the same float64 back, an integral one without a
point; sums were divided once from integers, so 18.42 stays 18.42. Does not round.
"""

import math
from datetime import UTC, datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from bursa.model.calendar import SECOND_NS, Calendar

_EXACT = 2.0**53


def number(value: float) -> str:
    """A float64 as JSON; null for NaN.

    >>> number(8900.0), number(18.42), number(float("nan"))
    ('8900', '18.42', 'null')
    """
    if value.is_integer() and -_EXACT <= value <= _EXACT:
        return str(int(value))
    return repr(value) if math.isfinite(value) else "null"


def numbers(values: NDArray[np.float64]) -> list[str]:
    """`number` of each; a column of integers, the common one, is written as such at once."""
    if (np.rint(values) == values).all() and (np.abs(values) <= _EXACT).all():
        return list(map(str, values.astype(np.int64).tolist()))
    return [number(value) for value in values.tolist()]


def packed(values: NDArray[np.float64]) -> list[bytes]:
    """The same numbers, null for NaN, as the encoder writes them: a tenth of the time where most
    have a fraction.

    >>> packed(np.array([8900.0, 18.42, float("nan")]))
    [b'8900', b'18.42', b'null']
    """
    if not len(values):
        return []
    whole = np.flatnonzero((np.rint(values) == values) & (np.abs(values) <= _EXACT))
    given: list[float]
    if len(whole) == len(values):
        given = values.astype(np.int64).tolist()
    else:
        given = values.tolist()
        for at in whole.tolist():
            given[at] = int(given[at])
    return msgspec.json.encode(given)[1:-1].split(b",")


def json_value(value: float) -> float | int | None:
    """As `number`, for an encoder."""
    if value.is_integer() and -_EXACT <= value <= _EXACT:
        return int(value)
    return value if math.isfinite(value) else None


def utc(ts_ns: NDArray[np.int64]) -> list[str]:
    """Whole seconds as ISO text with Z.

    >>> utc(np.array([0], np.int64))
    ['1970-01-01T00:00:00Z']
    """
    seconds = (ts_ns // SECOND_NS).astype("datetime64[s]")
    return [f"{text}Z" for text in np.datetime_as_string(seconds).tolist()]


def local(ts_ns: NDArray[np.int64], calendar: Calendar) -> list[str]:
    """Whole seconds as ISO text by the venue's clock, with its offset."""
    offsets = calendar.offsets_ns(ts_ns) // SECOND_NS
    seconds = (ts_ns // SECOND_NS + offsets).astype("datetime64[s]")
    texts = np.datetime_as_string(seconds).tolist()
    suffixes = {offset: _offset(offset) for offset in np.unique(offsets).tolist()}
    return [text + suffixes[at] for text, at in zip(texts, offsets.tolist(), strict=True)]


def instant(ts_ns: int) -> str:
    """One instant as ISO text with Z, to the nanosecond where it has a fraction.

    >>> instant(1_500_000_000)
    '1970-01-01T00:00:01.5Z'
    """
    seconds, fraction = divmod(ts_ns, SECOND_NS)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{fraction:09d}".rstrip("0") if fraction else "") + "Z"


def venue_instant(ts_ns: int, calendar: Calendar) -> str:
    """One instant, whole seconds, as ISO text by the venue's clock with its offset."""
    return local(np.array([ts_ns], np.int64), calendar)[0]


def _offset(seconds: int) -> str:
    sign, size = ("-" if seconds < 0 else "+"), abs(seconds) // 60
    return f"{sign}{size // 60:02d}:{size % 60:02d}"
