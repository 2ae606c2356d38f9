# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are parameters
"""The embedded store: a table a kind in one DuckDB file, and the positions committed with the rows.

One thread writes at a time, any may read: each read sees whole commits only. Rows lie in order of
arrival until a closed range is settled. How it is read: reading.py. Does not know rings.py.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bursa.model.batch import Batch, Span, concat, keep_levels
from bursa.model.covered import Coverage, Covered
from bursa.model.errors import Refuse, Retry
from bursa.model.schema import INT_NULL, Kind, table, topic
from bursa.model.venue import Venue
from bursa.ports import Committed
from bursa.store import cold_file, compare, coverage, forward, readmit, rows, sql, tables
from bursa.store.compare import ANY_POSITION, Digest, Slice
from bursa.store.engine import RANGE, WHOLE, Bytes, Engine, Options
from bursa.store.floors import Floors, Split
from bursa.store.reading import Reading
from bursa.store.standing import Standing
from bursa.store.turns import Turns

# What digests and writes a whole day may take so long.
DAY_S = 600.0

T = TypeVar("T")


class DuckStore(Reading):
    """ports.Store in one file. Where that cannot be opened now, making one raises Retry; one that
    `waits` is away instead, and `positions` tries again. `set_aside` names the files that refused
    to open at the start: their rows and positions are gone from here, and the journal brings them
    again.

    cold      the folder of cold files: the engine may read and write there
    colder    as in floors.py
    """

    def __init__(
        self,
        path: Path,
        venues: Sequence[Venue],
        kinds: Sequence[Kind],
        options: Options | None = None,
        waits: bool = False,
        *,
        cold: Path | None = None,
        colder: Callable[[str, str], int] | None = None,
    ) -> None:
        super().__init__(venues, kinds)
        self.floors = Floors(self._venues, self._kinds, colder)
        self._committed: dict[str, Committed] = {}
        self._spans: dict[str, dict[str, tuple[int, int]]] = {}
        self._lock = Turns()
        # (venue, kind) -> what to select the newest cold rows from; of the store of both (tiered).
        self.newest_cold: Callable[[str, str], str | None] = lambda venue, kind: None
        self._doubtful = False
        self._folded: dict[str, Committed] = {}
        self._engine = Engine(path, options or Options(), self._prepare, waits, cold)
        self._log_bytes = self._engine.log_bytes()
        if self._log_bytes == 0:
            self._folded = dict(self._committed)
        self.standing = Standing(
            self._engine, self._lock, self._engine.revive, lambda: self._note_fold(self._committed)
        )

    @property
    def set_aside(self) -> tuple[Path, ...]:
        """Files that refused to open, under their new names."""
        return tuple(self._engine.set_aside)

    def _prepare(self, connection: Any) -> None:
        """Bring the tables forward, then read what is committed; called at each opening."""
        self._in_order = forward.bring(connection, tuple(self._venues), self.kinds)
        self._look(connection)
        self.floors.read(connection, self._committed)

    def _look(self, cursor: Any) -> None:
        """Read what is committed."""
        found = cursor.execute(
            f"select topic, position, epoch from {tables.POSITIONS_TABLE}"
        ).fetchall()
        self._committed = {name: Committed(position, epoch) for name, position, epoch in found}
        self._spans = {venue: self._read_span(cursor, venue) for venue in self._venues}
        self._doubtful = False

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
        with self._lock.live():
            self._engine.revive()
            if self._doubtful:  # a commit of which no answer came may have been one
                with self._engine.reading(RANGE, "what is committed") as cursor:
                    self._look(cursor)
            self.standing.lapse()
            marks = {
                name: at
                for name, at in positions.items()
                if name not in self._committed or at.position >= self._committed[name].position
            }
            marks = {name: at for name, at in marks.items() if self._committed.get(name) != at}
            fresh = self._uncommitted(batches, positions)
            if not marks and not fresh:
                return
            for batch in fresh:
                self.floors.note(batch)
            self._doubtful = True
            with self._engine.transaction() as writer:
                for batch in fresh:
                    self._insert(writer, batch)
                self._advance(writer, marks)
            self._doubtful = False
            before, self._committed = self._committed, {**self._committed, **marks}
            self._note_fold(before)
            for batch in fresh:
                if batch.kind.name == "ohlcv":
                    self._extend_span(batch)

    def refuses(self, batch: Batch) -> str:
        """As ports.Store."""
        if not len(batch):
            return ""
        with self._lock.live():
            self._engine.revive()
            return readmit.refusal(self._engine, partial(self._insert, batch=batch))

    def readmit(self, batch: Batch) -> int:
        """As ports.Store, of the rows that lie here."""
        if not len(batch):
            return 0
        with self._lock:
            self._engine.revive()
            self.floors.note(batch)
            with self._engine.transaction() as writer:
                fresh = readmit.lacking(writer, batch)
                if len(fresh):
                    self._insert(writer, fresh)
            if len(fresh) and batch.kind.name == "ohlcv":
                self._extend_span(fresh)
        return len(fresh)

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
        fresh = (rows.last_of_key(batch) if keyed else batch).to_arrow()
        if not keyed and table(venue, kind) in self._in_order:
            # Takes by place: without a view of the rows and a statement to bind, 0.2 ms less.
            writer.from_arrow(fresh).insert_into(table(venue, kind))
            return
        source = "incoming"
        writer.register(source, fresh)
        if keyed:
            writer.execute(tables.delete_keys(venue, kind, source))
        writer.execute(tables.insert(venue, kind, source))
        writer.unregister(source)  # a failed transaction takes it along

    def _advance(self, writer: Any, marks: Mapping[str, Committed]) -> None:
        for text, values in tables.move(self._committed, marks):
            writer.execute(text, values)

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
                split = self.split(venue, kind)
                left = self.floors.days_before(writer, venue, kind, split.from_ns)
            self.floors.put(venue, kind, replace(split, strays=left | split.thawed))
            if kind == "ohlcv" and gone:
                self._renew_span(venue)
        return gone

    def _renew_span(self, venue: str) -> None:
        with self._engine.reading(RANGE) as cursor:
            self._spans[venue] = self._read_span(cursor, venue)

    def amend(
        self,
        gone: Batch,
        filled: Batch,
        fresh: Batch,
        columns: Collection[str],
        all_here: Callable[[], bool] = lambda: True,
    ) -> None:
        """As ports.Store, of the rows that lie here. Refuse `day_changed` where not `all_here`,
        asked when nobody can let a day go."""
        with self._lock:
            self._engine.revive()
            if not all_here():
                raise Refuse("rows to be amended went cold meanwhile", "day_changed", 409)
            self.floors.note(fresh)
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
            if fresh.kind.name == "ohlcv" and len(fresh):
                self._extend_span(fresh)

    # Days that go cold (floors.py)

    def split(self, venue: str, kind: str) -> Split:
        """Where hot ends and cold begins, and what lies on both sides, as of one moment."""
        return self.floors.of(venue, kind)

    def floor(self, venue: str, kind: str) -> int:
        """All rows with ts >= this are here, ns UTC; 0: all there are."""
        return self.split(venue, kind).from_ns

    def stray_days(self, venue: str, kind: str) -> Sequence[date]:
        """Days before the floor that have rows here, ascending."""
        return sorted(self.split(venue, kind).strays)

    def digest(self, venue: str, kind: str, day: date, beside: Path | None = None) -> Digest:
        """Of the rows of a day that are here; with `beside`, of what `seal` writes."""
        what, (start_ns, end_ns) = self._kinds[kind], self.floors.bounds(venue, day)
        source = self._whole(venue, what, day, beside)
        of = Slice(venue, what, start_ns, end_ns, ANY_POSITION, source=source)
        with self._engine.reading(WHOLE, f"digest of {venue}_{kind}", DAY_S) as cursor:
            return compare.digest(partial(_answer, cursor), of)

    def seal(self, venue: str, kind: str, day: date, file: Path, beside: Path | None) -> None:
        """Write a day's rows to a file, sorted: those that are here and, where the day was cold
        already, those of the file `beside` that none of these replaces. Neither synced nor
        renamed."""
        what, (start_ns, end_ns) = self._kinds[kind], self.floors.bounds(venue, day)
        source = self._whole(venue, what, day, beside)
        by = ", ".join(f'"{name}"' for name in tables.packed_by(what))
        where = f"ts >= {start_ns} and ts < {end_ns}"
        text = tables.select(source, what.columns, where, f"order by {by}")
        with self._engine.reading(WHOLE, f"seal of {venue}_{kind}", DAY_S) as cursor:
            cold_file.write(cursor, text, what, file)

    def _whole(self, venue: str, kind: Kind, day: date, beside: Path | None) -> str:
        """The relation of a day's rows here and in a file. A thawed day is here as a whole."""
        hot = table(venue, kind)
        if beside is None or day in self.split(venue, kind.name).thawed:
            return hot
        start_ns, end_ns = self.floors.bounds(venue, day)
        inside = f"h.ts >= {start_ns} and h.ts < {end_ns}"
        return tables.merged(kind, hot, cold_file.relation([beside], kind), inside)

    def let_go(self, venue: str, kind: str, day: date, proven: Digest) -> int:
        """Delete the rows of a day that lies cold, and move the floor past it; returns how many.
        Refuse `day_changed` where the rows that are here are not those that were proven to lie
        cold: more came meanwhile. One transaction."""
        what, (start_ns, end_ns) = self._kinds[kind], self.floors.bounds(venue, day)
        of = Slice(venue, what, start_ns, end_ns, ANY_POSITION)
        with self._lock:
            self._engine.revive()
            before = self.split(venue, kind)
            from_ns = max(before.from_ns, end_ns)
            warm = before.thawed - {day}
            lost = self._lost_newest(venue, what) if before.from_ns else None
            with self._engine.transaction() as writer:
                found = compare.digest(partial(_answer, writer), of)
                if found != proven:
                    told = f"{table(venue, what)} of {day} has {found.rows:,} rows, {found.hash}"
                    raise Refuse(
                        f"{told}; proven cold are {proven.rows:,}, {proven.hash}",
                        "day_changed",
                        409,
                    )
                strays = self.floors.days_before(writer, venue, kind, from_ns)
                # Readers look on both sides until the rows are gone for good; and where no answer
                # tells whether they are.
                self.floors.put(venue, kind, Split(from_ns, strays | warm, warm))
                if lost is not None:
                    writer.register("lost", lost)
                    names = tables.columns(what.columns)
                    kept = tables.newest(venue, what)
                    writer.execute(f"insert into {kept} ({names}) select {names} from lost")
                    writer.unregister("lost")
                if kind in tables.NEWEST:
                    for statement in tables.keep_newest(venue, what, start_ns, end_ns):
                        writer.execute(statement)
                gone: int = writer.execute(
                    f"delete from {table(venue, what)} where ts >= ? and ts < ?",
                    [start_ns, end_ns],
                ).fetchone()[0]
                self.floors.save(writer, venue, kind, from_ns)
                self.floors.save_thawed(writer, venue, kind, sorted(warm))
            self.floors.put(venue, kind, Split(from_ns, (strays | warm) - {day}, warm))
            if kind == "ohlcv" and gone:
                self._renew_span(venue)
        return gone

    def _lost_newest(self, venue: str, kind: Kind) -> Any:
        """The newest rows that lie cold, an Arrow table, where this store went cold before and has
        kept none of them: it was lost once. None where it has, or they cannot be read now."""
        source = self.newest_cold(venue, kind.name) if kind.name in tables.NEWEST else None
        if source is None:
            return None
        try:
            with self._engine.reading(WHOLE, f"newest of {venue}_{kind.name}", DAY_S) as cursor:
                kept = f"select 1 from {tables.newest(venue, kind)} limit 1"
                if cursor.execute(kept).fetchall():
                    return None
                return cursor.sql(tables.latest(kind, source)).to_arrow_table()
        except Retry:  # a file of the time before is damaged: the day at hand can go all the same
            return None

    def thaw(self, venue: str, kind: str, day: date, file: Callable[[], Path | None]) -> None:
        """Take all rows of a cold day here again, so that they can be changed; its file, if it has
        one by then, does not count from then on, until the day is let go again. One transaction."""
        what, (start_ns, end_ns) = self._kinds[kind], self.floors.bounds(venue, day)
        hot = table(venue, what)
        same = " and ".join(
            f'h."{name}" is not distinct from c."{name}"' for name in tables.identity(what)
        )
        names = tables.columns(what.columns)
        with self._lock:
            self._engine.revive()
            before = self.split(venue, kind)
            # Asked when nobody can let the day go: what it lacks lies here.
            if day in before.thawed or (found := file()) is None:
                return
            cold, warm = cold_file.relation([found], what), before.thawed | {day}
            with self._engine.transaction() as writer:
                writer.execute(
                    f"insert into {hot} ({names}) select {tables.columns(what.columns, 'c.')}"
                    f" from {cold} c where not exists (select 1 from {hot} h"
                    f" where h.ts >= ? and h.ts < ? and {same})",
                    [start_ns, end_ns],
                )
                self.floors.save_thawed(writer, venue, kind, sorted(warm))
                # Readers find the rows here, in the file, or in both: then these count.
                self.floors.put(venue, kind, replace(before, strays=before.strays | {day}))
            self.floors.put(venue, kind, Split(before.from_ns, before.strays | {day}, warm))
            if kind == "ohlcv":
                self._renew_span(venue)

    def beside(self, work: Callable[[Any], T]) -> T:
        """`work` of the writer's connection, in a transaction of its own between two writes: for
        tables that stand beside those of the kinds (coverage.py)."""
        with self._lock:
            self._engine.revive()
            with self._engine.transaction() as writer:
                return work(writer)

    def covered(self, venue: str, ticker: str, first: date, until: date) -> Covered:
        """As ports.Store."""
        return coverage.covered(self, None, self._venues[venue], ticker, first, until)

    def coverage(self, venue: str, first: date, until: date) -> Coverage:
        """As ports.Store."""
        return coverage.coverage(self, None, self._venues[venue], first, until)

    # Reading (reading.py)

    def _relation(self, venue: str, kind: str, start_ns: int, end_ns: int) -> str:
        return table(venue, self._kinds[kind])

    def _cursor(self, limit: str, what: str) -> AbstractContextManager[Any]:
        return self._engine.reading(limit, what)

    def _span(self, venue: str, kind: Kind) -> Span:
        at = self._committed.get(topic(venue, kind), Committed(0, 0))
        return Span(venue, at.epoch, 0, at.position)

    def _known(self, venue: str, ticker: str) -> tuple[int, int] | None:
        return self._spans_of(venue).get(ticker)

    def span(self, venue: str) -> dict[str, tuple[int, int]]:
        """As ports.Store."""
        return dict(self._spans_of(venue))

    def _spans_of(self, venue: str) -> dict[str, tuple[int, int]]:
        if not self._engine.opened:
            raise Retry("store: not open")
        return self._spans[venue]

    def _read_span(self, cursor: Any, venue: str) -> dict[str, tuple[int, int]]:
        source = table(venue, self._kinds["ohlcv"])
        text = f"select ticker, min(ts), max(ts) from {source} group by ticker"
        return {ticker: (first, last) for ticker, first, last in cursor.execute(text).fetchall()}

    def bytes(self) -> Bytes:
        """Disk in use now."""
        return self._engine.bytes()

    def select(self, text: str, limits: sql.Limits, views: sql.Views | None = None) -> sql.Answer:
        """One read-only SELECT of a person, as sql.py allows it; `views` as there."""
        return self._engine.select(text, limits, views)

    def close(self) -> None:
        """Fold the log into the file and close. Waits for readers; later calls raise Retry."""
        with self._lock:
            self._engine.close()


def _answer(cursor: Any, text: str) -> sql.Answer:
    found = cursor.execute(text).fetchall()
    return sql.Answer((), [list(row) for row in found])


def _past(batch: Batch, position: int) -> Batch:
    """The rows of a batch that lie past a position."""
    if batch.span.first >= position:
        return batch
    keep = batch.column("position") > position
    if keep.all():
        return batch
    block = np.ascontiguousarray(batch.block[:, keep])
    return Batch(batch.kind, block, batch.words, batch.span, keep_levels(batch, keep))
