"""Bars as JSON rows, each serialised once: closed minutes are kept as bytes until they change.

An answer is then a join, and a whole answer is kept as long as its ring's version stands. Rows are
keyed by what they show (ts, rev and HD), for the views that many readers share; a row ends with its
HD, so that for a factor of one reader its end alone is put in. All caches are bounded, and who was
asked for longest ago leaves first. Does not read bars (history/candles.py).
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bursa.accounts import hd
from bursa.accounts.hd import NONE, RAW, View
from bursa.api import text
from bursa.api.envelope import joined
from bursa.history.candles import Candles
from bursa.model.batch import Batch
from bursa.model.calendar import Calendar

ANSWERS_BYTES_MAX = 64 << 20
# About 250 bytes a row.
ROWS_KEPT_MAX = 300_000
TICKER_ROWS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class _Kept:
    """Rows of one ticker: `keys` int64 (3, n) ts, rev, HD's bits; `rows` their JSON."""

    keys: NDArray[np.int64]
    rows: list[bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of an answer as a JSON array, the token of the page before them, how many rows."""

    data: bytes
    next_page: str | None
    rows: int = 0


class Answers:
    """Whole answers, each good as long as its version is the present one."""

    def __init__(self, bytes_max: int = ANSWERS_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._kept: OrderedDict[Hashable, tuple[Hashable, Answer]] = OrderedDict()
        self._bytes = 0

    def get(self, question: Hashable, version: Hashable) -> Answer | None:
        """The answer to a question if it was kept under that version."""
        kept = self._kept.get(question)
        if kept is None or kept[0] != version:
            return None
        self._kept.move_to_end(question)
        return kept[1]

    def put(self, question: Hashable, version: Hashable, answer: Answer) -> None:
        """Keep an answer. Its version was read before its rows were."""
        before = self._kept.pop(question, None)
        self._bytes += len(answer.data) - (len(before[1].data) if before else 0)
        self._kept[question] = version, answer
        while self._bytes > self._bytes_max:
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= len(gone.data)


class CandleRows:
    """Serialised 1-minute bars of one venue."""

    def __init__(self, calendar: Calendar, rows_max: int = ROWS_KEPT_MAX) -> None:
        self._calendar = calendar
        self._rows_max = rows_max
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def rows(self, ticker: str, tf: str, candles: Candles) -> list[bytes]:
        """The JSON of each bar, in order."""
        if tf != "1m":
            return serialise(ticker, tf, candles, self._calendar)
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
            return serialise(ticker, "1m", candles, self._calendar)
        known = dict(zip(map(tuple, kept.keys.T.tolist()), kept.rows, strict=True))
        final = candles.bars.column("final").tolist()
        found = [
            known.get(tuple(key)) if closed else None
            for key, closed in zip(keys.T.tolist(), final, strict=True)
        ]
        missing = np.array([row is None for row in found], bool)
        made = iter(serialise(ticker, "1m", _some(candles, missing), self._calendar))
        return [next(made) if row is None else row for row in found]

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
        self._raw, self._zeros = CandleRows(calendar), CandleRows(calendar, ROWS_KEPT_MAX // 2)

    def array(self, ticker: str, tf: str, candles: Candles, view: View) -> bytes:
        """The bars as a JSON array."""
        if view[0] == "raw":
            return joined(self._raw.rows(ticker, tf, candles))
        zeros = self._zeros.rows(ticker, tf, seen(candles, NONE))
        if view[0] == "none" or not zeros:
            return joined(zeros)
        # Each row ends with `0}` or `null}`.
        values = seen(candles, view).hd
        pieces = [b"},"] * (3 * len(zeros))
        pieces[::3] = [
            row[:-5] if null else row[:-2]
            for row, null in zip(zeros, np.isnan(values).tolist(), strict=True)
        ]
        pieces[1::3] = text.packed(values)
        pieces[-1] = b"}]"
        return b"[" + b"".join(pieces)


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
