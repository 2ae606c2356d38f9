"""Raw TCP over real sockets: cut, restored, dripped, garbage, silent, a disk that is full."""

import asyncio
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import uvloop

from bursa.feeds.raw import LINE_BYTES_MAX, RawFeed, Timing
from bursa.model.batch import BLOCKS, LINES
from bursa.model.venue import IDX
from bursa.ports import Frames
from tests.feeds.test_replay import block
from tests.servers.broker import free_port

LIMIT_S = 60.0
QUICK = Timing(silent_s=0.0, connect_s=20.0, back_off_s=(0.01,))
Story = Coroutine[Any, Any, None]
Play = Callable[[Story], None]
Step = bytes | float | asyncio.Event | None


class Kept:
    """An intake that remembers, and refuses on demand."""

    def __init__(self) -> None:
        self.got: list[Frames] = []
        self.told: list[str] = []
        self.taking = asyncio.Event()
        self.taking.set()
        self.news = asyncio.Event()

    def frames(self, frames: Frames) -> None:
        assert self.taking.is_set() or not self.got, "nothing is read on while it refuses"
        self.got.append(replace(frames, payload=bytes(frames.payload)))
        self.news.set()

    def up(self, channel: int) -> None:
        self._tell(f"up {channel}")

    def down(self, channel: int, why: str) -> None:
        self._tell(f"down {channel}: {why}")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.news.set()

    def end_of_session(self, channel: int) -> None:
        raise AssertionError("raw TCP has no sessions")

    def lost(self, channel: int, first: int, last: int, asked: bool) -> None:
        raise AssertionError("raw TCP counts no messages")

    def count(self, channel: int, line: str, word: str, count: int) -> None:
        raise AssertionError("raw TCP has one line a channel")

    def end_of_file(self, channel: int) -> None:
        raise AssertionError("a line is no file")

    def resume_point(self, channel: int) -> tuple[str, int]:
        raise AssertionError("there is nobody to ask")

    async def synced(self) -> None:
        return None

    @property
    def refusing(self) -> bool:
        return not self.taking.is_set()

    async def room(self) -> None:
        await self.taking.wait()

    async def until(self, reached: Callable[[], Any]) -> None:
        while not reached():
            self.news.clear()
            await self.news.wait()

    def payload(self, channel: int = 0) -> bytes:
        joint = b"\n" if any(f.form == LINES for f in self.got) else b""
        return joint.join(bytes(f.payload) for f in self.got if f.channel == channel)


class Server:
    """Sends each connection its script: bytes, pauses in seconds or until something happens, None
    to stay open."""

    def __init__(self, *scripts: list[Step]) -> None:
        self._scripts = scripts
        self.connections = 0
        self.port = free_port()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        with suppress(OSError, asyncio.CancelledError):
            for step in script:
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    await asyncio.sleep(LIMIT_S if step is None else step)
        writer.close()
        self._tasks.discard(task)


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Play:
    def play(story: Story) -> None:
        request.param(asyncio.wait_for(story, LIMIT_S))

    return play


class Running:
    """The feed as a task, stopped at the end."""

    def __init__(self, kept: Kept, *servers: Server, timing: Timing = QUICK) -> None:
        endpoints = {at: ("127.0.0.1", server.port) for at, server in enumerate(servers)}
        self._feed = RawFeed("raw", IDX, endpoints, timing=timing, random=Random(1))
        self._kept = kept

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._feed.run(self._kept))

    async def __aexit__(self, *_: object) -> None:
        assert not self._task.done()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def stream(first: int, last: int, kind: str = "1") -> bytes:
    return b"".join(block(seq, kind, seq % 90) for seq in range(first, last + 1))


def text(first: int, last: int) -> bytes:
    return b"".join(b"1|%d|1000|%s\n" % (seq, b"x" * (seq % 90)) for seq in range(first, last + 1))


def test_each_channel_delivers_what_it_is_sent(play: Play) -> None:
    async def story() -> None:
        kept = Kept()
        async with Server([stream(1, 5000), None]) as one, Server([text(1, 3000), None]) as two:
            async with Running(kept, one, two):
                await kept.until(lambda: sum(f.count for f in kept.got) == 8000)
        blocks = b"".join(bytes(f.payload) for f in kept.got if f.channel == 0)
        assert blocks == stream(1, 5000)
        lines = b"".join(bytes(f.payload) + b"\n" for f in kept.got if f.channel == 1)
        assert lines == text(1, 3000)
        assert {(f.channel, f.form) for f in kept.got} == {(0, BLOCKS), (1, LINES)}
        assert {(f.session, f.first_seq, f.ts_recv) for f in kept.got} == {("", 0, 0)}
        assert sorted(kept.told[:2]) == ["up 0", "up 1"]
        assert sorted(kept.told[2:]) == ["down 0: stopped", "down 1: stopped"]

    play(story())


