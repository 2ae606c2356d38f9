"""The demo exchange that `bursa up --demo` runs beside itself, and watches."""

import subprocess
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from bursa.exchange import launch


class DemoExchange:
    """The demo exchange of a data folder, watched: it is found or started, started again on the
    same ports when it died, and ended with us."""

    def __init__(self, data: Path, market: Sequence[str], options: Sequence[str]) -> None:
        """`market` are the options of a new one alone, `options` those of each start."""
        self.folder = data / "exchange"
        self._market, self.options = list(market), list(options)
        self._process: subprocess.Popen[bytes] | None = None
        self.running: launch.Running | None = None
        self.found = False

    def begin(self) -> None:
        """Find it, or start it without waiting."""
        self.running = launch.find(self.folder)
        self.found = self.running is not None
        if self.running is None:
            self._process = launch.begin(self.folder, [*self._market, *self.options])

    def ready(self, given_up: Callable[[], bool]) -> launch.Running | None:
        """Wait until it listens; None where the caller gave up."""
        if self.running is None:
            assert self._process is not None, "it was begun"
            self.running = launch.ready(self.folder, self._process, given_up)
        return self.running

    def watch(self) -> None:
        """Start it again where it died; the feed reconnects by itself."""
        if self.running is None or launch.find(self.folder) is not None:
            return
        if self._process is not None and self._process.poll() is None:
            return  # it is starting
        ports = ["--port-trades", str(self.running.port_trades)]
        ports += ["--port-market", str(self.running.port_market)]
        self._process = launch.begin(self.folder, [*self.options, *ports])

    def past(self) -> tuple[date, date] | None:
        """The past days that its stream begins with, [first, live)."""
        running = self.running
        return None if running is None else (running.first_day, running.live_day)

    def end(self) -> None:
        """Stop it; its market clock is kept."""
        running = launch.find(self.folder)
        if running is not None:
            launch.end(running)
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()  # one that was starting
            self._process.wait()
