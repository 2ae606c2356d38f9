"""An exchange that says what a test tells it: idx-1 over SoupBinTCP on two loopback ports.

It keeps what it said and sends it to whoever logs in and asks, so a cut line catches up; `cut` and
`restore` take the line away and bring it back, `forget` loses what was said meanwhile for good.
Market time is the test's: a message bears the time it is given. Messages are packed by hand.
"""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.servers.broker import free_port
from tests.wire.idx import encoder as idx

TRADES, REST = 0, 1
SECOND_NS = 1_000_000_000
HEARTBEAT_S = 1.0
WIB = ZoneInfo("Asia/Jakarta")


def at(day: date, clock: str) -> int:
    """ns UTC of a time of Jakarta's clock, "09:00" or "09:00:05"."""
    hour, minute, second = (*map(int, clock.split(":")), 0)[:3]
    wall = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=WIB)
    return int(wall.timestamp()) * SECOND_NS


def _packet(kind: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">H", len(payload) + 1) + kind + payload


class _Channel:
    """One port, one session a day: what was said, and who listens. Its clock is `behind_ns`."""

    def __init__(self, behind_ns: int = 0) -> None:
        self._behind_ns = behind_ns
        self.changed = threading.Condition()
        self.session, self.said, self.first = "1", [b""], 1
        self.seq = 0
        self.open = self.living = True
        self._links: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", free_port()))
        self.port = self._listener.getsockname()[1]
        self._listen()

    def say(self, make: Callable[[int], bytes]) -> None:
        with self.changed:
            self.seq += 1
            self.said.append(make(self.seq))
            self.changed.notify_all()

    def status(self, ts: int, state: str) -> None:
        self.say(lambda seq: idx.status(seq, ts - self._behind_ns, state))

    def end_day(self) -> None:
        with self.changed:
            self.session, self.said, self.first = str(int(self.session) + 1), [b""], 1
            self.seq = 0
            self.changed.notify_all()

    def cut(self) -> None:
        with self.changed:
            self.open = False
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # `accept` returns, the port is free
            self._listener.close()
            for link in self._links:
                with suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)
            self._links.clear()
            self.changed.notify_all()

    def restore(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.open = True
        self._listen()

    def forget(self) -> None:
        with self.changed:
            self.first = len(self.said)

    def close(self) -> None:
        self.living = False
        if self.open:
            self.cut()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with self.changed:
                self._links.append(link)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with suppress(OSError), link:
            login = b""
            while len(login) < 49 and (data := link.recv(4096)):
                login += data
            asked, seq = login[19:29].decode().strip(), int(login[29:49] or 0)
            if asked not in ("", self.session):
                link.sendall(_packet(b"J", b"S"))
                return
            threading.Thread(target=_drain, args=(link,), daemon=True).start()
            self._tell(link, self.session, max(seq, self.first))

    def _tell(self, link: socket.socket, session: str, seq: int) -> None:
        link.sendall(_packet(b"A", session.rjust(10).encode() + str(seq).rjust(20).encode()))
        while self.living and self.open:
            with self.changed:
                if self.session != session:
                    break
                if len(self.said) <= seq and not self.changed.wait(HEARTBEAT_S):
                    link.sendall(_packet(b"H"))
                more = self.said[seq:] if self.session == session else []
            link.sendall(b"".join(_packet(b"S", message) for message in more))
            seq += len(more)
        if self.session != session:
            link.sendall(_packet(b"Z"))


def _drain(link: socket.socket) -> None:
    with suppress(OSError):
        while link.recv(4096):
            pass


class Scripted:
    """Both channels. Use as a context.

    rest_behind_ns  by so much the clock of the other channel is behind that of the trades: as the
                    server's is the newer of the two, whatever traded before it is there
    """

    def __init__(self, rest_behind_ns: int = 0) -> None:
        self._channels = _Channel(), _Channel(rest_behind_ns)
        self.ports = [channel.port for channel in self._channels]
        self._trade_no = 0
        self._newest = 0
        self._over = threading.Event()

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        for channel in self._channels:
            channel.close()

    def settings(self) -> dict[str, str]:
        """What makes a `Bursa` listen here, as keywords."""
        trades, rest = (f"127.0.0.1:{port}" for port in self.ports)
        return {
            "feeds_main_venue": "idx",
            "feeds_main_idxdata": trades,
            "feeds_main_itchdata": rest,
        }

    def trade(self, ticker: str, ts: int, price: float, volume: int = 100) -> None:
        self._trade_no += 1
        number, scaled = self._trade_no, round(price * 10_000)
        self._channels[TRADES].say(
            lambda seq: idx.trade(
                seq, ts, ticker, trade_no=number, price=scaled, volume=volume, aggressor="B"
            )
        )

    def contract(self, ticker: str, name: str, ts: int, close: float) -> None:
        scaled = round(close * 10_000)
        self._channels[REST].say(lambda seq: idx.contract(seq, ts, ticker, name=name, close=scaled))

    def snapshot(self, ticker: str, ts: int, prices: list[float], counts: list[int]) -> None:
        """prices: prev open high low last bid ask; counts: volume value bid_volume ask_volume."""
        scaled = [round(price * 10_000) for price in prices]
        self._channels[REST].say(
            lambda seq: idx.snapshot(seq, ts, ticker, prices=scaled, counts=counts)
        )

    def status(self, ts: int, state: str = "H") -> None:
        """A state of the market, or a heartbeat, on both channels."""
        self._newest = ts
        for channel in self._channels:
            channel.status(ts, state)

    def stay_alive(self) -> None:
        """From now on a heartbeat every second, at the newest time told: the feed is not silent,
        its market stands still."""
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_S):
            for channel in self._channels:
                if self._newest and channel.open:
                    channel.status(self._newest, "H")

    def lose(self, count: int) -> None:
        """Numbers of the trades' channel that no message ever bears."""
        self._channels[TRADES].seq += count

    def end_day(self) -> None:
        """The sessions end; the next message begins new ones."""
        for channel in self._channels:
            channel.end_day()

    def cut(self, *channels: int) -> None:
        """The lines go, or those named: connections break and none is taken. What is said now
        waits."""
        for channel in channels or (TRADES, REST):
            self._channels[channel].cut()

    def forget(self) -> None:
        """What was said so far can be had by nobody any more."""
        for channel in self._channels:
            channel.forget()

    def restore(self) -> None:
        """The lines that were cut are back, at the same ports."""
        for channel in self._channels:
            if not channel.open:
                channel.restore()
