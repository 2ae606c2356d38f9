"""Processes of a benchmark: a server that is told what to do, and WebSocket clients of it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass
class Process:
    """A child that answers each line with a line, and ends when its standard input does."""

    running: subprocess.Popen[str]

    def line(self) -> str:
        """The next line it prints."""
        assert self.running.stdout is not None
        found = self.running.stdout.readline().strip()
        if not found:
            sys.exit(f"{self.running.args!r} ended with {self.running.poll()}")
        return found

    def tell(self, words: str) -> str:
        """Say something; its answer."""
        assert self.running.stdin is not None
        self.running.stdin.write(words + "\n")
        self.running.stdin.flush()
        return self.line()

    def cpu_s(self) -> float:
        """CPU time of all its threads so far, from the kernel's clock of the process."""
        return time.clock_gettime((~self.running.pid << 3) | 2)


@contextmanager
def started(module: str, *arguments: object) -> Iterator[Process]:
    """`python -m benchmarks.load.MODULE ARGUMENTS`, ended with the block."""
    command = [sys.executable, "-m", f"benchmarks.load.{module}", *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdin is not None
        try:
            yield Process(running)
        finally:
            running.stdin.close()
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                running.kill()


@dataclass
class Server(Process):
    """A server of `benchmarks.load.servers`; `headers` are the lines that its clients send."""

    port: int
    tickers: int
    headers: str = ""


@contextmanager
def serving(who: str, folder: Path, tickers: int, days: int) -> Iterator[Server]:
    """A server of some made-up past, listening."""
    folder.mkdir()
    options = ("--folder", folder, "--tickers", tickers, "--days", days)
    with started("servers", who, *options) as process:
        yield Server(process.running, int(process.line()), tickers)


@contextmanager
def listening(server: Server, clients: int, names: tuple[str, ...], log: Path) -> Iterator[Process]:
    """Clients of a server's stream, all of them subscribed to some tickers' bars. `heard` reads
    what they log when they are told `end`."""
    url = f"ws://127.0.0.1:{server.port}/v1/stream"
    options = ("--url", url, "--clients", clients, "--names", ",".join(names), "--log", log)
    with started("clients", *options) as process:
        assert process.line() == "ready"
        yield process


def heard(log: Path) -> NDArray[np.float64]:
    """ms from the push of each bar (its volume is the clock then, us) to the client's having it."""
    seen = np.load(log)
    return (seen["clock"] - seen["volume"] * 1e3) / 1e6
