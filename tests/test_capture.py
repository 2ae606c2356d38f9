"""`bursa capture`: what a line sends is in the file, whole, and replays to what a live run has."""

import asyncio
import gzip
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.feeds.capture import Recording
from bursa.feeds.replay import ReplayFeed
from bursa.model.batch import BLOCKS, LINES, SOUPBIN
from bursa.model.errors import Refuse
from bursa.model.schema import MARKET_KINDS
from bursa.model.venue import IDX
from bursa.ports import Frames
from bursa.wire.idx.layout import IDX1
from bursa.wire.idx.lines import LineWriter
from bursa.wire.transport import soupbin
from tests.faults.exchange import Exchange
from tests.feeds.test_replay import Taken, block
from tests.feeds.test_tcp import Server, Talk, refuses, tells
from tests.running import Bursa, environment, select, wait_for
from tests.servers.broker import free_port
from tests.verbs import bursa
from tests.wire.idx import encoder as wire

SESSION = "DAY1"
Writer = asyncio.StreamWriter


def settings(ports: list[int], **more: str) -> dict[str, str]:
    main = {"venue": "idx", "user": "demo", "password": "secret"}
    main |= {"idxdata": f"127.0.0.1:{ports[0]}", "itchdata": f"127.0.0.1:{ports[1]}"}
    return {f"feeds_main_{key}": value for key, value in main.items()} | more


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bursa", *arguments]


@contextmanager
def serving(*scripts: Talk) -> Iterator[list[int]]:
    """A line of two channels on a thread of its own; its ports."""
    started, ended = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    servers = [Server([script]) for script in scripts]

    async def run() -> None:
        async with servers[0], servers[1]:
            loops.append(asyncio.get_running_loop())
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert started.wait(60)
    try:
        yield [server.port for server in servers]
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(60)


def blocks(path: Path) -> list[bytes]:
    """The messages of a recording."""
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    found, at = [], 0
    while at < len(raw):
        (size,) = struct.unpack_from(">H", raw, at)
        found.append(raw[at + 2 : at + 2 + size])
        at += 2 + size
    assert at == len(raw), "the last message is whole"
    return found


# -- the file --------------------------------------------------------------------------------------


