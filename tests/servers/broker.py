"""A real broker as a process that tests start, kill and start again on the same port and data.

Loopback only, on ports that were free a moment ago; everything it writes lies in one folder of the
test run. Only what was started here is ended here.
"""

import os
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

import pytest

START_S = 150.0
STOP_S = 60.0
# Ports of each worker, up to 31,000: where those begin that the system gives to clients.
PORTS, WORKERS = 2_000, 8


_given = deque[int](maxlen=500)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A loopback port that nobody has now, of those that no client is given as its own: one that
    a server leaves for a moment is there when it comes back. Not one that was given a while
    ago, and to each worker of a test run others."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = 15_000 + SystemRandom().randrange(PORTS) * WORKERS + worker % WORKERS
        if port in _given:
            continue
        with suppress(OSError), socket.socket(socket.AF_INET, kind) as trial:
            trial.bind(("127.0.0.1", port))
            _given.append(port)
            return port


def missing(what: str, required: bool = True) -> None:
    """A server that is not installed: a skip with its reason; where servers are required, a
    failure, unless that one may always be wanting."""
    text = f"{what}; `sh scripts/servers` installs it"
    if required and os.environ.get("BURSA_REQUIRE_SERVERS") == "1":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


class Broker:
    """One server process. `folder` holds its data and `log`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """What to run, and its environment."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Is it ready for clients?"""
        raise NotImplementedError

    def launch(self) -> None:
        """Begin to start; `ready` waits for the rest."""
        assert self.process is None or self.process.poll() is not None, "it runs"
        command, environment = self.command()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(environment)
            )

    def ready(self) -> None:
        """Return when clients can be served."""
        self._until(self.answers, "be ready")

    def start(self) -> None:
        """Start, and return when clients can be served."""
        self.launch()
        self.ready()

    def kill(self) -> None:
        """SIGKILL: it ends where it stands."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_S)

    def stand_still(self) -> None:
        """It stops where it is, until `go_on`: connections stay, answers do not come."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After `stand_still`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Be it gone, in order or not."""
        if self.process is None or self.process.poll() is not None:
            return
        self.kill()  # its data go with the test's folder: nothing is worth waiting for

    def said(self) -> str:
        """The end of its log."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def _until(self, reached: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + START_S
        while not reached():
            assert self.process is not None and self.process.poll() is None, self.said()
            assert time.monotonic() < until, f"it does not {what}: {self.said()}"
            time.sleep(0.05)


def connects(port: int) -> bool:
    """Does somebody listen there?"""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
