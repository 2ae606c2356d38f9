"""A store in lists of rows: ports.Store without an engine, plain enough to be read as the meaning.

It passes the same contract suite as the real ones (tests/store/contract.py). A row is a dict of
column -> value: texts as str or None, floats as float or None, lists as lists.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from typing import Any

import numpy as np

from bursa.model.batch import Batch, Span, Words
from bursa.model.calendar import MINUTE_NS
from bursa.model.covered import WORDS as COVERED_WORDS
from bursa.model.covered import Coverage, Covered, Days, none
from bursa.model.errors import Reject, Retry
from bursa.model.schema import INT_NULL, Column, Kind, topic
from bursa.model.venue import Venue
from bursa.ports import Committed

HOT = ("ticks", "quotes", "snapshot", "orderbook")

Row = dict[str, Any]


def rows_of(batch: Batch) -> list[Row]:
    """A batch as rows."""
    columns = {column.name: _values(batch, column) for column in batch.kind.scalars}
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    if batch.levels is not None:
        ends = np.cumsum(batch.column("depth")).tolist()
        for at, column in enumerate(batch.kind.lists):
            line = batch.levels[at]
            flat = (line.view(np.float64) if column.dtype == "floats" else line).tolist()
            for row, end in zip(rows, ends, strict=True):
                row[column.name] = flat[end - row["depth"] : end]
    return rows


def batch_of(kind: Kind, rows: Sequence[Row], words: Words, span: Span) -> Batch:
    """Rows as a batch; the opposite of `rows_of`. Columns that a row lacks are null."""
    block = np.empty((len(kind.scalars), len(rows)), np.int64)
    for at, column in enumerate(kind.scalars):
        values = [row.get(column.name) for row in rows]
        if column.dtype == "float":
            line = np.array([np.nan if v is None else v for v in values], np.float64)
            block[at] = line.view(np.int64)
        elif column.dtype == "text":
            block[at] = [-1 if v is None else _id(words, column, v) for v in values]
        else:
            block[at] = [INT_NULL if v is None else int(v) for v in values]
    levels = None
    if kind.lists:
        lines = []
        for column in kind.lists:
            flat = [value for row in rows for value in row[column.name]]
            dtype: Any = np.float64 if column.dtype == "floats" else np.int64
            lines.append(np.array(flat, dtype).view(np.int64))
        levels = np.stack(lines)
    return Batch(kind, block, words, span, levels)


def _cut(row: Row, columns: Collection[str] | None) -> Row:
    """A row of a ticker's series without the columns that are not wanted."""
    if columns is None:
        return row
    kept = {"ticker", "freq", "ts", "rev", *columns}
    return {name: value for name, value in row.items() if name in kept}


def _values(batch: Batch, column: Column) -> list[Any]:
    if column.dtype == "text":
        return list(batch.text(column.name))
    if column.dtype == "flag":
        return [value != 0 for value in batch.column(column.name).tolist()]
    null = np.isnan if column.dtype == "float" else (lambda value: value == INT_NULL)
    return [None if null(value) else value for value in batch.column(column.name).tolist()]


def _id(words: Words, column: Column, text: str) -> int:
    if column.words == "symbols":
        return words.symbol_id(text)
    if column.words == "texts":
        return words.text_id(text)
    return list(words.of(column)).index(text)


