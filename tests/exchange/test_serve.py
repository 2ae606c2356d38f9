"""The program over its sockets: who is let in, where the stream goes on, what outlives it."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bursa.exchange import stream
from bursa.exchange.market import FULL, HISTORY, NEVER, Day
from bursa.model.venue import IDX
from tests.prompt import TRIES, prompt

TODAY, LIVE, FRIDAY = "2026-11-20", date(2025, 11, 20), date(2025, 11, 21)
FIRST, SECOND = date(2025, 11, 18), date(2025, 11, 19)
TICKERS = 12
PATIENCE_S = 90.0


class Program:
    """The exchange in a process of its own."""

    def __init__(self, folder: Path, *extra: str) -> None:
        self.folder = folder
        fixed = ("--tickers", str(TICKERS), "--history-days", "2", "--today", TODAY)
        command = [sys.executable, "-m", "bursa.exchange", "--state", str(folder), *fixed, *extra]
        self.log = (folder.parent / f"{folder.name}.log").open("a+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        assert self.process.stdout is not None
        words = self.process.stdout.readline().split()
        assert words[:1] == ["listening"], f"{words} {self.complaint()}"
        self.ports = [int(word.rpartition(":")[2]) for word in words[1:]]

    def complaint(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def kept(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "state.json").read_text()))

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()


@contextmanager
def running(folder: Path, *extra: str) -> Iterator[Program]:
    program = Program(folder, *extra)
    try:
        yield program
    finally:
        program.close()


class Client:
    """SoupBinTCP by hand: the padded login, packets one by one."""

    def __init__(
        self, program: Program, channel: int, session: str = "", seq: int = 1,
        user: str = "bursa", password: str = "demo",
    ) -> None:  # fmt: skip
        self.socket = socket.create_connection(
            ("127.0.0.1", program.ports[channel]), timeout=PATIENCE_S
        )
        login = f"L{user:<6}{password:<10}{session:>10}{seq:>20}".encode()
        self.socket.sendall(len(login).to_bytes(2, "big") + login)
        self.buffer = b""

    def packet(self) -> tuple[str, bytes]:
        """Type and payload of the next packet; ("", b"") at the end of the connection."""
        while len(self.buffer) < 2 or len(self.buffer) < 2 + self._size():
            data = self.socket.recv(1 << 20)
            if not data:
                return "", b""
            self.buffer += data
        size = self._size()
        packet, self.buffer = self.buffer[2 : 2 + size], self.buffer[2 + size :]
        return chr(packet[0]), packet[1:]

    def _size(self) -> int:
        return int.from_bytes(self.buffer[:2], "big")

    def accepted(self) -> tuple[str, int]:
        kind, payload = self.packet()
        assert kind == "A", (kind, payload)
        return payload[:10].decode().strip(), int(payload[10:])

    def data(self, count: int) -> bytes:
        """So many sequenced packets, as they came."""
        got: list[bytes] = []
        while len(got) < count:
            kind, payload = self.packet()
            if kind == "S":
                got.append(payload)
            else:
                assert kind == "H", kind
        return b"".join((len(m) + 1).to_bytes(2, "big") + b"S" + m for m in got)

    def rest(self) -> tuple[bytes, str]:
        """All bytes of sequenced packets to the end, and the type of the last packet."""
        self.socket.settimeout(60)
        parts = [self.buffer]
        while data := self.socket.recv(1 << 20):
            parts.append(data)
        whole, at, last = b"".join(parts), 0, ""
        kept = []
        while at < len(whole):
            end = at + 2 + int.from_bytes(whole[at : at + 2], "big")
            last = chr(whole[at + 2])
            if last == "S":
                kept.append(whole[at:end])
            at = end
        return b"".join(kept), last

    def close(self) -> None:
        self.socket.close()


@contextmanager
def client(*args: Any, **named: Any) -> Iterator[Client]:
    made = Client(*args, **named)
    try:
        yield made
    finally:
        made.close()


def whole_day(day: date, channel: int) -> bytes:
    told = Day(IDX.calendar, day, 7, TICKERS, FULL if day >= LIVE else HISTORY)
    session, parts = stream.Session(told, channel), []
    while not session.done:
        parts.append(bytes(session.advance(NEVER)))
    return b"".join(parts)


def count(raw: bytes) -> int:
    at = found = 0
    while at < len(raw):
        at += 2 + int.from_bytes(raw[at : at + 2], "big")
        found += 1
    return found


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One exchange for the tests that only ask: it stands before the opening of its live day."""
    with running(tmp_path_factory.mktemp("exchange") / "state", "--speed", "0.001") as made:
        yield made


def test_it_says_where_it_listens(program: Program) -> None:
    facts = json.loads((program.folder / "exchange.json").read_text())
    assert [facts["port_trades"], facts["port_market"]] == program.ports
    assert facts["pid"] == program.process.pid and facts["seed"] == 7
    assert (facts["first_day"], facts["live_day"]) == (str(FIRST), str(LIVE))


