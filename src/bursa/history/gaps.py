"""The gaps of a venue: which bars are missing, of whom, why; and what was filled, read back.

A gap is a stretch of expected bars of one ticker that are missing (continuity.py). When a channel
was cut, many tickers miss the same minutes: those are told together. A range that begins before the
first day of which bars are kept is refused: what is kept no more is no gap.

What fills did is kept, with how many bars they entered and a hash of them, so that anybody can look
again later. Runs in steps, of a job.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import numpy as np

from bursa.history.continuity import (
    MISSING,
    Asked,
    Evidence,
    Gap,
    Stretches,
    gaps,
    minutes_asked,
    proved,
    stretches,
)
from bursa.history.quality_bars import laid
from bursa.model.batch import Batch
from bursa.model.calendar import DAY_NS, MINUTE_NS
from bursa.model.covered import Coverage, Covered, Days
from bursa.model.errors import Refuse
from bursa.model.schema import OHLCV, SOURCES
from bursa.model.timeframe import parse
from bursa.model.venue import Venue
from bursa.ports import Report, Reports

NAME = "gaps"
# Under which word reports of fills are kept.
SPAN = "gaps"
DAYS = 7
# Of all tickers at once; longer ranges are asked of some.
DAYS_MAX = 100
# Tickers that traded within so many days before count as instruments of the range.
SEEN_NS = 30 * DAY_NS
TOLD_MAX, NAMED_MAX, FILLS_MAX = 1_000, 5, 1_000
_TICKERS_A_STEP = 50
# What a bar says, its revision and whence it came; not when and where it was entered.
_CONTENT = ("ts", "rev", "open", "high", "low", "close", "volume", "value", "trades", "source")
_REPAIR = SOURCES.index("repair")


class Stored(Protocol):
    """What is asked of a store (ports.Store)."""

    def covered(self, venue: str, ticker: str, first: Any, until: Any) -> Covered:
        """Which minutes of a ticker have bars."""

    def coverage(self, venue: str, first: Any, until: Any) -> Coverage:
        """The same of every ticker."""

    def status(self, venue: str, start_ns: int, end_ns: int) -> Batch:
        """Status rows."""

    def span(self, venue: str) -> dict[str, tuple[int, int]]:
        """Ticker -> ts of its first and of its last bar."""

    def revisions(
        self, venue: str, kind: str, start_ns: int, end_ns: int, *, tickers: Any = None
    ) -> Batch:
        """Every stored bar."""


@dataclass(frozen=True)
class Subject:
    """The venue that is looked at.

    closed_until_ns  event time up to which all minutes are closed
    live_ns          newest event time of each channel, 0 where unknown
    now_ns           our clock
    """

    venue: Venue
    store: Stored
    reports: Reports | None
    closed_until_ns: int
    live_ns: Sequence[int]
    now_ns: int


@dataclass
class _Missing:
    """Bars that some tickers miss alike."""

    bars: int
    minutes: int
    tickers: list[str]


class GapsJob:
    """The job over one order.

    start_ns, end_ns  the range, ns UTC; bars of `tf` that open in it. Without an end up to now
    days              without a start: so many trading days back; without either DAYS of them, or
                      as many as are kept
    tickers           of whom; none named: of all
    fills             ranges [start_ns, end_ns] whose entered bars are read back
    keep              what a fill did, to be kept: {"fills": [...], "open": [...]}

    Making one raises Refuse: `no_data`, `not_kept`, `range_too_long`, `unknown_ticker`.
    """

    name = NAME

    def __init__(self, subject: Subject, order: Mapping[str, Any]) -> None:
        self._subject, self._venue, self._store = subject, subject.venue, subject.store
        self._tf = parse(str(order.get("tf", "1m")))
        self._named = [str(ticker) for ticker in order.get("tickers", ())]
        self._fills = [(int(start), int(end)) for start, end in order.get("fills", ())]
        self._keep: Mapping[str, Any] | None = order.get("keep")
        self._spans = subject.store.span(self._venue.name)
        self._asked = Asked(*self._range(order), subject.closed_until_ns, self._tf)
        self._check()
        self._found: dict[tuple[int, int], _Missing] = {}
        self._totals: dict[str, int] = {}
        self._lost: tuple[Gap, ...] = ()
        self._read_back: list[dict[str, Any]] = []
        self._done, self._all = 0, 1

    def _range(self, order: Mapping[str, Any]) -> tuple[int, int]:
        if not self._spans:
            raise Refuse(f"{self._venue.name} has no bars yet: nothing is known", "no_data", 404)
        calendar, start, end = self._venue.calendar, order.get("start_ns"), order.get("end_ns")
        today = calendar.day_of(max(self._subject.closed_until_ns - 1, 0))
        if end is None:
            end = calendar.midnight_ns(today + timedelta(days=1))
        if start is None:
            day, back = today, int(order.get("days") or DAYS)
            for _ in range(back - calendar.is_trading_day(day)):
                day = calendar.previous_day(day)
            start = calendar.midnight_ns(day)
            start = start if order.get("days") else max(start, self._kept_from())
        if int(start) >= int(end):
            what = (
                f"--from {calendar.text(int(start))} is not before --to {calendar.text(int(end))}"
            )
            raise Refuse(what, "bad_range", 400, "from")
        return int(start), int(end)

    def _kept_from(self) -> int:
        """The beginning of the first day of which a bar is kept."""
        calendar = self._venue.calendar
        return calendar.midnight_ns(calendar.day_of(min(a for a, _ in self._spans.values())))

    def _check(self) -> None:
        """Refuse what cannot be told."""
        unknown = [ticker for ticker in self._named if ticker not in self._spans]
        if unknown:
            what = f"--ticker {unknown[0]}: {self._venue.name} has no bar of it"
            raise Refuse(what, "unknown_ticker", 404, "ticker")
        text, kept = self._venue.calendar.text, self._kept_from()
        if self._asked.start_ns < kept:
            what = f"--from {text(self._asked.start_ns)}: bars of {self._venue.name} are kept from"
            what += f" {text(kept)} on; before that nothing is a gap"
            raise Refuse(what, "not_kept", 400, "from")
        days = (self._asked.end_ns - self._asked.start_ns) // DAY_NS
        if not self._named and days > DAYS_MAX:
            what = f"at most {DAYS_MAX} days of all tickers; name some (--ticker) for {days:,}"
            raise Refuse(what, "range_too_long", 400, "from")

    @property
    def progress(self) -> tuple[int, int]:
        """Tickers, and ranges that are read back."""
        return self._done, self._all

    def run(self) -> Iterator[None]:
        """List, read back, keep."""
        yield from self._list()
        for start_ns, end_ns in self._fills:
            self._read_back.append(self._entered(start_ns, end_ns))
            yield
        if self._keep is not None and self._subject.reports is not None:
            told = merged(self._kept(), self._keep)
            report = Report(self._venue.name, SPAN, self._subject.now_ns, told)
            self._subject.reports.add(report)

    def _list(self) -> Iterator[None]:
        venue, asked = self._venue, self._asked
        start, end = minutes_asked(asked, venue.calendar)
        first = venue.calendar.day_of(start)
        until = venue.calendar.day_of(max(end - 1, start)) + timedelta(days=1)
        days = Days.around(venue.calendar, first, until)
        first, until = days.first, days.day(len(days))
        if self._named:
            self._all = len(self._named)
            for ticker in self._named:
                covered = self._store.covered(venue.name, ticker, first, until)
                self._judge(ticker, covered, self._evidence(days, covered))
                yield
            return
        every = laid(self._store.coverage(venue.name, first, until), self._instruments())
        evidence = self._evidence(days, every)
        proof, self._all = proved(evidence, venue), max(1, len(every.tickers))
        later = {name for name, (a, _) in self._spans.items() if a >= asked.end_ns}
        for at, ticker in enumerate(every.tickers):
            received, late, bad = (
                bits[at] for bits in (every.received, every.backfilled, every.faulty)
            )
            if ticker not in later:
                self._judge(ticker, Covered(received, late, bad, every.heard), evidence, proof)
            if at % _TICKERS_A_STEP == 0:
                yield

    def _instruments(self) -> list[str]:
        """Who traded lately as of the range, or in it: who has no bar at all misses all."""
        start, end = self._asked.start_ns - SEEN_NS, self._asked.end_ns
        return [name for name, (a, b) in self._spans.items() if a < end and b >= start]

    def _evidence(self, days: Days, covered: Covered | Coverage) -> Evidence:
        venue = self._venue
        channels = [at for at, channel in enumerate(venue.channels) if channel.ticks]
        bounds = int(days.midnights[0]), int(days.midnights[-1]) + DAY_NS
        status = self._store.status(venue.name, *bounds)
        live_ns = [self._subject.live_ns[at] for at in channels]
        self._lost = gaps(status, channels, venue.calendar)
        expected = days.expected(venue.calendar)
        return Evidence(days, expected, status, channels, covered.heard, live_ns)

    def _judge(self, ticker: str, covered: Covered, evidence: Evidence, proof: Any = None) -> None:
        proof = proved(evidence, self._venue) if proof is None else proof
        found = stretches(self._asked, evidence, covered, proof, self._venue.calendar)
        for word, bars in found.totals().items():
            self._totals[word] = self._totals.get(word, 0) + bars
        self._take(ticker, found.of(MISSING))
        self._done += 1

    def _take(self, ticker: str, missing: Stretches) -> None:
        for one in missing:
            group = self._found.setdefault(
                (one.start_ns, one.end_ns), _Missing(one.bars, one.minutes, [])
            )
            group.tickers.append(ticker)

    def _entered(self, start_ns: int, end_ns: int) -> dict[str, Any]:
        """How many bars of a range were entered by fills, and a hash of what they say."""
        tickers = self._named or None
        bars = self._store.revisions(
            self._venue.name, OHLCV.name, start_ns, end_ns, tickers=tickers
        )
        source = bars.column("source")
        chosen = np.flatnonzero((source >= 0) & (source != _REPAIR))
        names = np.array([bars.words.symbols[one] for one in bars.block[0, chosen].tolist()], str)
        order = np.lexsort((bars.column("rev")[chosen], bars.column("ts")[chosen], names))
        made = hashlib.blake2b(digest_size=16)
        made.update("\n".join(names[order].tolist()).encode())
        for name in _CONTENT:
            made.update(
                np.ascontiguousarray(bars.block[OHLCV.index[name], chosen[order]]).tobytes()
            )
        return {
            "start_ns": start_ns,
            "end_ns": end_ns,
            "tickers": self._named,
            "rows": len(chosen),
            "hash": made.hexdigest(),
        }

    def _kept(self) -> Mapping[str, Any]:
        reports = self._subject.reports
        kept = None if reports is None else reports.newest(self._venue.name, SPAN)
        return {"fills": [], "open": []} if kept is None else kept.told

    def report(self) -> dict[str, Any]:
        """What is missing, and what was filled before, as JSON."""
        every = sorted(self._found.items())
        return {
            "venue": self._venue.name,
            "tf": self._tf,
            "start_ns": self._asked.start_ns,
            "end_ns": self._asked.end_ns,
            "known_to_ns": minutes_asked(self._asked, self._venue.calendar)[1],
            "tickers": self._done,
            "totals": self._totals,
            "gaps": [self._told(bounds, group) for bounds, group in every[-TOLD_MAX:]],
            "more": max(0, len(every) - TOLD_MAX),
            "days": _days([bounds for bounds, _ in every], self._venue),
            "read_back": self._read_back,
            "kept": dict(self._kept()),
        }

    def _told(self, bounds: tuple[int, int], group: _Missing) -> dict[str, Any]:
        start, end = bounds
        why = next((g for g in self._lost if g.start_ns < end and g.end_ns >= start), None)
        return {
            "start_ns": start,
            "end_ns": end,
            "bars": group.bars,
            "minutes": group.minutes,
            "count": len(group.tickers),
            "tickers": group.tickers[:NAMED_MAX],
            "channel": why.channel if why else None,
            "cause": why.cause if why else None,
            "seq": [why.seq_from, why.seq_to] if why else None,
        }

    def close(self) -> None:
        """Nothing is open."""


def _days(bounds: Sequence[tuple[int, int]], venue: Venue) -> list[tuple[int, int]]:
    """The stretches of days that hold gaps, each from the first minute that is missing to the last:
    what a fill looks at. Days of trading that follow one another are one."""
    calendar, out = venue.calendar, list[tuple[int, int]]()
    for start, end in sorted(bounds):
        if out and (
            end <= out[-1][1]
            or calendar.day_of(start) <= calendar.next_day(calendar.day_of(out[-1][1] - MINUTE_NS))
        ):
            out[-1] = out[-1][0], max(out[-1][1], end)
        else:
            out.append((start, end))
    return out


def merged(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of fills: those of before that this one did not do anew, and its own."""
    key = ("start_ns", "end_ns")
    fresh = {(*(one[name] for name in key), tuple(one["tickers"])) for one in now["fills"]}
    fills = [
        one
        for one in before["fills"]
        if (*(one[name] for name in key), tuple(one["tickers"])) not in fresh
    ]
    fills = [*fills, *now["fills"]]
    return {"fills": fills[-FILLS_MAX:], "open": list(now["open"])[-FILLS_MAX:]}