class FakeStore:
    """ports.Store in memory. With `away` set every call raises Retry. `refuse(kind, row)` says why
    a row is not taken, "" where it is."""

    def __init__(self, venues: Sequence[Venue], kinds: Sequence[Kind]) -> None:
        self.away = False
        self.refuse: Callable[[str, Row], str] = lambda kind, row: ""
        self._venues = {venue.name: venue for venue in venues}
        self._kinds = {kind.name: kind for kind in kinds}
        self._rows: dict[str, list[Row]] = {
            topic(venue.name, kind): [] for venue in venues for kind in kinds
        }
        self._positions: dict[str, Committed] = {}

    def positions(self) -> dict[str, Committed]:
        self._there()
        return dict(self._positions)

    def refuses(self, batch: Batch) -> str:
        self._there()
        return next(filter(None, (self.refuse(batch.kind.name, row) for row in rows_of(batch))), "")

    def readmit(self, batch: Batch) -> int:
        if why := self.refuses(batch):
            raise Reject("refused", why)
        kept, kind = self._rows[topic(batch.span.source, batch.kind)], batch.kind
        there, added = list(kept), 0
        for row in rows_of(batch):
            same = [one for one in kept if _key(kind, one) == _key(kind, row)]
            if kind.name == "contracts":
                if any(one["position"] >= row["position"] for one in same):
                    continue
                kept[:] = [one for one in kept if one not in same]
            if row in there:
                continue
            kept.append(row)
            added += 1
        return added

    def write(self, batches: Sequence[Batch], positions: Mapping[str, Committed]) -> None:
        self._there()
        if why := next(filter(None, map(self.refuses, batches)), ""):
            raise Reject("refused", why)
        rows = {name: list(kept) for name, kept in self._rows.items()}
        for batch in batches:
            name = topic(batch.span.source, batch.kind)
            committed = self._positions.get(name, Committed(-1, 0)).position
            for row in rows_of(batch):
                if row["position"] > committed:
                    assert row["position"] <= positions[name].position
                    if batch.kind.name == "contracts":
                        rows[name] = [
                            r for r in rows[name] if _key(batch.kind, r) != _key(batch.kind, row)
                        ]
                    rows[name].append(row)
        self._rows = rows
        for name, at in positions.items():
            if at.position >= self._positions.get(name, Committed(-1, 0)).position:
                self._positions[name] = at

    def bars(
        self,
        venue: str,
        ticker: str,
        start_ns: int,
        end_ns: int,
        *,
        as_of_ns: int | None = None,
        newest: int | None = None,
        oldest: int | None = None,
        columns: Collection[str] | None = None,
    ) -> Batch:
        found = self._newest("ohlcv", venue, lambda row: row["ticker"] == ticker, as_of_ns)
        found = [_cut(row, columns) for row in found]
        return self._part(venue, "ohlcv", found, (start_ns, end_ns), newest, oldest)

    def metrics(
        self,
        venue: str,
        ticker: str,
        start_ns: int,
        end_ns: int,
        *,
        as_of_ns: int | None = None,
        newest: int | None = None,
        oldest: int | None = None,
        columns: Collection[str] | None = None,
    ) -> Batch:
        found = self._newest("metrics", venue, lambda row: row["ticker"] == ticker, as_of_ns)
        found = [_cut(row, columns) for row in found]
        return self._part(venue, "metrics", found, (start_ns, end_ns), newest, oldest)

    def ticks(
        self,
        venue: str,
        ticker: str,
        start_ns: int,
        end_ns: int,
        *,
        newest: int | None = None,
        oldest: int | None = None,
    ) -> Batch:
        found = [row for row in self._all(venue, "ticks") if row["ticker"] == ticker]
        found.sort(key=lambda row: (row["ts"], row["seq"]))
        return self._part(venue, "ticks", found, (start_ns, end_ns), newest, oldest)

    def index(
        self,
        venue: str,
        code: str,
        start_ns: int,
        end_ns: int,
        *,
        newest: int | None = None,
        oldest: int | None = None,
    ) -> Batch:
        found = [row for row in self._all(venue, "index") if row["index_code"] == code]
        found.sort(key=lambda row: (row["ts"], row["position"]))
        return self._part(venue, "index", found, (start_ns, end_ns), newest, oldest)

    def since(self, venue: str, kind: str, start_ns: int) -> Batch:
        found = [row for row in self._newest(kind, venue, lambda row: True, None)]
        tickers = list(dict.fromkeys(row["ticker"] for row in self._all(venue, kind)))
        found.sort(key=lambda row: (tickers.index(row["ticker"]), row["ts"]))
        return self._batch(venue, kind, [row for row in found if row["ts"] >= start_ns])

    def emitted(
        self,
        venue: str,
        after: int,
        upto: int,
        *,
        start_ns: int,
        end_ns: int,
        tickers: Collection[str] | None = None,
    ) -> Iterator[Batch]:
        """A batch a position."""
        found = [row for row in self._all(venue, "ohlcv") if start_ns <= row["ts"] < end_ns]
        found = [row for row in found if tickers is None or row["ticker"] in tickers]
        found = [row for row in found if after < row["position"] <= upto]
        found.sort(key=_emission)
        for position, same in groupby(found, key=lambda row: row["position"]):
            one = self._batch(venue, "ohlcv", list(same))
            yield replace(one, span=replace(one.span, first=after, last=position))
            after = position

    def revisions(
        self,
        venue: str,
        kind: str,
        start_ns: int,
        end_ns: int,
        *,
        tickers: Collection[str] | None = None,
    ) -> Batch:
        found = [row for row in self._all(venue, kind) if start_ns <= row["ts"] < end_ns]
        found = [row for row in found if tickers is None or row["ticker"] in tickers]
        return self._batch(venue, kind, found)

    def rows(
        self,
        venue: str,
        kind: str,
        start_ns: int,
        end_ns: int,
        *,
        after: int = -1,
        upto: int = 2**63 - 1,
        tickers: Collection[str] | None = None,
    ) -> Batch:
        named = self._kinds[kind].columns[0].name
        found = [row for row in self._all(venue, kind) if start_ns <= row["ts"] < end_ns]
        found = [row for row in found if after < row["position"] <= upto]
        found = [row for row in found if tickers is None or row[named] in tickers]
        return self._batch(venue, kind, found)

    def minutes(
        self,
        venue: str,
        kind: str,
        start_ns: int,
        end_ns: int,
        *,
        tickers: Collection[str] | None = None,
        entered: bool = False,
    ) -> list[tuple[int, int]]:
        named = self._kinds[kind].columns[0].name
        found = [row for row in self._all(venue, kind) if start_ns <= row["ts"] < end_ns]
        found = [row for row in found if tickers is None or row[named] in tickers]
        if entered:
            found = [row for row in found if row["source"] is not None]
        return sorted(Counter(row["ts"] // MINUTE_NS * MINUTE_NS for row in found).items())

    def amend(self, gone: Batch, filled: Batch, fresh: Batch, columns: Collection[str]) -> None:
        kind, name = fresh.kind, topic(fresh.span.source, fresh.kind)
        self._there()
        absent = {_key(kind, row) for row in rows_of(gone)}
        kept = [row for row in self._rows[name] if _key(kind, row) not in absent]
        values = {_key(kind, row): {c: row[c] for c in columns} for row in rows_of(filled)}
        kept = [row | values.get(_key(kind, row), {}) for row in kept]
        self._rows[name] = kept + rows_of(fresh)

    def status(self, venue: str, start_ns: int, end_ns: int) -> Batch:
        found = sorted(self._all(venue, "status"), key=lambda row: (row["ts"], row["position"]))
        return self._part(venue, "status", found, (start_ns, end_ns), None, None)

    def latest(self, venue: str, kind: str) -> Batch:
        keys = [name for name in self._kinds[kind].key if name != "ts"]
        best: dict[tuple[Any, ...], Row] = {}
        for row in sorted(self._all(venue, kind), key=lambda row: (row["ts"], row["position"])):
            best[tuple(row[name] for name in keys)] = row
        return self._batch(venue, kind, [best[key] for key in sorted(best)])

    def span(self, venue: str) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for row in self._all(venue, "ohlcv"):
            first, last = found.get(row["ticker"], (row["ts"], row["ts"]))
            found[row["ticker"]] = (min(first, row["ts"]), max(last, row["ts"]))
        return found

    def minute_back(self, venue: str, count: int) -> int:
        minutes = sorted({row["ts"] for row in self._all(venue, "ohlcv")})
        return minutes[-count] if len(minutes) >= count else INT_NULL

    def days(self, venue: str, kinds: Sequence[str] = HOT) -> list[date]:
        calendar = self._venues[venue].calendar
        return sorted({calendar.day_of(r["ts"]) for kind in kinds for r in self._all(venue, kind)})

    def covered(self, venue: str, ticker: str, first: date, until: date) -> Covered:
        every = self.coverage(venue, first, until)
        if ticker not in every.tickers:
            return replace(none((until - first).days), heard=every.heard)
        at = every.tickers.index(ticker)
        return Covered(every.received[at], every.backfilled[at], every.faulty[at], every.heard)

    def coverage(self, venue: str, first: date, until: date) -> Coverage:
        days = Days.of(self._venues[venue].calendar, first, until)
        inside = (int(days.midnights[0]), int(days.midnights[-1]))

        def within(row: Row) -> bool:
            return inside[0] <= row["ts"] < inside[1]

        live = {
            (row["ticker"], row["ts"])
            for row in self._all(venue, "ohlcv")
            if within(row) and row.get("source") is None
        }
        newest = self._newest("ohlcv", venue, within, None)
        good = [row for row in newest if _is_good(row) and not _is_void(row)]
        bad = [row for row in newest if not _is_good(row)]
        tickers = sorted({row["ticker"] for row in good + bad})

        def packed(times: Iterable[int]) -> Any:
            return days.pack(np.array(sorted(times), np.int64))

        def of(ticker: str, late: bool) -> Any:
            mine = {row["ts"] for row in good if row["ticker"] == ticker}
            return packed(ts for ts in mine if not (late and (ticker, ts) in live))

        def wrong(ticker: str) -> Any:
            return packed(row["ts"] for row in bad if row["ticker"] == ticker)

        shape = (len(tickers), len(days), COVERED_WORDS)
        received, backfilled = (
            np.array([of(ticker, late) for ticker in tickers], np.uint64).reshape(shape)
            for late in (False, True)
        )
        faulty = np.array([wrong(ticker) for ticker in tickers], np.uint64).reshape(shape)
        heard = packed({ts for _, ts in live})
        return Coverage(tuple(tickers), received, backfilled, faulty, heard)

    def folded(self, venue: str) -> int:
        """It has no log."""
        mine = [at.position for name, at in self.positions().items() if name.startswith(venue)]
        return min(mine, default=0)

    def bytes(self) -> "FakeStore":
        """All of it is in use."""
        return self

    free = 0

    def settle(self, venue: str, start_ns: int, end_ns: int) -> None:
        """There is no order to bring rows into."""
        self._there()

    def drop_before(self, venue: str, kind: str, ts_ns: int) -> int:
        name = topic(venue, self._kinds[kind])
        kept = [row for row in self._all(venue, kind) if row["ts"] >= ts_ns]
        gone = len(self._rows[name]) - len(kept)
        self._rows[name] = kept
        return gone

    def _there(self) -> None:
        if self.away:
            raise Retry("the fake store is away")

    def _all(self, venue: str, kind: str) -> list[Row]:
        self._there()
        return self._rows[topic(venue, self._kinds[kind])]

    def _newest(self, kind: str, venue: str, wanted: Any, as_of_ns: int | None) -> list[Row]:
        best: dict[tuple[str, int], Row] = {}
        for row in self._all(venue, kind):
            if not wanted(row) or (as_of_ns is not None and row["known_at"] > as_of_ns):
                continue
            key = (row["ticker"], row["ts"])
            if key not in best or best[key]["rev"] < row["rev"]:
                best[key] = row
        return [best[key] for key in sorted(best)]

    def _part(
        self,
        venue: str,
        kind: str,
        rows: Iterable[Row],
        within: tuple[int, int],
        newest: int | None,
        oldest: int | None,
    ) -> Batch:
        found = [row for row in rows if within[0] <= row["ts"] < within[1]]
        if newest is not None:
            found = found[max(0, len(found) - newest) :]
        elif oldest is not None:
            found = found[:oldest]
        return self._batch(venue, kind, found)

    def _batch(self, venue: str, kind: str, rows: Sequence[Row]) -> Batch:
        what, of = self._kinds[kind], self._venues[venue]
        words = Words(of.boards, [channel.name for channel in of.channels])
        at = self._positions.get(topic(venue, what), Committed(0, 0))
        return batch_of(what, rows, words, Span(venue, at.epoch, 0, at.position))


def _emission(row: Row) -> tuple[int, int, int, int]:
    nth = row.get("nth")
    return row["position"], -1 if nth is None else nth, row["ts"], row["rev"]


def _is_good(row: Row) -> bool:
    prices = [row["open"], row["high"], row["low"], row["close"]]
    if None in prices or row["volume"] is None or row["volume"] < 0:
        return False
    return min(prices) > 0 and row["high"] == max(prices) and row["low"] == min(prices)


def _is_void(row: Row) -> bool:
    return bool(row["trades"] == 0 and row["volume"] == 0)


def _key(kind: Kind, row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in kind.key)
