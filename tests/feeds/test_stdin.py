"""Standard input as a feed: pipes and files, to their end, in any pieces."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bursa.feeds import stdin
from bursa.feeds.stdin import StdinFeed
from bursa.model.batch import BLOCKS, LINES
from bursa.model.errors import Refuse
from bursa.model.venue import BINANCE, IDX
from tests.feeds.test_replay import DATA, MIXED, TRADES, Taken, block, blocks, joined, text_of

SENT = blocks(MIXED)
FORMS = [(joined(SENT), BLOCKS), (joined(text_of(SENT)), LINES)]


class Streamed(Taken):
    """An intake of a stream, whose channels come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def up(self, channel: int) -> None:
        self.told.append(f"up {channel}")

    def down(self, channel: int, why: str) -> None:
        self.told.append(f"down {channel}: {why}")


class Pipe:
    """A pipe that a thread writes into."""

    def __init__(self, write: Callable[[int], None]) -> None:
        self.fd, self._into = os.pipe()
        self._thread = threading.Thread(target=self._run, args=(write,))

    def _run(self, write: Callable[[int], None]) -> None:
        try:
            write(self._into)
        finally:
            os.close(self._into)

    def __enter__(self) -> "Pipe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        self._thread.join(60)


def all_of(data: bytes, size: int = 1 << 20, wait_s: float = 0.0) -> Callable[[int], None]:
    def write(into: int) -> None:
        for at in range(0, len(data), size):
            os.write(into, data[at : at + size])
            time.sleep(wait_s)

    return write


def run(feed: StdinFeed, taken: Taken) -> Taken:
    asyncio.run(asyncio.wait_for(feed.run(taken), 90))
    return taken


@pytest.mark.parametrize(("data", "form"), FORMS)
@pytest.mark.parametrize("size", [17, 100_000])
def test_a_pipe_is_read_to_its_end(data: bytes, form: int, size: int) -> None:
    with Pipe(all_of(data, size, 0.001)) as pipe:
        taken = Streamed()
        run(StdinFeed("in", IDX, fd=pipe.fd), taken)
    sent = SENT if form == BLOCKS else text_of(SENT)
    for channel in (TRADES, DATA):
        ends = b"\n" if form == LINES else b""
        mine = [bytes(f.payload) + ends for f in taken.got if f.channel == channel]
        assert b"".join(mine) == joined(sent, channel)
    assert {(f.form, f.ts_recv) for f in taken.got} == {(form, 0)}
    assert taken.ended == [TRADES, DATA]
    ended = "standard input ended"
    assert taken.told == ["up 0", "up 1", f"down 0: {ended}", f"down 1: {ended}"]


def test_a_file_is_a_recording(tmp_path: Path) -> None:
    file = tmp_path / "day"
    file.write_bytes(joined(SENT))
    told: list[tuple[int, int]] = []
    with file.open("rb") as raw:
        feed = StdinFeed(
            "in", IDX, recorded=True, progress=lambda *at: told.append(at), fd=raw.fileno()
        )
        taken = run(feed, Taken())
    assert {f.ts_recv for f in taken.got} == {-1} and taken.ended == [TRADES, DATA]
    assert told[-1] == (len(joined(SENT)), 0)


def test_a_last_block_cut_short_is_delivered() -> None:
    data = block(1, "1", 39) + block(2, "1", 39)[:20]
    with Pipe(all_of(data)) as pipe:
        taken = run(StdinFeed("in", IDX, recorded=True, fd=pipe.fd), Taken())
    assert taken.payload(TRADES) == data


def test_json_lines_of_another_venue() -> None:
    with Pipe(all_of(b'7 {"a":1}\n{"b":2}\n')) as pipe:
        taken = run(StdinFeed("in", BINANCE, recorded=True, fd=pipe.fd), Taken())
    assert [(f.ts_recv, bytes(f.payload)) for f in taken.got] == [(7, b'{"a":1}'), (-1, b'{"b":2}')]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x1f\x8b\x08rest", "gzip: unpack it first"),
        (b"\xfd7zXZ\0\0rest", "xz: unpack it first"),
        (block(1, "1") + b"\0\0\0", "no block can begin at byte 19"),
    ],
)
def test_what_cannot_be_read_on_is_said(data: bytes, why: str) -> None:
    with Pipe(all_of(data)) as pipe, pytest.raises(Refuse, match=why):
        run(StdinFeed("in", IDX, recorded=True, fd=pipe.fd), Taken())


def test_nothing_comes_of_an_empty_or_closed_input() -> None:
    with Pipe(all_of(b"")) as pipe:
        taken = run(StdinFeed("in", IDX, fd=pipe.fd), Streamed())
    assert not taken.got and not taken.ended
    with pytest.raises(Refuse, match="standard input cannot be read: Bad file descriptor"):
        run(StdinFeed("in", IDX, fd=9_999), Taken())


@pytest.fixture
def silent() -> Iterator[int]:
    reader, writer = os.pipe()
    yield reader
    os.close(writer)
    os.close(reader)


def test_a_stop_does_not_wait_for_a_silent_writer(silent: int) -> None:
    async def story() -> None:
        task = asyncio.create_task(StdinFeed("in", IDX, fd=silent).run(Taken()))
        await asyncio.sleep(0.05)
        assert not task.done()
        task.cancel()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 60)

    asyncio.run(story())
    assert not [each for each in threading.enumerate() if each.name == "stdin"]


def test_nothing_is_read_while_the_journal_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdin, "READ_BYTES", 1_000)

    async def story() -> None:
        taken = Streamed()
        taken.taking.clear()
        data = b"".join(block(seq, "1", 50) for seq in range(1, 100))
        with Pipe(all_of(data)) as pipe:
            task = asyncio.create_task(StdinFeed("in", IDX, fd=pipe.fd).run(taken))
            while not taken.got:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert len(taken.payload(TRADES)) < 1_000
            taken.taking.set()
            await asyncio.wait_for(task, 60)
        assert taken.payload(TRADES) == data

    asyncio.run(story())
