"""How HD is shown to whom: as it is, times a factor of the reader's own, or as zeros.

The one place that knows. Every surface passes what tells of HD through here on its way out, and
whatever keeps answers keeps them by view. Pure: makes nothing and asks nobody.

`scaled` multiplies by one factor a reader, so that ratios of his values and their signs stay, and
two readers cannot compare notes. `none` shows 0 wherever there is a value. What is null stays null
in every view: whether a bar has a value tells nothing of it. Metrics of other families that read HD
are for the `raw` view alone, and 0 in the others: none of them promises to stay true to scale.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bursa.accounts.who import HdView, Principal
from bursa.metrics.catalog import Catalogue
from bursa.model.batch import Batch

FAMILY = "hd"
# Of HD's own outputs those that are signs: -1, 0 or 1. They stay under a factor.
_SIGNS = frozenset({"direction"})

# FNV-1a, 64 bits (draft-eastlake-fnv).
_BASIS, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, 2**64 - 1
_SPREAD = 0x9E3779B97F4A7C15  # 2 ** 64 over the golden ratio, odd

View = tuple[HdView, float]
RAW: View = ("raw", 1.0)
NONE: View = ("none", 1.0)

Floats = NDArray[np.float64]


def fnv1a(data: bytes) -> int:
    """FNV-1a of 64 bits.

    >>> hex(fnv1a(b"")), hex(fnv1a(b"foobar"))
    ('0xcbf29ce484222325', '0x85944171f73967e8')
    """
    found = _BASIS
    for byte in data:
        found = (found ^ byte) * _PRIME & _MASK
    return found


def factor(secret: bytes, user: str) -> float:
    """What HD is multiplied by for a user: in [0.5, 2), the same as long as the secret is."""
    # A user's last letters hardly reach FNV's upper bits; spread, they do.
    spread = fnv1a(secret + user.encode()) * _SPREAD & _MASK
    # 52 bits, so that every step is exact and 2 is never reached.
    return 0.5 + 1.5 * ((spread >> 12) / 2.0**52)


def view_of(who: Principal) -> View:
    """How HD is shown to a reader; the same for all who see the same."""
    view, times = who.view
    return (view, times) if view == "scaled" else (view, 1.0)


def values(view: View, hd: Floats) -> Floats:
    """HD, or another of its values, as it is shown. hd: float64 (n,), NaN is null."""
    shown, times = view
    if shown == "raw":
        return hd
    if shown == "scaled":
        return hd * times
    return hidden(hd)


def hidden(column: Floats) -> Floats:
    """0 where there is a value, NaN where there is none."""
    return np.where(np.isnan(column), column, 0.0)


@dataclass(frozen=True)
class Shown:
    """What the columns of a catalogue tell of HD, and how each is shown."""

    catalogue: Catalogue

    @cached_property
    def ways(self) -> Mapping[str, str]:
        """Column -> what becomes of it under a factor: `times` (multiplied), `stays` (a sign) or
        `zero` (of another family that reads HD). Columns that tell nothing of HD are not here."""
        catalogue, found = self.catalogue, {}
        for name in catalogue.telling(FAMILY):
            metric = catalogue.owner[name]
            own = catalogue.family_of[metric.name].name == FAMILY
            signs = {metric.column(one) for one in metric.outputs if one.name in _SIGNS}
            found[name] = "zero" if not own else "stays" if name in signs else "times"
        return found

    def column(self, view: View, name: str, given: Floats) -> Floats:
        """One column of metric rows as it is shown; float64 (n,), NaN is null."""
        way = self.ways.get(name)
        if way is None or view[0] == "raw":
            return given
        if view[0] == "none" or way == "zero":
            return hidden(given)
        return values(view, given) if way == "times" else given

    def rows(self, view: View, rows: Batch) -> Batch:
        """Metric rows as they are shown; the given ones stay as they are."""
        if view[0] == "raw" or rows.kind.index.keys().isdisjoint(self.ways):
            return rows
        seen = replace(rows, block=rows.block.copy())
        for name in self.ways:
            if name in rows.kind.index:
                seen.column(name)[:] = self.column(view, name, rows.column(name))
        return seen

    def raw_only(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """Those of some metrics that only the raw view shows. Refuse `unknown_metric`."""
        return tuple(
            name
            for name in metrics
            if any(
                self.ways.get(column.name) == "zero" for column in self.catalogue.find(name).columns
            )
        )
