"""MoldUDP64 without sockets: packets of numbered messages, and requests for those that were lost.

    downstream  session 10, number u64 of the first message, count u16, then count blocks of
                u16 length and message; count 0: a heartbeat, the number is the next one;
                count 0xFFFF: the session is over, the number is the next one it would have had
    request     session 10, number u64 of the first message wanted, count u16

Big-endian; the session is ASCII, padded with blanks. A datagram is one packet. A packet is taken
whole or refused whole, because its checksum was good: Reject `truncated` (shorter than it says),
`trailing` (longer), `bad_session`, `bad_number` (0, or past int64), `bad_block` (a length of 0, or
above what the venue's decoder takes). Knows nothing of the messages.
"""

import struct
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.errors import Reject
from bursa.wire.loads import KERNEL, be16

HEADER = struct.Struct(">10sQH")
HEADER_BYTES = HEADER.size
SESSION_BYTES = 10
HEARTBEAT, END = 0, 0xFFFF
"""Counts that are none."""

COUNT_MAX = END - 1
"""Most messages that a packet holds, or a request asks for."""

DATAGRAM_BYTES_MAX = 65_535

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


def warm() -> None:
    """Compile what a feed calls, before a port is opened."""
    walk(np.zeros(32, np.uint8), 20, 22, 1, 1)
