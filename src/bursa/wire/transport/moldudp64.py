"""MoldUDP64 without sockets: packets of numbered messages, and requests for those that were lost.

    downstream  session 10, number u64 of the first message, count u16, then count blocks of
                u16 length and message; count 0: a heartbeat, the number is the next one;
                count 0xFFFF: the session is over, the number is the next one it would have had
    request     session 10, number u64 of the first message wanted, count u16

Big-endian; the session is ASCII, padded with blanks. A datagram is one packet. A packet is taken
whole or refused whole, because its checksum was good: Reject `truncated` (shorter than it says),
`trailing` (longer), `bad_session`, `bad_number` (0, or past int64), `bad_block` (a length of 0, or
above what the venue's decoder takes). Knows nothing of the messages.

Anybody may send to a group, so no single packet ends a session or tears a gap of a day: `Doubt`
lets through at once what fits the order so far, and the rest when more of it has come.
"""

import struct
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.errors import Reject
from bursa.wire.loads import KERNEL, be16
from bursa.wire.transport.runs import Payload, Step
from bursa.wire.transport.sequencer import Sequencer

HEADER = struct.Struct(">10sQH")
HEADER_BYTES = HEADER.size
SESSION_BYTES = 10
HEARTBEAT, END = 0, 0xFFFF
"""Counts that are none."""

COUNT_MAX = END - 1
"""Most messages that a packet holds, or a request asks for."""

DATAGRAM_BYTES_MAX = 65_535

SURE_NS = 3_000_000_000
"""For so long another session must be heard, and the one under way not: three heartbeats."""

RESET_NS = 15_000_000_000
"""After so long a silence a session that is at number 1 again has begun anew."""

FAR = 1 << 20
"""Messages that one packet alone cannot jump over."""

WAITING_BYTES_MAX = 4 << 20

_LAST = 2**63 - 2


class Packet(NamedTuple):
    """A packet's header. `messages` HEARTBEAT or END: `seq` is the next number."""

    session: bytes
    seq: int
    messages: int


def parse(octets: NDArray[np.uint8], start: int, end: int, block_bytes_max: int) -> Packet:
    """The header of the downstream packet in octets[start:end], uint8 (n,), all of whose blocks are
    sound; they lie behind the header."""
    if end - start < HEADER_BYTES:
        raise Reject("truncated", f"{end - start} bytes, the header has {HEADER_BYTES}")
    session, seq, count = HEADER.unpack_from(octets.data, start)
    if not session.isascii() or not session.strip(b" \0"):
        raise Reject("bad_session", f"{session!r} names no session")
    if seq + count > _LAST or not seq and HEARTBEAT < count < END:
        raise Reject("bad_number", f"{count} messages from {seq} on")
    blocks = count if count != END else 0
    at = walk(octets, start + HEADER_BYTES, end, blocks, block_bytes_max)
    if at == _CUT:
        raise Reject("truncated", f"{end - start} bytes do not hold {blocks} messages")
    if at == _BAD:
        raise Reject("bad_block", f"a message of 0 or of more than {block_bytes_max} bytes")
    if at != end:
        raise Reject("trailing", f"{end - at} bytes behind {blocks} messages")
    return Packet(session, seq, count)


_CUT, _BAD = -1, -2


@njit(**KERNEL)
def walk(octets: NDArray[np.uint8], start: int, end: int, count: int, block_bytes_max: int) -> int:
    """Where `count` blocks from `start` on end; -1: past `end`, -2: one has no sound length."""
    at = start
    for _ in range(count):
        if at + 2 > end:
            return _CUT
        size = be16(octets, at)
        if size == 0 or size > block_bytes_max:
            return _BAD
        at += 2 + size
    return at if at <= end else _CUT


