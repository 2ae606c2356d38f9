"""How good what is stored is: rows, nulls, impossible rows, gaps and mismatches, table by table.

A report looks at a venue's newest trading day, or at a week of them, and keeps itself: the next one
tells what changed. Rows are judged by the rules that judge what enters (model/validate.py), minutes
by continuity. A bar that breaks a rule is as good as none: its minute is missing, and so is one of
which trades are stored and no bar. A longer bar is missing where one of its minutes is. Stored bars
are compared with the stored trades they were made of, bars with their metric rows.

Runs in steps, of a job. Its statements: quality_sql.py; its arithmetic over minutes:
quality_bars.py.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Protocol

from bursa.history import quality_sql
from bursa.history.continuity import Evidence, judge_all
from bursa.history.quality_bars import Minutes, Spot, laid, tallies
from bursa.model.batch import Batch
from bursa.model.calendar import DAY_NS
from bursa.model.covered import Coverage, Days
from bursa.model.errors import Refuse
from bursa.model.schema import CONTRACTS, INDEX, OHLCV, ORDERBOOK, QUOTES, SNAPSHOT, TICKS, Kind
from bursa.model.validate import life
from bursa.model.venue import Venue
from bursa.ports import Report, Reports
from bursa.store.sql import Answer, Limits

NAME = "quality"
SPANS = {"day": 1, "week": 7}
# Tickers that traded within so many days before are looked for in those of the report.
SEEN_DAYS = 30
# A statement's limits: rows that break a rule are listed, so many at most.
LIMITS = Limits(rows_max=quality_sql.LISTED_MAX + 1, time_s=60.0)
_TABLES = (TICKS, QUOTES, SNAPSHOT, ORDERBOOK, INDEX, CONTRACTS)
_CHANGES = ("rows", "nulls", "impossible", "gaps", "mismatches")


class Stored(Protocol):
    """What is asked of a store."""

    def select(self, text: str, limits: Limits) -> Answer:
        """One read-only SELECT."""

    def coverage(self, venue: str, first: date, until: date) -> Coverage:
        """As ports.Store."""

    def status(self, venue: str, start_ns: int, end_ns: int) -> Batch:
        """As ports.Store."""

    def span(self, venue: str) -> dict[str, tuple[int, int]]:
        """As ports.Store."""


@dataclass(frozen=True)
class Subject:
    """The venue that is looked at.

    metrics          its kind of metric rows
    closed_until_ns  event time up to which all minutes are closed
    live_ns          newest event time of each channel, 0 where unknown
    now_ns           our clock
    """

    venue: Venue
    store: Stored
    metrics: Kind
    reports: Reports | None
    closed_until_ns: int
    live_ns: Sequence[int]
    now_ns: int


@dataclass
class Figures:
    """One line of a report; None: that is not asked of it. `expected`: bars that should be there,
    less the minutes that are confirmed empty."""

    table: str
    timeframe: str = ""
    rows: int = 0
    nulls: int = 0
    impossible: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    expected: int | None = None
    gaps: int | None = None
    mismatches: int | None = None

    def add(self, reasons: dict[str | None, int]) -> None:
        """Rows by the rule that they break (None: none of them)."""
        self.rows += sum(reasons.values())
        self.nulls += reasons.get("null", 0)
        broken = {word: n for word, n in reasons.items() if word and word != "null" and n}
        self.impossible += sum(broken.values())
        self.reasons = dict(Counter(self.reasons) + Counter(broken))

    def told(self, before: dict[str, Any] | None) -> dict[str, Any]:
        """As JSON, with what changed since the same line of an earlier report."""
        now = {name: getattr(self, name) for name in self.__dataclass_fields__}
        change = None
        if before is not None:
            change = {
                name: now[name] - before[name]
                for name in _CHANGES
                if now[name] is not None and before.get(name) is not None
            }
        return now | {"change": change}


class QualityJob:
    """The job over one order. Making one raises Refuse where nothing is stored."""

    name = NAME

    def __init__(self, subject: Subject, order: dict[str, Any]) -> None:
        span = order.get("span", "day")
        if span not in SPANS:
            raise Refuse(f"span: {span!r}; allowed: {', '.join(SPANS)}", parameter="span")
        self._subject, self._span = subject, span
        self._venue, self._store = subject.venue, subject.store
        self._spans = subject.store.span(subject.venue.name)
        self._days = self._chosen()
        self._life = life(subject.venue, subject.now_ns)
        kinds = (*_TABLES, OHLCV, subject.metrics)
        self._figures = {
            kind.name: Figures(
                f"{self._venue.name}_{kind.name}", "1m" if "freq" in kind.key else ""
            )
            for kind in kinds
        }
        self._spots: list[Spot] = []
        self._longer: list[Figures] = []
        self._tickers = 0
        self._told: dict[str, Any] = {}
        self._done, self._all = 0, len(self._days) * (len(kinds) + 2) + 1

    def _chosen(self) -> list[date]:
        """The trading days to look at: none before the first stored bar."""
        calendar = self._venue.calendar
        if not self._spans or self._subject.closed_until_ns <= 0:
            what = f"{self._venue.name}: no bar is stored yet: there is nothing to report of"
            raise Refuse(what, "no_data", 404)
        last = calendar.day_of(self._subject.closed_until_ns - 1)
        last = last if calendar.is_trading_day(last) else calendar.previous_day(last)
        first = last - timedelta(days=SPANS[self._span] - 1)
        kept = calendar.day_of(min(start for start, _ in self._spans.values()))
        return calendar.days(min(max(first, kept), last), last + timedelta(days=1))

    @property
    def progress(self) -> tuple[int, int]:
        """In statements."""
        return self._done, self._all

    def report(self) -> dict[str, Any]:
        """What was found; empty until all of it is."""
        return self._told

    def close(self) -> None:
        """Nothing is held."""

    def run(self) -> Iterator[None]:
        """Statement by statement, then the minutes, then it is kept."""
        for day in self._days:
            within = self._within(day)
            for kind in (*_TABLES, OHLCV, self._subject.metrics):
                self._count(kind, within)
                self._done += 1
                yield
            self._compare_with_trades(within)
            self._done += 1
            yield
            self._compare_with_metrics(within)
            self._done += 1
            yield
        self._look_for_gaps()
        self._keep()
        self._done += 1

    def _within(self, day: date) -> tuple[int, int]:
        calendar = self._venue.calendar
        return calendar.midnight_ns(day), calendar.midnight_ns(day + timedelta(days=1))

    def _ask(self, text: str) -> list[list[Any]]:
        return self._store.select(text, LIMITS).rows

    # -- rows --------------------------------------------------------------------------------------

    def _count(self, kind: Kind, within: tuple[int, int]) -> None:
        text = quality_sql.counts(self._venue, kind, self._life, within)
        self._figures[kind.name].add({word: int(n) for word, n in self._ask(text)})
        if kind is OHLCV:
            text = quality_sql.broken(self._venue, self._life, within)
            for ticker, ts, reason in self._listed(text):
                word = "null" if reason == "null" else "impossible"
                self._spots.append(Spot(ticker, ts, word))

    def _compare_with_trades(self, within: tuple[int, int]) -> None:
        """Bars that are not what their trades make, and trades without a bar. What is wrong with a
        bar is told once."""
        known = {(spot.ticker, spot.ts) for spot in self._spots}
        until = min(within[1], self._subject.closed_until_ns)
        figures = self._figures["ohlcv"]
        figures.mismatches = figures.mismatches or 0
        for ticker, ts, absent in self._listed(
            quality_sql.differing(self._venue, within[0], until)
        ):
            if (ticker, ts) not in known:
                self._spots.append(Spot(ticker, ts, "absent" if absent else "mismatch"))
                figures.mismatches += not absent

    def _compare_with_metrics(self, within: tuple[int, int]) -> None:
        """Bars without their metric row, and metric rows without a bar."""
        [[bars, without, alone]] = self._ask(quality_sql.metrics_apart(self._venue, within))
        figures = self._figures["metrics"]
        figures.expected = (figures.expected or 0) + int(bars)
        figures.gaps = (figures.gaps or 0) + int(without)
        figures.mismatches = (figures.mismatches or 0) + int(alone)

    def _listed(self, text: str) -> list[list[Any]]:
        found = self._ask(text)
        if len(found) > quality_sql.LISTED_MAX:
            most = f"more than {quality_sql.LISTED_MAX:,} bars of one day"
            what = f"{self._venue.name}: {most} are impossible or differ: repair that day first"
            raise Refuse(what, "too_many", 409)
        return found

    # -- minutes -----------------------------------------------------------------------------------

    def _look_for_gaps(self) -> None:
        venue, calendar = self._venue, self._venue.calendar
        days = Days.of(calendar, self._days[0], self._days[-1] + timedelta(days=1))
        start, end = int(days.midnights[0]), int(days.midnights[-1])
        wide = Days.around(calendar, days.first, days.day(len(days)))
        inner = slice((days.first - wide.first).days, (days.first - wide.first).days + len(days))
        channels = [at for at, channel in enumerate(venue.channels) if channel.ticks]
        stored = self._store.coverage(venue.name, wide.first, wide.day(len(wide)))
        stored = laid(stored, self._seen(start, end))
        evidence = Evidence(
            wide,
            wide.expected(calendar),
            self._store.status(
                venue.name, int(wide.midnights[0]), int(wide.midnights[-1]) + DAY_NS
            ),
            channels,
            stored.heard,
            [self._subject.live_ns[at] for at in channels],
        )
        until = min(end, self._subject.closed_until_ns)
        _, judged = judge_all(start, until, evidence, stored, venue)
        self._tickers = len(stored.tickers)
        judged, received = judged.of_days(inner), stored.received[:, inner]
        minutes = Minutes(days, stored.tickers, judged, received, self._spots)
        bars = self._figures["ohlcv"]
        for tf, tally in tallies(minutes, calendar).items():
            if tf == "1m":
                bars.expected, bars.gaps = tally.expected, tally.gaps
                continue
            self._longer.append(
                Figures(
                    bars.table,
                    tf,
                    tally.bars,
                    tally.nulls,
                    tally.impossible,
                    expected=tally.expected,
                    gaps=tally.gaps,
                    mismatches=tally.mismatches,
                )
            )

    def _seen(self, start_ns: int, end_ns: int) -> list[str]:
        """Tickers of which bars may be missing: a day without any bar is no good day."""
        since = start_ns - SEEN_DAYS * DAY_NS
        return [
            ticker
            for ticker, (first, last) in self._spans.items()
            if first < end_ns and last >= since
        ]

    # -- the report --------------------------------------------------------------------------------

    def _keep(self) -> None:
        subject, calendar = self._subject, self._venue.calendar
        reports = subject.reports
        before = None if reports is None else reports.newest(self._venue.name, self._span)
        earlier = {} if before is None else {_key(row): row for row in before.told["tables"]}
        lines = [self._figures[kind.name] for kind in _TABLES]
        lines += [self._figures["ohlcv"], *self._longer, self._figures["metrics"]]
        tables = [line.told(earlier.get((line.table, line.timeframe))) for line in lines]
        bars = [line for line in tables if line["gaps"] is not None]
        self._told = {
            "venue": self._venue.name,
            "span": self._span,
            "days": [day.isoformat() for day in self._days],
            "until": calendar.text(subject.closed_until_ns),
            "made": calendar.text(subject.now_ns),
            "tickers": self._tickers,
            "holidays_known": all(calendar.knows(day) for day in self._days),
            "complete": not any(
                line["gaps"] or line["nulls"] or line["impossible"] for line in bars
            ),
            "tables": tables,
            "before": None
            if before is None
            else {"made": before.told["made"], "days": before.told["days"]},
        }
        if reports is not None:
            reports.add(Report(self._venue.name, self._span, subject.now_ns, self._told))


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["table"], row["timeframe"]
