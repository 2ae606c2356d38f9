"""Longer bars under way for the stream: closed minutes folded in, open ones added when asked.

The same bar as bars/rollup makes of the same minutes (a test compares them), kept up minute by
minute. Minutes are keyed by ts and rev, so that feeding one twice changes nothing and live rows may
overtake those read from the store. Does not read and does not send.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bursa.api.stream.frames import BarRow
from bursa.bars.rollup import summed
from bursa.model.batch import Batch

_ALL = np.zeros(1, np.int64)
# Minutes kept apart, so that a revision can replace one; older ones are folded for good.
MINUTES_APART = 20
# Bars behind the newest that can still be revised.
BARS_KEPT = 4


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the bars of one timeframe lie. `bar_of`: minute -> (opening, end) of its bar."""

    freq: str
    volume_units: int
    bar_of: Callable[[int], tuple[int, int]]


@dataclass(slots=True)
class Bar:
    """One longer bar. `folded` holds the minutes up to `folded_to`, `apart` the later ones."""

    ts: int
    end: int
    folded: BarRow | None = None
    folded_to: int = -1
    apart: dict[int, BarRow] = field(default_factory=dict)
    whole: BarRow | None = None
    final: bool = False
    queued: bool = False


class Rolling:
    """The bars of one symbol and timeframe. Not `ready` until past minutes of the present bar were
    loaded; until then rows are taken, and nothing is to be shown."""

    def __init__(self, symbol: int, grid: Grid, since: int) -> None:
        self.symbol, self.grid = symbol, grid
        self.since = since
        self.released: int | None = None
        self.ready = False
        self.loaded_from = 0
        self._bars: dict[int, Bar] = {}

    def take(self, row: BarRow) -> Bar | None:
        """Take a closed minute. Returns its bar if that changed; None where the minute is known
        already, lies before what was loaded, or was folded (see `needs_reload`)."""
        ts, end = self.grid.bar_of(row.ts)
        bar = self._bars.get(ts)
        if bar is None:
            if self.ready and ts < self.loaded_from:
                return None
            bar = self._bars[ts] = Bar(ts, end)
            self._prune()
        known = bar.apart.get(row.ts)
        if row.ts <= bar.folded_to or (known is not None and known.rev >= row.rev):
            return None
        newest = not bar.apart or row.ts > max(bar.apart)
        bar.apart[row.ts] = row
        bar.whole = self._add(bar.whole, row) if newest else self._sum(bar)
        if len(bar.apart) > 2 * MINUTES_APART:
            self._fold(bar)
        return bar

    def begin(self, bars: Batch, hd: NDArray[np.float64]) -> int:
        """Take the older ones of the closed minutes that were loaded (ascending, `hd` in step) at
        once: a month has thousands. Returns how many; the others, which may yet be revised, are to
        be taken one by one. 0 where one of the older came live already."""
        ts = bars.column("ts")
        if not len(ts):
            return 0
        opening, end = self.grid.bar_of(int(ts[0]))
        count = int(np.searchsorted(ts, end)) - MINUTES_APART
        if count <= 0:
            return 0
        last = int(ts[count - 1])
        bar = self._bars.setdefault(opening, Bar(opening, end))
        if bar.folded is not None or min(bar.apart, default=last + 1) <= last:
            return 0
        bar.folded, bar.folded_to = self._summed(bars, hd, count), last
        bar.whole = self._sum(bar)
        return count

    def _summed(self, bars: Batch, hd: NDArray[np.float64], count: int) -> BarRow:
        """The first minutes of a batch as one, as `_add` makes it of one after another."""
        names = ("ts", "rev", "open", "high", "low", "close", "volume", "final")
        ts, rev, open_, high, low, close, volume, final = (
            bars.column(name)[:count] for name in names
        )
        known = hd[:count][~np.isnan(hd[:count])]
        void = (bars.column("trades")[:count] == 0) & (volume == 0)
        at = np.arange(count) if void.all() else np.flatnonzero(~void)
        return BarRow(
            self.symbol,
            int(ts[0]),
            int(rev.sum()) + count - 1,
            float(open_[at[0]]),
            float(high[at].max()),
            float(low[at].min()),
            float(close[at[-1]]),
            float(summed(volume, _ALL, self.grid.volume_units)[0]),
            bool(final.all()),
            float(known[-1]) if len(known) else float("nan"),
            bool(void.all()),
        )

    def needs_reload(self, row: BarRow) -> bool:
        """Does a revised minute belong to what was folded already?"""
        bar = self._bars.get(self.grid.bar_of(row.ts)[0])
        return row.rev > 0 and bar is not None and row.ts <= bar.folded_to

    def held(self, ts: int) -> Bar | None:
        """The bar that opens at `ts`."""
        return self._bars.get(ts)

    def bars(self) -> list[Bar]:
        """All bars that are held, ascending."""
        return [self._bars[ts] for ts in sorted(self._bars)]

    def drop_before(self, opening: int) -> None:
        """Drop bars that open earlier: their minutes may be missing."""
        for ts in [ts for ts in self._bars if ts < opening]:
            del self._bars[ts]

    def forget(self) -> None:
        """Drop all bars; minutes are to be loaded again."""
        self._bars.clear()
        self.ready = False

    def closed(self, bar: Bar) -> BarRow:
        """A bar whose end was reached."""
        assert bar.whole is not None, "a bar is made of at least one minute"
        return _shown(bar.whole, bar.ts, True)

    def under_way(self, opened: Iterable[BarRow]) -> list[BarRow]:
        """The bars that are not final, with the open minutes (ascending) on top."""
        tops: dict[int, BarRow | None] = {
            bar.ts: bar.whole for bar in self._bars.values() if not bar.final
        }
        for row in opened:
            ts, _ = self.grid.bar_of(row.ts)
            bar = self._bars.get(ts)
            if bar is not None and (bar.final or row.ts in bar.apart or row.ts <= bar.folded_to):
                continue
            tops[ts] = self._add(tops.get(ts), row)
        return [_shown(row, ts, False) for ts, row in sorted(tops.items()) if row is not None]

    def _prune(self) -> None:
        for ts in sorted(self._bars)[:-BARS_KEPT]:
            del self._bars[ts]

    def _fold(self, bar: Bar) -> None:
        for ts in sorted(bar.apart)[:-MINUTES_APART]:
            bar.folded = self._add(bar.folded, bar.apart.pop(ts))
            bar.folded_to = ts
        bar.whole = self._sum(bar)

    def _sum(self, bar: Bar) -> BarRow:
        total = bar.folded
        for ts in sorted(bar.apart):
            total = self._add(total, bar.apart[ts])
        assert total is not None, "there is at least one minute"
        return total

    def _add(self, total: BarRow | None, row: BarRow) -> BarRow:
        """A bar and a later minute. Volumes are added in whole units and divided once."""
        if total is None:
            return row
        units = self.grid.volume_units
        volume = (round(total.volume * units) + round(row.volume * units)) / units
        # Of two the one without any trade left has no say in the prices.
        first = row if total.void and not row.void else total
        last = total if row.void and not total.void else row
        return BarRow(
            row.symbol,
            total.ts,
            total.rev + row.rev + 1,
            first.open,
            max(first.high, last.high),
            min(first.low, last.low),
            last.close,
            volume,
            total.final and row.final,
            row.hd if row.hd == row.hd else total.hd,
            total.void and row.void,
        )


def _shown(row: BarRow, ts: int, final: bool) -> BarRow:
    return row._replace(ts=ts, final=final)
