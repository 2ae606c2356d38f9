"""MoldUDP64 packets: what one half writes the other reads, and what is none is refused."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.model.errors import Reject
from bursa.wire import moldudp64 as mold
from bursa.wire.moldudp64 import END, HEARTBEAT, Packet

DAY = b"20260714A "


def parse(packet: bytes, block_bytes_max: int = 50) -> Packet:
    """As in a buffer: other bytes lie around it."""
    octets = np.frombuffer(b"\0\7x" + packet + b"\0\1y", np.uint8).copy()
    return mold.parse(octets, 3, 3 + len(packet), block_bytes_max)


def test_a_packet_is_header_and_blocks() -> None:
    raw = mold.downstream(DAY, 258, [b"ab", b"c"])
    assert raw == b"20260714A \0\0\0\0\0\0\1\2\0\2\0\2ab\0\1c"
    assert parse(raw) == (DAY, 258, 2)
    assert mold.name_of(DAY) == "20260714A"


def test_heartbeat_end_and_request() -> None:
    assert parse(mold.heartbeat(DAY, 7)) == (DAY, 7, HEARTBEAT)
    assert parse(mold.end_of_session(DAY, 7)) == (DAY, 7, END)
    assert mold.end_of_session(DAY, 7)[-2:] == b"\xff\xff"
    assert mold.parse_request(mold.request(DAY, 7, 12)) == (DAY, 7, 12)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "truncated"),
        (DAY + b"\0" * 9, "truncated"),
        (mold.downstream(DAY, 1, [b"abc"])[:-1], "truncated"),
        (mold.downstream(DAY, 1, [b"abc"])[:-4], "truncated"),
        (mold.downstream(DAY, 1, [b"abc"]) + b"?", "trailing"),
        (mold.heartbeat(DAY, 1) + b"?", "trailing"),
        (mold.end_of_session(DAY, 1) + b"?", "trailing"),
        (mold.downstream(DAY, 1, [b""]), "bad_block"),
        (mold.downstream(DAY, 1, [b"a" * 51]), "bad_block"),
        (mold.downstream(DAY, 0, [b"a"]), "bad_number"),
        (mold.downstream(DAY, 2**63 - 2, [b"a"]), "bad_number"),
        (mold.heartbeat(DAY, 2**64 - 1), "bad_number"),
        (mold.heartbeat(b"\xff" * 10, 1), "bad_session"),
        (mold.heartbeat(b" " * 10, 1), "bad_session"),
    ],
)
def test_what_is_no_packet_is_refused(packet: bytes, reason: str) -> None:
    with pytest.raises(Reject, match=reason):
        parse(packet)


@pytest.mark.parametrize(
    "packet", [b"", DAY, mold.request(DAY, 1, 1) + b"?", struct.pack(">10sQH", DAY, 0, 1)]
)
def test_what_is_no_request_is_refused(packet: bytes) -> None:
    with pytest.raises(Reject):
        mold.parse_request(packet)


@pytest.mark.parametrize("count", [HEARTBEAT, END])
def test_a_request_for_nothing_is_refused(count: int) -> None:
    with pytest.raises(Reject, match="bad_number"):
        mold.parse_request(struct.pack(">10sQH", DAY, 1, count))


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=30), st.binary())
def test_any_messages_come_back_and_any_cut_is_refused(messages: list[bytes], more: bytes) -> None:
    raw = mold.downstream(DAY, 9, messages)
    assert parse(raw) == (DAY, 9, len(messages))
    with pytest.raises(Reject):
        parse(raw[: -1 - len(more) % len(raw)])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_packet_or_refused(raw: bytes) -> None:
    try:
        packet = parse(raw)
    except Reject:
        first = mold.broken(raw)[:2]
        assert len(first) < 2 or first == b"\0\0" or int.from_bytes(first, "big") > 8191
    else:
        assert len(packet.session) == 10
