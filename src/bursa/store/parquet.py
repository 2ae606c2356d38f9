# ruff: noqa: S608 -- names come from the schema, paths from the data folder
"""The cold store: closed days for good, a file a kind and day (cold_days.py has their names).

A file never changes under its name, and what counts is what lies there. One that cannot be read is
set aside at opening, never deleted. What footers and bars tell again and again is kept in a cache
(cold_index.py). Who writes files: duckdb.py, between `begin` and `adopt`. How rows are asked for:
reading.py.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from bursa.model.batch import Span
from bursa.model.errors import Refuse, Retry
from bursa.model.schema import INT_NULL, Kind
from bursa.model.venue import Venue
from bursa.ops.logs import logger
from bursa.store import cold_days, cold_file, compare
from bursa.store.cold_days import Files, Sealed
from bursa.store.cold_file import Form
from bursa.store.cold_index import Facts, Index, Spans
from bursa.store.cold_look import Looks
from bursa.store.cold_text import mean_bytes
from bursa.store.compare import ANY_POSITION, Digest, Slice
from bursa.store.engine import RANGE, WHOLE, Engine, Options
from bursa.store.floors import COLD_KINDS
from bursa.store.reading import HOT, Reading
from bursa.store.sql import Answer

# What looks at a whole day may take so long.
DAY_S = 600.0
# All files are looked at within so many turns: of 10 years of idx that is 10 GB each day.
SCRUB_TURNS = 30
# Days of which one statement takes the spans; each is 10 ms.
_SPAN_DAYS = 32


class ColdStore(Reading):
    """What is asked of cold days, and how they come and go. Any thread may read; days come and go
    one at a time. Opening one raises Refuse `store_schema` where a file is of a newer program, and
    Retry where the system does not let it look.

    folder      where all of it lies
    looks       each file that is read is looked at once, behind the read (cold_look.py)
    set_aside   files that could not be read, under their new names
    version     another number whenever a file that counts comes or goes
    """

    def __init__(
        self,
        folder: Path,
        venues: Sequence[Venue],
        kinds: Sequence[Kind],
        options: Options | None = None,
        *,
        looks: bool = False,
    ) -> None:
        super().__init__(venues, kinds)
        self.folder = folder.absolute()
        self.version = 0
        self.set_aside: list[Path] = []
        self._log = logger("cold").bind(path=str(folder))
        self._lock = Lock()
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            cold_days.sync_folder(self.folder.parent)
        self._files = Files(self.folder)
        self._telemetry = None if options is None else options.telemetry
        self._engine = Engine(
            None, options or Options(), lambda connection: None, folder=self.folder
        )
        self._looks = Looks(self._looked_at) if looks else None
        # Replaced as a whole, never changed: readers take one and keep it.
        self._days: dict[tuple[str, str], dict[date, Sealed]] = {}
        self._indexes: dict[tuple[str, str], Index] = {}
        for venue in self._venues:
            for kind in COLD_KINDS:
                if kind in self._kinds:
                    self._open(venue, kind)

    # What is there

    def _open(self, venue: str, kind: str) -> None:
        index = self._indexes[venue, kind] = Index(self.folder / f"{venue}_{kind}")
        days: dict[date, Sealed] = {}
        for day, generations in self._files.found(venue, kind).items():
            for sealed in reversed(generations):
                if self._known_file(sealed, index):
                    days[day] = sealed
                    self._files.counts(sealed.path)
                    break
        self._days[venue, kind] = days
        index.keep(sealed.path for sealed in days.values())
        if kind == "ohlcv":
            self._take_spans(venue)
        index.save()

    def _known_file(self, sealed: Sealed, index: Index) -> bool:
        """Know what a file's footer tells. One without a good footer is set aside."""
        facts = index.get(sealed.path)
        if facts is None:
            try:
                facts = Facts(cold_file.form_of(sealed.path), None, "")
            except OSError as error:
                raise Retry(f"cold files cannot be looked at now: {error}") from error
            except ValueError as error:
                new = self._files.put_aside(sealed.path)
                self.set_aside.append(new)
                self._log.error(
                    "cold file cannot be read: set aside", file=str(new), why=str(error)
                )
                return False
            index.put(sealed.path, facts)
        cold_file.check(facts.form, self._kinds[sealed.kind], sealed.path)
        return True

    def kind(self, name: str) -> Kind:
        """A kind with its present columns."""
        return self._kinds[name]

    def sealed(self, venue: str, kind: str, day: date) -> Sealed | None:
        """The file of a day; None where it has none."""
        return self._days.get((venue, kind), {}).get(day)

    def all(self, venue: str, kind: str) -> Sequence[Sealed]:
        """The files of a kind, by day."""
        return list(self._days.get((venue, kind), {}).values())

    def end_ns(self, venue: str, kind: str) -> int:
        """Midnight behind the newest cold day, ns UTC; 0 where there is none."""
        days = self._days.get((venue, kind))
        return self._bounds(venue, next(reversed(days)))[1] if days else 0

    def bytes(self) -> int:
        """Of all files that count."""
        return sum(sealed.bytes for days in self._days.values() for sealed in days.values())

    def _bounds(self, venue: str, day: date) -> tuple[int, int]:
        calendar = self._venues[venue].calendar
        return calendar.midnight_ns(day), calendar.midnight_ns(day + timedelta(days=1))

    # How files come and go

    def begin(self, venue: str, kind: str, day: date) -> Path:
        """The temporary path of a new file, of a name that nobody else has; its folder is there."""
        return self._files.begin(venue, kind, day)

    def abandon(self, file: Path) -> None:
        """Throw away what `begin` gave; no error where nothing was written."""
        self._files.abandon(file)

    def adopt(
        self, venue: str, kind: str, day: date, file: Path, want: Digest | None = None
    ) -> Sealed:
        """Make a written file that of its day: it is read back and compared, synced and renamed.
        Refuse `cold_differs` where its rows are not those of `want`, or not of that day; it is
        thrown away then. The file that it replaces stays until `sweep`."""
        try:
            form, found, upto, spans = self._judge(venue, kind, day, file, want)
        except Refuse:
            self.abandon(file)
            raise
        sha256 = cold_days.sync(file)
        with self._lock:
            sealed = self._files.name(venue, kind, day, file, found)
            index = self._indexes[venue, kind]
            index.put(sealed.path, Facts(form, upto, sha256))
            if kind == "ohlcv":
                index.widen(sealed.path, spans)
            self._count(venue, kind, {**self._days[venue, kind], day: sealed})
        return sealed

    def _judge(
        self, venue: str, kind: str, day: date, file: Path, want: Digest | None
    ) -> tuple[Form, Digest, int | None, Spans]:
        """What a file just written holds: its form, its rows, the newest position among them, and
        of bars the spans."""
        name = f"{venue}_{kind} of {day}"
        try:
            form = cold_file.form_of(file)
        except ValueError as error:
            raise Refuse(
                f"{name} was written, and cannot be read: {error}", "cold_differs"
            ) from error
        found = self._digest(Sealed(venue, kind, day, 0, 0, "", 0, file), form)
        source = cold_file.relation([file], self._kinds[kind], [form])
        with self._cursor(WHOLE, f"look at {venue}_{kind}") as cursor:
            text = f"select max(position), count(*) from {source}"
            [(upto, rows)] = cursor.execute(text).fetchall()
        if rows != found.rows:
            what = f"{rows - found.rows:,} of its rows are of other days"
            raise Refuse(f"{name} was written, and {what}", "cold_differs")
        if want is not None and found != want:
            told = f"{found.rows:,} rows, {found.hash}; to be {want.rows:,} rows, {want.hash}"
            raise Refuse(f"{name} was written as {told}", "cold_differs")
        spans = self._spans_of([file], [form]) if kind == "ohlcv" else {}
        return form, found, upto, spans

    def _count(self, venue: str, kind: str, days: dict[date, Sealed]) -> None:
        """These are the days from now on."""
        self._days = {**self._days, (venue, kind): dict(sorted(days.items()))}
        self.version += 1
        index = self._indexes[venue, kind]
        index.keep(sealed.path for sealed in days.values())
        index.save()

    def drop(self, venue: str, kind: str, day: date) -> int:
        """Remove a day for good; returns bytes given back, 0 where it was not there."""
        with self._lock:
            days = dict(self._days[venue, kind])
            if days.pop(day, None) is None:
                return 0
            self._count(venue, kind, days)
            gone = self._files.remove(venue, kind, day)
            if kind == "ohlcv":
                self._narrow_spans(venue, day)
                self._indexes[venue, kind].save()
        return gone

    def set_apart(self, sealed: Sealed) -> Path:
        """Let a damaged file not count any more; returns its new name, also where somebody else did
        it. Its day is gone from here then, until it is sealed again."""
        with self._lock:
            days = dict(self._days[sealed.venue, sealed.kind])
            counts = days.get(sealed.day) == sealed
            if not counts and not sealed.path.exists():
                return cold_days.aside(sealed.path)
            if counts:
                del days[sealed.day]
                self._count(sealed.venue, sealed.kind, days)
            new = self._files.put_aside(sealed.path)
            self.set_aside.append(new)
            if counts and sealed.kind == "ohlcv":
                self._narrow_after(sealed)
        if self._telemetry is not None:
            self._telemetry.store_set_aside.inc()
        self._log.error("cold file is damaged: set aside", file=str(new))
        return new

    def _narrow_after(self, gone: Sealed) -> None:
        """Spans may say too much: where another file is damaged too, they do until a start."""
        try:
            self._narrow_spans(gone.venue, gone.day)
        except Exception as error:  # noqa: BLE001 -- whatever the engine says
            self._log.warning("spans of cold bars stay as they were", why=str(error))
        self._indexes[gone.venue, gone.kind].save()

    def sweep(self) -> int:
        """Remove replaced files that nobody reads any more, and what was left half written by
        others; returns bytes given back. To be called now and then."""
        return self._files.sweep()

    # What files hold

    def digest(self, sealed: Sealed) -> Digest:
        """Of a file as it is on disk now, by the present columns (those it lacks are null). Refuse
        `cold_damaged` where it cannot be read."""
        facts = self._facts(sealed)
        try:
            return self._digest(sealed, facts.form)
        except Exception as error:
            if why := self.damage(sealed):
                raise Refuse(why, "cold_damaged", 503) from error
            raise

    def _digest(self, sealed: Sealed, form: Form, own: bool = False) -> Digest:
        """By the present columns, or by the file's `own`."""
        kind, venue = self._kinds[sealed.kind], sealed.venue
        kind = form.kind(kind) if own else kind
        source = cold_file.relation([sealed.path], kind, [form])
        of = Slice(venue, kind, *self._bounds(venue, sealed.day), ANY_POSITION, source=source)
        with self._engine.reading(WHOLE, f"digest of {venue}_{kind.name}", DAY_S) as cursor:
            return compare.digest(partial(_answer, cursor), of)

    def damage(self, sealed: Sealed) -> str:
        """What is wrong with a file, "" for nothing; also where it was set aside meanwhile. Reads
        all of it: 1 GB takes a second where its SHA-256 is known; else its pages' checksums and its
        rows are looked at. Raises Retry where the engine cannot do that now."""
        try:
            return self._spoiled(sealed)
        except (OSError, Refuse) as error:
            return f"{sealed.path}: {error}"

    def _spoiled(self, sealed: Sealed) -> str:
        """As `damage`, of what it holds alone; raises OSError where that cannot be looked at."""
        facts = self._facts(sealed)
        if facts.sha256:
            same = cold_days.sha256(sealed.path) == facts.sha256
            return "" if same else f"{sealed.path}: its bytes are not those that were written"
        try:
            cold_file.read_through(sealed.path)
        except ValueError as error:
            return f"{sealed.path}: {error}"
        try:
            found = self._digest(sealed, facts.form, own=True)
        except Retry as away:
            if "damaged" not in str(away):
                raise  # the engine is away, out of memory, at its limit: the file may be good
            return f"{sealed.path}: {away}"
        except Exception as error:  # noqa: BLE001 -- whatever the engine says: it cannot be read
            return f"{sealed.path}: {error}"
        same = (found.rows, found.hash) == (sealed.rows, sealed.hash)
        return "" if same else f"{sealed.path}: it holds {found.rows:,} rows, {found.hash}"

    def scrub(self, venue: str, turn: int) -> Iterator[str]:
        """Look at a part of a venue's files, a file a step: those whose turn it is, so that over
        SCRUB_TURNS turns each is looked at once. Yields "" or what is wrong with one, which is set
        aside then: wrong rows are worse than none."""
        for (of, _), days in self._days.items():
            for sealed in days.values() if of == venue else ():
                if (sealed.day.toordinal() - turn) % SCRUB_TURNS:
                    continue
                yield self._scrubbed(sealed)

    def _scrubbed(self, sealed: Sealed) -> str:
        """ "" or what is wrong with a file, which is set aside then."""
        try:
            why = self._spoiled(sealed)
            return f"{why}; set aside as {self.set_apart(sealed).name}" if why else ""
        except (OSError, Retry) as error:  # of the disk, or of us: the file may be good
            return f"{sealed.path}: {error}" if sealed.path.exists() else ""

    def _looked_at(self, sealed: Sealed) -> None:
        """Of a file whose SHA-256 is known: all else is too long a look for beside, and is left to
        its turn."""
        facts = self._indexes[sealed.venue, sealed.kind].get(sealed.path)
        if facts is None or not facts.sha256:
            return
        why = self._scrubbed(sealed)
        if why and sealed.path.exists():
            self._log.warning("cold file cannot be looked at now", file=str(sealed.path), why=why)

    def sha256(self, sealed: Sealed) -> str:
        """Of a file's bytes as they were written, 64 hexadecimal digits; Refuse `cold_damaged`
        where that is not known any more and the file is damaged."""
        facts = self._facts(sealed)
        if facts.sha256:
            return facts.sha256
        if why := self.damage(sealed):
            raise Refuse(why, "cold_damaged", 503)
        found = cold_days.sha256(sealed.path)
        with self._lock:
            index = self._indexes[sealed.venue, sealed.kind]
            index.put(sealed.path, Facts(facts.form, facts.upto, found))
            index.save()
        return found

    def text_ratio(self, sealed: Sealed) -> float | None:
        """How many bytes of text there were for each byte of a file: its rows in the form of
        cold_text.py, by a sample; None where it has no rows."""
        if not sealed.rows:
            return None
        kind = self._kinds[sealed.kind]
        source = cold_file.relation([sealed.path], kind, [self._facts(sealed).form])
        with self._cursor(WHOLE, f"text form of {sealed.venue}_{sealed.kind}") as cursor:
            return mean_bytes(cursor, kind, source, sealed.rows) * sealed.rows / sealed.bytes

    def _facts(self, sealed: Sealed) -> Facts:
        """A file that counts no more is looked at again."""
        facts = self._indexes[sealed.venue, sealed.kind].get(sealed.path)
        if facts is not None:
            return facts
        try:
            return Facts(cold_file.form_of(sealed.path), None, "")
        except (OSError, ValueError) as error:
            raise Refuse(f"{sealed.path}: {error}", "cold_damaged", 503) from error

    # The spans of bars

    def _spans_of(self, files: Sequence[Path], forms: Sequence[Form]) -> Spans:
        source = cold_file.relation(files, self._kinds["ohlcv"], forms)
        text = f"select ticker, min(ts), max(ts) from {source} group by ticker"
        with self._engine.reading(WHOLE, "spans of cold bars", DAY_S) as cursor:
            found = cursor.execute(text).fetchall()
        return {str(ticker): (int(first), int(last)) for ticker, first, last in found}

    def _take_spans(self, venue: str) -> None:
        """Bring the spans up to the files that are there."""
        index, every = self._indexes[venue, "ohlcv"], self.all(venue, "ohlcv")
        names = {index.name(sealed.path): sealed for sealed in every}
        days = {name.partition("/")[0] for name in names}
        if not {name.partition("/")[0] for name in index.spanned} <= days:
            index.spans, index.spanned = {}, set()  # days are gone: perhaps somebody's first
        index.spanned &= names.keys()
        fresh = [sealed for name, sealed in names.items() if name not in index.spanned]
        if len(fresh) > _SPAN_DAYS:
            self._log.info("reading the spans of cold bars anew", days=len(fresh))
        for at in range(0, len(fresh), _SPAN_DAYS):
            paths = [sealed.path for sealed in fresh[at : at + _SPAN_DAYS]]
            forms = [self._facts(sealed).form for sealed in fresh[at : at + _SPAN_DAYS]]
            spans = self._spans_of(paths, forms)
            for path in paths:
                index.widen(path, spans)

    def _narrow_spans(self, venue: str, gone: date) -> None:
        every, index = self.all(venue, "ohlcv"), self._indexes[venue, "ohlcv"]
        spans_of = {
            sealed.path: partial(self._spans_of, [sealed.path], [self._facts(sealed).form])
            for sealed in every
        }
        index.narrow(f"date={gone}", *self._bounds(venue, gone), spans_of)

    def span(self, venue: str) -> Spans:
        """As ports.Store."""
        return (
            dict(self._indexes[venue, "ohlcv"].spans) if (venue, "ohlcv") in self._indexes else {}
        )

    def _known(self, venue: str, ticker: str) -> tuple[int, int] | None:
        index = self._indexes.get((venue, "ohlcv"))
        return None if index is None else index.spans.get(ticker)

    # How it is read

    def relation(self, venue: str, kind: str, start_ns: int, end_ns: int) -> str | None:
        """What stands behind FROM to find the cold rows of the days in a range (not of the range
        alone): all columns, in the schema's order. None where no day of it is cold."""
        every = self._days.get((venue, kind), {})
        days = list(every)
        calendar = self._venues[venue].calendar
        if not days or start_ns >= end_ns:
            return None
        version = self.version
        low, high = 0, len(days)
        if start_ns > self._bounds(venue, days[0])[0]:
            low = bisect_left(days, calendar.day_of(min(start_ns, self.end_ns(venue, kind))))
        if end_ns < self._bounds(venue, days[-1])[1]:
            high = bisect_right(days, calendar.day_of(max(end_ns - 1, 0)))
        try:
            return self._relation_of([every[day] for day in days[low:high]])
        except Refuse:
            if version == self.version:
                raise
            return self.relation(venue, kind, start_ns, end_ns)  # a file went meanwhile

    def _relation_of(self, of: Sequence[Sealed]) -> str | None:
        if not of:
            return None
        if self._looks is not None:
            self._looks.ask(of)
        forms = [self._facts(sealed).form for sealed in of]
        return cold_file.relation([s.path for s in of], self._kinds[of[0].kind], forms)

    def _relation(self, venue: str, kind: str, start_ns: int, end_ns: int) -> str:
        found = self.relation(venue, kind, start_ns, end_ns)
        return cold_file.relation([], self._kinds[kind], []) if found is None else found

    def _cursor(self, limit: str, what: str) -> AbstractContextManager[Any]:
        return self._engine.reading(limit, f"cold {what}")

    def _span(self, venue: str, kind: Kind) -> Span:
        """Up to the newest position that is known to lie here."""
        index = self._indexes.get((venue, kind.name))
        facts = [] if index is None else map(index.get, self._paths(venue, kind.name))
        return Span(venue, 0, 0, max((f.upto for f in facts if f and f.upto), default=0))

    def _paths(self, venue: str, kind: str) -> Iterator[Path]:
        return (sealed.path for sealed in self._days.get((venue, kind), {}).values())

    def days(self, venue: str, kinds: Sequence[str] = HOT) -> list[date]:
        """As ports.Store; asks no engine."""
        return sorted({day for kind in kinds for day in self._days.get((venue, kind), {})})

    def minute_back(self, venue: str, count: int) -> int:
        """As ports.Store; looks at the newest days first."""
        every, taken = self.all(venue, "ohlcv"), 4
        while True:
            source = self._relation_of(every[-taken:])
            if source is None:
                return INT_NULL
            text = f"select distinct ts from {source} order by ts desc limit 1 offset ?"
            with self._cursor(RANGE, f"{venue}_ohlcv") as cursor:
                found = cursor.execute(text, [count - 1]).fetchall()
            if found:
                return int(found[0][0])
            if taken >= len(every):
                return INT_NULL
            taken *= 4

    def close(self) -> None:
        """Let go of the engine. Waits for readers; later calls raise Retry."""
        if self._looks is not None:
            self._looks.close()
        self._engine.close()


def _answer(cursor: Any, text: str) -> Answer:
    return Answer((), [list(row) for row in cursor.execute(text).fetchall()])