def nothing() -> None:
    """Nobody waits for the end."""


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.binary(min_size=1, max_size=300))), st.data())
@pytest.mark.parametrize("name", ["r", "r.gz"])
def test_every_message_is_in_the_file_however_it_came(
    name: str, messages: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        with Recording(path, 2, nothing) as recording:
            at, numbers = 0, [1, 1]
            while at < len(messages):
                channel = messages[at][0]
                count = data.draw(st.integers(1, 3))
                run = [m for c, m in messages[at : at + count] if c == channel][:count]
                run = run if all(c == channel for c, _ in messages[at : at + count]) else run[:1]
                packets = b"".join(soupbin.sequenced(message) for message in run)
                recording.frames(
                    Frames(channel, SOUPBIN, SESSION, numbers[channel], len(run), 0, packets)
                )
                numbers[channel] += len(run)
                at += len(run)
                assert recording.resume_point(channel) == (SESSION, numbers[channel])
            assert not path.exists()
            recording.keep()
        assert blocks(path) == [message for _, message in messages]
        assert not path.with_name(f"{name}.part").exists()


def test_what_is_no_message_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with Recording(path, 2, nothing) as recording:
        packets = soupbin.sequenced(b"a") + soupbin.sequenced(b"") + soupbin.sequenced(b"b")
        recording.frames(Frames(0, SOUPBIN, SESSION, 1, 3, 0, packets))
        recording.frames(Frames(0, SOUPBIN, SESSION, 4, 0, 0, b"\xff\xffjunk"))
        recording.keep()
    assert blocks(path) == [b"a", b"b"]
    assert (recording.messages, recording.empty, recording.broken_bytes) == (2, 1, 6)


def test_replay_reads_what_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    trades = [block(seq, "1", 39)[2:] for seq in range(1, 6)]
    market = [block(seq, "5", 36)[2:] for seq in range(1, 4)]
    with Recording(path, 2, nothing) as recording:
        for channel, messages in ((0, trades), (1, market)):
            packets = b"".join(map(soupbin.sequenced, messages))
            recording.frames(Frames(channel, SOUPBIN, SESSION, 1, len(messages), 0, packets))
        recording.keep()
    taken = Taken()
    asyncio.run(ReplayFeed(path, IDX).run(taken))
    for channel, messages in ((0, trades), (1, market)):
        assert taken.payload(channel) == b"".join(struct.pack(">H", len(m)) + m for m in messages)


def test_no_file_is_replaced_unasked_nor_written_twice(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_bytes(b"mine")
    with pytest.raises(Refuse, match="there already; --force replaces it"):
        Recording(path, 2, nothing)
    with Recording(path, 2, nothing, force=True) as recording:
        with pytest.raises(Refuse, match="written by another capture"):
            Recording(path, 2, nothing, force=True)
        packets = soupbin.sequenced(b"a")
        recording.frames(Frames(0, SOUPBIN, SESSION, 1, 1, 0, packets))
        assert path.read_bytes() == b"mine"
        recording.keep()
    assert blocks(path) == [b"a"]


def test_a_file_that_came_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with Recording(path, 2, nothing) as recording:
        recording.frames(Frames(0, SOUPBIN, SESSION, 1, 1, 0, soupbin.sequenced(b"a")))
        path.write_bytes(b"mine")
        with pytest.raises(Refuse, match="came meanwhile"):
            recording.keep()
    assert path.read_bytes() == b"mine"
    assert (tmp_path / "r.part").exists()


WRITER = LineWriter(IDX1, IDX.boards)
SOUND = [wire.trade(seq, wire.TS + seq) for seq in range(1, 6)]


@pytest.mark.parametrize("name", ["r.txt", "r.txt.gz"])
def test_text_is_written_a_line_a_message(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with Recording(path, 2, nothing, lines=WRITER) as recording:
        packets = b"".join(map(soupbin.sequenced, [*SOUND[:3], b"7?", b"", SOUND[3]]))
        recording.frames(Frames(0, SOUPBIN, SESSION, 1, 6, 0, packets))
        line = WRITER.line(SOUND[4])
        assert line is not None
        recording.frames(Frames(1, LINES, "", 0, 2, 0, line + b"\n1|cut"))
        recording.keep()
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if name.endswith(".gz") else raw).split(b"\n")
    assert lines == [*map(WRITER.line, SOUND), b"1|cut", b""]
    assert (recording.messages, recording.wordless, recording.empty) == (6, 1, 1)


def test_blocks_of_a_bare_socket_are_recorded_and_lines_only_as_text(tmp_path: Path) -> None:
    packets = b"".join(struct.pack(">H", len(m)) + m for m in SOUND)
    told: list[int] = []
    with Recording(tmp_path / "r", 2, lambda: told.append(1)) as recording:
        recording.frames(Frames(1, BLOCKS, "", 0, len(SOUND), 0, packets))
        assert recording.resume_point(1) == ("", 1) and not told
        recording.frames(Frames(1, LINES, "", 0, 1, 0, b"1|1|2"))
        assert told
        with pytest.raises(Refuse, match="FILE must end in .txt"):
            recording.keep()
    assert blocks(tmp_path / "r.part") == SOUND


# -- the verb --------------------------------------------------------------------------------------

# Which tables a line fills, and what of a row tells how it came and not what it says. Of books far
# behind the trades bars know what came by then: here a line sends a day as fast as it can.
COMPARED = ("ticks", "snapshot", "contracts", "index", "ohlcv")
HOW_IT_CAME = {"ts_recv", "position", "known_at"}
BOOKS_THEN = {"bid_volume", "ask_volume"}


def rows(data: Path, table: str) -> list[dict[str, object]]:
    """What is stored, in an order of its own. Of bars those that the line closed: those open at
    the end are stored by a file's end alone."""
    (kind,) = (kind for kind in MARKET_KINDS if kind.name == table)
    left_out = HOW_IT_CAME | (BOOKS_THEN if table == "ohlcv" else set())
    columns = ", ".join(c.name for c in kind.columns if c.name not in left_out)
    where = "where final = 1" if table == "ohlcv" else ""
    return select(data, f"select {columns} from idx_{table} {where} order by all")


def day_of_demo(folder: Path) -> dict[int, list[bytes]]:
    """The beginning of a demo exchange's day, by channel, as its own line was captured."""
    exchange = Exchange(
        folder / "exchange", "--tickers", "5", "--history-days", "1", "--rate", "max"
    )
    try:
        line = settings(exchange.ports, feeds_main_user="bursa", feeds_main_password="demo")
        done = bursa("capture", str(folder / "day"), "--messages", "30000", **line)
        assert done.returncode == 0, done.stderr
        assert "30,000 messages" in done.stdout and "--venue idx" in done.stdout
    finally:
        exchange.end()
    taken = Taken()
    asyncio.run(ReplayFeed(folder / "day", IDX).run(taken))
    found: dict[int, list[bytes]] = {}
    for channel in (0, 1):
        raw, at = taken.payload(channel), 0
        while at < len(raw):
            (size,) = struct.unpack_from(">H", raw, at)
            found.setdefault(channel, []).append(raw[at + 2 : at + 2 + size])
            at += 2 + size
    return found


def test_a_captured_line_replays_to_what_a_live_run_stored(tmp_path: Path) -> None:
    day = day_of_demo(tmp_path)
    count = sum(map(len, day.values()))
    assert count == 30_000
    live, replayed = tmp_path / "live", tmp_path / "replayed"
    with serving(*(tells(day[channel], SESSION) for channel in (0, 1))) as ports:
        done = bursa(
            "capture", str(tmp_path / "line.gz"), "--messages", str(count), **settings(ports)
        )
        assert done.returncode == 0, done.stderr
        done = bursa(
            "capture", str(tmp_path / "line.txt.gz"), "--messages", str(count), **settings(ports)
        )
        assert done.returncode == 0, done.stderr
        with Bursa(live, **settings(ports)) as running:
            name = "bursa_messages_total"
            wait_for(lambda: running.count(name) >= count, 180, "all messages")
            assert running.stop() == 0
    assert sorted(blocks(tmp_path / "line.gz")) == sorted(day[0] + day[1])
    done = bursa("replay", str(tmp_path / "line.gz"), "--venue", "idx", "--data", str(replayed))
    assert done.returncode == 0, done.stderr
    text = tmp_path / "text"
    with gzip.open(tmp_path / "line.txt.gz") as lines:
        assert sum(1 for _ in lines) == count
    done = bursa("replay", str(tmp_path / "line.txt.gz"), "--venue", "idx", "--data", str(text))
    assert done.returncode == 0, done.stderr
    for table in COMPARED:
        found = rows(replayed, table)
        assert found and found == rows(live, table), table
        assert found == rows(text, table), table


def test_ctrl_c_ends_it_with_a_whole_file(tmp_path: Path) -> None:
    messages = [block(seq, "1", 39)[2:] for seq in range(1, 101)]
    path = tmp_path / "r"
    with serving(tells(messages), tells([])) as ports:
        process = subprocess.Popen(
            command("capture", str(path), "--feed", "main"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**settings(ports)),
        )
        try:
            # It says on standard error what becomes of a channel; by then messages come.
            assert process.stderr is not None
            while "idxdata: up" not in process.stderr.readline():
                assert process.poll() is None
            assert not path.exists() and path.with_name("r.part").exists()
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=120)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0
    assert "100 messages" in said
    assert blocks(path) == messages
    assert not path.with_name("r.part").exists()


def test_it_ends_by_time_and_takes_no_more_than_asked_for(tmp_path: Path) -> None:
    messages = [block(seq, "1", 39)[2:] for seq in range(1, 101)]
    with serving(tells(messages), tells([])) as ports:
        timed = bursa("capture", str(tmp_path / "timed"), "--seconds", "8", **settings(ports))
        counted = bursa("capture", str(tmp_path / "few"), "--messages", "7", **settings(ports))
    assert (timed.returncode, counted.returncode) == (0, 0), timed.stderr + counted.stderr
    assert blocks(tmp_path / "timed") == messages
    assert blocks(tmp_path / "few") == messages[:7]


def test_a_line_that_breaks_is_not_called_whole(tmp_path: Path) -> None:
    async def broken(server: Server, login: soupbin.Login, reader: object, writer: Writer) -> None:
        writer.write(soupbin.login_accepted("DAY1", login.seq))
        writer.write(soupbin.sequenced(b"1") + b"\xff\xff" + b"?" * 8)
        await writer.drain()
        await asyncio.sleep(120)

    with serving(broken, tells([])) as ports:
        done = bursa("capture", str(tmp_path / "r"), "--messages", "2", **settings(ports))
    assert done.returncode == 1
    assert "not whole" in done.stderr
    assert blocks(tmp_path / "r") == [b"1", b"1"]


def test_where_nothing_comes_there_is_no_file(tmp_path: Path) -> None:
    port = free_port()
    path = tmp_path / "r"
    done = bursa("capture", str(path), "--seconds", "1", **settings([port, port]))
    assert done.returncode == 1
    assert f"nothing was captured (idxdata: 127.0.0.1:{port} cannot be reached" in done.stderr
    with serving(refuses(soupbin.NOT_AUTHORISED), tells([])) as ports:
        done = bursa("capture", str(path), "--seconds", "20", **settings(ports))
    assert done.returncode == 1 and "login on idxdata is refused" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        messages = [b"1" * 300 for _ in range(10_000)]
        with serving(tells(messages), tells([])) as ports:
            done = bursa("capture", str(disk / "r"), "--seconds", "20", **settings(ports))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert done.returncode == 1
    assert "r.part cannot be written: No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "given", "code", "words"),
    [
        ([], {}, 1, "no source is configured"),
        (["--demo"], {}, 1, "no demo exchange runs"),
        (["--feed", "other"], settings([1, 1]), 2, "--feed: other; allowed: main"),
        (["--messages", "0"], settings([1, 1]), 2, "--messages"),
    ],
)
def test_what_cannot_be_captured_says_why(
    arguments: list[str], given: dict[str, str], code: int, words: str, tmp_path: Path
) -> None:
    data = str(tmp_path / "data")
    done = bursa("capture", str(tmp_path / "r"), *arguments, "--data", data, **given)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
