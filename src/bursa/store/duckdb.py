# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are parameters
"""The embedded store: a table a kind in one DuckDB file, and the positions committed with the rows.

One thread writes at a time, any may read: each read sees whole commits only. Rows lie in order of
arrival until a closed range is settled; a read always bears a ts bound, and revisions are resolved
outside the engine (rows.py), which is faster. Does not know rings.py.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from bursa.model.batch import Batch, Span, concat, empty, keep_levels
from bursa.model.errors import Retry
from bursa.model.schema import FREQS, INT_NULL, Kind, table, topic
from bursa.model.venue import Venue
from bursa.ports import Committed
from bursa.store import emission, forward, rows, sql, tables
from bursa.store.engine import Bytes, Engine, Options
from bursa.store.series import Part, longer, near

HOUR_NS = 3_600_000_000_000
# Kinds that are kept for some days only.
HOT = ("ticks", "quotes", "snapshot", "orderbook")
# Extra rows asked for with the newest or oldest N, so that revisions rarely call for a second try.
SPARE_ROWS = 16
# By event time, and trades of one instant as they came.
TICK_ORDER = ("ts", "seq", "position", "trade_no")
INDEX_ORDER = ("ts", "position")


class DuckStore:
    """ports.Store in one file. Where that cannot be opened now, making one raises Retry; one that
    `waits` is away instead, and `positions` tries again. `set_aside` names the files that refused
    to open at the start: their rows and positions are gone from here, and the journal brings them
    again."""

    def __init__(
        self,
        path: Path,
        venues: Sequence[Venue],
        kinds: Sequence[Kind],
        options: Options | None = None,
        waits: bool = False,
    ) -> None:
        self._venues = {venue.name: venue for venue in venues}
        self._kinds = {kind.name: kind for kind in kinds}
        self._dictionaries = {v.name: rows.Dictionary(v.words()) for v in venues}
        self._committed: dict[str, Committed] = {}
        self._spans: dict[str, dict[str, tuple[int, int]]] = {}
        self._lock = Lock()
        self._folded: dict[str, Committed] = {}
        self._engine = Engine(path, options or Options(), self._prepare, waits)
        self._log_bytes = self._engine.log_bytes()
        if self._log_bytes == 0:
            self._folded = dict(self._committed)

    @property
    def set_aside(self) -> tuple[Path, ...]:
        """Files that refused to open, under their new names."""
        return tuple(self._engine.set_aside)

    def _prepare(self, connection: Any) -> None:
        """Bring the tables forward, then read what is committed; called at each opening."""
        forward.bring(connection, tuple(self._venues), tuple(self._kinds.values()))
        found = connection.execute(
            f"select topic, position, epoch from {tables.POSITIONS_TABLE}"
        ).fetchall()
        self._committed = {name: Committed(position, epoch) for name, position, epoch in found}
        self._spans = {venue: self._read_span(connection, venue) for venue in self._venues}

    # Writing

    def positions(self) -> dict[str, Committed]:
        """Topic -> what is committed."""
        if not self._engine.opened:
            with self._lock:
                self._engine.revive()
        return dict(self._committed)

    def write(self, batches: Sequence[Batch], positions: Mapping[str, Committed]) -> None:
        """All rows and positions in one transaction, or none. Rows at or before their topic's
        committed position are left out, so that writing again changes nothing."""
        with self._lock:
            self._engine.revive()
            marks = {
                name: at
                for name, at in positions.items()
                if name not in self._committed or at.position >= self._committed[name].position
            }
            marks = {name: at for name, at in marks.items() if self._committed.get(name) != at}
            fresh = self._uncommitted(batches, positions)
            if not marks and not fresh:
                return
            with self._engine.transaction() as writer:
                for batch in fresh:
                    self._insert(writer, batch)
                self._advance(writer, marks)
            before, self._committed = self._committed, {**self._committed, **marks}
            self._note_fold(before)
            for batch in fresh:
                if batch.kind.name == "ohlcv":
                    self._extend_span(batch)

    def _note_fold(self, before: Mapping[str, Committed]) -> None:
        """A log that shrank was folded into the file: all that was committed before lies there, and
        where nothing of it is left, what was committed just now too."""
        log = self._engine.log_bytes()
        if log == 0:
            self._folded = dict(self._committed)
        elif log < self._log_bytes:
            self._folded = dict(before)
        self._log_bytes = log

    def folded(self, venue: str) -> int:
        """As ports.Store."""
        mine = [at.position for name, at in self._folded.items() if name.startswith(f"{venue}.")]
        return min(mine, default=0)

    def _uncommitted(
        self, batches: Sequence[Batch], positions: Mapping[str, Committed]
    ) -> list[Batch]:
        """One batch a kind, of the rows past the committed positions."""
        groups: dict[str, list[Batch]] = {}
        for batch in batches:
            name = topic(batch.span.source, batch.kind)
            assert name in positions, f"{name}: rows without a position to commit"
            at = self._committed.get(name)
            batch = batch if at is None else _past(batch, at.position)
            if len(batch):
                newest = int(batch.column("position").max())
                assert newest <= positions[name].position, f"{name}: rows past their position"
                groups.setdefault(name, []).append(batch)
        return [concat(group) for group in groups.values()]

    def _insert(self, writer: Any, batch: Batch) -> None:
        venue, kind = batch.span.source, batch.kind
        keyed = kind.name in tables.KEYED
        source = "incoming"
        writer.register(source, (rows.last_of_key(batch) if keyed else batch).to_arrow())
        if keyed:
            writer.execute(tables.delete_keys(venue, kind, source))
        writer.execute(tables.insert(venue, kind, source))
        writer.unregister(source)  # a failed transaction takes it along

    def _advance(self, writer: Any, marks: Mapping[str, Committed]) -> None:
        for text, names in (
            (tables.advance, [name for name in marks if name in self._committed]),
            (tables.enter, [name for name in marks if name not in self._committed]),
        ):
            if names:
                values = [x for n in names for x in (n, marks[n].epoch, marks[n].position)]
                writer.execute(text(len(names)), values)

    def _extend_span(self, bars: Batch) -> None:
        spans = self._spans[bars.span.source]
        ids, at = np.unique(bars.block[bars.kind.index["ticker"]], return_inverse=True)
        first = np.full(len(ids), np.iinfo(np.int64).max)
        last = np.full(len(ids), INT_NULL)
        np.minimum.at(first, at, bars.column("ts"))
        np.maximum.at(last, at, bars.column("ts"))
        for i, low, high in zip(ids.tolist(), first.tolist(), last.tolist(), strict=True):
            ticker = bars.words.symbols[i]
            before = spans.get(ticker, (low, high))
            spans[ticker] = (min(before[0], low), max(before[1], high))

    def settle(self, venue: str, start_ns: int, end_ns: int) -> None:
        """Rewrite the bars and metrics of a closed time range sorted by (ticker, ts), so that long
        histories of one ticker are read fast. Changes no row. About 0.15 s a table and day."""
        with self._lock:
            self._engine.revive()
            for name in ("ohlcv", "metrics"):
                source = table(venue, self._kinds[name])
                inside = "where ts >= ? and ts < ?"
                with self._engine.transaction() as writer:
                    writer.execute(
                        f"create or replace temp table settled as from {source} {inside}",
                        [start_ns, end_ns],
                    )
                    writer.execute(f"delete from {source} {inside}", [start_ns, end_ns])
                    writer.execute(f"insert into {source} from settled order by ticker, ts, rev")
                    writer.execute("drop table settled")

    def drop_before(self, venue: str, kind: str, ts_ns: int) -> int:
        """Delete a kind's rows with ts < ts_ns; returns how many. Their room in the file is used
        again by later rows."""
        with self._lock:
            self._engine.revive()
            with self._engine.transaction() as writer:
                gone: int = writer.execute(
                    f"delete from {table(venue, self._kinds[kind])} where ts < ?", [ts_ns]
                ).fetchone()[0]
            if kind == "ohlcv" and gone:
                with self._engine.reading() as cursor:
                    self._spans[venue] = self._read_span(cursor, venue)
        return gone

    def amend(self, gone: Batch, filled: Batch, fresh: Batch, columns: Collection[str]) -> None:
        """As ports.Store."""
        with self._lock:
            self._engine.revive()
            with self._engine.transaction() as writer:
                for batch, made in (
                    (gone, tables.delete_within),
                    (filled, partial(tables.fill, columns=columns)),
                ):
                    if len(batch):
                        ts = batch.column("ts")
                        writer.register("keys", batch.to_arrow())
                        text = made(batch.span.source, batch.kind, "keys")
                        writer.execute(text, [int(ts.min()), int(ts.max())])
                        writer.unregister("keys")
                if len(fresh):
                    self._insert(writer, fresh)

    # Reading

    def _rows(
        self,
        venue: str,
        kind: Kind,
        text: str,
        values: Sequence[Any] = (),
        fixed: Mapping[str, int] | None = None,
    ) -> Batch:
        # What is committed is read first, so that the rows hold at least all up to it.
        span = self._span(venue, kind)
        with self._engine.reading() as cursor:
            found = cursor.sql(text, params=list(values) or None).to_arrow_table()
        return rows.to_batch(found, kind, self._dictionaries[venue], span, fixed)

    def _span(self, venue: str, kind: Kind) -> Span:
        at = self._committed.get(topic(venue, kind), Committed(0, 0))
        return Span(venue, at.epoch, 0, at.position)

    def _none(self, venue: str, kind: Kind) -> Batch:
        return empty(kind, self._dictionaries[venue].words, self._span(venue, kind))

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
        first, last = self._known(venue).get(ticker, (part.end_ns, 0))
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
        text, span = tables.select(venue, kind, wanted, where, order), self._span(venue, kind)
        with self._engine.reading() as cursor:
            found = rows.to_block(cursor.execute(text, values).fetchnumpy(), kind, fixed)
        newest = Batch(kind, rows.newest(found, kind), self._dictionaries[venue].words, span)
        return newest, limit is None or found.shape[1] < limit

    def since(self, venue: str, kind: str, start_ns: int) -> Batch:
        """Bars (`ohlcv`) or `metrics` of all tickers with ts >= start, ascending by (ticker, ts),
        each its newest revision."""
        what = self._kinds[kind]
        text = tables.select(venue, what, what.columns, "ts >= ?", "order by ticker, ts, rev")
        found = self._rows(venue, what, text, [start_ns])
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
        kind = self._kinds["ohlcv"]
        part = emission.Part(venue, kind, start_ns, end_ns, tickers)
        return emission.pieces(part, after, upto, self._ask, partial(self._rows, venue, kind))

    def _ask(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._engine.reading() as cursor:
            found: list[tuple[Any, ...]] = cursor.execute(text, values).fetchall()
        return found

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
        part = emission.Part(venue, what, start_ns, end_ns, tickers)
        text = tables.select(venue, what, what.columns, part.where)
        return self._rows(venue, what, text, part.parameters)

    def minute_back(self, venue: str, count: int) -> int:
        """Opening of the count-th newest minute that has a bar of any ticker; INT_NULL if the
        store holds fewer."""
        source = table(venue, self._kinds["ohlcv"])
        text = f"select distinct ts from {source} order by ts desc limit 1 offset ?"
        with self._engine.reading() as cursor:
            found = cursor.execute(text, [count - 1]).fetchone()
        return INT_NULL if found is None else int(found[0])

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
        """Trades with start <= ts < end, ascending by (ts, seq); `newest=N` the last N of them,
        `oldest=N` the first. Empty if none."""
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
        text = tables.select(venue, kind, kind.columns, where, order)
        found = self._rows(venue, kind, text, values)
        block = np.ascontiguousarray(found.block[:, ::-1]) if back else found.block
        return Batch(kind, block, found.words, found.span)

    def status(self, venue: str, start_ns: int, end_ns: int) -> Batch:
        """As ports.Store."""
        kind = self._kinds["status"]
        where, order = "ts >= ? and ts < ?", "order by ts, position"
        text = tables.select(venue, kind, kind.columns, where, order)
        return self._rows(venue, kind, text, [start_ns, end_ns])

    def latest(self, venue: str, kind: str) -> Batch:
        """As ports.Store, ascending by the key's texts."""
        what = self._kinds[kind]
        keys = [name for name in what.key if name != "ts"]
        order = "order by " + ", ".join(keys)
        if "ts" not in what.key:
            return self._rows(venue, what, tables.select(venue, what, what.columns, "true", order))
        source, named = table(venue, what), ", ".join(keys)
        newest = f"select {named}, max(ts) as ts from {source} group by all"
        text = (
            f"select {tables.columns(what.columns, 't.')} from {source} t"
            f" join ({newest}) m using ({named}, ts)"
            f" qualify row_number() over (partition by {named} order by t.position desc) = 1"
            f" {order}"
        )
        return self._rows(venue, what, text)

    def span(self, venue: str) -> dict[str, tuple[int, int]]:
        """As ports.Store."""
        return dict(self._known(venue))

    def _known(self, venue: str) -> dict[str, tuple[int, int]]:
        if not self._engine.opened:
            raise Retry("store: not open")
        return self._spans[venue]

    def _read_span(self, cursor: Any, venue: str) -> dict[str, tuple[int, int]]:
        source = table(venue, self._kinds["ohlcv"])
        text = f"select ticker, min(ts), max(ts) from {source} group by ticker"
        return {ticker: (first, last) for ticker, first, last in cursor.execute(text).fetchall()}

    def days(self, venue: str, kinds: Sequence[str] = HOT) -> list[date]:
        """Days of the venue's clock that have rows of any of these kinds, ascending."""
        hours = " union ".join(
            f"select distinct ts // {HOUR_NS} from {table(venue, self._kinds[kind])}"
            for kind in kinds
        )
        with self._engine.reading() as cursor:
            found = cursor.execute(hours).fetchall()
        calendar = self._venues[venue].calendar
        return sorted({calendar.day_of(hour * HOUR_NS) for (hour,) in found})

    def bytes(self) -> Bytes:
        """Disk in use now."""
        return self._engine.bytes()

    def select(self, text: str, limits: sql.Limits) -> sql.Answer:
        """One read-only SELECT of a person, as sql.py allows it."""
        return self._engine.select(text, limits)

    def close(self) -> None:
        """Fold the log into the file and close. Waits for readers; later calls raise Retry."""
        with self._lock:
            self._engine.close()


def _edge(found: Batch, part: Part) -> Batch:
    """The rows at the asked-for end of a part, `part.count` at most."""
    cut = slice(-part.newest, None) if part.newest is not None else slice(part.oldest)
    return replace(found, block=np.ascontiguousarray(found.block[:, cut]))


def _past(batch: Batch, position: int) -> Batch:
    """The rows of a batch that lie past a position."""
    if batch.span.first >= position:
        return batch
    keep = batch.column("position") > position
    if keep.all():
        return batch
    block = np.ascontiguousarray(batch.block[:, keep])
    return Batch(batch.kind, block, batch.words, batch.span, keep_levels(batch, keep))
