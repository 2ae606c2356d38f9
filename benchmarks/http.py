"""600 candles over HTTP: from memory and from DuckDB, beside FastAPI with orjson.

Each server is a process of its own and has one worker; the client is a raw socket that reads by
Content-Length. `..._p95_ms` is one client that asks again as soon as it is answered; `..._rps` is
requests a second of CLIENTS connections. The peer serves the same rows from memory. Tickers take
turns. The store is asked for ranges that the rings do not hold; its file cache is warm.
"""

import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks import report

CLIENTS = 4
MEMORY = "/v1/ohlcv/{ticker}?limit=600"
STORE = "/v1/ohlcv/{ticker}?from=2026-11-16&limit=600"


class Connection:
    """One keep-alive connection, one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f"127.0.0.1:{port}"
        self._buffer = bytearray(1 << 20)
        self._have, self._need = 0, 0

    def ask(self, path: str) -> None:
        self._have, self._need = 0, 0
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    def read(self) -> bool:
        """Take what is there; True when the answer is whole."""
        self._have += self.socket.recv_into(memoryview(self._buffer)[self._have :])
        if not self._need:
            end = self._buffer.find(b"\r\n\r\n", 0, self._have)
            if end >= 0:
                head = bytes(self._buffer[:end]).lower()
                assert head.startswith(b"http/1.1 200"), head
                length = head.split(b"content-length:")[1].split(b"\r\n")[0]
                self._need = end + 4 + int(length)
        return self._need > 0 and self._have >= self._need

    def body(self) -> bytes:
        return bytes(self._buffer[: self._need]).partition(b"\r\n\r\n")[2]


@dataclass
class Server:
    """A server process and how to ask it."""

    port: int
    tickers: int

    def paths(self, form: str, count: int) -> list[str]:
        return [form.format(ticker=f"T{n % self.tickers:03d}") for n in range(count)]

    def p95_ms(self, form: str, count: int) -> float:
        connection = Connection(self.port)
        times = []
        for path in self.paths(form, count):
            began = perf_counter()
            connection.ask(path)
            while not connection.read():
                pass
            times.append((perf_counter() - began) * 1e3)
        connection.socket.close()
        return statistics.quantiles(times, n=20)[-1]

    def rps(self, form: str, count: int) -> float:
        waiting = self.paths(form, count)
        with selectors.DefaultSelector() as ready:
            for _ in range(CLIENTS):
                connection = Connection(self.port)
                ready.register(connection.socket, selectors.EVENT_READ, connection)
                connection.ask(waiting.pop())
            began, busy = perf_counter(), CLIENTS
            while busy:
                for key, _ in ready.select():
                    if not key.data.read():
                        continue
                    if waiting:
                        key.data.ask(waiting.pop())
                    else:
                        ready.unregister(key.fileobj)
                        key.data.socket.close()
                        busy -= 1
            return count / (perf_counter() - began)

    def answer(self, path: str) -> bytes:
        connection = Connection(self.port)
        connection.ask(path)
        while not connection.read():
            pass
        connection.socket.close()
        return connection.body()


@contextmanager
def serving(who: str, folder: Path, tickers: int, days: int) -> Iterator[Server]:
    folder.mkdir()
    process = subprocess.Popen(
        [
            sys.executable, "-m", "benchmarks.load.servers", who, "--folder", str(folder),
            "--tickers", str(tickers), "--days", str(days),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Server(int(process.stdout.readline()), tickers)
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def main() -> None:
    options = report.arguments(__doc__)
    tickers, days = (50, 4) if options.quick else (200, 10)
    count, rounds = (300, 3) if options.quick else (2_000, 7)
    with (
        tempfile.TemporaryDirectory(prefix="bursa-http-") as name,
        serving("bursa", Path(name) / "bursa", tickers, days) as ours,
        serving("fastapi", Path(name) / "fastapi", min(tickers, 50), 4) as peer,
    ):
        _check(ours, peer)
        p95 = report.interleave(
            {
                "bursa": lambda: ours.p95_ms(MEMORY, count),
                "fastapi": lambda: peer.p95_ms(MEMORY, count),
            },
            rounds,
        )
        rps = report.interleave(
            {
                "bursa": lambda: ours.rps(MEMORY, 2 * count),
                "fastapi": lambda: peer.rps(MEMORY, 2 * count),
            },
            rounds,
        )
        store = report.interleave({"bursa": lambda: ours.p95_ms(STORE, count // 4)}, rounds)
    results = [
        *report.against("candles_600_memory_p95_ms", p95, "bursa", "ms"),
        *report.against("candles_600_memory_rps", rps, "bursa", "requests/s"),
        *report.against("candles_600_store_p95_ms", store, "bursa", "ms"),
    ]
    report.emit("http", results, options)


def _check(ours: Server, peer: Server) -> None:
    """Both give 600 rows of the same fields."""
    import msgspec

    rows = [
        msgspec.json.decode(s.answer(MEMORY.format(ticker="T007")))["data"] for s in (ours, peer)
    ]
    assert [len(r) for r in rows] == [600, 600] and rows[0][0].keys() == rows[1][0].keys()
    stored = msgspec.json.decode(ours.answer(STORE.format(ticker="T007")))["data"]
    assert len(stored) == 600 and stored[0]["date"].startswith("2026-11-16")


if __name__ == "__main__":
    main()
