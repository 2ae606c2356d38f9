"""Bars as JSON rows, each serialised once: closed minutes are kept as bytes until they change.

An answer is then a join (whole ones are kept by newest.py). Rows are keyed by what they show: ts,
rev and HD. A row ends with its HD, so that for all views but the raw one rows are kept that end
before it, and each reader's numbers are put in. All caches are bounded, and who was asked for
longest ago leaves first. Does not read bars (history/candles.py).
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bursa.accounts import hd
from bursa.accounts.hd import RAW, View
from bursa.api import text
from bursa.api.envelope import joined
from bursa.history.candles import Candles
from bursa.model.batch import Batch
from bursa.model.calendar import Calendar

# About 250 bytes a row.
ROWS_KEPT_MAX = 300_000
TICKER_ROWS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class _Kept:
    """Rows of one ticker: `keys` int64 (3, n) ts, rev, HD's bits; `rows` their JSON."""

    keys: NDArray[np.int64]
    rows: list[bytes]


class CandleRows:
    """Serialised 1-minute bars of one venue. less: bytes that each row lacks at its end."""

    def __init__(self, calendar: Calendar, rows_max: int = ROWS_KEPT_MAX, less: int = 0) -> None:
        self._calendar = calendar
        self._rows_max, self._less = rows_max, less
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def rows(self, ticker: str, tf: str, candles: Candles) -> list[bytes]:
        """The JSON of each bar, in order."""
        if tf != "1m":
            return self._made(ticker, tf, candles)
        keys = _keys(candles)
        kept = self._kept.get(ticker)
        final = bool(candles.bars.column("final").all())
        if kept is not None and final:
            at = _place(kept.keys, keys)
            if at is not None:
                self._kept.move_to_end(ticker)
                return kept.rows[at : at + keys.shape[1]]
        rows = self._mended(ticker, candles, keys, kept)
        if final:
            self._keep(ticker, _Kept(keys, rows))
        return rows

    def _mended(
        self, ticker: str, candles: Candles, keys: NDArray[np.int64], kept: _Kept | None
    ) -> list[bytes]:
        """All rows, those that are kept reused. Rows that are not final are made anew."""
        if kept is None:
            return self._made(ticker, "1m", candles)
        known = dict(zip(map(tuple, kept.keys.T.tolist()), kept.rows, strict=True))
        final = candles.bars.column("final").tolist()
        found = [
            known.get(tuple(key)) if closed else None
            for key, closed in zip(keys.T.tolist(), final, strict=True)
        ]
        missing = np.array([row is None for row in found], bool)
        made = iter(self._made(ticker, "1m", _some(candles, missing)))
        return [next(made) if row is None else row for row in found]

    def _made(self, ticker: str, tf: str, candles: Candles) -> list[bytes]:
        rows = serialise(ticker, tf, candles, self._calendar)
        return [row[: -self._less] for row in rows] if self._less else rows

    def _keep(self, ticker: str, kept: _Kept) -> None:
        """Keep the newest rows; those of a range in the past are not kept."""
        before = self._kept.get(ticker)
        if not kept.rows or (before is not None and kept.keys[0, -1] < before.keys[0, -1]):
            return
        if before is not None:
            # A shorter question does not forget what a longer one needed.
            first = int(np.searchsorted(before.keys[0], kept.keys[0, 0]))
            keys = np.concatenate((before.keys[:, :first], kept.keys), axis=1)
            kept = _Kept(keys, before.rows[:first] + kept.rows)
            self._size -= len(before.rows)
        self._kept[ticker] = _Kept(kept.keys[:, -TICKER_ROWS_MAX:], kept.rows[-TICKER_ROWS_MAX:])
        self._kept.move_to_end(ticker)
        self._size += len(self._kept[ticker].rows)
        while self._size > self._rows_max and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._size -= len(gone.rows)


class SeenRows:
    """Bars of one venue as each view shows them."""

    def __init__(self, calendar: Calendar) -> None:
        self._raw = CandleRows(calendar)
        self._open = CandleRows(calendar, ROWS_KEPT_MAX // 2, less=len("0}"))

    def array(self, ticker: str, tf: str, candles: Candles, view: View) -> bytes:
        """The bars as a JSON array."""
        if view[0] == "raw":
            return joined(self._raw.rows(ticker, tf, candles))
        return filled(self.opened(ticker, tf, candles), candles.hd, view)

    def opened(self, ticker: str, tf: str, candles: Candles) -> list[bytes]:
        """The JSON of each bar up to its HD, which `filled` puts in."""
        return self._open.rows(ticker, tf, replace(candles, hd=np.zeros(len(candles.hd))))


def filled(opened: Sequence[bytes], shown: NDArray[np.float64], view: View) -> bytes:
    """Rows that end before HD as a JSON array with HD as a view shows it; shown: float64 (n,) as it
    is, NaN is null."""
    if not opened:
        return b"[]"
    pieces = [b"},"] * (3 * len(opened))
    pieces[::3] = opened
    pieces[0] = b"[" + opened[0]
    pieces[1::3] = text.packed(hd.values(view, shown))
    pieces[-1] = b"}]"
    return b"".join(pieces)


def seen(candles: Candles, view: View) -> Candles:
    """Bars with their HD as a view shows it."""
    if view == RAW:
        return candles
    return Candles(candles.bars, hd.values(view, candles.hd), candles.more)


def serialise(ticker: str, tf: str, candles: Candles, calendar: Calendar) -> list[bytes]:
    """The JSON of each bar; HD comes last."""
    bars = candles.bars
    if not len(bars):
        return []
    ts = bars.column("ts")
    names = ("open", "high", "low", "close", "volume", "value", "vwap")
    open_, high, low, close, volume, value, vwap = (text.numbers(bars.column(n)) for n in names)
    head = f'{{"ticker":"{ticker}","date":"'
    return [
        f'{head}{d}","bar_time":"{b}","freq":"{tf}","open":{o},"high":{h},"low":{l},"close":{c},'
        f'"volume":{v},"value":{m},"freq_cnt":{n},"vwap":{w},"rev":{r},"hd":{x}}}'.encode()
        for d, b, o, h, l, c, v, m, n, w, r, x in zip(  # noqa: E741 - l is low, beside o, h and c
            text.utc(ts),
            text.local(ts, calendar),
            open_,
            high,
            low,
            close,
            volume,
            value,
            bars.column("trades").tolist(),
            vwap,
            bars.column("rev").tolist(),
            text.numbers(candles.hd),
            strict=True,
        )
    ]


def _keys(candles: Candles) -> NDArray[np.int64]:
    bars = candles.bars
    hd = np.ascontiguousarray(candles.hd).view(np.int64)
    return np.stack((bars.column("ts"), bars.column("rev"), hd))


def _place(kept: NDArray[np.int64], keys: NDArray[np.int64]) -> int | None:
    """Where in `kept` the rows `keys` lie, all in a run; None where they do not."""
    count = keys.shape[1]
    if not count:
        return 0
    at = int(np.searchsorted(kept[0], keys[0, 0]))
    return at if np.array_equal(kept[:, at : at + count], keys) else None


def _some(candles: Candles, wanted: NDArray[np.bool_]) -> Candles:
    bars = candles.bars
    kept = Batch(bars.kind, bars.block[:, wanted], bars.words, bars.span)
    return Candles(kept, candles.hd[wanted], candles.more)
