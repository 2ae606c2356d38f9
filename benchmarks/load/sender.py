"""Send idx-1 over SoupBinTCP at an offered rate, one session a channel, as an exchange would.

`python -m benchmarks.load.sender --rate N|max --seconds S --log FILE`: prints its two ports, waits
for both logins and a line on standard input, sends for S seconds, then heartbeats until it is
ended. FILE (.npz) gets, for each trade: its ticker number, the event time it bore (the wall
clock), and the monotonic clock when it was handed to the socket.
"""

import argparse
import json
import socket
import sys
import threading
import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.load import messages

SLICE_S = 0.001
SESSION = "LOAD"
# Messages in one write: of books, of trades; four to one also where the rate is without a limit.
SEND_MAX = (8_000, 2_000)
# One second of messages is laid out and used again and again; at most this many.
LAYOUT_MAX = 400_000


class Line:
    """One channel: a listening socket, its client, and the packets that it is sent."""

    def __init__(self, layout: NDArray[np.void]) -> None:
        self.layout = layout
        self.seq = 1
        self._at = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._client: socket.socket | None = None

    def login(self) -> None:
        client, _ = self._server.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(60)
        size = int.from_bytes(client.recv(2, socket.MSG_WAITALL), "big")
        client.recv(size, socket.MSG_WAITALL)
        accepted = b"A" + SESSION.rjust(10).encode() + b"1".rjust(20)
        client.sendall(len(accepted).to_bytes(2, "big") + accepted)
        self._client = client
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """The client's heartbeats are of no interest."""
        assert self._client is not None
        try:
            while self._client.recv(4096):
                pass
        except OSError:
            return

    def send(self, count: int, ts: int) -> tuple[int, int]:
        """The next `count` messages, or up to the layout's end; (first place, how many)."""
        first = self._at
        last = min(first + count, len(self.layout))
        part = self.layout[first:last]
        sent = last - first
        part["seq"] = np.arange(self.seq, self.seq + sent)
        part["ts"] = ts
        if "trade_no" in (part.dtype.names or ()):
            part["trade_no"] = part["seq"]
        assert self._client is not None
        self._client.sendall(part.tobytes())
        self.seq += sent
        self._at = last % len(self.layout)
        return first, sent

    def status(self, state: bytes, ts: int) -> None:
        assert self._client is not None
        self._client.sendall(messages.status(state, self.seq, ts))
        self.seq += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--log", required=True)
    options = parser.parse_args()
    rate = 10_000_000 if options.rate == "max" else int(options.rate)
    layout = min(rate, LAYOUT_MAX)
    packets, who = messages.trades(max(1, layout // 5))
    trades, books = Line(packets), Line(messages.books(max(1, layout - layout // 5)))
    print(json.dumps({"idxdata": trades.port, "itchdata": books.port}), flush=True)
    trades.login()
    books.login()
    for line in (trades, books):
        line.status(b"1", time.time_ns())
    sys.stdin.readline()  # the word to begin
    log = send(trades, books, rate, options.seconds)
    counts = {"trades": log[0].size, "books": books.seq - 2, "seconds": log[3]}
    np.savez(options.log, ticker=who[log[0]], ts=log[1], sent=log[2])
    print(json.dumps(counts), flush=True)
    until = time.monotonic() + 600
    while time.monotonic() < until:
        try:
            for line in (trades, books):
                line.status(b"H", time.time_ns())
        except OSError:
            return  # the client has gone
        time.sleep(1)


def send(
    trades: Line, books: Line, rate: int, seconds: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], float]:
    """Both channels at the rate; a socket that pushes back makes the whole late, never thinner."""
    places: list[NDArray[np.int64]] = []
    times: list[tuple[int, int, int]] = []
    began = time.monotonic()
    due = {id(trades): 0.0, id(books): 0.0}
    sent = {id(trades): 0, id(books): 0}
    share = {id(trades): rate / 5, id(books): rate * 4 / 5}
    while (now := time.monotonic() - began) < seconds:
        for line in (trades, books):
            key = id(line)
            due[key] = min(share[key] * now, sent[key] + share[key] * 0.05 + 1)
            count = int(due[key]) - sent[key]
            if count <= 0:
                continue
            clock, ts = time.monotonic_ns(), time.time_ns()
            first, done = line.send(min(count, SEND_MAX[line is trades]), ts)
            sent[key] += done
            if line is trades:
                places.append(np.arange(first, first + done))
                times.append((done, ts, clock))
        pause = SLICE_S - (time.monotonic() - began - now)
        if pause > 0:
            time.sleep(pause)
    took = time.monotonic() - began
    counts, ts_sent, clocks = np.array(times, np.int64).T
    return np.concatenate(places), np.repeat(ts_sent, counts), np.repeat(clocks, counts), took


if __name__ == "__main__":
    main()
