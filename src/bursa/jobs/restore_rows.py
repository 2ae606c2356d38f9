"""The rows of a file of bars, read and judged piece by piece: good ones become a batch, bad ones
are told by their line.

Of rows of one ticker and minute the newest revision counts where the file tells revisions, else the
first; another one that says something else is bad. What a file does not say of a bar is made of
what it does (value, vwap) or left open. Writes nothing (restore.py).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bursa.feeds.bar_file import BarFile, Piece
from bursa.model import validate
from bursa.model.batch import Batch, Block, Span, Words
from bursa.model.schema import FREQS, INT_NULL, OHLCV, SOURCES
from bursa.model.validate import Life
from bursa.model.venue import Venue
from bursa.wire.bar_file import values as bar_values
from bursa.wire.bar_file.headers import DATE, NEEDED, OPTIONAL, TIME
from bursa.wire.bar_file.values import Clock

# What keeps a row out, in the order in which it is asked; the validator's reasons follow.
READING = {
    "fields": "the line has more or fewer fields than there are headers",
    "ticker": "the ticker is not of the form that the venue's tickers have",
    "timeframe": "the bar is not of one minute",
    "unread_time": "the time cannot be read",
    "clock_change": "clocks change then: the time comes twice or not at all; it needs an offset",
    "number": "a value is no number",
}
AFTER = {
    "too_new": "the minute is the feed's still, to make or to revise",
    "repeated": "another row before it has the same ticker and minute, and other values",
}
REASONS = {**READING, **validate.REASONS, **AFTER}
_PLACES = {reason: at for at, reason in enumerate(REASONS)}
GOOD = -1
_MINUTE_WORDS = ("1m", "1", "1min", "m1", "minute", "1minute", "60", "60s", "t1")
_FILE = SOURCES.index("file")
_CONTENT = (*NEEDED, *OPTIONAL)
Codes = NDArray[np.int8]


@dataclass(frozen=True)
class Bad:
    """One row that was kept out: its line, a key of REASONS, and what the file has of it."""

    line: int
    reason: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Taken:
    """What became of one piece.

    bars   good rows, ascending by (ticker, ts), unique, with ids of the reader's own words; what
           the entry stamps (known_at, ts_recv, position, nth) is 0 or null
    bad    the others, by line
    """

    bars: Batch
    bad: list[Bad]


@dataclass
class Counts:
    """Rows so far: `again` say what a row before them said, `older` are older revisions."""

    rows: int = 0
    again: int = 0
    older: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class RowReader:
    """Reads one file for one venue. `taken`: our column -> their header; `ticker`: of all rows, ""
    where the file says it. Rows with ts > newest_ns are too new."""

    def __init__(
        self,
        venue: Venue,
        taken: Mapping[str, str],
        clock: Clock,
        life: Life,
        *,
        ticker: str = "",
        newest_ns: int = 2**62,
    ) -> None:
        self.counts = Counts()
        self.words: Words = venue.words()
        self.estimated = "value" not in taken
        self._venue, self._taken, self._clock = venue, taken, clock
        self._life, self._newest_ns = life, newest_ns
        self._ticker = self.words.symbol_id(ticker) if ticker else -1
        self._pattern = re.compile(venue.ticker_pattern)
        # The newest row so far, where revisions of it may follow in the next piece.
        self._held: tuple[NDArray[np.int64], Block] | None = None

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns of which the file says something that is not made of others."""
        return tuple(name for name in (*NEEDED, "value", "trades") if name in self._taken)

    def read(self, file: BarFile) -> Iterator[Taken]:
        """All of a file."""
        for piece in file.pieces(list(dict.fromkeys(self._taken.values()))):
            yield self._take(piece, self._ragged(file))
        rest = self._ragged(file)
        if rest or self._held is not None:
            lines, block = self._held or (np.empty(0, np.int64), self._block(0))
            self._held = None
            yield Taken(self._batch(block), rest)

    def _ragged(self, file: BarFile) -> list[Bad]:
        found = [Bad(one.line, "fields", {"": one.text}) for one in file.ragged()]
        self.counts.rows += len(found)
        self.counts.reasons["fields"] += len(found)
        return found

    def _take(self, piece: Piece, bad: list[Bad]) -> Taken:
        rows = len(piece.lines)
        self.counts.rows += rows
        codes = np.full(rows, GOOD, np.int8)
        block = self._block(rows)
        self._names(piece, block, codes)
        self._times(piece, block, codes)
        self._numbers(piece, block, codes)
        self._judge(block, codes)
        lines = piece.lines
        good = np.flatnonzero(codes == GOOD)
        kept, repeated = self._unique(lines[good], block[:, good])
        codes[good[repeated]] = _PLACES["repeated"]
        for at in np.flatnonzero(codes != GOOD).tolist():
            reason = list(REASONS)[codes[at]]
            self.counts.reasons[reason] += 1
            bad.append(Bad(int(lines[at]), reason, self._said(piece, at)))
        return Taken(self._batch(kept), sorted(bad, key=lambda one: one.line))

    def _block(self, rows: int) -> Block:
        block = np.zeros((len(OHLCV.scalars), rows), np.int64)
        for at, column in enumerate(OHLCV.scalars):
            if column.nullable and column.dtype == "float":
                block[at] = np.float64(np.nan).view(np.int64)
        block[OHLCV.index["freq"]] = FREQS.index("1m")
        block[OHLCV.index["final"]] = 1
        block[OHLCV.index["nth"]] = INT_NULL
        block[OHLCV.index["source"]] = _FILE
        return block

    def _batch(self, block: Block) -> Batch:
        block = block.copy()
        block[OHLCV.index["rev"]] = 0
        return Batch(OHLCV, block, self.words, Span(self._venue.name, 0, 0, 0))

    def _said(self, piece: Piece, at: int) -> dict[str, str]:
        """What the file has of a row, by its headers."""
        said = {}
        for header, array in piece.columns.items():
            value = array[at].as_py()
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            said[header] = "" if text is None else str(text)
        return said

    # -- the columns -----------------------------------------------------------------------------

    def _names(self, piece: Piece, block: Block, codes: Codes) -> None:
        at = OHLCV.index["ticker"]
        if self._ticker >= 0:
            block[at] = self._ticker
        else:
            coded = bar_values.words(piece.columns[self._taken["ticker"]]).dictionary_encode()
            names = coded.dictionary.to_pylist()
            fits = [self._pattern.match(name) is not None for name in names]
            ids = [
                self.words.symbol_id(name) if fit else -1
                for name, fit in zip(names, fits, strict=True)
            ]
            index = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
            block[at] = np.array([*ids, -1], np.int64)[index]
            _mark(codes, ~np.array([*fits, True])[index], "ticker")
        if "freq" in self._taken:
            said = bar_values.words(piece.columns[self._taken["freq"]])
            fine = pc.is_in(pc.utf8_lower(said), value_set=pa.array(_MINUTE_WORDS))
            _mark(codes, ~fine.to_numpy(zero_copy_only=False), "timeframe")

    def _times(self, piece: Piece, block: Block, codes: Codes) -> None:
        if "ts" in self._taken:
            said = piece.columns[self._taken["ts"]]
        else:
            said = bar_values.joined(
                piece.columns[self._taken[DATE]], piece.columns[self._taken[TIME]], self._clock
            )
        block[OHLCV.index["ts"]], unread, odd = bar_values.instants(said, self._clock)
        _mark(codes, unread, "unread_time")
        _mark(codes, odd, "clock_change")

    def _numbers(self, piece: Piece, block: Block, codes: Codes) -> None:
        floats = block.view(np.float64)
        for name in ("rev", *_CONTENT):
            if name not in self._taken:
                continue
            array, at = piece.columns[self._taken[name]], OHLCV.index[name]
            if OHLCV.columns[at].dtype == "float":
                floats[at], unread = bar_values.numbers(array)
            else:
                block[at], unread = bar_values.integers(array)
            _mark(codes, unread, "number")
        self._complete(floats, codes == GOOD)

    def _complete(self, floats: NDArray[np.float64], good: NDArray[np.bool_]) -> None:
        """Value and volume-weighted price, where the file does not have them."""
        at = OHLCV.index
        volume = floats[at["volume"]]
        if "value" not in self._taken:
            each = floats[at["vwap"]]
            if "vwap" not in self._taken:
                each = (floats[at["high"]] + floats[at["low"]] + floats[at["close"]]) / 3
            value = np.where(volume == 0, 0.0, each * volume)
            floats[at["value"], good] = np.round(value[good], self._venue.value_decimals)
        if "vwap" not in self._taken:
            some = good & (volume > 0)
            floats[at["vwap"], some] = floats[at["value"], some] / volume[some]

    def _judge(self, block: Block, codes: Codes) -> None:
        columns = {
            column.name: block[at].view(np.float64) if column.dtype == "float" else block[at]
            for at, column in enumerate(OHLCV.scalars)
        }
        found = validate.judge_columns(OHLCV, columns, self._life)
        first = len(READING)
        fresh = (codes == GOOD) & (found != validate.GOOD)
        codes[fresh] = found[fresh] + first
        _mark(codes, block[OHLCV.index["ts"]] > self._newest_ns, "too_new")

    # -- rows of one minute ----------------------------------------------------------------------

    def _unique(self, lines: NDArray[np.int64], block: Block) -> tuple[Block, NDArray[np.int64]]:
        """One row a ticker and minute, ascending; and which of the given rows say something else
        than a row before them."""
        held = 0
        if self._held is not None:
            held = 1
            lines = np.concatenate([self._held[0], lines])
            block = np.concatenate([self._held[1], block], axis=1)
            self._held = None
        if not len(lines):
            return block, np.empty(0, np.int64)
        ticker, ts, rev = (block[OHLCV.index[name]] for name in ("ticker", "ts", "rev"))
        order = np.lexsort((lines, -rev, ts, ticker))
        first = np.ones(len(order), bool)
        same = (ticker[order][1:] == ticker[order][:-1]) & (ts[order][1:] == ts[order][:-1])
        first[1:] = ~same
        winner = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
        others = np.flatnonzero(~first)
        loser, best = order[others], winner[others]
        older = rev[loser] < rev[best]
        differs = np.zeros(len(others), bool)
        for name in self.compared:
            differs |= block[OHLCV.index[name], loser] != block[OHLCV.index[name], best]
        self.counts.older += int(older.sum())
        self.counts.again += int((~older & ~differs).sum())
        kept = order[first]
        if "rev" in self._taken and len(kept):
            last = int(np.argmax(lines))
            mine = kept[(ticker[kept] == ticker[last]) & (ts[kept] == ts[last])]
            self._held = lines[mine], block[:, mine]
            kept = kept[kept != mine[0]]
        return block[:, kept], loser[~older & differs] - held


def _mark(codes: Codes, bad: NDArray[np.bool_], reason: str) -> None:
    codes[(codes == GOOD) & bad] = _PLACES[reason]
