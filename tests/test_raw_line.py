"""`bursa up` on bare sockets, and recordings by standard input: each message once in the tables."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from bursa.wire.idx.layout import IDX1
from bursa.wire.idx.lines import LineWriter
from tests.line import Line
from tests.running import Bursa, environment, select, wait_for
from tests.wire.idx import encoder as wire

TS = wire.TS
WRITER = LineWriter(IDX1, ("RG", "NG", "TN"))
ENDED = 400
COUNT = 1_000
TRADES = [wire.trade(seq, TS + seq * 10**7, trade_no=seq) for seq in range(1, COUNT + 1)]
BAD = wire.trade(7, TS + 7, board="XX")
INDEXES = [wire.index(seq, TS + seq * 10**9) for seq in range(1, 51)]


def lines(messages: Sequence[bytes]) -> bytes:
    return b"".join((WRITER.line(message) or b"6|?") + b"\n" for message in messages)


class Sender:
    """A server that sends each connection the next part, and keeps it open."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = list(parts)
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        part = self._parts.pop(0) if self._parts else b""
        for at in range(0, len(part), 997):
            writer.write(part[at : at + 997])
            await writer.drain()
        await reader.read(1)
        writer.close()


@contextmanager
def sending(*senders: Sender) -> Iterator[None]:
    """The senders on a thread of their own."""
    started, loops, ended = threading.Event(), list[asyncio.AbstractEventLoop](), asyncio.Event()

    async def run() -> None:
        servers = [await sender.start() for sender in senders]
        loops.append(asyncio.get_running_loop())
        started.set()
        await ended.wait()
        for server in servers:
            server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert started.wait(60)
    try:
        yield
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(60)


def test_bare_sockets_cut_and_restored(tmp_path: Path) -> None:
    """Trades as blocks, cut inside message 401; indexes as lines, one of them no line."""
    one = Sender(
        wire.blocks([*TRADES[:6], BAD, *TRADES[6:ENDED]]) + wire.blocks(TRADES[ENDED:])[:20],
        wire.blocks(TRADES[ENDED + 100 :]),
    )
    two = Sender(lines(INDEXES[:20]) + b"no line\n" + lines(INDEXES[20:]))
    with sending(one, two), Line(one.port) as line:
        given = {"type": "tcp", "venue": "idx", "itchdata": f"127.0.0.1:{two.port}"}
        given["idxdata"] = f"127.0.0.1:{line.port}"
        settings = {f"feeds_raw_{key}": value for key, value in given.items()}
        with Bursa(tmp_path / "data", **settings) as running:
            heard = "bursa_messages_total"
            wait_for(lambda: running.count(heard) >= ENDED + 1 + 51, what="the first part")
            line.cut()
            wait_for(lambda: running.count("bursa_feed_downs_total") >= 1, what="the cut")
            line.mend()
            wait_for(lambda: running.count(heard) >= COUNT - 100 + 52, what="the second part")
            assert running.stop() == 0
    data = tmp_path / "data"
    seqs = [row["seq"] for row in select(data, "select seq from idx_ticks order by seq")]
    assert seqs == [*range(1, ENDED + 1), *range(ENDED + 101, COUNT + 1)]
    assert select(data, "select count(*) n from idx_index") == [{"n": 50}]
    gaps = "select seq_from, seq_to, cause from idx_status where state = 'gap'"
    assert select(data, gaps) == [{"seq_from": 401, "seq_to": 500, "cause": "down"}]
    refused = select(data, "select reason, payload from idx_quarantine order by reason")
    assert [row["reason"] for row in refused] == ["bad_board", "bad_line"]
    assert b"no line".hex() in str(refused[1]["payload"]) or "no line" in str(refused[1])


@pytest.mark.parametrize("data", [wire.blocks(TRADES), lines(TRADES)], ids=["blocks", "lines"])
def test_a_recording_by_standard_input(data: bytes, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bursa", "replay", "-", "--venue", "idx", "--data", str(tmp_path)],
        input=data,
        capture_output=True,
        timeout=240,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert b"standard input" in done.stdout and b"ticks 1,000" in done.stdout
    assert select(tmp_path, "select count(*) n from idx_ticks where ts_recv = ts") == [{"n": COUNT}]


def test_a_recording_of_another_layout(tmp_path: Path) -> None:
    """The configured table reads it; one that is not there is said, with exit code 2."""
    ts, ticker = TS.to_bytes(8, "big"), b"1RBBCA    "
    trade = b"T" + ts + (1).to_bytes(4, "big") + (9).to_bytes(6, "big") + (300).to_bytes(5, "big")
    file = tmp_path / "day"
    file.write_bytes(wire.blocks([trade + (890_025).to_bytes(4, "big") + ticker]))
    command = [sys.executable, "-m", "bursa", "replay", str(file), "--venue", "idx", "--data"]
    command.append(str(tmp_path / "data"))
    for layout, code in (("idx-2", 0), ("idx-9", 2)):
        done = subprocess.run(
            command, capture_output=True, timeout=240, env=environment(idx_layout=layout)
        )
        assert done.returncode == code, done.stderr
    assert b"allowed: idx-1, idx-2 or a path" in done.stderr
    rows = select(tmp_path / "data", "select ticker, price, volume from idx_ticks")
    assert rows == [{"ticker": "BBCA", "price": 8900.25, "volume": 300.0}]
