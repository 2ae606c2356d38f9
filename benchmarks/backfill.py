"""History put right: a whole day of idx, made again of its trades, and repaired from its journal.

700 tickers (--quick: 70), the day's trades, prices and statuses without books; all its bars and
metric rows are lost from the store. Each verb is a process of its own on a folder that nobody
holds.

backfill_day_s, backfill_day_mb   `bursa backfill ohlcv`: bars of stored trades, entered by the
                                  journal, and their metrics. The most memory it ever took beyond
                                  what the same verb takes for a minute that has nothing (idle_mb:
                                  the program, its kernels, the venue recovered)
repair_day_s, repair_day_mb       `bursa repair`: all rows put back from the journal
backfill_peak_mb, repair_peak_mb  the most memory that each took, all of the program with it
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
    told = asked if arguments[0] == "replay" else [*asked, "--json"]
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
    found = json.loads(text) if arguments[0] != "replay" else {}
    return found, took, usage.ru_maxrss / 1024


def main() -> None:
    options = report.arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        data, copy = Path(folder) / "data", Path(folder) / "copy"
        bars = prepare(data, TICKERS_QUICK if options.quick else TICKERS)
        shutil.copytree(data, copy)
        of_day = ("--from", DAY.isoformat(), "--to", NEXT.isoformat(), "--tz", "venue")
        empty = ("--from", f"{DAY}T00:00", "--to", f"{DAY}T00:01", "--tz", "venue")
        _, _, idle_mb = life(data, "backfill", "ohlcv", *empty)
        made, made_s, made_mb = life(data, "backfill", "ohlcv", *of_day)
        assert made["written"] >= bars and made["metrics"] == made["written"], made
        back, back_s, back_mb = life(copy, "repair", DAY.isoformat())
        assert back["kinds"]["ohlcv"]["written"] == bars, back
    sys.stderr.write(f"{bars:,} bars\n")
    results = [
        Result("backfill_day_s", made_s, "s"),
        Result("backfill_day_mb", made_mb - idle_mb, "MB"),
        Result("repair_day_s", back_s, "s"),
        Result("repair_day_mb", back_mb - idle_mb, "MB"),
        Result("backfill_peak_mb", made_mb, "MB"),
        Result("repair_peak_mb", back_mb, "MB"),
        Result("idle_mb", idle_mb, "MB"),
    ]
    report.emit("backfill", results, options)


if __name__ == "__main__":
    main()
