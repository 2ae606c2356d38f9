"""A MoldUDP64 source on loopback: two lines that a test drops from, and servers that repeat.

Packets are packed by hand. What a line does with a packet the test says; a request server answers
from what was said, unless it is told to keep silent, or to answer in part.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence

from tests.servers.broker import free_port

HEAD = struct.Struct(">10sQH")
LOOPBACK = "127.0.0.1"


def packet(session: str, first: int, messages: Sequence[bytes]) -> bytes:
    blocks = b"".join(struct.pack(">H", len(each)) + each for each in messages)
    return HEAD.pack(session.ljust(10).encode(), first, len(messages)) + blocks


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, and nobody is given by chance."""
    return [free_port(socket.SOCK_DGRAM) for _ in range(count)]


class Source:
    """One channel. `said` by session: all messages, the first one is number 1.

    answers  how many messages of a request are answered, by the request's place; None: all
    asked    what was asked for: (session, first, count)
    """

    def __init__(self, lines: Sequence[int], session: str = "DAY1") -> None:
        self.lines, self.session = list(lines), session
        self.said: dict[str, list[bytes]] = {session: []}
        self.asked: list[tuple[str, int, int]] = []
        self.answers: Callable[[int], int | None] = lambda place: None
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.bind((LOOPBACK, 0))
        self.server.setblocking(False)
        self.port = int(self.server.getsockname()[1])

    async def __aenter__(self) -> "Source":
        self._serving = asyncio.create_task(self._serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)
        self._out.close()
        self.server.close()

    @property
    def next(self) -> int:
        return len(self.said[self.session]) + 1

    def send(self, line: int, raw: bytes) -> None:
        self._out.sendto(raw, (LOOPBACK, self.lines[line]))

    def say(self, messages: Sequence[bytes], lines: Sequence[int] = (0, 1)) -> bytes:
        """One packet of new messages, on these lines; on none it is lost."""
        raw = packet(self.session, self.next, messages)
        self.said[self.session] += messages
        for line in lines:
            if line < len(self.lines):
                self.send(line, raw)
        return raw

    def heartbeat(self, lines: Sequence[int] = (0, 1), count: int = 0) -> None:
        raw = HEAD.pack(self.session.ljust(10).encode(), self.next, count)
        for line in lines:
            if line < len(self.lines):
                self.send(line, raw)

    def end(self) -> None:
        self.heartbeat(count=0xFFFF)

    def begin(self, session: str) -> None:
        self.session = session
        self.said[session] = []

    async def _serve(self) -> None:
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.server, readable.set)
        try:
            while True:
                await readable.wait()
                readable.clear()
                while True:
                    try:
                        raw, address = self.server.recvfrom(2048)
                    except BlockingIOError:
                        break
                    self._answer(raw, address)
        finally:
            loop.remove_reader(self.server)

    def _answer(self, raw: bytes, address: tuple[str, int]) -> None:
        name, first, count = HEAD.unpack(raw)
        session = name.decode().strip()
        limit = self.answers(len(self.asked))
        self.asked.append((session, first, count))
        count = min(count, count if limit is None else limit)
        found = self.said[session][first - 1 : first - 1 + count]
        for at in range(0, len(found), 40):
            self.server.sendto(packet(session, first + at, found[at : at + 40]), address)
