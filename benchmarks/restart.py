"""A whole restart of idx: `bursa up` from its start until /ready, with a year of stored bars.

700 tickers, 245 days of 330 minutes, in a third of which a ticker trades, about 20 million bars
(--quick: 8 days), each closed day sorted as in a folder that ran; three days of metric rows. The
journal behind them is gone but for its end, so that a start without a checkpoint brings all metrics
up from the first stored bar.

restart_cold_700_s   without a checkpoint; restart_cold_peak_mb: the most memory it ever took
restart_700_s        from the checkpoint that the first one left at its stop (median); kernels come
                     from the compile cache
restart_700_after_warm_s   of that, what it takes once the kernels are loaded
checkpoint_700_mb    the checkpoint's file; checkpoint_700_parts_mb: its parts
checkpoint_copy_N_ms   for how long taking in waits while the state of N symbols is copied, and
checkpoint_save_N_s    how long its thread then writes; of an engine that has seen 25 days
                       (--quick: 3)
"""

import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np

from benchmarks import report
from benchmarks.report import Result
from bursa.journal import checkpoint, parts
from bursa.journal.closed import retire
from bursa.journal.record import clock
from bursa.journal.write import JournalWriter
from bursa.metrics.engine import MetricEngine
from bursa.model.batch import Batch, Block, Span, Words
from bursa.model.calendar import DAY_NS, MINUTE_NS
from bursa.model.schema import OHLCV, topic
from bursa.model.venue import IDX
from bursa.pipeline.line import kinds
from bursa.ports import Committed
from bursa.store.duckdb import DuckStore

TICKERS, MINUTES = 700, 330
DAYS, DAYS_QUICK, DAYS_METRICS = 245, 8, 3
SHARE = 0.33
# A Monday's 09:00 on idx.
OPENING = 1_775_440_800 * 10**9
BYTES_A_MINUTE = 512
RECORDS = 2000
ROUNDS, START_S = 5, 600.0
CONFIG = """
[http]
port = 0
[telemetry]
port = 0
[log]
format = "json"
[retention]
ticks_days = 0
"""


