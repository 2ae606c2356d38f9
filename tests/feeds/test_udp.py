"""The MoldUDP64 feed on real sockets: lines that lose and mix up, servers that answer or do not."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import uvloop

from bursa.feeds.datagrams import dropped, listener, widen
from bursa.feeds.udp import Lines, Manner, MoldFeed
from bursa.model.batch import BLOCKS
from bursa.model.venue import IDX
from bursa.ports import Frames
from bursa.wire.transport.runs import Patience
from tests.feeds.mold_source import LOOPBACK, Source, free_ports, packet

LIMIT_S = 60
# A story waits for several things.
STORY_S = 4 * LIMIT_S
MS = 1_000_000
QUICK = Patience(first_wait_ns=10 * MS, again_ns=60 * MS, tries=50, messages_max=1000)
# One gives up soon; others ask not twice, or for nothing that only lags, on a busy machine too.
SHORT = replace(QUICK, tries=3)
LONG = replace(QUICK, again_ns=20_000 * MS)
SLOW = replace(LONG, first_wait_ns=20_000 * MS)
BLOCK_BYTES_MAX = 400


class Kept:
    """An intake that keeps what it is given, in order."""

    def __init__(self, session: str = "", next_seq: int = 1) -> None:
        self.point = (session, next_seq)
        self.messages: list[bytes] = []
        self.numbers: list[tuple[str, int]] = []
        self.events: list[str] = []
        self.broken: list[bytes] = []
        self.places: list[tuple[int, int]] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self.space = asyncio.Event()
        self.space.set()

    def frames(self, frames: Frames) -> None:
        assert frames.channel == 0 and frames.form == BLOCKS and frames.ts_recv == 0
        payload = bytes(frames.payload)
        self.places.append((frames.first_seq, frames.count))
        if not frames.count:
            self.broken.append(payload)
            return
        at = 0
        for number in range(frames.first_seq, frames.first_seq + frames.count):
            (size,) = struct.unpack_from(">H", payload, at)
            self.messages.append(payload[at + 2 : at + 2 + size])
            self.numbers.append((frames.session, number))
            at += 2 + size
        assert at == len(payload)

    def up(self, channel: int) -> None:
        self.events.append("up")

    def down(self, channel: int, why: str) -> None:
        self.events.append(f"down: {why}")

    def end_of_session(self, channel: int) -> None:
        self.events.append("end")

    def end_of_file(self, channel: int) -> None:
        raise AssertionError("a socket is no file")

    def lost(self, channel: int, first: int, last: int, asked: bool) -> None:
        self.events.append(f"lost {first}-{last}{' asked' if asked else ''}")

    def count(self, channel: int, line: str, word: str, count: int) -> None:
        assert count > 0
        self.counts[line, word] += count

    def resume_point(self, channel: int) -> tuple[str, int]:
        return self.point

    async def synced(self) -> None:
        return None

    @property
    def refusing(self) -> bool:
        return not self.space.is_set()

    async def room(self) -> None:
        await self.space.wait()

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not reached():
                await asyncio.sleep(0.005)


Story = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    """Run a story on the loop of the standard library and on the one that bursa runs on."""

    def play(story: Story) -> None:
        request.param(asyncio.wait_for(story(), STORY_S))

    return play


class Listening:
    """The feed as a task, on the source's lines."""

    def __init__(
        self,
        source: Source,
        kept: Kept,
        *,
        servers: bool = True,
        dead_s: float = 15.0,
        from_first: bool = True,
        patience: Patience = QUICK,
    ) -> None:
        lines = [(LOOPBACK, port) for port in source.lines]
        asked = [(LOOPBACK, source.port)] if servers else []
        manner = Manner(
            BLOCK_BYTES_MAX,
            patience,
            dead_s=dead_s,
            receive_bytes=1 << 17,
            from_first=from_first,
            back_off_s=(0.02,),
        )
        self._feed = MoldFeed("test", IDX, {0: Lines(lines, asked)}, manner, Random(1))
        self._source, self._kept = source, kept

    async def __aenter__(self) -> "asyncio.Task[None]":
        self._task = asyncio.create_task(self._feed.run(self._kept))
        # What is sent before a socket is bound is lost: say nothing until each of them hears.
        ups = [(line, "up") for line, _ in zip("AB", self._source.lines, strict=False)]
        before = {up: self._kept.counts[up] for up in ups}
        async with asyncio.timeout(LIMIT_S):
            while any(self._kept.counts[up] == before[up] for up in ups):
                self._source.heartbeat()
                await asyncio.sleep(0.01)
        return self._task

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def messages(count: int, first: int = 1) -> list[bytes]:
    dice = Random(first)
    return [b"%d-" % n + dice.randbytes(dice.randrange(40)) for n in range(first, first + count)]


