"""How long things took: counts by size, from which any quantile follows to within a sixty-fourth.

Sizes fall into buckets a thirty-second to a sixty-fourth of themselves wide, so a spread takes ten
kilobytes whatever it has counted, and counting is one addition. Not for Prometheus (telemetry.py).
"""

import math

_BITS = 5
_HALF = 1 << _BITS
# Longer than 18 minutes counts as that.
_NS_MAX = (1 << 40) - 1
_SHIFT_MAX = 40 - _BITS - 1


class Spread:
    """Durations in nanoseconds."""

    __slots__ = ("_buckets", "count")

    def __init__(self) -> None:
        self.count = 0
        self._buckets = [0] * ((_SHIFT_MAX << _BITS) + 2 * _HALF)

    def add(self, ns: int) -> None:
        """Count one, ns >= 0."""
        ns = min(ns, _NS_MAX)
        shift = max(ns.bit_length() - _BITS - 1, 0)
        self._buckets[(shift << _BITS) + (ns >> shift)] += 1
        self.count += 1

    def quantile(self, part: float) -> float | None:
        """The size that `part` (0 to 1) of all do not pass, ns; None where nothing was counted.

        >>> spread = Spread()
        >>> for ns in range(1, 61):
        ...     spread.add(ns)
        >>> spread.quantile(0.5), spread.quantile(1.0)
        (30.0, 60.0)
        """
        wanted, found = max(math.ceil(part * self.count), 1), 0
        for at, count in enumerate(self._buckets):
            found += count
            if found >= wanted:
                return _middle(at)
        return None


def _middle(at: int) -> float:
    """The middle of a bucket, ns."""
    shift = max((at >> _BITS) - 1, 0)
    first = (at - (shift << _BITS)) << shift
    return first + ((1 << shift) - 1) / 2