@pytest.mark.parametrize("data", [stream(1, 6), text(1, 6)])
def test_a_slow_drip_is_put_together(play: Play, data: bytes) -> None:
    async def story() -> None:
        kept = Kept()
        drops: list[Step] = []
        for at in range(0, len(data), 3):
            drops += [data[at : at + 3], 0.001]
        async with Server([*drops, None]) as server, Running(kept, server):
            await kept.until(lambda: sum(f.count for f in kept.got) == 6)
        assert kept.payload() == data.removesuffix(b"\n") and len(kept.got) > 3

    play(story())


@pytest.mark.parametrize(
    ("first", "second"), [(stream(1, 9), stream(10, 20)), (text(1, 9), text(10, 20))]
)
def test_after_a_cut_inside_a_message_it_comes_back_and_drops_the_half(
    play: Play, first: bytes, second: bytes
) -> None:
    async def story() -> None:
        kept = Kept()
        async with Server([first + second[:7]], [second, None]) as server, Running(kept, server):
            await kept.until(lambda: sum(f.count for f in kept.got) == 20)
            assert server.connections == 2
        assert kept.payload() == (first + second).removesuffix(b"\n")
        assert kept.told[:3] == [
            "up 0",
            "down 0: the server closed the connection, 7 bytes into a message",
            "up 0",
        ]

    play(story())


def test_a_server_that_is_not_there_yet_is_found(play: Play) -> None:
    async def story() -> None:
        kept = Kept()
        async with Server([stream(1, 3), None]) as server:
            pass
        async with Running(kept, server):
            await kept.until(lambda: len(kept.told) > 2)
            async with server:
                await kept.until(lambda: kept.got)
        assert "cannot be reached" in kept.told[0] and kept.payload() == stream(1, 3)

    play(story())


@pytest.mark.parametrize(
    ("junk", "form"),
    [(struct.pack(">H", 1025) + b"?" * 50, BLOCKS), (b"\0\0", BLOCKS), (b"x" * 70_000, LINES)],
)
def test_where_framing_is_lost_the_bytes_are_kept_and_it_connects_anew(
    play: Play, junk: bytes, form: int
) -> None:
    good = stream(1, 3) if form == BLOCKS else text(1, 3)

    async def story() -> None:
        kept = Kept()
        async with Server([good, 0.05, junk, None], [good, None]) as server, Running(kept, server):
            await kept.until(lambda: sum(f.count for f in kept.got) == 6)
        broken = [f for f in kept.got if f.count == 0]
        assert len(broken) == 1 and broken[0].form == form
        assert junk.startswith(bytes(broken[0].payload)[:LINE_BYTES_MAX])
        assert "down 0: framing is lost" in kept.told

    play(story())


def test_a_silent_connection_is_opened_anew_and_a_slow_one_is_not(play: Play) -> None:
    async def story() -> None:
        kept = Kept()
        timing = Timing(silent_s=1.0, connect_s=20.0, back_off_s=(0.01,))
        slow: list[Step] = [block(1, "1", 9), 0.2] * 5
        async with Server([*slow, None], [None]) as server:
            async with Running(kept, server, timing=timing):
                await kept.until(lambda: server.connections > 1 and len(kept.told) > 2)
        assert sum(f.count for f in kept.got) == 5
        assert kept.told[:2] == ["up 0", "down 0: nothing came for 1 s"]

    play(story())


def test_nothing_is_read_while_the_journal_refuses(play: Play) -> None:
    """The socket's buffers fill, so the server waits; then all of it comes."""

    async def story() -> None:
        kept = Kept()
        many = stream(1, 400_000)
        one, more = asyncio.Event(), asyncio.Event()
        script: list[Step] = [one, block(0, "1"), more, many, None]
        async with Server(script) as server, Running(kept, server):
            await kept.until(lambda: kept.told)
            kept.taking.clear()
            one.set()
            await kept.until(lambda: kept.got)
            more.set()
            await asyncio.sleep(0.3)
            assert sum(f.count for f in kept.got) == 1, "the rest waits in the socket"
            kept.taking.set()
            await kept.until(lambda: sum(f.count for f in kept.got) == 400_001)
        assert kept.payload() == block(0, "1") + many
        assert server.connections == 1

    play(story())