def whole(kept: Kept, source: Source) -> bool:
    return len(kept.messages) >= sum(map(len, source.said.values()))


async def settled(kept: Kept, source: Source) -> None:
    await kept.until(lambda: whole(kept, source))
    assert kept.messages == [each for said in source.said.values() for each in said]
    assert kept.numbers == [
        (session, number)
        for session, said in source.said.items()
        for number in range(1, len(said) + 1)
    ]


def test_two_lines_are_one_stream(play: Callable[[Story], None]) -> None:
    """Either loses what the other brings; nobody need be asked."""

    async def story() -> None:
        kept, dice = Kept(), Random(5)
        async with Source(free_ports(2)) as source, Listening(source, kept, patience=SLOW):
            for lot in range(100):
                source.say(messages(dice.randrange(1, 9), lot), [(0,), (1,), (0, 1)][lot % 3])
                await asyncio.sleep(0)
            await settled(kept, source)
            assert not source.asked and kept.events == ["up"]
        assert kept.counts["A", "duplicates"] + kept.counts["B", "duplicates"] > 0
        assert kept.counts["A", "packets"] > 0 and kept.counts["B", "fills"] >= 0

    play(story)


def test_what_both_lines_lost_is_asked_for(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept, dice = Kept(), Random(6)
        async with Source(free_ports(2)) as source, Listening(source, kept):
            for lot in range(200):
                lines = [line for line in (0, 1) if dice.random() > 0.3]
                source.say(messages(dice.randrange(1, 9), lot), lines)
                await asyncio.sleep(0)
            source.heartbeat()
            await settled(kept, source)
            assert source.asked and "lost" not in str(kept.events)
        assert kept.counts["requests", "fills"] > 0

    play(story)


def test_packets_in_any_order_are_put_right(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept, dice = Kept(), Random(7)
        async with Source(free_ports(1)) as source, Listening(source, kept, servers=False):
            for _ in range(30):
                lot = [source.say(messages(3, dice.randrange(999)), ()) for _ in range(5)]
                for raw in dice.sample(lot, 5):
                    source.send(0, raw)
                await asyncio.sleep(0)
            await settled(kept, source)

    play(story)


def test_an_answer_in_part_is_asked_for_again(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(1)) as source, Listening(source, kept):
            source.answers = lambda place: 0 if place % 3 == 0 else 7
            for lot in range(10):
                source.say(messages(9, lot), ())
            source.heartbeat()
            await settled(kept, source)
            assert len(source.asked) > 10 and kept.events == ["up"]

    play(story)


def test_a_gap_that_nobody_answers_is_given_up(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(2)) as source, Listening(source, kept, patience=SHORT):
            source.answers = lambda place: 0
            source.say(messages(2))
            lost = source.say(messages(3), ())
            source.say(messages(2))
            await kept.until(lambda: len(kept.messages) == 4)
            assert kept.events == ["up", "lost 3-5 asked"] and len(source.asked) == 3
            assert [number for _, number in kept.numbers] == [1, 2, 6, 7]
            source.send(1, lost)
            await kept.until(lambda: len(kept.messages) == 7)
            assert [number for _, number in kept.numbers] == [1, 2, 6, 7, 3, 4, 5]

    play(story)


def test_without_servers_a_gap_is_given_up_at_once(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(2)) as source, Listening(source, kept, servers=False):
            source.say(messages(2), ())
            source.heartbeat()  # nothing follows, but it shows
            await kept.until(lambda: kept.events == ["up", "lost 1-2"])
        assert kept.counts["all", "missing"] == 2

    play(story)


def test_the_end_of_a_session_and_the_next(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(2)) as source, Listening(source, kept, dead_s=1.5):
            source.say(messages(3))
            source.say(messages(2), ())
            source.end()  # the gap before it is filled first
            source.end()
            await kept.until(lambda: "end" in kept.events)
            assert len(kept.messages) == 5
            await asyncio.sleep(2.0)
            assert kept.events == ["up", "end"], "between two sessions silence is no fault"
            source.begin("DAY2")
            source.say(messages(4, 50), ())
            source.say(messages(4, 60))
            await settled(kept, source)
            assert kept.events == ["up", "end"] and ("DAY2", 1, 4) in source.asked

    play(story)


def test_a_restart_asks_for_what_was_sent_meanwhile(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(2)) as source:
            async with Listening(source, kept, patience=LONG):
                source.say(messages(5))
                await settled(kept, source)
            source.say(messages(50, 9))
            kept.point = ("DAY1", 6)
            async with Listening(source, kept, patience=LONG):
                await settled(kept, source)
                source.say(messages(5, 99))
                await settled(kept, source)
            assert [first for _, first, _ in source.asked] == [6]

    play(story)


def test_a_channel_may_begin_where_it_is_met(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(1)) as source:
            source.say(messages(5), ())
            async with Listening(source, kept, from_first=False):
                source.say(messages(5, 9))
                await kept.until(lambda: len(kept.messages) == 5)
            assert kept.numbers[0] == ("DAY1", 6) and not source.asked

    play(story)


def test_silent_lines_are_down_and_come_back(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(2)) as source, Listening(source, kept, dead_s=2.0):
            assert kept.counts["A", "up"] == kept.counts["B", "up"] == 1
            async with asyncio.timeout(LIMIT_S):
                while kept.counts["B", "down"] == 0:  # A speaks on
                    source.heartbeat([0])
                    await asyncio.sleep(0.02)
            assert kept.events == ["up"]
            await kept.until(lambda: len(kept.events) > 1)
            assert kept.events[1] == "down: nothing came for 2 s"
            source.say(messages(1))
            await kept.until(lambda: kept.events[-1] == "up")

    play(story)


def test_packets_that_are_none_are_kept_for_quarantine(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(2)) as source, Listening(source, kept):
            source.say(messages(2), [0])
            whole = packet("DAY1", 3, [b"ab"])
            bad = [
                packet("DAY1", 3, [b"x" * 500]),
                b"short",
                whole[:-1],
                whole + b"?",
                b"x" * 60_000,
            ]
            for each in bad:
                source.send(0, each)
            source.say(messages(1), [0])
            await kept.until(lambda: len(kept.messages) == 3 and len(kept.broken) == 5)
            assert kept.broken == bad
            due = 1
            for first, count in kept.places:
                assert first == due, "each in its place, however they are read together"
                due += count
        assert kept.counts["A", "malformed"] == 5

    play(story)


def test_strays_change_nothing(play: Callable[[Story], None]) -> None:
    """Another session on the same port, numbers out of all proportion, an empty datagram."""

    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(2)) as source, Listening(source, kept, patience=SLOW):
            for lot in range(20):
                source.say(messages(3, lot))
                source.send(0, packet("STRAY", 1 + lot, [b"stray"]))
                source.send(1, packet("DAY1", 2**40, [b"stray"]))
                source.send(0, b"")
                await asyncio.sleep(0)
            await settled(kept, source)
            assert kept.events == ["up"] and not source.asked
        assert kept.counts["A", "doubtful"] >= 20 and kept.counts["B", "doubtful"] == 20
        assert kept.counts["all", "sessions"] == 1 and kept.counts["A", "malformed"] == 20

    play(story)


def test_a_server_that_lies_ends_and_moves_nothing(play: Callable[[Story], None]) -> None:
    """Answers of another session, far ahead, twice, and of nothing; then the true one."""

    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(2)) as source, Listening(source, kept):
            source.answers = lambda place: 0 if place < 1 else None
            lies = [
                packet("OTHER", 1, [b"lie"]),
                *[packet("DAY1", 2**40, [b"lie"])] * 2,
                packet("DAY1", 2**41, []),
                packet("DAY1", 500, [b"lie"]),
                b"no packet",
            ]
            honest = source._answer

            def lying(raw: bytes, address: tuple[str, int]) -> None:
                for lie in lies:
                    source.server.sendto(lie, address)
                honest(raw, address)

            source._answer = lying  # type: ignore[method-assign]
            source.say(messages(3))
            source.say(messages(3), ())
            source.say(messages(3))
            await settled(kept, source)
            assert kept.events == ["up"] and b"no packet" in kept.broken
        assert kept.counts["requests", "doubtful"] >= 5 and kept.counts["all", "sessions"] == 1

    play(story)


