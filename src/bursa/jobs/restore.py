"""`bursa backfill restore`: bars of a file that the store lacks enter it, as a job.

The process that does the job reads the file, piece by piece. Rows that cannot be are kept out and
told by their line; bars that are stored already stay as they are, equal ones and others: those are
counted as mismatches. What is absent enters by the journal (entry.py) with the source `file`, and
behind it the metric rows of those minutes and later ones (onward.py). Given up anywhere and begun
anew, it goes on.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

import numpy as np

from bursa.feeds import bar_file
from bursa.jobs import entry
from bursa.jobs.onward import Onward, steps
from bursa.jobs.restore_rows import REASONS, Bad, RowReader
from bursa.model import validate
from bursa.model.batch import Batch
from bursa.model.calendar import Calendar
from bursa.model.errors import Refuse
from bursa.model.schema import OHLCV, SOURCES
from bursa.model.venue import Venue
from bursa.ops.logs import logger
from bursa.pipeline.runtime import VenueRuntime
from bursa.wire.bar_file import headers as bar_headers
from bursa.wire.bar_file import values as bar_values
from bursa.wire.bar_file.headers import DATE, NEEDED, TIME
from bursa.wire.bar_file.values import Clock

NAME = "restore"
# Bars that are compared and journalled in one step.
ROWS = 8192
EXAMPLES_MAX = 10
PENDING_MAX = 8
# Of the first piece so many rows say by which clock its times make sense.
_SAMPLE = 2_000
_STAGE = 1_000


@dataclass(frozen=True)
class Order:
    """What is to be restored.

    file      absolute path, read by the process that does the job, as its user
    columns   their header -> our column, "" for none: what is not to be found out
    ticker    of all rows, "" where the file says it
    zone      name of that of times that name none; "" is UTC, refused where the times then make no
              sense and by the venue's clock they do
    form      strptime's form of times, "" where it is to be found out
    rejects   file to which rows that are kept out are written, "" for none
    onward    days after the file's last bar whose metric rows follow (onward.py)
    """

    file: str
    columns: dict[str, str]
    ticker: str = ""
    zone: str = ""
    form: str = ""
    rejects: str = ""
    dry_run: bool = False
    onward: int = 0


class Restore:
    """One file for one venue. Making one raises Refuse where the file cannot be read, its columns
    are not clear, or the order makes no sense."""

    name = NAME

    def __init__(self, runtime: VenueRuntime, order: Order) -> None:
        self._runtime, self._order = runtime, order
        self._venue, self._store = runtime.venue, runtime.hot
        zone = ZoneInfo(order.zone or "UTC")
        _check_ticker(order.ticker, self._venue)
        self._rejects = _Rejects(order.rejects)
        self._file = bar_file.opened(Path(order.file))
        try:
            self._headers = bar_headers.match(
                self._file.headers, order.columns, has_ticker=bool(order.ticker)
            )
            self._look(zone)
        except BaseException:
            self._file.close()
            raise
        self._clock = Clock(zone, order.form)
        now_ns = runtime.clock.now_ns()
        watermark = runtime.line.watermark_ns
        self._reader = RowReader(
            self._venue,
            self._headers.taken,
            self._clock,
            validate.life(self._venue, max(now_ns, watermark)),
            ticker=order.ticker,
            newest_ns=entry.settled_ns(runtime),
        )
        self._compared = entry.Compared()
        self._written = 0
        self._bad: list[Bad] = []
        # Bars that were entered and are not committed yet, and up to which position.
        self._pending: deque[tuple[int, Batch]] = deque()
        self._span: tuple[int, int] | None = None
        self._tickers: set[str] = set()
        self._known = set(self._store.span(self._venue.name))
        self._onward: Onward | None = None
        self._metrics_done = 0.0

    @property
    def progress(self) -> tuple[int, int]:
        """Of the file, then of the metrics behind it, in thousandths."""
        read = self._file.done * _STAGE // self._file.total
        if self._order.dry_run:
            return read, _STAGE
        return read + int(self._metrics_done * _STAGE), 2 * _STAGE

    def run(self) -> Iterator[None]:
        """Compare and enter the bars, then the metric rows. Raises Refuse where the file cannot be
        read on, Retry where journal or store are away: what was entered stays."""
        for taken in self._reader.read(self._file):
            for bad in taken.bad:
                self._rejects.add(bad, self._headers.taken.values())
            self._bad += taken.bad[: EXAMPLES_MAX - len(self._bad)]
            for first in range(0, len(taken.bars), ROWS):
                self._enter(_part(taken.bars, first, first + ROWS))
                yield
            yield
        if self._span is not None and not self._order.dry_run:
            # Also where an order before this one, that did not come to its end, wrote the bars.
            first_ns, end_ns = self._span[0], self._span[1] + 1
            within = first_ns, end_ns, self._order.onward
            self._onward = Onward(self._runtime, *within, SOURCES.index("file"))
            yield from steps(self._onward.run(sorted(self._tickers)), self._told)
        self._metrics_done = 1.0

    def _told(self, share: float) -> None:
        self._metrics_done = share

    def _enter(self, bars: Batch) -> None:
        self._await(bars)
        fresh, found = entry.absent(self._store, self._venue, bars, self._reader.compared)
        self._compared.add(found)
        ids = np.unique(bars.block[OHLCV.index["ticker"]]).tolist()
        self._tickers |= {bars.words.symbols[one] for one in ids}
        ts = bars.column("ts")
        low, high = int(ts.min()), int(ts.max())
        before = self._span or (low, high)
        self._span = min(before[0], low), max(before[1], high)
        if len(fresh) and not self._order.dry_run:
            position = entry.enter(self._runtime, fresh, checked=True)
            self._pending.append((position, fresh))
            self._written += len(fresh)

    def _await(self, bars: Batch) -> None:
        """See to it that the store tells of all that was entered of these bars: it is waited for
        where the file has some of them twice, or much is not committed yet."""
        runtime = self._runtime
        if not self._pending:
            entry.wait_committed(runtime, runtime.entered_to)
        while self._pending and self._pending[0][0] <= runtime.committed:
            self._pending.popleft()
        if len(self._pending) > PENDING_MAX:
            entry.wait_committed(runtime, self._pending[0][0])
        if any((entry.match(bars, entered) >= 0).any() for _, entered in self._pending):
            entry.wait_committed(runtime, self._pending[-1][0])

    def report(self) -> dict[str, Any]:
        """What was found and done, as JSON."""
        counts, reader, onward = self._reader.counts, self._reader, self._onward
        return {
            "file": self._order.file,
            "counts": self._file.counts,
            "columns": dict(self._headers.taken),
            "not_read": list(self._headers.left),
            "zone": str(self._clock.zone),
            "times": self._clock.unit,
            "rows": counts.rows,
            "again": counts.again,
            "older": counts.older,
            "bad": sum(counts.reasons.values()),
            "reasons": {word: counts.reasons[word] for word in REASONS if counts.reasons[word]},
            "examples": [asdict(one) for one in self._bad],
            "tickers": len(self._tickers),
            "new_tickers": sorted(self._tickers - self._known)[:EXAMPLES_MAX],
            "new_tickers_count": len(self._tickers - self._known),
            "first": self._span[0] if self._span else None,
            "last": self._span[1] if self._span else None,
            "value_estimated": reader.estimated,
            "absent": self._compared.absent,
            "equal": self._compared.equal,
            "differing": self._compared.differing,
            "mismatches": [asdict(one) for one in self._compared.examples],
            "written": self._written,
            "metric_rows": 0 if onward is None else onward.metrics,
            "later": 0 if onward is None else onward.later,
            "onward_ns": None if onward is None else onward.until_ns,
            "cut": onward is not None and onward.cut,
            "rejects": self._rejects.written,
            "dry_run": self._order.dry_run,
        }

    def close(self) -> None:
        """Give the files back and say what was done."""
        self._file.close()
        self._rejects.close()
        said = self.report()
        logger("restore").info(
            "bars of a file were restored",
            venue=self._venue.name,
            **{k: said[k] for k in ("file", "rows", "bad", "written", "equal", "differing")},
        )

    # -- before anything is written --------------------------------------------------------------

    def _look(self, zone: tzinfo) -> None:
        """Refuse a file whose first rows show that it is not one of 1-minute bars, that its times
        are those of another clock, or that its numbers are written otherwise."""
        taken = self._headers.taken
        columns = [taken[name] for name in ("ts", DATE, TIME) if name in taken]
        amounts = [taken[name] for name in (*NEEDED, "value") if name in taken]
        for piece in self._file.pieces(list(dict.fromkeys([*columns, *amounts]))):
            for name in amounts:
                _check_numbers(piece.columns[name])
            clock = Clock(zone, self._order.form)
            arrays = [piece.columns[name].slice(0, _SAMPLE) for name in columns]
            said = arrays[0] if len(arrays) == 1 else bar_values.joined(arrays[0], arrays[1], clock)
            ns, unread, _ = bar_values.instants(said, clock)
            if unread.all() and bar_values.is_date_alone(clock.sample):
                self._daily(clock.sample)
            if unread.all() and len(unread) and clock.sample:
                what = f"times such as {clock.sample!r} cannot be read; allowed: 2025-01-15 09:30,"
                what += " with seconds or an offset, digits alone, or counted from 1970;"
                raise Refuse(f"{what} --time-format says another form", "unread_times")
            good = ns[ns > 0]
            days = np.unique(good).tolist()
            if len(days) > 1 and not any(self._venue.calendar.local_s(at) for at in days):
                self._daily(self._venue.calendar.text(days[0]))
            self._check_zone(said, good)
            break
        self._file.ragged()
        self._file.done = 0

    def _daily(self, sample: str) -> None:
        what = f"its times, such as {sample}, have no time of day: only 1-minute bars are stored,"
        raise Refuse(f"{what} longer ones are made of them", "not_minutes")

    def _check_zone(self, said: Any, read: Any) -> None:
        calendar = self._venue.calendar
        if self._order.zone or not len(read):
            return
        local, _, _ = bar_values.instants(
            said, Clock(ZoneInfo(calendar.timezone), self._order.form)
        )
        as_utc, as_local = (trading_share(at, calendar) for at in (read, local[local > 0]))
        if as_local > 0.9 and as_utc < 0.3:
            text = calendar.text(int(read[0]))
            what = f"read as UTC, {1 - as_utc:.0%} of its times lie outside {self._venue.name}'s"
            what += f" trading hours (the first one is {text} there); by the venue's clock"
            what += f" {as_local:.0%} lie inside: --tz venue reads them so, --tz UTC insists"
            raise Refuse(what, "zone_unclear", parameter="tz")


def make(runtime: VenueRuntime, order: dict[str, Any]) -> Restore:
    """The job of an order."""
    return Restore(runtime, Order(**order))


def trading_share(ts: Any, calendar: Calendar) -> float:
    """Which share of some instants, int64 (n,) ns UTC, lies within the hours of main trading."""
    inside = 0
    for at in ts.tolist():
        sessions = calendar.sessions(calendar.day_of(at))
        inside += any(s.trading and s.open_ns <= at < s.close_ns for s in sessions)
    return inside / max(1, len(ts))


def _part(batch: Batch, first: int, end: int) -> Batch:
    return replace(batch, block=np.ascontiguousarray(batch.block[:, first:end]))


def _check_numbers(column: Any) -> None:
    if said := bar_values.grouped(column):
        what = f"its numbers, such as {said}, have points between thousands; allowed: digits, and"
        raise Refuse(f"{what} a point before decimals", "grouped_numbers")


def _check_ticker(ticker: str, venue: Venue) -> None:
    if ticker and not re.match(venue.ticker_pattern, ticker):
        what = f"--ticker: {ticker}; a ticker of {venue.name} matches {venue.ticker_pattern}"
        raise Refuse(what, parameter="ticker")


class _Rejects:
    """The file of rows that were kept out: line, reason, what they say by their own headers; it can
    be put right and restored itself."""

    def __init__(self, path: str) -> None:
        self.written = 0
        self._path = path
        self._file: TextIO | None = None
        if path and Path(path).exists():
            raise Refuse(f"--rejects: {path} is there already", parameter="rejects")
        if path and not Path(path).parent.is_dir():
            raise Refuse(f"--rejects: {Path(path).parent} is no folder", parameter="rejects")

    def add(self, bad: Bad, headers: Any) -> None:
        """Write one row. Raises Refuse where the file takes none."""
        if not self._path:
            return
        names: Sequence[str] = list(dict.fromkeys(headers))
        try:
            if self._file is None:
                self._file = open(self._path, "x", newline="", encoding="utf-8")
                csv.writer(self._file).writerow(["line", "reason", *names, "text"])
            row = [bad.values.get(name, "") for name in (*names, "")]
            csv.writer(self._file).writerow([bad.line, bad.reason, *row])
        except OSError as error:
            what = f"--rejects: {self._path} cannot be written: {error.strerror}"
            raise Refuse(what, parameter="rejects") from None
        self.written += 1

    def close(self) -> None:
        """What was added is in the file."""
        if self._file is not None:
            self._file.close()
