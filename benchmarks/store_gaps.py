"""The store: which minutes of one ticker are missing in ten years, asked as one question.

gaps_10y_s     of one of 700 tickers over ten years of idx, each day entered in the coverage (12
               million rows; --quick: 20 tickers), with the status rows of all those days and 500
               sequence gaps
gaps_10y_mb    memory that it takes at its peak beside what was there before: of the process, as
               the system counts it
gaps_10y_1d_s  the same by days of the calendar; gaps_10y_24x7_s: of a venue that never closes
heat_30d_s     the map of all tickers over 30 days
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import report
from bursa.history.continuity import MISSING, Asked, Evidence, classify, heat, minutes_asked
from bursa.model.calendar import DAY_NS, SECOND_NS
from bursa.model.covered import Days
from bursa.model.schema import MARKET_KINDS, STATES, STATUS
from bursa.model.venue import BINANCE, IDX, Venue
from bursa.store import coverage
from bursa.store.duckdb import DuckStore

FIRST, UNTIL = date(2015, 11, 20), date(2025, 11, 20)
TICKERS, TICKERS_QUICK, GAPS, ASKED = 700, 20, 500, "T013"
_EPOCH = date(1970, 1, 1)


def filled(folder: Path, venue: Venue, tickers: int) -> DuckStore:
    """A store whose coverage holds ten years: each ticker lacks a minute in thirty or so."""
    store = DuckStore(folder / f"{venue.name}.duckdb", [venue], MARKET_KINDS)
    calendar, random = venue.calendar, np.random.default_rng(1)
    names = np.array(["", *(f"T{nth:03d}" for nth in range(tickers))])
    days = Days.of(calendar, FIRST, UNTIL)
    expected = days.expected(calendar)
    shown = np.flatnonzero(expected.any(axis=1))
    for part in np.array_split(shown, max(1, len(shown) // 50)):
        rows = []
        for row in part.tolist():
            words = np.flatnonzero(expected[row])
            shape = (len(names), len(words))
            lost = random.integers(0, 64, shape, np.uint64)
            some = expected[row][words] & ~np.where(
                random.random(shape) < 0.5, np.left_shift(np.uint64(1), lost), np.uint64(0)
            )
            some[0] = expected[row][words]
            rows.append((row, words, some))
        table = pa.table(
            {
                "ticker": np.concatenate([np.repeat(names, len(w)) for _, w, _ in rows]),
                "day": pa.array(
                    np.concatenate(
                        [np.full(some.size, (FIRST - _EPOCH).days + row) for row, _, some in rows]
                    ).astype(np.int32)
                ).cast(pa.date32()),
                "word": np.concatenate([np.tile(w, len(names)) for _, w, _ in rows]),
                "received": np.concatenate([some.ravel() for _, _, some in rows]),
            }
        )
        _insert(store, venue, table)
    return store


def _insert(store: DuckStore, venue: Venue, table: Any) -> None:
    def work(writer: Any) -> None:
        writer.register("incoming", table)
        writer.execute(
            f"insert into {coverage.table(venue.name)} select ticker, day, word, received,"
            " 0::ubigint, 0::ubigint from incoming"
        )
        writer.unregister("incoming")

    store.beside(work)


def statuses(store: DuckStore, venue: Venue) -> None:
    """The sessions of each day, and gaps of a minute."""
    calendar, random = venue.calendar, np.random.default_rng(2)
    rows: list[tuple[int, str, int, int]] = []
    for day in calendar.days(FIRST, UNTIL):
        rows += [(session.open_ns, session.state, 0, 0) for session in calendar.sessions(day)]
        rows.append((calendar.day_end_ns(day), "E", 0, 0))
    at = int(calendar.midnight_ns(FIRST))
    for start in random.integers(at, at + 3650 * DAY_NS, GAPS).tolist():
        rows.append((start + 60 * SECOND_NS, "gap", start, 7))
    index = STATUS.index
    columns: dict[str, Any] = {column.name: [None] * len(rows) for column in STATUS.columns}
    columns["channel"] = [venue.channels[0].name] * len(rows)
    columns["ts"] = [row[0] for row in rows]
    columns["state"] = [row[1] for row in rows]
    columns["ts_from"] = [row[2] or None for row in rows]
    columns["seq_from"] = columns["seq_to"] = [row[3] or None for row in rows]
    assert {"gap", "E"} <= set(STATES) and len(index) == len(columns)

    def work(writer: Any) -> None:
        writer.register("incoming", pa.table(columns))
        writer.execute(f"insert into {venue.name}_status by name select * from incoming")
        writer.unregister("incoming")

    store.beside(work)


def gaps(store: DuckStore, venue: Venue, tf: str = "1m") -> int:
    """How many stretches are missing: all that a ledger does, but for the rings."""
    calendar = venue.calendar
    end = int(calendar.midnight_ns(UNTIL))
    asked = Asked(int(calendar.midnight_ns(FIRST)), end, end, tf)
    start, until = minutes_asked(asked, calendar)
    first = calendar.day_of(start)
    last = calendar.day_of(until - 1) + timedelta(days=1)
    days = Days.of(calendar, first, last)
    covered = store.covered(venue.name, ASKED, first, last)
    status = store.status(venue.name, int(days.midnights[0]), int(days.midnights[-1]) + DAY_NS)
    evidence = Evidence(days, days.expected(calendar), status, [0], covered.heard, [end])
    found = classify(asked, evidence, covered, venue)
    assert found.totals["expected"] > 100
    return len(found.stretches.of(MISSING))


def mapped(store: DuckStore, venue: Venue) -> int:
    """The map of the last thirty days."""
    calendar, first = venue.calendar, UNTIL - timedelta(days=42)
    days = Days.of(calendar, first, UNTIL)
    every = store.coverage(venue.name, first, UNTIL)
    bounds = int(days.midnights[0]), int(days.midnights[-1])
    status = store.status(venue.name, *bounds)
    evidence = Evidence(days, days.expected(calendar), status, [0], every.heard, [bounds[1]])
    _, counts = heat(*bounds, evidence, every, venue)
    return len(counts["missing"])


def seconds(work: Callable[[], object], times: int = 5) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def peak_mb(work: Callable[[], object]) -> float:
    """What the process held at most while it worked, beside what it held before."""
    done = threading.Event()
    before, most = _held(), [0]

    def look() -> None:
        while not done.wait(0.001):
            most[0] = max(most[0], _held())

    watching = threading.Thread(target=look)
    watching.start()
    work()
    done.set()
    watching.join()
    return max(0, most[0] - before) / 2**20


def _held() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def results(folder: Path, quick: bool) -> list[report.Result]:
    """The figures."""
    tickers = TICKERS_QUICK if quick else TICKERS
    idx = filled(folder, IDX, tickers)
    statuses(idx, IDX)
    gaps(idx, IDX)
    found = [
        report.Result("gaps_10y_s", seconds(lambda: gaps(idx, IDX)), "s"),
        report.Result("gaps_10y_mb", peak_mb(lambda: gaps(idx, IDX)), "MB"),
        report.Result("gaps_10y_1d_s", seconds(lambda: gaps(idx, IDX, "1d")), "s"),
        report.Result("heat_30d_s", seconds(lambda: mapped(idx, IDX)), "s"),
    ]
    idx.close()
    always = filled(folder, BINANCE, TICKERS_QUICK)
    statuses(always, BINANCE)
    gaps(always, BINANCE)
    found += [
        report.Result("gaps_10y_24x7_s", seconds(lambda: gaps(always, BINANCE)), "s"),
        report.Result("gaps_10y_24x7_mb", peak_mb(lambda: gaps(always, BINANCE)), "MB"),
    ]
    always.close()
    return found


def main() -> None:
    options = report.arguments(__doc__)
    with tempfile.TemporaryDirectory(prefix="bursa-bench-") as name:
        report.emit("store_gaps", results(Path(name), options.quick), options)


if __name__ == "__main__":
    main()
