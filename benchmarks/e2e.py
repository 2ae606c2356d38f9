"""From the exchange's socket to the client's: latency, CPU and what is lost, with three processes.

A sender (SoupBinTCP, four fifths books of 10 levels), bursa with journal and store on (books
sampled at 1 s a ticker), and a process with 100 WebSocket clients of 50 tickers each, throttle 0.
The latency of a trade is from handing it to the sender's socket to the first partial bar at a
client that contains it. Offered rates 12,000, 100,000 and 1,000,000 messages/s, then as fast as
the socket takes them; `sustained` is what was sent and committed, over the time from the first
message to the last commit.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np

from benchmarks import report
from benchmarks.load.messages import VOLUME

CONFIG = """data = "{data}"
[http]
port = 0
[telemetry]
port = {telemetry}
[log]
level = "warning"
[feeds.load]
venue = "idx"
idxdata = "127.0.0.1:{idxdata}"
itchdata = "127.0.0.1:{itchdata}"
"""
TICK_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """What one offered rate gave."""

    sent: int
    trades: int
    stored: int
    decoded: float
    refused: float
    seconds: float
    until_committed: float
    cores: float
    latency_ms: np.ndarray
    frames: int

    @property
    def lost(self) -> int:
        return self.trades - self.stored + self.sent - int(self.decoded)


def measure(rate: str, seconds: float, clients: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="bursa-e2e-") as name:
        folder = Path(name)
        sender = _start(
            "benchmarks.load.sender",
            "--rate",
            rate,
            "--seconds",
            str(seconds),
            "--log",
            f"{folder}/sent.npz",
        )
        processes = [sender]
        try:
            ports = json.loads(_line(sender))
            telemetry = _free_port()
            (folder / "bursa.toml").write_text(
                CONFIG.format(data=folder / "data", telemetry=telemetry, **ports)
            )
            bursa = _start("bursa", "up", "--config", f"{folder}/bursa.toml")
            processes.append(bursa)
            url = _url(bursa)
            return _run(Sides(sender, bursa, url, telemetry, folder, processes), seconds, clients)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()


@dataclass
class Sides:
    """The processes of one run."""

    sender: subprocess.Popen[str]
    bursa: subprocess.Popen[str]
    url: str
    telemetry: int
    folder: Path
    processes: list[subprocess.Popen[str]]


def _run(sides: Sides, seconds: float, clients: int) -> Run:
    listening = None
    if clients:
        listening = _start(
            "benchmarks.load.clients",
            "--url", sides.url.replace("http", "ws") + "/v1/stream",
            "--clients", str(clients), "--log", f"{sides.folder}/seen.npz",
        )  # fmt: skip
        sides.processes.append(listening)
        assert _line(listening) == "ready"
    _wait_for(lambda: _sum(sides.telemetry, "bursa_feed_up") == 2)
    _tell(sides.sender, "go")
    began, cpu = time.monotonic(), _cpu(sides.bursa.pid)
    counts = json.loads(_line(sides.sender))
    cores = (_cpu(sides.bursa.pid) - cpu) / (time.monotonic() - began)
    trades, sent = counts["trades"], counts["trades"] + counts["books"]
    _wait_for(lambda: _sum(sides.telemetry, 'bursa_store_rows_total{kind="ticks"') >= trades, 120)
    until_committed = time.monotonic() - began
    decoded = _sum(sides.telemetry, "bursa_messages_total")
    refused = _sum(sides.telemetry, "bursa_rejected_total")
    if listening is not None:
        time.sleep(0.5)
        _tell(listening, "end")
        _line(listening)
    sides.bursa.send_signal(signal.SIGTERM)
    assert sides.bursa.wait(60) == 0, "bursa did not stop cleanly"
    answer = subprocess.run(
        [sys.executable, "-m", "bursa", "sql", "select count(*) as n from idx_ticks",
         "--data", f"{sides.folder}/data", "--format", "json"],
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    stored = json.loads(answer.stdout)[0]["n"]
    latency, frames = _latency(sides.folder) if clients else (np.empty(0), 0)
    overhead = 2 + 2 * int(time.monotonic() - began + 2)  # session states and heartbeats
    decoded = min(decoded, sent) if decoded - sent <= overhead else decoded
    return Run(
        sent,
        trades,
        stored,
        decoded,
        refused,
        counts["seconds"],
        until_committed,
        cores,
        latency,
        frames,
    )


def _latency(folder: Path) -> tuple[np.ndarray, int]:
    """For each (trade, client that was told): ms from its sending to the first frame with it."""
    sent, seen = np.load(folder / "sent.npz"), np.load(folder / "seen.npz")
    minute = sent["ts"] // 60_000_000_000 * 60
    key = sent["ticker"] * 10**11 + minute
    order = np.argsort(key, kind="stable")
    key, clock = key[order], sent["sent"][order]
    starts = np.searchsorted(key, seen["ticker"] * 10**11 + seen["minute"])
    nth = (seen["volume"] / VOLUME).astype(np.int64) - 1  # the newest trade inside that frame
    at = starts + nth
    known = (at < len(key)) & (nth >= 0)
    same = np.zeros(len(at), bool)
    same[known] = key[at[known]] == (seen["ticker"] * 10**11 + seen["minute"])[known]
    latency = (seen["clock"][same] - clock[at[same]]) / 1e6
    # Of a client's frames with the same newest trade (a bar's close repeats it) the first counts.
    _, first = np.unique(seen["client"][same] * len(key) + at[same], return_index=True)
    return latency[first], len(seen["clock"])


def _start(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, f"{process.args!r} ended with {process.poll()}"
    return line


def _url(bursa: subprocess.Popen[str]) -> str:
    while not (line := _line(bursa)).startswith("listening "):
        pass
    return line.removeprefix("listening ")


def _tell(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _sum(port: int, prefix: str) -> float:
    text = urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    lines = [line for line in text.splitlines() if line.startswith(prefix)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def _wait_for(reached: Any, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > until:
            return
        time.sleep(0.2)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK_S


def main() -> None:
    options = report.arguments(__doc__)
    quick = options.quick
    results: list[report.Result] = []
    lost = 0
    runs = [measure("12000", 6 if quick else 20, 100) for _ in range(1 if quick else 3)]
    for name, q in (("p50_ms_12000", 50), ("p99_ms_12000", 99)):
        value = statistics.median(float(np.percentile(r.latency_ms, q)) for r in runs)
        results.append(report.Result(name, value, "ms"))
    results.append(report.Result("cpu_12000", statistics.median(r.cores for r in runs), "cores"))
    frames = statistics.median(r.frames / r.seconds for r in runs)
    results.append(report.Result("frames_12000", frames, "frames/s"))
    steps = (
        ("100000", 3 if quick else 10),
        ("1000000", 3 if quick else 30),
        ("max", 3 if quick else 10),
    )
    for rate, seconds in steps:
        run = measure(rate, seconds, 0)
        runs.append(run)
        name = "sustained" if rate == "max" else f"offered_{rate}"
        results.append(report.Result(name, run.sent / run.until_committed, "messages/s"))
        results.append(report.Result(f"cpu_{rate}", run.cores, "cores"))
    lost = sum(r.lost for r in runs)
    results.append(report.Result("sent", sum(r.sent for r in runs), "messages"))
    results.append(report.Result("stored", sum(r.stored for r in runs), "ticks"))
    results.append(report.Result("lost", lost, "rows"))
    report.emit("e2e", results, options)


if __name__ == "__main__":
    main()