class Market:
    """Makes up the bars of some tickers, the same every time."""

    def __init__(self, tickers: int) -> None:
        self.words: Words = IDX.words()
        for number in range(tickers):
            self.words.symbol_id(f"T{number:05d}")
        self._dice = np.random.default_rng(20261120)
        self._close = self._dice.integers(200, 9000, tickers) * 5.0
        self._tickers = tickers

    def minute(self, day: int, nth: int) -> Block:
        """Bars of one minute as rows of OHLCV."""
        trades = np.flatnonzero(self._dice.random(self._tickers) < SHARE)
        steps = self._dice.choice([-10.0, -5.0, 0.0, 5.0, 10.0], len(trades))
        self._close[trades] = close = np.maximum(self._close[trades] + steps, 50.0)
        volume = 100.0 * self._dice.integers(1, 900, len(trades))
        block = np.zeros((len(OHLCV.columns), len(trades)), np.int64)
        found = Batch(OHLCV, block, self.words, Span("idx", 1, 0, 1))
        found.column("open")[:] = close - steps
        found.column("high")[:] = np.maximum(close, close - steps)
        found.column("low")[:] = np.minimum(close, close - steps)
        found.column("close")[:] = found.column("vwap")[:] = close
        found.column("volume")[:] = found.column("delta")[:] = volume
        found.column("value")[:] = volume * close
        ts = OPENING + (day + 2 * (day // 5)) * DAY_NS + nth * MINUTE_NS
        block[OHLCV.index["ticker"]] = trades
        block[OHLCV.index["nth"]] = np.arange(len(trades))
        position = (day * MINUTES + nth + 1) * BYTES_A_MINUTE
        said = {"ts": ts, "trades": 3, "final": 1, "position": position}
        said |= {"known_at": ts + 62 * 10**9, "ts_recv": ts + 59 * 10**9}
        for name, value in said.items():
            block[OHLCV.index[name]] = value
        return block

    def days(self, days: int) -> Iterator[Batch]:
        """The bars of each day, in order of emission."""
        for day in range(days):
            block = np.concatenate([self.minute(day, nth) for nth in range(MINUTES)], axis=1)
            first = day * MINUTES * BYTES_A_MINUTE
            last = int(block[OHLCV.index["position"]][-1])
            yield Batch(OHLCV, block, self.words, Span("idx", 1, first, last))


def say(text: str) -> None:
    """A line for who watches."""
    sys.stderr.write(text + "\n")


def write_journal(folder: Path, end: int) -> int:
    """A journal that goes past an address, of which only the last segment is left; its end."""
    journal = JournalWriter(folder, "idx", now_ns=time.time_ns, segment_bytes=1 << 20)
    while journal.position < end:
        journal.append([clock(0, OPENING)] * RECORDS)
    journal.sync()
    journal.close()
    assert retire(folder, 0, journal.position), "its beginning is gone"
    return journal.position


def prepare(data: Path, days: int) -> int:
    """A data folder of so many days; how many bars it has."""
    end = write_journal(data / "journal" / "idx", days * MINUTES * BYTES_A_MINUTE)
    market = Market(TICKERS)
    engine, bars = MetricEngine(IDX, market.words), 0
    store = DuckStore(data / "hot.duckdb", [IDX], kinds())
    for day, batch in enumerate(market.days(days)):
        rows = [batch]
        if day >= days - DAYS_METRICS:
            rows.append(engine.push(batch))
        last = end if day == days - 1 else batch.span.last
        store.write(rows, {topic("idx", kind): Committed(last, 1) for kind in kinds()})
        if day < days - 1:
            ts = batch.column("ts")
            store.settle("idx", int(ts[0]) // DAY_NS * DAY_NS, int(ts[-1]) + MINUTE_NS)
        bars += len(batch)
    store.close()
    return bars


class Life:
    """One run of the program on the folder, timed until it is ready."""

    def __init__(self, data: Path) -> None:
        config = data.parent / "bursa.toml"
        config.write_text(CONFIG)
        command = [sys.executable, "-m", "bursa", "up", "--data", str(data)]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [*command, "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        url = ""
        for line in self.process.stdout:
            if found := re.match(r"listening (\S+)", line):
                url = found.group(1)
                break
        listening = time.perf_counter()
        self.waited_for: list[str] = []
        while (said := self._ready(url)) is not None:
            self.waited_for.append(said)
            assert time.perf_counter() - began < START_S, said
            time.sleep(0.005)
        now = time.perf_counter()
        self.ready_s, self.after_warm_s = now - began, now - listening

    def _ready(self, url: str) -> str | None:
        """What it waits for; None: it is ready."""
        try:
            with urlopen(f"{url}/ready"):
                return None
        except HTTPError as error:
            return str(json.load(error)["waiting_for"])

    def peak_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found.group(1)) / 1024 if found else 0.0

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        if self.process.stdout is not None:
            self.process.stdout.close()


def starts(days: int, rounds: int) -> list[Result]:
    """Starts on a folder, the first one without a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        began = time.perf_counter()
        bars = prepare(data, days)
        say(f"{bars:,} bars of {days} days written in {time.perf_counter() - began:.0f} s")
        cold = Life(data)
        peak = cold.peak_mb()
        steps = list(dict.fromkeys(said for said in cold.waited_for if "%" in said))
        assert any("stored bars" in said for said in steps), "progress is told"
        say(f"from nothing: {steps[0]} ... {steps[-1]}")
        cold.stop()
        (saved,) = checkpoint.listing(data / "checkpoints" / "idx")
        pieces = sum(p.stat().st_size for p in (saved.path.parent / "parts").iterdir())
        ready, after = [], []
        for _ in range(rounds):
            life = Life(data)
            ready.append(life.ready_s)
            after.append(life.after_warm_s)
            life.stop()
        return [
            Result("restart_700_s", statistics.median(ready), "s"),
            Result("restart_700_after_warm_s", statistics.median(after), "s"),
            Result("restart_cold_700_s", cold.ready_s, "s"),
            Result("restart_cold_peak_mb", peak, "MB"),
            Result("checkpoint_700_mb", saved.path.stat().st_size / 1e6, "MB"),
            Result("checkpoint_700_parts_mb", pieces / 1e6, "MB"),
        ]


def copies(tickers: int, days: int) -> list[Result]:
    """What a checkpoint of so many symbols costs."""
    market = Market(tickers)
    engine = MetricEngine(IDX, market.words)
    for batch in market.days(days):
        engine.push(batch)
    took, saved_s = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for nth in range(5):
            block = market.minute(days, nth)
            engine.push(Batch(OHLCV, block, market.words, Span("idx", 1, 0, 1)))
            began = time.perf_counter()
            state = engine.snapshot()
            took.append(time.perf_counter() - began)
            began = time.perf_counter()
            checkpoint.save(
                folder,
                position=nth + 1,
                epoch=1,
                day=date(2026, 11, 20),
                signature="",
                state=parts.laid(folder, {"engine": state}),
            )
            saved_s.append(time.perf_counter() - began)
    return [
        Result(f"checkpoint_copy_{tickers}_ms", 1000 * statistics.median(took), "ms"),
        Result(f"checkpoint_save_{tickers}_s", statistics.median(saved_s), "s"),
    ]


def measure(quick: bool) -> list[Result]:
    """All of it, for benchmarks/metrics.py."""
    found = starts(DAYS_QUICK if quick else DAYS, 1 if quick else ROUNDS)
    found += copies(TICKERS, 3 if quick else 25)
    return found if quick else found + copies(10_000, 25)


def main() -> None:
    options = report.arguments(__doc__)
    report.emit("restart", measure(options.quick), options)


if __name__ == "__main__":
    main()