@pytest.mark.parametrize("channel", [0, 1])
def test_a_blank_session_is_the_beginning_and_days_follow(program: Program, channel: int) -> None:
    letter = "DI"[channel]
    session, seq = "", 1
    for day in (FIRST, SECOND):
        with client(program, channel, session, seq) as asked:
            assert asked.accepted() == (f"{day:%y%m%d}{letter}", 1)
            told, last = asked.rest()
        assert last == "Z"
        assert told == whole_day(day, channel)
        session, seq = f"{day:%y%m%d}{letter}", count(told) + 1
    with client(program, channel, session, seq) as asked:  # an ended session, past its end
        assert asked.accepted() == (f"{LIVE:%y%m%d}{letter}", 1)


def test_a_number_is_where_it_goes_on(program: Program) -> None:
    told = whole_day(FIRST, 1)
    total = count(told)
    with client(program, 1, "251118I", total - 9) as asked:
        assert asked.accepted() == ("251118I", total - 9)
        tail, last = asked.rest()
    assert last == "Z" and count(tail) == 10 and told.endswith(tail)
    with client(program, 1, "", total - 1) as asked:
        assert asked.accepted() == ("251118I", total - 1)


@pytest.mark.parametrize(
    ("session", "seq"),
    [
        ("251117I", 1),  # before the stream
        ("251118D", 1),  # the other channel's
        ("251122I", 1),  # a Saturday
        ("251124I", 1),  # two days ahead
        ("259918I", 1),
        ("NONE", 1),
        ("251118I", 100_000_000),  # past its end
        ("251121I", 100_000_000),
    ],
)
def test_an_unknown_session_is_refused(program: Program, session: str, seq: int) -> None:
    with client(program, 1, session, seq) as asked:
        assert asked.packet() == ("J", b"S")
        assert asked.packet() == ("", b"")


@pytest.mark.parametrize(("user", "password"), [("bursa", "wrong"), ("other", "demo"), ("", "")])
def test_a_stranger_is_refused(program: Program, user: str, password: str) -> None:
    with client(program, 0, user=user, password=password) as asked:
        assert asked.packet() == ("J", b"A")


