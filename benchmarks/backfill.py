"""History put right: a whole day of idx, by each of the verbs that do it.

700 tickers (--quick: 70), the day's trades, prices and statuses without books; all its bars and
metric rows are lost from the store. Each verb is a process of its own on a folder that nobody
holds. `_s`: how long it took; `_peak_mb`: the most memory it ever had, all of the program with it,
which is to be less than 500 MB; `_day_mb`: the same beyond what `backfill ohlcv` has for a minute
that has nothing (idle_mb: the program, its kernels, the venue recovered).

backfill_*   `bursa backfill ohlcv`: bars of stored trades, entered by the journal, their metrics,
             and those of the later bars of which they say something else now
metric_*     `bursa backfill metric`: rows of metrics of bars that are there
journal_*    `bursa backfill journal`: all rows put back from the journal
restore_*    `bursa backfill restore`: the bars of a CSV, entered, their metrics as above
repair_*     `bursa repair`: all rows put back from the journal, and looked at again
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import report
from benchmarks.report import Result
from bursa.exchange.stream import generate
from bursa.journal.write import JournalWriter
from bursa.model.batch import SOUPBIN
from bursa.model.venue import IDX
from bursa.ports import Frames

DAY = date(2025, 11, 20)
NEXT = DAY + timedelta(days=1)
TICKERS, TICKERS_QUICK = 700, 70
# Of the next day so much is told that no bar of the day can be revised any more.
NEXT_MESSAGES = 20_000
RECORD_BYTES = 1 << 18


def records(stream: bytes, most: int) -> Iterator[tuple[int, int, bytes]]:
    """(number of the first message, messages, packets): one record after another."""
    at = begin = count = 0
    first = 1
    while at < len(stream) and first + count <= most:
        size = int.from_bytes(stream[at : at + 2], "big")
        if stream[at + 2] == ord("S"):
            count += 1
        at += 2 + size
        if at - begin >= RECORD_BYTES or at >= len(stream):
            yield first, count, stream[begin:at]
            first, count, begin = first + count, 0, at


def prepare(data: Path, tickers: int) -> int:
    """A folder that was told the day; how many bars it has."""
    writer = JournalWriter(data / "journal" / "idx", "idx", now_ns=time.time_ns)
    for day, most in ((DAY, 1 << 60), (NEXT, NEXT_MESSAGES)):
        for channel, stream in enumerate(generate(day, 7, tickers=tickers, books=False)):
            session = f"{day:%y%m%d}{'DI'[channel]}"
            for first, count, payload in records(bytes(stream), most):
                writer.append([Frames(channel, SOUPBIN, session, first, count, 0, payload)])
    writer.sync()
    writer.close()
    life(data, "replay", str(data / "journal" / "idx"), "--venue", "idx")
    within = f"ts >= {IDX.calendar.midnight_ns(DAY)} and ts < {IDX.calendar.midnight_ns(NEXT)}"
    with duckdb.connect(str(data / "hot.duckdb")) as connection:
        found = connection.execute(f"delete from idx_ohlcv where {within}").fetchone()
        connection.execute(f"delete from idx_metrics where {within}")
    return int(found[0]) if found else 0


def life(data: Path, *arguments: str) -> tuple[dict[str, Any], float, float]:
    """A verb, done by a process: what it told, its seconds, the most megabytes it took."""
    asked = [sys.executable, "-m", "bursa", *arguments, "--data", str(data)]
    told = asked if arguments[0] in ("replay", "export") else [*asked, "--json"]
    with tempfile.TemporaryFile("w+") as out:
        began = time.perf_counter()
        process = subprocess.Popen(
            told, stdout=out, stderr=subprocess.DEVNULL, env={**os.environ, "BURSA_DATA": str(data)}
        )
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        out.seek(0)
        text = out.read()
    assert os.waitstatus_to_exitcode(status) in (0, 1), f"{arguments}: {status}"
    found = json.loads(text) if told is not asked else {}
    return found, took, usage.ru_maxrss / 1024


def main() -> None:
    options = report.arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        data, copy = Path(folder) / "data", Path(folder) / "copy"
        bars = prepare(data, TICKERS_QUICK if options.quick else TICKERS)
        shutil.copytree(data, copy)
        results = measured(data, copy, bars)
    sys.stderr.write(f"{bars:,} bars\n")
    report.emit("backfill", results, options)


def measured(lost: Path, other: Path, bars: int) -> list[Result]:
    """Each verb on a folder that has lost so many bars and their rows, or on the other such one."""
    of_day = ("--from", DAY.isoformat(), "--to", NEXT.isoformat(), "--tz", "venue")
    empty = ("--from", f"{DAY}T00:00", "--to", f"{DAY}T00:01", "--tz", "venue")
    results = []

    def job(name: str, data: Path, *arguments: str) -> dict[str, Any]:
        found, seconds, mb = life(data, *arguments)
        sys.stderr.write(f"{name}: {seconds:.1f} s, {mb:.0f} MB\n")
        results.append(Result(f"{name}_day_s", seconds, "s"))
        results.append(Result(f"{name}_day_mb", mb - idle_mb, "MB"))
        results.append(Result(f"{name}_peak_mb", mb, "MB"))
        return found

    def copy(data: Path) -> Path:
        made = data.with_name(f"{data.name}-copy")
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(data, made)
        return made

    _, _, idle_mb = life(lost, "backfill", "ohlcv", *empty)
    made = job("backfill", copy(lost), "backfill", "ohlcv", *of_day)
    assert made["written"] >= bars and made["metrics"] - made["later"] == made["written"], made
    back = job("repair", copy(other), "repair", DAY.isoformat())
    assert back["kinds"]["ohlcv"]["written"] == bars, back
    back = job("journal", other, "backfill", "journal", *of_day)
    assert back["kinds"]["metrics"]["written"] == bars, back
    file = other.with_name("bars.csv")
    life(other, "export", "ohlcv", *of_day, "--output", str(file))
    within = f"ts >= {IDX.calendar.midnight_ns(DAY)} and ts < {IDX.calendar.midnight_ns(NEXT)}"
    with duckdb.connect(str(other / "hot.duckdb")) as connection:
        connection.execute(f"delete from idx_metrics where {within}")
    filled = job("metric", other, "backfill", "metric", *of_day)
    assert filled["written"] == bars, filled
    taken = job("restore", lost, "backfill", "restore", str(file))
    assert taken["written"] == bars, taken
    return [*results, Result("idle_mb", idle_mb, "MB")]


if __name__ == "__main__":
    main()
