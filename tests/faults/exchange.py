"""The exchange of a fault test, in a process of its own, and the relay that keeps its accounts.

bursa talks to the relay, the relay to the exchange: whatever the exchange sent passes there and is
counted, whether or not a dying bursa still took it. Nothing is changed on the way.
"""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

START_S = 150.0


class Relay:
    """Two listening ports, a channel each. `sent` is how far each session was sent."""

    def __init__(self, upstream: list[int]) -> None:
        self.sent: dict[tuple[int, str], int] = {}
        self.connections = 0
        self._open = threading.Event()
        self._open.set()
        self._ended = False
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in upstream]
        self.ports = [listener.getsockname()[1] for listener in self._listeners]
        for channel, port in enumerate(upstream):
            threading.Thread(target=self._accept, args=(channel, port), daemon=True).start()

    def hold(self) -> None:
        """Take no more from the exchange; what was taken goes on to bursa."""
        self._open.clear()

    def close(self) -> None:
        self._ended = True
        self._open.set()
        for listener in self._listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, channel: int, port: int) -> None:
        while not self._ended:
            try:
                client, _ = self._listeners[channel].accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", port), 10)
            except OSError:
                client.close()
                continue
            self.connections += 1
            for link in (client, server):
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.settimeout(120)
            for work in ((self._up, client, server), (self._down, channel, server, client)):
                threading.Thread(target=work[0], args=work[1:], daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        _end(server)

    def _down(self, channel: int, server: socket.socket, client: socket.socket) -> None:
        account = _Account(self.sent, channel)
        gone = False
        with suppress(OSError):
            while self._open.wait(120) and (data := server.recv(1 << 18)):
                account.take(data)
                if not gone:
                    try:
                        client.sendall(data)
                    except OSError:
                        gone = True  # the exchange sent it all the same
                        _end(server)
        _end(client)
        client.close()
        server.close()


class _Account:
    """Counts the sequenced packets of one connection."""

    def __init__(self, sent: dict[tuple[int, str], int], channel: int) -> None:
        self._sent, self._channel = sent, channel
        self._rest = b""
        self._key = (channel, "")
        self._next = 0

    def take(self, data: bytes) -> None:
        data = self._rest + data
        at, count = 0, 0
        while at + 2 <= len(data):
            end = at + 2 + (data[at] << 8 | data[at + 1])
            if end > len(data):
                break
            kind = data[at + 2]
            if kind == 0x53:
                count += 1
            elif kind == 0x41:
                self._key = (self._channel, data[at + 3 : at + 13].decode().strip())
                self._next = int(data[at + 13 : at + 33])
            at = end
        self._rest = data[at:]
        if count:
            self._next += count
            self._sent[self._key] = max(self._sent.get(self._key, 0), self._next - 1)


def _end(link: socket.socket) -> None:
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)


class Exchange:
    """`python -m bursa.exchange`, listening."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "bursa.exchange", "--state", str(folder), *options]
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while not (folder / "exchange.json").exists():
            assert self.process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, "the exchange does not start"
            time.sleep(0.02)
        self.facts: dict[str, Any] = json.loads((folder / "exchange.json").read_text())
        self.ports = [self.facts["port_trades"], self.facts["port_market"]]

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)


@contextmanager
def relayed(folder: Path, *options: str) -> Iterator[tuple[Exchange, Relay]]:
    """An exchange, living, and a relay before it."""
    exchange = Exchange(folder, *options)
    relay = Relay(exchange.ports)
    try:
        yield exchange, relay
    finally:
        relay.close()
        exchange.end()