def name_of(session: bytes) -> str:
    """A session as text, without its padding; what no log should hold is a question mark."""
    text = session.strip(b" \0").decode("ascii", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def downstream(session: bytes, seq: int, messages: list[bytes]) -> bytes:
    """A packet of messages, from number `seq` on."""
    assert len(session) == SESSION_BYTES and 0 < len(messages) <= COUNT_MAX
    blocks = b"".join(len(message).to_bytes(2, "big") + message for message in messages)
    return HEADER.pack(session, seq, len(messages)) + blocks


def heartbeat(session: bytes, next_seq: int) -> bytes:
    """The packet of a quiet second."""
    return HEADER.pack(session, next_seq, HEARTBEAT)


def end_of_session(session: bytes, next_seq: int) -> bytes:
    """The packet after the last message."""
    return HEADER.pack(session, next_seq, END)


def request(session: bytes, seq: int, count: int) -> bytes:
    """Ask for `count` messages from `seq` on."""
    assert len(session) == SESSION_BYTES and 0 < count <= COUNT_MAX
    return HEADER.pack(session, seq, count)


def parse_request(packet: bytes) -> Packet:
    """What a request asks for. Raises Reject where it is none."""
    if len(packet) != HEADER_BYTES:
        raise Reject("bad_request", f"{len(packet)} bytes, not {HEADER_BYTES}")
    session, seq, count = HEADER.unpack(packet)
    if not seq or not 0 < count < END or seq + count > _LAST:
        raise Reject("bad_number", f"{count} messages from {seq} on")
    return Packet(session, seq, count)


def broken(packet: bytes) -> bytes:
    """A refused packet as bytes that a decoder of blocks refuses as well: it begins with a length
    that no message has (a session's letters are one)."""
    as_length = int.from_bytes(packet[:2], "big")
    return packet if len(packet) < 2 or as_length >= ord(" ") << 8 else b"\0\0" + packet


class Heard(NamedTuple):
    """A packet, on which line it came, its session as text, and its blocks."""

    line: int
    session: str
    packet: Packet
    blocks: Payload


def order(sequencer: Sequencer, heard: Heard, now_ns: int) -> list[Step]:
    """Put a packet in order."""
    line, session, packet, blocks = heard
    if packet.messages == HEARTBEAT:
        return sequencer.expect(line, session, packet.seq, now_ns)
    if packet.messages == END:
        return sequencer.end(line, session, packet.seq, now_ns)
    return sequencer.offer(line, session, packet.seq, packet.messages, blocks, now_ns)


class Doubt:
    """Between the lines of a channel and its sequencer.

    another session    counts at once where none is under way, or its end was told; else when it
                       was heard for SURE_NS in which the one under way was silent (time that is
                       not known, below 0, is long enough)
    more than FAR      counts when the packet behind it is as far
    messages ahead
    number 1 again     after RESET_NS of silence: the session has begun anew

    What has to wait is kept, WAITING_BYTES_MAX of it, and comes first when it counts.
    name         the session that waits, or waited last
    turned_away  packets that nothing bore out, or that had no room to wait
    """

    def __init__(self, sequencer: Sequencer) -> None:
        self.name = ""
        self.turned_away = 0
        self._sequencer = sequencer
        self._heard_ns = 0  # newest packet of the session under way
        self._since_ns = 0  # the other one is heard, and this one is not
        self._waiting: list[tuple[Heard, int]] = []
        self._waiting_bytes = 0
        self._far: tuple[Heard, int] | None = None

    def order(self, heard: Heard, now_ns: int) -> list[Step] | None:
        """Put a packet in order, and what waited for it; None: it waits, or is turned away."""
        sequencer, (_, session, packet, _) = self._sequencer, heard
        if session != sequencer.session:
            if sequencer.session and not sequencer.is_past(session):
                return self._another(heard, now_ns)
            return order(sequencer, heard, now_ns)
        silent_ns = now_ns - self._heard_ns
        self._heard_ns = self._since_ns = now_ns
        if packet.seq > sequencer.high + FAR:
            before, self._far = self._far, None if self._far else _kept(heard, now_ns)
            if before is None:
                return None
            return order(sequencer, *before) + order(sequencer, heard, now_ns)
        self.turned_away += self._far is not None
        self._far = None
        if packet.seq == 1 < sequencer.next and silent_ns >= RESET_NS:
            granted = sequencer.grant(heard.line, session, 1, now_ns)
            return granted + order(sequencer, heard, now_ns)
        return order(sequencer, heard, now_ns)

    def give_up(self) -> list[Step]:
        """Nothing more comes: what waits counts."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return [step for each in waiting for step in order(self._sequencer, *each)]

    def _another(self, heard: Heard, now_ns: int) -> list[Step] | None:
        if heard.session != self.name:
            self.turned_away += len(self._waiting)
            self.name, self._since_ns = heard.session, now_ns
            self._waiting, self._waiting_bytes = [], 0
        if self._sequencer.ending or now_ns < 0 or now_ns - self._since_ns >= SURE_NS:
            self._heard_ns, self._far = now_ns, None
            return self.give_up() + order(self._sequencer, heard, now_ns)
        size = HEADER_BYTES + len(heard.blocks)
        if self._waiting_bytes + size <= WAITING_BYTES_MAX:
            self._waiting.append(_kept(heard, now_ns))
            self._waiting_bytes += size
        else:
            self.turned_away += 1
        return None


def _kept(heard: Heard, now_ns: int) -> tuple[Heard, int]:
    """With bytes of its own: the buffer of a read is used again."""
    return heard._replace(blocks=bytes(heard.blocks)), now_ns


def warm() -> None:
    """Compile what a feed calls, before a port is opened."""
    walk(np.zeros(32, np.uint8), 20, 22, 1, 1)
