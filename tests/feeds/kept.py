"""An intake for tests of broker feeds: keeps what it is given, syncs and has room when told to."""

import asyncio
import os
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import uvloop

from bursa.model.batch import BLOCKS
from bursa.ports import Feed, Frames

LIMIT_S = 60.0
# A loop of libuv that closes may wait for ever, and no alarm of the runner's is heard meanwhile.
HANGS_S = 5 * LIMIT_S
Story = Callable[[], Coroutine[Any, Any, None]]


def block(message: bytes) -> bytes:
    return struct.pack(">H", len(message)) + message


def numbered(first: int, count: int) -> list[bytes]:
    """Bodies of one block."""
    return [block(b"message %d" % number) for number in range(first, first + count)]


class Kept:
    """Implements ports.Intake. `sync` and `space` are open unless a test closes them."""

    def __init__(self) -> None:
        self.messages: dict[int, list[bytes]] = {0: [], 1: []}
        self.broken: list[bytes] = []
        self.events: list[tuple[int, str]] = []
        self.sync, self.space = asyncio.Event(), asyncio.Event()
        self.sync.set()
        self.space.set()

    def frames(self, frames: Frames) -> None:
        assert (frames.form, frames.session, frames.first_seq) == (BLOCKS, "", 0)
        assert frames.ts_recv == 0 and self.space.is_set()
        payload = bytes(frames.payload)
        if frames.count == 0:
            self.broken.append(payload)
            return
        at = count = 0
        while at < len(payload):
            (size,) = struct.unpack_from(">H", payload, at)
            self.messages[frames.channel].append(payload[at + 2 : at + 2 + size])
            at, count = at + 2 + size, count + 1
        assert at == len(payload) and count == frames.count

    def up(self, channel: int) -> None:
        self.events.append((channel, "up"))

    def down(self, channel: int, why: str) -> None:
        self.events.append((channel, f"down: {why}"))

    def end_of_session(self, channel: int) -> None:
        raise AssertionError("a broker knows no sessions")

    def lost(self, channel: int, first: int, last: int, asked: bool) -> None:
        raise AssertionError("a broker has all that it took")

    def count(self, channel: int, line: str, word: str, count: int) -> None:
        raise AssertionError("a broker is no line")

    def end_of_file(self, channel: int) -> None:
        raise AssertionError("a broker is no file")

    def resume_point(self, channel: int) -> tuple[str, int]:
        return "", 1

    async def synced(self) -> None:
        await self.sync.wait()

    @property
    def refusing(self) -> bool:
        return not self.space.is_set()

    async def room(self) -> None:
        await self.space.wait()

    # -- what tests ask ----------------------------------------------------------------------------

    def told(self, channel: int = 0) -> list[str]:
        return [what for at, what in self.events if at == channel]

    def whys(self, channel: int = 0) -> str:
        return " ".join(what for what in self.told(channel) if what != "up")

    def is_up(self, channel: int = 0) -> bool:
        return self.told(channel)[-1:] == ["up"]

    async def all_up(self) -> None:
        await until(lambda: self.is_up(0) and self.is_up(1), f"both channels: {self.events}")

    async def taken(self, count: int, channel: int = 0) -> list[bytes]:
        """Wait for so many messages; all that came."""
        found = self.messages[channel]
        await until(lambda: len(found) >= count, f"{count} messages", self.events)
        return found


async def until(reached: Callable[[], Any], what: str, events: object = None) -> None:
    """Wait for something to have come; where it does not, `events` are told."""
    try:
        async with asyncio.timeout(LIMIT_S):
            while not reached():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {LIMIT_S} s: {what}; {events}") from None


class Running:
    """A feed that runs while the context is entered. Whatever ends it before is raised."""

    def __init__(self, feed: Feed, intake: Kept) -> None:
        self._feed, self._intake = feed, intake

    async def __aenter__(self) -> "asyncio.Task[None]":
        self.task = asyncio.create_task(self._feed.run(self._intake))
        return self.task

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


def story(told: Story) -> None:
    """Run it on the loop that bursa uses. Nothing of it may be left running. One that hangs ends
    the process, with what every thread is at."""

    async def whole() -> None:
        async with asyncio.timeout(3 * LIMIT_S):
            await told()
        for _ in range(1000):  # connections that were cut take a turn or two to be gone
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if not left:
                await asyncio.sleep(0.05)  # and TLS another one
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"left behind: {left}")

    watch = threading.Timer(HANGS_S, os.abort)
    watch.daemon = True
    watch.start()
    try:
        uvloop.run(whole())
    finally:
        watch.cancel()