def test_what_the_kernel_drops_is_counted() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        made = listener(socket.AF_INET, (LOOPBACK, 0), "")
        with made:
            if widen(made, 1 << 16) < 1 << 16:
                pytest.skip("the system gives no buffer of 64 KiB")
            assert dropped(made) == 0
            for _ in range(200):
                out.sendto(bytes(2000), made.getsockname())
            heard = 0
            with suppress(BlockingIOError):
                while made.recv(4000):
                    heard += 1
            assert 0 < heard < 200 and dropped(made) == 200 - heard


def test_while_the_journal_refuses_nothing_is_read(play: Callable[[Story], None]) -> None:
    """What the kernel drops meanwhile is asked for afterwards."""

    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(2)) as source, Listening(source, kept):
            kept.space.clear()
            source.say(messages(1))
            await kept.until(lambda: len(kept.messages) == 1)
            for lot in range(2000):
                source.say([b"x" * 300] * 4 + [b"%d" % lot])
            await asyncio.sleep(0.1)
            assert len(kept.messages) == 1
            kept.space.set()
            async with asyncio.timeout(LIMIT_S):
                while not whole(kept, source):
                    source.heartbeat()
                    await asyncio.sleep(0.05)
            await settled(kept, source)
            assert source.asked and "lost" not in str(kept.events)

    play(story)


