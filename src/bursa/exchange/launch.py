"""Find the demo exchange of a folder, or start one: a process of its own that outlives bursa.

It is told by the file that the exchange keeps while it runs. One started here is ended here
at a clean stop; after a crash it goes on, and the next start finds it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from bursa.model.errors import Refuse

# The demo's login is no secret: both sides are of this program, on loopback.
PASSWORD = "demo"
FACTS = "exchange.json"
LOG = "exchange.log"
# Its kernels are compiled before it listens; the first time that takes some seconds.
START_WAIT_S = 120.0
STOP_WAIT_S = 10.0


@dataclass(frozen=True)
class Running:
    """A living exchange. Ports are on loopback."""

    pid: int
    port_trades: int
    port_market: int
    user: str
    password: str
    live_day: date
    first_day: date


def find(folder: Path) -> Running | None:
    """The exchange that runs on this folder, None if none does."""
    try:
        facts = json.loads((folder / FACTS).read_text())
        os.kill(facts["pid"], 0)
        if b"bursa.exchange" not in Path(f"/proc/{facts['pid']}/cmdline").read_bytes():
            return None
    except (OSError, ValueError, KeyError):
        return None
    return Running(
        facts["pid"],
        facts["port_trades"],
        facts["port_market"],
        facts["user"],
        PASSWORD,
        date.fromisoformat(facts["live_day"]),
        date.fromisoformat(facts["first_day"]),
    )


def begin(folder: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the exchange on a folder without waiting for it; it logs to a file there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FACTS).unlink(missing_ok=True)
    with open(folder / LOG, "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bursa.exchange", "--state", str(folder), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def ready(
    folder: Path, process: subprocess.Popen[bytes], given_up: Callable[[], bool]
) -> Running | None:
    """Wait until a started exchange listens; None where the caller gave up. Refuse where it ended,
    with its last words."""
    until = time.monotonic() + START_WAIT_S
    while (running := find(folder)) is None or running.pid != process.pid:
        if given_up():
            return None
        if process.poll() is not None or time.monotonic() > until:
            words = (folder / LOG).read_text(errors="replace").strip().splitlines()
            raise Refuse(
                f"the demo exchange does not start: {words[-1] if words else 'it said nothing'}",
                "exchange",
                503,
            )
        time.sleep(0.05)
    return running


def end(running: Running) -> None:
    """Ask it to stop and wait; what it had to keep is kept by then."""
    try:
        os.kill(running.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    until = time.monotonic() + STOP_WAIT_S
    while time.monotonic() < until:
        try:
            done, _ = os.waitpid(running.pid, os.WNOHANG)
            if done:
                return
        except ChildProcessError:
            if not Path(f"/proc/{running.pid}").exists():
                return
        time.sleep(0.05)
