"""The stream to many clients: what a frame costs the server, and how late it comes.

A push is a closed bar of each of 5 tickers; every client is subscribed to all five. The server has
one process and one loop, all clients are in a second process. A frame's delay is from its push to
its having been read by the client, whose own time for all the others is in it. The peer is a picows
server that sends the same frames to the same clients, and does nothing else.

send_us               CPU of the server (all threads) for one frame to one client, at 500 clients
p50_ms_N, p99_ms_N    delay with N clients
lost                  frames that were pushed and did not come
"""

import contextlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.load.process import Process, Server, heard, listening, serving
from benchmarks.load.pushing import NAMES

# Clients, and ms between two pushes: 50,000 frames a second in either case.
STEPS = ((500, 50), (2_000, 200))
WARM_S = 0.5


class Side:
    """One server with its clients."""

    def __init__(self, server: Server, clients: Process, log: Path) -> None:
        self._server, self._clients, self._log = server, clients, log
        self.cpu_s, self.pushes = 0.0, 0

    def push(self, every_ms: float, seconds: float) -> None:
        """Push for a while."""
        before = self._server.cpu_s()
        self._server.tell(f"push {every_ms}")
        time.sleep(seconds)
        self.pushes += int(self._server.tell("hush"))
        time.sleep(WARM_S)
        self.cpu_s += self._server.cpu_s() - before

    def delays_ms(self) -> NDArray[np.float64]:
        """Of all frames; the clients end."""
        self._clients.tell("end")
        return heard(self._log)


@dataclass
class Step:
    """What one number of clients gave, by server: delays (ms) of all frames, CPU of one (us)."""

    delays: dict[str, NDArray[np.float64]]
    cost: dict[str, float]
    lost: int


def step(
    servers: dict[str, Server], folder: Path, clients: int, every_ms: float, rounds: int, s: float
) -> Step:
    """All servers in turns with the same number of clients each."""
    with contextlib.ExitStack() as stack:
        sides = {}
        for name, server in servers.items():
            log = folder / f"{name}.npz"
            sides[name] = Side(
                server, stack.enter_context(listening(server, clients, NAMES, log)), log
            )
        for _ in range(rounds):
            for side in sides.values():
                side.push(every_ms, s)
        delays = {name: side.delays_ms() for name, side in sides.items()}
    cost = {name: side.cpu_s / len(delays[name]) * 1e6 for name, side in sides.items()}
    frames = sides["bursa"].pushes * len(NAMES) * clients
    return Step(delays, cost, frames - len(delays["bursa"]))


def main() -> None:
    options = report.arguments(__doc__)
    rounds, seconds = (1, 2.0) if options.quick else (4, 4.0)
    results: list[report.Result] = []
    lost = 0
    with (
        tempfile.TemporaryDirectory(prefix="bursa-ws-") as name,
        serving("bursa", Path(name) / "bursa", len(NAMES), 1) as ours,
        serving("picows", Path(name) / "picows", len(NAMES), 1) as peer,
    ):
        servers = {"bursa": ours, "picows": peer}
        for clients, every_ms in STEPS:
            found = step(servers, Path(name), clients, every_ms, rounds, seconds)
            lost += found.lost
            if not results:
                results += report.against("send_us", found.cost, "bursa", "us of CPU a frame")
            for q in (50, 99):
                late = {who: float(np.percentile(ms, q)) for who, ms in found.delays.items()}
                results += report.against(f"p{q}_ms_{clients}", late, "bursa", "ms")
    results.append(report.Result("lost", lost, "frames"))
    report.emit("ws", results, options)


if __name__ == "__main__":
    main()
