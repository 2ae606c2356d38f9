"""A venue over both tiers for tests of what moves between them: rows of every kind on some days."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from bursa.jobs import drain, retention
from bursa.model.batch import Batch, Span, Words
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.schema import FREQS, Column, Kind, topic
from bursa.model.venue import IDX
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.line import kinds
from bursa.pipeline.tiers import tiers_of
from bursa.ports import Committed
from bursa.store.compare import ANY_POSITION, Digest, Slice, digest
from bursa.store.duckdb import DuckStore
from bursa.store.floors import COLD_KINDS
from bursa.store.parquet import ColdStore
from bursa.store.sql import Limits
from bursa.store.tiered import Tiered
from tests.fakes.store import batch_of

DAYS = [date(2025, 11, 17), date(2025, 11, 18), date(2025, 11, 19)]
NEXT = date(2025, 11, 20)
KINDS = {kind.name: kind for kind in kinds()}
COLD = [KINDS[name] for name in COLD_KINDS]
TICKERS = ("BBCA", "BBRI", "TLKM")
KEEP = {
    "ticks": 1,
    "quotes": 1,
    "snapshot": 1,
    "orderbook": 1,
    "index": 2,
    "ohlcv": 2,
    "metrics": 2,
}
Row = dict[str, Any]


def rows_of_day(kind: Kind, day: date, minutes: int = 4, seed: int = 0) -> list[Row]:
    """Rows of three symbols, minute by minute, in order of position; every column has values, and
    nullable ones nulls."""
    rng, opens = Random(f"{kind.name} {day} {seed}"), IDX.calendar.day_open_ns(day)
    base = IDX.calendar.midnight_ns(day) // SECOND_NS
    out = []
    for minute in range(minutes):
        for at, ticker in enumerate(TICKERS):
            row = {c.name: _value(rng, c, ticker) for c in kind.columns}
            row["ts"] = opens + (minute + seed * 10) * MINUTE_NS
            row["position"] = base + (minute + seed * 10) * 10 + at
            for name, value in (("trade_no", at), ("seq", minute), ("rev", 0), ("freq", FREQS[0])):
                if name in row:
                    row[name] = value
            if kind.lists:
                row["depth"] = minute % 3
                for column in kind.lists:
                    row[column.name] = [rng.randrange(9) + 0.5 for _ in range(row["depth"])]
                row["orders"] = [int(value) for value in row["orders"]]
            out.append(row)
    return out


def _value(rng: Random, column: Column, ticker: str) -> Any:
    if column.nullable and rng.random() < 0.3:
        return None
    if column.dtype == "text":
        return ticker if column.words == "symbols" else _words().of(column)[rng.randrange(2)]
    if column.dtype == "float":
        return rng.randrange(1, 10**6) / 100
    return rng.randrange(2) if column.dtype == "flag" else rng.randrange(10**9)


def _words() -> Words:
    return IDX.words()


def batch(kind: Kind, rows: Sequence[Row], upto: int) -> Batch:
    return batch_of(kind, rows, _words(), Span("idx", 1, 0, upto))


class Clock:
    """Stands until it is set."""

    def __init__(self, now_ns: int) -> None:
        self.now = now_ns

    def now_ns(self) -> int:
        return self.now


@dataclass
class Bench:
    """A data folder's store with a runtime of no more than jobs need."""

    data: Path
    telemetry: Telemetry = field(default_factory=Telemetry)
    retain: dict[str, int] = field(default_factory=lambda: dict(KEEP))

    def __post_init__(self) -> None:
        self.data.mkdir(exist_ok=True)
        self.open()

    def open(self) -> None:
        """Anew, as a start does."""
        self.cold = ColdStore(self.data / "cold", [IDX], kinds())
        self.hot = DuckStore(
            self.data / "hot.duckdb",
            [IDX],
            kinds(),
            cold=self.data / "cold",
            colder=self.cold.end_ns,
        )
        self.store = Tiered(self.hot, self.cold)
        newest = IDX.calendar.day_open_ns(NEXT)
        self.runtime: Any = SimpleNamespace(
            venue=IDX,
            parts=SimpleNamespace(store=self.store, state=None),
            tiers=tiers_of(self.store),
            knobs=SimpleNamespace(drain_s=16 * 3600 + 1800, retain_days=self.retain),
            telemetry=self.telemetry,
            clock=Clock(newest),
            newest_ns=newest,
            heard_ns=newest,
            has_feed=True,
            ingest=object(),
            idle=True,
        )

    def close(self) -> None:
        self.store.close()

    def put(self, kind: Kind, rows: Sequence[Row]) -> None:
        """Commit rows; rows of a later write bear later positions, as those of a journal do."""
        name = topic("idx", kind)
        at = self.store.positions().get(name, Committed(0, 1)).position
        upto = max(at + 1, *(row["position"] for row in rows))
        self.store.write([batch(kind, rows, upto)], {name: Committed(upto, 1)})

    def put_late(self, kind: Kind, rows: Sequence[Row]) -> None:
        """Rows that come after all that is there."""
        at = self.store.positions()[topic("idx", kind)].position
        self.put(kind, [row | {"position": at + 1 + n} for n, row in enumerate(rows)])

    def fill(self, days: Sequence[date] = (*DAYS, NEXT), minutes: int = 4) -> None:
        """Rows of every kind that goes cold, on each day."""
        for kind in COLD:
            self.put(kind, [row for day in days for row in rows_of_day(kind, day, minutes)])

    def drain(self, **order: Any) -> dict[str, Any]:
        """One drain; its report."""
        return self.done(drain.make(self.runtime, order))

    def retention(self, **order: Any) -> dict[str, Any]:
        """One retention; its report."""
        return self.done(retention.make(self.runtime, order))

    def done(self, job: Any) -> dict[str, Any]:
        try:
            for _ in job.run():
                pass
        finally:
            job.close()
        report: dict[str, Any] = job.report()
        return report

    def held(self) -> dict[str, Digest]:
        """Kind -> digest of all its rows, hot and cold, as every reader sees them."""
        limits = Limits()

        def of(kind: Kind) -> Digest:
            part = Slice("idx", kind, 0, 2**62, ANY_POSITION)
            return digest(lambda text: self.store.select(text, limits), part)

        with_rows = [kind for kind in COLD if topic("idx", kind) in self.store.positions()]
        return {kind.name: of(kind) for kind in with_rows}

    def files(self) -> dict[str, str]:
        """Every file below the cold folder that counts: its path -> name."""
        folder = self.data / "cold"
        found = folder.glob("idx_*/date=*/*")
        return {str(path.parent.relative_to(folder)): path.name for path in sorted(found)}

    def hashes(self) -> dict[tuple[str, date], str]:
        """(kind, day) -> hash of the rows of its file."""
        return {
            (kind.name, sealed.day): sealed.hash
            for kind in COLD
            for sealed in self.cold.all("idx", kind.name)
        }

    def hot_days(self, kind: str) -> list[date]:
        return list(self.hot.days("idx", (kind,)))


def following(day: date) -> int:
    """Midnight behind a day, ns UTC."""
    return IDX.calendar.midnight_ns(day + timedelta(days=1))
