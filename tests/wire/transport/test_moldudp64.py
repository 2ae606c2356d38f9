"""MoldUDP64 packets: what one half writes the other reads, and what is none is refused."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.model.errors import Reject
from bursa.wire.transport import moldudp64 as mold
from bursa.wire.transport.moldudp64 import END, HEARTBEAT, Packet
from bursa.wire.transport.runs import Patience, Run, Step
from bursa.wire.transport.sequencer import Sequencer

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


class Sifted:
    """A line in front of a sequencer, and what came out of it."""

    def __init__(self) -> None:
        self.sequencer = Sequencer(1, Patience(tries=0))
        self.doubt = mold.Doubt(self.sequencer)

    def hear(self, session: str, seq: int, s: float, messages: int = 1) -> str:
        """What a packet brings, as session/first-last or what else; "none" where it waits."""
        blocks = b"\0\1x" * (messages if messages != END else 0)
        heard = mold.Heard(0, session, Packet(session.encode(), seq, messages), blocks)
        return self.told(self.doubt.order(heard, round(s * 1e9)))

    @staticmethod
    def told(steps: list[Step] | None) -> str:
        if steps is None:
            return "none"
        return " ".join(
            f"{each.session}/{each.first}-{each.first + each.count - 1}"
            if isinstance(each, Run)
            else type(each).__name__.lower()
            for each in steps
        )


def test_a_stray_sender_does_not_end_the_session_under_way() -> None:
    line = Sifted()
    assert line.hear("DAY", 1, 0) == "DAY/1-1"
    for tick in range(1, 100):
        assert line.hear("STRAY", 1 + tick, tick / 10) == "none"
        assert line.hear("DAY", 1 + tick, tick / 10) == f"DAY/{1 + tick}-{1 + tick}"
    assert line.sequencer.counts.sessions == 1


def test_a_session_that_is_heard_alone_is_believed_and_loses_nothing() -> None:
    line = Sifted()
    line.hear("DAY", 1, 0)
    assert line.hear("NEXT", 1, 3600) == "none", "one packet may be a stray one"
    assert line.hear("NEXT", 2, 3602.9, 3) == "none"
    assert line.hear("NEXT", 5, 3603) == "NEXT/1-1 NEXT/2-4 NEXT/5-5"
    assert line.hear("DAY", 2, 3603) == "" and line.sequencer.lines[0].stale == 1


def test_after_the_end_of_a_session_the_next_is_believed_at_once() -> None:
    line = Sifted()
    line.hear("DAY", 1, 0)
    assert line.hear("NEXT", 1, 1) == "none"
    assert line.hear("DAY", 2, 1.1, END) == "ended"
    assert line.hear("NEXT", 2, 1.2) == "NEXT/1-1 NEXT/2-2"


def test_what_waits_for_another_session_is_bounded() -> None:
    line = Sifted()
    line.hear("DAY", 1, 0)
    for lot in range(60):
        line.hear("NEXT", 1 + lot * 60_000, 1 + lot / 100, 60_000)
    found = line.hear("NEXT", 1 + 60 * 60_000, 4)
    assert found.count("NEXT/") == mold.WAITING_BYTES_MAX // (180_000 + mold.HEADER_BYTES)
    assert line.doubt.turned_away == 60 - found.count("NEXT/")
    assert line.sequencer.missing[0][0] == 1 + found.count("NEXT/") * 60_000


@pytest.mark.parametrize("seq", [4 + mold.FAR, 2**40, 2**63 - 3])
def test_one_packet_alone_does_not_jump_far(seq: int) -> None:
    line = Sifted()
    line.hear("DAY", 1, 0)
    for messages in (1, HEARTBEAT):
        assert line.hear("DAY", seq + (messages == HEARTBEAT), 1, messages) == "none"
        assert line.hear("DAY", line.sequencer.next, 1).startswith("DAY/")
    assert not line.sequencer.missing
    assert line.hear("DAY", 5_000_000, 2) == "none"
    assert line.hear("DAY", 5_000_001, 2, HEARTBEAT) == ""
    assert line.sequencer.missing == [(4, 4_999_999)] and line.sequencer.held[1] == 1


def test_a_session_that_begins_again_after_a_silence_is_heard() -> None:
    line = Sifted()
    for number in range(1, 6):
        line.hear("DAY", number, number)
    assert line.hear("DAY", 1, 6) == "", "a line that is behind repeats"
    assert line.hear("DAY", 1, 21) == "DAY/1-1" and line.hear("DAY", 2, 22) == "DAY/2-2"
    assert line.sequencer.counts.resets == 1


def test_where_time_is_not_known_another_session_is_believed() -> None:
    line = Sifted()
    line.hear("DAY", 1, -1)
    assert line.hear("NEXT", 1, -1) == "NEXT/1-1"


def test_at_the_end_what_waits_is_told() -> None:
    line = Sifted()
    line.hear("DAY", 1, 0)
    line.hear("NEXT", 1, 1)
    assert line.told(line.doubt.give_up()) == "NEXT/1-1" and line.doubt.give_up() == []


def test_a_heartbeat_before_the_first_message_expects_number_one() -> None:
    line = Sifted()
    line.sequencer = Sequencer(1, Patience(tries=0), from_first=False)
    line.doubt = mold.Doubt(line.sequencer)
    assert line.hear("DAY", 0, 0, HEARTBEAT) == "" and line.hear("DAY", 1, 1) == "DAY/1-1"