@pytest.mark.parametrize(
    "bytes_sent",
    [b"\x00\x00", b"\xff\xffL", b"\x00\x05Lshrt", b"\x00\x2fL" + b"\xe9" * 46, b"GET / HTTP/1.1"],
)
def test_nonsense_ends_the_connection_only(program: Program, bytes_sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", program.ports[0]), timeout=PATIENCE_S) as raw:
        raw.sendall(bytes_sent)
        with suppress(ConnectionResetError):
            assert raw.recv(100) == b""
    with client(program, 0) as asked:
        assert asked.accepted()[1] == 1


def test_number_zero_means_from_now_on(program: Program) -> None:
    with client(program, 1, seq=0) as asked:
        name, seq = asked.accepted()
        assert name == "251120I" and seq > 2 * TICKERS  # contracts and quotes were before it


def test_a_heartbeat_fills_the_silence(program: Program) -> None:
    def once(nth: int) -> float:
        began_s = time.monotonic()
        with client(program, 0, seq=0) as asked:
            asked.accepted()
            kind, _ = asked.packet()
        took_s = time.monotonic() - began_s
        assert kind == "H" and took_s > 0.5
        return took_s

    prompt(once, 5)


def test_who_does_not_read_hinders_nobody(program: Program) -> None:
    with client(program, 0) as idle, client(program, 0) as busy:
        idle.accepted()
        busy.accepted()
        assert busy.rest() == (whole_day(FIRST, 0), "Z")


def test_the_channels_go_side_by_side(tmp_path: Path, reader: Any) -> None:
    """As long as nobody reads the trades, the other channel stops too, hours before the end."""
    extra = ("--seed", "7", "--history-days", "1", "--tickers", "400")
    with running(tmp_path / "state", *extra) as wide, client(wide, 0) as trades:
        trades.accepted()
        with client(wide, 1) as market:
            market.accepted()
            got = b""
            while select.select([market.socket], [], [], 0.7)[0]:
                got += market.socket.recv(1 << 20)
            stopped_ns = reader(_sequenced(market.buffer + got))[-1].ts
            assert stopped_ns < IDX.calendar.day_end_ns(SECOND) - 3_600 * 10**9
            reading = threading.Thread(target=trades.rest)
            reading.start()
            assert market.rest()[1] == "Z"
            reading.join(PATIENCE_S)


def test_alone_a_channel_goes_on(program: Program) -> None:
    with client(program, 0) as asked:
        asked.accepted()
        assert asked.rest()[1] == "Z"


def test_live_messages_come_by_the_clock(tmp_path: Path, reader: Any) -> None:
    """At 20x a second brings twenty seconds of market, not more; the state is kept meanwhile."""
    with running(tmp_path / "state", "--speed", "20") as live:
        with client(live, 1, "251119I", count(whole_day(SECOND, 1)) + 1) as asked:
            assert asked.accepted() == ("251120I", 1)
            began_s, last_ns, raw = time.monotonic(), 0, b""
            opens_ns = IDX.calendar.day_open_ns(LIVE) - 30 * 10**9
            while last_ns < opens_ns + 60 * 10**9:
                message = asked.data(1)
                last_ns, raw = _last_ts(message), raw + message
            took_s = time.monotonic() - began_s
        assert 2.5 < took_s < PATIENCE_S
        assert whole_day(LIVE, 1).startswith(raw)
        time.sleep(1.2)
        assert live.kept()["now_ns"] > opens_ns + 60 * 10**9
        assert live.end() == 0
    assert not (tmp_path / "state" / "exchange.json").exists()


def _sequenced(raw: bytes) -> bytes:
    """The sequenced packets among what came so far, an unfinished last packet left out."""
    kept, at = [], 0
    while at + 2 <= len(raw) and (end := at + 2 + int.from_bytes(raw[at : at + 2], "big")):
        if end > len(raw):
            break
        if raw[at + 2 : at + 3] == b"S":
            kept.append(raw[at:end])
        at = end
    return b"".join(kept)


def _last_ts(raw: bytes) -> int:
    at = last = 0
    while at < len(raw):
        last, at = at, at + 2 + int.from_bytes(raw[at : at + 2], "big")
    return int.from_bytes(raw[last + 12 : last + 20], "big")


def test_killed_it_goes_on_where_the_client_is(tmp_path: Path) -> None:
    """The stream of two lives is one; what the client saw last, the clock has reached."""
    whole, got = whole_day(LIVE, 1), b""
    session, seq = "251119I", count(whole_day(SECOND, 1)) + 1
    for life in range(3):
        with running(tmp_path / "state", "--speed", "60") as live:
            with client(live, 1, session, seq) as asked:
                session, _ = asked.accepted()
                got += asked.data(700 if life == 0 else 400)
                live.process.send_signal(signal.SIGKILL)
                live.process.wait(PATIENCE_S)
        seq = count(got) + 1
        assert whole.startswith(got)
    state = tmp_path / "state" / "state.json"
    kept = json.loads(state.read_text())
    kept["now_ns"] -= 3_600 * 10**9  # as if the last hour had not been kept
    state.write_text(json.dumps(kept))
    with running(tmp_path / "state", "--speed", "0.001") as live:
        with client(live, 1, session, seq) as asked:
            assert asked.accepted() == (session, seq)
            time.sleep(1.3)
            assert live.kept()["now_ns"] >= _last_ts(got) - 1


def test_at_a_rate_so_many_messages_come(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--rate", "5000") as live:
        with client(live, 1, seq=0) as market, client(live, 0, seq=0) as trades:
            market.accepted()
            trades.accepted()
            counts = [0]

            def read(one: Client) -> None:
                with suppress(OSError):
                    while one.packet()[0]:
                        counts[0] += 1

            threads = [threading.Thread(target=read, args=(one,)) for one in (market, trades)]
            for thread in threads:
                thread.start()
            deadline_s = time.monotonic() + PATIENCE_S
            while counts[0] < 100 and time.monotonic() < deadline_s:
                time.sleep(0.01)
            for _ in range(TRIES):  # whoever waits for a processor is behind, and then before
                before, began_s = counts[0], time.monotonic()
                time.sleep(3)
                a_second = (counts[0] - before) / (time.monotonic() - began_s)
                if 2_000 < a_second < 6_500:
                    break
            assert live.end() == 0
            for thread in threads:
                thread.join(PATIENCE_S)
        assert 2_000 < a_second < 6_500


def test_as_fast_as_taken_days_go_by(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--rate", "max") as live:
        with client(live, 0, "251119D", count(whole_day(SECOND, 0)) + 1) as asked:
            assert asked.accepted() == ("251120D", 1)
            told, last = asked.rest()
        assert (told, last) == (whole_day(LIVE, 0), "Z")
        with client(live, 0, "251120D", count(told) + 1) as asked:
            assert asked.accepted() == ("251121D", 1)
            asked.data(10)
        assert live.end() == 0
        assert live.kept()["day"] == str(FRIDAY)


def test_it_ends_when_nobody_comes(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--idle-exit-s", "0.5") as live:
        assert live.process.wait(PATIENCE_S) == 0
        assert '"idle"' in live.complaint()


def test_a_folder_holds_one_market_and_one_exchange(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    base = [sys.executable, "-m", "bursa.exchange", "--state", str(folder)]

    def refused(*extra: str) -> str:
        done = subprocess.run(
            [*base, *extra], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 2 and not done.stdout, done
        return done.stderr

    with running(folder) as first:
        assert "another exchange" in refused()
        assert os.path.exists(folder / "exchange.json")
        assert first.end(signal.SIGINT) == 0
    for name, value in (("--seed", "8"), ("--tickers", "13"), ("--history-days", "3")):
        assert "holds a market" in refused(name, value)
    assert "holds a market" in refused("--no-books-live")
    (folder / "state.json").write_text("{}")
    assert "state.json" in refused()
