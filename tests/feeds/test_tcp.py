"""The SoupBinTCP feed against a real server on loopback that can cut, fall silent, end and lie."""

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
import uvloop

from bursa.feeds.tcp import SoupFeed, Timing
from bursa.model.batch import SOUPBIN
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from bursa.ops.back_off import BackOff
from bursa.ports import Frames, Intake
from bursa.wire.idx.layout import IDX1
from bursa.wire.transport import soupbin
from bursa.wire.transport.soupbin import Login, Packets
from tests.servers.broker import free_port

QUICK = Timing(heartbeat_s=0.02, dead_s=1.0, connect_s=20.0, back_off_s=(0.01, 0.02))
LIMIT_S = 60


class Kept:
    """An intake that keeps what it is given, as the port says: copied, numbered."""

    def __init__(self, session: str = "", next_seq: int = 1) -> None:
        self.points = {0: (session, next_seq), 1: (session, next_seq)}
        self.messages: dict[int, list[bytes]] = {0: [], 1: []}
        self.seqs: dict[int, list[int]] = {0: [], 1: []}
        self.events: list[tuple[int, str]] = []
        self.broken: list[bytes] = []
        self.reads = 0
        self.counts: Counter[tuple[str, str]] = Counter()
        self.full_at = 0
        self.taking = asyncio.Event()
        self.taking.set()

    def frames(self, frames: Frames) -> None:
        payload = bytes(frames.payload)
        assert frames.form == SOUPBIN and frames.ts_recv == 0
        self.reads += 1
        if self.reads == self.full_at:
            self.taking.clear()
        self.points[frames.channel] = (frames.session, frames.first_seq + frames.count)
        if frames.count == 0:
            self.broken.append(payload)
        at, seq = 0, frames.first_seq
        while frames.count and at < len(payload):
            (size,) = struct.unpack_from(">H", payload, at)
            assert payload[at + 2 : at + 3] == b"S" and at + 2 + size <= len(payload)
            self.messages[frames.channel].append(payload[at + 3 : at + 2 + size])
            self.seqs[frames.channel].append(seq)
            at, seq = at + 2 + size, seq + 1
        assert not frames.count or seq == frames.first_seq + frames.count

    def _event(self, channel: int, what: str) -> None:
        self.events.append((channel, what))

    def up(self, channel: int) -> None:
        self._event(channel, "up")

    def down(self, channel: int, why: str) -> None:
        self._event(channel, f"down: {why}")

    def end_of_session(self, channel: int) -> None:
        self._event(channel, "end")

    def lost(self, channel: int, first: int, last: int, asked: bool) -> None:
        self._event(channel, f"lost {first}-{last}")

    def count(self, channel: int, line: str, word: str, count: int) -> None:
        self.counts[line, word] += count

    def end_of_file(self, channel: int) -> None:
        raise AssertionError("a socket is no file")

    def resume_point(self, channel: int) -> tuple[str, int]:
        return self.points[channel]

    async def synced(self) -> None:
        return None

    @property
    def refusing(self) -> bool:
        return not self.taking.is_set()

    async def room(self) -> None:
        await self.taking.wait()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for something to have come."""
        async with asyncio.timeout(LIMIT_S):
            while not reached():
                await asyncio.sleep(0.005)

    def told(self, channel: int = 0) -> list[str]:
        return [what for at, what in self.events if at == channel]


Talk = Callable[["Server", Login, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """One channel: what it answers is a script, one entry a connection, the last one repeats."""

    scripts: list[Talk]
    logins: list[Login] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    port: int = 0
    _talking: set[asyncio.Task[Any]] = field(default_factory=set)

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._talking:
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packets = Packets()
        task = asyncio.current_task()
        assert task is not None
        self._talking.add(task)
        try:
            async with asyncio.timeout(LIMIT_S):
                login = await self._login(reader, packets)
                if login is None:
                    return
                script = self.scripts[min(len(self.logins), len(self.scripts) - 1)]
                self.logins.append(login)
                listening = asyncio.create_task(self._listen(reader, packets))
                try:
                    await script(self, login, reader, writer)
                finally:
                    listening.cancel()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._talking.discard(task)

    async def _login(self, reader: asyncio.StreamReader, packets: Packets) -> Login | None:
        while data := await reader.read(1000):
            for kind, payload in packets.feed(data):
                assert kind == "L"
                return soupbin.parse_login(payload)
        return None

    async def _listen(self, reader: asyncio.StreamReader, packets: Packets) -> None:
        while data := await reader.read(1000):
            self.heard += [kind for kind, _ in packets.feed(data)]


def stream(count: int) -> list[bytes]:
    dice = Random(7)
    return [b"%d-" % i + dice.randbytes(dice.randrange(0, 200)) for i in range(1, count + 1)]


def tells(
    messages: list[bytes], session: str = "DAY1", cut: int | None = None, end: bool = False
) -> Talk:
    """Accept, send what was asked for, then cut off after `cut` bytes, end, or stay quiet."""

    async def talk(server: Server, login: Login, reader: Any, writer: asyncio.StreamWriter) -> None:
        first = login.seq if login.session == session else 1
        data = b"".join(soupbin.sequenced(message) for message in messages[first - 1 :])
        writer.write(soupbin.login_accepted(session, first) + data[:cut])
        if end:
            writer.write(soupbin.end_of_session())
        await writer.drain()
        if cut is not None:
            writer.close()
            await writer.wait_closed()
            return
        while not end or not reader.at_eof():
            await asyncio.sleep(0.02)
            writer.write(soupbin.heartbeat())
            await writer.drain()

    return talk


async def silent(server: Server, login: Login, reader: Any, writer: asyncio.StreamWriter) -> None:
    writer.write(soupbin.login_accepted("DAY1", login.seq))
    await asyncio.sleep(LIMIT_S)


def refuses(code: str) -> Talk:
    async def talk(server: Server, login: Login, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(soupbin.login_rejected(code))
        await writer.drain()

    return talk


def says(*parts: bytes) -> Talk:
    """Accept what is asked for, say these bytes, stay."""

    async def talk(server: Server, login: Login, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(soupbin.login_accepted("DAY1", login.seq) + b"".join(parts))
        await writer.drain()
        await asyncio.sleep(LIMIT_S)

    return talk


def feed(*servers: Server) -> SoupFeed:
    endpoints = {channel: ("127.0.0.1", server.port) for channel, server in enumerate(servers)}
    return SoupFeed("test", IDX, endpoints, "demo", "secret", QUICK, Random(1))


Story = Coroutine[Any, Any, None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    """Run a story on the loop of the standard library and on the one that bursa runs on."""

    def play(story: Story) -> None:
        request.param(asyncio.wait_for(story, LIMIT_S))

    return play


class Running:
    """The feed as a task, stopped at the end."""

    def __init__(self, source: SoupFeed, intake: Intake) -> None:
        self._run = source.run(intake)

    async def __aenter__(self) -> "asyncio.Task[None]":
        self._task = asyncio.create_task(self._run)
        return self._task

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def test_both_channels_deliver_their_streams(play: Callable[[Story], None]) -> None:
    messages = stream(3000)

    async def story() -> None:
        kept = Kept()
        async with Server([tells(messages)]) as one, Server([tells(messages[:500])]) as two:
            async with Running(feed(one, two), kept):
                await kept.until(lambda: kept.points[0][1] == 3001 and kept.points[1][1] == 501)
                await kept.until(lambda: one.heard.count("R") > 2)
            await kept.until(lambda: one.heard[-1] == two.heard[-1] == "O")
        assert kept.messages[0] == messages and kept.messages[1] == messages[:500]
        assert one.logins[0] == Login("demo", "secret", "", 1)
        assert kept.points[0] == ("DAY1", 3001) and kept.told()[0] == "up"

    play(story())


def test_after_a_cut_it_resumes_behind_the_last_whole_message(
    play: Callable[[Story], None],
) -> None:
    messages = stream(200)

    async def story() -> None:
        kept, dice = Kept(), Random(3)
        cuts = [tells(messages, cut=dice.randrange(1, 4000)) for _ in range(12)]
        async with Server([*cuts, tells(messages)]) as server:
            async with Running(feed(server), kept):
                await kept.until(lambda: kept.points[0][1] == 201)
        assert kept.messages[0] == messages
        assert kept.seqs[0] == list(range(1, 201))
        assert [login.session for login in server.logins[1:3]] != ["", ""]
        told = kept.told()
        assert told[:3] == ["up", "down: the server closed the connection", "up"]

    play(story())


def test_a_silent_line_is_given_up(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept = Kept()
        async with Server([silent, tells(stream(3))]) as server:
            async with Running(feed(server), kept):
                await kept.until(lambda: kept.points[0][1] == 4)
        assert kept.told()[:3] == ["up", "down: nothing came for 1 s", "up"]

    play(story())


def test_a_login_that_is_not_answered_is_given_up(play: Callable[[Story], None]) -> None:
    """Heartbeats alone would keep such a line for ever."""

    async def mute(
        server: Server, login: Login, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            writer.write(soupbin.heartbeat())
            await asyncio.sleep(0.05)

    async def story() -> None:
        kept = Kept()
        async with Server([mute, tells(stream(3))]) as server, Running(feed(server), kept):
            await kept.until(lambda: kept.points[0][1] == 4)
        assert kept.told()[:2] == ["down: the login was not answered for 1 s", "up"]

    play(story())


def test_heartbeats_alone_keep_a_line(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept = Kept()
        async with Server([tells([])]) as server, Running(feed(server), kept):
            await kept.until(lambda: kept.told() == ["up"])
            await asyncio.sleep(2 * QUICK.dead_s)
            assert kept.told() == ["up"] and len(server.logins) == 1

    play(story())


def test_while_the_journal_refuses_nothing_is_read_and_the_line_stays(
    play: Callable[[Story], None],
) -> None:
    """Longer than the silence that would end a line; then all of it comes, on the same one."""
    messages = [b"%09d" % n + bytes(400) for n in range(30_000)]

    async def story() -> None:
        kept = Kept()
        kept.full_at = 2
        async with Server([tells(messages)]) as server, Running(feed(server), kept):
            await kept.until(lambda: kept.refusing)
            taken, beats = kept.reads, server.heard.count("R")
            await asyncio.sleep(3 * QUICK.dead_s)
            assert kept.reads == taken and kept.told() == ["up"]
            await kept.until(lambda: server.heard.count("R") > beats + 3)
            kept.taking.set()
            await kept.until(lambda: kept.points[0][1] == 30_001)
            await asyncio.sleep(2 * QUICK.dead_s)
            assert kept.told() == ["up"] and len(server.logins) == 1
        assert kept.messages[0] == messages

    play(story())


def test_while_the_journal_refuses_a_lost_line_is_not_opened_anew(
    play: Callable[[Story], None],
) -> None:
    messages = stream(300)

    async def story() -> None:
        kept = Kept()
        kept.full_at = 1
        scripts = [tells(messages, cut=9_000), tells(messages)]
        async with Server(scripts) as server, Running(feed(server), kept):
            await kept.until(lambda: "down" in str(kept.told()))  # a heartbeat fails
            await asyncio.sleep(0.3)
            assert len(server.logins) == 1
            kept.taking.set()
            await kept.until(lambda: kept.points[0][1] == 301)
        assert kept.messages[0] == messages

    play(story())


def test_after_the_end_of_a_session_it_goes_on_into_the_next(
    play: Callable[[Story], None],
) -> None:
    first, second = stream(20), stream(5)

    async def story() -> None:
        kept = Kept()
        async with Server([tells(first, end=True), tells(second, "DAY2")]) as server:
            async with Running(feed(server), kept):
                await kept.until(lambda: kept.points[0] == ("DAY2", 6))
        assert kept.messages[0] == first + second
        assert kept.told() == ["up", "end", "up", "down: stopped"]
        assert server.logins[1] == Login("demo", "secret", "DAY1", 21)

    play(story())


def test_an_end_that_is_repeated_is_told_once_and_not_asked_in_a_rush(
    play: Callable[[Story], None],
) -> None:
    async def story() -> None:
        kept = Kept()
        async with Server([tells(stream(5), end=True)]) as server:
            async with Running(feed(server), kept):
                await kept.until(lambda: "end" in kept.told())
                began, before = time.monotonic(), len(server.logins)
                await kept.until(lambda: len(server.logins) > before + 10)
                took_s, more = time.monotonic() - began, len(server.logins) - before
        assert kept.told().count("end") == 1 and "down" not in str(kept.told())
        assert more < 10 + 120 * took_s, "each after a wait"

    play(story())


def test_a_server_that_does_not_know_the_session_is_asked_for_its_own(
    play: Callable[[Story], None],
) -> None:
    async def story() -> None:
        kept = Kept("OLD", 77)
        scripts = [refuses("S"), refuses("S"), tells(stream(4), "NEW")]
        async with Server(scripts) as server, Running(feed(server), kept):
            await kept.until(lambda: kept.points[0] == ("NEW", 5))
        assert [(login.session, login.seq) for login in server.logins] == [
            *(("OLD", 77), ("", 1), ("OLD", 77))
        ]

    play(story())


def test_a_wrong_password_is_refused_for_good(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        async with Server([refuses("A")]) as server:
            with pytest.raises(Refuse, match="login on idxdata is refused") as refused:
                await feed(server).run(Kept())
            assert refused.value.code == "login_refused"

    play(story())


def test_a_login_refused_after_one_that_was_not_is_tried_again(
    play: Callable[[Story], None],
) -> None:
    async def story() -> None:
        kept = Kept()
        scripts = [tells(stream(9), cut=30), refuses("A"), tells(stream(9))]
        async with Server(scripts) as server, Running(feed(server), kept):
            await kept.until(lambda: kept.points[0][1] == 10)
        assert kept.messages[0] == stream(9)

    play(story())


@pytest.mark.parametrize(
    "broken", [b"\x00\x00rest", struct.pack(">H", IDX1.block_bytes_max + 2) + b"S" + b"?" * 2000]
)
def test_where_framing_is_lost_the_bytes_are_kept_and_the_line_opened_anew(
    play: Callable[[Story], None], broken: bytes
) -> None:
    messages = stream(6)

    async def story() -> None:
        kept = Kept()
        parts = [soupbin.sequenced(message) for message in messages[:3]]
        async with Server([says(*parts, broken), tells(messages)]) as server:
            async with Running(feed(server), kept):
                await kept.until(lambda: kept.points[0][1] == 7)
        assert kept.messages[0] == messages and kept.broken[0][:4] == broken[:4]
        assert kept.told()[:3] == ["up", "down: framing is lost", "up"]
        assert server.logins[1].seq == 4

    play(story())


def test_a_message_that_always_breaks_the_line_is_passed_over(
    play: Callable[[Story], None],
) -> None:
    messages = stream(6)

    async def poisoned(server: Server, login: Login, reader: Any, writer: Any) -> None:
        parts = [soupbin.sequenced(message) for message in messages]
        parts[3] = b"\x00\x00"
        await says(*parts[login.seq - 1 :])(server, login, reader, writer)

    async def story() -> None:
        kept = Kept()
        async with Server([poisoned]) as server, Running(feed(server), kept):
            await kept.until(lambda: kept.points[0][1] == 7)
        assert kept.seqs[0] == [1, 2, 3, 5, 6]
        assert [login.seq for login in server.logins] == [1, 4, 5]

    play(story())


def test_what_is_outside_the_stream_is_counted_and_never_numbered(
    play: Callable[[Story], None],
) -> None:
    async def story() -> None:
        kept = Kept()
        said = [soupbin.debug("good morning"), soupbin.sequenced(b"1"), soupbin.unsequenced(b"x")]
        said += [soupbin.sequenced(b"2"), soupbin.packet("?", b"y"), soupbin.heartbeat()]
        async with Server([says(*said)]) as server, Running(feed(server), kept):
            await kept.until(lambda: kept.counts["tcp", "heartbeat"] > 0)
        assert kept.messages[0] == [b"1", b"2"] and kept.seqs[0] == [1, 2]
        words = ("debug", "unsequenced", "other", "accepted", "messages")
        assert [kept.counts["tcp", word] for word in words] == [1, 1, 1, 1, 2]

    play(story())


def test_a_server_that_counts_anew_under_the_same_name_is_heard(
    play: Callable[[Story], None],
) -> None:
    """What it says is judged by the messages' own numbers, not dropped here."""

    async def story() -> None:
        kept = Kept("DAY1", 77)
        async with Server([refuses("S"), tells(stream(4))]) as server:
            async with Running(feed(server), kept):
                await kept.until(lambda: kept.seqs[0] == [1, 2, 3, 4])
        assert kept.counts["tcp", "resets"] == 1 and kept.counts["tcp", "rejected"] == 1

    play(story())


