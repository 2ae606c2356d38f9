# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are parameters
"""All reads of ports.Store, whatever their rows lie in: one meaning for every tier.

A store that inherits them says, for a kind and a range of time, what to select from (its
*relation*): a table, files, or both. A read takes the relation, runs one statement over it, and
does so again where the relation is another one by then: rows that moved meanwhile are neither
missed nor read twice. A read always bears a ts bound, and revisions are resolved outside the engine
(rows.py), which is faster. Does not know what a relation is made of.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any, TypeVar

import numpy as np

from bursa.model.batch import Batch, Span, empty
from bursa.model.calendar import MINUTE_NS
from bursa.model.errors import Retry
from bursa.model.schema import FREQS, INT_NULL, Kind
from bursa.model.venue import Venue
from bursa.store import emission, rows, tables
from bursa.store.emission import Text
from bursa.store.engine import POINT, RANGE, WHOLE
from bursa.store.series import Part, longer, near
from bursa.store.tables import BEGINNING, END

HOUR_NS = 3_600_000_000_000
# Kinds that are kept for some days only.
HOT = ("ticks", "quotes", "snapshot", "orderbook")
# Extra rows asked for with the newest or oldest N, so that revisions rarely call for a second try.
SPARE_ROWS = 16
# By event time, and trades of one instant as they came.
TICK_ORDER = ("ts", "seq", "position", "trade_no")
INDEX_ORDER = ("ts", "position")
# A read that finds its relation moved so often gives up until later.
TRIES = 20

T = TypeVar("T")


class Reading(ABC):
    """What can be asked of stored rows of some venues and kinds. Any number of threads may ask at
    once."""

    def __init__(self, venues: Sequence[Venue], kinds: Sequence[Kind]) -> None:
        self.venues, self.kinds = tuple(venues), tuple(kinds)
        self._venues = {venue.name: venue for venue in venues}
        self._kinds = {kind.name: kind for kind in kinds}
        self._dictionaries = {v.name: rows.Dictionary(v.words()) for v in venues}

    # What a store brings

    @abstractmethod
    def _relation(self, venue: str, kind: str, start_ns: int, end_ns: int) -> str:
        """What stands behind FROM to find all rows of a kind with start <= ts < end, each once;
        others may be among them. The same text as long as the same rows are to be found so."""

    @abstractmethod
    def _cursor(self, limit: str, what: str) -> AbstractContextManager[Any]:
        """A cursor of one's own, whose queries end after the time of their class (engine.py)."""

    @abstractmethod
    def _span(self, venue: str, kind: Kind) -> Span:
        """What is committed of a kind."""

    @abstractmethod
    def _known(self, venue: str, ticker: str) -> tuple[int, int] | None:
        """ts of a ticker's first and of its last bar; None where it has none."""

    @abstractmethod
    def span(self, venue: str) -> dict[str, tuple[int, int]]:
        """As ports.Store."""

    # How it is asked

    def steady(
        self,
        venue: str,
        kind: str,
        within: tuple[int, int],
        limit: str,
        read: Callable[[Any, str], T],
    ) -> T:
        """What `read` of a cursor and a relation gives, with a relation that held throughout."""
        source = self._relation(venue, kind, *within)
        for _ in range(TRIES):
            failed, found = None, None
            try:
                with self._cursor(limit, f"{venue}_{kind}") as cursor:
                    found = read(cursor, source)
            except Retry as error:
                failed = error
            before, source = source, self._relation(venue, kind, *within)
            if source == before:
                if failed is not None:
                    raise failed
                return found  # type: ignore[return-value]
        raise Retry(f"store: {venue}_{kind} moves too fast to be read")

    def _rows(
        self,
        venue: str,
        kind: Kind,
        within: tuple[int, int],
        text: Text,
        values: Sequence[Any] = (),
        limit: str = POINT,
    ) -> Batch:
        # What is committed is read first, so that the rows hold at least all up to it.
        span = self._span(venue, kind)

        def read(cursor: Any, source: str) -> Any:
            return cursor.sql(text(source), params=list(values) or None).to_arrow_table()

        found = self.steady(venue, kind.name, within, limit, read)
        return rows.to_batch(found, kind, self._dictionaries[venue], span)

    def _ask(
        self,
        venue: str,
        kind: str,
        within: tuple[int, int],
        text: Text,
        values: Sequence[Any] = (),
        limit: str = RANGE,
    ) -> list[tuple[Any, ...]]:
        def read(cursor: Any, source: str) -> list[tuple[Any, ...]]:
            found: list[tuple[Any, ...]] = cursor.execute(text(source), list(values)).fetchall()
            return found

        return self.steady(venue, kind, within, limit, read)

    def _none(self, venue: str, kind: Kind) -> Batch:
        return empty(kind, self._dictionaries[venue].words, self._span(venue, kind))

    # What is asked

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
        """As ports.Store. The batch's span ends at what was committed before the read: it holds
        all rows of the part asked for up to there."""
        part = Part(start_ns, end_ns, as_of_ns, newest, oldest, columns)
        return self._series(venue, "ohlcv", ticker, part)

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
        """As ports.Store; the span as in `bars`."""
        part = Part(start_ns, end_ns, as_of_ns, newest, oldest, columns)
        return self._series(venue, "metrics", ticker, part)

    def _series(self, venue: str, name: str, ticker: str, part: Part) -> Batch:
        kind = self._kinds[name]
        first, last = self._known(venue, ticker) or (part.end_ns, 0)
        part = replace(part, start_ns=max(part.start_ns, first))
        if part.start_ns >= part.end_ns or part.count == 0:
            return self._none(venue, kind)
        if part.count is None:
            return self._revisions(venue, kind, ticker, part)[0]
        calendar, minutes = self._venues[venue].calendar, part.count
        while (stretch := near(part, minutes, last, calendar)) is not None:
            found, _ = self._revisions(venue, kind, ticker, stretch)
            if len(found) >= part.count:
                return _edge(found, part)
            minutes = longer(minutes, len(found), part.count)
        limit = part.count + part.count // 8 + SPARE_ROWS
        while True:
            found, whole = self._revisions(venue, kind, ticker, part, limit)
            if whole or len(found) >= part.count:
                return _edge(found, part)
            limit *= 4

    def _revisions(
        self, venue: str, kind: Kind, ticker: str, part: Part, limit: int | None = None
    ) -> tuple[Batch, bool]:
        """The newest revision of each row of a part; with `limit`, of so many stored rows from its
        asked-for end, and whether that was all of them."""
        where = "ticker = ? and freq = '1m' and ts >= ? and ts < ?"
        values: list[Any] = [ticker, part.start_ns, part.end_ns]
        if part.as_of_ns is not None:
            where += " and known_at <= ?"
            values.append(part.as_of_ns)
        order = ""
        if limit is not None:
            order = f"order by ts {'desc' if part.newest is not None else 'asc'}, rev desc limit ?"
            values.append(limit)
        symbol = self._dictionaries[venue].ids(kind.columns[kind.index["ticker"]], [ticker])
        fixed = {"ticker": int(symbol[0]), "freq": FREQS.index("1m")} | part.left_out(kind)
        wanted = [column for column in kind.columns if column.name not in fixed]
        span = self._span(venue, kind)

        def read(cursor: Any, source: str) -> Any:
            text = tables.select(source, wanted, where, order)
            return rows.to_block(cursor.execute(text, values).fetchnumpy(), kind, fixed)

        found = self.steady(venue, kind.name, (part.start_ns, part.end_ns), POINT, read)
        newest = Batch(kind, rows.newest(found, kind), self._dictionaries[venue].words, span)
        return newest, limit is None or found.shape[1] < limit

    def since(self, venue: str, kind: str, start_ns: int) -> Batch:
        """As ports.Store."""
        what = self._kinds[kind]

        def text(source: str) -> str:
            return tables.select(source, what.columns, "ts >= ?", "order by ticker, ts, rev")

        found = self._rows(venue, what, (start_ns, END), text, [start_ns], RANGE)
        return Batch(what, rows.newest(found.block, what, ordered=True), found.words, found.span)

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
        """As ports.Store."""
        kind, within = self._kinds["ohlcv"], (start_ns, end_ns)
        part = emission.Part(kind, start_ns, end_ns, tickers)

        def ask(text: Text, values: list[Any]) -> list[tuple[Any, ...]]:
            return self._ask(venue, "ohlcv", within, text, values, WHOLE)

        def read(text: Text, values: list[Any]) -> Batch:
            return self._rows(venue, kind, within, text, values, WHOLE)

        return emission.pieces(part, after, upto, ask, read)

    def revisions(
        self,
        venue: str,
        kind: str,
        start_ns: int,
        end_ns: int,
        *,
        tickers: Collection[str] | None = None,
    ) -> Batch:
        """As ports.Store."""
        what = self._kinds[kind]
        part = emission.Part(what, start_ns, end_ns, tickers)

        def text(source: str) -> str:
            return tables.select(source, what.columns, part.where)

        return self._rows(venue, what, (start_ns, end_ns), text, part.parameters, RANGE)

    def rows(
        self,
        venue: str,
        kind: str,
        start_ns: int,
        end_ns: int,
        *,
        after: int = -1,
        upto: int = END,
        tickers: Collection[str] | None = None,
    ) -> Batch:
        """As ports.Store."""
        what = self._kinds[kind]
        where = "ts >= ? and ts < ? and position > ? and position <= ?"
        values: list[Any] = [start_ns, end_ns, after, upto]
        if tickers is not None:
            where += f" and {emission.one_of(what.columns[0].name)}"
            values += emission.these(tickers)

        def text(source: str) -> str:
            return tables.select(source, what.columns, where)

        return self._rows(venue, what, (start_ns, end_ns), text, values, RANGE)

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
        """As ports.Store."""
        where, values = "ts >= ? and ts < ?", list[Any]([start_ns, end_ns])
        if tickers is not None:
            where += f" and {emission.one_of(self._kinds[kind].columns[0].name)}"
            values += emission.these(tickers)

        if entered:
            where += " and source is not null"

        def text(source: str) -> str:
            minute = f"ts // {MINUTE_NS} * {MINUTE_NS} as opened"
            counted = f"select {minute}, count(*) from {source} where {where}"
            return f"{counted} group by opened order by opened"

        return [(at, n) for at, n in self._ask(venue, kind, (start_ns, end_ns), text, values)]

    def minute_back(self, venue: str, count: int) -> int:
        """As ports.Store."""

        def text(source: str) -> str:
            return f"select distinct ts from {source} order by ts desc limit 1 offset ?"

        found = self._ask(venue, "ohlcv", (BEGINNING, END), text, [count - 1])
        return int(found[0][0]) if found else INT_NULL

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
        """As ports.Store."""
        part = Part(start_ns, end_ns, None, newest, oldest)
        return self._raw(venue, "ticks", ticker, part, TICK_ORDER)

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
        """As ports.Store."""
        part = Part(start_ns, end_ns, None, newest, oldest)
        return self._raw(venue, "index", code, part, INDEX_ORDER)

    def _raw(self, venue: str, name: str, symbol: str, part: Part, by: Sequence[str]) -> Batch:
        """Rows of one symbol (its column is the kind's first), ascending by some columns."""
        kind = self._kinds[name]
        back = part.newest is not None
        way = "desc" if back else "asc"
        order = "order by " + ", ".join(f"{column} {way}" for column in by)
        values: list[Any] = [symbol, part.start_ns, part.end_ns]
        if part.count is not None:
            order += " limit ?"
            values.append(part.count)
        where = f"{kind.columns[0].name} = ? and ts >= ? and ts < ?"

        def text(source: str) -> str:
            return tables.select(source, kind.columns, where, order)

        found = self._rows(venue, kind, (part.start_ns, part.end_ns), text, values)
        block = np.ascontiguousarray(found.block[:, ::-1]) if back else found.block
        return Batch(kind, block, found.words, found.span)

    def status(self, venue: str, start_ns: int, end_ns: int) -> Batch:
        """As ports.Store."""
        kind = self._kinds["status"]

        def text(source: str) -> str:
            order = "order by ts, position"
            return tables.select(source, kind.columns, "ts >= ? and ts < ?", order)

        return self._rows(venue, kind, (start_ns, end_ns), text, [start_ns, end_ns], RANGE)

    def latest(self, venue: str, kind: str) -> Batch:
        """As ports.Store, ascending by the key's texts."""
        what = self._kinds[kind]
        text = partial(tables.latest, what)
        return self._rows(venue, what, (BEGINNING, END), text, limit=WHOLE)

    def days(self, venue: str, kinds: Sequence[str] = HOT) -> list[date]:
        """As ports.Store."""
        hours: set[int] = set()
        for kind in kinds:

            def text(source: str) -> str:
                return f"select distinct ts // {HOUR_NS} from {source}"

            hours.update(hour for (hour,) in self._ask(venue, kind, (BEGINNING, END), text))
        calendar = self._venues[venue].calendar
        return sorted({calendar.day_of(hour * HOUR_NS) for hour in hours})


def _edge(found: Batch, part: Part) -> Batch:
    """The rows at the asked-for end of a part, `part.count` at most."""
    cut = slice(-part.newest, None) if part.newest is not None else slice(part.oldest)
    return replace(found, block=np.ascontiguousarray(found.block[:, cut]))
