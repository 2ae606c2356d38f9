"""bursa as a process that a test starts, watches, kills and starts again on the same folder."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

LAUNCH = Path(__file__).with_name("launch.py")
START_S = 150.0
STOP_S = 90.0
HOLD_S = 90.0

CONFIG = """
[http]
port = 0
[telemetry]
port = 0
[log]
format = "json"
[journal]
segment_mb = {segment_mb}
[checkpoint]
every_s = {checkpoint_s}
[store]
flush_ms = 50
[retention]
ticks_days = 0
quotes_days = 0
snapshot_days = 0
orderbook_days = 0
"""
FEED = """
[feeds.main]
venue = "idx"
idxdata = "127.0.0.1:{0}"
itchdata = "127.0.0.1:{1}"
user = "{2}"
password = "{3}"
"""


def configure(path: Path, ports: Sequence[int] = (), password: str = "demo", **knobs: Any) -> Path:
    """Write a configuration; without ports, one without a feed."""
    text = CONFIG.format(**{"segment_mb": 4, "checkpoint_s": 0.5} | knobs)
    if ports:
        text += FEED.format(*ports, "bursa", password)
    path.write_text(text)
    return path


class Bursa:
    """One life of the process. `linger_ms` None: the program as it is; else by launch.py, with
    `inside` telling in which places it is and `durable` what of the journal is on disk."""

    def __init__(
        self,
        data: Path,
        verb: Sequence[str],
        linger_ms: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data, self.began = data, time.monotonic()
        self.inside: dict[str, int] = {}
        self.durable = 0
        self.on_place: Callable[[str], None] = lambda line: None
        self._hold = data.parent / f"{data.name}.hold"
        self._hold.unlink(missing_ok=True)
        self.out_path = data.parent / f"{data.name}.out"
        self.log_path = data.parent / f"{data.name}.{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "bursa"]
        pipe: tuple[int, int] | None = None
        if linger_ms is not None:
            pipe = os.pipe()
            command = [sys.executable, str(LAUNCH), str(pipe[1]), str(linger_ms), str(self._hold)]
        with open(self.out_path, "wb") as out, open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*command, *verb, "--data", str(data)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                pass_fds=() if pipe is None else (pipe[1],),
                env={**os.environ, **(environment or {})},
            )
        self._reader: threading.Thread | None = None
        if pipe is not None:
            os.close(pipe[1])
            self._reader = threading.Thread(target=self._read, args=(pipe[0],), daemon=True)
            self._reader.start()

    def _read(self, fd: int) -> None:
        with open(fd, "rb", buffering=0) as pipe:
            rest = b""
            while data := pipe.read(65536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._place(line.decode())

    def _place(self, line: str) -> None:
        name, _, after = line.partition(" ")
        self.inside[name] = self.inside.get(name, 0) + (-1 if after else 1)
        if after[4:]:
            self.durable = max(self.durable, int(after[4:]))
        self.on_place(line)

    def hold(self, place: str = "fsync") -> None:
        """From when it next comes to a place on it stays inside, until `go_on` or its end. Returns
        once it does."""
        held = threading.Event()
        self.on_place = lambda line: held.set() if line == "held" else None
        self._hold.write_text(place)
        self.until(held.is_set, place, HOLD_S)

    def go_on(self) -> None:
        """After `hold`."""
        self._hold.unlink()

    # What it said

    def out(self) -> str:
        return self.out_path.read_text()

    def log(self) -> str:
        return self.log_path.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of one event."""
        found = []
        for line in self.log().splitlines():
            if line.startswith("{") and line.endswith("}"):
                said = json.loads(line)
                if said.get("event") == name:
                    found.append(said)
        return found

    def until(self, reached: Callable[[], Any], what: str, within_s: float = START_S) -> Any:
        """Wait until `reached` says something; fail where it does not, or the process ends."""
        end = time.monotonic() + within_s
        while not (found := reached()):
            assert self.process.poll() is None, f"ended, waiting for {what}: {self.log()[-3000:]}"
            assert time.monotonic() < end, f"not within {within_s} s: {what}: {self.log()[-3000:]}"
            time.sleep(0.01)
        return found

    def url(self) -> str:
        """Where it listens, once it does."""
        found = self.until(lambda: re.search(r"listening (http://\S+)", self.out()), "listening")
        return str(found.group(1))

    def recovered(self) -> dict[str, Any]:
        """The figures of its recovery, once that is done."""
        found = self.until(lambda: self.events("recovered"), "the recovery")
        return dict(found[-1])

    # Its end

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_S)
        if self._reader is not None:
            self._reader.join(STOP_S)

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)

    def end(self) -> None:
        """Be it dead."""
        if self.process.poll() is None:
            self.kill()
