"""A real `bursa up` for tests: the process, what it says, what it answers."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from bursa import config
from bursa.verbs.sql import run_sql
from tests.guest import Guest, guest

TOKEN_S = 300


def environment(**settings: str) -> dict[str, str]:
    """The caller's environment with these settings: `http_port="0"` is BURSA_HTTP_PORT."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BURSA_")}
    return kept | {f"BURSA_{name.upper()}": value for name, value in settings.items()}


class Bursa:
    """`bursa up` on a folder, on free ports. Use as a context; the end is a SIGTERM."""

    def __init__(self, data: Path, *arguments: str, **settings: str) -> None:
        self.data = data
        self._log = open(data.parent / f"{data.name}.log", "ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bursa", "up", "--data", str(data), "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment(**{"telemetry_port": "0"} | settings),
        )
        self.url = ""
        self.telemetry = ""
        # Lines of the greeting, by their first word.
        self.said: dict[str, str] = {}
        self._token, self._token_s = "", -math.inf

    def __enter__(self) -> "Bursa":
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, _, rest = line.strip().partition(" ")
            self.said[word] = rest.strip()
            if word == "telemetry":
                self.telemetry = rest.strip()
            if word == "listening":
                self.url = rest
                return self
        raise AssertionError(f"bursa ended with {self.process.wait()}: {self.log()}")

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        self._log.close()

    def log(self) -> str:
        """The end of what it logged."""
        return self._logged()[-3000:]

    def _logged(self) -> str:
        return (self.data.parent / f"{self.data.name}.log").read_text()

    def events(self) -> list[dict[str, Any]]:
        """All that it logged. A line that is being written is none yet."""
        whole = self._logged().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in whole if line.startswith("{")]

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Ask it to end and wait; its exit code."""
        self.process.send_signal(how)
        try:
            code = self.process.wait(120)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    @cached_property
    def guest(self) -> Guest:
        """Somebody who may have all."""
        return guest(self.data)

    def headers(self) -> dict[str, str]:
        """What he shows: a token, not older than some minutes."""
        if self._token_s + TOKEN_S < time.monotonic():
            self._token, self._token_s = token(self.url, self.guest.key), time.monotonic()
        return {"Authorization": f"Bearer {self._token}"}

    def get(self, path: str) -> Any:
        """A JSON answer; what nobody gets, the guest does."""
        try:
            with urlopen(self.url + path, timeout=90) as answer:
                return json.loads(answer.read())
        except HTTPError as refusal:
            if refusal.code != 401:
                raise
        with urlopen(Request(self.url + path, headers=self.headers()), timeout=90) as answer:
            return json.loads(answer.read())

    def count(self, name: str) -> float:
        """The sum of a telemetry name over its labels."""
        with urlopen(self.telemetry, timeout=90) as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def sql(self, query: str) -> list[dict[str, Any]]:
        """`bursa sql` on its folder, whether it runs or not."""
        return select(self.data, query)


def token(url: str, key: str) -> str:
    """A token for an API key."""
    body = json.dumps({"api_key": key}).encode()
    ask = Request(f"{url}/v1/auth/token", body, {"Content-Type": "application/json"})
    with urlopen(ask, timeout=90) as answer:
        found: str = json.loads(answer.read())["data"]["token"]
        return found


def select(data: Path, query: str) -> list[dict[str, Any]]:
    """What `bursa sql` says of a folder; if it is held, its holder is asked."""
    loaded = config.load({"data": str(data)}, {})
    rows: list[dict[str, Any]] = json.loads(run_sql(loaded.config, query, "json"))
    return rows


def wait_for(reached: Callable[[], Any], seconds: float = 120.0, what: str = "it") -> Any:
    """The first true answer; fails after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        found = reached()
        if found:
            return found
        assert time.monotonic() < until, f"{what} did not come within {seconds} s"
        time.sleep(0.1)
