"""600 candles over HTTP, from memory and from DuckDB, beside FastAPI with orjson.

Each server is a process of its own with one worker; the client is a raw socket that reads by
Content-Length. Percentiles are those of one client that asks again as soon as it is answered;
`..._rps` is requests a second of CLIENTS connections, `..._cpu_us` the server's CPU for one of
them. Tickers take turns. The peers serve the same rows from memory: FastAPI with its parameters
declared, and as `fastapi-request`, which reads them off the request unchecked.

candles_600_memory_*            /v1/ohlcv, the newest 600
candles_600_memory_rps_streaming  the same while the same worker streams to 100 WebSocket clients,
                                `streaming_frames_s` frames a second (they are one process)
candles_600_store_*             /v1/ohlcv of a range that only the store has, HD along
viewer_600_store_*              /api/v1/candles of such a range; both with a warm file cache
viewer_600_cold_*               the first ask after the store was opened anew on a file that was put
                                out of the machine's file cache; the engine's own buffers hold what
                                the opening reads (ticker and ts of all bars), a host's cache below
                                this machine is out of reach
cold_cached_share               of the store's file, what was in the cache before those asks
"""

import selectors
import socket
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

from benchmarks import report
from benchmarks.load.process import Server, heard, listening, serving
from benchmarks.load.pushing import NAMES

CLIENTS = 4
MEMORY = "/v1/ohlcv/{ticker}?limit=600"
STORE = "/v1/ohlcv/{ticker}?from=2026-11-16&limit=600"
VIEWER = "/api/v1/candles?symbol={ticker}&interval=1m&from=2026-11-16&limit=600"
STREAM_CLIENTS, PUSH_EVERY_MS = 100, 25
PERCENTILES = (50, 95, 99)


class Connection:
    """One keep-alive connection, one request at a time."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"Host: 127.0.0.1:{server.port}\r\n{server.headers}\r\n"
        self._buffer = bytearray(1 << 20)
        self._have, self._need = 0, 0

    def ask(self, path: str) -> None:
        self._have, self._need = 0, 0
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{self._head}".encode())

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


@contextmanager
def connected(server: Server) -> Iterator[Connection]:
    connection = Connection(server)
    try:
        yield connection
    finally:
        connection.socket.close()


def paths(server: Server, form: str, count: int) -> list[str]:
    return [form.format(ticker=f"T{n % server.tickers:03d}") for n in range(count)]


def took_ms(connection: Connection, path: str) -> float:
    began = perf_counter()
    connection.ask(path)
    while not connection.read():
        pass
    return (perf_counter() - began) * 1e3


def one_client(server: Server, form: str, count: int) -> list[float]:
    """p50, p95, p99 in ms."""
    with connected(server) as connection:
        return percentiles([took_ms(connection, path) for path in paths(server, form, count)])


def percentiles(times: Sequence[float]) -> list[float]:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return [cuts[q - 1] for q in PERCENTILES]


def many_clients(server: Server, form: str, count: int) -> list[float]:
    """Requests a second, and the server's CPU (us) for one."""
    waiting = paths(server, form, count)
    cpu_s = server.cpu_s()
    with selectors.DefaultSelector() as ready:
        for _ in range(CLIENTS):
            connection = Connection(server)
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
        rps = count / (perf_counter() - began)
    return [rps, (server.cpu_s() - cpu_s) / count * 1e6]


def answer(server: Server, path: str) -> bytes:
    with connected(server) as connection:
        took_ms(connection, path)
        return connection.body()


def from_memory(servers: dict[str, Server], count: int, rounds: int) -> list[report.Result]:
    """bursa beside its peers."""
    late = report.interleave_each(
        {name: _asking(one_client, server, MEMORY, count) for name, server in servers.items()},
        rounds,
    )
    busy = report.interleave_each(
        {name: _asking(many_clients, s, MEMORY, 2 * count) for name, s in servers.items()}, rounds
    )
    results = []
    for at, q in enumerate(PERCENTILES):
        one = {name: values[at] for name, values in late.items()}
        results += report.against(f"candles_600_memory_p{q}_ms", one, "bursa", "ms")
    rps, cpu = ({name: values[at] for name, values in busy.items()} for at in (0, 1))
    results += report.against("candles_600_memory_rps", rps, "bursa", "requests/s")
    return results + report.against("candles_600_memory_cpu_us", cpu, "bursa", "us of CPU")


def while_streaming(ours: Server, log: Path, count: int, rounds: int) -> list[report.Result]:
    with listening(ours, STREAM_CLIENTS, NAMES, log) as clients:
        ours.tell(f"push {PUSH_EVERY_MS}")
        began = perf_counter()
        rps = [many_clients(ours, MEMORY, count)[0] for _ in range(rounds)]
        seconds = perf_counter() - began
        pushes = int(ours.tell("hush"))
        clients.tell("end")
    frames = len(heard(log))
    assert frames == pushes * STREAM_CLIENTS * len(NAMES), "every frame came"
    name = "candles_600_memory_rps_streaming"
    return [
        report.Result(name, statistics.median(rps), "requests/s"),
        report.Result("streaming_frames_s", frames / seconds, "frames/s"),
    ]


def from_store(ours: Server, count: int, rounds: int, colds: int) -> list[report.Result]:
    """The same rows by both faces, the file cache warm; then the viewer's with a cold one."""
    forms = {"candles_600_store": STORE, "viewer_600_store": VIEWER}
    found = report.interleave_each(
        {name: _asking(one_client, ours, form, count) for name, form in forms.items()}, rounds
    )
    cached, times = [], []
    for path in paths(ours, VIEWER, colds):
        cached.append(float(ours.tell("cold")))
        with connected(ours) as connection:
            times.append(took_ms(connection, path))
    found["viewer_600_cold"] = percentiles(times)
    results = [
        report.Result(f"{name}_p{q}_ms", value, "ms")
        for name, values in found.items()
        for q, value in zip(PERCENTILES, values, strict=True)
    ]
    return [*results, report.Result("cold_cached_share", max(cached), "of the file")]


def _asking(
    run: Callable[[Server, str, int], list[float]], server: Server, form: str, count: int
) -> Callable[[], list[float]]:
    return lambda: run(server, form, count)


def main() -> None:
    options = report.arguments(__doc__)
    tickers, days = (50, 4) if options.quick else (200, 10)
    count, rounds = (300, 3) if options.quick else (2_000, 7)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bursa-http-")))
        ours = stack.enter_context(serving("bursa", folder / "bursa", tickers, days))
        servers = {"bursa": ours}
        for name in ("fastapi", "fastapi-request"):
            servers[name] = stack.enter_context(serving(name, folder / name, min(tickers, 50), 4))
        _check(servers)
        results = from_memory(servers, count, rounds)
        results += while_streaming(ours, folder / "heard.npz", 2 * count, rounds)
        results += from_store(ours, count // 4, rounds, 10 if options.quick else 60)
    report.emit("http", results, options)


def _check(servers: dict[str, Server]) -> None:
    """All give 600 rows of the same fields."""
    import msgspec

    path = MEMORY.format(ticker="T007")
    rows = [msgspec.json.decode(answer(server, path))["data"] for server in servers.values()]
    assert all(len(found) == 600 and list(found[0]) == list(rows[0][0]) for found in rows)
    viewer = msgspec.json.decode(answer(servers["bursa"], VIEWER.format(ticker="T007")))
    assert len(viewer["data"]) == 600


if __name__ == "__main__":
    main()