def test_what_a_server_cannot_send_any_more_is_passed_over(
    play: Callable[[Story], None],
) -> None:
    async def later(server: Server, login: Login, reader: Any, writer: Any) -> None:
        writer.write(soupbin.login_accepted("DAY1", login.seq + 5) + soupbin.sequenced(b"six"))
        await asyncio.sleep(LIMIT_S)

    async def story() -> None:
        kept = Kept("DAY1", 7)
        async with Server([later]) as server, Running(feed(server), kept):
            await kept.until(lambda: kept.counts["tcp", "missing"] == 5)
        assert kept.seqs[0] == [12] and kept.messages[0] == [b"six"]

    play(story())


def test_channels_fail_and_come_back_alone(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        kept = Kept()
        async with Server([tells(stream(2000))]) as one:
            gone = Server([tells([])], port=free_port())
            async with Running(feed(one, gone), kept):
                await kept.until(lambda: kept.points[0][1] == 2001)
                await kept.until(lambda: len(kept.told(1)) > 2)
                assert all("cannot be reached" in what for what in kept.told(1))
                async with Server([tells(stream(3))], port=gone.port):
                    await kept.until(lambda: kept.points[1][1] == 4)
                    assert kept.told(0) == ["up"]

    play(story())


def test_a_full_stream_is_read_in_large_pieces(play: Callable[[Story], None]) -> None:
    messages = [bytes(232)] * 100_000

    async def story() -> None:
        kept = Kept()
        async with Server([tells(messages)]) as server, Running(feed(server), kept):
            await kept.until(lambda: kept.points[0][1] == 100_001)
        assert len(kept.messages[0]) == 100_000
        assert kept.reads < 2_000

    play(story())


def test_back_off_doubles_to_32_seconds_with_jitter() -> None:
    back_off = BackOff(Random(5))
    waits = [back_off.next_s() for _ in range(8)]
    for wait, middle in zip(waits, [1, 2, 4, 8, 16, 32, 32, 32], strict=True):
        assert 0.8 * middle <= wait <= 1.2 * middle
    assert len({wait / middle for wait, middle in zip(waits[5:], [32] * 3, strict=True)}) == 3
    back_off.reset()
    assert back_off.next_s() <= 1.2
    again = BackOff(Random(5))
    assert [again.next_s() for _ in range(8)] == waits, "the same seed, the same waits"