def test_a_line_that_cannot_be_opened_is_told_and_tried_again(
    play: Callable[[Story], None],
) -> None:
    async def story() -> None:
        kept = Kept()
        async with Source(free_ports(1)) as source:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
                held.bind((LOOPBACK, source.lines[0]))
                lines = Lines([(LOOPBACK, source.lines[0])])
                manner = Manner(BLOCK_BYTES_MAX, QUICK, back_off_s=(0.02,))
                task = asyncio.create_task(MoldFeed("test", IDX, {0: lines}, manner).run(kept))
                await kept.until(lambda: bool(kept.events))
                assert "cannot be listened to" in kept.events[0]
            async with asyncio.timeout(LIMIT_S):
                while "up" not in kept.events:
                    source.heartbeat()
                    await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    play(story)


def _join() -> socket.socket:
    return listener(socket.AF_INET, ("239.255.17.4", free_ports(1)[0]), LOOPBACK)


def multicast() -> str:
    """Why this machine has no multicast on loopback; "" where it has."""
    try:
        with _join() as heard, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
            out.sendto(b"?", ("239.255.17.4", heard.getsockname()[1]))
            heard.settimeout(5)
            heard.recv(1)
    except OSError as error:
        return f"no multicast on loopback: {error}"
    return ""


def test_a_multicast_group_is_joined() -> None:
    if why := multicast():
        pytest.skip(why)

    async def story() -> None:
        kept = Kept()
        group, (port,) = "239.255.17.5", free_ports(1)
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        lines = Lines([(group, port)], interface=LOOPBACK)
        feed = MoldFeed("test", IDX, {0: lines}, Manner(BLOCK_BYTES_MAX, QUICK))
        task = asyncio.create_task(feed.run(kept))
        async with asyncio.timeout(LIMIT_S):
            while not kept.messages:
                out.sendto(packet("DAY1", 1, [b"a", b"b"]), (group, port))
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        out.close()
        assert kept.messages == [b"a", b"b"]

    uvloop.run(asyncio.wait_for(story(), STORY_S))


def test_an_interface_that_is_not_there_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError):
        listener(socket.AF_INET, ("239.255.17.6", 0), "nosuchinterface0")
